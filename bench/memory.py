"""memory.py: how much memory does an operation in flight take, and an idle connection?

gdb reads the kernel's own structures, by the names its debug information gives them, while the guest
stands still. An idle connection is the slope between 100 and 300 of them, so that what the servers
made ready beforehand does not hide it: frames (the program's stacks, page tables) plus what is in use
of each of the kernel's pools.
"""
import subprocess
import tempfile

import vm
from measure import KERNEL, BenchError, Client

FEW, MANY = 100, 300
POOLS = ("sock_pool", "lent_pool", "door_pool")
CORES = 4  # more than the map has


def gdb(script, attach=None):
    """What the script says, a number for each key (say, below)."""
    with tempfile.NamedTemporaryFile("w", suffix=".gdb") as file:
        if attach:
            file.write(f"target remote 127.0.0.1:{attach}\n")
        file.write(script)
        file.flush()
        out = subprocess.run(["gdb-multiarch", "-q", "-nx", "-batch", KERNEL, "-x", file.name],
                             capture_output=True, text=True, timeout=60, check=False)
    if out.returncode or "Error" in out.stderr:
        raise BenchError("gdb: " + out.stderr.strip())
    found = dict(line[2:].split("=", 1) for line in out.stdout.splitlines() if line.startswith("@ "))
    return {key: int(value) for key, value in found.items()}


def say(key, expression):
    return f'printf "@ {key}=%lu\\n", (unsigned long)({expression})\n'


def say_pool(key, pool):
    return say(key, f"({pool}.total - {pool}.free_count) * {pool}.size")


def used(port):
    """What is in use, in bytes, by kind."""
    script = say("free", "buddy.free")
    script += "".join(say(f"cache{i}", f"caches[{i}].count") for i in range(CORES))
    script += "".join(say_pool(pool, pool) for pool in POOLS)
    for i in range(CORES):
        script += f"if cores[{i}] && cores[{i}]->exec\n" + say_pool(f"ops{i}", f"cores[{i}]->exec->pool") + "end\n"
    script += ("set $n = 0\nset $p = tcp_active_pcbs\nwhile $p\nset $n = $n + 1\nset $p = $p->next\nend\n" +
               say("tcp_pcbs", "$n * sizeof(struct tcp_pcb)"))
    found = gdb(script, attach=port)
    free = found.pop("free") + sum(found.pop(f"cache{i}") for i in range(CORES))
    found["frames"] = -free * 4096
    found["ops"] = sum(found.pop(f"ops{i}", 0) for i in range(CORES))
    return found


def measure(bench):
    bench.figure("op_bytes", "-", [gdb(say("op", "sizeof(struct op)"))["op"]], "bytes", "one struct op; its CQE waits in it")
    port = vm.free_ports(1)[0]
    with bench.servers(extra=["-gdb", f"tcp:127.0.0.1:{port}"]) as guest:
        with Client("echo_client", guest.ports[7], FEW, 0) as few:
            few.wait_for("steady")
            before = used(port)
            with Client("echo_client", guest.ports[7], MANY - FEW, 0) as many:
                many.wait_for("steady")
                after = used(port)
        guest.stop()
    each = {key: (after[key] - before[key]) / (MANY - FEW) for key in before}
    note = ", ".join(f"{key} {value:.0f}" for key, value in each.items() if value)
    bench.figure("conn_bytes", "-", [sum(each.values())], "bytes", note)
