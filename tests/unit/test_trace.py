#!/usr/bin/env python3
"""Does scripts/trace.py make of any dump a file that holds together: whole, torn, cut, shuffled?"""
import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "..", "scripts"), os.path.join(HERE, "..", "boot")]

import trace  # noqa: E402
import tracefile  # noqa: E402

HEAD = """Sluice, 2 harts
trace: begin
trace: kind 1 step
trace: kind 2 take
trace: kind 3 complete
trace: kind 4 mail
trace: kind 5 sleep
trace: kind 6 wake
trace: kind 8 fault
trace: kind 13 count
trace: kind 14 balance
trace: core 0 kernel+net+io
trace: core 1 user
trace: op 0 nop act
trace: op 22 read pin act
trace: op 27 recv move
"""
STEP, TAKE, COMPLETE, MAIL, SLEEP, WAKE, FAULT, COUNT, BALANCE = 1, 2, 3, 4, 5, 6, 8, 13, 14
DONE, AGAIN, PARKED, DEGRADE = range(4)
MORE = 1 << 32


def step(opcode, state, verdict, fiber=0):
    return opcode | state << 8 | verdict << 16 | fiber << 24


def dump(*records, end=None):
    lines = "".join("t %x %x %x %x %x %x;\n" % record for record in records)
    return HEAD + lines + f"trace: end {len(records) if end is None else end}\n"


def a_read(at=1000, op=0x800, ring=3, user_data=0x77, core=0):
    """Taken, pins, parks on the device, is woken, done."""
    return [(core, TAKE, at, 22 | ring << 8, op, user_data),
            (core, STEP, at, step(22, 0, AGAIN), op, user_data),
            (core, STEP, at + 100, step(22, 1, AGAIN), op, user_data),
            (core, STEP, at + 200, step(22, 1, PARKED), op, user_data),
            (core, SLEEP, at + 300, 0, 0, 0),
            (core, WAKE, at + 900, 0, 0, 0),
            (core, STEP, at + 900, step(22, 1, AGAIN), op, user_data),
            (core, STEP, at + 950, step(22, 1, DONE), op, user_data),
            (core, COMPLETE, at + 950, 4096, ring, user_data)]


def good(console):
    content, said = trace.convert(console)
    found = tracefile.faults(content)
    assert not found, "; ".join(found[:3])
    return content, said


def test_a_read():
    content, said = good(dump(*a_read()))
    assert "1 operations" in said and "cut" not in said, said
    assert tracefile.flows_named(content, "read") == ["sttf"], "the flow is not take, run, run, done"
    assert tracefile.slices_in(content, "read") == [["take", "pin", "act"], ["act", "complete"]]
    names = [e["args"]["name"] for e in content["traceEvents"] if e["name"] == "thread_name"]
    assert names == ["core 0 kernel+net+io"], names
    sleeps = [e for e in content["traceEvents"] if e["name"] == "sleep"]
    assert len(sleeps) == 1 and abs(sleeps[0]["dur"] - 0.6) < 0.01
    done = [e for e in content["traceEvents"] if e["name"] == "read" and "res" in e.get("args", {})]
    assert done and done[0]["args"]["res"] == 4096


def test_counters():
    content, _ = good(dump(*a_read(), *a_read(5000, op=0x900, user_data=0x78)))
    values = [e["args"]["value"] for e in content["traceEvents"] if e["name"] == "ops in flight"]
    assert values == [1, 0, 1, 0], values


def counted(content, name):
    return [(round(e["ts"] * 1000), e["args"]["value"]) for e in content["traceEvents"]
            if e["ph"] == "C" and e["name"] == name]


