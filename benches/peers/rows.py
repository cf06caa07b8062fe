"""The rows of the table, one function each: what runs in turns with what, and which bar it is held against.

A server has one core; `bulk` alone has both. The figures of a row come from the same rounds.
"""

import json
import random
import subprocess
import urllib.request

from figures import SUSTAINED, median, shown, spread
from ground import CACHED_RECORDS, NAME, identifier
from stations import redis_benchmark, wrk

WRITES_A_SECOND = 5_000
MIB = 1 << 20


def client(ground, sheet):
    """Whether the client is as fast as wrk, against a server that does nothing else."""
    ours, theirs = [], []
    for at in range(ground.rounds):
        ours.append(ground.measured(sheet, f"round {at + 1}, load", ground.epoll, ground.resolve())["rate"])
        theirs.append(wrk(ground.epoll.port, ground.path(0), ground.seconds))
        sheet.say(f"  round {at + 1}, wrk: {theirs[-1]:.0f}/s")
    sheet.ratio("the client itself, against wrk, at the epoll loop", ours, theirs, 1.0)


def cached(ground, sheet):
    """HTTP, cached, one request a round trip."""
    contestants = {
        "nginx return 200": ground.nginx,
        "nginx static file": ground.nginx_static,
        "minimal hyper": ground.hyper,
        "epoll": ground.epoll,
        "mingpai": ground.mingpai,
    }
    found, hits, misses = ground.hits(ground.mingpai, lambda: ground.turns(sheet, contestants, ground.resolve()))
    sheet.say(f"  mingpai's cache: {hits:.0f} hits, {misses:.0f} misses")
    ours = found["mingpai"]
    sheet.ratio("cached, against nginx return 200", ours, found["nginx return 200"], 1.05)
    sheet.ratio("cached, against nginx static file", ours, found["nginx static file"], 1.9)
    sheet.ratio("cached, against minimal hyper (for information)", ours, found["minimal hyper"])
    sheet.ratio("cached, against a bare epoll loop (for information)", ours, found["epoll"])


def pipelined(ground, sheet):
    """HTTP, cached, 16 requests a write."""
    value_bytes = str(ground.body_bytes)
    keys = ["-r", str(CACHED_RECORDS), "-d", value_bytes, "-P"]
    redis_benchmark(ground.redis.port, "-t", "set", *keys, "64", "-n", str(10 * CACHED_RECORDS))
    contestants = {"epoll": ground.epoll, "minimal hyper": ground.hyper, "mingpai": ground.mingpai}
    gets = []
    found = {who: [] for who in contestants}
    for at in range(ground.rounds):
        gets.append(redis_benchmark(ground.redis.port, "-t", "get", *keys, "16", "-n", str(ground.seconds * 600_000))[0])
        sheet.say(f"  round {at + 1}, redis GET -P16: {gets[-1]:.0f}/s")
        for who, station in contestants.items():
            stream = ground.resolve(depth=16)
            found[who].append(ground.measured(sheet, f"round {at + 1}, {who}", station, stream)["rate"])
    ours = found["mingpai"]
    sheet.ratio("16 pipelined, against redis GET -P16", ours, gets, 1.5)
    sheet.ratio("16 pipelined, against a bare epoll loop", ours, found["epoll"], 0.65)
    sheet.ratio("16 pipelined, against minimal hyper (for information)", ours, found["minimal hyper"])


def half(ground, sheet):
    """Latency at a constant rate, half of what Mingpai can do in a closed loop."""
    rate = capacity(ground, sheet, ground.mingpai) / 2
    stream = ground.resolve(rate=rate)
    times = {"epoll": [], "mingpai": []}
    for at in range(ground.rounds):
        for who, station in (("epoll", ground.epoll), ("mingpai", ground.mingpai)):
            times[who].append(ground.measured(sheet, f"round {at + 1}, {who}", station, stream)["microseconds"])
    p50, p99 = ({who: [one[name] for one in found] for who, found in times.items()} for name in ("p50", "p99"))
    what = f"half load ({rate:,.0f}/s)"
    sheet.ratio(f"{what}, p50, against a bare epoll loop", p50["mingpai"], p50["epoll"], 1.15, "us", at_most=True)
    text = f"{what}, p99, within that loop's spread: {spread(p99['mingpai'])} against {spread(p99['epoll'])} us"
    sheet.verdict(text, median(p99["mingpai"]), round(max(p99["epoll"]), 1), " us", at_most=True)


def capacity(ground, sheet, node):
    runs = [ground.measured(sheet, "capacity, mingpai", node, ground.resolve())["rate"] for _ in range(3)]
    return median(runs)


