#!/usr/bin/env python3
"""packages.py: fetches the peer's pinned packages, once, and proves that they are the pinned ones.

usage: packages.py [--deps DIR] [--from DIR] [NAME...]

Owns DEPS/peer (default .deps/peer): the package files in debs/, and each package's tree, unpacked and
otherwise unmodified, in a folder named as bench/peer/peer.conf says. Nothing is installed: the packages
are another machine's. A tree whose stamp holds the pinned SHA-256 is left alone, so that a second run
needs no network. Without NAME all are brought.

As for the sources (scripts/sources.py), the system's own package manager does the fetching, with a
private list of places derived from this machine's: the distribution's own entries, asked for the
release of the pins and for riscv64. --from DIR takes the files from a folder instead.
"""
import argparse
import fcntl
import glob
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "scripts"))

import sources  # noqa: E402  (scripts/)

CONF = os.path.join(HERE, "peer.conf")


class Pin:
    def __init__(self, folder, package, version, sha256):
        self.folder, self.package, self.version, self.sha256 = folder, package, version, sha256


def read_pins():
    """The release, and {folder: Pin}."""
    release, pins = None, {}
    with open(CONF, encoding="utf-8") as conf:
        for number, line in enumerate(conf, 1):
            words = line.split("#", 1)[0].split()
            if words[:1] == ["release"] and len(words) == 2:
                release = words[1]
            elif words[:1] == ["package"] and len(words) == 5:
                pins[words[1]] = Pin(*words[1:])
            elif words:
                sources.fail(f"{CONF}:{number} is neither `release NAME` nor "
                             "`package FOLDER NAME VERSION SHA-256`.")
    return release, pins


def folder_of(name, deps=".deps"):
    return os.path.join(deps, "peer", name)


def is_in_place(pin, deps):
    try:
        with open(os.path.join(folder_of(pin.folder, deps), ".pin"), encoding="utf-8") as stamp:
            return stamp.read().strip() == pin.sha256
    except OSError:
        return False


class PeerApt(sources.PrivateApt):
    def __init__(self, folder, release):
        os.makedirs(folder, exist_ok=True)
        nothing = os.path.join(folder, "status")  # what is installed here is not this machine's
        with open(nothing, "w", encoding="utf-8"):
            pass
        super().__init__(folder, sources.own_entries("deb", release),
                         [f"Dir::State::status={nothing}", "APT::Architecture=riscv64",
                          "APT::Architectures=riscv64"])
        print("peer: reading the distribution's list of riscv64 packages", flush=True)
        self.update("*_binary-riscv64_Packages*")

    def fetch(self, pin, folder):
        """Gives the path of the package's file, below `folder`."""
        print(f"peer: fetching {pin.package} {pin.version}", flush=True)
        answer = self.run("download", f"{pin.package}={pin.version}", cwd=folder)
        found = glob.glob(os.path.join(folder, "*.deb"))
        if not found:
            sources.fail(f"{pin.package} {pin.version} could not be fetched for riscv64; if the "
                         "distribution has moved on, put the pinned file into a folder and say "
                         "SRC=that-folder; apt said: " + sources.last_error(answer.stdout))
        return found[0]


def bring(pin, deps, given, apt):
    name = f"{pin.package}_{pin.version.replace(':', '%3a')}_riscv64.deb"
    store = os.path.join(folder_of("debs", deps), name)
    os.makedirs(os.path.dirname(store), exist_ok=True)
    if given:
        if not os.path.exists(os.path.join(given, name)):
            sources.fail(f"{given} holds no {name}.")
        shutil.copyfile(os.path.join(given, name), store)
    elif not os.path.exists(store):
        fetched = folder_of("fetched", deps)
        shutil.rmtree(fetched, ignore_errors=True)
        os.makedirs(fetched)
        os.rename(apt().fetch(pin, fetched), store)
        shutil.rmtree(fetched)
    digest = sources.sha256_of(store)
    if digest != pin.sha256:
        os.unlink(store)
        sources.fail(f"{name} is not the pinned file: its SHA-256 is {digest}, the pin says "
                     f"{pin.sha256}; the copy was removed.")
    target = folder_of(pin.folder, deps)
    fresh = target + ".new"
    shutil.rmtree(fresh, ignore_errors=True)
    subprocess.run(["dpkg-deb", "-x", store, fresh], check=True)
    with open(os.path.join(fresh, ".pin"), "w", encoding="utf-8") as stamp:
        stamp.write(pin.sha256 + "\n")
    shutil.rmtree(target, ignore_errors=True)
    os.rename(fresh, target)
    print(f"peer: {pin.package} {pin.version} is in place", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--deps", default=".deps")
    parser.add_argument("--from", dest="given", default="")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    release, pins = read_pins()
    for name in args.names:
        if name not in pins:
            sources.fail(f"{name} is not a folder of {CONF}.")
    wanted = [pins[name] for name in args.names or pins if not is_in_place(pins[name], args.deps)]
    if not wanted:
        return
    os.makedirs(folder_of("", args.deps), exist_ok=True)
    private = []

    def apt():
        if not private:
            private.append(PeerApt(os.path.abspath(folder_of("apt", args.deps)), release))
        return private[0]

    with open(os.path.join(args.deps, ".lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several makes may share one folder
        for pin in wanted:
            if not is_in_place(pin, args.deps):
                bring(pin, args.deps, args.given, apt)
        shutil.rmtree(folder_of("apt", args.deps), ignore_errors=True)  # lists are large and age


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sources.fail("stopped.")
    except (OSError, subprocess.SubprocessError) as error:
        sources.fail(f"{error}.")
