"""depth.py: row 1, what an operation costs by how many are submitted at once.

Instructions: one hart, -icount, counted by the plugin between marks: user, kernel and firmware. What is read is a disk
of zeros in memory, which answers while the guest sleeps (bench/plugin/gate.c): how much of it a disk of the host would
have ready at once is not in the figure. Seconds: a disk image of the same size; two harts, the guest's own clock; those
are an emulator's. On two harts Sluice's ring is polled by the other hart, as SQPOLL's is; the other ways of Linux leave
that hart to itself.
"""
from compare.steps import Step
from measure import AHEAD, DISK_BYTES

SLUICE = "Sluice native ring"
DOOR = "Sluice trap door, a call each"
WAYS = {"sync": "Linux, a call each", "enter": "Linux io_uring, enter", "defer": "Linux io_uring, DEFER_TASKRUN",
        "sqpoll": "Linux io_uring, SQPOLL"}
FLAGS = {"sync": "getppid / pread, O_DIRECT", "enter": "no flags",
         "defer": "SINGLE_ISSUER | DEFER_TASKRUN", "sqpoll": "SQPOLL | SQ_AFF, sq_thread_idle 2 s"}
WORK = {"nop": "an operation that does nothing", "read": "a random read of 4 KiB, uncached"}
TEXT = {"nop": "", "read": " The disk is one of zeros in memory, which answers while the guest sleeps."}
OPS = {"nop": 60000, "read": 2000}  # so many that a tick more or less is below a hundredth
TIME = {"nop": "100ms", "read": "100ms"}
# Neither side's poller goes to sleep between two NOPs. A disk is waited for: there a poller that does not
# sleep would keep the emulator's own threads from answering on two cores.
SPIN_US = {"nop": 1000000, "read": 50}
FILES = {"nop": "nop", "read": "/dev/vda"}
PROGRAM = {"bin/depth": "build/peer/depth"}  # the peer's, as it is
COUNTED = {"nop": "1 hart, -icount, plugin", "read": "1 hart, -icount, plugin, gated disk of zeros"}
CLOCK = "2 harts, guest's clock"


def declare(section):
    for what, words in WORK.items():
        section.figure(f"{what}_insn", f"Instructions for {words}, one hart", "entries at once",
                       "instructions/operation",
                       text="User, kernel and firmware together; a hart that waits counts nothing. A call each "
                            "has no depth: its line is a batch of as many calls. Circled: crossover points." + TEXT[what])
        section.figure(f"{what}_ns", f"Time for {words}, two harts", "entries at once", "ns/operation",
                       text="Seconds under an emulator: they also charge what the emulator, not a processor, "
                            "finds dear. Judge by the instructions.")


def depths(run):
    return (1, 8, 32, 128) if run.quick else (1, 2, 4, 8, 16, 32, 64, 128, 256)


def words(run):
    return " ".join(map(str, depths(run)))


def per_op(lines, windows):
    """(depth, instructions per operation) of each line; nanoseconds where nothing was counted."""
    for i, line in enumerate(lines):
        yield int(line["depth"]), (windows[i].all() if windows else int(line["ns"])) / int(line["ops"])


class Curves:
    """{(what, way): {depth: values}}, filled one curve after the other."""

    def __init__(self):
        self.curves = {}

    def add(self, what, way, points):
        for depth, value in points:
            self.curves.setdefault((what, way), {}).setdefault(depth, []).append(value)

    def keep(self, section, unit, names, flags, how):
        for (what, way), curve in self.curves.items():
            for depth, values in curve.items():
                section.row(f"{what}_{unit}", names[way], depth, values, how, flags[way])


def counting(what):
    return {"smp": 1, "icount": True, "plugin": True, "gate": what == "read"}


def sluice(run, section, unit, works, how, way, rounds, **options):
    curves, amount = Curves(), TIME if unit == "ns" else OPS
    programs = {"nop": f"/bin/b_nop {way} {amount['nop']} {words(run)}",
                "read": f"/bin/b_read {way} /dev/vda {DISK_BYTES} {amount['read']} {words(run)}"}
    for _ in range(rounds):
        for what in works:
            curves.add(what, way, per_op(*run.bench.results(run=programs[what], disk=True, prefix=AHEAD,
                                                            **options)))
    flags = way + "".join(f", {key}={value}" for key, value in options.items() if key == "spin_us")
    curves.keep(section, unit, {way: SLUICE}, {way: flags}, how)


