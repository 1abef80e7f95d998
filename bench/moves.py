"""moves.py: what does it cost to move a thread to another core?

thread_move_insn: kernel and firmware on all harts, per move, for a program that computes while it is
moved every millisecond, less what the same ticks cost when it stays; from its interruption to
its next instruction on the other hart, doorbells and both harts' turns included. param: what has to
be moved along: u no FP registers in use, u_fp FP registers dirty (saved, and loaded again by a trap),
vs with a mailbox, in VS-mode.
"""
from measure import BenchError

ROUNDS = 3
LOOPS = 20000000
KINDS = {"u": "/bin/b_moves int", "u_fp": "/bin/b_moves fp",
         "vs": "SLUICE_UINTR=1 /bin/b_moves int"}


def kernel_work(bench, words):
    """Instructions below the program, without idle polling, and moves."""
    lines, windows = bench.results(smp=3, plugin=True, icount=True, spin_us=0, shuffle_us=1000,
                                   run=f"@1 {words}")
    counted = windows[0]
    return (counted.sum("kernel", "firmware") - counted.sum("idle_kernel", "idle_firmware"),
            int(lines[0]["moves"]))


def measure(bench):
    for kind, words in KINDS.items():
        values, note = [], ""
        for _ in range(ROUNDS):
            stays, none = kernel_work(bench, f"{words} {LOOPS} stay")
            moved, moves = kernel_work(bench, f"{words} {LOOPS}")
            if none or moves < 20:
                raise BenchError(f"{moves} moves, and {none} of one that stays")
            values.append((moved - stays) / moves)
            note = f"{moves} moves, {stays:,} instructions of a run without"
        bench.figure("thread_move_insn", kind, values, "instructions", note)
