#!/usr/bin/env python3
"""What if QEMU is newer than the release's? Other firmware, other reserved memory, harts with more
extensions: every machine of test_machine.py, and both servers; and do idle cores wait on their
doorbell line where the harts have Zawrs, and only there? Skipped, with a sentence, where no
newer QEMU can be had (scripts/newqemu.py).
"""
import re

import conf
import newqemu
import servers
import test_echo
import test_machine
import test_plic
import vm


def waits(extra=()):
    """Echoes, through a kernel core that spins most of the time; how often it waited."""
    config = conf.choose(3)
    config.set("spin_us", "2000")
    with vm.VM(config, disk=servers.scratch("newqemu.img", size=1 << 20), extra=extra) as guest:
        guest.wait_for("^echod: ready", servers.READY)
        for _ in range(20):
            test_echo.netcat_line(guest)
        guest.stop(30)
        servers.expect("leaks: frames 0 ops 0" in guest.console, "frames or ops are lost")
        return int(re.search(r"^  waits (\d+)$", guest.console, re.M)[1])


def wake_ups():
    """The race for a poller that falls asleep, with a poller that waits on its line first."""
    config = conf.choose(3)
    config.set("run", "@1 /bin/t_ring_wakeup")
    config.set("exit", "power")
    with vm.VM(config) as guest:
        servers.expect(guest.wait_end(servers.READY), "the test did not end")
        servers.expect("t_ring_wakeup: exit status 0" in guest.console, guest.tail())


def watched():
    found, without = waits(), waits(["-cpu", "rv64,zawrs=off"])
    print(f"# {found} waits, {without} without Zawrs")
    servers.expect(found > 100, f"idle cores waited {found} times")
    servers.expect(without == 0, f"{without} waits on harts that cannot")


def main():
    try:
        vm.QEMU, version = newqemu.bring()
    except newqemu.Missing as why:
        print(f"ok skipped, there is no newer QEMU here ({why})")
        return
    print(f"# QEMU {version}")
    try:
        watched()
        wake_ups()
        print(f"ok QEMU {version}, idle cores wait on their doorbell line")
    except (servers.Wrong, vm.VMError) as error:
        print(f"FAIL QEMU {version}, idle cores wait on their doorbell line: {error}")
    servers.each(test_machine.TESTS, f"QEMU {version}, ")
    servers.run({**test_echo.TESTS, **test_plic.NBD},
                places=[(f"QEMU {version}, {place}", *rest) for place, *rest in servers.PLACES[:2]],
                disk=servers.scratch("newqemu.img", size=test_plic.test_nbd.DISK))


if __name__ == "__main__":
    main()
