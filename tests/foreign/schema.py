"""The node asked by schemathesis, which makes requests of /openapi.json, good ones and bad ones, and judges the answers.

usage: schema.py PATH-OF-MINGPAI [--seconds N] [schemathesis arguments ...]. Starts a node of its own on loopback. Without
--seconds each operation gets so many requests as take less than a minute, the same every time as long as the document is
the same; with it the fuzzing goes on for that long, from the seed MINGPAI_SEED (1). Ends with "schema: N passed, N failed", which counts
requests whose answers were judged. What counts as wrong: a 5xx, a status, media type or header that the document does not
have, a body that is not of its schema, a wrong request that was taken, credentials that were not looked at, a node that
has died or lost its key.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES_OF_A_SHORT_RUN = "30"
# An open upload is told by its Location alone, which leads few requests to it; tests/http/parts.rs has more of them.
# The demonstration has one entry key, and the key in force cannot be ended.
# Who asks here has filed what he would have to judge, makes files that are none, and signs no challenge: tests/http/{filing,signing_in}.rs do.
# A prefix that is suspended or revoked would refuse all that is asked afterwards, and no version is guessed for an erasure:
# tests/http/{prefixes,erasing}.rs.
SELDOM_TAKEN = {
    "POST /v1/erasures",
    *(f"POST /v1/prefixes/{{prefix}}/{step}" for step in ("suspend", "restore", "renew", "revoke")),
    "DELETE /v1/imports/{id}/upload",
    "PATCH /v1/imports/{id}/upload",
    "POST /v1/signing-keys/{id}/end",
    "POST /v1/sessions",
    "DELETE /v1/sessions/current",
    "GET /v1/filings/{id}/attachments/{seq}",
    *(f"POST /v1/filings/{{id}}/{step}" for step in ("attachments", "submit", "claim", "release", "return", "reject", "approve")),
}


class Node:
    def __init__(self, binary, folder):
        self.log_path = os.path.join(folder, "log")
        self.log = open(self.log_path, "wb")
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MINGPAI_")}
        command = [binary, "serve", "--dev", "--data", os.path.join(folder, "data"), "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT, env=environment)
        self.url = None
        while self.url is None:
            if self.process.poll() is not None:
                raise SystemExit("the node did not start:\n" + self.said())
            found = re.search(r"http://127\.0\.0\.1:\d+", self.said())
            self.url = found.group(0) if found else time.sleep(0.05)
        with open(os.path.join(folder, "data", "dev-token"), encoding="ascii") as file:
            self.key = file.read().strip()
        while self.status("/v1/resolve/88.999.1/DRG-LOT-2604B") != 200 or self.status("/readyz") != 200:
            time.sleep(0.05)

    def said(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def status(self, target):
        request = urllib.request.Request(self.url + target, headers={"Authorization": f"Bearer {self.key}"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code


def main():
    binary = os.path.abspath(sys.argv[1])
    seconds, rest = None, sys.argv[2:]
    if rest[:1] == ["--seconds"]:
        seconds, rest = rest[1], rest[2:]
    with tempfile.TemporaryDirectory(prefix="mingpai-schema-") as folder:
        node = Node(binary, folder)
        report_path = os.path.join(folder, "report.json")
        program = os.path.join(os.path.dirname(sys.executable), "st")
        command = [program, "--config-file", os.path.join(HERE, "schemathesis.toml"), "run", f"{node.url}/openapi.json"]
        command += ["-H", f"Authorization: Bearer {node.key}", "--no-color"]
        command += ["--report", "json", "--report-json-path", report_path]
        if seconds:
            command += ["--max-time", seconds, "--seed", os.environ.get("MINGPAI_SEED", "1")]
        else:
            command += ["--max-examples", EXAMPLES_OF_A_SHORT_RUN, "--generation-deterministic"]
        try:
            environment = {
                **os.environ,
                "MINGPAI_SCHEMA_KEY_ID": node.key.split("_")[1],
                "SCHEMATHESIS_HOOKS": os.path.join(HERE, "schema_hooks.py"),
                "PYTHONDONTWRITEBYTECODE": "1",
            }
            ended = subprocess.run(
                command + rest, cwd=folder, env=environment, check=False, capture_output=True, text=True
            )
            if not os.path.exists(report_path):
                raise SystemExit("schemathesis made no report:\n" + ended.stdout[-4000:] + ended.stderr[-4000:])
            with open(report_path, encoding="utf-8") as file:
                report = json.load(file)
            failed = judge(report, ended, node)
        finally:
            node.process.terminate()
            try:
                node.process.wait(60)
            except subprocess.TimeoutExpired:
                node.process.kill()
        cases, operations = report["test_cases"], report["operations"]
        print(f"{operations['tested']} of {operations['total']} operations, {report['running_time']:.0f} seconds")
        print(f"schema: {cases['generated'] - cases['with_failures']} passed, {failed} failed")
        sys.exit(1 if failed else 0)


def judge(report, ended, node):
    """Prints what is wrong and counts it."""
    failed = report["test_cases"]["with_failures"]
    for failure in report["failures"] + report["errors"]:
        print("FAIL", json.dumps(failure, ensure_ascii=False)[:1500])
    failed += len(report["errors"])
    if failed:
        # From the failures to the summary, each with a request to repeat it.
        for line in ended.stdout.partition("= FAILURES =")[2].partition("= SUMMARY =")[0].splitlines():
            print(line[:1000])
        print(ended.stderr[-4000:])
    wrong = []
    if node.process.poll() is not None:
        wrong.append("the node has ended:\n" + node.said()[-4000:])
    else:
        if node.status("/v1/keys?limit=1") != 200:
            wrong.append("the key of the run was lost on the way, so what came after was not judged as it should be")
        if "panicked" in node.said():
            wrong.append("the node panicked:\n" + node.said()[-4000:])
    if report["operations"]["tested"] != report["operations"]["total"]:
        wrong.append(f"not every operation was asked: {report['operations']}")
    accepted = {name: sum(phase["accepted"] for phase in phases.values()) for name, phases in report["valid_rates"].items()}
    print("accepted: " + ", ".join(f"{name} {count}" for name, count in sorted(accepted.items())))
    never = sorted(name for name, count in accepted.items() if count == 0 and name not in SELDOM_TAKEN)
    if never:
        wrong.append(f"nothing that was asked of these was ever taken, so little of them was looked at: {never}")
    if not report["complete"] or "Traceback" in ended.stderr:
        wrong.append("the run is not whole: " + str(report["stop_reason"]) + ended.stderr[-4000:])
    for text in wrong:
        print("FAIL", text)
    return failed + len(wrong)


main()
