"""The servers that are measured, each on core 0, and the client on core 1. Loopback only.

A station has `port`, `pids` and `stop()`. All of them answer the very bytes that Mingpai gave for the first record: nginx adds
`Server` and `Connection`, hyper writes `Date` and `Content-Length` itself, and that is all the difference.
"""

import json
import os
import shutil
import socket
import subprocess
import time

SERVER_CORE, CLIENT_CORE = 0, 1
# What a client may take beyond the seconds that it measures.
CLIENT_SECONDS = 60
# Names of one file; ext4 allows 65,000.
LINKS = 50_000


def on(core, *command):
    return ["taskset", "-c", str(core), *map(str, command)]


def raw_answer(port, path):
    """Head and body as they come over the wire."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n".encode())
        answer = b""
        while True:
            piece = connection.recv(65536)
            answer += piece
            head, end, body = answer.partition(b"\r\n\r\n")
            if end:
                length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
                if len(body) >= int(length.split(b":")[1]):
                    return answer
            if not piece:
                raise SystemExit(f"port {port} closed the connection before its answer was complete")


class Station:
    """A peer: started, awaited, and stopped by its own process alone."""

    def __init__(self, port, command, log):
        self.port = port
        with open(log, "wb") as file:
            self.process = subprocess.Popen(on(SERVER_CORE, *command), stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        for _ in range(100):
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        self.stop()
        with open(log, encoding="utf-8", errors="replace") as file:
            raise SystemExit(f"{command[0]} did not start:\n{file.read()}")

    @property
    def pids(self):
        return [self.process.pid, *children(self.process.pid)]

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=10)


def children(pid):
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8") as file:
                # The second field after the name, which may hold blanks and parentheses itself.
                if int(file.read().rpartition(") ")[2].split()[1]) == pid:
                    found.append(int(name))
        except OSError:
            continue
    return found


def nginx(folder, port, answer, paths=None):
    """`return 200`; or, given paths of one folder, static files of one content. Debian's defaults otherwise."""
    os.makedirs(folder)
    head, _, body = answer.partition(b"\r\n\r\n")
    headers = [line.split(": ", 1) for line in head.decode().split("\r\n")[1:]]
    own = ("content-type", "content-length", "date", "etag" if paths else "")
    added = "\n".join(f"add_header {name} '{value}';" for name, value in headers if name.lower() not in own)
    if paths:
        os.makedirs(f"{folder}/root{os.path.dirname(paths[0])}")
        for at, path in enumerate(paths):
            file = f"{folder}/body-{at // LINKS}"
            if at % LINKS == 0:
                with open(file, "wb") as new:
                    new.write(body)
            os.link(file, f"{folder}/root{path}")
        place = f"root {folder}/root;"
    else:
        escaped = body.decode().replace("\\", "\\\\").replace("'", "\\'").replace("$", "${dollar}")
        place = f"return 200 '{escaped}';"
    with open(f"{folder}/nginx.conf", "w", encoding="utf-8") as file:
        file.write(
            f"worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;\n"
            f"{'user root;' if os.geteuid() == 0 else ''}\n"
            "events { worker_connections 1024; }\n"
            "http { access_log off; keepalive_requests 1000000000; default_type application/json;\n"
            "sendfile on; tcp_nopush on; types {} geo $dollar { default '$'; }\n"
            f"server {{ listen 127.0.0.1:{port}; location / {{ {added}\n{place} }} }} }}\n"
        )
    return Station(port, ["nginx", "-c", f"{folder}/nginx.conf", "-p", folder], f"{folder}/log")


def redis(folder, port):
    """One that keeps what it has acknowledged, as a registration does."""
    os.makedirs(folder)
    keeps = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
    return Station(port, ["redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", folder, *keeps], f"{folder}/log")


def redis_benchmark(port, *options):
    """Requests a second and p99 in ms, as redis-benchmark tells them."""
    command = on(CLIENT_CORE, "redis-benchmark", "-h", "127.0.0.1", "-p", port, "-c", 64, *options, "--csv")
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=CLIENT_SECONDS * 2).stdout
    names, values = (line.replace('"', "").split(",") for line in told.strip().splitlines()[-2:])
    told = dict(zip(names, values))
    return float(told["rps"]), float(told["p99_latency_ms"])


def wrk(port, path, seconds):
    command = on(CLIENT_CORE, "wrk", "-t1", "-c64", f"-d{seconds}s", f"http://127.0.0.1:{port}{path}")
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=CLIENT_SECONDS).stdout
    if "Non-2xx" in told or "Socket errors" in told:
        raise SystemExit(told)
    return float(next(line.split()[1] for line in told.splitlines() if line.startswith("Requests/sec:")))


def load(program, port, pids, seconds, streams, warm_seconds=1, seed=0):
    """Runs benches/peers/load and gives its report. What it counted as bad is for the caller to judge."""
    plan = {"address": f"127.0.0.1:{port}", "seconds": seconds, "warm_seconds": warm_seconds, "pids": pids}
    plan |= {"streams": streams, "seed": seed}
    ran = subprocess.run(
        on(CLIENT_CORE, program, "-"), input=json.dumps(plan), capture_output=True, text=True, timeout=seconds + CLIENT_SECONDS
    )
    if not ran.stdout:
        raise SystemExit(f"the client failed: {ran.stderr}")
    return json.loads(ran.stdout)


def install():
    """The peers, from Debian, where they are not here yet."""
    needed = ("nginx", "wrk", "redis-server", "redis-benchmark", "taskset")
    if all(map(shutil.which, needed)):
        return
    quiet = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, "check": True}
    subprocess.run(["apt-get", "update", "-qq"], timeout=300, **quiet)
    packages = ["nginx-light", "wrk", "redis-server", "redis-tools", "util-linux"]
    subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], timeout=600, **quiet)

