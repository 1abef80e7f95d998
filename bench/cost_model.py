#!/usr/bin/env python3
"""cost_model.py: what the things cost that the timed simulator counts, measured on this processor.

usage: cost_model.py [FILE]    writes FILE (build/cost.conf), and prints how well it foretells

Three sources: the simulator itself, timing the kernel's own code on one thread (tests/sim/cores_parts/
measure.c); two threads that hand cache lines and wake-ups to each other (bench/host/lines.c), and what
a program does for an entry; and the hosted machine with one core, for what a trap adds. Then
the simulated machine with two cores does the NOPs that the hosted machine does with two cores, which nothing
above has looked at.

A hypervisor moves its processors about, and a line between two that share a cache travels several times
faster than between two that do not. The costs are those of the distance that was met most often; a measured
throughput counts only if lines took as long before and after it.
"""
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import hosted  # noqa: E402
import measure  # noqa: E402
from machine import load, output_of, processor  # noqa: E402
from measure import AHEAD, BenchError, run_host  # noqa: E402

OUT = os.path.join("build", "cost.conf")
PLAIN = os.path.join("build", "hosted", "tests", "sim", "cores")
TIMED = os.path.join("build", "hosted-timed", "tests", "sim", "cores")
ROUNDS = 5
BATCHES = (32, 128)
WITHIN = 0.2
LINE_ROUNDS = 15
ALIKE = 1.3           # lines that take so much longer at most are between the same two processors
RUNS, LEAST, RUN_MS = 60, 8, 20  # many short runs: a neighbour slows most of those down that it meets
OPS = 200000
# In the order of tests/sim/lib/timed.h, with its words.
KEYS = {
    "turn": "a turn of a core with nothing to do",
    "relax": "the pause between two looks",
    "sqe": "an entry: taken, checked, a step that does nothing, its CQE",
    "transfer": "on top, for one that moves some bytes of a file",
    "copy": "64 bytes of it, copied",
    "random": "64 random bytes, computed",
    "step": "a step by the executor, and what it completes",
    "tcp": "on top, for a message of 64 bytes through TCP, sent and received",
    "mail": "a message delivered",
    "post": "a message posted",
    "doorbell": "an interrupt, for who sends it",
    "wake": "from there until a sleeping core goes on",
    "trap": "into the kernel and back",
    "user": "an entry, for the program",
    "line": "a cache line that is with another core, waited for",
    "stream": "one of a row of them, read one after the other with some work between",
    "store": "a line that others have, written without waiting",
}


def run(*words):
    out = subprocess.run([*words], capture_output=True, text=True, timeout=300, check=False)
    if out.returncode:
        raise BenchError(f"{words[-1]}: {(out.stdout + out.stderr).strip()}")
    return out.stdout


def medians(samples):
    return {key: statistics.median(values) for key, values in samples.items()}


def kernel_code():
    """By `cores measure`."""
    samples = {}
    for _ in range(ROUNDS):
        for line in run(*AHEAD, PLAIN, "measure").splitlines():
            key, _, value = line.partition("_ns=")
            samples.setdefault(key, []).append(float(value))
    return medians(samples)


def lines(*words):
    return {key: float(value) for key, value in
            (line.split() for line in run_host("lines", *words, prefix=AHEAD).splitlines())}


def two_cpus():
    rounds = [lines("wakes") for _ in range(LINE_ROUNDS)]
    near = max(([found for found in rounds if least["line"] <= found["line"] <= least["line"] * ALIKE]
                for least in rounds), key=len)
    return {key: statistics.median(found[key] for found in near) for key in near[0]}


def one_core(bench):
    """A round of D entries by one enter takes a trap and D times what an entry costs both sides."""
    samples = {}
    for _ in range(ROUNDS):
        found, _ = bench.results(machine="hosted", smp=1, prefix=AHEAD, run=f"/bin/b_nop enter {OPS} 1 32 128")
        ns = {int(line["depth"]): int(line["ns"]) / int(line["ops"]) for line in found}
        entry = (128 * ns[128] - 32 * ns[32]) / 96
        samples.setdefault("trap", []).append(max(0.0, ns[1] - entry))
    return medians(samples)


def write(path, costs, wall):
    with open(path, "w", encoding="utf-8") as out:
        out.write(f"# What things cost, in nanoseconds; make cost-model measured it, docs/simulator.md says how.\n"
                  f"# {processor()}, {os.cpu_count()} cpus; {wall}; load {load()}; commit "
                  f"{output_of('make', '-s', 'version')}\n")
        for key, words in KEYS.items():
            out.write(f"\n# {words}\n{key}_ns={costs[key]:.3f}\n")


def simulated(path, batch):
    for line in run(TIMED, "nop", "2", "1", str(batch), path, "1", "1000", "1").splitlines():
        if line.startswith("cores:"):
            words = dict(word.split("=", 1) for word in line.split()[1:])
            return int(words["done"]) * 1e9 / int(words["ns"])
    raise BenchError("the simulated machine said nothing")


def compare(bench, path, line):
    """Simulated over measured, by batch."""
    ratios = {}
    hosted.MS = RUN_MS
    for batch in BATCHES:
        rates = []
        for _ in range(RUNS):
            before, rate, after = lines()["line"], hosted.sluice(bench, batch), lines()["line"]
            if line / ALIKE <= min(before, after) and max(before, after) <= line * ALIKE:
                rates.append(rate)
        rates.sort()
        if len(rates) < LEAST:
            print(f"NOPs on two cores, {batch} at a time: only {len(rates)} of {RUNS} runs met two processors as near "
                  "as those that the costs are of; nothing to compare")
            continue
        rate, told = rates[len(rates) * 3 // 4], simulated(path, batch)
        ratios[batch] = told / rate
        print(f"NOPs on two cores, {batch} at a time: simulated {told / 1e6:.1f} M/s, measured {rate / 1e6:.1f} M/s "
              f"(upper quartile of {len(rates)}; all: {rates[0] / 1e6:.1f}..{rates[-1] / 1e6:.1f}), "
              f"ratio {ratios[batch]:.2f}")
    return ratios


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else OUT
    bench = measure.Bench()
    bench.quiet = True
    hosted.weigh(-20)
    costs = {**two_cpus(), **kernel_code()}
    costs.update(one_core(bench))
    write(path, costs, time.strftime("%Y-%m-%d"))
    print(f"written: {path}; bench/cost.conf is what the experiments use unless COST= says otherwise")
    ratios = compare(bench, path, costs["line"])
    far = [batch for batch, ratio in ratios.items() if abs(ratio - 1) > WITHIN]
    if far:
        print(f"not within {WITHIN:.0%}: " + ", ".join(f"batch {batch}" for batch in far) +
              "; on a busy host the measured pair of threads is slow first")


if __name__ == "__main__":
    main()
