"""Judges a node's transparency log by c2sp.py, which was written from the specifications alone.

usage: log_check.py URL [--vkey KEY] [--token-file FILE] [--checkpoints FOLDER] [--sizes N] [--samples N] [--mutate N] [--seed N]
       log_check.py --self     (checks c2sp.py against vectors from outside, and against logs that it builds itself)

Prints a line "ok ..." or "FAILED ..." for each thing, and "log (Python): N passed, M failed" at the end.
"""

import argparse
import base64
import gzip
import http.client
import json
import os
import random
import sys
import urllib.parse

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

import c2sp
from c2sp import Malformed, demand

RESULTS = {"passed": 0, "failed": 0}
# No answer is longer than the largest bundle: 256 entries of two bytes length and at most 65,535 bytes.
LIMIT_BYTES = 256 * (2 + 65_535)
# RFC 4648, section 4.
LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def check(name, judged):
    """Counts a thing: a truth, or a function that gives one and may raise."""
    told = ""
    if callable(judged):
        try:
            judged = judged() is not False
        except (Malformed, InvalidSignature, OSError, KeyError, TypeError, ValueError, http.client.HTTPException) as error:
            judged, told = False, f": {type(error).__name__} {error}"
    RESULTS["passed" if judged else "failed"] += 1
    print(f"{'ok' if judged else 'FAILED'} log (Python) {name}{told}", flush=True)
    return judged


class Client:
    """One connection that stays open, opened again once where the other side closed it."""

    def __init__(self, url, token=None):
        self.place = urllib.parse.urlsplit(url).netloc
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.connection = http.client.HTTPConnection(self.place, timeout=60)

    def ask(self, path, **headers):
        """Status, headers, body."""
        for last in (False, True):
            try:
                self.connection.request("GET", path, headers={**self.headers, **headers})
                answer = self.connection.getresponse()
                body = answer.read(LIMIT_BYTES + 1)
                demand(len(body) <= LIMIT_BYTES, f"GET {path}: an answer without end")
                return answer.status, answer.headers, body
            except (http.client.HTTPException, OSError):
                self.connection.close()
                if last:
                    raise

    def get(self, path, **headers):
        status, _, body = self.ask(path, **headers)
        demand(status == 200, f"GET {path}: status {status}")
        return body

    def json(self, path):
        return json.loads(self.get(path))


