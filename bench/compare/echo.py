"""echo.py: row 5, a 64-byte message that comes in over TCP and goes out again, by connections.

echod on Sluice; on Linux the same echod over io_uring (libasync), a plain epoll server, and io_uring servers
written for it. The instructions are those of the whole guest, Sluice's polling for nothing taken out, under
-icount and by bench/wire.py: in a round each connection's message comes, and the next round when all were
answered and the guest sleeps. Sluice has two harts, in turns; Linux' servers are on the hart that takes the
network's interrupts, and have no other: wake-ups from hart to hart make them dearer by half and more. SQPOLL
needs a second hart, so it is counted beside a client of this host (its polling for nothing cannot be told
apart, and is in). Seconds: that client for all, through the emulator's network, two harts, no plugin.
"""
import contextlib
import os

from compare.steps import Step
from measure import AHEAD, BenchError, Client, in_turns
from wire import Wire

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
WIRE = "{}, -icount, plugin, gated network"
BYTES = 64


def declare(section):
    section.figure("echo_insn", "Instructions of the guest for one message", "connections",
                   "instructions/message", text="User, kernel and firmware of all harts. Messages come by rounds: one on each "
                                                "connection, and the next when all are answered and the guest sleeps.",
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


def echo_round(connections):
    """One message on each, all at once; every answer is compared."""
    sent = [os.urandom(BYTES) for _ in connections]
    for connection, message in zip(connections, sent):
        connection.send(message)
    for connection, message in zip(connections, sent):
        if connection.take(BYTES) != message:
            raise BenchError("a message came back changed")


def count_server(run, section, guest, wire, port, system, how, flags):
    made = []
    for count in connections(run, True):
        values, amount = {}, max(2, 100 // count)
        made += wire.connect(port, count - len(made))
        echo_round(made)
        for _ in range(run.clock_rounds):
            before = guest.plugin.totals()
            for _ in range(amount):
                echo_round(made)
            counted = guest.plugin.totals() - before
            values.setdefault("echo_insn", []).append((counted.all() - counted.polled()) / amount / count)
            values.setdefault("echo_leaves", []).append(counted.sum("leaves") / amount / count)
        for key, found in values.items():
            section.row(key, system, count, found, how, flags)


def sluice_insn(run, section):
    with Wire() as wire, run.bench.guest(smp=2, plugin=True, icount=in_turns(), wire=wire, prefix=AHEAD, stay=True,
                                         run="@1 /bin/echod 7", ports={7: 0}) as guest:
        guest.wait_for("^echod: ready", 60)
        wire.plug()
        count_server(run, section, guest, wire, 7, SLUICE, WIRE.format("2 harts in turns"), "configs/smp2.conf")


def sluice(run, section):
    with run.bench.servers(smp=2, prefix=AHEAD) as guest:
        measure_server(run, section, guest, 7, SLUICE, "configs/smp2.conf")
        guest.stop()


@contextlib.contextmanager
def linux_guest(run, ports, **options):
    script = "\n".join(f"{SERVERS[port][1]} &" for port in ports) + "\nsleep 100000"
    with run.bench.peer(script, prefix=AHEAD, files=FILES, ports={port: 0 for port in ports}, **options) as guest:
        guest.wait_for(r"(?s)(ready.*){%d}" % len(ports), 60)
        yield guest


def linux(run, section, plugin, ports):
    with linux_guest(run, ports, smp=2, plugin=plugin) as guest:
        for port in ports:
            system, _, flags = SERVERS[port]
            measure_server(run, section, guest, port, system, flags)


def linux_insn(run, section):
    with Wire() as wire, linux_guest(run, (7, 8, 9), smp=1, plugin=True, icount=in_turns(10), wire=wire) as guest:
        wire.plug()
        for port in (7, 8, 9):
            system, _, flags = SERVERS[port]
            count_server(run, section, guest, wire, port, system, WIRE.format("1 hart"), flags)
    if run.quick:
        section.remark("Linux' SQPOLL server is part of the full run only.")


def sqpoll(plugin):
    """Alone: while its kernel thread polls it has a hart. Not in the quick run: where the polling hart keeps the
    emulator's own threads from a cpu, it takes minutes."""
    return lambda run, section: linux(run, section, plugin, (10,))


def crossings(_run, section):
    figure = section.figures["echo_insn"]
    for other in figure.systems():
        if other != SLUICE:
            at = section.crossover("echo_insn", SLUICE, other)
            section.remark(f"Crossover point: “{SLUICE}” takes fewer instructions than “{other}” " +
                           (f"from {at} message{'s' * (at > 1)} under way on." if at else "at no depth."))


def steps(run):
    counted, timed = (len(connections(run, counting)) for counting in (True, False))
    t = timed * run.clock_rounds
    return [Step("Sluice, instructions", 2 + 0.1 * counted * run.clock_rounds, sluice_insn),
            Step("Linux, instructions", 12 + 0.4 * counted * run.clock_rounds, linux_insn, peer=True),
            Step("Linux, SQPOLL, instructions", 20 + 0.8 * counted * run.clock_rounds, sqpoll(True), peer=True, full=True),
            Step("Sluice, seconds", 4 + 0.2 * t, sluice, full=True, clock=True),
            Step("Linux, seconds", 16 + 2.4 * t, lambda run, section: linux(run, section, False, (7, 8, 9)), peer=True,
                 full=True, clock=True),
            Step("Linux, SQPOLL, seconds", 20 + 0.8 * t, sqpoll(False), peer=True, full=True, clock=True),
            Step("crossover points", 0, crossings, peer=True)]
