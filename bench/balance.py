"""balance.py: what does the balancer cost, and what is it good for?

balance_pass_insn: a pass over eight cores, in a kernel that does only this (bench/kernel/balance.c):
one that finds nothing to do, and one that decides on a move and posts the order. A core's look
at itself comes with it and is given in a row of its own.

balance_speedup_sim: two hot rings, both born on one of two kernel cores, on a simulated machine: what
is done from 2 ms on, against the same machine where nothing moves.

balance_phase_ratio: phases of computing and of asking, 20 ms each, on an elastic machine of four cores:
what is done in either, against the best map that stands still. Simulated, too.

scaling_efficiency_sim: echoes through pipes on so many simulated cores, half of which serve, against as
many pairs of cores: throughput(n) / (n/2 x throughput(2)).

In QEMU, 4 harts, two kernel and two user cores, two programs with a deep ring each that sleep while it
is worked off (bench/guest/hot.c):

balance_moves_steady: one ring on each kernel core, 10 s: moves after the first 10 ms.

balance_first_move_us: both rings are on one of the two and get hot at the same moment: from then on
until the other core has its ring.

balance_share_qemu: of the entries served from 2 ms on, how many by the core that served fewer: by the
ring's own counts, a millisecond each, and the trace, which says where it was.

balance_age_qemu: how old the median entry was when it was served, against policy=static in a run
beside it. Two busy harts have two processors of the host, as long as neighbours and a hypervisor leave
them; the row `spread` says how much of them that was: it has a ring on each core from the beginning.
"""
import os
import subprocess

from measure import AHEAD, FIRST, BenchError
import trace  # scripts/

TIMED = os.path.join("build", "hosted-timed", "tests", "sim", "cores")
HOT_MAP = "0:kernel,1:kernel,2:user,3:user"
HOT_AT_MS = 3000  # both programs are there by then
HOT_OPS = 8192  # of each: their rings once full
HOT_ROUNDS = 5
SHARE_MS = 2
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


class Hot:
    """A run of two hot rings, the second of which begins on core `home`; times are ns since both are hot.
    `prefix`: how QEMU is started."""

    def __init__(self, bench, policy, home, amount, prefix):
        words = f"/bin/b_hot {HOT_AT_MS} {amount}"
        with bench.guest(smp=2, SMP=4, map=HOT_MAP, policy=policy, trace="end", prefix=prefix,
                         run=f"@2:0 {words} watch;@3:{home} {words}") as guest:
            lines = bench.finish(guest, 120)
            dump = trace.Dump(guest.console)
        self.watch = {key: int(value) for line in lines if "share" in line for key, value in line.items()}
        self.rings = {int(line["ring"]): line for line in lines if "ring" in line}
        if len(self.rings) != 2 or self.watch["ops"] < 2 * HOT_OPS:
            raise BenchError(f"balance {policy}: {len(self.rings)} rings, {self.watch['ops']} entries only")
        self.homes = {ring: home if int(line["core"]) == 3 else 0 for ring, line in self.rings.items()}
        self.begun = max(int(ring["hot_ns"]) for ring in self.rings.values())
        self.age = sum(int(ring["age_ns"]) for ring in self.rings.values()) / 2
        kind = next(number for number, words in dump.names["kind"].items() if words[0] == "ring")
        self.moves = sorted((r.ns - self.begun, r.b, r.core) for records in dump.cores.values() for r in records
                            if r.kind == kind and r.a == r.core and r.b in self.rings)

    def place(self, ring, ns):
        """The core that serves it at that time: the last one that it came to, its home if it did not move."""
        return ([core for at, moved, core in self.moves if moved == ring and at <= ns] or [self.homes[ring]])[-1]

    def course(self):
        """Entries served by each core, for each millisecond."""
        found = {}
        for ring, line in self.rings.items():
            for ms, count in enumerate(line["served"].split(",")):
                two = found.setdefault(ms, [0, 0])
                two[self.place(ring, ms * 1e6)] += int(count)
        return [found[ms] for ms in sorted(found)]

    def share(self):
        """Of the core that serves fewer, %, from SHARE_MS until the first of them has nothing left."""
        ends = min(len(line["served"].split(",")) for line in self.rings.values()) - 1
        cores = [sum(counts) for counts in zip(*self.course()[SHARE_MS:ends])]
        return 100 * min(cores) / sum(cores)

    def first_move(self):
        return self.moves[0][0] if self.moves else None


def hot_rounds(bench):
    """Runs that balance; beside each one that stands still, and one that began with a ring on each core."""
    rounds = [[Hot(bench, policy, home, HOT_OPS, FIRST) for policy, home in (("default", 0), ("static", 0), ("static", 1))]
              for _ in range(HOT_ROUNDS)]
    if any(still.moves or still.watch["moves"] or still.watch["share"] for _, still, _ in rounds):
        raise BenchError("balance static: something was moved")
    if not all(moved.moves for moved, _, _ in rounds):
        raise BenchError("balance default: nothing was moved")
    return rounds


def measure_steady(bench):
    """Its programs are woken in between, so nobody keeps the host's processors from them."""
    steady = Hot(bench, "default", 1, "10000ms", AHEAD).watch
    bench.figure("balance_moves_steady", "-", [steady["late_moves"]], "moves", f"{steady['ops']:,} entries")


def measure_hot_guest(bench):
    rounds = hot_rounds(bench)
    counts = [len(moved.moves) for moved, _, _ in rounds]
    bench.figure("balance_first_move_us", "-", [moved.first_move() / 1000 for moved, _, _ in rounds], "us",
                 f"QEMU; {min(counts)} to {max(counts)} moves")
    bench.figure("balance_share_qemu", "-", [moved.share() for moved, _, _ in rounds], "%", f"from {SHARE_MS} ms on")
    bench.figure("balance_age_qemu", "-", [moved.age / still.age for moved, still, _ in rounds], "of standing still",
                 f"{os.cpu_count()} processors for 2 busy harts")
    bench.figure("balance_age_qemu", "spread", [spread.age / still.age for _, still, spread in rounds], "of standing still",
                 "a ring on each core from the beginning: what this host has to give")


def measure_scaling(bench):
    def rate(cores, seed):
        run = subprocess.run([TIMED, "echo", str(cores), str(cores // 2), "32", os.path.join("bench", "cost.conf"), "1", "300",
                              str(seed)], capture_output=True, text=True, timeout=300, check=False)
        if run.returncode:
            raise BenchError(f"{cores} simulated cores: {(run.stdout + run.stderr).strip()}")
        said = next(line for line in run.stdout.splitlines() if line.startswith("cores:"))
        return int(dict(word.split("=", 1) for word in said.split()[1:])["done"])
    two = {seed: rate(2, seed) for seed in (1, 2, 3)}
    for cores in (16, 64):
        bench.figure("scaling_efficiency_sim", cores, [rate(cores, seed) / (cores / 2 * two[seed]) for seed in two],
                     "of as many pairs", "echoes, three seeds")


def measure(bench):
    measure_scaling(bench)
    measure_hot(bench)
    measure_phases(bench)
    measure_pass(bench)
    measure_steady(bench)
    measure_hot_guest(bench)
