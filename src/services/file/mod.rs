//! File: an enterprise's application for a prefix, from its draft to a reviewer's word (备案, the node's own gate).
//!
//! A filing is a row of steps in the audit tree; each is decided by the course as it stands and committed under the next number,
//! and who comes second with a number is refused. What the form says of persons is sealed, and kept beside the statement.
//!
//! - `read`: a filing as it is shown, and the queue. `review`: what reviewers do.

mod error;
mod read;
mod review;

pub use error::{FilingError, PrefixFault};
pub use read::{FilingPage, FilingView, ListFilings, ReadFiling};
pub use review::{Review, ReviewFiling};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde::{Deserialize, Serialize};

use super::precondition::Precondition;
use super::token::{random_text, sha256};
use super::{ServiceError, Services};
use crate::model::filing::{Course, Form, Step, Taken};
use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::principal::{Principal, Role};
use crate::model::time::Timestamp;
use crate::sign::filing::{Allocation, FilingEvent, FilingNote, row_key};
use crate::sign::statement::{AuditEvent, AuditStatement, propose};
use crate::store::engine::Table;
use crate::store::journal::FrameKind;
use crate::store::{Outcome, Proposal};

/// Of one applicant that have not ended.
pub const OPEN_FILINGS: usize = 20;
/// Of one filing.
pub const MOST_STEPS: usize = 200;

/// A filing is to be begun, as a draft.
#[derive(Clone, Debug)]
pub struct CreateFiling {
    pub form: Form,
}

/// The form of a draft, or of a filing that was returned, is written anew.
#[derive(Clone, Debug)]
pub struct ChangeFiling {
    pub id: String,
    pub form: Form,
    pub precondition: Precondition,
}

/// The applicant sends it, or takes it back.
#[derive(Clone, Debug)]
pub struct AdvanceFiling {
    pub id: String,
    pub precondition: Precondition,
    /// One of the applicant's own.
    pub step: Step,
}

impl Asks for CreateFiling {
    const ACTION: Action = Action::File;
}

impl Asks for ChangeFiling {
    const ACTION: Action = Action::File;
}

impl Asks for AdvanceFiling {
    const ACTION: Action = Action::File;
}

/// What is kept beside a step's statement, encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Details {
    Form(Box<Form>),
    /// Why it was returned or rejected, or what a reviewer noted.
    Reasons(Vec<Reason>),
}

/// A reviewer's word about one place of the form, or about all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// A JSON Pointer into the form; empty: all of it.
    #[serde(default)]
    pub pointer: String,
    pub text: String,
}

/// A step that is about to be taken.
struct Intent {
    step: Step,
    details: Option<Details>,
    prefix: Option<String>,
    registrant: Option<String>,
    applicant: Option<String>,
}

impl Intent {
    fn plain(step: Step) -> Intent {
        Intent { step, details: None, prefix: None, registrant: None, applicant: None }
    }

    fn with(step: Step, details: Details) -> Intent {
        Intent { details: Some(details), ..Intent::plain(step) }
    }
}

impl Services {
    /// Begins a filing.
    pub async fn create_filing(&self, asked: Permitted<CreateFiling>) -> Result<FilingView, ServiceError> {
        let (principal, CreateFiling { form }) = asked.into_parts();
        let open = self
            .courses()?
            .into_iter()
            .filter(|(_, course)| course.applicant() == principal.id && course.state.after(Step::Withdrawn).is_some());
        if principal.role != Role::Administrator && open.count() >= OPEN_FILINGS {
            return Err(FilingError::TooMany { limit: OPEN_FILINGS }.into());
        }
        let id = random_text(20).map_err(|error| ServiceError::Internal(error.to_string()))?;
        let intent = Intent::with(Step::Drafted, Details::Form(Box::new(form)));
        self.take_step(&id, None, intent, &principal).await
    }

    /// Writes the form anew.
    pub async fn change_filing(&self, asked: Permitted<ChangeFiling>) -> Result<FilingView, ServiceError> {
        let (principal, ChangeFiling { id, form, precondition }) = asked.into_parts();
        let course = self.own_course(&id, &principal)?;
        at_step(&course, &precondition, true)?;
        let intent = Intent::with(Step::Drafted, Details::Form(Box::new(form)));
        self.take_step(&id, Some(course), intent, &principal).await
    }

    /// Sends a filing to the reviewers, or takes it back.
    pub async fn advance_filing(&self, asked: Permitted<AdvanceFiling>) -> Result<FilingView, ServiceError> {
        let (principal, AdvanceFiling { id, precondition, step }) = asked.into_parts();
        let course = self.own_course(&id, &principal)?;
        at_step(&course, &precondition, false)?;
        self.take_step(&id, Some(course), Intent::plain(step), &principal).await
    }

    /// The course of a filing that this caller has made; of any other it is not told whether there is one.
    fn own_course(&self, id: &str, principal: &Principal) -> Result<Course, ServiceError> {
        let course = self.course(id)?.filter(|course| course.applicant() == principal.id);
        course.ok_or_else(|| unknown(id))
    }

