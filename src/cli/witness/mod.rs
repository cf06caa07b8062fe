//! `mingpai witness`: watches logs of others and cosigns their heads, each only if it continues the one before.
//!
//! - `state`: what was cosigned, durable. `judge`: whether a head may be. `forks`: the evidence against a log. `front`: HTTP.
//!
//! It needs nothing of the nodes that it watches, and they need not trust it: whoever verifies a proof decides which witnesses count.

mod forks;
mod front;
mod judge;
mod state;

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use self::forks::Forks;
use self::front::{BODY_LIMIT_BYTES, Front};
use self::judge::{Outcome, Witness, by_origin};
use self::state::State;
use super::failure::{CliError, Verdict};
use super::screen::Screen;
use super::vkeys::{self, Keys};
use crate::accept::{Ending, Lifecycle, Limits, Settings, bind, stop_on_signals};
use crate::config::{LimitsSpec, LogSpec};
use crate::metrics::{Metrics, WitnessingMetrics};
use crate::model::time::Timestamp;
use crate::observe::log;
use crate::sign::note_signer::NoteSigner;
use crate::tlog::note::{KeyKind, SignNote, VerifierKey};

/// In the data folder: the key that logs and verifiers are given, in the form of notes.
const VKEY_FILE: &str = "witness.vkey";
const CONNECTIONS: u64 = 1000;
/// Each waits on a thread of its own for the state to be written.
const REQUESTS_IN_FLIGHT: u64 = 64;
/// How long requests may take to end after a stop was asked for.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai witness --data witness --name witness.example.cn --log \"$(curl -s https://id.example.cn/log/vkey)\"
  mingpai witness --data witness --logs-file logs.txt --listen 0.0.0.0:8090

首次启动时在 --data 中生成密钥（0600）。请保存该目录：由旧备份恢复的见证方可能为分叉背书，宁可换新密钥重新开始。
The key is made in --data at the first start (0600). A witness restored from an old copy of this folder may bless a fork: rather begin anew with a new key.")]
pub struct WitnessArguments {
    /// 密钥与状态的目录 / Folder of the key and the state
    #[arg(long, value_name = "DIR", default_value = "mingpai-witness")]
    data: PathBuf,
    /// 监听地址，可重复 / Address to listen on; may be repeated
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8090")]
    listen: Vec<SocketAddr>,
    /// 见证方的名称，首次启动时必填，以后不能更改 / Its name: needed at the first start, never changed later
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// 日志的公钥（其 /log/vkey），可重复 / Key of a log that is watched (its /log/vkey); may be repeated
    #[arg(long = "log", value_name = "VKEY", value_parser = vkeys::of_logs)]
    logs: Vec<Keys>,
    /// 日志公钥的文件，每行一个，# 为注释 / File of such keys, one a line; # begins a comment
    #[arg(long, value_name = "FILE")]
    logs_file: Option<PathBuf>,
    /// 启动后以 JSON 显示名称、公钥与地址 / Show name, key and addresses as JSON once it serves
    #[arg(long)]
    pub json: bool,
}

impl WitnessArguments {
    /// Serves until a signal ends it. No: requests had to be cut off.
    pub fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let logs = self.log_keys()?;
        let _ = log::start(&LogSpec::default());
        let (state, pair) = State::open(&self.data, self.name.as_deref(), Timestamp::now().as_seconds())?;
        let signer = NoteSigner::new(state.name(), KeyKind::Cosignature, pair);
        let signer = signer.map_err(|error| CliError::Wrong(error.text()))?;
        keep_vkey(&self.data, signer.verifier())?;
        let logs = by_origin(logs);
        let forks = Forks::open(&self.data, logs.keys()).map_err(CliError::file("打开", "open", &self.data))?;
        let metrics = Arc::new(Metrics::new());
        let counted = WitnessingMetrics::new(&metrics.accept, &Outcome::REASONS);
        let witness = Arc::new(Witness::new(signer, logs, state, forks, counted));
        let bound = bind(self.settings()).map_err(|error| CliError::Wrong(error.text()))?;
        let lifecycle = Lifecycle::new();
        let threads = |error: std::io::Error| {
            CliError::wrong(format!("线程或信号：{error}"), format!("threads or signals: {error}"))
        };
        stop_on_signals(lifecycle.clone()).map_err(threads)?;
        let addresses = bound.addresses().to_vec();
        let front = Arc::new(Front::new(Arc::clone(&witness)));
        let running = bound.serve(front, lifecycle.clone(), metrics).map_err(threads)?;
        lifecycle.set_ready();
        announce(&witness, &addresses, screen)?;
        match running.wait().map_err(threads)? {
            Ending::Drained => Ok(Verdict::Yes),
            Ending::CutOff { .. } => Ok(Verdict::No),
        }
    }

    fn log_keys(&self) -> Result<Vec<VerifierKey>, CliError> {
        let mut keys: Vec<VerifierKey> = self.logs.iter().flat_map(|Keys(keys)| keys).cloned().collect();
        if let Some(path) = &self.logs_file {
            keys.extend(vkeys::read(path, KeyKind::Note)?);
        }
        if keys.is_empty() {
            return Err(CliError::wrong(
                "没有要见证的日志：请用 --log 给出日志的公钥（节点的 /log/vkey）",
                "there is no log to watch: give its key with --log (a node shows it at /log/vkey)",
            ));
        }
        Ok(keys)
    }

    fn settings(&self) -> Settings {
        let limits = LimitsSpec {
            body_bytes: BODY_LIMIT_BYTES,
            connections: CONNECTIONS,
            requests_in_flight: REQUESTS_IN_FLIGHT,
            ..LimitsSpec::default()
        };
        Settings {
            listen: self.listen.clone(),
            tls: None,
            workers: 1,
            pin_cores: false,
            // It has no hot answers.
            fast_lane: false,
            limits: Limits::of(&limits),
            lame_duck: Duration::ZERO,
            deadline: DRAIN_DEADLINE,
        }
    }
}

/// Writes the key that others pin beside the state, for whoever sets up the log and its verifiers on this machine.
fn keep_vkey(folder: &Path, key: &VerifierKey) -> Result<(), CliError> {
    let (path, line) = (folder.join(VKEY_FILE), format!("{key}\n"));
    if std::fs::read(&path).is_ok_and(|kept| kept == line.as_bytes()) {
        return Ok(());
    }
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(line.as_bytes()));
    written.map_err(CliError::file("写入", "write", &path))
}

fn announce(witness: &Witness, addresses: &[SocketAddr], screen: Screen) -> Result<(), CliError> {
    let key = witness.verifier();
    let urls: Vec<String> = addresses.iter().map(|address| format!("http://{address}")).collect();
    if screen.json {
        let logs: Vec<String> = witness.logs().into_iter().map(|(origin, _)| origin).collect();
        return screen.print_json(&json!({"name": key.name(), "vkey": key.to_string(), "urls": urls, "logs": logs}));
    }
    screen.print(format_args!("vkey  {key}"))?;
    for url in urls {
        screen.print(format_args!("url   {url}"))?;
    }
    for (origin, size) in witness.logs() {
        screen.print(format_args!("log   {origin}  {size}"))?;
    }
    Ok(())
}