def linux(run, section, unit, works, how, ways, rounds, **options):
    """One start of the peer: all rounds, ways and kinds of work, one after the other."""
    order = [(what, way) for _ in range(rounds) for way in ways for what in works]
    amount = TIME if unit == "ns" else OPS
    script = "\n".join(f"depth {way} {FILES[what]} {DISK_BYTES} {amount[what]} {words(run)} || return 1"
                       for what, way in order)
    points = list(per_op(*run.bench.peer_results(script, limit=600, disk=True, prefix=AHEAD, **options)))
    curves, count = Curves(), len(depths(run))
    for i, (what, way) in enumerate(order):
        curves.add(what, way, points[i * count:(i + 1) * count])
    curves.keep(section, unit, WAYS, FLAGS, how)


def sluice_insn(run, section):
    for what, how in COUNTED.items():
        sluice(run, section, "insn", (what,), how, "enter", run.instruction_rounds, **counting(what))


def door(run, section):
    """The very program that makes Linux' calls makes them here, by the trap door."""
    for what, how in COUNTED.items():
        curves = Curves()
        for _ in range(run.instruction_rounds):
            curves.add(what, "sync", per_op(*run.bench.results(
                run=f"/bin/depth sync {FILES[what]} {DISK_BYTES} {OPS[what]} {words(run)}", files=PROGRAM, disk=True,
                prefix=AHEAD, **counting(what))))
        curves.keep(section, "insn", {"sync": DOOR}, FLAGS, how)


def linux_insn(what):
    return lambda run, section: linux(run, section, "insn", (what,), COUNTED[what], ("sync", "enter", "defer"),
                                      run.instruction_rounds, settle=5, **counting(what))


def sluice_ns(run, section):
    for what, spin_us in SPIN_US.items():
        sluice(run, section, "ns", (what,), CLOCK, "polled", run.clock_rounds, smp=2, spin_us=spin_us, spin="fixed")


def linux_ns(run, section):
    linux(run, section, "ns", tuple(WORK), CLOCK, tuple(WAYS), run.clock_rounds, smp=2)


def crossings(_run, section):
    """From which depth on who takes fewer instructions than whom, in one sentence for each kind of work; in the
    drawing where two curves cross."""
    for what, words_ in WORK.items():
        found = []
        for mine, theirs in ((SLUICE, "sync"), (SLUICE, "enter"), (SLUICE, "defer"), (DOOR, "sync"),
                             ("enter", "sync"), ("defer", "sync")):
            mine, theirs = WAYS.get(mine, mine), WAYS[theirs]
            at = section.crossover(f"{what}_insn", mine, theirs)
            found.append(f"“{mine}” below “{theirs}” " + (f"from depth {at} on" if at else "at no depth"))
            figure = section.figures[f"{what}_insn"]
            if at and at > figure.params()[0]:
                figure.mark(at, figure.find(mine, at).value)
        section.remark(f"Crossover points, {words_}: " + "; ".join(found) + ".")
    section.remark("A 64-byte echo over TCP by its depth is row 5: each of its connections keeps one message under way.")


def steps(run):
    n, t = run.instruction_rounds, run.clock_rounds
    depth = len(depths(run))
    return [Step("Sluice, one hart", 1.3 * n, sluice_insn),
            Step("Sluice, one hart, the trap door", 1.3 * n, door, peer=True),
            Step("Linux, one hart, operations that do nothing", 6 + 0.22 * n * depth, linux_insn("nop"), peer=True),
            Step("Linux, one hart, reads", 6 + 0.75 * n * depth, linux_insn("read"), peer=True),
            Step("Sluice, two harts", (0.6 + 0.2 * depth) * t, sluice_ns, full=True, clock=True),
            Step("Linux, two harts", 12 + 1.2 * depth * t, linux_ns, peer=True, full=True, clock=True),
            Step("crossover points", 0, crossings, peer=True)]
