//! Requests that are signed themselves (RFC 9421), by a client that makes the bytes under the signature on its own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ed25519_dalek::{Signer, SigningKey};
use futures_util::{StreamExt, stream};
use http::Method;
use ring::digest::{SHA256, SHA512, digest};
use serde_json::{Value as Json, json};

use crate::filing::{PDF, form};
use crate::signing_in::{Holder, jwk};
use crate::world::{Answer, World, part};

const HOST: &str = "node.example";

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// A world that has been up for a second: what it takes is signed up to five seconds ahead, and it takes nothing that was signed
/// within five seconds of its start.
async fn world() -> World {
    let world = World::new().await;
    is_up().await;
    world
}

async fn is_up() {
    tokio::time::sleep(Duration::from_millis(1_100)).await;
}

fn sha256(bytes: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(digest(&SHA256, bytes)))
}

/// A request as its signer means it.
#[derive(Clone)]
struct Form {
    method: Method,
    target: String,
    authority: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    covered: Vec<String>,
    created: i64,
    /// `;nonce="…";keyid="…";tag="…"` and what else is wanted.
    parameters: Vec<(String, String)>,
}

impl Form {
    fn new(world: &World, key: &str, method: Method, target: &str) -> Form {
        let mut covered: Vec<String> = ["@method", "@authority", "@path"].map(str::to_owned).into();
        if target.contains('?') {
            covered.push("@query".to_owned());
        }
        let nonce: u128 = rand();
        let form = Form {
            method,
            target: target.to_owned(),
            authority: HOST.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            covered,
            created: now() + 5,
            parameters: Vec::new(),
        };
        let tag = world.node.services.request_tag().unwrap();
        form.with("nonce", &format!("\"{nonce:x}\""))
            .with("keyid", &format!("\"{key}\""))
            .with("tag", &format!("\"{tag}\""))
    }

    /// A parameter as it is written, in place of the one of before.
    fn with(mut self, name: &str, value: &str) -> Form {
        self.parameters.retain(|(known, _)| known != name);
        self.parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    fn without(mut self, name: &str) -> Form {
        self.parameters.retain(|(known, _)| known != name);
        self.covered.retain(|known| known != name);
        self
    }

    /// A header that is covered.
    fn header(mut self, name: &str, value: &str) -> Form {
        self.headers.push((name.to_owned(), value.to_owned()));
        self.covered.push(name.to_owned());
        self
    }

    fn body(self, media_type: &str, body: impl Into<Vec<u8>>) -> Form {
        let body = body.into();
        let mut form = self.header("content-type", media_type).header("content-digest", &sha256(&body));
        form.body = body;
        form
    }

    fn json(self, body: &Json) -> Form {
        self.body("application/json", body.to_string())
    }

    fn input(&self) -> String {
        let covered: Vec<String> = self.covered.iter().map(|name| format!("\"{name}\"")).collect();
        let parameters: Vec<String> = self.parameters.iter().map(|(name, value)| format!(";{name}={value}")).collect();
        format!("({});created={}{}", covered.join(" "), self.created, parameters.concat())
    }

    fn base(&self) -> String {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let line = |name: &String| {
            let value = match name.as_str() {
                "@method" => self.method.to_string(),
                "@authority" => self.authority.clone(),
                "@path" => path.to_owned(),
                "@query" => format!("?{query}"),
                name => self.headers.iter().find(|(known, _)| known == name).unwrap().1.clone(),
            };
            format!("\"{name}\": {value}\n")
        };
        let lines: String = self.covered.iter().map(line).collect();
        format!("{lines}\"@signature-params\": {}", self.input())
    }

    /// The two headers.
    fn signed(&self, key: &SigningKey) -> Signed {
        let signature = STANDARD.encode(key.sign(self.base().as_bytes()).to_bytes());
        Signed { input: format!("sig={}", self.input()), signature: format!("sig=:{signature}:") }
    }

    async fn send(&self, world: &World, signed: &Signed) -> Answer {
        self.send_body(world, signed, Body::from(self.body.clone())).await
    }

    async fn send_body(&self, world: &World, signed: &Signed, body: Body) -> Answer {
        let mut ask = world.ask(self.method.clone(), &self.target).header("host", &self.authority);
        for (name, value) in self.headers.iter().filter(|(name, _)| name != "content-type") {
            ask = ask.header(name, value);
        }
        ask = ask.header("signature-input", &signed.input).header("signature", &signed.signature);
        match self.headers.iter().find(|(name, _)| name == "content-type") {
            Some((_, media_type)) => ask.typed(media_type, body).send().await,
            None => ask.bytes(body).send().await,
        }
    }

    async fn by(&self, world: &World, holder: &Holder) -> Answer {
        self.send(world, &self.signed(&holder.key)).await
    }
}

#[derive(Clone)]
struct Signed {
    input: String,
    signature: String,
}

fn rand() -> u128 {
    let mut bytes = [0; 16];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes).unwrap();
    u128::from_le_bytes(bytes)
}

