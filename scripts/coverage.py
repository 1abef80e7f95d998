#!/usr/bin/env python3
"""coverage.py: which lines of kernel/ ran, per folder, from the counts of a --coverage build.

usage: coverage.py FOLDER [--lines FILE]

FOLDER is the build folder (build/hosted-cov) after its tests have run. gcov reads each unit's notes
and counts; a line ran if any unit that holds it counted it, so an inline function of a header is
one function. A unit that nothing linked counts as not run. What the hosted machine has no device for
is named, with its own figure, and left out of its folder's. --lines lists what did not run in files
whose names contain FILE. Exit status is non-zero when a folder misses its target.
"""
import argparse
import collections
import glob
import json
import os
import subprocess
import sys

TARGETS = {"kernel/cores": 85, "kernel/mm": 85, "kernel/ring": 85, "kernel/sched": 85}

# What only the guest can run, and the tests that do it there.
ELSEWHERE = {"kernel/sched/inbox.c": "hosted harts have no inboxes; abi/riscv64/*notice*"}


def units(folder):
    """What gcov says of each object, one JSON document per line."""
    notes = sorted(glob.glob(os.path.join(folder, "kernel", "**", "*.gcno"), recursive=True))
    if not notes:
        sys.exit(f"coverage: {folder} holds no build with --coverage")
    done = subprocess.run(["gcov", "--json-format", "--stdout", *notes], check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def lines_of(folder):
    """{file: {line: whether it ran}}, of files below kernel/."""
    files = collections.defaultdict(dict)
    for unit in units(folder):
        for source in unit["files"]:
            name = os.path.normpath(source["file"])
            if not name.startswith("kernel/"):
                continue
            for line in source["lines"]:
                number = line["line_number"]
                files[name][number] = files[name].get(number, False) or line["count"] > 0
    return files


def percent(ran, of):
    return 100 * ran / of if of else 100.0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder")
    parser.add_argument("--lines")
    args = parser.parse_args()
    files = lines_of(args.folder)
    if args.lines:
        for name in sorted(f for f in files if args.lines in f):
            missed = sorted(n for n, ran in files[name].items() if not ran)
            print(f"{name}: {len(missed)} of {len(files[name])}:", *missed)
        return
    folders = collections.defaultdict(lambda: [0, 0])
    for name, lines in files.items():
        if name in ELSEWHERE:
            print(f"not counted: {name}, {sum(lines.values())} of {len(lines)} ({ELSEWHERE[name]})")
            continue
        for key in (os.path.dirname(name), "all"):
            folders[key][0] += sum(lines.values())
            folders[key][1] += len(lines)
    missed = []
    print(f"{'folder':<26}{'lines':>7}{'run':>7}{'%':>8}")
    for key in sorted(folders, key=lambda k: (k == "all", k)):
        ran, of = folders[key]
        target = TARGETS.get(key)
        if target and percent(ran, of) <= target:
            missed.append(key)
        print(f"{key:<26}{of:>7}{ran:>7}{percent(ran, of):>8.1f}"
              + (f"  target: above {target}" if target else ""))
    if missed:
        sys.exit("coverage: below target: " + ", ".join(missed))


if __name__ == "__main__":
    main()
