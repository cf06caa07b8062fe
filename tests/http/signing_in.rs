//! Signing in: a challenge, an assertion over it by a library that is not the node's own, a token that is good for a while.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use ed25519_dalek::{Signer, SigningKey};
use http::Method;
use serde_json::{Value as Json, json};

use crate::world::{Answer, World, part};

const TYPE: &str = "mingpai-session+jwt";

/// A pair that is not the node's.
pub struct Holder {
    pub key: SigningKey,
    /// The id of the API key that was registered with its public half.
    pub id: String,
}

pub fn jwk(public: &[u8]) -> Json {
    json!({"kty": "OKP", "crv": "Ed25519", "x": BASE64URL.encode(public)})
}

impl Holder {
    /// Registers the public half of a key that comes from a number.
    pub async fn new(world: &World, seed: u8, role: &str, prefixes: &[&str]) -> Holder {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let mut body = json!({"role": role, "public_key": jwk(key.verifying_key().as_bytes())});
        if !prefixes.is_empty() {
            body["prefixes"] = json!(prefixes);
        }
        let made = world.ask(Method::POST, "/v1/keys").signed().json(&body).send().await;
        assert_eq!(made.status, 201, "{}", made.text());
        assert!(made.json().get("key").is_none(), "there is no secret to show");
        assert_eq!(made.json()["public_key"]["x"], body["public_key"]["x"]);
        Holder { key, id: made.json()["id"].as_str().unwrap().to_owned() }
    }

    /// RFC 7638, computed here.
    fn thumbprint(&self) -> String {
        let x = BASE64URL.encode(self.key.verifying_key().as_bytes());
        let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        BASE64URL.encode(ring::digest::digest(&ring::digest::SHA256, canonical.as_bytes()))
    }

    fn header(&self) -> Json {
        json!({"alg": "EdDSA", "typ": TYPE, "kid": self.thumbprint()})
    }

    fn claims(&self, challenge: &Json) -> Json {
        json!({"sub": self.id, "aud": challenge["audience"], "nonce": challenge["nonce"]})
    }

    fn signed(&self, header: &Json, claims: &Json) -> String {
        let text = format!("{}.{}", BASE64URL.encode(header.to_string()), BASE64URL.encode(claims.to_string()));
        let signature = self.key.sign(text.as_bytes());
        format!("{text}.{}", BASE64URL.encode(signature.to_bytes()))
    }

    /// A new challenge, signed as it should be.
    async fn assertion(&self, world: &World) -> String {
        self.signed(&self.header(), &self.claims(&challenge(world).await))
    }

    /// The token of a new session.
    pub async fn session(&self, world: &World) -> String {
        let begun = send(world, &self.assertion(world).await).await;
        assert_eq!(begun.status, 201, "{}", begun.text());
        begun.json()["token"].as_str().unwrap().to_owned()
    }
}

async fn challenge(world: &World) -> Json {
    let answer = world.ask(Method::POST, "/v1/sessions/challenge").send().await;
    assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, "no-store"));
    answer.json()
}

async fn send(world: &World, assertion: &str) -> Answer {
    world.ask(Method::POST, "/v1/sessions").json(&json!({"assertion": assertion})).send().await
}

async fn by(world: &World, token: &str, method: Method, target: &str) -> Answer {
    world.ask(method, target).header("authorization", &format!("Bearer {token}")).send().await
}

fn told(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.code())
}

