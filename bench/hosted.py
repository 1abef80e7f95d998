"""hosted.py: how many NOPs per second does the same kernel do as a Linux process, beside that Linux'
own io_uring and beside a bare pair of rings that only copies?

All take N entries per store of the tail (per enter) and have at most 256 under way. One round runs
each of them once, so that a neighbour's noise meets all; medians are compared. These are seconds, not
instructions: a busy host makes the pairs of threads (ours, the copy ring, sqpoll) slow first.
"""
import statistics

from measure import AHEAD, run_host

BATCHES = (32, 128)
FLAGS = ("enter", "regfd", "defer", "defer+regfd", "sqpoll")
ROUNDS = 11
MS = 100


def sluice(bench, batch):
    (line,), _ = bench.results(smp=2, machine="hosted", prefix=AHEAD, run=f"/bin/b_nop pipe {MS} {batch}")
    return int(line["ops"]) * 1e6 / int(line["us"])


def measure(bench):
    for batch in BATCHES:
        rates = {name: [] for name in ("sluice", "copy") + FLAGS}
        for _ in range(ROUNDS):
            rates["sluice"].append(sluice(bench, batch))
            rates["copy"].append(float(run_host("copy_ring", batch, MS, prefix=AHEAD)))
            for flags in FLAGS:
                rates[flags].append(float(run_host("uring_nop", flags, batch, MS, prefix=AHEAD)))
        median = {name: statistics.median(values) for name, values in rates.items()}
        best = max(FLAGS, key=lambda name: median[name])
        pairs = {name: statistics.median(a / b for a, b in zip(rates["sluice"], rates[name]))
                 for name in (best, "copy")}
        note = f"{median['sluice'] / 1e6:.1f} M/s against {best} {median[best] / 1e6:.1f} M/s; round by round {pairs[best]:.2f}"
        bench.figure("hosted_nop_ratio", batch, [value / median[best] for value in rates["sluice"]],
                     "times io_uring", note)
        bench.figure("hosted_nop_vs_copy_ring", batch, [value / median["copy"] for value in rates["sluice"]],
                     "times copy ring", f"copy ring {median['copy'] / 1e6:.1f} M/s; round by round {pairs['copy']:.2f}")
        for name, values in rates.items():
            bench.figure("hosted_nop_per_second_" + name, batch, values, "NOPs/s")
