//! `mingpai plan`: disk, memory, start and import times for a number of records, from measured coefficients.
//!
//! Proportions, and nothing cleverer: every figure is a coefficient times the records. What was measured, and at what
//! size, stands in [`COEFFICIENTS`] and in the answer; beyond that size the answer says that it is extrapolated.

use clap::Args;
use serde::Serialize;

use super::failure::{CliError, Verdict};
use super::screen::Screen;
use crate::store::snapshot::ROWS_A_DUE_FRAME;

/// One measured figure. `benches/results` has the runs; `cargo bench --bench bulk -- capacity N` measures them anew.
#[derive(Clone, Copy, Debug, Serialize)]
struct Coefficient {
    name: &'static str,
    value: f64,
    unit: &'static str,
    source: &'static str,
}

/// Bytes of a record's values in the measured runs, about.
const MEASURED_RECORD_BYTES: f64 = 500.0;
/// Records of the largest run that the coefficients come from.
const MEASURED_RECORDS: u64 = 10_000_000;
/// What one node is said to hold. A statement, not a wall: there the whole journal takes about an hour to replay, the
/// worst start there is, and no operator would wait longer. Split by prefix over several nodes beyond it.
const CEILING_RECORDS: u64 = 100_000_000;
/// Values ride in the row up to these bytes (`store::rows`).
const INLINE_BYTES: u64 = crate::store::rows::INLINE_BYTES as u64;
const MIB: f64 = 1_048_576.0;

const BULK: &str = "benches/results/bulk-1m.txt (2 cores, 1 M records of about 500 B)";
const CAPACITY: &str = "benches/results/capacity-10m.txt (2 cores, 10 M records of about 500 B)";
const REPLAYED: &str = "benches/results/capacity-10m.txt: (17.933 s - 10 x start_snapshot) for 0.5 M changes";
const JOURNAL: Coefficient =
    Coefficient { name: "journal", value: 2322.4 * MIB / 1e6, unit: "bytes a record of 500 B", source: CAPACITY };
const JOURNAL_BYTE: Coefficient = Coefficient {
    name: "journal_value",
    value: 4.0 / 3.0,
    unit: "bytes a byte of values",
    source: "base64 of the disclosures (RFC 9901)",
};
const RECORD_STORE: Coefficient =
    Coefficient { name: "record_store", value: 234.3 * MIB / 1e6, unit: "bytes a record", source: CAPACITY };
const RECORD_STORE_BYTE: Coefficient = Coefficient {
    name: "record_store_value",
    value: 1.9,
    unit: "bytes a byte of values kept in the row (up to 256 B)",
    source: "docs/decisions.md, sled: disk against data",
};
const SNAPSHOT: Coefficient = Coefficient { name: "snapshot", value: 103.0, unit: "bytes a record", source: CAPACITY };
const IMPORT: Coefficient = Coefficient { name: "import", value: 24_255.0, unit: "records a second", source: CAPACITY };
const CLEAN: Coefficient =
    Coefficient { name: "start_clean", value: 0.1, unit: "seconds a million records", source: BULK };
const SCAN: Coefficient =
    Coefficient { name: "start_scan", value: 1.885, unit: "seconds a million records", source: CAPACITY };
const REPLAY: Coefficient =
    Coefficient { name: "replay", value: 31.4, unit: "seconds a million changes, above a snapshot", source: REPLAYED };
const ANEW: Coefficient = Coefficient {
    name: "start_anew",
    value: 39.56,
    unit: "seconds a million changes, of the whole journal (other work ran meanwhile)",
    source: CAPACITY,
};
const SNAPSHOT_START: Coefficient = Coefficient {
    name: "start_snapshot",
    value: 0.225,
    unit: "seconds a million records, beside the replay of what came after",
    source: "benches/results/capacity-1m.txt, its last lines",
};
const SNAPSHOT_WRITING: Coefficient = Coefficient {
    name: "snapshot_writing",
    value: 4.51,
    unit: "seconds a million records, while which an import goes on",
    source: CAPACITY,
};
const PROCESS: Coefficient = Coefficient {
    name: "process",
    value: 145.0 + 64.0,
    unit: "MiB beside the budgets",
    source: "docs/decisions.md, sled's memory whatever its cache; and buffers, stacks and jobs",
};
const INDEX: Coefficient = Coefficient {
    name: "snapshot_index",
    value: 0.75,
    unit: "bytes of memory a record",
    source: "its format: one key of 26 B and its place for every 80 rows",
};
const COEFFICIENTS: [Coefficient; 14] = [
    JOURNAL,
    JOURNAL_BYTE,
    RECORD_STORE,
    RECORD_STORE_BYTE,
    SNAPSHOT,
    IMPORT,
    CLEAN,
    SCAN,
    REPLAY,
    ANEW,
    SNAPSHOT_START,
    SNAPSHOT_WRITING,
    PROCESS,
    INDEX,
];

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai plan --records 10000000
  mingpai plan --records 50000000 --record-bytes 1200 --versions 3
  mingpai plan --records 50000000 --cold-after-segments 64
  mingpai plan --records 10000000 --json | jq .disk.total_bytes")]
