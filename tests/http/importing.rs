//! Imports over HTTP: uploads, jobs, error files.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::Method;
use mingpai::codec::http::BodyFault;
use mingpai::model::permitted::Permitted;
use mingpai::model::time::Timestamp;
use mingpai::node::housekeeping::keep_house;
use mingpai::services::ServiceError;
use mingpai::services::import::{Begun, OldImports, ReadJob, StartImport, Upload};
use rustix::fs::{FileType, Mode, OFlags};
use serde_json::{Value as Json, json};

use crate::world::{Answer, World};

const NDJSON: &str = "application/x-ndjson";
const ROWS: &str = "{\"code\":\"00012345678905\",\"name\":\"一\"}\n\
                    {\"code\":\"00012345678906\",\"name\":\"=二\"}\n\
                    not json\n\
                    {\"name\":\"四\"}\n";

fn mapping() -> String {
    let mapping = json!({
        "identifier": "88.999.1/{code}",
        "values": [{"index": 2000, "type": "名称", "from": "name"}],
        "aliases": [{"scheme": "gs1", "from": "code"}],
    });
    let text = mapping.to_string();
    let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("mapping={encoded}")
}

/// Begins an import whose job reads its rows from a pipe: it stands still where it opens it, until the test does.
pub async fn import_from_a_pipe(world: &World, atomic: bool) -> (String, PathBuf) {
    let (upload, pipe) = upload_into_a_pipe(world, StartImport { atomic, ..StartImport::default() }).await;
    let view = world.node.services.start_import(upload).await.unwrap();
    (format!("/v1/imports/{}", view.id), pipe)
}

async fn upload_into_a_pipe(world: &World, start: StartImport) -> (Upload, PathBuf) {
    let services = &world.node.services;
    let folder = &services.settings.imports_folder;
    let names = || std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let before: Vec<PathBuf> = names().collect();
    let Begun::Upload(upload) = services.begin_import(Permitted::bypassing_the_guard("test", start)).await.unwrap()
    else {
        panic!("known already")
    };
    let pipe = names().find(|path| !before.contains(path)).unwrap().join("input");
    std::fs::remove_file(&pipe).unwrap();
    make_pipe(&pipe);
    (*upload, pipe)
}

