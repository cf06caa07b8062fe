//! The shape of the configuration and its defaults. Checks are in `check`, sources in `layers`.
//!
//! Units stand last in the names; every number is a `u64`, so that a bad one fails in `check` with a remedy and not
//! in serde.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::prefix::PrefixPolicy;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// The node's own folders in its data folder: no other folder that the configuration names is one of them, or in one.
pub const OWN_FOLDERS: [&str; 7] = ["journal", "records", "records.aside", "records.fresh", "keys", "imports", "tls"];

/// What a file may say; `config/mingpai.toml` shows all of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spec {
    /// The version of this shape, so that a later program can read an earlier file.
    pub version: u64,
    pub node: NodeSpec,
    pub http: HttpSpec,
    pub tls: TlsSpec,
    pub limits: LimitsSpec,
    pub drain: DrainSpec,
    pub cache: CacheSpec,
    pub store: StoreSpec,
    pub import: ImportSpec,
    pub filing: FilingSpec,
    pub log: LogSpec,
    pub traces: TracesSpec,
    pub prefixes: Vec<PrefixPolicy>,
    pub witnesses: Vec<WitnessSpec>,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            version: 1,
            node: NodeSpec::default(),
            http: HttpSpec::default(),
            tls: TlsSpec::default(),
            limits: LimitsSpec::default(),
            drain: DrainSpec::default(),
            cache: CacheSpec::default(),
            store: StoreSpec::default(),
            import: ImportSpec::default(),
            filing: FilingSpec::default(),
            log: LogSpec::default(),
            traces: TracesSpec::default(),
            prefixes: Vec::new(),
            witnesses: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeSpec {
    /// Shown to people; no meaning to machines.
    pub name: String,
    /// The `iss` of every entry: a URI, the same for the life of the node.
    pub iss: String,
    /// Everything the node keeps is below this folder.
    pub data: PathBuf,
    /// Loopback only, demonstration data.
    pub dev: bool,
}

