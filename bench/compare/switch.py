"""switch.py: row 2, what it costs to hand on, in the manner of lmbench's lat_ctx (which this is not).

A token goes round a ring of members, and each adds up a buffer of its own when it has it. "Alone" is the
same work by one member without any switch; what is left when that is taken off is the switch. Guests: one
hart, -icount. This host: its own clock, one cpu.

Bare: two that do nothing but hand over to each other. Coroutines yield; of operations and fibers each wakes
the other and parks, through the executor, in a kernel that does only this (bench/kernel/handover.c);
processes and threads of Linux yield, first in first out, and each change from one to the other counts once.
"""
import os

from compare.steps import Step
from measure import AHEAD, run_host

FULL = ((2, 0), (2, 16), (2, 64), (8, 16), (8, 64), (16, 16), (16, 64))
QUICK = ((2, 0), (8, 16), (16, 64))
ONE = "1 hart, -icount, plugin"
HERE = "this host, one cpu"
HOPS = {0: 8000, 16: 4000, 64: 1600}
HOSTED_HOPS = {0: 400000, 16: 100000, 64: 30000}
# (name, b_switch's word, its word for the same without a switch)
SLUICE = (("Sluice coroutines, channels", "channel", "channel-alone"),
          ("Sluice coroutines, kernel pipes", "pipe", "pipe-alone"),
          ("Sluice processes, kernel pipes", "process", "pipe-alone"))
LINUX = (("Linux processes, pipes", "process", "overhead"), ("Linux threads, pipes", "thread", "overhead"))
SWITCHES = 200000
HOSTED_SWITCHES = 4000000
YIELDS, HOSTED_YIELDS = 5000, 200000
BARE_TEXT = ("Nothing is done but handing over: coroutines with four values alive over each, either floating-point ones "
             "or integers in a program without floating point; operations and fibers through the kernel's executor. "
             "The process and the thread that yield have integers only.")
COROUTINE, COROUTINE_FP, PROCESS = "user coroutine, integers", "user coroutine, FP kept", "process"
BARE_CO = {COROUTINE: "b_co_integer", COROUTINE_FP: "b_co"}
BARE_SLUICE = {"step": "step operation", "fiber": "kernel fiber"}
BARE_LINUX = {"yield-process": PROCESS, "yield-thread": "thread"}


def declare(section):
    text = "Members and the buffer each adds up."
    section.figure("switch_insn", "A token handed on and the buffer added up, with the work", "members/buffer",
                   "instructions/hop", plot="bars", text=text)
    section.figure("switch_net_insn", "The switch alone: the same work by one member taken off", "members/buffer",
                   "instructions/switch", plot="bars", text=text)
    section.figure("switch_bare_insn", "The bare hand-over", "what", "instructions/hand-over", plot="bars", text=BARE_TEXT)
    section.figure("switch_bare_ns", "The bare hand-over, on this host's processor", "what", "ns/hand-over", plot="bars",
                   text=BARE_TEXT)
    section.figure("switch_ns", "A token handed on and the buffer added up, on this host's processor",
                   "members/buffer", "ns/hop", plot="bars",
                   text="The hosted Sluice beside this host's own processes and threads, and the adding up alone.")


def shapes(run):
    return QUICK if run.quick else FULL


def name(shape):
    return f"{shape[0]}p/{shape[1]}K"


def words(how, shape, hops):
    members, kib = shape
    return f"{how} {members} {kib} {hops[kib] // members}"


class Table:
    """{(how, shape): values per hop}"""

    def __init__(self):
        self.values = {}

    def add(self, how, shape, value):
        self.values.setdefault((how, shape), []).append(value)

    def keep(self, section, key, ways, where, minus=False, judged=True):
        """minus: what the same costs alone is taken off, round by round."""
        for system, how, alone in ways:
            for shape in dict.fromkeys(shape for h, shape in self.values if h == how):
                values = self.values[how, shape]
                if minus:
                    values = [a - b for a, b in zip(values, self.values[alone, shape])]
                section.row(key, system, name(shape), values, where, judged=judged)

    def keep_both(self, section, ways):
        self.keep(section, "switch_insn", ways, ONE)
        self.keep(section, "switch_net_insn", ways, ONE, minus=True)


def per_hop(line, window):
    return (window.all() if window else int(line["ns"])) / int(line["hops"])


def sluice(run, section):
    table = Table()
    for _ in range(run.instruction_rounds):
        for how in dict.fromkeys(word for way in SLUICE for word in way[1:]):
            for shape in shapes(run):
                (line,), (window,) = run.bench.results(smp=1, icount=True, plugin=True, prefix=AHEAD,
                                                       run="/bin/b_switch " + words(how, shape, HOPS))
                table.add(how, shape, per_hop(line, window))
    table.keep_both(section, SLUICE)


def handover(run, machine, **options):
    """The kernel whose main hands over operations and fibers: its lines and windows."""
    return run.bench.results(machine=machine, smp=1, prefix=AHEAD, build=os.path.join("build", machine, "handover"),
                             run="/bin/b_co", **options)


def bare(run, section):
    found = {}
    for _ in range(run.instruction_rounds):
        for what, program in BARE_CO.items():
            (line,), _ = run.bench.results(smp=1, icount=True, prefix=AHEAD, run=f"/bin/{program} {SWITCHES}")
            found.setdefault(what, []).append((int(line["instructions"]) - int(line["plain"])) / int(line["switches"]))
    for line, window in zip(*handover(run, "riscv64", icount=True, plugin=True)):
        found.setdefault(BARE_SLUICE[line["how"]], []).append(per_hop(line, window))
    for what, values in found.items():
        section.row("switch_bare_insn", "Sluice", what, values, ONE)


