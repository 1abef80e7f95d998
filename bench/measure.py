"""measure.py: what the benchmarks share: guests with the counting plugin, clients, figures.

A benchmark is a module with a function measure(bench). It starts guests through `bench`, and gives
its figures to bench.figure(); nothing else is kept, and no figure comes from anywhere but this run.
"""
import contextlib
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "scripts"))

import conf  # noqa: E402  (scripts/)
import vm  # noqa: E402
from peer import linux  # noqa: E402

BUILD = os.path.join("build", "bench")
GATE = os.path.join(BUILD, "gate.so")
GATE_PASSED = "gate: no sleep"
KERNEL = os.path.join("build", "riscv64", "kernel.elf")
DISK_BYTES = 64 << 20
MARK_BEGIN, MARK_END = 0x30, 0x31  # bench/guest/lib/guest.h
MARK_READY = 0x33  # libasync/ring.h, bench/peer/guest/peer.h
KINDS = ("user", "kernel", "firmware")


# Under -icount nothing but the guest decides what it executes, and one thread runs the harts in turns. A turn
# ends at a timer, and without one takes a tenth of a second; a filter of the network that looks each
# microsecond is such a timer. At two nanoseconds an instruction a turn is 500 instructions.
TURN = 500


def in_turns(us=1):
    return ["-icount", "shift=1,sleep=off", "-object", f"filter-buffer,id=turns,netdev=net0,interval={us}"]



# A disk of zeros without a file or a thread behind it: what it is asked for is ready when QEMU next looks.
ZEROS = f"driver=null-co,size={DISK_BYTES},read-zeroes=on"

# What the guest sends is on its way a microsecond of its time later, not when QEMU's main thread gets to it.
SEND_AT_ONCE = ["-global", "virtio-net-device.tx=timer", "-global", "virtio-net-device.x-txtimer=1000"]


class BenchError(Exception):
    pass


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def symbol(name, elf=KERNEL):
    for line in output("riscv64-unknown-elf-nm", elf).splitlines():
        words = line.split()
        if len(words) == 3 and words[2] == name:
            return int(words[0], 16)
    raise BenchError(f"{elf} has no symbol {name}")


class Totals:
    """What the plugin counted, one dictionary per hart; differences are Totals, too. Of a window: `hart`
    that marked it, with profile=windows the `runs` it made (bench/plugin/count.c), and `inner`: the totals
    at each mark inside, as (mark, Totals)."""

    def __init__(self, harts):
        self.harts = harts
        self.hart, self.runs, self.inner = None, [], []

    def __sub__(self, other):
        return Totals([{key: a[key] - b[key] for key in a} for a, b in zip(self.harts, other.harts)])

    def sum(self, *keys):
        return sum(hart[key] for hart in self.harts for key in keys)

    def all(self):
        """Instructions of all harts and levels, polling included."""
        return self.sum(*KINDS)

    def polled(self):
        return self.sum(*("idle_" + kind for kind in KINDS))

    def kernel(self):
        """Kernel and firmware, polling for nothing taken out."""
        return self.sum("kernel", "firmware") - self.kernel_polled()

    def kernel_polled(self):
        return self.sum("idle_kernel", "idle_firmware")

    def user_hart(self):
        """The hart that executed most user instructions."""
        return max(self.harts, key=lambda hart: hart["user"])