def test_samples():
    content, _ = good(dump((0, COUNT, 1100, 0, 7, 1000), (0, COUNT, 5008, 0, 1000, 5000),
                           (0, COUNT, 5010, 1, 99, 0),
                           *a_read(6000), (0, COUNT, 6960, 2, 3, 1 | 2 << 32)))
    assert counted(content, "core 0 busy %") == [(1000, 25.0)], "a share is drawn where it began"
    assert counted(content, "free frames") == [(5010, 99)]
    assert counted(content, "ring 3 waiting") == [(6000, 3), (6960, 2)], counted(content, "ring 3 waiting")


def test_decisions():
    content, _ = good(dump((0, BALANCE, 1000, 0 | 0 << 8 | 1 << 16, 3 | 990 << 32 | 120 << 48, 25000),
                           (1, BALANCE, 2000, 0 | 1 << 8 | 9 << 16 | 1 << 24, 4, 0),
                           (1, BALANCE, 3000, 3 | 2 << 8 | 1 << 16, 0, 0),
                           (0, BALANCE, 4000, 2 | 0 << 8 | 1 << 16, 1, 80000 << 32)))
    found = [(e["name"], e["args"]) for e in sorted(content["traceEvents"], key=lambda e: e.get("ts", 0))
             if e["ph"] == "i"]
    assert found[0] == ("balance: ring 3: core 0 to 1", {"busy_from": 99.0, "busy_to": 12.0, "behind_us": 25.0,
                                                       "delay_us": 0.0}), found
    assert found[1][0] == "balance: ring 4: core 1 to 9 (refused)", found
    assert found[2][0] == "balance: core 2 serves", found
    assert found[3] == ("balance: op 1: core 0 to 1", {"busy_from": 0.0, "busy_to": 0.0, "behind_us": 0.0,
                                                       "work_us": 80.0}), found
    moves = [counted(content, kind + " moves") for kind in ("ring", "thread", "op", "role")]
    assert moves == [[(1000, 1)], [], [(4000, 1)], [(3000, 1)]], moves


def test_another_core():
    """Taken on one core, run on the other, its completion back by mail."""
    content, _ = good(dump(
        (0, TAKE, 100, 27 | 5 << 8, 0x900, 1), (0, MAIL, 200, 1, 0x900, 1),
        (0, COMPLETE, 900, 0xffffff98, 5, 1),
        (1, STEP, 400, step(27, 0, AGAIN), 0x900, 1), (1, STEP, 500, step(27, 0, DONE), 0x900, 1),
        (1, MAIL, 550, 0, 0x900, 1)))
    assert tracefile.flows_named(content, "recv") == ["stf"]
    ends = [e for e in content["traceEvents"] if e["name"] == "complete" and e["args"].get("res")]
    assert [e["args"]["res"] for e in ends] == [-104]
    assert max(e["args"]["value"] for e in content["traceEvents"] if e["name"] == "mails") == 2


def test_same_user_data():
    """Two rings and two ops with the same user_data do not take each other's ends."""
    content, _ = good(dump(*a_read(1000, 0x800, 1, 0), *a_read(1010, 0x900, 2, 0, core=1),
                           *a_read(1020, 0xa00, 1, 0, core=2)))
    assert tracefile.flows_named(content, "read") == ["sttf"] * 3


def test_multishot():
    content, _ = good(dump(
        (0, TAKE, 10, 27 | 1 << 8, 0x800, 9), (0, STEP, 20, step(27, 0, AGAIN), 0x800, 9),
        (0, COMPLETE, 30, 64, 1 | MORE, 9), (0, STEP, 40, step(27, 0, PARKED), 0x800, 9),
        (0, STEP, 50, step(27, 0, AGAIN), 0x800, 9), (0, STEP, 60, step(27, 0, DONE), 0x800, 9),
        (0, COMPLETE, 70, 0, 1, 9)))
    assert tracefile.flows_named(content, "recv") == ["stttf"]


