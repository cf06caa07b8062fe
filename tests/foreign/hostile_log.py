"""A dishonest log, for those who follow logs: it serves what was recorded of a genuine node under a key of its own, and lies as told.

usage: hostile_log.py record URL FOLDER [NODE-FOLDER]   records a node's log, and the entry key where the node's folder is given
       hostile_log.py serve FOLDER                      prints the address of each face, and lies as POST /control says

In Python: record(url, folder, node_folder), then `with HostileLog(folder) as log:` and the methods below. A log has two faces, at
addresses of their own, `log.a.url` and `log.b.url`: what different clients are shown. Each method of a face is also a command of
POST /control on that face: {"do": "flip", "level": 0, "number": 0}; the answer is what the method gives.

    publish(size)          signs and shows the head of so many of its entries (all, where no size is said)
    honest()               forgets every lie
    rewrite(index)         another entry in its place, signed by the genuine node's key, and the tree above it
    drop(index)            leaves an entry out
    fork(index)            shows one more entry in place of the last one: a head of the same size as the other face's
    roll_back(size)        shows an older head again; the tiles go back with it
    flip(level, number)    one bit of a tile, or of a bundle with the level "entries"
    cut(number, bytes)     a bundle without its last bytes
    swell(number, bytes)   a bundle with so many bytes too many
    forge(index)           appends a next version of the record at an index, signed by a key that the log never put in force
    second_sid(entry)      appends the same record under another sid, signed by the genuine node's key; gives it with its disclosures
"""

import base64
import functools
import gzip
import hashlib
import http.server
import json
import os
import re
import sys
import threading
import time
import urllib.parse

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import c2sp
from c2sp import WIDTH, demand
from log_check import Client, unpadded

PROOF_TYPES = ("text/x-tlog-proof", "text/plain")


def record(url, folder, node_folder=None):
    """Saves head, keys, bundles and tiles of a node, each under its address; with the node's folder the entry key in force too."""
    client = Client(url)

    def save(path):
        body = client.get(path)
        name = os.path.join(folder, path.strip("/"))
        os.makedirs(os.path.dirname(name), exist_ok=True)
        with open(name, "wb") as file:
            file.write(body)
        return body

    key = c2sp.Key(save("/log/vkey").decode().strip())
    size, _, _ = c2sp.open_checkpoint(save("/log/checkpoint"), key)
    save("/.well-known/jwks.json")
    levels = ["entries", *range(8)]
    for level in levels:
        for number, width in c2sp.tiles_of(level, size):
            save(f"/log/tile/{c2sp.tile_path(level, number, width)}")
    if node_folder:
        keys = os.path.join(node_folder, "keys")
        [name] = [name for name in os.listdir(keys) if name.startswith("entry-")]
        with open(os.path.join(keys, name), "rb") as file:
            private = file.read()
        with open(os.path.join(folder, "entry.jwk"), "wb", opener=functools.partial(os.open, mode=0o600)) as file:
            file.write(private)


def sealed(private, kid, typ, payload):
    """A JWS in compact form, its header in the node's spelling."""
    header = json.dumps({"alg": "EdDSA", "typ": typ, "kid": kid}, separators=(",", ":"))
    body = json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
    signed = f"{spelled(header.encode())}.{spelled(body.encode())}"
    return f"{signed}.{spelled(private.sign(signed.encode()))}".encode()


