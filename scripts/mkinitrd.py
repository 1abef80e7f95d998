#!/usr/bin/env python3
"""mkinitrd.py: writes an initrd archive (cpio, "newc" header) that is the same for the same files.

usage: mkinitrd.py OUT NAME=FILE...

Format: cpio(5), "New ASCII Format": a 110-byte header of hexadecimal words, the name with its NUL
padded to 4 bytes, the data padded to 4 bytes; the archive ends with the name TRAILER!!!.
"""
import os
import sys


def pad(data):
    return data + b"\0" * (-len(data) % 4)


def entry(number, name, mode, data=b""):
    name = name.encode() + b"\0"
    words = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0]
    header = b"070701" + b"".join(b"%08x" % word for word in words)
    return pad(header + name) + pad(data)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    files = dict(word.split("=", 1) for word in sys.argv[2:])
    folders = sorted({os.path.dirname(name) for name in files} - {""})
    number = 0
    with open(sys.argv[1] + ".new", "wb") as out:
        for folder in folders:
            number += 1
            out.write(entry(number, folder, 0o40755))
        for name in sorted(files):
            number += 1
            with open(files[name], "rb") as data:
                out.write(entry(number, name, 0o100755, data.read()))
        out.write(entry(0, "TRAILER!!!", 0))
    os.rename(sys.argv[1] + ".new", sys.argv[1])


if __name__ == "__main__":
    main()
