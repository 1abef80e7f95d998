"""nop.py: what does an operation cost that does nothing, by how many are submitted at once?

nop_insn: one hart with both roles, -icount, so that the guest counts every instruction of the
machine itself; DEPTH entries per enter. The second repetition has the plugin count as well, and the
two counts must agree.

nop_polled_insn: a program's hart and a kernel hart, DEPTH entries shown at once, answers spun for;
counted by the plugin, polling for nothing taken out and given in a row of its own.
"""
from measure import BenchError

DEPTHS = (1, 8, 32, 128)
OPS = 200000
POLLED_OPS = 100000
POLLED_ROUNDS = 3
DISAGREE = 0.005


def words(how, ops):
    return f"/bin/b_nop {how} {ops} " + " ".join(map(str, DEPTHS))


def measure_enter(bench):
    found = {depth: [] for depth in DEPTHS}
    parts = {}
    for plugin in (False, True):
        results, windows = bench.results(smp=1, icount=True, plugin=plugin, run=words("enter", OPS))
        for i, line in enumerate(results):
            depth, ops = int(line["depth"]), int(line["ops"])
            found[depth].append(int(line["instructions"]) / ops)
            if plugin:
                counted = windows[i].all() / ops
                parts[depth] = [windows[i].sum(kind) / ops for kind in ("user", "kernel", "firmware")]
                if abs(counted / found[depth][-1] - 1) > DISAGREE:
                    raise BenchError(f"nop depth {depth}: the guest counts {found[depth][-1]:.1f}, "
                                     f"the plugin {counted:.1f} instructions")
    for depth in DEPTHS:
        note = "user %.0f kernel %.0f firmware %.0f" % tuple(parts[depth])
        bench.figure("nop_insn", depth, found[depth], "instructions/op", note)


def measure_polled(bench):
    work = {depth: [] for depth in DEPTHS}
    idle = {depth: [] for depth in DEPTHS}
    notes = {}
    for _ in range(POLLED_ROUNDS):
        results, windows = bench.results(smp=2, plugin=True, spin="fixed", run=words("polled", POLLED_OPS))
        for line, window in zip(results, windows):
            depth, ops = int(line["depth"]), int(line["ops"])
            work[depth].append((window.all() - window.polled()) / ops)
            idle[depth].append(window.polled() / ops)
            notes[depth] = "user %.0f kernel %.0f" % ((window.sum("user") - window.sum("idle_user")) / ops,
                                                      window.kernel() / ops)
    for depth in DEPTHS:
        bench.figure("nop_polled_insn", depth, work[depth], "instructions/op", notes[depth])
        bench.figure("nop_polled_idle_insn", depth, idle[depth], "instructions/op", "polling for nothing")


def measure(bench):
    measure_enter(bench)
    measure_polled(bench)
