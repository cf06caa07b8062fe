//! Export: records as NDJSON, CSV and XLSX, whole, filtered, packed, continued, and imported again as the same records.

use std::collections::BTreeMap;
use std::io::Read;

use axum::body::Body;
use flate2::read::{GzDecoder, MultiGzDecoder};
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value as Json, json};

use crate::world::{Answer, World, part};

const NDJSON: &str = "application/x-ndjson";
const CSV: &str = "text/csv";
const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
const DEMO: &str = include_str!("../../config/demo/records.ndjson");

/// Records with everything that a table does not hold by itself.
fn odd() -> Vec<Json> {
    let long = "长".repeat(15_000);
    let values = json!([
        {"index": 1, "type": "HS_ADMIN", "data": {"format": "admin", "value": {"handle": "88.999.1/A", "index": 2, "permissions": "011111110011"}}},
        {"index": 2, "type": "URL", "data": {"format": "url", "value": "https://example.com/?a=1&b=2"}},
        {"index": 3, "type": "公式", "data": "=1+1"},
        {"index": 4, "type": "条码", "data": "06901234567892"},
        {"index": 5, "type": "空白", "data": "  x "},
        {"index": 6, "type": "换行", "data": "一行\n\"二\",行\ttab\r\n"},
        {"index": 7, "type": "引号", "data": "'007"},
        {"index": 8, "type": "空", "data": ""},
        {"index": 9, "type": "坏字", "data": "\u{FFFD}\u{1}_x0041_"},
        {"index": 10, "type": "净重", "data": {"format": "decimal", "value": "12.50", "unit": "k g"}},
        {"index": 11, "type": "大数", "data": {"format": "decimal", "value": "-1.2e-3"}},
        {"index": 12, "type": "整数", "data": i64::MIN},
        {"index": 13, "type": "小数", "data": {"format": "decimal", "value": "-0.5"}},
        {"index": 14, "type": "真", "data": true},
        {"index": 15, "type": "日期", "data": {"format": "date", "value": "2026-01-31"}},
        {"index": 16, "type": "名单", "data": {"format": "list", "value": ["a", {"format": "integer", "value": 1}]}},
        {"index": 17, "type": "字节", "data": {"format": "bytes", "value": "AAEC"}},
        {"index": 18, "type": "另名", "data": {"format": "identifier", "value": "88.999.1/B"}},
        {"index": 19, "type": "证书", "data": "一", "visibility": "owner"},
        {"index": 20, "type": "证书", "data": "二", "visibility": "granted"},
        {"index": 21, "type": "证书", "data": "三"},
        {"index": 22, "type": "短命", "data": "x", "ttl": 60, "permissions": "1010", "references": [{"handle": "88.999.1/B", "index": 1}]},
        {"index": 23, "type": "a [b] c", "data": "x"},
        {"index": 24, "type": "长", "data": long},
        {"index": 25, "type": "12", "data": "12E5"},
        {"index": 4_294_967_295_u32, "type": "末", "data": "＝1"},
    ]);
    let links: Vec<Json> = (0..40)
        .map(|at| json!({"rel": "manual", "href": format!("https://example.com/{at}/{}", "x".repeat(1000)), "title": "说明 \"书\"", "type": "text/html", "hreflang": ["zh", "en"]}))
        .collect();
    vec![
        json!({"identifier": "88.999.1/Odd", "status": "recalled", "template": "auto/part@1", "registrant": "=示范", "values": values,
            "aliases": [{"scheme": "gs1", "identifier": "01/09506000134352"}, {"scheme": "oid", "identifier": "1.2.156.1"}, {"scheme": "gs1", "identifier": "01/06901234567892"}],
            "links": [{"rel": "part-of", "identifier": "88.999.1/B"}]}),
        json!({"identifier": "88.999.1/links", "values": [], "links": links}),
        json!({"identifier": "88.999.1/empty", "values": []}),
        json!({"identifier": "88.999/-1 ,\";", "values": [{"index": 3, "type": "公式", "data": "@x"}]}),
    ]
}

async fn stocked(records: &[Json]) -> World {
    let world = World::new().await;
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    let job = world.import("", NDJSON, lines).await;
    let errors = world.get(job["errors"].as_str().unwrap()).signed().send().await.text();
    assert_eq!((&job["rows"]["registered"], errors.as_str()), (&json!(records.len()), ""), "{job}");
    world
}

