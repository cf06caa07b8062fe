//! Where a prefix stands: in force, suspended, run out or revoked.
//!
//! ```text
//! active <-> suspended      renewed: good for longer, from either
//!    |           |
//!    +-----------+--> revoked
//! ```
//! What happened is a row of steps, as with a filing; where the prefix stands follows from them. Not who it was given to: that is an
//! allocation's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::time::Timestamp;

/// What happens to a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "PrefixStepName")]
pub enum PrefixStep {
    /// Nothing is registered under it, and answers say so, or are not given at all.
    Suspended,
    /// The suspension is over.
    Restored,
    /// It is good until another moment.
    Renewed,
    /// For good: nothing is registered or answered, and nobody is given it again.
    Revoked,
}

impl PrefixStep {
    pub const ALL: [PrefixStep; 4] =
        [PrefixStep::Suspended, PrefixStep::Restored, PrefixStep::Renewed, PrefixStep::Revoked];

    #[must_use]
    pub fn of_word(word: &str) -> Option<PrefixStep> {
        PrefixStep::ALL.into_iter().find(|step| step.as_str() == word)
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Suspended => "suspended",
            Self::Restored => "restored",
            Self::Renewed => "renewed",
            Self::Revoked => "revoked",
        }
    }
}

/// Where a prefix stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "PrefixStatus")]
pub enum PrefixStatus {
    /// 有效
    Active,
    /// 暂停
    Suspended,
    /// 过期: what was registered is answered, nothing new is registered.
    Expired,
    /// 撤销
    Revoked,
}

impl PrefixStatus {
    pub const ALL: [PrefixStatus; 4] =
        [PrefixStatus::Active, PrefixStatus::Suspended, PrefixStatus::Expired, PrefixStatus::Revoked];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    #[must_use]
    pub fn of_word(word: &str) -> Option<PrefixStatus> {
        PrefixStatus::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

/// A step that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrefixTaken {
    pub step: PrefixStep,
    /// Counted from 1.
    pub seq: u32,
    /// By whom.
    pub by: String,
    /// Epoch seconds.
    pub at: i64,
    /// Of its statement in the audit tree.
    pub index: u64,
    /// Of a suspension: whether names are answered meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolves: Option<bool>,
    /// Of a renewal: until when, in epoch seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// The hash of what is kept beside the statement, where there is something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
}

/// A suspension that is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspension {
    /// Epoch seconds.
    pub since: i64,
    /// Whether names are answered, with the word that their prefix is suspended.
    pub resolves: bool,
}

/// What follows from the steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub suspension: Option<Suspension>,
    /// Epoch seconds.
    pub revoked: Option<i64>,
    /// Epoch seconds from which on it is good no more.
    pub until: Option<i64>,
}

impl Standing {
    /// Of a prefix about which nothing was decided since it was allocated until then.
    #[must_use]
    pub fn allocated(until: Option<i64>) -> Standing {
        Standing { until, ..Standing::default() }
    }

    /// Where the step leads; `None` where it cannot be taken. What is suspended may be suspended otherwise.
    #[must_use]
    pub fn after(&self, taken: &PrefixTaken) -> Option<Standing> {
        if self.revoked.is_some() {
            return None;
        }
        let mut next = self.clone();
        match taken.step {
            PrefixStep::Suspended => {
                // Suspended otherwise, it is so since it was first.
                let since = self.suspension.map_or(taken.at, |standing| standing.since);
                let suspension = Suspension { since, resolves: taken.resolves.unwrap_or(true) };
                let is_same = self.suspension.is_some_and(|standing| standing.resolves == suspension.resolves);
                next.suspension = Some(suspension).filter(|_| !is_same);
                next.suspension?;
            }
            PrefixStep::Restored => {
                self.suspension?;
                next.suspension = None;
            }
            PrefixStep::Renewed => next.until = Some(taken.until?),
            PrefixStep::Revoked => next.revoked = Some(taken.at),
        }
        Some(next)
    }

