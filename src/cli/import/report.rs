//! How a job ended, as a person reads it or as JSON.

use serde_json::json;

use super::job::{JobSeen, RowCounts};
use super::rejects::Rejects;
use crate::cli::failure::CliError;
use crate::cli::screen::Screen;
use crate::model::text::counted;

/// The code of a job that ended with its node.
const INTERRUPTED: &str = "import_interrupted";

pub fn report(job: &JobSeen, rejects: &Rejects, screen: Screen) -> Result<(), CliError> {
    let rows = &job.rows;
    if screen.json {
        return screen.print_json(&json!({
            "id": job.id,
            "state": job.state,
            "rows": rows,
            "dry_run": job.dry_run,
            "failure": job.failure,
            "errors_file": rejects.file,
            "sample": job.sample,
        }));
    }
    for line in rejects.shown(job.is_of_a_file(), screen) {
        screen.note(&line, &line);
    }
    if let Some(file) = &rejects.file {
        let file = file.display();
        if job.is_of_a_file() {
            screen.note(
                format!("失败的行已写入 {file}，改正后可单独再次导入"),
                format!("the rows that failed are in {file}; mend them and import that file"),
            );
        } else {
            screen.note(
                format!("保持原样的记录已写入 {file}"),
                format!("the records that were left as they are stand in {file}"),
            );
        }
    }
    // A job that a crash cut short has lost count.
    let interrupted = job.failure.as_ref().is_some_and(|failure| failure.code == INTERRUPTED);
    if !interrupted {
        count(job, screen)?;
    }
    if let Some(failure) = &job.failure {
        let told = format!("{} ({})", failure.detail, failure.code);
        screen.note(format!("任务失败：{told}"), format!("the job failed: {told}"));
    }
    // Of an atomic one the job's own words say enough.
    if interrupted && !job.atomic && job.is_of_a_file() {
        let again = "mingpai import … --on-conflict skip";
        screen.note(
            format!("登记了多少行未知。请再次运行 {again}：已登记的行会被跳过"),
            format!("how many rows were registered is not known. Run `{again}` again: those rows are skipped"),
        );
    }
    Ok(())
}

fn count(job: &JobSeen, screen: Screen) -> Result<(), CliError> {
    let RowCounts { total, registered, updated, skipped, failed } = job.rows;
    if job.dry_run {
        return would(job, screen);
    }
    match job.kind.as_str() {
        "undo" => screen.say(
            format!("共 {total} 条记录：恢复 {updated}，已是原样 {skipped}，保持不动 {failed}"),
            format!("{}: {updated} put back, {skipped} as they were, {failed} left alone", counted(total, "record")),
        ),
        "bulk" => screen.say(
            format!("匹配 {total} 条记录：改动 {updated}，未改动 {skipped}，失败 {failed}"),
            format!("matching: {}; {updated} changed, {skipped} unchanged, {failed} failed", counted(total, "record")),
        ),
        _ => screen.say(
            format!("共 {total} 行：登记 {registered}，更新 {updated}，跳过 {skipped}，失败 {failed}"),
            format!(
                "{}: {registered} registered, {updated} updated, {skipped} skipped, {failed} failed",
                counted(total, "row")
            ),
        ),
    }
}

/// Of a dry run: that it was one comes first, and every count says "would".
fn would(job: &JobSeen, screen: Screen) -> Result<(), CliError> {
    let RowCounts { total, registered, updated, skipped, failed } = job.rows;
    match job.kind.as_str() {
        "undo" => screen.say(
            format!("仅检查，什么都没有写入；共 {total} 条记录：将恢复 {updated}，已是原样 {skipped}，将保持不动 {failed}"),
            format!(
                "dry run, nothing was written; of {} {updated} would be put back, {skipped} left as they were, {failed} left alone",
 counted(total, "record")
            ),
        ),
        "bulk" => screen.say(
            format!("仅检查，什么都没有写入；匹配 {total} 条记录：将改动 {updated}，不需改动 {skipped}，将失败 {failed}"),
            format!(
                "dry run, nothing was written; matching: {}; {updated} would be changed, {skipped} unchanged, {failed} would fail",
 counted(total, "record")
            ),
        ),
        _ => screen.say(
            format!(
                "仅检查，什么都没有写入；共 {total} 行：将登记 {registered}，将更新 {updated}，将跳过 {skipped}，将失败 {failed}"
            ),
            format!(
                "dry run, nothing was written; of {} {registered} would be registered, {updated} updated, {skipped} skipped, {failed} would fail",
 counted(total, "row")
            ),
        ),
    }
}
