#!/usr/bin/env python3
"""compile-commands.py: turns the commands of `make -n` on standard input into a compilation database."""
import json
import os
import re
import shlex
import sys

top = os.getcwd()
entries = []
for line in sys.stdin.read().replace("\\\n", " ").splitlines():
    match = re.search(r"mkdir -p \S+ && (.* -c (\S+) -o \S+)$", line)
    if match:
        entries.append({"directory": top, "file": match[2], "arguments": shlex.split(match[1])})
json.dump(entries, sys.stdout, indent=1)
print()
