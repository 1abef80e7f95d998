#!/usr/bin/env python3
"""Does coretop's table say what the cores do: which one serves, which sleeps, how many entries a
second? Read from the console, where it stands as plain text, once without a load and once under
one of which the number of entries is known.
"""
import os
import re
import threading

import conf
import servers
import vm
from servers import expect

INTERVAL = 0.5  # seconds
UINTR = os.environ.get("UINTR")
PLACES = (("3 harts", "riscv64", 3, None), ("disks and net apart", "riscv64", 4, "split.conf"),
          ("hosted", "hosted", 3, None))


def tables(console):
    """Of each table on the console, its cores: {index: {column: text}}, and the programs named below."""
    found = []
    for part in re.split(r"^coretop: up ", console, flags=re.M)[1:]:
        above, whole, below = part.partition("\nring ")
        if not whole:
            continue  # it is being written
        lines = above.splitlines()[1:]
        names = re.split(r"\s+(?!us)", lines[0].strip())
        rows = [dict(zip(names, line.split())) for line in lines[1:] if re.match(r"\s+\d+ ", line)]
        programs = re.findall(r"^ +\d+ ([a-z]+) ", below, re.M)
        found.append(({int(row["core"]): row for row in rows}, programs))
    return found


def share(row):
    return float(row["busy"].rstrip("%"))


def watch(machine, harts, path):
    config = conf.choose(harts, path)
    config.set("run", config.values["run"] + f";/bin/coretop -i {int(INTERVAL * 1000)}")
    with vm.VM(config, machine, disk=servers.scratch("top.img", size=8 << 20)) as guest:
        guest.wait_for("^nbdd: ready", servers.READY)
        quiet = len(tables(guest.console))
        guest.wait_for(r"(?s)(coretop: up.*){%d}" % (quiet + 3), servers.READY)
        idle = tables(guest.console)[quiet + 1:quiet + 2]
        stop = threading.Event()
        echoes = [0]

        def load():
            with servers.dial(guest.ports[7]) as client:
                while not stop.is_set():
                    client.sendall(b"x" * 64)
                    servers.receive(client, 64)
                    echoes[0] += 1

        before = len(tables(guest.console))
        thread = threading.Thread(target=load)
        thread.start()
        try:
            guest.wait_for(r"(?s)(coretop: up.*){%d}" % (before + 5), servers.READY)
        finally:
            stop.set()
            thread.join()
        guest.stop(30)
        expect("leaks: frames 0 ops 0" in guest.console, "frames or ops are lost")
        return config, idle, tables(guest.console)[before:before + 4], echoes[0]


def judge(uintr, config, idle, busy, echoes):
    roles = {i: r | ({"kernel"} if r & {"io", "net"} else set()) for i, r in config.roles().items()}
    for cores, programs in idle + busy:
        expect(set(cores) == set(roles), f"a table has the cores {sorted(cores)}")
        for index, row in cores.items():
            expect(set(row["role"].split("+")) == roles[index], f"core {index} is {row['role']}")
        expect({"echod", "nbdd", "coretop"} <= set(programs), f"the programs are {programs}")
    serves = [i for i, r in roles.items() if r & conf.SERVES]  # a ring may move from one to another
    runs = [i for i, r in roles.items() if r & conf.RUNS]
    quiet = idle[0][0]
    # a program that waits in its own mode is no work either
    expect(all(share(row) < 50 for row in quiet.values()), f"busy without a load: {quiet}")
    most = max((cores for cores, _ in busy), key=lambda cores: sum(int(cores[i]["sqes/s"]) for i in serves))
    expect(sum(share(most[i]) for i in serves) > sum(share(quiet[i]) for i in serves),
           f"a load changes nothing: {most}")
    worked = [most[i] for i in runs]
    if uintr:  # the server need not trap
        expect(any(row["state"] == "dozes" for cores, _ in idle + busy for row in cores.values()), "nobody dozes")
    else:
        expect(any(int(row["traps/s"]) > 0 for row in worked), f"user cores without traps: {worked}")
    # what a table counts is what was asked for: an echo is a receive and a send
    counted = sum(int(cores[i]["sqes/s"]) for cores, _ in busy for i in serves) * INTERVAL
    expect(0 < counted < 2 * echoes * 2 + 1000, f"{counted:.0f} entries for {echoes} echoes")


def main():
    for name, *words in PLACES:
        try:
            judge(UINTR and words[0] == "riscv64", *watch(*words))
            print(f"ok {name}", flush=True)
        except (servers.Wrong, vm.VMError, OSError, IndexError, KeyError) as error:
            print(f"FAIL {name}: {error!r}", flush=True)


if __name__ == "__main__":
    main()
