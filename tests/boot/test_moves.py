#!/usr/bin/env python3
"""Do clients of both servers notice that the servers' rings go from one kernel core to the other every
200 us? Bytes come back as they were sent, the disk holds what was written, nothing is lost.
"""
import re
import subprocess
import threading

import conf
import servers
import vm
from servers import dial, expect, receive

ECHO, NBD = 7, 10809
MOVES_MIN = 200  # of the many that the time would allow: the emulator's harts take turns
ROUNDS, MESSAGE = 60, bytes(range(256)) * 16
PLACES = (("4 harts", "riscv64"), ("hosted", "hosted"))


def echo(guest, wrong):
    try:
        with dial(guest.ports[ECHO]) as client:
            for number in range(ROUNDS):
                sent = number.to_bytes(4, "big") + MESSAGE
                client.sendall(sent)
                expect(receive(client, len(sent)) == sent, f"message {number} came back otherwise")
    except (servers.Wrong, OSError) as error:
        wrong.append(str(error))


def nbd(guest, wrong):
    for export in ("disk", "ram"):
        said = subprocess.run(
            ["qemu-io", "-f", "raw", "-c", "write -P 0x5a 1M 4M", "-c", "read -P 0x5a 1M 4M",
             "-c", "write -P 0x33 512 512", "-c", "flush", "-c", "read -P 0x33 512 512",
             f"nbd://127.0.0.1:{guest.ports[NBD]}/{export}"], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=2 * servers.STEP, check=False)
        if said.returncode or b"verification failed" in said.stdout:
            wrong.append(f"{export}: {said.stdout[-200:]!r}")


def under_load(machine):
    disk = servers.scratch("moves", size=32 << 20)
    with servers.guest(machine, None, disk=disk,
                       config=lambda _: conf.choose(None, "configs/moves.conf")) as guest:
        wrong = []
        clients = [threading.Thread(target=echo, args=(guest, wrong)) for _ in range(3)]
        clients.append(threading.Thread(target=nbd, args=(guest, wrong)))
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        expect(not wrong, "; ".join(wrong))
    found = re.search(r"^ *ring_moves (\d+)", guest.console, re.M)
    expect(found and int(found[1]) >= MOVES_MIN,
           f"the counters say {found[0] if found else 'nothing'} of moves")
    with open(disk, "rb") as file:
        file.seek(1 << 20)
        expect(file.read(4 << 20) == b"\x5a" * (4 << 20), "the disk's file differs")
    print(f"# {found[0]}")


def main():
    for place, machine in PLACES:
        name = f"{place}, both servers while their rings move"
        try:
            under_load(machine)
            print(f"ok {name}", flush=True)
        except (vm.VMError, servers.Wrong, OSError, subprocess.SubprocessError) as error:
            print(f"FAIL {name}: {error}", flush=True)
            for line in getattr(error, "tail", "").splitlines()[-12:]:
                print("# " + line)


if __name__ == "__main__":
    main()
