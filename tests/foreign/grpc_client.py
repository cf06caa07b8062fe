"""Speaks gRPC to a node with Google's own client, over stubs made from proto/ as a user would make them.

usage: grpc_client.py PATH-OF-MINGPAI. Starts nodes on throw-away folders on loopback, stops them by their pids, prints
"grpc: N passed, N failed" at the end.
"""

import gzip
import json
import os
import queue
import re
import signal
import sys
import tempfile
import threading
import time
import urllib.parse

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

HERE = os.path.dirname(os.path.abspath(__file__))
RESULTS = {"passed": 0, "failed": 0}
KNOWN = "88.999.1/NEV-VEH-2026-000003"


def check(name, condition):
    RESULTS["passed" if condition else "failed"] += 1
    print(f"grpc {name} ... {'ok' if condition else 'FAILED'}", flush=True)


def make_stubs(folder):
    """Python of proto/, by the compiler that grpcio-tools brings."""
    import grpc_tools
    from grpc_tools import protoc

    protos = os.path.join(HERE, "..", "..", "proto")
    own = os.path.join(os.path.dirname(grpc_tools.__file__), "_proto")
    files = [
        os.path.relpath(os.path.join(path, name), protos)
        for path, _, names in os.walk(protos)
        for name in names
        if name.endswith(".proto")
    ]
    arguments = ["protoc", f"-I{protos}", f"-I{own}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    assert protoc.main(arguments + sorted(files)) == 0
    # "grpc" is the library's package too: the health stubs are moved beside ours.
    health = os.path.join(folder, "grpc", "health", "v1")
    with open(os.path.join(health, "health_pb2_grpc.py"), encoding="utf-8") as file:
        text = file.read().replace("from grpc.health.v1 import health_pb2", "import health_pb2")
    with open(os.path.join(folder, "health_pb2_grpc.py"), "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(os.path.join(health, "health_pb2.py"), os.path.join(folder, "health_pb2.py"))
    sys.path.insert(0, folder)


class Client:
    """The stubs over one channel."""

    def __init__(self, channel, key=None):
        from mingpai.v1 import importer_pb2_grpc, registrar_pb2_grpc, resolver_pb2_grpc

        self.channel = channel
        self.resolver = resolver_pb2_grpc.ResolverStub(channel)
        self.registrar = registrar_pb2_grpc.RegistrarStub(channel)
        self.importer = importer_pb2_grpc.ImporterStub(channel)
        self.signed = [("authorization", f"Bearer {key}")] if key else []

    def raw(self, path, body, **options):
        """Sends bytes as they are, whether they are a message or not."""
        return self.channel.unary_unary(path)(body, timeout=30, **options)


class Failed:
    """How a call failed: its status, its code, what it was told besides."""

    def __init__(self, error):
        self.status = error.code().name
        self.message = error.details()
        status = rpc_status.from_call(error)
        self.details = {}
        for detail in status.details if status else []:
            kind = getattr(error_details_pb2, detail.TypeName().split(".")[-1])()
            assert detail.Unpack(kind)
            self.details[type(kind).__name__] = kind
        info = self.details.get("ErrorInfo")
        self.code = info.reason if info else None
        self.domain = info.domain if info else None
        self.told = dict(info.metadata) if info else {}
        self.request_id = self.details["RequestInfo"].request_id if "RequestInfo" in self.details else None
        violations = self.details["BadRequest"].field_violations if "BadRequest" in self.details else []
        self.fields = {violation.field: violation.reason for violation in violations}
        self.headers = dict(error.initial_metadata() or ())
        self.headers.update(dict(error.trailing_metadata() or ()))


def fails(call):
    """The failure of a call, which must fail; of a stream, once it is read."""
    try:
        answer = call()
        if hasattr(answer, "__next__"):
            for _ in answer:
                pass
    except grpc.RpcError as error:
        return Failed(error)
    raise AssertionError("the call did not fail")


def until(condition, seconds=20):
    """Waits for what happens by itself, for so long at most."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def json_of(data):
    """Data as HTTP tells it."""
    import base64

    kind = data.WhichOneof("value")
    value = getattr(data, kind)
    if kind == "decimal":
        told = {"format": kind, "value": value.value}
        return dict(told, unit=value.unit) if value.HasField("unit") else told
    if kind == "list":
        value = [json_of(item) for item in value.items]
    elif kind == "bytes":
        value = base64.b64encode(value).decode()
    elif kind == "admin":
        value = {"handle": value.handle, "index": value.index, "permissions": value.permissions}
    elif kind == "vlist":
        value = [{"handle": item.handle, "index": item.index} for item in value.items]
    elif kind in ("site", "key"):
        value = json.loads(value)
    return {"format": kind, "value": value}


def over_http(node, identifier, query=""):
    status, body = node.get("/v1/resolve/" + urllib.parse.quote(identifier) + query)
    assert status == 200, (status, body)
    return json.loads(body)


def resolving(node, client):
    from mingpai.v1 import record_pb2, resolver_pb2

    resolve = client.resolver.Resolve
    asked = over_http(node, KNOWN, "?entry=1")
    answer = resolve(resolver_pb2.ResolveRequest(identifier=KNOWN, entry=True))
    record = answer.record
    check("a record is the one of HTTP", record.identifier == asked["identifier"] and record.version == asked["version"])
    check("so is its status", record_pb2.RecordStatus.Name(record.status) == "RECORD_STATUS_" + asked["status"].upper())
    check("so are its values", [json_of(value.data) for value in record.values] == [value["data"] for value in asked["values"]])
    check("so are its names", [alias.identifier for alias in record.aliases] == [alias["identifier"] for alias in asked["aliases"]])
    check("so is its time", record.updated.ToJsonString() == asked["updated"])
    # Salts are drawn at registration, so the entry is the same text wherever it is asked.
    check("so is its signed entry", answer.entry == asked["entry"])
    index, kind = record.values[0].index, record.values[0].type
    only = resolve(resolver_pb2.ResolveRequest(identifier=KNOWN, indexes=[index])).record.values
    check("an index filters", [value.index for value in only] == [index])
    only = resolve(resolver_pb2.ResolveRequest(identifier=KNOWN, types=[kind])).record.values
    check("a type filters", {value.type for value in only} == {kind})
    check("no entry comes unasked", not resolve(resolver_pb2.ResolveRequest(identifier=KNOWN)).HasField("entry"))
    failed = fails(lambda: resolve(resolver_pb2.ResolveRequest(identifier="88.999.1/NOBODY")))
    check("an unknown name is not found", (failed.status, failed.code) == ("NOT_FOUND", "identifier_unknown"))
    check("its domain is ours and its status the table's", (failed.domain, failed.told["status"]) == ("mingpai", "404"))
    check("its request can be looked for", failed.request_id and failed.request_id == failed.headers["x-request-id"])
    check("Chinese is the default", re.search("[一-鿿]", failed.message) is not None)
    options = {"metadata": [("accept-language", "en"), ("x-request-id", "mine-1")]}
    failed = fails(lambda: resolve(resolver_pb2.ResolveRequest(identifier="88.999.1/NOBODY"), **options))
    check("English is told when asked", failed.message.isascii() and failed.told["remedy"].isascii())
    check("a request keeps its own id", failed.request_id == "mine-1")
    failed = fails(lambda: resolve(resolver_pb2.ResolveRequest(identifier="no identifier")))
    check("a broken name is told by its rule", (failed.status, failed.code) == ("INVALID_ARGUMENT", "identifier_invalid"))
    check("and by its field", list(failed.fields) == ["identifier"])
    failed = fails(lambda: resolve(resolver_pb2.ResolveRequest(identifier=KNOWN, indexes=[0])))
    check("a question that is none is refused", failed.code == "query_invalid")
    check("a gzipped message is refused by name", fails(lambda: client.raw(
        "/mingpai.v1.Resolver/Resolve", b"\x0a\x01a" * 40, compression=grpc.Compression.Gzip)).code == "unsupported_media_type")
    failed = fails(lambda: client.raw("/mingpai.v1.Resolver/Resolve", b"\xff\xff\xff"))
    check("bytes that are no message are refused", (failed.status, failed.code) == ("INVALID_ARGUMENT", "message_malformed"))
    failed = fails(lambda: client.raw("/mingpai.v1.Resolver/Nothing", b""))
    check("an unknown call is told apart", (failed.status, failed.code) == ("UNIMPLEMENTED", "route_unknown"))
    failed = fails(lambda: client.raw("/mingpai.v1.Resolver/ResolveBatch", b"\x0a\x01a" * 400_000))
    check("a message over the limit is refused", (failed.status, failed.code) == ("RESOURCE_EXHAUSTED", "body_too_large"))


def many(node, client):
    from mingpai.v1 import resolver_pb2

    names = [KNOWN, "88.999.1/NOBODY", "no identifier", KNOWN]
    results = list(client.resolver.ResolveBatch(resolver_pb2.ResolveBatchRequest(identifiers=names)))
    check("a batch keeps its order", [result.identifier for result in results] == names)
    outcomes = [result.problem.code or "found" for result in results]
    check("each of a batch has its outcome", outcomes == ["found", "identifier_unknown", "identifier_invalid", "found"])
    check("an outcome has its status and remedy", results[1].problem.status == 404 and results[1].problem.remedy != "")
    failed = fails(lambda: client.resolver.ResolveBatch(resolver_pb2.ResolveBatchRequest(identifiers=["a"] * 1001)))
    check("a batch has a bound", (failed.status, failed.code) == ("INVALID_ARGUMENT", "batch_too_large"))
    names = [KNOWN if at % 3 else f"88.999.1/N{at}" for at in range(5000)]
    questions = (resolver_pb2.ResolveRequest(identifier=name) for name in names)
    results = list(client.resolver.ResolveStream(questions, timeout=60))
    check("a stream keeps its order", [result.identifier for result in results] == names)
    found = sum(result.HasField("resolution") for result in results)
    check("a stream goes on after what is unknown", found == sum(at % 3 > 0 for at in range(5000)))
    asked = queue.Queue()
    answers = client.resolver.ResolveStream(iter(asked.get, None), timeout=60)
    turns = 0
    for at in range(10):
        asked.put(resolver_pb2.ResolveRequest(identifier=KNOWN if at % 2 else "88.999.1/NOBODY"))
        turns += next(answers).HasField("resolution") == bool(at % 2)
    asked.put(None)
    check("a stream is a conversation", turns == 10 and list(answers) == [])


def rss_bytes(node):
    with open(f"/proc/{node.process.pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmRSS:\s+(\d+) kB", file.read()).group(1)) * 1024


def slow_reader(node, client):
    from mingpai.v1 import resolver_pb2

    sent = [0]

    def endless():
        while True:
            sent[0] += 1
            yield resolver_pb2.ResolveRequest(identifier=KNOWN, entry=True)

    before = rss_bytes(node)
    answers = client.resolver.ResolveStream(endless(), timeout=60)
    next(answers)
    seen = [-1, 0]

    def stands():
        seen[1] = seen[1] + 1 if sent[0] == seen[0] else 0
        seen[0] = sent[0]
        return seen[1] >= 25

    check("who does not read is not asked for more", until(stands))
    grown = rss_bytes(node) - before
    check(f"and costs the node little ({grown >> 20} MiB, {sent[0]} questions)", grown < 32 << 20)
    answers.cancel()
    check("cancelled, it leaves nothing in flight", until(lambda: in_flight(node) == 1))


def gauge(node, line):
    """A metric's value by the beginning of its line; None where there is none."""
    _, text = node.get("/metrics")
    found = re.search("^" + re.escape(line) + r" (\S+)$", text, re.M)
    return float(found.group(1)) if found else None


def in_flight(node):
    # The scrape itself is one.
    return gauge(node, "mingpai_requests_in_flight")


def registering(node, client):
    from mingpai.v1 import record_pb2, registrar_pb2, resolver_pb2

    key = {"metadata": client.signed}
    register, name = client.registrar.Register, "88.999.1/GRPC-1"
    absent, any_ = registrar_pb2.Precondition(absent=True), registrar_pb2.Precondition(any=True)

    def draft(text, **more):
        value = record_pb2.Value(index=2000, type="名称", data=record_pb2.Data(string=text))
        hidden = record_pb2.Value(index=2001, type="成本", data=record_pb2.Data(integer=-3), visibility="VISIBILITY_OWNER")
        return record_pb2.Draft(values=[value, hidden], **more)

    wrong = registrar_pb2.RegisterRequest(identifier="no identifier", draft=record_pb2.Draft(status=77))
    failed = fails(lambda: register(wrong))
    check("who is nobody is asked who, before anything is judged", (failed.status, failed.code) == ("UNAUTHENTICATED", "missing_credentials"))
    check("even before it is a message", fails(lambda: client.raw("/mingpai.v1.Registrar/Register", b"\xff")).code == "missing_credentials")
    failed = fails(lambda: register(wrong, metadata=[("authorization", "Bearer mpk_nothing")]))
    check("a key that opens nothing is refused", (failed.status, failed.code) == ("UNAUTHENTICATED", "bad_credentials"))
    check("also where none is needed", fails(lambda: client.resolver.Resolve(
        resolver_pb2.ResolveRequest(identifier=KNOWN), metadata=[("authorization", "Basic eA==")])).code == "bad_credentials")
    made = register(registrar_pb2.RegisterRequest(identifier=name, draft=draft("一"), precondition=absent, idempotency_key="g-1"), **key)
    check("a record is created", (made.version, made.identifier, made.effect) == (1, name, 1))
    check("HTTP has it", over_http(node, name)["values"][0]["data"]["value"] == "一")
    again = register(registrar_pb2.RegisterRequest(identifier=name, draft=draft("一"), precondition=absent, idempotency_key="g-1"), **key)
    check("a repetition hears the first answer", again.repeated and again.leaf == made.leaf and again.version == 1)
    failed = fails(lambda: register(registrar_pb2.RegisterRequest(identifier=name, draft=draft("二"), precondition=absent, idempotency_key="g-1"), **key))
    check("the key stands for one request", (failed.status, failed.code) == ("INVALID_ARGUMENT", "idempotency_mismatch"))
    status = client.registrar.RequestStatus(registrar_pb2.RequestStatusRequest(idempotency_key="g-1"), **key)
    check("what became of it can be asked", status.leaf == made.leaf)
    failed = fails(lambda: client.registrar.RequestStatus(registrar_pb2.RequestStatusRequest(idempotency_key="g-2"), **key))
    check("of what was never sent nothing is known", (failed.status, failed.code) == ("NOT_FOUND", "request_unknown"))
    failed = fails(lambda: register(registrar_pb2.RegisterRequest(identifier=name, draft=draft("二"), precondition=absent), **key))
    check("create-only does not change", (failed.status, failed.code) == ("ALREADY_EXISTS", "already_exists"))
    failed = fails(lambda: register(registrar_pb2.RegisterRequest(identifier=name, draft=draft("二")), **key))
    check("a change says which version", (failed.status, failed.code) == ("FAILED_PRECONDITION", "precondition_required"))
    failed = fails(lambda: register(registrar_pb2.RegisterRequest(
        identifier=name, draft=draft("二"), precondition=registrar_pb2.Precondition(version=7)), **key))
    check("and the one that stands", (failed.status, failed.code) == ("FAILED_PRECONDITION", "version_mismatch"))
    done = register(registrar_pb2.RegisterRequest(identifier=name, draft=draft("二", template="x/y@1"), precondition=registrar_pb2.Precondition(version=1)), **key)
    check("it is replaced at its version", (done.version, done.effect) == (2, 2))
    patch = record_pb2.RecordPatch(
        status="RECORD_STATUS_RECALLED",
        template="",
        values=[record_pb2.ValuePatch(index=2000, ttl=60), record_pb2.ValuePatch(index=2001, remove=True),
                record_pb2.ValuePatch(index=2002, type="净重", data=record_pb2.Data(decimal=record_pb2.Decimal(value="21.250", unit="g")))],
    )
    done = client.registrar.Patch(registrar_pb2.PatchRequest(identifier=name, patch=patch, precondition=any_), **key)
    seen = over_http(node, name)
    check("a patch changes what it names", done.version == 3 and seen["status"] == "recalled" and "template" not in seen)
    check("and merges values", [(value["index"], value["ttl"]) for value in seen["values"]] == [(2000, 60), (2002, 86400)])
    check("a decimal keeps its zeros", seen["values"][1]["data"] == {"format": "decimal", "value": "21.250", "unit": "g"})
    failed = fails(lambda: client.registrar.Patch(registrar_pb2.PatchRequest(
        identifier=name, patch=record_pb2.RecordPatch(values=[record_pb2.ValuePatch(index=9, remove=True)]), precondition=any_), **key))
    check("a patch's faults are named by field", failed.fields == {"patch.values[0].index": "no_such_value"})
    return hidden_and_gone(node, client, key, draft)


def hidden_and_gone(node, client, key, draft):
    from mingpai.v1 import record_pb2, registrar_pb2, resolver_pb2

    minted = client.registrar.Mint(registrar_pb2.MintRequest(prefix="88.999.1", draft=draft("铸")), **key)
    check("a suffix is minted", minted.identifier.startswith("88.999.1/") and minted.version == 1)
    read = lambda **options: client.registrar.ReadRecord(registrar_pb2.ReadRecordRequest(identifier=minted.identifier), **options)
    check("everybody reads what is public", [value.index for value in read().values] == [2000])
    check("a key reads the rest", [value.index for value in read(**key).values] == [2000, 2001])
    failed = fails(lambda: client.registrar.Mint(registrar_pb2.MintRequest(draft=draft("铸")), **key))
    check("minting needs a prefix", failed.fields == {"prefix": "required"})
    delete = client.registrar.Delete
    failed = fails(lambda: delete(registrar_pb2.DeleteRequest(identifier=minted.identifier), **key))
    check("a deletion says which version", failed.code == "precondition_required")
    precondition = registrar_pb2.Precondition(version=1)
    gone = delete(registrar_pb2.DeleteRequest(identifier=minted.identifier, precondition=precondition), **key)
    check("a deletion leaves a tombstone", (gone.version, gone.effect) == (2, 3))
    failed = fails(lambda: client.resolver.Resolve(resolver_pb2.ResolveRequest(identifier=minted.identifier)))
    check("what is deleted is told apart", (failed.status, failed.code, failed.told["status"]) == ("NOT_FOUND", "identifier_deleted", "410"))
    bad = [record_pb2.Value(index=at + 1, type="x" * 300, data=record_pb2.Data(date="never")) for at in range(60)]
    bad[0].data.list.items.add().date = "never"
    request = registrar_pb2.RegisterRequest(identifier="88.999.1/BAD", draft=record_pb2.Draft(values=bad))
    failed = fails(lambda: client.registrar.Register(request, **key))
    check("faults are named by field and code", failed.fields.get("draft.values[0].data.list.items[0]") == "bad_date"
          and failed.fields.get("draft.values[1].type") == "too_long")
    check("and as many as a client takes", int(failed.told["omitted_errors"]) > 0 and (failed.status, failed.code) == ("INVALID_ARGUMENT", "fields_invalid"))


EVERYTHING = {
    "status": "suspended",
    "template": "auto/part@1",
    "registrant": "示范企业",
    "values": [
        {"index": 1, "type": "a", "data": "铭牌", "ttl": 0, "permissions": "1010",
         "references": [{"handle": "88.999.1/a", "index": 3}], "timestamp": "2026-11-23T15:24:37Z"},
        {"index": 2, "type": "a", "data": {"format": "integer", "value": -(2**63)}},
        {"index": 3, "type": "a", "data": {"format": "date", "value": "2026-11-23"}},
        {"index": 4, "type": "a", "data": {"format": "boolean", "value": False}},
        {"index": 5, "type": "a", "data": {"format": "url", "value": "https://example.com/"}},
        {"index": 6, "type": "a", "data": {"format": "identifier", "value": "88.999.1/b"}},
        {"index": 7, "type": "a", "data": {"format": "list", "value": [{"format": "list", "value": [1, "x"]}]}},
        {"index": 8, "type": "a", "data": {"format": "bytes", "value": "AAEC"}},
        {"index": 9, "type": "a",
         "data": {"format": "admin", "value": {"handle": "88.999.1/c", "index": 1, "permissions": "011111111111"}}},
        {"index": 10, "type": "a", "data": {"format": "vlist", "value": [{"handle": "88.999.1/a", "index": 3}]}},
        {"index": 11, "type": "a", "data": {"format": "site", "value": {"a": [1, "二"]}}},
        {"index": 4294967295, "type": "a", "data": {"format": "key", "value": {"kty": "OKP"}}},
    ],
    "links": [
        {"rel": "manual", "href": "https://example.com/", "title": "手册", "type": "text/html", "hreflang": ["zh"]},
        {"rel": "part-of", "identifier": "88.999.1/d"},
    ],
    "aliases": [{"scheme": "gs1", "identifier": "01/09506000149516"}],
}


def round_trip(node, client, key):
    """What HTTP registered comes out over gRPC, and goes in again as it was."""
    from mingpai.v1 import record_pb2, registrar_pb2, resolver_pb2

    name = "88.999.1/GRPC-ALL"
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "If-None-Match": "*"}
    status, body = node.send("PUT", "/v1/records/" + name, json.dumps(EVERYTHING).encode(), headers)
    assert status == 201, body
    first = over_http(node, name)
    record = client.resolver.Resolve(resolver_pb2.ResolveRequest(identifier="01/09506000149516")).record
    check("every format comes out", [json_of(value.data) for value in record.values] == [value["data"] for value in first["values"]])
    same = {field: getattr(record, field) for field in ("status", "template", "values", "links", "aliases", "registrant")}
    client.registrar.Register(
        registrar_pb2.RegisterRequest(
            identifier=name, draft=record_pb2.Draft(**same), precondition=registrar_pb2.Precondition(version=1)
        ),
        metadata=client.signed,
    )
    second = over_http(node, name)
    check("and goes in again as it was", {**second, "version": 1, "updated": first["updated"]} == first)


def history(node, client):
    from mingpai.v1 import resolver_pb2

    name = "88.999.1/GRPC-1"
    ask = client.resolver.History
    page = ask(resolver_pb2.HistoryRequest(identifier=name, limit=2))
    check("a history is newest first", [version.version for version in page.versions] == [3, 2] and page.next_cursor != "")
    rest = ask(resolver_pb2.HistoryRequest(identifier=name, cursor=page.next_cursor))
    check("and goes on where a page ended", [version.version for version in rest.versions] == [1] and rest.next_cursor == "")
    asked = json.loads(node.get("/v1/history/" + name)[1])["versions"]
    check("it is the one of HTTP", [version.index for version in [*page.versions, *rest.versions]] == [version["index"] for version in asked])
    at = lambda **moment: client.resolver.Resolve(resolver_pb2.ResolveRequest(identifier=name, **moment)).record
    check("a version can be asked for", at(version=1).values[0].data.string == "一")
    check("with the cursor of its page too", at(version=1, cursor=page.next_cursor).version == 1)
    check("so can a moment", at(time=Timestamp(seconds=4_000_000_000)).version == 3)
    failed = fails(lambda: at(time=Timestamp(seconds=1)))
    check("before the first there is none", (failed.status, failed.code) == ("NOT_FOUND", "version_unknown"))
    check("a moment beyond all calendars is refused", fails(lambda: at(time=Timestamp(seconds=2**60))).code == "query_invalid")
    told = ask(resolver_pb2.HistoryRequest(identifier=name, limit=1, diff=True), metadata=client.signed).versions[0]
    asked = json.loads(node.get(f"/v1/history/{name}?limit=1&diff=1", {"Authorization": dict(client.signed)["authorization"]})[1])["versions"][0]
    plain = lambda change: {
        "part": change.part, "change": change.change,
        **{field: json.loads(getattr(change, field)) for field in ("before", "after") if change.HasField(field)},
        **({"index": change.index} if change.HasField("index") else {}),
    }
    check("what changed is told as over HTTP", [plain(change) for change in told.changes.items] == asked["changes"] and len(asked["changes"]) > 3)
    check("and who, to a key", told.principal == asked["principal"] and not page.versions[0].HasField("principal"))
    compared = client.resolver.Compare(resolver_pb2.CompareRequest(identifier=name, from_version=1, to_version=2))
    asked = json.loads(node.get(f"/v1/diff/{name}?from=1&to=2")[1])
    check("two versions are compared as over HTTP", [plain(change) for change in compared.changes] == asked["changes"] and (getattr(compared, "from").version, compared.to.version) == (1, 2))
    failed = fails(lambda: client.resolver.Compare(resolver_pb2.CompareRequest(identifier=name)))
    check("a comparison needs a beginning", failed.code == "query_invalid")
    check("a cursor of another list is refused", fails(lambda: ask(resolver_pb2.HistoryRequest(identifier=name, cursor="abc"))).code == "query_invalid")


def importing(node, client):
    from mingpai.v1 import importer_pb2, record_pb2

    key = {"metadata": client.signed, "timeout": 60}
    Part = importer_pb2.ImportRequest

    def send(start, *parts):
        return client.importer.Import(iter([Part(start=start), *parts]), **key)

    def ended(job):
        views = list(client.importer.WatchImport(importer_pb2.ReadImportRequest(id=job.id), **key))
        assert views[-1].state != importer_pb2.IMPORT_STATE_RUNNING
        return views[-1]

    lines = [json.dumps({"identifier": f"88.999.1/GI-{at}", "values": [{"index": 1, "type": "a", "data": at}]}) for at in range(3000)]
    lines[10] = '{"identifier":"no identifier"}'
    text = "\n".join(lines).encode()
    chunks = [Part(chunk=text[at : at + 4096]) for at in range(0, len(text), 4096)]
    job = ended(send(importer_pb2.ImportStart(), *chunks))
    check("a file in chunks becomes a job", (job.rows.total, job.rows.registered, job.rows.failed) == (3000, 2999, 1))
    check("whose end is told", job.state == importer_pb2.IMPORT_STATE_DONE and job.HasField("ended"))
    same = client.importer.ReadImport(importer_pb2.ReadImportRequest(id=job.id), **key)
    check("and can be asked for", same == job)
    over = json.loads(node.get(f"/v1/imports/{job.id}", {"Authorization": dict(client.signed)["authorization"]})[1])
    check("over HTTP too", over["rows"]["registered"] == 2999)
    errors = list(client.importer.ImportErrors(importer_pb2.ReadImportRequest(id=job.id), **key))
    check("what was rejected is told with its row", [(error.line, error.code, error.row) for error in errors] == [(11, "identifier_unrecognized", lines[10])])
    rows = [
        Part(row=importer_pb2.ImportRow(identifier=f"88.999.1/GR-{at}", draft=record_pb2.Draft(
            values=[record_pb2.Value(index=1, type="a", data=record_pb2.Data(string=f"行{at}"))])))
        for at in range(500)
    ]
    rows[3].row.draft.values[0].data.site = "{no json"
    job = ended(send(importer_pb2.ImportStart(), *rows))
    check("rows become a job, and fail one by one", (job.rows.registered, job.rows.failed) == (499, 1))
    check("a row is a record", over_http(node, "88.999.1/GR-7")["values"][0]["data"]["value"] == "行7")
    rows = [
        Part(row=importer_pb2.ImportRow(identifier="88.999.1/GR-0", operation="OPERATION_RECALL")),
        Part(row=importer_pb2.ImportRow(identifier="88.999.1/GR-1", if_version=1, patch=record_pb2.RecordPatch(
            values=[record_pb2.ValuePatch(index=1, remove=True)], registrant="新的"))),
        Part(row=importer_pb2.ImportRow(identifier="88.999.1/GR-2", if_version=9, patch=record_pb2.RecordPatch(registrant="新的"))),
        Part(row=importer_pb2.ImportRow(identifier="88.999.1/GR-4", operation="OPERATION_DELETE")),
    ]
    job = ended(send(importer_pb2.ImportStart(operation="OPERATION_PATCH", on_conflict="ON_CONFLICT_UPDATE"), *rows))
    patched = over_http(node, "88.999.1/GR-1")
    check("rows change, recall and retire", over_http(node, "88.999.1/GR-0")["status"] == "recalled" and node.get("/v1/resolve/88.999.1/GR-4")[0] == 410)
    check("a row merges", (patched["registrant"], patched["values"]) == ("新的", []))
    check("a row for another version fails", (job.rows.updated, job.rows.failed, job.kind) == (3, 1, "import"))
    table = "编号,名称\nGC-1,螺栓\nGC-2,垫圈\n".encode("gb18030")
    mapping = importer_pb2.ImportMapping(identifier="88.999.1/{编号}", values=[importer_pb2.MappedValue(index=2000, type="名称", **{"from": "名称"})])
    start = importer_pb2.ImportStart(csv=importer_pb2.CsvForm(), gzip=True, mapping=mapping, idempotency_key="gi-1")
    first = send(start, Part(chunk=gzip.compress(table)))
    job = ended(first)
    check("a gzipped table in GB18030 is found out", (job.rows.registered, job.table.encoding.lower(), list(job.table.columns)) == (2, "gb18030", ["编号", "名称"]))
    again = send(start, Part(chunk=gzip.compress(table)))
    check("the same upload finds its job", again.id == first.id)
    failed = fails(lambda: send(start, Part(chunk=gzip.compress(table + b"x"))))
    check("another under the same key is refused", failed.code == "idempotency_mismatch")
    job = ended(send(importer_pb2.ImportStart(dry_run=True), Part(chunk=b'{"identifier":"88.999.1/GD"}')))
    check("a rehearsal registers nothing", job.dry_run and node.get("/v1/resolve/88.999.1/GD")[0] == 404)
    faults(client, send, key)
    broken_off(node, client, key)


def faults(client, send, key):
    from mingpai.v1 import importer_pb2

    Part = importer_pb2.ImportRequest
    row = Part(row=importer_pb2.ImportRow(identifier="88.999.1/GX"))
    empty = importer_pb2.ImportStart()
    mapped = importer_pb2.ImportMapping(identifier="88.999.1/{a}")
    for name, code, parts in [
        ("nothing at all", "message_malformed", []),
        ("no start", "message_malformed", [row]),
        ("two starts", "message_malformed", [Part(start=empty), Part(start=empty)]),
        ("an empty message", "message_malformed", [Part(start=empty), Part()]),
        ("rows and chunks", "message_malformed", [Part(start=empty), row, Part(chunk=b"{}")]),
        ("rows of a table", "message_malformed", [Part(start=importer_pb2.ImportStart(csv=importer_pb2.CsvForm(), mapping=mapped)), row]),
        ("a table without a mapping", "query_invalid", [Part(start=importer_pb2.ImportStart(csv=importer_pb2.CsvForm()))]),
        ("broken gzip", "body_broken", [Part(start=importer_pb2.ImportStart(gzip=True)), Part(chunk=b"no gzip")]),
        ("a broken key", "fields_invalid", [Part(start=importer_pb2.ImportStart(idempotency_key="a b"))]),
    ]:
        failed = fails(lambda parts=parts: client.importer.Import(iter(parts), **key))
        check(f"{name} is refused", (failed.status, failed.code) == ("INVALID_ARGUMENT", code))
    failed = fails(lambda: client.importer.WatchImport(importer_pb2.ReadImportRequest(id="nothing"), **key))
    check("no job is watched that is not there", (failed.status, failed.code) == ("NOT_FOUND", "import_unknown"))
    failed = fails(lambda: client.importer.Import(iter([Part(start=empty)])))
    check("importing needs a key", failed.code == "missing_credentials")


def broken_off(node, client, key):
    """An upload whose client goes away leaves no file and no job."""
    from mingpai.v1 import importer_pb2

    Part = importer_pb2.ImportRequest
    folder = os.path.join(node.folder, "imports")
    before = set(os.listdir(folder))
    parts = queue.Queue()
    call = client.importer.Import.future(iter(parts.get, None), **key)
    parts.put(Part(start=importer_pb2.ImportStart()))
    parts.put(Part(chunk=b"{" * 100_000))
    begun = until(lambda: set(os.listdir(folder)) - before)
    call.cancel()
    parts.put(None)
    check("a broken upload leaves nothing", bool(begun) and until(lambda: set(os.listdir(folder)) == before))
    check("and nothing in flight", until(lambda: in_flight(node) == 1))


def manners(node, client):
    import health_pb2
    import health_pb2_grpc

    health = health_pb2_grpc.HealthStub(client.channel)
    serving = health_pb2.HealthCheckResponse.SERVING
    check("the node is healthy", health.Check(health_pb2.HealthCheckRequest()).status == serving)
    check("so is a service", health.Check(health_pb2.HealthCheckRequest(service="mingpai.v1.Resolver")).status == serving)
    failed = fails(lambda: health.Check(health_pb2.HealthCheckRequest(service="nothing")))
    check("of what is not there nothing is said", (failed.status, failed.code) == ("NOT_FOUND", "service_unknown"))
    watch = health.Watch(health_pb2.HealthCheckRequest())
    check("health can be watched", next(watch).status == serving)
    watch.cancel()
    database = ProtoReflectionDescriptorDatabase(client.channel)
    services = set(database.get_services())
    check("a developer's node tells its interface", {"mingpai.v1.Resolver", "mingpai.v1.Registrar", "mingpai.v1.Importer"} <= services)
    found = database.FindFileContainingSymbol("mingpai.v1.Resolver")
    check("with its messages", found.name == "mingpai/v1/resolver.proto")
    for outcome in ("ok", "unknown", "gone", "refused"):
        count = gauge(node, f'mingpai_request_seconds_count{{stage="total",transport="grpc",outcome="{outcome}"}}')
        check(f"calls are counted as {outcome}", count is not None and count > 0)
    count = gauge(node, 'mingpai_request_seconds_count{stage="service",transport="grpc",outcome="ok"}')
    check("and their stages timed", count is not None and count > 0)


def bounded_calls(binary, folder):
    """A node that answers one call at a time, which lasts a second at most, over TLS."""
    from mingpai.v1 import resolver_pb2
    from verify import Node

    class Encrypted(Node):
        """The same over TLS, which the throw-away root vouches for."""

        def __init__(self, binary, folder):
            import subprocess

            self.folder = folder
            self.process = subprocess.Popen(
                [binary, "serve", "--dev", "--tls", "--data", folder, "--listen", "127.0.0.1:0",
                 "--set", "limits.grpc_call_seconds=1", "--set", "limits.requests_in_flight=1",
                 "--set", "drain.lame_duck_seconds=0"],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )
            for line in self.process.stdout:
                found = re.search(r"https://(127\.0\.0\.1:\d+)", line)
                if found:
                    self.address = found.group(1)
                    break
            threading.Thread(target=self.process.stdout.read, daemon=True).start()

    node = Encrypted(binary, folder)
    try:
        with open(os.path.join(folder, "tls", "ca.pem"), "rb") as file:
            credentials = grpc.ssl_channel_credentials(file.read())
        with grpc.secure_channel(node.address, credentials) as channel:
            grpc.channel_ready_future(channel).result(timeout=30)
            client = Client(channel)
            answer = client.resolver.Resolve(resolver_pb2.ResolveRequest(identifier=KNOWN))
            check("TLS carries calls by ALPN", answer.record.identifier == KNOWN)
            asked = queue.Queue()
            asked.put(resolver_pb2.ResolveRequest(identifier=KNOWN))
            started = time.monotonic()
            answers = client.resolver.ResolveStream(iter(asked.get, None))
            next(answers)
            failed = fails(lambda: client.resolver.Resolve(resolver_pb2.ResolveRequest(identifier=KNOWN)))
            check("one too many is told so by accept", (failed.status, failed.code) == ("UNAVAILABLE", "overloaded"))
            failed = fails(lambda: answers)
            spent = time.monotonic() - started
            asked.put(None)
            check("the node's own bound ends a stream", (failed.status, failed.code) == ("DEADLINE_EXCEEDED", "deadline_exceeded"))
            check(f"in its time ({spent:.1f} s)", 0.9 < spent < 5)
    finally:
        node.stop()


def draining(binary, folder):
    """A node that is asked to stop while streams are open."""
    from mingpai.v1 import resolver_pb2
    from verify import Node

    # `--dev` has no lame duck of its own.
    node = Node(binary, folder, {"MINGPAI_DRAIN_LAME_DUCK_SECONDS": "5"})
    try:
        with grpc.insecure_channel(node.url.removeprefix("http://")) as channel:
            client = Client(channel)
            asked = queue.Queue()
            answers = client.resolver.ResolveStream(iter(asked.get, None))
            asked.put(resolver_pb2.ResolveRequest(identifier=KNOWN))
            check("a stream is open", next(answers).HasField("resolution"))
            node.process.send_signal(signal.SIGTERM)
            check("it turns load balancers away", until(lambda: node.get("/readyz")[0] == 503))
            asked.put(resolver_pb2.ResolveRequest(identifier=KNOWN))
            check("it goes on in the lame duck", next(answers).HasField("resolution"))
            failed = fails(lambda: answers)
            asked.put(None)
            check("a drain ends it with its reason", (failed.status, failed.code) == ("UNAVAILABLE", "draining"))
            check("and when to come back", failed.details["RetryInfo"].retry_delay.seconds == 5)
        check("the node ends well, with nobody cut off", node.process.wait(timeout=20) == 0)
    finally:
        if node.process.poll() is None:
            node.process.kill()


def main(binary):
    sys.path.insert(0, HERE)
    from verify import Node

    with tempfile.TemporaryDirectory() as folder:
        make_stubs(folder)
        node = Node(binary, os.path.join(folder, "node"))
        try:
            with open(os.path.join(folder, "node", "dev-token"), encoding="ascii") as file:
                key = file.read().strip()
            with grpc.insecure_channel(node.url.removeprefix("http://")) as channel:
                client = Client(channel, key)
                resolving(node, client)
                many(node, client)
                registering(node, client)
                round_trip(node, client, key)
                history(node, client)
                importing(node, client)
                slow_reader(node, client)
                manners(node, client)
        finally:
            node.stop()
        bounded_calls(binary, os.path.join(folder, "bounded"))
        draining(binary, os.path.join(folder, "draining"))
    print(f"grpc: {RESULTS['passed']} passed, {RESULTS['failed']} failed")
    sys.exit(RESULTS["failed"] > 0)


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1]))
