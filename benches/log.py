"""What the log costs: an answer with its proof against one with its entry, and an import with the trees against one without.

usage: log.py [ROUNDS [ROWS [PROGRAM-WITHOUT-TREES]]]     (by default 5 rounds, 400,000 rows; needs target/release/mingpai and wrk)

Each in turns with the other. The program without trees is one built from before they were there; without it only proofs are
measured. Loopback only; what is printed goes to benches/results/log.txt too.
"""

import os
import re
import subprocess
import sys
import tempfile
import time

from node import PORT, Node, rows_of

RESOLVED = f"http://127.0.0.1:{PORT}/v1/resolve/88.999.1/NEV-VEH-2026-000003"


def imported(program, upload, count):
    """Rows a second of an import alone, upload included."""
    with tempfile.TemporaryDirectory() as folder:
        node = Node(program, f"{folder}/node")
        try:
            started = time.time()
            job = node.call("POST", "/v1/imports", upload, "application/x-ndjson")
            while job["state"] == "running":
                time.sleep(0.05)
                job = node.call("GET", f"/v1/imports/{job['id']}")
            took = time.time() - started
            if job["state"] != "done" or job["rows"]["registered"] != count:
                raise SystemExit(f"the import ended otherwise: {job}")
            return count / took
        finally:
            node.stop()


def rate(question):
    told = subprocess.run(
        ["wrk", "-t1", "-c4", "-d4s", f"{RESOLVED}?{question}"], capture_output=True, text=True, check=True
    ).stdout
    if "Non-2xx" in told:
        raise SystemExit(told)
    return float(re.search(r"Requests/sec:\s+([0-9.]+)", told).group(1))


def median(figures):
    return sorted(figures)[len(figures) // 2]


def main():
    rounds, count = (int(text) for text in (sys.argv[1:3] + ["5", "400000"][len(sys.argv[1:3]) :]))
    without = sys.argv[3] if len(sys.argv) > 3 else None
    lines = []

    def say(line):
        print(line, flush=True)
        lines.append(line)

    say(f"# {time.strftime('%F', time.gmtime())} {os.cpu_count()} cores; load average {' '.join(open('/proc/loadavg').read().split()[:3])}")
    with tempfile.TemporaryDirectory() as folder:
        node = Node("target/release/mingpai", f"{folder}/node")
        try:
            figures = {"entry=1": [], "proof=1": []}
            time.sleep(2)
            for _ in range(rounds):
                for question in figures:
                    figures[question].append(rate(question))
            for question, found in figures.items():
                say(f"resolve?{question}, requests/s: {' '.join(f'{one:.0f}' for one in found)}")
            ratio = median(figures["entry=1"]) / median(figures["proof=1"])
            say(f"the cost of an answer with its proof against one with its entry: {ratio:.2f}x (bar 2x)")
        finally:
            node.stop()
    if without:
        upload = "".join(rows_of("L", count)).encode()
        figures = {"with trees": [], "without": []}
        for _ in range(rounds):
            figures["with trees"].append(imported("target/release/mingpai", upload, count))
            figures["without"].append(imported(without, upload, count))
        for which, found in figures.items():
            say(f"import of {count} rows {which}, rows/s: {' '.join(f'{one:.0f}' for one in found)}")
        fall = 1 - median(figures["with trees"]) / median(figures["without"])
        say(f"an import is slower with the trees by {100 * fall:.1f} % (bar 15 %)")
    with open("benches/results/log.txt", "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


main()
