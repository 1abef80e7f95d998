#!/usr/bin/env python3
"""Does httpd speak HTTP/1.1 to a client that takes it at its word? Requests are kept alive,
pipelined, split into single bytes, malformed, oversized and aimed outside the root; 100 connections
are there at once; one that reads nothing holds nobody up; wrk, where it is installed, finds no
error.

QEMU's forwarded ports have a listen backlog of 1: connections are opened one after the other, and
one counts as open when its first answer came back.
"""
import os
import re
import selectors
import shutil
import socket
import subprocess

import conf
import servers
from servers import dial, expect

HTTP = 80
WWW = os.path.join("apps", "httpd", "www")
HOST = b"Host: guest\r\n"


def page(name):
    with open(os.path.join(WWW, name), "rb") as data:
        return data.read()


def config(harts):
    chosen = conf.choose(harts, "httpd.conf" if harts == 3 else None)
    hart = "@1 " if harts == 3 else ""
    chosen.set("run", f"{hart}/bin/httpd 80 /www")
    chosen.check()
    return chosen


class Client:
    def __init__(self, vm):
        self.socket = dial(vm.ports[HTTP])
        self.bytes = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def ask(self, path, method="GET", fields=b"", version="HTTP/1.1"):
        self.send(f"{method} {path} {version}\r\n".encode() + HOST + fields + b"\r\n")
        return self.answer(method == "HEAD")

    def more(self):
        piece = self.socket.recv(65536)
        self.bytes += piece
        return piece

    def answer(self, head=False):
        """(status, {name: value}, body): one whole answer, not a byte more."""
        while b"\r\n\r\n" not in self.bytes:
            expect(self.more(), f"the connection ended within an answer's head: {self.bytes!r}")
        text, self.bytes = self.bytes.split(b"\r\n\r\n", 1)
        lines = text.decode("ascii").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.1 (\d{3}) [A-Z].*", lines[0])
        expect(match, f"{lines[0]!r} is not a status line")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:])
        size = 0 if head else int(fields["content-length"])
        while len(self.bytes) < size:
            expect(self.more(), f"the connection ended within a body of {size} bytes")
        body, self.bytes = self.bytes[:size], self.bytes[size:]
        return int(match[1]), fields, body

    def expect_end(self):
        expect(not self.bytes and not self.more(),
               f"more than the last answer came: {self.bytes!r}")


def expect_page(answer, name, kind):
    status, fields, body = answer
    expect(status == 200, f"{name} was answered with {status}")
    expect(body == page(name), f"{name} has other bytes than its file")
    expect(fields["content-type"].startswith(kind), f"{name} is {fields['content-type']}")


def raw(vm, data, status):
    """One connection: `data`, its answer with `status`, and the end."""
    with Client(vm) as client:
        client.send(data)
        found, fields, body = client.answer()
        expect(found == status, f"{data[:60]!r} was answered with {found}, not {status}")
        expect(fields.get("connection") == "close", f"{data[:60]!r}: the end was not announced")
        expect(str(status).encode() in body, f"the body of a {status} is {body!r}")
        client.expect_end()


def pages(vm):
    with Client(vm) as client:
        for _ in range(20):
            expect_page(client.ask("/"), "index.html", "text/html")
            expect_page(client.ask("/128.txt?x=/../y"), "128.txt", "text/plain")
        expect_page(client.ask("/%31%32%38.txt"), "128.txt", "text/plain")
        expect_page(client.ask("http://guest/128.txt"), "128.txt", "text/plain")
        expect_page(client.ask("http://guest"), "index.html", "text/html")
        date = client.ask("/")[1].get("date", "")
        expect(re.fullmatch(r"(mon|tue|wed|thu|fri|sat|sun), \d\d [a-z]{3} 20\d\d "
                            r"\d\d:\d\d:\d\d gmt", date), f"the date is {date!r}")
        expect_page(client.ask("/", fields=b"Connection: x, Close\r\n"), "index.html", "text/html")
        client.expect_end()


