#!/usr/bin/env python3
"""Does trace=on record a run that scripts/trace.py can draw: reads of the disk from SQE to CQE, on
every core that has a part in them? Is a ring as small as asked for, and silence kept without it?
"""
import json
import os
import subprocess

import conf
import servers
import trace
import tracefile
import vm
from servers import expect

READS = 50
PLACES = (("one hart", "riscv64", 1, None), ("three harts", "riscv64", 3, None),
          ("disks and net apart", "riscv64", 4, "split.conf"), ("hosted", "hosted", 3, None))


def console(machine, harts, path=None, **values):
    """What a guest says that echoes one line, reads the disk READS times, and ends in order."""
    config = conf.choose(harts, path)
    for key, value in values.items():
        config.set(key, value)
    with vm.VM(config, machine, disk=servers.scratch("trace.img", size=8 << 20)) as guest:
        for server in ("echod", "nbdd"):
            guest.wait_for(rf"^{server}: ready", servers.READY)
        with servers.dial(guest.ports[7]) as client:
            client.sendall(b"hello\n")
            expect(servers.receive(client, 6) == b"hello\n", "no echo")
        reads = [word for i in range(READS) for word in ("-c", f"read {i * 64}k 4k")]
        subprocess.run(["qemu-io", "-f", "raw", *reads, f"nbd://127.0.0.1:{guest.ports[10809]}/disk"],
                       check=True, timeout=servers.STEP, stdout=subprocess.DEVNULL)
        guest.stop(60)
        return guest.console


def whole(machine, harts, path):
    # nothing moves: where a slice is taken and where it pins is asked below
    text = console(machine, harts, path, trace="on", trace_slots="8192", policy="static")
    expect("leaks: frames 0 ops 0" in text, "the traced kernel lost frames or ops")
    content, said = trace.convert(text)
    with open(os.path.join(servers.SERVERS, f"trace-{machine}-{harts}.json"), "w",
              encoding="utf-8") as out:
        json.dump(content, out)
    found = tracefile.faults(content)
    expect(not found, "; ".join(found[:3]))
    expect("; 0 older" in said and "cut" not in said, said)
    flows = tracefile.flows_named(content, "read")
    expect(len(flows) >= READS, f"{len(flows)} reads of at least {READS}")
    expect(all("t" in flow for flow in flows), "a read that no step belongs to")
    expect(any(flow.count("t") > 1 for flow in flows), "no read that waited for the disk")
    runs = [set(run) for run in tracefile.slices_in(content, "read")]
    expect(any({"take", "pin"} <= run for run in runs), "no read is taken and pins")
    expect(any("act" in run for run in runs), "no read acts")
    expect(tracefile.flows_named(content, "send"), "no send")
    names = {e["args"]["name"] for e in content["traceEvents"] if e["name"] == "thread_name"}
    expect(len(names) == harts, f"tracks {names}")
    last = [e["args"]["value"] for e in content["traceEvents"] if e["name"] == "ops in flight"][-1]
    expect(last == 0, f"{last} ops in flight at the end")
    counts = {}
    for event in content["traceEvents"]:
        if event["ph"] == "C":
            counts.setdefault(event["name"], []).append(event["args"]["value"])
    for core in range(harts):
        shares = counts.get(f"core {core} busy %", [])
        expect(shares and 0 <= min(shares) < max(shares) <= 100, f"core {core} is busy {shares[:9]} %")
    expect(min(counts.get("free frames", [0])) > 1000, "no free frames are counted")
    rings = [values for name, values in counts.items() if name.startswith("ring ")]
    expect(len(rings) >= 2 and all(values[-1] == 0 for values in rings) and max(map(max, rings)) > 0,
           f"rings {rings}")


def small():
    content, said = trace.convert(console("riscv64", 1, trace="on", trace_slots="64"))
    expect("63 records of 1 cores" in said and "; 0 older" not in said, said)
    expect(not tracefile.faults(content), "a short trace does not hold together")


def off():
    expect("trace: begin" not in console("riscv64", 1), "a trace nobody asked for")


def refused():
    with vm.VM(conf.choose(1), cmdline="trace_slots=100", ports={}) as guest:
        guest.wait_for("not started: trace_slots= must be a power of two", servers.READY)


def main():
    tests = {f"{place}, reads from SQE to CQE": (whole, words) for place, *words in PLACES}
    tests.update({"a ring of 64": (small, ()), "off": (off, ()), "a ring of 100 is refused": (refused, ())})
    for name, (test, words) in tests.items():
        try:
            test(*words)
            print(f"ok {name}", flush=True)
        except (servers.Wrong, vm.VMError, trace.TraceError, subprocess.SubprocessError,
                OSError) as error:
            print(f"FAIL {name}: {error}", flush=True)


if __name__ == "__main__":
    main()
