"""told.py: how does one learn of a message: what waiting costs, what a message costs, how soon it is seen,
and what passes through the receiver's caches meanwhile.

One party on one hart sends, another on another hart is told: nothing comes for a while, and then many
messages, far apart. bench/guest/told.c and bench/peer/guest/told.c say by what; what is made of it is here,
the same for both. What a receiver computes of its own while it waits is left out by its profile.
"""
import bisect
import os

import measure
from compare.steps import Step
from measure import AHEAD, BenchError

SENT, SEEN = 0x40, 0x41  # bench/told.h
LINE = 64
PROGRAM = os.path.join("build", "riscv64", "apps", "b_told")
COMPUTES = ("compute_alone", "compute_in_turns")
GAP_US, WAIT_MS = 100, 200
SLUICE = {"uintr": "Sluice: user interrupt, asleep in its own mode", "uintr-busy": "Sluice: user interrupt, computing",
          "word": "Sluice: busy polling, a word of shared memory", "ring": "Sluice: busy polling, its completions",
          "switch": "Sluice: free-polling, its completions at each switch", "park": "Sluice: kernel wake-up"}
LINUX = {"eventfd": "Linux: eventfd", "futex": "Linux: futex", "pipe": "Linux: pipe", "signal": "Linux: signal",
         "word": "Linux: busy polling, a word of shared memory"}
UINTR, PLAIN = ("uintr", "uintr-busy"), ("word", "ring", "switch", "park")
# Who computes does so between sent and seen, too: that is no part of the way.
BUSY = ("uintr-busy", "switch")
# (key, question, unit). Where no other hart is named it is the receiver's.
MEASURES = (("wait", "Waiting", "instructions/ms"), ("cost", "A message", "instructions"),
            ("insn", "Sent to seen, all harts, median", "instructions"),
            ("insn99", "Sent to seen, all harts, p99", "instructions"),
            ("ns", "Sent to seen, median", "ns, emulated"), ("ns99", "Sent to seen, p99", "ns, emulated"),
            ("traps", "It left its program, a message", "times"),
            ("kernel", "Kernel's code, a message", "lines of 64 B"), ("user", "Its own code, a message", "lines of 64 B"))


def heading(key):
    question, unit = next(words[1:] for words in MEASURES if words[0] == key)
    return f"{question}: {unit}"


def computing():
    """Where the receiver's own computing lies: [(first address, behind the last)], sorted."""
    out = measure.output("riscv64-unknown-elf-nm", "-S", PROGRAM)
    found = [line.split() for line in out.splitlines()]
    return sorted((int(w[0], 16), int(w[0], 16) + int(w[1], 16)) for w in found if len(w) == 4 and w[3] in COMPUTES)


def lies_in(address, ranges):
    at = bisect.bisect_right(ranges, (address, 1 << 64)) - 1
    return at >= 0 and address < ranges[at][1]


