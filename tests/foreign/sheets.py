"""Imports workbooks that openpyxl wrote, and has what failed mended in a workbook again; reads exports with openpyxl and csv.

usage: sheets.py PATH-OF-MINGPAI, or sheets.py --fixture PATH to write the workbook that the Rust tests read. Starts a node on
a throw-away folder on loopback, stops it by its pid, prints "sheets: N passed, N failed" at the end.
"""

import csv
import datetime
import json
import os
import subprocess
import sys
import tempfile
import zipfile

import openpyxl

RESULTS = {"passed": 0, "failed": 0}
HEADER = ["产品编码", "产品名称", "商品条码", "净重(kg)", "出厂日期", "数量", "库位", "在售", "合价", "备注"]


def check(name, condition):
    RESULTS["passed" if condition else "failed"] += 1
    print(f"sheets {name} ... {'ok' if condition else 'FAILED'}", flush=True)


def write(path):
    """A workbook with what people put into one: numbers that are names, dates, formulas, gaps, errors, a second sheet."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "产品"
    sheet.append(HEADER)
    day = datetime.date(2026, 1, 31)
    sheet.append(["A001", "六角螺栓 M8", 6901234567892, 12.5, day, 7, 42, True, "=D2*F2", "两行的\n备注"])
    sheet.append(["A002", "垫圈", "6901234567892", 0.1 + 0.2, day, 1000, 7, False, None, None])
    sheet.append([])
    sheet.append([20260131001, "数字编码", None, 3, datetime.datetime(2026, 2, 1, 8, 30), -1, 1, True, None, "=1+1"])
    sheet.append(["B001", "校验位错", 6901234567890, 1, day, 1, 1, True, None, None])
    sheet.append(["B002", "公式错误", None, "#DIV/0!", day, 1, 1, True, None, None])
    sheet.append([1234567890123456, "太长的数字", None, 1, day, 1, 1, True, None, None])
    sheet.append(["B003", "数量是文字", None, 1, day, "七", 1, True, None, None])
    sheet.append([None, "没有编码", None, 1, day, 1, 1, True, None, None])
    for row in sheet.iter_rows(min_row=2):
        row[3].number_format = "0.00"
        row[6].number_format = "00000"
    sheet["D7"].data_type = "e"
    sheet.merge_cells("B12:D12")
    sheet["B12"] = " "
    other = book.create_sheet("第二页")
    other.append(["code"])
    other.append(["Z1"])
    book.save(path)
    cached(path)


def cached(path):
    """openpyxl writes no values of formulas; spreadsheets do."""
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    name = "xl/worksheets/sheet1.xml"
    for formula, value in ((b"D2*F2", b"87.5"), (b"1+1", b"2")):
        for empty in (b"<v />", b"<v></v>", b"<v/>"):
            parts[name] = parts[name].replace(b"<f>%s</f>%s" % (formula, empty), b"<f>%s</f><v>%s</v>" % (formula, value))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        for part, data in parts.items():
            book.writestr(zipfile.ZipInfo(part, (2026, 1, 31, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)


def run(binary, folder, *arguments):
    environment = dict(os.environ, MINGPAI_LANG="en")
    done = subprocess.run(
        [binary, *arguments], cwd=folder, capture_output=True, text=True, env=environment, timeout=120, check=False
    )
    return done.returncode, done.stdout, done.stderr


def main(binary):
    sys.path.insert(0, os.path.dirname(__file__))
    from verify import Node

    with tempfile.TemporaryDirectory() as folder:
        node = Node(binary, os.path.join(folder, "node"))
        try:
            tell(binary, folder, node)
            take_out(binary, folder, node)
        finally:
            node.stop()
    print(f"sheets: {RESULTS['passed']} passed, {RESULTS['failed']} failed")
    sys.exit(RESULTS["failed"] > 0)


def tell(binary, folder, node):
    write(os.path.join(folder, "products.xlsx"))
    code, proposed, _ = run(binary, folder, "import", "products.xlsx", "--propose")
    mapping = json.loads(proposed)
    check("a mapping is proposed", code == 0 and mapping["identifier"] == "88.999.1/{产品编码}")
    # Sixteen rows of a sample can lie; the person says what the columns are.
    formats = {"净重(kg)": "decimal", "出厂日期": "string", "数量": "integer", "在售": "boolean"}
    for value in mapping["values"]:
        value["format"] = formats.get(value["from"], "string")
    mapping["aliases"] = [{"scheme": "gs1", "from": "商品条码"}]
    mapping["values"] = [value for value in mapping["values"] if value["from"] != "商品条码"]
    with open(os.path.join(folder, "mapping.json"), "w", encoding="utf-8") as file:
        json.dump(mapping, file, ensure_ascii=False)
    sign = ["--mapping", "mapping.json", "--server", node.url, "--token-file", "node/dev-token"]
    code, out, err = run(binary, folder, "import", "products.xlsx", *sign, "--json")
    ended = json.loads(out)
    check("good rows are registered", code == 1 and ended["rows"]["registered"] == 2)
    check("bad rows are told", ended["rows"]["failed"] == 6)
    with open(os.path.join(folder, "products.errors.csv"), encoding="utf-8-sig", newline="") as file:
        errors = list(csv.reader(file))
    check("the error file has the sheet's columns", errors[0] == [*HEADER, "line", "column", "code", "message"])
    told = {int(row[10]): (row[11], row[12]) for row in errors[1:]}
    expected = {
        3: ("", "alias_taken"),
        6: ("商品条码", "identifier_bad_check_digit"),
        7: ("净重(kg)", "cell_error"),
        8: ("产品编码", "number_inexact"),
        9: ("数量", "bad_integer"),
        10: ("产品编码", "column_missing"),
    }
    for line, what in expected.items():
        check(f"row {line} is {what[1]}", told.get(line) == what)
    _, answer = node.get("/v1/resolve/88.999.1/A001")
    values = {value["type"]: value["data"]["value"] for value in json.loads(answer)["values"]}
    check("a decimal keeps the zeros that are seen", values["净重"] == "12.50")
    check("leading zeros that are seen are there", values["库位"] == "00042")
    check("a date is an ISO date", values["出厂日期"] == "2026-01-31")
    check("a formula gives its value", values["合价"] == "87.5")
    check("a truth is one", values["在售"] is True)
    check("a line break stays", values["备注"] == "两行的\n备注")
    check("a barcode is found", node.get("/v1/resolve/6901234567892")[0] == 200)
    check("a long number is text", node.get("/v1/resolve/88.999.1/20260131001")[0] == 200)
    mend(folder, errors)
    code, out, err = run(binary, folder, "import", "mended.xlsx", *sign, "--json")
    check("a mended workbook is taken whole", code == 0 and json.loads(out)["rows"]["registered"] == 6)
    one = json.dumps({"identifier": "88.999.1/{code}"})
    with open(os.path.join(folder, "one.json"), "w", encoding="utf-8") as file:
        file.write(one)
    code, out, err = run(
        binary, folder, "import", "products.xlsx", "--mapping", "one.json", "--sheet", "第二页", *sign[2:], "--json"
    )
    check("another sheet can be named", code == 0 and json.loads(out)["rows"]["registered"] == 1)
    os.rename(os.path.join(folder, "products.xlsx"), os.path.join(folder, "products.xlsm"))
    with zipfile.ZipFile(os.path.join(folder, "products.xlsm"), "a") as book:
        book.writestr("xl/vbaProject.bin", b"x")
    code, out, err = run(binary, folder, "import", "products.xlsm", *sign)
    check("macros are refused", code == 1 and "workbook_macros" in err)


ODD = {
    "identifier": "88.999.1/ODD",
    "registrant": "=示范",
    "values": [
        {"index": 1, "type": "公式", "data": "=HYPERLINK(\"https://example.com\")"},
        {"index": 2, "type": "条码", "data": "06901234567892"},
        {"index": 3, "type": "数量", "data": -7},
        {"index": 4, "type": "净重", "data": {"format": "decimal", "value": "12.50", "unit": "g"}},
        {"index": 5, "type": "备注", "data": "两行的\n\"备注\", 逗号"},
        {"index": 6, "type": "成本", "data": "9.99", "visibility": "owner"},
        {"index": 7, "type": "清单", "data": {"format": "list", "value": ["a", "b"]}},
    ],
    "aliases": [{"scheme": "oid", "identifier": "1.2.156.1"}, {"scheme": "gs1", "identifier": "01/09506000134352"}],
    "links": [{"rel": "manual", "href": "https://example.com/<1>".replace("<1>", "1"), "title": "书 & 册"}],
}


def take_out(binary, folder, node):
    """Exports as others read them, and as a spreadsheet program gives them back."""
    sign = ["--server", node.url, "--token-file", "node/dev-token"]
    with open(os.path.join(folder, "odd.ndjson"), "w", encoding="utf-8") as file:
        file.write(json.dumps(ODD, ensure_ascii=False) + "\n")
    code, _, _ = run(binary, folder, "import", "odd.ndjson", *sign)
    check("an odd record is registered", code == 0)
    code, _, err = run(binary, folder, "export", "-o", "out.xlsx", *sign)
    check("a workbook is exported", code == 0 and "records exported" in err)
    book = openpyxl.load_workbook(os.path.join(folder, "out.xlsx"))
    sheet = book["records"]
    header = [cell.value for cell in sheet[1]]
    check("its first row names the columns", header[:2] == ["identifier", "status"] and header[-1].startswith("more (JSON)"))
    check("the first row stays in sight", sheet.freeze_panes == "A2")
    rows = {row[0].value: dict(zip(header, row)) for row in sheet.iter_rows(min_row=2)}
    check("every record has a row", len(rows) == sheet.max_row - 1 > 336)
    odd = rows["88.999.1/ODD"]
    formula = odd["1 公式"]
    check("a formula is text", formula.value == ODD["values"][0]["data"] and formula.data_type != "f")
    barcode = odd["2 条码"]
    check("a long number is text", barcode.value == "06901234567892" and barcode.number_format == "@")
    check("a small number is a number", odd["3 数量 [integer]"].value == -7)
    check("a decimal keeps its zeros", odd["4 净重 [decimal unit=g]"].value == "12.50")
    check("a line break is one", odd["5 备注"].value == ODD["values"][4]["data"])
    check("who may see it is in the column", odd["6 成本 [string visibility=owner]"].value == "9.99")
    check("aliases are lines", odd["aliases"].value == "oid 1.2.156.1\ngs1 01/09506000134352")
    check("links are JSON", json.loads(odd["links"].value) == ODD["links"])
    check("the rest is JSON", json.loads(odd["more (JSON)"].value)["values"][0]["data"]["value"][1]["value"] == "b")
    for cell in (formula, odd["registrant"]):
        cell.data_type = "s"
    book.save(os.path.join(folder, "saved.xlsx"))
    code, out, _ = run(binary, folder, "import", "saved.xlsx", *sign, "--json")
    ended = json.loads(out)["rows"]
    check("a workbook that was saved again says the same", code == 0 and ended["skipped"] == ended["total"] == len(rows))
    odd["5 备注"].value, odd["status"].value = "改过", "recalled"
    book.save(os.path.join(folder, "edited.xlsx"))
    code, out, _ = run(binary, folder, "import", "edited.xlsx", "--on-conflict", "update", *sign, "--json")
    check("an edited cell is a new version", code == 0 and json.loads(out)["rows"]["updated"] == 1)
    code, out, _ = run(binary, folder, "diff", "88.999.1/ODD", "1", *sign, "--json")
    changes = [(change["part"], change.get("index"), change["change"]) for change in json.loads(out)["changes"]]
    check("and the difference is just that", changes == [("status", None, "changed"), ("value", 5, "changed")])
    rows_of_csv(binary, folder, sign, len(rows))


def rows_of_csv(binary, folder, sign, count):
    code, _, _ = run(binary, folder, "export", "-o", "out.csv", "--where", "prefix=88.999.1", *sign)
    with open(os.path.join(folder, "out.csv"), "rb") as file:
        check("a CSV for a spreadsheet has its mark", code == 0 and file.read(3) == b"\xef\xbb\xbf")
    with open(os.path.join(folder, "out.csv"), encoding="utf-8-sig", newline="") as file:
        rows = {row["identifier"]: row for row in csv.DictReader(file, strict=True)}
    check("every record has a line", len(rows) == count)
    odd = rows["88.999.1/ODD"]
    check("no cell begins a formula", not any((cell or "").startswith(("=", "+", "@")) for row in rows.values() for cell in row.values()))
    check("a formula is marked as text", odd["1 公式"] == "'" + ODD["values"][0]["data"] and odd["registrant"] == "'=示范")
    check("a negative number is one", odd["3 数量 [integer]"] == "-7")
    code, out, _ = run(binary, folder, "import", "out.csv", *sign, "--json")
    check("a CSV says the same", code == 0 and json.loads(out)["rows"]["skipped"] == count)


def mend(folder, errors):
    """What failed, as openpyxl writes it: the cells put right, what is told beside them left."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(errors[0])
    for row in errors[1:]:
        row[0], row[2], row[3], row[5] = f"M{row[10]}", None, 1.25, 3
        sheet.append(row)
    book.save(os.path.join(folder, "mended.xlsx"))


if __name__ == "__main__":
    if sys.argv[1] == "--fixture":
        write(sys.argv[2])
    else:
        main(os.path.abspath(sys.argv[1]))
