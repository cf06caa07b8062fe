"""Requests signed by http-message-signatures (RFC 9421 in another language) to a running node: over HTTP/1.1, and by curl over HTTP/2.

usage: signatures.py PATH-OF-MINGPAI. Starts a node on a throw-away folder on loopback, stops it by its pid, prints
"signatures: N passed, N failed" at the end.
"""

import base64
import datetime
import http.client
import json
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

from cryptography.hazmat.primitives.asymmetric import ed25519
from http_message_signatures import HTTPMessageSigner, HTTPSignatureKeyResolver, algorithms

RESULTS = {"passed": 0, "failed": 0}
JSON = "application/json"


def check(name, condition, detail=""):
    RESULTS["passed" if condition else "failed"] += 1
    print(f"signatures {name} ... {'ok' if condition else 'FAILED ' + str(detail)[:500]}", flush=True)


class Node:
    def __init__(self, binary, folder):
        self.process = subprocess.Popen(
            [binary, "serve", "--dev", "--data", folder, "--listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        for line in self.process.stdout:
            found = re.search(r"http://(127\.0\.0\.1:\d+)", line)
            if found:
                self.place = found.group(1)
            if "administrator's key" in line:
                break
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        with open(f"{folder}/dev-token", encoding="ascii") as file:
            self.key = file.read().strip()

    def send(self, method, target, headers, body=None):
        connection = http.client.HTTPConnection(self.place, timeout=30)
        connection.request(method, target, body, headers)
        answer = connection.getresponse()
        told = answer.status, dict(answer.getheaders()), answer.read().decode()
        connection.close()
        return told

    def by_key(self, method, target, document):
        headers = {"authorization": f"Bearer {self.key}", "content-type": JSON}
        return self.send(method, target, headers, json.dumps(document))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


class Message:
    """A request as the library wants it."""

    def __init__(self, node, method, target, body, headers):
        self.method, self.body, self.target = method, body, target
        self.url = f"http://{node.place}{target}"
        self.headers = dict(headers)


class Holder(HTTPSignatureKeyResolver):
    """Who has the private half of a key that was registered."""

    def __init__(self, node, role, prefixes=None):
        self.pair = ed25519.Ed25519PrivateKey.generate()
        raw = self.pair.public_key().public_bytes_raw()
        public = {"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(raw).rstrip(b"=").decode()}
        wish = {"role": role, "public_key": public} | ({"prefixes": prefixes} if prefixes else {})
        status, _, text = node.by_key("POST", "/v1/keys", wish)
        assert status == 201, text
        self.node, self.id = node, json.loads(text)["id"]
        # The node says how: the tag names it.
        status, headers, _ = node.send("GET", "/v1/keys", {})
        self.tag = re.search(r'tag="([^"]+)"', headers["accept-signature"]).group(1)

    def resolve_private_key(self, _):
        return self.pair

    def resolve_public_key(self, _):
        return self.pair.public_key()

    def sign(self, method, target, body=None, headers=(), ahead=4, covered=None, **more):
        message = Message(self.node, method, target, body, headers)
        names = ["@method", "@authority", "@path"] + (["@query"] if "?" in target else []) + list(message.headers)
        wanted = {"nonce": secrets.token_hex(12), "tag": self.tag} | more
        HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=self).sign(
            message,
            key_id=self.id,
            created=datetime.datetime.now() + datetime.timedelta(seconds=ahead),
            covered_component_ids=covered or names,
            body=body,
            **wanted,
        )
        return message

    def send(self, message):
        return self.node.send(message.method, message.target, message.headers, message.body)

    def ask(self, *parts, **more):
        return self.send(self.sign(*parts, **more))


def code(told):
    return told[0], json.loads(told[2]).get("code")


def part(name):
    return json.dumps({"values": [{"index": 2000, "type": "名称", "data": name}]}).encode()


def documents(node, holder):
    typed = {"content-type": JSON}
    made = holder.ask("PUT", "/v1/records/88.999.1/signed", part("一"), typed)
    check("a record is registered by a signed request", made[0] == 201, made)
    target = "/v1/records/88.999.1/" + urllib.parse.quote("件号")
    made = holder.ask("PUT", target, part("二"), typed)
    check("a name that is percent-encoded is signed as it is sent", made[0] == 201, made)
    listed = holder.ask("GET", "/v1/records?prefix=88.999.1&limit=10")
    check("a query is covered", listed[0] == 200 and len(json.loads(listed[2])["records"]) == 10, listed)
    changed = holder.ask("DELETE", target, None, {"if-match": '"1"'})
    check("a precondition is covered", changed[0] == 200, changed)
    again = holder.sign("GET", "/v1/sessions/current", expires=datetime.datetime.now() + datetime.timedelta(seconds=60))
    told = holder.send(again)
    check("who asks is the key", told[0] == 200 and json.loads(told[2])["principal"] == f"key:{holder.id}", told)
    check("and once only", code(holder.send(again)) == (401, "signature_unusable"))
    altered = holder.sign("PUT", "/v1/records/88.999.1/altered", part("一"), typed)
    altered.body = part("二")
    check("an altered body is refused", code(holder.send(altered)) == (400, "digest_mismatch"))
    altered = holder.sign("PUT", "/v1/records/88.999.1/altered", part("一"), typed)
    altered.target = "/v1/records/88.999.1/other"
    check("an altered path opens nothing", code(holder.send(altered)) == (401, "bad_credentials"))
    public = node.send("GET", "/v1/resolve/88.999.1/altered", {})
    check("and nothing came of it", public[0] == 404, public)
    for what, more in [
        ("another node's tag", {"tag": "mingpai-request:urn:mingpai:other"}),
        ("a signature of before", {"ahead": -400}),
        ("one ahead of the clock", {"ahead": 60}),
        ("@target-uri alone", {"covered": ("@method", "@authority", "@target-uri")}),
        ("no nonce", {"nonce": None}),
    ]:
        told = holder.ask("GET", "/v1/sessions/current", **more)
        check(f"{what} is refused", code(told) == (401, "signature_unusable"), told)


def uploads(node, holder):
    rows = "\n".join(json.dumps({"identifier": f"88.999.1/row{at}", "values": []}) for at in range(5_000)).encode()
    typed = {"content-type": "application/x-ndjson"}
    altered = holder.sign("POST", "/v1/imports", rows, typed)
    altered.body = rows.replace(b"row", b"bad")
    check("an altered import is refused", code(holder.send(altered)) == (400, "digest_mismatch"))
    started = holder.ask("POST", "/v1/imports", rows, typed)
    check("an import is taken", started[0] == 202, started)
    job = json.loads(started[2])
    deadline = time.monotonic() + 60
    while job["state"] == "running" and time.monotonic() < deadline:
        time.sleep(0.1)
        job = json.loads(holder.ask("GET", started[1]["location"])[2])
    check("to its end", (job["state"], job["rows"]["registered"]) == ("done", 5_000), job)
    public = node.send("GET", "/v1/resolve/88.999.1/bad0", {})
    check("the altered one left nothing", public[0] == 404, public)


def framing(node, holder):
    """What the library does not send."""
    message = holder.sign("GET", "/v1/sessions/current")
    headers = [f"{name}: {value}" for name, value in message.headers.items()]
    folded = [line.replace(";created", "\r\n ;created") for line in headers]

    def raw(lines):
        with socket.create_connection(tuple(node.place.split(":")), timeout=30) as connection:
            head = ["GET /v1/sessions/current HTTP/1.1", f"Host: {node.place}", "Connection: close", *lines, "", ""]
            connection.sendall("\r\n".join(head).encode())
            return b"".join(iter(lambda: connection.recv(65_536), b"")).split(b" ", 2)[1]

    check("a folded header is no header", raw(folded) == b"400", raw(folded))
    check("the same header in one line is good", raw(headers) == b"200")
    many = raw([*headers, "authorization: Bearer x"])
    check("two credentials are none", many == b"401", many)


def over_http2(node, holder):
    message = holder.sign("PUT", "/v1/records/88.999.1/h2?", part("三"), {"content-type": JSON})
    lines = [word for name, value in message.headers.items() for word in ("-H", f"{name}: {value}")]
    command = ["curl", "-sS", "--http2-prior-knowledge", "-X", "PUT", "--data-binary", "@-", "-w", "%{http_version} %{http_code}"]
    told = subprocess.run([*command, "-o", "/dev/null", *lines, message.url], input=message.body, capture_output=True, timeout=60)
    check("over HTTP/2 the authority is that of the target", told.stdout == b"2 201", (told.stdout, told.stderr))


def main():
    with tempfile.TemporaryDirectory() as folder:
        node = Node(sys.argv[1], folder)
        try:
            holder = Holder(node, "registrar", ["88.999.1"])
            early = holder.ask("GET", "/v1/sessions/current", ahead=-20)
            check("what may have been used before a restart is refused", code(early) == (401, "signature_unusable"), early)
            time.sleep(2.5)
            documents(node, holder)
            uploads(node, holder)
            framing(node, holder)
            over_http2(node, holder)
        finally:
            check("the node stops in order", node.stop() == 0)
    print(f"signatures: {RESULTS['passed']} passed, {RESULTS['failed']} failed")
    sys.exit(RESULTS["failed"] > 0)


main()