class Part:
    """One window: the receiver's hart, its computing left out."""

    def __init__(self, window, ranges):
        self.hart = window.harts[window.hart]
        kept = [run for run in window.runs if run[3] != "user" or not lies_in(run[0], ranges)]
        left = sum(count * runs for _, _, count, _, runs, _ in window.runs) - \
            sum(count * runs for _, _, count, _, runs, _ in kept)
        self.computed = left
        self.all = sum(self.hart[kind] for kind in measure.KINDS) - left
        self.worked = self.all - sum(self.hart["idle_" + kind] for kind in measure.KINDS)
        self.runs, self.inner = kept, window.inner

    def lines(self, least, kinds):
        """Lines of code that at least `least` times did something."""
        return len({(kind == "user", line) for address, size, _, kind, runs, idle in self.runs
                    if kind in kinds and runs - idle >= least
                    for line in range(address // LINE, (address + size - 1) // LINE + 1)})

    def ways(self):
        """Instructions of all harts from each sent to its seen, polling for nothing taken out; sorted."""
        found, sent = [], None
        for mark, totals in self.inner:
            if mark == SENT:
                sent = totals
            elif mark == SEEN and sent:
                passed = totals - sent
                found.append(passed.all() - passed.polled())
                sent = None
        return sorted(found)


def findings(how, lines, windows, ranges):
    """{key: value} of one measurement: a wait, and messages."""
    wait, told = (Part(window, ranges) for window in windows)
    count, wait_ns, ns = int(lines[1]["messages"]), int(lines[0]["wait_ns"]), int(lines[1]["ns"])
    # Who computes looks and switches as often as it computes, however fast the host lets it.
    longer = told.computed / wait.computed if wait.computed else ns / wait_ns
    found = {"wait": wait.all * 1e6 / wait_ns, "cost": (told.worked - wait.worked * longer) / count,
             "ns": int(lines[1]["median_ns"]), "ns99": int(lines[1]["p99_ns"]), "traps": told.hart["leaves"] / count,
             "kernel": told.lines(count / 2, ("kernel", "firmware")), "user": told.lines(count / 2, ("user",))}
    if how not in BUSY:
        ways = told.ways()
        if len(ways) < 0.9 * count:
            raise BenchError(f"{how}: {len(ways)} of {count} messages were counted")
        found["insn"], found["insn99"] = ways[len(ways) // 2], ways[-1 - len(ways) // 100]
    return found


def gather(lines, windows):
    """{how: [findings of each round]}"""
    ranges, found = computing(), {}
    for i in range(0, len(lines), 2):
        how = lines[i]["how"]
        if lines[i + 1]["how"] != how or len(windows) < i + 2:
            raise BenchError(f"{how}: a part is missing")
        found.setdefault(how, []).append(findings(how, lines[i:i + 2], windows[i:i + 2], ranges))
    return found


def words(run, rounds):
    return f"{300 if run.quick else 1000} {GAP_US} {WAIT_MS} {rounds}"


def sluice(run, rounds):
    """The kernel has a hart of its own, and each program one."""
    found = {}
    for env, hows in (("SLUICE_UINTR=1 ", UINTR), ("", PLAIN)):
        found.update(gather(*run.bench.results(smp=3, plugin=True, profile="windows", prefix=AHEAD, limit=200,
                                               run=f"@1 {env}/bin/b_told {words(run, rounds)} 2 {' '.join(hows)}")))
    return found


def linux(run, rounds):
    return gather(*run.bench.peer_results(f"told {words(run, rounds)} {' '.join(LINUX)} || return 1", smp=2, plugin=True,
                                          profile="windows", prefix=AHEAD, limit=300))


def table(section, names, found, harts):
    """Into the figure `told`: a line for each way, a column for each measure."""
    for how, rounds in found.items():
        for key, _, _ in MEASURES:
            if key in rounds[0]:
                section.row("told", heading(key), names[how], [one[key] for one in rounds], f"{harts} harts, plugin",
                            f"{GAP_US} us or more between two messages")


def declare(section):
    section.figure("told", "CPU, latency, locality: what each way of being told costs", "way", "As each column says",
                   better=None, plot=None, ours="", pace="whether the sender is found awake, and how long a "
                   "message is on its way: that is the host's doing",
                   text="The receiver's hart, unless all are named; the sender and Sluice's kernel are on others. Polling for nothing counts while "
                        "waiting and not in a message; what a receiver computes of its own counts nowhere. Who "
                        "computes or polls for a pipe's completion has the sender's write in its way, too. "
                        "Free-polling looks in each switch (4 of its instructions): its waiting is what comes beyond. "
                        "Lines: code executed for at least every second message.")


def sluice_step(run, section):
    table(section, SLUICE, sluice(run, run.instruction_rounds), 3)


def linux_step(run, section):
    table(section, LINUX, linux(run, run.instruction_rounds), 2)


def steps(run):
    some = (0.4 if run.quick else 1.2) * run.instruction_rounds
    return [Step("Sluice, the ways of being told", 4 + 3 * some, sluice_step),
            Step("Linux, the ways of being told", 8 + 3.3 * some, linux_step, peer=True)]
