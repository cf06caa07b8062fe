"""Checks the dishonest log itself: honest it is taken by the verifiers, and every lie is one that they can see.

usage: hostile_check.py FOLDER [GO-VERIFIER [PYTHON-WITH-AICS-TLOG]]
FOLDER is what hostile_log.py recorded; where it is absent, a log is made up there.

Prints "hostile: N passed, M failed" at the end.
"""

import base64
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import c2sp
from hostile_log import HostileLog, canonical, opened, sealed, spelled, thumbprint
from log_check import Client, unpadded

RESULTS = {"passed": 0, "failed": 0}


def check(name, condition, told=""):
    RESULTS["passed" if condition else "failed"] += 1
    print(f"hostile {name} ... {'ok' if condition else f'FAILED {told}'}", flush=True)


def make_up(folder, count=600):
    """A log as record() leaves it, of a node that is not there."""
    private, signer = Ed25519PrivateKey.generate(), c2sp.Signer("urn:example:node")
    kid = thumbprint(private)
    public = spelled(private.public_key().public_bytes_raw())
    key = {"kty": "OKP", "crv": "Ed25519", "x": public, "kid": kid, "alg": "EdDSA", "use": "sig"}
    entries = [sealed(private, kid, "mingpai-keys+jwt", {"iat": 1, "iss": signer.name, "key": key})]
    for number in range(1, count):
        entries.append(made_up_entry(private, kid, signer.name, f"88.999.1/A{number}")[0])
    tree = c2sp.Tree(map(c2sp.leaf_hash, entries))

    def save(path, body):
        name = os.path.join(folder, path)
        os.makedirs(os.path.dirname(name), exist_ok=True)
        with open(name, "wb") as file:
            file.write(body)

    save("log/vkey", signer.vkey.encode() + b"\n")
    save("log/checkpoint", c2sp.sign_note(c2sp.checkpoint_text(signer.name, count, tree.root()), signer).encode())
    save(".well-known/jwks.json", json.dumps({"keys": [key]}).encode())
    save("entry.jwk", json.dumps({**key, "d": spelled(private.private_bytes_raw())}).encode())
    for number, width in c2sp.tiles_of("entries", count):
        begin = number * c2sp.WIDTH
        save("log/tile/" + c2sp.tile_path("entries", number, width), c2sp.bundle_of(entries[begin : begin + width]))
    for level in range(8):
        for number, width in c2sp.tiles_of(level, count):
            save("log/tile/" + c2sp.tile_path(level, number, width), tree.tile(level, number, width))


def made_up_entry(private, kid, issuer, identifier, sid_key=None):
    """The statement of a record, and its disclosures."""
    sid_key = sid_key or os.urandom(32)
    disclosures = [
        spelled(json.dumps([spelled(os.urandom(16)), name, value]).encode())
        for name, value in (("sid_key", spelled(sid_key)), ("sub", identifier), ("state", "active"))
    ]
    digests = sorted(spelled(hashlib.sha256(disclosure.encode()).digest()) for disclosure in disclosures)
    sid = hashlib.sha256(sid_key + canonical(identifier).encode()).digest()
    payload = {"_sd": digests, "_sd_alg": "sha-256", "iat": int(time.time()), "iss": issuer, "sid": spelled(sid), "ver": 1}
    return sealed(private, kid, "mingpai-entry+sd-jwt", payload), disclosures


class Judges:
    """The verifiers, as programs of their own."""

    def __init__(self, log, seen, go=None, aics=None):
        self.log, self.seen, self.go, self.aics = log, seen, go, aics

    def with_seen(self, seen):
        return Judges(self.log, seen, self.go, self.aics)

    def commands(self, face, *, light=False):
        here = os.path.dirname(os.path.abspath(__file__))
        said = ["--vkey", self.log.vkey, "--checkpoints", self.seen]
        yield [sys.executable, os.path.join(here, "log_check.py"), face.url, *said, *([] if light else ["--sizes", "60", "--samples", "60", "--mutate", "3"])]
        if self.go:
            go = ["-" + word[2:] if word.startswith("--") else word for word in said]
            yield [self.go, "-url", face.url, *go, *([] if light else ["-sizes", "60", "-samples", "60"])]
        if self.aics:
            yield [self.aics, os.path.join(here, "log_aics.py"), face.url, *said, "--samples", "3" if light else "60"]

    def take(self, face, **how):
        """Whether each of them takes the log; what they say otherwise."""
        running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in self.commands(face, **how)]
        said = [(process.communicate(timeout=120)[0], process.returncode == 0) for process in running]
        return [good for _, good in said], [line for text, _ in said for line in text.splitlines() if line.startswith("FAILED")]


