"""idle.py: what does an idle machine burn? The time QEMU's threads were on a host core over half a
minute in which nobody asks the two ready servers for anything. (The kernel's own count, to the
nanosecond: Documentation/scheduler/sched-stats.rst; a thread that ends takes its count away, so the
process's ticks of proc(5) are a lower bound.)"""
import glob
import os
import time

SETTLE_SECONDS = 2
SECONDS = 30


def on_core(path):
    """Seconds; nothing from a thread that ended since we heard of it."""
    try:
        with open(path, encoding="utf-8") as stat:
            return int(stat.read().split()[0]) / 1e9
    except OSError:
        return 0


def burnt(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    ticks = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return ticks, sum(on_core(path) for path in glob.glob(f"/proc/{pid}/task/*/schedstat"))


def measure(bench):
    with bench.servers() as guest:
        time.sleep(SETTLE_SECONDS)  # QEMU's own threads from the start-up end
        before, begin = burnt(guest.process.pid), time.monotonic()
        time.sleep(SECONDS)
        after, elapsed = burnt(guest.process.pid), time.monotonic() - begin
        share = max(b - a for a, b in zip(before, after)) / elapsed
        guest.stop()
    bench.figure("idle_cpu_percent", "-", [share * 100], "% of one host core", f"{SECONDS} s")
