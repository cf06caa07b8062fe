//! A small registry for the store's tests: records under two prefixes (one blinded, one open), really signed.

use std::sync::Arc;

use mingpai::model::alias::Alias;
use mingpai::model::draft::Draft;
use mingpai::model::identifier::{CanonicalKey, Identifier};
use mingpai::model::prefix::{LogMode, PrefixPolicy, Prefixes, SuffixCase};
use mingpai::model::record::Record;
use mingpai::model::scheme::Scheme;
use mingpai::model::time::Timestamp;
use mingpai::model::value::{Data, Value};
use mingpai::sign::StatementReader;
use mingpai::sign::blinding::Blinding;
use mingpai::sign::entry::Signer;
use mingpai::sign::keys::{KeyFolder, KeyUse, SigningKey};
use mingpai::sign::statement::{ErasureStatement, propose};
use mingpai::store::journal::{Effect, FrameKind, Idempotency, Tail};
use mingpai::store::rows::{LeafHash, leaf_hash};
use mingpai::store::{Commit, EntryProposal, Expect, Fatal, Observer, Proposal, ReadStatement, StatementProposal};
use parking_lot::Mutex;

pub const BLINDED: &str = "88.999.1";
pub const OPEN: &str = "88.999.2";
pub const ISSUER: &str = "https://node.example";
pub const PRINCIPAL: &str = "key:test";

/// Who signs, and under which prefixes.
pub struct Registry {
    pub key: SigningKey,
    blinding: Blinding,
    pub prefixes: Arc<Prefixes>,
}

/// What is known of a version once it is proposed.
#[derive(Clone, Debug)]
pub struct Version {
    pub record: Record,
    pub statement: Vec<u8>,
    pub disclosures: Vec<u8>,
    pub leaf: LeafHash,
    pub effect: Effect,
    pub sid: [u8; 32],
}

impl Registry {
    pub fn new() -> Registry {
        let folder = tempfile::tempdir().unwrap();
        let mut keys = KeyFolder::open(folder.path(), 1).unwrap();
        let kid = keys.all(KeyUse::Entry)[0].kid().to_owned();
        let blinding = Blinding::new(*keys.secret());
        let open = PrefixPolicy { log: LogMode::Open, ..PrefixPolicy::new(OPEN) };
        Registry {
            key: keys.take(KeyUse::Entry, &kid).unwrap(),
            blinding,
            prefixes: Arc::new(Prefixes::new(vec![PrefixPolicy::new(BLINDED), open]).unwrap()),
        }
    }

    /// Changes the blinded prefix's policy, as an operator does between two starts.
    pub fn compare_suffixes(&mut self, suffix_case: SuffixCase) {
        let policy = PrefixPolicy { suffix_case, ..PrefixPolicy::new(BLINDED) };
        self.prefixes = Arc::new(Prefixes::new(vec![policy]).unwrap());
    }

    pub fn reader(&self) -> Arc<dyn ReadStatement> {
        Arc::new(StatementReader { prefixes: Arc::clone(&self.prefixes) })
    }

    pub fn identifier(&self, text: &str) -> Identifier {
        self.prefixes.keyed(Identifier::parse(text).unwrap())
    }

    /// Signs a version of a record.
    pub fn version(&self, record: Record, effect: Effect, prev: Option<&LeafHash>) -> Version {
        let log = self.prefixes.responsible(&record.identifier).unwrap().log;
        let signer = Signer { key: &self.key, issuer: ISSUER, blinding: &self.blinding };
        let signed = signer.entry(&record, log, prev, None).unwrap();
        let statement = signed.statement.into_bytes();
        Version {
            leaf: leaf_hash(&statement),
            disclosures: signed.disclosures.into_bytes(),
            statement,
            record,
            effect,
            sid: signed.sid,
        }
    }

    /// The first version of a record.
    pub fn first(&self, identifier: &str, draft: Draft, now: Timestamp) -> Version {
        let record = Record::first(self.identifier(identifier), draft, now);
        self.version(record, Effect::Created, None)
    }

