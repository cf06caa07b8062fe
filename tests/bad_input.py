"""Bad input against a running node: a table of what was sent, the status and the stable code that came back.

usage: bad_input.py PATH-OF-MINGPAI. Starts nodes of its own on throw-away folders on loopback and stops them by their
pids. Speaks HTTP by raw sockets, since a well-behaved client cannot misbehave. A line a row; a row that is not as the
table says begins with FAIL. The nodes' memory is read from /proc at the end. What needs root (a small tmpfs that fills
up) says "skipped" without it. Ends with "bad input: N passed, N failed".
"""

import atexit
import base64
import itertools
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse

RESULTS = {"passed": 0, "failed": 0}
MIB = 1 << 20
PREFIX = "88.999.1/"
HIDDEN = "HIDDEN-客户合同价-88元"
# A node in a debug build, its caches nearly empty, whatever was sent to it.
MEMORY_BOUND_MIB = 400
JSON = "application/json"
LINES = "application/x-ndjson"


def row(sent, expected, seen):
    """One line of the table. `expected` is a text, or several that are equally right."""
    good = seen == expected or (isinstance(expected, tuple) and seen in expected)
    RESULTS["passed" if good else "failed"] += 1
    wanted = "" if good else f"   (expected {expected})"
    print(f"{'ok  ' if good else 'FAIL'} {sent:<66} -> {seen}{wanted}", flush=True)
    return good


def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise SystemExit("something that was waited for did not happen")


class Answer:
    """What came back over one connection: the first answer, how many there were, and whether the node closed."""

    def __init__(self, raw, is_closed, sent):
        self.raw, self.is_closed, self.sent = raw, is_closed, sent
        head, _, rest = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ")[1]) if first.startswith("HTTP/1.1 ") else 0
        self.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines if ": " in line)}
        if self.headers.get("transfer-encoding") == "chunked":
            self.body = unchunked(rest)
        else:
            self.body = rest[: int(self.headers.get("content-length", len(rest)))]
        self.count = len(re.findall(rb"HTTP/1\.1 \d{3} ", raw))

    def json(self):
        return json.loads(self.body)

    def __str__(self):
        """`STATUS code/code of the first error`"""
        if self.status == 0:
            return "closed" if self.is_closed else "no answer"
        words = [str(self.status)]
        if self.headers.get("content-type") == "application/problem+json" and self.body:
            problem = self.json()
            codes = [problem["code"], *(error["code"] for error in problem.get("errors", [])[:1])]
            words.append("/".join(dict.fromkeys(codes)))
        return " ".join(words)


def unchunked(rest):
    pieces, at = [], 0
    while (end := rest.find(b"\r\n", at)) > at:
        length = int(rest[at:end], 16)
        if length == 0:
            break
        pieces.append(rest[end + 2 : end + 2 + length])
        at = end + 2 + length + 2
    return b"".join(pieces)


def talk(address, pieces, patience=20):
    """Sends the pieces until the node answers or closes, then reads to the end or until nothing comes any more."""
    received, sent, is_closed = [], 0, False
    with socket.create_connection(address) as client:
        client.settimeout(patience)
        try:
            for piece in [pieces] if isinstance(pieces, bytes) else pieces:
                if select.select([client], [], [], 0)[0]:
                    break
                client.sendall(piece)
                sent += len(piece)
        except OSError:
            is_closed = True
        try:
            while piece := client.recv(1 << 16):
                received.append(piece)
            is_closed = True
        except TimeoutError:
            pass
        except OSError:
            is_closed = True
    return Answer(b"".join(received), is_closed, sent)