fn told(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.code())
}

/// Refused for its form, with a sentence that holds these words.
fn assert_unusable(answer: &Answer, words: &str) {
    assert_eq!(told(answer), (401, "signature_unusable".to_owned()), "{words}");
    let text = answer.text();
    assert!(text.contains(words), "{words}: {text}");
}

fn put(world: &World, holder: &Holder, name: &str) -> Form {
    Form::new(world, &holder.id, Method::PUT, &format!("/v1/records/{name}")).json(&part("一"))
}

#[tokio::test]
async fn who_signs_a_request_may_what_the_key_may() {
    let world = world().await;
    let holder = Holder::new(&world, 40, "registrar", &["88.999.1"]).await;
    let made = put(&world, &holder, "88.999.1/s").by(&world, &holder).await;
    assert_eq!((made.status.as_u16(), made.header("cache-control")), (201, "no-store"), "{}", made.text());
    let history = world.get("/v1/history/88.999.1/s").signed().send().await.json();
    assert_eq!(history["versions"][0]["principal"], format!("key:{}", holder.id));
    let refused = put(&world, &holder, "88.999/s").by(&world, &holder).await;
    assert_eq!(told(&refused), (403, "forbidden".to_owned()), "out of its reach");
    let refused = Form::new(&world, &holder.id, Method::GET, "/v1/audit").by(&world, &holder).await;
    assert_eq!(told(&refused), (403, "forbidden".to_owned()), "not its role's");
    let listed = Form::new(&world, &holder.id, Method::GET, "/v1/records?prefix=88.999.1&limit=5");
    assert_eq!(listed.by(&world, &holder).await.json()["records"].as_array().unwrap().len(), 1);
    let current = Form::new(&world, &holder.id, Method::GET, "/v1/sessions/current").by(&world, &holder).await.json();
    assert_eq!((current.get("id"), &current["role"]), (None, &json!("registrar")));
    let changed = Form::new(&world, &holder.id, Method::DELETE, "/v1/records/88.999.1/s").header("if-match", "\"1\"");
    assert_eq!(changed.by(&world, &holder).await.status, 200);
    let key = world.get(&format!("/v1/keys/{}", holder.id)).signed().send().await.json();
    assert!(key["last_used"].is_string(), "{key}");
}

/// What memory has an answer to for everybody goes the long way when it is signed, and no cache may keep what its signer is told.
#[tokio::test]
async fn a_signed_resolution_is_its_signers_own() {
    let world = world().await;
    let holder = Holder::new(&world, 41, "registrar", &["88.999.1"]).await;
    let hidden = json!({"values": [{"index": 1, "type": "成本", "data": "SECRET", "visibility": "owner"}]});
    world.register("88.999.1/h", &hidden).await;
    let target = "/v1/resolve/88.999.1/h";
    assert!(world.get(target).send_slowly().await.text().contains("\"values\":[]"));
    assert!(world.get(target).send_hot().await.is_some(), "memory has it");
    let form = Form::new(&world, &holder.id, Method::GET, target);
    let answer = form.by(&world, &holder).await;
    assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, "no-store"), "{}", answer.text());
    let whole = Form::new(&world, &holder.id, Method::GET, "/v1/records/88.999.1/h").by(&world, &holder).await;
    assert!(whole.text().contains("SECRET"), "{}", whole.text());
    let keys = "/.well-known/jwks.json";
    assert!(world.get(keys).send().await.header("cache-control").starts_with("public"));
    let own = Form::new(&world, &holder.id, Method::GET, keys).by(&world, &holder).await;
    assert_eq!((own.status.as_u16(), own.header("cache-control")), (200, "no-store"));
    for name in ["signature", "signature-input"] {
        assert!(world.get(target).header(name, "a").send_hot().await.is_none(), "{name}");
        assert_unusable(&world.get(target).header(name, "a").send().await, "");
    }
    let open = world.get("/v1/records/88.999.1/h").send().await;
    assert!(!open.text().contains("SECRET"));
    assert!(Form::new(&world, &holder.id, Method::HEAD, target).by(&world, &holder).await.status == 200);
}

