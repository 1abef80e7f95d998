#!/usr/bin/env python3
"""test.py: runs the tests of one kind and counts them.

usage: test.py begin                forget earlier counts
       test.py unit|sim PROGRAM...  programs of this host
       test.py abi                  programs of the guest: tests/abi, on both machines; those on
                                    libasync also on this host's Linux; tests/abi/linux: programs of
                                    Linux, on riscv64, against two C libraries
       test.py boot                 host-side scripts tests/boot/test_*.py
       test.py soak                 the long ones: tests/boot/soak_*.py; not counted by sum
       test.py model                tests/model: searches of the lock-free protocols' states
       test.py sum                  print "N passed, N failed" of what ran since begin

One line per test: `ok NAME` or `FAIL NAME: why`. A program or script may speak for its own parts,
with such lines or with TAP; one that says nothing counts once, by its exit status. One that ends
badly, or not at all, without naming a failed part is a failure of its own. ONLY=text picks tests
by name; ABI_BUILD=folder runs the hosted machine of that folder, and only it. Exit status is non-zero when something failed.
"""
import ctypes
import errno
import glob
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import threading

import conf
import vm

COUNTS = os.path.join("build", "tests", "counts")
LOGS = os.path.join("build", "tests", "log")
# Seconds. A test that takes longer hangs; two other builds may share the machine.
LIMIT = {"unit": 120, "sim": 300, "abi": 90, "boot": 900, "model": 900}
SOAK_LIMIT = 7200
ABI_BUILD = os.environ.get("ABI_BUILD")
ABI_MACHINES = ("hosted",) if ABI_BUILD else ("riscv64", "uintr", "noh", "plic", "hosted")
# Other machines than riscv64's, all programs unless said: "uintr" is riscv64 with every program in
# VS-mode (UINTR=all does so on riscv64); "noh" has no hypervisor extension, so that user interrupts
# become upcalls, and "plic" no AIA either.
UPCALL_PROGRAMS = ("async_crew_preempt", "async_notice", "async_preempt", "integer_preempt", "hostile_upcall", "notice_calls", "notice_flood", "notice_many", "notice_race", "uintr_note")
ABI_PROGRAMS = {"uintr": ("async_net", "async_switch", "hostile_faults", "hostile_memory", "memory_calls",
                          "mixed_chaos", "mixed_preempt", "move_memory", "move_registers", "preempt_long",
                          "ring_wakeup", "thread_calls"),
                "noh": UPCALL_PROGRAMS, "plic": (*UPCALL_PROGRAMS, "preempt_long")}
ABI_EXTRA = {"noh": ("-machine", "aia-guests=0", "-cpu", "rv64,h=false"),
             "plic": ("-machine", "aia=none", "-cpu", "rv64,h=false")}
# Boot scripts that run once more with every program in VS-mode: what programs do when several of
# them share a hart and sleep. All of them so: UINTR=all make boot.
UINTR_BOOT = ("coretop", "maps")
SAYS = re.compile(r"^(ok|FAIL|not ok)\b\s*(?:(\d+)\s*-?\s+)?(.*)$")

only = os.environ.get("ONLY", "")


class Counts:
    def __init__(self, kind):
        self.kind = kind
        self.passed = 0
        self.failed = 0

    def ok(self, name):
        self.passed += 1
        print(f"ok {name}", flush=True)

    def fail(self, name, why):
        self.failed += 1
        print(f"FAIL {name}: {why}", flush=True)

    def keep(self):
        os.makedirs(COUNTS, exist_ok=True)
        with open(os.path.join(COUNTS, self.kind), "w", encoding="utf-8") as out:
            out.write(f"{self.passed} {self.failed}\n")


def log_of(name):
    path = os.path.join(LOGS, name.replace("/", "_") + ".log")
    os.makedirs(LOGS, exist_ok=True)
    return path


