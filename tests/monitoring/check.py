#!/usr/bin/env python3
"""Alert rules and dashboard against the real tools: promtool, a real Prometheus server, a node with a slow disk.

usage: tests/monitoring/check.py MINGPAI      needs promtool, prometheus and cc; loopback only; stops what it started
"""
import base64
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "config/prometheus/mingpai.rules.yml"
RULE_TESTS = ROOT / "config/prometheus/mingpai.tests.yml"
DASHBOARD = ROOT / "config/grafana/mingpai.json"
# Names that Prometheus or the rules themselves make.
MADE_ELSEWHERE = {"up"}

passed, failed = 0, []


def check(what, held, detail=""):
    global passed
    if held:
        passed += 1
        print(f"ok      {what}")
    else:
        failed.append(what)
        print(f"FAILED  {what}\n{detail}")


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.returncode == 0, done.stdout + done.stderr


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


class Process:
    """A program of this test's own, stopped at the end."""

    def __init__(self, command, log, ready, **more):
        self.log = open(log, "w")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT, **more)
        until = time.monotonic() + 60
        while True:
            try:
                fetch(ready)
                return
            except OSError:
                if time.monotonic() > until or self.process.poll() is not None:
                    self.stop()
                    raise SystemExit(f"{command[0]} did not start:\n{Path(log).read_text()}")
                time.sleep(0.05)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def node(program, folder, *flags, **more):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [program, "serve", "--dev", "--data", str(folder / "node"), "--set", f"http.listen=127.0.0.1:{port}", *flags]
    return url, Process(command, folder / "node.log", f"{url}/readyz", **more)


def expressions():
    """Every expression of the rules and the dashboard, as Prometheus can evaluate it."""
    for line in RULES.read_text().splitlines():
        found = re.match(r"\s+expr: (.*)", line)
        if found:
            yield "rule", found.group(1)
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*")


def sample_names(metrics):
    """The names of the samples that a node gives, also of families that have none yet."""
    names = set(re.findall(r"^(mingpai_\w+)[{ ]", metrics, re.M))
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "info": ["_info"], "gauge": [""]}
    for family, kind in re.findall(r"^# TYPE (\w+) (\w+)$", metrics, re.M):
        names.update(family + suffix for suffix in suffixes.get(kind, [""]))
    return names


def names_exist(metrics):
    given = sample_names(metrics) | MADE_ELSEWHERE
    recorded = set(re.findall(r"- record: (\S+)", RULES.read_text()))
    for where, expression in expressions():
        bare = re.sub(r'"[^"]*"', '""', expression)
        used = set(re.findall(r"\b(mingpai[_:][\w:]+)", bare))
        missing = used - given - recorded
        check(f"{where}: every metric exists in /metrics", used and not missing, f"{expression}\nmissing: {missing}")


def every_alert_is_tested():
    alerts = set(re.findall(r"- alert: (\w+)", RULES.read_text()))
    fired = set(re.findall(r"alertname: (\w+)\n\s+exp_alerts:\n", RULE_TESTS.read_text()))
    check("every alert is seen firing in a unit test", alerts == fired, str(alerts ^ fired))