pub struct Plan {
    /// 记录数 / Records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000))]
    records: u64,
    /// 每条记录属性值的平均字节数 / Bytes of a record's values, on average
    #[arg(long, value_name = "BYTES", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    record_bytes: u64,
    /// 每条记录平均写入的版本数 / Versions that are written of a record, on average
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    versions: u64,
    /// 每多少次变更保存一次快照, 0 为不保存（store.snapshot_changes） / Changes from one snapshot to the next, 0: never (store.snapshot_changes)
    #[arg(long, value_name = "N", default_value_t = 500_000, value_parser = clap::value_parser!(u64).range(0..=100_000_000))]
    snapshot_changes: u64,
    /// 留在数据目录的日志段数（设有 store.cold 时的 store.cold_after_segments） / Full segments that stay in the data folder (store.cold_after_segments, with store.cold)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    cold_after_segments: Option<u64>,
    /// JSON
    #[arg(long)]
    pub json: bool,
}

/// The answer. Bytes and seconds.
#[derive(Debug, Serialize)]
struct Answer {
    records: u64,
    record_bytes: u64,
    versions: u64,
    within_ceiling: bool,
    ceiling_records: u64,
    measured_records: u64,
    extrapolated: bool,
    disk: Disk,
    memory_bytes: u64,
    import_seconds: f64,
    start: Start,
    coefficients: [Coefficient; 14],
}

#[derive(Debug, Serialize)]
struct Disk {
    journal_bytes: u64,
    /// What of the journal goes to the folder of `store.cold`; 0 without.
    cold_bytes: u64,
    record_store_bytes: u64,
    snapshot_bytes: u64,
    /// Without what is cold; with a second snapshot while one is written, and the reserve.
    total_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Start {
    clean_seconds: f64,
    /// After a power cut, with a snapshot. Absent where none is ever taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot_seconds: Option<f64>,
    /// The same in the middle of an import: what came while the snapshot was written is replayed too.
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot_import_seconds: Option<f64>,
    /// After a power cut without one, where sled's files survived it.
    scan_seconds: f64,
    /// After a power cut without one, where they did not; and `mingpai doctor --rebuild`.
    anew_seconds: f64,
}

impl Plan {
    /// Yes: one node is said to hold it.
    pub fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let answer = self.answer();
        let verdict = if answer.within_ceiling { Verdict::Yes } else { Verdict::No };
        if screen.json {
            screen.print_json(&answer)?;
        } else {
            print(&answer, screen)?;
        }
        Ok(verdict)
    }

