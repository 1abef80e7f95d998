"""nbd.py: row 6's first half, a network block device: the same client of this host (fio's nbd engine), the
same server (nbdd on libasync) on Sluice and on Linux, two harts.

What is exported: the disk, and memory of the server's own. Linux keeps blocks of the disk in its page
cache; Sluice has none, so each of its reads of the disk goes to the device. Both are as they are.
Instructions are those of the whole guest between fio's start and its end; seconds are taken without the
counting plugin.
"""
import json
import subprocess

from compare.steps import Step
from measure import AHEAD, BenchError, run_host

JOBS = {"read, 1 at a time": ("randread", 1), "read, 32 at once": ("randread", 32),
        "write, 32 at once": ("randwrite", 32)}
EXPORTS = {"disk": "disk", "ram": "memory"}
BYTES = 16 << 20
SLUICE, LINUX = "Sluice, nbdd", "Linux, the same nbdd on io_uring"
# No answer of this file's: what fio does by itself between its start and its end.
SERVER = "LIBASYNC_RING=defer taskset 1 /bin/nbdd 10809 /dev/vda ram:16M"
FILES = {"bin/nbdd": "build/linux-riscv64/apps/nbdd"}
INSN, CLOCK = "2 harts, plugin", "2 harts, this host's clock"


def declare(section):
    for export, words in EXPORTS.items():
        section.figure(f"nbd_{export}_insn", f"Instructions of the guest for one request of 4 KiB, {words}",
                       "fio job", "instructions/request", plot="bars",
                       text="User, kernel and firmware of both harts.",
                       pace="how many requests fio, the host's network and its disk bring at once")
        section.figure(f"nbd_{export}_rate", f"Requests of 4 KiB in a second, {words}", "fio job", "requests/s",
                       better="more", plot="bars", text="Emulated; fio and the emulator share two cpus.")


def fio(port, export, work, depth, amount):
    """Requests in a second of one job, every one of which succeeded."""
    words = ["fio", "--name=row", "--ioengine=nbd", f"--uri=nbd://127.0.0.1:{port}/{export}", f"--rw={work}",
             "--bs=4k", f"--iodepth={depth}", f"--size={BYTES}", f"--io_size={amount * 4096}",
             "--norandommap=1", "--thread=1", "--output-format=json"]
    out = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    if out.returncode:
        raise BenchError(f"fio: {out.stderr.strip() or out.stdout.strip()[-300:]}")
    (job,) = json.loads(out.stdout[out.stdout.index("{"):])["jobs"]
    side = job["read" if work == "randread" else "write"]
    if job["error"] or side["total_ios"] < amount:
        raise BenchError(f"fio: error {job['error']}, {side['total_ios']} of {amount} requests")
    return side["iops"]


def plan(run):
    """(export, job) in order; the quick one reads the disk only."""
    return [(export, name) for export in EXPORTS for name, (work, _) in JOBS.items()
            if not run.quick or (export == "disk" and work == "randread")]


def measure_server(run, section, guest, system, flags):
    port, counting = guest.ports[10809], guest.plugin is not None
    for export in dict.fromkeys(export for export, _ in plan(run)):
        run_host("nbd_client", port, export, "fill", BYTES, 1)
        for name, (work, depth) in ((n, JOBS[n]) for e, n in plan(run) if e == export):
            amount, values = (400 if run.quick else 1500) * (1 if depth == 1 else 3), []
            for _ in range(run.clock_rounds):
                before = guest.plugin.totals() if counting else None
                rate = fio(port, export, work, depth, amount)
                if counting:
                    counted = guest.plugin.totals() - before
                    values.append((counted.all() - counted.polled()) / amount)
                else:
                    values.append(rate)
            section.row(f"nbd_{export}_{'insn' if counting else 'rate'}", system, name, values,
                        INSN if counting else CLOCK, flags)


def sluice(run, section, plugin):
    with run.bench.servers(smp=2, plugin=plugin, prefix=AHEAD) as guest:
        measure_server(run, section, guest, SLUICE, "configs/smp2.conf")
        guest.stop()


def linux(run, section, plugin):
    with run.bench.peer(SERVER, smp=2, plugin=plugin, disk=True, prefix=AHEAD, files=FILES,
                        ports={10809: 0}) as guest:
        guest.wait_for("^nbdd: ready", 60)
        measure_server(run, section, guest, LINUX, "libasync, DEFER_TASKRUN; page cache")


def steps(run):
    each = len(plan(run)) * run.clock_rounds * (0.8 if run.quick else 1.6)
    return [Step("Sluice, instructions", 5 + each, lambda run, section: sluice(run, section, True)),
            Step("Linux, instructions", 14 + 2 * each, lambda run, section: linux(run, section, True), peer=True),
            Step("Sluice, seconds", 5 + 1.4 * each, lambda run, section: sluice(run, section, False), full=True, clock=True),
            Step("Linux, seconds", 14 + 1.7 * each, lambda run, section: linux(run, section, False), peer=True, full=True,
                 clock=True)]