fn make_pipe(path: &Path) {
    rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

impl World {
    /// Uploads, waits for the job's end, and gives it.
    pub async fn import(&self, query: &str, media_type: &str, body: impl Into<Body>) -> Json {
        let begun =
            self.ask(Method::POST, &format!("/v1/imports?{query}")).signed().typed(media_type, body).send().await;
        assert_eq!(begun.status, 202, "{}", begun.text());
        let location = begun.header("location").to_owned();
        assert_eq!(location, format!("/v1/imports/{}", begun.json()["id"].as_str().unwrap()));
        self.ended(&location).await
    }

    pub async fn ended(&self, location: &str) -> Json {
        let started = Instant::now();
        loop {
            let job = self.get(location).signed().send().await;
            assert_eq!(job.status, 200, "{}", job.text());
            let job = job.json();
            if job["state"] != "running" {
                return job;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "{job}");
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn rows_become_records_and_bad_rows_come_back_with_line_column_and_reason() {
    let world = World::new().await;
    let job = world.import(&mapping(), NDJSON, ROWS).await;
    assert_eq!(job["state"], "done");
    assert_eq!(job["rows"], json!({"total": 4, "registered": 1, "updated": 0, "skipped": 0, "failed": 3}));
    assert_eq!(world.get("/v1/resolve/00012345678905").send().await.json()["identifier"], "88.999.1/00012345678905");
    let errors = job["errors"].as_str().unwrap();
    let lines = world.get(errors).signed().header("accept-language", "en").send().await;
    assert_eq!(lines.header("content-type"), NDJSON);
    let rows: Vec<Json> = lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<_> = rows.iter().map(|row| row["line"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [2, 3, 4]);
    assert_eq!(rows[0]["code"], "identifier_bad_check_digit");
    assert_eq!(rows[0]["column"], "code");
    assert_eq!(rows[1]["row"], "not json");
    assert!(rows[2]["message"].as_str().unwrap().contains("code"));
    let csv = world.get(errors).signed().header("accept", "text/csv").send().await;
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    assert!(csv.text().starts_with("line,column,code,message,row\r\n2,code,"));
    assert_eq!(csv.text().matches("\r\n").count(), 4);
}

#[tokio::test]
async fn the_options_of_an_import_are_heard() {
    let world = World::new().await;
    let row = |name: &str| {
        format!("{{\"identifier\":\"88.999.1/a\",\"values\":[{{\"index\":1,\"type\":\"n\",\"data\":\"{name}\"}}]}}\n")
    };
    let dry = world.import("dry_run=1", NDJSON, row("a")).await;
    assert_eq!((&dry["dry_run"], &dry["state"]), (&json!(true), &json!("done")));
    assert_eq!(dry["rows"], json!({"total": 1, "registered": 1, "updated": 0, "skipped": 0, "failed": 0}));
    assert_eq!(world.get("/v1/records/88.999.1/a").send().await.status, 404);
    world.import("", NDJSON, row("a")).await;
    let conflict = world.import("on_conflict=error", NDJSON, row("b")).await;
    assert_eq!(conflict["rows"]["failed"], 1);
    let skipped = world.import("on_conflict=skip", NDJSON, row("b")).await;
    assert_eq!(skipped["rows"]["skipped"], 1);
    let updated = world.import("on_conflict=update", NDJSON, row("b")).await;
    assert_eq!(updated["rows"]["updated"], 1);
    let atomic = world.import("atomic=true", NDJSON, format!("{}bad\n", row("c"))).await;
    assert_eq!(atomic["state"], "failed", "{atomic}");
    assert!(atomic["failure"]["code"].is_string());
    assert_eq!(world.get("/v1/records/88.999.1/a").send().await.json()["version"], 2);
}

#[tokio::test]
async fn gzip_is_expanded_and_a_bomb_is_refused() {
    let world = World::new().await;
    let gzip = |plain: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    };
    let send = |encoding: &'static str, body: Vec<u8>| {
        world
            .ask(Method::POST, &format!("/v1/imports?{}", mapping()))
            .signed()
            .header("content-encoding", encoding)
            .typed(NDJSON, body)
            .send()
    };
    let begun = send("gzip", gzip(ROWS.as_bytes())).await;
    assert_eq!(begun.status, 202, "{}", begun.text());
    let job = world.ended(begun.header("location")).await;
    assert_eq!(job["rows"]["total"], 4);
    let bomb = send("gzip", gzip(&vec![b' '; 64 << 20])).await;
    assert_eq!((bomb.status.as_u16(), bomb.code().as_str()), (413, "body_too_large"));
    let cut = send("gzip", gzip(ROWS.as_bytes())[..40].to_vec()).await;
    assert_eq!((cut.status.as_u16(), cut.code().as_str()), (400, "body_broken"));
    let odd = send("br", Vec::new()).await;
    assert_eq!(odd.code(), "unsupported_media_type");
}

#[tokio::test]
async fn an_upload_that_is_wrong_is_refused_and_leaves_nothing() {
    let world = World::with(&[("limits.import_bytes", "1048576")]).await;
    let send = |query: &str, media_type: &str, body: Body| {
        world.ask(Method::POST, &format!("/v1/imports?{query}")).signed().typed(media_type, body).send()
    };
    for query in
        ["mapping=%7B", "mapping=%7B%22identifier%22%3A1%7D", "on_conflict=replace", "dry_run=perhaps", "dryrun=1"]
    {
        let wrong = send(query, NDJSON, Body::from(ROWS)).await;
        assert_eq!(wrong.status, 400, "{query}: {}", wrong.text());
    }
    let typed = send("", "text/html", Body::from(ROWS)).await;
    assert_eq!(typed.code(), "unsupported_media_type");
    let large = send("", NDJSON, Body::from(vec![b' '; 1_048_577])).await;
    assert_eq!((large.status.as_u16(), large.code().as_str()), (413, "body_too_large"));
    for (fault, code) in [
        (BodyFault::Broken, "body_broken"),
        (BodyFault::Late, "request_timeout"),
        (BodyFault::TooLarge { limit: 9 }, "body_too_large"),
    ] {
        let pieces = [Ok(Bytes::from_static(b"{}\n")), Err(fault)];
        let broken = send("", NDJSON, Body::from_stream(stream::iter(pieces))).await;
        assert_eq!(broken.code(), code);
    }
    let folder = &world.node.services.settings.imports_folder;
    let left = std::fs::read_dir(folder).map_or(0, Iterator::count);
    assert_eq!(left, 0, "an upload that failed leaves no folder");
    for target in ["/v1/imports/none", "/v1/imports/none/errors", "/v1/imports/..%2f.."] {
        let unknown = world.get(target).signed().send().await;
        assert_eq!((unknown.status.as_u16(), unknown.code().as_str()), (404, "import_unknown"));
    }
}

#[tokio::test]
async fn a_repeated_upload_finds_its_job() {
    let world = World::new().await;
    let target = format!("/v1/imports?{}", mapping());
    let send = |target: &str, rows: &'static str| {
        world.ask(Method::POST, target).signed().header("idempotency-key", "upload-1").typed(NDJSON, rows).send()
    };
    let first = send(&target, ROWS).await;
    let job = world.ended(first.header("location")).await;
    let second = send(&target, ROWS).await;
    assert_eq!(second.status, 202);
    assert_eq!(second.header("location"), first.header("location"));
    assert_eq!(second.json()["rows"], job["rows"]);
    for (target, rows) in [(target.as_str(), "{}\n"), (&format!("{target}&on_conflict=skip"), ROWS)] {
        let other = send(target, rows).await;
        assert_eq!((other.status.as_u16(), other.code().as_str()), (422, "idempotency_mismatch"), "{target}");
    }
}

/// Rows enough for several windows (1,024 rows each) that are prepared beside one another.
const NAMES: usize = 1_500;

fn rows_twice(second: &str) -> String {
    let row = |at: usize, name: &str| {
        format!(
            "{{\"identifier\":\"88.999.1/{at}\",\"values\":[{{\"index\":1,\"type\":\"n\",\"data\":\"{name}\"}}]}}\n"
        )
    };
    let first = (0..NAMES).map(|at| row(at, "first"));
    first.chain((0..NAMES).map(|at| row(at, second))).collect()
}

#[tokio::test]
async fn the_last_row_of_a_name_wins_however_far_from_the_first() {
    let world = World::new().await;
    let job = world.import("on_conflict=update", NDJSON, rows_twice("second")).await;
    let each = NAMES as u64;
    assert_eq!(job["rows"], json!({"total": 2 * each, "registered": each, "updated": each, "skipped": 0, "failed": 0}));
    for at in 0..NAMES {
        let record = world.get(&format!("/v1/records/88.999.1/{at}")).send().await.json();
        assert_eq!((&record["version"], &record["values"][0]["data"]["value"]), (&json!(2), &json!("second")), "{at}");
    }
    let again = world.import("on_conflict=error", NDJSON, rows_twice("second")).await;
    assert_eq!((&again["rows"]["failed"], &again["rows"]["skipped"]), (&json!(each), &json!(each)));
}

#[tokio::test]
async fn a_row_that_says_what_stood_before_the_file_is_no_repetition_of_it() {
    let world = World::new().await;
    let each = NAMES as u64;
    world.import("on_conflict=update", NDJSON, rows_twice("second")).await;
    // Every name becomes "first" and then "second" again, which is what stood when both rows were prepared.
    let job = world.import("on_conflict=update", NDJSON, rows_twice("second")).await;
    assert_eq!(
        job["rows"],
        json!({"total": 2 * each, "registered": 0, "updated": 2 * each, "skipped": 0, "failed": 0})
    );
    for at in 0..NAMES {
        let record = world.get(&format!("/v1/records/88.999.1/{at}")).send().await.json();
        assert_eq!((&record["version"], &record["values"][0]["data"]["value"]), (&json!(4), &json!("second")), "{at}");
    }
    let atomic = world.import("atomic=1&on_conflict=update", NDJSON, rows_twice("second")).await;
    assert_eq!((&atomic["state"], &atomic["rows"]["failed"]), (&json!("failed"), &json!(each)), "{atomic}");
}

#[tokio::test]
async fn of_two_that_want_an_alias_the_earlier_row_gets_it_behind_any_number_of_new_names() {
    let world = World::new().await;
    let row = |name: &str, data: &str, alias: bool| {
        let aliases = if alias { json!([{"scheme": "gs1", "identifier": "09506000134352"}]) } else { json!([]) };
        let values = json!([{"index": 1, "type": "n", "data": data}]);
        format!("{}\n", json!({"identifier": format!("88.999.1/{name}"), "values": values, "aliases": aliases}))
    };
    world.import("", NDJSON, row("stands", "old", false)).await;
    let new: String = (0..2 * NEW_NAMES).map(|at| row(&format!("new-{at}"), "new", false)).collect();
    let file = [new, row("stands", "new", true), row("comes", "new", true)].concat();
    let job = world.import("on_conflict=update", NDJSON, file).await;
    assert_eq!((&job["rows"]["updated"], &job["rows"]["failed"]), (&json!(1), &json!(1)), "{job}");
    assert_eq!(world.get("/v1/resolve/09506000134352").send().await.json()["identifier"], "88.999.1/stands");
}

/// So many new names in succession that the next ones are taken for new without a look.
const NEW_NAMES: usize = 5_000;

#[tokio::test]
async fn names_that_stand_are_found_behind_any_number_of_new_ones() {
    let world = World::new().await;
    let row = |name: &str, data: &str, alias: bool| {
        let aliases = if alias { json!([{"scheme": "gs1", "identifier": "09506000134352"}]) } else { json!([]) };
        let values = json!([{"index": 1, "type": "n", "data": data}]);
        format!("{}\n", json!({"identifier": format!("88.999.1/{name}"), "values": values, "aliases": aliases}))
    };
    let standing = |data: &str| -> String {
        (0..NAMES).map(|at| row(&format!("old-{at}"), if at % 3 == 0 { "old" } else { data }, false)).collect()
    };
    world.import("", NDJSON, [standing("old"), row("bears", "old", true), row("gone", "old", false)].concat()).await;
    let deleted =
        world.ask(Method::DELETE, "/v1/records/88.999.1/gone").signed().header("if-match", "\"1\"").send().await;
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    let (same, changed) = (NAMES as u64 / 3, NAMES as u64 * 2 / 3);
    for (run, (mode, updated, skipped, failed)) in
        [("error", 0, same, changed + 2), ("skip", 0, same + changed + 1, 1), ("update", changed + 2, same, 1)]
            .into_iter()
            .enumerate()
    {
        let new: String = (0..NEW_NAMES).map(|at| row(&format!("new-{run}-{at}"), "new", false)).collect();
        // The last of them takes the name that the first gives up, where it does.
        let file = [new, row("bears", "new", false), standing("new"), row("gone", "new", false)].concat();
        let file = [file, if mode == "update" { row("old-1", "takes", true) } else { String::new() }].concat();
        let job = world.import(&format!("on_conflict={mode}"), NDJSON, file).await;
        let rows = json!({"total": NEW_NAMES + NAMES + 2 + usize::from(mode == "update"), "registered": NEW_NAMES,
            "updated": updated, "skipped": skipped, "failed": failed});
        assert_eq!(job["rows"], rows, "{mode}: {job}");
        let record = world.get("/v1/records/88.999.1/old-2").send().await.json();
        let (version, data) = if mode == "update" { (2, "new") } else { (1, "old") };
        assert_eq!(
            (&record["version"], &record["values"][0]["data"]["value"]),
            (&json!(version), &json!(data)),
            "{mode}"
        );
    }
    assert_eq!(world.get("/v1/resolve/09506000134352").send().await.json()["identifier"], "88.999.1/old-1");
}

#[tokio::test]
async fn much_that_a_mapping_makes_of_short_rows_is_committed_in_pieces() {
    let world = World::new().await;
    let values: Vec<Json> = (1..=64).map(|index| json!({"index": index, "type": "n", "from": "name"})).collect();
    let mapping = json!({"identifier": "88.999.1/{at}", "values": values}).to_string();
    let encoded: String = mapping.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let name = "九".repeat(500);
    // 200 rows of 1.5 kB become 200 records of 96 kB: one window, many pieces.
    let rows: String = (0..200).map(|at| format!("{{\"at\":\"{at}\",\"name\":\"{name}\"}}\n")).collect();
    let job = world.import(&format!("mapping={encoded}"), NDJSON, rows).await;
    assert_eq!(job["rows"]["registered"], 200, "{job}");
    assert_eq!(world.get("/v1/records/88.999.1/199").send().await.json()["values"].as_array().unwrap().len(), 64);
}

#[tokio::test]
async fn an_atomic_import_with_a_name_twice_registers_nothing_however_far_apart() {
    let world = World::new().await;
    let job = world.import("atomic=1&on_conflict=update", NDJSON, rows_twice("second")).await;
    assert_eq!((&job["state"], &job["rows"]["registered"]), (&json!("failed"), &json!(0)), "{job}");
    let lines = world.get(job["errors"].as_str().unwrap()).signed().send().await.text();
    let rows: Vec<Json> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), NAMES);
    for (at, row) in rows.iter().enumerate() {
        assert_eq!((&row["line"], &row["code"]), (&json!(NAMES + at + 1), &json!("duplicate_in_file")));
    }
    assert_eq!(world.get("/v1/records/88.999.1/0").send().await.status, 404);
}

