#!/usr/bin/env python3
"""What does a developer see? gdb's helpers read a stopped kernel and name its cores, rings and
trace; a trap taken in the kernel writes an epitaph on the console, and gdb finds the same one in a
machine that was told to halt.
"""
import re
import shutil
import subprocess

import conf
import vm

SECONDS = 60


def config():
    chosen = conf.choose(3, None)
    chosen.set("map", "0:kernel+net+io,1:user,2:user")
    chosen.set("run", "@1 /bin/echod 7")
    chosen.set("net", "off")
    chosen.set("trace", "on")
    chosen.set("panic", "halt")
    return chosen


def gdb(port, *commands):
    words = ["gdb-multiarch", "-batch", "-nx", "-q", "build/riscv64/kernel.elf",
             "-ex", f"target remote 127.0.0.1:{port}", "-x", "scripts/gdb/sluice.py"]
    for command in commands:
        words += ["-ex", command]
    done = subprocess.run(words + ["-ex", "detach"], capture_output=True, text=True,
                          timeout=SECONDS, check=False)
    return done.stdout + done.stderr


def judge(name, text, *patterns):
    for pattern in patterns:
        if not re.search(pattern, text, re.M):
            print(f"FAIL {name}: nothing like {pattern!r}")
            for line in text.splitlines()[-20:]:
                print("# " + line)
            return
    print("ok " + name)


def main():
    if not shutil.which("gdb-multiarch"):
        print("FAIL gdb helpers: gdb-multiarch is not installed (make deps)")
        return
    port = vm.free_ports(1)[0]
    with vm.VM(config(), ports={}, extra=["-gdb", f"tcp:127.0.0.1:{port}"]) as guest:
        guest.wait_for("^echod: ready", SECONDS)
        alive = gdb(port, "cores", "core 0", "ops", "rings", "trace 4", "epitaph")
        judge("cores", alive, r"^core 0 +kernel\+io\+net", r"^core 1 +user", r"^core 2 +user")
        judge("core N", alive, r"parts: mailbox devices timers ops rings flush")
        judge("ops", alive, r" accept .*parked", r"^\d+ operations")
        judge("rings", alive, r"^process 1 echod, home core 0", r"ring \d+ polled +core 0 sq")
        judge("trace", alive, r"core 0 sleep")
        judge("epitaph of a living kernel", alive, r"has not panicked")
        dead = gdb(port, "thread apply all set $pc = 0x10", "tbreak main_end", "continue", "epitaph")
        judge("epitaph", dead, r"^PANIC core \d", r"trap in the kernel.*sepc 0x10 ")
        try:
            guest.wait_for(r"^NEVER", 3)
        except vm.VMError as error:
            judge("epitaph on the console", str(error), r"^the kernel stopped: PANIC core \d")


if __name__ == "__main__":
    main()