#[tokio::test]
async fn who_signs_the_challenge_may_what_the_key_may_until_he_signs_out() {
    let world = World::new().await;
    let holder = Holder::new(&world, 7, "registrar", &["88.999.1"]).await;
    let begun = send(&world, &holder.assertion(&world).await).await;
    assert_eq!((begun.status.as_u16(), begun.header("cache-control")), (201, "no-store"), "{}", begun.text());
    assert_eq!(begun.header("location"), "/v1/sessions/current");
    let session = begun.json();
    let token = session["token"].as_str().unwrap();
    assert_eq!((&session["role"], &session["prefixes"]), (&json!("registrar"), &json!(["88.999.1"])));
    assert_eq!(session["principal"], format!("key:{}", holder.id));
    let current = by(&world, token, Method::GET, "/v1/sessions/current").await.json();
    assert_eq!((&current["id"], &current["expires"]), (&session["id"], &session["expires"]));
    assert!(current.get("token").is_none());
    // A key says who it is, too.
    let own = world.get("/v1/sessions/current").signed().send().await.json();
    assert_eq!((own.get("id"), &own["role"]), (None, &json!("administrator")));
    let put = |token: String, name: &'static str| {
        let ask = world.ask(Method::PUT, &format!("/v1/records/{name}"));
        ask.header("authorization", &format!("Bearer {token}")).json(&part("一")).send()
    };
    assert_eq!(put(token.to_owned(), "88.999.1/s").await.status, 201);
    assert_eq!(told(&put(token.to_owned(), "88.999/s").await), (403, "forbidden".to_owned()));
    // Its history names the key, which outlives the session.
    let history = world.get("/v1/history/88.999.1/s").signed().send().await.json();
    assert_eq!(history["versions"][0]["principal"], format!("key:{}", holder.id));
    assert_eq!(by(&world, token, Method::DELETE, "/v1/sessions/current").await.status, 204);
    assert_eq!(told(&put(token.to_owned(), "88.999.1/t").await), (401, "bad_credentials".to_owned()));
    assert_eq!(told(&by(&world, token, Method::DELETE, "/v1/sessions/current").await).0, 401);
    let refused = world.ask(Method::DELETE, "/v1/sessions/current").signed().send().await;
    assert_eq!(told(&refused), (400, "header_invalid".to_owned()), "a key is revoked elsewhere");
    let strangers = world.get("/v1/sessions/current").send().await;
    assert_eq!(told(&strangers), (401, "missing_credentials".to_owned()));
}

#[tokio::test]
async fn a_session_ends_with_its_key_and_with_the_process() {
    let world = World::new().await;
    let (holder, other) =
        (Holder::new(&world, 1, "administrator", &[]).await, Holder::new(&world, 2, "administrator", &[]).await);
    let (token, others) = (holder.session(&world).await, other.session(&world).await);
    assert_eq!(by(&world, &token, Method::GET, "/v1/keys").await.status, 200);
    let revoked = world.ask(Method::DELETE, &format!("/v1/keys/{}", holder.id)).signed().send().await;
    assert_eq!(revoked.status, 204);
    assert_eq!(told(&by(&world, &token, Method::GET, "/v1/keys").await), (401, "bad_credentials".to_owned()));
    let again = send(&world, &holder.assertion(&world).await).await;
    assert_eq!(told(&again), (401, "bad_credentials".to_owned()), "a revoked key signs nobody in");
    assert_eq!(by(&world, &others, Method::GET, "/v1/keys").await.status, 200);
    let stale = other.assertion(&world).await;
    let world = world.restarted("").await;
    assert_eq!(told(&by(&world, &others, Method::GET, "/v1/keys").await), (401, "bad_credentials".to_owned()));
    assert_eq!(told(&send(&world, &stale).await), (422, "fields_invalid".to_owned()), "another process's nonce");
    assert_eq!(by(&world, &other.session(&world).await, Method::GET, "/v1/keys").await.status, 200);
}

