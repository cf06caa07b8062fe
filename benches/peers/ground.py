"""What the rows stand on: the records, the node that serves them, the peers beside it, and the client's runs."""

import functools
import json
import os
import shutil

import stations
from node import VALUES, Node, identifier, rows_of

FIRST_PORT = 18100
# The reference table's: 100,000 records of about 500 bytes.
CACHED_RECORDS = 100_000
NAME = "SN"


class Ground:
    def __init__(self, options, folder, program, client):
        self.rounds, self.seconds, self.records = options.rounds, options.seconds, options.records
        self.program, self.bulk_program, self.client = program, options.bulk_program, client
        self.folder = folder
        self.ports = iter(range(FIRST_PORT, FIRST_PORT + 100))
        self.started = []
        self.runs = 0

    def stop(self):
        while self.started:
            self.started.pop().stop()

    def stopping(self, station):
        self.started.append(station)
        return station

    def retire(self, station):
        """Stops one of them before the end."""
        self.started.remove(station)
        station.stop()

    # The records and the nodes.

    @functools.cached_property
    def data(self):
        """A data folder with the records in it, of which every node gets a copy."""
        node = self.stopping(Node(self.program, f"{self.folder}/data", next(self.ports)))
        node.imported("".join(rows_of(NAME, CACHED_RECORDS, VALUES[:2])).encode())
        self.retire(node)
        return f"{self.folder}/data"

    def node(self, name, *settings):
        """One more node on core 0, with the records."""
        shutil.copytree(self.data, f"{self.folder}/{name}")
        port = next(self.ports)
        node = self.stopping(Node(self.program, f"{self.folder}/{name}", port, stations.SERVER_CORE, settings))
        node.port = port
        return node

    @functools.cached_property
    def mingpai(self):
        """A node of default settings, every record in its cache; nothing is written to it."""
        node = self.node("mingpai")
        self.fill(node)
        return node

    def fill(self, node):
        """Asks for every record in turn, twice over."""
        asked = 0
        for _ in range(30):
            report = self.load(node, [self.resolve(in_turn=asked)], seconds=4, warm_seconds=0)
            if report["streams"][0]["bad"]:
                raise SystemExit(f"the cache could not be filled: {report['streams'][0]['bad']}")
            asked += report["streams"][0]["answers"]
            if asked >= 2 * CACHED_RECORDS:
                return
        raise SystemExit("the cache could not be filled: too slow")

    def hits(self, node, run):
        """What `run` gives, and the cache's hits and misses meanwhile."""
        before = node.metrics()
        found = run()
        after = node.metrics()
        return found, *(after[name] - before[name] for name in ("mingpai_cache_hits_total", "mingpai_cache_misses_total"))

    # The peers, which answer what Mingpai answered.

    @functools.cached_property
    def answer(self):
        return stations.raw_answer(self.mingpai.port, self.path(0))

    @property
    def body_bytes(self):
        return len(self.answer.partition(b"\r\n\r\n")[2])

    @staticmethod
    def path(at):
        return f"/v1/resolve/{identifier(NAME, at)}"

    @functools.cached_property
    def nginx(self):
        return self.stopping(stations.nginx(f"{self.folder}/nginx", next(self.ports), self.answer))

    @functools.cached_property
    def nginx_static(self):
        paths = [self.path(at) for at in range(CACHED_RECORDS)]
        return self.stopping(stations.nginx(f"{self.folder}/nginx-static", next(self.ports), self.answer, paths))

    @functools.cached_property
    def redis(self):
        return self.stopping(stations.redis(f"{self.folder}/redis", next(self.ports)))

    @functools.cached_property
    def epoll(self):
        return self.responder("epoll", self.answer)

    @functools.cached_property
    def hyper(self):
        return self.responder("hyper", self.answer)

    def responder(self, kind, answer):
        port = next(self.ports)
        file = self.file(f"{kind}-{port}", answer)
        command = [f"{os.path.dirname(self.client)}/{kind}-responder", port, file]
        return self.stopping(stations.Station(port, command, f"{file}.log"))

    # The client.

    def load(self, station, streams, seconds=None, warm_seconds=1):
        self.runs += 1
        seconds = seconds or self.seconds
        return stations.load(self.client, station.port, station.pids, seconds, streams, warm_seconds, self.runs)

    def measured(self, sheet, who, station, stream):
        """One run of one stream, written down; gives what is told of the stream."""
        report = self.load(station, [stream])
        sheet.told(who, report)
        return report["streams"][0]

    def turns(self, sheet, contestants, stream):
        """Requests a second of every contestant, in turns; every round begins with another."""
        figures = {who: [] for who in contestants}
        order = list(contestants)
        for at in range(self.rounds):
            for who in order[at % len(order) :] + order[: at % len(order)]:
                figures[who].append(self.measured(sheet, f"round {at + 1}, {who}", contestants[who], stream)["rate"])
        return figures

    @functools.cached_property
    def paths(self):
        return self.file("paths", "".join(f"{self.path(at)}\n" for at in range(CACHED_RECORDS)).encode())

    def resolve(self, in_turn=None, **more):
        """Resolutions of all the records, drawn uniformly; or in turn, from this one on."""
        source = {"paths": self.paths, "in_turn": in_turn}
        if in_turn is None:
            source["body_bytes"] = self.body_bytes
        return {"name": "resolve", "sources": [source], **more}

    def register(self, node, run, **more):
        """New records, one a request; `run` keeps their names apart from those of other runs."""
        body = self.file("registration", json.dumps({"values": VALUES}, ensure_ascii=False).encode())
        headers = [["authorization", f"Bearer {node.token}"], ["content-type", "application/json"]]
        path = f"/v1/records/88.999.1/{run}-{{n}}"
        source = {"method": "PUT", "path": path, "headers": headers, "bodies": body, "status": 201}
        return {"name": "register", "sources": [source], **more}

    def file(self, name, content):
        path = f"{self.folder}/{name}.bytes"
        with open(path, "wb") as file:
            file.write(content)
        return path
