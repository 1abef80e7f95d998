"""dedicated.py: the experiment `dedicated`: is a core that has only the network, or only the disk, worth it?

In QEMU: the servers of `make run` under five maps, and three loads from outside: echoes, reads of the disk, both
at once. The counting plugin says what every core's kernel executes for an operation, polling for nothing taken
out. What all cores execute together is what dividing the work costs; what the busiest one executes is where the
machine's limit is: nobody who has a core for each can go faster. Two host processors cannot show such a rate.

Simulated machines show it, and what instructions do not: the cache lines that an entry, its buffer and its answer
take along when it is executed elsewhere (tests/sim/cores_parts/parts.h). Nobody sleeps there (spin=fixed).
"""
import os
import re
import statistics
import subprocess

import measure
from compare.rows import Section, question
from machine import load, output_of, processor
from measure import Client, run_host

SEED = int(os.environ.get("SEED") or "1")
ROUNDS = 3
BYTES = 8 << 20
DEPTH, BLOCKS = 32, 10000
CONNECTIONS, MESSAGES = 16, 10000
SPIN_US = 100
# name: (roles of the harts that serve, home of echod's ring, home of nbdd's)
MAPS = {
    "one core for all": (("kernel+net+io",), 0, 0),
    "network apart": (("kernel+io", "net"), 0, 0),
    "disk apart": (("kernel+net", "io"), 0, 0),
    "network and disk apart": (("kernel", "net", "io"), 0, 0),
    "two, rings with the devices": (("kernel+net", "kernel+io"), 0, 1),
}
LOADS = {"echo": "messages of 64 bytes", "disk": "reads of 4 KiB", "both": "both at once, operations"}


# (cores, of which serve)
MACHINES = ((8, 3), (16, 5))
LINES = (0.5, 1, 2, 4)
PARTS = {"echo": "net", "disk": "disk", "both": "parts"}
US, SLICE_US = 3000, 1000
AWAKE = "spin=fixed spin_us=1000"
CORES = os.path.join("build", "hosted-timed", "tests", "sim", "cores")
COST = os.environ.get("COST") or os.path.join("bench", "cost.conf")


def simulated_maps(serve, which):
    """(name, roles of the cores that serve, on how many of the first ones rings are)"""
    others = ["kernel"] * (serve - 2)
    own = ["kernel+net", "kernel+io"] if which == "echo" else ["kernel+io", "kernel+net"]
    return (("shared with rings", ["kernel+net+io", "kernel"] + others, serve),
            ("network apart", ["kernel+io"] + others + ["net"], serve - 1),
            ("disk apart", ["kernel+net"] + others + ["io"], serve - 1),
            ("network and disk apart", others + ["net", "io"], serve - 2),
            ("rings with their device", own + others, 2 if which == "both" else 1))


def simulated_rate(which, cores, roles, homes, lines):
    """Millions of operations a second: a message is one, whatever it takes."""
    users = cores - len(roles)
    where = ",".join(f"{i}:{role}" for i, role in enumerate(roles + ["user"] * users))
    run = subprocess.run([CORES, "balance", f"{PARTS[which]}:{homes}", "static", f"{where} {AWAKE}", str(users), COST, str(lines),
                          str(US), str(SLICE_US), str(SEED)], capture_output=True, text=True, timeout=300, check=False)
    if run.returncode:
        raise measure.BenchError(f"dedicated: {where}: {(run.stdout + run.stderr).strip()}")
    found = [dict(word.split("=", 1) for word in line.split()[1:] if "=" in word) for line in run.stdout.splitlines()[1:]]
    done, messages = (sum(int(one[key]) for one in found[1:]) for key in ("done", "requests"))
    return (messages if which == "echo" else done - messages) / ((len(found) - 1) * SLICE_US)


def simulate(section, rows):
    for which, what in LOADS.items():
        section.figure(f"sim_{which}", f"Simulated: {what.replace(', operations', '')}", "machine", "M operations/s", plot="bars", better=None,
                       text="A program on each core that does not serve, as quick as it can; TCP over the loopback interface, a disk that takes 5 us.")
    section.figure("sim_lines", "Simulated: both at once on 16 cores, where cache lines travel slower or quicker",
                   "lines take so many times as long", "M operations/s", better=None)
    for which in LOADS:
        for cores, serve in MACHINES:
            for name, roles, homes in simulated_maps(serve, which):
                for lines in LINES:
                    rate = simulated_rate(which, cores, roles, homes, lines)
                    flags = f"{', '.join(roles)}; rings on {homes}; seed {SEED}"
                    if lines == 1:
                        section.row(f"sim_{which}", name, f"{cores} cores, {serve} serve", [rate], "simulated", flags)
                    if which == "both" and cores == 16:
                        section.row("sim_lines", name, lines, [rate], "simulated", flags)
                    rows.append((f"simulated, {cores} cores, lines x {lines:g}", name, which, 1, "", " ".join(roles), "", "", "",
                                 f"{rate:.4f}", SEED))
        param = f"{MACHINES[-1][0]} cores, {MACHINES[-1][1]} serve"
        order = sorted((row for row in section.figures[f"sim_{which}"].rows if row.param == param), key=lambda row: -row.value)
        section.remark(f"simulated, {which}, {param}: " + ", ".join(f"{row.system} {row.value:.2f}" for row in order) + " M operations/s.")


def clients(guest, which):
    """The programs of this host that make the load; how many operations they ask for."""
    found, count = [], 0
    if which != "disk":
        found.append(Client("echo_client", guest.ports[7], CONNECTIONS, MESSAGES))
        count += MESSAGES
    if which != "echo":
        found.append(Client("nbd_client", guest.ports[10809], "disk", "read", BYTES, SEED, DEPTH, BLOCKS))
        count += BLOCKS
    return found, count


