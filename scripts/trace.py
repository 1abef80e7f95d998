#!/usr/bin/env python3
"""trace.py: turns a guest's console with a trace dump into a file that Perfetto opens.

usage: trace.py CONSOLE OUT.json

The dump is what the kernel prints at its end when it was booted with trace=on; lines and file are
described in docs/trace.md. What is torn, cut or mixed with other words is left out and counted; the
events of the file always nest, and every flow has both ends.
"""
import collections
import json
import re
import sys

RECORD = re.compile(r"^t ([0-9a-f]{1,2}) ([0-9a-f]{1,2}) ([0-9a-f]{1,16}) ([0-9a-f]{1,8}) "
                    r"([0-9a-f]{1,16}) ([0-9a-f]{1,16});$")
WORDS = re.compile(r"^trace: (kind|core|op|ring) (\d+) (\S.*)$")
DONE, AGAIN, PARKED, DEGRADE = range(4)  # enum step, kernel/sched/op.h
VERDICTS = ("done", "again", "parked", "degrade")
ON_FIBER = 1 << 24                       # kernel/base/trace.h
REFUSED = 1 << 24
MORE = 1 << 32
BUSY, FRAMES, RING = range(3)            # enum trace_count
GAP = 2  # ns kept between two records of a core, so that none shares its moment with another
PID = 1
ORDER = "XistfC"

Record = collections.namedtuple("Record", "core kind ns a b c")


class TraceError(Exception):
    pass


class Dump:
    """What the console held: records of each core in their order, names, and what was left out."""

    def __init__(self, console):
        lines = console.replace("\r", "").split("\n")
        begins = [i for i, line in enumerate(lines) if line == "trace: begin"]
        if not begins:
            raise TraceError("there is no `trace: begin` in this console; was the kernel booted with "
                             "trace=on, and did it end in order?")
        self.names = {"kind": {}, "core": {}, "op": {}, "ring": {}}
        self.cores = {}
        self.skipped = 0   # lines and records that make no sense
        self.whole = False # the end was seen, and it counts as many records as were read
        read = 0
        for line in lines[begins[-1] + 1:]:
            match = RECORD.match(line)
            words = WORDS.match(line)
            if match:
                read += 1
                self.add(Record(*(int(word, 16) for word in match.groups())))
            elif words:
                self.names[words[1]][int(words[2])] = words[3].split()
            elif line.startswith("trace: end"):
                self.whole = line == f"trace: end {read}"
                break
            elif line:
                self.skipped += 1
        for core in self.cores:
            self.cores[core] = self.in_order(self.cores[core])

    def add(self, record):
        if record.kind in self.names["kind"]:
            self.cores.setdefault(record.core, []).append(record)
        else:
            self.skipped += 1

    def in_order(self, records):
        """A core writes in the order of time: what goes back, or far ahead of what follows, is torn."""
        kept = []
        for i, record in enumerate(records):
            last = kept[-1].ns if kept else 0
            after = records[i + 1].ns if i + 1 < len(records) else record.ns
            if record.ns < last or last <= after < record.ns:
                self.skipped += 1
            else:
                kept.append(record)
        return kept

    def kind(self, record):
        return self.names["kind"][record.kind][0]

    def op(self, opcode):
        return self.names["op"].get(opcode, [f"opcode {opcode}"])[0]

    def state(self, opcode, state):
        states = self.names["op"].get(opcode, [])[1:]
        return states[state] if state < len(states) else f"state {state}"

    def lost(self):
        """Records that newer ones had overwritten when the guest ended."""
        return sum(int(words[3]) for words in self.names["ring"].values()
                   if len(words) == 4 and words[3].isdigit())


class Run:
    """One stay of an op on a core: from its taking or waking until it parks, leaves or is done."""

    def __init__(self, start, op, opcode, user_data):
        self.start = start
        self.op = op
        self.opcode = opcode
        self.user_data = user_data
        self.end = None       # parked or degraded here; a step may still follow at once
        self.verdict = None
        self.state = 0
        self.inner = None     # (name, start) of the slice that is open in it
        self.slices = []