    /// All that happened to a filing.
    fn course(&self, id: &str) -> Result<Option<Course>, ServiceError> {
        // Ids are letters and digits; no other text may reach the rows of another filing.
        if !is_id(id) {
            return Ok(None);
        }
        let rows = self.store.scan(Table::Filing, Some(&row_key(id, 0)), MOST_STEPS + 1)?;
        let own = rows.iter().take_while(|(key, _)| crate::sign::filing::filing_of_row(key) == Some(id));
        let steps: Vec<Taken> = own.map(|(_, row)| serde_json::from_slice(row)).collect::<Result<_, _>>()?;
        if steps.is_empty() {
            return Ok(None);
        }
        Course::of(steps).map(Some).ok_or_else(|| ServiceError::Internal(format!("the steps of the filing {id}")))
    }

    /// Takes the next step, unless somebody else was first.
    async fn take_step(
        &self,
        id: &str,
        course: Option<Course>,
        intent: Intent,
        principal: &Principal,
    ) -> Result<FilingView, ServiceError> {
        let before = course.as_ref().map_or(0, |course| course.steps.len());
        if let Some(course) = &course
            && course.state.after(intent.step).is_none()
        {
            return Err(FilingError::Step { state: course.state, step: intent.step }.into());
        }
        if before >= MOST_STEPS {
            return Err(FilingError::TooManySteps { limit: MOST_STEPS }.into());
        }
        let seq = u32::try_from(before + 1).unwrap_or(u32::MAX);
        let sealed = intent.details.map(|details| self.sealed(id, seq, &details)).transpose()?;
        let note = FilingNote {
            filing: id.to_owned(),
            seq,
            sealed: sealed.as_deref().map(|sealed| BASE64URL.encode(sha256(sealed))),
            prefix: intent.prefix,
            registrant: intent.registrant,
            applicant: intent.applicant,
        };
        let event = FilingEvent::of(intent.step, note);
        match self.commit_filing(event, sealed.unwrap_or_default(), principal).await? {
            true => self.viewed(id, principal),
            // Somebody else took the step with this number, or has the prefix.
            false => {
                Err(ServiceError::VersionMismatch { current: self.course(id)?.map(|course| course.steps.len() as u64) })
            }
        }
    }

    /// Whether it was committed: not where another statement asked for the same row before.
    async fn commit_filing(
        &self,
        event: FilingEvent,
        sealed: Vec<u8>,
        principal: &Principal,
    ) -> Result<bool, ServiceError> {
        let (now, signing) = (Timestamp::now(), self.signing()?);
        let statement = AuditStatement {
            iat: now.as_seconds(),
            iss: signing.issuer.clone(),
            principal: principal.id.clone(),
            event: AuditEvent::Filing(event),
        };
        let mut proposal = propose(&signing.key, FrameKind::Audit, &statement, now, &principal.id)?;
        proposal.disclosures = sealed;
        match self.store.commit(vec![Proposal::Statement(proposal)], false).await.pop() {
            Some(Outcome::Committed(_)) => Ok(true),
            Some(Outcome::Refused(refusal)) => Err(ServiceError::Refused(refusal)),
            _ => Ok(false),
        }
    }

    fn sealed(&self, id: &str, seq: u32, details: &Details) -> Result<Vec<u8>, ServiceError> {
        let content = serde_json::to_vec(details)?;
        let sealed = self.signing()?.sealing.seal(&place(id, seq), &content);
        sealed.ok_or_else(|| ServiceError::Internal("a filing cannot be sealed".to_owned()))
    }

    /// Takes up the prefixes that filings were allocated: at a start, before anything is asked.
    pub fn take_up_allocations(&self) -> Result<usize, ServiceError> {
        let (mut after, mut count) = (None, 0);
        loop {
            let rows = self.store.scan(Table::Allocation, after.as_deref(), 1_000)?;
            for (_, row) in &rows {
                let allocation: Allocation = serde_json::from_slice(row)?;
                self.serve_allocation(&allocation.prefix, &allocation.registrant)?;
                count += 1;
            }
            after = rows.last().map(|(key, _)| key.to_vec());
            if rows.is_empty() {
                return Ok(count);
            }
        }
    }

    fn serve_allocation(&self, prefix: &str, registrant: &str) -> Result<(), ServiceError> {
        self.prefixes.allocate(prefix, registrant).map_err(|error| ServiceError::Internal(error.to_string()))
    }
}

/// Whether the caller knows the filing as it stands. A change of the form must say which one it changes.
fn at_step(course: &Course, precondition: &Precondition, is_change: bool) -> Result<(), ServiceError> {
    let version = course.steps.len() as u64;
    match precondition {
        Precondition::None if is_change => Err(ServiceError::PreconditionRequired { version }),
        Precondition::None | Precondition::Any => Ok(()),
        Precondition::Versions(versions) if versions.contains(&version) => Ok(()),
        Precondition::CreateOnly | Precondition::Versions(_) => {
            Err(ServiceError::VersionMismatch { current: Some(version) })
        }
    }
}

/// What a step's sealed content belongs to.
fn place(id: &str, seq: u32) -> String {
    format!("{id}.{seq}")
}

fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

fn unknown(id: &str) -> ServiceError {
    FilingError::Unknown { id: id.to_owned() }.into()
}
