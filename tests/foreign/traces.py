"""A collector of OpenTelemetry's own messages (opentelemetry-proto) takes the spans of a node that it traces.

usage: traces.py PATH-OF-MINGPAI. Starts a node on a throw-away folder on loopback, stops it by its pid, prints
"traces: N passed, N failed" at the end.
"""

import http.server
import json
import queue
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

RESULTS = {"passed": 0, "failed": 0}
HIDDEN = "客户合同价 88 元，不得外传"
NAME = "88.999.1/TRACED-7Q4"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def check(name, condition, detail=""):
    RESULTS["passed" if condition else "failed"] += 1
    print(f"traces {name} ... {'ok' if condition else 'FAILED ' + str(detail)}", flush=True)


class Collector:
    """Takes spans as a collector does, answers what it is told to, keeps the bytes."""

    def __init__(self, port=0):
        self.messages = queue.Queue()
        self.answers = queue.Queue()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                try:
                    status = collector.answers.get_nowait()
                except queue.Empty:
                    status = 200
                collector.messages.put((status, self.path, dict(self.headers), body))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self):
        return self.messages.get(timeout=60)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Node:
    def __init__(self, binary, folder, *settings):
        more = [part for setting in settings for part in ("--set", setting)]
        self.process = subprocess.Popen(
            [binary, "serve", "--dev", "--data", folder, "--listen", "127.0.0.1:0", *more],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        self.log, self.lines = queue.Queue(), []
        threading.Thread(target=self.read_log, daemon=True).start()
        for line in self.process.stdout:
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            if found:
                self.url = found.group(0)
            if "administrator's key" in line:
                break
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        with open(f"{folder}/dev-token", encoding="ascii") as file:
            self.key = file.read().strip()

    def read_log(self):
        for line in self.process.stderr:
            self.log.put(line)

    def logged(self, text):
        """How many lines so far have it."""
        while not self.log.empty():
            self.lines.append(self.log.get())
        return sum(text in line for line in self.lines)

    def ask(self, method, path, headers=None, document=None):
        headers = dict(headers or {})
        body = None
        if document is not None:
            body = json.dumps(document).encode()
            headers |= {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        request = urllib.request.Request(self.url + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def counted(self, outcome):
        text = self.ask("GET", "/metrics", {"traceparent": UNSAMPLED})[1]
        found = re.search(rf'^mingpai_traced_requests_total{{outcome="{outcome}"}} (\d+)$', text, re.M)
        return int(found.group(1)) if found else None

    def until(self, is_so, traced="4"):
        """Asks on, a traced request each time, until it is so."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if is_so():
                return True
            self.ask("GET", "/livez", {"traceparent": sampled(traced * 32)})
        return False

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


UNSAMPLED = f"00-{'1' * 32}-{'2' * 16}-00"


def sampled(trace):
    return f"00-{trace}-{PARENT}-01"


def spans_of(body):
    message = ExportTraceServiceRequest.FromString(body)
    return [
        (resource.resource, scope.scope, span)
        for resource in message.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def attributes(holder):
    return {pair.key: pair.value.string_value or pair.value.int_value for pair in holder.attributes}


def gathered(collector, wanted):
    """Messages until the spans of so many requests came."""
    spans, raw = [], b""
    while sum(span.kind == Span.SPAN_KIND_SERVER for *_, span in spans) < wanted:
        _, path, headers, body = collector.next()
        assert path == "/v1/traces" and headers["content-type" if "content-type" in headers else "Content-Type"] == "application/x-protobuf"
        spans += spans_of(body)
        raw += body
    return spans, raw


def tree(spans):
    return {span.span_id: span for *_, span in spans}


def traced_requests(binary):
    collector = Collector()
    with tempfile.TemporaryDirectory() as folder:
        node = Node(
            binary, folder, f"traces.endpoint=http://127.0.0.1:{collector.port}/v1/traces", "traces.sample_per_million=0"
        )
        record = {"values": [{"index": 1, "type": "名称", "data": "螺栓"},
                             {"index": 2, "type": "成本", "data": HIDDEN, "visibility": "owner"}]}
        path = f"/v1/records/{NAME}"
        put = node.ask("PUT", path, {"If-None-Match": "*", "traceparent": sampled(TRACE), "X-Request-Id": "put-1"}, record)
        check("a traced registration is answered as any", put[0] == 201, put)
        # Without a decision of the caller none is traced at 0, and one that was decided against is not.
        node.ask("GET", f"/v1/resolve/{NAME}")
        node.ask("GET", f"/v1/resolve/{NAME}", {"traceparent": UNSAMPLED})
        hit = node.ask("GET", f"/v1/resolve/{NAME}", {"traceparent": sampled("3" * 32), "X-Request-Id": "hit-1"})
        check("a traced hit is answered as any", hit[0] == 200)
        gone = node.ask("GET", "/v1/resolve/88.999.1/NOBODY", {"traceparent": sampled("4" * 32), "X-Request-Id": "lost-1"})
        check("a problem keeps its request's id", json.loads(gone[1])["request_id"] == "lost-1", gone)
        spans, raw = gathered(collector, 3)
        servers = {attributes(span)["mingpai.request_id"]: span for *_, span in spans if span.kind == Span.SPAN_KIND_SERVER}
        check("only what was decided for is traced", sorted(servers) == ["hit-1", "lost-1", "put-1"], servers)
        resource = attributes(spans[0][0])
        check("the resource is named", resource.get("service.name") == "mingpai" and resource.get("service.version"), resource)
        whole = servers["put-1"]
        check("the trace is the caller's", whole.trace_id.hex() == TRACE and whole.parent_span_id.hex() == PARENT)
        check("the parent is known to be remote", whole.flags & 0x301 == 0x301, whole.flags)
        about = attributes(whole)
        check(
            "method, route and status are told",
            (about["http.request.method"], about["http.route"], about["http.response.status_code"])
            == ("PUT", "/v1/records/{identifier}", 201) and whole.name == "PUT /v1/records/{identifier}",
            about,
        )
        known = tree(spans)
        inner = [span for *_, span in spans if span.trace_id == whole.trace_id and span is not whole]
        names = {span.name for span in inner}
        check("each stage has a span", {"decode", "guard", "service", "store", "sign", "encode"} <= names, names)
        fits = all(
            known[span.parent_span_id].start_time_unix_nano <= span.start_time_unix_nano
            <= span.end_time_unix_nano <= known[span.parent_span_id].end_time_unix_nano
            for span in inner
        )
        check("every span lies within its parent", fits)
        below = {known[span.parent_span_id].name for span in inner if span.name in ("store", "sign")}
        check("store and sign lie within the service", below == {"service"}, below)
        of_hit = [span.name for *_, span in spans if span.trace_id == servers["hit-1"].trace_id and span.kind != Span.SPAN_KIND_SERVER]
        check("of a hit only the cache knows", of_hit == ["cache"], of_hit)
        check("an unknown name is no error of the node", servers["lost-1"].status.code == Status.STATUS_CODE_UNSET)
        for what, text in [("a hidden value", HIDDEN), ("an identifier", "TRACED-7Q4"), ("an identifier in lower case", "traced-7q4"),
                           ("an unknown identifier", "NOBODY"), ("a key", node.key), ("a secret", node.key.split("_")[2])]:
            check(f"{what} is in no span", text.encode() not in raw)
        check("what was sent is counted", node.until(lambda: node.counted("sent") >= 3), node.counted("sent"))

        # The share is taken by a reload of the log's kind: here by a restart it would be too. All of what nobody decided.
        check("stops in order", node.stop() == 0)
        node = Node(
            binary, folder, f"traces.endpoint=http://127.0.0.1:{collector.port}/v1/traces", "traces.sample_per_million=1000000",
            "traces.follow_parent=false",
        )
        for _ in range(20):
            node.ask("GET", f"/v1/resolve/{NAME}", {"traceparent": UNSAMPLED, "X-Request-Id": "deaf"})
        node.ask("GET", f"/v1/resolve/{NAME}", {"X-Request-Id": "own"})
        spans, _ = gathered(collector, 21)
        ids = [attributes(span)["mingpai.request_id"] for *_, span in spans if span.kind == Span.SPAN_KIND_SERVER]
        check("a share of all is traced whatever the caller says", ids.count("deaf") == 20 and ids.count("own") == 1, ids)
        own = next(span for *_, span in spans if attributes(span).get("mingpai.request_id") == "own")
        check("a trace that begins here has an id and no parent", any(own.trace_id) and not own.parent_span_id)
        node.stop()
    collector.close()


def collector_that_is_down(binary):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        node = Node(
            binary, folder, f"traces.endpoint=http://127.0.0.1:{port}/v1/traces", "traces.sample_per_million=1000000",
            "traces.queue_requests=5", "traces.follow_parent=true",
        )
        answers = [node.ask("GET", f"/v1/resolve/88.999.1/NEV-VEH-2026-000003?index={number + 1}") for number in range(40)]
        check("with the collector down every request is answered", all(status == 200 for status, _ in answers))
        check("what finds no room is counted", node.until(lambda: node.counted("dropped") >= 1), node.counted("dropped"))
        check("what could not be sent is counted", node.until(lambda: node.counted("failed") >= 1), node.counted("failed"))
        check("and said once", node.logged("the collector does not take spans") == 1, node.lines)
        collector = Collector(port)
        check("that it is back is said", node.until(lambda: node.logged("the collector takes spans again") == 1), node.lines)
        check("then spans come", spans_of(collector.next()[3]) != [])
        check("nothing was said twice", node.logged("the collector does not take spans") == 1, node.lines)
        # A refusal that does not pass is not repeated, one that does is.
        before = node.counted("failed")
        collector.answers.put(400)
        check("what the collector refuses is counted as failed", node.until(lambda: node.counted("failed") > before, "5"))
        while not collector.messages.empty():
            collector.messages.get()
        collector.answers.put(503)
        node.ask("GET", "/livez", {"traceparent": sampled("6" * 32)})
        refused = next(message for message in iter(collector.next, None) if message[0] == 503)
        again = collector.next()
        check("what passes is tried again", again[0] == 200 and again[3] == refused[3])
        # What waits is sent before the node ends.
        node.ask("GET", "/livez", {"traceparent": sampled("7" * 32)})
        stopped = node.stop()
        left = b""
        while not collector.messages.empty():
            left += collector.messages.get()[3]
        check("what waits is sent at the stop", stopped == 0 and bytes.fromhex("7" * 32) in left)
        collector.close()


def stop_without_a_collector(binary):
    with socket.socket() as probe, tempfile.TemporaryDirectory() as folder:
        # Bound and not listening: nobody else gets the port, nobody answers on it.
        probe.bind(("127.0.0.1", 0))
        node = Node(binary, folder, f"traces.endpoint=http://127.0.0.1:{probe.getsockname()[1]}/v1/traces")
        node.until(lambda: node.logged("the collector does not take spans") == 1)
        check("a node stops in order while it tries to send", node.stop() == 0, node.lines)
        check("and nothing panics", node.logged("panicked") == 0, node.lines)
        # One that takes the connection and says nothing must not hold up the stop.
        probe.listen()
        node = Node(binary, folder, f"traces.endpoint=http://127.0.0.1:{probe.getsockname()[1]}/v1/traces")
        node.ask("GET", "/livez", {"traceparent": sampled("8" * 32)})
        held, _ = probe.accept()
        before = time.monotonic()
        check("nor does a collector that says nothing hold it up", node.stop() == 0 and time.monotonic() - before < 8, node.lines)
        held.close()


def main():
    traced_requests(sys.argv[1])
    collector_that_is_down(sys.argv[1])
    stop_without_a_collector(sys.argv[1])
    print(f"traces: {RESULTS['passed']} passed, {RESULTS['failed']} failed")
    sys.exit(RESULTS["failed"] > 0)


main()
