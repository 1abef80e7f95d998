#!/usr/bin/env python3
"""What if the machine has no AIA? Interrupts come through the PLIC, doorbells through the firmware:
are both servers what they are with it?
"""
import servers
import test_echo
import test_nbd

NBD = {"nbdinfo": test_nbd.info, "an image, there and back": test_nbd.image,
       "16 connections": test_nbd.many_connections}

if __name__ == "__main__":
    servers.run({**test_echo.TESTS, **NBD}, places=servers.PLACES[:2],
                disk=servers.scratch("plic.img", size=test_nbd.DISK),
                extra=("-machine", "aia=none"))
