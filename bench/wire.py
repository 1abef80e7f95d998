"""wire.py: the far end of a guest's network cable: TCP by frames, in turns with the guest.

QEMU's network is a stream of frames to us, and its devices stand behind the gate (bench/plugin/gate.c): while
we speak the guest's time stands still, and what we sent is there at once; then we listen until it sleeps and
nothing of the machine is left to do. So what the guest finds at once, and when, is the same in each run, and no
host's TCP, timer or scheduler has a part in it.

No frame is lost on this cable, so we say nothing twice, and a missing one is an error. An
acknowledgement goes with what is said next, or by itself behind every second full segment.
"""
import os
import select
import socket
import struct
import tempfile

from measure import BenchError

OURS, THEIRS = bytes([10, 0, 2, 2]), bytes([10, 0, 2, 15])
OUR_MAC, THEIR_MAC = b"\x52\x55\x0a\x00\x02\x02", b"\x52\x54\x00\x12\x34\x56"
ARP, IPV4, TCP = 0x0806, 0x0800, 6
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
SEGMENT, WINDOW = 1460, 65535
PATIENCE_S = 120
TURNS_MAX = 200


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff


class Connection:
    """One TCP connection from us to `port` of the guest. `got`: what came and was not taken."""

    def __init__(self, wire, number, port):
        self.wire, self.local, self.port = wire, 20000 + number, port
        self.next, self.expected = 1000 * (number + 1), 0
        self.open, self.closed, self.unacked = False, False, 0
        self.got = bytearray()
        self.emit(SYN, options=struct.pack(">BBH", 2, 4, SEGMENT))
        self.next += 1

    def emit(self, flags, data=b"", options=b""):
        head = struct.pack(">HHIIBBHHH", self.local, self.port, self.next, self.expected,
                           (5 + len(options) // 4) << 4, flags, WINDOW, 0, 0) + options
        pseudo = OURS + THEIRS + struct.pack(">BBH", 0, TCP, len(head) + len(data))
        head = head[:16] + struct.pack(">H", checksum(pseudo + head + data)) + head[18:]
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(head) + len(data), 0, 0x4000, 64, TCP, 0) + OURS + THEIRS
        ip = ip[:10] + struct.pack(">H", checksum(ip)) + ip[12:]
        self.wire.frame(IPV4, ip + head + data)
        self.unacked = 0

    def send(self, data):
        """All of it: the window of who reads is theirs to keep open."""
        for at in range(0, len(data), SEGMENT):
            piece = data[at:at + SEGMENT]
            self.emit(ACK | (PSH if at + len(piece) == len(data) else 0), piece)
            self.next += len(piece)

    def take(self, count):
        """So many bytes, in as many turns as that takes."""
        for _ in range(TURNS_MAX):
            if len(self.got) >= count:
                data = bytes(self.got[:count])
                del self.got[:count]
                return data
            self.wire.turn()
        raise BenchError(f"port {self.port}: {len(self.got)} of {count} bytes came")

    def heard(self, sequence, flags, data):
        if flags & RST:
            raise BenchError(f"port {self.port}: the connection was reset")
        if flags & SYN:
            self.expected, self.open = sequence + 1 & 0xffffffff, True
            self.emit(ACK)
            return
        if data and sequence != self.expected:
            if (self.expected - sequence) & 0xffffffff > 1 << 30:
                raise BenchError(f"port {self.port}: a segment is missing")
            self.emit(ACK)  # said again, since we answer in turns
            return
        self.expected = self.expected + len(data) & 0xffffffff
        self.got += data
        if flags & FIN:
            self.expected, self.closed = self.expected + 1 & 0xffffffff, True
        self.unacked += len(data) == SEGMENT
        if flags & FIN or self.unacked >= 2:
            self.emit(ACK)


class Wire:
    """`netdev` and `gate` are the words for QEMU; plug() takes the cable's end once QEMU runs."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="sluice-wire-")
        self.gate = os.path.join(self.folder.name, "gate")
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.netdev = f"socket,connect=127.0.0.1:{self.listener.getsockname()[1]}"
        self.listener.listen(1)
        self.cable = self.turns = None
        self.out, self.into, self.connections = bytearray(), bytearray(), {}

    def plug(self):
        self.cable, _ = self.listener.accept()
        self.turns = socket.socket(socket.AF_UNIX)
        self.turns.connect(self.gate)
        self.turn()

    def frame(self, kind, data):
        data = (THEIR_MAC + OUR_MAC + struct.pack(">H", kind) + data).ljust(60, b"\0")
        self.out += struct.pack(">I", len(data)) + data

    def turn(self):
        """Says what there is to say, and hears what the guest says to it."""
        self.cable.sendall(self.out)
        self.out.clear()
        self.turns.sendall(b"go\n")
        while True:
            ready, _, _ = select.select([self.cable, self.turns], [], [], PATIENCE_S)
            if self.cable in ready:
                data = self.cable.recv(1 << 20)
                if not data:
                    raise BenchError("the guest's machine has ended")
                self.into += data
            elif self.turns in ready:
                if not self.turns.recv(64):
                    raise BenchError("the guest's machine has ended")
                break
            else:
                raise BenchError(f"the guest did not sleep within {PATIENCE_S} s")
        self.hear()

    def hear(self):
        at = 0
        while len(self.into) - at >= 4:
            (size,) = struct.unpack_from(">I", self.into, at)
            if len(self.into) - at - 4 < size:
                break
            self.frame_heard(bytes(self.into[at + 4:at + 4 + size]))
            at += 4 + size
        del self.into[:at]

    def frame_heard(self, frame):
        (kind,) = struct.unpack_from(">H", frame, 12)
        if kind == ARP and frame[20:22] == b"\0\1" and frame[38:42] == OURS:
            self.frame(ARP, frame[14:20] + b"\0\2" + OUR_MAC + OURS + frame[22:32])
        elif kind == IPV4 and frame[23] == TCP:
            packet = frame[14:14 + struct.unpack_from(">H", frame, 16)[0]]
            segment = packet[(packet[0] & 15) * 4:]
            port, local, sequence, _, offset, flags = struct.unpack_from(">HHIIBB", segment)
            connection = self.connections.get(local)
            if connection and connection.port == port:
                connection.heard(sequence, flags, segment[(offset >> 4) * 4:])

    def connect(self, port, count):
        """So many connections, one after the other."""
        made = []
        for _ in range(count):
            connection = Connection(self, len(self.connections), port)
            self.connections[connection.local] = connection
            for _ in range(TURNS_MAX):
                self.turn()
                if connection.open:
                    break
            else:
                raise BenchError(f"port {port}: no answer")
            made.append(connection)
        return made

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for one in filter(None, (self.cable, self.turns, self.listener)):
            one.close()
        self.folder.cleanup()
