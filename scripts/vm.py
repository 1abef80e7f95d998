"""vm.py: one guest, as the launcher (scripts/run) and the boot tests see it.

A VM is started from a configuration (conf.py), writes what the guest says into `console` and gives
its forwarded ports. Nothing here prints. A reader thread owns the guest's console; everyone else
waits on its condition, so there is no polling and no sleep.

    with VM(conf.choose(smp=3), disk="disk.img") as vm:
        vm.wait_for(r"echod: ready", 60)
        socket.create_connection(("127.0.0.1", vm.ports[7]))
        assert vm.stop() == 0
"""
import ctypes
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time

import mkinitrd

QEMU = ["qemu-system-riscv64"]  # the words that start it; a test may put another one's here
QUIT = b"\x18"  # Ctrl-X: the kernel stops the programs, prints its counters and powers off
PANIC = re.compile(r"^PANIC core.*(?:\n.*)?", re.M)  # kernel/base/panic.c


LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1  # prctl(2)


def end_with_parent():
    """A guest does not outlive who watches it, however that one ends."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class VMError(Exception):
    """What went wrong, in one sentence; `tail` holds the last lines of the console."""

    def __init__(self, sentence, tail=""):
        super().__init__(sentence)
        self.tail = tail


def port_is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count):
    """Ports nobody listens on. They are all held while they are chosen, so they differ."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def image_format(path):
    with open(path, "rb") as image:
        return "qcow2" if image.read(4) == b"QFI\xfb" else "raw"


def mem_mib(text):
    match = re.fullmatch(r"(\d+)([MG]?)", str(text))
    if not match:
        raise VMError(f'MEM={text} is not a size; say for example 256M or 1G.')
    mib = int(match[1]) * (1024 if match[2] == "G" else 1)
    if not 16 <= mib <= 65536:
        raise VMError(f"MEM={text} is not between 16M and 64G.")
    return mib