#[tokio::test]
async fn an_assertion_is_good_once_whoever_comes_first() {
    let world = World::new().await;
    let holder = Holder::new(&world, 3, "auditor", &[]).await;
    let assertion = holder.assertion(&world).await;
    let tries = (0..8).map(|_| send(&world, &assertion));
    let answers = futures_util::future::join_all(tries).await;
    let begun = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(begun, 1, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
    assert_eq!(told(&send(&world, &assertion).await), (422, "fields_invalid".to_owned()));
    // Another of the same nonce is no better.
    let challenge = challenge(&world).await;
    let mut claims = holder.claims(&challenge);
    assert_eq!(send(&world, &holder.signed(&holder.header(), &claims)).await.status, 201);
    claims["extra"] = json!(1);
    let second = send(&world, &holder.signed(&holder.header(), &claims)).await;
    assert_eq!(second.json()["errors"][0]["code"], "nonce_expired");
}

#[tokio::test]
async fn one_key_cannot_fill_the_journal_with_its_signing_in() {
    let world = World::new().await;
    let (eager, other) =
        (Holder::new(&world, 31, "reader", &["88.999.1"]).await, Holder::new(&world, 32, "auditor", &[]).await);
    let mut begun = 0;
    for _ in 0..40 {
        let answer = send(&world, &eager.assertion(&world).await).await;
        match answer.status.as_u16() {
            201 => begun += 1,
            _ => assert_eq!(told(&answer), (503, "overloaded".to_owned())),
        }
    }
    assert_eq!(begun, 30);
    other.session(&world).await;
    let long = format!("{{\"assertion\":\"{}\"}}", "a".repeat(10_000));
    let refused = world.ask(Method::POST, "/v1/sessions").typed("application/json", long).send().await;
    assert_eq!(refused.status, 422, "the test asks past accept, which bounds a body");
}

#[tokio::test]
async fn one_session_too_many_ends_the_oldest() {
    let world = World::new().await;
    let holder = Holder::new(&world, 4, "auditor", &[]).await;
    let mut tokens = Vec::new();
    for _ in 0..17 {
        tokens.push(holder.session(&world).await);
    }
    for (at, token) in tokens.iter().enumerate() {
        let status = by(&world, token, Method::GET, "/v1/sessions/current").await.status;
        assert_eq!(status, if at == 0 { 401 } else { 200 }, "{at}");
    }
}

/// Whatever is wrong with the assertion is told; whatever is wrong with the signer is one answer.
#[tokio::test]
async fn what_is_not_signed_by_the_key_that_it_names_begins_nothing() {
    let world = World::new().await;
    let holder = Holder::new(&world, 5, "registrar", &["88.999.1"]).await;
    let other = Holder::new(&world, 6, "administrator", &[]).await;
    let secret = world.key.split('_').nth(1).unwrap().to_owned();
    let header = |name: &str, value: Json| {
        let mut header = holder.header();
        header[name] = value;
        header
    };
    let at = challenge(&world).await;
    let claims = |name: &str, value: Json| {
        let mut claims = holder.claims(&at);
        claims[name] = value;
        claims
    };
    let usual = holder.claims(&at);
    let mine = |header: Json, claims: &Json| holder.signed(&header, claims);
    // With the public key as the secret of a MAC (RFC 8725, section 2.1).
    let mac_header = header("alg", json!("HS256"));
    let text = format!("{}.{}", BASE64URL.encode(mac_header.to_string()), BASE64URL.encode(usual.to_string()));
    let mac_key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, holder.key.verifying_key().as_bytes());
    let mac = format!("{text}.{}", BASE64URL.encode(ring::hmac::sign(&mac_key, text.as_bytes())));
    let unsigned = header("alg", json!("none"));
    let unsigned = format!("{}.{}.", BASE64URL.encode(unsigned.to_string()), BASE64URL.encode(usual.to_string()));
    let good = mine(holder.header(), &usual);
    let told_of_itself = [
        ("no JWS", "a.b.c".to_owned()),
        ("empty", String::new()),
        ("too long", "a".repeat(5_000)),
        ("a MAC", mac),
        ("alg none", unsigned),
        ("another alg", mine(header("alg", json!("ES256")), &usual)),
        ("another typ", mine(header("typ", json!("mingpai-owner+jwt")), &usual)),
        ("no typ", mine(json!({"alg": "EdDSA", "kid": holder.thumbprint()}), &usual)),
        ("extensions", mine(header("crit", json!(["exp"])), &usual)),
        ("padded", format!("{good}=")),
        ("another node", mine(holder.header(), &claims("aud", json!("urn:mingpai:other")))),
        ("many nodes", mine(holder.header(), &claims("aud", json!([at["audience"]])))),
        ("no nonce", mine(holder.header(), &json!({"sub": holder.id, "aud": at["audience"]}))),
        ("a made-up nonce", mine(holder.header(), &claims("nonce", json!(BASE64URL.encode([7; 40]))))),
        ("over", mine(holder.header(), &claims("exp", json!(1_000_000_000)))),
        ("to come", mine(holder.header(), &claims("nbf", json!(9_000_000_000_u64)))),
    ];
    for (what, assertion) in told_of_itself {
        let answer = send(&world, &assertion).await;
        assert_eq!(told(&answer), (422, "fields_invalid".to_owned()), "{what}");
        assert_eq!(answer.json()["errors"][0]["pointer"], "/assertion", "{what}");
    }
    let nobody: [u8; 32] = std::array::from_fn(|at| {
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        u8::from_str_radix(&seed[at * 2..at * 2 + 2], 16).unwrap()
    });
    let nobody = Holder { key: SigningKey::from_bytes(&nobody), id: holder.id.clone() };
    let mut bent = good.clone().into_bytes();
    let last = bent.len() - 10;
    bent[last] = if bent[last] == b'A' { b'B' } else { b'A' };
    let spliced = {
        let foreign = other.signed(&holder.header(), &usual);
        format!("{}.{}", good.rsplit_once('.').unwrap().0, foreign.rsplit_once('.').unwrap().1)
    };
    let one_answer = [
        ("a bent signature", String::from_utf8(bent).unwrap()),
        ("another's signature", spliced),
        ("another's key under one's own name", other.signed(&holder.header(), &usual)),
        ("one's own key under another's id", mine(holder.header(), &claims("sub", json!(other.id)))),
        ("another's kid", mine(header("kid", json!(other.thumbprint())), &usual)),
        ("both of another", mine(header("kid", json!(other.thumbprint())), &claims("sub", json!(other.id)))),
        ("an unknown key", mine(holder.header(), &claims("sub", json!("aaaaaaaaaaaa")))),
        ("a key with a secret", mine(holder.header(), &claims("sub", json!(secret)))),
        ("no id", mine(holder.header(), &claims("sub", json!("")))),
        ("an endless id", mine(holder.header(), &claims("sub", json!("a".repeat(2_000))))),
        // The key of RFC 8032, section 7.1, test 1, whose private half everybody has, and which stands in for unknown keys.
        ("a key of nobody", nobody.signed(&nobody.header(), &claims("sub", json!("aaaaaaaaaaaa")))),
        ("a key of nobody for a secret's", nobody.signed(&nobody.header(), &claims("sub", json!(secret)))),
        ("a key of nobody for another's", nobody.signed(&nobody.header(), &usual)),
    ];
    for (what, assertion) in one_answer {
        let answer = send(&world, &assertion).await;
        assert_eq!(told(&answer), (401, "bad_credentials".to_owned()), "{what}");
        let mut body = answer.json();
        body["request_id"] = json!("");
        let mut usual = send(&world, &mine(holder.header(), &claims("sub", json!("bbbbbbbbbbbb")))).await.json();
        usual["request_id"] = json!("");
        assert_eq!(body, usual, "{what}");
    }
    // None of that has spent the nonce.
    assert_eq!(send(&world, &good).await.status, 201);
    for (body, pointer) in [
        (json!([]), ""),
        (json!({}), "/assertion"),
        (json!({"assertion": 1}), "/assertion"),
        (json!({"assertion": good, "more": 1}), "/more"),
    ] {
        let answer = world.ask(Method::POST, "/v1/sessions").json(&body).send().await;
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{body}");
    }
}

