"""memory.py: row 8, bytes for what is in flight or idle, and the instructions of a start.

Sluice: the kernel's own structures, read by gdb while the guest stands still (bench/memory.py). Linux: its
slab caches' object sizes, and what MemFree lost between FEW and MANY, the slope, so that what was made ready
beforehand does not count. Boot: one hart, -icount, every instruction of firmware, kernel and programs.
"""
import memory
import vm
from compare.steps import Step
from measure import AHEAD, MARK_READY, BenchError, Client

FEW, MANY = 100, 500
ONE = "1 hart, -icount, plugin"
SLUICE, LINUX, EPOLL = "Sluice", "Linux, io_uring", "Linux, epoll"
FILES = {"bin/echod": "build/linux-riscv64/apps/echod", "bin/echo_server": "build/peer/echo"}
SAY_FREE = "sync; echo 3 > /proc/sys/vm/drop_caches; sleep 1; grep MemFree /proc/meminfo"


def declare(section):
    section.figure("memory_bytes", "Memory for one more", "of what", "bytes", plot="bars",
                   text="Kernel's and program's together. An operation: the kernel's object alone; each has "
                        "its 64-byte entry and 16-byte answer in the ring besides.")
    section.figure("boot_insn", "Instructions of a start", "from reset to", "instructions", plot="bars",
                   text="Firmware, kernel and programs. Linux' init is a shell that loads four modules and "
                        "brings the network up; Sluice's start brings up the same devices.")


def idle_connections(port):
    """Opens FEW, then MANY; yields after each."""
    with Client("echo_client", port, FEW, 0) as few:
        few.wait_for("steady")
        yield FEW
        with Client("echo_client", port, MANY - FEW, 0) as many:
            many.wait_for("steady")
            yield MANY


def rounds(run):
    return 1 if run.quick else run.instruction_rounds


def sluice_memory(run, section):
    op = memory.gdb(memory.say("op", "sizeof(struct op)"))["op"]
    section.row("memory_bytes", SLUICE, "operation in flight", [op], "gdb", note="struct op")
    slopes = []
    for _ in range(rounds(run)):
        port, used = vm.free_ports(1)[0], []
        with run.bench.servers(smp=2, prefix=AHEAD, extra=["-gdb", f"tcp:127.0.0.1:{port}"]) as guest:
            for _ in idle_connections(guest.ports[7]):
                used.append(sum(memory.used(port).values()))
            guest.stop()
        slopes.append((used[1] - used[0]) / (MANY - FEW))
    section.row("memory_bytes", SLUICE, "idle connection", slopes, "2 harts, gdb",
                note="echod; frames, pools and protocol blocks")


def free_kib(guest, seen):
    """MemFree when the guest says it for the next time."""
    guest.send(b"\n")
    found = guest.wait_for(r"(?s)" + r".*?MemFree: +(\d+) kB" * (seen + 1), 60)
    return int(found[seen + 1])


def linux_memory(run, section):
    slopes, size = {LINUX: [], EPOLL: []}, None
    script = ("LIBASYNC_RING=defer /bin/echod 7 &\n/bin/echo_server epoll 8 &\ngrep '^io_kiocb ' /proc/slabinfo\n"
              f"while read -r _; do {SAY_FREE}; done")
    for _ in range(rounds(run)):
        with run.bench.peer(script, smp=2, prefix=AHEAD, files=FILES, ports={7: 0, 8: 0}) as guest:
            size = int(guest.wait_for(r"^io_kiocb +\d+ +\d+ +(\d+)", 60)[1])
            guest.wait_for(r"(?s)(ready.*){2}", 60)
            for i, (system, port) in enumerate(((LINUX, 7), (EPOLL, 8))):
                free = [free_kib(guest, 2 * i + j) for j, _ in enumerate(idle_connections(guest.ports[port]))]
                slopes[system].append((free[0] - free[1]) * 1024 / (MANY - FEW))
    section.row("memory_bytes", LINUX, "operation in flight", [size], "slabinfo", note="io_kiocb")
    for system, values in slopes.items():
        section.row("memory_bytes", system, "idle connection", values, "2 harts, MemFree",
                    note="caches dropped before each look")


# (of what, how on Sluice, how on Linux, few, many)
IDLE = (("coroutine that waits; on Linux a thread", "coroutines", "threads", 100, 1100),
        ("process that waits", "processes", "processes", 10, 50))


def sluice_idle(run, section):
    for what, how, _, few, many in IDLE:
        slopes = []
        for _ in range(rounds(run)):
            bytes_used = []
            for count in (few, many):
                port = vm.free_ports(1)[0]
                with run.bench.guest(smp=2, run=f"/bin/b_idle {how} {count}", stay=True,
                                     extra=["-gdb", f"tcp:127.0.0.1:{port}"]) as guest:
                    guest.wait_for("^idle: ready", 60)
                    bytes_used.append(sum(memory.used(port).values()))
            slopes.append((bytes_used[1] - bytes_used[0]) / (many - few))
        section.row("memory_bytes", SLUICE, what, slopes, "2 harts, gdb", note=f"b_idle; frames and pools, {few} to {many}")


def linux_idle(run, section):
    for what, _, how, few, many in IDLE:
        slopes = []
        script = "".join(f"/bin/idle {how} {count} &\nread -r _; {SAY_FREE}\n" for count in (few, many - few))
        for _ in range(rounds(run)):
            # in one boot: what is free differs more from boot to boot
            with run.bench.peer(script + "read -r _", smp=2, prefix=AHEAD) as guest:
                guest.wait_for("^idle: ready", 60)
                free = [free_kib(guest, 0)]
                guest.wait_for(r"(?s)(idle: ready.*){2}", 60)
                free.append(free_kib(guest, 1))
            slopes.append((free[0] - free[1]) * 1024 / (many - few))
        section.row("memory_bytes", "Linux", what, slopes, "2 harts, MemFree", note=f"{few} to {many}, caches dropped")


def sluice_boot(run, section):
    first, ready = [], []
    for _ in range(run.instruction_rounds):
        with run.bench.servers(smp=1, icount=True, plugin=True, prefix=AHEAD) as guest:
            first.append(guest.plugin.first_user())
            ready.append(guest.boot.all())
            guest.stop()
    section.row("boot_insn", SLUICE, "first user instruction", first, ONE)
    section.row("boot_insn", SLUICE, "ready: devices, network, servers", ready, ONE, "echod and nbdd listen")


def linux_boot(run, section):
    first, ready = [], []
    for _ in range(rounds(run)):
        with run.bench.peer("true", smp=1, icount=True, plugin=True, disk=True, prefix=AHEAD, settle=0) as guest:
            if not guest.wait_end(120):
                raise BenchError("Linux did not end")
            guest.stop()
            marks, user = guest.plugin.marks()
            first.append(user)
            ready.append(marks[MARK_READY].all())
    section.row("boot_insn", "Linux", "first user instruction", first, ONE)
    section.row("boot_insn", "Linux", "ready: devices, network, servers", ready, ONE, "a shell; no server yet")


def steps(run):
    n = run.instruction_rounds
    return [Step("Sluice, memory", 2.5 * rounds(run), sluice_memory),
            Step("Linux, memory", rounds(run) * 11, linux_memory, peer=True),
            Step("Sluice, coroutines and processes", 2 * rounds(run), sluice_idle),
            Step("Linux, threads and processes", 15 * rounds(run), linux_idle, peer=True, full=True),
            Step("Sluice, start", 0.5 * n, sluice_boot),
            Step("Linux, start", 4.5 * rounds(run), linux_boot, peer=True)]
