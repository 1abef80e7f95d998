#!/usr/bin/env python3
"""What if the devices are not the usual ones? Several disks of different kinds, a console that is not
the serial port, a device of the old kind, no devices at all, a damaged archive of programs. What can be
used is used and named, what cannot is refused with a sentence, and the programs run to their end.
"""
import os
import re

import conf
import servers
import vm

SECONDS = 60
MIB = 1 << 20


def boot(extra, wanted, console=None, status=0, leaks=True, run="/bin/hello", disk=None):
    """One whole life; every pattern in `wanted` must be on the console, a file if `console` says so."""
    chosen = conf.choose(2, None)
    chosen.set("run", run)
    chosen.set("exit", "power")
    chosen.set("net", "off")
    with vm.VM(chosen, ports={}, mem="128M", extra=extra, disk=disk) as guest:
        if not guest.wait_end(SECONDS):
            raise vm.VMError(f"no end within {SECONDS} s", guest.tail())
        text = guest.console
        if status is not None and guest.process.returncode != status:
            raise vm.VMError(f"status {guest.process.returncode}", guest.tail())
    if console:
        with open(console, encoding="utf-8", errors="replace") as file:
            text = file.read()
    wanted = list(wanted)
    if leaks:
        wanted += ["hello from a ring", "leaks: frames 0 ops 0"]
    for pattern in wanted:
        if not re.search(pattern, text):
            raise vm.VMError(f'"{pattern}" is missing', text[-2000:])
    return text


def drive(number, path, *more, options=""):
    return ["-drive", f"file={path},format=raw,if=none,id=extra{number}{options}",
            "-device", ",".join((f"virtio-blk-device,drive=extra{number}",) + more)]


def disks():
    """In the order they are given, each with its own size, block size and rights."""
    small, big = servers.scratch("small.img", size=8 * MIB), servers.scratch("big.img", size=40 * MIB)
    boot(drive(1, small, "logical_block_size=4096", "physical_block_size=4096") +
         drive(2, big, options=",readonly=on"),
         [r"vda: virtio disk, 8 MiB, blocks of 4096", r"vdb: virtio disk, 40 MiB, blocks of 512, read-only"])


def few_descriptors():
    """A short queue without indirect descriptors: the same disk, a few requests at a time."""
    disk = servers.scratch("short.img", size=16 * MIB)
    boot(drive(1, disk, "queue-size=64", "indirect_desc=off", "event_idx=off"),
         [r"vda: virtio disk, 16 MiB.* 8 requests in flight", r"t_async_disk: exit status 0"],
         run="/bin/hello;/bin/t_async_disk")


def legacy():
    """Refused, by its number and with the flag that cures it; the rest goes on."""
    disk = servers.scratch("old.img", size=8 * MIB)
    text = boot(drive(1, disk) + ["-global", "virtio-mmio.force-legacy=true"],
                [r"virtio: device 2 at 0x[0-9a-f]+ refused: .*version 1.*-global virtio-mmio.force-legacy=false"])
    if "vda:" in text:
        raise vm.VMError("a refused disk has a name", text[-2000:])


def unknown():
    boot(["-device", "virtio-balloon-device"], [r"virtio: device 5 at 0x[0-9a-f]+ left alone"])


def virtio_console():
    """It takes over from the serial port as soon as it is found."""
    path = servers.scratch("console.txt", size=0)
    boot(["-chardev", f"file,id=con1,path={path}", "-device", "virtio-serial-device",
          "-device", "virtconsole,chardev=con1"], [r"hello: exit status 0", r"turns_busy"], console=path)


def archives():
    """Cut short, foreign, damaged in the middle: refused with the place."""
    with open(os.path.join("build", "riscv64", "initrd.cpio"), "rb") as file:
        whole = file.read()
    second = whole.find(b"070701", 6)
    for name, data, sentence in (
            ("cut", whole[:len(whole) // 2], r"initrd refused at byte \d+ of \d+: it ends inside"),
            ("foreign", b"\x1f\x8b" + bytes(5000), r"initrd refused at byte 0 of \d+: it is not a cpio archive"),
            ("damaged", whole[:second] + b"X" + whole[second + 1:],
             rf"initrd refused at byte {second} of \d+: no cpio header here")):
        path = servers.scratch(f"{name}.cpio", data=data)
        boot(["-initrd", path], [sentence, r"/bin/hello"], status=None, leaks=False)


TESTS = {
    "disks of several kinds": disks,
    "a short queue without extras": few_descriptors,
    "a legacy device is refused": legacy,
    "an unknown device is left alone": unknown,
    "a virtio console": virtio_console,
    "damaged archives are refused": archives,
}


if __name__ == "__main__":
    servers.each(TESTS)
