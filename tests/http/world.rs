//! A node in a temporary folder, and a client that talks to its HTTP surface without a socket.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use mingpai::codec::http::{Desk, Http, Readiness};
use mingpai::codec::resolution::ResolutionJson;
use mingpai::config::{Config, Layers};
use mingpai::node::{EndProcess, Node};
use mingpai::store::FolderLock;
use mingpai::store::journal::Location;
use serde_json::Value as Json;

use crate::conformance::{CONTRACT, Seen};

pub struct World {
    pub http: Http,
    pub node: Node,
    /// An administrator's key, got with the bootstrap token.
    pub key: String,
    folder: Arc<tempfile::TempDir>,
}

/// A store waits for its own threads when it stops, which no thread that runs a runtime may do.
impl Drop for World {
    fn drop(&mut self) {
        let publisher = self.node.publisher.take();
        let store = &self.node.services.store;
        let stop = move || {
            drop(publisher);
            store.stop();
        };
        std::thread::scope(|scope| scope.spawn(stop).join()).ok();
    }
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The problem's code, after checking that status and body agree.
    pub fn code(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        problem["code"].as_str().unwrap().to_owned()
    }
}

/// A request in the making.
pub struct Ask<'w> {
    world: &'w World,
    request: http::request::Builder,
    body: Body,
}

impl Ask<'_> {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub fn json(self, body: &Json) -> Self {
        self.typed("application/json", body.to_string())
    }

    pub fn typed(self, media_type: &str, body: impl Into<Body>) -> Self {
        let mut ask = self.header(CONTENT_TYPE.as_str(), media_type);
        ask.body = body.into();
        ask
    }

    /// A body of no type.
    pub fn bytes(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// With the administrator's key.
    pub fn signed(self) -> Self {
        let bearer = format!("Bearer {}", self.world.key);
        self.header(AUTHORIZATION.as_str(), &bearer)
    }

    /// As accept does: hot first, then the rest.
    pub async fn send(self) -> Answer {
        let request = self.request.body(self.body).unwrap();
        let asked = Asked::of(&request);
        let hot = self.world.http.hot(request.method(), request.uri(), request.headers());
        match hot {
            Some(response) => whole(&asked, response.map(Body::from)).await,
            None => whole(&asked, self.world.http.answer(request).await).await,
        }
    }

    /// Past the hot way.
    pub async fn send_slowly(self) -> Answer {
        let request = self.request.body(self.body).unwrap();
        let asked = Asked::of(&request);
        whole(&asked, self.world.http.answer(request).await).await
    }

    /// By the hot way, or not at all.
    pub async fn send_hot(self) -> Option<Answer> {
        let request = self.request.body(self.body).unwrap();
        let asked = Asked::of(&request);
        let hot = self.world.http.hot(request.method(), request.uri(), request.headers())?;
        Some(whole(&asked, hot.map(Body::from)).await)
    }
}

/// What an answer is held against.
struct Asked {
    method: Method,
    target: String,
}

impl Asked {
    fn of(request: &Request<Body>) -> Asked {
        Asked { method: request.method().clone(), target: request.uri().path().to_owned() }
    }
}

/// The whole answer, which must be as the document of the interface says.
async fn whole(asked: &Asked, response: Response<Body>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    let answer = Answer { status: parts.status, headers: parts.headers, body };
    let seen = Seen {
        method: asked.method.as_str(),
        target: &asked.target,
        status: answer.status.as_u16(),
        headers: &answer.headers,
        body: &answer.body,
    };
    assert_eq!(CONTRACT.complaint(&seen), None);
    answer
}

impl World {
    pub async fn new() -> World {
        World::with(&[]).await
    }

    /// A world with other settings than the usual ones.
    pub async fn with(settings: &[(&str, &str)]) -> World {
        World::ready(settings, Readiness::Ready).await
    }

    /// A world with a configuration file.
    pub async fn configured(file: &str) -> World {
        World::begun(file, &[], Readiness::Ready).await
    }

    pub async fn ready(settings: &[(&str, &str)], readiness: Readiness) -> World {
        World::begun("", settings, readiness).await
    }

    async fn begun(file: &str, settings: &[(&str, &str)], readiness: Readiness) -> World {
        let mut world = World::on(Arc::new(tempfile::tempdir().unwrap()), file, settings, readiness).await;
        let token = world.bootstrap_token();
        let made = world.ask(Method::POST, "/v1/keys").header("authorization", &format!("Bearer {token}")).send().await;
        assert_eq!(made.status, 201, "{}", made.text());
        world.key = made.json()["key"].as_str().unwrap().to_owned();
        world
    }

