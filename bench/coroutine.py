"""coroutine.py: what does a coroutine switch cost, four values alive over it: floating-point ones, or integers
in a program without floating point? What the same loop costs without switching is taken off. And what does a
thief pay for the coroutines it takes?"""

SWITCHES = 200000
STEALS = 2000


def measure(bench):
    for program, param in (("b_co", "-"), ("b_co_integer", "integer")):
        values, note = [], ""
        for _ in range(2):
            (line,), _windows = bench.results(smp=1, icount=True, run=f"/bin/{program} {SWITCHES}")
            switches, plain = int(line["switches"]), int(line["plain"])
            values.append((int(line["instructions"]) - plain) / switches)
            note = f"{plain / switches:.1f} of arithmetic taken off"
        bench.figure("co_switch_insn", param, values, "instructions/switch", note)
    lines, _windows = bench.results(smp=1, icount=True, run=f"/bin/b_steal {STEALS}")
    for line in lines:
        value = int(line["instructions"]) / int(line["rounds"])
        bench.figure("steal_insn", line["taken"], [value], "instructions/steal", "coroutines taken at a time")
