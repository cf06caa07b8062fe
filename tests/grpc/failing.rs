//! What fails, and as what: the codes are those of HTTP, and so is the order in which things are judged.

use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body_util::Full;
use mingpai::codec::grpc::wire::v1 as wire;
use mingpai::codec::problem;
use mingpai::metrics::Outcome;
use prost::Message;
use serde_json::json;
use tonic::Code;
use tonic_types::StatusExt;

use crate::caller::{Call, Surface, ended, failed, framed, one, reason, status};
use crate::world::{World, part};

const REGISTER: &str = "/mingpai.v1.Registrar/Register";
const RESOLVE: &str = "/mingpai.v1.Resolver/Resolve";

fn asked(identifier: &str) -> wire::ResolveRequest {
    wire::ResolveRequest { identifier: identifier.to_owned(), ..Default::default() }
}

fn assumes(assumes: wire::precondition::Assumes) -> Option<wire::Precondition> {
    Some(wire::Precondition { assumes: Some(assumes) })
}

#[tokio::test]
async fn the_same_question_fails_with_the_same_code_over_both() {
    let world = World::new().await;
    let surface = Surface::of(&world);
    world.register("88.999.1/A1", &part("一")).await;
    world.register("88.999.1/GONE", &part("二")).await;
    world.change(Method::DELETE, "88.999.1/GONE", &json!({})).await;
    for (identifier, code) in [
        ("88.999.1/NOBODY", Code::NotFound),
        ("88.999.1/GONE", Code::NotFound),
        ("no identifier", Code::InvalidArgument),
        ("", Code::InvalidArgument),
    ] {
        let over_grpc = failed(Call::to(RESOLVE).send(&surface, &asked(identifier)).await).await;
        let target = format!("/v1/resolve/{}", identifier.replace(' ', "%20"));
        let over_http = world.get(&target).send().await;
        assert_eq!(over_grpc, (code, over_http.code()), "{identifier}");
    }
    let change = |identifier: &str, precondition| wire::RegisterRequest {
        identifier: identifier.to_owned(),
        precondition,
        ..Default::default()
    };
    for (request, header, code) in [
        (change("88.999.1/A1", None), None, Code::FailedPrecondition),
        (
            change("88.999.1/A1", assumes(wire::precondition::Assumes::Version(7))),
            Some(("if-match", "\"7\"")),
            Code::FailedPrecondition,
        ),
        (
            change("88.999.1/A1", assumes(wire::precondition::Assumes::Absent(true))),
            Some(("if-none-match", "*")),
            Code::AlreadyExists,
        ),
        (
            change("88.999.1/NEW", assumes(wire::precondition::Assumes::Any(true))),
            Some(("if-match", "*")),
            Code::FailedPrecondition,
        ),
        (change("88.777/A1", None), None, Code::NotFound),
    ] {
        let over_grpc = failed(Call::to(REGISTER).signed(&world).send(&surface, &request).await).await;
        let target = format!("/v1/records/{}", request.identifier);
        let mut ask = world.ask(Method::PUT, &target).signed().json(&json!({}));
        if let Some((name, value)) = header {
            ask = ask.header(name, value);
        }
        assert_eq!(over_grpc, (code, ask.send().await.code()), "{request:?}");
    }
}

#[tokio::test]
async fn who_asks_is_judged_before_what_is_asked() {
    let world = World::new().await;
    let surface = Surface::of(&world);
    let nonsense = || Full::new(Bytes::from_static(b"\xff\xff\xff\xff\xff\xff"));
    let missing = Call::to(REGISTER).stream(&surface, nonsense()).await;
    assert_eq!(failed(missing).await, (Code::Unauthenticated, "missing_credentials".to_owned()));
    let bad = Call::to(RESOLVE).header("authorization", "Bearer no-key").stream(&surface, nonsense()).await;
    assert_eq!(failed(bad).await, (Code::Unauthenticated, "bad_credentials".to_owned()));
    let signed = Call::to(REGISTER).signed(&world).stream(&surface, nonsense()).await;
    assert_eq!(failed(signed).await, (Code::InvalidArgument, "message_malformed".to_owned()));
}

#[tokio::test]
async fn a_message_is_as_large_as_http_would_take_it() {
    let world = World::with(&[("limits.uri_bytes", "1024"), ("limits.body_bytes", "4096")]).await;
    let surface = Surface::of(&world);
    let too_large = (Code::ResourceExhausted, "body_too_large".to_owned());
    let name = |bytes: usize| asked(&"x".repeat(bytes));
    assert_eq!(failed(Call::to(RESOLVE).send(&surface, &name(1024)).await).await, too_large);
    let fits = failed(Call::to(RESOLVE).send(&surface, &name(1000)).await).await;
    assert_eq!(fits, (Code::InvalidArgument, "identifier_invalid".to_owned()));
    let draft = |bytes: usize| wire::RegisterRequest { identifier: "x".repeat(bytes), ..Default::default() };
    assert_eq!(failed(Call::to(REGISTER).signed(&world).send(&surface, &draft(4096)).await).await, too_large);
    let fits = failed(Call::to(REGISTER).signed(&world).send(&surface, &draft(4000)).await).await;
    assert_eq!(fits, (Code::InvalidArgument, "identifier_invalid".to_owned()));
    // A length that is only said reserves nothing beyond the limit, and is refused before the bytes come.
    let said = Full::new(Bytes::from_static(b"\x00\xff\xff\xff\xff"));
    assert_eq!(failed(Call::to(RESOLVE).stream(&surface, said).await).await, too_large);
}