async fn export(world: &World, query: &str) -> Answer {
    let answer = world.get(&format!("/v1/export?{query}")).signed().header("accept-language", "zh").send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

/// What a node holds, without what a node gives itself.
async fn content(world: &World) -> BTreeMap<String, Json> {
    let lines = export(world, "format=ndjson").await.text();
    let records = lines.lines().map(|line| {
        let mut record: Json = serde_json::from_str(line).unwrap();
        for told in ["version", "registered", "updated"] {
            record.as_object_mut().unwrap().remove(told);
        }
        for value in record["values"].as_array_mut().unwrap() {
            value.as_object_mut().unwrap().remove("timestamp");
        }
        (record["identifier"].as_str().unwrap().to_owned(), record)
    });
    records.collect()
}

/// Imports a table by the mapping that its header brings along: sent as proposed, where it is short, or left to the node.
async fn import_table(world: &World, media_type: &str, table: &[u8], query: &str) -> Json {
    let beginning = table[..table.len().min(900_000)].to_vec();
    let ask = world.ask(Method::POST, "/v1/imports/mapping").signed().typed(media_type, beginning);
    let proposed = ask.send().await;
    assert_eq!(proposed.status, 200, "{}", proposed.text());
    let mapping = proposed.json()["mapping"].to_string();
    let encoded: String = mapping.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let encoded = if encoded.len() > 60_000 { "export".to_owned() } else { encoded };
    world.import(&format!("mapping={encoded}{query}"), media_type, table.to_vec()).await
}

/// The heart of it: out as a table, in again by the proposed mapping, here (nothing changes) and on an empty node (all there).
async fn comes_back(records: &[Json]) {
    let world = stocked(records).await;
    let count = records.len();
    for (query, media_type) in [("format=csv", CSV), ("format=csv&bom=1", CSV), ("format=xlsx", XLSX)] {
        let table = export(&world, query).await.body;
        let again = import_table(&world, media_type, &table, "").await;
        assert_eq!((&again["state"], &again["rows"]["skipped"]), (&json!("done"), &json!(count)), "{query}: {again}");
        let other = World::new().await;
        let job = import_table(&other, media_type, &table, "").await;
        assert_eq!(job["rows"]["registered"], count, "{query}: {job}");
        assert_eq!(content(&other).await, content(&world).await, "{query}");
    }
}

#[tokio::test]
async fn odd_records_come_back_from_every_table_as_they_were() {
    comes_back(&odd()).await;
}

#[tokio::test]
async fn the_demonstration_records_come_back_from_every_table_as_they_were() {
    let records: Vec<Json> = DEMO.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    comes_back(&records).await;
}

#[tokio::test]
async fn a_thousand_real_products_come_back_from_every_table_as_they_were() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/products.ndjson.gz");
    let Ok(file) = std::fs::File::open(path) else {
        println!("skipped: ../shared/data/products.ndjson.gz is not here");
        return;
    };
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let records: Vec<Json> = text
        .lines()
        .map(|line| {
            let row: Json = serde_json::from_str(line).unwrap();
            let code = row["code"].as_str().unwrap();
            let mut values = Vec::new();
            for (at, (name, found)) in row.as_object().unwrap().iter().enumerate() {
                let data = match found {
                    Json::String(text) => json!(text),
                    Json::Number(number) if number.is_i64() => found.clone(),
                    _ => continue,
                };
                values.push(json!({"index": 2000 + at, "type": name, "data": data}));
            }
            // Three of the codes have a wrong check digit, and are no aliases.
            let is_wrong = ["00002220", "00012444", "00013029"].contains(&code);
            let aliases = if is_wrong { json!([]) } else { json!([{"scheme": "gs1", "identifier": code}]) };
            json!({"identifier": format!("88.999.1/{code}"), "values": values, "aliases": aliases})
        })
        .collect();
    assert!(records.len() >= 1000, "{}", records.len());
    comes_back(&records).await;
}

