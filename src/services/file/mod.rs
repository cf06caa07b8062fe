//! File: an enterprise's application for a prefix, from its draft to a reviewer's word (备案, the node's own gate).
//!
//! A filing is a row of steps in the audit tree; each is decided by the course as it stands and committed under the next number,
//! and who comes second with a number is refused. What the form says of persons is sealed, and kept beside the statement.
//!
//! - `attach`: files of a filing. `read`: a filing as it is shown, and the queue. `review`: what reviewers do.
//! - `allocate`: prefixes that were allocated. `standing`: what is decided about a prefix afterwards, `prefixes`: how that is shown.

mod allocate;
mod attach;
mod error;
mod prefixes;
mod read;
mod review;
mod standing;

pub use attach::{AttachFile, FilingPlace, MOST_ATTACHMENTS, MOST_FILE_BYTES};
pub use error::{FilingError, PrefixClosed, PrefixFault};
pub use prefixes::{ListPrefixes, PrefixHead, PrefixPage, PrefixView, ReadPrefix};
pub use read::{FiledFile, FilingPage, FilingView, ListFilings, ReadFile, ReadFiling};
pub use review::{Review, ReviewFiling};
pub use standing::{DecidePrefix, PrefixDecision, Standings};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde::{Deserialize, Serialize};

use super::precondition::Precondition;
use super::token::{random_text, sha256};
use super::{ServiceError, Services};
use crate::model::filing::{Attachment, Course, Form, Step, Taken};
use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::principal::{Principal, Role};
use crate::model::time::Timestamp;
use crate::sign::filing::{FilingEvent, FilingNote, filing_of_row, row_key};
use crate::sign::statement::AuditEvent;
use crate::store::engine::Table;
use crate::store::{Outcome, Proposal, Refusal};

/// Of one applicant that have not ended.
pub const OPEN_FILINGS: usize = 20;
/// Of one applicant, ended ones too.
pub const MOST_FILINGS: usize = 200;
/// How often the form of one filing is written.
pub const MOST_DRAFTS: usize = 50;
/// Of one filing; a step that ends it may always be taken.
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

/// What is kept beside a step's statement, encrypted; of a file its bytes are.
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

/// What is kept beside a step's statement, which has its hash.
pub(in crate::services) struct Sealed {
    pub bytes: Vec<u8>,
    hash: [u8; 32],
}

impl Sealed {
    /// As a statement has it.
    pub fn named(&self) -> String {
        BASE64URL.encode(self.hash)
    }
}

/// A step that is about to be taken.
struct Intent {
    step: Step,
    details: Option<Details>,
    /// A file, sealed for the next step.
    file: Option<(Attachment, Sealed)>,
    prefix: Option<String>,
    registrant: Option<String>,
    applicant: Option<String>,
    until: Option<Timestamp>,
}

impl Intent {
    fn plain(step: Step) -> Intent {
        Intent { step, details: None, file: None, prefix: None, registrant: None, applicant: None, until: None }
    }

    fn with(step: Step, details: Details) -> Intent {
        Intent { details: Some(details), ..Intent::plain(step) }
    }
}

impl Services {
    /// Begins a filing.
    pub async fn create_filing(&self, asked: Permitted<CreateFiling>) -> Result<FilingView, ServiceError> {
        let (principal, CreateFiling { form }) = asked.into_parts();
        let id = random_text(20).map_err(|error| ServiceError::Internal(error.to_string()))?;
        let intent = Intent::with(Step::Drafted, Details::Form(Box::new(form)));
        self.take_step(&id, None, intent, &principal).await
    }

    /// Whether this caller has room for another filing. Reads the disk, and is asked before a filing is begun, by who has a
    /// [`FilingPlace`].
    pub fn may_file_more(&self, principal: &Principal) -> Result<(), ServiceError> {
        if principal.role == Role::Administrator {
            return Ok(());
        }
        let own = self.courses_of(principal)?;
        let open = own.iter().filter(|course| !course.state.is_end()).count();
        if open >= OPEN_FILINGS {
            return Err(FilingError::TooManyOpen { limit: OPEN_FILINGS }.into());
        }
        if own.len() >= MOST_FILINGS { Err(FilingError::TooMany { limit: MOST_FILINGS }.into()) } else { Ok(()) }
    }

    /// Writes the form anew.
    pub async fn change_filing(&self, asked: Permitted<ChangeFiling>) -> Result<FilingView, ServiceError> {
        let (principal, ChangeFiling { id, form, precondition }) = asked.into_parts();
        let course = self.own_course(&id, &principal)?;
        at_step(course.version(), &precondition, true)?;
        let intent = Intent::with(Step::Drafted, Details::Form(Box::new(form)));
        self.take_step(&id, Some(course), intent, &principal).await
    }

