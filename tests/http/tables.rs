//! Imports of tables: what spreadsheets save, with everything that goes wrong in them.

use http::Method;
use serde_json::{Value as Json, json};

use crate::world::{World, part};

const CSV: &str = "text/csv";
const HEADER: &str = "编号,名称,条码,净重,日期,网址,数量,备注";
/// Stands for bytes that are no text in the file's encoding.
const BROKEN: char = '\u{E000}';

pub fn query(mapping: &Json) -> String {
    let encoded: String = mapping.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("mapping={encoded}")
}

fn mapping() -> String {
    query(&json!({
        "identifier": "88.999.1/{编号}",
        "values": [
            {"index": 2000, "type": "名称", "from": "名称"},
            {"index": 2001, "type": "净重", "from": "净重", "format": "decimal", "unit": "g"},
            {"index": 2002, "type": "日期", "from": "日期", "format": "date"},
            {"index": 2003, "type": "网址", "from": "网址", "format": "url"},
            {"index": 2004, "type": "数量", "from": "数量", "format": "integer"},
        ],
        "aliases": [{"scheme": "gs1", "from": "条码"}],
    }))
}

/// A row that is wrong: as it is planted, the code and column that are told of it, and as it should be.
struct Planted {
    raw: String,
    code: &'static str,
    column: &'static str,
}

fn good(id: &str) -> String {
    format!("{id},螺栓 {id},,12.5,2026-01-31,https://example.cn/{id},7,-")
}

fn planted() -> Vec<Planted> {
    let long_id = "x".repeat(2_100);
    let long_note = "长".repeat(1_500);
    let rows: Vec<(String, &'static str, &'static str)> = vec![
        (",无编号,,,,,,".into(), "column_missing", "编号"),
        ("B1,校验位错,6901234567890,,,,,".into(), "identifier_bad_check_digit", "条码"),
        ("B2,条码太短,123,,,,,".into(), "", "条码"),
        ("B3,条码有字母,69012345678AB,,,,,".into(), "", "条码"),
        ("B4,净重不是数,,十二,,,,".into(), "bad_decimal", "净重"),
        ("B5,日期格式错,,,31.01.2026,,,".into(), "bad_date", "日期"),
        ("B6,没有这一天,,,2026-02-30,,,".into(), "bad_date", "日期"),
        ("B7,网址错,,,,example,,".into(), "bad_url", "网址"),
        ("B8,数量不是整数,,,,,七,".into(), "bad_integer", "数量"),
        ("B9,数量太大,,,,,99999999999999999999,".into(), "bad_integer", "数量"),
        ("B10,缺单元格,,".into(), "row_ragged", ""),
        ("B11,多单元格,,,,,,备注,多余,=1".into(), "row_ragged", ""),
        ("B12,\"未闭合,,,,,,".into(), "quote_misplaced", ""),
        ("B13,\"引号\"错位,,,,,,".into(), "quote_misplaced", ""),
        ("B14,空字符\0,,,,,,".into(), "nul_character", "名称"),
        (format!("B15,坏字节{BROKEN},,,,,,"), "encoding_broken", "名称"),
        ("B16,早已损坏\u{FFFD},,,,,,".into(), "encoding_broken", "名称"),
        (format!("B17,太长,,,,,,{long_note}"), "line_too_long", ""),
        (format!("B18,单元格太长,,,,,,\"第一行\n{long_note}\""), "", ""),
        (format!("{long_id},编号太长,,,,,,"), "", "编号"),
        ("taken,已登记,,,,,,".into(), "already_exists", "编号"),
        ("deleted,已删除,,,,,,".into(), "identifier_deleted", ""),
        ("B19,条码已用,09506000134352,,,,,".into(), "alias_taken", ""),
        ("a\u{1}b,控制字符,,,,,,".into(), "", "编号"),
    ];
    rows.into_iter().map(|(raw, code, column)| Planted { raw, code, column }).collect()
}

/// The file, and the line that each planted row begins at.
fn file(planted: &[Planted]) -> (String, Vec<usize>) {
    let mut text = format!("{HEADER}\r\n");
    let mut lines = Vec::new();
    for (at, row) in planted.iter().enumerate() {
        text.push_str(&format!("\"G{at}\",\"两行的\n\"\"名称\"\"\",,,,,,\r\n\r\n{}\n", good(&format!("H{at}"))));
        lines.push(text.matches('\n').count() + 1);
        text.push_str(&row.raw);
        text.push_str("\r\n");
    }
    text.push_str("END,\"最后\",,,,,,");
    (text, lines)
}

