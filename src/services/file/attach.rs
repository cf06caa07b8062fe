//! Files of a filing: who may add one, and how many are on their way.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{FilingError, FilingView, Intent, at_step, next, place};
use crate::model::filing::attachment::MediaType;
use crate::model::filing::{Attachment, AttachmentKind, Course, Step};
use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::principal::Principal;
use crate::services::precondition::Precondition;
use crate::services::{ServiceError, Services};
use crate::store::Refusal;

/// Bytes of all files of one applicant.
pub const MOST_FILE_BYTES: u64 = 200 << 20;
/// Files on their way in or out at one time.
const FILES_AT_ONCE: usize = 8;
/// Files of one filing, those that others took the place of too.
pub const MOST_ATTACHMENTS: usize = 10;

/// A file is added to a draft, or to a filing that was returned.
#[derive(Clone, Debug)]
pub struct AttachFile {
    pub id: String,
    pub precondition: Precondition,
    pub kind: AttachmentKind,
    pub media_type: MediaType,
    pub file: Bytes,
}

impl Asks for AttachFile {
    const ACTION: Action = Action::File;
}

impl Services {
    /// A place for one file or new filing on its way, and for one of a caller's: to be had before its bytes are read.
    pub fn filing_place(&self, principal: &Principal) -> Result<FilingPlace<'_>, ServiceError> {
        let mut busy = self.filing_busy.lock();
        if busy.len() >= FILES_AT_ONCE || !busy.insert(principal.id.clone()) {
            return Err(ServiceError::Refused(Refusal::Busy));
        }
        Ok(FilingPlace { busy: &self.filing_busy, principal: principal.id.clone() })
    }

    /// Whether this caller may add a file now. Reads the disk.
    pub fn may_attach(&self, id: &str, precondition: &Precondition, principal: &Principal) -> Result<(), ServiceError> {
        let course = self.own_course(id, principal)?;
        at_step(course.version(), precondition, false)?;
        if course.state.after(Step::Attached).is_none() {
            return Err(FilingError::Step { state: course.state, step: Step::Attached }.into());
        }
        has_room(&course)?;
        let own = self.courses_of(principal)?;
        let bytes: u64 = own.iter().flat_map(Course::attached).map(|(_, one)| one.bytes).sum();
        if bytes > MOST_FILE_BYTES { Err(FilingError::TooManyBytes { limit: MOST_FILE_BYTES }.into()) } else { Ok(()) }
    }

    /// Adds a file to a filing.
    pub async fn attach_file(self: &Arc<Self>, asked: Permitted<AttachFile>) -> Result<FilingView, ServiceError> {
        let (principal, AttachFile { id, precondition, kind, media_type, file }) = asked.into_parts();
        let course = self.own_course(&id, &principal)?;
        at_step(course.version(), &precondition, false)?;
        has_room(&course)?;
        let attachment = Attachment { kind, media_type, bytes: file.len() as u64 };
        let (services, place) = (Arc::clone(self), place(&id, next(&course)));
        // Megabytes are not encrypted and hashed on a thread that answers others.
        let sealing = tokio::task::spawn_blocking(move || services.sealed(&place, &file)).await;
        let sealed = sealing.unwrap_or_else(|error| Err(ServiceError::Internal(error.to_string())))?;
        let intent = Intent { file: Some((attachment, sealed)), ..Intent::plain(Step::Attached) };
        self.take_step(&id, Some(course), intent, &principal).await
    }
}

fn has_room(course: &Course) -> Result<(), FilingError> {
    if course.attached().len() < MOST_ATTACHMENTS {
        return Ok(());
    }
    Err(FilingError::TooManyFiles { limit: MOST_ATTACHMENTS })
}

/// A file or a new filing on its way; another has its place when this goes.
#[must_use]
pub struct FilingPlace<'a> {
    busy: &'a Mutex<HashSet<String>>,
    principal: String,
}

impl Drop for FilingPlace<'_> {
    fn drop(&mut self) {
        self.busy.lock().remove(&self.principal);
    }
}
