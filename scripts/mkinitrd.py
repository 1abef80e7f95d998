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


def members(files, number=0):
    """The entries of {name: path}, with the folders they are in."""
    folders = sorted({os.path.dirname(name) for name in files} - {""})
    for number, folder in enumerate(folders, number + 1):
        yield entry(number, folder, 0o40755)
    for number, name in enumerate(sorted(files), number + 1):
        with open(files[name], "rb") as data:
            yield entry(number, name, 0o100755, data.read())


END = entry(0, "TRAILER!!!", 0)


def extended(archive, files):
    """The bytes of an archive of ours, with these files besides."""
    with open(archive, "rb") as old:
        whole = old.read()
    if not whole.endswith(END):
        raise ValueError(f"{archive} does not end as mkinitrd.py ends archives")
    return b"".join([whole[:-len(END)], *members(files, 1 << 16), END])


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with open(sys.argv[1] + ".new", "wb") as out:
        for piece in members(dict(word.split("=", 1) for word in sys.argv[2:])):
            out.write(piece)
        out.write(END)
    os.rename(sys.argv[1] + ".new", sys.argv[1])


if __name__ == "__main__":
    main()