type Encode = fn(&str) -> Vec<u8>;
const ENCODINGS: [(&str, &[u8], &[u8], Encode); 4] = [
    ("utf-8", b"\xEF\xBB\xBF", b"\xFF", |text| text.as_bytes().to_vec()),
    ("utf-16le", b"\xFF\xFE", b"\x00\xD8", |text| text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
    ("utf-16be", b"\xFE\xFF", b"\xD8\x00", |text| text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
    ("gb18030", b"", b"\xFF", |text| encoding_rs::GB18030.encode(text).0.into_owned()),
];

fn encoded(text: &str, mark: &[u8], broken: &[u8], encode: Encode) -> Vec<u8> {
    let parts: Vec<Vec<u8>> = text.split(BROKEN).map(encode).collect();
    [mark, &parts.join(broken)].concat()
}

/// CSV as RFC 4180 has it, read by other code than the node's.
fn cells(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut is_quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => cell.extend(letters.next()),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !is_quoted => {}
            '\n' if !is_quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            letter => cell.push(letter),
        }
    }
    assert!(cell.is_empty() && row.is_empty() && !is_quoted, "it ends with a line end");
    rows
}

fn csv(rows: &[Vec<String>]) -> String {
    let quoted = |cell: &String| format!("\"{}\"", cell.replace('"', "\"\""));
    let line = |row: &Vec<String>| row.iter().map(quoted).collect::<Vec<_>>().join(",");
    rows.iter().map(|row| format!("{}\r\n", line(row))).collect()
}

async fn prepared() -> World {
    let world = World::with(&[("limits.line_bytes", "4096")]).await;
    world.register("88.999.1/taken", &part("另一个")).await;
    world.register("88.999.1/deleted", &part("已删除")).await;
    let alias = json!({"values": [], "aliases": [{"scheme": "gs1", "identifier": "09506000134352"}]});
    world.register("88.999.1/bearer", &alias).await;
    world.change(Method::DELETE, "88.999.1/deleted", &Json::Null).await;
    world
}

#[tokio::test]
async fn every_fault_of_a_table_is_told_with_its_line_and_mended_rows_are_taken() {
    let planted = planted();
    let (text, lines) = file(&planted);
    for (name, mark, broken, encode) in ENCODINGS {
        let world = prepared().await;
        let job = world.import(&mapping(), CSV, encoded(&text, mark, broken, encode)).await;
        assert_eq!((&job["state"], &job["format"], &job["encoding"]), (&json!("done"), &json!("csv"), &json!(name)));
        assert_eq!((&job["separator"], &job["bytes_done"]), (&json!(","), &job["bytes"]), "{job}");
        let told = world.get(job["errors"].as_str().unwrap()).signed().header("accept-language", "en").send().await;
        assert_eq!(told.header("content-type"), "text/csv; charset=utf-8");
        let mut rows = cells(&told.text());
        let header = rows.remove(0);
        assert_eq!(header.join(","), format!("{HEADER},line,column,code,message"));
        // The long cell's second line is looked at as a row of its own: what is told of it goes with its first.
        let mut rows: Vec<_> = rows.into_iter().filter(|row| !row[0].starts_with('长')).collect();
        // What only the commit finds out is told after the rows around it.
        rows.sort_by_key(|row| row[8].parse::<usize>().unwrap());
        assert_eq!(rows.len(), planted.len(), "{name}: {rows:#?}");
        let mut mended = vec![header];
        for ((row, planted), line) in rows.into_iter().zip(&planted).zip(&lines) {
            let told = &row[8..12];
            let shown: String = planted.raw.chars().take(40).collect();
            assert_eq!(told[0], line.to_string(), "{name}: {shown}: {told:?}");
            assert!(planted.code.is_empty() || told[2] == planted.code, "{name}: {shown}: {told:?}");
            assert_eq!(told[1], planted.column, "{name}: {shown}: {told:?}");
            assert!(!told[2].is_empty() && told[3].len() > 10, "{told:?}");
            mended.push(mend(row, *line));
        }
        let again = world.import(&mapping(), CSV, format!("\u{FEFF}{}", csv(&mended))).await;
        let count = planted.len() as u64;
        let left = world.get(again["errors"].as_str().unwrap()).signed().send().await.text();
        assert_eq!(left.matches("\r\n").count(), 1, "{name}: {left}");
        assert_eq!(
            again["rows"],
            json!({"total": count, "registered": count, "updated": 0, "skipped": 0, "failed": 0})
        );
        let all = 2 * count + 1;
        assert_eq!(job["rows"]["registered"], all, "{name}");
        let first = world.get("/v1/records/88.999.1/G0").send().await.json();
        assert_eq!(first["values"][0]["data"]["value"], "两行的\n\"名称\"");
        let last = world.get("/v1/records/88.999.1/END").send().await.json();
        assert_eq!(last["values"][0]["data"]["value"], "最后");
    }
}

