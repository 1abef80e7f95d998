#!/usr/bin/env python3
"""Is what is written through nbdd what is on the disk, and what is read back? Do clients nobody here
wrote find what they expect, and broken ones the protocol's errors?

Numbers: doc/proto.md of the NBD project.
"""
import os
import random
import shutil
import struct
import subprocess

import servers
from servers import dial, expect, receive

NBD = 10809
MIB = 1 << 20
DISK = 32 * MIB
RAM = 16 * MIB
IMAGE = random.Random(2).randbytes(8 * MIB)


def uri(vm, export):
    return f"nbd://127.0.0.1:{vm.ports[NBD]}/{export}"


def tool(*words):
    """Runs a client; what it printed."""
    said = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=servers.STEP, check=False)
    text = said.stdout.decode("utf-8", "replace")
    expect(said.returncode == 0, f"{words[0]} ended with status {said.returncode}: {text[-300:]!r}")
    return text


# ---- clients nobody here wrote -------------------------------------------------------------------

def info(vm):
    text = tool("nbdinfo", "--list", f"nbd://127.0.0.1:{vm.ports[NBD]}")
    for wanted in ('export="disk"', 'export="ram"', f"export-size: {DISK}", f"export-size: {RAM}",
                   "base:allocation", "can_multi_conn: true", "can_fua: true", "can_trim: true"):
        expect(wanted in text, f"nbdinfo does not say {wanted}")


