"""hosted.py: row 9, the same kernel as a process of this host, beside this host's own ways, on its silicon.

Taken as bench/hosted.py does it: one round runs each contestant once, so that a neighbour's noise meets
all; of two threads each has a cpu; nobody goes to sleep between two batches. A bare pair of rings that only
copies is what two cpus can do at most.

Messages through memory and back: Sluice's are coroutines of one process, its kernel on the other cpu; this host's
ways may have one cpu or both, whatever serves them best, and pipes or sockets.
"""
import hosted
from compare.steps import Step
from measure import AHEAD, run_host

NAMES = {"enter": "this host's io_uring, enter", "regfd": "io_uring, enter, registered ring",
         "defer": "io_uring, DEFER_TASKRUN", "defer+regfd": "io_uring, DEFER_TASKRUN, registered ring",
         "sqpoll": "io_uring, SQPOLL"}
SLUICE, LIMIT = "Sluice, hosted", "bare copy ring (the limit)"
HERE = "this host, 2 cpus"
HOPS = 100000
MEM_MS = 150
MEM_WAYS = {"epoll": "epoll", "pthread": "threads", "uring": "io_uring"}


def declare(section):
    section.figure("hosted_nop_rate", "Operations that do nothing in a second", "entries per batch", "operations/s",
                   better="more", text="At most 256 under way.")
    section.figure("hosted_pipe_ns", "Four bytes through an in-memory pipe to another and on", "what", "ns/hop",
                   plot="bars", text="Two members, one cpu: each reads, and writes to the other.")
    section.figure("hosted_echo_rate", "Messages of 64 bytes through memory and back in a second", "connections",
                   "messages/s", better="more", text="Sluice and what says 2 cpus have both of this host.")


def batches(run):
    return (32, 128) if run.quick else (1, 2, 4, 8, 16, 32, 64, 128, 256)


def nops(run, section):
    for batch in batches(run):
        rates = {}
        for _ in range(run.clock_rounds):
            rates.setdefault((SLUICE, f"spin_us={hosted.SPIN_US}", True), []).append(hosted.sluice(run.bench, batch))
            rates.setdefault((LIMIT, "", False), []).append(
                float(run_host("copy_ring", batch, hosted.MS, prefix=AHEAD)))
            for flags, name in NAMES.items():
                rates.setdefault((name, flags, True), []).append(
                    float(run_host("uring_nop", flags, batch, hosted.MS, prefix=AHEAD)))
        for (system, flags, judged), values in rates.items():
            section.row("hosted_nop_rate", system, batch, values, HERE, flags, judged=judged)


def pipes(run, section):
    found = {}
    for _ in range(run.clock_rounds):
        (line,), _ = run.bench.results(machine="hosted", smp=1, prefix=AHEAD, run=f"/bin/b_switch pipe 2 0 {HOPS}")
        found.setdefault("Sluice, hosted: coroutines, kernel pipes", []).append(int(line["ns"]) / int(line["hops"]))
        for how, name in (("process", "this host: processes, pipes"), ("thread", "this host: threads, pipes")):
            said = run_host("linux_switch", how, 2, 0, HOPS, prefix=AHEAD).split()[1:]
            line = dict(word.split("=", 1) for word in said)
            found.setdefault(name, []).append(int(line["ns"]) / int(line["hops"]))
    for name, values in found.items():
        section.row("hosted_pipe_ns", name, "2 members", values, "this host, 1 cpu")


def sluice_echo(bench, connections):
    with bench.guest(smp=2, machine="hosted", prefix=AHEAD, spin_us=hosted.SPIN_US, spin="fixed",
                     run=f"/bin/b_mem_echo {connections} {MEM_MS}") as guest:
        guest.wait_for("^initrd:", 10)
        hosted.spread(guest.process.pid)
        (line,) = bench.finish(guest, 60)
    return int(line["messages"]) * 1e9 / int(line["ns"])


def echoes(run, section):
    for connections in (1, 16) if run.quick else (1, 4, 16, 64):
        rates = {}
        for _ in range(run.clock_rounds):
            rates.setdefault(("Sluice, hosted: pipes", f"spin_us={hosted.SPIN_US}"), []).append(
                sluice_echo(run.bench, connections))
            for how, name in MEM_WAYS.items():
                for through in ("pipe",) if run.quick else ("pipe", "socket"):
                    for cpus in (1, 2):
                        rates.setdefault((f"this host: {name}, {through}s, {cpus} cpu{'s' * (cpus > 1)}",
                                          "DEFER_TASKRUN, registered ring" if how == "uring" else ""), []).append(
                            float(run_host("mem_echo", how, through, cpus, connections, MEM_MS, prefix=AHEAD)))
        for (system, flags), values in rates.items():
            section.row("hosted_echo_rate", system, connections, values, HERE, flags)


def weighed(step):
    """As bench/hosted.py: who spreads the threads must not wait behind them."""
    def run_step(run, section):
        hosted.weigh(-20)
        try:
            step(run, section)
        finally:
            hosted.weigh(0)
    return run_step


def steps(run):
    return [Step("operations that do nothing", len(batches(run)) * run.clock_rounds * 1.5, weighed(nops), clock=True),
            Step("pipes", run.clock_rounds * 2.0, pipes, clock=True),
            Step("messages through memory", run.clock_rounds * (4 if run.quick else 12), weighed(echoes), clock=True)]