def batch(ground, sheet):
    """A hundred names a request, as one document and line by line; and ten thousand lines a request."""
    node = ground.mingpai
    drawn = random.Random(1)
    names = [identifier(NAME, drawn.randrange(CACHED_RECORDS)) for _ in range(20_000)]
    documents = "".join(json.dumps({"identifiers": names[at : at + 100]}) + "\n" for at in range(0, len(names), 100))
    lines = "".join(f'"{name}"\n' for name in names)
    kinds = {
        "batch of 100, JSON": ("application/json", ground.file("documents", documents.encode()), 1, 100, 64),
        "batch of 100, NDJSON": ("application/x-ndjson", ground.file("lines", lines.encode()), 100, 100, 64),
        "stream of 10,000, NDJSON": ("application/x-ndjson", ground.file("lines", lines.encode()), 10_000, 10_000, 4),
    }
    streams, walls = {}, {}
    for what, (content, file, body_lines, count, connections) in kinds.items():
        with open(file, "rb") as bodies:
            body = b"".join(bodies.readline() for _ in range(body_lines))
        answer = answered(node, content, body, count)
        source = {"method": "POST", "path": "/v1/resolve", "headers": [["content-type", content]], "bodies": file}
        source |= {"body_lines": body_lines, "body_bytes": len(answer)}
        streams[what] = {"name": what, "connections": connections, "sources": [source]}
        if connections == 64:
            head = f"HTTP/1.1 200 OK\r\ncontent-type: {content}\r\ncontent-length: {len(answer)}\r\n\r\n"
            walls[what] = ground.responder("epoll", head.encode() + answer)
    found = {what: [] for what in kinds}
    wall = {what: [] for what in walls}
    epoll = []
    for at in range(ground.rounds):
        epoll.append(ground.measured(sheet, f"round {at + 1}, epoll, one GET", ground.epoll, ground.resolve())["rate"])
        for what, stream in streams.items():
            count = kinds[what][3]
            found[what].append(count * ground.measured(sheet, f"round {at + 1}, mingpai", node, stream)["rate"])
            if what in walls:
                station = walls[what]
                wall[what].append(count * ground.measured(sheet, f"round {at + 1}, epoll, same bytes", station, stream)["rate"])
    for what, ours in found.items():
        sheet.scaled(what, ours, "epoll", epoll, 1_000_000, "identifiers/s")
    for what, theirs in wall.items():
        sheet.ratio(f"{what}, against a bare epoll loop of the same bytes (for information)", found[what], theirs)
    for station in walls.values():
        ground.retire(station)


def answered(node, content, body, count):
    """The answer to one batch, once every result in it is known to be a resolution."""
    request = urllib.request.Request(f"{node.url}/v1/resolve", body, {"content-type": content})
    with urllib.request.urlopen(request, timeout=30) as response:
        answer = response.read()
    results = json.loads(answer)["results"] if content == "application/json" else list(map(json.loads, answer.splitlines()))
    if [one["status"] for one in results] != [200] * count:
        raise SystemExit(f"a batch was answered otherwise: {answer[:500]}")
    return answer


def uncached(ground, sheet):
    """The same records and names with a cache of 1 MiB, which holds about one of a hundred, against the whole in cache."""
    node = ground.node("uncached", f"cache.budget_bytes={MIB}")
    contestants = {"cached": ground.mingpai, "from sled": node}
    ground.fill(node)
    found, hits, misses = ground.hits(node, lambda: ground.turns(sheet, contestants, ground.resolve()))
    sheet.say(f"  the small cache: {hits:.0f} hits, {misses:.0f} misses, {100 * hits / max(1, hits + misses):.1f} % hits")
    sheet.ratio("uncached, from sled, against our own cached figure", found["from sled"], found["cached"], 0.9)
    ground.retire(node)


def writes(ground, sheet):
    """Resolutions beside 5,000 registrations a second, against the quiet, and against what those leave of the core."""
    node = ground.node("writes")
    ground.fill(node)
    quiet, beside, rates, left, alone, written = [], [], [], [], [], []
    for at in range(ground.rounds):
        who = f"round {at + 1}, mingpai"

        def write(run):
            return ground.register(node, f"W{at}{run}", rate=WRITES_A_SECOND)

        whole = ground.measured(sheet, f"{who}, quiet", node, ground.resolve())["rate"]
        report = ground.load(node, [write("a")])
        sheet.told(f"{who}, writes alone", report)
        alone.append(report["server"])
        each = report["server"] / max(1, report["streams"][0]["arrived"])
        # The same rate quiet and beside: half of what the writes leave, or the queue alone would be measured.
        rate = max(1_000, whole * (1 - WRITES_A_SECOND * each) / 2)
        stream = ground.resolve(rate=rate)
        quiet.append(ground.measured(sheet, f"{who}, quiet", node, stream)["microseconds"]["p99"])
        report = ground.load(node, [stream, write("b")])
        sheet.told(f"{who}, beside writes", report)
        beside.append(report["streams"][0]["microseconds"]["p99"])
        report = ground.load(node, [ground.resolve(), write("c")])
        sheet.told(f"{who}, beside writes", report)
        rates.append(report["streams"][0]["rate"])
        # A closed loop may crowd writes out: what they leave is reckoned from those that were answered beside it.
        written.append(report["streams"][1]["arrived"])
        left.append(whole * max(0.0, 1 - written[-1] * each))
    what = f"beside {WRITES_A_SECOND:,} registrations/s"
    sheet.say(f"= {what}: these alone take {spread(alone)} of the server's core")
    text = f"{what}: answered beside a closed loop of resolving: {spread(written)} /s"
    sheet.verdict(text, median(written), round(SUSTAINED * WRITES_A_SECOND), " /s")
    sheet.ratio(f"{what}, p99 of resolving, against the quiet one", beside, quiet, 1.5, "us", at_most=True)
    sheet.ratio(f"{what}, resolving, against what these leave", rates, left, 0.95)
    ground.retire(node)


