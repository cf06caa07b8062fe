//! Roles and scopes over gRPC: writing calls by every role, about what is in reach and what is not; hidden values, and jobs.

use bytes::Bytes;
use http::Method;
use mingpai::codec::grpc::wire::v1 as wire;
use prost::Message;
use serde_json::json;
use tonic::Code;

use crate::caller::{Answer, Call, Surface, failed, framed, one};
use crate::world::World;

const PREFIXES: &str = "[[prefixes]]\nprefix = \"10.1000\"\n[[prefixes]]\nprefix = \"10.2000\"\n";
const MINE: &str = "10.1000";
const OTHERS: &str = "10.2000";

async fn key(world: &World, role: &str, prefixes: &[&str]) -> String {
    let body = if prefixes.is_empty() { json!({"role": role}) } else { json!({"role": role, "prefixes": prefixes}) };
    let made = world.ask(Method::POST, "/v1/keys").signed().json(&body).send().await;
    made.json()["key"].as_str().unwrap().to_owned()
}

/// A call in the name of a key.
async fn asked(surface: &Surface, key: &str, method: &str, message: &impl Message) -> Answer {
    let call = Call::to(&format!("/mingpai.v1.{method}")).header("authorization", &format!("Bearer {key}"));
    call.send(surface, message).await
}

/// Makes every writing call about a name below a prefix; what is not refused for its caller is refused for what it says.
async fn refusals(surface: &Surface, key: &str, prefix: &str) -> Vec<(Code, String)> {
    let identifier = format!("{prefix}/absent");
    let never = Some(wire::Precondition { assumes: Some(wire::precondition::Assumes::Version(999)) });
    let register = wire::RegisterRequest { identifier: identifier.clone(), precondition: never, ..Default::default() };
    let patch = wire::PatchRequest { identifier: identifier.clone(), precondition: never, ..Default::default() };
    let delete = wire::DeleteRequest { identifier, precondition: never, ..Default::default() };
    let mint = wire::MintRequest { prefix: prefix.to_owned(), idempotency_key: "\n".to_owned(), ..Default::default() };
    vec![
        failed(asked(surface, key, "Registrar/Register", &register).await).await,
        failed(asked(surface, key, "Registrar/Patch", &patch).await).await,
        failed(asked(surface, key, "Registrar/Delete", &delete).await).await,
        failed(asked(surface, key, "Registrar/Mint", &mint).await).await,
    ]
}

#[tokio::test]
async fn each_role_writes_where_it_may_and_nowhere_else() {
    let world = World::configured(PREFIXES).await;
    let surface = Surface::of(&world);
    let forbidden = (Code::PermissionDenied, "forbidden".to_owned());
    for role in ["reader", "auditor"] {
        let prefixes: &[&str] = if role == "reader" { &[MINE] } else { &[] };
        let key = key(&world, role, prefixes).await;
        for prefix in [MINE, OTHERS] {
            assert!(refusals(&surface, &key, prefix).await.iter().all(|refusal| *refusal == forbidden), "{role}");
        }
    }
    for role in ["registrar", "owner"] {
        let key = key(&world, role, &[MINE]).await;
        let mine = refusals(&surface, &key, MINE).await;
        assert!(mine.iter().all(|refusal| *refusal != forbidden), "{role}: {mine:?}");
        let others = refusals(&surface, &key, OTHERS).await;
        assert_eq!(others[..3], [forbidden.clone(), forbidden.clone(), forbidden.clone()], "{role}");
        let mint = wire::MintRequest { prefix: OTHERS.to_owned(), ..Default::default() };
        assert_eq!(failed(asked(&surface, &key, "Registrar/Mint", &mint).await).await, forbidden, "{role}");
        let mint = wire::MintRequest { prefix: MINE.to_owned(), ..Default::default() };
        let minted: wire::Registered = one(asked(&surface, &key, "Registrar/Mint", &mint).await).await;
        assert!(minted.identifier().starts_with("10.1000/"), "{minted:?}");
    }
}

#[tokio::test]
async fn hidden_values_and_jobs_are_told_to_those_whose_they_are() {
    let world = World::configured(PREFIXES).await;
    let surface = Surface::of(&world);
    let hidden = json!({"values": [{"index": 1, "type": "成本", "data": "SECRET", "visibility": "owner"}]});
    world.register("10.1000/a", &hidden).await;
    let (mine, others) = (key(&world, "registrar", &[MINE]).await, key(&world, "owner", &[OTHERS]).await);
    let auditor = key(&world, "auditor", &[]).await;
    let question = wire::ReadRecordRequest { identifier: "10.1000/a".to_owned() };
    for (key, is_shown) in [(&mine, true), (&others, false), (&auditor, false), (&world.key, true)] {
        let record: wire::Record = one(asked(&surface, key, "Registrar/ReadRecord", &question).await).await;
        assert_eq!(format!("{record:?}").contains("SECRET"), is_shown);
    }
    let row = json!({"identifier": "10.1000/row", "values": []}).to_string();
    let ask = world.ask(Method::POST, "/v1/imports").header("authorization", &format!("Bearer {mine}"));
    let job = ask.typed("application/x-ndjson", row).send().await.json()["id"].as_str().unwrap().to_owned();
    let question = wire::ReadImportRequest { id: job };
    let seen: wire::ImportJob = one(asked(&surface, &mine, "Importer/ReadImport", &question).await).await;
    assert_eq!(seen.id, question.id);
    for method in ["Importer/ReadImport", "Importer/WatchImport", "Importer/ImportErrors"] {
        let unknown = failed(asked(&surface, &others, method, &question).await).await;
        assert_eq!(unknown, (Code::NotFound, "import_unknown".to_owned()), "{method}");
        let call = Call::to(&format!("/mingpai.v1.{method}")).header("authorization", &format!("Bearer {auditor}"));
        let body = http_body_util::Full::<Bytes>::new(framed(&question));
        let refused = failed(call.stream(&surface, body).await).await;
        assert_eq!(refused, (Code::PermissionDenied, "forbidden".to_owned()), "{method}");
    }
}
