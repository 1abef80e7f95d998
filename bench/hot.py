#!/usr/bin/env python3
"""hot.py: where do the instructions go? Counts them by function, polling for nothing taken out.

usage: hot.py nop DEPTH | polled DEPTH | small-read DEPTH | small-write DEPTH | small-pipe DEPTH | door | echo CONNECTIONS | disk DEPTH | ram DEPTH | boot

The same guests and windows as the benchmark's. One line per function that has at least a
two-hundredth of a level's instructions: instructions per operation, share, where, name.
"""
import bisect
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import measure  # noqa: E402
import nbd  # noqa: E402
from measure import Client  # noqa: E402

MESSAGES = 20000
BLOCKS = 20000
OPS = 100000
APPS = os.path.join("build", "riscv64", "apps")
SMALL = 1 / 200


class Symbols:
    def __init__(self, elf):
        self.names, self.places = [], []
        out = subprocess.run(["riscv64-unknown-elf-nm", "-n", elf], capture_output=True, text=True,
                             check=True)
        for line in out.stdout.splitlines():
            words = line.split()
            if len(words) == 3 and words[1] in "tTwW" and not words[2].startswith((".L", "$")):
                self.places.append(int(words[0], 16))
                self.names.append(words[2])

    def find(self, address):
        at = bisect.bisect_right(self.places, address) - 1
        return self.names[at] if at >= 0 else f"{address:#x}"


def name_of(address, kind, kernel, program):
    if kind == "kernel" and address >> 63:
        return kernel.find(address)
    if kind == "user" and program:
        return program.find(address)
    return f"{address & ~0x3f:#x}"


def show(before, after, ops, program=None):
    kernel = Symbols(measure.KERNEL)
    program = Symbols(os.path.join(APPS, program)) if program else None
    work, idle = {}, {}
    for key, (runs, idles) in after.items():
        address, count, kind, hart = key
        runs, idles = runs - before.get(key, (0, 0))[0], idles - before.get(key, (0, 0))[1]
        where = kind, name_of(address, kind, kernel, program), hart if kind == "user" else "-"
        work[where] = work.get(where, 0) + (runs - idles) * count
        idle[kind] = idle.get(kind, 0) + idles * count
    for kind in measure.KINDS:
        total = sum(value for where, value in work.items() if where[0] == kind)
        print(f"\n{kind}: {total / ops:.1f} instructions per operation, and {idle.get(kind, 0) / ops:.1f} polling "
              "for nothing")
        for where, value in sorted(work.items(), key=lambda item: -item[1]):
            if where[0] == kind and value >= total * SMALL and value:
                hart = f" hart {where[2]}" if kind == "user" else ""
                print(f"  {value / ops:10.1f}  {value * 100 / total:5.1f} %  {where[1]}{hart}")


def window(guest, client):
    client.wait_for("steady")
    before = guest.plugin.runs()
    client.go()
    client.wait_for("done")
    after = guest.plugin.runs()
    client.end()
    return before, after


def profile_nop(bench, how, depth):
    options = {"smp": 1, "icount": True} if how == "enter" else {"smp": 2}
    with bench.guest(profile="marks", stay=True, run=f"/bin/b_nop {how} {OPS} {depth}",
                     **options) as guest:
        guest.wait_for("^b_nop: exit status 0", 60)
        show({}, guest.plugin.runs(), OPS // depth * depth, "b_nop")


def profile_small(bench, how, depth):
    """Transfers of 32 bytes that need not wait (bench/guest/small.c)."""
    with bench.guest(smp=1, icount=True, profile="marks", stay=True,
                     run=f"/bin/b_small {how} 32 {OPS} {depth}") as guest:
        guest.wait_for("^b_small: exit status 0", 60)
        each = depth * (2 if how == "pipe" else 1)
        show({}, guest.plugin.runs(), -(-OPS // each) * each, "b_small")


def profile_door(bench):
    """Calls of a program of Linux (bench/peer/guest/depth.c)."""
    with bench.guest(smp=1, icount=True, profile="marks", stay=True, files={"bin/depth": "build/peer/depth"},
                     run=f"/bin/depth sync nop {measure.DISK_BYTES} {OPS} 1") as guest:
        guest.wait_for("^depth: exit status 0", 60)
        show({}, guest.plugin.runs(), OPS)


def main():
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    what, amount = sys.argv[1], int(sys.argv[2]) if len(sys.argv) == 3 else 1
    bench = measure.Bench()
    if what in ("nop", "polled"):
        profile_nop(bench, "enter" if what == "nop" else what, amount)
        return
    if what.startswith("small-"):
        profile_small(bench, what.removeprefix("small-"), amount)
        return
    if what == "door":
        profile_door(bench)
        return
    if what not in ("echo", "disk", "ram", "boot"):
        sys.exit(__doc__)
    with bench.servers(profile="on") as guest:
        if what == "boot":
            show({}, guest.plugin.runs(), 1)
        elif what == "echo":
            with Client("echo_client", guest.ports[7], amount, MESSAGES) as client:
                show(*window(guest, client), MESSAGES, "echod")
        else:
            measure.run_host("nbd_client", guest.ports[10809], what, "fill", nbd.BYTES, nbd.SEED)
            with Client("nbd_client", guest.ports[10809], what, "read", nbd.BYTES, nbd.SEED, amount,
                        BLOCKS) as client:
                show(*window(guest, client), BLOCKS, "nbdd")
        guest.stop()


if __name__ == "__main__":
    try:
        main()
    except measure.BenchError as error:
        sys.exit(f"hot: {error}")