def prometheus_evaluates(url, folder):
    port = free_port()
    target = url.removeprefix("http://")
    (folder / "prometheus.yml").write_text(
        f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{RULES}']\n"
        f"scrape_configs: [{{job_name: mingpai, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    base = f"http://127.0.0.1:{port}"
    command = [
        "prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with Process(command, folder / "prometheus.log", f"{base}/-/ready"):
        ask = lambda query: json.loads(fetch(f"{base}/api/v1/query?query={urllib.parse.quote(query)}"))
        until = time.monotonic() + 30
        while not ask("mingpai_journal_sequence > 0")["data"]["result"] and time.monotonic() < until:
            time.sleep(0.2)
        check("Prometheus scrapes /metrics", ask("up")["data"]["result"][0]["value"][1] == "1")
        check("and finds the journal's sequence", bool(ask("mingpai_journal_sequence > 0")["data"]["result"]))
        for where, expression in expressions():
            try:
                check(f"{where}: Prometheus evaluates it", ask(expression)["status"] == "success")
            except OSError as error:
                check(f"{where}: Prometheus evaluates it", False, f"{expression}\n{error}")


def buckets(metrics):
    found = re.findall(r'^mingpai_journal_sync_seconds_bucket\{le="([^"]+)"\} (\d+)', metrics, re.M)
    return {bound: int(count) for bound, count in found}


def register(url, folder, count):
    token = (folder / "node/dev-token").read_text().strip()
    for at in range(count):
        request = urllib.request.Request(
            f"{url}/v1/records/88.999.1/monitoring-{at}", data=b'{"values":[]}', method="PUT",
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json", "If-None-Match": "*"},
        )
        urllib.request.urlopen(request, timeout=30).read()


def journal_alert(program, folder, slowed, expected):
    """Registers on a node, and asks promtool whether syncs at the pace that it measured fire the alert."""
    folder.mkdir()
    environment = dict(os.environ, **({"LD_PRELOAD": str(slowed)} if slowed else {}))
    url, process = node(program, folder, env=environment)
    with process:
        before = buckets(fetch(f"{url}/metrics"))
        register(url, folder, 10)
        after = buckets(fetch(f"{url}/metrics"))
    lines = [f"rule_files: ['{RULES}']", "evaluation_interval: 1m", "tests:", "  - interval: 1m", "    input_series:"]
    for bound, count in after.items():
        bound = "+Inf" if bound == "+Inf" else bound
        lines.append(f"      - series: 'mingpai_journal_sync_seconds_bucket{{instance=\"n\",le=\"{bound}\"}}'")
        lines.append(f"        values: '0+{count - before.get(bound, 0)}x30'")
    # The annotation tells the measured figure, so the alert is counted by a query rather than written out.
    lines += [
        "    promql_expr_test:",
        "      - expr: count(ALERTS{alertname=\"MingpaiJournalSlow\",alertstate=\"firing\"}) or vector(0)",
        "        eval_time: 20m",
        f"        exp_samples: [{{labels: '{{}}', value: {1 if expected else 0}}}]",
    ]
    (folder / "test.yml").write_text("\n".join(lines) + "\n")
    held, told = run("promtool", "test", "rules", str(folder / "test.yml"))
    what = "fires MingpaiJournalSlow" if expected else "fires nothing"
    check(f"a {'slow' if expected else 'healthy'} disk {what}", held, told)


def witness_key(name):
    """A key of cosignatures (C2SP signed-note, type 0x04) whose private half nobody has."""
    public = b"\x04" + bytes(range(32))
    key_id = hashlib.sha256(name.encode() + b"\n" + public).digest()[:4]
    return f"{name}+{key_id.hex()}+{base64.b64encode(public).decode()}"


def mirror(program, folder, origin):
    """A mirror of a node, for the numbers that only a mirror has."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    vkey = fetch(f"{origin}/log/vkey").strip()
    command = [program, "mirror", origin, "--dev", "--vkey", vkey, "--data", str(folder / "mirror"), "--listen", f"127.0.0.1:{port}"]
    return url, Process(command, folder / "mirror.log", f"{url}/readyz")


def witness(program, folder, origin):
    """A witness of a node's log, for the numbers that only a witness has."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    vkey = fetch(f"{origin}/log/vkey").strip()
    command = [
        program, "witness", "--data", str(folder / "witness"), "--name", "witness.example/monitoring", "--log", vkey,
        "--listen", f"127.0.0.1:{port}",
    ]
    return url, Process(command, folder / "witness.log", f"{url}/")


def main():
    program = str(Path(sys.argv[1]).resolve())
    held, told = run("promtool", "check", "rules", str(RULES))
    check("promtool takes the rules", held, told)
    held, told = run("promtool", "test", "rules", str(RULE_TESTS))
    check("promtool's unit tests of the rules", held, told)
    every_alert_is_tested()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "seen").mkdir()
        # With TLS beside it and a witness that is away, so that their metrics are there too.
        config = folder / "seen" / "witness.toml"
        config.write_text(f'[[witnesses]]\nurl = "http://127.0.0.1:{free_port()}"\nkey = "{witness_key("w.example/away")}"\n')
        url, process = node(
            program, folder / "seen", "--tls", "--listen", f"127.0.0.1:{free_port()}", "--config", str(config)
        )
        with process:
            copy, follower = mirror(program, folder / "seen", url)
            cosigner, witnessing = witness(program, folder / "seen", url)
            with follower, witnessing:
                names_exist(fetch(f"{url}/metrics") + fetch(f"{copy}/metrics") + fetch(f"{cosigner}/metrics"))
            prometheus_evaluates(url, folder / "seen")
        slow = folder / "slow_sync.so"
        held, told = run("cc", "-shared", "-fPIC", "-o", str(slow), str(ROOT / "tests/monitoring/slow_sync.c"), "-ldl")
        check("the slow disk compiles", held, told)
        journal_alert(program, folder / "slow", slow, True)
        journal_alert(program, folder / "healthy", None, False)
    print(f"monitoring: {passed} passed, {len(failed)} failed")
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()
