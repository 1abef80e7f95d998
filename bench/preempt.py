"""preempt.py: how long does an urgent operation wait behind a long one of the least priority?

preempt_wake_insn_p99: from the moment at which an urgent timeout is due, in the middle of a copy of 4
MiB of idle priority (1.4 ms), to the step of the urgent operation linked behind it. One hart with
both roles, -icount shift=0, so that a nanosecond is an instruction; the clock has steps of 100.
"""
ROUNDS = 2
TRIALS = 400


def measure(bench):
    values, note = [], ""
    for _ in range(ROUNDS):
        (line,), _ = bench.results(smp=1, icount=True, run=f"/bin/b_urgent {TRIALS}")
        values.append(int(line["p99_ns"]))
        note = f"p50 {line['p50_ns']} max {line['max_ns']}; {line['trials']} moments"
    bench.figure("preempt_wake_insn_p99", "-", values, "instructions", note)
