"""conf.py: reads configs/*.conf and turns them into the kernel's boot arguments.

A file holds KEY=value lines; # starts a comment line. What cannot be meant is refused here with a
sentence that names file and line, so that a typing error does not become a silent guest. The
kernel checks its arguments again for itself.
"""
import ipaddress
import os
import re

ROLES = {"user", "kernel", "io", "net", "mixed", "rt", "elastic"}
SERVES = {"kernel", "mixed"}
RUNS = {"user", "mixed", "rt", "elastic"}
HARTS_MAX = 64        # CORES_MAX in kernel/base/counters.h
CMDLINE_MAX = 2048    # kernel/base/cmdline.h


class ConfError(Exception):
    pass


class Conf:
    """One configuration: `smp` harts and the kernel's boot arguments in order."""

    def __init__(self, name="configuration"):
        self.name = name
        self.smp = 1
        self.values = {}
        self.lines = {}

    def where(self, key):
        line = self.lines.get(key)
        return f"{self.name}:{line}" if line else self.name

    def set(self, key, value, line=None):
        if key not in KEYS:
            raise ConfError(f"{self.name}:{line}: {key} is not a key; the keys are "
                            f"{', '.join(KEYS)}.")
        if key in self.lines and line:
            raise ConfError(f"{self.name}:{line}: {key} was already given in line {self.lines[key]}.")
        if line:
            self.lines[key] = line
        if '"' in value or any(ord(c) < 32 or ord(c) > 126 for c in value):
            raise ConfError(f"{self.where(key)}: {key} may hold neither quotes nor characters "
                            "outside printable ASCII.")
        try:
            KEYS[key](self, value)
        except ValueError as error:
            raise ConfError(f"{self.where(key)}: {key}={value}: {error}.") from None
        if key == "SMP":
            self.smp = int(value)
        else:
            self.values[key] = value

    def roles(self):
        """The roles of each hart the map names."""
        return {int(h): set(r.split("+")) for h, r in
                (part.split(":") for part in self.values.get("map", "0:mixed").split(","))}

    def io_harts(self):
        """How many harts may have a queue of a disk's own."""
        return sum(bool(roles & {"io", "mixed"}) for roles in self.roles().values())

    def programs(self):
        """(hart or None, words) of each program started at boot."""
        found = []
        for part in self.values.get("run", "").split(";"):
            words = part.split()
            if words:
                hart = None
                if words[0].startswith("@"):
                    hart = int(words.pop(0)[1:].split(":")[0])
                while not words[0].startswith("/"):
                    words.pop(0)  # of its environment
                found.append((hart, words))
        return found

    def check(self):
        """What can be judged only when all keys are known."""
        roles = self.roles()
        for hart in roles:
            if hart >= self.smp:
                raise ConfError(f"{self.where('map')}: the map names hart {hart}, but SMP={self.smp} "
                                f"has harts 0 to {self.smp - 1} only.")
        if not any(r & SERVES for r in roles.values()):
            raise ConfError(f"{self.where('map')}: no hart of the map is a kernel core.")
        if not any(r & RUNS for r in roles.values()):
            raise ConfError(f"{self.where('map')}: no hart of the map runs programs.")
        for hart, words in self.programs():
            if hart is not None and not roles.get(hart, set()) & RUNS:
                raise ConfError(f"{self.where('run')}: {words[0]} is put on hart {hart}, which runs "
                                "no programs in this map.")
        if len(self.cmdline()) >= CMDLINE_MAX:
            raise ConfError(f"{self.name}: the boot arguments are longer than {CMDLINE_MAX} bytes.")

    def cmdline(self):
        def quoted(value):
            return f'"{value}"' if re.search(r"\s", value) else value
        return " ".join(f"{key}={quoted(value)}" for key, value in self.values.items())


def check_smp(_conf, value):
    if not value.isdigit() or not 1 <= int(value) <= HARTS_MAX:
        raise ValueError(f"a number of harts is 1 to {HARTS_MAX}")