    /// The same node started anew, with another configuration file perhaps. Its rows are made from the journal.
    pub async fn restarted(self, file: &str) -> World {
        let (folder, key) = (Arc::clone(&self.folder), self.key.clone());
        let services = Arc::downgrade(&self.node.services);
        drop(self);
        // A job's thread may not have let go of them yet; and who lets go last may still be closing the store.
        let started = Instant::now();
        while services.strong_count() > 0 || FolderLock::take(folder.path()).is_err() {
            assert!(started.elapsed() < Duration::from_secs(60), "the node does not end");
            std::thread::yield_now();
        }
        let mut world = World::on(folder, file, &[], Readiness::Ready).await;
        world.key = key;
        world
    }

    async fn on(folder: Arc<tempfile::TempDir>, file: &str, settings: &[(&str, &str)], readiness: Readiness) -> World {
        let data = folder.path().to_string_lossy().into_owned();
        let mut flags: Vec<(String, String)> = [("node.dev", "true"), ("node.data", &data), ("store.engine", "memory")]
            .iter()
            .chain(settings)
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        flags.dedup_by(|later, earlier| later.0 == earlier.0);
        let config = Config::load(&Layers {
            file: Some((PathBuf::from("test.toml"), file.to_owned())),
            flags,
            ..Layers::default()
        })
        .unwrap();
        let node = Node::open(&config, Arc::new(ResolutionJson), Arc::new(EndProcess)).await.unwrap();
        let (never, started) = (node.services.identifier("88.999.1/never-there").unwrap(), Instant::now());
        while !node.services.store.lacks(never.key()) {
            assert!(started.elapsed() < Duration::from_secs(60), "the filter of names is never whole");
            std::thread::yield_now();
        }
        let http = Http::new(Desk {
            proposing: Default::default(),
            document: Default::default(),
            services: Arc::clone(&node.services),
            metrics: Arc::clone(&node.metrics),
            limits: config.limits.clone(),
            traces: node.traces.clone(),
            readiness: Box::new(move || readiness),
        });
        World { http, node, key: String::new(), folder }
    }

    /// The node's data folder.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub fn bootstrap_token(&self) -> String {
        let path = self.node.services.put_bootstrap_out(self.folder.path()).unwrap().expect("nobody has a key yet");
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    }

    /// Flips a bit of what the journal discloses of a record; done again, it mends it.
    pub fn rot(&self, identifier: &str) {
        let services = &self.node.services;
        let key = services.identifier(identifier).unwrap();
        self.rot_at(services.store.row(key.key()).unwrap().unwrap().location);
    }

    pub fn rot_at(&self, place: Location) {
        self.rot_file(&format!("journal/{:010}.journal", place.segment), u64::from(place.offset + place.length) - 5);
    }

    /// The folder of the node's keys.
    pub fn keys(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    /// Flips a bit of a file of the data folder; done again, it mends it.
    pub fn rot_file(&self, name: &str, at: u64) {
        use std::os::unix::fs::FileExt;
        let file = std::fs::OpenOptions::new().read(true).write(true).open(self.folder.path().join(name)).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    }

    pub fn ask(&self, method: Method, target: &str) -> Ask<'_> {
        Ask { world: self, request: Request::builder().method(method).uri(target), body: Body::empty() }
    }

    pub fn get(&self, target: &str) -> Ask<'_> {
        self.ask(Method::GET, target)
    }

    /// Registers a record, or panics.
    pub async fn register(&self, identifier: &str, draft: &Json) -> Answer {
        let target = format!("/v1/records/{identifier}");
        let done = self.ask(Method::PUT, &target).signed().json(draft).send().await;
        assert_eq!(done.status, 201, "{}", done.text());
        done
    }

    /// Changes whatever stands there.
    pub async fn change(&self, method: Method, identifier: &str, body: &Json) -> Answer {
        let target = format!("/v1/records/{identifier}");
        let done = self.ask(method, &target).signed().header("if-match", "*").json(body).send().await;
        assert_eq!(done.status, 200, "{}", done.text());
        done
    }
}

/// A draft with one public value.
pub fn part(name: &str) -> Json {
    serde_json::json!({"values": [{"index": 2000, "type": "名称", "data": name}]})
}
