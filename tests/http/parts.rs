//! Uploads in parts: what has come stays, whatever becomes of the connection, the client or the node.

use std::io::Write;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::Method;
use mingpai::codec::http::BodyFault;
use serde_json::json;

use crate::world::{Answer, World};

const NDJSON: &str = "application/x-ndjson";
const PART: &str = "application/partial-upload";

fn rows(count: usize) -> String {
    (0..count).map(|at| format!("{{\"identifier\":\"88.999.1/part-{at}\",\"values\":[]}}\n")).collect()
}

impl World {
    async fn open(&self, key: &str, body: impl Into<Body>) -> Answer {
        let ask = self.ask(Method::POST, "/v1/imports").signed().header("upload-complete", "?0");
        ask.header("idempotency-key", key).typed(NDJSON, body).send().await
    }

    async fn part(&self, address: &str, offset: usize, is_last: bool, body: impl Into<Body>) -> Answer {
        let complete = if is_last { "?1" } else { "?0" };
        let ask = self.ask(Method::PATCH, address).signed().header("upload-offset", &offset.to_string());
        ask.header("upload-complete", complete).typed(PART, body).send().await
    }

    /// The next byte and whether all has come.
    async fn stands(&self, address: &str) -> (usize, String) {
        let answer = self.ask(Method::HEAD, address).signed().send().await;
        assert_eq!(answer.status, 204, "{}", answer.text());
        (answer.header("upload-offset").parse().unwrap(), answer.header("upload-complete").to_owned())
    }
}

fn broken_after(text: &str) -> Body {
    let pieces = [Ok(Bytes::from(text.to_owned())), Err(BodyFault::Broken)];
    Body::from_stream(stream::iter(pieces))
}

#[tokio::test]
async fn an_upload_goes_on_where_it_broke_off_and_is_then_like_any_other() {
    let world = World::new().await;
    let file = rows(20);
    let opened = world.open("parts", "").await;
    assert_eq!((opened.status.as_u16(), opened.header("upload-offset")), (201, "0"));
    assert!(opened.header("upload-limit").contains("max-size="));
    let address = opened.header("location").to_owned();
    assert_eq!(world.part(&address, 0, false, file[..100].to_owned()).await.header("upload-offset"), "100");
    let broken = world.part(&address, 100, true, broken_after(&file[100..250])).await;
    assert_eq!(broken.code(), "body_broken");
    assert_eq!(world.stands(&address).await, (250, "?0".to_owned()), "what has come stays");
    for offset in [0, 249, 251] {
        let wrong = world.part(&address, offset, true, file[250..].to_owned()).await;
        assert_eq!((wrong.status.as_u16(), wrong.code().as_str()), (409, "upload_offset"));
        assert!(wrong.text().contains("250"), "{}", wrong.text());
    }
    let ended = world.part(&address, 250, true, file[250..].to_owned()).await;
    assert_eq!((ended.status.as_u16(), ended.header("upload-complete")), (202, "?1"), "{}", ended.text());
    let job = ended.header("location").to_owned();
    assert_eq!(address, format!("{job}/upload"));
    assert_eq!(world.ended(&job).await["rows"]["registered"], 20);
    assert_eq!(world.stands(&address).await, (file.len(), "?1".to_owned()));
    // Sent again, in parts or at once, it is the same import.
    let again = world.open("parts", "").await;
    assert_eq!((again.status.as_u16(), again.header("location")), (202, job.as_str()));
    let once = world.ask(Method::POST, "/v1/imports").signed().header("idempotency-key", "parts");
    let once = once.typed(NDJSON, file).send().await;
    assert_eq!((once.status.as_u16(), once.header("location")), (202, job.as_str()), "{}", once.text());
}

#[tokio::test]
async fn an_upload_is_found_by_its_key_after_a_restart_and_forgotten_after_a_day() {
    let mut world = World::new().await;
    let file = rows(10);
    let opened = world.open("later", file[..64].to_owned()).await;
    assert_eq!(opened.header("upload-offset"), "64");
    let address = opened.header("location").to_owned();
    let folder = world.node.services.settings.imports_folder.clone();
    let folder = folder.join(address.split('/').nth(3).unwrap());
    // What came after the last note may have been lost with the power.
    std::fs::OpenOptions::new().append(true).open(folder.join("input")).unwrap().write_all(b"torn").unwrap();
    world = world.restarted("").await;
    let found = world.open("later", "").await;
    assert_eq!((found.status.as_u16(), found.header("upload-offset")), (201, "64"));
    assert_eq!(found.header("location"), address);
    let other = world.ask(Method::POST, "/v1/imports?dry_run=1").signed().header("upload-complete", "?0");
    let other = other.header("idempotency-key", "later").typed(NDJSON, "").send().await;
    assert_eq!(other.code(), "idempotency_mismatch");
    let at_once = world.ask(Method::POST, "/v1/imports").signed().header("idempotency-key", "later");
    assert_eq!(at_once.typed(NDJSON, "").send().await.code(), "idempotency_running");
    let ended = world.part(&address, 64, true, file[64..].to_owned()).await;
    assert_eq!(world.ended(ended.header("location")).await["rows"]["registered"], 10);

    let old = world.open("old", "x").await.header("location").to_owned();
    let folder = folder.with_file_name(old.split('/').nth(3).unwrap());
    let path = folder.join("upload.json");
    let mut note: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    note["touched"] = json!("2020-01-01T00:00:00Z");
    std::fs::write(path, note.to_string()).unwrap();
    world = world.restarted("").await;
    assert!(!folder.exists());
    assert_eq!(world.part(&old, 1, true, "").await.code(), "import_unknown");
}

