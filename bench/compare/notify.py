"""notify.py: row 3, one party tells another that waits until it is told, and is told back.

A message is half of a round trip. On the same hart one cannot go on before the other sleeps, and with -icount
nothing but the guest is in the instructions; across harts a sleeping hart is woken, and what the parties
find asleep depends on the host. Instructions are those of all harts between the marks, polling for nothing
taken out. Sluice: coroutines, processes and threads by the kernel's pipes and futexes, programs by user
interrupts. A hart that polls for itself keeps whom it waits for from running: busy polling is across harts only.
"""
from compare import told
from compare.steps import Step
from measure import AHEAD

PLACES = {0: "same hart", 1: "another hart"}
LINUX = {"eventfd": "Linux, eventfd", "futex": "Linux, futex", "pipe": "Linux, pipe", "signal": "Linux, signal",
         "word": "Linux, busy polling: a word of memory"}
ROUNDS = 600
UINTR = "SLUICE_UINTR=1 /bin/notice_pingpong"
# name: (program on the same hart, program across harts), each None where there is no such thing. Across
# harts the kernel has a hart of its own, and each party one.
SLUICE = {
    "Sluice, user interrupt": (f"{UINTR} {2 * ROUNDS} 0", f"@1 {UINTR} {30 * ROUNDS} 2"),
    "Sluice, free-polling: coroutines, a channel": ("/bin/b_switch channel 2 0 2000", None),
    "Sluice, free-polling: coroutines, a pipe": ("/bin/b_switch pipe 2 0 2000", None),
    "Sluice, busy polling: a word of memory": (None, "@1 /bin/b_notify word 1 20000"),
    "Sluice, busy polling: completions, a pipe": (None, "@1 /bin/b_notify ring 1 150"),
    "Sluice, kernel wake-up: threads, a pipe": ("/bin/b_notify park 0 1000", "@1 /bin/b_notify park 1 2000"),
    "Sluice, kernel wake-up: processes, a pipe": ("/bin/b_switch process 2 0 2000", "@1 /bin/b_switch across 2 0 2000"),
    "Sluice, kernel wake-up: threads, a futex": ("/bin/b_notify futex 0 1000", "@1 /bin/b_notify futex 1 2000"),
}
ALONE, INSN, CLOCK = "1 hart, -icount, plugin", "{} harts, plugin", "guest's clock, {} harts"


def declare(section):
    section.figure("notify_insn", "Instructions to tell another", "where", "instructions/message", plot="bars",
                   text="All harts. Another hart: how often a party is found asleep depends on how the host deals out "
                        "its cpus.", pace="whether a party is found awake, or asleep and to be woken")
    section.figure("notify_ns", "Time to tell another", "where", "ns/message", plot="bars",
                   text="Emulated seconds: on two cpus of the host, up to three harts and the emulator's own threads.")
    section.leave_out("eventfd on Sluice", "it is not served")
    section.leave_out("signal on Sluice", "programs of Linux have them by the trap door; no program here measures them yet")
    section.leave_out("busy polling on the same hart", "who polls keeps whom it waits for from running")
    section.leave_out("free-polling from another hart, in the first table", "its receiver computes meanwhile: the last "
                      "table has it")
    told.declare(section)


def worked(window):
    return window.all() - window.polled()


def messages(line):
    return int(line["hops"]) if "hops" in line else 2 * int(line["rounds"])


def sluice(run, section, at, unit, rounds, how, **options):
    """One figure's rows of one place (0: same hart, 1: another)."""
    for system, programs in SLUICE.items():
        found = []
        for _ in range(rounds if programs[at] else 0):
            (line,), windows = run.bench.results(prefix=AHEAD, run=programs[at], **options)
            if unit == "insn":
                found.append(worked(windows[0]) / messages(line))
            elif "hops" in line:  # notice_pingpong keeps no clock
                found.append(int(line["ns"]) / messages(line))
        if found:
            section.row(f"notify_{unit}", system, PLACES[at], found, how)


def sluice_here(run, section):
    sluice(run, section, 0, "insn", run.instruction_rounds, ALONE, smp=1, icount=True, plugin=True)
    sluice(run, section, 0, "ns", run.clock_rounds, CLOCK.format(1), smp=1)


def sluice_across(run, section):
    sluice(run, section, 1, "insn", run.clock_rounds, INSN.format(3), smp=3, plugin=True)
    sluice(run, section, 1, "ns", run.clock_rounds, CLOCK.format(3), smp=3)


def linux(run, section, unit, places, rounds, how, **options):
    """All of it in one start of the peer."""
    order = [(name, cpu) for _ in range(rounds) for cpu in places for name in LINUX if cpu or name != "word"]
    script = "\n".join(f"notify {name} {cpu} {ROUNDS} || return 1" for name, cpu in order)
    lines, windows = run.bench.peer_results(script, prefix=AHEAD, limit=300, **options)
    found = {}
    for i, ((name, cpu), line) in enumerate(zip(order, lines)):
        value = worked(windows[i]) if unit == "insn" else int(line["ns"])
        found.setdefault((name, cpu), []).append(value / int(line["messages"]))
    for (name, cpu), values in found.items():
        section.row(f"notify_{unit}", LINUX[name], PLACES[cpu], values, how)


def linux_here(run, section):
    linux(run, section, "insn", (0,), run.instruction_rounds, ALONE, smp=1, icount=True, plugin=True, settle=5)


def linux_across(run, section):
    linux(run, section, "insn", (1,), run.clock_rounds, INSN.format(2), smp=2, plugin=True)


def linux_time(run, section):
    linux(run, section, "ns", PLACES, run.clock_rounds, CLOCK.format(2), smp=2)


def steps(run):
    t = run.clock_rounds
    return [Step("Sluice, same hart", 1.5 * run.instruction_rounds + 1.5 * t, sluice_here), Step("Sluice, across harts", 6 * t, sluice_across),
            Step("Linux, same hart", 8, linux_here, peer=True),
            Step("Linux, across harts", 12 + 2 * t, linux_across, peer=True),
            Step("Linux, seconds", 12 + 1.5 * t, linux_time, peer=True, clock=True), *told.steps(run)]