#[tokio::test]
async fn a_signature_is_good_once_and_in_its_time() {
    let world = world().await;
    let holder = Holder::new(&world, 42, "auditor", &[]).await;
    let other = Holder::new(&world, 43, "auditor", &[]).await;
    // So that a second earlier is not too early, either.
    is_up().await;
    let form = Form::new(&world, &holder.id, Method::GET, "/v1/sessions/current");
    let signed = form.signed(&holder.key);
    let tries = (0..8).map(|_| form.send(&world, &signed));
    let answers = futures_util::future::join_all(tries).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_unusable(&form.send(&world, &signed).await, "nonce");
    let mut later = form.clone();
    later.created -= 1;
    assert_unusable(&later.by(&world, &holder).await, "nonce");
    // The nonce is one key's own.
    let others = form.clone().with("keyid", &format!("\"{}\"", other.id));
    assert_eq!(others.by(&world, &other).await.status, 200);
    let at = |created: i64| {
        let mut form = Form::new(&world, &holder.id, Method::GET, "/v1/sessions/current");
        form.created = created;
        form
    };
    assert_unusable(&at(now() - 302).by(&world, &holder).await, "300");
    assert_unusable(&at(now() + 9).by(&world, &holder).await, "时钟");
    assert_unusable(&at(now() - 100).by(&world, &holder).await, "启动");
    assert_unusable(&at(now() + 5).with("expires", &now().to_string()).by(&world, &holder).await, "expires");
    assert_eq!(at(now() + 5).with("expires", &(now() + 9).to_string()).by(&world, &holder).await.status, 200);
    for name in ["nonce", "keyid", "tag"] {
        let form = Form::new(&world, &holder.id, Method::GET, "/v1/sessions/current").without(name);
        assert_unusable(&form.by(&world, &holder).await, name);
    }
}

#[tokio::test]
async fn a_restart_lets_nothing_in_twice() {
    let world = world().await;
    let holder = Holder::new(&world, 44, "auditor", &[]).await;
    // Also what was signed ahead of the clock.
    let form = Form::new(&world, &holder.id, Method::GET, "/v1/sessions/current");
    let signed = form.signed(&holder.key);
    assert_eq!(form.send(&world, &signed).await.status, 200);
    let world = world.restarted("").await;
    assert_unusable(&form.send(&world, &signed).await, "启动");
    is_up().await;
    assert_unusable(&form.send(&world, &signed).await, "启动");
    let again = Form::new(&world, &holder.id, Method::GET, "/v1/sessions/current");
    assert_eq!(again.by(&world, &holder).await.status, 200);
}

/// Each part of a request, altered after it was signed.
#[tokio::test]
async fn what_was_altered_on_its_way_is_not_what_was_signed() {
    let world = world().await;
    let holder = Holder::new(&world, 45, "registrar", &["88.999.1"]).await;
    let record = |name: &str| {
        Form::new(&world, &holder.id, Method::PATCH, &format!("/v1/records/{name}?fields=a"))
            .header("if-match", "\"1\"")
            .header("idempotency-key", "k")
            .json(&json!({"status": "recalled"}))
    };
    let form = record("88.999.1/a");
    let signed = form.signed(&holder.key);
    type Alter = fn(&mut Form);
    let alterations: [(&str, Alter); 9] = [
        ("method", |form| form.method = Method::PUT),
        ("path", |form| form.target = form.target.replace("/a?", "/b?")),
        ("its encoding", |form| form.target = form.target.replace("88.999.1/a", "88.999.1%2Fa")),
        ("query", |form| form.target = form.target.replace("=a", "=b")),
        ("more query", |form| form.target.push_str("&b=c")),
        ("authority", |form| form.authority = "other.example".to_owned()),
        ("precondition", |form| form.headers[0].1 = "\"2\"".to_owned()),
        ("idempotency key", |form| form.headers[1].1 = "l".to_owned()),
        ("media type", |form| form.headers[2].1 = "application/merge-patch+json".to_owned()),
    ];
    for (what, alter) in alterations {
        let mut altered = form.clone();
        alter(&mut altered);
        assert_eq!(told(&altered.send(&world, &signed).await), (401, "bad_credentials".to_owned()), "{what}");
    }
    let mut altered = form.clone();
    altered.target = altered.target.replace("?fields=a", "");
    assert_eq!(told(&altered.send(&world, &signed).await), (401, "bad_credentials".to_owned()), "without its query");
    // Neither what was added nor what was taken away.
    let mut less = form.clone();
    less.headers.remove(0);
    assert_unusable(&less.send(&world, &signed).await, "if-match");
    for (name, value) in [("if-none-match", "*"), ("content-encoding", "gzip"), ("upload-complete", "?0")] {
        let mut more = form.clone();
        more.headers.push((name.to_owned(), value.to_owned()));
        assert_unusable(&more.send(&world, &signed).await, name);
    }
    for name in
        ["@method", "@authority", "@path", "@query", "if-match", "idempotency-key", "content-type", "content-digest"]
    {
        let less = record("88.999.1/a").without(name);
        assert_unusable(&less.by(&world, &holder).await, name);
    }
}