    fn answer(&self) -> Answer {
        let (records, bytes) = (self.records as f64, self.record_bytes as f64);
        let changes = records * self.versions as f64;
        let (millions, million_changes) = (records / 1e6, changes / 1e6);
        let frame = JOURNAL.value + (bytes - MEASURED_RECORD_BYTES) * JOURNAL_BYTE.value;
        let inline = if self.record_bytes <= INLINE_BYTES { bytes } else { 0.0 };
        let journal = changes * frame;
        let record_store = records * (RECORD_STORE.value + inline * RECORD_STORE_BYTE.value);
        let is_taken = self.snapshot_changes > 0;
        let snapshot = if is_taken { records * (SNAPSHOT.value + inline) } else { 0.0 };
        let spec = crate::config::StoreSpec::default();
        let cache = crate::config::CacheSpec::default();
        // As the store does: one is not due before there were changes for a part of its rows.
        let since = (self.snapshot_changes as f64).max(records / ROWS_A_DUE_FRAME as f64);
        let meanwhile = millions * SNAPSHOT_WRITING.value * IMPORT.value;
        let after_snapshot =
            |since: f64| is_taken.then(|| millions * SNAPSHOT_START.value + since.min(changes) / 1e6 * REPLAY.value);
        // Whole segments, all but those that stay and the one that is written to.
        let segment = spec.segment_bytes as f64;
        let moved = |stay: u64| ((journal / segment).floor() - stay as f64).max(0.0) * segment;
        let cold = self.cold_after_segments.map_or(0.0, moved);
        // A copy is proven as a whole.
        let moving = if cold > 0.0 { segment } else { 0.0 };
        Answer {
            records: self.records,
            record_bytes: self.record_bytes,
            versions: self.versions,
            within_ceiling: self.records <= CEILING_RECORDS,
            ceiling_records: CEILING_RECORDS,
            measured_records: MEASURED_RECORDS,
            extrapolated: self.records > MEASURED_RECORDS,
            disk: Disk {
                journal_bytes: whole(journal),
                cold_bytes: whole(cold),
                record_store_bytes: whole(record_store),
                snapshot_bytes: whole(snapshot),
                total_bytes: whole(
                    journal - cold + record_store + 2.0 * snapshot + (spec.reserve_bytes + spec.segment_bytes) as f64,
                ),
            },
            memory_bytes: whole(
                PROCESS.value * MIB
                    + moving
                    + records * INDEX.value
                    + (spec.sled_budget_bytes + cache.budget_bytes) as f64,
            ),
            import_seconds: changes / IMPORT.value,
            start: Start {
                clean_seconds: millions * CLEAN.value,
                snapshot_seconds: after_snapshot(since),
                snapshot_import_seconds: after_snapshot(since + meanwhile),
                scan_seconds: millions * SCAN.value,
                anew_seconds: million_changes * ANEW.value,
            },
            coefficients: COEFFICIENTS,
        }
    }
}

/// The largest number where it is more than that.
fn whole(bytes: f64) -> u64 {
    bytes.round() as u64
}

fn print(answer: &Answer, screen: Screen) -> Result<(), CliError> {
    let (disk, start) = (&answer.disk, &answer.start);
    let with_snapshot = |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), time);
    let lines: [(&str, &str, String); 12] = [
        ("日志", "journal", size(disk.journal_bytes)),
        ("其中在冷存储", "of it in cold storage", size(disk.cold_bytes)),
        ("记录库", "record store", size(disk.record_store_bytes)),
        ("快照（写入时再加一份）", "snapshot (twice while one is written)", size(disk.snapshot_bytes)),
        (
            "磁盘合计（含预留，不含冷存储）",
            "disk in all, with the reserve, without cold storage",
            size(disk.total_bytes),
        ),
        ("内存（默认配置）", "memory, by the default settings", size(answer.memory_bytes)),
        ("全部导入", "importing it all", time(answer.import_seconds)),
        ("正常停止后启动", "start after a clean stop", time(start.clean_seconds)),
        ("断电后启动（有快照）", "start after a power cut, with a snapshot", with_snapshot(start.snapshot_seconds)),
        (
            "导入过程中断电后启动（有快照）",
            "the same in the middle of an import",
            with_snapshot(start.snapshot_import_seconds),
        ),
        ("断电后启动（无快照，记录库完好）", "after one without a snapshot, records intact", time(start.scan_seconds)),
        (
            "断电后启动（无快照，记录库损坏）或重建",
            "the same, records destroyed; or a rebuild",
            time(start.anew_seconds),
        ),
    ];
    for (zh, en, figure) in lines {
        screen.say(format!("{figure:>12}  {zh}"), format!("{figure:>12}  {en}"))?;
    }
    let measured = answer.measured_records;
    if answer.extrapolated {
        screen.say(
            format!("以上由 {measured} 条记录的实测按比例外推；各系数及来源见 --json"),
            format!("extrapolated in proportion from a measurement of {measured} records; --json has every coefficient and its source"),
        )?;
    }
    if !answer.within_ceiling {
        let ceiling = answer.ceiling_records;
        screen.say(
            format!("超过单节点建议上限 {ceiling} 条：请按前缀拆分到多个节点"),
            format!(
                "more than the {ceiling} records that one node is said to hold: split it by prefix over several nodes"
            ),
        )?;
    }
    Ok(())
}

