#!/usr/bin/env python3
"""Does every operation let its core go within the budget of a step, 50,000 instructions, when it is asked for the
most that it takes? One hart, -icount: bench/steps.py says what is counted, docs/steps.md what it comes to.

What is known to hold its core longer is listed here with what it may take at most, and nothing else may.
"""
import os
import re
import sys
import tempfile

import conf
import vm

sys.path.insert(0, "bench")
import steps  # noqa: E402

SECONDS = 120
# Instructions at most, and why more than the budget. All grow with what a program may ask for, never with what
# others do.
OVER = {
    ("op", "sendmsg"): (4_000_000, "1,024 pieces on their way into the network's buffers"),
    ("op", "recvmsg"): (3_000_000, "1,024 pieces out of them"),
    ("op", "send"): (200_000, "64 KiB through TCP over loopback, both ends in one step"),
    ("op", "recv"): (80_000, "the same"),
    ("op", "io_uring_register"): (2_000_000, "64 MiB registered at once"),
    ("op", "io_uring_setup"): (900_000, "zeroes 3 MiB of ring"),
    ("op", "ftruncate"): (2_000_000, "32 MiB cut off a memory file, which nobody may see half-way"),
    ("op", "close"): (2_000_000, "the last close of such a file"),
    ("op", "async_cancel"): (300_000, "2,000 operations that match"),
    ("op", "futex"): (150_000, "2,000 waiters requeued, which nobody may see half-way"),
    ("op", "write"): (80_000, "2,000 waiters woken"),
    ("mail", "death_begins"): (250_000, "2,000 operations in flight at the end of a program"),
    ("mail", "death_arrives"): (80_000, "their rings and tables"),
    ("mail", "order_returns"): (90_000, "the same"),
    ("mail", "run_spawn"): (120_000, "boot: a program of the run list is loaded at once"),
}
# What cannot be asked for here.
NEVER = {"link_timeout": "never runs by itself: its guarded operation does"}


def main():
    config = conf.choose(1, None)
    with tempfile.TemporaryDirectory() as folder:
        options = steps.options(folder)
        for key in ("run", "trace"):
            config.set(key, options[key])
        config.set("exit", "power")
        config.set("net", "off")
        disk = os.path.join(folder, "disk.img")
        with open(disk, "wb") as image:
            image.truncate(16 << 20)
        with vm.VM(config, ports={}, disk=disk, mem=options["mem"], files=options["files"],
                   extra=["-icount", "shift=0,sleep=off"]) as guest:
            assert guest.wait_end(SECONDS), "b_steps does not end"
            guest.stop()
            lines = re.findall(r"^bench: (.*)$", guest.console, re.M)
    rows = steps.worst([dict(word.split("=", 1) for word in line.split()) for line in lines])
    asked = [row for row in rows if row[2]]
    print("ok steps are measured" if len(asked) > 80 else f"FAIL steps: {len(asked)} rows only")
    forgotten = [name for _, name, longest, _ in rows if not longest and name not in NEVER]
    print("FAIL never asked for: " + ", ".join(forgotten) if forgotten else "ok every operation is asked for")
    wrong = [f"{kind} {name}: {longest:,} ({case})" for kind, name, longest, case in asked
             if longest > OVER.get((kind, name), (steps.BUDGET,))[0]]
    for line in wrong:
        print("# " + line)
    print(f"FAIL budget: {len(wrong)} hold the core too long" if wrong else "ok each within its budget")
    stale = [f"{kind} {name}" for kind, name, longest, _ in rows if (kind, name) in OVER and longest <= steps.BUDGET]
    print("FAIL within the budget by now, and still listed: " + ", ".join(stale) if stale else "ok the list is true")


if __name__ == "__main__":
    main()