#[tokio::test]
async fn a_csv_is_safe_in_a_spreadsheet_and_bears_its_mark_only_when_asked() {
    let world = stocked(&odd()).await;
    let plain = export(&world, "format=csv").await;
    assert_eq!(plain.header("content-type"), "text/csv; charset=utf-8; header=present");
    assert_eq!(plain.header("content-disposition"), "attachment; filename=\"records.csv\"");
    assert_eq!(plain.header("cache-control"), "no-store");
    let text = plain.text();
    assert!(
        text.starts_with("标识,状态,版本,模板,登记者,1 ") || text.starts_with("标识,状态,版本,模板,登记者,2 URL"),
        "{}",
        &text[..80]
    );
    assert!(
        text.contains("\"'=1+1\"") && text.contains("\"'06901234567892\"") && text.contains("\"'=示范\""),
        "{text}"
    );
    for row in text.split("\r\n") {
        let starts = |mark: &str| row.split(',').any(|cell| cell.starts_with(mark));
        assert!(!starts("=") && !starts("+") && !starts("@"), "{row}");
    }
    let marked = export(&world, "format=csv&bom=1").await.body;
    assert_eq!(marked[..3], *b"\xEF\xBB\xBF");
    assert_eq!(marked[3..], *text.as_bytes());
    let english = world.get("/v1/export?limit=0").signed().header("accept", CSV).header("accept-language", "en").send();
    let english = english.await.text();
    assert!(english.starts_with("identifier,status,version,"), "{english}");
    assert_eq!(english.lines().count(), 1);
}

#[tokio::test]
async fn a_filter_narrows_every_format_and_its_columns() {
    let world = stocked(&odd()).await;
    world.register("88.999.1/n", &part("一")).await;
    let csv = export(&world, "format=csv&status=recalled&prefix=88.999.1").await.text();
    assert!(csv.contains("88.999.1/Odd") && !csv.contains("88.999.1/n"), "{csv}");
    assert!(!csv.contains("2000 名称"), "a column of what is not there");
    let lines = export(&world, "format=ndjson&type=%E5%90%8D%E7%A7%B0").await.text();
    assert_eq!(lines.lines().count(), 1);
    let none = export(&world, "format=csv&updated_before=2020-01-01").await.text();
    assert_eq!(none.lines().count(), 1, "{none}");
    let empty = export(&world, "format=xlsx&updated_before=2020-01-01").await.body;
    assert_eq!(import_table(&world, XLSX, &empty, "").await["rows"]["total"], 0);
}

/// A stream may break anywhere: what came goes on behind its last whole row, whatever became of the records meanwhile.
#[tokio::test]
async fn what_broke_off_goes_on_behind_the_last_whole_row() {
    let world = World::new().await;
    for at in 0..600 {
        world.register(&format!("88.999.1/N{at:03}"), &part("一")).await;
    }
    let whole = export(&world, "format=csv").await;
    let columns = whole.header("mingpai-columns").to_owned();
    let text = whole.text();
    let cut: Vec<&str> = text.split_inclusive("\r\n").take(301).collect();
    let last = cut.last().unwrap().split(',').next().unwrap();
    assert_eq!(last, "88.999.1/N299");
    let rest = export(&world, &format!("format=csv&after={last}&columns={columns}")).await;
    assert_eq!(rest.header("content-type"), "text/csv; charset=utf-8; header=absent");
    assert_eq!(cut.concat() + &rest.text(), text);
    // The record that it goes on behind may be gone, and others may have come.
    world.ask(Method::DELETE, "/v1/records/88.999.1/N299").signed().header("if-match", "*").send().await;
    world.register("88.999.1/N299a", &part("新")).await;
    world.register("88.999.1/A", &part("前")).await;
    let rest = export(&world, &format!("format=csv&after={last}&columns={columns}")).await.text();
    assert!(rest.starts_with("88.999.1/N299a,") && rest.lines().count() == 301, "{}", &rest[..200]);
    let lines = export(&world, &format!("format=ndjson&after={last}")).await.text();
    assert_eq!(lines.lines().count(), 301);

    let other = json!({"values": [{"index": 1, "type": "新列", "data": "x"}]});
    world.register("88.999.1/B", &other).await;
    let target = format!("/v1/export?format=csv&after={last}&columns={columns}");
    let changed = world.get(&target).signed().header("accept-language", "zh").send().await;
    assert_eq!((changed.status.as_u16(), changed.code().as_str()), (409, "export_columns_changed"));
    for bad in [
        "format=pdf",
        "format=csv&after=88.999.1/N000",
        "format=xlsx&after=88.999.1/N000",
        "format=ndjson&columns=1",
        "format=csv&columns=1",
        "limit=-1",
        "cursor=x",
    ] {
        assert_eq!(world.get(&format!("/v1/export?{bad}")).signed().send().await.code(), "query_invalid", "{bad}");
    }
    let unnamed = world.get("/v1/export?after=%20").signed().send().await;
    assert_eq!(unnamed.code(), "identifier_invalid");
}

