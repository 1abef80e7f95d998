"""httpd.py: what does a request for a file of 128 bytes cost, in instructions of kernel, firmware and
program together, and how much of what it costs nginx on Linux in the same emulator?

Same client, same counting plugin, same connections; each connection is kept alive and has one request
under way, or DEPTH in one send. Polling for nothing is taken out of Sluice's and is a row of its own.
httpd opens, asks, reads and closes the file for each request. nginx is the distribution's, tuned: one
worker, no access log, sendfile, connections kept for ever; once as it comes, and once with its cache of
open files, which saves it the same calls.
"""
import glob
import os

from measure import BenchError, Client, shown
from peer import packages

PORT = 80
NAME = "128.txt"
FILE = os.path.join("apps", "httpd", "www", NAME)
DEPTH = 16
# (connections, requests in one send)
RUNS = tuple((connections, depth) for depth in (1, DEPTH) for connections in (1, 16, 200))
PARAMS = {run: f"{run[0]}x{run[1]}" if run[1] > 1 else str(run[0]) for run in RUNS}
REQUESTS = 6400
REPETITIONS = 3
RATIO_MAX = 0.3

NGINX = """
user root root; daemon off; worker_processes 1; error_log stderr crit; pid /tmp/nginx.pid;
events { worker_connections 1024; }
http {
	access_log off; sendfile on; tcp_nodelay on;
	keepalive_timeout 86400; keepalive_requests 1000000000;
	types { text/plain txt; }
	%s
	server { listen 80 backlog=511; root /www; }
}
"""
CACHE = "open_file_cache max=100 inactive=86400s; open_file_cache_valid 86400s;"
SCRIPT = """
mkdir -p /var/lib/nginx /var/log/nginx
LD_LIBRARY_PATH=/lib nginx -c /etc/nginx.conf &
until wget -q -O /dev/null http://127.0.0.1/%s; do sleep 1; done
echo "nginx: ready"
sleep 86400
""" % NAME
LIBRARIES = {"libc": ("ld-linux-riscv64-lp64d.so.1", "libc.so.6"), "pcre2": ("libpcre2-8.so.0",),
             "zlib": ("libz.so.1",), "ssl": ("libssl.so.3", "libcrypto.so.3"),
             "crypt": ("libcrypt.so.1",), "zstd": ("libzstd.so.1",)}


def find(package, name):
    found = glob.glob(os.path.join(packages.folder_of(package), "**", name), recursive=True)
    if not found:
        raise BenchError(f"the peer's {package} has no {name}: make peer brings it.")
    return found[0]


def nginx(bench, cache):
    files = {"lib/" + name: find(package, name)
             for package, names in LIBRARIES.items() for name in names}
    files.update({"bin/nginx": find("nginx", "sbin/nginx"), "www/" + NAME: FILE,
                  "etc/passwd": b"root:x:0:0:root:/:/bin/sh\n", "etc/group": b"root:x:0:\n",
                  "etc/nginx.conf": (NGINX % (CACHE if cache else "")).encode()})
    return bench.peer(SCRIPT, smp=1, plugin=True, files=files, ports={PORT: 0})


def window(guest, connections, depth):
    with Client("http_client", guest.ports[PORT], connections, REQUESTS, depth, NAME, FILE) as client:
        return client.window(guest)


def medians(bench, guest, prefix):
    """Measures one server: {param: instructions per request}."""
    found = {}
    for (connections, depth), param in PARAMS.items():
        parts = [window(guest, connections, depth) for _ in range(REPETITIONS)]
        kernel = [part.kernel() / REQUESTS for part in parts]
        user = [(part.sum("user") - part.sum("idle_user")) / REQUESTS for part in parts]
        bench.figure(prefix + "_kernel_insn", param, kernel, "instructions/request")
        bench.figure(prefix + "_user_insn", param, user, "instructions/request")
        found[param] = bench.figure(prefix + "_insn", param, [k + u for k, u in zip(kernel, user)],
                                    "instructions/request").value
        if prefix == "http":
            bench.figure("http_idle_insn", param, [part.polled() / REQUESTS for part in parts],
                         "instructions/request", "polling for nothing")
    return found


def measure(bench):
    with bench.guest(run="@1 /bin/httpd 80 /www", plugin=True, stay=True, ports={PORT: 0}) as guest:
        guest.wait_for("^httpd: ready", 60)
        ours = medians(bench, guest, "http")
        guest.stop()
    if not os.path.exists(packages.folder_of("nginx")):
        bench.say("nginx is not here, so there is no ratio: make peer brings it")
        return
    for cache, prefix in ((False, "nginx"), (True, "nginx_cached")):
        with nginx(bench, cache) as guest:
            guest.wait_for("^nginx: ready", 120)
            theirs = medians(bench, guest, prefix)
        for param, value in ours.items():
            bench.figure(f"http_of_{prefix}", param, [value / theirs[param]], "ratio",
                         f"{shown(value)} of {shown(theirs[param])}")
