#!/usr/bin/env python3
"""Does a program get every byte of the serial port, in order, and does every byte it sends come out?
The port's other end is a socket here; the console is a virtio one. Bytes count up, in bursts longer
than the FIFO, and one by one.
"""
import os
import socket
import tempfile

import conf
from vm import VM, VMError

SECONDS = 60


def counting(count):
    return bytes(i & 255 for i in range(count))


class Peer:
    """The other end of the port."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(SECONDS)
        self.socket.connect(path)

    def receive(self, count):
        got = b""
        while len(got) < count:
            piece = self.socket.recv(65536)
            if not piece:
                raise VMError(f"the port was closed after {len(got)} of {count} bytes")
            got += piece
        return got

    def exchange(self, data, burst):
        """Sends `data`, at most `burst` bytes ahead of what came back; gives what came back."""
        got = b""
        sent = 0
        while len(got) < len(data):
            while sent < len(data) and sent - len(got) < burst:
                piece = data[sent:len(got) + burst]
                self.socket.sendall(piece)
                sent += len(piece)
            got += self.receive(1)
        return got


# Machines where user interrupts become upcalls: without a hypervisor extension, and without AIA, too.
NO_H = ("-machine", "aia-guests=0", "-cpu", "rv64,h=false")
NO_AIA = ("-machine", "aia=none", "-cpu", "rv64,h=false")


def guest(run, folder, smp=2, extra=(), shuffle=None):
    chosen = conf.choose(smp, None)
    if shuffle:
        chosen.set("shuffle_us", str(shuffle))
    chosen.set("run", run)
    chosen.set("exit", "power")
    chosen.set("net", "off")
    path = os.path.join(folder, "port")
    return VM(chosen, ports={}, mem="128M", serial=f"unix:{path},server=on,wait=off",
              extra=extra), path


def loop(way, count, burst, smp=2, extra=(), shuffle=None):
    """One run of uartd: what it says at its end."""
    with tempfile.TemporaryDirectory() as folder:
        ask = "SLUICE_UINTR=1 " if way == "uintr" else ""
        machine, path = guest(f"{ask}/bin/uartd {way} {count}", folder, smp, extra, shuffle)
        with machine as vm:
            vm.wait_for(f"uartd: {way}: ready", SECONDS)
            data = counting(count)
            if Peer(path).exchange(data, burst) != data:
                raise VMError("what came back is not what was sent", vm.tail())
            if not vm.wait_end(SECONDS):
                raise VMError("no end", vm.tail())
            vm.wait_for(rf"uartd: {way}: {count} bytes, 0 out of sequence, 0 lost", 1)
            vm.wait_for(r"leaks: frames 0 ops 0", 1)


def bursts(way, extra=()):
    return lambda: loop(way, 20000, 256, extra=extra)


def single(way, extra=()):
    return lambda: loop(way, 300, 1, extra=extra)


def moving(way, extra=()):
    """The driver changes its hart every 500 us, its interrupt with it."""
    return lambda: loop(way, 3000, 64, smp=3, extra=extra, shuffle=500)


def one_hart(way):
    return lambda: loop(way, 5000, 64, smp=1)


def claims():
    """One at a time, as a stream or as a device; free again with the last descriptor."""
    with tempfile.TemporaryDirectory() as folder:
        machine, _ = guest("/bin/t_uart_claim", folder)
        with machine as vm:
            vm.wait_for(r"the port was claimed and let go of", SECONDS)
            vm.wait_for(r"t_uart_claim: exit status 0", SECONDS)
            vm.wait_for(r"leaks: frames 0 ops 0", SECONDS)


def page_goes():
    """With the claim the registers are gone, whether the program still maps them or not."""
    with tempfile.TemporaryDirectory() as folder:
        machine, _ = guest("/bin/t_uart_claim touch", folder)
        with machine as vm:
            vm.wait_for(r"the registers are there", SECONDS)
            vm.wait_for(r"t_uart_claim: killed by signal 11", SECONDS)
            vm.wait_for(r"leaks: frames 0 ops 0", SECONDS)


def dies_claiming(ask=""):
    """Whoever claims, and ends before it is told of it, leaves the port to the next one."""
    with tempfile.TemporaryDirectory() as folder:
        machine, _ = guest(f"{ask}/bin/t_uart_claim deaths", folder)
        with machine as vm:
            vm.wait_for(r"the port was free behind each", SECONDS)
            vm.wait_for(r"t_uart_claim: exit status 0", SECONDS)
            vm.wait_for(r"leaks: frames 0 ops 0", SECONDS)


def console_is_refused():
    """With the console on the port it is nobody else's, and the program says why."""
    chosen = conf.choose(2, None)
    chosen.set("run", "/bin/uartd kernel 10")
    chosen.set("exit", "power")
    chosen.set("net", "off")
    with VM(chosen, ports={}, mem="128M") as vm:
        vm.wait_for(r"uartd: /dev/ttyS0 does not open: error -16 \(it is the console\)", SECONDS)


TESTS = {
    "bursts through the kernel's driver": bursts("kernel"),
    "single bytes through the kernel's driver": single("kernel"),
    "one hart in both roles": one_hart("kernel"),
    "bursts through a driver that polls": bursts("poll"),
    "a polling driver on one hart": one_hart("poll"),
    "bursts by user interrupts": bursts("uintr"),
    "single bytes by user interrupts": single("uintr"),
    "user interrupts, the driver moving": moving("uintr"),
    "upcalls, the driver moving": moving("uintr", NO_H),
    "upcalls without AIA, the driver moving": moving("uintr", NO_AIA),
    "user interrupts on one hart": one_hart("uintr"),
    "bursts by upcalls, messages": bursts("uintr", NO_H),
    "bursts by upcalls, a line that is held": bursts("uintr", NO_AIA),
    "single bytes by upcalls, a line that is held": single("uintr", NO_AIA),
    "bursts through the kernel's driver, PLIC": bursts("kernel", NO_AIA),
    "claims": claims,
    "the page goes with the claim": page_goes,
    "dies while it claims": dies_claiming,
    "dies while it claims, user interrupts": lambda: dies_claiming("SLUICE_UINTR=1 "),
    "the console is not given away": console_is_refused,
}


def main():
    for name, test in TESTS.items():
        try:
            test()
            print(f"ok {name}")
        except (VMError, OSError) as error:
            print(f"FAIL {name}: {error}")
            for line in getattr(error, "tail", "").splitlines()[-8:]:
                print("# " + line)


if __name__ == "__main__":
    main()
