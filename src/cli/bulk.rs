//! `mingpai bulk`: one change for every record that a filter matches. Without `--yes` it only counts, checks and shows.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::{Value as Json, json};

use super::client::{Client, ServerArguments};
use super::failure::{CliError, Verdict};
use super::filter_arguments::FilterArguments;
use super::import::follow;
use super::screen::Screen;
use super::token_file::TokenArguments;
use crate::services::import::Operation;

const PATCH_LIMIT_BYTES: u64 = 1 << 20;
const JOB_LIMIT_BYTES: usize = 1 << 20;

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai bulk --where prefix=88.999.1 --where status=active --operation retire --token-file key         # 只看有哪些 / only look
  mingpai bulk --where prefix=88.999.1 --where status=active --operation retire --token-file key --yes
  mingpai bulk --prefix 88.999.1 --type 批次 --operation patch --patch change.json --token-file key --yes
  mingpai import --undo JOB --token-file key                                                 # 撤销 / take it back

条件与 mingpai export 相同，须有前缀。
The conditions are those of mingpai export; the prefix is needed.
补丁 Patch:  {\"values\":[{\"index\":2000,\"data\":\"新\"}],\"registrant\":\"…\"}")]
pub struct Bulk {
    #[command(flatten)]
    filter: FilterArguments,
    /// patch、activate、suspend、recall、retire、delete
    #[arg(long, value_name = "WHAT", value_parser = operation)]
    operation: String,
    /// operation=patch 时的补丁 / What is changed, with --operation patch
    #[arg(long, value_name = "FILE.json")]
    patch: Option<PathBuf>,
    /// 执行；否则只统计并给出样本 / Do it; otherwise only count and show
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    server: ServerArguments,
    #[command(flatten)]
    token: TokenArguments,
    /// 失败的记录写入此文件 / Where records go that could not be changed
    #[arg(long, value_name = "FILE")]
    errors: Option<PathBuf>,
    /// 节点不可达时最多等待的秒数 / How long to wait for a node that is away
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    patience: u64,
    /// JSON
    #[arg(long)]
    pub json: bool,
}

fn operation(text: &str) -> Result<String, String> {
    Operation::from_word(text)
        .map(|operation| operation.word().to_owned())
        .ok_or_else(|| format!("可用的有 / there are {}", Operation::words()))
}

impl Bulk {
    pub async fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let asked = self.asked()?;
        let token = self.token.required(screen)?;
        let client =
            Client::new(self.server.clone(), Some(&token), screen)?.with_patience(Duration::from_secs(self.patience));
        let begun = client.post_json("/v1/bulk", &asked, JOB_LIMIT_BYTES).await?;
        let (verdict, job) = follow(&client, begun, self.errors.clone(), screen).await?;
        if !self.yes && !screen.json {
            for identifier in &job.sample {
                screen.say(format!("  {identifier}"), format!("  {identifier}"))?;
            }
            screen.note("确认后加 --yes 再次运行", "to do it run this again with --yes");
        }
        Ok(verdict)
    }

    fn asked(&self) -> Result<Json, CliError> {
        let filter = self.filter.filter()?;
        if filter.prefix.is_none() {
            return Err(CliError::wrong(
                "批量变更须指明前缀：--where prefix=88.999.1（或 --prefix 88.999.1）",
                "a change in bulk needs the prefix: --where prefix=88.999.1 (or --prefix 88.999.1)",
            ));
        }
        let mut asked = json!({"filter": filter, "operation": self.operation, "dry_run": !self.yes});
        if let (Some(path), Some(members)) = (&self.patch, asked.as_object_mut()) {
            members.insert("patch".to_owned(), read_patch(path)?);
        }
        Ok(asked)
    }
}

fn read_patch(path: &Path) -> Result<Json, CliError> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(PATCH_LIMIT_BYTES).read_to_end(&mut bytes))
        .map_err(CliError::file("读取补丁", "read the patch", path))?;
    let shown = path.display();
    serde_json::from_slice(&bytes).map_err(|error| {
        CliError::wrong(format!("补丁 {shown} 不是 JSON：{error}"), format!("the patch {shown} is no JSON: {error}"))
    })
}
