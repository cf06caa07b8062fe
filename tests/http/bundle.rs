//! Bundles: all that is needed to check an answer offline, and nothing in them that is not checked.

use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use http::Method;
use mingpai::model::prefix::SuffixCase;
use mingpai::sign::bundle::Bundle;
use mingpai::sign::keys::{KeyFolder, KeyUse, PublicJwk};
use mingpai::sign::latest::{AbsentStatement, AsOf, LatestStatement};
use mingpai::sign::verify::{Finding, FreshnessState, KeyIndexes, Known, Report, verify_document};
use mingpai::tlog::hash::leaf_hash;
use mingpai::tlog::log_proof::LogProof;
use mingpai::tlog::note::{KeyKind, VerifierKey};
use mingpai::tlog::policy::{Log, Policy};
use mingpai::tlog::proof::check_inclusion;
use serde_json::json;

use crate::world::{World, part};

const NAME: &str = "88.999.1/BUNDLE-1";
const PACKED: &str = "application/vnd.mingpai.bundle";

struct Partner {
    policy: Policy,
    keys: Vec<PublicJwk>,
    ranges: Vec<KeyIndexes>,
    /// Those that sign what is the newest.
    of_log: Vec<PublicJwk>,
}

impl Partner {
    /// Who once took the log's key, and for the short form the node's keys, over a way that he trusts.
    async fn of(world: &World) -> Partner {
        let vkey = world.get("/log/vkey").send().await.text();
        let logs: Vec<Log> =
            vkey.lines().map(|line| Log { key: VerifierKey::parse(line).unwrap(), url: None }).collect();
        let of_log = logs.iter().map(|log| PublicJwk::of(log.key.public())).collect();
        let jwks = world.get("/.well-known/jwks.json").send().await.json();
        let keys = jwks["keys"].as_array().unwrap().iter().map(|key| serde_json::from_value(key.clone()).unwrap());
        let keys: Vec<PublicJwk> = keys.collect();
        let ranges = keys.iter().map(|key| KeyIndexes { kid: key.kid.clone(), from: 0, until: None }).collect();
        Partner { policy: Policy::of(logs, Vec::new(), 0).unwrap(), keys, ranges, of_log }
    }

    fn known(&self) -> Known<'_> {
        Known { policy: Some(&self.policy), identifier: Some(NAME), ..Known::default() }
    }

    fn verify(&self, bundle: &str) -> Report {
        verify_document(bundle.as_bytes(), self.known())
    }
}

fn now() -> i64 {
    mingpai::model::time::Timestamp::now().as_seconds()
}

async fn bundle_of(world: &World, name: &str, accept: &str) -> String {
    let mut answer = world.get(&format!("/v1/bundle/{name}")).header("accept", accept).send().await;
    while answer.status == 503 {
        assert_eq!((answer.code().as_str(), answer.header("retry-after")), ("checkpoint_pending", "1"));
        answer = world.get(&format!("/v1/bundle/{name}")).header("accept", accept).send().await;
    }
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.text()
}

#[tokio::test]
async fn a_bundle_is_genuine_by_the_logs_key_alone_and_says_how_old_it_is() {
    let world = World::new().await;
    world.register(NAME, &part("螺栓")).await;
    let partner = Partner::of(&world).await;
    let bundle = bundle_of(&world, NAME, "application/json").await;
    let report = partner.verify(&bundle);
    assert_eq!(report.verdict(), Finding::Pass, "{report:?}");
    for step in ["checkpoint", "inclusion", "signature", "key_range", "identifier", "asked", "freshness", "statements"]
    {
        assert!(report.steps.iter().any(|one| one.name == step), "{step} is not told: {report:?}");
    }
    let freshness = report.freshness.unwrap();
    assert_eq!(freshness.state, FreshnessState::Unasked, "nobody asked for an age");
    // By the keys alone it cannot be told whether the log has it.
    let without = verify_document(bundle.as_bytes(), Known { keys: &partner.keys, ..Known::default() });
    assert_eq!(without.verdict(), Finding::Unknown);
    let asked = |seconds, now| Known { max_age_seconds: Some(seconds), now_seconds: Some(now), ..partner.known() };
    let at = freshness.as_of.as_seconds();
    for (most, now, state, finding) in [
        (3600, at + 10, FreshnessState::Fresh, Finding::Pass),
        (3600, at + 3601, FreshnessState::Stale, Finding::Unknown),
        (3600, at - 301, FreshnessState::Unknown, Finding::Unknown),
        (3600, at - 299, FreshnessState::Fresh, Finding::Pass),
    ] {
        let report = verify_document(bundle.as_bytes(), asked(most, now));
        assert_eq!((report.freshness.as_ref().unwrap().state, report.verdict()), (state, finding));
    }
    // Nobody owns the prefix, so nobody signed.
    let owned = Known { requires_owner: true, ..partner.known() };
    assert_eq!(verify_document(bundle.as_bytes(), owned).verdict(), Finding::Unknown);
    // Of another log, or about another name.
    let other = World::new().await;
    assert_ne!(Partner::of(&other).await.verify(&bundle).verdict(), Finding::Pass);
    let another = Known { identifier: Some("88.999.1/BUNDLE-2"), ..partner.known() };
    assert_eq!(verify_document(bundle.as_bytes(), another).verdict(), Finding::Fail);
}

