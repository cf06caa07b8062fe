//! Sharing: an enterprise lets a key, an organisation or whoever has a link read some of its values, for a time; and sees who did.

use http::Method;
use serde_json::{Value as Json, json};

use crate::audited::covered;
use crate::roles::later;
use crate::world::{Answer, Ask, World};

const CONFIGURED: &str =
    "[[prefixes]]\nprefix = \"88.999\"\n[[prefixes]]\nprefix = \"88.999.1\"\n[[prefixes]]\nprefix = \"88.999.2\"\n";
const NAME: &str = "88.999.1/A";
const GTIN: &str = "gs1:01/09506000134352";
/// By the index of the value.
const WORDS: [(u32, &str); 5] = [(1, "OPEN"), (2, "PRICE"), (3, "DRAWING"), (4, "MEMBERS"), (5, "COST")];

fn draft() -> Json {
    let value =
        |index, kind, word, visibility| json!({"index": index, "type": kind, "data": word, "visibility": visibility});
    json!({
        "template": "part@1",
        "values": [
            value(1, "名称", "OPEN", "public"),
            value(2, "价格", "PRICE", "granted"),
            value(3, "图纸", "DRAWING", "granted"),
            value(4, "说明", "MEMBERS", "signed-in"),
            value(5, "成本", "COST", "owner"),
        ],
        "aliases": [{"scheme": "gs1", "identifier": "01/09506000134352"}],
    })
}

async fn world() -> World {
    let world = World::configured(CONFIGURED).await;
    assert_eq!(world.register(NAME, &draft()).await.status, 201);
    world
}

/// A key, its id, and the world that it asks.
struct Person<'w> {
    world: &'w World,
    key: String,
    id: String,
}

impl<'w> Person<'w> {
    async fn new(world: &'w World, role: &str, prefixes: &[&str]) -> Person<'w> {
        let mut body = json!({"role": role});
        if !prefixes.is_empty() {
            body["prefixes"] = json!(prefixes);
        }
        let made = world.ask(Method::POST, "/v1/keys").signed().json(&body).send().await;
        assert_eq!(made.status, 201, "{}", made.text());
        let made = made.json();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Person { world, key: text("key"), id: text("id") }
    }

    fn ask(&self, method: Method, target: &str) -> Ask<'w> {
        by(self.world.ask(method, target), &self.key)
    }

    async fn get(&self, target: &str) -> Answer {
        self.ask(Method::GET, target).send().await
    }

    async fn gives(&self, body: &Json) -> Answer {
        self.ask(Method::POST, "/v1/grants").json(body).send().await
    }

    /// A grant that is given; its id.
    async fn given(&self, body: &Json) -> String {
        let answer = self.gives(body).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(answer.header("location"), format!("/v1/grants/{id}"));
        id
    }

    async fn revokes(&self, id: &str) {
        let revoked = self.ask(Method::DELETE, &format!("/v1/grants/{id}")).send().await;
        assert_eq!(revoked.status, 204, "{}", revoked.text());
    }
}

fn by<'w>(ask: Ask<'w>, token: &str) -> Ask<'w> {
    ask.header("authorization", &format!("Bearer {token}"))
}

fn told(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.code())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// Every way in which values are read one by one.
fn ways(name: &str) -> Vec<String> {
    vec![
        format!("/v1/resolve/{name}"),
        format!("/v1/resolve/{name}?at=1"),
        format!("/v1/resolve/{name}?index=1&index=2&index=3&index=4&index=5"),
        format!("/v1/records/{name}"),
        format!("/v1/history/{name}?diff=1"),
    ]
}

