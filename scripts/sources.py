#!/usr/bin/env python3
"""sources.py: fetches the pinned upstream sources, once, and proves that they are the pinned ones.

usage: sources.py [--deps DIR] [--from DIR] [--list] NAME...

Owns everything below the deps folder (default .deps). For each NAME of scripts/sources.conf the
tree is unpacked to DEPS/NAME and its tarball kept in DEPS/tarballs. A tree whose stamp holds the
pinned SHA-256 is left alone, so that a second build needs no network.

The system's own package manager does the fetching. It is given a private list of places, derived
from this machine's: only the entries that are the distribution's own (its suites, its keyring),
asked for source instead of binary packages. The machine's lists, caches and state are not touched.
--from DIR takes the tarballs from a folder instead; the check is the same.
"""
import argparse
import fcntl
import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile

HERE = os.path.dirname(os.path.abspath(__file__))
CONF = os.path.join(HERE, "sources.conf")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Options of a list entry that decide whether it is believed in time; the rest is not for us.
KEPT_OPTIONS = {"check-valid-until", "check-date", "valid-until-min", "valid-until-max", "by-hash"}


def fail(sentence):
    sys.exit("sources: " + sentence)


class Pin:
    def __init__(self, words):
        self.name, self.package, self.version, folder, self.tarball, self.sha256 = words[:6]
        self.folder = "" if folder == "-" else folder
        self.release = words[6] if len(words) > 6 else None


