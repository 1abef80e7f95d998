"""echo.py: row 5, a 64-byte message that comes in over TCP and goes out again, by connections.

The same client of this host, through the emulator's network, for all: echod on Sluice; on Linux the same
echod over io_uring (libasync), a plain epoll server, and io_uring servers written for it. Two harts. The
instructions are those of the whole guest between the first and the last message, Sluice's polling for
nothing taken out (an SQPOLL thread's cannot be told apart, and is in). Seconds are taken without the
counting plugin. Linux' servers are kept on the hart that takes the network's interrupts: without that,
wake-ups from hart to hart make them dearer by half and more.
"""
import contextlib

from compare.steps import Step
from measure import AHEAD, Client

SLUICE = "Sluice, echod"
# port: (name, command, flags)
SERVERS = {
    7: ("Linux, the same echod on io_uring", "LIBASYNC_RING=defer taskset 1 /bin/echod 7", "libasync, DEFER_TASKRUN"),
    8: ("Linux, epoll", "taskset 1 /bin/echo_server epoll 8", "level-triggered, non-blocking"),
    9: ("Linux, io_uring", "taskset 1 /bin/echo_server defer 9", "SINGLE_ISSUER | DEFER_TASKRUN, multishot accept"),
    10: ("Linux, io_uring, SQPOLL", "taskset 1 /bin/echo_server sqpoll 10", "SQPOLL | SQ_AFF, multishot accept"),
}
FILES = {"bin/echod": "build/linux-riscv64/apps/echod", "bin/echo_server": "build/peer/echo"}
INSN, CLOCK = "2 harts, plugin", "2 harts, this host's clock"


def declare(section):
    section.figure("echo_insn", "Instructions of the guest for one message", "connections",
                   "instructions/message", text="User, kernel and firmware of both harts.",
                   pace="how many messages the host's client and network bring at once")
    section.figure("echo_leaves", "Ways out of user code for one message: traps of any kind", "connections",
                   "traps/message")
    section.figure("echo_rate", "Messages in a second", "connections", "messages/s", better="more",
                   text="Emulated; the client and the emulator share two cpus.")
    section.figure("echo_p50", "Half of the answers took at most", "connections", "µs")
    section.figure("echo_p99", "99 of 100 answers took at most", "connections", "µs")


def connections(run, counting):
    """Each keeps one message under way, so that the counted ones are row 1's depth curve, too."""
    if run.quick:
        return (1, 64)
    return (1, 2, 4, 8, 16, 32, 64, 128, 256, 512) if counting else (1, 16, 64, 512)


def messages(run, count):
    return 400 if run.quick else max(1000, 2 * count)


def exchange(guest, port, count, amount):
    """(what was counted or None, the client) of one window."""
    with Client("echo_client", guest.ports[port], count, amount) as client:
        return client.window(guest), client


def measure_server(run, section, guest, port, system, flags):
    counting = guest.plugin is not None
    for count in connections(run, counting):
        values, amount = {}, messages(run, count)
        for _ in range(run.clock_rounds):
            counted, client = exchange(guest, port, count, amount)
            if counting:
                found = {"echo_insn": (counted.all() - counted.polled()) / amount,
                         "echo_leaves": counted.sum("leaves") / amount}
            else:
                found = {"echo_rate": client.value("per_second"), "echo_p50": client.value("us_p50"),
                         "echo_p99": client.value("us_p99")}
            for key, value in found.items():
                values.setdefault(key, []).append(value)
        for key, found in values.items():
            section.row(key, system, count, found, INSN if counting else CLOCK, flags)


def sluice(run, section, plugin):
    with run.bench.servers(smp=2, plugin=plugin, prefix=AHEAD) as guest:
        measure_server(run, section, guest, 7, SLUICE, "configs/smp2.conf")
        guest.stop()


@contextlib.contextmanager
def linux_guest(run, plugin, ports):
    script = "\n".join(f"{SERVERS[port][1]} &" for port in ports) + "\nsleep 100000"
    with run.bench.peer(script, smp=2, plugin=plugin, prefix=AHEAD, files=FILES,
                        ports={port: 0 for port in ports}) as guest:
        guest.wait_for(r"(?s)(ready.*){%d}" % len(ports), 60)
        yield guest


def linux(run, section, plugin, ports):
    with linux_guest(run, plugin, ports) as guest:
        for port in ports:
            system, _, flags = SERVERS[port]
            measure_server(run, section, guest, port, system, flags)


def linux_all(run, section, plugin):
    """SQPOLL's alone: while its kernel thread polls it has a hart. Not in the quick run: where the polling
    hart keeps the emulator's own threads from a cpu, it takes minutes."""
    linux(run, section, plugin, (7, 8, 9))
    if run.quick:
        section.remark("Linux' SQPOLL server is part of the full run only.")
    else:
        linux(run, section, plugin, (10,))


def crossings(_run, section):
    figure = section.figures["echo_insn"]
    for other in figure.systems():
        if other != SLUICE:
            at = section.crossover("echo_insn", SLUICE, other)
            section.remark(f"Crossover point: “{SLUICE}” takes fewer instructions than “{other}” " +
                           (f"from {at} message{'s' * (at > 1)} under way on." if at else "at no depth."))


def steps(run):
    counted, timed = (len(connections(run, counting)) * run.clock_rounds for counting in (True, False))
    lone = 0 if run.quick else 20  # SQPOLL's start, and how slow it is
    return [Step("Sluice, instructions", 4 + 0.2 * counted, lambda run, section: sluice(run, section, True)),
            Step("Linux, instructions", 16 + lone + 3.2 * counted, lambda run, section: linux_all(run, section, True),
                 peer=True),
            Step("Sluice, seconds", 4 + 0.2 * timed, lambda run, section: sluice(run, section, False), full=True, clock=True),
            Step("Linux, seconds", 16 + lone + 3.2 * timed, lambda run, section: linux_all(run, section, False), peer=True,
                 full=True, clock=True),
            Step("crossover points", 0, crossings, peer=True)]
