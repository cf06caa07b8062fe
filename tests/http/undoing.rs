//! Jobs that are taken back, change much at once, or go on after a stop.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value as Json, json};

use crate::world::{Answer, World};

const NDJSON: &str = "application/x-ndjson";
const GTIN: &str = "09506000134352";

fn row(name: &str, text: &str) -> String {
    let values = json!([{"index": 1, "type": "n", "data": text}]);
    format!("{}\n", json!({"identifier": format!("88.999.1/{name}"), "values": values}))
}

fn rows(job: &Json) -> [u64; 5] {
    ["total", "registered", "updated", "skipped", "failed"].map(|name| job["rows"][name].as_u64().unwrap())
}

impl World {
    async fn post(&self, target: &str) -> Answer {
        self.ask(Method::POST, target).signed().header("accept-language", "en").send().await
    }

    /// Begins a job that is asked for so, and waits for its end.
    async fn job(&self, answer: Answer) -> Json {
        assert_eq!(answer.status, 202, "{}", answer.text());
        let job = self.ended(answer.header("location")).await;
        self.jobs_are_noted().await;
        job
    }

    /// Takes a job back, and waits for the end of that.
    async fn undo(&self, job: &Json) -> Json {
        let answer = self.post(&format!("/v1/imports/{}/undo", job["id"].as_str().unwrap())).await;
        self.job(answer).await
    }

    async fn bulk(&self, body: Json) -> Json {
        let answer = self.ask(Method::POST, "/v1/bulk").signed().json(&body).send().await;
        self.job(answer).await
    }

    async fn record(&self, name: &str) -> Json {
        self.get(&format!("/v1/records/88.999.1/{name}")).signed().send().await.json()
    }

    async fn codes(&self, job: &Json) -> Vec<(u64, String)> {
        let ask = self.get(job["errors"].as_str().unwrap()).signed().header("accept", NDJSON);
        let text = ask.send().await.text();
        let rows = text.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
        rows.map(|row| (row["line"].as_u64().unwrap(), row["code"].as_str().unwrap().to_owned())).collect()
    }
}

#[tokio::test]
async fn an_undo_takes_back_what_the_job_wrote_and_leaves_what_was_touched_since() {
    let world = World::new().await;
    world.import("", NDJSON, [row("old", "first"), row("other", "first")].concat()).await;
    let made = format!(
        "{}\n",
        json!({"identifier": "88.999.1/new", "values": [{"index": 1, "type": "n", "data": "x"}],
               "aliases": [{"scheme": "gs1", "identifier": GTIN}]})
    );
    let file = [row("old", "second"), made, row("other", "second"), row("old", "third"), "no row\n".to_owned()];
    let job = world.import("on_conflict=update", NDJSON, file.concat()).await;
    assert_eq!(rows(&job), [5, 1, 3, 0, 1], "{job}");
    world.change(Method::PATCH, "88.999.1/other", &json!({"status": "suspended"})).await;

    let undone = world.undo(&job).await;
    assert_eq!((&undone["kind"], &undone["undoes"], &undone["state"]), (&json!("undo"), &job["id"], &json!("done")));
    assert_eq!(rows(&undone), [3, 0, 2, 0, 1], "{undone}");
    assert_eq!(world.codes(&undone).await[0].1, "changed_since");
    let old = world.record("old").await;
    assert_eq!((&old["version"], &old["values"][0]["data"]["value"]), (&json!(4), &json!("first")));
    let new = world.record("new").await;
    assert_eq!((&new["status"], &new["values"], &new["aliases"]), (&json!("retired"), &json!([]), &json!([])));
    let other = world.record("other").await;
    assert_eq!((&other["version"], &other["status"]), (&json!(3), &json!("suspended")));
    assert_eq!(world.get(&format!("/v1/resolve/{GTIN}")).send().await.status, 404, "its label is free");

    // Asked again it is the same job, and nothing is done twice.
    let again = world.undo(&job).await;
    assert_eq!((&again["id"], &world.record("old").await["version"]), (&undone["id"], &json!(4)));
    let told = world.get(&format!("/v1/imports/{}", job["id"].as_str().unwrap())).signed().send().await.json();
    assert_eq!(told["undone_by"], undone["id"]);

    // A mended file is imported as if there had been none before.
    let mended = world.import("", NDJSON, row("new", "right")).await;
    assert_eq!(rows(&mended), [1, 0, 1, 0, 0], "{mended}");
    let new = world.record("new").await;
    assert_eq!((&new["status"], &new["values"][0]["data"]["value"]), (&json!("active"), &json!("right")));
    let undone = world.undo(&mended).await;
    assert_eq!(rows(&undone), [1, 0, 1, 0, 0], "{undone}");
    assert_eq!(world.record("new").await["status"], "retired");
    // Imported as it is exported, it stays what it is.
    let exported = format!("{}\n", json!({"identifier": "88.999.1/new", "status": "retired", "values": []}));
    for query in ["", "on_conflict=update", "atomic=true"] {
        let job = world.import(query, NDJSON, exported.clone()).await;
        assert_eq!(rows(&job), [1, 0, 0, 1, 0], "{query}: {job}");
    }
    // An undo can be taken back too.
    world.undo(&undone).await;
    assert_eq!(world.record("new").await["values"][0]["data"]["value"], "right");
}

