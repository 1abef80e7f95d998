"""nbd.py: what does the kernel execute to read 4 KiB from the disk? The same stream of reads, every
byte verified, goes to the disk export and to the export in the server's memory: the difference is the
disk's. Nothing caches: the kernel has no page cache, the server none either.
"""
from measure import Client, run_host

BYTES = 16 << 20
SEED = 1
DEPTH = 32
BLOCKS = 100000
ROUNDS = 2


def window(guest, export):
    with Client("nbd_client", guest.ports[10809], export, "read", BYTES, SEED, DEPTH, BLOCKS) as client:
        return client.window(guest), client


def measure(bench):
    found = {"disk": [], "ram": []}
    idle = {"disk": [], "ram": []}
    rate = {}
    with bench.servers(plugin=True) as guest:
        for export in found:
            run_host("nbd_client", guest.ports[10809], export, "fill", BYTES, SEED)
        for _ in range(ROUNDS):
            for export in found:
                counted, client = window(guest, export)
                found[export].append(counted.kernel() / BLOCKS)
                idle[export].append(counted.kernel_polled() / BLOCKS)
                rate[export] = client.value("per_second")
                bench.say(f"nbd {export}: {found[export][-1]:.0f} kernel instructions/read")
        guest.stop()
    bench.figure("nbd_read_kernel_insn", DEPTH, [a - b for a, b in zip(found["disk"], found["ram"])],
                 "instructions/read", "disk export minus memory export")
    for export, values in found.items():
        bench.figure(f"nbd_{export}_kernel_insn", DEPTH, values, "instructions/read",
                     f"emulated: {rate[export]:.0f} reads/s")
        bench.figure(f"nbd_{export}_kernel_idle_insn", DEPTH, idle[export], "instructions/read",
                     "polling for nothing")
