//! A log on paper: statements at indexes of our choosing, and what a verifier makes of them.

mod keys;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::json;

use super::check::{Presented, check, check_bare};
use super::*;
use crate::model::draft::Draft;
use crate::model::identifier::Identifier;
use crate::model::record::Record;
use crate::sign::keys::{KeyUse, generate, read_signing_key};
use crate::sign::owner::{Content, OwnerPayload};
use crate::sign::statement::KeysStatement;
use crate::sign::verify::{Finding, Report};

fn key() -> SigningKey {
    let folder = tempfile::tempdir().unwrap();
    read_signing_key(&generate(folder.path(), KeyUse::Owner, 1).unwrap()).unwrap()
}

/// A node's log: its key, what stands where, and the end of each prefix's chain.
struct Log {
    node: SigningKey,
    upper: SigningKey,
    listed: Vec<Listed>,
    ends: std::collections::HashMap<String, (u64, Option<String>)>,
}

impl Log {
    fn new() -> Log {
        let node = key();
        let mut log = Log { upper: key(), listed: Vec::new(), ends: Default::default(), node };
        let genesis = KeysStatement { iat: 1, iss: "n".to_owned(), key: log.node.public() };
        let statement = jws::sign(&log.node, jws::KEYS_TYPE, &serde_json::to_vec(&genesis).unwrap());
        log.listed.push(Listed { index: 0, statement });
        log
    }

    /// With this node's prefix licensed by the upper node at index 1, and the enterprise at 5.
    fn licensed(enterprise: &SigningKey) -> Log {
        let mut log = Log::new();
        let keys = vec![log.node.public()];
        log.grant_node(1, "88.999", keys);
        log.grant(5, "88.999.1", "甲", enterprise, OwnerSignature::Optional);
        log
    }

    fn add<T: Stated>(&mut self, index: u64, prefix: &str, statement: &T) -> String {
        let now = Timestamp::from_seconds(1).unwrap();
        let (proposal, leaf) = propose(&self.node, statement, now, "test").unwrap();
        let id = BASE64URL.encode(leaf);
        let end = self.ends.entry(prefix.to_owned()).or_default();
        *end = (end.0 + 1, Some(id.clone()));
        self.listed.push(Listed { index, statement: String::from_utf8(proposal.statement).unwrap() });
        id
    }

    fn next(&self, prefix: &str) -> (u64, Option<String>) {
        let (seq, prev) = self.ends.get(prefix).cloned().unwrap_or_default();
        (seq + 1, prev)
    }

    fn grant_node(&mut self, index: u64, prefix: &str, keys: Vec<PublicJwk>) -> String {
        let (seq, prev) = self.next(prefix);
        let (by, prefix) = (self.upper.public(), prefix.to_owned());
        let grant = Grant { iat: 1, iss: "top".to_owned(), by, prefix: prefix.clone(), holder: "n".to_owned(), keys };
        let statement = LicenceStatement {
            iat: 1,
            iss: "n".to_owned(),
            prefix: prefix.clone(),
            seq,
            prev,
            role: LicenceRole::Node,
            holder: "n".to_owned(),
            holder_key: None,
            owner_signature: OwnerSignature::Optional,
            grant: Some(grant.sign(&self.upper).unwrap()),
        };
        self.add(index, &prefix, &statement)
    }

    fn grant(&mut self, index: u64, prefix: &str, holder: &str, key: &SigningKey, asked: OwnerSignature) -> String {
        let (seq, prev) = self.next(prefix);
        let statement = LicenceStatement {
            iat: 1,
            iss: "n".to_owned(),
            prefix: prefix.to_owned(),
            seq,
            prev,
            role: LicenceRole::Enterprise,
            holder: holder.to_owned(),
            holder_key: Some(key.public()),
            owner_signature: asked,
            grant: None,
        };
        self.add(index, prefix, &statement)
    }

