"""A node of one's own on loopback, and rows to import into it: what the measurements of this folder stand on."""

import json
import subprocess
import time
import urllib.request

PORT = 18083
VALUES = [
    {"index": 2000, "type": "产品名称", "data": "六角头螺栓 M8×40 8.8级 镀锌"},
    {"index": 2001, "type": "规格型号", "data": "GB/T 5782-2016 M8×40"},
    {"index": 2002, "type": "生产批次", "data": "B2026000001"},
    {"index": 2003, "type": "净重", "data": {"format": "decimal", "value": "21.25", "unit": "g"}},
]


class Node:
    def __init__(self, program, folder, port=PORT, core=None, settings=()):
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        command = [program, "serve", "--dev", "--data", folder, "--listen", f"127.0.0.1:{port}"]
        for setting in settings:
            command += ["--set", setting]
        if core is not None:
            command = ["taskset", "-c", str(core), *command]
        with open(f"{folder}.log", "wb") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        self.pids = [self.process.pid]
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{self.url}/readyz", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        with open(f"{folder}/dev-token", encoding="utf-8") as file:
            self.token = file.read().strip()

    def call(self, method, path, body=None, content="application/json"):
        headers = {"authorization": f"Bearer {self.token}", "content-type": content}
        request = urllib.request.Request(f"{self.url}{path}", body, headers, method=method)
        with urllib.request.urlopen(request, timeout=600) as answer:
            return json.load(answer)

    def imported(self, upload):
        """Imports these rows (NDJSON, bytes), waits until all are registered, and gives the job."""
        job = self.call("POST", "/v1/imports", upload, "application/x-ndjson")
        while job["state"] == "running":
            time.sleep(0.1)
            job = self.call("GET", f"/v1/imports/{job['id']}")
        if job["state"] != "done" or job["rows"]["registered"] != job["rows"]["total"]:
            raise SystemExit(f"the import ended otherwise: {job}")
        return job

    def metrics(self):
        """Every sample that has no labels, by its name."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as answer:
            lines = [line.split() for line in answer.read().decode().splitlines()]
        return {line[0]: float(line[1]) for line in lines if len(line) == 2 and line[0].replace("_", "").isalnum()}

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=120)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=10)
            raise


def rows_of(name, count, values=None):
    for at in range(count):
        row = {"identifier": identifier(name, at), "values": values or VALUES}
        yield json.dumps(row, ensure_ascii=False) + "\n"


def identifier(name, at):
    """The at-th of a spread of names that are all of one length."""
    serial = (at * 0x9E3779B97F4A7C15) % 2**64 >> 20
    return f"88.999.1/{name}{serial:014}"