/// As a person does it in a spreadsheet: the wrong cells are put right, what is told beside them stays.
fn mend(mut row: Vec<String>, line: usize) -> Vec<String> {
    row.truncate(12);
    row[0] = format!("M{line}");
    row[1] = row[1].replace(['\u{FFFD}', '\0', '"'], "");
    for cell in &mut row[2..8] {
        cell.clear();
    }
    row
}

#[tokio::test]
async fn numbers_that_are_names_stay_text_and_formulas_stay_harmless() {
    let world = World::new().await;
    let mapping = query(&json!({
        "identifier": "88.999.1/{code}",
        "values": [{"index": 2000, "type": "n", "from": "name"}, {"index": 2001, "type": "d", "from": "day", "format": "date"}],
    }));
    let text = "code,name,day\n6901234567892,=1+1,x\n007,-5,x\n12E5,'@a,x\n";
    let job = world.import(&mapping, CSV, text).await;
    let told = world.get(job["errors"].as_str().unwrap()).signed().send().await.text();
    let rows = cells(&told);
    let expected = ["code,name,day,line,column,error_code,message", "'6901234567892,'=1+1,x,2,day", "'007,'-5,x,3,day"];
    for (row, expected) in rows.iter().zip(expected) {
        assert!(row.join(",").starts_with(expected), "{row:?}");
    }
    let job = world.import(&mapping, CSV, told.replace(",x,", ",2026-01-31,")).await;
    assert_eq!((&job["rows"]["registered"], &job["rows"]["failed"]), (&json!(3), &json!(0)), "{job}");
    for (id, name) in [("6901234567892", "=1+1"), ("007", "-5"), ("12E5", "'@a")] {
        let record = world.get(&format!("/v1/records/88.999.1/{id}")).send().await.json();
        assert_eq!(record["values"][0]["data"]["value"], name, "{id}");
    }
    // Nobody but an error file puts an apostrophe there: elsewhere it is the cell's own, and so is a mark.
    let job = world.import(&mapping, CSV, "code,name,day\nown,'=1+1,2026-01-31\nmark,\u{FEFF},x\nwide,＝1,x\n").await;
    let record = world.get("/v1/records/88.999.1/own").send().await.json();
    assert_eq!(record["values"][0]["data"]["value"], "'=1+1");
    let told = world.get(job["errors"].as_str().unwrap()).signed().send().await.text();
    assert!(told.contains("wide,\"'＝1\",x,4,day,"), "{told}");
    let job = world.import(&mapping, CSV, "name,code,day\n\u{FEFF}a,marked,2026-01-31\n").await;
    assert_eq!(job["rows"]["registered"], 1, "{job}");
    let record = world.get("/v1/records/88.999.1/marked").send().await.json();
    assert_eq!(record["values"][0]["data"]["value"], "\u{FEFF}a");
    // What an error file told is not looked at again, whatever stands there.
    let job = world.import(&mapping, CSV, "code,name,day,line,column,error_code,message\n9,a,,2,x,y,\u{FFFD}\n").await;
    assert_eq!(job["rows"]["registered"], 1, "{job}");
    // As NDJSON, when it is asked for.
    let job = world.import(&mapping, CSV, "code;name;day\n1;a;x\n").await;
    assert_eq!(job["separator"], ";");
    let told =
        world.get(job["errors"].as_str().unwrap()).signed().header("accept", "application/x-ndjson").send().await;
    assert_eq!(told.json()["row"], "1;a;x");
}

