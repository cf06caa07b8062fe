//! API keys, the bootstrap token, the keys that sign.

use http::Method;
use mingpai::model::permitted::Permitted;
use mingpai::services::administer::CreateKey;
use serde_json::json;

use crate::world::{World, part};

#[tokio::test]
async fn the_bootstrap_token_opens_one_door_once() {
    let world = World::new().await;
    // The first exchange was made by the world. A key exists, so no token is put out again.
    assert!(world.node.services.put_bootstrap_out(std::path::Path::new("unused")).unwrap().is_none());
    let keys = world.get("/v1/keys").signed().send().await.json();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_key_is_shown_once_and_opens_until_it_is_revoked() {
    let world = World::new().await;
    let made = world
        .ask(Method::POST, "/v1/keys")
        .signed()
        .json(&json!({"label": "导入脚本", "expires": "9000-01-01T00:00:00Z"}))
        .send()
        .await;
    assert_eq!((made.status.as_u16(), made.header("cache-control")), (201, "no-store"));
    let body = made.json();
    let (id, text) = (body["id"].as_str().unwrap(), body["key"].as_str().unwrap());
    assert!(text.starts_with("mpk_"));
    let location = made.header("location").to_owned();
    assert_eq!(location, format!("/v1/keys/{id}"));
    let shown = world.get(&location).signed().send().await;
    assert_eq!(shown.json()["label"], "导入脚本");
    assert_eq!(shown.json()["revoked"], false);
    let all = world.get("/v1/keys").signed().send().await.text();
    for answer in [shown.text(), all] {
        assert!(!answer.contains("hash") && !answer.contains(text));
    }
    let with_token = |token: &str| {
        world
            .ask(Method::PUT, "/v1/records/88.999.1/a")
            .header("authorization", &format!("bearer {token}"))
            .header("if-none-match", "*")
            .json(&part("a"))
            .send()
    };
    let with_it = || with_token(text);
    // Another secret under its id, before the key is known to be one and after.
    let other = format!("mpk_{id}_{}", "a".repeat(51));
    let other = format!("{other}_{:08x}", crc32c::crc32c(other.as_bytes()));
    assert_eq!(with_token(&other).await.code(), "bad_credentials");
    assert!(world.get(&location).signed().send().await.json().get("last_used").is_none(), "a wrong secret is no use");
    assert_eq!(with_it().await.status, 201);
    let last_used = world.get(&location).signed().send().await.json()["last_used"].as_str().unwrap().to_owned();
    assert!(last_used.ends_with(":00Z"), "{last_used}");
    assert_eq!(with_token(&other).await.code(), "bad_credentials");
    for _ in 0..2 {
        let revoked = world.ask(Method::DELETE, &location).signed().send().await;
        assert_eq!((revoked.status.as_u16(), revoked.body.len()), (204, 0));
        assert!(!revoked.headers.contains_key("content-length"));
    }
    assert_eq!(with_it().await.code(), "bad_credentials");
    assert_eq!(world.get(&location).signed().send().await.json()["revoked"], true);
    for method in [Method::GET, Method::DELETE] {
        let unknown = world.ask(method, "/v1/keys/none").signed().send().await;
        assert_eq!((unknown.status.as_u16(), unknown.code().as_str()), (404, "key_unknown"));
    }
}

#[tokio::test]
async fn all_keys_are_listed_page_by_page_and_each_can_be_asked_for() {
    let world = World::new().await;
    let make = |number: usize| {
        let request = CreateKey::for_administrator(&number.to_string());
        world.node.services.create_key(Permitted::bypassing_the_guard("test", request))
    };
    let made = futures_util::future::join_all((0..1_000).map(make)).await;
    let mut ids: Vec<String> = made.into_iter().map(|key| key.unwrap().key.id).collect();
    let pages = async |limit: &str| {
        let (mut found, mut sizes, mut cursor) = (Vec::new(), Vec::new(), String::new());
        loop {
            let page = world.get(&format!("/v1/keys?{limit}{cursor}")).signed().send().await.json();
            let keys = page["keys"].as_array().unwrap();
            found.extend(keys.iter().map(|key| key["id"].as_str().unwrap().to_owned()));
            sizes.push(keys.len());
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        (found, sizes)
    };
    let (found, sizes) = pages("").await;
    assert_eq!(sizes, [1_000, 1]);
    assert!(found.is_sorted_by(|one, next| one < next), "each once, in the order of the ids");
    // The world's own is there too.
    ids.extend(found.iter().filter(|id| !ids.contains(id)).cloned().collect::<Vec<_>>());
    ids.sort();
    assert_eq!(found, ids);
    let (same, sizes) = pages("limit=143").await;
    assert_eq!((same, sizes), (found, vec![143; 7]), "no empty page follows the last");
    for id in [&ids[0], &ids[1_000]] {
        assert_eq!(world.get(&format!("/v1/keys/{id}")).signed().send().await.json()["id"], id.as_str());
    }
    let foreign = mingpai::codec::cursor::encode(mingpai::codec::cursor::Kind::Records, &ids[0]);
    for query in ["limit=0", "limit=1001", "cursor=x", &format!("cursor={foreign}")] {
        let refused = world.get(&format!("/v1/keys?{query}")).signed().send().await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (400, "query_invalid"), "{query}");
    }
}

#[tokio::test]
async fn a_wish_for_a_key_that_is_wrong_is_refused() {
    let world = World::new().await;
    for (body, pointer) in [
        (json!([]), ""),
        (json!({"label": 1}), "/label"),
        (json!({"label": "a\nb"}), "/label"),
        (json!({"expires": "2001-01-01T00:00:00Z"}), "/expires"),
        (json!({"rolle": "administrator"}), "/rolle"),
    ] {
        let answer = world.ask(Method::POST, "/v1/keys").signed().json(&body).send().await;
        assert_eq!(answer.code(), "fields_invalid");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer);
    }
}

#[tokio::test]
async fn the_making_of_a_key_cannot_be_repeated() {
    let world = World::new().await;
    let answer = world.ask(Method::POST, "/v1/keys").signed().header("idempotency-key", "k").send().await;
    assert_eq!(answer.code(), "header_invalid");
    let keys = world.get("/v1/keys").signed().send().await.json();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_keys_that_sign_are_public_and_verify_what_is_served() {
    let world = World::new().await;
    world.register("88.999.1/a", &part("一")).await;
    let set = world.get("/.well-known/jwks.json").send().await;
    assert_eq!(set.header("access-control-allow-origin"), "*");
    assert_eq!(set.header("cache-control"), "public, max-age=60");
    let by_name = world.get("/.well-known/jwks.json").header("accept", "application/jwk-set+json").send().await;
    assert_eq!((by_name.header("content-type"), by_name.json()), ("application/jwk-set+json", set.json()));
    let key = set.json()["keys"][0].clone();
    assert_eq!(
        (&key["crv"], &key["mingpai:active"], &key["mingpai:from"]),
        (&json!("Ed25519"), &json!(true), &json!(0))
    );
    assert!(key.get("d").is_none(), "nothing private");
    let entry = world.get("/v1/resolve/88.999.1/a?entry=1").send().await.json();
    let statement = entry["entry"].as_str().unwrap().split('~').next().unwrap().to_owned();
    let (signed, signature) = statement.rsplit_once('.').unwrap();
    use base64::Engine;
    let decode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap();
    let public = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, decode(key["x"].as_str().unwrap()));
    assert!(public.verify(signed.as_bytes(), &decode(signature)).is_ok());
    assert!(public.verify(b"other", &decode(signature)).is_err());
}
