"""cable.py: a guest whose network cable ends in the storm's peer (tests/peer), QEMU's user network left
out. The peer says itself what went well.
"""
import contextlib
import os
import subprocess
import tempfile

import servers

PEER = os.path.join("build", "tests", "peer", "peer")


@contextlib.contextmanager
def listening(seed, rounds, folder):
    """The peer, waiting for a guest's machine; the path of its socket."""
    path = os.path.join(folder, "cable")
    words = [word for name, count in rounds for word in (name, str(count))]
    with subprocess.Popen([PEER, path, str(seed), *words], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as peer:
        try:
            servers.expect(peer.stdout.readline() == "listening\n", "the peer does not start")
            yield peer, path
        finally:
            peer.kill()


def storm(place, harts, seed, rounds):
    """rounds: (profile, connections) in their order; the profiles are in tests/peer/main.c."""
    with tempfile.TemporaryDirectory(prefix="sluice-peer-") as folder, \
            listening(seed, rounds, folder) as (peer, path):
        netdev = f"stream,server=off,addr.type=unix,addr.path={path}"
        with servers.guest("riscv64", harts, disk=servers.scratch("peer.img", size=1 << 20),
                           ports={}, netdev=netdev):
            peer.stdin.write("\n")
            peer.stdin.flush()
            for line in peer.stdout:
                word, _, rest = line.partition(" ")
                print(f"{word} {place}, seed {seed}, {rest}" if word in ("ok", "FAIL") else line,
                      end="", flush=True)
            servers.expect(peer.wait() == 0, f"the peer found something wrong, seed {seed}")
    print(f"ok {place}, seed {seed}, nothing is lost", flush=True)


def run(storms):
    """storms: (place, harts, seed, rounds)."""
    for place, harts, seed, rounds in storms:
        try:
            storm(place, harts, seed, rounds)
        except (servers.vm.VMError, servers.Wrong, OSError) as error:
            print(f"FAIL {place}, seed {seed}, nothing is lost: {error}", flush=True)
            for line in getattr(error, "tail", "").splitlines()[-12:]:
                print("# " + line)