#[tokio::test]
async fn columns_that_are_called_as_an_error_files_are_the_tables_own_where_they_are_mapped() {
    let world = World::new().await;
    let mapping = query(&json!({
        "identifier": "88.999.1/{id}",
        "values": [{"index": 2000, "type": "c", "from": "code"}, {"index": 2001, "type": "l", "from": "line", "format": "integer"}],
    }));
    let text = "id,line,column,code,message\nA,1,x,red,m\nB,no,x,blue,m\nC,3,x,\u{FFFD},m\n";
    let job = world.import(&mapping, CSV, text).await;
    assert_eq!((&job["rows"]["registered"], &job["rows"]["failed"]), (&json!(1), &json!(2)), "{job}");
    let told = world.get(job["errors"].as_str().unwrap()).signed().send().await.text();
    let mut rows = cells(&told);
    rows.sort();
    let header = "id,line,column,code,message,error_line,error_column,error_code,error_message";
    assert_eq!(rows[2].join(","), header);
    assert_eq!(rows[0][..8].join(","), "B,no,x,blue,m,3,line,bad_integer");
    assert_eq!(rows[1][..8].join(","), "C,3,x,\u{FFFD},m,4,code,encoding_broken");
    let mended = told.replace("B,no,", "B,2,").replace("\u{FFFD}", "green");
    let again = world.import(&mapping, CSV, mended).await;
    assert_eq!((&again["rows"]["registered"], &again["rows"]["failed"]), (&json!(2), &json!(0)), "{again}");
    let record = world.get("/v1/records/88.999.1/B").send().await.json();
    assert_eq!(record["values"][0]["data"]["value"], "blue");
}

#[tokio::test]
async fn a_table_that_does_not_fit_its_mapping_fails_before_its_first_row() {
    let world = World::new().await;
    let mapping = query(&json!({
        "identifier": "88.999.1/{a}{b}",
        "values": [{"index": 2000, "type": "n", "from": "c"}],
        "aliases": [{"scheme": "gs1", "from": "d"}],
    }));
    for (text, code, named) in [
        ("a,c\n1,2\n", "mapping_column_missing", "b, d"),
        ("a,b,c,d,a\n1,2,3,,5\n", "header_duplicate", "a"),
        ("a,b,,c,d\n1,2,3,4,\n", "header_empty", "3"),
        ("", "header_missing", "first row"),
        ("a,b\0,c,d\n", "header_unreadable", "encoding"),
    ] {
        let job = world.import(&mapping, CSV, text).await;
        assert_eq!((&job["state"], &job["failure"]["code"]), (&json!("failed"), &json!(code)), "{job}");
        assert_eq!(job["rows"]["total"], 0);
        let target = format!("/v1/imports/{}", job["id"].as_str().unwrap());
        let told = world.get(&target).signed().header("accept-language", "en").send().await.json();
        assert!(told["failure"]["detail"].as_str().unwrap().contains(named), "{told}");
        assert_eq!(world.get(&format!("{target}/errors")).signed().send().await.status, 200);
    }
    for (query, name) in [
        ("", "mapping"),
        (&format!("{mapping}&encoding=klingon"), "encoding"),
        (&format!("{mapping}&separator=space"), "separator"),
    ] {
        let refused = world.ask(Method::POST, &format!("/v1/imports?{query}")).signed().typed(CSV, "a\n1\n");
        let refused = refused.header("accept-language", "en").send().await;
        assert_eq!(refused.code(), "query_invalid");
        assert!(refused.json()["detail"].as_str().unwrap().starts_with(name), "{}", refused.text());
    }
    let lines =
        world.ask(Method::POST, "/v1/imports?encoding=gbk").signed().typed("application/x-ndjson", "").send().await;
    assert_eq!(lines.code(), "query_invalid");
}