class Plugin:
    """The plugin's side of one guest: QEMU's words for it, its totals, the log of its marks.
    vector: the address of the kernel's trap vector, or None when that is not known."""

    def __init__(self, vector=None, profile=None):
        self.folder = tempfile.mkdtemp(prefix="sluice-bench-")
        self.socket = os.path.join(self.folder, "ctl")
        self.log = os.path.join(self.folder, "log")
        self.vector, self.profile = vector, profile
        self.stream = None

    def words(self):
        plugin = os.path.join(BUILD, "count.so")
        return ["-plugin", f"{plugin},ctl={self.socket},log={self.log}" +
                (f",strap={self.vector:#x}" if self.vector else "") +
                (f",profile={self.profile}" if self.profile else "")]

    def ask(self, question):
        if self.stream is None:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(self.socket)
            self.stream = connection.makefile("rw")
            connection.close()
        self.stream.write(question + "\n")
        self.stream.flush()
        return self.stream.readline()

    def totals(self):
        return Totals(json.loads(self.ask("totals"))["harts"])

    def first_user(self):
        """Instructions of all harts from reset until the first one of user code."""
        return json.loads(self.ask("totals"))["first_user"]

    def marks(self):
        """{mark: what had been counted when it was last executed}, and first_user of the last one."""
        with open(self.log, encoding="utf-8") as lines:
            found = [json.loads(line) for line in lines]
        return ({mark["mark"]: Totals(mark["totals"]["harts"]) for mark in found},
                found[-1]["totals"]["first_user"] if found else None)

    def runs(self):
        """The profile: {(address, instructions, kind, hart): (runs, idle runs)}."""
        found = {}
        line = self.ask("profile")
        while line and line != "end\n":
            address, count, kind, hart, runs, idle = line.split()
            found[int(address, 16), int(count), kind, int(hart)] = int(runs), int(idle)
            line = self.stream.readline()
        return found

    def windows(self):
        """What was counted between each MARK_BEGIN and the MARK_END behind it."""
        found, begin, inner = [], None, []
        with open(self.log, encoding="utf-8") as lines:
            for line in lines:
                mark = json.loads(line)
                totals = Totals(mark["totals"]["harts"])
                if mark["mark"] == MARK_BEGIN:
                    begin, inner = totals, []
                elif mark["mark"] == MARK_END and begin:
                    window = totals - begin
                    window.hart, window.runs, window.inner = mark["hart"], mark.get("runs", []), inner
                    found.append(window)
                    begin = None
                else:
                    inner.append((mark["mark"], totals))
        return found

    def close(self):
        if self.stream:
            self.stream.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Client:
    """A program of this host that meets us at "steady" and "done" (bench/host/host.h)."""

    def __init__(self, program, *arguments):
        self.name = program
        self.process = subprocess.Popen([os.path.join(BUILD, program), *map(str, arguments)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.said = []

    def wait_for(self, word):
        for line in self.process.stdout:
            if line.strip() == word:
                return
            self.said.append(line.strip())
        self.fail()

    def fail(self):
        self.process.kill()
        raise BenchError(f"{self.name}: {self.process.stderr.read().strip() or 'ended too early'}")

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self):
        self.go()
        self.process.stdin.close()
        if self.process.wait(30):
            self.fail()
        self.close()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                stream.close()

    def window(self, guest):
        """What the guest's plugin, if it has one, counts from "steady" to "done"; the client has ended
        then."""
        self.wait_for("steady")
        before = guest.plugin.totals() if guest.plugin else None
        self.go()
        self.wait_for("done")
        counted = guest.plugin.totals() - before if guest.plugin else None
        self.end()
        return counted

    def value(self, key):
        """The number behind `key` in what it said."""
        for line in self.said:
            words = line.split()
            if key in words:
                return float(words[words.index(key) + 1])
        raise BenchError(f"{self.name} did not say {key}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def run_host(program, *arguments, prefix=()):
    """Runs a program of this host to its end; gives what it printed."""
    out = subprocess.run([*prefix, os.path.join(BUILD, program), *map(str, arguments)],
                         capture_output=True, text=True, timeout=120, start_new_session=True,
                         check=False)
    if out.returncode:
        raise BenchError(f"{program}: {out.stderr.strip()}")
    return out.stdout.strip()


# Puts a command ahead of what else this machine does, where that is allowed: two threads that wait
# for each other measure the neighbours otherwise. A session is scheduled as one, with a weight of its
# own (sched(7), autogroups), so both weights are raised. All contestants get the same.
AHEAD = ["sh", "-c", "{ echo -20 > /proc/self/autogroup; renice -n -20 -p $$; } >/dev/null 2>&1; "
                     'exec "$@"', "sh"]

# The same, and before everything that is not: for guests whose harts are busy at no more places than this
# machine has processors for some milliseconds, while neighbours would stop one of them for as long.
FIRST = [*AHEAD, "sh", "-c", 'chrt -r 1 true 2>/dev/null && exec chrt -r 1 "$@"; exec "$@"', "sh"]


class Figure:
    """One row: the median of `values`. `met`: for a target that the value alone cannot judge."""

    def __init__(self, name, param, values, unit, note="", met=None):
        self.name, self.param, self.unit, self.note = name, str(param), unit, note
        self.met = met
        self.values = sorted(values)
        self.value = statistics.median(self.values)


class Bench:
    def __init__(self):
        self.figures = []
        self.started = time.monotonic()
        self.configs = {}
        self.quiet = False

    def say(self, text):
        if not self.quiet:
            print(f"  [{time.monotonic() - self.started:4.0f} s] {text}", flush=True)

    def figure(self, *row, **more):
        row = Figure(*row, **more)
        self.figures.append(row)
        self.say(f"{row.name} {row.param}: {shown(row.value)} {row.unit}")
        return row

    def disk(self):
        """A fresh disk image of zeros."""
        os.makedirs(BUILD, exist_ok=True)
        path = os.path.join(BUILD, "disk.img")
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)
        with open(path, "wb") as image:
            image.truncate(DISK_BYTES)
        return path

    @contextlib.contextmanager
    def guest(self, smp=None, run=None, plugin=False, icount=False, profile=None, machine="riscv64",
              stay=False, disk=False, drive=None, prefix=(), extra=(), serial=None,
              ports=None, servers=None, build=None, files=None, gate=False, wire=None, mem="256M",
              **values):
        """A started guest with the map of configs/ for `smp` harts; `run` replaces its programs, and
        then it powers off when these ended, unless it is to stay, and has a disk only if that is
        said (`drive`: QEMU's words for another one), and a network only if `ports` of it are to be
        forwarded. `build`: another folder of images; `files`: more
        files of vm.VM. `icount`: in_turns() where more than one hart is counted so; `gate`: with it, devices
        go on only while the guest sleeps (bench/plugin/gate.c), and the disk is ZEROS; `wire`: the same, and
        the network is this one (bench/wire.py). guest.plugin is the counter, when there is one."""
        config = conf.choose(smp)
        for key, value in values.items():
            config.set(key, str(value))
        if servers:  # other words for the programs that the map names
            config.set("run", servers)
        if run:
            config.set("run", run)
            if not stay:
                config.set("exit", "power")
            if not ports:
                config.set("net", "off")
        config.check()
        counter = Plugin(symbol("trap_entry"), profile) if plugin or profile else None
        disk, gated = disk or not run, gate or wire
        machine = vm.VM(config, machine, build=build, drive=ZEROS if disk and gated else drive,
                        disk=self.disk() if disk and not gated else None,
                        prefix=prefix, extra=list(extra), serial=serial, files=files, mem=mem,
                        ports=ports or ({} if run else None))
        with self.running(machine, counter, icount, gate, wire) as guest:
            yield guest

    @contextlib.contextmanager
    def peer(self, script, plugin=False, icount=False, profile=None, disk=False, extra=(), gate=False, wire=None,
             **options):
        """A started guest of the peer (bench/peer/linux.py: script and options); guest.plugin as
        above. `disk`: with a fresh disk image of the same size."""
        with self.running(linux.Guest(script, disk=self.disk() if disk and not (gate or wire) else None,
                                      drive=ZEROS if disk and (gate or wire) else None, extra=list(extra), **options),
                          Plugin(profile=profile) if plugin else None, icount, gate, wire) as guest:
            yield guest

    @contextlib.contextmanager
    def running(self, guest, counter, icount, gate, wire):
        guest.plugin = counter
        if gate or wire:
            guest.prefix += ["env", f"LD_PRELOAD={os.path.abspath(GATE)}"]
            guest.extra += ["-plugin", GATE + (f",ctl={wire.gate}" if wire else "")]
        if wire:
            guest.netdev = wire.netdev
            guest.extra += SEND_AT_ONCE
        if icount:
            guest.extra += ["-icount", "shift=0,sleep=off"] if icount is True else icount
        if counter:
            guest.extra += counter.words()
        self.configs[guest.config.name] = guest.config.cmdline()
        try:
            with guest:
                yield guest
        except vm.VMError as error:
            raise BenchError(f"{error}\n{error.tail}") from None
        finally:
            if counter:
                counter.close()

    @contextlib.contextmanager
    def servers(self, **options):
        """The guest of `make run`, both servers ready; guest.boot is what was counted until the later one
        said so to the plugin, however late we hear of it."""
        with self.guest(**options) as guest:
            for name in ("echod", "nbdd"):
                guest.wait_for(f"^{name}: ready", 60)
            guest.boot = guest.plugin.marks()[0][MARK_READY] if guest.plugin else None
            yield guest

    def finish(self, guest, limit):
        """Lets a guest run to its end; gives its `bench:` lines as dictionaries."""
        if not guest.wait_end(limit):
            raise BenchError(f"the guest did not end within {limit} s\n{guest.tail()}")
        guest.stop()
        if GATE_PASSED in guest.console:
            raise BenchError("a guest that did not sleep passed the gate")
        lines = re.findall(r"^bench: (.*)$", guest.console, re.M)
        if not lines:
            raise BenchError("the guest measured nothing\n" + guest.tail())
        return [dict(word.split("=", 1) for word in line.split()) for line in lines]

    def results(self, limit=120, **options):
        """Runs a guest to its end; gives its `bench:` lines, and the plugin's windows."""
        with self.guest(**options) as guest:
            found = self.finish(guest, limit)
            return found, guest.plugin.windows() if guest.plugin else []

    def peer_results(self, script, limit=120, **options):
        """The same of the peer, whose script runs to its end."""
        with self.peer(script, **options) as guest:
            found = self.finish(guest, limit)
            return found, guest.plugin.windows() if guest.plugin else []


def shown(value):
    """A number as a person reads it."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"
