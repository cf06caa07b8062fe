//! An atomic import: all rows in one group, or none.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use super::job::Job;
use super::lines::Line;
use super::row::{Fault, Wanted, of_service};
use super::run::{Failed, Fate, Prepared, complaint, count, failed, in_lanes, reject, stopped_by};
use crate::model::identifier::CanonicalKey;
use crate::model::text::Text;
use crate::services::Services;
use crate::store::journal::Effect;
use crate::store::{Outcome, Proposal};

/// The most rows, so that they fit into memory; the group's bytes are checked too.
const ATOMIC_ROWS: usize = 100_000;
/// The most bytes of all rows. Signed they grow by a third and more, and a group of the journal takes 64 MiB as it comes: what
/// is over this would be read and signed, many times its size in memory, only to be refused.
const ATOMIC_BYTES: u64 = 48 << 20;

/// Registers every row of the file, or leaves all as it was.
pub(super) fn atomic(services: &Services, job: &Job) -> Result<(), Failed> {
    if job.bytes > ATOMIC_BYTES {
        return Err(too_large());
    }
    let (mut proposals, mut waiting) = (Vec::new(), Vec::new());
    let mut names: HashSet<CanonicalKey> = HashSet::new();
    let (mut rows, mut bytes, mut skipped, mut rejected) = (0, 0, 0, 0);
    in_lanes(services, job, |window| {
        rows += window.len();
        bytes += window.iter().map(|prepared| prepared.line.bytes.len() as u64).sum::<u64>();
        if rows > ATOMIC_ROWS || bytes > ATOMIC_BYTES {
            return Err(too_large());
        }
        for Prepared { line, fate } in window {
            match fate {
                Fate::Commit(wanted, proposal) if names.insert(wanted.key().clone()) => {
                    waiting.push((line, proposal.effect, wanted));
                    proposals.push(Proposal::Entry(*proposal));
                }
                Fate::Skipped => skipped += 1,
                Fate::Commit(..) | Fate::Later(_) => {
                    reject(job, &line, twice());
                    rejected += 1;
                }
                Fate::Failed(fault) => {
                    reject(job, &line, fault);
                    rejected += 1;
                }
            }
        }
        Ok(())
    })?;
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

fn too_large() -> Failed {
    failed(
        "import_too_large",
        Text::new(
            format!("原子导入最多 {ATOMIC_ROWS} 行、{ATOMIC_BYTES} 字节：请拆分或不用 atomic"),
            format!(
                "an atomic import takes {ATOMIC_ROWS} rows of {ATOMIC_BYTES} bytes: split it, or import row by row"
            ),
        ),
    )
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
            Outcome::Refused(refusal) => return Err(stopped_by(job, &refusal)),
            other => {
                reject(job, &line, of_service(&complaint(&other, &wanted), &job.start));
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
