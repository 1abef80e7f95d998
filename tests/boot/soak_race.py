#!/usr/bin/env python3
"""Racing posts, many: POSTS= of each kind (1,000,000), every kind a guest of its own; none may be lost,
come twice, or come to a stranger. `make race`, RACE=part-of-a-name for some of it. What the kinds do is
said in tests/abi/race_posts.c; `kernel` is tests/abi/notice_race.c, where a kernel core posts. `starts`
are whole machines, one for 10,000 posts: servers in VS-mode whose stores wake kernel cores that sleep
at once, on five harts, since one in some fifteen lost such a store (docs/uintr.md, What QEMU 7.2 adds).
"""
import os
import re
import sys
import time

import conf
import servers
import test_maps
import vm
from servers import expect

POSTS = int(os.environ.get("POSTS", "1000000"))
PICKED = os.environ.get("RACE", "")
SHARE = 3600 / 1000000  # seconds a post may take, however busy the host is
SETUP = 120

# name: (program and its words, boot arguments). Alone, a program has its hart for as long as it likes.
STAY, MOVE = {"policy": "static"}, {"policy": "static", "shuffle_us": "1000"}
KINDS = {
    "kernel": ("t_notice_race", STAY),
    "plain": ("t_race_posts plain", STAY),
    "masked": ("t_race_posts masked", STAY),
    "away": ("t_race_posts away", STAY),
    "exits": ("t_race_posts exits", STAY),
    "moves": ("t_race_posts plain", MOVE),
}
MAP = "0:kernel+io,1:kernel+io,2:net,3:user,4:mixed"


def race(words, values):
    config = conf.choose(3)
    program = words.split()[0]
    config.set("run", f"SLUICE_UINTR=1 /bin/{words} {POSTS}")
    config.set("exit", "power")
    config.set("net", "off")
    for key, value in values.items():
        config.set(key, value)
    config.check()
    with vm.VM(config, "riscv64", ports={}) as guest:
        ended = guest.wait_end(SETUP + POSTS * SHARE)
        guest.kill()
        console = guest.console
    failed = re.search(r"^(FAIL|PANIC).*", console, re.M)
    expect(not failed, failed and failed[0])
    expect(ended, "the guest did not end")
    expect(f"{program}: exit status 0" in console, "the program ended otherwise")
    expect("leaks: frames 0 ops 0 net 0" in console, "the kernel lost frames or ops")
    moves = int(re.search(r"thread_moves (\d+)", console)[1])
    expect(bool(moves) == ("shuffle_us" in values), f"{moves} moves")
    said = re.search(r"^\w+: (\d+ posts.*)$", console, re.M)
    return (said[1] if said else f"{POSTS} posts") + (f", {moves} moves" if moves else "")


def starts(cores, count):
    os.environ["UINTR"] = "all"
    echod, nbdd = test_maps.MAPS[cores]
    config = test_maps.configuration(cores, f"{echod} /bin/echod 7;{nbdd} /bin/nbdd 10809 /dev/vda ram:1M")
    for _ in range(count):
        disk = servers.scratch("race.img", size=test_maps.DISK)
        with servers.guest("riscv64", None, disk=disk, config=lambda _: config, extra=test_maps.QUEUES) as guest:
            test_maps.echo(guest, 1)
    return f"{count} starts"


if __name__ == "__main__":
    wrong = False
    asked = {name: lambda kind=kind: race(*kind) for name, kind in KINDS.items()}
    asked["starts"] = lambda: starts(MAP, max(1, POSTS // 10000))
    for name, ask in asked.items():
        if PICKED not in name:
            continue
        begun = time.monotonic()
        try:
            said = ask()
            print(f"# {name}: {said}, {time.monotonic() - begun:.0f} s", flush=True)
            print(f"ok {name}", flush=True)
        except (servers.Wrong, vm.VMError) as error:
            wrong = True
            print(f"FAIL {name}: {error}", flush=True)
    sys.exit(wrong)
