//! Workbooks that are made to harm: refused, and never many at once.

use std::io::{Cursor, Write};

use http::Method;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::world::World;

const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// The products' workbook with one part more.
fn workbook(name: &str, part: &[u8]) -> Vec<u8> {
    let products = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/products.xlsx")).unwrap();
    let mut zip = ZipWriter::new_append(Cursor::new(products)).unwrap();
    zip.start_file(name, SimpleFileOptions::default()).unwrap();
    zip.write_all(part).unwrap();
    zip.finish().unwrap().into_inner()
}

#[tokio::test]
async fn proposals_are_made_one_at_a_time_and_of_small_workbooks() {
    let world = World::new().await;
    let propose = |bytes: Vec<u8>| {
        let ask = world.ask(Method::POST, "/v1/imports/mapping").signed().header("accept-language", "en");
        ask.typed(XLSX, bytes).send()
    };
    let large = propose(workbook("xl/extra.xml", &b"<a/>".repeat(9 << 20))).await;
    assert_eq!(large.code(), "table_unreadable");
    assert!(large.text().contains("(workbook_too_large)") && large.text().contains("32 MiB"), "{}", large.text());
    let strings = b"<sst uniqueCount=\"100000000000000\"><si><t>a</t></si></sst>";
    let lying = propose(workbook("xl/SHAREDSTRINGS.xml", strings)).await;
    assert!(lying.text().contains("(workbook_broken)"), "{}", lying.text());
    let slow = workbook("xl/extra.xml", &b"<a/>".repeat(4 << 20));
    let asked = [slow.clone(), slow.clone(), slow.clone(), slow.clone()].map(&propose);
    let answers = futures_util::future::join_all(asked).await;
    let codes: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert!(codes.contains(&200) && codes.contains(&503), "{codes:?}");
    assert!(codes.iter().all(|code| [200, 503].contains(code)), "{codes:?}");
    let busy = answers.iter().find(|answer| answer.status == 503).unwrap();
    assert_eq!((busy.code().as_str(), busy.header("retry-after")), ("overloaded", "1"));
    assert_eq!(propose(slow).await.status, 200, "the next has its turn");
}
