#!/usr/bin/env python3
"""Are a program's floating-point registers lost when its objects are built for one ABI and libasync for the
other (docs/abi.md, Floating point)? The linker refuses the mixture, and the header what the linker cannot see."""
import os
import subprocess
import sys
import tempfile

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
CC = ["riscv64-unknown-elf-gcc", "-nostdlib", "-ffreestanding", "-mcmodel=medany"]
DOUBLE = ["-march=rv64imafdc", "-mabi=lp64d"]
INTEGER = ["-march=rv64imac", "-mabi=lp64"]
LIBRARY = ["-iquote", ".", "-iquote", "libasync", "-c", "libasync/arch/riscv64/entry.S"]
CALLER = "void async_co_entry(void);\nvoid async_co_begin(void){}\nvoid _start(void){async_co_entry();}\n"


def run(*words, text=None):
    done = subprocess.run([*CC, *words], input=text, capture_output=True, text=True, cwd=TOP, check=False)
    return None if done.returncode == 0 else done.stderr


def links(folder, program, library):
    """None, or what the linker says."""
    mine, theirs = os.path.join(folder, "mine.o"), os.path.join(folder, "theirs.o")
    for said in (run(*library, *LIBRARY, "-o", theirs), run(*program, "-c", "-x", "c", "-", "-o", mine, text=CALLER)):
        if said:
            return "does not compile: " + said
    return run(*program, mine, theirs, "-o", os.path.join(folder, "program"))


def includes(*flags):
    return run(*flags, "-fsyntax-only", "-iquote", ".", "-iquote", "libasync", "-x", "c", "-",
               text='#include "libasync/arch/riscv64/async_arch.h"\n')


def main():
    with tempfile.TemporaryDirectory() as folder:
        checks = {
            "objects of one ABI link": not links(folder, DOUBLE, DOUBLE) and not links(folder, INTEGER, INTEGER),
            "a program with floating point, the library without": "soft-float" in (links(folder, DOUBLE, INTEGER) or ""),
            "a program without, the library with": "double-float" in (links(folder, INTEGER, DOUBLE) or ""),
            "the header takes either ABI": not includes(*DOUBLE) and not includes(*INTEGER),
            "it refuses FP registers under lp64": "#error" in (includes("-march=rv64imafdc", "-mabi=lp64") or ""),
        }
    for name, good in checks.items():
        print(f"ok {name}" if good else f"FAIL {name}: it is not so")
    sys.exit(not all(checks.values()))


if __name__ == "__main__":
    main()
