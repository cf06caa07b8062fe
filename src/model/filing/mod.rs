//! Filing (备案): an enterprise's application for a prefix, on its way through the review of this node.
//!
//! ```text
//! draft -> submitted -> under review -> approved
//!   ^         ^   |          | |  |
//!   |         |   +- release + |  +-> rejected
//!   +- edits  +--- returned <--+        (withdrawn: by its applicant, before any end)
//! ```
//! What happened is a row of steps; where a filing stands follows from them ([`Course`]). What the form holds is `form`, what is attached `attachment`.

pub mod attachment;
pub mod form;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use attachment::{Attachment, AttachmentKind};
pub use form::Form;

/// What happens to a filing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "FilingStepName")]
pub enum Step {
    /// The form was written, or written anew.
    Drafted,
    /// A file was added.
    Attached,
    Submitted,
    /// A reviewer takes it on.
    Claimed,
    /// And puts it back.
    Released,
    /// Back to the applicant, who mends it.
    Returned,
    Rejected,
    /// The first of two who must agree did.
    Endorsed,
    Approved,
    Withdrawn,
}

impl Step {
    pub const ALL: [Step; 10] = [
        Step::Drafted,
        Step::Attached,
        Step::Submitted,
        Step::Claimed,
        Step::Released,
        Step::Returned,
        Step::Rejected,
        Step::Endorsed,
        Step::Approved,
        Step::Withdrawn,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drafted => "drafted",
            Self::Attached => "attached",
            Self::Submitted => "submitted",
            Self::Claimed => "claimed",
            Self::Released => "released",
            Self::Returned => "returned",
            Self::Rejected => "rejected",
            Self::Endorsed => "endorsed",
            Self::Approved => "approved",
            Self::Withdrawn => "withdrawn",
        }
    }

    #[must_use]
    pub fn of_word(word: &str) -> Option<Step> {
        Step::ALL.into_iter().find(|step| step.as_str() == word)
    }

    /// Whether the applicant takes it; a reviewer takes the others.
    #[must_use]
    pub fn is_applicants(self) -> bool {
        matches!(self, Self::Drafted | Self::Attached | Self::Submitted | Self::Withdrawn)
    }
}

/// Where a filing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "FilingState")]
pub enum State {
    /// 草稿
    Draft,
    /// 待审
    Submitted,
    /// 审核中
    UnderReview,
    /// 退回
    Returned,
    /// 驳回
    Rejected,
    /// 通过
    Approved,
    /// 撤回
    Withdrawn,
}

impl State {
    pub const ALL: [State; 7] = [
        State::Draft,
        State::Submitted,
        State::UnderReview,
        State::Returned,
        State::Rejected,
        State::Approved,
        State::Withdrawn,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Submitted => "submitted",
            Self::UnderReview => "under_review",
            Self::Returned => "returned",
            Self::Rejected => "rejected",
            Self::Approved => "approved",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Whether nothing follows.
    #[must_use]
    pub fn is_end(self) -> bool {
        matches!(self, Self::Rejected | Self::Approved | Self::Withdrawn)
    }

    #[must_use]
    pub fn of_word(word: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Where the step leads; `None` where it cannot be taken.
    #[must_use]
    pub fn after(self, step: Step) -> Option<State> {
        match (self, step) {
            (Self::Draft | Self::Returned, Step::Drafted | Step::Attached) => Some(self),
            (Self::Draft | Self::Returned, Step::Submitted) => Some(Self::Submitted),
            (Self::Submitted, Step::Claimed) => Some(Self::UnderReview),
            (Self::UnderReview, Step::Released | Step::Endorsed) => Some(Self::Submitted),
            (Self::UnderReview, Step::Returned) => Some(Self::Returned),
            (Self::UnderReview, Step::Rejected) => Some(Self::Rejected),
            (Self::UnderReview, Step::Approved) => Some(Self::Approved),
            (Self::Draft | Self::Submitted | Self::UnderReview | Self::Returned, Step::Withdrawn) => {
                Some(Self::Withdrawn)
            }
            _ => None,
        }
    }
}

/// A step that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    pub step: Step,
    /// Counted from 1.
    pub seq: u32,
    /// By whom.
    pub by: String,
    /// Epoch seconds.
    pub at: i64,
    /// Of its statement in the audit tree.
    pub index: u64,
    /// Of an endorsement or an approval: the prefix that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachment: Option<Attachment>,
    /// The hash of what is kept beside the statement, where there is something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
}

/// All that happened to one filing, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    pub steps: Vec<Taken>,
    pub state: State,
    /// Who has it in review.
    pub reviewer: Option<String>,
    /// Who agreed, and to which prefix, since it was last submitted.
    pub endorsed: Option<(String, String)>,
}

impl Course {
    /// From its steps in their order; `None` where they are not those of a filing.
    #[must_use]
    pub fn of(steps: Vec<Taken>) -> Option<Course> {
        if steps.first()?.step != Step::Drafted {
            return None;
        }
        let mut course = Course { steps: Vec::new(), state: State::Draft, reviewer: None, endorsed: None };
        for (at, taken) in steps.into_iter().enumerate() {
            if usize::try_from(taken.seq).ok()? != at + 1 {
                return None;
            }
            if at > 0 {
                course.state = course.state.after(taken.step)?;
            }
            course.take(&taken);
            course.steps.push(taken);
        }
        Some(course)
    }