    fn end(&mut self, index: u64, prefix: &str, licence: &str, reason: EndReason, not_after: Option<u64>) {
        let (seq, prev) = self.next(prefix);
        let statement = LicenceEndStatement {
            iat: 1,
            iss: "n".to_owned(),
            prefix: prefix.to_owned(),
            seq,
            prev: prev.unwrap(),
            licence: licence.to_owned(),
            reason,
            not_after,
        };
        self.add(index, prefix, &statement);
    }

    /// Another key takes over at an index; the one before is given back.
    fn rotate(&mut self, index: u64) -> SigningKey {
        let next = key();
        let statement = KeysStatement { iat: 1, iss: "n".to_owned(), key: next.public() };
        let statement = jws::sign(&self.node, jws::KEYS_TYPE, &serde_json::to_vec(&statement).unwrap());
        self.listed.push(Listed { index, statement });
        std::mem::replace(&mut self.node, next)
    }

    fn licence_of(&self, at: usize) -> String {
        BASE64URL.encode(leaf_hash(self.listed[at].statement.as_bytes()))
    }

    /// The finding of each step about an entry of this record at an index, signed by the node's key of now.
    fn judge(&self, record: &Record, owner_jws: Option<&str>, index: u64) -> Vec<(&'static str, Finding)> {
        self.judge_by(&self.node.public().kid, record, owner_jws, index)
    }

    fn judge_by(
        &self,
        kid: &str,
        record: &Record,
        owner_jws: Option<&str>,
        index: u64,
    ) -> Vec<(&'static str, Finding)> {
        let upper = self.upper.public();
        let shown = Presented {
            statements: &self.listed,
            are_proven: true,
            upper: Some(&upper),
            keys: &[],
            index: Some(index),
            kid,
            identifier: &record.identifier,
            version: record.version,
            owner_jws,
            content: Some(Content::of(record)),
            is_deleted: false,
        };
        let mut report = Report::default();
        check(&mut report, &shown);
        report.steps.iter().map(|step| (step.name, step.finding)).collect()
    }
}

fn record(identifier: &str) -> Record {
    let now = Timestamp::from_seconds(1_000).unwrap();
    let draft = json!({"values": [{"index": 2000, "type": "名称", "data": "螺栓"}]});
    Record::first(Identifier::parse(identifier).unwrap(), Draft::from_json(&draft, now).unwrap(), now)
}

fn signed(record: &Record, key: &SigningKey) -> String {
    OwnerPayload::of(record).unwrap().sign(key).unwrap()
}

