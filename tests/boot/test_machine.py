#!/usr/bin/env python3
"""What if the machine is not the usual one? Any hart may be the boot hart; there may be one hart or
many, little memory or much, no AIA, no Sstc, senseless arguments, nobody left who watches it. Each machine runs two programs to
their end, with nothing leaked; what is refused is refused with a sentence and a status.
"""
import os
import re
import select
import subprocess
import sys

import conf
import servers
import vm

SECONDS = 60
BOOTS = 10
RUN = "/bin/hello;/bin/t_ring_nop"


def config(smp, run=RUN):
    chosen = conf.choose(3, None)
    chosen.set("SMP", str(smp))
    chosen.set("map", {1: "0:mixed", 2: "0:kernel+net+io,1:user"}.get(
        smp, "0:kernel+net+io,1:user,2:user"))
    chosen.set("run", run)
    chosen.set("exit", "power")
    chosen.set("net", "off")
    return chosen


def boot(smp, mem="128M", extra=()):
    """One whole life; returns the console."""
    with vm.VM(config(smp), mem=mem, ports={}, extra=extra) as guest:
        if not guest.wait_end(SECONDS):
            raise vm.VMError(f"no end within {SECONDS} s", guest.tail())
        text = guest.console
        if guest.process.returncode:
            raise vm.VMError(f"status {guest.process.returncode}", guest.tail())
    for wanted in ("hello from a ring", "hello: exit status 0", "t_ring_nop: exit status 0",
                   "leaks: frames 0 ops 0"):
        if wanted not in text:
            raise vm.VMError(f'"{wanted}" is missing', text[-2000:])
    return text


def spare_gib():
    """Memory that this host can give away; a guest's is taken as it is touched."""
    with open("/proc/meminfo", encoding="utf-8") as lines:
        return next(int(l.split()[1]) for l in lines if l.startswith("MemAvailable")) >> 20


def most_memory():
    if spare_gib() < 10:
        print(f"# 8 GiB are not tried: this host has {spare_gib()} to spare")
        return
    boot(3, mem="8G")


def any_boot_hart():
    seen = set()
    for _ in range(BOOTS):
        seen.add(re.search(r"Boot HART ID\s*: (\d+)", boot(3))[1])
    print(f"# {BOOTS} boots, boot harts {' '.join(sorted(seen))}")


def refused():
    """A senseless map is refused with a sentence, and the machine ends with a status of its own."""
    senseless = config(3)
    senseless.values["map"] = "0:kernel,1:cook"
    with vm.VM(senseless, ports={}) as guest:
        if not guest.wait_end(SECONDS):
            raise vm.VMError("a senseless map was not refused", guest.tail())
        if "cook" not in guest.console:
            raise vm.VMError("the sentence does not name the place", guest.tail())
        if guest.process.returncode != 102:
            raise vm.VMError(f"status {guest.process.returncode}, not 102", guest.tail())


WATCHER = """
import os, signal, sys
sys.path[:0] = sys.argv[1:]
import conf, vm
chosen = conf.choose(2)
chosen.set("net", "off")
guest = vm.VM(chosen, ports={})
guest.start()
print(guest.process.pid, flush=True)
sys.stdin.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""


def orphan():
    """Who watches a guest is killed: the guest goes with it."""
    with subprocess.Popen([sys.executable, "-c", WATCHER, *sys.path], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as watcher:
        pid = int(watcher.stdout.readline())
        guest = os.pidfd_open(pid)
        watcher.stdin.write("now\n")
        watcher.stdin.close()
        gone = select.select([guest], [], [], SECONDS)[0]
        os.close(guest)
        if not gone:
            os.kill(pid, 9)
            raise vm.VMError("the guest outlives who watched it")


TESTS = {
    "any boot hart, 3 harts": any_boot_hart,
    "one hart": lambda: boot(1),
    "two harts": lambda: boot(2),
    "four harts": lambda: boot(4),
    "eight harts": lambda: boot(8),
    "little memory": lambda: boot(3, mem="64M"),
    "memory above 4 GiB": lambda: boot(3, mem="4G"),
    "8 GiB": most_memory,
    "no AIA: PLIC and firmware IPIs": lambda: boot(3, extra=["-machine", "aia=none"]),
    "no Sstc: the firmware's timer": lambda: boot(3, extra=["-cpu", "rv64,sstc=false"]),
    "a senseless map is refused": refused,
    "a guest whose watcher is killed": orphan,
}


if __name__ == "__main__":
    servers.each(TESTS)
