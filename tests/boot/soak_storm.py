#!/usr/bin/env python3
"""The storms of test_peer.py, long: 100,000 connections that come and go, then thousands through a
cable that loses, damages and splits, among forged frames. `make soak-net`; PEER_SEED=n as there,
CYCLES=n for another count.
"""
import os

import cable

SEED = int(os.environ.get("PEER_SEED", "1"))
CYCLES = int(os.environ.get("CYCLES", "100000"))


if __name__ == "__main__":
    cable.run([
        ("3 harts", 3, SEED, (("cycles", CYCLES),)),
        ("1 hart", 1, SEED + 1, (("lossy", 3000), ("hostile", 3000))),
        ("3 harts", 3, SEED + 2, (("lossy", 3000), ("hostile", 3000))),
    ])
