"""balance.py: what does the balancer cost, and what is it good for?

balance_pass_insn: a pass over eight cores, in a kernel that does only this (bench/kernel/balance.c):
one that finds nothing to do, and one that decides on a move and posts the order. A core's look
at itself comes with it and is given in a row of its own.

balance_speedup_sim: two hot rings, both born on one of two kernel cores, on a simulated machine: what
is done from 2 ms on, against the same machine where nothing moves.

balance_phase_ratio: phases of computing and of asking, 20 ms each, on an elastic machine of four cores:
what is done in either, against the best map that stands still. Simulated, too.

In QEMU, 4 harts, two kernel and two user cores, two programs that keep a polled ring full
(bench/guest/hot.c):

balance_moves_steady: one ring on each kernel core, 10 s: moves after the first 10 ms.

balance_share_qemu: both rings begin on one of the two: the part of all entries, from 2 ms on, that the
core served which served fewer. It counts entries, so it does not depend on what the host gave each hart.

balance_wait_qemu: how long an entry then waits, against policy=static. Its harts need four processors
of the host that are free: with fewer, whoever is moved to another hart waits for the host instead.
"""
import os
import subprocess

from measure import BenchError

TIMED = os.path.join("build", "hosted-timed", "tests", "sim", "cores")
HOT_MAP = "0:kernel,1:kernel,2:user,3:user"
HOT_AT_MS = 3000  # both programs are there by then
HOT_OPS = 1000000  # of each
HOT_ROUNDS = 3
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


def simulated(load, policy, cores, programs, us, slice_us, seed=1):
    """The run's words, and of each slice."""
    run = subprocess.run([TIMED, "balance", load, policy, cores, str(programs), os.path.join("bench", "cost.conf"), "1",
                          str(us), str(slice_us), str(seed)], capture_output=True, text=True, timeout=300, check=False)
    if run.returncode:
        raise BenchError(f"balance {load}: {(run.stdout + run.stderr).strip()}")
    found = [dict(word.split("=", 1) for word in line.split()[1:] if "=" in word) for line in run.stdout.splitlines()]
    return found[0], found[1:]


def measure_hot(bench):
    def rate(policy, seed):
        _, slices = simulated("hot", policy, "0:kernel,1:kernel,2:user,3:user", 2, 6000, 500, seed)
        return sum(int(s["done"]) for s in slices[4:]) / len(slices[4:])
    bench.figure("balance_speedup_sim", "-", [rate("default", seed) / rate("static", seed) for seed in (1, 2, 3)], "ratio",
                 "from 2 ms on, three seeds")


def measure_phases(bench):
    ratios = {"computing": [], "asking": []}
    for seed in (1, 2):
        done = {}
        for policy, cores in ((("static", f"0:kernel,1:{one},2:{two},3:user") for one, two in
                               (("user", "user"), ("user", "kernel"), ("kernel", "kernel")))):
            done[cores] = simulated("phase", policy, cores, 6, 80000, 20000, seed)[1]
        _, moved = simulated("phase", "default", "0:kernel,1:elastic,2:elastic,3:user", 6, 80000, 20000, seed)
        for which, what, first in (("computing", "requests", 0), ("asking", "done", 1)):
            best = max(sum(int(s[what]) for s in slices[first::2]) for slices in done.values())
            ratios[which].append(sum(int(s[what]) for s in moved[first::2]) / best)
    for which, values in ratios.items():
        bench.figure("balance_phase_ratio", which, values, "of the best static map", "20 ms each, two seeds")


def hot_guest(bench, policy, home, amount):
    """What the program that watches says; the other one's ring begins on core `home`."""
    words = f"/bin/b_hot {HOT_AT_MS} {amount}"
    lines, _ = bench.results(smp=2, SMP=4, map=HOT_MAP, policy=policy, run=f"@2:0 {words} watch;@3:{home} {words}")
    if int(lines[0]["ops"]) < HOT_OPS / 2:
        raise BenchError(f"balance {policy}: {lines[0]['ops']} entries only")
    return {key: int(value) for key, value in lines[0].items()}


def measure_steady(bench):
    steady = hot_guest(bench, "default", 1, "10000ms")
    bench.figure("balance_moves_steady", "-", [steady["late_moves"]], "moves", f"{steady['ops']:,} entries")


def measure_hot_guest(bench):
    rounds = [[hot_guest(bench, policy, 0, HOT_OPS) for policy in ("default", "static")] for _ in range(HOT_ROUNDS)]
    if any(still["moves"] or still["share"] for _, still in rounds):
        raise BenchError("balance static: something was moved")
    bench.figure("balance_share_qemu", "-", [moved["share"] / 10 for moved, _ in rounds], "%",
                 f"from 2 ms on, {min(moved['moves'] for moved, _ in rounds)} to "
                 f"{max(moved['moves'] for moved, _ in rounds)} moves")
    bench.figure("balance_wait_qemu", "-", [moved["wait_ns"] / still["wait_ns"] for moved, still in rounds],
                 "of standing still", f"{os.cpu_count()} processors for 4 busy harts")


def measure(bench):
    measure_hot(bench)
    measure_phases(bench)
    measure_pass(bench)
    measure_steady(bench)
    measure_hot_guest(bench)