#[tokio::test]
async fn the_body_must_be_the_one_that_was_signed() {
    let world = world().await;
    let holder = Holder::new(&world, 46, "administrator", &[]).await;
    let form = put(&world, &holder, "88.999.1/b");
    let mut altered = form.clone();
    altered.body = part("二").to_string().into_bytes();
    let answer = altered.by(&world, &holder).await;
    assert_eq!(told(&answer), (400, "digest_mismatch".to_owned()));
    assert_eq!(world.get("/v1/resolve/88.999.1/b").send().await.status, 404);
    // Cut short, in pieces, longer, or none.
    let pieces = |texts: &[&str]| {
        let pieces: Vec<Result<Bytes, std::io::Error>> =
            texts.iter().map(|text| Ok(Bytes::from((*text).to_owned()))).collect();
        Body::from_stream(stream::iter(pieces))
    };
    let text = part("一").to_string();
    for parts in [vec![&text[..9]], vec![&text[..], " "], vec![&text[..], &text[..]], vec![]] {
        let form = put(&world, &holder, "88.999.1/b");
        let answer = form.send_body(&world, &form.signed(&holder.key), pieces(&parts)).await;
        assert_eq!(told(&answer), (400, "digest_mismatch".to_owned()), "{parts:?}");
    }
    let form = put(&world, &holder, "88.999.1/b");
    let answer = form.send_body(&world, &form.signed(&holder.key), Body::empty()).await;
    assert_eq!(told(&answer), (400, "digest_mismatch".to_owned()), "no body at all");
    assert_eq!(world.get("/v1/resolve/88.999.1/b").send().await.status, 404);
    let form = put(&world, &holder, "88.999.1/b");
    let whole = pieces(&[&text[..9], &text[9..]]);
    assert_eq!(form.send_body(&world, &form.signed(&holder.key), whole).await.status, 201);
    // By the other algorithm, or by both, of which each must be right.
    let both = |text: &str, other: &str| {
        let sha512 = format!("sha-512=:{}:", STANDARD.encode(digest(&SHA512, other.as_bytes())));
        (sha512.clone(), format!("{}, {sha512}", sha256(text.as_bytes())))
    };
    let (alone, together) = both(&text, &text);
    for (name, digest, status) in [
        ("c", alone, 201),
        ("d", together, 201),
        ("e", both(&text, "other").1, 400),
        ("e", both("other", &text).1, 400),
    ] {
        let mut form = put(&world, &holder, &format!("88.999.1/{name}"));
        form.headers[1].1 = digest;
        assert_eq!(form.by(&world, &holder).await.status, status, "{name}");
    }
    // What no handler reads must be right, too.
    let target = "/v1/records/88.999.1/c";
    let mut form = Form::new(&world, &holder.id, Method::DELETE, target).header("if-match", "*").json(&json!({}));
    form.body = b"other".to_vec();
    assert_eq!(told(&form.by(&world, &holder).await), (400, "digest_mismatch".to_owned()));
    let mut form = Form::new(&world, &holder.id, Method::DELETE, target).header("if-match", "*");
    form.body = b"unsigned".to_vec();
    assert_unusable(&form.by(&world, &holder).await, "content-digest");
    assert_eq!(world.get("/v1/resolve/88.999.1/c").send().await.status, 200);
    let mut made = Form::new(&world, &holder.id, Method::POST, "/v1/keys").json(&json!({"role": "auditor"}));
    assert_eq!(made.by(&world, &holder).await.status, 201);
    made = made.with("nonce", "\"another\"");
    made.body = json!({"role": "administrator"}).to_string().into_bytes();
    assert_eq!(told(&made.by(&world, &holder).await), (400, "digest_mismatch".to_owned()));
}

