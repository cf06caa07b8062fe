"""A spreadsheet with planted mistakes of many kinds is imported while node and client are killed, mended, and imported again.

usage: million.py PATH-OF-MINGPAI [ROWS [KILLS [SEED]]] [--xlsx]   (by default 1,000,000 rows, ten kills)

One row in a hundred has one of the mistakes below. Every one of them must come back with its line, its column and the code that
stands here, all others must be registered once; the error file is mended cell by cell and imported as it is, after which every
row of the file is there. The file is GB18030 without a byte order mark, as a Chinese spreadsheet saves it; with --xlsx it is a
workbook, which has no mistakes of bytes or quotes, but those of cells. The node's resident memory is looked at all the time.
Prints "million: N passed, N failed" at the end.
"""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zipfile
from xml.sax.saxutils import escape

RESULTS = {"passed": 0, "failed": 0}
COLUMNS = ["前缀", "产品编码", "产品名称", "商品条码", "净重(kg)", "出厂日期", "数量", "官网", "上级标识", "校验码", "合格"]
PREFIX, CODE, NAME, GTIN, WEIGHT, DAY, COUNT, SITE, PARENT, DIGEST, PASSED = range(len(COLUMNS))
MAPPING = {
    "identifier": "{前缀}/{产品编码}",
    "values": [
        {"index": 2000, "type": "产品名称", "from": "产品名称"},
        {"index": 2001, "type": "净重", "from": "净重(kg)", "format": "decimal", "unit": "kg"},
        {"index": 2002, "type": "出厂日期", "from": "出厂日期", "format": "date"},
        {"index": 2003, "type": "数量", "from": "数量", "format": "integer"},
        {"index": 2004, "type": "官网", "from": "官网", "format": "url"},
        {"index": 2005, "type": "上级", "from": "上级标识", "format": "identifier"},
        {"index": 2006, "type": "校验码", "from": "校验码", "format": "bytes"},
        {"index": 2007, "type": "合格", "from": "合格", "format": "boolean"},
    ],
    "aliases": [{"scheme": "gs1", "from": "商品条码"}],
}


def check(name, condition, told=""):
    RESULTS["passed" if condition else "failed"] += 1
    print(f"million {name} ... {'ok' if condition else 'FAILED'} {told}", flush=True)


def gtin(number):
    """GS1 General Specifications 7.9.1: the check digit of a GTIN-13."""
    digits = f"690{number:09d}"
    weighted = sum(int(digit) * (3 if at % 2 else 1) for at, digit in enumerate(digits))
    return digits + str(-weighted % 10)


def good_row(number):
    return [
        "88.999.1",
        f"ZJ-{number:07d}",
        ["六角头螺栓 M8×40", "深沟球轴承 6204", "动力电池模组", "冷轧钢卷 DC01", "阿莫西林胶囊"][number % 5] + f" 第{number}件",
        gtin(number),
        f"{number % 997 / 8 + 0.25:.3f}",
        f"2026-{number % 12 + 1:02d}-{number % 28 + 1:02d}",
        str(number % 10_000),
        f"https://www.example.com/p/{number}",
        f"88.999.1/L-{number // 1000}",
        "".join(f"{number * 2654435761 % 2**32:08x}" for _ in range(2))[:16],
        "true" if number % 7 else "false",
    ]


def wrong_gtin(row):
    code = row[GTIN]
    return code[:-1] + str((int(code[-1]) + 1) % 10)


def cell(at, change):
    def plant(row, _):
        row[at] = change(row)
        return row

    return plant