class Log:
    """A head and everything below it, all of it reckoned again."""

    def __init__(self, client, base, name, vkey=None, is_public=True):
        self.is_public = is_public
        self.client, self.base, self.name, self.vkey = client, base, name, vkey
        self.entries, self.tree = [], c2sp.Tree()

    def read(self):
        return (
            check(f"{self.name}: the checkpoint is signed by the key", self.read_head)
            and check(f"{self.name}: {self.size} entries in bundles of exact width", self.read_entries)
            and check(f"{self.name}: the root is that of the entries", lambda: self.tree.root() == self.root)
            and check(f"{self.name}: every tile of every level is that of the entries", self.read_tiles)
        )

    def read_head(self):
        served = self.client.get(self.base + "/vkey").decode().removesuffix("\n")
        demand(self.vkey in (None, served), f"the key is {served}")
        self.key = c2sp.Key(served)
        status, headers, self.checkpoint = self.client.ask(self.base + "/checkpoint")
        demand(status == 200, f"status {status}")
        demand(headers["Content-Type"] == "text/plain; charset=utf-8", f"it comes as {headers['Content-Type']}")
        self.size, self.root, _ = c2sp.open_checkpoint(self.checkpoint, self.key)

    def tile(self, level, number, width):
        status, headers, body = self.client.ask(f"{self.base}/tile/{c2sp.tile_path(level, number, width)}")
        demand(status == 200, f"tile {level} {number} {width}: status {status}")
        demand(headers["Content-Type"] == "application/octet-stream", f"it comes as {headers['Content-Type']}")
        kept = headers["Cache-Control"] or ""
        if self.is_public:
            demand("immutable" in kept, "a tile may be kept for ever, and does not say so")
        else:
            demand("no-store" in kept, f"what administrators are shown may be kept: {kept}")
        demand("Content-Encoding" not in headers, "nobody asked for an encoding")
        return body

    def read_entries(self):
        for number, width in c2sp.tiles_of("entries", self.size):
            self.entries += c2sp.entries_of(self.tile("entries", number, width), width)
        for entry in self.entries:
            self.tree.append(c2sp.leaf_hash(entry))

    def read_tiles(self):
        level = 0
        while tiles := c2sp.tiles_of(level, self.size):
            for number, width in tiles:
                demand(self.tile(level, number, width) == self.tree.tile(level, number, width), f"tile {level} {number} {width}")
            level += 1
        status, _, _ = self.client.ask(f"{self.base}/tile/{level}/000.p/1")
        demand(status == 404, "a level more than the tree has")

    def read_encoded(self):
        """Bundles come compressed to who asks so, and say the same."""
        for number, width in c2sp.tiles_of("entries", self.size)[:3]:
            path = f"{self.base}/tile/{c2sp.tile_path('entries', number, width)}"
            status, headers, body = self.client.ask(path, **{"Accept-Encoding": "gzip"})
            demand(status == 200 and headers["Content-Encoding"] == "gzip", f"{status} {headers['Content-Encoding']}")
            demand("accept-encoding" in (headers["Vary"] or "").lower(), "caches are not told that the answer varies")
            demand(gzip.decompress(body) == self.client.get(path), "the compressed bundle differs")

    def narrower(self):
        """A width that was the tree's once may be gone or there; then it is the beginning of what is there now."""
        number, width = c2sp.tiles_of(0, self.size)[-1]
        for less in range(1, width):
            status, _, body = self.client.ask(f"{self.base}/tile/{c2sp.tile_path(0, number, less)}")
            demand(status == 404 or status == 200 and body == self.tree.tile(0, number, less), f"width {less}: {status}")

    def other_spellings(self):
        """What no tile is called is no tile."""
        for path in ("0/0", "0/0000", "0/x000/000", "0/000.p/0", "0/000.p/256", "0/000.p/01", "00/000", "64/000", "-1/000", "0/000/", "data/000", "entries/00", "entries/000.p/0", "0/%30%30%30.p/257", "0/000.p/1/2"):
            status, _, _ = self.client.ask(f"{self.base}/tile/{path}")
            demand(400 <= status < 500, f"{path}: status {status}")

    def signed(self, known=None):
        """Every entry by a key that a statement before it put in force, or that is known: some entries in full, the headers of all."""
        known = self.known = known or {}
        for index, entry in enumerate(self.entries):
            header, payload, signature = (unpadded(part) for part in entry.decode("ascii").split("."))
            header = json.loads(header)
            if header["typ"] == "mingpai-keys+jwt":
                stated = json.loads(payload)["key"]
                known.setdefault(stated["kid"], Ed25519PublicKey.from_public_bytes(unpadded(stated["x"])))
            demand(header["alg"] == "EdDSA" and header["kid"] in known, f"entry {index}: {header}")
            if index < 1000 or index % 50 == 0:
                known[header["kid"]].verify(signature, entry.rpartition(b".")[0])


