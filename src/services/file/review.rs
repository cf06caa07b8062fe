//! What reviewers do: take a filing on, send it back, say no, or yes. A yes allocates the prefix, the second one where two must
//! agree.

use std::sync::Arc;

use super::error::{FilingError, PrefixFault};
use super::read::{is_seen, was_submitted};
use super::{Details, Intent, Reason, at_step, unknown};
use crate::model::filing::{Course, State, Step};
use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::prefix::{covers, is_canonical};
use crate::model::principal::{Principal, Role};
use crate::model::time::Timestamp;
use crate::services::file::FilingView;
use crate::services::precondition::Precondition;
use crate::services::{ServiceError, Services};
use crate::store::engine::Table;

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
        /// From when on the prefix is good no more; the last of two says it.
        until: Option<Timestamp>,
        note: Option<String>,
    },
}

impl Asks for ReviewFiling {
    const ACTION: Action = Action::Review;
}

impl Services {
    /// Takes a reviewer's step.
    pub async fn review_filing(self: &Arc<Self>, asked: Permitted<ReviewFiling>) -> Result<FilingView, ServiceError> {
        let (principal, request) = asked.into_parts();
        let reviewed = self.reviewed(principal.clone(), request).await;
        reviewed.map_err(|error| self.denied(&principal, error))
    }

    async fn reviewed(
        self: &Arc<Self>,
        principal: Principal,
        request: ReviewFiling,
    ) -> Result<FilingView, ServiceError> {
        // What is allocated is served, whether its reviewer waits for the answer or has gone.
        let services = Arc::clone(self);
        let reviewing = tokio::spawn(async move { services.take_review(&principal, request).await });
        reviewing.await.unwrap_or_else(|error| Err(ServiceError::Internal(error.to_string())))
    }

    async fn take_review(&self, principal: &Principal, request: ReviewFiling) -> Result<FilingView, ServiceError> {
        let ReviewFiling { id, precondition, review } = request;
        // One at a time, so that two that overlap are not both allocated.
        let _alone = match review {
            Review::Approve { .. } => Some(self.allocating.lock().await),
            _ => None,
        };
        let course = self.judged_course(&id, principal)?;
        at_step(course.version(), &precondition, false)?;
        let intent = self.verdict(&id, &course, review, principal)?;
        let allocated = intent.prefix.clone().zip(intent.registrant.clone());
        self.commit_step(&id, Some(course), intent, principal).await?;
        if let Some((prefix, registrant)) = allocated {
            self.serve_allocation(&prefix, &registrant)?;
        }
        self.viewed(&id, principal)
    }

    /// The step that a reviewer's word makes, where the word is this reviewer's.
    fn verdict(
        &self,
        id: &str,
        course: &Course,
        review: Review,
        principal: &Principal,
    ) -> Result<Intent, ServiceError> {
        match review {
            Review::Claim => {
                if let Some(reviewer) = &course.reviewer {
                    return Err(FilingError::NotClaimed { reviewer: Some(reviewer.clone()) }.into());
                }
                is_another(course, principal)?;
                Ok(Intent::plain(Step::Claimed))
            }
            // Who went away must not keep a filing for ever.
            Review::Release if principal.role == Role::Administrator => Ok(Intent::plain(Step::Released)),
            Review::Release => {
                is_claimed(course, principal, Step::Released)?;
                Ok(Intent::plain(Step::Released))
            }
            Review::Return(reasons) => {
                is_claimed(course, principal, Step::Returned)?;
                Ok(Intent::with(Step::Returned, Details::Reasons(reasons)))
            }
            Review::Reject(reasons) => {
                is_claimed(course, principal, Step::Rejected)?;
                Ok(Intent::with(Step::Rejected, Details::Reasons(reasons)))
            }
            Review::Approve { prefix, until, note } => {
                let intent = self.approval(id, course, prefix, note, principal)?;
                Ok(Intent { until: until.filter(|_| intent.step == Step::Approved), ..intent })
            }
        }
    }

    /// The course of a filing that was submitted once: no other is a reviewer's to know of.
    fn judged_course(&self, id: &str, principal: &Principal) -> Result<Course, ServiceError> {
        let course = self.course(id)?.filter(|course| was_submitted(course) && is_seen(course, principal));
        course.ok_or_else(|| unknown(id))
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
        Ok(Intent { step, details, file: None, prefix: Some(prefix), registrant, applicant, until: None })
    }

    /// Whether a prefix lies below one of the configuration and no other, and nothing is there yet.
    pub(super) fn may_be_allocated(&self, prefix: &str) -> Result<(), ServiceError> {
        let served = self.prefixes.all();
        let fault = |cause| {
            let own: Vec<&str> = served.iter().map(|one| one.prefix.as_str()).collect();
            let own = own.into_iter().filter(|own| self.prefixes.is_configured(own)).collect::<Vec<_>>().join(", ");
            Err(FilingError::Prefix { prefix: prefix.to_owned(), own, cause }.into())
        };
        let above: Vec<&str> =
            served.iter().map(|one| one.prefix.as_str()).filter(|own| *own != prefix && covers(own, prefix)).collect();
        if !is_canonical(prefix) || above.is_empty() {
            return fault(PrefixFault::Elsewhere);
        }
        let is_alone = matches!(above.as_slice(), [root] if self.prefixes.is_configured(root));
        if !is_alone || served.iter().any(|one| covers(prefix, &one.prefix)) || self.has_names(prefix)? {
            return fault(PrefixFault::Taken);
        }
        Ok(())
    }

    /// Whether anything was ever registered under a prefix: one that was the configuration's once is somebody's.
    fn has_names(&self, prefix: &str) -> Result<bool, ServiceError> {
        let start = format!("{prefix}/");
        let rows = self.store.scan(Table::Record, Some(start.as_bytes()), 1)?;
        Ok(rows.first().is_some_and(|(key, _)| key.starts_with(start.as_bytes())))
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