    fn take(&mut self, taken: &Taken) {
        match taken.step {
            Step::Claimed => self.reviewer = Some(taken.by.clone()),
            Step::Endorsed => {
                self.endorsed = taken.prefix.clone().map(|prefix| (taken.by.clone(), prefix));
                self.reviewer = None;
            }
            Step::Submitted => {
                self.endorsed = None;
                self.reviewer = None;
            }
            _ => self.reviewer = None,
        }
    }

    /// How many steps were taken: what an ETag says.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.steps.len() as u64
    }

    /// Who applied.
    #[must_use]
    pub fn applicant(&self) -> &str {
        self.steps.first().map_or("", |first| first.by.as_str())
    }

    /// The last step that wrote the form.
    #[must_use]
    pub fn form(&self) -> Option<&Taken> {
        self.steps.iter().rev().find(|taken| taken.step == Step::Drafted)
    }

    /// The steps that brought files: of each kind the newest is what counts, the others are history.
    #[must_use]
    pub fn attached(&self) -> Vec<(&Taken, Attachment)> {
        self.steps.iter().filter_map(|taken| Some((taken, taken.attachment?))).collect()
    }

    /// Whether the certificate's image is there, without which nothing is submitted.
    #[must_use]
    pub fn has_certificate(&self) -> bool {
        self.attached().iter().any(|(_, attachment)| attachment.kind == AttachmentKind::Certificate)
    }

    /// The step whose number the next one follows.
    #[must_use]
    pub fn last(&self) -> Option<&Taken> {
        self.steps.last()
    }

    /// The prefix that was allocated.
    #[must_use]
    pub fn allocated(&self) -> Option<&str> {
        self.last().filter(|last| last.step == Step::Approved).and_then(|last| last.prefix.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(steps: &[(Step, &str)]) -> Option<Course> {
        let taken = |(at, (step, by)): (usize, &(Step, &str))| Taken {
            step: *step,
            seq: at as u32 + 1,
            by: (*by).to_owned(),
            at: 0,
            index: 0,
            prefix: matches!(step, Step::Endorsed | Step::Approved).then(|| "88.999.7".to_owned()),
            attachment: None,
            sealed: None,
        };
        Course::of(steps.iter().enumerate().map(taken).collect())
    }

    #[test]
    fn a_filing_goes_its_way_and_no_other() {
        use Step::{Approved, Claimed, Drafted, Endorsed, Rejected, Released, Returned, Submitted, Withdrawn};
        let way = course(&[
            (Drafted, "a"),
            (Drafted, "a"),
            (Submitted, "a"),
            (Claimed, "r"),
            (Released, "r"),
            (Claimed, "s"),
            (Returned, "s"),
            (Drafted, "a"),
            (Submitted, "a"),
            (Claimed, "r"),
            (Endorsed, "r"),
            (Claimed, "s"),
            (Approved, "s"),
        ])
        .unwrap();
        assert_eq!((way.state, way.applicant(), way.allocated()), (State::Approved, "a", Some("88.999.7")));
        assert_eq!(way.form().unwrap().seq, 8);
        for wrong in [
            &[(Submitted, "a")][..],
            &[(Drafted, "a"), (Claimed, "r")],
            &[(Drafted, "a"), (Approved, "r")],
            &[(Drafted, "a"), (Submitted, "a"), (Approved, "r")],
            &[(Drafted, "a"), (Submitted, "a"), (Drafted, "a")],
            &[(Drafted, "a"), (Submitted, "a"), (Claimed, "r"), (Drafted, "a")],
            &[(Drafted, "a"), (Submitted, "a"), (Claimed, "r"), (Rejected, "r"), (Submitted, "a")],
            &[(Drafted, "a"), (Withdrawn, "a"), (Withdrawn, "a")],
        ] {
            assert_eq!(course(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn nothing_follows_an_end() {
        for state in State::ALL {
            let is_last = Step::ALL.into_iter().all(|step| state.after(step).is_none());
            assert_eq!(is_last, state.is_end(), "{state:?}");
        }
    }

    #[test]
    fn an_endorsement_counts_until_the_form_is_sent_again() {
        use Step::{Claimed, Drafted, Endorsed, Returned, Submitted};
        let mut steps = vec![(Drafted, "a"), (Submitted, "a"), (Claimed, "r"), (Endorsed, "r"), (Claimed, "s")];
        let before = course(&steps).unwrap();
        assert_eq!(
            (before.endorsed.as_ref().map(|(by, _)| by.as_str()), before.reviewer.as_deref()),
            (Some("r"), Some("s"))
        );
        steps.extend([(Returned, "s"), (Submitted, "a")]);
        let after = course(&steps).unwrap();
        assert_eq!((after.endorsed, after.reviewer, after.state), (None, None, State::Submitted));
    }

    #[test]
    fn words_are_those_that_are_written() {
        for step in Step::ALL {
            assert_eq!(serde_json::to_value(step).unwrap(), step.as_str());
        }
        for state in State::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
            assert_eq!(State::of_word(state.as_str()), Some(state));
        }
    }
}