def unpadded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Proofs:
    """The node's proofs in trees whose roots are known."""

    def __init__(self, log, lot):
        self.log, self.client, self.lot = log, log.client, lot

    def record(self, index, size):
        said = self.client.json(f"/v1/log/proof/{index}?size={size}")
        demand((said["index"], said["size"]) == (index, size), f"asked for {index} of {size}")
        demand(c2sp.b64(said["root"]) == self.log.tree.root(size), f"root of {size}")
        hashes = [c2sp.b64(step) for step in said["hashes"]]
        demand(c2sp.included(self.log.tree.rows[0][index], index, size, self.log.tree.root(size), hashes), f"{index} of {size}")
        demand("checkpoint" not in said or c2sp.open_checkpoint(said["checkpoint"], self.log.key)[0] == size, "another checkpoint")
        return hashes

    def growth(self, old, size):
        said = self.client.json(f"/v1/log/consistency?from={old}&to={size}")
        roots = self.log.tree.root(old), self.log.tree.root(size)
        demand((said["from"]["size"], said["to"]["size"]) == (old, size), f"asked for {old} to {size}")
        demand((c2sp.b64(said["from"]["root"]), c2sp.b64(said["to"]["root"])) == roots, f"roots of {old} and {size}")
        hashes = [c2sp.b64(step) for step in said["hashes"]]
        demand(c2sp.consistent(old, roots[0], size, roots[1], hashes), f"{old} to {size}")
        return hashes

    def every_size(self, limit):
        def records():
            for size in range(1, limit + 1):
                for index in {0, size - 1, self.lot.randrange(size)}:
                    self.record(index, size)

        def growths():
            for size in range(limit + 1):
                for old in {0, max(size - 1, 0), self.lot.randint(0, size)}:
                    self.growth(old, size)

        check(f"inclusion in trees of every size from 1 to {limit}", records)
        check(f"consistency between trees of every size from 0 to {limit}", growths)

    def sampled(self, count):
        def records():
            for _ in range(count):
                size = self.lot.randint(1, self.log.size)
                self.record(self.lot.randrange(size), size)

        def growths():
            for _ in range(count):
                self.growth(*sorted((self.lot.randint(0, self.log.size), self.lot.randint(0, self.log.size))))

        check(f"{count} sampled proofs of inclusion in a log of {self.log.size}", records)
        check(f"{count} sampled proofs of consistency in a log of {self.log.size}", growths)

    def files(self, count):
        """Proof files (C2SP tlog-proof) of entries drawn by lot: each with the published checkpoint, complete by itself."""
        found = []
        for index in self.lot.sample(range(self.log.size), min(count, self.log.size)):
            status, headers, file = self.client.ask(f"/v1/log/proof/{index}", Accept="text/x-tlog-proof")
            demand(status == 200 and headers["Content-Type"].startswith("text/"), f"{status} {headers['Content-Type']}")
            demand(c2sp.parse_proof(file)[1] == index, f"asked for {index}")
            demand(c2sp.proves(file, self.log.tree.rows[0][index], self.log.key), f"proof of {index}")
            found.append((file, self.log.tree.rows[0][index]))
        return found

    def mutate(self, count):
        files = []
        if not check(f"{count} proof files prove by themselves", lambda: files.extend(self.files(count))):
            return
        tried, accepted = mutated_files(files, self.log.key, self.lot)
        check(f"none of {len(files)} proof files is taken with a byte changed: {tried} changes, {accepted} taken", accepted == 0 < tried)
        growths = []
        for _ in range(count):
            old, size = sorted(self.lot.sample(range(1, self.log.size + 1), 2))
            growths.append((old, size, self.growth(old, size)))
        tried, accepted = mutated_growths(self.log.tree, growths, self.lot)
        check(f"none of {count} consistency proofs is taken with a byte changed: {tried} changes, {accepted} taken", accepted == 0 < tried)

    def pairwise(self, folder):
        heads = {}

        def opened():
            for name in sorted(os.listdir(folder)):
                with open(os.path.join(folder, name), "rb") as file:
                    size, root, _ = c2sp.open_checkpoint(file.read(), self.log.key)
                demand(size <= self.log.size and root == self.log.tree.root(size), f"{name} is of another log")
                heads[size] = root
            demand(heads, "none is there")

        def proved():
            sizes = sorted(heads)
            for old, size in zip(sizes, sizes[1:]):
                hashes = self.growth(old, size)
                demand(c2sp.consistent(old, heads[old], size, heads[size], hashes), f"{old} to {size}")

        if check("every checkpoint that was fetched on the way is of this log", opened):
            check(f"each of {len(heads)} is consistent with the next", proved)


