//! The follower itself, over a shelf in memory.

use std::sync::Arc;
use std::time::Duration;

use mingpai::services::follow::{Batch, FollowError, Follower, Memory, Options};
use mingpai::tlog::hash::Head;

use crate::recorded::{Shelf, Signers, checkpoint, head_of, parts};

/// Enough for a full tile at level 1 and a partial one at level 2.
const MANY: usize = 66_000;

fn numbered(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| format!("entry {number}").into_bytes()).collect()
}

fn follower(shelf: &Arc<Shelf>, signers: &Signers, memory: Memory) -> Follower {
    let options = Options { patience: Duration::from_millis(250), at_once: 4 };
    Follower::new(Arc::clone(shelf) as _, signers.policy(), memory, options)
}

/// Follows to the newest head; what was handed on, with the index of the first.
async fn advance(follower: &mut Follower) -> (Result<Head, FollowError>, Option<u64>, Vec<Vec<u8>>) {
    let (mut first, mut entries) = (None, Vec::new());
    let head = follower.advance(|batch: Batch| {
        let next = *first.get_or_insert(batch.first) + entries.len() as u64;
        assert_eq!(batch.first, next, "in order, none left out");
        assert_eq!(batch.leaves.len(), batch.entries.len());
        entries.extend(batch.entries.iter().map(|entry| entry.to_vec()));
        Ok(())
    });
    (head.await, first, entries)
}

#[tokio::test]
async fn all_entries_come_in_order_and_the_next_time_only_the_new_ones() {
    let signers = Signers::new();
    let all = numbered(MANY);
    let shelf = Shelf::of(parts(&signers.head, &all[..65_700]));
    let mut first = follower(&shelf, &signers, Memory::default());
    let (head, from, entries) = advance(&mut first).await;
    assert_eq!(head.unwrap(), head_of(&all[..65_700]));
    assert_eq!((from, entries.as_slice()), (Some(0), &all[..65_700]));
    // Nothing new: nothing but the head is asked for.
    shelf.asked.lock().unwrap().clear();
    let (head, from, entries) = advance(&mut first).await;
    assert_eq!((head.unwrap().size, from, entries.len()), (65_700, None, 0));
    assert_eq!(*shelf.asked.lock().unwrap(), ["checkpoint"]);
    // Grown, and followed by another who has the memory only.
    shelf.show(parts(&signers.head, &all));
    let memory = Memory::decode(&first.memory().encode()).unwrap();
    assert_eq!(&memory, first.memory());
    let mut second = follower(&shelf, &signers, memory);
    let (head, from, entries) = advance(&mut second).await;
    assert_eq!(head.unwrap(), head_of(&all));
    assert_eq!((from, entries.as_slice()), (Some(65_700), &all[65_700..]));
    let asked = shelf.asked.lock().unwrap().clone();
    assert!(asked.iter().filter(|path| path.starts_with("tile/entries/")).count() <= 3, "{asked:?}");
    // A head alone is memory enough.
    let bare = Memory::of("urn:test:log".to_owned(), head_of(&all[..300]));
    let (head, from, _) = advance(&mut follower(&shelf, &signers, bare)).await;
    assert_eq!((head.unwrap().size, from), (MANY as u64, Some(300)));
}

#[tokio::test]
async fn every_size_around_a_tiles_edge_is_followed_to_every_later_one() {
    let signers = Signers::new();
    let all = numbered(770);
    let sizes = [0_usize, 1, 2, 255, 256, 257, 511, 512, 513, 767, 768, 769, 770];
    for (at, old) in sizes.into_iter().enumerate() {
        for new in sizes.into_iter().skip(at) {
            let shelf = Shelf::of(parts(&signers.head, &all[..new]));
            let memory =
                if old == 0 { Memory::default() } else { Memory::of("urn:test:log".to_owned(), head_of(&all[..old])) };
            let (head, _, entries) = advance(&mut follower(&shelf, &signers, memory)).await;
            assert_eq!(head.unwrap(), head_of(&all[..new]), "{old} {new}");
            assert_eq!(entries, &all[old..new], "{old} {new}");
        }
    }
}

#[tokio::test]
async fn a_partial_tile_that_has_gone_is_found_in_the_full_one() {
    let signers = Signers::new();
    let all = numbered(1_024);
    let shelf = Shelf::of(parts(&signers.head, &all));
    // The head of a moment ago, whose partial tiles were taken away when the full ones came.
    let old = head_of(&all[..700]);
    shelf.parts.lock().unwrap().insert("checkpoint".to_owned(), checkpoint(&signers.head, old));
    let whole_top = shelf.remove("tile/1/000.p/4");
    shelf.parts.lock().unwrap().insert("tile/1/000.p/2".to_owned(), whole_top.slice(..64));
    let (head, _, entries) = advance(&mut follower(&shelf, &signers, Memory::default())).await;
    assert_eq!(head.unwrap(), old);
    assert_eq!(entries, &all[..700]);
}

