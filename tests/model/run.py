#!/usr/bin/env python3
"""run.py: checks every model of this folder with spin, and that every mutant of it is found wrong.

A model that is right has no reachable failed assertion and no invalid end state, with the whole
state space searched. A mutant lacks one ordering or one look; a search that does not find what is
wrong with it is a failure of the model. steps.py joins the models to the code.

usage: run.py [WORK]      WORK: where the checkers are built (default build/tests/model)

One line per model: `ok NAME` or `FAIL NAME: why`. ONLY=text picks by name.
"""
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SECONDS = 180  # for one search; the longest takes a few seconds on an idle machine
RIGHT, WRONG = "right", "wrong"

# name, file, definitions, what the search must say
RUNS = [
    ("ring", "ring", "", RIGHT),
    *((f"ring-{m.lower()}", "ring", m, WRONG) for m in (
        "NO_SQ_TAIL_RELEASE", "NO_SQ_TAIL_ACQUIRE", "NO_SQ_HEAD_RELEASE", "NO_CQ_TAIL_RELEASE",
        "NO_CQ_TAIL_ACQUIRE", "NO_CQ_HEAD_RELEASE", "SQ_LIMIT_WRONG", "NO_ROOM_LOOK")),
    ("hostile", "hostile", "", RIGHT),
    *((f"hostile-{m.lower()}", "hostile", m, WRONG) for m in ("COPY_TWICE", "NO_BOUND")),
    ("poller", "poller", "", RIGHT),
    *((f"poller-{m.lower()}", "poller", m, WRONG) for m in (
        "NO_PROGRAM_FENCE", "NO_KERNEL_FENCE", "NO_SECOND_LOOK", "NO_ARM")),
    ("mailbox", "mailbox", "", RIGHT),
    *((f"mailbox-{m.lower()}", "mailbox", m, WRONG) for m in (
        "NO_PUSH_RELEASE", "NO_POST_FENCE", "NO_SLEEP_FENCE", "NO_LEAVE_FENCE", "NO_SECOND_LOOK",
        "NO_TURN_ROUND")),
    ("move", "move", "", RIGHT),
    *((f"move-{m.lower()}", "move", m, WRONG) for m in ("NO_FENCE", "NO_EARLY")),
    ("thread", "thread", "", RIGHT),
    ("thread-no_woken", "thread", "NO_WOKEN", WRONG),
    # README.md, "One waker at a time"
    ("thread-two", "thread", "TWO_WAKERS", WRONG),
    ("thread-two-exchange", "thread", "TWO_WAKERS EXCHANGE", RIGHT),
    *((f"thread-two-exchange-{m.lower()}", "thread", f"TWO_WAKERS EXCHANGE {m}", WRONG) for m in (
        "NO_WAKE_RELEASE", "NO_CLEAR_RELEASE", "NO_COUNT", "NO_WOKEN")),
]


def call(command, folder):
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=SECONDS, check=False)
    return done.returncode, done.stdout.decode("utf-8", "replace")


def search(folder, file, definitions):
    """What the search says, RIGHT or WRONG, and a word on it; None if it could not be made."""
    os.makedirs(folder, exist_ok=True)
    words = [f"-D{d}" for d in definitions.split()]
    steps = (["spin", *words, "-a", os.path.join(HERE, file + ".pml")],
             ["gcc", "-w", "-O1", "-DSAFETY", "-DNOREDUCE", "-DVECTORSZ=512", "-o", "pan", "pan.c"])
    for command in steps:
        code, said = call(command, folder)
        if code or "error" in said.lower():
            return None, f"{command[0]}: {said.strip()[:200]}"
    # every depth it may need: a search that is cut short proves nothing
    code, said = call(["./pan", "-m200000", "-n"], folder)
    with open(os.path.join(folder, "pan.log"), "w", encoding="utf-8") as out:
        out.write(said)
    errors = re.search(r"errors: (\d+)", said)
    states = re.search(r"(\d+) states, stored", said)
    if code or not errors or not states:
        return None, f"the search did not end: exit status {code}"
    if errors[1] != "0":
        what = re.search(r"^pan:\d+: (.*?) \(at depth", said, re.M)
        # only these two are verdicts on the protocol
        if not what or not re.match(r"assertion violated|invalid end state", what[1]):
            return None, what[1] if what else "an error without a name"
        return WRONG, what[1]
    if "max search depth too small" in said or "Search not completed" in said:
        return None, "the search was cut short"
    return RIGHT, f"{states[1]} states"


def main():
    work = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build/tests/model")
    only = os.environ.get("ONLY", "")
    failed = 0
    for name, file, definitions, wanted in RUNS:
        if only not in "model/" + name:
            continue
        try:
            found, word = search(os.path.join(work, name), file, definitions)
        except subprocess.TimeoutExpired as slow:
            found, word = None, f"{slow.cmd[0]} took longer than {SECONDS} s"
        if found == wanted:
            print(f"{name}: {word}")
            print(f"ok {name}", flush=True)
        else:
            failed += 1
            print(f"FAIL {name}: found {found or 'nothing'}, must be {wanted}: {word}", flush=True)
    if only in "model/steps":
        code, said = call([sys.executable, os.path.join(HERE, "steps.py")], os.getcwd())
        sys.stdout.write(said)
        failed += code != 0
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