class Core:
    """Turns one core's records into slices, instants, and the points that flows go through."""

    def __init__(self, dump, index, out):
        self.dump = dump
        self.tid = index + 1  # a thread 0 is not drawn like the others
        self.out = out
        self.run = None
        self.sleep = None
        self.points = []
        self.sampled = None # time of the last sample
        self.taken_at = {}  # by ring: when the batch under way began

    def convert(self, records):
        now = 0
        for record in records:
            now = max(record.ns, now + GAP)
            kind = self.dump.kind(record)
            handle = getattr(self, "on_" + kind, None)
            if handle:
                handle(now, record)
            else:
                self.instant(now, kind, a=record.a, b=hex(record.b), c=hex(record.c))
        self.close(now)

    # ---- events ---------------------------------------------------------------------------------

    def slice(self, name, start, end, **args):
        self.out.append({"ph": "X", "name": name, "pid": PID, "tid": self.tid, "ts": start,
                         "dur": end - start, "args": args})

    def instant(self, now, name, **args):
        self.out.append({"ph": "i", "s": "t", "name": name, "pid": PID, "tid": self.tid, "ts": now,
                         "args": args})

    def counter(self, name, at, value):
        self.out.append(counter(name, at, value))

    def point(self, what, now, **more):
        self.points.append(dict(more, what=what, at=now, tid=self.tid))

    # ---- runs -----------------------------------------------------------------------------------

    def begin(self, now, op, opcode, user_data):
        self.close(now)
        self.run = Run(now, op, opcode, user_data)

    def open_inner(self, now, name):
        self.run.inner = (name, now)

    def close_inner(self, now, verdict=None):
        name, start = self.run.inner
        self.run.inner = None
        self.run.slices.append((name, start, now, {"verdict": verdict} if verdict else {}))

    def close(self, now, **args):
        """Whatever runs has ended; it ends where it was last seen."""
        run, self.run = self.run, None
        if not run:
            return
        if run.inner:
            name, start = run.inner
            if now > start:  # else it is the last record of all
                run.slices.append((name, start, now, {}))
            run.end = now
        end = now if run.end is None else run.end
        if run.end is None and run.slices:
            end = run.slices[-1][2]
        if end <= run.start:
            return
        about = {"op": hex(run.op), "opcode": run.opcode}
        self.slice(self.dump.op(run.opcode), run.start, end, **about,
                   user_data=hex(run.user_data), **args)
        for name, start, stop, more in run.slices:
            self.slice(name, start, stop, **about, state=name, **more)

    def on_take(self, now, record):
        opcode = record.a & 0xff
        self.begin(now, record.b, opcode, record.c)
        self.open_inner(now, "take")
        self.taken_at.setdefault(record.a >> 8, now)
        self.point("take", now, op=record.b, opcode=opcode, ring=record.a >> 8, user_data=record.c)

    def on_step(self, now, record):
        opcode, state, verdict = record.a & 0xff, record.a >> 8 & 0xff, record.a >> 16 & 0xff
        name = self.dump.state(opcode, state) + (" on a fiber" if record.a & ON_FIBER else "")
        run = self.run
        same = run and (run.op, run.opcode) == (record.b, opcode) and \
            not (run.inner and run.inner[0] == "complete")
        if not same:
            if verdict != AGAIN:  # its begin was overwritten
                self.close(now)
                self.instant(now, f"{self.dump.op(opcode)} {VERDICTS[verdict & 3]}")
                return
            self.start_run(now, record, opcode, name, state)
            return
        if run.inner and run.inner[0] == "take":
            self.close_inner(now)
            if verdict == AGAIN:
                self.open_inner(now, name)
                run.state = state
                self.point("run", now, op=run.op, opcode=opcode, user_data=record.c)
                return
            run.end = now
        elif run.inner:
            self.close_inner(now, VERDICTS[verdict & 3])
        elif verdict == AGAIN and (run.verdict == DEGRADE or state == run.state):
            if run.verdict == DEGRADE:
                run.end = None
                self.open_inner(now, name)
            else:                   # woken: another run
                self.start_run(now, record, opcode, name, state)
            run.state = state
            return
        else:                       # woken while it was parking: stepped again at once
            run.slices.append((self.dump.state(opcode, run.state), run.end, now,
                               {"verdict": VERDICTS[verdict & 3]}))
        run.state, run.verdict, run.end = state, verdict, None
        if verdict == AGAIN:
            self.open_inner(now, name)
        elif verdict == DONE:
            self.open_inner(now, "complete")
        else:
            run.end = now

    def start_run(self, now, record, opcode, name, state):
        self.begin(now, record.b, opcode, record.c)
        self.run.state = state
        self.open_inner(now, name)
        self.point("run", now, op=record.b, opcode=opcode, user_data=record.c)

    def on_complete(self, now, record):
        res = record.a - ((record.a & 1 << 31) << 1)
        ring, run = record.b & 0xffffffff, self.run
        found = {"ring": ring, "user_data": record.c, "op": None}
        if record.b & MORE:
            if run and run.inner:
                self.instant(now, "CQE, more follow", res=res)
            else:
                self.slice("CQE, more follow", now, now + GAP, res=res)
            self.point("more", now, **found)
            return
        if run and run.inner and run.inner[0] == "complete" and run.user_data == record.c:
            found["op"] = run.op
            self.point("done", run.inner[1], **found)
            self.close(now, res=res, ring=ring)
            return
        if run and run.inner and run.inner[0] == "take" and run.user_data == record.c:
            found["op"] = run.op
        self.close(now)
        self.slice("complete", now, now + GAP, res=res, ring=ring, user_data=hex(record.c))
        self.point("done", now, **found)

    def on_sleep(self, now, record):
        self.close(now)
        self.sleep = now

    def on_wake(self, now, record):
        self.close(now)
        if self.sleep is not None:
            self.slice("sleep", self.sleep, now)
        self.sleep = None

    def on_count(self, now, record):
        if record.a == BUSY:
            start, self.sampled = self.sampled, record.c
            if start is not None and start < record.c:  # drawn where the time it is about began
                share = min(record.b / (record.c - start), 1)
                self.counter(f"core {self.tid - 1} busy %", start, round(100 * share, 1))
        elif record.a == FRAMES:
            self.counter("free frames", now, record.b)
        elif record.a == RING:
            taken, left = record.c & 0xffffffff, record.c >> 32
            name = f"ring {record.b} waiting"
            self.counter(name, self.taken_at.pop(record.b, now), taken + left)
            self.counter(name, now, left)

    def on_balance(self, now, record):
        kind = ("ring", "thread", "op", "role")[min(record.a & 0xff, 3)]
        source, target = record.a >> 8 & 0xff, record.a >> 16 & 0xff
        if kind == "role":
            what = f"core {source} {'serves' if target == 1 else 'runs programs'}"
        else:
            what = f"{kind} {record.b & 0xffffffff}: core {source} to {target}"
        refused = " (refused)" if record.a & REFUSED else ""
        self.instant(now, f"balance: {what}{refused}", busy_from=(record.b >> 32 & 0xffff) / 10,
                     busy_to=(record.b >> 48) / 10, behind_us=(record.c & 0xffffffff) / 1000,
                     **{"work_us" if kind == "op" else "delay_us": (record.c >> 32) / 1000})
        if not refused:
            self.point("balance", now, kind=kind)

    def on_mail(self, now, record):
        if self.run and self.run.op == record.b:
            self.close(now)
        self.instant(now, f"mail to core {record.a}", op=hex(record.b), user_data=hex(record.c))
        self.point("mail", now)


