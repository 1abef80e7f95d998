#!/usr/bin/env python3
"""What if as many connections are open at once as echod serves, 1,024, and what if thousands come
and go, many of them without a proper end? All bytes come back, and no connection's memory stays
behind: the second crowd needs every slot, so it finds out whether the storm left one taken.

STORM=n asks for n connections in the storm, for instance 100,000; without it the storm is short.
Ends by reset are aimed at what is hard: the answer unread, or still being sent.

QEMU's forwarded ports have a listen backlog of 1: connections are opened one after the other, and
one counts as open when its first byte came back.
"""
import collections
import os
import random
import resource
import socket
import struct
import time

import servers
from servers import dial, expect, receive

ECHO = 7
CROWD = 1024  # ECHO_CONNS_MAX of apps/echod
ROUNDS = 3
FILES = 4096        # the crowd is open twice: here, and in the guest's machine
STORM = int(os.environ.get("STORM", "0"))
SHORT = 1500        # connections of the storm in `make test`, and the seconds it may take
SHORT_SECONDS = 20
SHORT_LEAST = 200   # fewer than that in this time is a stall, not a busy machine
ABREAST = 16        # connections of the storm that are open at the same time
NOISE = random.Random(3).randbytes(1 << 16)


def message(who, number, size):
    """Bytes that no other message of the test has: its first eight name it."""
    at = (who * 131 + number * 17) % (len(NOISE) - size)
    return struct.pack("<II", who, number) + NOISE[at:at + size - 8]


def open_one(vm, who):
    client = dial(vm.ports[ECHO])
    byte = bytes([who & 0xff])
    client.sendall(byte)
    expect(receive(client, 1) == byte, f"connection {who} got no echo")
    return client


def reset(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def end_half_closed(client, who, number):
    """What is under way when our side ends has to arrive still, and then their end."""
    sent = message(who, number, 3000)
    client.sendall(sent)
    client.shutdown(socket.SHUT_WR)
    expect(receive(client, len(sent) + 1) == sent, f"connection {who}, half-closed, lost bytes")
    client.close()


def end_one(client, who, number):
    """A third each: reset, half-closed, closed."""
    kind = who % 3
    if kind == 0:
        if who % 2:
            client.sendall(message(who, number, 8 + who % 20000))  # its answer meets the reset
        reset(client)
    elif kind == 1:
        end_half_closed(client, who, number)
    else:
        client.close()


def exchange_all(clients, number):
    """One message on each connection before the first answer is read."""
    size = 64 if number % 2 else 700
    for who, client in enumerate(clients):
        client.sendall(message(who, number, size))
    for who, client in enumerate(clients):
        expect(receive(client, size) == message(who, number, size),
               f"connection {who} got other bytes than its own in round {number}")


def crowd(vm):
    clients = []
    began = time.monotonic()
    try:
        for who in range(CROWD):
            clients.append(open_one(vm, who))
        opened = time.monotonic()
        for number in range(ROUNDS):
            exchange_all(clients, number)
        echoed = time.monotonic()
        print(f"# {CROWD} connections open after {opened - began:.1f} s, "
              f"{CROWD * ROUNDS / (echoed - opened):.0f} messages/s on all", flush=True)
        while clients:
            who = len(clients) - 1
            end_one(clients.pop(), who, ROUNDS)
    finally:
        for client in clients:
            client.close()


def storm(vm):
    """The oldest of some open connections ends whenever a new one has come."""
    wanted = STORM or SHORT
    opened = 0
    clients = collections.deque()
    began = time.monotonic()
    try:
        while opened < wanted and (STORM or time.monotonic() - began < SHORT_SECONDS):
            client = open_one(vm, opened)
            clients.append((client, opened))
            if opened % 5:
                sent = message(opened, 0, 8 + opened * 7 % 4000)
                client.sendall(sent)
                expect(receive(client, len(sent)) == sent, f"connection {opened} got other bytes")
            opened += 1
            if len(clients) == ABREAST:
                end_one(*clients.popleft(), 1)
        while clients:
            end_one(*clients.popleft(), 1)
    finally:
        for client, _ in clients:
            client.close()
    seconds = time.monotonic() - began
    print(f"# {opened} connections came and went in {seconds:.1f} s", flush=True)
    expect(opened >= min(wanted, SHORT_LEAST), f"only {opened} connections in {seconds:.0f} s")


def fresh(vm):
    with dial(vm.ports[ECHO]) as client:
        client.sendall(NOISE[:40000])
        client.shutdown(socket.SHUT_WR)
        expect(receive(client, 40001) == NOISE[:40000], "no echo afterwards")


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, hard), hard))
    servers.run({
        f"{CROWD} at once": crowd,
        "a storm of connections": storm,
        f"{CROWD} at once after the storm": crowd,
        "a fresh one": fresh,
    }, places=servers.PLACES[1:], disk=servers.scratch("storm.img", size=1 << 20))


if __name__ == "__main__":
    main()