/// Three figures and a unit.
fn size(bytes: u64) -> String {
    let mut figure = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if figure < 1024.0 {
            return format!("{figure:.1} {unit}");
        }
        figure /= 1024.0;
    }
    format!("{figure:.1} TiB")
}

fn time(seconds: f64) -> String {
    match seconds {
        _ if seconds < 120.0 => format!("{seconds:.1} s"),
        _ if seconds < 7_200.0 => format!("{:.1} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3_600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(records: u64, record_bytes: u64, versions: u64) -> Plan {
        let (snapshot_changes, cold_after_segments) = (500_000, None);
        Plan { records, record_bytes, versions, snapshot_changes, cold_after_segments, json: false }
    }

    fn plan(records: u64, record_bytes: u64, versions: u64) -> Answer {
        asked(records, record_bytes, versions).answer()
    }

    #[test]
    fn what_is_cold_is_taken_off_the_disk_and_nothing_else() {
        let all_hot = plan(10_100_000, 500, 1).disk;
        let stay = |segments| Plan { cold_after_segments: Some(segments), ..asked(10_100_000, 500, 1) }.answer().disk;
        let disk = stay(64);
        // 23,456 MiB of journal: 366 full segments of 64 MiB.
        assert_eq!(disk.cold_bytes, (366 - 64) * (64 << 20));
        assert_eq!(disk.total_bytes + disk.cold_bytes, all_hot.total_bytes);
        assert_eq!((all_hot.cold_bytes, stay(1_000).cold_bytes), (0, 0));
        let memory =
            |segments| Plan { cold_after_segments: Some(segments), ..asked(10_100_000, 500, 1) }.answer().memory_bytes;
        assert_eq!(memory(64) - memory(1_000), 64 << 20, "one segment, while it is moved");
    }

    #[test]
    fn the_measured_run_comes_out_as_it_was_measured() {
        let answer = plan(10_000_000, 500, 1);
        assert!(!answer.extrapolated && answer.within_ceiling);
        assert_eq!(answer.disk.journal_bytes, 23_224 << 20);
        assert_eq!(answer.disk.record_store_bytes, 2_343 << 20);
        assert!((answer.import_seconds - 412.3).abs() < 0.1, "{}", answer.import_seconds);
        assert!((answer.start.anew_seconds * 1.05 - 415.3).abs() < 0.1, "{}", answer.start.anew_seconds);
        assert!((answer.start.scan_seconds * 1.05 - 19.8).abs() < 0.1, "{}", answer.start.scan_seconds);
    }

    #[test]
    fn more_of_anything_asks_for_more_and_the_ceiling_is_said() {
        let (small, large) = (plan(1_000_000, 500, 1), plan(10_000_000, 500, 1));
        assert!(!large.extrapolated && large.within_ceiling);
        assert_eq!(large.disk.journal_bytes / small.disk.journal_bytes, 10);
        assert!(plan(1_000_000, 2_000, 1).disk.journal_bytes > small.disk.journal_bytes);
        assert!(plan(1_000_000, 500, 4).start.anew_seconds > 3.9 * small.start.anew_seconds);
        assert!(plan(1_000_000, 200, 1).disk.record_store_bytes > small.disk.record_store_bytes, "inline rows");
        let larger = plan(CEILING_RECORDS + 1, 500, 1);
        assert!(!larger.within_ceiling && larger.extrapolated);
        let after_cut = large.start.snapshot_seconds.unwrap();
        assert!(after_cut <= 30.0, "the bar at 10 M: {after_cut}");
        assert!(large.start.snapshot_import_seconds.unwrap() > after_cut + 10.0, "what came meanwhile is replayed");
        let never = Plan { snapshot_changes: 0, ..asked(1_000_000, 500, 1) }.answer();
        assert!(never.start.snapshot_seconds.is_none() && never.disk.snapshot_bytes == 0);
        // The largest that the arguments admit stays a number.
        assert!(plan(1_000_000_000_000, 1_048_576, 10_000).disk.total_bytes > 1 << 60);
    }
}