/// What a follower says of a log that was changed; it has seen the head of 300 entries before.
async fn said(signers: &Signers, change: impl FnOnce(&Shelf)) -> (String, usize) {
    let all = numbered(900);
    let shelf = Shelf::of(parts(&signers.head, &all));
    change(&shelf);
    let memory = Memory::of("urn:test:log".to_owned(), head_of(&all[..300]));
    let mut follower = follower(&shelf, signers, memory);
    let (head, _, entries) = advance(&mut follower).await;
    let error = head.expect_err("the lie was believed");
    assert_eq!(entries, all[300..300 + entries.len()], "an altered entry was handed on");
    assert_eq!(follower.memory().done(), head_of(&all[..300 + entries.len()]));
    assert!(!error.text().zh.is_empty() && error.text().zh != error.text().en);
    assert!(error.blames_the_log() || matches!(error.code(), "unreachable" | "no_head"), "{error}");
    (format!("{}: {error}", error.code()), entries.len())
}

#[tokio::test]
async fn each_lie_is_caught_and_named_before_anything_altered_is_handed_on() {
    let signers = Signers::new();
    let mut all = numbered(900);
    let flip = |shelf: &Shelf, path: &str, at: usize| shelf.change(path, |bytes| bytes[at] ^= 1);

    let (said_of, handed) = said(&signers, |shelf| flip(shelf, "tile/entries/002", 10)).await;
    assert!(said_of.starts_with("altered_entry: entry 512 "), "{said_of}");
    assert_eq!(handed, 212, "what stands before it is good");
    let (said_of, _) = said(&signers, |shelf| flip(shelf, "tile/entries/003.p/132", 10)).await;
    assert!(said_of.starts_with("altered_entry: entry 768 "), "{said_of}");
    let (said_of, _) = said(&signers, |shelf| flip(shelf, "tile/0/002", 700)).await;
    assert!(said_of.starts_with("altered_tile: the tile tile/0/002 "), "{said_of}");
    let (said_of, handed) = said(&signers, |shelf| flip(shelf, "tile/1/000.p/3", 70)).await;
    assert!(said_of.starts_with("wrong_root: ") && handed == 0, "{said_of}");
    let (said_of, _) = said(&signers, |shelf| flip(shelf, "tile/0/003.p/132", 70)).await;
    assert!(said_of.starts_with("wrong_root: "), "{said_of}");

    // Lengths.
    for change in
        [|bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 1), |bytes: &mut Vec<u8>| bytes.push(0), Vec::clear]
    {
        for path in ["tile/entries/002", "tile/0/002", "tile/0/003.p/132"] {
            let (said_of, _) = said(&signers, |shelf| shelf.change(path, change)).await;
            // Of a full tile of hashes it is known beforehand how long it can be.
            let word = if said_of.contains("8192 bytes") { "oversize" } else { "misshapen" };
            assert!(said_of.starts_with(&format!("{word}: {path} ")), "{said_of}");
        }
    }
    let swell = |shelf: &Shelf| shelf.change("tile/entries/002", |bytes| bytes.resize(17 << 20, 0));
    let (said_of, _) = said(&signers, swell).await;
    assert!(said_of.starts_with("oversize: tile/entries/002 "), "{said_of}");
    let (said_of, _) = said(&signers, |shelf| drop(shelf.remove("tile/entries/002"))).await;
    assert!(said_of.starts_with("withheld: tile/entries/002 "), "{said_of}");

    // Heads.
    let (said_of, _) = said(&signers, |shelf| shelf.show(parts(&signers.head, &all[..299]))).await;
    assert_eq!(said_of, "rolled_back: rolled back: a head of 300 entries was seen before, now one of 299 is shown");
    all[17] = b"rewritten".to_vec();
    for size in [300, 301, 900] {
        let (said_of, handed) = said(&signers, |shelf| shelf.show(parts(&signers.head, &all[..size]))).await;
        assert!(said_of.starts_with("forked: ") && said_of.contains("shown now"), "{said_of}");
        assert_eq!(handed, 0);
    }
    all.remove(17);
    let (said_of, _) = said(&signers, |shelf| shelf.show(parts(&signers.head, &all))).await;
    assert!(said_of.starts_with("forked: "), "{said_of}");
    let other = Signers::new();
    let (said_of, _) = said(&signers, |shelf| shelf.show(parts(&other.head, &numbered(900)))).await;
    assert!(said_of.starts_with("not_signed: "), "{said_of}");
    let (said_of, _) = said(&signers, |shelf| flip(shelf, "checkpoint", 15)).await;
    assert!(said_of.starts_with("not_signed: "), "{said_of}");
    let (said_of, _) = said(&signers, |shelf| drop(shelf.remove("checkpoint"))).await;
    assert!(said_of.starts_with("no_head: "), "{said_of}");
}

