#!/usr/bin/env python3
"""How fast a mirror catches up, beside what the machine can verify at all.

usage: benches/mirror.py MINGPAI [RECORDS] [--cores LIST] [--origin-cores LIST]
       RECORDS: 1,000,000 by default. The lists are for taskset: give the origin and the mirror cores of their own where there are enough.

1. ring's rate: `mingpai bench verify`, one thread a core of the mirror's.
2. hashes only: `mingpai bench hashes URL`, every tile and entry of the log held against its signed head, no signature looked at.
3. a mirror of the log alone (no key): hashes and signatures, committed.
4. a mirror with a key: the same with disclosures and rows.
The raw numbers go to benches/results/mirror.txt. Loopback only; stops what it started.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results/mirror.txt"
PORT = 18431
URL = f"http://127.0.0.1:{PORT}"


def on(cores, command):
    return (["taskset", "-c", cores] if cores else []) + [str(part) for part in command]


def fetch(path):
    with urllib.request.urlopen(URL + path, timeout=10) as answer:
        return answer.read().decode()


def fill(program, folder, records, cores):
    rows = folder / "rows.ndjson"
    with rows.open("w") as file:
        for at in range(records):
            row = {"identifier": f"88.999.1/B-{at}", "values": [
                {"index": 1, "type": "名称", "data": f"轴承 {at}"}, {"index": 2, "type": "批次", "data": at % 977},
            ]}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    begun = time.monotonic()
    token = folder / "origin/dev-token"
    subprocess.run(on(cores, [program, "import", rows, "--server", URL, "--token-file", token]), check=True, stderr=subprocess.DEVNULL)
    rows.unlink()
    while int(fetch("/log/checkpoint").split("\n")[1]) <= records:
        time.sleep(0.2)
    return time.monotonic() - begun


def answer(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("program")
    arguments.add_argument("records", nargs="?", type=int, default=1_000_000)
    arguments.add_argument("--cores")
    arguments.add_argument("--origin-cores")
    asked = arguments.parse_args()
    program = Path(asked.program).resolve()
    lines = []

    def tell(line):
        print(line, flush=True)
        lines.append(line)

    with tempfile.TemporaryDirectory(prefix="mingpai-mirror-") as name:
        folder = Path(name)
        serve = [program, "serve", "--dev", "--data", folder / "origin", "--listen", f"127.0.0.1:{PORT}"]
        with (folder / "origin.log").open("w") as log:
            origin = subprocess.Popen(on(asked.origin_cores, serve), stdout=log, stderr=subprocess.STDOUT)
        try:
            while True:
                try:
                    fetch("/log/checkpoint")
                    break
                except OSError:
                    if origin.poll() is not None:
                        raise SystemExit((folder / "origin.log").read_text())
                    time.sleep(0.1)
            took = fill(program, folder, asked.records, asked.origin_cores)
            size = int(fetch("/log/checkpoint").split("\n")[1])
            vkey = fetch("/log/vkey").strip()
            tell(f"{time.strftime('%Y-%m-%d')}  {os.cpu_count()} cores, mirror on {asked.cores or 'all'}, origin on {asked.origin_cores or 'all'}; {size} statements (imported and covered in {took:.0f} s)")
            ring = answer(on(asked.cores, [program, "bench", "verify", "--json"]))
            tell(f"ring verifies      {ring['signatures_a_second']:>9} a second on {ring['threads']} threads ({ring['bytes']} bytes each)")
            hashes = answer(on(asked.cores, [program, "bench", "hashes", URL, "--vkey", vkey, "--json"]))
            tell(f"hashes only        {hashes['statements_a_second']:>9} a second ({hashes['seconds']:.1f} s)")
            for what, more in [("log alone", []), ("with a key", ["--token-file", folder / "origin/dev-token"])]:
                data = folder / what.replace(" ", "-")
                done = answer(on(asked.cores, [program, "mirror", URL, "--dev", "--once", "--json", "--data", data, "--vkey", vkey, *more]))
                share = done["statements_a_second"] / ring["signatures_a_second"]
                tell(f"mirror, {what:<10} {done['statements_a_second']:>9} a second ({done['seconds']:.1f} s), {share:.2f} of ring")
        finally:
            origin.terminate()
            origin.wait()
    RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
