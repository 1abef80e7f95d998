"""notices.py: the experiment `notices`: the ways of being told, drawn one question at a time.

Measured on emulated guests, not simulated: the programs and what is made of them are the comparison's
(bench/compare/told.py). Linux is there when its kernel is (make peer).
"""
import os

import measure
from compare import told
from compare.rows import Section, question
from machine import load, output_of, processor
from peer import linux

ROUNDS = 3
SYSTEMS = ("Sluice", "Linux")
SHORT = {"uintr": "user interrupt, asleep", "uintr-busy": "user interrupt, computing", "word": "busy polling, memory",
         "ring": "busy polling, CQ", "switch": "free-polling", "park": "kernel wake-up"}


class Run:
    """What told.py asks of a comparison."""

    quick = False

    def __init__(self):
        self.bench = measure.Bench()
        self.bench.quiet = True


def notices():
    """Ways of being told of a message: what do waiting and noticing cost, how soon, through whose caches?"""
    section = Section(1, "Ways of being told", question(notices), None)
    told.declare(section)
    for key, what, unit in told.MEASURES:
        section.figure(key, what, "way", unit, better=None, plot="bars")
    run = Run()
    found = {"Sluice": told.sluice(run, ROUNDS)}
    told.table(section, told.SLUICE, found["Sluice"], 3)
    if linux.is_here():
        found["Linux"] = told.linux(run, ROUNDS)
        told.table(section, told.LINUX, found["Linux"], 2)
    else:
        section.remark("Linux on the same machine is left out: its kernel is not here (make peer).")
    rows = []
    for system, ways in found.items():
        for how, rounds in ways.items():
            for key, _, unit in told.MEASURES:
                values = [one[key] for one in rounds if key in one]
                if values:
                    section.row(key, system, SHORT.get(how, how), values, "plugin")
                    rows.append((system, how, key, unit, *sorted(values)))
    for key, what, unit in told.MEASURES[:3]:
        figure, best = section.figures[key], []
        for system in found:
            rows_of = [row for row in figure.rows if row.system == system]
            least = min(rows_of, key=lambda row: row.value, default=None)
            best += [f"{system}'s “{least.param}” {measure.shown(least.value)}"] if least else []
        section.remark(f"{what}, {unit}, least: {', '.join(best)}.")
    section.facts = [
        ("experiment", "notices"), ("commit", output_of("make", "-s", "version")),
        ("emulator", output_of("qemu-system-riscv64", "--version").splitlines()[0]),
        ("machine", f"{processor()}, {os.cpu_count()} cpus, load {load()}"),
        ("what it is", "measured on emulated harts; the comparison's row 3 has the same table (bench/compare/told.py)")]
    return section, ("system", "way", "measure", "unit", *(f"round_{i}" for i in range(1, ROUNDS + 1))), rows
