//! Whether a whole log is what it must be, by anybody who can read it: every leaf under the signed root, every statement signed
//! by the key that the log itself authorises there, every identifier's versions in order.
//!
//! - `keys`: which key signs where. `examine`: one leaf alone, on all cores. `ledger`: all of them together.
//!
//! What it cannot see: what is hidden (names, values), and what the log shows to others. For that there are witnesses, heads
//! that are remembered, and owners who watch (`watch`).

pub mod examine;
pub mod keys;
pub mod ledger;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use self::examine::{Examiners, examine};
use self::keys::Succession;
use self::ledger::Ledger;
use crate::model::text::Text;
use crate::services::follow::{FollowError, Follower};
use crate::sign::keys::PublicJwk;
use crate::tlog::frontier::Frontier;
use crate::tlog::hash::Head;

/// What can be wrong with a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Unreadable,
    Genesis,
    KeyNotAuthorised,
    TooManyKeys,
    NotSigned,
    WrongIssuer,
    WrongOrigin,
    Misplaced,
    VersionGap,
    SecondFirst,
    WrongPrev,
    AfterErasure,
    ErasureUnknown,
    LicenceChain,
}

impl Kind {
    /// The word for it, as in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Genesis => "genesis",
            Self::KeyNotAuthorised => "key_not_authorised",
            Self::TooManyKeys => "too_many_keys",
            Self::NotSigned => "not_signed",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongOrigin => "wrong_origin",
            Self::Misplaced => "misplaced",
            Self::VersionGap => "version_gap",
            Self::SecondFirst => "second_first",
            Self::WrongPrev => "wrong_prev",
            Self::AfterErasure => "after_erasure",
            Self::ErasureUnknown => "erasure_unknown",
            Self::LicenceChain => "licence_chain",
        }
    }
}

/// Something that must not be, and where.
#[derive(Clone, Debug, Serialize)]
pub struct Anomaly {
    pub index: u64,
    pub kind: Kind,
    pub detail: Text,
}

/// How an audit ended.
pub struct Audit {
    pub ledger: Ledger,
    pub keys: Succession,
    /// The newest head, where all of it was seen; else why not.
    pub head: Result<Head, FollowError>,
    /// Leaves that were judged.
    pub judged: u64,
    pub took: Duration,
}

/// Replays a log from its first leaf and judges all of it. The follower's memory must be at the start.
/// `pinned`: keys of which the genesis key must be one; empty: any. `progress`: leaves done, of how many.
pub async fn audit(
    follower: &mut Follower,
    pinned: &[PublicJwk],
    mut progress: impl FnMut(u64),
) -> Result<Audit, std::io::Error> {
    let started = Instant::now();
    let mut examiners = Examiners::start(examine)?;
    let (mut ledger, mut keys) = (Ledger::default(), Arc::new(Succession::default()));
    // The tree in front of each batch that is being examined.
    let (mut tree, mut trees) = (Frontier::default(), VecDeque::new());
    let mut head = follower
        .advance(|batch| {
            for (index, _, entry) in batch.iter() {
                if !keys::is_about_keys(entry) {
                    if index == 0 {
                        ledger.key_fault(0, keys::KeyFault::Genesis);
                    }
                    continue;
                }
                match keys.judge(index, entry) {
                    // Bundles on their way have the keys of before: they are copied once a bundle, and share the keys.
                    Ok(key) => Arc::make_mut(&mut keys).push(key),
                    Err(fault) => ledger.key_fault(index, fault),
                }
            }
            trees.push_back(tree.clone());
            batch.leaves.iter().for_each(|leaf| tree.push(*leaf));
            examiners.put(batch, &keys, |examined| take(&mut ledger, &mut trees, examined, &keys))?;
            progress(tree.size);
            Ok(())
        })
        .await;
    if let Err(error) = examiners.finish(|examined| take(&mut ledger, &mut trees, examined, &keys)) {
        head = head.and(Err(error));
    }
    if head.is_ok() && !ledger.sought.is_empty() {
        let look = follower.leaf_hashes(|first, leaves| {
            (first..).zip(leaves).for_each(|(index, leaf)| ledger.is_at(leaf, index));
        });
        match look.await {
            Ok(()) => ledger.end_search(),
            Err(error) => head = Err(error),
        }
    }
    judge_names(&mut ledger, &keys, follower, pinned, head.is_ok());
    Ok(Audit { ledger, keys: Arc::unwrap_or_clone(keys), head, judged: tree.size, took: started.elapsed() })
}

fn take(ledger: &mut Ledger, trees: &mut VecDeque<Frontier>, examined: Vec<examine::Examined>, keys: &Succession) {
    ledger.take(examined, &trees.pop_front().unwrap_or_default(), keys);
}

/// The log's name must be the one that it took last; its first key one that was pinned.
fn judge_names(ledger: &mut Ledger, keys: &Succession, follower: &Follower, pinned: &[PublicJwk], is_whole: bool) {
    let shown = follower.memory().origin().unwrap_or_default().to_owned();
    let taken = ledger.origin.clone();
    if let Some(taken) = taken.filter(|taken| is_whole && *taken != shown && ledger.counts.origins > 0) {
        let last = follower.memory().done().size.saturating_sub(1);
        ledger.found(
            last,
            Kind::WrongOrigin,
            format!("检查点的日志名是 {shown}，而日志最后取的名称是 {taken}"),
            format!("the checkpoint names the log {shown}, and the name that it took last is {taken}"),
        );
    }
    let first = keys.keys().first();
    if let Some(first) = first.filter(|first| !pinned.is_empty() && !pinned.iter().any(|pin| pin.kid == first.key.kid))
    {
        let kid = first.key.kid.clone();
        ledger.found(
            0,
            Kind::Genesis,
            format!("日志的第一个密钥 {kid} 不在给定的公钥之中"),
            format!("the log's first key, {kid}, is none of those that were given"),
        );
    }
}
