//! Licences of prefixes, owners' signatures, and the ends of signing keys.

use http::Method;
use mingpai::model::draft::Draft;
use mingpai::model::identifier::Identifier;
use mingpai::model::record::Record;
use mingpai::model::time::Timestamp;
use mingpai::sign::keys::{KeyUse, PublicJwk, SigningKey, generate, read_signing_key};
use mingpai::sign::licence::Grant;
use mingpai::sign::owner::OwnerPayload;
use mingpai::sign::verify::{Finding, Known, Report, verify_document};
use serde_json::{Value as Json, json};

use crate::world::{Answer, World, part};

const NAME: &str = "88.999.1/A-1";
const RECORD: &str = "/v1/records/88.999.1/A-1";

/// A pair of an enterprise or an upper node.
fn key() -> SigningKey {
    let folder = tempfile::tempdir().unwrap();
    read_signing_key(&generate(folder.path(), KeyUse::Owner, 1).unwrap()).unwrap()
}

fn jwk(key: &SigningKey) -> Json {
    let key = key.public();
    json!({"kty": key.kty, "crv": key.crv, "x": key.x})
}

fn enterprise(prefix: &str, holder: &str, key: &SigningKey) -> Json {
    json!({"role": "enterprise", "prefix": prefix, "holder": holder, "key": jwk(key)})
}

fn with(mut json: Json, name: &str, value: Json) -> Json {
    json[name] = value;
    json
}

/// What an owner signs of a draft, as the version that it will be.
fn signed(identifier: &str, draft: &Json, version: u64, key: &SigningKey) -> String {
    let now = Timestamp::now();
    let mut record = Record::first(Identifier::parse(identifier).unwrap(), Draft::from_json(draft, now).unwrap(), now);
    record.version = version;
    OwnerPayload::of(&record).unwrap().sign(key).unwrap()
}

impl World {
    async fn license(&self, wanted: &Json) -> Answer {
        self.ask(Method::POST, "/v1/licences").signed().json(wanted).send().await
    }

    /// Gives a licence, or panics; its id.
    async fn licensed(&self, wanted: &Json) -> String {
        let done = self.license(wanted).await;
        assert_eq!(done.status, 201, "{}", done.text());
        done.json()["id"].as_str().unwrap().to_owned()
    }

    async fn end(&self, id: &str, wanted: &Json) -> Answer {
        self.ask(Method::POST, &format!("/v1/licences/{id}/end")).signed().json(wanted).send().await
    }

    async fn statements(&self, query: &str) -> Vec<Json> {
        let listed = self.get(&format!("/v1/licences{query}")).send().await;
        assert_eq!(listed.status, 200, "{}", listed.text());
        listed.json()["statements"].as_array().unwrap().clone()
    }

    async fn put_signed(&self, draft: &Json, owner_jws: &str, if_match: Option<&str>) -> Answer {
        let ask = self.ask(Method::PUT, RECORD).signed();
        let ask = if let Some(version) = if_match { ask.header("if-match", version) } else { ask };
        ask.json(&with(draft.clone(), "owner_jws", owner_jws.into())).send().await
    }

    /// A resolution with all that bears on it, as a bundle has it.
    async fn bundle(&self, identifier: &str, index: u64) -> Json {
        let mut bundle = self.get(&format!("/v1/resolve/{identifier}?entry=1")).send().await.json();
        bundle["index"] = index.into();
        bundle["licences"] = self
            .statements(&format!("?identifier={identifier}"))
            .await
            .iter()
            .map(|stated| json!({"index": stated["index"], "statement": stated["statement"]}))
            .collect();
        bundle
    }

    async fn entry_keys(&self) -> Vec<PublicJwk> {
        let set = self.get("/.well-known/jwks.json").send().await.json();
        set["keys"].as_array().unwrap().iter().map(|key| serde_json::from_value(key.clone()).unwrap()).collect()
    }
}

fn assert_refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{}", answer.text());
}

fn finding(report: &Report, name: &str) -> Option<Finding> {
    report.steps.iter().find(|step| step.name == name).map(|step| step.finding)
}