def bare_linux(run, section):
    order = [how for _ in range(run.instruction_rounds) for how in BARE_LINUX]
    script = "\n".join(f"switch {how} 2 0 {YIELDS} || return 1" for how in order)
    found = {}
    for how, line, window in zip(order, *run.bench.peer_results(script, smp=1, icount=True, plugin=True, prefix=AHEAD,
                                                                settle=5, limit=120)):
        found.setdefault(BARE_LINUX[how], []).append(per_hop(line, window))
    for what, values in found.items():
        section.row("switch_bare_insn", "Linux", what, values, ONE, "SCHED_FIFO" if line["fifo"] == "1" else "")


def bare_hosted(run, section):
    found = {}
    for _ in range(run.clock_rounds):
        for what, program in BARE_CO.items():
            (line,), _ = run.bench.results(machine="hosted", smp=1, prefix=AHEAD, run=f"/bin/{program} {HOSTED_SWITCHES}")
            found.setdefault(("Sluice", what), []).append((int(line["ns"]) - int(line["plain_ns"])) / int(line["switches"]))
        for how, what in BARE_LINUX.items():
            line = host_line("linux_switch", how, 2, 0, HOSTED_YIELDS)
            found.setdefault(("this host", what), []).append(per_hop(line, None))
    for line in handover(run, "hosted")[0]:
        found.setdefault(("Sluice", BARE_SLUICE[line["how"]]), []).append(per_hop(line, None))
    for (system, what), values in found.items():
        section.row("switch_bare_ns", system, what, values, HERE)


def host_line(*program):
    return dict(word.split("=", 1) for word in run_host(*program, prefix=AHEAD).split()[1:])


def linux(run, section):
    order = [(how, shape) for _ in range(run.instruction_rounds)
             for how in dict.fromkeys(word for way in LINUX for word in way[1:]) for shape in shapes(run)]
    script = "\n".join(f"switch {words(how, shape, HOPS)} || return 1" for how, shape in order)
    table = Table()
    for (how, shape), line, window in zip(order, *run.bench.peer_results(
            script, smp=1, icount=True, plugin=True, prefix=AHEAD, settle=5, limit=300)):
        table.add(how, shape, per_hop(line, window))
    table.keep_both(section, LINUX)


def hosted(run, section):
    table = Table()
    for _ in range(run.clock_rounds):
        for shape in shapes(run):
            for how in SLUICE[0][1:]:
                (line,), _ = run.bench.results(machine="hosted", smp=1, prefix=AHEAD,
                                               run="/bin/b_switch " + words(how, shape, HOSTED_HOPS))
                table.add(how, shape, per_hop(line, None))
            for how in ("process", "thread", "overhead"):
                table.add(how, shape, per_hop(host_line("linux_switch", *words(how, shape, HOSTED_HOPS).split()), None))
    table.keep(section, "switch_ns", [("Sluice coroutines, channels", "channel", None)], HERE)
    table.keep(section, "switch_ns", [("this host's processes, pipes", "process", None),
                                      ("this host's threads, pipes", "thread", None)], HERE)
    table.keep(section, "switch_ns", [("adding up alone", "channel-alone", None)], HERE, judged=False)


def asked(ratio, least):
    return f"asked: {least}, {'met' if ratio >= least else 'MISSED'}"


def ratios(_run, section):
    """Process against coroutine, of the same work, from the medians above: what the issue asks to be 12 at
    least, and 50 against the bare hand-over."""
    net, coroutine = section.figures["switch_net_insn"], SLUICE[0][0]
    bare_row = section.figures["switch_bare_insn"].find("Sluice", COROUTINE)
    for name_, process in (("Linux", LINUX[0][0]), ("Sluice", SLUICE[2][0])):
        found = [net.find(process, shape).value / net.find(coroutine, shape).value for shape in net.params()
                 if net.find(process, shape) and net.find(coroutine, shape)]
        if not found:
            continue
        section.remark(f"A {name_} process against a coroutine, the same work, the switch alone: {min(found):.1f} to "
                       f"{max(found):.1f} times its instructions ({asked(min(found), 12)}).")
        found = [net.find(process, "2p/0K").value / bare_row.value]
        section.remark(f"A {name_} process (2p/0K) against the coroutine's bare hand-over: "
                       f"{found[0]:.1f} times its instructions ({asked(found[0], 50)}).")
    for key, unit in (("switch_bare_insn", "instructions"), ("switch_bare_ns", "time on this host's processor")):
        figure = section.figures[key]
        mine, kept = figure.find("Sluice", COROUTINE), figure.find("Sluice", COROUTINE_FP)
        theirs = figure.find("Linux", PROCESS) or figure.find("this host", PROCESS)
        if mine and kept and theirs:
            section.remark(f"Bare against bare, a process that yields against a coroutine that yields, both with integers: "
                           f"{theirs.value / mine.value:.1f} times its {unit} ({asked(theirs.value / mine.value, 50)}); against one whose FP values are "
                           f"kept, which the process has none of: {theirs.value / kept.value:.1f} times.")


def steps(run):
    n, shaped = run.instruction_rounds, len(shapes(run))
    return [Step("Sluice", 5 * n * shaped * 0.37 + 2, sluice),
            Step("Linux", 7 + n * shaped * 0.85, linux, peer=True),
            Step("hosted", run.clock_rounds * shaped * 1.1, hosted, clock=True),
            Step("bare", n, bare), Step("bare, Linux", 6, bare_linux, peer=True),
            Step("bare, hosted", run.clock_rounds * 0.5 + 1, bare_hosted, clock=True),
            Step("ratios", 0, ratios)]