def mutated_files(files, key, lot):
    """How many changes of one byte were tried, and how many were taken."""
    tried = accepted = 0
    for file, leaf in files:
        demand(b"\nextra " not in file, "extra data, which nothing authenticates")
        changes = [(at, file[at] ^ lot.randint(1, 255)) for at in range(len(file))]
        # The letter before a padding has two bits that nothing needs: a change of these alone is another spelling of the same bytes.
        ends = [at for at in range(len(file) - 1) if file[at + 1 : at + 3] == b"=\n"]
        changes += [(at, LETTERS[LETTERS.index(file[at]) ^ lot.randint(1, 3)]) for at in ends]
        for at, byte in changes:
            changed = bytearray(file)
            changed[at] = byte
            tried += 1
            try:
                accepted += c2sp.proves(bytes(changed), leaf, key)
            except Malformed:
                pass
    return tried, accepted


def mutated_growths(tree, growths, lot):
    tried = accepted = 0
    for old, size, hashes in growths:
        whole = bytearray(b"".join([tree.root(old), tree.root(size), *hashes]))
        for at in range(len(whole)):
            change = lot.randint(1, 255)
            whole[at] ^= change
            parts = [bytes(whole[begin : begin + 32]) for begin in range(0, len(whole), 32)]
            tried += 1
            accepted += c2sp.consistent(old, parts[0], size, parts[1], parts[2:])
            whole[at] ^= change
    return tried, accepted


def judge(url, vkey=None, token=None, sizes=0, samples=0, mutate=0, checkpoints=None, seed=None):
    seed = random.randrange(2**32) if seed is None else seed
    lot = random.Random(seed)
    log = Log(Client(url), "/log", "the registry tree", vkey)
    if log.read():
        check("every entry is signed by a key that the log put in force before", log.signed)
        check("bundles come compressed to who asks", log.read_encoded)
        check("narrower tiles are the beginnings of wider ones", log.narrower)
        check("what no tile is called is none", log.other_spellings)
        proofs = Proofs(log, lot)
        if sizes:
            proofs.every_size(sizes)
        if samples:
            proofs.sampled(samples)
        if mutate:
            proofs.mutate(mutate)
        if checkpoints:
            proofs.pairwise(checkpoints)
    if token:
        audit = Log(Client(url, token), "/log/audit", "the audit tree", is_public=False)
        if audit.read():
            check("the audit tree has a name of its own", lambda: audit.key.name == log.key.name + "/audit")
            check("every audit event is signed by a key of the registry", lambda: audit.signed(log.known))
            check("the audit tree has the events, and not the records", lambda: not set(audit.entries) & set(log.entries))
    print(f"seed {seed}")


# Vectors from outside, and logs that are built here.

