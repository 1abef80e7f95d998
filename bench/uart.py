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
SECONDS = 120
LINUX_SECONDS = 400  # it boots for a minute under the plugin, longer beside other work


def exchange(guest, path):
    with Client("uart_client", path, BYTES, WINDOW) as client:
        client.wait_for("steady")
        before = guest.plugin.totals()
        client.go()
        client.wait_for("done")
        counted = guest.plugin.totals() - before
        client.end()
    return counted, client


def measure_linux(bench):
    """One boot for all: the port takes one client after the other."""
    script = "".join(
        f"uart {TOTAL}{mode}\n" for mode in ("", " hash") for _ in range(REPETITIONS))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "port")
        with bench.peer(script, plugin=True, words="loglevel=0", settle=10,
                        serial=f"unix:{path},server=on,wait=off") as guest:
            seen = 0
            for mode in ("", " hash"):
                work, times = [], []
                for _ in range(REPETITIONS):
                    seen = guest.wait_for("^uart: ready", LINUX_SECONDS, seen).end()
                    counted, client = exchange(guest, path)
                    seen = guest.wait_for(f"^uart: {TOTAL} bytes, 0 out of sequence", SECONDS, seen).end()
                    work.append(counted.all() / BYTES)
                    times.append(client.value("us_p50"))
                bench.figure("uart_insn_per_byte", "linux" + mode, work, "instructions/byte",
                             f"emulated: p50 below {times[0]:.0f} us")


def measure_way(bench, way, hashed):
    work, times, traps = [], [], []
    for _ in range(REPETITIONS):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "port")
            run = f"/bin/uartd {way} {TOTAL}" + (" hash" if hashed else "")
            with bench.guest(smp=2, plugin=True, run=("SLUICE_UINTR=1 " if way == "uintr" else "") + run,
                             serial=f"unix:{path},server=on,wait=off") as guest:
                guest.wait_for(f"uartd: {way}: ready", SECONDS)
                counted, client = exchange(guest, path)
                guest.wait_end(SECONDS)
                guest.wait_for(f"uartd: {way}: {TOTAL} bytes, 0 out of sequence, 0 lost", 1)
            work.append((counted.all() - counted.polled()) / BYTES)
            hart = counted.user_hart()
            traps.append((hart["traps_s"] + hart["traps_m"]) * 1000 / BYTES)
            times.append(client.value("us_p50"))
    name = way + (" hash" if hashed else "")
    bench.figure("uart_insn_per_byte", name, work, "instructions/byte",
                 f"emulated: p50 below {times[0]:.0f} us" + (", polling is its work" if way == "poll" else ""))
    bench.figure("uart_user_traps_per_1000", name, traps, "traps/1000 bytes")


def measure(bench):
    for hashed in (False, True):
        for way in WAYS:
            measure_way(bench, way, hashed)
    if linux.is_here():
        measure_linux(bench)