class VM:
    """
    config  a conf.Conf
    machine "riscv64" or "hosted"; build: folder of the images (default build/MACHINE)
    disk    image file, or None; drive: QEMU -drive words that replace it (tests with blkdebug)
    ports   {guest port: host port}; a host port 0 is picked
    cmdline more boot arguments; extra: more words for QEMU or sluice
    prefix  words before the command, for instance a tracer
    serial  QEMU's words for what the serial port is connected to; the console is then a virtio one
    netdev  QEMU -netdev words that replace the user network (and its ports)
    files   {name in the guest: file}: more files for its initial archive
    """

    panic = PANIC
    board = "virt,aia=aplic-imsic,aia-guests=7"  # mailboxes for user interrupts, per hart

    def __init__(self, config, machine="riscv64", build=None, disk=None, drive=None, mem="256M",
                 ports=None, cmdline="", extra=(), prefix=(), tee=None, serial=None,
                 netdev=None, files=None):
        self.config = config
        self.machine = machine
        self.build = build or os.path.join("build", machine)
        self.disk = disk
        self.drive = drive
        self.mib = mem_mib(mem)
        self.ports = dict({7: 0, 10809: 0} if ports is None else ports)
        wanted = [guest for guest, host in self.ports.items() if not host]
        self.ports.update(zip(wanted, free_ports(len(wanted))))
        self.cmdline = (config.cmdline() + " " + cmdline).strip()
        if machine == "riscv64" and os.environ.get("UINTR"):
            self.cmdline += " uintr=" + os.environ["UINTR"]
        self.extra = list(extra)
        self.prefix = list(prefix)
        self.serial = serial
        self.netdev = netdev
        self.files = files or {}
        self.archive = None  # the initial archive with `files`, while the guest lives
        self.tee = tee  # called with each piece of console bytes
        self.process = None
        self.changed = threading.Condition()
        self.bytes = bytearray()
        self.ended = False
        self.reader = None

    def images(self):
        """Kernel and initial archive of an emulated guest."""
        return os.path.join(self.build, "kernel.elf"), os.path.join(self.build, "initrd.cpio")

    def command(self):
        kernel, initrd = self.images()
        if self.files:
            self.archive = tempfile.NamedTemporaryFile(prefix="sluice-", suffix=".cpio")
            self.archive.write(mkinitrd.extended(initrd, self.files))
            self.archive.flush()
            initrd = self.archive.name
        if self.machine == "hosted":
            words = [os.path.join(self.build, "sluice"), "-smp", str(self.config.smp),
                     "-m", str(self.mib), "-initrd", initrd, "-append", self.cmdline]
            if self.disk:
                words += ["-disk", self.disk]
            for guest, host in self.ports.items():
                words += ["-hostfwd", f"{host}:{guest}"]
            return self.prefix + words + self.extra
        words = [*QEMU, "-machine", self.board, "-cpu", "rv64,h=true",
                 "-smp", str(self.config.smp), "-m", f"{self.mib}M", "-bios", "default",
                 "-display", "none", "-monitor", "none", "-serial", self.serial or "stdio", "-no-reboot",
                 "-global", "virtio-mmio.force-legacy=false",
                 "-kernel", kernel, "-initrd", initrd,
                 "-append", self.cmdline]
        if self.serial:
            words += ["-chardev", "stdio,id=con0", "-device", "virtio-serial-device",
                      "-device", "virtconsole,chardev=con0"]
        drive = self.drive
        if drive is None and self.disk:
            name = self.disk.replace(",", ",,")
            drive = f"file={name},format={image_format(self.disk)},discard=unmap"
        if drive:
            queues = self.config.io_harts()
            words += ["-drive", f"if=none,id=disk0,{drive}", "-device", "virtio-blk-device,drive=disk0" +
                      (f",num-queues={queues}" if queues > 1 else "")]
        forwards = "".join(f",hostfwd=tcp:127.0.0.1:{host}-:{guest}"
                           for guest, host in self.ports.items())
        words += ["-netdev", (self.netdev or "user" + forwards) + ",id=net0", "-device", "virtio-net-device,netdev=net0",
                  "-device", "virtio-rng-device"]
        return self.prefix + words + self.extra

    # ---- life -----------------------------------------------------------------------------------

    def start(self):
        command = self.command()
        try:
            # A session of its own: Ctrl-C on the terminal is for us, not for the guest's machine.
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=subprocess.STDOUT, start_new_session=True,
                                            preexec_fn=end_with_parent)
        except OSError as error:
            raise VMError(f"{command[0]} could not be started: {error.strerror}.") from None
        self.reader = threading.Thread(target=self.read_console, daemon=True)
        self.reader.start()
        return self

    def read_console(self):
        stream = self.process.stdout
        while True:
            piece = os.read(stream.fileno(), 65536)
            if self.tee and piece:
                self.tee(piece)
            with self.changed:
                self.bytes += piece
                self.ended = not piece
                self.changed.notify_all()
            if not piece:
                return

    @property
    def console(self):
        with self.changed:
            return self.bytes.decode("utf-8", "replace").replace("\r", "")

    def tail(self, count=20):
        return "\n".join(self.console.splitlines()[-count:])

    @property
    def alive(self):
        return self.process is not None and self.process.poll() is None

    def wait_for(self, pattern, timeout, start=0):
        """Waits until the console, from character `start` on, matches; gives the match."""
        wanted = re.compile(pattern, re.M)
        end = time.monotonic() + timeout
        while True:
            with self.changed:
                text = self.bytes.decode("utf-8", "replace").replace("\r", "")
                match = wanted.search(text, start)
                if match:
                    return match
                panic = self.panic.search(text, start)
                if not self.ended and not panic:
                    left = end - time.monotonic()
                    if left > 0:
                        self.changed.wait(left)
                        continue
            if panic:
                raise VMError("the kernel stopped: " + " ".join(panic[0].split()), self.tail())
            if self.ended:
                raise VMError(f"the guest ended before it said {pattern!r}.", self.tail())
            raise VMError(f"the guest did not say {pattern!r} within {timeout} s.", self.tail())

    def wait_end(self, timeout):
        """Waits for the guest to end by itself. False if it did not in time."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        self.reader.join(5)
        return True

    def send(self, data):
        try:
            self.process.stdin.write(data)
            self.process.stdin.flush()
        except (BrokenPipeError, OSError):
            pass

    def stop(self, timeout=10):
        """Asks the guest to end. 0 if it did; VMError if it had to be killed or ended badly."""
        if self.alive:
            self.send(QUIT)
            if not self.wait_end(timeout):
                tail = self.tail()
                self.kill()
                raise VMError(f"the guest did not end within {timeout} s of Ctrl-X and was killed.",
                              tail)
        self.reader.join(5)
        panic = self.panic.search(self.console)
        if panic:
            raise VMError("the kernel stopped: " + " ".join(panic[0].split()), self.tail())
        if self.process.returncode:
            raise VMError(f"the guest's machine ended with status {self.process.returncode}.",
                          self.tail())
        return 0

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.reader is not None:
            self.reader.join(5)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()
        if self.archive:
            self.archive.close()
        for stream in (self.process.stdin, self.process.stdout):
            try:
                stream.close()
            except OSError:
                pass
