//! Bulk registration, reopening and memory of one node, in process: `cargo bench --bench bulk -- all RECORDS [FOLDER]`.
//!
//! Prints one line a figure: rows a second, bytes on disk against bytes of entries, resident memory, and the seconds that
//! opening takes after a clean stop, after a kill, and with the record store gone. `import` stops after the import;
//! `capacity` measures what `mingpai plan` and the start after a power cut rest on: a snapshot and its cost, and the starts
//! that follow when the boot id has changed, with the record store whole, damaged and gone, with a snapshot and without.
//! `peer` is sled alone, unsigned, with values of 540 bytes (`benches/peers/run` sets the two against one another). `single`
//! registers one by one, 64 at a time, each acknowledged by itself.
//! Not a test: figures only.

#![expect(clippy::expect_used, reason = "a measurement that fails has nothing to tell")]

use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mingpai::config::{Config, Layers};
use mingpai::model::draft::Draft;
use mingpai::model::permitted::Permitted;
use mingpai::model::time::Timestamp;
use mingpai::node::{EndProcess, Node};
use mingpai::services::EncodeResolution;
use mingpai::services::import::{Begun, JobState, ReadJob, StartImport};
use mingpai::services::register::{Change, Precondition, Register};
use mingpai::services::resolve::Resolution;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct NoEncoder;
impl EncodeResolution for NoEncoder {
    fn encode(&self, _: &Resolution) -> Vec<u8> {
        Vec::new()
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let throwaway = tempfile::tempdir().expect("a temporary folder");
    let folder = arguments.get(2).map_or_else(|| throwaway.path().to_owned(), PathBuf::from);
    let records: u64 = arguments.get(1).and_then(|text| text.parse().ok()).unwrap_or(100_000);
    match arguments.first() {
        None | Some(&"all") => all(records, &folder),
        Some(&"import") => import(0..records, &folder),
        Some(&"more") => import(records..2 * records, &folder),
        Some(&"peer") => peer(records, &folder),
        Some(&"reopen") => reopen(&folder),
        Some(&"capacity") => capacity(records, &folder),
        Some(&"single") => single(records, &folder),
        Some(&"snapshot") => snapshot(&folder),
        Some(&"tenth") => import(records..records + (records / 10).min(500_000), &folder),
        Some(other) => {
            println!("{other}: one of all, capacity, import, more, peer, reopen, single, snapshot, tenth is expected")
        }
    }
}

fn all(records: u64, folder: &Path) {
    import(0..records, folder);
    for what in ["after a clean stop", "after a clean stop"] {
        println!("reopen {what}");
        child("reopen", records, folder, false);
    }
    println!("killed right after opening; then reopen");
    child("reopen", records, folder, true);
    child("reopen", records, folder, false);
    println!("killed while importing more; then reopen");
    child("more", records, folder, true);
    child("reopen", records, folder, false);
    println!("checkpoint gone, so that all is scanned and checked as after a power cut; then reopen");
    std::fs::remove_file(folder.join("journal/checkpoint")).expect("remove the checkpoint");
    child("reopen", records, folder, false);
    println!("record store gone, as after a power cut that it did not survive; then reopen");
    std::fs::remove_dir_all(folder.join("records")).expect("remove the record store");
    child("reopen", records, folder, false);
}

/// The start after a power cut: checkpoint kept, boot id changed, record store whole, damaged or gone.
fn capacity(records: u64, folder: &Path) {
    import(0..records, folder);
    child("snapshot", records, folder, false);
    // What is replayed over the snapshot: a tenth more records, at most half a million.
    child("tenth", records, folder, false);
    for what in ["whole", "damaged", "gone"] {
        println!("power cut, record store {what}, with a snapshot; then reopen");
        cut(folder, what);
        child("reopen", records, folder, false);
    }
    println!("clean stop, records above the snapshot; then reopen");
    child("reopen", records, folder, false);
    remove_snapshots(folder);
    println!("power cut, no snapshot, so that all is made anew; then reopen");
    cut(folder, "gone");
    child("reopen", records, folder, false);
    remove_snapshots(folder);
    println!("power cut, no snapshot, record store whole, so that all is scanned; then reopen");
    cut(folder, "whole");
    child("reopen", records, folder, false);
}

/// Registrations at the same moment.
const SINGLES: usize = 64;

/// Single registrations on a thread a core, each of whom waits for his own to be durable before he asks for the next.
fn single(records: u64, folder: &Path) {
    let (_runtime, node) = open(folder);
    let (services, next) = (&node.services, AtomicU64::new(0));
    let values: Vec<serde_json::Value> = (0..4)
        .map(|at| serde_json::json!({"index": 2_000 + at, "type": "规格型号", "data": "GB/T 5782-2016 M8×40"}))
        .collect();
    let draft = Draft::from_json(&serde_json::json!({"values": values}), Timestamp::now()).expect("a draft");
    let register = async || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= records {
                return;
            }
            let request = Register {
                identifier: format!("88.999.1/S{at:010}"),
                change: Change::Put(draft.clone()),
                precondition: Precondition::None,
                idempotency: None,
            };
            services.register(Permitted::bypassing_the_guard("bench", request)).await.expect("registered");
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
                runtime.block_on(futures_util::future::join_all((0..SINGLES / threads).map(|_| register())));
            });
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "single: {:.0} registrations/s ({records} in {seconds:.1} s, {SINGLES} at a time)",
        records as f64 / seconds
    );
    node.services.store.stop();
}

