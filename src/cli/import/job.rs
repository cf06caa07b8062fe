//! Watching a job to its end, through a restart of the node.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::listen::listen;
use crate::cli::client::Client;
use crate::cli::failure::CliError;
use crate::cli::progress::{Progress, Unit};
use crate::cli::screen::Screen;
use crate::model::text::{Language, counted};

const FIRST_INTERVAL: Duration = Duration::from_millis(50);
const LAST_INTERVAL: Duration = Duration::from_secs(1);
/// Short jobs have ended before it is worth a connection that stays open.
const LISTEN_FROM: Duration = Duration::from_millis(400);
const JOB_LIMIT_BYTES: usize = 1 << 20;

/// Where a job is; a word that a later node adds is taken as "not yet".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Done,
    Failed,
    #[default]
    #[serde(other)]
    Running,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RowCounts {
    pub total: u64,
    pub registered: u64,
    pub updated: u64,
    pub skipped: u64,
    pub failed: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct JobFailure {
    pub code: String,
    pub detail: String,
}

/// A job as the node shows it. Members that are missing are not known yet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct JobSeen {
    pub id: String,
    pub state: State,
    pub rows: RowCounts,
    pub bytes: u64,
    pub bytes_done: u64,
    pub failure: Option<JobFailure>,
    /// `import`, `undo` or `bulk`.
    pub kind: String,
    pub dry_run: bool,
    pub atomic: bool,
    /// Of a change in bulk: the first identifiers that match.
    pub sample: Vec<String>,
}

impl JobSeen {
    /// Whether its rows are those of an upload.
    pub fn is_of_a_file(&self) -> bool {
        !matches!(self.kind.as_str(), "undo" | "bulk")
    }
}

/// Asks until the job has ended.
pub async fn watch(client: &Client, begun: JobSeen, screen: Screen) -> Result<JobSeen, CliError> {
    let id = begun.id.clone();
    if !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') || id.is_empty() {
        return Err(CliError::wrong("节点没有给出任务号，无法跟踪", "the node named no job, so it cannot be watched"));
    }
    let mut progress = Progress::begin(screen, Unit::Bytes, Some(begun.bytes), "登记", "registering");
    let mut tell = |job: &JobSeen| {
        let rows = &job.rows;
        let remark = match screen.language {
            Language::Zh => format!("{} 行，失败 {}", rows.total, rows.failed),
            Language::En => format!("{}, {} failed", counted(rows.total, "row"), rows.failed),
        };
        progress.update(job.bytes_done, job.bytes, remark);
    };
    let mut job = begun;
    let mut interval = FIRST_INTERVAL;
    while job.state == State::Running {
        // What takes longer is listened to. Where that breaks off, or goes through no proxy, it is asked again.
        if interval >= LISTEN_FROM
            && let Ok(Some(last)) = listen(client, &id, &mut tell).await
        {
            job = last;
            continue;
        }
        tokio::time::sleep(interval).await;
        interval = (interval * 2).min(LAST_INTERVAL);
        job = match client.ask_json(&format!("/v1/imports/{id}"), JOB_LIMIT_BYTES).await {
            Ok(job) => job,
            Err(error) if error.status() == Some(404) => return Err(forgotten(&id, client)),
            Err(error) => return Err(lost(&id, &error)),
        };
        tell(&job);
    }
    progress.end();
    job.id = id;
    Ok(job)
}

fn forgotten(id: &str, client: &Client) -> CliError {
    let server = client.server();
    CliError::wrong(
        format!("{server} 上没有任务 {id}：节点可能换了数据目录。请核对后用 --on-conflict skip 再次导入"),
        format!(
            "{server} knows no job {id}: it may serve another data folder. Check that, then import again with --on-conflict skip"
        ),
    )
}

fn lost(id: &str, error: &crate::cli::client::ClientError) -> CliError {
    let text = error.text();
    CliError::wrong(
        format!("{}\n任务 {id} 的结果未知：节点恢复后用 --on-conflict skip 再次导入，已登记的行会被跳过", text.zh),
        format!(
            "{}\nwhat became of job {id} is not known: when the node is back import again with --on-conflict skip, rows that are registered are skipped",
            text.en
        ),
    )
}