/// Whatever is wrong with who signed is one answer.
#[tokio::test]
async fn what_its_key_did_not_sign_opens_nothing() {
    let world = world().await;
    let holder = Holder::new(&world, 47, "registrar", &["88.999.1"]).await;
    let other = Holder::new(&world, 48, "administrator", &[]).await;
    let revoked = Holder::new(&world, 49, "administrator", &[]).await;
    let gone = world.ask(Method::DELETE, &format!("/v1/keys/{}", revoked.id)).signed().send().await;
    assert_eq!(gone.status, 204);
    let soon = jiff::Timestamp::from_second(now() + 2).unwrap().to_string();
    let key = SigningKey::from_bytes(&[50; 32]);
    let body = json!({"role": "auditor", "expires": soon, "public_key": jwk(key.verifying_key().as_bytes())});
    let made = world.ask(Method::POST, "/v1/keys").signed().json(&body).send().await;
    assert_eq!(made.status, 201, "{}", made.text());
    let ended = Holder { key, id: made.json()["id"].as_str().unwrap().to_owned() };
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let secret = world.key.split('_').nth(1).unwrap().to_owned();
    let asks = |id: &str| Form::new(&world, id, Method::GET, "/v1/sessions/current");
    let usual = asks("bbbbbbbbbbbb");
    let mut expected = usual.by(&world, &holder).await.json();
    expected["request_id"] = json!("");
    let nobody = SigningKey::from_bytes(&nobodys_seed());
    let bent = {
        let form = asks(&holder.id);
        let mut signed = form.signed(&holder.key);
        let at = signed.signature.len() - 20;
        let other = if &signed.signature[at..=at] == "A" { "B" } else { "A" };
        signed.signature.replace_range(at..=at, other);
        form.send(&world, &signed).await
    };
    let spliced = {
        let form = asks(&holder.id);
        let Signed { signature, .. } = asks(&other.id).signed(&other.key);
        form.send(&world, &Signed { signature, ..form.signed(&holder.key) }).await
    };
    // With the public key as the secret of a MAC.
    let mac = {
        let form = asks(&holder.id);
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA512, holder.key.verifying_key().as_bytes());
        let tag = STANDARD.encode(ring::hmac::sign(&key, form.base().as_bytes()));
        form.send(&world, &Signed { signature: format!("sig=:{tag}:"), ..form.signed(&holder.key) }).await
    };
    for (what, answer) in [
        ("another's signature under one's own name", asks(&holder.id).by(&world, &other).await),
        ("one's own under another's", asks(&other.id).by(&world, &holder).await),
        ("an unknown key", asks("aaaaaaaaaaaa").by(&world, &holder).await),
        ("a key with a secret", asks(&secret).by(&world, &holder).await),
        ("a revoked key", asks(&revoked.id).by(&world, &revoked).await),
        ("a key that has ended", asks(&ended.id).by(&world, &ended).await),
        (
            "a key of nobody for an unknown one",
            asks("aaaaaaaaaaaa").send(&world, &asks("aaaaaaaaaaaa").signed(&nobody)).await,
        ),
        ("a key of nobody for a secret's", {
            let form = asks(&secret);
            form.send(&world, &form.signed(&nobody)).await
        }),
        ("a key of nobody for another's", {
            let form = asks(&holder.id);
            form.send(&world, &form.signed(&nobody)).await
        }),
        ("a bent signature", bent),
        ("another request's signature", spliced),
        ("a MAC", mac),
    ] {
        assert_eq!(told(&answer), (401, "bad_credentials".to_owned()), "{what}");
        assert!(answer.header("accept-signature").contains("tag=\"mingpai-request:"), "{what}");
        let mut body = answer.json();
        body["request_id"] = json!("");
        assert_eq!(body, expected, "{what}");
    }
    for alg in ["hmac-sha256", "rsa-pss-sha512", "rsa-v1_5-sha256", "ecdsa-p256-sha256", "EdDSA", "none"] {
        assert_unusable(&asks(&holder.id).with("alg", &format!("\"{alg}\"")).by(&world, &holder).await, "alg");
    }
    assert_eq!(asks(&holder.id).with("alg", "\"ed25519\"").by(&world, &holder).await.status, 200);
    // What was made for another node, or for another protocol.
    for tag in ["mingpai-request:urn:mingpai:other", "mingpai-request:", "", "web-bot-auth"] {
        assert_unusable(&asks(&holder.id).with("tag", &format!("\"{tag}\"")).by(&world, &holder).await, "tag");
    }
}