#[tokio::test]
async fn the_options_of_an_import_are_heard_for_tables_too() {
    let world = World::new().await;
    let mapping = query(&json!({"identifier": "88.999.1/{a}", "values": [{"index": 1, "type": "n", "from": "b"}]}));
    let dry = world.import(&format!("{mapping}&dry_run=1"), CSV, "a,b\n1,x\n").await;
    assert_eq!((&dry["rows"]["registered"], &dry["state"]), (&json!(1), &json!("done")));
    let atomic = world.import(&format!("{mapping}&atomic=1"), CSV, "a,b\n1,x\n2\n").await;
    assert_eq!((&atomic["state"], &atomic["rows"]["registered"]), (&json!("failed"), &json!(0)));
    assert_eq!(world.get("/v1/records/88.999.1/1").send().await.status, 404);
    let gbk: Vec<u8> = encoding_rs::GB18030.encode("a|b\n1|铭牌\n").0.into_owned();
    // By mistake, and put right.
    let wrong = world.import(&format!("{mapping}&encoding=utf-8&separator=pipe"), CSV, gbk.clone()).await;
    assert_eq!((&wrong["rows"]["failed"], &wrong["encoding"]), (&json!(1), &json!("utf-8")), "{wrong}");
    let named = world.import(&format!("{mapping}&encoding=gbk&separator=%7C"), CSV, gbk).await;
    assert_eq!((&named["rows"]["registered"], &named["encoding"]), (&json!(1), &json!("gb18030")), "{named}");
    let updated = world.import(&format!("{mapping}&on_conflict=update"), CSV, "a,b\n1,x\n").await;
    assert_eq!(updated["rows"]["updated"], 1);
    let send = |text: &'static str| {
        let ask = world.ask(Method::POST, &format!("/v1/imports?{mapping}")).signed().header("idempotency-key", "t");
        ask.typed(CSV, text).send()
    };
    let first = send("a,b\n9,x\n").await.json();
    assert_eq!(send("a,b\n9,x\n").await.json()["id"], first["id"]);
    assert_eq!(send("a,b\n9,y\n").await.code(), "idempotency_mismatch");
}

#[tokio::test]
async fn a_mapping_is_proposed_and_can_be_used_as_it_is() {
    let world = World::new().await;
    let text = "产品编码,产品名称,商品条码,净重(kg),出厂日期,数量\nA1,电机,6901234567892,12.50,2026-01-31,3\nA2,端盖,,0.7,2026-02-01,40\n";
    let propose = |query: &str, bytes: Vec<u8>| {
        world.ask(Method::POST, &format!("/v1/imports/mapping{query}")).signed().typed(CSV, bytes).send()
    };
    let proposed = propose("", encoding_rs::GB18030.encode(text).0.into_owned()).await;
    assert_eq!(proposed.status, 200, "{}", proposed.text());
    let proposed = proposed.json();
    assert_eq!((&proposed["encoding"], &proposed["separator"]), (&json!("gb18030"), &json!(",")));
    assert_eq!(proposed["columns"].as_array().unwrap().len(), 6);
    assert_eq!(
        proposed["mapping"],
        json!({
            "identifier": "88.999.1/{产品编码}",
            "values": [
                {"index": 2000, "type": "产品名称", "from": "产品名称", "format": "string"},
                {"index": 2001, "type": "净重", "from": "净重(kg)", "format": "decimal", "unit": "kg"},
                {"index": 2002, "type": "出厂日期", "from": "出厂日期", "format": "date"},
                {"index": 2003, "type": "数量", "from": "数量", "format": "integer"},
            ],
            "aliases": [{"scheme": "gs1", "from": "商品条码"}],
        })
    );
    let job = world.import(&query(&proposed["mapping"]), CSV, text).await;
    assert_eq!((&job["rows"]["registered"], &job["rows"]["failed"]), (&json!(2), &json!(0)), "{job}");
    let weight = &world.get("/v1/resolve/06901234567892").send().await.json()["values"][1];
    assert_eq!(weight["data"], json!({"format": "decimal", "value": "12.50", "unit": "kg"}));
    let other = propose("?prefix=88.118.8&separator=comma&encoding=utf-8", text.into()).await.json();
    assert_eq!(other["mapping"]["identifier"], "88.118.8/{产品编码}");
    let wrong = propose("", b"a,,b\n".to_vec()).await;
    assert_eq!((wrong.status.as_u16(), wrong.code().as_str()), (400, "table_unreadable"));
    let lines =
        world.ask(Method::POST, "/v1/imports/mapping").signed().typed("application/x-ndjson", "{}").send().await;
    assert_eq!(lines.code(), "unsupported_media_type");
    let stranger = world.ask(Method::POST, "/v1/imports/mapping").typed(CSV, text).send().await;
    assert_eq!(stranger.code(), "missing_credentials");
}