# RFC 6962's reference test data, as in the certificate-transparency repository: leaves, and the roots of the first 1 to 8.
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
# C2SP signed-note.
VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE = (
    "This is an example message.\n\n\u2014 example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)


def self_check():
    tree = c2sp.Tree(c2sp.leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES)
    check("roots are those of RFC 6962's test data", [tree.root(size).hex() for size in range(1, 9)] == ROOTS)
    check("the example note opens", lambda: c2sp.open_note(EXAMPLE, c2sp.Key(VKEY))[0] == "This is an example message.\n")
    paths = [c2sp.tile_path(0, 1_234_067), c2sp.tile_path("entries", 273, 112)]
    check("tiles are called as tlog-tiles says", paths == ["0/x001/x234/067", "entries/273.p/112"])
    widths = [(len(tiles), tiles[-1][1]) for level in range(4) if (tiles := c2sp.tiles_of(level, 70_000))]
    check("70,000 entries have the tiles that tlog-tiles says", widths == [(274, 112), (2, 17), (1, 1)])
    check("every proof of every tree up to 70 entries holds, and none of another index or size", proofs_hold)
    check("a checkpoint, its proof file and its cosignature hold", signatures_hold)


def proofs_hold():
    tree = c2sp.Tree(c2sp.leaf_hash(str(at).encode()) for at in range(70))
    for size in range(1, 71):
        for index in range(size):
            path = tree.inclusion(index, size)
            holds = [at for at in range(size) if c2sp.included(tree.rows[0][index], at, size, tree.root(size), path)]
            demand(holds == [index], f"{index} of {size}: {holds}")
        for old in range(size + 1):
            path = tree.consistency(old, size)
            demand(c2sp.consistent(old, tree.root(old), size, tree.root(size), path), f"{old} to {size}")
            if old:
                demand(not c2sp.consistent(old - 1, tree.root(old), size, tree.root(size), path), f"{old} - 1 to {size}")
                demand(not c2sp.consistent(old, tree.root(old), size, tree.root(size), [*path, c2sp.EMPTY]), f"longer {old} to {size}")
                demand(not path or not c2sp.consistent(old, tree.root(old), size, tree.root(size), path[:-1]), f"shorter {old} to {size}")


def signatures_hold():
    lot = random.Random(1)
    signer, witness = c2sp.Signer("log.example/one"), c2sp.Signer("witness.example/w", kind=c2sp.COSIGNATURE)
    tree = c2sp.Tree(c2sp.leaf_hash(str(at).encode()) for at in range(300))
    note = c2sp.sign_note(c2sp.checkpoint_text(signer.name, 300, tree.root()), signer, witness)
    key = c2sp.Key(signer.vkey)
    size, root, said = c2sp.open_checkpoint(note, key, c2sp.Key(witness.vkey))
    demand((size, root) == (300, tree.root()) and said[witness.name] > 1_700_000_000, "the head is another")
    later = note.replace(witness.line(note.partition("\n\n")[0] + "\n", said[witness.name]), "")
    demand(later != note and c2sp.open_checkpoint(later, key)[0] == 300, "the log's signature alone")
    for wrong in (c2sp.Signer(signer.name), c2sp.Signer("log.example/two", signer.private)):
        refused(lambda key=c2sp.Key(wrong.vkey): c2sp.open_checkpoint(note, key))
    elsewhere = c2sp.sign_note(c2sp.checkpoint_text("log.example/two", 300, tree.root()), signer)
    refused(lambda: c2sp.open_checkpoint(elsewhere, key))
    refused(lambda: c2sp.Key(signer.vkey.replace(key.id.hex(), c2sp.Key(witness.vkey).id.hex())))
    note = c2sp.sign_note(c2sp.checkpoint_text(signer.name, 300, tree.root()), signer)
    files = [(c2sp.proof_file(at, tree.inclusion(at, 300), note).encode(), tree.rows[0][at]) for at in (0, 131, 299)]
    demand(all(c2sp.proves(file, leaf, key) for file, leaf in files), "a proof file")
    demand(mutated_files(files, key, lot)[1] == 0, "a changed proof file is taken")
    growths = [(old, 300, tree.consistency(old, 300)) for old in (1, 131, 256, 299)]
    demand(mutated_growths(tree, growths, lot)[1] == 0, "a changed consistency proof is taken")


def refused(opening):
    try:
        opening()
    except Malformed:
        return
    raise Malformed("what must be refused is taken")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("url", nargs="?")
    arguments.add_argument("--self", action="store_true", dest="itself")
    for name in ("--vkey", "--token-file", "--checkpoints"):
        arguments.add_argument(name)
    for name in ("--sizes", "--samples", "--mutate"):
        arguments.add_argument(name, type=int, default=0)
    arguments.add_argument("--seed", type=int)
    said = arguments.parse_args()
    if said.itself:
        self_check()
    if said.url:
        token = None
        if said.token_file:
            with open(said.token_file, encoding="ascii") as file:
                token = file.read().strip()
        judge(said.url, said.vkey, token, said.sizes, said.samples, said.mutate, said.checkpoints, said.seed)
    print(f"log (Python): {RESULTS['passed']} passed, {RESULTS['failed']} failed")
    sys.exit(1 if RESULTS["failed"] else 0)


if __name__ == "__main__":
    main()