/// The eight points of small order, each in every encoding that programs take for it, and a point with a part of small order:
/// under them a signature proves nothing (the former stand in the "small order" vectors of several test suites).
#[tokio::test]
async fn a_key_whose_signatures_prove_nothing_is_not_taken() {
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
    let world = World::new().await;
    let mut bad: Vec<[u8; 32]> = EIGHT_TORSION.iter().map(|point| point.compress().to_bytes()).collect();
    bad.push((ED25519_BASEPOINT_POINT + EIGHT_TORSION[1]).compress().to_bytes());
    // p, p + 1 (0 and 1 beyond the field), and 1 with the sign of zero.
    for low in [0xed, 0xee] {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (low, 0x7f);
        bad.push(bytes);
        bytes[31] = 0xff;
        bad.push(bytes);
    }
    let mut signed_one = [0; 32];
    (signed_one[0], signed_one[31]) = (1, 0x80);
    bad.push(signed_one);
    // No point at all.
    bad.push([2; 32]);
    for public in bad {
        for (target, body, pointer) in [
            ("/v1/keys", json!({"role": "auditor", "public_key": jwk(&public)}), "/public_key/x"),
            (
                "/v1/licences",
                json!({"role": "enterprise", "prefix": "88.999.1", "holder": "企业", "key": jwk(&public)}),
                "/key/x",
            ),
        ] {
            let answer = world.ask(Method::POST, target).signed().json(&body).send().await;
            assert_eq!(told(&answer), (422, "fields_invalid".to_owned()), "{target} {public:02x?}");
            assert_eq!(answer.json()["errors"][0]["pointer"], pointer);
        }
    }
    let mut private = jwk(SigningKey::from_bytes(&[9; 32]).verifying_key().as_bytes());
    private["d"] = json!("c2VjcmV0");
    for (key, pointer) in [
        (private, "/public_key/d"),
        (json!("x"), "/public_key"),
        (json!({"kty": "EC", "crv": "P-256", "x": "a", "y": "b"}), "/public_key"),
        (json!({"kty": "OKP", "crv": "X25519", "x": BASE64URL.encode([9; 32])}), "/public_key"),
        (json!({"kty": "OKP", "crv": "Ed25519", "x": BASE64URL.encode([9; 31])}), "/public_key"),
    ] {
        let body = json!({"role": "auditor", "public_key": key});
        let answer = world.ask(Method::POST, "/v1/keys").signed().json(&body).send().await;
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{}", answer.text());
        assert!(!answer.text().contains("c2VjcmV0"));
    }
}

