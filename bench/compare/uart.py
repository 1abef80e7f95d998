"""uart.py: row 7, a byte of the serial port in, checked, and out again: by the kernel's driver, by the
program's own that polls, by the program's own that the device interrupts; and by Linux' 8250 driver.

The programs, the client and the counting are bench/uart.py's. Every byte is checked by its place in the
sequence, on both sides.
"""
import uart
from compare.steps import Step

NAMES = {"kernel": "Sluice, the kernel's driver", "poll": "Sluice, the program's, polling",
         "uintr": "Sluice, the program's, user interrupts"}
LINUX = "Linux, 8250"
MODES = {"": "plain", " hash": "with a hash"}
HOW, HOW_LINUX = "2 harts, plugin", "1 hart, plugin"


def declare(section):
    section.figure("uart_insn", "Instructions per byte", "what is done with a byte", "instructions/byte",
                   plot="bars",
                   text="All harts, all levels; the kernel's polling for nothing is taken out, a driver's that polls "
                        "is its work and is not. The hash is BLAKE3, fed byte by byte.",
                   pace="how many bytes the host has brought when the driver looks")
    section.figure("uart_traps", "Traps of the program's hart", "what is done with a byte", "traps/1000 bytes",
                   plot=None, text="The hart that runs the program. Not counted on Linux.")
    section.figure("uart_latency", "Bytes by the time until they are back", "at most, us", "% of all bytes",
                   better=None, text=f"A histogram in powers of two; {uart.WINDOW} bytes are under way. The "
                                     "host's clock and an emulated machine: for the shape, not for the numbers.")


def give(section, system, mode, found, how=HOW):
    section.row("uart_insn", system, MODES[mode], found.work, how)
    if how == HOW:  # the plugin knows the trap vector of Sluice alone
        section.row("uart_traps", system, MODES[mode], [1000 * traps for traps in found.traps], how)
    if not mode:
        last = max(i for i, count in enumerate(found.latency) if count)
        for i in range(min(i for i, count in enumerate(found.latency) if count), last + 1):
            section.row("uart_latency", system, 2 << i, [100 * found.latency[i] / sum(found.latency)],
                        how.replace("plugin", "host's clock"))


def ours(way):
    def run(run, section):
        for mode in MODES:
            give(section, NAMES[way], mode, uart.sluice(run.bench, way, mode, run.instruction_rounds))
    return run


def theirs(run, section):
    for mode, found in uart.on_linux(run.bench, run.instruction_rounds).items():
        give(section, LINUX, mode, found, HOW_LINUX)


def steps(run):
    n = run.instruction_rounds
    return [Step(NAMES[way], each * n, ours(way)) for way, each in (("kernel", 8), ("poll", 6), ("uintr", 2))] + \
        [Step(LINUX, 10 + 10 * n, theirs, peer=True, full=True)]