#[tokio::test]
async fn only_a_job_that_has_ended_and_is_known_can_be_undone() {
    let world = World::with(&[("import.jobs", "1")]).await;
    assert_eq!(world.post("/v1/imports/0123/undo").await.code(), "import_unknown");
    let (running, pipe) = super::importing::import_from_a_pipe(&world, false).await;
    let refused = world.post(&format!("{running}/undo")).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (409, "import_running"));
    std::fs::write(pipe, row("a", "x")).unwrap();
    let job = world.ended(&running).await;
    world.jobs_are_noted().await;
    // As a version wrote it that did not tag its rows.
    let folder = world.node.services.settings.imports_folder.join(job["id"].as_str().unwrap());
    super::importing::rewrite(&folder, |job| {
        job.as_object_mut().unwrap().remove("course");
    });
    let refused = world.post(&format!("{running}/undo")).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (409, "import_not_undoable"));
    let stranger = world.ask(Method::POST, &format!("{running}/undo")).send().await;
    assert_eq!(stranger.status, 401);
}

#[tokio::test]
async fn rows_of_a_file_change_parts_and_statuses_and_say_which_version_they_are_for() {
    let world = World::new().await;
    world.import("", NDJSON, ["a", "b", "c", "d"].map(|name| row(name, "first")).concat()).await;
    let line = |json: Json| format!("{json}\n");
    let file = [
        line(json!({"identifier": "88.999.1/a", "operation": "retire", "values": "not looked at"})),
        line(json!({"identifier": "88.999.1/b", "operation": "修改", "if_version": 1,
                    "values": [{"index": 2, "type": "m", "data": 7}]})),
        line(json!({"identifier": "88.999.1/c", "operation": "recall", "if_version": 2})),
        line(json!({"identifier": "88.999.1/d", "operation": "delete"})),
        line(json!({"identifier": "88.999.1/d", "operation": "delete"})),
        line(json!({"identifier": "88.999.1/e", "operation": "retire"})),
        line(json!({"identifier": "88.999.1/a", "operation": "explode"})),
        row("f", "new"),
    ];
    let job = world.import("", NDJSON, file.concat()).await;
    assert_eq!(rows(&job), [8, 1, 3, 1, 3], "{job}");
    let codes = world.codes(&job).await;
    let codes: Vec<(u64, &str)> = codes.iter().map(|(line, code)| (*line, code.as_str())).collect();
    assert_eq!(codes, [(3, "changed_since"), (6, "identifier_unknown"), (7, "operation_unknown")]);
    assert_eq!(world.record("a").await["status"], "retired");
    assert_eq!(world.record("a").await["values"].as_array().unwrap().len(), 1, "what it says stays");
    assert_eq!(world.record("b").await["values"].as_array().unwrap().len(), 2);
    assert_eq!(world.get("/v1/resolve/88.999.1/d").send().await.status, 410);
    // A tombstone stays one; all else is taken back.
    let undone = world.undo(&job).await;
    assert_eq!(rows(&undone), [4, 0, 3, 0, 1], "{undone}");
    assert_eq!(world.codes(&undone).await[0].1, "identifier_deleted");
    assert_eq!(world.record("a").await["status"], "active");
    assert_eq!(world.record("b").await["values"].as_array().unwrap().len(), 1);
    assert_eq!(world.record("f").await["status"], "retired");
}