def harts_of(guest, count):
    """The emulator's number of each core's hart: core 0 is where firmware began, the others follow in their order."""
    first = int(re.search(r"^Boot HART ID +: (\d+)", guest.console, re.M)[1])
    return [first] + [hart for hart in range(count) if hart != first]


def window(guest, which, count):
    """What each core executed per operation: (work of its kernel, its polling, its program)."""
    makers, operations = clients(guest, which)
    try:
        for client in makers:
            client.wait_for("steady")
        before = guest.plugin.totals()
        for client in makers:
            client.go()
        for client in makers:
            client.wait_for("done")
        counted = guest.plugin.totals() - before
        for client in makers:
            client.end()
    finally:
        for client in makers:
            client.close()
    found = []
    for hart in (counted.harts[i] for i in harts_of(guest, count)):
        polled = hart["idle_kernel"] + hart["idle_firmware"]
        found.append(tuple(value / operations for value in (hart["kernel"] + hart["firmware"] - polled, polled,
                                                            hart["user"] - hart["idle_user"])))
    return found


def emulated(bench):
    """{(map, load): [round: [core: (work, polling, programs)]]}"""
    found = {}
    for name, (serve, echo, nbd) in MAPS.items():
        harts = len(serve) + 2
        cores = ",".join(f"{i}:{roles}" for i, roles in enumerate((*serve, "user", "user")))
        servers = (f"@{harts - 2}:{echo} /bin/echod 7;@{harts - 1}:{nbd} /bin/nbdd 10809 /dev/vda ram:16M")
        with bench.servers(plugin=True, SMP=harts, map=cores, policy="static", spin_us=SPIN_US, prefix=measure.AHEAD,
                           servers=servers) as guest:
            run_host("nbd_client", guest.ports[10809], "disk", "fill", BYTES, SEED)
            for which in LOADS:
                found[name, which] = [window(guest, which, harts) for _ in range(ROUNDS)]
            guest.stop()
    return found


def serving(name, cores):
    return [core[0] for core in cores[:len(MAPS[name][0])]]


def dedicated():
    """Dedicated cores: are network and disk worth a core each? What does it cost, and where is the limit then?"""
    bench = measure.Bench()
    bench.quiet = True
    section = Section(1, "Dedicated cores", question(dedicated), None)
    section.figure("all", "What all cores' kernel executes for an operation", "load", "instructions/operation", plot="bars",
                   better=None, text="In QEMU; polling for nothing taken out. The servers' own work is left out, and the same in all maps.")
    section.figure("busiest", "What the busiest of the cores that serve executes for it", "load", "instructions/operation",
                   plot="bars", better=None, text="The fewer, the more operations a machine can do that has a processor for each core.")
    rows, found = [], emulated(bench)
    for (name, which), rounds in found.items():
        how = f"{len(MAPS[name][0]) + 2} harts, plugin"
        roles = (*MAPS[name][0], "user", "user")
        section.row("all", name, which, [sum(hart[0] for hart in harts) for harts in rounds], how, ", ".join(roles))
        section.row("busiest", name, which, [max(serving(name, harts)) for harts in rounds], how, ", ".join(roles))
        for i, harts in enumerate(rounds):
            rows += [("QEMU", name, which, i + 1, core, roles[core], *(f"{value:.1f}" for value in hart), "", SEED)
                     for core, hart in enumerate(harts)]
    for which, what in LOADS.items():
        one = section.figures["busiest"].find("one core for all", which).value
        best = min((row for row in section.figures["busiest"].rows if row.param == which), key=lambda row: row.value)
        total = section.figures["all"]
        section.remark(f"{which} ({what}): least is left on the busiest core by “{best.system}”, {best.value:,.0f} "
                       f"instructions against {one:,.0f} on one core for all ({one / best.value:.2f} times as many operations); all cores "
                       f"together then execute {total.find(best.system, which).value / total.find('one core for all', which).value:.2f} times as much.")
    alone = statistics.median(cores[1][0] for cores in found["disk apart", "disk"])
    section.remark(f"A core that has the disk alone executes {alone:,.0f} instructions for a read; most of what nbdd's answer costs is the "
                   "network's, so that is what a core of its own is worth most for.")
    simulate(section, rows)
    section.remark("Instructions speak for cores of their own, cache lines against them: an entry that is executed elsewhere takes its own "
                   "lines, its buffer's and its answer's along. What is best where both count: rings on the core whose device they ask.")
    section.facts = [
        ("experiment", f"dedicated, seed {SEED}"), ("commit", output_of("make", "-s", "version")),
        ("emulator", output_of("qemu-system-riscv64", "--version").splitlines()[0]),
        ("machine", f"{processor()}, {os.cpu_count()} cpus, load {load()}"),
        ("loads", f"echo: {CONNECTIONS} connections, {MESSAGES:,} messages of 64 bytes; disk: {DEPTH} reads of 4 KiB under way, {BLOCKS:,} "
         f"of them through nbdd, every byte compared; {ROUNDS} rounds"),
        ("maps", "; ".join(f"{name}: {', '.join(serve)}" for name, (serve, _, _) in MAPS.items()) +
         "; each with two more cores for echod and nbdd, policy=static"),
        ("simulated", f"{COST}, docs/simulator.md; policy=static, {AWAKE}")]
    return section, ("machine", "map", "load", "round", "core", "roles", "kernel_insn_per_operation", "polling_insn_per_operation",
                     "program_insn_per_operation", "millions_per_second", "seed"), rows
