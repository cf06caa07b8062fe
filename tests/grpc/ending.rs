//! How calls end that do not end by themselves, and what is left of them: nothing.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use mingpai::codec::grpc::wire::v1 as wire;
use tonic::{Code, Status};

use crate::caller::{Call, Endless, Surface, ended, failed, framed, messages, reason, status};
use crate::world::{World, part};

const RESOLVE: &str = "/mingpai.v1.Resolver/Resolve";
const RESOLVE_STREAM: &str = "/mingpai.v1.Resolver/ResolveStream";
const IMPORT: &str = "/mingpai.v1.Importer/Import";

fn asked(identifier: &str) -> wire::ResolveRequest {
    wire::ResolveRequest { identifier: identifier.to_owned(), ..Default::default() }
}

fn start() -> Bytes {
    framed(&wire::ImportRequest { part: Some(wire::import_request::Part::Start(wire::ImportStart::default())) })
}

fn chunk(bytes: &[u8]) -> Bytes {
    framed(&wire::ImportRequest { part: Some(wire::import_request::Part::Chunk(Bytes::copy_from_slice(bytes))) })
}

fn uploads(world: &World) -> usize {
    std::fs::read_dir(&world.node.services.settings.imports_folder).map_or(0, Iterator::count)
}

/// Waits for what another task does, which nobody tells of.
async fn until(is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "it never came to be");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_call_whose_time_is_over_before_it_begins_is_not_begun() {
    let world = World::new().await;
    let surface = Surface::of(&world);
    world.register("88.999.1/A1", &part("螺栓")).await;
    let late = Call::to(RESOLVE).header("grpc-timeout", "0n").send(&surface, &asked("88.999.1/A1")).await;
    assert_eq!(failed(late).await, (Code::DeadlineExceeded, "deadline_exceeded".to_owned()));
    let nonsense = Call::to(RESOLVE).header("grpc-timeout", "soon").send(&surface, &asked("88.999.1/A1")).await;
    assert_eq!(failed(nonsense).await, (Code::InvalidArgument, "header_invalid".to_owned()));
}

#[tokio::test]
async fn a_deadline_ends_an_upload_and_removes_what_came() {
    let world = World::new().await;
    let surface = Surface::of(&world);
    let (body, trace) = Endless::of(vec![start(), chunk(b"{}\n")], None);
    let call = Call::to(IMPORT).signed(&world).header("grpc-timeout", "300m");
    let answer = call.stream(&surface, body).await;
    assert_eq!(failed(answer).await, (Code::DeadlineExceeded, "deadline_exceeded".to_owned()));
    assert!(trace.is_dropped(), "the request is still read");
    until(|| uploads(&world) == 0).await;
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_no_upload() {
    let world = World::new().await;
    let surface = Surface::of(&world);
    let (body, trace) = Endless::of(vec![start(), chunk(b"{}\n")], None);
    {
        let mut call = std::pin::pin!(Call::to(IMPORT).signed(&world).stream(&surface, body));
        // As hyper does when a stream is reset: the future is dropped where it stands.
        while uploads(&world) == 0 {
            tokio::select! {
                _ = &mut call => panic!("an upload without end has ended"),
                () = tokio::time::sleep(Duration::from_millis(2)) => {}
            }
        }
    }
    assert!(trace.is_dropped());
    until(|| uploads(&world) == 0).await;
}

#[tokio::test]
async fn a_deadline_ends_a_stream_between_two_answers() {
    let world = World::with(&[("limits.grpc_call_seconds", "1")]).await;
    let surface = Surface::of(&world);
    world.register("88.999.1/A1", &part("螺栓")).await;
    let (body, trace) = Endless::of(vec![framed(&asked("88.999.1/A1"))], None);
    let answer = Call::to(RESOLVE_STREAM).stream(&surface, body).await;
    let (results, status) = ended::<wire::ResolveResult>(answer).await;
    assert_eq!(results.len(), 1, "what was asked in time is answered");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "deadline_exceeded"));
    assert!(trace.is_dropped());
}

#[tokio::test]
async fn a_drain_ends_a_stream_that_would_never_end() {
    let world = World::new().await;
    world.register("88.999.1/A1", &part("螺栓")).await;
    // One that waits, and one that is always busy.
    for frame in [None, Some(framed(&asked("88.999.1/A1")))] {
        let surface = Surface::of(&world);
        let (body, trace) = Endless::of(vec![framed(&asked("88.999.1/A1"))], frame);
        let mut answer = Call::to(RESOLVE_STREAM).stream(&surface, body).await.into_body();
        let first = answer.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(!messages::<wire::ResolveResult>(first).is_empty());
        surface.stop.send_replace(true);
        let last = answer.frame().await.unwrap().unwrap().into_trailers().expect("the end");
        let status = status(&last);
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "draining"));
        assert!(trace.is_dropped(), "whatever made answers has ended");
        assert!(answer.frame().await.is_none());
    }
}

#[tokio::test]
async fn a_whole_answer_is_not_cut_by_a_drain() {
    let world = World::new().await;
    let surface = Surface::of(&world);
    world.register("88.999.1/A1", &part("螺栓")).await;
    surface.stop.send_replace(true);
    let answer = Call::to(RESOLVE).send(&surface, &asked("88.999.1/A1")).await;
    assert_eq!(ended::<wire::Resolution>(answer).await.1.code(), Code::Ok);
}

#[tokio::test]
async fn who_takes_no_answers_is_asked_for_no_questions() {
    let world = World::new().await;
    let surface = Surface::of(&world);
    world.register("88.999.1/A1", &part(&"螺".repeat(2000))).await;
    let (body, trace) = Endless::of(Vec::new(), Some(framed(&asked("88.999.1/A1"))));
    let mut answer = Call::to(RESOLVE_STREAM).stream(&surface, body).await.into_body();
    assert_eq!(trace.taken(), 0, "nothing is read before an answer is wanted");
    let mut results = 0;
    for _ in 0..20 {
        let frame = answer.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(frame.len() < 64 * 1024, "{} bytes at once", frame.len());
        results += messages::<wire::ResolveResult>(frame).len();
        assert!(trace.taken() <= results + 1, "{} questions for {results} answers", trace.taken());
    }
    assert!(results >= 20);
    drop(answer);
    assert!(trace.is_dropped(), "a stream that nobody wants any more is left");
}

#[tokio::test]
async fn streams_leave_room_for_what_is_asked_and_answered() {
    let world = World::with(&[("limits.requests_in_flight", "4")]).await;
    let surface = Surface::of(&world);
    world.register("88.999.1/A1", &part("螺栓")).await;
    let open = || Call::to(RESOLVE_STREAM).stream(&surface, Endless::of(Vec::new(), None).0);
    let (first, _second) = (open().await, open().await);
    let third = open().await;
    let refused = status(third.headers());
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "overloaded"));
    let answer = Call::to(RESOLVE).send(&surface, &asked("88.999.1/A1")).await;
    assert_eq!(ended::<wire::Resolution>(answer).await.1.code(), Code::Ok);
    drop(first);
    assert!(Status::from_header_map(open().await.headers()).is_none(), "a place has come back");
}
