//! Whether what was done on a node obeyed its rules: its whole audit tree, replayed by an auditor who trusts nothing but a pinned
//! key. Every leaf is under the signed root, every statement signed by a key that the registry log authorises, and every event one
//! that may follow those before it.
//!
//! - `authorities`: which keys may sign, by the registry log. `reading`: one leaf alone, on all cores. `book`: all of them together.
//! - `keys`, `sessions`, `filings`, `prefixes`, `grants`: the rules, a file for each thing that events are about.
//! - `state`: what is kept from one time to the next.
//!
//! What it cannot see: what was done and not written down, whether a role allowed it, and what is sealed beside a statement.

pub mod authorities;
pub mod book;
mod filings;
mod grants;
mod keys;
mod prefixes;
pub mod reading;
mod sessions;
pub mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use self::authorities::Authorities;
use self::book::Book;
use self::reading::examine;
use crate::model::text::Text;
use crate::services::audit::examine::Examiners;
use crate::services::follow::{FollowError, Follower};
use crate::sign::keys::PublicJwk;
use crate::store::trees::Tree;
use crate::tlog::hash::Head;

/// Caches show a head of the registry for a second; in twice that a key that signed is in the one that is shown.
const HEAD_SECONDS: Duration = Duration::from_secs(2);
/// How often the registry is followed further for a key. A log that grows for ever must not keep its reader for ever.
const MOST_LOOKS: u32 = 16;

/// What can be wrong with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    Unreadable,
    Genesis,
    NotSigned,
    KeyOutOfTurn,
    WrongIssuer,
    Misplaced,
    KeyTwice,
    KeyUnknown,
    KeyEnded,
    RevokedTwice,
    BootstrapTwice,
    SessionTwice,
    SessionUnknown,
    FilingUnknown,
    StepNumber,
    StepOrder,
    NotApplicant,
    SamePerson,
    NotClaimed,
    OtherPrefix,
    PrefixTwice,
    PrefixOverlaps,
    GrantTwice,
    GrantUnknown,
    GrantEnded,
}

impl Rule {
    /// The word for it, as in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Genesis => "genesis",
            Self::NotSigned => "not_signed",
            Self::KeyOutOfTurn => "key_out_of_turn",
            Self::WrongIssuer => "wrong_issuer",
            Self::Misplaced => "misplaced",
            Self::KeyTwice => "key_twice",
            Self::KeyUnknown => "key_unknown",
            Self::KeyEnded => "key_ended",
            Self::RevokedTwice => "revoked_twice",
            Self::BootstrapTwice => "bootstrap_twice",
            Self::SessionTwice => "session_twice",
            Self::SessionUnknown => "session_unknown",
            Self::FilingUnknown => "filing_unknown",
            Self::StepNumber => "step_number",
            Self::StepOrder => "step_order",
            Self::NotApplicant => "not_applicant",
            Self::SamePerson => "same_person",
            Self::NotClaimed => "not_claimed",
            Self::OtherPrefix => "other_prefix",
            Self::PrefixTwice => "prefix_twice",
            Self::PrefixOverlaps => "prefix_overlaps",
            Self::GrantTwice => "grant_twice",
            Self::GrantUnknown => "grant_unknown",
            Self::GrantEnded => "grant_ended",
        }
    }
}

/// How it ended.
pub struct Conduct {
    pub book: Book,
    /// The newest head of the audit tree, where all of it was seen; else which tree could not be followed, and why.
    pub head: Result<Head, (Tree, FollowError)>,
    /// Events that were judged.
    pub judged: u64,
    pub took: Duration,
}

/// Replays an audit tree from its first leaf and judges all of it. The follower's memory must be at the start; the registry may
/// go on from where it was. `pinned`: keys of which the registry's first must be one; empty: any. `progress`: leaves done.
pub async fn judge(
    trail: &mut Follower,
    authorities: &mut Authorities,
    pinned: &[PublicJwk],
    progress: &mut dyn FnMut(u64),
) -> std::io::Result<Conduct> {
    let started = Instant::now();
    let mut book = Book::default();
    let head = match authorities.advance(progress).await {
        Err(error) => Err((Tree::Registry, error)),
        Ok(()) => {
            authorities.judge_genesis(pinned, &mut book);
            replay(trail, authorities, &mut book, progress).await?
        }
    };
    Ok(Conduct { book, head, judged: trail.memory().done().size, took: started.elapsed() })
}

async fn replay(
    trail: &mut Follower,
    authorities: &mut Authorities,
    book: &mut Book,
    progress: &mut dyn FnMut(u64),
) -> std::io::Result<Result<Head, (Tree, FollowError)>> {
    let mut examiners = Examiners::start(examine)?;
    // All keys that may have signed what stands below this index are known, if they are any log's.
    let (mut settled, mut looks) = (0, 0);
    let mut head = loop {
        let (known, mut is_lacking) = (Arc::clone(&authorities.known), false);
        let issuer = known.issuer.as_deref();
        let advanced = trail.advance(|batch| {
            if authorities.lacks_a_key_of(&batch, settled) {
                is_lacking = true;
                return Err(FollowError::Stopped(Text::new("", "")));
            }
            let done = batch.first + batch.leaves.len() as u64;
            examiners.put(batch, &known, |examined| book.take(examined, issuer))?;
            progress(done);
            if book.is_full() { Err(too_much()) } else { Ok(()) }
        });
        match advanced.await {
            Err(FollowError::Stopped(_)) if is_lacking => {
                looks += 1;
                settled = if looks < MOST_LOOKS { trail.memory().newest().size } else { u64::MAX };
                tokio::time::sleep(HEAD_SECONDS).await;
                drop(known);
                if let Err(error) = authorities.advance(progress).await {
                    return Ok(Err((Tree::Registry, error)));
                }
            }
            ended => break ended.map_err(|error| (Tree::Audit, error)),
        }
    };
    let issuer = authorities.known.issuer.as_deref();
    if let Err(error) = examiners.finish(|examined| book.take(examined, issuer)) {
        head = head.and(Err((Tree::Audit, error)));
    }
    Ok(head)
}

fn too_much() -> FollowError {
    FollowError::Stopped(Text::new(
        "所要记住的超过 1 GiB：无法判断全部。请确认这确是该节点的日志",
        "more than 1 GiB would have to be held: not all of it can be judged; make sure that this is the node's log",
    ))
}
