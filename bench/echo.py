"""echo.py: what does the kernel execute for a 64-byte message that comes in over TCP and goes out
again, and how often is echod's hart trapped meanwhile?

The guest of `make run`, counted by the plugin: kernel and firmware of all harts, polling for nothing
taken out and given in a row of its own. A window is opened when all connections have echoed once, and
closed when the last answer is back.

Traps of the program's hart are counted while it is busy. In this emulation messages come at the pace
of the host, not of a network card, and with the default map's short spin the kernel hart often sleeps
between two of them, so that the program has to ring. So the figure is taken with a spin budget that
keeps both harts awake between messages, and the default map's total, parks and doorbells included, is
a row of its own.

What a message costs that comes alone, every few milliseconds, is counted with everything: nobody but the
idle budgets decides how much of it is looking in vain.
"""
import resource
import statistics

from measure import AHEAD, Client

# (connections, messages of each repetition)
RUNS = ((1, [20000] * 3), (16, [20000] * 3), (200, [20000] * 3), (1000, [20000] * 3))
FILES = 4096
TRAP_CONNECTIONS = 16
TRAP_MESSAGES = 100000
TRAP_SPIN_US = 1000000
SLOW_MESSAGES = 400
SLOW_PAUSE_US = 5000
TICKS_PER_SECOND_MAX = 10  # a slow tick is allowed on the program's hart, and nothing else


def window(guest, connections, messages, *more):
    """Totals, and the client that made them."""
    with Client("echo_client", guest.ports[7], connections, messages, *more) as client:
        return client.window(guest), client


def many_files():
    """QEMU holds two sockets for each connection, and inherits this limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, hard), hard))


def traps_of(hart):
    return hart["traps_s"] + hart["traps_m"]


def measure_traps(bench):
    """A trap after which the kernel finds nothing to do for the hart is a park: it was not busy."""
    messages = TRAP_MESSAGES
    with bench.servers(plugin=True, spin_us=TRAP_SPIN_US, spin="fixed", prefix=AHEAD) as guest:
        counted, client = window(guest, TRAP_CONNECTIONS, messages)
        hart, seconds = counted.user_hart(), client.value("seconds")
        busy = traps_of(hart) - hart["parks"]
        bench.figure("echo_user_traps_per_1000", TRAP_CONNECTIONS, [busy * 1000 / messages],
                     "traps/1000 messages",
                     f"spin_us={TRAP_SPIN_US}: {busy} traps, {hart['traps_m']} of them into M, "
                     f"{messages:,} messages, {seconds:.0f} s; met: at most {TICKS_PER_SECOND_MAX} per "
                     f"second; besides {hart['parks']} parks", met=busy <= TICKS_PER_SECOND_MAX * seconds)
        guest.stop()


def measure_slow(bench):
    """Everything that all harts execute for a message when one comes every few milliseconds, looking for
    work in vain included: with budgets that adapt, and with the map's spin_us for ever."""
    for spin in ("adapt", "fixed"):
        with bench.servers(plugin=True, spin=spin) as guest:
            every, looked, parks = [], [], []
            for _ in range(3):
                counted, _client = window(guest, 1, SLOW_MESSAGES, SLOW_PAUSE_US)
                every.append(counted.all() / SLOW_MESSAGES)
                looked.append(counted.polled() / SLOW_MESSAGES)
                parks.append(traps_of(counted.user_hart()) * 1000 / SLOW_MESSAGES)
            bench.figure("echo_slow_insn", spin, every, "instructions/message", f"one every {SLOW_PAUSE_US} us")
            bench.figure("echo_slow_idle_insn", spin, looked, "instructions/message", "polling for nothing")
            bench.figure("echo_slow_traps_per_1000", spin, parks, "traps/1000 messages", "the program's hart")
            guest.stop()


def measure(bench):
    many_files()
    medians = {}
    with bench.servers(plugin=True) as guest:
        for connections, repetitions in RUNS:
            work, idle, user, rate, traps = [], [], [], [], []
            for messages in repetitions:
                counted, client = window(guest, connections, messages)
                hart = counted.user_hart()
                work.append(counted.kernel() / messages)
                idle.append(counted.kernel_polled() / messages)
                user.append((counted.sum("user") - counted.sum("idle_user")) / messages)
                rate.append(client.value("per_second"))
                traps.append(traps_of(hart) * 1000 / messages)
            bench.figure("echo_kernel_insn", connections, work, "instructions/message",
                         f"emulated: {rate[0]:.0f} messages/s")
            bench.figure("echo_kernel_idle_insn", connections, idle, "instructions/message",
                         "polling for nothing")
            bench.figure("echo_user_insn", connections, user, "instructions/message")
            bench.figure("echo_user_all_traps_per_1000", connections, traps, "traps/1000 messages",
                         "default map, parks and doorbells included")
            medians[connections] = statistics.median(work)
        bench.figure("echo_kernel_ratio_1000_to_16", "-", [medians[1000] / medians[16]], "",
                     "instructions per message at 1,000 connections against 16")
        guest.stop()
    measure_traps(bench)
    measure_slow(bench)