#[tokio::test]
async fn the_short_form_needs_the_nodes_keys_and_of_a_small_record_fits_a_code_on_a_label() {
    let world = World::new().await;
    world.register(NAME, &part("螺栓")).await;
    let partner = Partner::of(&world).await;
    let packed = bundle_of(&world, NAME, PACKED).await;
    assert!(packed.len() <= 4_296, "{} letters", packed.len());
    assert_eq!(partner.verify(&packed).verdict(), Finding::Unknown, "no key is known to check the signature by");
    let known = Known { keys: &partner.keys, ranges: &partner.ranges, ..partner.known() };
    let report = verify_document(packed.as_bytes(), known);
    assert_eq!(report.verdict(), Finding::Pass, "{report:?}");
    // Without the indexes for which a key counts, or outside of them.
    let index = Bundle::unpack(&packed).unwrap().proof.index;
    let ended = [KeyIndexes { until: Some(index - 1), ..partner.ranges[0].clone() }];
    for (ranges, verdict) in [(&[][..], Finding::Unknown), (&ended[..], Finding::Fail)] {
        assert_eq!(verify_document(packed.as_bytes(), Known { ranges, ..known }).verdict(), verdict);
    }
    let whole = Bundle::read(&bundle_of(&world, NAME, "application/json").await).unwrap();
    assert_eq!(Bundle::unpack(&packed).unwrap().entry, whole.entry);
}

#[tokio::test]
async fn no_byte_of_a_bundle_can_be_changed() {
    let world = World::new().await;
    world.register(NAME, &part("螺栓")).await;
    let partner = Partner::of(&world).await;
    let packed = Known { keys: &partner.keys, ranges: &partner.ranges, ..partner.known() };
    for (accept, known) in [("application/json", partner.known()), (PACKED, packed)] {
        let bundle = bundle_of(&world, NAME, accept).await;
        assert_eq!(verify_document(bundle.as_bytes(), known).verdict(), Finding::Pass);
        for at in 0..bundle.len() {
            let mut changed = bundle.clone().into_bytes();
            // The lowest bit, the case, and a letter that another place might have.
            for byte in [changed[at] ^ 1, changed[at] ^ 0x20, b'~', b' '] {
                let before = std::mem::replace(&mut changed[at], byte);
                if byte != before {
                    let verdict = verify_document(&changed, known).verdict();
                    assert_ne!(verdict, Finding::Pass, "{accept}, byte {at}: {before} to {byte}");
                }
                changed[at] = before;
            }
        }
        let cut = verify_document(&bundle.as_bytes()[..bundle.len() - 1], known).verdict();
        assert_ne!(cut, Finding::Pass);
    }
}

/// Whether a proof file shows that the log has a statement, as any verifier of C2SP files does it.
fn proves(file: &[u8], statement: &str, policy: &Policy) -> bool {
    let Ok(proof) = LogProof::parse(file) else { return false };
    let Ok(verdict) = policy.judge(&proof.checkpoint) else { return false };
    let leaf = leaf_hash(statement.as_bytes());
    verdict.has_quorum && check_inclusion(&leaf, proof.index, &verdict.checkpoint.head(), &proof.hashes)
}