class Node:
    def __init__(self, binary, name, settings=None, folder=None, settled=True):
        self.name, self.binary = name, binary
        self.folder = folder or tempfile.mkdtemp(prefix=f"mingpai-{name}-")
        self.log_path = os.path.join(self.folder, "log")
        self.log = open(self.log_path, "wb")
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MINGPAI_")}
        environment.update(settings or {}, MINGPAI_LOG_FILTER="debug", RUST_BACKTRACE="0")
        command = [binary, "serve", "--dev", "--data", os.path.join(self.folder, "data"), "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT, env=environment)
        atexit.register(self.clear_away)
        found = until(lambda: re.search(r"http://127\.0\.0\.1:(\d+)/", self.said()) or self.process.poll() is not None, 60)
        if found is True:
            raise SystemExit("the node did not start:\n" + self.said())
        self.address = ("127.0.0.1", int(found.group(1)))
        if settled:
            until(lambda: self.ask("GET", "/readyz").status == 200)
        with open(os.path.join(self.folder, "data", "dev-token"), encoding="ascii") as file:
            self.token = file.read().strip()

    def clear_away(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def said(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def head(self, method, path, headers=(), token=None, close=True):
        lines = [f"{method} {path} HTTP/1.1", "Host: a"]
        lines += [f"{name}: {value}" for name, value in dict(headers).items()]
        if token:
            lines.append(f"Authorization: Bearer {token}")
        if close:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")

    def ask(self, method, path, body=None, headers=None, token=None, patience=20):
        """`body`: bytes, or pieces that are sent chunked, without a declared length."""
        headers = dict(headers or {})
        if body is None or isinstance(body, bytes):
            if body is not None:
                headers.setdefault("Content-Length", len(body))
            pieces = [self.head(method, path, headers, token), body or b""]
        else:
            headers["Transfer-Encoding"] = "chunked"
            chunks = (b"%x\r\n%s\r\n" % (len(piece), piece) for piece in body)
            pieces = itertools.chain([self.head(method, path, headers, token)], chunks, [b"0\r\n\r\n"])
        return talk(self.address, pieces, patience)

    def put(self, suffix, document, headers=None, token=None):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        headers = {"Content-Type": JSON, **(headers or {})}
        return self.ask("PUT", record(suffix), body, headers, token or self.token)

    def raw(self, request, patience=10):
        return talk(self.address, request if isinstance(request, bytes) else request.encode("latin-1"), patience)

    def run_import(self, body, query="", headers=None):
        """The accepted upload, the finished job, and its rejected rows."""
        headers = {"Content-Type": LINES, **(headers or {})}
        accepted = self.ask("POST", "/v1/imports" + query, body, headers, self.token, patience=120)
        if accepted.status != 202:
            return accepted, {}, []
        return accepted, *self.follow(accepted.headers["location"])

    def follow(self, place):
        def job():
            view = self.ask("GET", place, token=self.token).json()
            return view if view["state"] != "running" else None

        done = until(job, 120)
        rows = self.ask("GET", place + "/errors", token=self.token).body.decode("utf-8", "replace")
        return done, [json.loads(line) for line in rows.splitlines()]

    def most_memory_mib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return int(re.search(r"VmHWM:\s+(\d+) kB", file.read()).group(1)) // 1024

    def stop(self, signals=1):
        for _ in range(signals):
            self.process.send_signal(signal.SIGTERM)
            time.sleep(0.2 if signals > 1 else 0)
        try:
            return self.process.wait(timeout=60)
        finally:
            self.log.close()


def record(suffix):
    return "/v1/records/" + PREFIX + urllib.parse.quote(suffix)


def value(data, **more):
    return {"index": 2000, "type": "t", "data": data, **more}


def nested(depth):
    return b"[" * depth + b"]" * depth


def heads(node):
    """Requests that are wrong in their first bytes."""
    host, closing = "Host: a\r\n", "Connection: close\r\n"
    get = "GET /livez HTTP/1.1\r\n" + host + closing
    post = f"POST /v1/resolve HTTP/1.1\r\n{host}Content-Type: {JSON}\r\n"
    inner = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
    chunked = "Transfer-Encoding: chunked\r\n"
    table = [
        ("a header of 16 KiB + 1", get + "X: " + "y" * 16384 + "\r\n\r\n", "431 headers_too_large"),
        ("a header of 100 KB", get + "X: " + "y" * 100_000 + "\r\n\r\n", "431"),
        ("65 headers", get + "".join(f"X-{n}: y\r\n" for n in range(63)) + "\r\n", "431 headers_too_large"),
        ("1,000 headers", get + "".join(f"X-{n}: y\r\n" for n in range(1000)) + "\r\n", "431"),
        ("a target of 8 KiB + 1", "GET /" + "y" * 8192 + " HTTP/1.1\r\n" + host + closing + "\r\n", "414 uri_too_long"),
        ("a target of 100 KB", "GET /" + "y" * 100_000 + " HTTP/1.1\r\n" + host + "\r\n", "431"),
        ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50, "400"),
        ("HTTP/2 and then garbage", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100, "closed"),
        ("HTTP/0.9", "GET /livez\r\n\r\n", "400"),
        ("no Host", "GET /livez HTTP/1.1\r\n" + closing + "\r\n", "400 header_invalid"),
        ("two Hosts", "GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n" + closing + "\r\n", "400 header_invalid"),
        ("CONNECT", "CONNECT a:80 HTTP/1.1\r\n" + host + closing + "\r\n", "404 route_unknown"),
        ("OPTIONS *", "OPTIONS * HTTP/1.1\r\n" + host + closing + "\r\n", "404 route_unknown"),
        ("NUL in a header", get + "X: y\0z\r\n\r\n", "400"),
        ("bare CR in a header", get + "X: y\rZ: w\r\n\r\n", "400"),
        ("a space before a colon", get + "X : y\r\n\r\n", "400"),
        ("a folded header", get + "X: y\r\n z\r\n\r\n", "400"),
        ("broken UTF-8 in the path", b"GET /v1/resolve/88.999.1/\xff HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("broken UTF-8 in If-Match", b"PUT /v1/records/88.999.1/q HTTP/1.1\r\nHost: a\r\nIf-Match: \xff\r\n"
         + f"Authorization: Bearer {node.token}\r\n{closing}Content-Length: 0\r\n\r\n".encode(), "400 header_invalid"),
        ("broken UTF-8 in Authorization", b"GET /v1/keys HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \xff\r\n"
         + closing.encode() + b"\r\n", "401 bad_credentials"),
    ]
    for sent, request, expected in table:
        row(sent, expected, str(node.raw(request)))
    # Smuggling: whatever the first answer is, what stands in its body is never answered as a request of its own.
    smuggled = [
        ("Content-Length and Transfer-Encoding", post + f"Content-Length: {5 + len(inner)}\r\n{chunked}\r\n0\r\n\r\n"),
        ("Transfer-Encoding and Content-Length", post + chunked + "Content-Length: 3\r\n\r\n0\r\n\r\n"),
        ("two Content-Lengths", post + f"Content-Length: 2\r\nContent-Length: {2 + len(inner)}\r\n\r\n{{}}"),
        ("Content-Length: 2, 2", post + "Content-Length: 2, 2\r\n\r\n{}"),
        ("Content-Length: +2", post + "Content-Length: +2\r\n\r\n{}"),
        ("Transfer-Encoding: xchunked", post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked, identity", post + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        ("Transfer-Encoding: identity, then chunked", post + "Transfer-Encoding: identity\r\n" + chunked + "\r\n0\r\n\r\n"),
        ("Transfer-Encoding in HTTP/1.0", post.replace("1.1", "1.0") + chunked + "\r\n0\r\n\r\n"),
        ("Content-Length : 2", post + "Content-Length : 2\r\n\r\n{}"),
        ("a chunk's size that ends in LF", post + chunked + "\r\n2\n{}\r\n0\r\n\r\n"),
        ("a chunk of 2^68 bytes", post + chunked + "\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
        ("a chunk of -2 bytes", post + chunked + "\r\n-2\r\n{}\r\n0\r\n\r\n"),
    ]
    for sent, request in smuggled:
        answer = node.raw(request + inner)
        is_shut = answer.count <= 1 and answer.is_closed and answer.status in (0, 400)
        row("smuggling: " + sent, "refused and closed", "refused and closed" if is_shut else f"{answer} x {answer.count}")
    # RFC 9112, section 2.2, lets a line end in LF alone; it must mean the same then.
    answer = node.raw("GET /livez HTTP/1.1\nHost: a\nConnection: close\n\n")
    row("lines that end in LF alone: one answer", "200 x 1", f"{answer} x {answer.count}")


def bodies(node):
    """Bodies that are too large, too deep, not JSON, or not what they are said to be."""
    empty = b'{"values":[]}'
    plain = {"Content-Type": JSON}
    giant = itertools.repeat(b" " * 65536, 16384)
    path, token = record("bad"), node.token
    for sent, body, headers, expected in [
        ("PUT 1 MiB + 1 byte", b'"' + b"x" * (MIB - 1) + b'"', plain, "413 body_too_large"),
        ("PUT 1 GB declared", b"", {**plain, "Content-Length": 10**9}, "413 body_too_large"),
        ("PUT 2^64 bytes declared", b"", {**plain, "Content-Length": 2**64}, "400"),
        ("PUT 1 GB chunked", giant, plain, "413 body_too_large"),
        ("JSON nested 33 deep", nested(33), plain, "400 json_too_deep"),
        ("JSON nested 1,000,000 deep", b"[" * 1_000_000, plain, "400 json_too_deep"),
        ("objects nested 150,000 deep", b'{"a":' * 150_000, plain, "400 json_too_deep"),
        ("a key twice", b'{"values":[],"values":[]}', plain, "400 json_duplicate_key"),
        ("a key twice, once escaped", b'{"values":[],"\\u0076alues":[]}', plain, "400 json_duplicate_key"),
        ("broken UTF-8", b'{"registrant":"\xff"}', plain, "400 json_syntax"),
        ("a lone surrogate", b'{"registrant":"\\ud800"}', plain, "400 json_syntax"),
        ("a second document after the first", empty + b"{}", plain, "400 json_syntax"),
        ("NUL after the document", empty + b"\0", plain, "400 json_syntax"),
        ("an empty body", b"", plain, "400 json_syntax"),
        ("NaN", b'{"values":[NaN]}', plain, "400 json_syntax"),
        ("2^64 as a number", b'{"values":[{"index":1,"type":"t","data":18446744073709551616}]}', plain,
         "400 json_number_inexact"),
        ("1e999", b'{"values":[{"index":1,"type":"t","data":1e999}]}', plain, ("400 json_number_inexact", "400 json_syntax")),
        ("index 0", b'{"values":[{"index":0,"type":"t","data":"d"}]}', plain, "422 fields_invalid/out_of_range"),
        ("index 2^32", b'{"values":[{"index":4294967296,"type":"t","data":"d"}]}', plain, "422 fields_invalid/out_of_range"),
        ("text/plain", empty, {"Content-Type": "text/plain"}, "415 unsupported_media_type"),
        ("no content type", empty, {}, "415 unsupported_media_type"),
        ("a gzip body where none is taken", empty, {**plain, "Content-Encoding": "gzip"}, "415 unsupported_media_type"),
        ("an array", b"[]", plain, "422 fields_invalid/wrong_type"),
        ("an unknown field", b'{"value":[]}', plain, "422 fields_invalid/unknown_field"),
        ("100,000 unknown fields", b"{" + b",".join(b'"%d":0' % n for n in range(100_000)) + b"}", plain,
         "422 fields_invalid/unknown_field"),
        ("340,000 empty values", b'{"values":[' + b"{}," * 340_000 + b"{}]}", plain, "422 fields_invalid/too_many"),
        ("a value over 60 KiB", json.dumps({"values": [value("x" * 61441)]}).encode(), plain, "422 fields_invalid/too_long"),
        ("901 values", json.dumps({"values": [{"index": n, "type": "t", "data": "d"} for n in range(1, 902)]}).encode(), plain,
         "422 fields_invalid/too_many"),
    ]:
        answer = node.ask("PUT", path + "-" + str(abs(hash(sent))), body, headers, token)
        row("PUT: " + sent if not sent.startswith("PUT") else sent, expected, str(answer))
        if sent == "PUT 1 GB chunked":
            row("    the node took less than 16 MiB of it", "yes", "yes" if answer.sent < 16 * MIB else f"{answer.sent} bytes")
        if len(answer.body) > 64 * 1024:
            row("    the answer is no larger than 64 KiB", "yes", f"{len(answer.body)} bytes")
    batch = lambda count: json.dumps({"identifiers": [PREFIX + str(n) for n in range(count)]}).encode()
    row("a batch of 1,000", "200", str(node.ask("POST", "/v1/resolve", batch(1000), plain)))
    row("a batch of 1,001", "400 batch_too_large", str(node.ask("POST", "/v1/resolve", batch(1001), plain)))
    answer = node.ask("POST", "/v1/resolve", b'"x"\n' * 3 + b'"%s"\n{"a":1}\n\xff\n' % (b"y" * 20000), {"Content-Type": LINES})
    seen = [json.loads(line) for line in answer.body.splitlines()]
    row("a batch by lines: names, a giant, no name, no UTF-8", "400 400 400 413 422 400", " ".join(str(r["status"]) for r in seen))


def names(node):
    """Identifiers, aliases, paths, queries and methods that are wrong."""
    resolve = "/v1/resolve/"
    for sent, method, path, expected in [
        ("NUL in an identifier", "GET", resolve + PREFIX + "a%00b", "400 identifier_invalid/identifier_bad_character"),
        ("a line end in an identifier", "GET", resolve + PREFIX + "a%0D%0Ab", "400 identifier_invalid/identifier_bad_character"),
        ("a text direction mark in an identifier", "GET", resolve + PREFIX + "a%E2%80%AEb",
         "400 identifier_invalid/identifier_bad_character"),
        ("an identifier of 2,049 bytes", "GET", resolve + PREFIX + "x" * 2040, "400 identifier_invalid/identifier_too_long"),
        ("no identifier", "GET", resolve, "400 identifier_invalid/identifier_empty"),
        ("an empty suffix", "GET", resolve + PREFIX, "400 identifier_invalid/identifier_empty_suffix"),
        ("percent-encoded bytes that are no UTF-8", "GET", resolve + PREFIX + "%FF", "400 path_malformed"),
        ("a percent sign that encodes nothing", "GET", resolve + PREFIX + "%zz", "400 path_malformed"),
        ("GTIN with a wrong check digit", "GET", resolve + "01/09506000134353", "400 identifier_invalid/identifier_bad_check_digit"),
        ("a prefix of somebody else", "GET", resolve + "88.999.2/x", "404 identifier_unknown"),
        ("never registered", "GET", resolve + PREFIX + "never", "404 identifier_unknown"),
        ("an unknown parameter", "GET", resolve + PREFIX + "x?tpye=a", "400 query_invalid"),
        ("a parameter twice", "GET", "/v1/records?limit=1&limit=2", "400 query_invalid"),
        ("limit=0", "GET", "/v1/records?limit=0", "400 query_invalid"),
        ("a cursor of one's own making", "GET", "/v1/records?cursor=AAAA", "400 query_invalid"),
        ("at=yesterday", "GET", resolve + PREFIX + "x?at=yesterday", "400 query_invalid"),
        ("index=-1", "GET", resolve + PREFIX + "x?index=-1", "400 query_invalid"),
        ("a wrong method", "POST", resolve + PREFIX + "x", "405 method_not_allowed"),
        ("an unknown method", "BREW", "/v1/keys", "405 method_not_allowed"),
        ("an unknown route", "GET", "/v2/resolve", "404 route_unknown"),
        ("an import's id that climbs", "GET", "/v1/imports/..%2F..%2Fkeys", "404 import_unknown"),
        ("the same for its errors", "GET", "/v1/imports/%2e%2e/errors", "404 import_unknown"),
        ("an import's id with NUL", "GET", "/v1/imports/%00", "404 import_unknown"),
        ("a mapping that is not JSON", "POST", "/v1/imports?mapping=%7B", "400 json_syntax"),
        ("a mapping with an unknown member", "POST", "/v1/imports?mapping=%7B%22a%22%3A1%7D", "400 query_invalid"),
    ]:
        headers = {"Content-Type": LINES, "Content-Length": 0} if method == "POST" else {}
        row(sent, expected, str(node.ask(method, path, None, headers, node.token)))
    for sent, alias, expected in [
        ("GTIN", "01/09506000134353", "422 fields_invalid/identifier_bad_check_digit"),
        ("SSCC", "00/106141412345678909", "422 fields_invalid/identifier_bad_check_digit"),
        ("GLN", "414/9506000134353", "422 fields_invalid/identifier_bad_check_digit"),
        ("GLN, tagged", "gs1:414/9506000134353", "422 fields_invalid/identifier_bad_check_digit"),
    ]:
        document = {"aliases": [{"scheme": "gs1", "identifier": alias}]}
        row(f"an alias with a wrong check digit: {sent}", expected, str(node.put("alias", document)))
    alias = {"aliases": [{"scheme": "gs1", "identifier": "01/09506000134352"}]}
    row("an alias, first", "201", str(node.put("alias-1", alias)))
    row("the same alias for another record", "409 alias_taken", str(node.put("alias-2", alias)))


def callers(node):
    """Credentials, preconditions, repeated keys."""
    path, garbage = record("x") + "%00%FF", b"\xff{" * 1000
    for sent, token, expected in [
        ("nobody", None, "401 missing_credentials"),
        ("a wrong key", "mp_wrong", "401 bad_credentials"),
        ("a key with its end cut off", node.token[:-2], "401 bad_credentials"),
    ]:
        for method in ("PUT", "PATCH", "DELETE"):
            headers = {"Content-Type": "garbage", "Idempotency-Key": "\udcff", "If-Match": "?"}
            answer = node.ask(method, path, garbage, headers, token)
            row(f"{method} garbage to a broken identifier by {sent}", expected, str(answer))
        row(f"an import of garbage by {sent}", expected, str(node.ask("POST", "/v1/imports?x=y", garbage, {}, token)))
    row("two credentials", "401 bad_credentials", str(node.raw(
        f"GET /v1/keys HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {node.token}\r\n"
        f"Authorization: Bearer {node.token}\r\n\r\n")))
    row("an empty bearer", "401 bad_credentials", str(node.ask("GET", "/v1/keys", headers={"Authorization": "Bearer "})))
    expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 4))
    body = json.dumps({"label": "short", "expires": expires}).encode()
    made = node.ask("POST", "/v1/keys", body, {"Content-Type": JSON}, node.token)
    row("a key for four seconds", "201", str(made))
    short = next(text for text in made.json().values() if isinstance(text, str) and len(text) > 40)
    row("    used in time", "200", str(node.ask("GET", "/v1/keys", token=short)))
    until(lambda: node.ask("GET", "/v1/keys", token=short).status == 401, 10)
    row("    used too late, with garbage", "401 bad_credentials", str(node.ask("PUT", path, garbage, {}, short)))
    one, two = {"values": [value("one")]}, {"values": [value("two")]}
    row("PUT, first", "201", str(node.put("held", one)))
    row("PUT over it without a precondition", "428 precondition_required", str(node.put("held", two)))
    row("PUT with another version", "412 version_mismatch", str(node.put("held", two, {"If-Match": '"7"'})))
    row("PUT with an unquoted version", "400 header_invalid", str(node.put("held", two, {"If-Match": "1"})))
    row("PUT to create what exists", "412 already_exists", str(node.put("held", two, {"If-None-Match": "*"})))
    row("DELETE without a precondition", "428 precondition_required", str(node.ask("DELETE", record("held"), token=node.token)))
    row("PUT with its version", "200", str(node.put("held", two, {"If-Match": '"1"'})))
    key = {"Idempotency-Key": "bad-input-1"}
    row("PUT with a key", "201", str(node.put("keyed", one, key)))
    row("the same again", "201", str(node.put("keyed", one, key)))
    row("the key with other content", "422 idempotency_mismatch", str(node.put("keyed", two, key)))
    row("the key for another record", "422 idempotency_mismatch", str(node.put("keyed-2", one, key)))
    row("a key of 256 characters", "400 header_invalid", str(node.put("keyed", one, {"Idempotency-Key": "k" * 256})))
    line, other = b'{"identifier":"%s"}\n', PREFIX.encode()
    again = {"Idempotency-Key": "bad-input-2"}
    row("an import with a key", "202", str(node.run_import(line % (other + b"i-1"), headers=again)[0]))
    row("the same again", "202", str(node.run_import(line % (other + b"i-1"), headers=again)[0]))
    row("the key with other lines", "422 idempotency_mismatch", str(node.run_import(line % (other + b"i-2"), headers=again)[0]))
    gone = {"If-Match": '"2"'}
    row("DELETE", "200", str(node.ask("DELETE", record("held"), headers=gone, token=node.token)))
    for path in (record("held"), "/v1/resolve/" + PREFIX + "held", "/v1/resolve/" + PREFIX + "held?entry=1"):
        row("GET what is deleted: " + path, "410 identifier_deleted", str(node.ask("GET", path)))
    row("PUT what is deleted", "410 identifier_deleted", str(node.put("held", one, {"If-Match": "*"})))
    path = "/v1/resolve/" + PREFIX + "keyed"
    first = node.ask("GET", path)
    tag = first.headers.get("etag", "")
    for sent in ("to fill the cache", "from the cache"):
        answer = node.ask("GET", path, headers={"If-None-Match": tag})
        row(f"GET what the client has, {sent}: no body", '304 "1" 0', f"{answer} {answer.headers.get('etag')} {len(answer.body)}")
        answer = node.ask("HEAD", path)
        row(f"HEAD, {sent}: the length and no body", f"200 {len(first.body)} 0",
            f"{answer} {answer.headers.get('content-length')} {len(answer.body)}")


def imports(node):
    """Rows that are wrong, each with its own code; then a gigabyte of them."""
    good = b'{"identifier":"%srow-%d"}'
    rows = [
        ("", good % (PREFIX.encode(), 1)),
        ("json_too_deep", nested(33)),
        ("json_too_deep", nested(400_000)),
        ("json_duplicate_key", b'{"identifier":"88.999.1/r","identifier":"88.999.1/s"}'),
        ("json_syntax", b'{"identifier":"88.999.1/\xff"}'),
        ("json_syntax", b'{"identifier":"88.999.1/r"}{}'),
        ("fields_invalid", b'"88.999.1/r"'),
        ("fields_invalid", b"{}"),
        ("unknown_field", b'{"identifier":"88.999.1/r","x":1}'),
        ("identifier_bad_character", b'{"identifier":"88.999.1/r\\u0000"}'),
        ("not_responsible", b'{"identifier":"88.999.2/r"}'),
        ("identifier_bad_check_digit", b'{"identifier":"88.999.1/r","aliases":[{"scheme":"gs1","identifier":"01/09506000134353"}]}'),
        ("alias_taken", b'{"identifier":"88.999.1/r","aliases":[{"scheme":"gs1","identifier":"01/09506000134352"}]}'),
        ("line_too_long", good % (PREFIX.encode() + b"x" * MIB, 2)),
        ("", good % (PREFIX.encode(), 3)),
    ]
    accepted, job, rejected = node.run_import(b"\n".join(line for _, line in rows))
    codes = {fault["line"]: fault["code"] for fault in rejected}
    for number, (expected, line) in enumerate(rows, 1):
        shown = line[:44].decode("utf-8", "replace")
        row(f"import, line {number}: {shown!r}", expected or "registered", codes.get(number, "registered"))
    row("    the good rows among them are registered", "done 2", f"{job['state']} {job['rows']['registered']}")
    bomb = subprocess.run(["gzip", "-9"], input=b" " * (64 * MIB), capture_output=True, check=True).stdout
    row(f"import of {len(bomb)} bytes of gzip that are 64 MiB", "413 body_too_large",
        str(node.run_import(bomb, headers={"Content-Encoding": "gzip"})[0]))
    half = subprocess.run(["gzip"], input=rows[0][1] * 1000, capture_output=True, check=True).stdout[:100]
    row("import of half a gzip", "400 body_broken", str(node.run_import(half, headers={"Content-Encoding": "gzip"})[0]))
    row("import in brotli", "415 unsupported_media_type", str(node.run_import(b"", headers={"Content-Encoding": "br"})[0]))
    # 1 GiB without a declared length, half of it in lines over the limit, half in lines just within it.
    long_line = b"[" + b" " * (2 * MIB - 2) + b"\n"
    full_line = b"[" + b" " * (MIB - 2) + b"\n"
    started = time.monotonic()
    giant = itertools.chain(itertools.repeat(long_line, 480), itertools.repeat(full_line, 64))
    accepted, job, rejected = node.run_import(giant)
    row("import of 1 GiB, chunked: spooled to disk, read by lines", "202", str(accepted))
    codes = [fault["code"] for fault in rejected]
    seen = f"{job['state']} {codes.count('line_too_long')} {codes.count('json_syntax')}"
    row(f"    its 544 bad lines are told ({time.monotonic() - started:.0f} s)", "done 480 64", seen)
    accepted, job, rejected = node.run_import(itertools.repeat(full_line, 130), "?atomic=1")
    row("import of 130 MiB of bad lines as one commit", "202 failed import_rejected 130",
        f"{accepted} {job['state']} {(job.get('failure') or {}).get('code')} {len(rejected)}")
    value = b'","values":[{"index":1,"type":"n","data":"' + b"x" * 50_000 + b'"}]}\n'
    good = (b'{"identifier":"88.999.1/heavy-%d' % at + value for at in range(2_700))
    accepted, job, _ = node.run_import(good, "?atomic=1")
    row("import of 130 MiB of good lines as one commit", "202 failed import_too_large",
        f"{accepted} {job['state']} {(job.get('failure') or {}).get('code')}")
    left = [name for name in os.listdir(os.path.join(node.folder, "data", "imports"))
            if "input" in os.listdir(os.path.join(node.folder, "data", "imports", name))]
    row("    no upload is left on the disk", "0", str(len(left)))
    with socket.create_connection(node.address) as client:
        head = node.head("POST", "/v1/imports", {"Content-Type": LINES, "Content-Length": 10 * MIB}, node.token)
        client.sendall(head + b"\n" * MIB)
        folder = os.path.join(node.folder, "data", "imports")
        spooled = until(lambda: [name for name in os.listdir(folder) if os.listdir(os.path.join(folder, name)) == ["input"]])
    until(lambda: spooled[0] not in os.listdir(folder))
    row("    nor that of a client which goes away", "0", "0")


def secrets(node):
    """What is not for everybody is in no anonymous answer and no log; the key is in neither."""
    document = {"values": [value("公开"), {"index": 2001, "type": "price", "data": HIDDEN, "visibility": "owner"}]}
    row("a record with a hidden value", "201", str(node.put("hidden", document)))
    row("    changed", "200", str(node.ask("PATCH", record("hidden"), b'{"registrant":"r"}',
        {"Content-Type": JSON, "If-Match": '"1"'}, node.token)))
    name = PREFIX + "hidden"
    row("    its owner sees it", "yes", "yes" if HIDDEN.encode() in node.ask("GET", record("hidden"), token=node.token).body else "no")
    resolve, batch = "/v1/resolve/" + name, json.dumps({"identifiers": [name]}).encode()
    listing = "/v1/records?limit=1000&prefix=88.999.1"
    row("a list of the records by nobody", "401 missing_credentials", str(node.ask("GET", listing)))
    for method, path, body, headers in [
        ("GET", resolve, None, {}),
        ("GET", resolve, None, {}),
        ("GET", resolve + "?entry=1", None, {}),
        ("GET", resolve + "?index=2001", None, {}),
        ("GET", resolve + "?type=price&entry=1", None, {}),
        ("GET", resolve + "?at=1&entry=1", None, {}),
        ("GET", record("hidden"), None, {}),
        ("GET", "/v1/history/" + name, None, {}),
        ("POST", "/v1/resolve", batch, {"Content-Type": JSON}),
        ("POST", "/v1/resolve", json.dumps(name).encode(), {"Content-Type": LINES}),
        ("GET", "/metrics", None, {}),
    ]:
        answer = node.ask(method, path, body, headers)
        plain = answer.body + b"".join(unpadded(word) for word in re.findall(rb"[A-Za-z0-9_-]{30,}", answer.body))
        is_shown = any(form in plain for form in (HIDDEN.encode(), json.dumps(HIDDEN).strip('"').encode(), node.token.encode()))
        row(f"    not in {method} {path} {headers.get('Content-Type') or headers.get('Accept') or ''}", "200 hidden",
            f"{answer.status} {'shown' if is_shown else 'hidden'}")


def unpadded(word):
    """What base64url stands for: a search for text would not find what a disclosure says."""
    try:
        return base64.urlsafe_b64decode(word + b"=" * (-len(word) % 4))
    except ValueError:
        return b""


def silence(node):
    said = node.said()
    secret = node.token.rsplit("_", 1)[-1]
    row(f"the log of {node.name} at debug ({len(said)} characters): the hidden value, the key", "absent absent",
        f"{'there' if 'HIDDEN-' in said else 'absent'} {'there' if secret in said else 'absent'}")


def impatience(binary):
    """Time-outs of a second."""
    node = Node(binary, "impatient", {
        "MINGPAI_LIMITS_HEADER_TIMEOUT_SECONDS": "1",
        "MINGPAI_LIMITS_BODY_TIMEOUT_SECONDS": "1",
    })
    row("a head that never ends, 1 s allowed", "408 request_timeout", str(node.raw("GET /livez HTTP/1.1\r\nHost", 10)))
    row("a connection that says nothing, 1 s allowed", "closed", str(node.raw(b"", 10)))
    slow = node.head("PUT", record("slow"), {"Content-Type": JSON, "Content-Length": 100}, node.token)
    row("a body that stops, 1 s allowed", "408 request_timeout", str(node.raw(slow + b"{", 10)))
    drip = node.head("GET", "/livez")
    answer = talk(node.address, (time.sleep(0.1) or bytes([byte]) for byte in drip), 10)
    row("a head that drips a byte every 0.1 s", "408 request_timeout", str(answer))
    node.stop()


def crowd(binary):
    """Room for eight connections and two requests; then a drain with a request in the middle."""
    node = Node(binary, "crowded", {"MINGPAI_LIMITS_CONNECTIONS": "8", "MINGPAI_LIMITS_REQUESTS_IN_FLIGHT": "2"})
    slow = node.head("PUT", record("slow"), {"Content-Type": JSON, "Content-Length": 100}, node.token)
    # What the rows before have closed may still count for a moment, so one of ours may be turned away itself: then one more.
    waiting, idle = [], []

    def asks_nothing(held, first_bytes):
        held.append(socket.create_connection(node.address))
        held[-1].sendall(first_bytes)
        answer = node.ask("GET", "/livez")
        return answer if answer.status == 503 else None

    seen = until(lambda: asks_nothing(waiting, slow), 5)
    row("a request more than the 2 allowed in flight", "503 overloaded", str(seen))
    row("    which says when to come again", "yes", "yes" if "retry-after" in seen.headers else "no")
    for client in waiting:
        client.close()
    until(lambda: node.ask("GET", "/livez").status == 200)
    seen = until(lambda: asks_nothing(idle, b""), 5)
    row("a connection more than the 8 allowed", "503 overloaded", str(seen))
    row("    and not much sooner", "yes", "yes" if len(idle) >= 6 else f"at {len(idle) + 1}")
    for client in idle:
        client.close()
    until(lambda: node.ask("GET", "/livez").status == 200)
    document = b'{"values":[]}'
    with socket.create_connection(node.address) as client:
        head = node.head("PUT", record("drained"), {"Content-Type": JSON, "Content-Length": len(document)}, node.token)
        client.sendall(head + document[:1])
        # In flight is counted: the request has begun when a gauge says so, which nothing but /metrics tells.
        until(lambda: re.search(rb"mingpai_requests_in_flight\S* 2", node.ask("GET", "/metrics").body), 5)
        node.process.send_signal(signal.SIGTERM)
        until(lambda: refuses(node.address), 5)
        client.sendall(document[1:])
        client.settimeout(10)
        answer = client.recv(1 << 16)
    row("SIGTERM while a PUT is in flight: it is answered", "201", answer.split(b" ")[1].decode() if answer else "closed")
    row("    and the exit code is 0", "0", str(node.process.wait(30)))
    silence(node)


def handshakes(binary):
    """What is no handshake, on an address that speaks TLS; a second allowed."""
    node = Node(binary, "tls", {
        "MINGPAI_TLS_DEV": "true",
        "MINGPAI_TLS_LISTEN": "127.0.0.1:0",
        "MINGPAI_LIMITS_HANDSHAKE_TIMEOUT_SECONDS": "1",
    })
    address = ("127.0.0.1", int(re.search(r"https://127\.0\.0\.1:(\d+)/", node.said()).group(1)))
    row("HTTP without TLS", "400 tls_required", str(talk(address, node.head("GET", "/livez"), 10)))
    row("nothing at all", "closed", str(talk(address, b"", 10)))
    row("a record that never ends", "closed", str(talk(address, b"\x16\x03\x01\x40\x00\x01", 10)))
    hello = b"\x16\x03\x01\x00\x08\x01\x00\x00\x04" + b"\xff" * 4
    row("a hello that is none: a TLS alert", "21", str(talk(address, hello, 10).raw[:1][0]))
    lines, before = node.said().count("\n"), node.most_memory_mib()
    stalled = b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc" + b"x" * 16000
    clients = [socket.create_connection(address) for _ in range(400)]
    for client in clients:
        client.sendall(stalled)
    counted = rb'mingpai_tls_handshakes_total\{outcome="timeout"\} (\d+)'
    until(lambda: (seen := re.search(counted, node.ask("GET", "/metrics").body)) and int(seen.group(1)) >= 402)
    row("400 hellos that stall after 16 KB, all counted: lines in the log", "few",
        "few" if node.said().count("\n") - lines < 40 else str(node.said().count("\n") - lines))
    cost = node.most_memory_mib() - before
    row(f"    their memory, {cost} MiB, is below", "60 MiB", "60 MiB" if cost < 60 else f"{cost} MiB")
    for client in clients:
        client.close()
    row("    and cleartext goes on", "200", str(node.ask("GET", "/readyz")))
    silence(node)
    node.stop()


def refuses(address):
    try:
        socket.create_connection(address, 1).close()
        return False
    except OSError:
        return True


def config(binary, folder):
    """Configurations that are wrong are refused with the key's name."""
    path = os.path.join(folder, "bad.toml")
    for sent, text, key in [
        ("an unknown key", '[limits]\nbody_byte = 1\n', "limits.body_byte"),
        ("an unknown section", '[limit]\nbody_bytes = 1\n', "limit"),
        ("a number out of range", "[limits]\njson_depth = 1000\n", "limits.json_depth"),
        ("a wrong type", '[limits]\njson_depth = "deep"\n', "limits.json_depth"),
        ("no TOML", "[limits\n", ""),
    ]:
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        for command, code in (("check-config", 1), ("serve", 2)):
            done = subprocess.run([binary, command, "--dev", "--config", path, "--data", os.path.join(folder, "none"), "--listen",
                                   "127.0.0.1:0"], capture_output=True, text=True, timeout=30)
            names = "names it" if key in done.stdout + done.stderr else "does not name it"
            row(f"{command}: {sent} {key}", f"exit {code}, names it", f"exit {done.returncode}, {names}")
    environment = {**os.environ, "MINGPAI_LIMITS_BODY_BYTE": "1"}
    done = subprocess.run([binary, "check-config", "--dev"], capture_output=True, text=True, env=environment, timeout=30)
    seen = "names it" if "BODY_BYTE" in (done.stdout + done.stderr).upper() else "does not name it"
    row("check-config: an unknown MINGPAI_LIMITS_BODY_BYTE", "exit 1, names it", f"exit {done.returncode}, {seen}")


def full_disk(binary):
    """A small tmpfs, filled beyond the reserve: writes stop with a remedy, reads go on, writes come back with the space."""
    folder = tempfile.mkdtemp(prefix="mingpai-full-")
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", folder], capture_output=True).returncode:
        print("skipped: a full disk (mounting a small tmpfs needs root)")
        return
    try:
        settings = {"MINGPAI_STORE_SEGMENT_BYTES": str(16 * MIB), "MINGPAI_STORE_RESERVE_BYTES": str(64 * MIB)}
        node = Node(binary, "full", settings, folder)
        try:
            fill_up(node, folder)
        finally:
            row("    stops with exit code 0", "0", str(node.stop()))
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
        os.rmdir(folder)


def fill_up(node, folder):
    row("a disk with room: PUT", "201", str(node.put("before", {"values": []})))
    space = os.statvfs(folder)
    filler = os.path.join(folder, "filler")
    with open(filler, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, space.f_bavail * space.f_frsize - 32 * MIB)
    # What is free is looked at now and then, so a write or two may still fit.
    seen = until(lambda: (answer := node.put(f"x{time.monotonic_ns()}", {"values": []})).status != 201 and answer, 10)
    row("a disk with less than the reserve: PUT", "507 storage_full", str(seen))
    row("    says what to do", "yes", "yes" if seen.json().get("remedy") and "detail" in seen.json() else "no")
    accepted, job, _ = node.run_import(b"\n" * (8 * MIB))
    row("    an import", "507 storage_full", str(accepted))
    row("    GET goes on", "200", str(node.ask("GET", "/v1/resolve/" + PREFIX + "before")))
    row("    GET past the cache goes on", "200", str(node.ask("GET", record("before"))))
    os.remove(filler)
    until(lambda: node.put(f"y{time.monotonic_ns()}", {"values": []}).status == 201, 30)
    row("a disk with room again: PUT", "201", str(node.put("after", {"values": []})))


def aftermath(node):
    """What all of that did to the node."""
    most = node.most_memory_mib()
    row(f"the most memory of the node, {most} MiB, is below", f"{MEMORY_BOUND_MIB} MiB",
        f"{MEMORY_BOUND_MIB} MiB" if most < MEMORY_BOUND_MIB else f"{most} MiB")
    row("it still answers", "200", str(node.ask("GET", "/readyz")))
    silence(node)
    said = node.said()
    row("no panic, no error in its log", "0 0", f"{said.count('panicked at')} {len(re.findall(' ERROR ', plain_text(said)))}")
    second_signal(node)


def plain_text(log):
    return re.sub(r"\x1b\[[0-9;]*m", "", log)


def second_signal(node):
    with socket.create_connection(node.address) as client:
        client.sendall(node.head("PUT", record("late"), {"Content-Type": JSON, "Content-Length": 100}, node.token) + b"{")
        until(lambda: re.search(rb"mingpai_requests_in_flight\S* 2", node.ask("GET", "/metrics").body), 5)
        started = time.monotonic()
        code = node.stop(signals=2)
        took = time.monotonic() - started
    row("two SIGTERMs while a request hangs: stops at once, and says 1", "1 at once", f"{code} {'at once' if took < 5 else took}")


def main(binary):
    started = time.monotonic()
    node = Node(binary, "node")
    for part in (heads, bodies, names, callers, imports, secrets, aftermath):
        print(f"-- {part.__doc__}")
        part(node)
    for part in (impatience, crowd, handshakes):
        print(f"-- {part.__doc__}")
        part(binary)
    print(f"-- {config.__doc__}")
    config(binary, node.folder)
    print(f"-- {full_disk.__doc__}")
    full_disk(binary)
    print(f"{time.monotonic() - started:.0f} seconds")
    print(f"bad input: {RESULTS['passed']} passed, {RESULTS['failed']} failed")
    sys.exit(1 if RESULTS["failed"] else 0)


if __name__ == "__main__":
    main(sys.argv[1])