    /// The version after another; without a draft its tombstone.
    pub fn after(&self, before: &Version, draft: Option<Draft>, now: Timestamp) -> Version {
        let (record, effect) = match draft {
            Some(draft) => (before.record.next(draft, now), Effect::Updated),
            None => (before.record.tombstone(now), Effect::Deleted),
        };
        self.version(record, effect, Some(&before.leaf))
    }

    /// One statement a version, the newest first.
    pub fn erasure(&self, versions: &[Version], now: Timestamp) -> Proposal {
        let newest = &versions[versions.len() - 1];
        let statements = versions.iter().rev().enumerate().map(|(at, version)| {
            let statement = ErasureStatement {
                iat: now.as_seconds(),
                iss: ISSUER.to_owned(),
                sid: base64url(&version.sid),
                leaf: base64url(&version.leaf),
                last: at == 0,
            };
            propose(&self.key, FrameKind::Erasure, &statement, now, PRINCIPAL).unwrap()
        });
        Proposal::Erase { key: newest.record.identifier.key().clone(), statements: statements.collect() }
    }

    /// Any statement that the node signs.
    pub fn statement<T: serde::Serialize>(&self, kind: FrameKind, statement: &T) -> StatementProposal {
        propose(&self.key, kind, statement, Timestamp::now(), PRINCIPAL).unwrap()
    }
}

impl Version {
    pub fn key(&self) -> &CanonicalKey {
        self.record.identifier.key()
    }

    /// What must stand there for the version after this one.
    pub fn expect(&self) -> Expect {
        Expect::At { version: self.record.version, leaf: self.leaf }
    }

    pub fn propose(&self, expect: Expect, idempotency: Option<Idempotency>) -> Proposal {
        Proposal::Entry(EntryProposal {
            record: Arc::new(self.record.clone()),
            expect,
            sid: self.sid,
            leaf: leaf_hash(&self.statement),
            statement: self.statement.clone(),
            disclosures: self.disclosures.clone(),
            time: self.record.updated.as_seconds(),
            registered: self.record.registered.as_seconds(),
            effect: self.effect,
            principal: PRINCIPAL.to_owned(),
            idempotency,
            job: None,
            licences: 0,
        })
    }
}

/// An idempotency key of a request that hashes to its own name.
pub fn idempotency(key: &str) -> Idempotency {
    Idempotency { key: key.to_owned(), request: leaf_hash(key.as_bytes()) }
}

/// A draft with one value of so many bytes, and aliases under the OID 1.2.156.3088.
pub fn draft(text: &str, value_bytes: usize, aliases: &[u64], now: Timestamp) -> Draft {
    let filler: String = text.chars().cycle().take(value_bytes).collect();
    Draft {
        values: vec![
            Value::new(1, "URL", Data::Url("https://maker.example/p".to_owned()), now),
            Value::new(2000, "品名", Data::String(filler), now),
        ],
        aliases: aliases.iter().map(|number| alias(*number)).collect(),
        registrant: Some("测试企业".to_owned()),
        ..Draft::default()
    }
}

pub fn alias(number: u64) -> Alias {
    Alias::new(Scheme::Oid, &format!("1.2.156.3088.{number}")).unwrap()
}

fn base64url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// Listens to the store: what changed, how many groups, and why it gave up.
#[derive(Default)]
pub struct Ear {
    pub changed: Mutex<Vec<CanonicalKey>>,
    pub groups: Mutex<Vec<usize>>,
    pub fatal: Mutex<Vec<String>>,
}

impl Observer for Ear {
    fn changed(&self, name: &str) {
        self.changed.lock().push(CanonicalKey::from_stored(name));
    }
    fn committed(&self, commit: &Commit, _tail: Tail) {
        self.groups.lock().push(commit.frames);
    }
}

impl Fatal for Ear {
    fn failed(&self, cause: &str) {
        self.fatal.lock().push(cause.to_owned());
    }
}