/// A snapshot on a quiet node.
fn snapshot(folder: &Path) {
    let (_runtime, node) = open(folder);
    let started = Instant::now();
    let taken = node.services.store.take_snapshot().expect("a snapshot");
    let seconds = started.elapsed().as_secs_f64();
    println!("snapshot: {seconds:.1} s, {} rows, {} MB", taken.rows, taken.bytes >> 20);
    println!("coefficient snapshot {:.1} bytes a record", taken.bytes as f64 / node.opened.records.max(1) as f64);
    node.services.store.stop();
}

/// Makes the last stop look like a power cut: the checkpoint is of another boot and calls nothing clean.
fn cut(folder: &Path, record_store: &str) {
    let path = folder.join("journal/checkpoint");
    let bytes = std::fs::read(&path).expect("the checkpoint");
    let mut checkpoint: serde_json::Value = serde_json::from_slice(&bytes[..bytes.len() - 4]).expect("a checkpoint");
    checkpoint["clean"] = false.into();
    checkpoint["session"] = "another boot".into();
    let mut bytes = serde_json::to_vec(&checkpoint).expect("JSON");
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    std::fs::write(&path, bytes).expect("write the checkpoint");
    let records = folder.join("records");
    match record_store {
        "whole" => {}
        "damaged" => std::fs::write(records.join("db"), vec![0xa5; 1 << 20]).expect("damage"),
        _ => std::fs::remove_dir_all(records).expect("remove the record store"),
    }
}

fn remove_snapshots(folder: &Path) {
    for entry in std::fs::read_dir(folder.join("journal")).expect("the journal").flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "rows") {
            std::fs::remove_file(entry.path()).expect("remove a snapshot");
        }
    }
}

/// sled alone: keys of 24 bytes spread as the rows are, values of 540 bytes, no signature, no fsync but the last flush.
fn peer(records: u64, folder: &Path) {
    let db = sled::Config::new().path(folder.join("peer")).open().expect("sled");
    let started = Instant::now();
    let mut value = vec![0; 540];
    for at in 0..records {
        value[..8].copy_from_slice(&at.to_le_bytes());
        db.insert(format!("88.999.1/SN{:013}", serial(at)), value.as_slice()).expect("insert");
    }
    db.flush().expect("flush");
    let seconds = started.elapsed().as_secs_f64();
    println!("sled alone: {:.0} rows/s ({seconds:.1} s)", records as f64 / seconds);
}

fn child(what: &str, records: u64, folder: &Path, kill: bool) {
    let mut command = std::process::Command::new(std::env::current_exe().expect("own path"));
    command.args([what, &records.to_string()]).arg(folder);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().expect("start");
    if kill {
        std::thread::sleep(Duration::from_secs(8));
        child.kill().expect("kill");
    }
    drop(child.stdin.take());
    child.wait().expect("wait");
}

fn open(folder: &Path) -> (tokio::runtime::Runtime, Node) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let layers = Layers {
        flags: vec![
            ("node.dev".to_owned(), "true".to_owned()),
            ("node.data".to_owned(), folder.to_string_lossy().into_owned()),
        ],
        ..Layers::default()
    };
    let config = Config::load(&layers).expect("config");
    let node = runtime.block_on(Node::open(&config, Arc::new(NoEncoder), Arc::new(EndProcess))).expect("open");
    (runtime, node)
}

