#!/usr/bin/env python3
"""Is libasync a library that a stranger on Linux can use? Its servers serve over the host's own
io_uring, whatever kind of ring they are given; it says why when it gets none; a staged install is
complete, its manual pages are in order, a program outside this tree is built with nothing but what
pkg-config says, and uninstall takes away what install put and nothing else.
"""
import contextlib
import ctypes
import glob
import os
import re
import resource
import shutil
import struct
import subprocess
import tempfile

import servers
import test
from servers import dial, expect, receive

APPS = os.path.join(test.LINUX_BUILD, "apps")
PREFIX = "/opt/async"
CONNECTIONS = 60


def run(*command, **options):
    return subprocess.run(command, timeout=servers.STEP, text=True, capture_output=True, **options)


# ---- the servers --------------------------------------------------------------------------------


@contextlib.contextmanager
def server(name, *arguments, ring=""):
    """A server of this tree as a program of this host, from its word "ready" on."""
    process = subprocess.Popen([os.path.join(APPS, name), *arguments], stdout=subprocess.PIPE,
                               text=True, env=dict(os.environ, LIBASYNC_RING=ring))
    try:
        said = ""
        while not said.endswith(f"{name}: ready\n"):
            line = process.stdout.readline()
            expect(line, f"{name} ended before it was ready: {said}")
            said += line
        yield process
        expect(process.poll() is None, f"{name} ended by itself: {process.returncode}")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def echo(ring):
    port = str(test.free_ports())
    with server("echod", port, ring=ring):
        clients = [dial(int(port)) for _ in range(CONNECTIONS)]
        for size in (1, 64, 5000, 200000):
            for number, client in enumerate(clients[: 4 if size > 5000 else None]):
                client.sendall(bytes([number]) * size)
                expect(receive(client, size) == bytes([number]) * size, f"{size} bytes came back changed")
        for client in clients:
            client.close()
        with dial(int(port)) as client:  # what the others left does not matter to a new one
            client.sendall(b"again")
            expect(receive(client, 5) == b"again", "no echo after the others went")


def pages():
    port = str(test.free_ports())
    folder = os.path.abspath(os.path.join("apps", "httpd", "www"))
    with server("httpd", port, folder), dial(int(port)) as client:
        with open(os.path.join(folder, "index.html"), "rb") as data:
            wanted = data.read()
        client.sendall(b"GET /index.html HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        answer = b""
        while part := client.recv(65536):
            answer += part
        expect(answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(wanted), "not the page")


def exports():
    port = str(test.free_ports())
    disk = os.path.abspath(servers.scratch("linux.img", size=4 << 20))
    with server("nbdd", port, disk, "ram:1M"):
        for place in ("ram", "disk"):
            done = run("qemu-io", "-f", "raw", "-c", "write -P 7 4k 64k", "-c", "flush",
                       "-c", "read -P 7 4k 64k", f"nbd://127.0.0.1:{port}/{place}")
            expect(done.returncode == 0 and "fail" not in done.stdout, done.stdout + done.stderr)
    with open(disk, "rb") as data:
        expect(data.read()[4096:4096 + 65536] == b"\7" * 65536, "the file was not written")


def forbid():
    """From now on io_uring_setup answers EPERM to this process: a filter of four instructions."""
    code = [(0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7fff0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in code))
    program = struct.pack("@HP", 4, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program):
        raise OSError(ctypes.get_errno(), "no filter")


def refusals():
    hello = os.path.join(APPS, "hello")
    done = run(hello, preexec_fn=forbid)
    expect(done.returncode == 127 and "EPERM" in done.stderr, f"forbidden: {done}")
    done = run(hello, env={"LIBASYNC_RING": "nonsense"})
    expect(done.returncode == 127 and "LIBASYNC_RING" in done.stderr, f"nonsense: {done}")
    done = run(hello, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3)))
    expect(done.returncode == 127 and "EMFILE" in done.stderr, f"no descriptor left: {done}")


# ---- the install --------------------------------------------------------------------------------


def make(*words):
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = run("make", *words, env=environment)
    expect(done.returncode == 0, f"make {words[0]}: {done.stdout}{done.stderr}")
    return done.stdout