def flood(ground, sheet):
    """Names that nobody registered, never the same twice, at a cache with just room for the records."""
    budget = int(ground.mingpai.metrics()["mingpai_cache_bytes"] * 1.25)
    node = ground.node("flood", f"cache.budget_bytes={budget}")
    ground.fill(node)
    known, unknown, still, under = [], [], [], []
    for at in range(ground.rounds):
        who = f"round {at + 1}, mingpai"

        def source(run, weight=1):
            return {"path": f"/v1/resolve/88.999.1/none-{at}{run}-{{n}}", "status": 404, "weight": weight}

        report, ratio = hot(ground, node, [ground.resolve()])
        sheet.told(f"{who}, known names", report)
        known.append(report["streams"][0]["rate"])
        still.append(ratio)
        stream = {"name": "unknown", "sources": [source("a")]}
        unknown.append(ground.measured(sheet, f"{who}, unknown names", node, stream)["rate"])
        mixed = ground.resolve()
        mixed["sources"].append(source("b", 9))
        report, ratio = hot(ground, node, [{**mixed, "name": "resolve, nine of ten unknown"}])
        sheet.told(who, report)
        under.append(ratio)
    sheet.ratio("flood of unknown names, against known ones", unknown, known, 0.8)
    fall = median(still) - median(under)
    text = f"the known ones' hits under the flood: {median(under):.2f} % against {median(still):.2f} %, a fall of {fall:.2f} points"
    sheet.verdict(text, fall, 1, " point", at_most=True)
    ground.retire(node)


def hot(ground, node, streams):
    """A run's report, and of the known names' answers the share that the cache gave, in percent."""
    report, hits, _ = ground.hits(node, lambda: ground.load(node, streams, warm_seconds=0))
    asked = report["streams"][0]["statuses"].get("200", 0)
    return report, min(100.0, 100 * hits / max(1, asked))


def registrations(ground, sheet):
    """Signed, durable registrations over HTTP, 64 clients, against an unsigned durable SET."""
    node = ground.node("registrations")
    theirs, ours, p99 = [], [], []
    for at in range(ground.rounds):
        count = str(ground.seconds * 20_000)
        sets = redis_benchmark(ground.redis.port, "-t", "set", "-d", "500", "-r", "1000000", "-n", count)
        theirs.append(sets[0])
        sheet.say(f"  round {at + 1}, redis SET: {sets[0]:.0f}/s, p99 {sets[1]} ms")
        told = ground.measured(sheet, f"round {at + 1}, mingpai", node, ground.register(node, f"R{at}"))
        ours.append(told["rate"])
        p99.append(told["microseconds"]["p99"] / 1000)
    peer = "redis SET, appendfsync always"
    sheet.scaled("signed durable registrations, 64 clients", ours, peer, theirs, 15_000)
    sheet.scaled("their p99", p99, peer, theirs, 20, "ms", at_most=True)
    ground.retire(node)


def bulk(ground, sheet):
    """Bulk registration in process, signed and durable, on both cores, against sled alone; three rounds at most."""
    figures = {"peer": [], "import": []}
    for at in range(min(ground.rounds, 3)):
        for what, found in figures.items():
            folder = f"{ground.folder}/bulk"
            command = [*ground.bulk_program, what, str(ground.records), folder]
            lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=1800).stdout.splitlines()
            for line in lines:
                sheet.say(f"  round {at + 1}, {what}: {line}")
            # "import: 20431 rows/s (…)", "sled alone: 77104 rows/s (…)"
            found.append(next(float(line.split(": ")[1].split()[0]) for line in lines if " rows/s" in line))
            subprocess.run(["rm", "-rf", folder], check=True)
    what = f"bulk registration of {shown(ground.records)}, signed, durable"
    sheet.scaled(what, figures["import"], "sled alone", figures["peer"], 50_000, "rows/s")


def singles(ground, sheet):
    """Single registrations in process, 64 at a time, each durable before the next, on both cores, against sled alone."""
    figures = {"peer": [], "single": []}
    for at in range(ground.rounds):
        for what, found in figures.items():
            folder = f"{ground.folder}/singles"
            command = [*ground.bulk_program, what, "200000", folder]
            lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout.splitlines()
            for line in lines:
                sheet.say(f"  round {at + 1}, {what}: {line}")
            found.append(next(float(line.split(": ")[1].split()[0]) for line in lines if "s/s (" in line))
            subprocess.run(["rm", "-rf", folder], check=True)
    what = "single registrations in process, signed, each durable"
    sheet.scaled(what, figures["single"], "sled alone", figures["peer"], 35_000, "registrations/s")


ROWS = {
    row.__name__: row
    for row in (client, cached, pipelined, half, batch, uncached, writes, flood, registrations, singles, bulk)
}