/// The indexes of the values whose words an answer has, in clear or in a signed entry's disclosures.
fn seen_in(answer: &Answer) -> Vec<u32> {
    use base64::Engine;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut text = answer.text();
    for part in text.clone().split(['~', '"']) {
        if let Ok(bytes) = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part) {
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    WORDS.iter().filter(|(_, word)| text.contains(word)).map(|(index, _)| *index).collect()
}

/// Sees these values in every way, and no others; twice, for the second time it comes from memory.
async fn sees(world: &World, token: Option<&str>, expected: &[u32], who: &str) {
    covered(world).await;
    for name in [NAME, GTIN] {
        let mut ways = ways(name);
        ways.extend([format!("/v1/resolve/{name}?entry=1"), format!("/v1/bundle/{name}")]);
        for target in ways {
            for _ in 0..2 {
                let ask = world.get(&target);
                let answer = match token {
                    Some(token) => by(ask, token).send().await,
                    None => ask.send().await,
                };
                assert_eq!(seen_in(&answer), expected, "{who}: {target}: {}", answer.text());
            }
        }
        let lines = format!("{}\n", json!(name));
        for (media_type, body) in
            [("application/json", json!({"identifiers": [name, name]}).to_string()), ("application/x-ndjson", lines)]
        {
            let mut ask = world.ask(Method::POST, "/v1/resolve").typed(media_type, body);
            if let Some(token) = token {
                ask = by(ask, token);
            }
            assert_eq!(seen_in(&ask.send().await), expected, "{who}: a batch of {name} as {media_type}");
        }
    }
}

#[tokio::test]
async fn each_sees_what_it_may_and_a_grant_adds_what_it_names() {
    let world = world().await;
    let owner = Person::new(&world, "owner", &["88.999.1"]).await;
    let partner = Person::new(&world, "partner", &["88.999.1"]).await;
    let stranger = Person::new(&world, "partner", &["88.999.1"]).await;
    let buyer = Person::new(&world, "reader", &["88.999.2"]).await;
    let auditor = Person::new(&world, "auditor", &[]).await;
    sees(&world, None, &[1], "nobody in particular").await;
    for (who, person) in [("partner", &partner), ("buyer", &buyer), ("auditor", &auditor)] {
        sees(&world, Some(&person.key), &[1, 4], who).await;
    }
    for (who, key) in [("owner", &owner.key), ("administrator", &world.key)] {
        sees(&world, Some(key), &[1, 2, 3, 4, 5], who).await;
    }
    let to_partner = owner
        .given(&json!({"prefix": "88.999.1", "to": {"key": partner.id}, "indexes": [2, 5], "purpose": "报价"}))
        .await;
    let to_buyers = owner
        .given(&json!({"prefix": "88.999.1", "to": {"prefix": "88.999.2"}, "types": ["图纸"], "templates": ["part@1"], "purpose": "验收"}))
        .await;
    sees(&world, Some(&partner.key), &[1, 2, 4], "partner").await;
    sees(&world, Some(&buyer.key), &[1, 3, 4], "buyer").await;
    sees(&world, Some(&stranger.key), &[1, 4], "stranger").await;
    sees(&world, Some(&auditor.key), &[1, 4], "auditor").await;
    sees(&world, None, &[1], "nobody in particular").await;
    // Two grants add up; each is taken back alone.
    let more = owner
        .given(&json!({"prefix": "88.999.1", "to": {"key": partner.id}, "identifiers": [NAME], "purpose": "全部"}))
        .await;
    sees(&world, Some(&partner.key), &[1, 2, 3, 4], "partner").await;
    let read = owner.get(&format!("/v1/grants/{more}")).await.json();
    assert_eq!(read["identifiers"], json!([NAME]));
    let elsewhere =
        json!({"prefix": "88.999.1", "to": {"key": stranger.id}, "identifiers": ["88.999.1/B"], "purpose": "别的"});
    owner.given(&elsewhere).await;
    sees(&world, Some(&stranger.key), &[1, 4], "stranger").await;
    owner.revokes(&more).await;
    sees(&world, Some(&partner.key), &[1, 2, 4], "partner").await;
    owner.revokes(&to_partner).await;
    owner.revokes(&to_partner).await;
    sees(&world, Some(&partner.key), &[1, 4], "partner").await;
    sees(&world, Some(&buyer.key), &[1, 3, 4], "buyer").await;
    // A change shows to all at once.
    let mut changed = draft();
    changed["values"][2]["visibility"] = json!("owner");
    world.change(Method::PUT, NAME, &changed).await;
    let now = buyer.get(&format!("/v1/resolve/{NAME}")).await;
    assert_eq!(seen_in(&now), [1, 4]);
    let before = buyer.get(&format!("/v1/resolve/{NAME}?at=1")).await;
    assert_eq!(seen_in(&before), [1, 3, 4], "what was shared then");
    // Grants are there after a restart, those that were taken back are not.
    let (key, id) = (buyer.key.clone(), to_buyers);
    let partner = partner.key.clone();
    world.change(Method::PUT, NAME, &draft()).await;
    let world = world.restarted(CONFIGURED).await;
    assert_eq!(seen_in(&by(world.get(&format!("/v1/resolve/{NAME}")), &key).send().await), [1, 3, 4]);
    assert_eq!(seen_in(&by(world.get(&format!("/v1/resolve/{NAME}")), &partner).send().await), [1, 4]);
    let read = world.get(&format!("/v1/grants/{id}")).signed().send().await.json();
    assert_eq!((&read["revoked"], &read["to"]), (&json!(false), &json!({"prefix": "88.999.2"})));
}

#[tokio::test]
async fn a_link_opens_what_it_is_for_until_it_is_over() {
    let world = world().await;
    let owner = Person::new(&world, "owner", &["88.999.1"]).await;
    let body = |until: &str| json!({"prefix": "88.999.1", "to": {"link": true}, "indexes": [3], "purpose": "客户验货", "valid_until": until});
    let made = owner.gives(&body(&later())).await.json();
    let (id, link) = (made["id"].as_str().unwrap().to_owned(), made["link"].as_str().unwrap().to_owned());
    assert!(link.starts_with("mpg_"), "{link}");
    sees(&world, Some(&link), &[1, 3], "link").await;
    let target = |token: &str| format!("/v1/resolve/{NAME}?share={token}");
    for _ in 0..2 {
        let shown = world.get(&target(&link)).send().await;
        assert_eq!((seen_in(&shown), shown.header("cache-control")), (vec![1, 3], "no-store"));
    }
    assert_eq!(seen_in(&world.get(&format!("{}&entry=1", target(&link))).send().await), [1, 3]);
    // It opens nothing else, and nothing else stands in an address.
    for (method, target) in [
        (Method::PUT, "/v1/records/88.999.1/B"),
        (Method::GET, "/v1/grants"),
        (Method::GET, "/v1/records?prefix=88.999.1"),
    ] {
        let answer = by(world.ask(method, target), &link).json(&json!({})).send().await;
        assert_eq!(told(&answer), refused(403, "forbidden"), "{target}");
    }
    for token in [owner.key.as_str(), "", "mpg_a_b_00000000", &link[..link.len() - 1], &format!("{link}&share={link}")]
    {
        let answer = world.get(&target(token)).send().await;
        assert!([400, 401].contains(&answer.status.as_u16()), "{token}: {}", answer.text());
    }
    assert_eq!(told(&by(world.get(&target(&link)), &owner.key).send().await), refused(401, "bad_credentials"));
    let again = owner.get(&format!("/v1/grants/{id}")).await;
    assert!(!again.text().contains(&link) && !again.text().contains("hash"), "{}", again.text());
    owner.revokes(&id).await;
    for ask in [world.get(&target(&link)), by(world.get(&format!("/v1/resolve/{NAME}")), &link)] {
        assert_eq!(told(&ask.send().await), refused(401, "bad_credentials"));
    }
    // One that runs out by itself.
    let soon = mingpai::model::time::Timestamp::now().as_seconds() + 2;
    let soon = mingpai::model::time::Timestamp::from_seconds(soon).unwrap().to_string();
    let link = owner.gives(&body(&soon)).await.json()["link"].as_str().unwrap().to_owned();
    assert_eq!(seen_in(&world.get(&target(&link)).send().await), [1, 3]);
    loop {
        let answer = world.get(&target(&link)).send().await;
        if answer.status == 401 {
            break;
        }
        assert_eq!(seen_in(&answer), [1, 3]);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_owner_sees_who_read_what() {
    let world = world().await;
    let owner = Person::new(&world, "owner", &["88.999.1"]).await;
    let partner = Person::new(&world, "partner", &["88.999.1"]).await;
    let id = owner
        .given(&json!({"prefix": "88.999.1", "to": {"key": partner.id}, "identifiers": [NAME], "indexes": [2], "purpose": "报价", "valid_until": later()}))
        .await;
    let uses = format!("/v1/grants/{id}/uses");
    assert_eq!(owner.get(&uses).await.json()["uses"], json!([]));
    // A look that shows nothing by the grant is none.
    partner.get(&format!("/v1/resolve/{NAME}?index=1")).await;
    partner.get(&format!("/v1/history/{NAME}")).await;
    assert_eq!(owner.get(&uses).await.json()["uses"], json!([]));
    for _ in 0..5 {
        assert_eq!(seen_in(&partner.get(&format!("/v1/resolve/{GTIN}")).await), [1, 2, 4]);
    }
    let seen = owner.get(&uses).await.json()["uses"].clone();
    let expected = json!({"principal": format!("key:{}", partner.id), "identifier": NAME, "version": 1, "index": seen[0]["index"], "count": 1, "since": seen[0]["since"], "until": seen[0]["until"]});
    assert_eq!(seen, json!([expected]), "the first look is noted before it is answered");
    let services = &world.node.services;
    std::thread::scope(|scope| scope.spawn(|| services.write_grant_uses()).join()).unwrap();
    let seen = owner.get(&uses).await.json()["uses"].clone();
    assert_eq!((seen.as_array().unwrap().len(), &seen[1]["count"]), (2, &json!(4)), "{seen}");
    // Another version is another look.
    world.change(Method::PUT, NAME, &draft()).await;
    partner.get(&format!("/v1/resolve/{NAME}")).await;
    let all = owner.get(&uses).await.json()["uses"].clone();
    assert_eq!((all.as_array().unwrap().len(), &all[2]["version"]), (3, &json!(2)), "{all}");
    let first = owner.get(&format!("{uses}?limit=2")).await.json();
    let rest = owner.get(&format!("{uses}?cursor={}", first["next_cursor"].as_str().unwrap())).await.json();
    assert_eq!((first["uses"].as_array().unwrap().len(), &rest["uses"][0]), (2, &all[2]));
    // Who holds it reads what it is for, and not who used it; nobody else knows of it.
    let held = partner.get("/v1/grants").await.json()["grants"].clone();
    assert_eq!((&held[0]["id"], &held[0]["purpose"]), (&json!(id), &json!("报价")));
    assert_eq!(told(&partner.get(&uses).await), refused(403, "forbidden"));
    let other = Person::new(&world, "owner", &["88.999.2"]).await;
    for target in [format!("/v1/grants/{id}"), uses.clone()] {
        assert_eq!(told(&other.get(&target).await), refused(404, "grant_unknown"));
    }
    assert_eq!(
        told(&other.ask(Method::DELETE, &format!("/v1/grants/{id}")).send().await),
        refused(404, "grant_unknown")
    );
    assert_eq!(other.get("/v1/grants").await.json()["grants"], json!([]));
    owner.revokes(&id).await;
    assert_eq!(owner.get(&uses).await.json()["uses"].as_array().unwrap().len(), 3, "also when it is over");
    assert_eq!(owner.get(&format!("/v1/grants/{id}")).await.json()["revoked"], true);
    covered(&world).await;
    let trail = world.get("/v1/audit?event=grant.*&order=oldest").signed().send().await;
    let events: Vec<Json> = trail.json()["events"].as_array().unwrap().clone();
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["grant.given", "grant.used", "grant.used", "grant.used", "grant.revoked"]);
    assert!(events.iter().filter(|event| event["event"] != "grant.used").all(|event| event["subject"] == id.as_str()));
    assert!(!trail.text().contains("PRICE") && !trail.text().to_lowercase().contains("88.999.1/a"), "{}", trail.text());
}

#[tokio::test]
async fn what_is_wrong_in_a_wish_is_named() {
    let world = world().await;
    let owner = Person::new(&world, "owner", &["88.999.1"]).await;
    let good = || json!({"prefix": "88.999.1", "to": {"prefix": "88.999.2"}, "purpose": "验收"});
    let with = |name: &str, value: Json| {
        let mut body = good();
        body[name] = value;
        body
    };
    for (body, pointer) in [
        (json!([]), ""),
        (json!({"to": {"link": true}, "purpose": "a", "valid_until": later()}), "/prefix"),
        (with("prefix", json!("a/b")), "/prefix"),
        (with("to", json!({})), "/to"),
        (with("to", json!({"link": false})), "/to"),
        (with("to", json!({"key": "k", "prefix": "88.1"})), "/to"),
        (with("to", json!({"key": "nosuchkey"})), "/to/key"),
        (with("to", json!({"prefix": "88"})), "/to/prefix"),
        (with("to", json!({"prefix": "10.1000"})), "/to/prefix"),
        (with("to", json!({"link": true})), "/valid_until"),
        (with("purpose", json!("a\nb")), "/purpose"),
        (with("purpose", json!("")), "/purpose"),
        (with("indexes", json!([])), "/indexes"),
        (with("indexes", json!([1, 0])), "/indexes/1"),
        (with("indexes", json!([1.5])), "/indexes/0"),
        (with("types", json!([""])), "/types/0"),
        (with("templates", json!("part@1")), "/templates"),
        (with("identifiers", json!(["88.999.1"])), "/identifiers/0"),
        (with("identifiers", json!(["01/09506000134352"])), "/identifiers/0"),
        (with("valid_until", json!("2020-01-01T00:00:00Z")), "/valid_until"),
        (with("valid_from", json!("soon")), "/valid_from"),
        (with("none", json!(1)), "/none"),
    ] {
        let answer = owner.gives(&body).await;
        assert_eq!(told(&answer), refused(422, "fields_invalid"), "{body}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{body}: {}", answer.text());
    }
    let mut far = with("to", json!({"link": true}));
    far["valid_until"] = json!("9000-01-01T00:00:00Z");
    assert_eq!(told(&owner.gives(&far).await), refused(422, "fields_invalid"));
    for prefix in ["88.999.2", "88.999", "88.999.9"] {
        assert_eq!(told(&owner.gives(&with("prefix", json!(prefix))).await), refused(403, "forbidden"), "{prefix}");
    }
    let unserved = world.ask(Method::POST, "/v1/grants").signed().json(&with("prefix", json!("88.999.9")));
    assert_eq!(told(&unserved.send().await), refused(404, "not_responsible"));
    let repeated = owner.ask(Method::POST, "/v1/grants").header("idempotency-key", "a").json(&good()).send().await;
    assert_eq!(told(&repeated), refused(400, "header_invalid"));
    for role in ["reader", "registrar", "partner"] {
        let other = Person::new(&world, role, &["88.999.1"]).await;
        assert_eq!(told(&other.gives(&good()).await), refused(403, "forbidden"), "{role}");
    }
    for query in ["cursor=abc", "limit=0", "none=1"] {
        assert_eq!(told(&owner.get(&format!("/v1/grants?{query}")).await), refused(400, "query_invalid"), "{query}");
    }
}

/// What is said of a grant is a leaf, which has a bound; one that no tile could hold would spoil the tree.
#[tokio::test]
async fn a_grant_that_no_leaf_could_hold_is_refused_and_the_tree_stays_whole() {
    let world = world().await;
    let owner = Person::new(&world, "owner", &["88.999.1"]).await;
    let words =
        |letter: &str| -> Vec<String> { (0..100).map(|number| format!("{number:03}{}", letter.repeat(252))).collect() };
    let mut body =
        json!({"prefix": "88.999.1", "to": {"prefix": "88.999.2"}, "purpose": "验收", "templates": words("t")});
    owner.given(&body).await;
    body["types"] = json!(words("\""));
    assert_eq!(told(&owner.gives(&body).await), refused(413, "entry_too_large"));
    body["types"] = json!(["报价"]);
    owner.given(&body).await;
    covered(&world).await;
    let head = world.get("/log/audit/checkpoint").signed().send().await.text();
    let size = head.lines().nth(1).unwrap();
    let bundle = world.get(&format!("/log/audit/tile/entries/000.p/{size}")).signed().send().await;
    assert_eq!(bundle.status, 200, "{}", bundle.text());
}

/// As many as one prefix may give, and to one holder; one that is taken back makes room.
#[tokio::test]
async fn grants_of_a_prefix_are_bounded() {
    let world = world().await;
    let owner = Person::new(&world, "owner", &["88.999.1"]).await;
    let to_one = json!({"prefix": "88.999.1", "to": {"prefix": "88.999.2"}, "purpose": "验收"});
    let mut last = String::new();
    for _ in 0..50 {
        last = owner.given(&to_one).await;
    }
    assert_eq!(told(&owner.gives(&to_one).await), refused(409, "grant_too_many"));
    owner.revokes(&last).await;
    owner.given(&to_one).await;
    let link = json!({"prefix": "88.999.1", "to": {"link": true}, "purpose": "验收", "valid_until": later()});
    for _ in 50..1_000 {
        last = owner.given(&link).await;
    }
    assert_eq!(told(&owner.gives(&link).await), refused(409, "grant_too_many"));
    let mut elsewhere = link.clone();
    elsewhere["prefix"] = json!("88.999.2");
    assert_eq!(world.ask(Method::POST, "/v1/grants").signed().json(&elsewhere).send().await.status, 201);
    owner.revokes(&last).await;
    owner.given(&link).await;
    let (mut seen, mut cursor) = (0, String::new());
    loop {
        let page = owner.get(&format!("/v1/grants?limit=300{cursor}")).await.json();
        seen += page["grants"].as_array().unwrap().len();
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, 1_000);
}

/// A right ends with its key, also for a client that was let in before and goes on asking.
#[tokio::test]
async fn a_stream_of_questions_ends_with_the_key_that_began_it() {
    let world = world().await;
    let owner = Person::new(&world, "owner", &["88.999.1"]).await;
    let partner = Person::new(&world, "partner", &["88.999.1"]).await;
    owner.given(&json!({"prefix": "88.999.1", "to": {"key": partner.id}, "purpose": "报价"})).await;
    let (lines, body) = tokio::sync::mpsc::channel::<Result<bytes::Bytes, std::io::Error>>(1);
    let body = futures_util::stream::unfold(body, |mut body| async move { Some((body.recv().await?, body)) });
    let request = http::Request::post("/v1/resolve")
        .header("authorization", format!("Bearer {}", partner.key))
        .header("content-type", "application/x-ndjson")
        .body(axum::body::Body::from_stream(body))
        .unwrap();
    let mut answer = world.http.answer(request).await.into_body();
    let line = format!("{}\n", json!(NAME));
    let mut next = async || {
        lines.send(Ok(line.clone().into())).await.unwrap();
        let frame = http_body_util::BodyExt::frame(&mut answer).await.unwrap().unwrap();
        String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
    };
    assert!(next().await.contains("PRICE"));
    let revoked = owner.ask(Method::DELETE, &format!("/v1/keys/{}", partner.id)).send().await;
    assert_eq!(revoked.status, 204);
    let after = next().await;
    assert!(!after.contains("PRICE") && !after.contains("MEMBERS") && after.contains("bad_credentials"), "{after}");
}

/// Whose sight an answer is of stands in its tag, and what is somebody's is kept by nobody else.
#[tokio::test]
async fn views_do_not_pass_for_one_another_in_caches() {
    let world = world().await;
    let owner = Person::new(&world, "owner", &["88.999.1"]).await;
    let partner = Person::new(&world, "partner", &["88.999.1"]).await;
    let target = format!("/v1/resolve/{NAME}");
    owner.given(&json!({"prefix": "88.999.1", "to": {"key": partner.id}, "indexes": [2], "purpose": "报价"})).await;
    let auditor = Person::new(&world, "auditor", &[]).await;
    let tokens = [None, Some(&auditor.key), Some(&partner.key), Some(&owner.key)];
    let ask = |token: Option<&String>| {
        let ask = world.get(&target);
        match token {
            Some(token) => by(ask, token),
            None => ask,
        }
    };
    for (at, one) in tokens.iter().enumerate() {
        let etag = ask(*one).send().await.header("etag").to_owned();
        for (other, token) in tokens.iter().enumerate() {
            let answer = ask(*token).header("if-none-match", &etag).send().await;
            assert_eq!(answer.status, if at == other { 304 } else { 200 }, "{etag} shown by {other}");
            let keep = if token.is_some() { "no-store" } else { "public, max-age=60" };
            assert_eq!(answer.header("cache-control"), keep);
        }
    }
    // What the owner read it may change.
    let etag = ask(Some(&owner.key)).send().await.header("etag").to_owned();
    let changed = owner.ask(Method::PUT, &format!("/v1/records/{NAME}")).header("if-match", &etag).json(&draft());
    assert_eq!(changed.send().await.status, 200);
    for media_type in ["application/json", "application/x-ndjson"] {
        let body = if media_type.ends_with("ndjson") {
            json!(NAME).to_string()
        } else {
            json!({"identifiers": [NAME]}).to_string()
        };
        let batch = by(world.ask(Method::POST, "/v1/resolve").typed(media_type, body), &partner.key).send().await;
        assert_eq!(batch.header("cache-control"), "no-store", "{media_type}");
    }
}

/// Two grants that open the same are one look.
#[tokio::test]
async fn a_value_is_shown_by_the_first_grant_that_opens_it() {
    let world = world().await;
    let owner = Person::new(&world, "owner", &["88.999.1"]).await;
    let partner = Person::new(&world, "partner", &["88.999.1"]).await;
    let mut given = Vec::new();
    for _ in 0..10 {
        given.push(owner.given(&json!({"prefix": "88.999.1", "to": {"key": partner.id}, "purpose": "报价"})).await);
    }
    assert_eq!(seen_in(&partner.get(&format!("/v1/resolve/{NAME}")).await), [1, 2, 3, 4]);
    let mut uses = 0;
    for id in &given {
        uses += owner.get(&format!("/v1/grants/{id}/uses")).await.json()["uses"].as_array().unwrap().len();
    }
    assert_eq!(uses, 1);
}
