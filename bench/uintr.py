"""uintr.py: what do user interrupts cost, and what do they save?

uintr_completion_insn: a completion that interrupts a computing program, both sides: the difference
between rounds whose notify word is armed and rounds where it is left alone.
uintr_wakeup_insn: what a program executes beyond its computation for each operation of another
coroutine that preempts it: to the coroutine, the operation itself, and back. "unasked": the same where
the computation says nothing to the library, the ticks' own instructions taken out; "upcalls": that on a
machine without H and AIA, both sides.
uintr_pingpong_insn: apps/notice_pingpong, a round trip between two programs on two harts, all levels.
uintr_echo_traps_per_request: traps of the server's hart per message, one connection, the server
asleep in between.
vs_switch_extra_insn: two programs taking turns on one hart, uintr ones with mailboxes against plain.
"""
from echo import traps_of, window
from measure import AHEAD, BenchError

ROUNDS = 3
UINTR = "SLUICE_UINTR=1"
NO_AIA = ("-machine", "aia=none", "-cpu", "rv64,h=false")


def worked(counted):
    return (counted.sum("user") - counted.sum("idle_user"),
            counted.sum("kernel", "firmware") - counted.sum("idle_kernel", "idle_firmware"))


def measure_completion(bench):
    values, note = [], ""
    for _ in range(ROUNDS):
        lines, windows = bench.results(smp=2, plugin=True, spin_us=1000000, spin="fixed", prefix=AHEAD,
                                       run=f"{UINTR} /bin/b_notice 500 20000")
        polled, told = worked(windows[1]), worked(windows[2])
        rounds, notices = int(lines[2]["rounds"]), int(lines[2]["notices"])
        # where the host lets a hart wait, two completions share a notice
        if notices < 0.9 * rounds or int(lines[1]["notices"]):
            raise BenchError(f"{notices} notices came in {rounds} rounds")
        sides = [(b - a) / notices for a, b in zip(polled, told)]
        values.append(sum(sides))
        note = f"user {sides[0]:.0f} kernel {sides[1]:.0f}; {notices} notices, {rounds} completions"
    bench.figure("uintr_completion_insn", "-", values, "instructions", note)


def measure_wakeup(bench):
    values, note = [], ""
    for _ in range(ROUNDS):
        lines, windows = bench.results(smp=2, plugin=True, spin_us=1000000, spin="fixed", prefix=AHEAD,
                                       run=f"{UINTR} /bin/b_wakeup 300 400000000")
        alone, both = worked(windows[0])[0], worked(windows[1])[0]
        preempts = int(lines[1]["preempts"])
        if preempts < 10:  # a busy host lets few come while the computation lasts
            raise BenchError(f"only {preempts} of 300 completions came inside the computation")
        values.append((both - alone) / preempts)
        note = f"{preempts} interrupts; there, the next operation, and back"
    bench.figure("uintr_wakeup_insn", "-", values, "instructions", note)


def measure_preempt(bench):
    """Each loop is two instructions, so that what a tick costs is known from the window without operations."""
    loops = 400000000
    for param, words, extra, levels in (("unasked", UINTR, (), ("user",)),
                                        ("upcalls", UINTR, NO_AIA, ("user", "kernel", "firmware"))):
        values, note = [], ""
        for _ in range(ROUNDS):
            lines, windows = bench.results(smp=2, plugin=True, spin_us=1000000, prefix=AHEAD, extra=extra,
                                           run=f"{words} /bin/b_preempt 300 {loops}")
            alone, both = (sum(window.sum(level) - window.sum("idle_" + level) for level in levels) - 2 * loops
                           for window in windows[:2])
            tick = alone / max(1, int(lines[0]["ticks"]))
            preempts = int(lines[1]["preempts"])
            if preempts < 10:
                raise BenchError(f"only {preempts} of 300 completions came inside the computation")
            values.append((both - tick * int(lines[1]["ticks"])) / preempts)
            note = f"{preempts} interrupts; a tick is {tick:.0f}"
        bench.figure("uintr_wakeup_insn", param, values, "instructions", note)


def measure_pingpong(bench):
    values, note = [], ""
    for _ in range(ROUNDS):
        lines, windows = bench.results(smp=3, plugin=True, prefix=AHEAD,
                                       run=f"@1 {UINTR} /bin/notice_pingpong 5000 2")
        user, kernel = worked(windows[0])
        rounds = int(lines[0]["rounds"])
        values.append((user + kernel) / rounds)
        note = f"user {user / rounds:.1f} kernel {kernel / rounds:.1f}"
    bench.figure("uintr_pingpong_insn", "-", values, "instructions/round trip", note)


def measure_echo(bench):
    messages = 1000
    run = f"@1 {UINTR} /bin/echod 7;@2 /bin/nbdd 10809 /dev/vda ram:16M"
    with bench.servers(plugin=True, servers=run) as guest:
        counted, _ = window(guest, 1, messages)
        hart = counted.user_hart()
        bench.figure("uintr_echo_traps_per_request", 1, [traps_of(hart) / messages],
                     "traps/message", f"{traps_of(hart)} traps, {messages:,} messages")
        guest.stop()


def measure_switch(bench):
    cost = {}
    for kind, words in (("plain", ""), ("uintr", UINTR + " ")):
        lines, windows = bench.results(smp=1, icount=True, plugin=True,
                                       run=f"{words}/bin/b_turns 5000")
        cost[kind] = windows[0].all() / int(lines[0]["rounds"]) / 2
    bench.figure("vs_switch_extra_insn", "-", [cost["uintr"] - cost["plain"]], "instructions",
                 f"a turn costs {cost['plain']:.0f} plain, {cost['uintr']:.0f} with mailboxes")


def measure(bench):
    measure_completion(bench)
    measure_wakeup(bench)
    measure_preempt(bench)
    measure_pingpong(bench)
    measure_echo(bench)
    measure_switch(bench)