#[tokio::test]
async fn a_table_has_its_operation_in_a_column_or_gets_one_for_all_rows() {
    let world = World::new().await;
    world.import("", NDJSON, ["a", "b", "c"].map(|name| row(name, "first")).concat()).await;
    let mapping = json!({"identifier": "88.999.1/{编号}", "operation": "操作", "if_version": "版本",
                         "values": [{"index": 1, "type": "n", "from": "名称"}]});
    let encoded: String = mapping.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
    let table = "编号,操作,版本,名称\na,停用,1,\nb,patch,,neu\nc,,1,third\n";
    let job = world.import(&format!("on_conflict=update&mapping={encoded}"), "text/csv", table).await;
    assert_eq!(rows(&job), [3, 0, 3, 0, 0], "{job}");
    assert_eq!(world.record("a").await["status"], "retired");
    assert_eq!(world.record("b").await["values"][0]["data"]["value"], "neu");
    assert_eq!(world.record("c").await["values"][0]["data"]["value"], "third");
    let mapping = json!({"identifier": "88.999.1/{编号}"}).to_string();
    let encoded: String = mapping.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let target = format!("operation=suspend&mapping={encoded}");
    let job = world.import(&target, "text/csv", "编号\nb\nc\na\n").await;
    assert_eq!(rows(&job), [3, 0, 2, 0, 1], "{job}");
    assert_eq!(world.codes(&job).await, [(4, "status_change_refused".to_owned())]);
    let wrong = world.ask(Method::POST, "/v1/imports?operation=burn").signed().typed(NDJSON, "").send().await;
    assert_eq!(wrong.code(), "query_invalid");
}

#[tokio::test]
async fn a_filter_changes_what_it_matches_and_nothing_else_and_can_be_taken_back() {
    let world = World::new().await;
    let names: Vec<String> = (0..1_100).map(|at| format!("bulk-{at:04}")).collect();
    world.import("", NDJSON, names.iter().map(|name| row(name, "x")).collect::<String>()).await;
    world.register("88.999.1/typed", &json!({"values": [{"index": 1, "type": "别的", "data": "x"}]})).await;
    world.change(Method::PATCH, "88.999.1/bulk-0007", &json!({"status": "suspended"})).await;
    let filter = json!({"prefix": "88.999.1", "status": "active", "type": ["n"]});
    let dry = world.bulk(json!({"filter": filter, "operation": "retire", "dry_run": true})).await;
    assert_eq!((&dry["kind"], rows(&dry)), (&json!("bulk"), [1_099, 0, 1_099, 0, 0]), "{dry}");
    assert_eq!(dry["sample"].as_array().unwrap().len(), 20);
    assert_eq!(dry["dry_run"], true);
    assert_eq!(dry["sample"][0], "88.999.1/bulk-0000");
    assert_eq!(world.record("bulk-0000").await["version"], 1);

    let job = world.bulk(json!({"filter": filter, "operation": "retire"})).await;
    assert_eq!(rows(&job), [1_099, 0, 1_099, 0, 0], "{job}");
    for (name, status) in
        [("bulk-0000", "retired"), ("bulk-1099", "retired"), ("bulk-0007", "suspended"), ("typed", "active")]
    {
        assert_eq!(world.record(name).await["status"], status, "{name}");
    }
    let none = world.bulk(json!({"filter": filter, "operation": "retire"})).await;
    assert_eq!(rows(&none), [0; 5]);
    let undone = world.undo(&job).await;
    assert_eq!(rows(&undone), [1_099, 0, 1_099, 0, 0], "{undone}");
    assert_eq!(world.record("bulk-0000").await["status"], "active");

    let patch = json!({"values": [{"index": 1, "data": "neu"}]});
    let body = json!({"filter": {"prefix": "88.999.1", "status": ["suspended"]}, "operation": "patch", "patch": patch});
    assert_eq!(rows(&world.bulk(body).await), [1, 0, 1, 0, 0]);
    assert_eq!(world.record("bulk-0007").await["values"][0]["data"]["value"], "neu");
    let past = json!({"prefix": "88.999.1", "updated_before": "2001-01-01T00:00:00Z"});
    assert_eq!(rows(&world.bulk(json!({"filter": past, "operation": "delete"})).await), [0; 5]);
}

