//! The log over HTTP: heads, tiles and proofs, checked as a stranger would.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use mingpai::store::trees::Tree;
use mingpai::tlog::checkpoint::Checkpoint;
use mingpai::tlog::hash::{Hash, Head, leaf_hash};
use mingpai::tlog::log_proof::LogProof;
use mingpai::tlog::note::{Note, VerifierKey};
use mingpai::tlog::proof::{check_consistency, check_inclusion};
use mingpai::tlog::tile::{Content, Tile, entries};
use serde_json::{Value as Json, json};

use crate::world::{Answer, World, part};

const NAME: &str = "88.999.1/LOG-1";

/// The head that a checkpoint states, its signature checked.
fn opened(text: &str, vkeys: &str) -> Head {
    let keys: Vec<VerifierKey> = vkeys.lines().map(|line| VerifierKey::parse(line).unwrap()).collect();
    let note = Note::parse(text).unwrap();
    assert_eq!(note.verify(&keys).unwrap().len(), keys.len());
    let checkpoint = Checkpoint::of_note(&note).unwrap();
    assert_eq!(checkpoint.origin, keys[0].name());
    checkpoint.head()
}

impl World {
    /// The published head, once it covers so many statements.
    async fn head_of(&self, size: u64) -> Head {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let answer = self.get("/log/checkpoint").send().await;
            let keys = self.get("/log/vkey").send().await;
            if answer.status == 200 {
                let head = opened(&answer.text(), &keys.text());
                if head.size >= size {
                    return head;
                }
            }
            assert!(Instant::now() < end, "no head of {size} statements");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn filled(count: usize) -> World {
        let world = World::new().await;
        world.register(NAME, &part("螺栓")).await;
        let rows: String = (1..count)
            .map(|number| format!("{}\n", json!({"identifier": format!("88.999.1/ROW-{number}"), "values": [{"index": 1, "type": "名称", "data": "行"}]})))
            .collect();
        if count > 1 {
            let job =
                world.ask(http::Method::POST, "/v1/imports").signed().typed("application/x-ndjson", rows).send().await;
            assert_eq!(job.status, 202, "{}", job.text());
            world.head_of(count as u64 + 1).await;
        }
        world
    }
}

fn hashes(json: &Json) -> Vec<Hash> {
    let one = |hash: &Json| BASE64.decode(hash.as_str().unwrap()).unwrap().try_into().unwrap();
    json.as_array().unwrap().iter().map(one).collect()
}

fn head(json: &Json) -> Head {
    let root = BASE64.decode(json["root"].as_str().unwrap()).unwrap().try_into().unwrap();
    Head { size: json["size"].as_u64().unwrap(), root }
}

fn leaves(answer: &Answer) -> Vec<Hash> {
    answer.body.chunks(32).map(|hash| hash.try_into().unwrap()).collect()
}

#[tokio::test]
async fn an_answer_is_proven_under_a_signed_head_and_so_is_its_statement_in_a_file() {
    let world = World::filled(1).await;
    let mut answer = world.get(&format!("/v1/resolve/{NAME}?proof=1")).send().await;
    // A machine that is busy with other tests may need more than the second that an answer waits.
    while answer.json()["proof"] == "pending" {
        answer = world.get(&format!("/v1/resolve/{NAME}?proof=1")).send().await;
    }
    let json = answer.json();
    let checkpoint = json["proof"]["checkpoint"].as_str().unwrap_or_else(|| panic!("{}", answer.text())).to_owned();
    let keys = world.get("/log/vkey").send().await.text();
    let head = opened(&checkpoint, &keys);
    let statement = json["entry"].as_str().unwrap().split('~').next().unwrap();
    let index = json["proof"]["index"].as_u64().unwrap();
    assert!(check_inclusion(&leaf_hash(statement.as_bytes()), index, &head, &hashes(&json["proof"]["hashes"])));
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(answer.header("content-type").starts_with("application/json"));
    // The same file that anybody's verifier reads.
    let file = world.get(&format!("/v1/log/proof/{index}")).header("accept", "text/x-tlog-proof").send().await;
    assert_eq!(file.header("content-type"), "text/x-tlog-proof");
    let proof = LogProof::parse(&file.body).unwrap();
    assert_eq!(proof.index, index);
    let head = opened(&proof.checkpoint.to_string(), &keys);
    assert!(check_inclusion(&leaf_hash(statement.as_bytes()), index, &head, &proof.hashes));
    let plain = world.get(&format!("/v1/log/proof/{index}")).header("accept", "text/plain").send().await;
    assert_eq!(plain.header("content-type"), "text/plain; charset=utf-8");
}

#[tokio::test]
async fn what_no_head_covers_yet_is_said_to_be_pending() {
    let world = World::filled(1).await;
    world.head_of(2).await;
    // Nobody publishes any more.
    let mut world = world;
    let publisher = world.node.publisher.take();
    std::thread::scope(|scope| scope.spawn(move || drop(publisher)).join()).unwrap();
    world.register("88.999.1/LOG-2", &part("垫圈")).await;
    let answer = world.get("/v1/resolve/88.999.1/LOG-2?proof=1").send().await;
    assert_eq!((answer.status.as_u16(), &answer.json()["proof"]), (200, &json!("pending")));
    assert_eq!(answer.header("retry-after"), "1");
    assert!(answer.json()["entry"].is_string());
    // An older one is proven all the same.
    assert!(world.get(&format!("/v1/resolve/{NAME}?proof=1")).send().await.json()["proof"]["hashes"].is_array());
}

/// What this thread has spent at work, in nanoseconds (Linux, scheduler/sched-stats: /proc/<pid>/schedstat).
fn worked() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn compressing_a_bundle_is_no_work_of_the_thread_that_answers() {
    const TIMES: u32 = 40;
    let world = World::filled(300).await;
    world.head_of(301).await;
    let target = "/log/tile/entries/000";
    let plain = world.get(target).send().await.body;
    // What it costs, on this very thread, beside answers that are not compressed.
    let begun = worked();
    for _ in 0..TIMES {
        let answer = world.get(target).send().await;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&plain).unwrap();
        assert!(encoder.finish().unwrap().len() < answer.body.len());
    }
    let cost = worked() - begun;
    let begun = worked();
    for _ in 0..TIMES {
        assert!(!world.get(target).send().await.headers.contains_key("content-encoding"));
    }
    let without = worked() - begun;
    let begun = worked();
    for _ in 0..TIMES {
        let small = world.get(target).header("accept-encoding", "gzip").send().await;
        assert_eq!(small.header("content-encoding"), "gzip");
    }
    let spent = worked() - begun;
    let half = without + cost.saturating_sub(without) / 2;
    assert!(spent < half, "{spent} ns to answer compressed, {without} ns without, {cost} ns with compressing here");
}