/// The seed of RFC 8032, section 7.1, test 1, whose key stands in for unknown ones.
fn nobodys_seed() -> [u8; 32] {
    let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    std::array::from_fn(|at| u8::from_str_radix(&seed[at * 2..at * 2 + 2], 16).unwrap())
}

#[tokio::test]
async fn two_credentials_or_two_signatures_are_none() {
    let world = world().await;
    let holder = Holder::new(&world, 51, "administrator", &[]).await;
    let asks = || Form::new(&world, &holder.id, Method::GET, "/v1/keys");
    let ask = |form: &Form, signed: &Signed| {
        let ask = world.get(&form.target).header("host", HOST);
        ask.header("signature-input", &signed.input).header("signature", &signed.signature)
    };
    let form = asks();
    let signed = form.signed(&holder.key);
    for authorization in [format!("Bearer {}", world.key), "Bearer".to_owned(), "Basic YTpi".to_owned(), String::new()]
    {
        let answer = ask(&form, &signed).header("authorization", &authorization).send().await;
        assert_eq!(told(&answer), (401, "bad_credentials".to_owned()), "{authorization}");
    }
    for (name, value) in [("signature-input", &signed.input), ("signature", &signed.signature)] {
        let answer = ask(&form, &signed).header(name, value).send().await;
        assert_unusable(&answer, "恰好出现一次");
    }
    assert_unusable(&ask(&form, &signed).header("host", HOST).send().await, "Host");
    let two = Signed {
        input: format!("{}, two={}", signed.input, form.input()),
        signature: format!("{}, {}", signed.signature, signed.signature.replace("sig=", "two=")),
    };
    assert_unusable(&form.send(&world, &two).await, "只有一个签名");
    let alone = world.get("/v1/keys").header("host", HOST).header("signature", &signed.signature).send().await;
    assert_unusable(&alone, "Signature-Input");
    let alone = world.get("/v1/keys").header("host", HOST).header("signature-input", &signed.input).send().await;
    assert_unusable(&alone, "Signature");
    // The headers of a draft that others still send.
    let old = Signed {
        input: signed.input.clone(),
        signature: "keyId=\"a\",algorithm=\"ed25519\",signature=\"AA==\"".to_owned(),
    };
    assert_unusable(&form.send(&world, &old).await, "RFC 8941");
    // A wrong credential is refused also where none is needed.
    let public =
        world.get("/v1/resolve/88.999.1/none").header("host", HOST).header("signature", "sig=:AA==:").send().await;
    assert_unusable(&public, "Signature-Input");
    assert_eq!(form.send(&world, &signed).await.status, 200, "none of that has used it up");
}