const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// Written by openpyxl (tests/foreign/sheets.py).
fn workbook() -> Vec<u8> {
    std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/products.xlsx")).unwrap()
}

#[tokio::test]
async fn a_workbook_is_a_table_like_any_other() {
    let world = World::new().await;
    let mapping = query(&json!({
        "identifier": "88.999.1/{产品编码}",
        "values": [
            {"index": 2000, "type": "名称", "from": "产品名称"},
            {"index": 2001, "type": "净重", "from": "净重(kg)", "format": "decimal", "unit": "kg"},
            {"index": 2002, "type": "数量", "from": "数量", "format": "integer"},
            {"index": 2003, "type": "库位", "from": "库位"},
            {"index": 2004, "type": "在售", "from": "在售", "format": "boolean"},
        ],
        "aliases": [{"scheme": "gs1", "from": "商品条码"}],
    }));
    let job = world.import(&mapping, XLSX, workbook()).await;
    assert_eq!(
        (&job["format"], &job["sheet"], &job["state"]),
        (&json!("xlsx"), &json!("产品"), &json!("done")),
        "{job}"
    );
    assert_eq!((&job["rows"]["registered"], &job["rows"]["failed"]), (&json!(2), &json!(6)), "{job}");
    assert_eq!(job["bytes_done"], job["bytes"]);
    let values = &world.get("/v1/resolve/6901234567892").send().await.json()["values"];
    let told: Vec<&Json> = (0..5).map(|at| &values[at]["data"]["value"]).collect();
    assert_eq!(told, [&json!("六角螺栓 M8"), &json!("12.50"), &json!(7), &json!("00042"), &json!(true)]);
    let told = world.get(job["errors"].as_str().unwrap()).signed().send().await.text();
    let mut rows = cells(&told);
    let lines: Vec<&str> = rows[1..].iter().map(|row| row[10].as_str()).collect();
    assert_eq!(lines.len(), 6);
    for line in ["3", "6", "7", "8", "9", "10"] {
        assert!(lines.contains(&line), "{line}: {told}");
    }
    for (at, row) in rows.iter_mut().enumerate().skip(1) {
        (row[0], row[2], row[3], row[5]) = (format!("M{at}"), String::new(), "1".into(), "1".into());
    }
    let again = world.import(&mapping, CSV, csv(&rows)).await;
    assert_eq!((&again["rows"]["registered"], &again["rows"]["failed"]), (&json!(6), &json!(0)), "{again}");
    // The same options, and what is wrong with a workbook is said of the job.
    let atomic = world.import(&format!("{mapping}&atomic=1&dry_run=1"), XLSX, workbook()).await;
    assert_eq!((&atomic["state"], &atomic["rows"]["registered"]), (&json!("failed"), &json!(0)));
    // What is wrong in a column that nobody asks for harms no row.
    let few = query(
        &json!({"identifier": "88.999.1/few-{产品编码}", "values": [{"index": 1, "type": "n", "from": "产品名称"}]}),
    );
    let few = world.import(&format!("{few}&dry_run=1"), XLSX, workbook()).await;
    assert_eq!((&few["rows"]["registered"], &few["rows"]["failed"]), (&json!(6), &json!(2)), "{few}");
    let other = world.import(&format!("{mapping}&sheet=%E7%AC%AC%E4%BA%8C%E9%A1%B5"), XLSX, workbook()).await;
    assert_eq!(other["failure"]["code"], "mapping_column_missing");
    for (bytes, code) in
        [(b"PK\x03\x04".to_vec(), "workbook_broken"), (b"\xD0\xCF\x11\xE0".to_vec(), "workbook_locked")]
    {
        let job = world.import(&mapping, XLSX, bytes).await;
        assert_eq!((&job["failure"]["code"], &job["rows"]["total"]), (&json!(code), &json!(0)), "{job}");
    }
    let proposed = world.ask(Method::POST, "/v1/imports/mapping").signed().typed(XLSX, workbook()).send().await.json();
    assert_eq!(proposed["mapping"]["identifier"], "88.999.1/{产品编码}");
    assert_eq!(proposed["sheet"], "产品");
    let small = World::with(&[("limits.xlsx_bytes", "4096")]).await;
    let large =
        small.ask(Method::POST, &format!("/v1/imports?{mapping}")).signed().typed(XLSX, workbook()).send().await;
    assert_eq!(large.code(), "body_too_large");
}