#[tokio::test]
async fn tiles_and_bundles_are_whole_and_add_up_to_the_head() {
    let world = World::filled(300).await;
    let head = world.head_of(301).await;
    let mut statements = Vec::new();
    for (content, path) in [(Content::Entries, "entries"), (Content::Hashes(0), "0")] {
        let (full, partial) = Tile::of_size(content, head.size);
        assert_eq!((full, partial.unwrap().width), (1, head.size - 256));
        let tiles = [format!("/log/tile/{path}/000"), format!("/log/tile/{}", partial.unwrap().path())];
        for (target, width) in tiles.iter().zip([256, head.size - 256]) {
            let answer = world.get(target).send().await;
            assert_eq!(answer.status, 200, "{target}");
            assert_eq!(answer.header("content-type"), "application/octet-stream");
            assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
            assert_eq!(answer.header("access-control-allow-origin"), "*");
            match content {
                Content::Entries => {
                    statements.extend(entries(&answer.body, width).unwrap().into_iter().map(<[u8]>::to_vec));
                    let small = world.get(target).header("accept-encoding", "br, gzip;q=0.5").send().await;
                    assert_eq!(small.header("content-encoding"), "gzip");
                    assert!(small.body.len() < answer.body.len());
                    let mut unpacked = Vec::new();
                    flate2::read::GzDecoder::new(&small.body[..]).read_to_end(&mut unpacked).unwrap();
                    assert_eq!(unpacked, answer.body);
                    let plain = world.get(target).header("accept-encoding", "gzip;q=0").send().await;
                    assert!(!plain.headers.contains_key("content-encoding"));
                }
                Content::Hashes(_) => {
                    let known =
                        statements.iter().skip(if width == 256 { 0 } else { 256 }).map(|entry| leaf_hash(entry));
                    assert_eq!(leaves(&answer), known.take(width as usize).collect::<Vec<_>>());
                }
            }
        }
    }
    let mut frontier = mingpai::tlog::frontier::Frontier::default();
    statements.iter().for_each(|entry| frontier.push(leaf_hash(entry)));
    assert_eq!(frontier.head(), head);
    // No hidden value and no disclosure is a leaf.
    assert!(statements.iter().all(|entry| !entry.contains(&b'~') && entry.split(|byte| *byte == b'.').count() == 3));
    let root = world.get("/log/tile/1/000.p/1").send().await;
    assert_eq!(root.body.len(), 32);
    // A narrower one than the head's last tile stays what it was.
    assert_eq!(world.get("/log/tile/0/000.p/7").send().await.body.len(), 7 * 32);
}

