"""Single registrations and cached resolutions while an import runs, against the same without one, in turns.

usage: beside-import.py [ROUNDS [ROWS]]     (by default 3 rounds, imports of 400,000 rows; needs target/release/mingpai)

One client registers a hundred records a second, another resolves two hundred times a second, each on one connection. A time
counts from the moment at which the request was due, so that a late one does not hide those behind it. Loopback only; what is
printed goes to benches/results/beside-import.txt too.
"""

import http.client
import json
import multiprocessing
import os
import sys
import tempfile
import time

from node import PORT, VALUES, Node, rows_of

RESOLVED = "/v1/resolve/88.999.1/NEV-VEH-2026-000003"


def paced(kind, name, every, token, stop, out):
    """Sends a request whenever one is due, until told to stop; gives the milliseconds that each took."""
    body = json.dumps({"values": VALUES}).encode()
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", PORT)
    took, due, at = [], time.perf_counter(), 0
    while not stop.is_set():
        time.sleep(max(0, due - time.perf_counter()))
        if kind == "register":
            connection.request("PUT", f"/v1/records/88.999.1/{name}-{at}", body, headers)
        else:
            connection.request("GET", RESOLVED)
        answer = connection.getresponse()
        answer.read()
        if answer.status not in (200, 201):
            raise SystemExit(f"{kind}: status {answer.status}")
        took.append((time.perf_counter() - due) * 1000)
        due, at = due + every, at + 1
    out.put((kind, took))


def measured(name, token, work):
    """The times of both clients while `work` runs."""
    context = multiprocessing.get_context("fork")
    stop, out = context.Event(), context.Queue()
    kinds = [("register", 0.01), ("resolve", 0.005)]
    clients = [context.Process(target=paced, args=(kind, name, every, token, stop, out)) for kind, every in kinds]
    for client in clients:
        client.start()
    told = work()
    stop.set()
    times = dict(out.get(timeout=60) for _ in clients)
    for client in clients:
        client.join()
    return times, told


def quantile(times, share):
    times = sorted(times)
    return times[min(len(times) - 1, int(len(times) * share))]


def main():
    rounds, count = (int(text) for text in (sys.argv[1:] + ["3", "400000"][len(sys.argv) - 1 :])[:2])
    lines = []

    def say(line):
        print(line, flush=True)
        lines.append(line)

    with tempfile.TemporaryDirectory() as folder:
        node = Node("target/release/mingpai", f"{folder}/node")
        try:
            token = node.token
            uploads = []
            for at in range(rounds):
                uploads.append("".join(rows_of(f"I{at}-", count)).encode())

            def imported(upload):
                started = time.time()
                job = node.call("POST", "/v1/imports", upload, "application/x-ndjson")
                while job["state"] == "running":
                    time.sleep(0.1)
                    job = node.call("GET", f"/v1/imports/{job['id']}")
                if job["state"] != "done" or job["rows"]["registered"] != count:
                    raise SystemExit(f"the import ended otherwise: {job}")
                return count / (time.time() - started)

            say(f"# {time.strftime('%F', time.gmtime())} {os.cpu_count()} cores; {count} rows an import")
            ratios = {"register": [], "resolve": []}
            for at in range(rounds):
                alone, _ = measured(f"A{at}", token, lambda: time.sleep(10))
                beside, rate = measured(f"B{at}", token, lambda: imported(uploads[at]))
                say(f"round {at + 1}: import at {rate:.0f} rows/s (uploaded over HTTP, beside both clients)")
                for kind in ratios:
                    p99 = [quantile(times[kind], 0.99) for times in (alone, beside)]
                    p50 = [quantile(times[kind], 0.5) for times in (alone, beside)]
                    ratios[kind].append(p99[1] / p99[0])
                    say(
                        f"  {kind}: alone p50 {p50[0]:.2f} ms, p99 {p99[0]:.2f} ms ({len(alone[kind])});"
                        f" beside the import p50 {p50[1]:.2f} ms, p99 {p99[1]:.2f} ms ({len(beside[kind])});"
                        f" p99 {ratios[kind][-1]:.2f}x"
                    )
            for kind, all_rounds in ratios.items():
                say(f"{kind}: p99 beside an import against alone, median of {rounds}: {quantile(all_rounds, 0.5):.2f}x")
        finally:
            node.stop()
    with open("benches/results/beside-import.txt", "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


main()
