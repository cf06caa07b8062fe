//! A log in memory: its entries, the key that signs its heads, and the parts that it shows, each of which a test may change.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mingpai::model::draft::Draft;
use mingpai::model::identifier::Identifier;
use mingpai::model::prefix::LogMode;
use mingpai::model::record::Record;
use mingpai::model::text::Text;
use mingpai::model::time::Timestamp;
use mingpai::services::follow::source::Fetched;
use mingpai::services::follow::{Source, SourceError};
use mingpai::services::log::LogSigner;
use mingpai::sign::blinding::Blinding;
use mingpai::sign::entry::{Entry, Signer};
use mingpai::sign::jws::{KEYS_TYPE, sign};
use mingpai::sign::keys::{KeyFolder, KeyUse, SigningKey};
use mingpai::store::trees::{Heads, Tree};
use mingpai::tlog::frontier::Frontier;
use mingpai::tlog::hash::{Head, leaf_hash};
use mingpai::tlog::layout::ReadHashes;
use mingpai::tlog::memory::Hashes;
use mingpai::tlog::policy::{Log as TrustedLog, Policy};
use mingpai::tlog::tile::{Content, TILE_WIDTH, Tile, put_entry};
use serde_json::json;

pub const ISSUER: &str = "urn:test:log";
pub const PREFIX: &str = "88.999.1";

/// Who signs: a head's key, an entry's key, a key that the log never authorised, and the secret that blinds names.
pub struct Signers {
    pub head: LogSigner,
    pub entry: SigningKey,
    pub stranger: SigningKey,
    pub blinding: Blinding,
}

impl Signers {
    pub fn new() -> Signers {
        let folder = tempfile::tempdir().unwrap();
        let mut keys = KeyFolder::open(folder.path(), 1).unwrap();
        let mut strangers = KeyFolder::open(&folder.path().join("strangers"), 1).unwrap();
        let secret = *keys.secret();
        Signers {
            head: LogSigner::new(keys.take_all(KeyUse::Checkpoint), ISSUER).unwrap(),
            entry: keys.take_all(KeyUse::Entry).pop().unwrap(),
            stranger: strangers.take_all(KeyUse::Entry).pop().unwrap(),
            blinding: Blinding::new(secret),
        }
    }

    pub fn policy(&self) -> Policy {
        let key = self.head.verifiers(Tree::Registry)[0].clone();
        Policy::of(vec![TrustedLog { key, url: None }], Vec::new(), 0).unwrap()
    }

    pub fn vkey(&self) -> String {
        self.head.verifiers(Tree::Registry)[0].to_string()
    }

    /// The log's first statement.
    pub fn genesis(&self) -> Vec<u8> {
        let statement = json!({"iat": 1_790_000_000, "iss": ISSUER, "key": self.entry.public()});
        sign(&self.entry, KEYS_TYPE, statement.to_string().as_bytes()).into_bytes()
    }

    /// A version of a record, blinded by some secret, signed by some key.
    pub fn entry(&self, name: &str, version: u64, prev: Option<&[u8]>, key: &SigningKey, blinding: &Blinding) -> Entry {
        let now = Timestamp::from_seconds(1_790_000_000 + i64::try_from(version).unwrap()).unwrap();
        let draft = json!({"values": [{"index": 1, "type": "名称", "data": format!("{name} {version}")}]});
        let draft = Draft::from_json(&draft, now).unwrap();
        let mut record = Record::first(Identifier::parse(name).unwrap(), draft, now);
        record.version = version;
        let prev = prev.map(leaf_hash);
        Signer { key, issuer: ISSUER, blinding }.entry(&record, LogMode::Blinded, prev.as_ref(), None).unwrap()
    }

    /// A log of so many names, each with two versions, the second ones after all first ones.
    pub fn two_versions_each(&self, names: usize) -> Vec<Vec<u8>> {
        let mut entries = vec![self.genesis()];
        for version in 1..=2 {
            for at in 0..names {
                let prev = (version == 2).then(|| entries[1 + at].clone());
                let entry = self.entry(&name(at), version, prev.as_deref(), &self.entry, &self.blinding);
                entries.push(entry.statement.into_bytes());
            }
        }
        entries
    }
}

pub fn name(at: usize) -> String {
    format!("{PREFIX}/W-{at}")
}

/// What a partner was given.
pub fn bundle(entry: &Entry) -> String {
    json!({"entry": format!("{}~{}~", entry.statement, entry.disclosures)}).to_string()
}

pub fn head_of(entries: &[Vec<u8>]) -> Head {
    let mut frontier = Frontier::default();
    entries.iter().for_each(|entry| frontier.push(leaf_hash(entry)));
    frontier.head()
}

/// Everything that a log of these entries shows, by its path.
pub fn parts(signer: &LogSigner, entries: &[Vec<u8>]) -> HashMap<String, Bytes> {
    parts_of(signer, entries, Tree::Registry)
}

/// The same with the tree of its audit events beside.
pub fn parts_of_both(signer: &LogSigner, entries: &[Vec<u8>], events: &[Vec<u8>]) -> HashMap<String, Bytes> {
    let audit = parts_of(signer, events, Tree::Audit).into_iter().map(|(path, part)| (format!("audit/{path}"), part));
    parts(signer, entries).into_iter().chain(audit).collect()
}