#[tokio::test]
async fn a_filter_that_is_wrong_changes_nothing_and_says_all_that_is_wrong() {
    let world = World::new().await;
    let send = |body: Json| world.ask(Method::POST, "/v1/bulk").signed().json(&body).send();
    let wrong = send(json!({
        "filter": {"status": "gone", "updated_from": "yesterday", "colour": 1}, "operation": "put", "dry_run": 1,
    }))
    .await;
    assert_eq!((wrong.status.as_u16(), wrong.code().as_str()), (422, "fields_invalid"));
    let wrong = wrong.json();
    let mut pointers: Vec<&str> =
        wrong["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    pointers.sort_unstable();
    assert_eq!(
        pointers,
        ["/dry_run", "/filter/colour", "/filter/prefix", "/filter/status", "/filter/updated_from", "/operation"]
    );
    for (body, code) in [
        (json!({"filter": {"prefix": "88.998"}, "operation": "retire"}), "not_responsible"),
        (json!({"filter": {"prefix": "88.999.1"}, "operation": "patch"}), "fields_invalid"),
        (json!({"filter": {"prefix": "88.999.1"}, "operation": "retire", "patch": {}}), "fields_invalid"),
        (json!({"filter": {"prefix": "88.999.1"}, "operation": "patch", "patch": {"colour": 1}}), "fields_invalid"),
        (json!([]), "fields_invalid"),
    ] {
        assert_eq!(send(body.clone()).await.code(), code, "{body}");
    }
    let stranger = world.ask(Method::POST, "/v1/bulk").json(&json!({})).send().await;
    assert_eq!(stranger.status, 401);
}

/// As the file of a job stands when a crash came: at its first step, with rows committed behind it.
fn cut_short(world: &World, job: &Json, input: &str, step_rows: u64) {
    let folder = world.node.services.settings.imports_folder.join(job["id"].as_str().unwrap());
    super::importing::rewrite(&folder, |job| {
        job["state"] = json!("running");
        job["ended"] = Json::Null;
        job["course"]["until"] = Json::Null;
        let from = job["course"]["from"].clone();
        let none = json!({"total": step_rows, "registered": 0, "updated": 0, "skipped": step_rows, "failed": 0});
        job["course"]["step"] =
            json!({"rows": step_rows, "counts": none, "bytes_done": 0, "noted_bytes": 0, "tail": from});
    });
    std::fs::write(folder.join("input"), input).unwrap();
}

#[tokio::test]
async fn a_job_that_a_crash_cut_short_goes_on_and_does_no_row_twice() {
    let mut world = World::new().await;
    world.import("", NDJSON, [row("b", "stands"), row("z", "stands")].concat()).await;
    // Of the same name several rows: nothing but the journal tells how many of them were committed.
    let done = [row("a", "1"), row("a", "2"), "wrong\n".to_owned(), row("b", "1")].concat();
    let input = [done.clone(), row("a", "1"), row("c", "1"), "wrong too\n".to_owned()].concat();
    let job = world.import("on_conflict=update", NDJSON, done).await;
    assert_eq!(rows(&job), [4, 1, 2, 0, 1]);
    world.jobs_are_noted().await;
    cut_short(&world, &job, &input, 0);
    world = world.restarted("").await;
    let target = format!("/v1/imports/{}", job["id"].as_str().unwrap());
    let resumed = world.ended(&target).await;
    assert_eq!((&resumed["state"], rows(&resumed)), (&json!("done"), [7, 2, 3, 0, 2]), "{resumed}");
    for (name, version, text) in [("a", 3, "1"), ("b", 2, "1"), ("c", 1, "1"), ("z", 1, "stands")] {
        let record = world.record(name).await;
        assert_eq!((&record["version"], &record["values"][0]["data"]["value"]), (&json!(version), &json!(text)));
    }
    let lines: Vec<u64> = world.codes(&resumed).await.into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, [3, 7], "no row is told twice");
    world.jobs_are_noted().await;
    // And a resumed job is taken back as any other.
    let undone = world.undo(&resumed).await;
    assert_eq!(rows(&undone), [3, 0, 3, 0, 0], "{undone}");
    assert_eq!(world.record("a").await["status"], "retired");
    assert_eq!(world.record("b").await["values"][0]["data"]["value"], "stands");
}

#[tokio::test]
async fn a_resumed_job_passes_over_the_rows_behind_its_step_and_an_atomic_one_is_never_done_twice() {
    let mut world = World::new().await;
    let input = [row("a", "1"), row("b", "1"), row("c", "1")].concat();
    let job = world.import("atomic=1", NDJSON, input.clone()).await;
    assert_eq!(rows(&job), [3, 3, 0, 0, 0]);
    let stepped = world.import("", NDJSON, "").await;
    world.jobs_are_noted().await;
    cut_short(&world, &job, &input, 0);
    cut_short(&world, &stepped, &[row("x", "1"), row("y", "1")].concat(), 1);
    world = world.restarted("").await;
    let atomic = world.ended(&format!("/v1/imports/{}", job["id"].as_str().unwrap())).await;
    assert_eq!((&atomic["state"], rows(&atomic)), (&json!("done"), [3, 3, 0, 0, 0]), "{atomic}");
    assert_eq!(world.record("a").await["version"], 1);
    let stepped = world.ended(&format!("/v1/imports/{}", stepped["id"].as_str().unwrap())).await;
    assert_eq!(rows(&stepped), [2, 1, 0, 1, 0], "{stepped}");
    assert_eq!(world.get("/v1/records/88.999.1/x").send().await.status, 404, "it has its outcome already");
    assert_eq!(world.record("y").await["version"], 1);
}

