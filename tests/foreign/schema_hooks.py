"""What schemathesis must be taught: bodies that are lines, tables or workbooks, good ones and bad ones."""

import json
import os

import schemathesis
from hypothesis import strategies as st

# Of the key that the run asks with, told by schema.py.
OWN_KEY_ID = os.environ.get("MINGPAI_SCHEMA_KEY_ID")
MOST_REPEATED = 40
LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

NAMES = st.sampled_from(["88.999.1/MAT-SITE-01", "88.999.1/SCHEMA-1", "88.999.1/SCHEMA-2", "88.1/x", "", "\u0000", "09506000134352"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.fixed_dictionaries(
    {"index": st.integers(-1, 1 << 33), "type": st.text(), "data": SCALARS | st.lists(SCALARS, max_size=3)},
    optional={"ttl": SCALARS, "visibility": SCALARS, "permissions": SCALARS},
)
RECORDS = st.fixed_dictionaries({"identifier": NAMES}, optional={"values": st.lists(VALUES, max_size=3), "status": SCALARS})
ROWS = (NAMES | SCALARS | RECORDS).map(lambda row: json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass"))
CELLS = st.text(max_size=20) | st.sampled_from(["产品编码", "产品名称", "88.999.1/x", '"', '""', "=1+1", "'"])
TABLES = st.lists(st.lists(CELLS, max_size=4).map(",".join), max_size=5).map("\r\n".join)

LINES_OF_ROWS = st.lists(ROWS | st.binary(max_size=20), max_size=5).map(b"\n".join)
TABLES_OF_CELLS = TABLES.map(lambda text: text.encode("utf-8", "surrogatepass"))
WORKBOOKS = st.binary(max_size=80).map(lambda rest: b"PK\x03\x04" + rest)


@schemathesis.hook
def before_generate_body(ctx, strategy):
    """Imports are sent lines, tables and workbooks too, under whichever of their media types."""
    if ctx.operation is not None and ctx.operation.path.startswith("/v1/imports"):
        return strategy | LINES_OF_ROWS | TABLES_OF_CELLS | WORKBOOKS | st.binary(max_size=60)
    return strategy


@schemathesis.hook
def map_body(ctx, body):
    """A suffix is minted, and values are shared, under a prefix of the node, whatever else is right or wrong with the body."""
    if ctx.operation is not None and ctx.operation.path == "/v1/grants":
        return shared(body)
    is_mint = ctx.operation is not None and ctx.operation.path == "/v1/records"
    if is_mint and isinstance(body, dict) and isinstance(body.get("prefix"), str):
        return {**body, "prefix": "88.999.1"}
    return body


def shared(body):
    """With somebody who is there; what is wrong by its shape stays so."""
    if not isinstance(body, dict) or not isinstance(body.get("prefix"), str):
        return body
    body = {**body, "prefix": "88.999.1"}
    to, names = body.get("to"), body.get("identifiers")
    if isinstance(to, dict) and len(to) == 1 and any(isinstance(to.get(name), str) for name in ("key", "prefix")):
        body["to"] = {"prefix": "88.999"}
    if isinstance(names, list) and 1 <= len(names) <= 100 and all(isinstance(name, str) and name for name in names):
        body["identifiers"] = ["88.999.1/SCHEMA-1"]
    return body


@schemathesis.hook
def filter_query(ctx, query):
    """An empty list or object is written as nothing at all: what is sent then breaks no rule, whatever was meant."""
    return not any(value == [] or value == {} for value in (query or {}).values())


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """An administrator may revoke every key, also the run's own, whose id the list of keys gives away."""
    if case.operation.path == "/v1/keys/{id}" and case.path_parameters.get("id") == OWN_KEY_ID:
        case.path_parameters["id"] = "none"
    # A target far beyond its limit is answered by the connection, with an empty body; tests/bad_input.py looks at that.
    for name, value in (case.query or {}).items():
        if isinstance(value, list) and len(value) > MOST_REPEATED:
            case.query[name] = value[:MOST_REPEATED]


@schemathesis.serializer(*LINES, "text/csv", XLSX, "application/partial-upload", "image/png", "image/jpeg", "application/pdf")
def as_it_is(ctx, value):
    """The bytes of a strategy, the text of an example; what else is generated in their place goes out as JSON."""
    if isinstance(value, bytes):
        return {"data": value}
    data = getattr(value, "data", None)
    if isinstance(data, bytes):
        return {"data": data}
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return {"data": text.encode("utf-8", "surrogatepass")}