#[tokio::test]
async fn an_import_that_a_stop_of_the_node_meets_goes_on_with_the_next_start() {
    let mut world = World::new().await;
    let store = &world.node.services.store;
    std::thread::scope(|scope| scope.spawn(|| store.stop()).join()).unwrap();
    let mut jobs = Vec::new();
    for (query, name) in [("atomic=1", "all"), ("", "each")] {
        let row = format!("{{\"identifier\":\"88.999.1/{name}\",\"values\":[]}}\n");
        let target = format!("/v1/imports?{query}");
        let begun = world.ask(Method::POST, &target).signed().typed(NDJSON, row).send().await;
        assert_eq!(begun.json()["state"], "running");
        jobs.push((begun.header("location").to_owned(), name));
    }
    world = world.restarted("").await;
    for (job, name) in jobs {
        let job = world.ended(&job).await;
        assert_eq!((&job["state"], &job["rows"]["registered"]), (&json!("done"), &json!(1)), "{job}");
        assert_eq!(world.get(&format!("/v1/records/88.999.1/{name}")).send().await.json()["version"], 1);
    }
}

#[tokio::test]
async fn atomic_imports_run_one_at_a_time_and_hold_no_other_up() {
    let world = World::with(&[("import.jobs", "2")]).await;
    let row = |name: &str| format!("{{\"identifier\":\"88.999.1/{name}\",\"values\":[]}}\n");
    let (first, first_pipe) = import_from_a_pipe(&world, true).await;
    // Returns when the job reads: it has its turn.
    let mut first_rows = std::fs::OpenOptions::new().write(true).open(first_pipe).unwrap();
    let (second, second_pipe) = import_from_a_pipe(&world, true).await;
    let other = world.import("", NDJSON, row("other")).await;
    assert_eq!(other["rows"]["registered"], 1);
    let read = rustix::fs::open(&second_pipe, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty());
    assert_eq!(read.unwrap_err(), rustix::io::Errno::NXIO, "the second reads its rows into memory beside the first");
    first_rows.write_all(row("first").as_bytes()).unwrap();
    drop(first_rows);
    std::fs::write(second_pipe, row("second")).unwrap();
    for job in [first, second] {
        let job = world.ended(&job).await;
        assert_eq!((&job["state"], &job["rows"]["registered"]), (&json!("done"), &json!(1)), "{job}");
    }
}

