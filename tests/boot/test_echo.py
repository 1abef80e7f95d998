#!/usr/bin/env python3
"""Does echod serve clients nobody here wrote, and clients that behave badly? Connections are opened,
half-closed and reset; one reads slowly while others are served; 200 are there at once.

QEMU's forwarded ports have a listen backlog of 1: connections are opened one after the other, and
one counts as open when its first byte came back.
"""
import random
import selectors
import socket
import struct
import subprocess

import conf
import servers
from servers import dial, expect, receive

ECHO = 7
NOISE = random.Random(1).randbytes(1 << 20)


def netcat(vm):
    said = subprocess.run(["nc", "-N", "127.0.0.1", str(vm.ports[ECHO])], input=b"hello\n",
                          stdout=subprocess.PIPE, timeout=servers.STEP, check=False)
    expect(said.stdout == b"hello\n", f"nc read {said.stdout!r}")
    with open(servers.scratch("noise", data=NOISE), "rb") as noise:
        said = subprocess.run(["nc", "-N", "127.0.0.1", str(vm.ports[ECHO])], stdin=noise,
                              stdout=subprocess.PIPE, timeout=servers.STEP, check=False)
    expect(said.stdout == NOISE, f"nc sent 1 MiB and read {len(said.stdout)} bytes, or others")


def half_close(vm):
    with dial(vm.ports[ECHO]) as client:
        client.sendall(NOISE[:5000])
        client.shutdown(socket.SHUT_WR)
        expect(receive(client, 6000) == NOISE[:5000], "what was on its way is lost")
    with dial(vm.ports[ECHO]) as client:
        client.shutdown(socket.SHUT_WR)
        expect(receive(client, 1) == b"", "bytes out of nowhere")


def reset(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def resets(vm):
    for i in range(30):
        client = dial(vm.ports[ECHO])
        if i % 3:
            client.sendall(NOISE[:1000])
        if i % 3 == 1:
            receive(client, 10)
        reset(client)
    netcat_line(vm)


def netcat_line(vm):
    with dial(vm.ports[ECHO]) as client:
        client.sendall(b"still there?")
        expect(receive(client, 12) == b"still there?", "no echo afterwards")


def slow_reader(vm):
    """Sends until nothing more is taken, without reading: the server must stop reading, too."""
    total = 64 << 20
    sent = 0
    with dial(vm.ports[ECHO]) as slow, selectors.DefaultSelector() as waiter:
        slow.setblocking(False)
        waiter.register(slow, selectors.EVENT_WRITE)
        while waiter.select(2):  # seconds without progress: it is held back
            at = sent % len(NOISE)
            sent += slow.send(NOISE[at:at + 65536])
            expect(sent < total, f"{total} bytes were taken from a client that reads nothing")
        netcat_line(vm)  # others are served meanwhile
        slow.setblocking(True)
        slow.settimeout(servers.STEP)
        slow.shutdown(socket.SHUT_WR)
        for at in range(0, sent, len(NOISE)):
            count = min(len(NOISE), sent - at)
            expect(receive(slow, count) == NOISE[:count], f"bytes behind {at} are not those sent")
        expect(receive(slow, 1) == b"", "more came back than was sent")


def crowd(vm):
    clients = []
    try:
        for i in range(200):
            client = dial(vm.ports[ECHO])
            clients.append(client)
            client.sendall(bytes([i]))
            expect(receive(client, 1) == bytes([i]), f"connection {i} got no echo")
        for round_number in range(5):
            for i, client in enumerate(clients):
                client.sendall(struct.pack("II", i, round_number) * 8)
            for i, client in enumerate(clients):
                expect(receive(client, 64) == struct.pack("II", i, round_number) * 8,
                       f"connection {i} got another's bytes in round {round_number}")
    finally:
        for i, client in enumerate(clients):
            if i % 4 == 0:
                reset(client)
            else:
                client.close()
    netcat_line(vm)


TESTS = {
    "nc": netcat,
    "half-close": half_close,
    "resets": resets,
    "a slow reader": slow_reader,
    "200 at once": crowd,
    "nc again": netcat,
}

CREW_PLACES = (("2 executors, 3 harts", "riscv64", 3), ("2 executors, hosted", "hosted", 3))


def crew(harts):
    """The same server with its coroutines on both user cores."""
    config = conf.choose(harts)
    config.set("run", config.values["run"].replace("/bin/echod 7", "/bin/echod -t 2 7"))
    return config


if __name__ == "__main__":
    disk = servers.scratch("echo.img", size=1 << 20)
    servers.run(TESTS, disk=disk)
    servers.run(TESTS, places=CREW_PLACES, disk=disk, config=crew)
