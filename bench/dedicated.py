"""dedicated.py: the experiment `dedicated`: is a core that has only the network, or only the disk, worth it?

In QEMU: the servers of `make run` under five maps, and three loads from outside: echoes, reads of the disk, both
at once. The counting plugin says what every core's kernel executes for an operation, polling for nothing taken
out. What all cores execute together is what dividing the work costs; what the busiest one executes is where the
machine's limit is: nobody who has a core for each can go faster. Two host processors cannot show such a rate, so
none is given for QEMU; simulated machines show it (tests/sim/cores_parts/parts.c).
"""
import os
import re
import statistics

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
            rows += [("QEMU", name, which, i + 1, core, roles[core], *(f"{value:.1f}" for value in hart), SEED)
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
    section.facts = [
        ("experiment", f"dedicated, seed {SEED}"), ("commit", output_of("make", "-s", "version")),
        ("emulator", output_of("qemu-system-riscv64", "--version").splitlines()[0]),
        ("machine", f"{processor()}, {os.cpu_count()} cpus, load {load()}"),
        ("loads", f"echo: {CONNECTIONS} connections, {MESSAGES:,} messages of 64 bytes; disk: {DEPTH} reads of 4 KiB under way, {BLOCKS:,} "
         f"of them through nbdd, every byte compared; {ROUNDS} rounds"),
        ("maps", "; ".join(f"{name}: {', '.join(serve)}" for name, (serve, _, _) in MAPS.items()) +
         "; each with two more cores for echod and nbdd, policy=static")]
    return section, ("machine", "map", "load", "round", "core", "roles", "kernel_insn_per_operation", "polling_insn_per_operation",
                     "program_insn_per_operation", "seed"), rows
