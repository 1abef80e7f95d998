"""servers.py: what the tests of the two servers share: a guest with both, and a table of tests.

Every part of a test runs against one guest; at its end the guest goes down in order and must have
lost nothing. Nothing here sleeps: what has to be waited for is a byte, a line or an end.
"""
import contextlib
import os
import socket

import conf
import vm

READY = 120  # seconds; other builds may share the machine
STEP = 60    # for one exchange with a client

# Machines the servers are tried on: name, machine, harts.
PLACES = (("1 hart", "riscv64", 1), ("3 harts", "riscv64", 3), ("hosted", "hosted", 3))
SERVERS = os.path.join("build", "tests", "servers")


class Wrong(Exception):
    """Something is not as it should be, in one sentence."""


def expect(condition, sentence):
    if not condition:
        raise Wrong(sentence)


def scratch(name, size=None, data=None):
    """A file of the tests' own: `size` zeros, or `data`."""
    os.makedirs(SERVERS, exist_ok=True)
    path = os.path.join(SERVERS, name)
    with open(path, "wb") as out:
        if data is not None:
            out.write(data)
        elif size is not None:
            out.truncate(size)
    return path


@contextlib.contextmanager
def guest(machine, harts, disk=None, drive=None, config=None, names=("echod", "nbdd"), ports=None,
          extra=(), netdev=None):
    """A guest in which the named servers listen; checked for losses when the block ends well.
    config: a function that gives the configuration for a number of harts."""
    with vm.VM((config or conf.choose)(harts), machine, disk=disk, drive=drive,
               ports=ports, extra=extra, netdev=netdev) as running:
        for server in names:
            running.wait_for(rf"^{server}: ready", READY)
        yield running
        for server in names:
            expect(f"{server}: exit status" not in running.console, f"{server} ended by itself")
        running.stop(30)
        expect("leaks: frames 0 ops 0 net 0" in running.console,
               "the kernel lost frames, ops, or what the network holds")


def dial(port):
    connection = socket.create_connection(("127.0.0.1", port), STEP)
    connection.settimeout(STEP)
    return connection


def receive(connection, count):
    """Exactly `count` bytes, fewer when the peer ends."""
    pieces = bytearray()
    while len(pieces) < count:
        piece = connection.recv(count - len(pieces))
        if not piece:
            break
        pieces += piece
    return bytes(pieces)


def run(tests, places=PLACES, **options):
    """tests: {name: function of a guest}. One line per test and place."""
    for place, machine, harts in places:
        left = list(tests)
        try:
            with guest(machine, harts, **options) as running:
                for name, test in tests.items():
                    left.remove(name)
                    try:
                        test(running)
                        print(f"ok {place}, {name}", flush=True)
                    except (Wrong, OSError) as error:
                        print(f"FAIL {place}, {name}: {error}", flush=True)
                        if not running.alive:
                            raise vm.VMError("the guest is gone", running.tail()) from None
            print(f"ok {place}, nothing is lost", flush=True)
        except (vm.VMError, Wrong) as error:
            print(f"FAIL {place}, nothing is lost: {error}", flush=True)
            for name in left:
                print(f"FAIL {place}, {name}: not tried", flush=True)
            for line in getattr(error, "tail", "").splitlines()[-12:]:
                print("# " + line)


def each(tests, where=""):
    """tests: {name: function that starts what it needs}. One line per test."""
    for name, test in tests.items():
        try:
            test()
            print(f"ok {where}{name}", flush=True)
        except (vm.VMError, Wrong, OSError) as error:
            print(f"FAIL {where}{name}: {error}", flush=True)
            for line in getattr(error, "tail", "").splitlines()[-8:]:
                print("# " + line)