/// MINGPAI_PROOFS says of how many records (tests/long: 1,000).
#[tokio::test]
async fn no_byte_of_many_bundles_and_proof_files_can_be_changed() {
    let count: usize = std::env::var("MINGPAI_PROOFS").ok().map_or(3, |text| text.parse().unwrap());
    let world = World::new().await;
    world.register(NAME, &part("螺栓")).await;
    let rows: String = (0..count)
        .map(|number| {
            let value = json!([{"index": 1, "type": "名称", "data": format!("第 {number} 件")}]);
            format!("{}\n", json!({"identifier": format!("88.999.1/MANY-{number}"), "values": value}))
        })
        .collect();
    let job = world.ask(Method::POST, "/v1/imports").signed().typed("application/x-ndjson", rows).send().await;
    let job = format!("/v1/imports/{}", job.json()["id"].as_str().unwrap());
    while world.get(&job).signed().send().await.json()["state"] == "running" {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let partner = Partner::of(&world).await;
    let mut given = Vec::new();
    for number in 0..count {
        let name = format!("88.999.1/MANY-{number}");
        let text = bundle_of(&world, &name, "application/json").await;
        let target = format!("/v1/log/proof/{}", Bundle::read(&text).unwrap().proof.index);
        let file = world.get(&target).header("accept", "text/x-tlog-proof").send().await.body;
        given.push((name, text, file));
    }
    // A signature or more a byte: on all cores.
    let next = AtomicUsize::new(0);
    let work = || {
        let mut changes = 0;
        while let Some((name, text, file)) = given.get(next.fetch_add(1, Ordering::Relaxed)) {
            changes += change_each_byte(&partner.policy, name, text, file);
        }
        changes
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let changes: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    println!("{} bundles and proof files, {changes} changed bytes, none accepted", 2 * given.len());
}

/// Changes each byte of a bundle and of its proof file, and looks that neither is accepted; how many.
fn change_each_byte(policy: &Policy, name: &str, text: &str, file: &[u8]) -> usize {
    let known = Known { policy: Some(policy), identifier: Some(name), ..Known::default() };
    assert_eq!(verify_document(text.as_bytes(), known).verdict(), Finding::Pass, "{name}");
    let mut bytes = text.as_bytes().to_vec();
    for at in 0..bytes.len() {
        bytes[at] ^= 1;
        assert_ne!(verify_document(&bytes, known).verdict(), Finding::Pass, "{name}, byte {at}: {text}");
        bytes[at] ^= 1;
    }
    let bundle = Bundle::read(text).unwrap();
    let statement = bundle.entry.split('~').next().unwrap();
    let mut file = file.to_vec();
    assert!(proves(&file, statement, policy), "{name}");
    for at in 0..file.len() {
        file[at] ^= 1;
        assert!(!proves(&file, statement, policy), "{name}, byte {at} of its proof file");
        file[at] ^= 1;
    }
    bytes.len() + file.len()
}

#[tokio::test]
async fn an_old_bundle_of_a_recalled_item_is_genuine_and_never_fresh() {
    let world = World::new().await;
    world.register(NAME, &part("螺栓")).await;
    let partner = Partner::of(&world).await;
    let old = bundle_of(&world, NAME, "application/json").await;
    world.change(Method::PATCH, NAME, &json!({"status": "recalled"})).await;
    let new = bundle_of(&world, NAME, "application/json").await;
    // A minute later: whoever asks for half a minute is not told that the old one is fresh.
    let later = now() + 60;
    let known = Known { max_age_seconds: Some(30), now_seconds: Some(later), ..partner.known() };
    let report = verify_document(old.as_bytes(), known);
    assert_eq!((report.verdict(), report.freshness.unwrap().state), (Finding::Unknown, FreshnessState::Stale));
    let report = partner.verify(&old);
    assert_eq!((report.verdict(), report.freshness.unwrap().state), (Finding::Pass, FreshnessState::Unasked));
    // The newer word under the older entry is a contradiction, and so is the older word under the newer proof.
    let (read_old, read_new) = (Bundle::read(&old).unwrap(), Bundle::read(&new).unwrap());
    let mixed = [
        Bundle { latest: read_new.latest.clone(), ..read_old.clone() },
        Bundle { latest: read_old.latest.clone(), ..read_new.clone() },
        Bundle { entry: read_old.entry.clone(), ..read_new.clone() },
        Bundle { proof: read_old.proof.clone(), ..read_new.clone() },
        Bundle { statements: read_old.statements.clone(), ..read_new.clone() },
    ];
    for (at, bundle) in mixed.into_iter().enumerate() {
        assert_eq!(partner.verify(&bundle.encode()).verdict(), Finding::Fail, "{at}");
    }
    // Without the word nothing is said of its age, and whoever asks for one is told so.
    let bare = Bundle { latest: None, ..read_old.clone() }.encode();
    let report = partner.verify(&bare);
    assert_eq!((report.verdict(), report.freshness), (Finding::Pass, None));
    assert_eq!(verify_document(bare.as_bytes(), known).verdict(), Finding::Unknown);
    assert_eq!(partner.verify(&new).verdict(), Finding::Pass);
    let states = |bundle: &Bundle| {
        let disclosed = bundle.entry.split('~').skip(1).filter_map(|part| BASE64URL.decode(part).ok());
        let disclosed: Vec<String> = disclosed.map(|bytes| String::from_utf8(bytes).unwrap()).collect();
        ["active", "recalled"]
            .map(|state| disclosed.iter().any(|text| text.contains(&format!("\"state\",\"{state}\""))))
    };
    assert_eq!((states(&read_old), states(&read_new)), ([true, false], [false, true]), "the status is proven, too");
}

#[tokio::test]
async fn an_answer_with_its_proof_alone_is_never_fresh() {
    let world = World::new().await;
    world.register(NAME, &part("螺栓")).await;
    let partner = Partner::of(&world).await;
    bundle_of(&world, NAME, "application/json").await;
    let answer = world.get(&format!("/v1/resolve/{NAME}?proof=1")).send().await.text();
    let known = Known { keys: &partner.keys, ranges: &partner.ranges, ..partner.known() };
    assert_eq!(verify_document(answer.as_bytes(), known).verdict(), Finding::Pass);
    let asked = Known { max_age_seconds: Some(3600), now_seconds: Some(now()), ..known };
    let report = verify_document(answer.as_bytes(), asked);
    assert_eq!((report.verdict(), report.freshness.is_none()), (Finding::Unknown, true), "{:?}", report.steps);
}

#[tokio::test]
async fn an_entry_key_says_nothing_of_what_is_newest() {
    let world = World::new().await;
    world.register(NAME, &part("螺栓")).await;
    let partner = Partner::of(&world).await;
    let mut bundle = Bundle::read(&bundle_of(&world, NAME, "application/json").await).unwrap();
    let stated = LatestStatement::read(bundle.latest.as_deref().unwrap(), &partner.of_log).unwrap();
    // The very word, signed by the key of entries, as a thief of it would.
    let folder = world.keys();
    let keys = KeyFolder::open(&folder, 1).unwrap();
    let thief = keys.all(KeyUse::Entry)[0];
    assert_eq!(thief.kid(), partner.keys[0].kid);
    bundle.latest = Some(stated.sign(thief).unwrap());
    assert_eq!(partner.verify(&bundle.encode()).verdict(), Finding::Fail);
}

#[tokio::test]
async fn a_word_of_the_log_counts_for_its_own_version_at_its_own_head_alone() {
    let world = World::new().await;
    world.register(NAME, &part("螺栓")).await;
    let partner = Partner::of(&world).await;
    let mut bundle = Bundle::read(&bundle_of(&world, NAME, "application/json").await).unwrap();
    let stated = LatestStatement::read(bundle.latest.as_deref().unwrap(), &partner.of_log).unwrap();
    let keys = KeyFolder::open(&world.keys(), 1).unwrap();
    let key = keys.all(KeyUse::Checkpoint)[0];
    let other = |change: fn(&mut LatestStatement)| {
        let mut stated = stated.clone();
        change(&mut stated);
        stated
    };
    bundle.latest = Some(stated.sign(key).unwrap());
    assert_eq!(partner.verify(&bundle.encode()).verdict(), Finding::Pass);
    for stated in [
        other(|stated| stated.ver += 1),
        other(|stated| stated.leaf = BASE64URL.encode([7; 32])),
        other(|stated| stated.sid = BASE64URL.encode([7; 32])),
        other(|stated| stated.as_of.size += 1),
        other(|stated| stated.as_of.root.clear()),
        other(|stated| stated.as_of.origin.push('x')),
        other(|stated| stated.as_of.iat = i64::MAX),
    ] {
        bundle.latest = Some(stated.sign(key).unwrap());
        assert_eq!(partner.verify(&bundle.encode()).verdict(), Finding::Fail, "{stated:?}");
    }
}

#[tokio::test]
async fn the_node_states_what_is_newest_and_what_is_absent() {
    let world = World::new().await;
    world.register(NAME, &part("螺栓")).await;
    let partner = Partner::of(&world).await;
    let word = world.get(&format!("/v1/latest/{NAME}")).send().await.json();
    let latest = LatestStatement::read(word["latest"].as_str().unwrap(), &partner.of_log).unwrap();
    assert_eq!(latest.ver, 1);
    assert!((latest.as_of.iat - now()).abs() < 60);
    let word = world.get("/v1/latest/88.999.1/nothing-here").send().await.json();
    let absent = AbsentStatement::read(word["absent"].as_str().unwrap(), &partner.of_log).unwrap();
    assert!(absent.sub.eq_ignore_ascii_case("88.999.1/nothing-here"), "{}", absent.sub);
    assert_eq!(absent.as_of.origin, "urn:mingpai:dev");
    for (target, status, code) in [
        ("/v1/bundle/88.999.1/nothing-here", 404, "identifier_unknown"),
        ("/v1/bundle/88.118.8/elsewhere", 404, "identifier_unknown"),
        ("/v1/latest/88.118.8/elsewhere", 404, "not_responsible"),
        ("/v1/latest/nothing", 400, "identifier_invalid"),
    ] {
        let answer = world.get(target).send().await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{target}");
    }
    world.ask(Method::DELETE, &format!("/v1/records/{NAME}")).signed().header("if-match", "*").send().await;
    assert_eq!(world.get(&format!("/v1/bundle/{NAME}")).send().await.code(), "identifier_deleted");
    let word = world.get(&format!("/v1/latest/{NAME}")).send().await.json();
    assert_eq!(LatestStatement::read(word["latest"].as_str().unwrap(), &partner.of_log).unwrap().ver, 2);
}

/// The steps that did not pass, and the verdict.
fn left(report: &Report) -> (Finding, Vec<&'static str>) {
    let left = report.steps.iter().filter(|step| step.finding != Finding::Pass).map(|step| step.name).collect();
    (report.verdict(), left)
}

#[tokio::test]
async fn the_nodes_word_is_verified_by_the_logs_key_alone() {
    const NONE: &str = "88.999.1/nothing-here";
    let world = World::new().await;
    world.register(NAME, &part("螺栓")).await;
    let partner = Partner::of(&world).await;
    let absent = world.get(&format!("/v1/latest/{NONE}")).send().await.text();
    let latest = world.get(&format!("/v1/latest/{NAME}")).send().await.text();
    let known = Known { policy: Some(&partner.policy), now_seconds: Some(now()), ..Known::default() };
    let told = |document: &str, known| left(&verify_document(document.as_bytes(), known));
    for word in [&absent, &latest] {
        assert_eq!(told(word, known), (Finding::Pass, vec![]));
        assert_eq!(told(word, Known { max_age_seconds: Some(60), ..known }), (Finding::Pass, vec![]));
        let later = Known { max_age_seconds: Some(60), now_seconds: Some(now() + 3600), ..known };
        let report = verify_document(word.as_bytes(), later);
        assert_eq!(left(&report), (Finding::Unknown, vec!["freshness"]));
        assert_eq!(report.freshness.unwrap().state, FreshnessState::Stale);
        assert_eq!(told(word, Known { policy: None, ..known }), (Finding::Unknown, vec!["word"]));
        assert_eq!(told(word, Known { issuer: Some("urn:another"), ..known }), (Finding::Fail, vec!["issuer"]));
        assert_eq!(told(word, Known { requires_owner: true, ..known }), (Finding::Unknown, vec!["owner_signature"]));
    }
    // About whom: a sid hides it, a name does not.
    let about = |name| Known { identifier: Some(name), ..known };
    assert_eq!(told(&latest, about(NAME)), (Finding::Unknown, vec!["asked"]));
    assert_eq!(told(&absent, about(NONE)), (Finding::Pass, vec![]));
    assert_eq!(told(&absent, about("88.999.1/Nothing-Here")), (Finding::Pass, vec![]), "this prefix is insensitive");
    assert_eq!(told(&absent, about("88.999.1/nothing-there")), (Finding::Fail, vec!["asked"]));
    let beside = mingpai::sign::bundle::LogProof { index: 0, hashes: Vec::new(), checkpoint: String::new() };
    assert_eq!(told(&absent, Known { proof: Some(&beside), ..known }), (Finding::Unknown, vec!["proof"]));
    // The JWS by itself: the head that it names is signed in it, and cosigned by nobody.
    let parsed: serde_json::Value = serde_json::from_str(&absent).unwrap();
    let bare = parsed["absent"].as_str().unwrap();
    assert_eq!(told(bare, about(NONE)), (Finding::Pass, vec![]));
    let witness =
        VerifierKey::new("witness.example.com", KeyKind::Cosignature, *partner.policy.logs()[0].key.public()).unwrap();
    let demanding = Policy::of(partner.policy.logs().to_vec(), vec![(witness, None)], 1).unwrap();
    for word in [bare, &absent] {
        let report = told(word, Known { policy: Some(&demanding), ..known });
        assert_eq!(report, (Finding::Unknown, vec!["checkpoint"]), "no witness saw that head");
    }
    // A checkpoint that is genuine, and another than the word is of.
    let mut mixed = parsed.clone();
    world.register("88.999.1/BUNDLE-9", &part("螺母")).await;
    let newer: serde_json::Value =
        serde_json::from_str(&bundle_of(&world, "88.999.1/BUNDLE-9", "application/json").await).unwrap();
    mixed["checkpoint"] = newer["proof"]["checkpoint"].clone();
    assert_eq!(told(&mixed.to_string(), known), (Finding::Fail, vec!["head"]));
    // What nobody signed has no place beside it, and nothing is said twice.
    for (from, to) in [
        ("{", "{\"identifier\":\"88.999.1/X\","),
        ("{", "{\"absent\":\"\","),
        ("{", "{\"latest\":\"\","),
        ("\"checkpoint\":", "\"checkpoint\":7,\"was\":"),
    ] {
        assert_eq!(told(&absent.replacen(from, to, 1), known).0, Finding::Fail, "{to}");
    }
    // No byte of what the log signed may change.
    for word in [&absent, &latest] {
        let end = word.find("\",\"checkpoint").unwrap();
        for at in word.find(":\"").unwrap() + 2..end {
            let mut changed = word.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert_ne!(verify_document(&changed, known).verdict(), Finding::Pass, "byte {at}");
        }
    }
}

#[tokio::test]
async fn words_of_another_key_another_log_or_a_case_that_is_not_said_are_no_proof() {
    let world = World::new().await;
    let partner = Partner::of(&world).await;
    let folder = tempfile::tempdir().unwrap();
    let keys = KeyFolder::open(folder.path(), 1).unwrap();
    let own = keys.all(KeyUse::Checkpoint)[0];
    let origin = "example.com/log";
    let policy_of = |name: &str| {
        let key = VerifierKey::new(name, KeyKind::Note, own.public_bytes()).unwrap();
        Policy::of(vec![Log { key, url: None }], Vec::new(), 0).unwrap()
    };
    let head = mingpai::tlog::hash::Head { size: 9, root: [7; 32] };
    let as_of = AsOf::new(now(), "urn:example", origin, &head);
    let word = AbsentStatement { as_of, sub: "88.999.1/nothing".to_owned(), case: None };
    let told = |word: &AbsentStatement, policy: &Policy, asked: &str| {
        let known =
            Known { policy: Some(policy), identifier: Some(asked), now_seconds: Some(now()), ..Known::default() };
        left(&verify_document(word.sign(own).unwrap().as_bytes(), known))
    };
    let believed = policy_of(origin);
    assert_eq!(told(&word, &believed, "88.999.1/nothing"), (Finding::Pass, vec![]));
    assert_eq!(told(&word, &partner.policy, "88.999.1/nothing"), (Finding::Fail, vec!["word"]), "another log's key");
    let renamed = told(&word, &policy_of("example.com/other"), "88.999.1/nothing");
    assert_eq!(renamed, (Finding::Unknown, vec!["word"]), "the key is believed as another log's");
    // In capitals it may be another name, or this one.
    assert_eq!(told(&word, &believed, "88.999.1/NOTHING"), (Finding::Unknown, vec!["asked"]));
    let sensitive = AbsentStatement { case: Some(SuffixCase::Sensitive), ..word.clone() };
    assert_eq!(told(&sensitive, &believed, "88.999.1/NOTHING"), (Finding::Fail, vec!["asked"]));
    let insensitive = AbsentStatement { case: Some(SuffixCase::Insensitive), ..word.clone() };
    assert_eq!(told(&insensitive, &believed, "88.999.1/NOTHING"), (Finding::Pass, vec![]));
    assert_eq!(told(&insensitive, &believed, "no identifier"), (Finding::Fail, vec!["asked"]));
    // A clock at either end of time.
    for iat in [i64::MIN, i64::MAX] {
        let mut word = word.clone();
        word.as_of.iat = iat;
        let known =
            Known { policy: Some(&believed), now_seconds: Some(now()), max_age_seconds: Some(9), ..Known::default() };
        assert_ne!(verify_document(word.sign(own).unwrap().as_bytes(), known).verdict(), Finding::Pass);
    }
}

#[tokio::test]
async fn an_entry_is_proven_by_a_proof_in_a_file_of_its_own() {
    let world = World::new().await;
    world.register("88.999.1/BUNDLE-2", &part("螺母")).await;
    world.register(NAME, &part("螺栓")).await;
    let partner = Partner::of(&world).await;
    let bundle = Bundle::read(&bundle_of(&world, NAME, "application/json").await).unwrap();
    let file = |index: u64| {
        let world = &world;
        async move {
            let asked = world.get(&format!("/v1/log/proof/{index}")).header("accept", "text/x-tlog-proof");
            asked.send().await.text()
        }
    };
    let text = file(bundle.proof.index).await;
    let other = file(bundle.proof.index - 1).await;
    let read = |text: &str| mingpai::sign::bundle::LogProof::from(&LogProof::parse(text.as_bytes()).unwrap());
    let (right, wrong) = (read(&text), read(&other));
    let known = Known { keys: &partner.keys, ranges: &partner.ranges, ..partner.known() };
    let told = |document: &str, known| left(&verify_document(document.as_bytes(), known));
    assert_eq!(told(&bundle.entry, known), (Finding::Unknown, vec!["inclusion"]), "nothing proves it");
    let proven = Known { proof: Some(&right), ..known };
    assert_eq!(told(&bundle.entry, proven), (Finding::Pass, vec![]));
    assert_eq!(told(&bundle.entry, Known { proof: Some(&wrong), ..known }), (Finding::Fail, vec!["inclusion"]));
    let answer = world.get(&format!("/v1/resolve/{NAME}?entry=1")).send().await.text();
    assert_eq!(told(&answer, proven), (Finding::Pass, vec![]));
    assert_eq!(told(&answer, Known { proof: Some(&wrong), ..known }), (Finding::Fail, vec!["inclusion"]));
    // An answer with a proof of its own that is another's is none, whatever lies beside it.
    let mut answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    answer["proof"] = serde_json::to_value(&wrong).unwrap();
    assert_eq!(told(&answer.to_string(), proven), (Finding::Fail, vec!["inclusion"]));
    assert_eq!(told(&bundle.encode(), proven), (Finding::Unknown, vec!["proof"]), "a bundle has its own");
    // By itself it is about nothing; its checkpoint is looked at all the same.
    assert_eq!(told(&text, known), (Finding::Unknown, vec!["inclusion"]));
    let folder = tempfile::tempdir().unwrap();
    let stranger = KeyFolder::open(folder.path(), 1).unwrap().all(KeyUse::Checkpoint)[0].public_bytes();
    let stranger = VerifierKey::new("urn:mingpai:dev", KeyKind::Note, stranger).unwrap();
    let stranger = Policy::of(vec![Log { key: stranger, url: None }], Vec::new(), 0).unwrap();
    let by_stranger = Known { policy: Some(&stranger), ..known };
    assert_eq!(told(&text, by_stranger), (Finding::Fail, vec!["checkpoint", "inclusion"]));
    assert_eq!(
        told(&text.replacen("index ", "index 0", 1), known),
        (Finding::Fail, vec!["format", "inclusion"]),
        "leading zeros"
    );
}