/// An upload may take longer than the job that it repeats.
#[tokio::test]
async fn a_repeated_upload_hears_how_its_job_stands_when_the_upload_has_ended() {
    let world = World::with(&[("import.jobs", "1")]).await;
    let (_, pipe) = import_from_a_pipe(&world, false).await;
    let send = |body: Body| {
        let ask = world.ask(Method::POST, "/v1/imports").signed().header("idempotency-key", "slow");
        ask.typed(NDJSON, body).send()
    };
    let row = "{\"identifier\":\"88.999.1/x\",\"values\":[]}\n";
    let first = send(Body::from(row)).await;
    assert_eq!(first.json()["state"], "running", "it waits for its turn");
    let (begun, begins) = tokio::sync::oneshot::channel();
    let (ended, ends) = tokio::sync::oneshot::channel::<()>();
    let slow = stream::once(async move {
        begun.send(()).unwrap();
        ends.await.unwrap();
        Ok::<_, std::io::Error>(Bytes::from(row))
    });
    let job = async {
        begins.await.unwrap();
        std::fs::write(pipe, "").unwrap();
        world.ended(first.header("location")).await;
        ended.send(()).unwrap();
    };
    let (second, ()) = tokio::join!(send(Body::from_stream(slow)), job);
    assert_eq!(second.header("location"), first.header("location"));
    let told = second.json();
    assert_eq!((&told["state"], &told["rows"]["registered"]), (&json!("done"), &json!(1)), "{told}");
}