fn parts_of(signer: &LogSigner, entries: &[Vec<u8>], tree: Tree) -> HashMap<String, Bytes> {
    let (mut frontier, mut hashes) = (Frontier::default(), Hashes::default());
    for entry in entries {
        frontier.push_all(leaf_hash(entry), |hash| hashes.0.push(*hash));
    }
    let head = frontier.head();
    let mut parts = HashMap::new();
    parts.insert("checkpoint".to_owned(), checkpoint_of(signer, head, tree));
    let vkey = format!("{}\n", signer.verifiers(tree)[0]);
    parts.insert("vkey".to_owned(), vkey.into());
    for content in (0..8).map(Content::Hashes).chain([Content::Entries]) {
        let (full, partial) = Tile::of_size(content, head.size);
        for tile in (0..full).map(|number| Tile { content, number, width: TILE_WIDTH }).chain(partial) {
            let mut bytes = Vec::new();
            if content == Content::Entries {
                let first = usize::try_from(tile.number * TILE_WIDTH).unwrap();
                let last = first + usize::try_from(tile.width).unwrap();
                entries[first..last].iter().for_each(|entry| put_entry(&mut bytes, entry).unwrap());
            } else {
                tile.nodes().for_each(|node| bytes.extend(hashes.hash(node).unwrap()));
            }
            parts.insert(format!("tile/{}", tile.path()), bytes.into());
        }
    }
    parts
}

pub fn checkpoint(signer: &LogSigner, head: Head) -> Bytes {
    checkpoint_of(signer, head, Tree::Registry)
}

fn checkpoint_of(signer: &LogSigner, head: Head, tree: Tree) -> Bytes {
    let published = signer.publish(Heads { registry: head, audit: head }).unwrap();
    Bytes::from(published.checkpoint(tree).to_owned())
}

/// Parts as they are shown, and what goes wrong on the way.
#[derive(Default)]
pub struct Shelf {
    pub parts: Mutex<HashMap<String, Bytes>>,
    /// So many questions are not answered before one is.
    pub failing: Mutex<usize>,
    /// This part is not answered at all.
    pub busy: Mutex<Option<String>>,
    pub asked: Mutex<Vec<String>>,
    /// So many heads are asked for and answered with this one, before those of the log are.
    pub strange: Mutex<(usize, Bytes)>,
    /// That the server of it took.
    pub connections: Mutex<usize>,
}

impl Shelf {
    pub fn of(parts: HashMap<String, Bytes>) -> Arc<Shelf> {
        Arc::new(Shelf { parts: Mutex::new(parts), ..Shelf::default() })
    }

    pub fn show(&self, parts: HashMap<String, Bytes>) {
        *self.parts.lock().unwrap() = parts;
    }

    /// Changes the bytes of a part.
    pub fn change(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut parts = self.parts.lock().unwrap();
        let mut bytes = parts.get(path).unwrap_or_else(|| panic!("no {path}")).to_vec();
        change(&mut bytes);
        parts.insert(path.to_owned(), bytes.into());
    }

    pub fn remove(&self, path: &str) -> Bytes {
        self.parts.lock().unwrap().remove(path).unwrap_or_else(|| panic!("no {path}"))
    }

    fn read(&self, path: &str) -> Result<Bytes, SourceError> {
        self.asked.lock().unwrap().push(path.to_owned());
        let is_busy = self.busy.lock().unwrap().as_deref() == Some(path);
        let mut failing = self.failing.lock().unwrap();
        if is_busy {
            return Err(SourceError::Passing { cause: Text::new("忙", "busy"), retry_after: None });
        }
        if *failing > 0 {
            *failing -= 1;
            return Err(SourceError::Passing { cause: Text::new("忙", "busy"), retry_after: None });
        }
        let mut strange = self.strange.lock().unwrap();
        if path == "checkpoint" && strange.0 > 0 {
            strange.0 -= 1;
            return Ok(strange.1.clone());
        }
        self.parts.lock().unwrap().get(path).cloned().ok_or(SourceError::Absent)
    }
}

impl Source for Shelf {
    fn fetch<'a>(&'a self, path: &'a str, _limit_bytes: usize) -> Fetched<'a> {
        Box::pin(async move { self.read(path) })
    }
}

/// Serves a shelf on a free port of loopback, below /log, and what its paths do not have there (`v1/…`) beside; its address.
pub fn serve(shelf: &Arc<Shelf>) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let shelf = Arc::clone(shelf);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let shelf = Arc::clone(&shelf);
                *shelf.connections.lock().unwrap() += 1;
                let service = service_fn(move |request| answer(request, Arc::clone(&shelf)));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service),
                );
            }
        });
    });
    format!("http://{address}")
}

async fn answer(request: Request<Incoming>, shelf: Arc<Shelf>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path_and_query().map_or("", |path| path.as_str());
    let path = path.strip_prefix("/log/").unwrap_or(path.trim_start_matches('/')).to_owned();
    let (status, body) = match shelf.read(&path) {
        Ok(bytes) => (StatusCode::OK, bytes),
        Err(SourceError::Absent) => (StatusCode::NOT_FOUND, Bytes::new()),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, Bytes::new()),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    Ok(response)
}
