#!/usr/bin/env python3
"""install.py: puts files below a prefix, and takes away exactly what it put.

usage: install.py put --prefix P [--destdir D] NAME SOURCE=TARGET...
       install.py remove --prefix P [--destdir D] NAME

TARGET is relative to the prefix. A list of the files, and of the folders that had to be made, is kept
in share/NAME/installed. Putting again takes away what the older list has and the new one has not;
removing needs nothing but that list. What somebody else put into one of the folders stays, and the
folder with it.
"""
import argparse
import os
import shutil
import sys

KEPT = os.path.join("share", "{}", "installed")


class Place:
    def __init__(self, destdir, prefix, name):
        if not os.path.isabs(prefix):
            sys.exit(f"install: PREFIX={prefix} is not an absolute path")
        self.root = destdir + prefix if destdir else prefix
        self.list = KEPT.format(name)
        self.files, self.folders = [], []
        if os.path.exists(self.path(self.list)):
            with open(self.path(self.list), encoding="utf-8") as lines:
                for line in lines.read().splitlines():
                    (self.folders if line.endswith("/") else self.files).append(line.rstrip("/"))

    def path(self, target):
        return os.path.join(self.root, target)

    def make_folder(self, target):
        """The folder of a target, and in `folders` those above it that were not there."""
        if os.path.isdir(self.path(target)):
            return
        if target:
            self.make_folder(os.path.dirname(target))
            self.folders.append(target)
        os.makedirs(self.path(target), exist_ok=True)

    def take(self, files):
        for target in files:
            try:
                os.unlink(self.path(target))
            except FileNotFoundError:
                pass

    def take_folders(self):
        """Those that are empty by now, the innermost first."""
        left = []
        for target in sorted(set(self.folders), key=len, reverse=True):
            try:
                os.rmdir(self.path(target))
            except OSError:
                if os.path.isdir(self.path(target)):
                    left.append(target)
        self.folders = left


def put(place, pairs):
    new = [pair.split("=", 1) for pair in pairs]
    targets = [target for _, target in new] + [place.list]
    place.take(set(place.files) - set(targets))
    for source, target in new:
        place.make_folder(os.path.dirname(target))
        shutil.copyfile(source, place.path(target) + ".new")
        os.chmod(place.path(target) + ".new", 0o644)
        os.replace(place.path(target) + ".new", place.path(target))
    place.make_folder(os.path.dirname(place.list))
    with open(place.path(place.list), "w", encoding="utf-8") as out:
        out.writelines(sorted(f"{target}\n" for target in targets))
        out.writelines(f"{target}/\n" for target in sorted(set(place.folders)))


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("verb", choices=("put", "remove"))
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--destdir", default="")
    parser.add_argument("name")
    parser.add_argument("pairs", nargs="*")
    options = parser.parse_args()
    place = Place(options.destdir, options.prefix, options.name)
    if options.verb == "put":
        put(place, options.pairs)
        print(f"install: {len(options.pairs)} files below {place.root}")
    elif not place.files:
        sys.exit(f"install: {place.path(place.list)} is not there: nothing to remove")
    else:
        place.take(place.files)
        place.take_folders()
        print(f"install: {len(place.files) - 1} files removed from {place.root}")


if __name__ == "__main__":
    main()
