"""Has the node's log judged by verifiers that were not written for it: Go's own (log/), one from the specifications (log_check.py), and
aics-tlog (log_aics.py), while the log grows, and over deaths of the node.

usage: log.py PATH-OF-MINGPAI PATH-OF-GO-VERIFIER [PYTHON-WITH-AICS-TLOG] [--rows N] [--seed N]

Starts a node on a throw-away folder on loopback, kills it twice, stops it by its pid. What was recorded of its log is also served by
the dishonest log (hostile_log.py), which every verifier must take while it is honest. Prints "log: N passed, M failed" at the end.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

import c2sp
import hostile_log
from verify import Node

HERE = os.path.dirname(os.path.abspath(__file__))
RESULTS = {"passed": 0, "failed": 0}
# The trees that every proof is asked of, and the size of the example in C2SP tlog-tiles.
SMALL, LARGE = 600, 70_000
# Audit events: a full tile and a partial one.
EVENTS = 260
PATIENCE_SECONDS = 120


def check(name, condition, told=""):
    RESULTS["passed" if condition else "failed"] += 1
    print(f"{'ok' if condition else 'FAILED'} log {name} {told}".rstrip(), flush=True)


class Life:
    """A node's folder, the node that lives in it now, and every checkpoint that was seen of it."""

    def __init__(self, binary, folder, seen):
        self.binary, self.folder, self.seen, self.texts = binary, folder, seen, []
        self.node = Node(binary, folder)
        with open(os.path.join(folder, "dev-token"), encoding="ascii") as file:
            self.headers = {"Authorization": "Bearer " + file.read().strip(), "Content-Type": "application/json"}
        self.key = c2sp.Key(self.node.get("/log/vkey")[1].strip())
        self.ended = threading.Event()
        self.watcher = threading.Thread(target=self.watch, daemon=True)
        self.watcher.start()

    def watch(self):
        """Keeps every head that is published, as a witness would that looks often."""
        while not self.ended.wait(0.1):
            try:
                status, text = self.node.get("/log/checkpoint")
            except OSError:
                continue
            if status == 200 and text not in self.texts:
                with open(os.path.join(self.seen, f"{len(self.texts):04}"), "w", encoding="utf-8") as file:
                    file.write(text)
                self.texts.append(text)

    def head(self):
        return c2sp.open_checkpoint(self.node.get("/log/checkpoint")[1], self.key)[:2]

    def die(self, name):
        """kill -9 and another start: what was signed before must be the beginning of what is signed after."""
        size, root = self.head()
        self.node.process.kill()
        self.node.process.wait()
        self.node = Node(self.binary, self.folder)
        check(f"{name}: the key is the same after kill -9", c2sp.Key(self.node.get("/log/vkey")[1].strip()).id == self.key.id)
        started = time.monotonic()
        # A node may answer before its trees have caught up with the journal: then it shows no head, never another.
        self.wait(lambda: self.node.get("/log/checkpoint")[0] == 200)
        now, now_root = self.head()
        print(f"{name}: a head {time.monotonic() - started:.1f} s after the node was ready", flush=True)
        said = json.loads(self.node.get(f"/v1/log/consistency?from={size}&to={now}")[1])
        hashes = [c2sp.b64(step) for step in said["hashes"]]
        check(f"{name}: the head of {now} continues that of {size}", c2sp.consistent(size, root, now, now_root, hashes))

    def send(self, method, path, body, **headers):
        return self.node.send(method, path, body, {**self.headers, **headers})

    def put(self, identifier, text, **headers):
        record = {"values": [{"index": 2000, "type": "名称", "data": text}]}
        return self.send("PUT", "/v1/records/" + urllib.parse.quote(identifier), json.dumps(record).encode(), **headers)

    def begin_import(self, first, count):
        lines = (
            json.dumps({"identifier": f"88.999.1/LOG-{number:07}", "values": [{"index": 2000, "type": "序号", "data": str(number)}]})
            for number in range(first, first + count)
        )
        body = "\n".join(lines).encode()
        status, answer = self.send("POST", "/v1/imports", body, **{"Content-Type": "application/x-ndjson"})
        assert status == 202, (status, answer)
        return json.loads(answer)["id"]

    def job(self, name):
        status, answer = self.send("GET", "/v1/imports/" + name, None)
        assert status == 200, (status, answer)
        return json.loads(answer)

    def wait(self, ready):
        """Asks until it is so; the time is only an end to waiting."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if found := ready():
                return found
            time.sleep(0.05)
        raise SystemExit("log.py: waited in vain")

    def proven(self, identifier):
        """A record's entry with its proof, once a head covers it."""

        def ready():
            status, answer = self.node.get(f"/v1/resolve/{urllib.parse.quote(identifier)}?proof=1")
            assert status == 200, (status, answer)
            found = json.loads(answer)
            return found if found["proof"] != "pending" else None

        return self.wait(ready)


def covered(life, found):
    """Whether an answer proves its own entry."""
    size, root, _ = c2sp.open_checkpoint(found["proof"]["checkpoint"], life.key)
    leaf = c2sp.leaf_hash(found["entry"].split("~")[0].encode())
    return c2sp.included(leaf, found["proof"]["index"], size, root, [c2sp.b64(step) for step in found["proof"]["hashes"]])