#[tokio::test]
async fn both_signed_heads_are_kept_as_evidence() {
    let signers = Signers::new();
    let mut all = numbered(300);
    let shelf = Shelf::of(parts(&signers.head, &all));
    let mut follower = follower(&shelf, &signers, Memory::default());
    advance(&mut follower).await.0.unwrap();
    let remembered = follower.memory().checkpoint().unwrap().to_owned();
    all[299] = b"another".to_vec();
    shelf.show(parts(&signers.head, &all));
    let error = advance(&mut follower).await.0.unwrap_err();
    let evidence = error.evidence().unwrap();
    assert_eq!(evidence.remembered.as_ref(), Some(&remembered));
    for note in [evidence.remembered.as_ref().unwrap(), &evidence.shown] {
        let note = mingpai::tlog::note::Note::parse(note).unwrap();
        assert_eq!(signers.policy().judge(&note).unwrap().checkpoint.size, 300);
    }
    assert_ne!(evidence.shown, remembered);
    assert_eq!(follower.memory().checkpoint(), Some(remembered.as_str()), "a forked head is not what is remembered");
}

#[tokio::test]
async fn what_breaks_off_goes_on_where_it_stopped() {
    let signers = Signers::new();
    let all = numbered(900);
    let shelf = Shelf::of(parts(&signers.head, &all));
    let kept = shelf.remove("tile/entries/002");
    let mut follower = follower(&shelf, &signers, Memory::default());
    let (head, _, entries) = advance(&mut follower).await;
    assert_eq!((head.unwrap_err().code(), entries.len()), ("withheld", 512));
    shelf.parts.lock().unwrap().insert("tile/entries/002".to_owned(), kept);
    let (head, from, entries) = advance(&mut follower).await;
    assert_eq!((head.unwrap().size, from, entries.len()), (900, Some(512), 388));
}

#[tokio::test]
async fn a_busy_source_is_asked_again_for_as_long_as_patience_lasts() {
    let signers = Signers::new();
    let shelf = Shelf::of(parts(&signers.head, &numbered(10)));
    *shelf.failing.lock().unwrap() = 1;
    let (head, ..) = advance(&mut follower(&shelf, &signers, Memory::default())).await;
    assert_eq!(head.unwrap().size, 10);
    *shelf.failing.lock().unwrap() = usize::MAX;
    let (head, ..) = advance(&mut follower(&shelf, &signers, Memory::default())).await;
    assert_eq!(head.unwrap_err().code(), "unreachable");
}

#[tokio::test]
async fn a_follower_may_run_on_any_thread() {
    let signers = Signers::new();
    let shelf = Shelf::of(parts(&signers.head, &numbered(10)));
    let mut follower = follower(&shelf, &signers, Memory::default());
    let done = tokio::spawn(async move { follower.advance(|_| Ok(())).await.map(|head| head.size) });
    assert_eq!(done.await.unwrap().unwrap(), 10);
}

#[test]
fn a_memory_that_does_not_hang_together_is_refused() {
    let signers = Signers::new();
    let head = head_of(&numbered(3));
    let note = String::from_utf8(checkpoint(&signers.head, head).to_vec()).unwrap();
    let root = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, head.root);
    let memory = |origin: &str, size: u64, root: &str, note: &str| {
        let json = serde_json::json!({"origin": origin, "size": size, "root": root, "checkpoint": note});
        Memory::decode(json.to_string().as_bytes()).map(|memory| memory.newest())
    };
    assert_eq!(memory("urn:test:log", 3, &root, &note).unwrap(), head);
    assert!(memory("urn:other", 3, &root, &note).is_err());
    assert!(memory("urn:test:log", 4, &root, &note).is_err());
    assert!(memory("urn:test:log", 3, "AAAA", &note).is_err());
    assert!(memory("urn:test:log", 3, &root, "no note").is_err());
    assert!(Memory::decode(b"[]").is_err());
}
