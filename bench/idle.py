"""idle.py: what does an idle machine burn? User and system time of QEMU (proc(5), stat) over half a
minute in which nobody asks the two ready servers for anything."""
import os
import time

SETTLE_SECONDS = 2
SECONDS = 30


def burnt(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(bench):
    with bench.servers() as guest:
        time.sleep(SETTLE_SECONDS)  # QEMU's own threads from the start-up end
        before, begin = burnt(guest.process.pid), time.monotonic()
        time.sleep(SECONDS)
        share = (burnt(guest.process.pid) - before) / (time.monotonic() - begin)
        guest.stop()
    bench.figure("idle_cpu_percent", "-", [share * 100], "% of one host core", f"{SECONDS} s")
