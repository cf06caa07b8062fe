//! A filing as it is shown, and all of them in the order in which they wait.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

use super::{Details, FilingError, Reason, place, unknown};
use crate::model::filing::form::Doubt;
use crate::model::filing::{Attachment, Course, Form, State, Step, Taken};
use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::principal::{Principal, Role};
use crate::model::time::Timestamp;
use crate::services::log::unread;
use crate::services::token::{are_same, sha256};
use crate::services::{ServiceError, Services};
use crate::sign::filing::{FilingEvent, filing_of_row};
use crate::sign::statement::AuditEvent;
use crate::store::engine::Table;
use crate::store::trees::Tree;

/// Rows that are read at once.
const STEP_ROWS: usize = 4_096;

/// How does a filing stand?
#[derive(Clone, Debug)]
pub struct ReadFiling {
    pub id: String,
    /// With the numbers of persons whole, which is noted.
    pub reveal: bool,
}

/// What was attached by a step?
#[derive(Clone, Debug)]
pub struct ReadFile {
    pub id: String,
    pub seq: u32,
}

/// A file that was attached, and may be seen.
#[derive(Clone, Debug)]
pub struct FiledFile {
    pub attachment: Attachment,
    id: String,
    taken: Taken,
}

impl Asks for ReadFile {
    const ACTION: Action = Action::SeeFilings;
}

/// Which filings are there?
#[derive(Clone, Debug)]
pub struct ListFilings {
    pub state: Option<State>,
    /// Only what follows this place (a cursor).
    pub after: Option<(i64, String)>,
    /// At least 1.
    pub limit: usize,
}

impl Asks for ReadFiling {
    const ACTION: Action = Action::SeeFilings;
}

impl Asks for ListFilings {
    const ACTION: Action = Action::SeeFilings;
}

/// One filing, as its asker may see it.
#[derive(Clone, Debug)]
pub struct FilingView {
    pub id: String,
    pub course: Course,
    /// Masked, unless it was asked for whole by who may.
    pub form: Form,
    /// For a reviewer.
    pub doubts: Option<Vec<Doubt>>,
    /// What reviewers said, by the number of the step.
    pub reasons: BTreeMap<u32, Vec<Reason>>,
}

/// Filings in the order in which they began.
#[derive(Clone, Debug)]
pub struct FilingPage {
    pub filings: Vec<(String, Course)>,
    pub next: Option<(i64, String)>,
}

impl Services {
    /// One filing. Who wants the numbers whole must have it in review, or be its applicant.
    pub async fn filing(&self, asked: Permitted<ReadFiling>) -> Result<FilingView, ServiceError> {
        let (principal, ReadFiling { id, reveal }) = asked.into_parts();
        let mut view = self.viewed(&id, &principal)?;
        if reveal {
            let seq = view.course.last().map_or(0, |last| last.seq);
            self.may_see_whole(&id, &view.course, seq, &principal).await?;
            view.form = self.form(&id, &view.course)?;
        }
        Ok(view)
    }

    /// The bytes of a file. Reads the disk.
    pub fn file_content(&self, file: &FiledFile) -> Result<Vec<u8>, ServiceError> {
        let FiledFile { id, taken, .. } = file;
        self.content(&place(id, taken.seq), taken.index, hash_of(id, taken)?)
    }

    /// A file of a filing, for its applicant and who has it in review.
    pub async fn filed_file(&self, asked: Permitted<ReadFile>) -> Result<FiledFile, ServiceError> {
        let (principal, ReadFile { id, seq }) = asked.into_parts();
        let course = self.course(&id)?.filter(|course| is_seen(course, &principal)).ok_or_else(|| unknown(&id))?;
        let found = course.attached().into_iter().find(|(taken, _)| taken.seq == seq);
        let Some((taken, attachment)) = found.map(|(taken, attachment)| (taken.clone(), attachment)) else {
            return Err(FilingError::NoFile { seq }.into());
        };
        self.may_see_whole(&id, &course, seq, &principal).await?;
        Ok(FiledFile { attachment, id, taken })
    }

    /// Whether the caller may see what is masked to others, which is noted before he does.
    async fn may_see_whole(
        &self,
        id: &str,
        course: &Course,
        seq: u32,
        principal: &Principal,
    ) -> Result<(), ServiceError> {
        // His own an applicant knows.
        if course.applicant() == principal.id {
            return Ok(());
        }
        if course.reviewer.as_deref() != Some(&principal.id) {
            let error = FilingError::NotClaimed { reviewer: course.reviewer.clone() }.into();
            return Err(self.denied(principal, error));
        }
        let noted = AuditEvent::Filing(FilingEvent::Revealed { filing: id.to_owned(), seq });
        if self.commit_sealed(noted, Vec::new(), principal).await? {
            return Ok(());
        }
        Err(ServiceError::Internal("a look at a filing was not noted".to_owned()))
    }

    /// A page of those that this caller may see.
    pub fn filings(&self, asked: &Permitted<ListFilings>) -> Result<FilingPage, ServiceError> {
        let ListFilings { state, after, limit } = asked.request();
        let mut all: Vec<((i64, String), Course)> = self
            .courses()?
            .into_iter()
            .filter(|(_, course)| is_seen(course, asked.principal()) && state.is_none_or(|state| course.state == state))
            .map(|(id, course)| ((course.steps.first().map_or(0, |first| first.at), id), course))
            .filter(|(at, _)| after.as_ref().is_none_or(|after| at > after))
            .collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        let has_more = all.len() > *limit;
        all.truncate(*limit);
        let next = all.last().filter(|_| has_more).map(|(at, _)| at.clone());
        Ok(FilingPage { filings: all.into_iter().map(|((_, id), course)| (id, course)).collect(), next })
    }

