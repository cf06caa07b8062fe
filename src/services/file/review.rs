//! What reviewers do: take a filing on, send it back, say no, or yes. A yes allocates the prefix, the second one where two must
//! agree.

use super::error::{FilingError, PrefixFault};
use super::{Details, Intent, Reason, at_step, unknown};
use crate::model::filing::{Course, State, Step};
use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::prefix::{covers, is_canonical};
use crate::model::principal::{Principal, Role};
use crate::services::file::FilingView;
use crate::services::precondition::Precondition;
use crate::services::{ServiceError, Services};

/// A reviewer's word on a filing.
#[derive(Clone, Debug)]
pub struct ReviewFiling {
    pub id: String,
    pub precondition: Precondition,
    pub review: Review,
}

#[derive(Clone, Debug)]
pub enum Review {
    Claim,
    Release,
    /// With reasons, at least one.
    Return(Vec<Reason>),
    Reject(Vec<Reason>),
    /// To this prefix; none: the one that was asked for, or that the first of two agreed to.
    Approve {
        prefix: Option<String>,
        note: Option<String>,
    },
}

impl Asks for ReviewFiling {
    const ACTION: Action = Action::Review;
}

impl Services {
    /// Takes a reviewer's step.
    pub async fn review_filing(&self, asked: Permitted<ReviewFiling>) -> Result<FilingView, ServiceError> {
        let (principal, ReviewFiling { id, precondition, review }) = asked.into_parts();
        let course = self.course(&id)?.filter(|course| course.state != State::Draft).ok_or_else(|| unknown(&id))?;
        at_step(&course, &precondition, false)?;
        let intent = match review {
            Review::Claim => {
                is_another(&course, &principal)?;
                Intent::plain(Step::Claimed)
            }
            Review::Release => {
                // Who went away must not keep a filing for ever.
                if principal.role != Role::Administrator {
                    is_claimed(&course, &principal, Step::Released)?;
                }
                Intent::plain(Step::Released)
            }
            Review::Return(reasons) => {
                is_claimed(&course, &principal, Step::Returned)?;
                Intent::with(Step::Returned, Details::Reasons(reasons))
            }
            Review::Reject(reasons) => {
                is_claimed(&course, &principal, Step::Rejected)?;
                Intent::with(Step::Rejected, Details::Reasons(reasons))
            }
            Review::Approve { prefix, note } => self.approval(&id, &course, prefix, note, &principal)?,
        };
        let (step, prefix, registrant) = (intent.step, intent.prefix.clone(), intent.registrant.clone());
        let view = self.take_step(&id, Some(course), intent, &principal).await?;
        if let (Step::Approved, Some(prefix), Some(registrant)) = (step, prefix, registrant) {
            self.serve_allocation(&prefix, &registrant)?;
        }
        Ok(view)
    }

    fn approval(
        &self,
        id: &str,
        course: &Course,
        prefix: Option<String>,
        note: Option<String>,
        principal: &Principal,
    ) -> Result<Intent, ServiceError> {
        is_claimed(course, principal, Step::Approved)?;
        let form = self.form(id, course)?;
        let endorsed = course.endorsed.as_ref().map(|(_, prefix)| prefix.clone());
        let wanted = prefix.map(|prefix| prefix.to_ascii_lowercase());
        let prefix = match (wanted, endorsed) {
            (Some(wanted), Some(endorsed)) if wanted != endorsed => {
                return Err(FilingError::OtherPrefix { endorsed }.into());
            }
            (_, Some(endorsed)) => endorsed,
            (Some(wanted), None) => wanted,
            (None, None) => form.prefix.clone(),
        };
        self.may_be_allocated(&prefix)?;
        let is_last = course.endorsed.is_some() || self.settings.filing_approvals < 2;
        let step = if is_last { Step::Approved } else { Step::Endorsed };
        let details = note.map(|text| Details::Reasons(vec![Reason { pointer: String::new(), text }]));
        let (registrant, applicant) =
            if is_last { (Some(form.unit.name), Some(course.applicant().to_owned())) } else { (None, None) };
        Ok(Intent { step, details, prefix: Some(prefix), registrant, applicant })
    }

    /// Whether a prefix lies below one of this node's own, and is nobody's.
    pub(super) fn may_be_allocated(&self, prefix: &str) -> Result<(), ServiceError> {
        let fault = |cause| Err(FilingError::Prefix { prefix: prefix.to_owned(), cause }.into());
        let served = self.prefixes.all();
        let is_below = |own: &str| own != prefix && covers(own, prefix);
        if !is_canonical(prefix)
            || !served.iter().any(|one| self.prefixes.is_configured(&one.prefix) && is_below(&one.prefix))
        {
            return fault(PrefixFault::Elsewhere);
        }
        let is_taken = served.iter().any(|one| {
            covers(prefix, &one.prefix) || (is_below(&one.prefix) && !self.prefixes.is_configured(&one.prefix))
        });
        if is_taken { fault(PrefixFault::Taken) } else { Ok(()) }
    }
}

/// Nobody judges what is his own, or what he has judged before.
fn is_another(course: &Course, principal: &Principal) -> Result<(), ServiceError> {
    let has_endorsed = course.endorsed.as_ref().is_some_and(|(by, _)| *by == principal.id);
    if course.applicant() == principal.id || has_endorsed { Err(FilingError::SamePerson.into()) } else { Ok(()) }
}

fn is_claimed(course: &Course, principal: &Principal, step: Step) -> Result<(), ServiceError> {
    if course.state != State::UnderReview && course.state != State::Submitted {
        return Err(FilingError::Step { state: course.state, step }.into());
    }
    match &course.reviewer {
        Some(reviewer) if *reviewer == principal.id => Ok(()),
        reviewer => Err(FilingError::NotClaimed { reviewer: reviewer.clone() }.into()),
    }
}