/// Below a prefix that once told cases apart the order is by the keys of that time, and so is the place to go on from.
#[tokio::test]
async fn an_export_goes_on_from_a_name_as_it_was_registered() {
    let sensitive = "[[prefixes]]\nprefix = \"88.999.1\"\nsuffix_case = \"sensitive\"\n";
    let world = World::configured(sensitive).await;
    for name in ["Ab", "B", "aB"] {
        world.register(&format!("88.999.1/{name}"), &part("x")).await;
    }
    let world = world.restarted("[[prefixes]]\nprefix = \"88.999.1\"\n").await;
    let all = export(&world, "format=ndjson&prefix=88.999.1").await.text();
    let names: Vec<String> = all
        .lines()
        .map(|line| serde_json::from_str::<Json>(line).unwrap()["identifier"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["88.999.1/Ab", "88.999.1/B", "88.999.1/aB"]);
    for (at, name) in names.iter().enumerate() {
        let rest = export(&world, &format!("format=ndjson&after={name}")).await.text();
        assert_eq!(rest.lines().count(), names.len() - at - 1, "after {name}");
    }
}

/// Sent as it is read, in parts that do not grow with the rows: what changes behind the part that was sent shows as it became.
#[tokio::test]
async fn an_export_is_sent_as_it_is_read() {
    let world = World::new().await;
    let lines: String = (0..3000)
        .map(|at| format!("{}\n", json!({"identifier": format!("88.999.1/N{at:04}"), "values": part("旧")["values"]})))
        .collect();
    world.import("", NDJSON, lines).await;
    for format in ["ndjson", "csv", "xlsx"] {
        let request = Request::get(format!("/v1/export?format={format}"));
        let request = request.header("authorization", format!("Bearer {}", world.key)).body(Body::empty()).unwrap();
        let mut body = world.http.answer(request).await.into_body();
        let mut sent = body.frame().await.unwrap().unwrap().into_data().unwrap().to_vec();
        world.change(Method::PATCH, "88.999.1/N2999", &json!({"status": "suspended"})).await;
        let mut largest = sent.len();
        while let Some(frame) = body.frame().await {
            let part = frame.unwrap().into_data().unwrap();
            largest = largest.max(part.len());
            sent.extend_from_slice(&part);
        }
        assert!(largest < 256 << 10, "{format}: a part of {largest} bytes");
        let text = if format == "xlsx" {
            let mut text = String::new();
            let mut archive = zip::ZipArchive::new(std::io::Cursor::new(sent)).unwrap();
            archive.by_name("xl/worksheets/sheet1.xml").unwrap().read_to_string(&mut text).unwrap();
            text
        } else {
            String::from_utf8(sent).unwrap()
        };
        assert_eq!(text.matches("suspended").count(), 1, "{format}");
        world.change(Method::PATCH, "88.999.1/N2999", &json!({"status": "active"})).await;
    }
}

/// A record that has grown beyond the columns cannot be written: the answer ends unfinished, so that a part cannot pass for the whole.
#[tokio::test]
async fn an_export_that_cannot_go_on_ends_unfinished() {
    let world = World::new().await;
    let lines: String = (0..600)
        .map(|at| format!("{}\n", json!({"identifier": format!("88.999.1/N{at:04}"), "values": part("旧")["values"]})))
        .collect();
    world.import("", NDJSON, lines).await;
    for format in ["csv", "xlsx"] {
        let request = Request::get(format!("/v1/export?format={format}"));
        let request = request.header("authorization", format!("Bearer {}", world.key)).body(Body::empty()).unwrap();
        let mut body = world.http.answer(request).await.into_body();
        body.frame().await.unwrap().unwrap();
        let long = json!({"values": [{"index": 1, "type": "长", "data": "x".repeat(50_000)}]});
        world.change(Method::PUT, "88.999.1/N0599", &long).await;
        let mut is_broken = false;
        while let Some(frame) = body.frame().await {
            is_broken |= frame.is_err();
        }
        assert!(is_broken, "{format}");
        world.change(Method::PUT, "88.999.1/N0599", &part("旧")).await;
    }
}

#[tokio::test]
async fn packed_parts_are_the_same_bytes() {
    let world = World::new().await;
    for at in 0..600 {
        world.register(&format!("88.999.1/N{at:03}"), &part("一")).await;
    }
    let plain = export(&world, "format=csv").await.body;
    let ask = world.get("/v1/export?format=csv").signed().header("accept-language", "zh");
    let packed = ask.header("accept-encoding", "br, gzip;q=0.5").send().await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert!(packed.header("vary").contains("accept-encoding"));
    assert!(packed.body.len() * 4 < plain.len());
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(&packed.body[..]).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, plain);
    // What came of a stream that broke can be unpacked too.
    let mut half = Vec::new();
    let _ = GzDecoder::new(&packed.body[..packed.body.len() / 2]).read_to_end(&mut half);
    assert!(half.len() > 1000 && plain.starts_with(&half));
    let workbook = world.get("/v1/export?format=xlsx").signed().header("accept-encoding", "gzip").send().await;
    assert_eq!(workbook.header("content-encoding"), "");
}