#[tokio::test]
async fn uploads_are_taken_as_they_were_signed_or_not_at_all() {
    let world = world().await;
    let holder = Holder::new(&world, 52, "registrar", &["88.999.1"]).await;
    let rows = |name: &str| {
        let row = |number| json!({"identifier": format!("88.999.1/{name}{number}"), "values": []}).to_string();
        (0..200).map(row).collect::<Vec<_>>().join("\n")
    };
    let import = |name: &str| {
        Form::new(&world, &holder.id, Method::POST, "/v1/imports").body("application/x-ndjson", rows(name))
    };
    let in_pieces = |text: String| {
        let pieces = stream::iter(
            text.into_bytes().chunks(100).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect::<Vec<_>>(),
        );
        Body::from_stream(pieces.map(|piece: Result<Bytes, std::io::Error>| piece))
    };
    let form = import("good");
    let made = form.send_body(&world, &form.signed(&holder.key), in_pieces(rows("good"))).await;
    assert_eq!(made.status, 202, "{}", made.text());
    let job = made.header("location").to_owned();
    while world.get(&job).signed().send().await.json()["state"] == "running" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(world.get("/v1/resolve/88.999.1/good199").send().await.status, 200);
    let uploads = || std::fs::read_dir(world.folder().join("imports")).map_or(0, |found| found.count());
    let before = uploads();
    for sent in [rows("bad"), rows("good") + "\n", rows("good")[..5_000].to_owned()] {
        let form = import("good");
        let answer = form.send_body(&world, &form.signed(&holder.key), in_pieces(sent)).await;
        assert_eq!(told(&answer), (400, "digest_mismatch".to_owned()));
    }
    assert_eq!(uploads(), before, "nothing is left of them");
    assert_eq!(world.get("/v1/resolve/88.999.1/bad0").send().await.status, 404);
    // In parts, each of which is signed and comes whole or not at all.
    let open = Form::new(&world, &holder.id, Method::POST, "/v1/imports")
        .header("upload-complete", "?0")
        .body("application/x-ndjson", rows("part"));
    let mut bad = open.clone().with("nonce", "\"bad\"");
    bad.body = rows("evil").into_bytes();
    assert_eq!(told(&bad.by(&world, &holder).await), (400, "digest_mismatch".to_owned()));
    assert_eq!(uploads(), before, "it was not opened");
    let opened = open.by(&world, &holder).await;
    assert_eq!(opened.status, 201, "{}", opened.text());
    let (upload, offset) = (opened.header("location").to_owned(), opened.header("upload-offset").to_owned());
    let part = |text: &str| {
        Form::new(&world, &holder.id, Method::PATCH, &upload)
            .header("upload-complete", "?1")
            .header("upload-offset", &offset)
            .body("application/partial-upload", text)
    };
    let mut bad = part("\n");
    bad.body = format!("\n{}", rows("evil")).into_bytes();
    assert_eq!(told(&bad.by(&world, &holder).await), (400, "digest_mismatch".to_owned()));
    let stands = Form::new(&world, &holder.id, Method::HEAD, &upload).by(&world, &holder).await;
    assert_eq!(stands.header("upload-offset"), offset);
    assert_eq!(part("\n").by(&world, &holder).await.status, 202);
    assert_eq!(world.get("/v1/resolve/88.999.1/evil0").send().await.status, 404);
}

#[tokio::test]
async fn files_and_lines_are_signed_as_documents_are() {
    let world = world().await;
    let applicant = Holder::new(&world, 53, "applicant", &[]).await;
    let filed = Form::new(&world, &applicant.id, Method::POST, "/v1/filings")
        .json(&form("88.999.7", "某厂"))
        .by(&world, &applicant)
        .await;
    assert_eq!(filed.status, 201, "{}", filed.text());
    let target = format!("{}/attachments?kind=certificate", filed.header("location"));
    let attach = || {
        Form::new(&world, &applicant.id, Method::POST, &target)
            .header("if-match", filed.header("etag"))
            .body("application/pdf", PDF)
    };
    let mut bad = attach();
    bad.body.push(b'\n');
    assert_eq!(told(&bad.by(&world, &applicant).await), (400, "digest_mismatch".to_owned()));
    let good = attach().by(&world, &applicant).await;
    assert_eq!(good.status, 201, "{}", good.text());
    let lines = "\"88.999.1/x\"\n";
    let ask = || Form::new(&world, &applicant.id, Method::POST, "/v1/resolve").body("application/x-ndjson", lines);
    assert_eq!(ask().by(&world, &applicant).await.status, 200);
    let mut bad = ask();
    bad.body.push(b' ');
    assert_eq!(told(&bad.by(&world, &applicant).await), (400, "digest_mismatch".to_owned()));
}

#[tokio::test]
async fn refusals_are_counted_under_the_key_that_was_named() {
    let world = world().await;
    let holder = Holder::new(&world, 54, "auditor", &[]).await;
    let asks = |id: &str| Form::new(&world, id, Method::GET, "/v1/sessions/current");
    asks(&holder.id).without("nonce").by(&world, &holder).await;
    asks("x\u{7e}").by(&world, &holder).await;
    let mut old = asks(&holder.id);
    old.created = 1;
    old.by(&world, &holder).await;
    std::thread::scope(|scope| scope.spawn(|| world.node.services.write_denials()).join()).unwrap();
    // Until a head covers it.
    let text = loop {
        let mut form = Form::new(&world, &holder.id, Method::GET, "/v1/audit?event=access.denied");
        form.covered.rotate_left(1);
        let text = form.by(&world, &holder).await.text();
        if text.contains("access.denied") {
            break text;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(text.contains(&format!("key:{}", holder.id)) && !text.contains("x~"), "{text}");
}