#[tokio::test]
async fn a_job_that_is_stopped_twice_still_finds_what_it_had_done_before_the_first_stop() {
    let mut world = World::new().await;
    let job = world.import("", NDJSON, row("last", "1")).await;
    assert_eq!(rows(&job), [1, 1, 0, 0, 0]);
    world.jobs_are_noted().await;
    // Committed before the first stop, and the last row of the file: its frame stands before those of all other rows.
    let count = 6_000;
    let others: String = (0..count).map(|at| row(&format!("r{at}"), "1")).collect();
    cut_short(&world, &job, &(others + &row("last", "1")), 0);
    world = world.restarted("").await;
    // Long enough for a step to be noted, as one is a second: the second start would look for rows behind it only.
    let (started, target) = (Instant::now(), format!("/v1/imports/{}", job["id"].as_str().unwrap()));
    while started.elapsed() < Duration::from_millis(1_500) && world.node.services.imports.running() > 0 {
        tokio::task::yield_now().await;
    }
    world = world.restarted("").await;
    let ended = world.ended(&target).await;
    assert_eq!((&ended["state"], rows(&ended)), (&json!("done"), [count + 1, count + 1, 0, 0, 0]), "{ended}");
}

#[tokio::test]
async fn a_job_at_which_the_node_ends_again_and_again_is_given_up() {
    let mut world = World::new().await;
    let job = world.import("", NDJSON, "").await;
    world.jobs_are_noted().await;
    cut_short(&world, &job, &row("a", "1"), 0);
    let folder = world.node.services.settings.imports_folder.join(job["id"].as_str().unwrap());
    super::importing::rewrite(&folder, |job| job["course"]["attempts"] = json!(5));
    world = world.restarted("").await;
    let told = world.get(&format!("/v1/imports/{}", job["id"].as_str().unwrap())).signed().send().await.json();
    assert_eq!((&told["state"], &told["failure"]["code"]), (&json!("failed"), &json!("import_interrupted")));
    assert_eq!(world.get("/v1/records/88.999.1/a").send().await.status, 404);
}

#[tokio::test]
async fn events_tell_how_a_job_is_doing_and_end_with_it() {
    let world = World::with(&[("import.jobs", "1")]).await;
    let (job, pipe) = super::importing::import_from_a_pipe(&world, false).await;
    let events = format!("{job}/events");
    let (answer, ()) = tokio::join!(world.get(&events).signed().header("accept", "text/event-stream").send(), async {
        // The listener has the first event by now, or will hear the last one alone: both are a true account.
        tokio::task::yield_now().await;
        std::fs::write(&pipe, row("a", "x")).unwrap();
    });
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "text/event-stream"));
    assert_eq!(answer.header("cache-control"), "no-store");
    let text = answer.text();
    assert!(text.starts_with("retry: 1000\n\nevent: "), "{text}");
    let last = text.trim_end().rsplit("\n\n").next().unwrap();
    let field = |name: &str| last.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap();
    assert_eq!(field("event"), "done");
    let told: Json = serde_json::from_str(field("data")).unwrap();
    assert_eq!(rows(&told), [1, 1, 0, 0, 0]);
    // Who has heard the end is told not to come back; who has not hears it.
    let again = world.get(&events).signed().header("last-event-id", field("id")).send().await;
    assert_eq!((again.status.as_u16(), again.body.len()), (204, 0));
    let late = world.get(&events).signed().header("last-event-id", "r.0.0.0.0.0.0").send().await;
    assert!(late.text().contains("event: done\n"));
    assert_eq!(world.node.services.imports.listeners.load(std::sync::atomic::Ordering::Relaxed), 0);
    assert_eq!(world.get("/v1/imports/none/events").signed().send().await.code(), "import_unknown");
    assert_eq!(world.get(&events).send().await.status, 401);
    assert_eq!(world.get(&events).signed().header("accept", "text/html").send().await.status, 406);
}