def judged(*commands):
    """Runs verifiers side by side and counts what they counted; a verifier that counts nothing has failed."""
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    for command, process in zip(commands, running):
        said, _ = process.communicate(timeout=600)
        print(said, end="", flush=True)
        counts = re.findall(r"^[^\n]*: (\d+) passed, (\d+) failed$", said, re.MULTILINE)
        if not counts or (process.returncode != 0) != (int(counts[-1][1]) > 0):
            check(f"{os.path.basename(command[0])} ends as it counts", False, f"exit code {process.returncode}")
        for passed, failed in counts[-1:]:
            RESULTS["passed"] += int(passed)
            RESULTS["failed"] += int(failed)


class Judges:
    """The command lines of the verifiers."""

    def __init__(self, said, life, seed):
        self.said, self.life, self.seed = said, life, str(seed)

    def go(self, **options):
        return [self.said.go, "-url", self.life.node.url, "-seed", self.seed, *flags("-", options)]

    def python(self, **options):
        return [sys.executable, os.path.join(HERE, "log_check.py"), self.life.node.url, "--seed", self.seed, *flags("--", options)]

    def aics(self, **options):
        if not self.said.aics:
            return []
        return [[self.said.aics, os.path.join(HERE, "log_aics.py"), self.life.node.url, "--seed", self.seed, *flags("--", options)]]


def flags(dash, options):
    return [word for name, value in options.items() for word in (dash + name.replace("_", "-"), str(value))]


def small(life):
    """Registrations of every kind, until the log has the entries that every proof is asked of."""
    good = 0
    for number in range(40):
        name = f"88.999.1/单-{number:03}"
        good += life.put(name, f"第{number}件")[0] == 201
        if number % 2 == 0:
            good += life.put(name, f"第{number}件，改", **{"If-Match": '"1"'})[0] == 200
        if number % 10 == 0:
            good += covered(life, life.proven(name))
    check("registrations, changes and their proofs at once", good == 40 + 20 + 4, f"({good})")
    job = life.begin_import(0, SMALL)
    ended = life.wait(lambda: job_ended(life, job))
    check("a first import is registered", ended["rows"]["registered"] == SMALL, f"({ended['rows']})")


def audited(life):
    """More events than a tile holds. The secret of a key is told once, and here to nobody."""
    body = json.dumps({"label": "日志检验"}).encode()
    made = sum(life.send("POST", "/v1/keys", body)[0] == 201 for _ in range(EVENTS))
    check(f"{EVENTS} events for the audit tree", made == EVENTS, f"({made})")


def job_ended(life, job):
    found = life.job(job)
    return found if found["state"] in ("done", "failed") else None


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("binary")
    arguments.add_argument("go")
    arguments.add_argument("aics", nargs="?")
    arguments.add_argument("--rows", type=int, default=LARGE)
    arguments.add_argument("--seed", type=int, default=random.randrange(2**32))
    said = arguments.parse_args()
    said.binary, said.go = os.path.abspath(said.binary), os.path.abspath(said.go)
    print(f"seed {said.seed}", flush=True)
    if not said.aics:
        print("skipped: aics-tlog wants Python 3.12, which is not here")
    with tempfile.TemporaryDirectory(prefix="mingpai-log-") as folder:
        run(said, folder)
    print(f"log: {RESULTS['passed']} passed, {RESULTS['failed']} failed")
    sys.exit(1 if RESULTS["failed"] else 0)


def run(said, folder):
    seen, recorded, data = (os.path.join(folder, name) for name in ("seen", "recorded", "node"))
    os.makedirs(seen)
    life = Life(said.binary, data, seen)
    judges = Judges(said, life, said.seed)
    try:
        small(life)
        audited(life)
        check("every record that was there before the first head is in it", covered(life, life.proven("88.999.1/LOG-0000599")))
        life.die("at rest")
        hostile_log.record(life.node.url, recorded, data)
        judged(
            [sys.executable, os.path.join(HERE, "log_check.py"), "--self"],
            judges.go(sizes=SMALL, checkpoints=seen),
            judges.python(sizes=SMALL, mutate=300, checkpoints=seen),
            *judges.aics(samples=50, checkpoints=seen),
        )
        grow(life, said)
        judged(
            [sys.executable, os.path.join(HERE, "hostile_check.py"), recorded, said.go, *([said.aics] if said.aics else [])],
            [sys.executable, os.path.join(HERE, "hostile_follow.py"), said.binary, recorded],
        )
        token = os.path.join(data, "dev-token")
        life.ended.set()
        life.watcher.join()
        judged(
            judges.go(samples=300, checkpoints=seen, token_file=token),
            judges.python(samples=200, checkpoints=seen, token_file=token),
            *judges.aics(samples=10, checkpoints=seen),
        )
    finally:
        check("the node stops with exit code 0", life.node.stop() == 0)


def grow(life, said):
    """An import, and the node's death in the middle of it: the job goes on after it, and the log with it."""
    job = life.begin_import(SMALL, said.rows)
    before = life.head()[0]
    life.wait(lambda: life.head()[0] > before + said.rows // 4)
    life.die("while an import runs")
    ended = life.wait(lambda: job_ended(life, job))
    rows = ended["rows"]
    check("the import is whole after it", rows["registered"] + rows["skipped"] == said.rows and rows["failed"] == 0, f"({rows})")
    last = life.proven(f"88.999.1/LOG-{SMALL + said.rows - 1:07}")
    check("the last row's entry is proven", covered(life, last))
    size, _ = life.head()
    check("the log has an entry for every row", size >= SMALL + said.rows, f"({size}, {len(life.texts)} heads seen)")


if __name__ == "__main__":
    main()
