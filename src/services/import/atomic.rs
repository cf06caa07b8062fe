//! An atomic import: all rows in one group, or none.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::job::Job;
use super::lines::{Line, Lines};
use super::row::{Fault, Wanted, of_service};
use super::run::{Failed, Fate, Prepared, complaint, count, failed, prepare, reject};
use crate::model::text::Text;
use crate::services::{ServiceError, Services};
use crate::store::journal::Effect;
use crate::store::{Outcome, Proposal, Refusal};

/// The most rows, so that they fit into memory; the group's bytes are checked too.
const ATOMIC_ROWS: usize = 100_000;
/// The most bytes of all rows. Signed they grow by a third and more, and a group of the journal takes 64 MiB as it comes: what
/// is over this would be read and signed, many times its size in memory, only to be refused.
const ATOMIC_BYTES: usize = 48 << 20;

/// Registers every row of the file, or leaves all as it was.
pub(super) fn atomic(services: &Arc<Services>, job: &Arc<Job>) -> Result<(), Failed> {
    let rows = all_lines(services, job)?;
    let (mut proposals, mut waiting) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    let (mut skipped, mut rejected) = (0, 0);
    for Prepared { line, fate } in prepare(services, job, rows) {
        match fate {
            Fate::Commit(wanted, proposal) => {
                waiting.push((line, proposal.effect, wanted));
                proposals.push(Proposal::Entry(*proposal));
            }
            Fate::Skipped => skipped += 1,
            Fate::Later(_) => {
                reject(job, &line, twice());
                rejected += 1;
            }
            Fate::Failed(fault) => {
                reject(job, &line, fault);
                rejected += 1;
            }
        }
    }
    if rejected == 0 && !proposals.is_empty() {
        rejected = commit(services, job, proposals, waiting)?;
    }
    if rejected > 0 {
        return Err(failed(
            "import_rejected",
            Text::new(
                "有行不合格，整个文件未登记任何内容",
                "some rows are not good, so nothing of the file was registered",
            ),
        ));
    }
    job.skipped.fetch_add(skipped, Ordering::Relaxed);
    Ok(())
}

fn all_lines(services: &Services, job: &Job) -> Result<Vec<Line>, Failed> {
    let mut lines = Lines::open(job, services.settings.line_bytes)?;
    let mut rows = Vec::new();
    let mut bytes = 0;
    loop {
        let window = lines.window()?;
        if window.is_empty() {
            return Ok(rows);
        }
        job.total.fetch_add(window.len() as u64, Ordering::Relaxed);
        bytes += window.iter().map(|line| line.bytes.len()).sum::<usize>();
        rows.extend(window);
        if rows.len() > ATOMIC_ROWS || bytes > ATOMIC_BYTES {
            return Err(failed(
                "import_too_large",
                Text::new(
                    format!("原子导入最多 {ATOMIC_ROWS} 行、{ATOMIC_BYTES} 字节：请拆分或不用 atomic"),
                    format!(
                        "an atomic import takes {ATOMIC_ROWS} rows of {ATOMIC_BYTES} bytes: split it, or import row by row"
                    ),
                ),
            ));
        }
    }
}

/// Commits all proposals as one; gives how many rows were in the way.
fn commit(
    services: &Services,
    job: &Job,
    proposals: Vec<Proposal>,
    waiting: Vec<(Line, Effect, Wanted)>,
) -> Result<u64, Failed> {
    let mut rejected = 0;
    let outcomes = services.store.commit_blocking(proposals, true);
    for (outcome, (line, effect, wanted)) in outcomes.into_iter().zip(waiting) {
        match outcome {
            Outcome::Committed(_) => count(job, effect),
            Outcome::Withdrawn => {}
            Outcome::Refused(refusal) => return Err(refused(refusal)),
            other => {
                reject(job, &line, of_service(&complaint(&other, &wanted), &job.start));
                rejected += 1;
            }
        }
    }
    Ok(rejected)
}

/// The store took nothing of the file: that there are rows to skip, as after another import, would be a lie.
fn refused(refusal: Refusal) -> Failed {
    // Only here what became of the group is not known; it is one group all the same.
    let unknown = matches!(refusal, Refusal::Poisoned(_));
    let error = ServiceError::Refused(refusal);
    let text = error.text();
    let (zh, en) = if unknown {
        ("整个文件要么全部登记，要么完全没有；之后请重新导入", "all rows are registered or none: import the file again")
    } else {
        ("整个文件未登记任何内容，排除后请重新导入", "nothing of the file was registered: import it again after that")
    };
    failed(error.code(), Text::new(format!("{}。{zh}", text.zh), format!("{}; {en}", text.en)))
}

fn twice() -> Fault {
    Fault {
        column: Some("identifier".to_owned()),
        code: "duplicate_in_file".to_owned(),
        text: Text::new("同一标识在原子导入中出现两次", "the identifier occurs twice in an atomic import"),
    }
}
