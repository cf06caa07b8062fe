"""Verifies the node's entries over HTTP with libraries that were not written here: jwcrypto and sd-jwt. Makes grants and
owner's signatures with them too, their canonical JSON (RFC 8785) written here by hand.

usage: verify.py PATH-OF-MINGPAI. Starts a node on a throw-away folder on loopback, stops it by its pid, prints
"foreign: N passed, N failed" at the end.
"""

import base64
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

from jwcrypto import jwk, jws
from sd_jwt.verifier import SDJWTVerifier

RESULTS = {"passed": 0, "failed": 0}
HIDDEN = "客户合同价 88 元，不得外传"


def check(name, condition):
    RESULTS["passed" if condition else "failed"] += 1
    print(f"foreign {name} ... {'ok' if condition else 'FAILED'}", flush=True)


def b64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Node:
    """A node on a throw-away folder."""

    def __init__(self, binary, folder, environment=None):
        self.folder = folder
        self.process = subprocess.Popen(
            [binary, "serve", "--dev", "--data", folder, "--listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self.url = None
        for line in self.process.stdout:
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            if found:
                self.url = found.group(0)
                break
        # The pipe must not fill up while the node runs.
        import threading

        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if self.get("/readyz")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise SystemExit("the node did not become ready")

    def get(self, path, headers=None):
        return self.send("GET", path, None, headers)

    def send(self, method, path, body, headers=None):
        request = urllib.request.Request(self.url + path, data=body, method=method, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


def entry_of(node, identifier):
    status, body = node.get("/v1/resolve/" + urllib.parse.quote(identifier) + "?entry=1")
    assert status == 200, (status, body)
    return json.loads(body)


def verify_by_hand(entry, keys):
    """The issuer part by jwcrypto, every disclosure by its digest; gives payload and disclosed claims."""
    statement, *disclosures = entry.rstrip("~").split("~")
    token = jws.JWS()
    token.deserialize(statement)
    key = keys[token.jose_header["kid"]]
    token.verify(key, alg="EdDSA")
    payload = json.loads(token.payload)
    claims = {}
    for disclosure in disclosures:
        digest = base64.urlsafe_b64encode(hashlib.sha256(disclosure.encode()).digest()).rstrip(b"=").decode()
        assert digest in payload["_sd"], "a disclosure is not signed"
        _salt, name, value = json.loads(b64(disclosure))
        claims[name] = value
    return token.jose_header, payload, claims


def verify_by_sd_jwt(entry, keys):
    def issuer_key(_issuer, header):
        return keys[header["kid"]]

    return SDJWTVerifier(entry, issuer_key, None, None).get_verified_payload()


def refused(entry, keys):
    try:
        verify_by_hand(entry, keys)
        return False
    except Exception:  # every library has its own way to say no
        return True


def canonical(value):
    """RFC 8785, for documents without fractions: members by UTF-16, no white space, the least escaping."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(canonical(name) + ":" + canonical(value[name]) for name in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(canonical(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def unpadded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(key, typ, payload):
    token = jws.JWS(json.dumps(payload, ensure_ascii=False).encode())
    header = {"alg": "EdDSA", "typ": typ, "kid": key.thumbprint()}
    token.add_signature(key, alg="EdDSA", protected=json.dumps(header))
    return token.serialize(compact=True)


def public(key):
    exported = key.export_public(as_dict=True)
    return {"kty": "OKP", "crv": "Ed25519", "x": exported["x"]}


def whole_public(key):
    return {**public(key), "kid": key.thumbprint(), "alg": "EdDSA", "use": "sig"}


def owner_jws(key, identifier, version, content):
    """`content`: the record as it will be, but for what is the node's to set."""
    covered = {"links": [], "aliases": [], **content}
    digest = unpadded(hashlib.sha256(canonical(covered).encode()).digest())
    return compact(key, "mingpai-owner+jwt", {"sub": identifier, "ver": version, "digest": digest})


def owners(node, binary, folder, token):
    """An upper node, this node, an enterprise: all but this node's part is made here."""
    signed = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}

    def post(path, body):
        status, text = node.send("POST", path, json.dumps(body).encode(), signed)
        return status, json.loads(text)

    def put(identifier, body):
        path = "/v1/records/" + urllib.parse.quote(identifier)
        status, text = node.send("PUT", path, json.dumps(body, ensure_ascii=False).encode(), signed)
        return status, json.loads(text)

    upper = jwk.JWK.generate(kty="OKP", crv="Ed25519")
    enterprise = jwk.JWK.generate(kty="OKP", crv="Ed25519")
    own = json.loads(node.get("/.well-known/jwks.json")[1])["keys"]
    own = [{name: key[name] for name in ("kty", "crv", "x", "kid", "alg", "use")} for key in own]
    grant = {"iat": 1, "iss": "https://top.example.cn", "by": whole_public(upper), "prefix": "88.999", "holder": "dev", "keys": own}
    status, _ = post("/v1/licences", {"role": "node", "grant": compact(upper, "mingpai-grant+jwt", grant)})
    check("a grant that jwcrypto signed is taken into the log", status == 201)
    wanted = {"role": "enterprise", "prefix": "88.999.1", "holder": "演示企业甲", "key": public(enterprise)}
    status, licence = post("/v1/licences", wanted)
    check("the enterprise's key is licensed", status == 201)
    statement = jws.JWS()
    statement.deserialize(licence["statement"])
    statement.verify(jwk.JWK(**own[-1]), alg="EdDSA")
    said = json.loads(statement.payload)
    leaf = unpadded(hashlib.sha256(b"\0" + licence["statement"].encode()).digest())
    check("its statement verifies, and its id is its leaf hash", said["holder_key"]["kid"] == enterprise.thumbprint() and leaf == licence["id"])

    identifier = "88.999.1/外签-\U0001f600\u20ac"
    values = [
        {"index": 2000, "type": "产品名称", "data": {"format": "string", "value": 'A"\\\n\u0007/\u2028铭'}, "ttl": 86400},
        {"index": 2001, "type": "件数", "data": {"format": "integer", "value": -9007199254740991}, "ttl": 60},
        {"index": 2002, "type": "站点", "data": {"format": "site", "value": {"\ufb33": 1, "\U0001f600": 2, "a": [None, True]}}, "ttl": 86400},
    ]
    content = {"status": "active", "template": "零部件 v1", "values": values}
    record = {**content, "owner_jws": owner_jws(enterprise, identifier, 1, content)}
    status, done = put(identifier, record)
    check(f"an owner's signature made by jwcrypto over JSON canonicalised here is taken ({status} {done.get('code', '')})", status == 201)
    answer = entry_of(node, identifier)
    keys = {key["kid"]: jwk.JWK(**key) for key in own}
    _, payload, claims = verify_by_hand(answer["entry"], keys)
    check("the entry carries it as it was sent", claims["owner_jws"] == record["owner_jws"] and payload["ver"] == 1)
    for name, refused_with, body in [
        ("another version", (409, "owner_version_moved"), {**content, "owner_jws": owner_jws(enterprise, identifier + "x", 2, content)}),
        ("another content", (422, "owner_digest_mismatch"), {**content, "owner_jws": owner_jws(enterprise, identifier + "x", 1, {**content, "status": "retired"})}),
        ("an unlicensed key", (403, "owner_not_licensed"), {**content, "owner_jws": owner_jws(upper, identifier + "x", 1, content)}),
    ]:
        status, problem = put(identifier + "x", body)
        check(f"{name} is refused", (status, problem.get("code")) == refused_with)

    listed = json.loads(node.get("/v1/licences?identifier=" + urllib.parse.quote(identifier, safe=""))[1])["statements"]
    answer["index"] = done["index"]
    answer["licences"] = [{name: one[name] for name in ("index", "statement")} for one in listed]
    paths = {name: os.path.join(folder, name) for name in ("bundle.json", "bundle-jwks.json", "upper.json")}
    documents = {"bundle.json": answer, "bundle-jwks.json": {"keys": own}, "upper.json": public(upper)}
    for name, document in documents.items():
        with open(paths[name], "w", encoding="utf-8") as file:
            json.dump(document, file, ensure_ascii=False)
    command = [binary, "verify", paths["bundle.json"], "--jwks", paths["bundle-jwks.json"], "--upper-key", paths["upper.json"], "--json"]
    told = json.loads(subprocess.run(command, capture_output=True).stdout)
    steps = {step["name"]: step["finding"] for step in told["steps"]}
    good = all(steps[name] == "pass" for name in ("key_range", "node_licence", "owner_licence", "owner_signature"))
    check("mingpai verify walks the chain", good and steps["statements"] == "unknown")
    status, _ = post(f"/v1/licences/{licence['id']}/end", {"reason": "compromised", "not_after": done["index"] - 1})
    listed = json.loads(node.get("/v1/licences?identifier=" + urllib.parse.quote(identifier, safe=""))[1])["statements"]
    answer["licences"] = [{name: one[name] for name in ("index", "statement")} for one in listed]
    with open(paths["bundle.json"], "w", encoding="utf-8") as file:
        json.dump(answer, file, ensure_ascii=False)
    check("after the key was found out mingpai verify says 1", status == 201 and subprocess.run(command, capture_output=True).returncode == 1)
    return listed


def rebuilt(binary, folder, listed):
    """The rows of licences come out of the journal as they went in."""
    for arguments in (["doctor", "--data", folder], ["doctor", "--data", folder, "--rebuild", "--dev"], ["doctor", "--data", folder]):
        code = subprocess.run([binary, *arguments], capture_output=True).returncode
        check(f"{arguments[0]} {' '.join(arguments[3:])} finds the stopped node whole", code == 0)
    again = Node(binary, folder)
    try:
        status, body = again.get("/v1/licences?identifier=88.999.1%2Fa")
        check("a rebuilt node lists the same statements", status == 200 and json.loads(body)["statements"] == listed)
    finally:
        check("the rebuilt node stops with exit code 0", again.stop() == 0)


def main(binary):
    folder = tempfile.mkdtemp(prefix="mingpai-foreign-")
    node = Node(binary, folder)
    try:
        listed = run(node, binary, folder)
    finally:
        check("the node stops with exit code 0", node.stop() == 0)
    rebuilt(binary, folder, listed)
    print(f"foreign: {RESULTS['passed']} passed, {RESULTS['failed']} failed")
    sys.exit(1 if RESULTS["failed"] else 0)


def run(node, binary, folder):
    status, body = node.get("/.well-known/jwks.json")
    published = json.loads(body)["keys"]
    keys = {key["kid"]: jwk.JWK(**{n: key[n] for n in ("kty", "crv", "x", "kid")}) for key in published}
    check("jwks: the kid is the RFC 7638 thumbprint", all(key.thumbprint() == kid for kid, key in keys.items()))

    with open(os.path.join(folder, "dev-token"), encoding="ascii") as file:
        token = file.read().strip()
    identifier = "88.999.1/外验-0001"
    record = {
        "registrant": "演示企业甲",
        "values": [
            {"index": 2000, "type": "产品名称", "data": "电池包 A"},
            {"index": 2001, "type": "价格", "data": HIDDEN, "visibility": "owner"},
        ],
    }
    status, body = node.send(
        "PUT",
        "/v1/records/" + urllib.parse.quote(identifier),
        json.dumps(record).encode(),
        {"Authorization": "Bearer " + token, "Content-Type": "application/json"},
    )
    check("a record with a hidden value is registered", status == 201)

    answer = entry_of(node, identifier)
    header, payload, claims = verify_by_hand(answer["entry"], keys)
    check("jwcrypto verifies the entry", header["alg"] == "EdDSA" and header["typ"] == "mingpai-entry+sd-jwt")
    verified = verify_by_sd_jwt(answer["entry"], keys)
    check("sd-jwt verifies the entry and sees the public value", verified["value/2000"]["data"]["value"] == "电池包 A")
    check("the hidden value is not among what it sees", "value/2001" not in verified)
    check("the hidden value is nowhere in the answer", HIDDEN not in json.dumps(answer, ensure_ascii=False))
    sid_key = b64(claims["sid_key"])
    sid = hashlib.sha256(sid_key + identifier.lower().encode()).digest()
    check("sid = SHA-256(sid_key || canonical identifier)", b64(payload["sid"]) == sid)
    clear = json.dumps(payload, ensure_ascii=False)
    check(
        "the public statement shows neither identifier nor registrant nor value",
        not any(word in clear for word in ("外验", "88.999", "演示企业", "电池包", HIDDEN)),
    )
    statement, rest = answer["entry"].split("~", 1)
    only_name = statement + "~" + "~".join(d for d in rest.split("~") if d and json.loads(b64(d))[1] == "sub") + "~"
    check("with only the name disclosed it still verifies", verify_by_sd_jwt(only_name, keys)["sub"] == identifier)
    check("with nothing disclosed it still verifies", "sub" not in verify_by_sd_jwt(statement + "~", keys))

    flipped = 0
    positions = range(0, len(answer["entry"]), 37)
    for at in positions:
        letter = answer["entry"][at]
        other = "A" if letter != "A" else "B"
        damaged = answer["entry"][:at] + other + answer["entry"][at + 1 :]
        # The last letter of a base64url part may carry unused bits: a change there alone changes nothing that is signed.
        flipped += refused(damaged, keys) or letter in ".~"
    check(f"one changed byte is refused ({flipped} of {len(positions)})", flipped >= len(positions) - 1)

    with open("config/demo/records.ndjson", encoding="utf-8") as file:
        demonstration = [json.loads(line)["identifier"] for line in file]
    good = 0
    for name in demonstration:
        _, payload, claims = verify_by_hand(entry_of(node, name)["entry"], keys)
        good += claims["sub"] == name
    check(f"every demonstration record verifies ({good})", good == len(demonstration))

    saved, keyset = os.path.join(folder, "answer.json"), os.path.join(folder, "jwks.json")
    with open(saved, "w", encoding="utf-8") as file:
        json.dump(answer, file, ensure_ascii=False)
    with open(keyset, "w", encoding="utf-8") as file:
        file.write(node.get("/.well-known/jwks.json")[1])
    said = [binary, "verify", saved]
    check("mingpai verify says 0 with the keys", subprocess.run([*said, "--jwks", keyset], capture_output=True).returncode == 0)
    check("mingpai verify says 2 without", subprocess.run(said, capture_output=True).returncode == 2)
    answer["values"][0]["data"]["value"] = "电池包 B"
    with open(saved, "w", encoding="utf-8") as file:
        json.dump(answer, file, ensure_ascii=False)
    check("mingpai verify says 1 of an altered answer", subprocess.run([*said, "--jwks", keyset], capture_output=True).returncode == 1)
    return owners(node, binary, folder, token)


if __name__ == "__main__":
    main(sys.argv[1])