def read_pins():
    pins = {}
    with open(CONF, encoding="utf-8") as conf:
        for number, line in enumerate(conf, 1):
            words = line.split("#", 1)[0].split()
            if not words:
                continue
            if len(words) not in (6, 7):
                fail(f"{CONF}:{number} needs six words, name source version folder tarball sha256, "
                     "and perhaps a release.")
            pins[words[0]] = Pin(words)
    return pins


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as data:
        for block in iter(lambda: data.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


# ---- the private apt ----------------------------------------------------------------------------

def codename():
    words = {}
    try:
        with open("/etc/os-release", encoding="utf-8") as release:
            for line in release:
                key, _, value = line.strip().partition("=")
                words[key] = value.strip('"')
    except OSError:
        pass
    if words.get("ID") != "debian" or not words.get("VERSION_CODENAME"):
        fail("this system is not a Debian release, so the source packages cannot be fetched here; "
             "put the tarballs named in scripts/sources.conf into a folder and say SRC=that-folder.")
    return words["VERSION_CODENAME"]


def is_own_suite(suite, name):
    stems = [name, "stable"]
    return suite.rstrip("/") in [s + tail for s in stems
                                 for tail in ("", "-updates", "-security", "/updates")]


def one_line_entries(path):
    """Yields (options, uris, suites, components) of every binary entry of a one-line list."""
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            match = re.match(r"deb\s+(?:\[([^]]*)\]\s*)?(\S+)\s+(\S+)((?:\s+\S+)*)$",
                             line.split("#", 1)[0].strip())
            if match:
                options = dict(o.split("=", 1) for o in (match[1] or "").split() if "=" in o)
                yield ({k.lower(): v for k, v in options.items()}, [match[2]], [match[3]],
                       match[4].split())


def deb822_entries(path):
    """The same for a list in paragraphs."""
    with open(path, encoding="utf-8") as whole:
        text = "\n".join(l for l in whole.read().splitlines() if not l.startswith("#"))
    for paragraph in re.split(r"\n\s*\n", text):
        fields, key = {}, None
        for line in paragraph.splitlines():
            if line[:1].isspace() and key:
                fields[key] += "\n" + line
            elif ":" in line:
                key, _, value = line.partition(":")
                key = key.strip().lower()
                fields[key] = value.strip()
        if "deb" not in fields.get("types", "").split():
            continue
        if fields.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        yield (fields, fields.get("uris", "").split(), fields.get("suites", "").split(),
               fields.get("components", "").split())


def is_own_signature(signed_by):
    """An entry is the distribution's own if it names its keyring, or names none at all."""
    return not signed_by or all(os.path.basename(word).startswith("debian-archive-")
                                for word in signed_by.replace(",", " ").split())


def own_entries(kind="deb-src", release=None, also=None):
    """The distribution's own places, as deb822 text that asks for packages of `kind`: of this
    machine's release, or of the one named (bench/peer); with the suite RELEASE-also, if one is named
    (newqemu.py)."""
    name = codename()
    listed = []
    main = "/etc/apt/sources.list"
    if os.path.exists(main):
        listed += one_line_entries(main)
    for path in sorted(glob.glob("/etc/apt/sources.list.d/*.list")):
        listed += one_line_entries(path)
    for path in sorted(glob.glob("/etc/apt/sources.list.d/*.sources")):
        listed += deb822_entries(path)

    paragraphs = []
    for options, uris, suites, components in listed:
        uris = [u for u in uris if not u.startswith("cdrom:")]
        suites = [s for s in suites if is_own_suite(s, name)]
        if not uris or not suites or "main" not in components:
            continue
        if not is_own_signature(options.get("signed-by", "")):
            continue
        if also and name in suites:
            suites.append(f"{name}-{also}")
        if release:
            suites = [release + s.rstrip("/").removeprefix(name).removeprefix("stable") for s in suites]
        lines = ["Types: " + kind, "URIs: " + " ".join(uris), "Suites: " + " ".join(suites),
                 "Components: main", "Signed-By: " + KEYRING]
        lines += [f"{key}: {options[key]}" for key in sorted(KEPT_OPTIONS & set(options))]
        paragraphs.append("\n".join(lines) + "\n")
    if not paragraphs:
        fail(f"no entry of this machine's apt lists is Debian's own for {name}; "
             "put the tarballs into a folder and say SRC=that-folder.")
    return "\n".join(paragraphs)


class PrivateApt:
    """apt-get with a list, a state and a cache of its own below `folder`; `options`: more -o words."""

    def __init__(self, folder, entries, options=()):
        self.folder = folder
        for part in ("lists/partial", "cache/archives/partial", "parts"):
            os.makedirs(os.path.join(self.folder, part), exist_ok=True)
        with open(os.path.join(self.folder, "places.sources"), "w", encoding="utf-8") as places:
            places.write(entries)
        self.options = [word for option in options for word in ("-o", option)]
        for key, value in (("Dir::Etc::sourcelist", "places.sources"),
                           ("Dir::Etc::sourceparts", "parts"),
                           ("Dir::State::lists", "lists"), ("Dir::Cache", "cache")):
            self.options += ["-o", f"{key}={os.path.join(self.folder, value)}"]
        if os.geteuid() == 0:  # the unprivileged fetcher may not enter a clone below /root
            self.options += ["-o", "APT::Sandbox::User=root"]

    def run(self, *words, cwd=None):
        return subprocess.run(["apt-get", "-q", *self.options, *words], cwd=cwd, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)

    def update(self, index):
        """Renews the lists; `index`: how the file names of those that are needed look."""
        answer = self.run("update")
        if not glob.glob(os.path.join(self.folder, "lists", index)):
            fail("the distribution's list of packages could not be read (is the network there?); "
                 "apt said: " + last_error(answer.stdout))


class SourceApt(PrivateApt):
    def __init__(self, deps, release):
        super().__init__(os.path.join(deps, "apt", release or "own"), own_entries(release=release))
        self.updated = False

    def fetch(self, pin, folder):
        if not self.updated:
            print("sources: reading the distribution's list of source packages", flush=True)
            self.update("*_Sources*")
            self.updated = True
        print(f"sources: fetching {pin.package} {pin.version}", flush=True)
        answer = self.run("source", "--download-only", "--only-source", pin.package, cwd=folder)
        if not os.path.exists(os.path.join(folder, pin.tarball)):
            if "Unable to find a source package" in answer.stdout:
                fail(f"the distribution has no source package {pin.package}.")
            got = [n for n in os.listdir(folder) if n.startswith(pin.package + "_") and ".orig." in n]
            if got:
                fail(f"the distribution carries {got[0]}, the pin is {pin.tarball}; put the pinned "
                     "tarball into a folder and say SRC=that-folder.")
            fail(f"{pin.package} could not be fetched; apt said: " + last_error(answer.stdout))


def last_error(output):
    lines = [l.strip() for l in output.splitlines() if l.strip()]
    for marks in (("E:", "Err:"), ("W:",), ("",)):
        said = [l for l in lines if l.startswith(marks)]
        if said:
            return said[-1]
    return "nothing"


# ---- unpacking ----------------------------------------------------------------------------------

def unpack(pin, tarball, target):
    """Unpacks the pinned folder of the tarball beside the target, then puts it in place at once."""
    fresh = target + ".new"
    shutil.rmtree(fresh, ignore_errors=True)
    count = 0
    with tarfile.open(tarball) as archive:
        for member in archive:
            below = member.name.split("/")[1:]  # the tarball's own top folder
            below = [b for b in below if b not in ("", ".")]
            if ".." in below or not (member.isfile() or member.isdir()):
                continue
            name = "/".join(below)
            if pin.folder:
                if not name.startswith(pin.folder + "/"):
                    continue
                name = name[len(pin.folder) + 1:]
            path = os.path.join(fresh, name)
            if member.isdir():
                os.makedirs(path, exist_ok=True)
                continue
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with archive.extractfile(member) as source, open(path, "wb") as copy:
                shutil.copyfileobj(source, copy)
            os.chmod(path, 0o755 if member.mode & 0o100 else 0o644)
            count += 1
    if not count:
        fail(f"{pin.tarball} holds nothing below {pin.folder or 'its top folder'}.")
    with open(os.path.join(fresh, ".pin"), "w", encoding="utf-8") as stamp:
        stamp.write(pin.sha256 + "\n")
    shutil.rmtree(target, ignore_errors=True)
    os.rename(fresh, target)


def is_in_place(pin, deps):
    try:
        with open(os.path.join(deps, pin.name, ".pin"), encoding="utf-8") as stamp:
            return stamp.read().strip() == pin.sha256
    except OSError:
        return False


def bring(pin, deps, given, apt):
    store = os.path.join(deps, "tarballs")
    os.makedirs(store, exist_ok=True)
    tarball = os.path.join(store, pin.tarball)
    if given:
        theirs = os.path.join(given, pin.tarball)
        if not os.path.exists(theirs):
            fail(f"{given} holds no {pin.tarball}.")
        if os.path.abspath(theirs) != os.path.abspath(tarball):
            shutil.copyfile(theirs, tarball)
    elif not os.path.exists(tarball):
        fetched = os.path.join(deps, "fetched")
        shutil.rmtree(fetched, ignore_errors=True)
        os.makedirs(fetched)
        apt(pin.release).fetch(pin, fetched)
        os.rename(os.path.join(fetched, pin.tarball), tarball)
        shutil.rmtree(fetched)
    found = sha256_of(tarball)
    if found != pin.sha256:
        os.unlink(tarball)
        fail(f"{pin.tarball} is not the pinned file: its SHA-256 is {found}, the pin says "
             f"{pin.sha256}; the copy was removed.")
    unpack(pin, tarball, os.path.join(deps, pin.name))
    print(f"sources: {pin.name} {pin.version} is in place", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--deps", default=".deps")
    parser.add_argument("--from", dest="given", default="")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    pins = read_pins()
    if args.list:
        for pin in pins.values():
            print(f"{pin.package} {pin.version} ({pin.tarball})")
        return
    for name in args.names:
        if name not in pins:
            fail(f"{name} is not named in scripts/sources.conf.")
    wanted = [pins[name] for name in args.names if not is_in_place(pins[name], args.deps)]
    if not wanted:
        return
    if args.given and not os.path.isdir(args.given):
        fail(f"SRC={args.given} is not a folder.")
    os.makedirs(args.deps, exist_ok=True)
    private = {}

    def apt(release):
        if release not in private:
            private[release] = SourceApt(os.path.abspath(args.deps), release)
        return private[release]

    with open(os.path.join(args.deps, ".lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several makes may share one folder
        for pin in wanted:
            if not is_in_place(pin, args.deps):
                bring(pin, args.deps, args.given, apt)
        shutil.rmtree(os.path.join(args.deps, "apt"), ignore_errors=True)  # lists are large and age


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        fail("stopped.")
    except (OSError, tarfile.TarError) as error:
        fail(f"{error}.")