#[tokio::test]
async fn what_is_no_message_is_told_so() {
    let world = World::new().await;
    let surface = Surface::of(&world);
    let good = framed(&asked("88.999.1/A1"));
    for (what, bytes) in [
        ("nothing", Bytes::new()),
        ("a cut message", good.slice(..good.len() - 1)),
        ("half a length", good.slice(..3)),
        ("an odd flag", [&[2], &good[1..]].concat().into()),
        ("a field of another type", Bytes::from_static(b"\x00\x00\x00\x00\x02\x08\x01")),
        ("no UTF-8", Bytes::from_static(b"\x00\x00\x00\x00\x03\x0a\x01\xff")),
    ] {
        let code = failed(Call::to(RESOLVE).stream(&surface, Full::new(bytes)).await).await;
        assert_eq!(code, (Code::InvalidArgument, "message_malformed".to_owned()), "{what}");
    }
    // A field that is not known yet is passed over: that is how the interface grows.
    let mut newer = asked("88.999.1/A1").encode_to_vec();
    newer.extend_from_slice(b"\xf8\x07\x01");
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(newer.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&newer);
    let code = failed(Call::to(RESOLVE).stream(&surface, Full::new(Bytes::from(frame))).await).await;
    assert_eq!(code.1, "identifier_unknown");
}

#[tokio::test]
async fn what_cannot_be_called_is_told_apart_from_what_is_not_found() {
    let world = World::new().await;
    let surface = Surface::reflecting(&world, false);
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    for path in ["/mingpai.v1.Resolver/Nothing", "/mingpai.v2.Resolver/Resolve", "/", reflection] {
        let code = failed(Call::to(path).send(&surface, &asked("a")).await).await;
        assert_eq!(code, (Code::Unimplemented, "route_unknown".to_owned()), "{path}");
    }
    let developing = Surface::of(&world);
    let answer = Call::to(reflection).stream(&developing, Full::new(Bytes::new())).await;
    assert_eq!(ended::<()>(answer).await.1.code(), Code::Ok);
    let request = http::Request::put(RESOLVE).header("content-type", "application/grpc");
    let answer = surface.grpc.answer(request.body(Full::new(Bytes::new())).unwrap()).await;
    assert_eq!(failed(answer).await.1, "method_not_allowed");
    let request = http::Request::post(RESOLVE).header("content-type", "application/grpc+json");
    let answer = surface.grpc.answer(request.body(Full::new(Bytes::new())).unwrap()).await;
    assert_eq!(failed(answer).await.1, "unsupported_media_type");
}

#[tokio::test]
async fn an_answer_says_how_it_ended_although_http_says_200() {
    let world = World::new().await;
    let surface = Surface::of(&world);
    world.register("88.999.1/A1", &part("一")).await;
    for (name, outcome) in
        [("88.999.1/A1", Outcome::Ok), ("88.999.1/NOBODY", Outcome::Unknown), ("no identifier", Outcome::Refused)]
    {
        let answer = Call::to(RESOLVE).send(&surface, &asked(name)).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.extensions().get(), Some(&outcome), "{name}");
    }
    let refused = surface.grpc.refuse(problem::Code::Overloaded, &HeaderMap::new());
    assert_eq!((refused.status().as_u16(), refused.extensions().get()), (200, Some(&Outcome::Failed)));
    let status = status(refused.headers());
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "overloaded"));
    assert_eq!(status.get_error_details().retry_info().unwrap().retry_delay.unwrap().as_secs(), 1);
}

#[tokio::test]
async fn a_key_of_one_way_does_not_stand_for_a_request_of_the_other() {
    let world = World::new().await;
    let surface = Surface::of(&world);
    let request = wire::RegisterRequest {
        identifier: "88.999.1/A1".to_owned(),
        idempotency_key: "k-1".to_owned(),
        ..Default::default()
    };
    let first: wire::Registered = one(Call::to(REGISTER).signed(&world).send(&surface, &request).await).await;
    let again: wire::Registered = one(Call::to(REGISTER).signed(&world).send(&surface, &request).await).await;
    assert_eq!((again.leaf, again.version, again.repeated), (first.leaf, 1, true));
    let ask = world.ask(Method::PUT, "/v1/records/88.999.1/A1").signed().header("idempotency-key", "k-1");
    assert_eq!(ask.json(&json!({})).send().await.code(), "idempotency_mismatch");
    let known = world.get("/v1/requests/k-1").signed().send().await;
    assert_eq!(known.json()["version"], 1, "but what became of it is told over both");
}