    /// Sends a filing to the reviewers, or takes it back.
    pub async fn advance_filing(&self, asked: Permitted<AdvanceFiling>) -> Result<FilingView, ServiceError> {
        let (principal, AdvanceFiling { id, precondition, step }) = asked.into_parts();
        let course = self.own_course(&id, &principal)?;
        at_step(course.version(), &precondition, false)?;
        if step == Step::Submitted && !course.has_certificate() && course.state.after(step).is_some() {
            return Err(FilingError::NoCertificate.into());
        }
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
        let rows = self.store.scan(Table::Filing, Some(&row_key(id, 0)), MOST_STEPS + 2)?;
        let own = rows.iter().take_while(|(key, _)| filing_of_row(key) == Some(id));
        let steps: Vec<Taken> = own.map(|(_, row)| serde_json::from_slice(row)).collect::<Result<_, _>>()?;
        if steps.is_empty() {
            return Ok(None);
        }
        Course::of(steps).map(Some).ok_or_else(|| ServiceError::Internal(format!("the steps of the filing {id}")))
    }

    /// Takes the next step, unless somebody else was first, and shows the filing.
    async fn take_step(
        &self,
        id: &str,
        course: Option<Course>,
        intent: Intent,
        principal: &Principal,
    ) -> Result<FilingView, ServiceError> {
        self.commit_step(id, course, intent, principal).await?;
        self.viewed(id, principal)
    }

    async fn commit_step(
        &self,
        id: &str,
        course: Option<Course>,
        intent: Intent,
        principal: &Principal,
    ) -> Result<(), ServiceError> {
        // What is kept of a filing is found by its place in the tree: better said before than after.
        self.trees_in_step()?;
        let before = course.as_ref().map_or(0, |course| course.steps.len());
        if let Some(course) = &course {
            let Some(state) = course.state.after(intent.step) else {
                return Err(FilingError::Step { state: course.state, step: intent.step }.into());
            };
            let drafts = course.steps.iter().filter(|taken| taken.step == Step::Drafted).count();
            if (before >= MOST_STEPS && !state.is_end()) || (intent.step == Step::Drafted && drafts >= MOST_DRAFTS) {
                return Err(FilingError::TooManySteps { steps: before }.into());
            }
        }
        let seq = course.as_ref().map_or(1, next);
        let (attachment, file) = intent.file.unzip();
        let sealed = match intent.details {
            Some(details) => Some(self.sealed(&place(id, seq), &serde_json::to_vec(&details)?)?),
            None => file,
        };
        let note = FilingNote {
            filing: id.to_owned(),
            seq,
            sealed: sealed.as_ref().map(Sealed::named),
            prefix: intent.prefix,
            attachment,
            registrant: intent.registrant,
            applicant: intent.applicant,
            until: intent.until.map(Timestamp::as_seconds),
        };
        let event = AuditEvent::Filing(FilingEvent::of(intent.step, note));
        if self.commit_sealed(event, sealed.map(|sealed| sealed.bytes).unwrap_or_default(), principal).await? {
            return Ok(());
        }
        // Somebody else took the step with this number.
        Err(ServiceError::VersionMismatch { current: self.course(id)?.map(|course| course.version()) })
    }

    /// A tree that is being made anew does not know the places of its leaves yet.
    fn trees_in_step(&self) -> Result<(), ServiceError> {
        if self.store.trees().is_in_step() { Ok(()) } else { Err(ServiceError::Refused(Refusal::Busy)) }
    }

    /// Whether it was committed, with what is kept beside it: not where another statement asked for the same row before.
    pub(in crate::services) async fn commit_sealed(
        &self,
        event: AuditEvent,
        sealed: Vec<u8>,
        principal: &Principal,
    ) -> Result<bool, ServiceError> {
        let mut proposal = self.audit_event(event, &principal.id)?;
        proposal.disclosures = sealed;
        match self.store.commit(vec![Proposal::Statement(proposal)], false).await.pop() {
            Some(Outcome::Committed(_)) => Ok(true),
            Some(Outcome::Refused(refusal)) => Err(ServiceError::Refused(refusal)),
            Some(Outcome::Exists) => Ok(false),
            _ => Err(ServiceError::Internal("a statement with something sealed beside it".to_owned())),
        }
    }

    pub(in crate::services) fn sealed(&self, place: &str, content: &[u8]) -> Result<Sealed, ServiceError> {
        let bytes = self.signing()?.sealing.seal(place, content);
        let bytes = bytes.ok_or_else(|| ServiceError::Internal("a filing cannot be sealed".to_owned()))?;
        Ok(Sealed { hash: sha256(&bytes), bytes })
    }
}

/// The number of the step that comes next.
fn next(course: &Course) -> u32 {
    number_after(course.steps.len())
}

fn number_after(steps: usize) -> u32 {
    u32::try_from(steps + 1).unwrap_or(u32::MAX)
}

/// Whether the caller knows what stands at this version as it is. A change of a form must say which one it changes.
fn at_step(version: u64, precondition: &Precondition, is_change: bool) -> Result<(), ServiceError> {
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