def headers_alone(stage, flags):
    """Each of the two headers a program names compiles as the first line of a file, beside the C
    library's own."""
    for header in ("async.h", "ring.h"):
        for order in ("#include <{}>\n#include <stdlib.h>\n#include <unistd.h>\n#include <errno.h>\n",
                      "#include <time.h>\n#include <stdio.h>\n#include <errno.h>\n#include <{}>\n"):
            done = run("gcc", "-Wall", "-Werror", "-x", "c", "-c", "-", "-o", "/dev/null", *flags,
                       input=order.format(header))
            expect(done.returncode == 0, done.stderr)


def manual(stage):
    top = os.path.join(stage + PREFIX, "share", "man")
    found = glob.glob(os.path.join(top, "man*", "*"))
    whole = [page for page in found if os.path.getsize(page) > 200]
    done = run("mandoc", "-Tlint", "-Wwarning", *whole)
    expect(done.returncode == 0, done.stdout)
    with open(os.path.join("libasync", "async.h"), encoding="utf-8") as text:
        calls = set(re.findall(r"^(?:/\* )?(?:[a-z]\w* )+\**(async_\w+)\(", text.read(), re.M))
    expect(len(calls) > 80, f"only {len(calls)} calls in async.h")
    for call in calls:
        expect(os.path.exists(os.path.join(top, "man3", call + ".3")), f"no page for {call}")
        done = run("mandoc", "-Tutf8", os.path.join(top, "man3", call + ".3"), cwd=top)
        shown = re.sub(".\b", "", done.stdout)  # bold is a letter struck twice
        expect(done.returncode == 0 and call in shown, f"{call} is not on its page")


def example(stage, flags):
    with tempfile.TemporaryDirectory() as outside:
        folder = os.path.join(outside, "lines")
        shutil.copytree(os.path.join("examples", "lines"), folder)
        make("-C", folder, "CFLAGS=-Wall -Wextra -Werror -O2 " + " ".join(flags))
        words = [os.path.join("..", "lines", "lines.c"), "Makefile"]
        if test.linux_refusal():
            return
        said = run("./lines", *words, cwd=folder)
        counts = run("wc", "-l", *words, cwd=folder)
        expect(said.stdout.split() == counts.stdout.split(), f"{said.stdout} is not {counts.stdout}")
        expect(run("./lines", "nothing", cwd=folder).returncode == 1, "a missing file is no error")


def install():
    with tempfile.TemporaryDirectory() as stage:
        where = (f"DESTDIR={stage}", f"PREFIX={PREFIX}")
        make("install", *where)
        os.environ["PKG_CONFIG_PATH"] = os.path.join(stage + PREFIX, "lib", "pkgconfig")
        os.environ["PKG_CONFIG_SYSROOT_DIR"] = stage
        flags = run("pkg-config", "--cflags", "libasync").stdout.split()
        expect("-DASYNC_LINUX" in flags, f"pkg-config says {flags}")
        headers_alone(stage, flags)
        manual(stage)
        example(stage, flags)
        stranger = os.path.join(stage + PREFIX, "include", "libasync", "stranger.h")
        with open(stranger, "w", encoding="utf-8"):
            pass
        make("install", *where)  # once more: nothing changes
        make("uninstall", *where)
        left = [path for path in glob.glob(stage + PREFIX + "/**", recursive=True) if os.path.isfile(path)]
        expect(left == [stranger], f"left behind: {left}")
        folders = [path for path, _, _ in os.walk(stage + PREFIX)]
        expect(len(folders) == 3, f"folders left behind: {folders}")


def main():
    parts = {"httpd": pages, "nbdd": exports, "refusals": refusals}
    parts.update({f"echod, {ring}": lambda ring=ring: echo(ring)
                  for ring in ("defer", "coop", "plain", "sqpoll")})
    refusal = test.linux_refusal()
    if refusal:
        print(f"linux: only the install is tried: io_uring_setup answers {refusal} on this host", flush=True)
        parts = {}
    parts["install"] = install
    for name, part in parts.items():
        try:
            part()
            print(f"ok {name}", flush=True)
        except (servers.Wrong, OSError, subprocess.SubprocessError) as error:
            print(f"FAIL {name}: {' '.join(str(error).split())}", flush=True)


if __name__ == "__main__":
    main()