def how_it_ended(code):
    if code < 0:
        try:
            return f"ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"ended by signal {-code}"
    return f"exit status {code}"


def stream(command, limit, environment, on_line):
    """Runs a command in a session of its own; gives its exit code, or None if it was too slow."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, env=environment, start_new_session=True)
    slow = threading.Event()

    def end():
        slow.set()
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    timer = threading.Timer(limit, end)
    timer.start()
    try:
        for line in process.stdout:
            on_line(line.decode("utf-8", "replace").rstrip("\n"))
        code = process.wait()
    except BaseException:
        end()
        raise
    finally:
        timer.cancel()
    return None if slow.is_set() else code


def run_program(counts, name, command, limit, loud=False):
    """Runs one program, turning what it says of its parts into lines of ours."""
    said = {"ok": 0, "FAIL": 0}
    log = log_of(name)
    environment = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP",
                       ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "detect_stack_use_after_return=0"),
                       UBSAN_OPTIONS="print_stacktrace=1")
    with open(log, "w", encoding="utf-8") as out:
        def on_line(line):
            out.write(line + "\n")
            match = SAYS.match(line)
            if not match:
                if loud:
                    print(line, flush=True)
                return
            part, _, why = match[3].strip().partition(": ")
            part = f"{name}/{part}" if part else name
            if match[1] == "ok":
                said["ok"] += 1
                counts.ok(part)
            else:
                said["FAIL"] += 1
                counts.fail(part, why or f"see {log}")
        code = stream(command, limit, environment, on_line)
    if code is None:
        counts.fail(name, f"did not end within {limit} s, see {log}")
    elif code and not said["FAIL"]:
        counts.fail(name, f"{how_it_ended(code)}, see {log}")
    elif not code and not said["ok"] + said["FAIL"]:
        counts.ok(name)
    elif not code and said["FAIL"]:
        pass  # counted already
    return code


def picked(names):
    return [n for n in names if only in n]


def run_host(counts, kind, programs):
    for program in programs:
        name = f"{kind}/{os.path.basename(program)}"
        if picked([name]):
            run_program(counts, name, [os.path.abspath(program)], LIMIT[kind])


def run_boot(counts, head="test_"):
    runs = [(f"{counts.kind}/" + os.path.basename(script)[len(head):-len(".py")], script, [])
            for script in sorted(glob.glob(f"tests/boot/{head}*.py"))]
    if head == "test_" and not os.environ.get("UINTR"):
        runs += [(f"{counts.kind}/uintr/{name}", f"tests/boot/test_{name}.py", ["env", "UINTR=all"])
                 for name in UINTR_BOOT]
    os.environ["PYTHONPATH"] = os.pathsep.join(["scripts", os.path.join("tests", "boot"),
                                                os.environ.get("PYTHONPATH", "")])
    for name, script, words in runs:
        if picked([name]):
            run_program(counts, name, [*words, sys.executable, "-u", script], LIMIT.get(counts.kind, SOAK_LIMIT))


# ---- abi: programs of the guest -----------------------------------------------------------------

def abi_head(program):
    with open(os.path.join("tests", "abi", program.split(",")[0] + ".c"), encoding="utf-8") as text:
        return text.read(4096)


def abi_path(program):
    """Where it is in the guest, and the file besides the initial archive's, if it is one: a program of
    Linux, `linux/NAME` or, built against musl, `linux/NAME,musl`; `,mixed` is the first on one hart,
    where calls are served in the trap."""
    if not program.startswith("linux/"):
        return f"/bin/t_{program}", {}
    name, _, how = program[len("linux/"):].partition(",")
    return f"/bin/{name}", {f"bin/{name}": os.path.join("build", "tests", "musl" if how == "musl" else "linux", name)}


def abi_run(hart, path, words):
    """An entry of the run list; NAME=VALUE in front of the arguments is environment."""
    words = words.split()
    count = len(list(itertools.takewhile(lambda word: "=" in word, words)))
    return " ".join([hart, *words[:count], path, *words[count:]])


def abi_conf(program):
    """The map that the test's first lines ask for (`map: NAME.conf`), else the default one. The
    program runs once on the first user hart (`env: NAME=VALUE` is its environment), and once more,
    with other arguments, for each line `also: [NAME=VALUE] ARGUMENTS`, on the user harts in turn.
    A line `boot: KEY=VALUE` is a boot argument."""
    head = abi_head(program)
    match = re.search(r"\bmap: (\S+\.conf)", head)
    first = re.search(r"^ \* env: (.*)$", head, re.M)
    config = conf.choose(None, "smp1.conf" if program.endswith(",mixed") else match[1] if match else None)
    harts = sorted(h for h, roles in config.roles().items() if roles & conf.RUNS)
    runs = [first[1] if first else ""] + re.findall(r"^ \* also: (.*)$", head, re.M)
    config.set("run", ";".join(abi_run(f"@{harts[i % len(harts)]}", abi_path(program)[0], words)
                               for i, words in enumerate(runs)))
    config.set("exit", "power")
    for key, value in re.findall(r"^ \* boot: (\w+)=(\S+)$", head, re.M):
        config.set(key, value)
    config.check()
    return config


def abi_wrong_end(program, console):
    """Why the ends of the test's programs are not those wanted: the first must exit with status 0,
    the others as the lines `ends: ...` say, in any order. None if all is well."""
    wanted = ["exit status 0"] + re.findall(r"^ \* ends: (.*)$", abi_head(program), re.M)
    name = os.path.basename(abi_path(program)[0])
    found = re.findall(rf"^{name}: (exit status \d+|killed by signal \d+)(.*)$", console, re.M)
    for end, more in found:
        if end in wanted:
            wanted.remove(end)
            continue
        words = [l for l in console.splitlines() if l.startswith("FAIL ")]
        return words[0][5:] if words else end + more.rstrip()
    return f"no program reported: {wanted[0]}" if wanted else None


def run_abi_one(counts, machine, program):
    """One guest per test: how its programs end, as the kernel reports it, is the verdict."""
    name = f"abi/{machine}/{program}"
    log = log_of(name)
    config = abi_conf(program)
    if machine == "uintr":
        config.set("uintr", "all")
    guest = vm.VM(config, "hosted" if machine == "hosted" else "riscv64", ABI_BUILD, disk=abi_disk(),
                  extra=ABI_EXTRA.get(machine, ()), files=abi_path(program)[1])
    with guest:
        ended = guest.wait_end(LIMIT["abi"])
        guest.kill()
        console = guest.console
        code = guest.process.returncode
    with open(log, "w", encoding="utf-8") as out:
        out.write(console)
    wrong = abi_wrong_end(program, console)
    alone = not re.search(r"^ \* also: ", abi_head(program), re.M)
    leaks = re.search(r"^leaks: frames (-?\d+) ops (-?\d+) net (\d+)", console, re.M)
    panic = vm.PANIC.search(console)
    if panic:
        counts.fail(name, " ".join(panic[0].split()) + f", see {log}")
    elif not ended:
        counts.fail(name, f"the guest did not end within {LIMIT['abi']} s, see {log}")
    elif wrong:
        counts.fail(name, f"{wrong}, see {log}")
    elif not leaks or set(leaks.groups()) != {"0"}:
        counts.fail(name, f"{leaks[0] if leaks else 'the kernel counted no leaks'}, see {log}")
    elif code and alone:  # a program that must die makes the machine's status non-zero
        counts.fail(name, f"the machine's {how_it_ended(code)}, see {log}")
    else:
        counts.ok(name)


# ---- abi: the programs on libasync, once more as programs of Linux ------------------------------

LINUX_BUILD = os.path.join("build", f"linux-{os.uname().machine}")
# Each kind of ring there is (libasync/linux/start.c) where the kernel's behaviour differs most.
LINUX_RINGS = {"async_cancel": ("", "sqpoll"), "async_chaos": ("", "plain", "sqpoll"),
               "async_many": ("", "sqpoll"), "async_net": ("", "coop", "plain", "sqpoll")}


def linux_refusal():
    """Why this host lets nobody have a ring, as an errno's name; None if it does."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(425, 1, ctypes.create_string_buffer(120))  # io_uring_setup
    if fd < 0:
        return errno.errorcode.get(ctypes.get_errno(), "an unknown error")
    os.close(fd)
    return None


