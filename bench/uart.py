"""uart.py: what does a byte of a serial port cost that comes in, is checked, and goes out again?

The guest runs uartd by each of its ways; the far end is a client of this host, which keeps a window of
bytes under way. Counted by the plugin: all harts and levels, polling for nothing taken out. With and
without a hash (BLAKE3) of every byte. The row "linux" is the same loop on the peer, by its 8250 driver.
"""
import os
import tempfile

from measure import Client
from peer import linux

BYTES = 20000
TOTAL = BYTES + 2 * 256  # the client's EDGE_BYTES before and behind
WINDOW = 64
REPETITIONS = 3
WAYS = ("kernel", "poll", "uintr")
MODES = ("", " hash")
SECONDS = 120
LINUX_SECONDS = 400  # it boots for a minute under the plugin, longer beside other work


class Found:
    """Of one way and mode, a value per repetition: instructions and the program's traps per byte; and
    how many bytes came back within 2, 4, 8, ... microseconds of the host's clock."""

    def __init__(self):
        self.work, self.traps, self.latency = [], [], []

    def exchange(self, guest, path):
        with Client("uart_client", path, BYTES, WINDOW) as client:
            counted = client.window(guest)
        self.work.append((counted.all() - counted.polled()) / BYTES)
        hart = counted.user_hart()
        self.traps.append((hart["traps_s"] + hart["traps_m"]) / BYTES)
        (line,) = [line.split() for line in client.said if line.startswith("latency")]
        self.latency = [a + b for a, b in zip(self.latency or [0] * len(line), map(int, line[1:]))]

    def within_us(self, share):
        """Upper end of the range below which this share of all bytes is."""
        left = share * sum(self.latency)
        for i, count in enumerate(self.latency):
            left -= count
            if left <= 0:
                return 2 << i
        return 2 << len(self.latency)


def serial(folder):
    path = os.path.join(folder, "port")
    return path, f"unix:{path},server=on,wait=off"


def sluice(bench, way, mode, repetitions):
    found = Found()
    kind = "SLUICE_UINTR=1 " if way == "uintr" else ""
    for _ in range(repetitions):
        with tempfile.TemporaryDirectory() as folder:
            path, words = serial(folder)
            with bench.guest(smp=2, plugin=True, run=f"{kind}/bin/uartd {way} {TOTAL}{mode}", serial=words) as guest:
                guest.wait_for(f"uartd: {way}: ready", SECONDS)
                found.exchange(guest, path)
                guest.wait_end(SECONDS)
                guest.wait_for(f"uartd: {way}: {TOTAL} bytes, 0 out of sequence, 0 lost", 1)
    return found


def on_linux(bench, repetitions):
    """{mode: Found}. One boot for all: the port takes one client after the other. One hart: with two the
    emulator's threads wait for each other's spin locks, which costs twice to seven times as much."""
    script = "".join(f"uart {TOTAL}{mode}\n" for mode in MODES for _ in range(repetitions))
    every = {mode: Found() for mode in MODES}
    with tempfile.TemporaryDirectory() as folder:
        path, words = serial(folder)
        with bench.peer(script, smp=1, plugin=True, words="loglevel=0", settle=10, serial=words) as guest:
            seen = 0
            for found in every.values():
                for _ in range(repetitions):
                    seen = guest.wait_for("^uart: ready", LINUX_SECONDS, seen).end()
                    found.exchange(guest, path)
                    seen = guest.wait_for(f"^uart: {TOTAL} bytes, 0 out of sequence", SECONDS, seen).end()
    return every


def give(bench, name, found, note=""):
    bench.figure("uart_insn_per_byte", name, found.work, "instructions/byte",
                 f"emulated: half of the bytes within {found.within_us(0.5)} us{note}")


def measure(bench):
    for mode in MODES:
        work = {}
        for way in WAYS:
            found = sluice(bench, way, mode, REPETITIONS)
            work[way] = found.work
            give(bench, way + mode, found, ", polling is its work" if way == "poll" else "")
            bench.figure("uart_user_traps_per_1000", way + mode, [1000 * traps for traps in found.traps],
                         "traps/1000 bytes")
        bench.figure("uart_ratio", mode.strip() or "plain", [a / b for a, b in zip(work["kernel"], work["uintr"])],
                     "times", "the kernel's driver against the program's with user interrupts")
    if linux.is_here():
        for mode, found in on_linux(bench, REPETITIONS).items():
            give(bench, "linux" + mode, found)
