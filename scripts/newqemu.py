#!/usr/bin/env python3
"""newqemu.py: a newer QEMU than the release's, unpacked for the tests alone.

usage: newqemu.py [--deps DIR]     brings it, and prints the words that start it

Owns DEPS/newqemu: the packages that scripts/newqemu.conf pins, fetched by the system's own package
manager from the distribution's backports suite (a private list, as sources.py makes it), checked,
and unpacked beside each other. Nothing is installed and no script of a package runs. The libraries
are those of the system's own QEMU; where one is missing, or a package cannot be had, there is no
newer QEMU here, and one sentence says why.
"""
import argparse
import os
import platform
import shutil
import subprocess
import sys

import sources

CONF = os.path.join(sources.HERE, "newqemu.conf")
MACHINES = {"amd64": "x86_64", "all": platform.machine()}


class Missing(Exception):
    """Why there is none here, in one sentence."""


class Package:
    def __init__(self, words):
        self.name, self.version, self.architecture, self.sha256 = words

    @property
    def file(self):
        """As apt-get download names it."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"


def read_packages():
    with open(CONF, encoding="utf-8") as conf:
        rows = [line.split("#", 1)[0].split() for line in conf]
    return [Package(row) for row in rows if row]


def fetch(packages, folder):
    """Downloads all packages into `folder` and checks them."""
    apt = sources.PrivateApt(os.path.join(folder, "apt"),
                             sources.own_entries("deb", also="backports"))
    answer = apt.run("update")
    if not answer.returncode:
        answer = apt.run("download", *(f"{p.name}={p.version}" for p in packages), cwd=folder)
    for package in packages:
        path = os.path.join(folder, package.file)
        if not os.path.exists(path):
            raise Missing(f"{package.name} {package.version} could not be fetched; apt said: "
                          + sources.last_error(answer.stdout))
        found = sources.sha256_of(path)
        if found != package.sha256:
            raise Missing(f"{package.file} is not the pinned file: its SHA-256 is {found}")


def unpack(packages, folder, root):
    for package in packages:
        done = subprocess.run(["dpkg", "-x", os.path.join(folder, package.file), root], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            raise Missing(f"{package.file} could not be unpacked: {done.stdout.strip()}")


def words_of(root):
    """What starts it: its own firmware and data; no sound, whose modules are the other QEMU's."""
    return [os.path.join(root, "usr", "bin", "qemu-system-riscv64"),
            "-L", os.path.join(root, "usr", "share", "qemu"), "-audio", "none"]


def look(words):
    """Does it run here? Its version."""
    said = subprocess.run(["ldd", words[0]], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False).stdout
    missing = [line.split()[0] for line in said.splitlines() if "not found" in line]
    if missing:
        raise Missing("this system has not all of its libraries: " + " ".join(missing))
    said = subprocess.run([words[0], "--version"], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    if said.returncode:
        raise Missing("it does not run here: " + said.stdout.strip().split("\n")[0])
    return said.stdout.split()[3]


def bring(deps=".deps"):
    """(the words that start it, its version); Missing. A second call needs no network."""
    packages = read_packages()
    for package in packages:
        if MACHINES.get(package.architecture) != platform.machine():
            raise Missing(f"the pinned packages are for {package.architecture}, this is "
                          f"{platform.machine()}")
    target = os.path.abspath(os.path.join(deps, "newqemu"))
    stamp = os.path.join(target, ".pin")
    pin = " ".join(p.sha256 for p in packages)
    try:
        with open(stamp, encoding="utf-8") as text:
            in_place = text.read() == pin
    except OSError:
        in_place = False
    if not in_place:
        fresh = f"{target}.new{os.getpid()}"
        os.makedirs(fresh)
        try:
            fetch(packages, fresh)
            unpack(packages, fresh, os.path.join(fresh, "root"))
            os.makedirs(target, exist_ok=True)
            shutil.rmtree(os.path.join(target, "root"), ignore_errors=True)
            os.rename(os.path.join(fresh, "root"), os.path.join(target, "root"))
            with open(stamp, "w", encoding="utf-8") as text:
                text.write(pin)
        except SystemExit as refused:  # sources.py's way to say that this is no Debian release
            raise Missing(str(refused)) from None
        except OSError as error:
            raise Missing(f"it could not be unpacked: {error}") from None
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    words = words_of(os.path.join(target, "root"))
    return words, look(words)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--deps", default=".deps")
    try:
        words, version = bring(parser.parse_args().deps)
    except Missing as why:
        sys.exit(f"newqemu: there is no newer QEMU here: {why}.")
    print(f"QEMU {version}: {' '.join(words)}")


if __name__ == "__main__":
    main()
