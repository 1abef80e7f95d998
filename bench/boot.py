"""boot.py: what does it take from reset until both servers say that they are ready?

boot_insn: one hart with both roles, -icount, as the figure of Linux was taken; every instruction of
firmware, kernel and servers, the plugin counting.

The three harts of the default map are rows of their own: there the two harts that lost the firmware's
lottery spin in it until the winner has unpacked itself, and how long that takes is the host's affair.
"""
from measure import KINDS

ROUNDS = 2
DEFAULT_ROUNDS = 3


def boots(bench, rounds, **options):
    found = []
    for _ in range(rounds):
        with bench.servers(plugin=True, **options) as guest:
            found.append(guest.boot)
            guest.stop()
    return found


def split(boot):
    return ", ".join(f"{kind} {boot.sum(kind) / 1e6:.1f} M" for kind in KINDS)


def measure(bench):
    single = boots(bench, ROUNDS, smp=1, icount=True)
    bench.figure("boot_insn", "-", [boot.all() for boot in single], "instructions", split(single[0]))
    default = boots(bench, DEFAULT_ROUNDS)
    bench.figure("boot_default_insn", "-", [boot.all() for boot in default], "instructions",
                 "three harts, firmware's waiting included: " + split(default[0]))