#[tokio::test]
async fn who_comes_later_has_the_upload_and_the_earlier_is_cut_off() {
    let world = World::new().await;
    let address = world.open("two", "").await.header("location").to_owned();
    let file = rows(2);
    let (first, second) = file.split_at(30);
    let (came, comes) = tokio::sync::oneshot::channel();
    let (go, goes) = tokio::sync::oneshot::channel::<()>();
    let (head, tail) = (Bytes::from(first.to_owned()), Bytes::from(second.to_owned()));
    let slow = stream::once(async move { Ok::<_, std::io::Error>(head) });
    let slow = futures_util::StreamExt::chain(
        slow,
        stream::once(async move {
            came.send(()).unwrap();
            goes.await.unwrap();
            Ok(tail)
        }),
    );
    let taking_over = async {
        comes.await.unwrap();
        assert_eq!(world.stands(&address).await.0, 30);
        let ended = world.part(&address, 30, true, second.to_owned()).await;
        assert_eq!(ended.status, 202, "{}", ended.text());
        go.send(()).unwrap();
        ended
    };
    let (late, ended) = tokio::join!(world.part(&address, 0, true, Body::from_stream(slow)), taking_over);
    assert_eq!(late.code(), "upload_offset");
    assert_eq!(world.ended(ended.header("location")).await["rows"]["registered"], 2);
}

#[tokio::test]
async fn parts_may_be_packed_and_have_the_limits_of_an_upload() {
    let world = World::with(&[("limits.import_bytes", "1048576")]).await;
    let address = world.open("packed", "").await.header("location").to_owned();
    let file = rows(100);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&file.as_bytes()[..2_000]).unwrap();
    let packed = world.ask(Method::PATCH, &address).signed().header("upload-offset", "0");
    let packed = packed.header("upload-complete", "?0").header("content-encoding", "gzip");
    let packed = packed.typed(PART, encoder.finish().unwrap()).send().await;
    assert_eq!((packed.status.as_u16(), packed.header("upload-offset")), (204, "2000"));
    let large = world.part(&address, 2_000, true, vec![b' '; 1 << 20]).await;
    assert_eq!((large.status.as_u16(), large.code().as_str()), (413, "body_too_large"));
    let declared = world.ask(Method::POST, "/v1/imports").signed().header("upload-complete", "?0");
    let declared = declared.header("upload-length", "1048577").typed(NDJSON, "").send().await;
    assert_eq!(declared.status, 413);
    let at = world.stands(&address).await.0;
    let typed = world.ask(Method::PATCH, &address).signed().header("upload-offset", &at.to_string());
    assert_eq!(typed.typed(NDJSON, "").send().await.code(), "unsupported_media_type");
    let odd = world.ask(Method::PATCH, &address).signed().header("upload-offset", "all").typed(PART, "").send().await;
    assert_eq!(odd.code(), "header_invalid");
    let odd = world.ask(Method::PATCH, &address).signed().header("upload-complete", "yes").typed(PART, "").send().await;
    assert_eq!(odd.code(), "header_invalid");
    assert_eq!(world.ask(Method::HEAD, &address).send().await.status, 401);
    // Another key is another principal: the upload is not its own.
    let made = world.ask(Method::POST, "/v1/keys").signed().json(&json!({"label": "other"})).send().await;
    let other = format!("Bearer {}", made.json()["key"].as_str().unwrap());
    let foreign = world.ask(Method::DELETE, &address).header("authorization", &other).send().await;
    assert_eq!(foreign.code(), "import_unknown");
    assert_eq!(world.ask(Method::DELETE, &address).signed().send().await.status, 204);
    assert_eq!(world.ask(Method::HEAD, &address).signed().send().await.status, 404);
}