#[tokio::test]
async fn what_no_tile_is_called_is_a_mistake_and_what_is_not_there_yet_is_unknown() {
    let world = World::filled(3).await;
    world.head_of(4).await;
    let absent = ["0/001", "0/000", "1/000", "2/000.p/1", "entries/000.p/5", "8/000.p/1", "63/000.p/1", "0/x999/999"];
    let absent = absent.map(|path| (path, 404, "log_part_unknown"));
    let wrong = ["x", "0", "0/0", "0/x001", "0/x000/001", "0/001/234", "64/000", "00/000", "entries/7"];
    let partial = ["0/000.p/0", "0/000.p/256", "0/000.p/255x", "0/000.p/01", "entries/000.p/", "0/000.p/+1"];
    let wrong = wrong.iter().chain(&partial).map(|path| (*path, 400, "tile_path_invalid"));
    for (path, status, code) in wrong.chain(absent) {
        for (tree, is_audit) in [("/log/tile", false), ("/log/audit/tile", true)] {
            let asked = world.get(&format!("{tree}/{path}"));
            let answer = if is_audit { asked.signed() } else { asked }.send().await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{tree}/{path}");
            assert_eq!(answer.header("cache-control"), "no-store", "{tree}/{path}");
        }
    }
}

#[tokio::test]
async fn the_log_at_every_size_is_the_beginning_of_what_it_is_now() {
    let world = World::filled(40).await;
    let newest = world.head_of(41).await;
    let mut before: Option<Head> = None;
    for size in 0..=newest.size {
        let proof = world.get(&format!("/v1/log/consistency?from={size}")).send().await.json();
        let (from, to) = (head(&proof["from"]), head(&proof["to"]));
        assert_eq!((from.size, to), (size, newest));
        assert!(check_consistency(&from, &to, &hashes(&proof["hashes"])));
        if let Some(before) = before {
            let step = world.get(&format!("/v1/log/consistency?from={}&to={size}", before.size)).send().await.json();
            assert_eq!((head(&step["from"]), head(&step["to"])), (before, from));
            assert!(check_consistency(&before, &from, &hashes(&step["hashes"])));
        }
        if size > 0 {
            let proof = world.get(&format!("/v1/log/proof/{}?size={size}", size - 1)).send().await.json();
            assert_eq!(head(&proof), from);
            assert_eq!(proof.get("checkpoint").is_some(), size == newest.size);
        }
        before = Some(from);
    }
    let past = newest.size + 1;
    for (target, status, code) in [
        ("/v1/log/consistency".to_owned(), 400, "query_invalid"),
        ("/v1/log/consistency?from=a".to_owned(), 400, "query_invalid"),
        ("/v1/log/consistency?from=3&to=2".to_owned(), 404, "log_part_unknown"),
        (format!("/v1/log/consistency?from=0&to={past}"), 404, "log_part_unknown"),
        (format!("/v1/log/proof/{}", newest.size), 404, "log_part_unknown"),
        (format!("/v1/log/proof/0?size={past}"), 404, "log_part_unknown"),
        ("/v1/log/proof/0?size=0".to_owned(), 404, "log_part_unknown"),
        ("/v1/log/proof/18446744073709551615?size=18446744073709551615".to_owned(), 404, "log_part_unknown"),
        ("/v1/log/proof/18446744073709551616".to_owned(), 404, "log_part_unknown"),
        ("/v1/log/proof/-1".to_owned(), 404, "log_part_unknown"),
    ] {
        let answer = world.get(&target).send().await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{target}");
    }
    let unsigned = world.get("/v1/log/proof/0?size=2").header("accept", "text/x-tlog-proof").send().await;
    assert_eq!((unsigned.status.as_u16(), unsigned.code().as_str()), (400, "query_invalid"));
}

