"""balance.py: what does the balancer cost, and what is it good for?

balance_pass_insn: a pass over eight cores, in a kernel that does only this (bench/kernel/balance.c):
one that finds nothing to do, and one that decides on a move and posts the order. A core's look
at itself comes with it and is given in a row of its own.
"""
import os

from measure import BenchError

CORES = 8
FOLDER = os.path.join("build", "riscv64", "balance")
MAP = ",".join(f"{i}:{'kernel' if i < CORES // 2 else 'user'}" for i in range(CORES))


def measure_pass(bench):
    lines, windows = bench.results(smp=2, SMP=CORES, map=MAP, icount=True, plugin=True, build=FOLDER, run="/bin/b_nop")
    found, at = {}, 0
    for line in lines:
        times = int(line["times"])
        found[line["how"]] = [window.all() for window in windows[at:at + times]]
        at += times
        passes, moved = int(line["passes"]), int(line["moved"])
        expected = {"look": (0, 0), "steady": (times, 0), "move": (times, times)}[line["how"]]
        if (passes, moved) != expected:
            raise BenchError(f"balance {line['how']}: {passes} passes, {moved} moves in {times} rounds")
    look = sum(found["look"]) / len(found["look"])
    bench.figure("balance_look_insn", "-", found["look"], "instructions/look", "each core, at most every 50 us")
    for how in ("steady", "move"):
        bench.figure("balance_pass_insn", how, [value - look for value in found[how]], "instructions/pass",
                     f"{CORES} cores, 8 rings")


def measure(bench):
    measure_pass(bench)
