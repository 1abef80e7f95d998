#!/usr/bin/env python3
"""steps.py: do the models and the code still name the same steps?

A model's step carries a comment `step: NAME`, or `step: NAME ORDER` where it leans on an ordering
(acquire, release, fence); the line of code it stands for has `model: NAME` above it. The two sets
of names must be equal; in the code each name stands once, and the first atomic operation that
begins within three lines below it must have that ordering. Says `ok steps` or `FAIL steps: why`.
"""
import glob
import os
import re
import sys

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
STEP = re.compile(r"/\* step: ([a-z-]+)(?: (acquire|release|fence))? \*/")
MODEL = re.compile(r"/\* model: ([a-z-]+) \*/")
ATOMIC = re.compile(r"\b(atomic_(load|store|exchange|compare_exchange|fetch|thread_fence)\w*"
                    r"|__atomic_(load|store)_n|async_fence_full)\s*\([^;]*;?")
ORDER = {
    "acquire": re.compile(r"memory_order_(acquire|acq_rel|seq_cst)|__ATOMIC_(ACQUIRE|SEQ_CST)"),
    "release": re.compile(r"memory_order_(release|acq_rel|seq_cst)|__ATOMIC_(RELEASE|SEQ_CST)"),
    "fence": re.compile(r"^(atomic_thread_fence\(memory_order_seq_cst\)|async_fence_full\(\))"),
}
NEAR = 3   # lines from the name to where the operation begins
LONG = 4   # lines that an operation may take


def lines_of(*patterns):
    for pattern in patterns:
        for path in sorted(glob.glob(os.path.join(TOP, pattern), recursive=True)):
            with open(path, encoding="utf-8") as text:
                yield os.path.relpath(path, TOP), text.read().split("\n")


def operation_below(lines, at):
    """The first atomic operation that begins within NEAR lines below line `at`, or None."""
    found = ATOMIC.search("\n".join(lines[at + 1:at + 1 + NEAR + LONG]))
    if not found or found.string.count("\n", 0, found.start()) >= NEAR:
        return None
    return found[0]


def main():
    steps, code, wrong = {}, {}, []
    for path, lines in lines_of("tests/model/*.pml"):
        for name, order in STEP.findall("\n".join(lines)):
            if order and steps.get(name) and steps[name] != order:
                wrong.append(f"{name} is {steps[name]} in one model and {order} in {path}")
            steps[name] = order or steps.get(name, "")
    for path, lines in lines_of("kernel/**/*.[ch]", "libasync/**/*.[ch]"):
        for at, line in enumerate(lines):
            for name in MODEL.findall(line):
                here = f"{path}:{at + 1}"
                if name in code:
                    wrong.append(f"{name} stands at {code[name]} and at {here}")
                code[name] = here
                operation, order = operation_below(lines, at), steps.get(name)
                if not operation:
                    wrong.append(f"{name} at {here} is not above an atomic operation")
                elif order and not ORDER[order].search(operation):
                    wrong.append(f"{name} at {here} is no {order}")
    wrong += [f"{name} is in a model but not in the code" for name in sorted(steps.keys() - code)]
    wrong += [f"{name} at {code[name]} is in no model" for name in sorted(code.keys() - steps)]
    if not steps:
        wrong.append("no model names a step")
    if wrong:
        print("FAIL steps: " + "; ".join(wrong))
        sys.exit(1)
    print("ok steps")


if __name__ == "__main__":
    main()
