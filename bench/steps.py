#!/usr/bin/env python3
"""steps.py: for how long does each operation hold its core at most, without a chance to turn to anything else?

worst_step_insn, one row per operation, call, mail and timer: the longest stretch (kernel/base/meter.h) while
b_steps asks for the most that each takes (bench/guest/steps.c). One hart, -icount shift=0, so that a
nanosecond is an instruction; the clock has steps of 100. The program /bin/large of 16 MiB is made here.

usage: steps.py --write    measures and renews the table of docs/steps.md
"""
import os
import re
import struct
import sys
import tempfile

from measure import KERNEL, Bench, output

BUDGET = 50_000  # instructions: STEP_BUDGET_NS (kernel/sched/fiber.h) at one for each nanosecond
DOCUMENT = os.path.join("docs", "steps.md")
LARGE = 16 << 20
BASE = 0x10000000


def large_program():
    """An ELF file whose one segment is LARGE bytes, all in the file; its first instruction is none."""
    head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 243, 1, BASE + 4096, 64, 0, 0, 64, 56, 1,
                       0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, BASE, BASE, LARGE, LARGE, 4096)
    return (head + segment).ljust(LARGE, b"\0")


def options(folder):
    """What bench.guest or a boot test gives a machine for b_steps; its files are in `folder`."""
    large = os.path.join(folder, "large")
    with open(large, "wb") as out:
        out.write(large_program())
    return {"run": "/bin/b_steps", "trace": "steps", "mem": "512M", "files": {"bin/large": large}}


def names():
    """{address: symbol} of the kernel."""
    found = {}
    for line in output("riscv64-unknown-elf-nm", KERNEL).splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in "tT":
            found[int(words[0], 16)] = words[2]
    return found


def worst(lines):
    """[(kind, name, instructions, case)] of b_steps' lines, the longest first."""
    symbols, found = names(), {}
    for line in lines:
        name = line["name"]
        if line["kind"] != "op":
            name = symbols.get(int(name, 16), name)
        found[line["kind"], name] = (int(line["longest"]), line["case"])
    return sorted(((kind, name, *rest) for (kind, name), rest in found.items()), key=lambda row: (-row[2], row[1]))


def run(bench):
    with tempfile.TemporaryDirectory() as folder:
        lines, _ = bench.results(limit=300, smp=1, icount=True, disk=True, **options(folder))
    return worst(lines)


def measure(bench):
    for kind, name, longest, case in run(bench):
        bench.figure("worst_step_insn", name if kind == "op" else f"{kind} {name}", [longest], "instructions", case)


def table(rows):
    yield "| what | instructions at most | asked for |"
    yield "| --- | --: | --- |"
    for kind, name, longest, case in rows:
        shown = f"**{longest:,}**" if longest > BUDGET else f"{longest:,}"
        yield f"| {'' if kind == 'op' else kind + ' '}`{name}` | {shown} | {case.replace('_', ' ')} |"


def main():
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    with open(DOCUMENT, encoding="utf-8") as page:
        text = page.read()
    rows = run(Bench())
    text = re.sub("(<!--steps-->\n).*(<!--/steps-->)",
                  lambda found: found[1] + "".join(line + "\n" for line in table(rows)) + found[2], text, flags=re.S)
    with open(DOCUMENT, "w", encoding="utf-8") as page:
        page.write(text)
    print(f"{DOCUMENT}: {len(rows)} rows, {sum(row[2] > BUDGET for row in rows)} over {BUDGET:,}")


if __name__ == "__main__":
    main()