def main(folder, go=None, aics=None):
    if not os.path.exists(os.path.join(folder, "log")):
        make_up(folder)
    with HostileLog(folder) as log, tempfile.TemporaryDirectory() as seen:
        tell(log, Judges(log, seen, go, aics), seen)
    print(f"hostile: {RESULTS['passed']} passed, {RESULTS['failed']} failed")
    sys.exit(1 if RESULTS["failed"] else 0)


def remember(face, seen):
    """Keeps the face's checkpoint among those that the verifiers have seen."""
    name = os.path.join(seen, f"{len(os.listdir(seen)):03}")
    with open(name, "w", encoding="utf-8") as file:
        file.write(face.checkpoint)


def tell(log, judges, seen):
    face, size = log.a, len(log.entries)
    for shown in (1, size // 3, size - 7, size):
        face.publish(shown)
        remember(face, seen)
    taken, told = judges.take(face)
    check("honest, every verifier takes it", all(taken), told)

    lies = [
        ("a rewritten entry", lambda: face.rewrite(size // 2)),
        ("a dropped entry", lambda: face.drop(size // 2)),
        ("a rolled back head", lambda: face.roll_back(size - 40)),
        ("a flipped bit of a tile", lambda: face.flip(0, 1, 4321)),
        ("a flipped bit of a tile above", lambda: face.flip(1, 0, 5)),
        ("a flipped bit of a bundle", lambda: face.flip("entries", 0, 40_000)),
        ("a bundle that ends early", lambda: face.cut(1)),
        ("a bundle with an entry too many", lambda: face.swell(1, 2)),
        ("a bundle of a hundred megabytes", lambda: face.swell(0, 100_000_000)),
    ]
    for name, lie in lies:
        lie()
        taken, told = judges.take(face, light=True)
        check(f"{name} is seen by every verifier", not any(taken) and told, told[:2])
        face.honest()
    forked(log, judges, seen)
    forged(log, judges)
    seconded(log, judges)
    controlled(log)


def forked(log, judges, seen):
    log.b.fork(len(log.entries) // 2)
    check("two faces show two heads of one size", log.a.size == log.b.size and log.a.root != log.b.root)
    taken, told = judges.take(log.b, light=True)
    check("the second is seen by who saw the first", not any(taken), told[:2])
    with tempfile.TemporaryDirectory() as other:
        remember(log.b, other)
        taken, told = judges.with_seen(other).take(log.b, light=True)
        check("alone, each of them is taken", all(taken), told)
    log.b.honest()


def forged(log, judges):
    index = next(at for at, entry in enumerate(log.entries) if "sid" in opened(entry)[1] and at)
    for kid in (None, "other"):
        made = log.a.forge(index, kid)
        _, payload = opened(made["entry"].encode())
        check("a forged entry is under the sid of another", payload["sid"] == opened(log.entries[index])[1]["sid"])
        taken, told = judges.take(log.a, light=True)
        check("only who checks the entries' signatures sees it", taken[0] is False and all(taken[1:]), told)
        log.a.honest()


def seconded(log, judges):
    entry, disclosures = made_up_entry(log.entry_key, log.kid, log.signer.name, "88.999.1/Second-壹")
    made = log.a.second_sid("~".join([entry.decode(), *disclosures, ""]))
    statement, *shown = made["entry"].rstrip("~").split("~")
    _, payload = opened(statement.encode())
    told = dict(json.loads(unpadded(disclosure))[1:] for disclosure in shown)
    blinded = hashlib.sha256(unpadded(told["sid_key"]) + canonical(told["sub"]).encode()).digest()
    check("a second sid is one of the identifier that it tells", unpadded(payload["sid"]) == blinded and payload["sid"] != opened(entry)[1]["sid"])
    check("all that is disclosed is signed", all(spelled(hashlib.sha256(text.encode()).digest()) in payload["_sd"] for text in shown))
    proof = Client(log.a.url).json(f"/v1/log/proof/{made['index']}")
    path = [base64.b64decode(step) for step in proof["hashes"]]
    check("it is in the log", c2sp.included(c2sp.leaf_hash(statement.encode()), made["index"], proof["size"], log.a.root, path))
    taken, said = judges.take(log.a, light=True)
    check("nobody sees it who does not know both", all(taken), said)
    log.a.honest()


def controlled(log):
    def tell_it(said):
        request = urllib.request.Request(log.a.url + "/control", data=json.dumps(said).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    said = tell_it({"do": "publish", "size": 10})
    size, root, _ = c2sp.open_checkpoint(Client(log.a.url).get("/log/checkpoint"), c2sp.Key(log.vkey))
    check("it is told over HTTP, too", said["size"] == size == 10 and base64.b64decode(said["root"]) == root)
    check("and is honest again", tell_it({"do": "honest"})["size"] == len(log.entries))


if __name__ == "__main__":
    main(*sys.argv[1:])