    #[must_use]
    pub fn status(&self, now: Timestamp) -> PrefixStatus {
        match self {
            Standing { revoked: Some(_), .. } => PrefixStatus::Revoked,
            Standing { suspension: Some(_), .. } => PrefixStatus::Suspended,
            Standing { until: Some(until), .. } if *until <= now.as_seconds() => PrefixStatus::Expired,
            _ => PrefixStatus::Active,
        }
    }

    /// Whether what is registered under it is told to anybody.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.revoked.is_none() && self.suspension.is_none_or(|suspension| suspension.resolves)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(step: PrefixStep, at: i64) -> PrefixTaken {
        let (resolves, until) = (Some(at % 2 == 0), Some(at + 100));
        PrefixTaken { step, seq: 1, by: "key:r".to_owned(), at, index: 0, resolves, until, sealed: None }
    }

    fn standing(steps: &[(PrefixStep, i64)]) -> Option<Standing> {
        let after = |standing: Standing, (step, at): &(PrefixStep, i64)| standing.after(&taken(*step, *at));
        steps.iter().try_fold(Standing::allocated(Some(50)), after)
    }

    #[test]
    fn a_prefix_goes_its_way_and_no_other() {
        use PrefixStep::{Renewed, Restored, Revoked, Suspended};
        let now = Timestamp::from_seconds(20).unwrap();
        for (steps, status, is_answered) in [
            (&[][..], PrefixStatus::Active, true),
            (&[(Suspended, 2)], PrefixStatus::Suspended, true),
            (&[(Suspended, 3)], PrefixStatus::Suspended, false),
            (&[(Suspended, 3), (Suspended, 4)], PrefixStatus::Suspended, true),
            (&[(Suspended, 2), (Restored, 3)], PrefixStatus::Active, true),
            (&[(Suspended, 2), (Renewed, 3), (Restored, 4)], PrefixStatus::Active, true),
            (&[(Revoked, 2)], PrefixStatus::Revoked, false),
            (&[(Suspended, 2), (Revoked, 3)], PrefixStatus::Revoked, false),
        ] {
            let standing = standing(steps).unwrap();
            assert_eq!((standing.status(now), standing.is_answered()), (status, is_answered), "{steps:?}");
        }
        for wrong in [
            &[(Restored, 2)][..],
            &[(Suspended, 2), (Suspended, 4)],
            &[(Suspended, 2), (Restored, 3), (Restored, 4)],
            &[(Revoked, 2), (Restored, 3)],
            &[(Revoked, 2), (Suspended, 3)],
            &[(Revoked, 2), (Renewed, 3)],
            &[(Revoked, 2), (Revoked, 3)],
        ] {
            assert_eq!(standing(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn what_has_run_out_is_answered_and_a_renewal_moves_the_end() {
        let at = |seconds| Timestamp::from_seconds(seconds).unwrap();
        let allocated = Standing::allocated(Some(50));
        assert_eq!(allocated.status(at(49)), PrefixStatus::Active);
        assert_eq!((allocated.status(at(50)), allocated.is_answered()), (PrefixStatus::Expired, true));
        let renewed = standing(&[(PrefixStep::Renewed, 60)]).unwrap();
        assert_eq!((renewed.status(at(159)), renewed.status(at(160))), (PrefixStatus::Active, PrefixStatus::Expired));
        assert_eq!(Standing::default().status(at(1 << 37)), PrefixStatus::Active);
    }

    #[test]
    fn words_are_those_that_are_written() {
        for status in PrefixStatus::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
            assert_eq!(PrefixStatus::of_word(status.as_str()), Some(status));
        }
        for step in PrefixStep::ALL {
            assert_eq!(serde_json::to_value(step).unwrap(), step.as_str());
            assert_eq!(PrefixStep::of_word(step.as_str()), Some(step));
        }
    }
}