def old_clients(vm):
    with Client(vm) as client:
        answer = client.ask("/", fields=b"Connection: keep-alive\r\n", version="HTTP/1.0")
        expect(answer[1].get("connection") == "keep-alive", "1.0 with keep-alive was not heard")
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        expect_page(client.answer(), "index.html", "text/html")
        client.expect_end()


def head_only(vm):
    with Client(vm) as client:
        status, fields, _ = client.ask("/128.txt", "HEAD")
        expect((status, fields["content-length"]) == (200, "128"), f"HEAD: {status} {fields}")
        expect(client.ask("/none", "HEAD")[0] == 404, "HEAD of nothing")
        expect_page(client.ask("/128.txt"), "128.txt", "text/plain")


def refusals(vm):
    with Client(vm) as client:
        for path in ("/none", "/128.txt/x", "/index.htm", "/%ff", "/.", "/" + "a" * 900):
            expect(client.ask(path)[0] == 404, f"{path[:20]} is not a 404")
        status, fields, _ = client.ask("/", "POST", b"Content-Length: 0\r\n")
        expect((status, fields.get("allow")) == (405, "get, head"), f"POST: {status} {fields}")
        expect(client.ask("/" + "a" * 2000)[0] == 414, "a path of 2000 bytes is not a 414")
        expect_page(client.ask("/"), "index.html", "text/html")
    raw(vm, b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello", 405)
    raw(vm, b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello", 400)
    raw(vm, b"GET / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)
    raw(vm, b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414)
    raw(vm, b"G" * 20000, 414)
    raw(vm, b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 2000 + b"\r\n", 431)
    raw(vm, b"GET / HTTP/1.1\r\nX: " + b"y" * 20000, 431)
    raw(vm, b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505)


def traversal(vm):
    for path in (b"/../bin/httpd", b"/..", b"/a/../../bin/httpd", b"/%2e%2e/bin/httpd",
                 b"/..%2fbin/httpd", b"/.%2E%2Fbin%2Fhttpd", b"http://guest/../bin/httpd"):
        raw(vm, b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n", 400)


def malformed(vm):
    line = b"GET / HTTP/1.1\r\n"
    for data in (b"GET\r\n\r\n", b"GET /\r\n\r\n", b"GET  / HTTP/1.1\r\n\r\n",
                 b"\x00\x01\x02\r\n\r\n",
                 b"GET / HTTP/1.1 \r\n\r\n", b"GET / http/1.1\r\n\r\n", b"GET / HTTP/11\r\n\r\n",
                 b"G T / HTTP/1.1\r\n\r\n", b"G@T / HTTP/1.1\r\n\r\n", b"GET x HTTP/1.1\r\n\r\n",
                 b"GET / HTTP/1.1\nHost: a\n\n", b"GET /%0 HTTP/1.1\r\n" + HOST + b"\r\n",
                 b"GET /%00 HTTP/1.1\r\n" + HOST + b"\r\n",
                 b"GET /%zz HTTP/1.1\r\n" + HOST + b"\r\n",
                 line + b"\r\n", line + HOST + HOST + b"\r\n", line + HOST + b"no colon\r\n\r\n",
                 line + HOST + b"X : y\r\n\r\n", line + HOST + b" folded: y\r\n\r\n",
                 line + HOST + b": y\r\n\r\n", line + HOST + b"X: a\rb\r\n\r\n",
                 line + HOST + b"X: a\x00b\r\n\r\n", line + HOST + b"Content-Length: -1\r\n\r\n",
                 line + HOST + b"Content-Length:\r\n\r\n", line + HOST + b"X: y\nZ: a\r\n\r\n"):
        raw(vm, data, 400)
    with Client(vm) as client:  # what was asked before is answered before
        client.send(line + HOST + b"\r\nnonsense\r\n\r\n" + line + HOST + b"\r\n")
        expect_page(client.answer(), "index.html", "text/html")
        expect(client.answer()[0] == 400, "nonsense behind a request is not a 400")
        client.expect_end()
    with Client(vm) as client:  # an end in the middle of a head
        client.send(line[:7])
        client.socket.shutdown(socket.SHUT_WR)
        client.expect_end()


def pipelines(vm):
    one = b"GET /128.txt HTTP/1.1\r\n" + HOST + b"\r\n"
    with Client(vm) as client:
        client.send(one * 50)
        for _ in range(50):
            expect_page(client.answer(), "128.txt", "text/plain")
        client.send((one + b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\nGET /no HTTP/1.1\r\n" + HOST +
                     b"\r\n") * 200)
        for _ in range(200):
            expect_page(client.answer(), "128.txt", "text/plain")
            expect(client.answer(True)[0] == 200, "HEAD within a pipeline")
            expect(client.answer()[0] == 404, "a 404 within a pipeline")
        # the last one of a connection is the last that is answered, also when it is not last
        client.send(one + one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + one * 3)
        client.answer()
        client.answer()
        client.expect_end()


def single_bytes(vm):
    with Client(vm) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for name, kind in (("128.txt", "text/plain"), ("index.html", "text/html")):
            for byte in b"\r\nGET /%b HTTP/1.1\r\n" % name.encode() + HOST + b"\r\n":
                client.send(bytes([byte]))
            expect_page(client.answer(), name, kind)
        expect(not client.bytes, "bytes behind the answer")


def crowd(vm):
    clients = []
    try:
        for _ in range(100):
            clients.append(Client(vm))
            expect_page(clients[-1].ask("/"), "index.html", "text/html")
        for _ in range(3):
            for client in clients:
                client.send(b"GET /128.txt HTTP/1.1\r\n" + HOST + b"\r\n")
            for client in clients:
                expect_page(client.answer(), "128.txt", "text/plain")
    finally:
        for client in clients:
            client.socket.close()


def slow_client(vm):
    """A pipeline nobody reads the answers of, and half a request: others are served meanwhile."""
    one = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
    with Client(vm) as slow, Client(vm) as half, Client(vm) as client:
        half.send(one[:10])
        slow.socket.setblocking(False)
        sent = 0
        with selectors.DefaultSelector() as waiter:
            waiter.register(slow.socket, selectors.EVENT_WRITE)
            while waiter.select(2):  # seconds without progress: it is held back
                sent += slow.socket.send((one * 2000)[sent % len(one):])
                expect(sent < 64 << 20, "64 MiB were taken from a client that reads nothing")
        for _ in range(20):
            expect_page(client.ask("/128.txt"), "128.txt", "text/plain")
        half.send(one[10:])
        expect_page(half.answer(), "index.html", "text/html")


def wrk(vm):
    if not shutil.which("wrk"):
        print("# wrk is not installed: the test with it is left out")
        return
    url = f"http://127.0.0.1:{vm.ports[HTTP]}/128.txt"
    said = subprocess.run(["wrk", "-t1", "-c16", "-d2s", url], stdout=subprocess.PIPE,
                          timeout=servers.STEP, check=False, text=True)
    print("# " + " ".join(re.findall(r"Requests/sec.*|\d+ requests in.*", said.stdout)))
    expect(said.returncode == 0, f"wrk ended with status {said.returncode}")
    expect(int(re.search(r"(\d+) requests in", said.stdout)[1]) > 0, "wrk got no answer")
    expect("Non-2xx" not in said.stdout and "Socket errors" not in said.stdout,
           "wrk found errors: " + " ".join(said.stdout.split()))


if __name__ == "__main__":
    servers.run({
        "pages": pages,
        "HTTP/1.0": old_clients,
        "HEAD": head_only,
        "refusals": refusals,
        "traversal": traversal,
        "malformed requests": malformed,
        "pipelines": pipelines,
        "single bytes": single_bytes,
        "100 at once": crowd,
        "a slow client": slow_client,
        "wrk": wrk,
        "pages again": pages,
    }, config=config, names=("httpd",), ports={HTTP: 0})
