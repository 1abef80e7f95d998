#!/usr/bin/env python3
"""Does every way to deal out the harts work: one to eight of them, rings, disks, network and programs
apart or together, several of each? Each map boots with a disk that has four queues, echoes, keeps what
NBD writes, and loses nothing. Where roles are apart, operations are done
where their disk or socket lives, and nowhere else: a program counts each core's steps; another writes parts of blocks on several io
cores at once.

MAPS=all tries more maps, and each of them longer.
"""
import os
import random
import re

import conf
import servers
import test_nbd
from servers import dial, expect, receive
from test_nbd import FLUSH, NBD, READ, WRITE

BLOCK, TOGETHER = 4096, 16
DISK = 16 << 20
QUEUES = ["-global", "virtio-blk-device.num-queues=4"]
LONG = os.environ.get("MAPS") == "all"

# map: where the two servers run and are at home
MAPS = {
    "0:mixed": ("@0", "@0"),
    "0:mixed,1:mixed": ("@0", "@1:1"),
    "0:kernel+net,1:io,2:user": ("@2", "@2"),
    "0:kernel,1:io,2:io,3:net,4:user": ("@4", "@4"),
    "0:kernel+io,1:kernel+io,2:net,3:user,4:mixed": ("@3:1", "@4"),
    "0:kernel,1:kernel,2:io,3:io,4:io,5:net,6:user,7:user": ("@6", "@7:1"),
}
MORE = {
    "0:kernel+io+net,1:user": ("@1", "@1"),
    "0:user,1:mixed": ("@0", "@1"),
    "0:io,1:net,2:user": ("@2:1", "@2"),
    "0:net,1:kernel+io,2:user,3:user": ("@2", "@3:1"),
    "0:mixed,1:mixed,2:mixed,3:mixed": ("@1:1", "@3:2"),
    "0:kernel,1:kernel,2:kernel,3:io+net,4:user,5:user": ("@4:1", "@5:2"),
    "0:kernel+net,1:io,2:io,3:io,4:io,5:io,6:user": ("@6", "@6"),
    "0:user,1:user,2:user,3:user,4:kernel,5:io,6:io,7:net": ("@0", "@1"),
}
# map: io cores that must have done disk operations
PLACES = {
    "0:kernel+io,1:net,2:user": 1,
    "0:kernel,1:io,2:io,3:net,4:user": 2,
    "0:kernel+net,1:io,2:io,3:io,4:user": 3,
}


def configuration(cores, programs):
    chosen = conf.Conf("map")
    chosen.set("SMP", str(cores.count(":") + (cores[0] != "0")))
    chosen.set("map", cores)
    chosen.set("spin_us", "50")
    chosen.set("net", "10.0.2.15/24,10.0.2.2")
    chosen.set("run", programs)
    chosen.check()
    return chosen


def echo(guest, messages):
    noise = random.Random(3)
    with dial(guest.ports[7]) as one, dial(guest.ports[7]) as other:
        for _ in range(messages):
            words = noise.randbytes(noise.randrange(1, 2000))
            for client in (one, other):
                client.sendall(words)
            for client in (one, other):
                expect(receive(client, len(words)) == words, "an echo differs")


def nbd(guest, rounds):
    """Several clients with many requests under way each; what one has written and flushed another reads."""
    noise = random.Random(4).randbytes(TOGETHER * BLOCK)
    writer, flusher, reader = (test_nbd.Client(guest).go(b"disk") for _ in range(3))
    for first in range(0, rounds * TOGETHER, TOGETHER):
        for k in range(TOGETHER):
            writer.request(WRITE, (first + k) * BLOCK, BLOCK, data=noise[k * BLOCK:(k + 1) * BLOCK])
        for _ in range(TOGETHER):
            expect(writer.simple()[0] == 0, "a write is answered with an error")
        flusher.request(FLUSH)
        expect(flusher.simple()[0] == 0, "a flush is answered with an error")
        reader.request(READ, first * BLOCK, TOGETHER * BLOCK)
        expect(reader.simple(TOGETHER * BLOCK) == (0, noise), "what is read is not what was written")
    for client in (writer, flusher, reader):
        client.wire.close()
    with open(guest.disk, "rb") as disk:
        expect(disk.read(rounds * TOGETHER * BLOCK) == noise * rounds, "the disk's file differs")


def one_map(cores, echod, nbdd, longer):
    chosen = configuration(cores, f"{echod} /bin/echod 7;{nbdd} /bin/nbdd {NBD} /dev/vda ram:1M")
    disk = servers.scratch("maps.img", size=DISK)
    with servers.guest("riscv64", None, disk=disk, config=lambda _: chosen, extra=QUEUES) as guest:
        echo(guest, 200 if longer else 10)
        nbd(guest, 200 if longer else 12)
        io = [int(h) for h, roles in re.findall(r"(\d+):([a-z+]+)", cores) if {"io", "mixed"} & set(roles.split("+"))]
        where = "+".join(map(str, io[:4]))
        expect(re.search(rf"^vda: .* core {re.escape(where)}$", guest.console, re.M),
               f"the disk is not on the cores {where}")


def placed(cores, count):
    user = max(int(h) for h in re.findall(r"(\d+):", cores))
    programs = ["t_split_place", "t_split_parts"]
    run = f"@{user} /bin/t_split_place {count};@{user} /bin/t_split_parts"
    if ",1:net,2:user" in cores:  # as in split.conf, but that only its maker moves a ring
        programs.append("t_split_aff")
        run += f";@{user} /bin/t_split_aff"
    chosen = configuration(cores, run)
    chosen.set("exit", "power")
    disk = servers.scratch("maps.img", size=DISK)
    with servers.vm.VM(chosen, disk=disk, extra=QUEUES) as guest:
        if not guest.wait_end(servers.STEP):
            raise servers.vm.VMError("it does not end", guest.tail())
        wrong = re.search(r"^FAIL (.*)$", guest.console, re.M)
        expect(not wrong, wrong and wrong[1])
        for wanted in (*(f"{program}: exit status 0" for program in programs), "leaks: frames 0 ops 0 net 0"):
            expect(wanted in guest.console, f"{wanted!r} is missing")


if __name__ == "__main__":
    tests = {cores: lambda cores=cores, where=where: one_map(cores, *where, LONG)
             for cores, where in (MAPS | MORE if LONG else MAPS).items()}
    tests |= {f"{cores}: each operation where it belongs": lambda cores=cores, count=count: placed(cores, count)
              for cores, count in PLACES.items()}
    servers.each(tests)