def free_ports():
    """A port that nobody listens on, nor on the one above it."""
    while True:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("", 0))
            try:
                two.bind(("", one.getsockname()[1] + 1))
            except OSError:
                continue
            return one.getsockname()[1]


def run_abi_linux(counts, programs):
    runs = [(f"abi/linux/{program}" + (f",{ring}" if ring else ""), program, ring)
            for program in programs if program.startswith("async_")
            for ring in LINUX_RINGS.get(program, ("",))]
    runs = [run for run in runs if picked([run[0]])]
    refusal = linux_refusal() if runs else None
    if refusal:
        print(f"abi/linux: skipped, since io_uring_setup answers {refusal} on this host", flush=True)
        return
    for name, program, ring in runs:
        argument = {"async_disk": abi_disk(), "async_net": free_ports(), "async_chaos": free_ports()}
        command = [os.path.join(LINUX_BUILD, "apps", f"t_{program}")]
        command += [str(argument[program])] if program in argument else []
        run_program(counts, name, ["env", f"LIBASYNC_RING={ring}"] + command, LIMIT["abi"])


def abi_disk():
    path = os.path.join("build", "tests", "abi.img")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as image:  # fresh and empty for each test
        image.truncate(16 << 20)
    return path


def run_abi(counts):
    programs = sorted(os.path.basename(p)[:-len(".c")] for p in glob.glob("tests/abi/*.c"))
    doors = [f"linux/{os.path.basename(p)[:-len('.c')]}{how}" for p in sorted(glob.glob("tests/abi/linux/*.c"))
             for how in ("", ",musl", ",mixed")]
    for machine in ABI_MACHINES:
        for program in ABI_PROGRAMS.get(machine, programs) if machine != "riscv64" else programs + doors:
            if picked([f"abi/{machine}/{program}"]):
                try:
                    run_abi_one(counts, machine, program)
                except (vm.VMError, conf.ConfError) as error:
                    counts.fail(f"abi/{machine}/{program}", str(error))
    if not ABI_BUILD:
        run_abi_linux(counts, programs)


