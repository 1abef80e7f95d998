#!/usr/bin/env python3
"""What does a user see who runs a program of Linux (`make run PROGRAM=`)? What it prints, and that the
machine ends with it; a sentence where there is no such program.
"""
import os
import subprocess
import sys

SECONDS = 60
PROGRAM = os.path.join("build", "tests", "linux", "calls")


def run(program, *words):
    environment = dict(os.environ, PROGRAM=program)
    for name in ("MAP", "SMP", "DISK", "RUN_SECONDS", "TOP"):
        environment.pop(name, None)
    done = subprocess.run([sys.executable, os.path.join("scripts", "run"), *words], capture_output=True, text=True,
                          env=environment, timeout=SECONDS, check=False)
    return done.returncode, done.stdout + done.stderr


def judge(name, found, code, *said):
    missing = [words for words in said if words not in found[1]]
    if found[0] == code and not missing:
        print("ok " + name)
        return
    print(f"FAIL {name}: status {found[0]}, nothing like {missing}")
    for line in found[1].splitlines()[-20:]:
        print("# " + line)


def main():
    judge("a program of Linux", run(PROGRAM), 0, "calls: exit status 0", "leaks: frames 0 ops 0 net 0")
    judge("no such file", run("no/such/file"), 1, "run: PROGRAM=no/such/file: No such file or directory.")
    judge("a program of this host", run(sys.executable), 1, "is no program of riscv64")
    judge("not in a process of this host", run(PROGRAM, "--machine", "hosted"), 1, "is for riscv64")


if __name__ == "__main__":
    main()
