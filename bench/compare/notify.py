"""notify.py: row 3, one party tells another that sleeps until it is told, and is told back.

A message is half of a round trip. On the same hart one cannot go on before the other sleeps; across harts a
sleeping hart is woken. Instructions are those of all harts between the marks, polling for nothing taken
out. Sluice: coroutines by a channel, processes by the kernel's pipes, and programs by user interrupts.
"""
import os

from compare import told
from compare.steps import Step
from measure import AHEAD

WAYS = ("eventfd", "futex", "pipe", "signal")
PLACES = {0: "same hart", 1: "another hart"}
ROUNDS = 600
SLUICE_HOPS = 4000
UINTR = "SLUICE_UINTR=1"
PINGPONG = os.path.join("build", "riscv64", "bin", "notice_pingpong")
INSN, CLOCK = "{} harts, plugin", "{} harts, guest's clock"


def declare(section):
    section.figure("notify_insn", "Instructions to tell another", "where", "instructions/message", plot="bars")
    section.figure("notify_ns", "Time to tell another", "where", "ns/message", plot="bars",
                   text="Emulated seconds: on two cpus of the host, two harts and the emulator's own threads.")
    told.declare(section)


def keep(section, system, where, found, harts):
    """found: [(instructions, nanoseconds)] per message."""
    section.row("notify_insn", system, where, [insn for insn, _ in found], INSN.format(harts))
    if all(ns for _, ns in found):
        section.row("notify_ns", system, where, [ns for _, ns in found], CLOCK.format(harts))


def worked(window):
    return window.all() - window.polled()


def linux(run, section):
    order = [(how, cpu) for _ in range(run.clock_rounds) for cpu in PLACES for how in WAYS]
    script = "\n".join(f"notify {how} {cpu} {ROUNDS} || return 1" for how, cpu in order)
    found = {}
    for (how, cpu), line, window in zip(order, *run.bench.peer_results(script, smp=2, plugin=True, prefix=AHEAD,
                                                                     limit=300)):
        count = int(line["messages"])
        found.setdefault((how, cpu), []).append((worked(window) / count, int(line["ns"]) / count))
    for (how, cpu), values in found.items():
        keep(section, f"Linux, {how}", PLACES[cpu], values, 2)


def sluice(run, section, name, where, smp, run_line):
    found = []
    for _ in range(run.clock_rounds):
        (line,), (window,) = run.bench.results(smp=smp, plugin=True, prefix=AHEAD, run=run_line)
        count = int(line["hops"])
        found.append((worked(window) / count, int(line["ns"]) / count))
    keep(section, name, where, found, smp)


def sluice_here(run, section):
    for how, name in (("channel", "Sluice, channel of coroutines"), ("process", "Sluice, pipe of processes")):
        sluice(run, section, name, PLACES[0], 1, f"/bin/b_switch {how} 2 0 {SLUICE_HOPS // 2}")


def sluice_across(run, section):
    """The kernel has a hart of its own, and each program one."""
    sluice(run, section, "Sluice, pipe of processes", PLACES[1], 3,
           f"@1 /bin/b_switch across 2 0 {SLUICE_HOPS // 2}")
    if not os.path.exists(PINGPONG):
        section.remark("User interrupts between programs are left out: apps/notice_pingpong is not there yet.")
        return
    found = []
    for _ in range(run.clock_rounds):
        (line,), windows = run.bench.results(smp=3, plugin=True, prefix=AHEAD,
                                             run=f"@1 {UINTR} /bin/notice_pingpong {30 * ROUNDS} 2")
        found.append((worked(windows[0]) / 2 / int(line["rounds"]), 0))
    keep(section, "Sluice, user interrupt of programs", PLACES[1], found, 3)


def steps(run):
    t = run.clock_rounds
    return [Step("Sluice, same hart", 2 * t, sluice_here), Step("Sluice, across harts", 2 * t, sluice_across),
            Step("Linux", 14 + 3 * t, linux, peer=True), *told.steps(run)]