def image(vm):
    source = servers.scratch("image", data=IMAGE)
    back = servers.scratch("back")
    for export in ("disk", "ram"):
        tool("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, uri(vm, export))
        tool("nbdcopy", "--connections=4", uri(vm, export), back)
        with open(back, "rb") as file:
            expect(file.read(len(IMAGE)) == IMAGE, f"{export}: what is read back differs")
    with open(vm.disk, "rb") as disk:
        expect(disk.read(len(IMAGE)) == IMAGE, "the disk's file differs")


def map_of_ram(vm):
    """A memory export knows which of its blocks are zero, and says so."""
    tool("qemu-io", "-f", "raw", "-c", "write -z 12M 1M", uri(vm, "ram"))
    text = tool("nbdinfo", "--map", uri(vm, "ram"))
    expect("zero" in text and "data" in text, f"the map is {text!r}")


def patterns(vm):
    for export in ("disk", "ram"):
        tool("qemu-io", "-f", "raw", "-c", "write -P 0x5a 1M 8M", "-c", "read -P 0x5a 1M 8M",
             "-c", "write -z 2M 1M", "-c", "read -P 0 2M 1M", "-c", "read -P 0x5a 3M 64k",
             "-c", "write -f -P 0x33 512 512", "-c", "read -P 0x33 512 512",
             "-c", "discard 4M 64k", "-c", "flush", uri(vm, export))


def verify(vm):
    """Random blocks, 32 in flight, each with its checksum."""
    for export, size in (("disk", DISK), ("ram", RAM)):
        text = tool("fio", "--name=verify", "--ioengine=nbd", f"--uri={uri(vm, export)}",
                    "--rw=randwrite", "--bs=4k", "--iodepth=32", f"--size={size // 4}",
                    "--verify=crc32c", "--verify_state_save=0", "--do_verify=1",
                    f"--aux-path={servers.SERVERS}")
        expect("err= 0" in text, f"fio: {text[-300:]!r}")


# ---- a client that speaks the protocol byte by byte -------------------------------------------------

OPT_MAGIC, OPT_REPLY = 0x49484156454F5054, 0x3E889045565A9
REQUEST, SIMPLE, CHUNK = 0x25609513, 0x67446698, 0x668E33EF
EXT_REQUEST, EXT_CHUNK = 0x21E41C71, 0x6E8A278C
ACK, UNSUP, INVALID, UNKNOWN, TOO_BIG = 1, 0x80000001, 0x80000003, 0x80000006, 0x80000009
EXT_REQD, PAYLOAD = 0x8000000A, 1 << 5
READ, WRITE, DISC, FLUSH, TRIM, ZEROES, STATUS = 0, 1, 2, 3, 4, 6, 7
EINVAL, ENOSPC = 22, 28


class Client:
    def __init__(self, vm, flags=3):
        self.wire = dial(vm.ports[NBD])
        greeting = receive(self.wire, 18)
        expect(greeting[:16] == b"NBDMAGICIHAVEOPT", f"the greeting is {greeting!r}")
        self.wire.sendall(struct.pack(">I", flags))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.wire.close()

    def send_option(self, code, data=b"", magic=OPT_MAGIC, length=None):
        length = len(data) if length is None else length
        self.wire.sendall(struct.pack(">QII", magic, code, length) + data)

    def option(self, code, data=b""):
        """Sends it; the types of all replies up to the last one."""
        self.send_option(code, data)
        types = []
        while True:
            head = receive(self.wire, 20)
            expect(len(head) == 20, f"option {code}: the server hung up")
            magic, echoed, kind, length = struct.unpack(">QIII", head)
            expect((magic, echoed) == (OPT_REPLY, code), f"option {code}: a reply to something else")
            receive(self.wire, length)
            types.append(kind)
            if kind == ACK or kind & 0x80000000:
                return types

    def go(self, export=b"ram"):
        expect(self.option(7, struct.pack(">I", len(export)) + export + b"\0\0")[-1] == ACK,
               "GO was refused")
        return self

    def request(self, kind, off=0, length=0, flags=0, data=b"", magic=REQUEST, cookie=7):
        self.wire.sendall(struct.pack(">IHHQQI", magic, flags, kind, cookie, off, length) + data)

    def simple(self, payload=0):
        """Error number and payload of a simple reply."""
        head = receive(self.wire, 16)
        expect(len(head) == 16, "the server hung up")
        magic, error, cookie = struct.unpack(">IIQ", head)
        expect((magic, cookie) == (SIMPLE, 7), f"a reply to something else: {head!r}")
        return error, receive(self.wire, 0 if error else payload)

    def chunk(self):
        """Type, flags and payload of a structured reply's chunk."""
        magic, flags, kind, cookie, length = struct.unpack(">IHHQI", receive(self.wire, 20))
        expect((magic, cookie) == (CHUNK, 7), "a reply to something else")
        return kind, flags, receive(self.wire, length)

    def ended(self):
        try:
            return receive(self.wire, 1) == b""
        except ConnectionResetError:
            return True


def options(vm):
    with Client(vm) as client:
        expect(client.option(99) == [UNSUP], "an unknown option is not refused")
        expect(client.option(5) == [UNSUP], "STARTTLS is not refused")
        expect(client.option(3, b"x") == [INVALID], "LIST with data is accepted")
        expect(len(client.option(3)) == 3, "LIST does not list two exports")
        expect(client.option(7, b"\0\0") == [INVALID], "a short GO is accepted")
        expect(client.option(7, struct.pack(">I", 99) + b"ram\0\0") == [INVALID],
               "a name longer than its option is accepted")
        expect(client.option(6, struct.pack(">I", 4) + b"nope\0\0") == [UNKNOWN],
               "an unknown export is known")
        expect(client.option(8, b"x") == [INVALID], "STRUCTURED_REPLY with data is accepted")
        expect(client.option(10, struct.pack(">I", 3) + b"ram" + struct.pack(">I", 0)) == [INVALID],
               "metadata without structured replies")
        expect(client.option(8) == [ACK], "STRUCTURED_REPLY is refused")
        expect(client.option(10, struct.pack(">I", 3) + b"ram" + struct.pack(">II", 1, 999))
               == [INVALID], "a query longer than its option is accepted")
        client.send_option(99, b"z" * 100000)
        expect(struct.unpack(">QIII", receive(client.wire, 20))[2] == TOO_BIG,
               "a long option is not too big")
        client.go()
    for bad in ({"magic": 1}, {"length": 0xFFFFFFFF}):
        with Client(vm) as client:
            client.send_option(3, **bad)
            expect(client.ended(), f"the connection survives {bad}")
    with Client(vm, flags=0x80) as client:
        expect(client.ended(), "unknown client flags are accepted")
    with Client(vm) as client:
        client.send_option(2)
        receive(client.wire, 20)
        expect(client.ended(), "ABORT does not end the connection")
    with Client(vm, flags=1) as client:  # EXPORT_NAME, the oldest way: size, flags, 124 zeros
        client.send_option(1, b"ram")
        answer = receive(client.wire, 134)
        expect(struct.unpack(">Q", answer[:8])[0] == RAM and answer[10:] == bytes(124),
               "EXPORT_NAME is answered wrongly")
        client.request(READ, 0, 16)
        expect(client.simple(16)[0] == 0, "no read after EXPORT_NAME")
    with Client(vm) as client:
        client.send_option(1, b"nope")
        expect(client.ended(), "EXPORT_NAME of an unknown export")


def extended(client, kind, off=0, length=0, flags=0, data=b"", magic=EXT_REQUEST):
    """Sends an extended request; type and payload of the one chunk that answers it."""
    client.wire.sendall(struct.pack(">IHHQQQ", magic, flags, kind, 7, off, length) + data)
    head = receive(client.wire, 32)
    expect(len(head) == 32, f"no answer to command {kind}")
    magic, done, kind, cookie, echoed, length = struct.unpack(">IHHQQQ", head)
    expect((magic, done, cookie, echoed) == (EXT_CHUNK, 1, 7, off), f"not an extended reply: {head!r}")
    return kind, receive(client.wire, length)


def extended_client(vm, export):
    client = Client(vm)
    expect(client.option(11, b"x") == [INVALID], "EXTENDED_HEADERS with data is accepted")
    expect(client.option(11) == [ACK], "EXTENDED_HEADERS is refused")
    expect(client.option(8) == [EXT_REQD], "STRUCTURED_REPLY after it is not refused")
    query = b"base:allocation"
    client.option(10, struct.pack(">I", len(export)) + export
                  + struct.pack(">II", 1, len(query)) + query)
    return client.go(export)


def extended_headers(vm):
    """64-bit lengths in requests, replies and extents; every reply is a chunk."""
    with extended_client(vm, b"ram") as client:
        expect(extended(client, WRITE, 4096, 5, PAYLOAD, b"hello") == (0, b""), "no write")
        expect(extended(client, READ, 4096, 5) == (1, struct.pack(">Q", 4096) + b"hello"),
               "what is read back differs")
        expect(extended(client, FLUSH) == (0, b""), "no flush")
        expect(extended(client, ZEROES, 0, 1 << 20) == (0, b""), "no zeroes")
        kind, payload = extended(client, STATUS, 0, RAM)
        extents = struct.unpack(f">II{(len(payload) - 8) // 8}Q", payload)
        expect(kind == 6 and extents[:2] == (1, (len(extents) - 2) // 2)
               and extents[3] == 2 and sum(extents[2::2]) <= RAM, f"a status that is none: {extents}")
        refused = (
            ("a trim of 4 GiB and a block", ENOSPC, (TRIM, 0, (1 << 32) + 4096)),
            ("zeroes of 4 GiB and a block", ENOSPC, (ZEROES, 0, (1 << 32) + 4096)),
            ("a read of 4 GiB and a block", EINVAL, (READ, 0, (1 << 32) + 4096)),
            ("a length that wraps", ENOSPC, (TRIM, 4096, 2 ** 64 - 4096)),
            ("a write that does not say it brings data", EINVAL, (WRITE, 0, 16)),
            ("a read that brings data", EINVAL, (READ, 0, 16, PAYLOAD, b"x" * 16)),
            ("a flush that brings data", EINVAL, (FLUSH, 0, 16, PAYLOAD, b"x" * 16)),
        )
        for what, error, request in refused:
            expect(extended(client, *request) == (32769, struct.pack(">IH", error, 0)),
                   f"{what} is not refused with {error}")
        client.wire.sendall(struct.pack(">IHHQQQ", EXT_REQUEST, PAYLOAD, WRITE, 7, 0, 1 << 40))
        expect(client.ended(), "a payload of 1 TiB is waited for")
    with extended_client(vm, b"ram") as client:
        client.request(READ, 0, 16, data=b"\0" * 4)
        expect(client.ended(), "a compact request after extended headers is survived")
    with Client(vm) as client:
        client.option(11)
        client.send_option(1, b"ram")
        expect(client.ended(), "EXPORT_NAME after extended headers is answered")


def long_lengths(vm):
    """A disk of 6 GiB: what one request of more than 4 GiB asks of it."""
    with extended_client(vm, b"disk") as client:
        expect(extended(client, TRIM, 0, 5 << 30) == (0, b""), "no trim of 5 GiB")
        expect(extended(client, STATUS, 0, 6 << 30) == (6, struct.pack(">IIQQ", 1, 1, 6 << 30, 0)),
               "6 GiB are not one extent")
        expect(extended(client, WRITE, 5 << 30, 512, PAYLOAD, b"5" * 512) == (0, b""), "no write")
        expect(extended(client, READ, 5 << 30, 512)[1][8:] == b"5" * 512, "no read at 5 GiB")


def tls(vm):
    """Refused by name; a client that insists says so, and one that does not goes on."""
    with Client(vm) as client:
        client.send_option(5)
        head = receive(client.wire, 20)
        _, _, kind, length = struct.unpack(">QIII", head)
        said = receive(client.wire, length)
        expect((kind, b"TLS" in said) == (UNSUP, True), f"STARTTLS is answered by {head + said!r}")
        client.go()
    insists = subprocess.run(["nbdinfo", f"nbds://127.0.0.1:{vm.ports[NBD]}/ram"], check=False,
                             env=dict(os.environ, LIBNBD_DEBUG="1"), stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, timeout=servers.STEP)
    expect(insists.returncode and b"does not speak TLS" in insists.stdout, f"{insists.stdout!r}")


def checked_image(vm):
    """A qcow2 image on the export, made, written and judged by its own tools."""
    tool("qemu-img", "create", "-f", "qcow2", uri(vm, "disk"), "16M")
    tool("qemu-io", "-f", "qcow2", "-c", "write -P 9 3M 1M", "-c", "write -P 8 9M 64k",
         "-c", "read -P 9 3M 1M", uri(vm, "disk"))
    said = tool("qemu-img", "check", "-f", "qcow2", uri(vm, "disk"))
    expect("No errors were found" in said, f"qemu-img check: {said!r}")
    tool("qemu-io", "-f", "raw", "-c", "write -z 0 64k", uri(vm, "disk"))  # a raw disk again


def requests(vm):
    with Client(vm).go() as client:
        refused = (
            ("a read behind the end", EINVAL, (READ, RAM, 16)),
            ("a read across the end", EINVAL, (READ, RAM - 8, 16)),
            ("a read that wraps", EINVAL, (READ, 2 ** 64 - 8, 16)),
            ("an empty read", EINVAL, (READ, 0, 0)),
            ("a read of 1 GiB", EINVAL, (READ, 0, 1 << 30)),
            ("an unknown command", EINVAL, (77, 0, 0)),
            ("an unknown flag", EINVAL, (READ, 0, 16, 0x80)),
            ("DF without structured replies", EINVAL, (READ, 0, 16, 4)),
            ("a status nobody negotiated", EINVAL, (STATUS, 0, 4096)),
            ("a flush with a length", EINVAL, (FLUSH, 0, 1)),
            ("a trim across the end", ENOSPC, (TRIM, RAM - 8, 16)),
            ("zeroes behind the end", ENOSPC, (ZEROES, RAM, 16)),
        )
        for what, error, request in refused:
            client.request(*request)
            expect(client.simple(16)[0] == error, f"{what} is not refused with {error}")
        client.request(WRITE, RAM - 8, 16, data=b"x" * 16)
        expect(client.simple()[0] == ENOSPC, "a write across the end")
        over = 33 * MIB
        client.request(WRITE, 0, over, data=bytes(over))
        expect(client.simple()[0] == EINVAL, "a write past the longest payload")
        client.request(WRITE, 100, 5, data=b"after")  # the wire is still in step
        expect(client.simple()[0] == 0, "no write afterwards")
        client.request(READ, 100, 5)
        expect(client.simple(5) == (0, b"after"), "no read afterwards")
        client.request(READ, 0, 16, magic=5)
        expect(client.ended(), "a bad request magic is survived")
    with Client(vm).go() as client:
        client.request(DISC)
        expect(client.ended(), "DISC does not end the connection")
    with Client(vm).go() as client:  # gone in the middle of a payload
        client.request(WRITE, 0, 65536, data=b"half of it")
    with Client(vm).go() as client:  # gone with answers on their way
        for _ in range(200):
            client.request(READ, 0, 65536)


def structured(vm):
    with Client(vm) as client:
        client.option(8)
        query = b"base:allocation"
        client.option(10, struct.pack(">I", 3) + b"ram" + struct.pack(">II", 1, len(query)) + query)
        client.go()
        client.request(READ, 0, 32)
        kind, flags, payload = client.chunk()
        expect((kind, flags, len(payload)) == (1, 1, 40), "a read's chunk is not OFFSET_DATA")
        client.request(READ, RAM, 16)
        kind, flags, payload = client.chunk()
        expect((kind, flags) == (32769, 1) and payload[:4] == struct.pack(">I", EINVAL),
               "a refused read's chunk is not an error")
        client.request(STATUS, 0, RAM)
        kind, flags, payload = client.chunk()
        extents = struct.unpack(f">{len(payload) // 4}I", payload)[1:]
        expect((kind, flags) == (5, 1) and sum(extents[::2]) <= RAM, "a status that is none")
        client.request(STATUS, 0, RAM, flags=8)
        expect(len(client.chunk()[2]) == 12, "REQ_ONE is answered with several")


def many_connections(vm):
    """16 at once are served, each with its own requests; the 17th waits and is not forgotten."""
    clients = [Client(vm).go() for _ in range(16)]
    for i, client in enumerate(clients):
        client.request(WRITE, i * 4096, 4096, data=bytes([i]) * 4096)
    for client in clients:
        expect(client.simple()[0] == 0, "a write failed")
    for client in clients:
        client.wire.close()
    with Client(vm).go() as client:
        for i in range(16):
            client.request(READ, i * 4096, 4096)
            expect(client.simple(4096) == (0, bytes([i]) * 4096), f"block {i} is not connection {i}'s")


# ---- a disk with errors ------------------------------------------------------------------------------

def broken_disk(vm):
    """The device's errors reach the client; it and the connection go on."""
    for command in ("read 1M 4k", "write -P 7 2M 4k"):
        said = subprocess.run(["qemu-io", "-f", "raw", "-c", command, uri(vm, "disk")],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=servers.STEP, check=False)
        expect(b"Input/output error" in said.stdout, f"{command}: no EIO but {said.stdout!r}")
    tool("qemu-io", "-f", "raw", "-c", "read 1M 4k", "-c", "write -P 7 2M 4k",
         "-c", "read -P 7 2M 4k", uri(vm, "disk"))


def blkdebug(disk):
    """QEMU words for a disk of which one sector cannot be read once, another not written once."""
    rules = servers.scratch("blkdebug.conf", data=b"".join(
        b'[inject-error]\nevent = "none"\niotype = "%s"\nsector = "%d"\nerrno = "5"\nonce = "on"\n\n'
        % (kind, sector) for kind, sector in ((b"read", 2048), (b"write", 4096))))
    return f"driver=raw,file.driver=blkdebug,file.config={rules}," \
           f"file.image.driver=file,file.image.filename={disk}"


if __name__ == "__main__":
    for needed in ("nbdinfo", "nbdcopy", "qemu-img", "qemu-io", "fio"):
        if not shutil.which(needed):
            raise SystemExit(f"{needed} is not installed")
    servers.run({
        "nbdinfo": info,
        "an image, there and back": image,
        "a map of memory": map_of_ram,
        "patterns": patterns,
        "fio verifies": verify,
        "options": options,
        "requests": requests,
        "structured replies": structured,
        "extended headers": extended_headers,
        "TLS": tls,
        "qemu-img check": checked_image,
        "16 connections": many_connections,
        "nbdinfo again": info,
    }, disk=servers.scratch("nbd.img", size=DISK))
    servers.run({"a disk with errors": broken_disk, "lengths of more than 32 bits": long_lengths},
                places=servers.PLACES[1:2],
                drive=blkdebug(servers.scratch("broken.img", size=6 << 30)))
