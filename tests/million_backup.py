#!/usr/bin/env python3
"""Times backup, verify and restore of a million records (MINGPAI_RECORDS for another count), plain and encrypted.

usage: tests/million_backup.py      builds the optimised program; needs some 8 GB of disk under TMPDIR; loopback only
"""
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECORDS = int(os.environ.get("MINGPAI_RECORDS", "1000000"))


def main():
    subprocess.run(["cargo", "build", "--locked", "--profile", "long", "--bin", "mingpai"], cwd=ROOT, check=True)
    program = str(ROOT / "target/long/mingpai")
    folder = Path(tempfile.mkdtemp(prefix="mingpai-million-"))

    def timed(what, *arguments):
        started = time.monotonic()
        done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
        seconds = time.monotonic() - started
        assert done.returncode == 0, f"{what}: {done.stdout}{done.stderr}"
        print(f"{what:34} {seconds:8.1f} s", flush=True)
        return done.stdout

    def serve(data):
        log = open(folder / "node.log", "w")
        command = [program, "serve", "--dev", "--listen", "127.0.0.1:0", "--data", str(data)]
        node = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        for line in node.stdout:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                return node, found.group(0)
        raise SystemExit((folder / "node.log").read_text())

    node = None
    try:
        with open(folder / "rows.ndjson", "w") as rows:
            for at in range(RECORDS):
                values = [{"index": 2000, "type": "品名", "data": f"六角头螺栓 {at}"}, {"index": 2001, "type": "批次", "data": f"L{at % 997:04}"}]
                rows.write(json.dumps({"identifier": f"88.999.1/M-{at:08}", "values": values}, ensure_ascii=False) + "\n")
        node, url = serve(folder / "node")
        asked = ["--server", url, "--token-file", folder / "node/dev-token"]
        timed(f"import of {RECORDS} records", "import", folder / "rows.ndjson", *asked)
        timed("keygen", "keygen", "--use", "backup", "--out", folder / "key")
        key = ["--key-file", folder / "key"]
        for name, options in [("plain", []), ("encrypted", [*key, "--keys", folder / "node/keys"])]:
            done = json.loads(timed(f"backup, {name}", "backup", folder / name, *asked, *options, "--json"))
            timed("  again, with nothing new", "backup", folder / name, *asked, *options)
            timed("  verify", "backup", "verify", folder / name, *(key if options else []))
        print(f"{'bytes of the backup':34} {done['bytes']:10}")
        node.kill()
        node.wait()
        timed("restore, encrypted", "restore", folder / "encrypted", "--data", folder / "new", *key)
        started = time.monotonic()
        node, url = serve(folder / "new")
        print(f"{'first start: the record store anew':34} {time.monotonic() - started:8.1f} s")
        timed("a record of it", "resolve", f"88.999.1/M-{RECORDS - 1:08}", "--server", url)
    finally:
        if node:
            node.kill()
            node.wait()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