/// What the audit tree holds, oldest first.
async fn events(world: &World) -> Vec<Json> {
    let trees = world.node.services.store.trees();
    let reader = trees.reader(mingpai::store::trees::Tree::Audit);
    let size = world.node.services.store.tail().audit_size;
    let places = reader.places(0, size).unwrap();
    let payload = |statement: Vec<u8>| {
        let text = String::from_utf8(statement).unwrap();
        serde_json::from_slice::<Json>(&BASE64URL.decode(text.split('.').nth(1).unwrap()).unwrap()).unwrap()
    };
    places.into_iter().map(|place| payload(world.node.services.store.statement(place).unwrap().1)).collect()
}

#[tokio::test]
async fn signing_in_and_out_and_what_was_refused_stand_in_the_audit_log() {
    let world = World::new().await;
    let holder = Holder::new(&world, 8, "registrar", &["88.999.1"]).await;
    let token = holder.session(&world).await;
    for name in ["88.999/a", "88.999/b"] {
        let ask = world.ask(Method::PUT, &format!("/v1/records/{name}")).json(&part("一"));
        assert_eq!(ask.header("authorization", &format!("Bearer {token}")).send().await.status, 403);
    }
    assert_eq!(by(&world, &token, Method::GET, "/v1/keys").await.status, 403);
    assert_eq!(by(&world, &token, Method::GET, "/v1/records?prefix=88.999").await.status, 403);
    assert_eq!(by(&world, "mpk_garbage", Method::GET, "/v1/keys").await.status, 401);
    assert_eq!(world.get("/v1/keys").send().await.status, 401);
    // A known key's id with another secret is told of that key.
    let id = world.key.split('_').nth(1).unwrap();
    let body = format!("mpk_{id}_{}", "a".repeat(51));
    let forged = format!("{body}_{:08x}", crc32c::crc32c(body.as_bytes()));
    assert_eq!(by(&world, &forged, Method::GET, "/v1/keys").await.status, 401);
    let other = SigningKey::from_bytes(&[99; 32]);
    let thief = Holder { key: other, id: holder.id.clone() };
    assert_eq!(send(&world, &thief.assertion(&world).await).await.status, 401);
    assert_eq!(by(&world, &token, Method::DELETE, "/v1/sessions/current").await.status, 204);
    // Twice: what is written once is not written again. On a thread that may wait.
    let write = || (world.node.services.write_denials(), world.node.services.write_denials());
    std::thread::scope(|scope| scope.spawn(write).join()).unwrap();
    let events = events(&world).await;
    let of = |kind: &str| events.iter().filter(|event| event["event"] == kind).collect::<Vec<_>>();
    let (opened, closed, denied) = (of("session.opened"), of("session.closed"), of("access.denied"));
    assert_eq!((opened.len(), closed.len(), denied.len()), (1, 1, 1), "{events:?}");
    assert_eq!((&opened[0]["key"], &opened[0]["session"]), (&json!(holder.id), &closed[0]["session"]));
    assert_eq!(opened[0]["principal"], format!("key:{}", holder.id));
    let count = |principal: &str, code: &str| {
        let counts = denied[0]["denials"].as_array().unwrap();
        let found = counts.iter().find(|one| one["principal"] == principal && one["code"] == code);
        found.map_or(0, |one| one["count"].as_u64().unwrap())
    };
    let mine = format!("key:{}", holder.id);
    assert_eq!(count(&mine, "forbidden"), 4, "{}", denied[0]);
    assert_eq!(count(&mine, "bad_credentials"), 1, "a signature that is not its holder's");
    assert_eq!(count(&format!("key:{id}"), "bad_credentials"), 1);
    assert_eq!((count("anonymous", "bad_credentials"), count("anonymous", "missing_credentials")), (1, 1));
    // No token, no secret, nothing that a stranger has written.
    let all = Json::from(events.clone()).to_string();
    assert!(!all.contains(&token) && !all.contains("garbage") && !all.contains("mps_") && !all.contains("mpk_"));
}