#[tokio::test]
async fn a_prefix_has_one_holder_who_may_have_several_keys() {
    let world = World::new().await;
    let (first, second, other) = (key(), key(), key());
    let id = world.licensed(&enterprise("88.999.1", "甲", &first)).await;
    assert_refused(&world.license(&enterprise("88.999.1", "甲", &first)).await, 409, "licence_in_force");
    assert_refused(&world.license(&enterprise("88.999.1", "乙", &other)).await, 409, "licence_in_force");
    world.licensed(&enterprise("88.999.1", "甲", &second)).await;
    let ended = world.end(&id, &json!({"reason": "rotated"})).await;
    assert_eq!(ended.status, 201, "{}", ended.text());
    assert_eq!((&ended.json()["kind"], &ended.json()["licence"]), (&json!("end"), &json!(id)));
    assert_refused(&world.end(&id, &json!({"reason": "revoked"})).await, 409, "licence_ended");
    for unknown in ["none", &"A".repeat(43)] {
        assert_refused(&world.end(unknown, &json!({"reason": "revoked"})).await, 404, "licence_unknown");
    }
    let given = enterprise("88.999.1", "乙", &other);
    world.licensed(&with(given, "replace", json!({"reason": "transferred"}))).await;
    let listed = world.statements("?prefix=88.999.1").await;
    let kinds: Vec<&str> = listed.iter().map(|stated| stated["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["licence", "licence", "end", "end", "licence"]);
    let standing: Vec<bool> = listed.iter().filter_map(|stated| stated["in_force"].as_bool()).collect();
    assert_eq!(standing, [false, false, true]);
    assert_eq!(listed[3]["reason"], "transferred");
    assert_eq!(listed[3]["index"].as_u64().unwrap() + 1, listed[4]["index"].as_u64().unwrap(), "one step in the log");
    let sequence: Vec<u64> = listed.iter().map(|stated| stated["seq"].as_u64().unwrap()).collect();
    assert_eq!(sequence, [1, 2, 3, 4, 5]);
    // Public, and the same page by page.
    let mut paged = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let page = world.get(&format!("/v1/licences{query}")).send().await.json();
        paged.extend(page["statements"].as_array().unwrap().clone());
        let Some(next) = page["next_cursor"].as_str() else { break };
        query = format!("?limit=2&cursor={next}");
    }
    assert_eq!(paged, listed);
    for query in ["limit=0", "cursor=x", "prefix=88.999.1&identifier=88.999.1%2Fa", "prefix=88.999.1&limit=1"] {
        assert_refused(&world.get(&format!("/v1/licences?{query}")).send().await, 400, "query_invalid");
    }
    assert_refused(&world.get("/v1/licences?identifier=88.123/a").send().await, 404, "not_responsible");
}

#[tokio::test]
async fn who_may_license_and_what_is_refused() {
    let world = World::new().await;
    let holder = key();
    let good = enterprise("88.999.1", "甲", &holder);
    let stranger = world.ask(Method::POST, "/v1/licences").json(&good).send().await;
    assert_refused(&stranger, 401, "missing_credentials");
    assert_refused(&world.license(&enterprise("88.123.1", "甲", &holder)).await, 404, "not_responsible");
    // A licence of 88.999.1 says nothing of its neighbour, which is not served here.
    assert_refused(&world.license(&enterprise("88.999.10", "甲", &holder)).await, 404, "not_responsible");
    let private = with(jwk(&holder), "d", "AAAA".into());
    for (body, pointer) in [
        (json!([]), ""),
        (json!({}), "/role"),
        (with(good.clone(), "role", "owner".into()), "/role"),
        (with(good.clone(), "prefix", "88..1".into()), "/prefix"),
        (with(good.clone(), "holder", " ".into()), "/holder"),
        (with(good.clone(), "key", json!({"kty": "RSA"})), "/key"),
        (with(good.clone(), "key", private), "/key/d"),
        (with(good.clone(), "owner_signature", "always".into()), "/owner_signature"),
        (with(good.clone(), "surprise", 1.into()), "/surprise"),
        (with(good.clone(), "replace", json!({"reason": "transferred"})), "/replace"),
        (with(good.clone(), "replace", json!({"reason": "compromised"})), "/replace/not_after"),
        (with(good.clone(), "replace", json!({"reason": "rotated", "not_after": 1})), "/replace/not_after"),
        (with(good.clone(), "replace", json!({"reason": "rotated", "at": 1})), "/replace/at"),
        (json!({"role": "node", "grant": "a.b.c"}), "/grant"),
    ] {
        let refused = world.license(&body).await;
        assert_refused(&refused, 422, "fields_invalid");
        assert_eq!(refused.json()["errors"][0]["pointer"], pointer, "{}", refused.text());
    }
    let id = world.licensed(&good).await;
    let to_come = world.end(&id, &json!({"reason": "compromised", "not_after": 1_000_000})).await;
    assert_eq!(to_come.json()["errors"][0]["pointer"], "/not_after");
}

#[tokio::test]
async fn of_two_who_are_licensed_at_once_one_is() {
    let world = World::new().await;
    let keys: Vec<SigningKey> = (0..8).map(|_| key()).collect();
    let wanted: Vec<Json> =
        keys.iter().enumerate().map(|(at, key)| enterprise("88.999.1", &format!("持有者{at}"), key)).collect();
    let answers = futures_util::future::join_all(wanted.iter().map(|wanted| world.license(wanted))).await;
    let given = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(given, 1);
    assert_eq!(world.statements("?prefix=88.999.1").await.len(), 1);
}

#[tokio::test]
async fn a_prefix_has_a_bounded_number_of_statements() {
    let world = World::new().await;
    let holder = key();
    for _ in 0..128 {
        let id = world.licensed(&enterprise("88.999.1", "甲", &holder)).await;
        assert_eq!(world.end(&id, &json!({"reason": "revoked"})).await.status, 201);
    }
    assert_refused(&world.license(&enterprise("88.999.1", "甲", &holder)).await, 409, "licence_chain_full");
    assert_eq!(world.statements("?prefix=88.999.1").await.len(), 256);
}

#[tokio::test]
async fn an_owners_signature_is_kept_with_the_entry_and_the_chain_verifies() {
    let world = World::new().await;
    let (upper, holder) = (key(), key());
    let own = world.entry_keys().await;
    let grant = Grant {
        iat: 1,
        iss: "https://top.example.cn".to_owned(),
        by: upper.public(),
        prefix: "88.999".to_owned(),
        holder: "urn:mingpai:dev".to_owned(),
        keys: own.clone(),
    };
    let foreign = Grant { keys: vec![key().public()], ..grant.clone() }.sign(&upper).unwrap();
    let refused = world.license(&json!({"role": "node", "grant": foreign})).await;
    assert_refused(&refused, 422, "fields_invalid");
    let wanted = json!({"role": "node", "grant": grant.sign(&upper).unwrap()});
    world.licensed(&wanted).await;
    assert_refused(&world.license(&wanted).await, 409, "licence_in_force");
    let id = world.licensed(&enterprise("88.999.1", "甲", &holder)).await;
    let draft = part("螺栓");
    let owner_jws = signed(NAME, &draft, 1, &holder);
    let done = world.put_signed(&draft, &owner_jws, None).await;
    assert_eq!(done.status, 201, "{}", done.text());
    let index = done.json()["index"].as_u64().unwrap();
    let bundle = world.bundle(NAME, index).await;
    assert!(bundle["entry"].as_str().unwrap().len() > owner_jws.len());
    let pinned = upper.public();
    let known = Known { keys: &own, upper: Some(&pinned), are_licences_proven: true, ..Known::default() };
    let report = verify_document(bundle.to_string().as_bytes(), known);
    assert_eq!(report.verdict(), Finding::Pass, "{report:?}");
    for name in ["statements", "key_range", "node_licence", "owner_licence", "owner_signature"] {
        assert_eq!(finding(&report, name), Some(Finding::Pass), "{name}");
    }
    let unproven = verify_document(bundle.to_string().as_bytes(), Known { are_licences_proven: false, ..known });
    assert_eq!(finding(&unproven, "statements"), Some(Finding::Unknown));
    assert_eq!(unproven.verdict(), Finding::Unknown);
    let mut bare = bundle.clone();
    bare.as_object_mut().unwrap().remove("licences");
    // Whoever gives the upper node's key asks whose it is, and is not told.
    let untold = verify_document(bare.to_string().as_bytes(), known);
    assert_eq!((untold.verdict(), finding(&untold, "node_licence")), (Finding::Unknown, Some(Finding::Unknown)));
    let unasked = verify_document(bare.to_string().as_bytes(), Known { upper: None, ..known });
    assert_eq!(unasked.verdict(), Finding::Pass, "nobody asked whose it is");
    let stranger = key().public();
    let elsewhere = verify_document(bundle.to_string().as_bytes(), Known { upper: Some(&stranger), ..known });
    assert_eq!(finding(&elsewhere, "node_licence"), Some(Finding::Fail));
    // Found out later: the key was known to others before this entry.
    let compromised = world.end(&id, &json!({"reason": "compromised", "not_after": index - 1})).await;
    assert_eq!(compromised.status, 201, "{}", compromised.text());
    let report = verify_document(world.bundle(NAME, index).await.to_string().as_bytes(), known);
    assert_eq!(finding(&report, "owner_licence"), Some(Finding::Fail), "{report:?}");
}

#[tokio::test]
async fn an_owners_signature_over_anything_else_is_refused() {
    let world = World::new().await;
    let (holder, other) = (key(), key());
    let draft = part("螺栓");
    let right = signed(NAME, &draft, 1, &holder);
    assert_refused(&world.put_signed(&draft, &right, None).await, 403, "owner_not_licensed");
    let id = world.licensed(&enterprise("88.999.1", "甲", &holder)).await;
    assert_refused(&world.put_signed(&draft, &signed(NAME, &draft, 1, &other), None).await, 403, "owner_not_licensed");
    let ahead = world.put_signed(&draft, &signed(NAME, &draft, 2, &holder), None).await;
    assert_refused(&ahead, 409, "owner_version_moved");
    let elsewhere = world.put_signed(&draft, &signed("88.999.1/B", &draft, 1, &holder), None).await;
    assert_refused(&elsewhere, 422, "owner_signature_invalid");
    assert_refused(&world.put_signed(&draft, "a.b.c", None).await, 422, "owner_signature_invalid");
    let mismatch = world.put_signed(&part("螺母"), &right, None).await;
    assert_refused(&mismatch, 422, "owner_digest_mismatch");
    let (head, signature) = right.rsplit_once('.').unwrap();
    let letter = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{head}.{letter}{}", &signature[1..]);
    assert_refused(&world.put_signed(&draft, &forged, None).await, 422, "owner_signature_invalid");
    assert_eq!(world.get(RECORD).send().await.status, 404, "nothing of it was registered");
    // A key of the neighbour's licence is none of this prefix.
    let below = signed("88.999/A", &draft, 1, &holder);
    let body = with(draft.clone(), "owner_jws", below.into());
    let above = world.ask(Method::PUT, "/v1/records/88.999/A").signed().json(&body).send().await;
    assert_refused(&above, 403, "owner_not_licensed");
    assert_eq!(world.put_signed(&draft, &right, None).await.status, 201);
    // The version that was signed has passed, whatever the caller says of the one it changes.
    assert_refused(&world.put_signed(&draft, &right, Some("*")).await, 409, "owner_version_moved");
    let second = signed(NAME, &part("螺母"), 2, &holder);
    assert_eq!(world.put_signed(&part("螺母"), &second, Some("\"1\"")).await.status, 200);
    assert_eq!(world.end(&id, &json!({"reason": "revoked"})).await.status, 201);
    let third = signed(NAME, &draft, 3, &holder);
    assert_refused(&world.put_signed(&draft, &third, Some("*")).await, 403, "owner_not_licensed");
}

#[tokio::test]
async fn a_licence_that_asks_for_the_signature_gets_one_or_nothing_is_registered() {
    let world = World::new().await;
    let holder = key();
    let wanted = with(enterprise("88.999", "甲", &holder), "owner_signature", "required".into());
    world.licensed(&wanted).await;
    let draft = part("螺栓");
    let bare = world.ask(Method::PUT, RECORD).signed().json(&draft).send().await;
    assert_refused(&bare, 422, "owner_signature_required");
    let minted = with(draft.clone(), "prefix", "88.999.1".into());
    let minted = world.ask(Method::POST, "/v1/records").signed().json(&minted).send().await;
    assert_refused(&minted, 422, "owner_signature_required");
    assert_eq!(world.put_signed(&draft, &signed(NAME, &draft, 1, &holder), None).await.status, 201);
    // A patch: the owner signs what the record will be.
    let patch = json!({"status": "recalled"});
    let bare = world.ask(Method::PATCH, RECORD).signed().header("if-match", "*").json(&patch).send().await;
    assert_refused(&bare, 422, "owner_signature_required");
    let after = with(draft.clone(), "status", "recalled".into());
    let patch = with(patch, "owner_jws", signed(NAME, &after, 2, &holder).into());
    assert_eq!(world.change(Method::PATCH, NAME, &patch).await.json()["version"], 2);
    // Rows of an import carry it too.
    let rows = [
        json!({"identifier": "88.999.1/B", "values": draft["values"], "owner_jws": signed("88.999.1/B", &draft, 1, &holder)}),
        json!({"identifier": "88.999.1/C", "values": draft["values"]}),
    ];
    let rows = rows.map(|row| format!("{row}\n")).concat();
    let ended = world.import("", "application/x-ndjson", rows).await;
    assert_eq!((&ended["rows"]["registered"], &ended["rows"]["failed"]), (&json!(1), &json!(1)), "{ended}");
    let errors =
        world.get(ended["errors"].as_str().unwrap()).signed().header("accept", "application/x-ndjson").send().await;
    assert!(errors.text().contains("owner_signature_required"), "{}", errors.text());
    let deleted = world.ask(Method::DELETE, RECORD).signed().header("if-match", "*").send().await;
    assert_eq!(deleted.status, 200, "a tombstone has no content to sign");
}

#[tokio::test]
async fn the_signature_goes_only_to_who_sees_all_that_it_is_over() {
    let world = World::new().await;
    let holder = key();
    world.licensed(&enterprise("88.999.1", "甲", &holder)).await;
    let draft = json!({"values": [
        {"index": 2000, "type": "名称", "data": "螺栓"},
        {"index": 2001, "type": "成本", "data": 3, "visibility": "owner"},
    ]});
    let owner_jws = signed(NAME, &draft, 1, &holder);
    assert_eq!(world.put_signed(&draft, &owner_jws, None).await.status, 201);
    let names = |entry: &str| -> Vec<String> {
        let shown = entry.split('~').skip(1).filter(|part| !part.is_empty());
        shown.map(|part| mingpai::sign::sd_jwt::open(part, &mut Vec::new()).unwrap().0.into_owned()).collect()
    };
    let shown = world.get(&format!("/v1/resolve/{NAME}?entry=1")).send().await.json();
    let hidden = names(shown["entry"].as_str().unwrap());
    assert!(hidden.contains(&"value/2000".to_owned()) && !hidden.contains(&"owner_jws".to_owned()), "{hidden:?}");
    let open = part("螺母");
    let owner_jws = signed(NAME, &open, 2, &holder);
    assert_eq!(world.put_signed(&open, &owner_jws, Some("*")).await.status, 200);
    let shown = world.get(&format!("/v1/resolve/{NAME}?entry=1")).send().await.json();
    assert!(names(shown["entry"].as_str().unwrap()).contains(&"owner_jws".to_owned()));
}

#[tokio::test]
async fn licences_and_ends_of_keys_outlive_a_restart_and_a_new_key_is_in_the_chain() {
    let world = World::new().await;
    let holder = key();
    let id = world.licensed(&enterprise("88.999.1", "甲", &holder)).await;
    world.end(&id, &json!({"reason": "revoked"})).await;
    world.licensed(&enterprise("88.999.1", "甲", &holder)).await;
    let before = world.statements("?identifier=88.999.1/a").await;
    assert_eq!(before[0]["kind"], "key", "the genesis");
    let old = world.entry_keys().await.remove(0);
    generate(&world.folder().join("keys"), KeyUse::Entry, 9_000_000_000).unwrap();
    let world = world.restarted("").await;
    let after = world.statements("?identifier=88.999.1/a").await;
    assert_eq!(after[..before.len()], before, "the rows are made from the journal alone");
    assert_eq!(after.len(), before.len() + 1, "and the new key follows");
    let target = |kid: &str| format!("/v1/signing-keys/{kid}/end");
    let end = async |kid: &str, not_after: u64| {
        world.ask(Method::POST, &target(kid)).signed().json(&json!({"not_after": not_after})).send().await
    };
    let active = world.entry_keys().await.remove(1);
    assert_refused(&end(&active.kid, 0).await, 409, "signing_key_active");
    assert_refused(&end("none", 0).await, 404, "signing_key_unknown");
    assert_refused(&end(&old.kid, 1_000_000).await, 422, "fields_invalid");
    assert_eq!(end(&old.kid, 2).await.status, 201);
    assert_refused(&end(&old.kid, 1).await, 409, "signing_key_ended");
    let set = world.get("/.well-known/jwks.json").send().await.json();
    assert_eq!(set["keys"][0]["mingpai:until"], 2);
    // What the new key signs is judged by the whole succession; what the old one signed after the index is not believed.
    let done = world.register(NAME, &part("螺栓")).await;
    let keys = world.entry_keys().await;
    let known = Known { keys: &keys, are_licences_proven: true, ..Known::default() };
    let bundle = world.bundle(NAME, done.json()["index"].as_u64().unwrap()).await;
    let report = verify_document(bundle.to_string().as_bytes(), known);
    assert_eq!(finding(&report, "key_range"), Some(Finding::Pass), "{report:?}");
    let early = with(bundle, "index", 2.into());
    let report = verify_document(early.to_string().as_bytes(), known);
    assert_eq!(finding(&report, "key_range"), Some(Finding::Fail), "not yet at that index");
}