/// A disk that stalls, here a pipe that nobody empties, holds up the job that writes there and who reads its errors.
#[tokio::test]
async fn an_error_file_that_cannot_be_written_on_holds_up_no_counter_and_no_upload() {
    let world = World::new().await;
    let services = &world.node.services;
    let one = world.import("", NDJSON, "no record\n").await;
    let noted = services.settings.imports_folder.join(one["id"].as_str().unwrap()).join("errors.ndjson");
    let note_bytes = std::fs::metadata(noted).unwrap().len();
    let (upload, rows) = upload_into_a_pipe(&world, StartImport::default()).await;
    let errors = rows.with_file_name("errors.ndjson");
    make_pipe(&errors);
    let mut options = std::fs::OpenOptions::new();
    options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let mut reader = options.open(&errors).unwrap();
    let view = services.start_import(upload).await.unwrap();
    let feeder = std::thread::spawn(move || std::fs::write(rows, "no record\n".repeat(5_000)));
    let location = format!("/v1/imports/{}", view.id);
    // More than the pipe takes was given to the file's buffer: whoever flushes it waits.
    const PIPE_BYTES: u64 = 1 << 16;
    let failed = |job: Json| job["rows"]["failed"].as_u64().unwrap();
    while failed(world.get(&location).signed().send().await.json()) <= PIPE_BYTES / note_bytes + 1 {
        tokio::task::yield_now().await;
    }
    let (asked, asking) = (Permitted::bypassing_the_guard("test", ReadJob { id: view.id }), Arc::clone(services));
    let asker = std::thread::spawn(move || asking.import_errors(&asked).map(|_| ()));
    std::thread::sleep(Duration::from_millis(300));
    assert!(!asker.is_finished(), "the pipe is full");
    let (told, hears) = std::sync::mpsc::channel();
    let counting = Arc::clone(services);
    let counter = std::thread::spawn(move || told.send(counting.imports.running()));
    let running = hears.recv_timeout(Duration::from_secs(5));
    // Whatever was found, the pipe is emptied, so that all can end.
    let drain = std::thread::spawn(move || {
        let mut bytes = [0; 1 << 16];
        loop {
            match std::io::Read::read(&mut reader, &mut bytes) {
                Ok(0) => return,
                Ok(_) => {}
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    });
    assert_eq!(world.ended(&location).await["rows"]["failed"], 5_000);
    drain.join().unwrap();
    asker.join().unwrap().unwrap();
    counter.join().unwrap().unwrap();
    feeder.join().unwrap().unwrap();
    assert_eq!(running, Ok(1));
}

impl World {
    /// Returns when the jobs that ended have said so in their files.
    pub async fn jobs_are_noted(&self) {
        while self.node.services.imports.running() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// Changes what a job's file says.
pub fn rewrite(folder: &Path, change: impl FnOnce(&mut Json)) {
    let path = folder.join("job.json");
    let mut job: Json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut job);
    std::fs::write(path, job.to_string()).unwrap();
}

fn ago(seconds: i64) -> Json {
    serde_json::to_value(Timestamp::from_seconds(Timestamp::now().as_seconds() - seconds).unwrap()).unwrap()
}

/// Says in a job's file that it ended so many days ago.
fn age(folder: &Path, days: i64) {
    rewrite(folder, |job| {
        job["state"] = "done".into();
        job["ended"] = ago(days * 86_400);
    });
}

#[tokio::test]
async fn imports_that_ended_long_ago_are_removed_and_no_other() {
    let world = World::with(&[("import.keep_days", "2")]).await;
    let services = &world.node.services;
    let folder = &services.settings.imports_folder;
    let mut jobs = Vec::new();
    for name in ["old", "young"] {
        let row = format!("{{\"identifier\":\"88.999.1/{name}\",\"values\":[]}}\n");
        jobs.push(world.import("", NDJSON, row).await["id"].as_str().unwrap().to_owned());
    }
    world.jobs_are_noted().await;
    age(&folder.join(&jobs[0]), 3);
    age(&folder.join(&jobs[1]), 1);
    let (running, pipe) = import_from_a_pipe(&world, false).await;
    age(pipe.parent().unwrap(), 3);
    std::fs::create_dir(folder.join("upload")).unwrap();
    let removed = services.remove_old_imports(&mut OldImports::default(), Timestamp::now()).unwrap();
    assert_eq!(removed, 1);
    for (id, status) in jobs.iter().zip([404, 200]) {
        let answer = world.get(&format!("/v1/imports/{id}")).signed().send().await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    assert!(folder.join("upload").exists(), "it is being received");
    std::fs::write(pipe, "").unwrap();
    assert_eq!(world.ended(&running).await["state"], "done", "a job that runs stays, whatever its file says");
}

#[tokio::test]
async fn old_imports_are_removed_a_bounded_number_at_a_time_until_none_is_left() {
    let world = World::new().await;
    let folder = &world.node.services.settings.imports_folder;
    let job = world.import("", NDJSON, "").await;
    let first = folder.join(job["id"].as_str().unwrap());
    world.jobs_are_noted().await;
    age(&first, 31);
    for number in 0..1100 {
        let other = folder.join(number.to_string());
        std::fs::create_dir(&other).unwrap();
        std::fs::copy(first.join("job.json"), other.join("job.json")).unwrap();
    }
    let kept = std::fs::read(first.join("job.json")).unwrap();
    let mut walk = OldImports::default();
    let mut step = || world.node.services.remove_old_imports(&mut walk, Timestamp::now()).unwrap();
    assert_eq!(step(), 1024);
    assert_eq!(step(), 77);
    std::fs::create_dir(&first).unwrap();
    std::fs::write(first.join("job.json"), kept).unwrap();
    let started = Instant::now();
    let house = keep_house(Arc::clone(&world.node.services), Duration::from_millis(1)).unwrap();
    while first.exists() {
        assert!(started.elapsed() < Duration::from_secs(60), "the housekeeping does not come");
        tokio::task::yield_now().await;
    }
    drop(house);
}

#[tokio::test]
async fn an_idempotency_key_finds_its_import_for_a_day_and_over_a_restart() {
    let mut world = World::new().await;
    let folder = world.node.services.settings.imports_folder.clone();
    let send = async |world: &World, rows: &'static str| {
        let ask = world.ask(Method::POST, "/v1/imports?on_conflict=update").signed().header("idempotency-key", "day");
        let answer = ask.typed(NDJSON, rows).send().await;
        if answer.status == 202 {
            world.ended(answer.header("location")).await;
            world.jobs_are_noted().await;
        }
        answer
    };
    let (rows, other) =
        ("{\"identifier\":\"88.999.1/x\",\"values\":[]}\n", "{\"identifier\":\"88.999.1/y\",\"values\":[]}\n");
    let id = |answer: &Answer| answer.json()["id"].as_str().unwrap().to_owned();
    let first = id(&send(&world, rows).await);
    rewrite(&folder.join(&first), |job| job["started"] = ago(86_400 - 100));
    world = world.restarted("").await;
    assert_eq!(id(&send(&world, rows).await), first, "a day is not over");
    assert_eq!(send(&world, other).await.code(), "idempotency_mismatch");

    rewrite(&folder.join(&first), |job| job["started"] = ago(86_400));
    world = world.restarted("").await;
    let second = id(&send(&world, other).await);
    assert_ne!(second, first);
    assert_eq!(id(&send(&world, other).await), second);
    for job in [&first, &second] {
        assert_eq!(world.get(&format!("/v1/imports/{job}")).signed().send().await.json()["id"], job.as_str());
    }
    world = world.restarted("").await;
    assert_eq!(id(&send(&world, other).await), second, "of two jobs with one key the later has it");

    rewrite(&folder.join(&second), |job| job["ended"] = ago(31 * 86_400));
    world = world.restarted("").await;
    assert_eq!(world.get(&format!("/v1/imports/{second}")).signed().send().await.status, 404, "removed at the start");
    let third = id(&send(&world, other).await);
    assert!(![first, second].contains(&third));
}

#[tokio::test]
async fn an_import_from_before_ids_were_drawn_is_found_by_its_key() {
    let mut world = World::new().await;
    let folder = world.node.services.settings.imports_folder.clone();
    let send = async |world: &World| {
        let ask = world.ask(Method::POST, "/v1/imports").signed().header("idempotency-key", "early");
        let answer = ask.typed(NDJSON, "").send().await;
        world.ended(answer.header("location")).await;
        world.jobs_are_noted().await;
        answer.json()["id"].as_str().unwrap().to_owned()
    };
    let id = send(&world).await;
    // As it was written then: the id is the digest of the key, and no member tells it.
    let mut digest = String::new();
    rewrite(&folder.join(&id), |job| {
        digest = job.as_object_mut().unwrap().remove("key").unwrap().as_str().unwrap().to_owned();
        job["id"] = digest.clone().into();
    });
    std::fs::rename(folder.join(&id), folder.join(&digest)).unwrap();
    world = world.restarted("").await;
    assert_eq!(send(&world).await, digest);
}

#[tokio::test]
async fn one_upload_at_a_time_has_an_idempotency_key() {
    let world = World::new().await;
    let begin = || {
        let start = StartImport { idempotency_key: Some("one".to_owned()), ..StartImport::default() };
        world.node.services.begin_import(Permitted::bypassing_the_guard("test", start))
    };
    let Begun::Upload(upload) = begin().await.unwrap() else { panic!("known already") };
    assert!(matches!(begin().await, Err(ServiceError::IdempotencyRunning)));
    upload.abandon().await;
    let Begun::Upload(upload) = begin().await.unwrap() else { panic!("what came to nothing is known") };
    let view = world.node.services.start_import(*upload).await.unwrap();
    let Begun::Known(repeat) = begin().await.unwrap() else { panic!("it would run twice") };
    assert_eq!(world.node.services.repeated_import(*repeat).unwrap().id, view.id);
}

#[tokio::test]
async fn an_import_that_a_stop_cut_short_is_told_so_also_where_the_disk_is_full() {
    let world = World::new().await;
    let job = world.import(&mapping(), NDJSON, ROWS).await;
    let target = format!("/v1/imports/{}", job["id"].as_str().unwrap());
    world.jobs_are_noted().await;
    let folder = world.node.services.settings.imports_folder.join(job["id"].as_str().unwrap());
    rewrite(&folder, |job| {
        job["state"] = json!("running");
        job["ended"] = Json::Null;
    });
    std::fs::write(folder.join("input"), ROWS).unwrap();
    // What is written beside the job's file meets a disk without a free block.
    let beside = folder.join("job.new");
    std::os::unix::fs::symlink("/dev/full", &beside).unwrap();
    let world = world.restarted("").await;
    let told = world.get(&target).signed().send().await.json();
    assert_eq!((&told["state"], &told["failure"]["code"]), (&json!("failed"), &json!("import_interrupted")), "{told}");
    assert!(!folder.join("input").exists(), "its room is given back");
    std::fs::remove_file(beside).unwrap();
    let world = world.restarted("").await;
    let told = world.get(&target).signed().send().await.json();
    assert_eq!((&told["state"], &told["failure"]["code"]), (&json!("failed"), &json!("import_interrupted")), "{told}");
    assert!(std::fs::read_to_string(folder.join("job.json")).unwrap().contains("import_interrupted"));
}

#[tokio::test]
async fn names_change_hands_in_the_order_of_the_file() {
    let world = World::new().await;
    let row = |name: &str, note: u32, alias: Option<&str>| {
        let aliases: Vec<Json> = alias.iter().map(|alias| json!({"scheme": "gs1", "identifier": alias})).collect();
        let values = json!([{"index": 1, "type": "n", "data": note}]);
        format!("{}\n", json!({"identifier": format!("88.999.1/{name}"), "values": values, "aliases": aliases}))
    };
    let gtin = Some("09506000134352");
    // Given up by a row that waits for an earlier one of the same name, then taken.
    let given = [row("a", 1, gtin), row("a", 2, None), row("b", 1, gtin)].concat();
    let job = world.import("on_conflict=update", NDJSON, given).await;
    assert_eq!((&job["rows"]["updated"], &job["rows"]["failed"]), (&json!(1), &json!(0)), "{job}");
    assert_eq!(world.get("/v1/resolve/09506000134352").send().await.json()["identifier"], "88.999.1/b");
    // Of two that want it the one that stands earlier in the file gets it.
    let wanted = [row("b", 2, None), row("c", 1, None), row("c", 2, gtin), row("d", 1, gtin)].concat();
    let job = world.import("on_conflict=update", NDJSON, wanted).await;
    assert_eq!((&job["rows"]["total"], &job["rows"]["failed"]), (&json!(4), &json!(1)), "{job}");
    assert_eq!(world.get("/v1/resolve/09506000134352").send().await.json()["identifier"], "88.999.1/c");
    let lines = world.get(job["errors"].as_str().unwrap()).signed().send().await.text();
    assert_eq!(serde_json::from_str::<Json>(&lines).unwrap()["line"], 4);
}

#[tokio::test]
async fn a_file_that_is_wrong_as_a_whole_does_not_fill_the_disk_with_saying_so() {
    let world = World::with(&[("import.error_bytes", "1048576")]).await;
    let job = world.import("", NDJSON, "{\"nothing\":1}\n".repeat(100_000)).await;
    assert_eq!((&job["state"], &job["failure"]["code"]), (&json!("failed"), &json!("import_too_many_errors")), "{job}");
    let noted = world.get(job["errors"].as_str().unwrap()).signed().send().await.body.len();
    // What is noted has each message twice, what is told in one language.
    assert!((1 << 19..1 << 20).contains(&noted), "{noted} bytes");
}

#[tokio::test]
async fn an_atomic_import_counts_what_was_sent_too() {
    let world = World::new().await;
    let mapping = json!({"identifier": "88.999.1/{at}", "values": []}).to_string();
    let encoded: String = mapping.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let waste = "x".repeat(500_000);
    let rows: String = (0..140).map(|at| format!("{{\"at\":\"{at}\",\"waste\":\"{waste}\"}}\n")).collect();
    let job = world.import(&format!("atomic=1&mapping={encoded}"), NDJSON, rows).await;
    assert_eq!((&job["state"], &job["failure"]["code"]), (&json!("failed"), &json!("import_too_large")), "{job}");
}

#[tokio::test]
async fn a_dry_run_counts_what_would_become_of_each_row_under_the_names_of_the_real_run() {
    let world = World::new().await;
    let row = |name: &str, data: &str| {
        let values = json!([{"index": 1, "type": "n", "data": data}]);
        format!("{}\n", json!({"identifier": format!("88.999.1/{name}"), "values": values}))
    };
    world.import("", NDJSON, row("same", "x") + &row("other", "x") + &row("old", "x")).await;
    let retired = format!("{}\n", json!({"identifier": "88.999.1/old", "operation": "retire"}));
    let file = [row("same", "x"), row("other", "y"), row("new", "x"), retired, "bad\n".to_owned()].concat();
    for (query, wanted) in [
        ("on_conflict=update", [5, 1, 2, 1, 1]),
        ("on_conflict=skip", [5, 1, 1, 2, 1]),
        ("on_conflict=error", [5, 1, 1, 1, 2]),
    ] {
        let dry = world.import(&format!("{query}&dry_run=1"), NDJSON, file.clone()).await;
        assert_eq!((&dry["dry_run"], counts(&dry)), (&json!(true), wanted), "{query}: {dry}");
    }
    assert_eq!(world.get("/v1/records/88.999.1/new").send().await.status, 404);
    assert_eq!(world.get("/v1/records/88.999.1/other").send().await.json()["version"], 1);
    let real = world.import("on_conflict=update", NDJSON, file).await;
    assert_eq!((&real["dry_run"], counts(&real)), (&json!(false), [5, 1, 2, 1, 1]), "{real}");

    let good = row("same", "x") + &row("other", "z") + &row("newer", "x");
    let dry = world.import("on_conflict=update&atomic=1&dry_run=1", NDJSON, good.clone()).await;
    assert_eq!(counts(&dry), [3, 1, 1, 1, 0], "{dry}");
    let real = world.import("on_conflict=update&atomic=1", NDJSON, good).await;
    assert_eq!(counts(&real), [3, 1, 1, 1, 0], "{real}");
}

/// Names that are others' are found, which only the commit of a real run refuses.
#[tokio::test]
async fn a_dry_run_fails_the_rows_that_a_commit_would_refuse() {
    let world = World::new().await;
    let row = |name: &str, values: Json, alias: Option<&str>| {
        let aliases: Vec<Json> =
            alias.iter().map(|alias| json!({"scheme": "vaa", "identifier": format!("88.999.1/{alias}")})).collect();
        format!("{}\n", json!({"identifier": format!("88.999.1/{name}"), "values": values, "aliases": aliases}))
    };
    let value = json!([{"index": 1, "type": "n", "data": "x"}]);
    world.import("", NDJSON, row("bearer", value.clone(), Some("borne"))).await;
    let file =
        [row("borne", value.clone(), None), row("other", value.clone(), Some("bearer")), row("good", value, None)]
            .concat();
    let dry = world.import("dry_run=1", NDJSON, file.clone()).await;
    let real = world.import("", NDJSON, file).await;
    assert_eq!(counts(&dry), counts(&real), "{dry} {real}");
    assert_eq!(counts(&dry), [3, 1, 0, 0, 2], "{dry}");
}

fn counts(job: &Json) -> [u64; 5] {
    ["total", "registered", "updated", "skipped", "failed"].map(|name| job["rows"][name].as_u64().unwrap())
}
