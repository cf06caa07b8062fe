//! An atomic import: all rows in one group, or none.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::job::Job;
use super::lanes::{Fate, Prepared, in_lanes};
use super::lines::{Line, Rows};
use super::row::{Fault, of_service};
use super::run::{Failed, complaint, count, failed, reject, stopped_by};
use crate::model::identifier::CanonicalKey;
use crate::model::record::Record;
use crate::model::text::Text;
use crate::services::Services;
use crate::store::journal::Effect;
use crate::store::{Outcome, Proposal};

/// The most rows: what they have in memory besides their bytes is bounded with them.
const ATOMIC_ROWS: usize = 100_000;

/// Registers every row of the file, or leaves all as it was.
pub(super) fn atomic(services: &Services, job: &Job) -> Result<(), Failed> {
    let (mut proposals, mut waiting, mut would) = (Vec::new(), Vec::new(), Vec::new());
    let mut names: HashSet<CanonicalKey> = HashSet::new();
    let limit = services.store.group_limit();
    let (mut rows, mut sent_bytes, mut group_bytes, mut skipped, mut rejected) = (0, 0, 0, 0, 0);
    // A group that was committed before a stop: its rows are counted, and there is nothing left to commit.
    let mut done = services.rows_done_before(job)?;
    let (opened, shape) = Rows::open(services, job)?;
    in_lanes(services, job, opened, shape.as_ref(), |piece| {
        rows += piece.rows.len();
        for Prepared { line, fate } in piece.rows {
            if let Some(effect) = fate.name().and_then(|key| done.take(key)) {
                count(job, effect);
                continue;
            }
            // A name that occurs again was decided against what stood before the file: neither change nor skip is right.
            let fault = match fate {
                Fate::Failed(fault) => Some(fault),
                Fate::Later(_) => Some(twice()),
                ref named if named.name().is_some_and(|key| !names.insert(key.clone())) => Some(twice()),
                Fate::Refused(_, fault) => Some(fault),
                Fate::Would(_, effect, bytes) => {
                    sent_bytes += line.bytes.len();
                    group_bytes += bytes;
                    would.push(effect);
                    None
                }
                Fate::Skipped(_) => {
                    skipped += 1;
                    None
                }
                Fate::Commit(proposal) => {
                    sent_bytes += line.bytes.len();
                    waiting.push((line, proposal.effect, Arc::clone(&proposal.record)));
                    let proposal = Proposal::Entry(*proposal);
                    group_bytes += proposal.bytes();
                    proposals.push(proposal);
                    continue;
                }
            };
            if let Some(fault) = fault {
                reject(job, &line, fault);
                rejected += 1;
            }
        }
        // What no group takes would fill the memory only to be refused.
        if rows > ATOMIC_ROWS || sent_bytes.max(group_bytes) > limit { Err(too_large(limit)) } else { Ok(()) }
    })?;
    if rejected == 0 && !proposals.is_empty() {
        rejected = commit(services, job, proposals, waiting)?;
    }
    if rejected > 0 {
        return Err(not_good());
    }
    would.into_iter().for_each(|effect| count(job, effect));
    job.skipped.fetch_add(skipped, Ordering::Relaxed);
    job.bytes_done.store(job.bytes.load(Ordering::Relaxed), Ordering::Relaxed);
    Ok(())
}

fn not_good() -> Failed {
    failed(
        "import_rejected",
        Text::new(
            "有行不合格，整个文件未登记任何内容",
            "some rows are not good, so nothing of the file was registered",
        ),
    )
}

fn too_large(limit: usize) -> Failed {
    failed(
        "import_too_large",
        Text::new(
            format!("原子导入最多 {ATOMIC_ROWS} 行、原文与签名后各 {limit} 字节：请拆分或不用 atomic"),
            format!(
                "an atomic import takes {ATOMIC_ROWS} rows of {limit} bytes, as sent and as signed: split it, or import row by row"
            ),
        ),
    )
}

/// Commits all proposals as one; gives how many rows were in the way.
fn commit(
    services: &Services,
    job: &Job,
    proposals: Vec<Proposal>,
    waiting: Vec<(Line, Effect, Arc<Record>)>,
) -> Result<u64, Failed> {
    let mut rejected = 0;
    let outcomes = services.store.commit_blocking(proposals, true);
    for (outcome, (line, effect, record)) in outcomes.into_iter().zip(waiting) {
        match outcome {
            Outcome::Committed(_) => count(job, effect),
            Outcome::Withdrawn => {}
            Outcome::Refused(refusal) => return Err(stopped_by(job, &refusal)),
            other => {
                reject(job, &line, of_service(&complaint(&other, &record.identifier), &job.start));
                rejected += 1;
            }
        }
    }
    Ok(rejected)
}

fn twice() -> Fault {
    Fault {
        column: Some("identifier".to_owned()),
        code: "duplicate_in_file".to_owned(),
        text: Text::new("同一标识在原子导入中出现两次", "the identifier occurs twice in an atomic import"),
    }
}