def test_fiber_and_refusal():
    content, _ = good(dump(
        (0, TAKE, 10, 22 | 1 << 8, 0x800, 9), (0, STEP, 20, step(22, 0, AGAIN), 0x800, 9),
        (0, STEP, 30, step(22, 1, DEGRADE), 0x800, 9),
        (0, STEP, 40, step(22, 1, AGAIN, 1), 0x800, 9), (0, STEP, 50, step(22, 1, DONE, 1), 0x800, 9),
        (0, COMPLETE, 60, 1, 1, 9),
        (0, TAKE, 70, 99 | 1 << 8, 0x800, 10), (0, COMPLETE, 80, 0xffffffea, 1, 10)))
    assert tracefile.slices_in(content, "read") == [["take", "pin", "act on a fiber", "complete"]]
    assert tracefile.flows_named(content, "opcode 99") == ["sf"]


def test_woken_while_parking():
    content, _ = good(dump(
        (0, TAKE, 10, 22 | 1 << 8, 0x800, 9), (0, STEP, 20, step(22, 0, AGAIN), 0x800, 9),
        (0, STEP, 30, step(22, 0, PARKED), 0x800, 9), (0, STEP, 40, step(22, 0, DONE), 0x800, 9),
        (0, COMPLETE, 60, 1, 1, 9)))
    assert tracefile.slices_in(content, "read") == [["take", "pin", "pin", "complete"]]


def test_same_moment():
    """A clock that stands still for many records: slices still nest and take some time."""
    good(dump(*[(0, k, 500, a, b, c) for _, k, _, a, b, c in a_read() * 20]))


def test_half_flows():
    """What began or ended outside the rings has no flow."""
    content, _ = good(dump(*a_read()[4:], *a_read(5000, op=0x900)[:4]))
    assert tracefile.flows_named(content, "read") == []


def test_torn():
    records = a_read() + a_read(5000, op=0x900, user_data=5)
    console = dump(*records)
    content, said = good(console.replace("t 0 1 ", "t 0 1 zz", 1))
    assert ", 1 unreadable" in said and "cut" in said, said
    wild = list(records)
    wild[3] = (0, STEP, 1 << 60, *wild[3][3:])
    content, said = good(dump(*wild))
    assert ", 1 unreadable" in said and tracefile.flows_named(content, "read") == ["sttf"] * 2, said
    content, said = good(dump(*records[:3], (0, 0xee, 1100, 0, 0, 0), *records[3:]))
    assert ", 1 unreadable" in said, said
    content, said = good(console.replace("trace: end", "kernel words\ntrace: end"))
    assert ", 1 unreadable" in said and "cut" not in said, said


def test_cut_anywhere():
    console = dump(*a_read(), *a_read(5000, op=0x900, user_data=5))
    start = console.index("trace: begin") + len("trace: begin\n")
    for at in range(start, len(console) - 3):
        _, said = good(console[:at])
        assert "cut" in said, f"cut at {at}: {said}"


def test_anything():
    """Seeded nonsense in the right form."""
    for seed in range(200):
        pick = random.Random(seed)
        records = [(pick.randrange(3), pick.randrange(12), pick.randrange(2000),
                    step(pick.choice((0, 22, 27)), pick.randrange(3), pick.randrange(5), pick.randrange(2)),
                    pick.choice((1, 2, 1 | MORE, 0x800, 0x900)), pick.randrange(3)) for _ in range(120)]
        if seed % 2:
            records.sort(key=lambda record: record[2])
        good(dump(*records))


def test_no_dump():
    try:
        trace.convert("Sluice\nleaks: frames 0 ops 0\n")
    except trace.TraceError as error:
        assert "trace=on" in str(error)
    else:
        raise AssertionError("a console without a dump is accepted")


def main():
    failed = 0
    for name, test in list(globals().items()):
        if not name.startswith("test_"):
            continue
        words = name[5:].replace("_", " ")
        try:
            test()
            print(f"ok {words}")
        except (AssertionError, trace.TraceError) as error:
            failed = 1
            print(f"FAIL {words}: {error or 'not as wanted'}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
