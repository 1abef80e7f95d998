#!/usr/bin/env python3
"""Does another kernel's NBD client take our export for a disk? An ext4 image is copied to it; Linux
mounts it by nbd-client, writes a file and reads it back after a new mount; then the file system is
judged by e2fsck, and the file on the disk's image is the one that Linux wrote.

The Linux is the peer's (bench/peer), in an emulator of its own; where that is not here (`make peer`
brings it) the test is left out, with a sentence.
"""
import hashlib
import os
import re
import subprocess
import sys

import servers
from servers import expect

# bench in place of this folder: the peer is a package there.
sys.path[0] = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench")

from peer import linux, packages  # noqa: E402

NBD = 10809
IMAGE_BYTES = 32 << 20
LIMIT = 300
SCRIPT = """
(
set -e
mount_it() { nbd-client -N disk 10.0.2.2 %d /dev/$1; mount -t ext4 /dev/$1 /mnt; }
leave_it() { umount /mnt; nbd-client -d /dev/$1; }
mkdir /mnt
mount_it nbd0
dd if=/dev/urandom of=/mnt/file bs=64k count=32
sync
echo "written $(sha256sum /mnt/file)"
leave_it nbd0
mount_it nbd1
echo "read $(sha256sum /mnt/file)"
leave_it nbd1
)
"""


def tool(*words):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=servers.STEP, check=False)
    expect(done.returncode == 0, f"{words[0]} ended with status {done.returncode}: "
                                 f"{done.stdout[-300:]!r}")
    return done.stdout


def mounted(vm):
    """The SHA-256 of the file that Linux wrote."""
    made = servers.scratch("ext4.img", size=IMAGE_BYTES)
    tool("/sbin/mkfs.ext4", "-q", "-F", "-b", "4096", made)  # nbd-client's blocks
    tool("nbdcopy", made, f"nbd://127.0.0.1:{vm.ports[NBD]}/disk")
    with linux.Guest(SCRIPT % vm.ports[NBD], smp=1,
                     modules=("crc32c_generic", "nbd", "ext4")) as guest:
        expect(guest.wait_end(LIMIT), f"Linux did not end within {LIMIT} s: {guest.tail()}")
        guest.stop()
        sums = dict(re.findall(r"^(written|read) ([0-9a-f]{64})", guest.console, re.M))
    expect(len(sums) == 2 and sums["written"] == sums["read"], f"Linux read something else: {sums}")
    return sums["written"]


def main():
    if not os.path.exists(packages.folder_of("linux")) or not os.path.isdir(linux.PROGRAMS):
        print("# the peer is not here (make peer): no Linux mounts our export")
        return
    disk = servers.scratch("mounted.img", size=IMAGE_BYTES)
    found = []
    servers.run({"Linux mounts ext4 on it": lambda vm: found.append(mounted(vm))},
                places=servers.PLACES[1:2], disk=disk)
    if found:
        tool("/sbin/e2fsck", "-fn", disk)
        back = servers.scratch("mounted.file")
        tool("/sbin/debugfs", "-R", f"dump /file {back}", disk)
        with open(back, "rb") as data:
            same = hashlib.sha256(data.read()).hexdigest() == found[0]
        print("ok e2fsck, and the file is on the disk" if same
              else "FAIL e2fsck, and the file is on the disk: it is another one")


if __name__ == "__main__":
    main()