fn finding(steps: &[(&'static str, Finding)], name: &str) -> Option<Finding> {
    steps.iter().find(|(known, _)| *known == name).map(|(_, finding)| *finding)
}

#[test]
fn a_whole_chain_passes_and_says_so_step_by_step() {
    let enterprise = key();
    let log = Log::licensed(&enterprise);
    let record = record("88.999.1/A");
    let steps = log.judge(&record, Some(&signed(&record, &enterprise)), 9);
    let names = ["statements", "key_range", "node_licence", "owner_licence", "owner_signature"];
    assert_eq!(steps, names.map(|name| (name, Finding::Pass)));
}

#[test]
fn a_licence_of_a_prefix_is_none_of_its_neighbour() {
    let enterprise = key();
    let log = Log::licensed(&enterprise);
    let neighbour = record("88.999.10/A");
    let steps = log.judge(&neighbour, Some(&signed(&neighbour, &enterprise)), 9);
    assert_eq!(finding(&steps, "owner_licence"), Some(Finding::Unknown), "{steps:?}");
    assert_eq!(finding(&steps, "owner_signature"), None);
    assert_eq!(finding(&steps, "node_licence"), Some(Finding::Pass), "88.999 covers it");
    let other_node = record("88.9991/A");
    let steps = log.judge(&other_node, None, 9);
    assert_eq!(finding(&steps, "node_licence"), Some(Finding::Unknown), "{steps:?}");
}

#[test]
fn a_licence_holds_after_its_index_and_up_to_its_end() {
    let enterprise = key();
    let mut log = Log::licensed(&enterprise);
    log.end(20, "88.999.1", &log.licence_of(2), EndReason::Revoked, None);
    let record = record("88.999.1/A");
    let owner_jws = signed(&record, &enterprise);
    for (index, expected) in [(4, Finding::Fail), (6, Finding::Pass), (19, Finding::Pass), (21, Finding::Fail)] {
        let steps = log.judge(&record, Some(&owner_jws), index);
        assert_eq!(finding(&steps, "owner_licence"), Some(expected), "{index}: {steps:?}");
        let without = log.judge(&record, None, index);
        assert_ne!(finding(&without, "owner_licence"), Some(Finding::Fail), "nobody signed as an owner");
    }
}

#[test]
fn a_compromise_reaches_back_to_the_index_that_it_names_and_no_further() {
    let enterprise = key();
    let mut log = Log::licensed(&enterprise);
    log.end(20, "88.999.1", &log.licence_of(2), EndReason::Compromised, Some(10));
    let record = record("88.999.1/A");
    let owner_jws = signed(&record, &enterprise);
    for (index, expected) in [(10, Finding::Pass), (11, Finding::Fail), (19, Finding::Fail)] {
        let steps = log.judge(&record, Some(&owner_jws), index);
        assert_eq!(finding(&steps, "owner_licence"), Some(expected), "{index}: {steps:?}");
    }
}

#[test]
fn after_a_transfer_only_the_new_holder_signs() {
    let (old, new) = (key(), key());
    let mut log = Log::licensed(&old);
    log.end(20, "88.999.1", &log.licence_of(2), EndReason::Transferred, None);
    log.grant(21, "88.999.1", "乙", &new, OwnerSignature::Required);
    let record = record("88.999.1/A");
    let by =
        |key: &SigningKey, index| finding(&log.judge(&record, Some(&signed(&record, key)), index), "owner_signature");
    assert_eq!((by(&old, 10), by(&new, 10)), (Some(Finding::Pass), Some(Finding::Fail)));
    assert_eq!((by(&old, 22), by(&new, 22)), (Some(Finding::Fail), Some(Finding::Pass)));
    let unsigned = log.judge(&record, None, 22);
    assert_eq!(finding(&unsigned, "owner_signature"), Some(Finding::Unknown), "it is asked for and not shown");
}

#[test]
fn two_keys_of_one_holder_hold_together() {
    let (first, second) = (key(), key());
    let mut log = Log::licensed(&first);
    log.grant(7, "88.999.1", "甲", &second, OwnerSignature::Optional);
    let record = record("88.999.1/A");
    for key in [&first, &second] {
        let steps = log.judge(&record, Some(&signed(&record, key)), 9);
        assert_eq!(finding(&steps, "owner_signature"), Some(Finding::Pass));
    }
}

#[test]
fn an_owners_signature_over_anything_else_fails() {
    let (enterprise, other) = (key(), key());
    let log = Log::licensed(&enterprise);
    let shown = record("88.999.1/A");
    let mut altered = shown.clone();
    altered.values.clear();
    let mut later = shown.clone();
    later.version = 2;
    let mut tampered = signed(&shown, &enterprise);
    tampered.replace_range(
        tampered.len() - 10..tampered.len() - 9,
        if tampered.as_bytes()[tampered.len() - 10] == b'A' { "B" } else { "A" },
    );
    for (name, owner_jws) in [
        ("another key", signed(&shown, &other)),
        ("another content", signed(&altered, &enterprise)),
        ("another version", signed(&later, &enterprise)),
        ("another identifier", signed(&record("88.999.1/B"), &enterprise)),
        ("a changed signature", tampered),
        ("no jws", "a.b".to_owned()),
    ] {
        let steps = log.judge(&shown, Some(&owner_jws), 9);
        assert_eq!(finding(&steps, "owner_signature"), Some(Finding::Fail), "{name}: {steps:?}");
    }
}