# ---- counting -----------------------------------------------------------------------------------

def begin():
    for path in glob.glob(os.path.join(COUNTS, "*")):
        os.unlink(path)


def sum_up():
    passed = failed = 0
    for kind in LIMIT:
        path = os.path.join(COUNTS, kind)
        if not os.path.exists(path):
            print(f"FAIL {kind}: was not built or did not run")
            failed += 1
            continue
        with open(path, encoding="utf-8") as counts:
            good, bad = counts.read().split()
        passed += int(good)
        failed += int(bad)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in ("begin", "sum", "soak", *LIMIT):
        sys.exit(__doc__)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # with all that was started
    kind = sys.argv[1]
    if kind == "begin":
        begin()
        return
    if kind == "sum":
        sum_up()
    counts = Counts(kind)
    try:
        if kind == "abi":
            run_abi(counts)
        elif kind == "boot":
            run_boot(counts)
        elif kind == "soak":
            run_boot(counts, "soak_")
        elif kind == "model":  # it picks by ONLY itself
            run_program(counts, kind, [sys.executable, "-u", "tests/model/run.py"], LIMIT[kind])
        else:
            run_host(counts, kind, sys.argv[2:])
    finally:
        counts.keep()
    sys.exit(1 if counts.failed else 0)


if __name__ == "__main__":
    main()