impl Default for NodeSpec {
    fn default() -> Self {
        Self { name: "mingpai".to_owned(), iss: String::new(), data: PathBuf::from("mingpai-data"), dev: false }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSpec {
    pub listen: Vec<SocketAddr>,
    /// 0 = one a core.
    pub workers: u64,
    pub pin_cores: bool,
    /// Whether cached resolutions over HTTP/1.1 are answered before hyper sees them.
    pub fast_lane: bool,
}

impl Default for HttpSpec {
    fn default() -> Self {
        Self {
            listen: vec![(Ipv4Addr::LOCALHOST, 8080).into(), (Ipv6Addr::LOCALHOST, 8080).into()],
            workers: 0,
            pin_cores: false,
            fast_lane: true,
        }
    }
}

/// All three of `listen`, `certificate` and `key`, or none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSpec {
    pub listen: Vec<SocketAddr>,
    /// PEM: the node's certificate first, then what leads to the root.
    pub certificate: PathBuf,
    /// PEM, PKCS #8, PKCS #1 or SEC 1, without a passphrase.
    pub key: PathBuf,
    /// With `node.dev`: a throw-away certificate in the data folder in place of the two files.
    pub dev: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsSpec {
    pub header_bytes: u64,
    pub header_count: u64,
    pub uri_bytes: u64,
    pub body_bytes: u64,
    pub import_bytes: u64,
    pub line_bytes: u64,
    pub xlsx_bytes: u64,
    pub xlsx_unpacked_bytes: u64,
    pub json_depth: u64,
    pub batch_identifiers: u64,
    pub history_bytes: u64,
    pub connections: u64,
    pub requests_in_flight: u64,
    pub handshake_timeout_seconds: u64,
    pub header_timeout_seconds: u64,
    pub body_timeout_seconds: u64,
    pub body_progress_bytes: u64,
    pub write_timeout_seconds: u64,
    pub idle_timeout_seconds: u64,
    pub h2_streams: u64,
    pub h2_resets: u64,
    pub grpc_call_seconds: u64,
}

impl Default for LimitsSpec {
    fn default() -> Self {
        Self {
            header_bytes: 16 * KIB,
            header_count: 64,
            uri_bytes: 8 * KIB,
            body_bytes: MIB,
            import_bytes: 16 * GIB,
            line_bytes: MIB,
            xlsx_bytes: 64 * MIB,
            xlsx_unpacked_bytes: 512 * MIB,
            json_depth: 32,
            batch_identifiers: 1000,
            history_bytes: 8 * MIB,
            connections: 10_000,
            requests_in_flight: 4096,
            handshake_timeout_seconds: 10,
            header_timeout_seconds: 10,
            body_timeout_seconds: 30,
            body_progress_bytes: KIB,
            write_timeout_seconds: 30,
            idle_timeout_seconds: 60,
            h2_streams: 128,
            h2_resets: 64,
            grpc_call_seconds: 3600,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DrainSpec {
    pub lame_duck_seconds: u64,
    pub deadline_seconds: u64,
}

impl Default for DrainSpec {
    fn default() -> Self {
        Self { lame_duck_seconds: 5, deadline_seconds: 30 }
    }
}

impl DrainSpec {
    #[must_use]
    pub fn lame_duck(&self) -> Duration {
        Duration::from_secs(self.lame_duck_seconds)
    }

    #[must_use]
    pub fn deadline(&self) -> Duration {
        Duration::from_secs(self.deadline_seconds)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheSpec {
    pub budget_bytes: u64,
    /// What of the budget "there is no such identifier" may fill.
    pub negative_share_percent: u64,
    /// `Cache-Control: max-age` of a resolution.
    pub max_age_seconds: u64,
    /// The same of a negative answer.
    pub negative_seconds: u64,
}

impl Default for CacheSpec {
    fn default() -> Self {
        Self { budget_bytes: 256 * MIB, negative_share_percent: 10, max_age_seconds: 60, negative_seconds: 5 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    Sled,
    Memory,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSpec {
    pub engine: Engine,
    pub sled_budget_bytes: u64,
    pub segment_bytes: u64,
    pub group_entries: u64,
    pub group_bytes: u64,
    pub queue_entries: u64,
    pub checkpoint_seconds: u64,
    /// Changes since the last snapshot of the rows after which another is taken; 0: never.
    pub snapshot_changes: u64,
    /// Free bytes on the disk below which writes are refused.
    pub reserve_bytes: u64,
    /// A folder on another file system for full journal segments; empty: they stay in the data folder.
    pub cold: PathBuf,
    /// So many of the newest full segments stay.
    pub cold_after_segments: u64,
}

impl Default for StoreSpec {
    fn default() -> Self {
        Self {
            engine: Engine::Sled,
            sled_budget_bytes: 256 * MIB,
            segment_bytes: 64 * MIB,
            group_entries: 1024,
            group_bytes: 4 * MIB,
            queue_entries: 4096,
            checkpoint_seconds: 60,
            snapshot_changes: 500_000,
            reserve_bytes: 256 * MIB,
            cold: PathBuf::new(),
            cold_after_segments: 64,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImportSpec {
    /// Imports that run at once, of which one may be atomic; the others wait their turn.
    pub jobs: u64,
    /// Days after its end that a job and its rejected rows can be asked for.
    pub keep_days: u64,
    /// Bytes of rejected rows that a job notes; beyond them it ends, for then the file or its mapping is wrong as a whole.
    pub error_bytes: u64,
}

impl Default for ImportSpec {
    fn default() -> Self {
        Self { jobs: 2, keep_days: 30, error_bytes: 256 << 20 }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FilingSpec {
    /// How many reviewers must agree before a prefix is allocated.
    pub approvals: u64,
}

impl Default for FilingSpec {
    fn default() -> Self {
        Self { approvals: 1 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// At which level every request has a line of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RequestLines {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// All of it but `format` may be changed while the node runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogSpec {
    pub filter: String,
    pub format: LogFormat,
    /// A request that takes so long has a line with its stages; 0 for none.
    pub slow_microseconds: u64,
    pub requests: RequestLines,
}

impl Default for LogSpec {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: LogFormat::Text,
            slow_microseconds: 100_000,
            requests: RequestLines::Off,
        }
    }
}

/// Where spans go. Off while `endpoint` is empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TracesSpec {
    /// OTLP over HTTP with protobuf, the whole address: `http://127.0.0.1:4318/v1/traces`.
    pub endpoint: String,
    /// Of a million requests that come without a decision of their caller, so many are traced.
    pub sample_per_million: u64,
    /// Whether a caller's `traceparent` decides.
    pub follow_parent: bool,
    /// Spans of requests that wait for the collector; more are dropped and counted.
    pub queue_requests: u64,
}

impl Default for TracesSpec {
    fn default() -> Self {
        Self { endpoint: String::new(), sample_per_million: 10_000, follow_parent: true, queue_requests: 2048 }
    }
}

/// A witness that is asked to cosign every head of the log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessSpec {
    /// Its submission prefix (c2sp.org/tlog-witness): `/add-checkpoint` is put behind it.
    pub url: String,
    /// Its key of cosignatures, in the form of notes (a "vkey").
    pub key: String,
}
