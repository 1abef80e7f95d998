"""tracefile.py: what must hold of every file that scripts/trace.py writes, whatever it was made of."""
import collections
import json


def faults(content):
    """Sentences on what is wrong with the file; none if all is well."""
    found = []
    content = json.loads(json.dumps(content, allow_nan=False))
    events = content["traceEvents"]
    slices, flows = collections.defaultdict(list), collections.defaultdict(list)
    for event in events:
        if event["ph"] not in "MXistfC":
            found.append(f"a phase {event['ph']}")
        if event["ph"] != "M" and event["ts"] < 0:
            found.append(f"{event['name']} is before the beginning")
        if event["ph"] == "X":
            slices[event["tid"]].append((round(event["ts"] * 1000), round(event["dur"] * 1000),
                                         event["name"]))
        if event["ph"] in "stf":
            flows[event["id"]].append(event)
    for tid, track in slices.items():
        found += nest(tid, track)
    for number, flow in flows.items():
        phases = "".join(e["ph"] for e in sorted(flow, key=lambda e: e["ts"]))
        if phases[0] != "s" or phases[-1] != "f" or phases.strip("sf").strip("t") or \
                phases.count("s") != 1 or phases.count("f") != 1:
            found.append(f"flow {number} goes {phases}")
        for event in flow:
            at = round(event["ts"] * 1000)
            if not any(start <= at < start + length for start, length, _ in slices[event["tid"]]):
                found.append(f"flow {number} is in no slice at {at}")
    return found


def nest(tid, track):
    found, open_ends = [], []
    for start, length, name in sorted(track, key=lambda s: (s[0], -s[1])):
        if length <= 0:
            found.append(f"{name} on track {tid} takes no time")
        while open_ends and open_ends[-1] <= start:
            open_ends.pop()
        if open_ends and start + length > open_ends[-1]:
            found.append(f"{name} on track {tid} at {start} ends behind what it began in")
        open_ends.append(start + length)
    return found


def flows_named(content, name):
    """The phases of each flow with that name, in order of time."""
    flows = collections.defaultdict(list)
    for event in content["traceEvents"]:
        if event["ph"] in "stf" and event["name"] == name:
            flows[event["id"]].append(event)
    return ["".join(e["ph"] for e in sorted(flow, key=lambda e: e["ts"])) for flow in flows.values()]


def slices_in(content, outer):
    """For each slice named `outer`: the names of those directly on its track within its time."""
    every = [e for e in content["traceEvents"] if e["ph"] == "X"]
    return [[e["name"] for e in every if e is not o and e["tid"] == o["tid"] and
             o["ts"] <= e["ts"] and e["ts"] + e["dur"] <= o["ts"] + o["dur"] + 1e-6]
            for o in every if o["name"] == outer]
