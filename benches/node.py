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
    def __init__(self, program, folder):
        self.folder = folder
        self.process = subprocess.Popen(
            [program, "serve", "--dev", "--data", folder, "--listen", f"127.0.0.1:{PORT}"],
            stdout=subprocess.DEVNULL,
            stderr=open(f"{folder}.log", "wb"),
        )
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/readyz", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        with open(f"{folder}/dev-token", encoding="utf-8") as file:
            self.token = file.read().strip()

    def call(self, method, path, body=None, content="application/json"):
        headers = {"authorization": f"Bearer {self.token}", "content-type": content}
        request = urllib.request.Request(f"http://127.0.0.1:{PORT}{path}", body, headers, method=method)
        with urllib.request.urlopen(request, timeout=600) as answer:
            return json.load(answer)

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=120)


def rows_of(name, count):
    for at in range(count):
        serial = (at * 0x9E3779B97F4A7C15) % 2**64 >> 20
        yield json.dumps({"identifier": f"88.999.1/{name}{serial:013}", "values": VALUES}, ensure_ascii=False) + "\n"
