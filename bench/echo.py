"""echo.py: what does the kernel execute for a 64-byte message that comes in over TCP and goes out
again, and how often is echod's hart trapped meanwhile?

The guest of `make run`, counted by the plugin: kernel and firmware of all harts, polling for nothing
taken out and given in a row of its own. A window is opened when all connections have echoed once, and
closed when the last answer is back.
"""
from measure import Client

# (connections, messages of each repetition)
RUNS = ((1, [20000] * 3), (16, [100000] + [20000] * 2), (200, [20000] * 3))
TRAP_MESSAGES_MIN = 100000
TICKS_PER_SECOND_MAX = 10  # a slow tick is allowed on the program's hart, and nothing else


def window(guest, connections, messages):
    """Totals, and the client that made them."""
    with Client("echo_client", guest.ports[7], connections, messages) as client:
        client.wait_for("steady")
        before = guest.plugin.totals()
        client.go()
        client.wait_for("done")
        counted = guest.plugin.totals() - before
        client.end()
    return counted, client


def measure(bench):
    with bench.servers(plugin=True) as guest:
        boot = guest.boot
        for connections, repetitions in RUNS:
            work, idle, user, rate = [], [], [], []
            for messages in repetitions:
                counted, client = window(guest, connections, messages)
                hart = counted.user_hart()
                work.append(counted.kernel() / messages)
                idle.append(counted.kernel_polled() / messages)
                user.append((counted.sum("user") - counted.sum("idle_user")) / messages)
                rate.append(client.value("per_second"))
                if messages >= TRAP_MESSAGES_MIN:
                    traps = hart["traps_s"] + hart["traps_m"]
                    seconds = client.value("seconds")
                    bench.figure("echo_user_traps_per_1000", connections, [traps * 1000 / messages],
                                 "traps/1000 messages",
                                 f"{traps} traps, {hart['traps_m']} of them into M, {messages:,} "
                                 f"messages, {seconds:.0f} s; met: at most "
                                 f"{TICKS_PER_SECOND_MAX} per second",
                                 met=traps <= TICKS_PER_SECOND_MAX * seconds)
            bench.figure("echo_kernel_insn", connections, work, "instructions/message",
                         f"emulated: {rate[0]:.0f} messages/s")
            bench.figure("echo_kernel_idle_insn", connections, idle, "instructions/message",
                         "polling for nothing")
            bench.figure("echo_user_insn", connections, user, "instructions/message")
        guest.stop()
    return boot