def check_map(_conf, value):
    seen = set()
    for part in value.split(","):
        match = re.fullmatch(r"(\d+):([a-z+]+)", part)
        if not match:
            raise ValueError(f'"{part}" is not of the form HART:ROLE+ROLE')
        if match[1] in seen:
            raise ValueError(f"hart {match[1]} is named twice")
        seen.add(match[1])
        for role in match[2].split("+"):
            if role not in ROLES:
                raise ValueError(f'"{role}" is not a role; the roles are '
                                 f"{', '.join(sorted(ROLES))}")


def check_spin(_conf, value):
    if not value.isdigit() or int(value) > 1000000:
        raise ValueError("a spin budget is 0 to 1000000 microseconds")


def check_run(_conf, value):
    for part in value.split(";"):
        words = part.split()
        if words and words[0].startswith("@"):
            if not re.fullmatch(r"@\d+(:\d+)?", words[0]):
                raise ValueError(f'"{words[0]}" is not @HART or @HART:HOME')
            words.pop(0)
        while words and re.match(r"[^/=]+=", words[0]):
            words.pop(0)
        if not words:
            raise ValueError("a program is missing between two semicolons")
        if not words[0].startswith("/"):
            raise ValueError(f'"{words[0]}" is not an absolute path')


def check_word(*words):
    def check(_conf, value):
        if value not in words:
            raise ValueError(f"it is one of {', '.join(words)}")
    return check


def check_count(_conf, value):
    if not value.isdigit() or int(value) < 1:
        raise ValueError("it is a number")


def check_slots(_conf, value):
    if not value.isdigit() or int(value) not in (1 << bit for bit in range(6, 17)):
        raise ValueError("it is a power of two from 64 to 65536")


def check_net(_conf, value):
    if value in ("dhcp", "off"):
        return
    place, _, gateway = value.partition(",")
    try:
        ipaddress.IPv4Interface(place)
        if gateway:
            ipaddress.IPv4Address(gateway)
    except ValueError:
        raise ValueError("it is dhcp, off or ADDRESS/PREFIX[,GATEWAY]") from None
    if "/" not in place:
        raise ValueError("the address needs a /PREFIX")


# The keys of a file. All but SMP are boot arguments of the kernel.
KEYS = {"SMP": check_smp, "map": check_map, "spin_us": check_spin, "spin": check_word("fixed", "adapt"), "run": check_run,
        "trace": check_word("on", "end", "steps", "off"), "trace_slots": check_slots,
        "exit": check_word("power"), "net": check_net,
        "uintr": check_word("all"),
        "policy": check_word("default", "static", "greedy"),
        "shuffle_us": check_count, "move_us": check_count, "mem_limit": check_count, "ops": check_count,
        "panic": check_word("halt")}


def read(path):
    conf = Conf(path)
    try:
        with open(path, encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                line = line.strip()
                if not line or line.startswith("#"):
                    continue
                key, equals, value = line.partition("=")
                if not equals:
                    raise ConfError(f'{path}:{number}: "{line}" is not KEY=value.')
                conf.set(key.strip(), value.strip(), number)
    except OSError as error:
        raise ConfError(f"{path}: {error.strerror}.") from None
    return conf


def folder():
    return os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "configs")


def choose(smp=None, path=None):
    """The configuration that SMP= and MAP= ask for, checked."""
    if path is None:
        name = "default.conf" if smp in (None, 3) else f"smp{smp}.conf"
        path = os.path.relpath(os.path.join(folder(), name))
        if not os.path.exists(path):
            raise ConfError(f"there is no {path}, so SMP={smp} needs a map: say MAP=file.")
    elif not os.path.exists(path) and os.path.exists(os.path.join(folder(), path)):
        path = os.path.relpath(os.path.join(folder(), path))
    conf = read(path)
    if smp is not None:
        conf.set("SMP", str(smp))
    conf.check()
    return conf
