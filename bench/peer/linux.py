"""linux.py: the peer: an unmodified riscv64 Linux in the same emulator, on the same machine.

A Guest is a vm.VM whose kernel is the distribution's (packages.py brings it) and whose programs are in
an initial archive put together here, for each start: a static busybox, the kernel modules that are
needed, with what they depend on, our own programs (bench/peer/guest), and the files that the caller
adds. bench/peer/init brings the machine up and runs the caller's shell script; what the script says is
on `console`.

    with linux.Guest("/bin/thing 7 &\n sleep 3600", files={"bin/thing": "build/peer/thing"},
                     ports={7: 0}) as guest:
        guest.wait_for("^thing: ready", 60)

Harts, memory, devices, disk image and forwarded ports are given as for vm.VM, and are the same words
for QEMU. The kernel is the tuned one (TUNED) unless it is told otherwise.
"""
import glob
import lzma
import os
import re
import tempfile

import mkinitrd
import vm
from peer import packages

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = os.path.join("build", "peer")

# No zeroing of what the kernel allocates for itself, no random gap on each kernel stack, no auditing and
# no policy module on the path of a system call. The block scheduler is none (init).
TUNED = "init_on_alloc=0 randomize_kstack_offset=off audit=0 lsm=capability"
ALWAYS = "console=ttyS0 quiet panic=-1"
MODULES = ("virtio_mmio", "virtio_blk", "virtio_net", "virtio_rng")
BOOTS_MAX = 3
BOOT_SECONDS = 60
ADDRESS = "10.0.2.15"  # the one that the emulator's network forwards to


class Machine:
    """What vm.VM asks of a configuration."""

    def __init__(self, smp, words):
        self.name, self.smp, self.words = f"linux smp{smp}", smp, words

    def cmdline(self):
        return self.words

    def io_harts(self):
        """For how many harts the disk has a queue."""
        return 1


def kernel():
    found = glob.glob(os.path.join(packages.folder_of("linux"), "boot", "vmlinux-*"))
    if len(found) != 1:
        raise vm.VMError("the peer's kernel is not here: make peer brings it.")
    return found[0]


def is_here():
    """Has `make peer` been run? Parts that compare leave the peer's rows out where it has not."""
    return bool(glob.glob(os.path.join(packages.folder_of("linux"), "boot", "vmlinux-*"))) and os.path.isdir(PROGRAMS)


def plain(name):
    """A module's name as the kernel writes it."""
    return name.replace("-", "_")


class Modules:
    """The kernel package's modules, unpacked and in the order in which they can be loaded."""

    def __init__(self):
        top = os.path.join(packages.folder_of("linux"), "usr", "lib", "modules")
        self.paths = {plain(os.path.basename(path)[:-len(".ko.xz")]): path
                      for path in glob.glob(os.path.join(top, "**", "*.ko.xz"), recursive=True)}
        self.order = {}

    def add(self, name):
        """The module, behind all that it says it depends on."""
        name = plain(name)
        if name in self.order:
            return
        if name not in self.paths:
            raise vm.VMError(f"the peer's kernel package has no module {name}.")
        with lzma.open(self.paths[name]) as packed:
            data = packed.read()
        (needs,) = re.findall(rb"\0depends=([^\0]*)\0", data)
        for other in filter(None, needs.decode().split(",")):
            self.add(other)
        self.order[name] = data


def archive(files):
    """A cpio of {name: bytes}, with the folders above each."""
    folders = set()
    for name in files:
        while name := os.path.dirname(name):
            folders.add(name)
    parts = [mkinitrd.entry(number, name, 0o40755) for number, name in enumerate(sorted(folders), 1)]
    parts += [mkinitrd.entry(number, name, 0o100755, data)
              for number, (name, data) in enumerate(sorted(files.items()), len(folders) + 1)]
    return b"".join(parts) + mkinitrd.entry(0, "TRAILER!!!", 0)


def read(path):
    with open(path, "rb") as data:
        return data.read()


class Guest(vm.VM):
    """
    script   shell text that /init runs; when it ends, the machine powers off
    files    {name in the guest: path here, or bytes}, programs and libraries alike
    modules  kernel modules besides MODULES, by name
    tuned    False: the distribution's own settings
    settle   seconds of guest time between the end of boot and the script
    words    more words for the kernel's command line
    The rest is vm.VM's.
    """

    boots_lost = 0  # of all guests of this run
    panic = re.compile(r"^.*Kernel panic.*", re.M)
    # Not aia=aplic-imsic: with this emulator's APLIC Linux gets interrupts nobody asked for ("irq 11:
    # nobody cared") and hangs. The board's other interrupt controller then; everything else is the same.
    board = "virt"

    def __init__(self, script, smp=2, files=None, modules=(), tuned=True, settle=2, words="",
                 ports=None, **options):
        line = " ".join(filter(None, (ALWAYS, TUNED if tuned else "", words,
                                      f"SETTLE={settle} NET={ADDRESS}")))
        super().__init__(Machine(smp, line), ports=ports or {}, **options)
        self.script = script
        self.files = files or {}
        self.modules = modules
        self.folder = None

    def images(self):
        return kernel(), os.path.join(self.folder.name, "initrd.cpio")

    def contents(self):
        modules = Modules()
        for name in MODULES + tuple(self.modules):
            modules.add(name)
        files = {f"modules/{name}.ko": data for name, data in modules.order.items()}
        files["modules.list"] = "".join(f"/modules/{name}.ko\n" for name in modules.order).encode()
        files["run.sh"] = self.script.encode() + b"\n"
        files["init"] = read(os.path.join(HERE, "init"))
        files["bin/busybox"] = read(os.path.join(packages.folder_of("busybox"), "usr", "bin", "busybox"))
        for path in glob.glob(os.path.join(PROGRAMS, "*")):
            files["bin/" + os.path.basename(path)] = read(path)
        for name, what in self.files.items():
            files[name] = what if isinstance(what, bytes) else read(what)
        return files

    def start(self):
        """Starts and waits until the machine is up. Now and then one with two harts stays in its
        firmware for ever (README.md): then it is started again, and that is counted."""
        self.folder = tempfile.TemporaryDirectory(prefix="sluice-peer-")
        with open(os.path.join(self.folder.name, "initrd.cpio"), "wb") as out:
            out.write(archive(self.contents()))
        for left in range(BOOTS_MAX - 1, -1, -1):
            super().start()
            try:
                self.wait_for("^peer: up", BOOT_SECONDS)
                break
            except vm.VMError:
                self.kill()
                if not left:
                    raise
            Guest.boots_lost += 1
            self.bytes, self.ended = bytearray(), False
        return self

    def stop(self, timeout=10):
        """There is nothing to ask it: it has no disk that must be left in order. If it ended by
        itself its script must have gone well."""
        ended = not self.alive
        self.kill()
        if ended and not re.search(r"^peer: end 0$", self.console, re.M):
            raise vm.VMError("the peer's script failed.", self.tail())
        return 0

    def __exit__(self, *what):
        super().__exit__(*what)
        self.folder.cleanup()