#[tokio::test]
async fn the_audit_tree_is_for_administrators() {
    let world = World::filled(1).await;
    world.head_of(2).await;
    for target in
        ["/log/audit/checkpoint", "/log/audit/vkey", "/log/audit/tile/0/000.p/1", "/log/audit/tile/entries/000.p/1"]
    {
        assert_eq!(world.get(target).send().await.status, 401, "{target}");
        let answer = world.get(target).signed().send().await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        assert!(answer.header("cache-control").contains("no-store"), "{target}");
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
    let keys = world.get("/log/audit/vkey").signed().send().await.text();
    assert!(keys.starts_with("urn:mingpai:dev/audit+"), "{keys}");
    let head = opened(&world.get("/log/audit/checkpoint").signed().send().await.text(), &keys);
    assert!(head.size >= 1, "the bootstrap token was used");
}

#[tokio::test]
async fn heads_go_on_over_a_start_and_none_is_signed_twice() {
    let world = World::filled(3).await;
    let before = world.head_of(4).await;
    let world = world.restarted("").await;
    // Known at once, without a new signature.
    let answer = world.get("/log/checkpoint").send().await;
    let keys = world.get("/log/vkey").send().await.text();
    assert_eq!(opened(&answer.text(), &keys), before);
    world.register("88.999.1/LOG-LATER", &part("垫圈")).await;
    let after = world.head_of(5).await;
    let proof = world.get(&format!("/v1/log/consistency?from={}&to={}", before.size, after.size)).send().await.json();
    assert!(check_consistency(&before, &after, &hashes(&proof["hashes"])));
}

#[tokio::test]
async fn what_rotted_is_not_proven_and_not_given_out() {
    let world = World::filled(20).await;
    let head = world.head_of(21).await;
    let reader = world.node.services.store.trees().reader(Tree::Registry);
    let place = reader.place(5).unwrap().unwrap();
    world.rot_at(mingpai::store::journal::Location { length: 40, ..place });
    let answer = world.get(&format!("/log/tile/entries/000.p/{}", head.size)).send().await;
    assert!(answer.status.as_u16() >= 500, "{}", answer.status);
    world.rot_at(mingpai::store::journal::Location { length: 40, ..place });
    assert_eq!(world.get(&format!("/log/tile/entries/000.p/{}", head.size)).send().await.status, 200);
    world.rot_file("journal/registry.tree", 32 * 8 + 3);
    assert_eq!(world.get(&format!("/log/tile/0/000.p/{}", head.size)).send().await.status, 500);
    // A proof that needs the hash is not made; one that does not is.
    let mut told = [0; 2];
    for index in 0..head.size {
        let answer = world.get(&format!("/v1/log/proof/{index}")).send().await;
        told[usize::from(answer.status == 200)] += 1;
    }
    assert!(told[0] > 0 && told[1] > 0, "{told:?}");
}