/// Opens, says how long it took, and waits for the end of its input before it stops.
fn reopen(folder: &Path) {
    let started = Instant::now();
    let (_runtime, node) = open(folder);
    let (seconds, opened) = (started.elapsed().as_secs_f64(), &node.opened);
    println!("  open: {seconds:.3} s, {}, {opened:?}", opened.kind());
    println!(
        "coefficient start_{} {:.3} seconds a million records",
        opened.kind(),
        seconds / opened.records as f64 * 1e6
    );
    println!("  resident after opening: {} MB", resident_mb());
    let mut line = String::new();
    let _ = std::io::stdin().read_line(&mut line);
    node.services.store.stop();
}

fn import(rows: Range<u64>, folder: &Path) {
    let (runtime, node) = open(folder);
    let input = folder.join("bulk.ndjson");
    let records = rows.end - rows.start;
    write_rows(&input, rows);
    let started = Instant::now();
    let view = runtime.block_on(async {
        let asked = Permitted::bypassing_the_guard("bench", StartImport::default());
        let Begun::Upload(mut upload) = node.services.begin_import(asked).await.expect("begin") else {
            panic!("a new job")
        };
        let mut file = std::fs::File::open(&input).expect("input");
        let mut chunk = vec![0; 1 << 20];
        while let Ok(count @ 1..) = std::io::Read::read(&mut file, &mut chunk) {
            upload.write(&chunk[..count].to_vec().into()).await.expect("upload");
        }
        node.services.start_import(*upload).await.expect("start")
    });
    println!("uploaded after {:.2} s", started.elapsed().as_secs_f64());
    let (mut peak, mut sampled) = (0, Instant::now());
    loop {
        let asked = Permitted::bypassing_the_guard("bench", ReadJob { id: view.id.clone() });
        let now = node.services.import(&asked).expect("job");
        if sampled.elapsed() >= Duration::from_millis(500) {
            sampled = Instant::now();
            peak = peak.max(resident_mb());
            if std::env::var_os("MINGPAI_BENCH_PROGRESS").is_some() {
                println!("{:.1} s {} rows, {} MB", started.elapsed().as_secs_f64(), now.rows.registered, resident_mb());
            }
        }
        if now.state != JobState::Running {
            let seconds = started.elapsed().as_secs_f64();
            println!("{:?} {:?}", now.state, now.rows);
            println!("import: {:.0} rows/s ({seconds:.1} s)", records as f64 / seconds);
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("resident: {} MB, highest seen {peak} MB", resident_mb());
    std::fs::remove_file(&input).expect("remove the input");
    let stopping = Instant::now();
    node.services.store.stop();
    println!("stop: {:.2} s", stopping.elapsed().as_secs_f64());
    let mut entries = 0;
    node.services
        .store
        .replay(|frame| {
            entries += frame.statement.len() + frame.disclosures.map_or(0, |text| text.len());
            Ok(())
        })
        .expect("replay");
    let (journal, rows) = (used(&folder.join("journal")), used(&folder.join("records")));
    println!(
        "disk: entries {} MB, journal {} MB, record store {} MB, together {:.2}x the entries",
        entries >> 20,
        journal >> 20,
        rows >> 20,
        (journal + rows) as f64 / entries as f64
    );
}

/// Spread over the key space, as production dates and serials are.
fn serial(at: u64) -> u64 {
    at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20
}

/// Rows whose records have about 500 bytes.
fn write_rows(path: &Path, rows: Range<u64>) {
    let mut out = std::io::BufWriter::new(std::fs::File::create(path).expect("input"));
    for at in rows {
        let serial = serial(at);
        writeln!(
            out,
            "{{\"identifier\":\"88.999.1/SN{serial:013}\",\"values\":[\
             {{\"index\":2000,\"type\":\"产品名称\",\"data\":\"六角头螺栓 M{m}×{l} 8.8级 镀锌\"}},\
             {{\"index\":2001,\"type\":\"规格型号\",\"data\":\"GB/T 5782-2016 M{m}×{l}\"}},\
             {{\"index\":2002,\"type\":\"生产批次\",\"data\":\"B2026{b:06}\"}},\
             {{\"index\":2003,\"type\":\"净重\",\"data\":{{\"format\":\"decimal\",\"value\":\"{w}.25\",\"unit\":\"g\"}}}}]}}",
            m = 6 + at % 20,
            l = 20 + at % 100,
            b = at / 500,
            w = 10 + at % 90,
        )
        .expect("write");
    }
    out.flush().expect("write");
}

fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).map_or(0, |kb| kb / 1024)
}

/// Bytes that a folder's files really take.
fn used(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(listing) = std::fs::read_dir(folder) else {
        return 0;
    };
    listing
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => used(&entry.path()),
            Ok(meta) => meta.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}