    /// Every filing of one applicant.
    pub(super) fn courses_of(&self, applicant: &Principal) -> Result<Vec<Course>, ServiceError> {
        let courses = self.courses()?.into_iter().map(|(_, course)| course);
        Ok(courses.filter(|course| course.applicant() == applicant.id).collect())
    }

    /// Every filing. There are as many as enterprises, some thousands.
    pub(super) fn courses(&self) -> Result<Vec<(String, Course)>, ServiceError> {
        let mut steps: BTreeMap<String, Vec<Taken>> = BTreeMap::new();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let rows = self.store.scan(Table::Filing, after.as_deref(), STEP_ROWS)?;
            for (key, row) in &rows {
                let id = filing_of_row(key).ok_or_else(|| ServiceError::Internal("a filing's row".to_owned()))?;
                steps.entry(id.to_owned()).or_default().push(serde_json::from_slice(row)?);
            }
            match rows.last() {
                Some((key, _)) => after = Some(key.to_vec()),
                None => break,
            }
        }
        let course = |(id, steps): (String, Vec<Taken>)| match Course::of(steps) {
            Some(course) => Some((id, course)),
            // Whoever asks for it alone is told; it must not hide the others.
            None => {
                tracing::error!(filing = id, "the steps of a filing are not those of one: lists leave it out");
                None
            }
        };
        Ok(steps.into_iter().filter_map(course).collect())
    }

    /// The filing as this caller sees it.
    pub(super) fn viewed(&self, id: &str, principal: &Principal) -> Result<FilingView, ServiceError> {
        let course = self.course(id)?.filter(|course| is_seen(course, principal)).ok_or_else(|| unknown(id))?;
        let form = self.form(id, &course)?;
        let is_reviewer = principal.role.may(Action::Review);
        let doubts = is_reviewer.then(|| self.doubts(&form, &course)).transpose()?;
        let mut reasons = BTreeMap::new();
        let has_words = |taken: &&Taken| !taken.step.is_applicants() && taken.sealed.is_some();
        for taken in course.steps.iter().filter(has_words) {
            // What reviewers tell one another is not the applicant's; why they send something back is.
            let is_told = is_reviewer || matches!(taken.step, Step::Returned | Step::Rejected);
            let hash = hash_of(id, taken)?;
            if is_told && let Details::Reasons(told) = self.unsealed(&place(id, taken.seq), taken.index, hash)? {
                reasons.insert(taken.seq, told);
            }
        }
        Ok(FilingView { id: id.to_owned(), form: form.masked(), course, doubts, reasons })
    }

    /// What a reviewer must look at: in the form, and whether the prefix can be had.
    fn doubts(&self, form: &Form, course: &Course) -> Result<Vec<Doubt>, ServiceError> {
        let mut doubts = form.doubts(Timestamp::now());
        if !course.state.is_end() {
            match self.may_be_allocated(&form.prefix) {
                Err(ServiceError::Filing(error)) => {
                    doubts.push(Doubt { pointer: "/prefix", code: error.code(), text: error.text() });
                }
                other => other?,
            }
        }
        Ok(doubts)
    }

    /// The form as it was written last.
    pub(super) fn form(&self, id: &str, course: &Course) -> Result<Form, ServiceError> {
        let taken = course.form().ok_or_else(|| ServiceError::Internal("a filing without a form".to_owned()))?;
        match self.unsealed(&place(id, taken.seq), taken.index, hash_of(id, taken)?)? {
            Details::Form(form) => Ok(*form),
            Details::Reasons(_) => Err(ServiceError::Internal("a filing without a form".to_owned())),
        }
    }

    pub(super) fn unsealed(&self, place: &str, index: u64, hash: &str) -> Result<Details, ServiceError> {
        let content = self.content(place, index, hash)?;
        // What serde says may quote the content.
        serde_json::from_slice(&content).map_err(|_| damaged(place))
    }

    /// What is kept beside the statement at this index of the audit tree, which has its hash.
    pub(in crate::services) fn content(&self, place: &str, index: u64, hash: &str) -> Result<Vec<u8>, ServiceError> {
        let damaged = || damaged(place);
        let reader = self.store.trees().reader(Tree::Audit);
        let Some(location) = reader.places(index, 1).map_err(unread)?.into_iter().next() else {
            self.trees_in_step()?;
            return Err(damaged());
        };
        let sealed = self.store.frame(location)?.disclosures.ok_or_else(damaged)?;
        let hash = BASE64URL.decode(hash).map_err(|_| damaged())?;
        if !are_same(&sha256(&sealed), &hash) {
            return Err(damaged());
        }
        self.signing()?.sealing.open(place, &sealed).ok_or_else(damaged)
    }
}

fn hash_of<'a>(id: &str, taken: &'a Taken) -> Result<&'a str, ServiceError> {
    taken.sealed.as_deref().ok_or_else(|| damaged(&place(id, taken.seq)))
}

fn damaged(place: &str) -> ServiceError {
    ServiceError::Internal(format!("what is kept of the step {place}"))
}

/// Applicants see their own; reviewers all that was ever submitted.
pub(super) fn is_seen(course: &Course, principal: &Principal) -> bool {
    course.applicant() == principal.id
        || (was_submitted(course) && matches!(principal.role, Role::Reviewer | Role::Administrator))
}

pub(super) fn was_submitted(course: &Course) -> bool {
    course.steps.iter().any(|taken| taken.step == Step::Submitted)
}