def spelled(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def opened(entry):
    """Header and payload of an entry; its signature is not looked at."""
    header, payload, _ = entry.decode().split(".")
    return json.loads(unpadded(header)), json.loads(unpadded(payload))


class HostileLog:
    """What was recorded, and the two faces that it is shown with."""

    def __init__(self, folder, private=None):
        def saved(path):
            with open(os.path.join(folder, path), "rb") as file:
                return file.read()

        genuine = c2sp.Key(saved("log/vkey").decode().strip())
        size, root, _ = c2sp.open_checkpoint(saved("log/checkpoint"), genuine)
        self.entries = []
        for number, width in c2sp.tiles_of("entries", size):
            self.entries += c2sp.entries_of(saved("log/tile/" + c2sp.tile_path("entries", number, width)), width)
        self.tree = c2sp.Tree(map(c2sp.leaf_hash, self.entries))
        demand(self.tree.root() == root, "what was recorded is no log")
        for level in range(8):
            for number, width in c2sp.tiles_of(level, size):
                demand(saved("log/tile/" + c2sp.tile_path(level, number, width)) == self.tree.tile(level, number, width), "a recorded tile")
        self.jwks = saved(".well-known/jwks.json")
        self.signer = c2sp.Signer(genuine.name, private)
        self.entry_key, self.kid = None, None
        if os.path.exists(os.path.join(folder, "entry.jwk")):
            jwk = json.loads(saved("entry.jwk"))
            self.entry_key, self.kid = Ed25519PrivateKey.from_private_bytes(unpadded(jwk["d"])), jwk["kid"]
        self.a, self.b = Face(self), Face(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        for face in (self.a, self.b):
            face.server.shutdown()
            face.server.server_close()

    @property
    def vkey(self):
        return self.signer.vkey

    def signed(self, entry, **changes):
        """An entry with changes (None: without), signed by the genuine node's key."""
        demand(self.entry_key, "the node's entry key was not recorded")
        header, payload = opened(entry)
        payload = {name: value for name, value in {**payload, **changes}.items() if value is not None}
        return sealed(self.entry_key, self.kid, header["typ"], payload)


class Face:
    """The log as some of its clients are shown it."""

    COMMANDS = ("publish", "honest", "rewrite", "drop", "fork", "roll_back", "flip", "cut", "swell", "forge", "second_sid")

    def __init__(self, log):
        self.log, self.lock, self.asked = log, threading.RLock(), []
        self.honest()
        handler = type("FaceHandler", (Handler,), {"face": self})
        self.server = Server(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    # What it can be told.

    def publish(self, size=None):
        with self.lock:
            size = len(self.entries) if size is None else size
            demand(0 < size <= len(self.entries), "it has not so many entries")
            self.size, self.root = size, self.tree.root(size)
            text = c2sp.checkpoint_text(self.log.signer.name, size, self.root)
            self.checkpoint = c2sp.sign_note(text, self.log.signer)
            return {"size": size, "root": base64.b64encode(self.root).decode()}

    def honest(self):
        with self.lock:
            self.entries, self.tree, self.lies = list(self.log.entries), self.log.tree, {}
            return self.publish()

    def rewrite(self, index):
        _, payload = opened(self.entries[index])
        return self.replace(index, self.log.signed(self.entries[index], iat=payload["iat"] + 1))

    def replace(self, index, *entries):
        """Puts entries in the place of one, which is none where they are appended."""
        with self.lock:
            self.entries[index : index + 1] = entries
            self.tree = c2sp.Tree([*self.tree.rows[0][:index], *map(c2sp.leaf_hash, self.entries[index:])])
            return self.publish()

    def drop(self, index):
        return self.replace(index)

    def fork(self, index):
        with self.lock:
            _, payload = opened(self.entries[index])
            last = self.size - 1
            del self.entries[self.size :]
            return self.replace(last, self.log.signed(self.entries[index], iat=payload["iat"] + 2))

    def roll_back(self, size):
        with self.lock:
            del self.entries[size:]
            self.tree = c2sp.Tree(self.tree.rows[0][:size])
            return self.publish()

    def flip(self, level, number, bit=0):
        return self.lie(level, number, lambda body: bytes([*body[: bit // 8], body[bit // 8] ^ 1 << bit % 8, *body[bit // 8 + 1 :]]))

    def cut(self, number, bytes=1):
        return self.lie("entries", number, lambda body: body[:-bytes])

    def swell(self, number, bytes=1):
        return self.lie("entries", number, lambda body: body + b"\0" * bytes)

    def lie(self, level, number, change):
        with self.lock:
            self.lies[level, number] = change
            return {"level": level, "number": number}

    def forge(self, index, kid=None):
        """Under the genuine key's name, or that of a key nobody knows: `kid` is "other"."""
        header, payload = opened(self.entries[index])
        demand("sid" in payload, f"entry {index} is of no record")
        private = Ed25519PrivateKey.generate()
        payload |= {"ver": payload["ver"] + 1, "prev": spelled(c2sp.leaf_hash(self.entries[index]))}
        named = header["kid"] if kid is None else thumbprint(private)
        forged = sealed(private, named, header["typ"], payload)
        return {**self.replace(len(self.entries), forged), "index": len(self.entries) - 1, "entry": forged.decode()}

    def second_sid(self, entry):
        """The record of an entry that comes with its disclosures, `JWT~disclosure~...~`, as its first version under another sid."""
        statement, *disclosures = entry.rstrip("~").split("~")
        told = {json.loads(unpadded(disclosure))[1]: disclosure for disclosure in disclosures}
        _, payload = opened(statement.encode())
        name = json.loads(unpadded(told["sub"]))[2] if "sub" in told else payload["sub"]
        sid_key = os.urandom(32)
        blinded = hashlib.sha256(sid_key + canonical(name).encode()).digest()
        old, new = told["sid_key"], spelled(json.dumps([spelled(os.urandom(16)), "sid_key", spelled(sid_key)]).encode())
        digests = sorted(digest(new) if found == digest(old) else found for found in payload["_sd"])
        second = self.log.signed(statement.encode(), _sd=digests, sid=spelled(blinded), ver=1, prev=None, iat=int(time.time()))
        shown = "~".join([second.decode(), *(new if disclosure == old else disclosure for disclosure in disclosures), ""])
        return {**self.replace(len(self.entries), second), "index": len(self.entries) - 1, "entry": shown, "sid": spelled(blinded)}

    # What it answers.

    def answer(self, path, query, accept):
        """Type and body, or None: there is nothing there."""
        with self.lock:
            if path == "/log/checkpoint":
                return "text/plain; charset=utf-8", self.checkpoint.encode()
            if path == "/log/vkey":
                return "text/plain; charset=utf-8", (self.log.vkey + "\n").encode()
            if path == "/.well-known/jwks.json":
                return "application/json", self.log.jwks
            if path.startswith("/log/tile/"):
                body = self.tile(*c2sp.parse_tile_path(path.removeprefix("/log/tile/")))
                return None if body is None else ("application/octet-stream", body)
            if found := re.fullmatch(r"/v1/log/proof/(\d{1,18})", path):
                return self.inclusion(int(found[1]), query, accept)
            if path == "/v1/log/consistency":
                return self.consistency(query)
            return None

    def tile(self, level, number, width):
        if level == "entries":
            entries = self.entries[: self.size][number * WIDTH : number * WIDTH + width]
            body = c2sp.bundle_of(entries) if len(entries) == width else None
        else:
            there = (number * WIDTH + width) << 8 * level <= self.size
            body = self.tree.tile(level, number, width) if there else None
        lie = self.lies.get((level, number))
        return lie(body) if lie and body is not None else body

    def inclusion(self, index, query, accept):
        size = c2sp.decimal(query.get("size", str(self.size)))
        demand(index < size <= self.size, "there is no such entry")
        path = self.tree.inclusion(index, size)
        if accept in PROOF_TYPES:
            demand(size == self.size, "no checkpoint is of that size")
            return "text/plain; charset=utf-8", c2sp.proof_file(index, path, self.checkpoint).encode()
        said = {"index": index, **self.head(size), "hashes": texts(path)}
        return as_json({**said, "checkpoint": self.checkpoint} if size == self.size else said)

    def consistency(self, query):
        old, size = c2sp.decimal(query.get("from", "")), c2sp.decimal(query.get("to", str(self.size)))
        demand(old <= size <= self.size, "there is no such tree")
        return as_json({"from": self.head(old), "to": self.head(size), "hashes": texts(self.tree.consistency(old, size))})

    def head(self, size):
        return {"size": size, "root": base64.b64encode(self.tree.root(size)).decode()}


def texts(hashes):
    return [base64.b64encode(step).decode() for step in hashes]


def as_json(value):
    return "application/json", json.dumps(value).encode()


def digest(disclosure):
    return spelled(hashlib.sha256(disclosure.encode()).digest())


def canonical(identifier):
    """ASCII letters alone have two cases, of which an identifier's key has the small one."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in identifier)


def thumbprint(private):
    public = spelled(private.public_key().public_bytes_raw())
    return spelled(hashlib.sha256(b'{"crv":"Ed25519","kty":"OKP","x":"%s"}' % public.encode()).digest())


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, address):
        """A client that hears a lie may hang up in the middle of it."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, address)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body leave in two writes.
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_GET(self):
        parts = urllib.parse.urlsplit(self.path)
        self.face.asked.append(self.path)
        try:
            found = self.face.answer(parts.path, dict(urllib.parse.parse_qsl(parts.query)), self.headers.get("Accept", ""))
            status = 200 if found else 404
        except c2sp.Malformed as error:
            status, found = 400, ("text/plain; charset=utf-8", str(error).encode())
        kind, body = found or ("text/plain; charset=utf-8", b"there is nothing here")
        self.send(status, kind, body)

    def do_POST(self):
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        command = said.pop("do", None)
        if self.path != "/control" or command not in Face.COMMANDS:
            self.send(404, "text/plain; charset=utf-8", f"commands: {' '.join(Face.COMMANDS)}".encode())
            return
        try:
            self.send(200, *as_json(getattr(self.face, command)(**said)))
        except (c2sp.Malformed, TypeError, LookupError) as error:
            self.send(400, "text/plain; charset=utf-8", repr(error).encode())

    def send(self, status, kind, body):
        encoded = None
        if "gzip" in self.headers.get("Accept-Encoding", "") and self.path.startswith("/log/tile/entries/") and status == 200:
            body, encoded = gzip.compress(body, 1), "gzip"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if encoded:
            self.send_header("Content-Encoding", encoded)
        if self.path.startswith("/log/tile/"):
            self.send_header("Vary", "Accept-Encoding")
            self.send_header("Cache-Control", "public, max-age=31536000, immutable")
        self.end_headers()
        self.wfile.write(body)


def main(arguments):
    match arguments:
        case ["record", url, folder, *rest]:
            record(url, folder, *rest)
        case ["serve", folder]:
            with HostileLog(folder) as log:
                print(f"a {log.a.url}\nb {log.b.url}\nvkey {log.vkey}", flush=True)
                threading.Event().wait()
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
