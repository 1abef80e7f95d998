"""fio.py: row 4, fio on both systems: the same static binary of fio 3.41 with a thread for its job, on the
raw disk, past every cache (O_DIRECT).

Instructions are those of the whole machine, one hart under -icount, in which the disk answers while the
guest sleeps (bench/plugin/gate.c): a run of MANY requests less a run of FEW, so that fio's own start, its
calibration of the clock and its report are not in them. Requests in a second are fio's own figure, by the
clock of this host, from the disk's image on two harts.
"""
import os
import re

from compare.steps import Step
from measure import AHEAD, BenchError

PROGRAM = os.path.join("build", "peer-fio", "fio")
FILES = {"bin/fio": PROGRAM}
JOBS = {"psync, randread 4k": ("psync", "randread", 4, 1), "psync, randwrite 4k": ("psync", "randwrite", 4, 1),
        "psync, read 128k": ("psync", "read", 128, 1),
        "io_uring, randread 4k": ("io_uring", "randread", 4, 1),
        "io_uring, randread 4k, 32 at once": ("io_uring", "randread", 4, 32)}
FIRST = next(iter(JOBS))  # the quick comparison's
FEW, MANY, WALL = 128, 640, 2000
SLUICE, LINUX = "Sluice", "Linux"
INSN, CLOCK = "1 hart, -icount", "2 harts, this host's clock"
# Of fio's terse line, version 3: total KiB and requests in a second, of reads and of writes.
FIELDS = {"read": (5, 7), "write": (46, 48)}


def declare(section):
    section.figure("fio_insn", "Instructions for one request", "fio job", "instructions/request", plot="bars",
                   text="User, kernel and firmware, fio's own included.")
    section.figure("fio_rate", "Requests in a second", "fio job", "requests/s", better="more", plot="bars",
                   text="Emulated; the emulator has two cpus.")
    if not os.path.exists(PROGRAM):
        section.leave_out("all of it", "fio was not built (make peer)")


def command(job, amount):
    engine, work, kib, depth = JOBS[job]
    return (f"/bin/fio --name=row --filename=/dev/vda --thread=1 --direct=1 --ioengine={engine} --rw={work} "
            f"--bs={kib}k --iodepth={depth} --size=32m --io_size={amount * kib}k --norandommap=1 --eta=never --minimal")


def checked(console, job, amount):
    """Requests in a second, of each of fio's runs, in which every request succeeded."""
    moved, rate = FIELDS["write" if "write" in JOBS[job][1] else "read"]
    reports = [line.split(";") for line in re.findall(r"^3;fio-.*$", console, re.M)]
    for words in reports:
        if words[4] != "0" or int(words[moved]) != amount * JOBS[job][2]:
            raise BenchError(f"fio, {job}: error {words[4]}, {words[moved]} KiB of {amount * JOBS[job][2]}")
    if not reports:
        raise BenchError(f"fio, {job}: no report\n{console[-600:]}")
    return [float(words[rate]) for words in reports]


def one_guest(run, system, job, amount, times=1, **options):
    """Of one guest, which on Sluice runs fio once: (requests in a second, and if they are counted the
    instructions of the whole program, of each run)"""
    if system == SLUICE:
        begun = run.bench.guest(run=f"/bin/b_window {command(job, amount)}", disk=True, files=FILES, **options)
    else:
        script = f"for i in $(seq {times}); do mark window {command(job, amount)}; echo bench: status=$?; done"
        begun = run.bench.peer(script, disk=True, files=FILES, **options)
    with begun as guest:
        run.bench.finish(guest, 300)
        rates = checked(guest.console, job, amount)
        windows = guest.plugin.windows() if guest.plugin else []
    return rates, [window.all() - window.polled() for window in windows]


def program(run, system, job, amount):
    _, (instructions,) = one_guest(run, system, job, amount, smp=1, plugin=True, icount=True, gate=True)
    return instructions


def rounds(run):
    return 1 if run.quick else run.instruction_rounds


def measure(run, section, system, job):
    values = [(program(run, system, job, MANY) - program(run, system, job, FEW)) / (MANY - FEW)
              for _ in range(rounds(run))]
    section.row("fio_insn", system, job, values, INSN)


def paces(run, section, system):
    for job in JOBS:
        values = []
        while len(values) < run.clock_rounds:
            values += one_guest(run, system, job, WALL, 1 if system == SLUICE else run.clock_rounds, smp=2,
                                prefix=AHEAD)[0]
        section.row("fio_rate", system, job, values, CLOCK)


def steps(run):
    if not os.path.exists(PROGRAM):
        return []
    found = []
    for job in JOBS:
        found.append(Step(f"Sluice, {job}", 4 * rounds(run), lambda run, section, job=job: measure(run, section, SLUICE, job),
                          full=job != FIRST))
        found.append(Step(f"Linux, {job}", 13 * rounds(run), lambda run, section, job=job: measure(run, section, LINUX, job),
                          peer=True, full=job != FIRST))
    found.append(Step("Sluice, seconds", 6 * len(JOBS), lambda run, section: paces(run, section, SLUICE),
                      full=True, clock=True))
    found.append(Step("Linux, seconds", 14 * len(JOBS), lambda run, section: paces(run, section, LINUX),
                      peer=True, full=True, clock=True))
    return found