# Kind -> (how it is planted, the code, the column that is told; None: none). Of bytes and quotes below.
CELL_KINDS = {
    "no code": (cell(CODE, lambda row: ""), "column_missing", CODE),
    "prefix of another node": (cell(PREFIX, lambda row: "88.888.7"), "not_responsible", None),
    "prefix that is none": (cell(PREFIX, lambda row: "88..1"), "identifier_bad_vaa_prefix", PREFIX),
    "invisible character": (cell(CODE, lambda row: row[CODE] + "\u200b"), "identifier_bad_character", PREFIX),
    "code too long": (cell(CODE, lambda row: row[CODE] + "x" * 2_048), "identifier_too_long", PREFIX),
    "check digit": (cell(GTIN, wrong_gtin), "identifier_bad_check_digit", GTIN),
    "letters in a GTIN": (cell(GTIN, lambda row: row[GTIN][:5] + "A" + row[GTIN][6:]), None, GTIN),
    "GTIN of another row": (cell(GTIN, lambda row: gtin(int(row[CODE][3:]) // 100 * 100)), "alias_taken", None),
    "decimal": (cell(WEIGHT, lambda row: "12,5,0"), "bad_decimal", WEIGHT),
    "day that is none": (cell(DAY, lambda row: "2026-02-30"), "bad_date", DAY),
    "integer": (cell(COUNT, lambda row: "十二"), "bad_integer", COUNT),
    "address": (cell(SITE, lambda row: "www.example.com"), "bad_url", SITE),
    "parent": (cell(PARENT, lambda row: "上级未知"), "identifier_unrecognized", PARENT),
    "bytes": (cell(DIGEST, lambda row: "***"), "bad_bytes", DIGEST),
    "boolean": (cell(PASSED, lambda row: "也许"), None, PASSED),
    "U+FFFD": (cell(NAME, lambda row: "名\ufffd称"), "encoding_broken", NAME),
}


def as_csv(cells):
    return ",".join('"%s"' % text.replace('"', '""') if any(c in text for c in ',"\n') else text for text in cells)


def line_kind(change):
    return lambda row, number: change(as_csv(row), number)


# Kind -> (the line's bytes from its text, the code, the column). The whole line is given as bytes.
LINE_KINDS = {
    "too few cells": (lambda line, _: line.rsplit(",", 1)[0].encode("gb18030"), "row_ragged", None),
    "too many cells": (lambda line, _: (line + ",多").encode("gb18030"), "row_ragged", None),
    "broken bytes": (lambda line, _: line.encode("gb18030").replace("第".encode("gb18030"), b"\xff\xff", 1), "encoding_broken", NAME),
    "NUL": (lambda line, _: line.replace(" 第", " \0第").encode("gb18030"), "nul_character", NAME),
    "misplaced quote": (lambda line, number: ",".join([*line.split(",")[:2], '"引号"错位', *line.split(",")[3:]]).encode("gb18030"), "quote_misplaced", None),
    "line too long": (lambda line, _: line.replace(" 第", " " + "长" * 400_000 + "第").encode("gb18030"), "line_too_long", None),
}


class Plan:
    """Which rows are wrong and how. The same for the same seed."""

    def __init__(self, rows, seed, is_csv):
        draw = random.Random(seed)
        kinds = list(CELL_KINDS) + (list(LINE_KINDS) if is_csv else [])
        # A hundredth of the rows, each kind as often as another, none on the rows whose GTIN others are given.
        places = [at for at in draw.sample(range(rows), rows // 80) if at % 100 != 0][: rows // 100]
        self.wrong = {at: kinds[n % len(kinds)] for n, at in enumerate(sorted(places))}
        # A line over the limit is a megabyte: a handful is enough.
        long = [at for at, kind in self.wrong.items() if kind == "line too long"]
        for at in long[5:]:
            self.wrong[at] = "NUL"
        self.rows = rows

    def planted(self, number):
        """The row's cells, or its bytes."""
        row, kind = good_row(number), self.wrong.get(number)
        if kind in CELL_KINDS:
            row = CELL_KINDS[kind][0](row, number)
        if kind in LINE_KINDS:
            return LINE_KINDS[kind][0](as_csv(row), number)
        return row

    def expected(self, number):
        kind = self.wrong[number]
        _, code, column = CELL_KINDS.get(kind) or LINE_KINDS[kind]
        return kind, code, column


def write_csv(path, plan):
    with open(path, "wb") as file:
        file.write((as_csv(COLUMNS) + "\r\n").encode("gb18030"))
        for number in range(plan.rows):
            row = plan.planted(number)
            file.write((row if isinstance(row, bytes) else as_csv(row).encode("gb18030")) + b"\r\n")


def write_xlsx(path, plan):
    """A workbook with inline strings, streamed: what programs write. No library is needed, and none is measured."""
    parts = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        '<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>'
        '<Override PartName="/xl/worksheets/sheet1.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>'
        "</Types>",
        "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" '
        'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
        'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="产品" sheetId="1" r:id="r1"/>'
        "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" '
        'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as book:
        for name, text in parts.items():
            book.writestr(name, '<?xml version="1.0" encoding="UTF-8"?>' + text)
        with book.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sheet:
            sheet.write(b'<?xml version="1.0" encoding="UTF-8"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>')
            for number in range(-1, plan.rows):
                cells = COLUMNS if number < 0 else plan.planted(number)
                inline = "".join(f'<c t="inlineStr"><is><t xml:space="preserve">{escape(text)}</t></is></c>' for text in cells)
                sheet.write(f"<row>{inline}</row>".encode())
            sheet.write(b"</sheetData></worksheet>")


class Node:
    """A node on a folder that outlives it."""

    def __init__(self, binary, folder):
        environment = dict(os.environ, MINGPAI_LANG="en")
        command = [binary, "serve", "--dev", "--data", folder, "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.token_file = os.path.join(folder, "dev-token")
        for line in self.process.stdout:
            if "http://127.0.0.1:" in line:
                self.url = line[line.index("http://127.0.0.1:") :].split()[0].rstrip("/")
                break
        else:
            raise SystemExit("the node ended before it named its URL")
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def resident_kib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return next((int(line.split()[1]) for line in status if line.startswith("VmRSS")), 0)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)


class Memory:
    """The highest resident memory of a node, looked at ten times a second, by halves of the time."""

    def __init__(self, node):
        self.samples, self.node, self.ended = [], node, threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self):
        while not self.ended.wait(0.1):
            try:
                self.samples.append(self.node.resident_kib())
            except OSError:
                return

    def end(self):
        self.ended.set()
        self.thread.join()
        half = len(self.samples) // 2
        return [max(part, default=0) // 1024 for part in (self.samples[:half], self.samples[half:])]


def importing(binary, node, source, mapping, errors, folder):
    command = [binary, "import", source, "--mapping", mapping, "--errors", errors, "--server", node.url, "--patience", "1", "--json"]
    environment = dict(os.environ, MINGPAI_LANG="en", MINGPAI_TOKEN_FILE=node.token_file)
    return subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def run(binary, node, source, mapping, errors, folder):
    """An import to its end: its exit code and what it said, and the node's memory."""
    memory, started = Memory(node), time.monotonic()
    client = importing(binary, node, source, mapping, errors, folder)
    out, _ = client.communicate()
    return client.returncode, json.loads(out or "{}"), memory.end(), time.monotonic() - started


def killed(binary, data, arguments, kills, draw, seconds):
    """Kills the node and the client in turn while they work; what each of them had done stays."""
    for turn in range(kills):
        node = Node(binary, data)
        client = importing(binary, node, *arguments)
        try:
            client.wait(timeout=draw.uniform(0.3, seconds))
        except subprocess.TimeoutExpired:
            pass
        if turn % 2 == 0:
            node.kill()
            client.communicate()
        else:
            client.kill()
            client.communicate()
            node.kill()


def mend(errors, plan):
    """Puts right what was planted, and nothing else; gives the faults by row. `csv` alone reads and writes the table."""
    limit = csv.field_size_limit(1 << 24)
    with open(errors, encoding="utf-8-sig", newline="") as file:
        told = list(csv.reader(file))
    csv.field_size_limit(limit)
    header, faults, mended = told[0], {}, [told[0]]
    width = len(COLUMNS)
    for row in told[1:]:
        line, column, code = (row[header.index(name)] for name in ("line", "column", "code"))
        # The header is line 1, and no cell has a line break.
        number = int(line) - 2
        faults.setdefault(number, []).append((code, column))
        mended.append(good_row(number) + row[width : len(header)])
    with open(errors + ".mended.csv", "w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows(mended)
    return header, faults


def exported(binary, node, folder):
    """Names, versions and names of the products that the node has, and how many there are."""
    path = os.path.join(folder, "export.ndjson")
    environment = dict(os.environ, MINGPAI_TOKEN_FILE=node.token_file)
    subprocess.run([binary, "export", "-o", path, "--server", node.url], env=environment, check=True, stderr=subprocess.DEVNULL)
    numbers, wrong = set(), 0
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            if "88.999.1/ZJ-" not in line:
                continue
            record = json.loads(line)
            number = int(record["identifier"].split("ZJ-")[1])
            row = good_row(number)
            values = {value["type"]: value["data"]["value"] for value in record["values"]}
            same = (
                record["version"] == 1
                and number not in numbers
                and values["产品名称"] == row[NAME]
                and values["净重"] == row[WEIGHT]
                and values["出厂日期"] == row[DAY]
                and values["数量"] == int(row[COUNT])
                and values["合格"] == (row[PASSED] == "true")
                and len(values) == len(MAPPING["values"])
                and len(record["aliases"]) == 1
            )
            wrong += not same
            numbers.add(number)
    os.remove(path)
    return numbers, wrong


def main(binary, rows, kills, seed, is_csv):
    print(f"seed {seed}, {rows} rows, {'CSV in GB18030' if is_csv else 'XLSX'}, {kills} kills", flush=True)
    plan, draw = Plan(rows, seed, is_csv), random.Random(seed + 1)
    with tempfile.TemporaryDirectory() as folder:
        data, source = os.path.join(folder, "node"), os.path.join(folder, "产品.csv" if is_csv else "产品.xlsx")
        mapping, errors = os.path.join(folder, "mapping.json"), os.path.join(folder, "errors.csv")
        with open(mapping, "w", encoding="utf-8") as file:
            json.dump(MAPPING, file)
        (write_csv if is_csv else write_xlsx)(source, plan)
        print(f"file of {os.path.getsize(source) >> 20} MiB, {len(plan.wrong)} wrong rows of {len(set(plan.wrong.values()))} kinds", flush=True)
        killed(binary, data, (source, mapping, errors, folder), kills, draw, max(1.0, rows / 60_000))

        node = Node(binary, data)
        code, report, resident, seconds = run(binary, node, source, mapping, errors, folder)
        count = report.get("rows", {})
        print(f"imported in {seconds:.1f} s: exit {code}, {count}; resident at most {resident[0]} MB, then {resident[1]} MB", flush=True)
        check("every row has an outcome", count.get("total") == rows and count["registered"] + count["skipped"] + count["failed"] == rows)
        check("an import with rejected rows ends with 1", code == 1, f"(exit {code})")
        check("resident memory is flat", resident[1] <= resident[0] * 1.25 + 32, f"{resident}")
        header, faults = mend(errors, plan)
        check("each wrong row is told once, and no other", {at: len(told) for at, told in faults.items()} == dict.fromkeys(plan.wrong, 1),
              f"({len(faults)} told, {len(plan.wrong)} planted)")
        seen = {}
        for number in plan.wrong:
            kind, wanted, column = plan.expected(number)
            for told, where in faults.get(number, []):
                right = (wanted is None or told == wanted) and (column is None or where == COLUMNS[column])
                seen.setdefault(kind, [0, 0, (told, where)])[0 if right else 1] += 1
                if not right:
                    seen[kind][2] = (told, where)
        for kind, (right, other, example) in sorted(seen.items()):
            check(f"{kind}: {right} rows told as {example[0]} in {example[1] or 'the row'}", other == 0 and right > 0)
        check("all kinds were planted", set(seen) == set(plan.wrong.values()))
        numbers, wrong = exported(binary, node, folder)
        check("all other rows are there once, as the file has them", wrong == 0 and numbers == set(range(rows)) - set(plan.wrong),
              f"({len(numbers)} there, {wrong} not as in the file)")
        check("the table's own columns come first", header[: len(COLUMNS)] == COLUMNS)

        code, report, resident, seconds = run(binary, node, errors + ".mended.csv", mapping, errors + ".2.csv", folder)
        check("the mended error file is imported as it is", code == 0 and report["rows"]["registered"] == len(plan.wrong), f"({report.get('rows')})")
        numbers, wrong = exported(binary, node, folder)
        check("every row of the file is there", wrong == 0 and numbers == set(range(rows)), f"({len(numbers)} of {rows})")
        check("the node stops cleanly", node.stop() == 0)
    print(f"million: {RESULTS['passed']} passed, {RESULTS['failed']} failed")
    return RESULTS["failed"] == 0


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--xlsx"]
    numbers = [int(word) for word in words[1:]]
    seed = numbers[2] if len(numbers) > 2 else int(os.environ.get("MINGPAI_SEED", time.time_ns() % 2**32))
    ok = main(os.path.abspath(words[0]), numbers[0] if numbers else 1_000_000, numbers[1] if len(numbers) > 1 else 10, seed, "--xlsx" not in sys.argv)
    sys.exit(0 if ok else 1)
