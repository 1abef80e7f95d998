#!/usr/bin/env python3
"""Does the policy that docs/balancer.md shows compile, as it stands there?"""
import os
import re
import subprocess
import sys

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
FLAGS = ["-std=gnu17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-iquote", ".", "-iquote", "kernel", "-iquote",
         "kernel/arch/hosted", "-DCONFIG_ARCH_HOSTED=1", "-x", "c", "-"]


def main():
    with open(os.path.join(TOP, "docs", "balancer.md"), encoding="utf-8") as page:
        found = re.findall(r"^```c\n(.*?)^```$", page.read(), re.M | re.S)
    said = "the page shows no policy"
    if len(found) == 1 and "struct policy policy_" in found[0]:
        run = subprocess.run(["gcc", *FLAGS], input=found[0], capture_output=True, text=True, cwd=TOP, check=False)
        said = run.stderr.strip()
    print(f"FAIL the page's policy: {said}" if said else "ok the page's policy compiles")
    sys.exit(bool(said))


if __name__ == "__main__":
    main()
