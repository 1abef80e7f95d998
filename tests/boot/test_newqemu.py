#!/usr/bin/env python3
"""What if QEMU is newer than the release's? Other firmware, other reserved memory, harts with more
extensions: every machine of test_machine.py, and both servers. Skipped, with a sentence, where no
newer QEMU can be had (scripts/newqemu.py).
"""
import newqemu
import servers
import test_echo
import test_machine
import test_plic
import vm


def main():
    try:
        vm.QEMU, version = newqemu.bring()
    except newqemu.Missing as why:
        print(f"ok skipped, there is no newer QEMU here ({why})")
        return
    print(f"# QEMU {version}")
    test_machine.main(f"QEMU {version}, ")
    servers.run({**test_echo.TESTS, **test_plic.NBD},
                places=[(f"QEMU {version}, {place}", *rest) for place, *rest in servers.PLACES[:2]],
                disk=servers.scratch("newqemu.img", size=test_plic.test_nbd.DISK))


if __name__ == "__main__":
    main()