/// A record that cannot be read has its place in every format; none of them passes it off as a record.
#[tokio::test]
async fn a_record_that_rotted_is_named_in_its_place() {
    let world = World::new().await;
    let long = "长".repeat(500);
    for at in 0..3 {
        world.register(&format!("88.999.1/N{at}"), &part(&long)).await;
    }
    world.rot("88.999.1/N1");
    let csv = export(&world, "format=csv").await;
    assert!(csv.text().contains("!record_damaged 88.999.1/n1\r\n"), "{}", csv.text());
    let lines = export(&world, "format=ndjson").await.text();
    assert!(lines.lines().nth(1).unwrap().contains("\"code\":\"record_damaged\""));
    let workbook = export(&world, "format=xlsx").await.body;
    let other = World::new().await;
    for (media_type, table) in [(CSV, csv.body), (XLSX, workbook)] {
        let job = import_table(&other, media_type, &table, "&on_conflict=skip").await;
        assert_eq!(job["rows"]["failed"], 1, "{job}");
    }
    assert_eq!(content(&other).await.len(), 2);
}

#[tokio::test]
async fn a_table_that_is_no_export_needs_a_mapping() {
    let world = World::new().await;
    let job = world.import("mapping=export", CSV, "编号,名称\n1,a\n").await;
    assert_eq!(job["failure"]["code"], "mapping_missing", "{job}");
}

#[tokio::test]
async fn strangers_are_not_told_which_identifiers_there_are() {
    let world = World::new().await;
    assert_eq!(world.get("/v1/export?format=nonsense").send().await.code(), "missing_credentials");
}

/// What fails of an exported table is mended in its error file and imported again, marks and all.
#[tokio::test]
async fn an_error_file_of_an_exported_table_is_read_like_the_table() {
    let world = World::new().await;
    let draft =
        json!({"values": [{"index": 1, "type": "公式", "data": "=1+1"}, {"index": 2, "type": "码", "data": "0690"}]});
    world.register("88.999.1/A", &draft).await;
    let table = export(&world, "format=csv").await.text().replace(",active,", ",aktive,");
    let other = World::new().await;
    let job = import_table(&other, CSV, table.as_bytes(), "").await;
    assert_eq!(job["rows"]["failed"], 1, "{job}");
    let errors = other.get(job["errors"].as_str().unwrap()).signed().header("accept", CSV).send().await.text();
    assert!(errors.contains(",状态,"), "the column is named: {errors}");
    let job = import_table(&other, CSV, errors.replace("aktive", "active").as_bytes(), "").await;
    assert_eq!(job["rows"]["registered"], 1, "{job}");
    assert_eq!(content(&other).await, content(&world).await);
}