def counter(name, at, value):
    return {"ph": "C", "name": name, "pid": PID, "tid": 0, "ts": at, "args": {"value": value}}


class Flows:
    """Follows each op from its SQE to its last CQE, over all cores; counts on the way."""

    def __init__(self, dump, out):
        self.dump = dump
        self.out = out
        self.of_op = {}
        self.of_data = collections.defaultdict(list)
        self.count = 0
        self.in_flight = 0
        self.mails = 0
        self.moves = collections.Counter()

    def follow(self, points):
        for point in sorted(points, key=lambda point: point["at"]):
            getattr(self, "on_" + point["what"])(point)

    def counter(self, name, at, value):
        self.out.append(counter(name, at, value))

    def drop(self, flow):
        self.of_op.pop(flow[0]["op"], None)
        self.of_data[flow[0]["ring"], flow[0]["user_data"]].remove(flow)
        self.in_flight -= 1

    def on_take(self, point):
        if point["op"] in self.of_op:  # its completion was not recorded
            self.drop(self.of_op[point["op"]])
        flow = [point]
        self.of_op[point["op"]] = flow
        self.of_data[point["ring"], point["user_data"]].append(flow)
        self.in_flight += 1
        self.counter("ops in flight", point["at"], self.in_flight)

    def on_run(self, point):
        flow = self.of_op.get(point["op"])
        if flow and all(flow[0][key] == point[key] for key in ("opcode", "user_data")):
            flow.append(point)

    def find(self, point):
        flow = self.of_op.get(point["op"])
        if flow and flow[0]["ring"] == point["ring"]:
            return flow
        return next(iter(self.of_data[point["ring"], point["user_data"]]), None)

    def on_more(self, point):
        flow = self.find(point)
        if flow:
            flow.append(point)

    def on_done(self, point):
        flow = self.find(point)
        if not flow:
            return
        self.drop(flow)
        self.counter("ops in flight", point["at"], self.in_flight)
        flow.append(point)
        self.count += 1
        for i, step in enumerate(flow):
            event = {"ph": "s" if i == 0 else "f" if i == len(flow) - 1 else "t", "cat": "op",
                     "name": self.dump.op(flow[0]["opcode"]), "id": self.count, "pid": PID,
                     "tid": step["tid"], "ts": step["at"] + GAP // 2}
            if event["ph"] == "f":
                event["bp"] = "e"
            self.out.append(event)

    def on_balance(self, point):
        self.moves[point["kind"]] += 1
        self.counter(f"{point['kind']} moves", point["at"], self.moves[point["kind"]])

    def on_mail(self, point):
        self.mails += 1
        self.counter("mails", point["at"], self.mails)


def metadata(dump):
    yield {"ph": "M", "name": "process_name", "pid": PID, "args": {"name": "Sluice"}}
    for core in sorted(dump.cores):
        roles = " ".join(dump.names["core"].get(core, []))
        yield {"ph": "M", "name": "thread_name", "pid": PID, "tid": core + 1,
               "args": {"name": f"core {core} {roles}".strip()}}
        yield {"ph": "M", "name": "thread_sort_index", "pid": PID, "tid": core + 1,
               "args": {"sort_index": core}}


def convert(console):
    """(the file's content, one sentence on it); times in the file are microseconds."""
    dump = Dump(console)
    events, points = [], []
    for index, records in sorted(dump.cores.items()):
        core = Core(dump, index, events)
        core.convert(records)
        points += core.points
    flows = Flows(dump, events)
    flows.follow(points)
    # An outer slice before what it holds, and both before a flow that goes through them.
    events.sort(key=lambda e: (e["ts"], ORDER.index(e["ph"]), -e.get("dur", 0)))
    for event in events:
        event["ts"] /= 1000
        if "dur" in event:
            event["dur"] /= 1000
    said = (f"{sum(map(len, dump.cores.values()))} records of {len(dump.cores)} cores, "
            f"{flows.count} operations from SQE to CQE; {dump.lost()} older records overwritten, "
            f"{dump.skipped} unreadable or foreign lines left out" + ("" if dump.whole else "; the dump is cut"))
    # No displayTimeUnit: some versions of Perfetto take it for the unit of the times in the file.
    return {"traceEvents": list(metadata(dump)) + events, "otherData": {"about": said}}, said


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        with open(sys.argv[1], encoding="utf-8", errors="replace") as console:
            trace, said = convert(console.read())
        with open(sys.argv[2], "w", encoding="utf-8") as out:
            json.dump(trace, out)
    except (TraceError, OSError) as error:
        sys.exit(f"trace: {error}")
    print(f"{sys.argv[2]}: {said}")


if __name__ == "__main__":
    main()
