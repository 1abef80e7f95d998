#!/usr/bin/env python3
"""What if the other end of the cable is a stack that loses, repeats, delays, damages and splits
frames, resets at any moment, lets its window close, and takes its ports again at once, over IPv4 and
IPv6, while forged resets and floods of SYNs come in between? Every byte comes back or the connection
is reset, no connection hangs, fresh ones work afterwards, and nothing is left of any of them.

PEER_SEED=n replays one seed.
"""
import os

import cable

SEED = int(os.environ.get("PEER_SEED", "1"))


if __name__ == "__main__":
    cable.run([
        ("1 hart", 1, SEED, (("clean", 100), ("hostile", 150))),
        ("3 harts", 3, SEED + 1, (("cycles", 1000), ("lossy", 200), ("hostile", 200))),
    ])
