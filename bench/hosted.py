"""hosted.py: how many NOPs per second does the same kernel do as a Linux process, beside that Linux'
own io_uring and beside a bare pair of rings that only copies?

All take N entries per store of the tail (per enter) and have at most 256 under way. One round runs
each of them once, so that a neighbour's noise meets all; medians are compared. These are seconds, not
instructions: a busy host makes the pairs of threads (ours, the copy ring, sqpoll) slow first.

All are treated alike: of two threads each has a cpu of its own, and nobody goes to sleep between two
batches: io_uring's polling thread waits two seconds for more, the copy ring for ever, our kernel core
one second.
"""
import contextlib
import os
import statistics
import time

from measure import AHEAD, BenchError, run_host

BATCHES = (32, 128)
FLAGS = ("enter", "regfd", "defer", "defer+regfd", "sqpoll")
ROUNDS = 11
SPIN_US = 1000000
START_SECONDS = 5
MS = 100


def cores_of(pid):
    """The threads that are cores: they are called as the process is."""
    found = []
    for thread in sorted(map(int, os.listdir(f"/proc/{pid}/task"))):
        with contextlib.suppress(OSError):  # it ended meanwhile
            with open(f"/proc/{pid}/task/{thread}/comm", encoding="utf-8") as name:
                if name.read().strip() == "sluice":
                    found.append(thread)
    return found


def spread(pid):
    """Puts the two cores on cpus of their own as soon as both are there (nothing says so), which is
    long before the program's warm-up is over."""
    limit = time.monotonic() + START_SECONDS
    while len(cores_of(pid)) < 2:
        if time.monotonic() > limit:
            raise BenchError("the hosted machine does not start its second core")
        time.sleep(0.001)
    for cpu, thread in enumerate(cores_of(pid)):
        os.sched_setaffinity(thread, {cpu})


def sluice(bench, batch):
    with bench.guest(smp=2, machine="hosted", prefix=AHEAD, spin_us=SPIN_US, spin="fixed",
                     run=f"/bin/b_nop pipe {MS} {batch}") as guest:
        guest.wait_for("^initrd:", 10)
        spread(guest.process.pid)
        (line,) = bench.finish(guest, 60)
    return int(line["ops"]) * 1e6 / int(line["us"])


def weigh(nice):
    """Our own weight: who spreads the threads must not wait behind them."""
    with contextlib.suppress(OSError):
        with open("/proc/self/autogroup", "w", encoding="utf-8") as group:
            group.write(str(nice))


def measure(bench):
    weigh(-20)
    try:
        for batch in BATCHES:
            measure_batch(bench, batch)
    finally:
        weigh(0)


def measure_batch(bench, batch):
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
