//! An upload under an idempotency key that has a job already: the same upload hears of the job, another is refused.

use bytes::Bytes;
use ring::digest::{Context, SHA256};

use super::StartImport;
use super::job::JobView;
use crate::services::{ServiceError, Services};

/// What an upload is, as it comes: a SHA-256 over what was asked and every byte, before compression.
pub(super) struct Seal(Context);

impl Seal {
    pub fn of(start: &StartImport) -> Result<Seal, ServiceError> {
        let mut context = Context::new(&SHA256);
        let asked = serde_json::to_vec(start)?;
        context.update(&(asked.len() as u64).to_le_bytes());
        context.update(&asked);
        Ok(Seal(context))
    }

    pub fn take(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn hex(self) -> String {
        self.0.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// An upload that is read again, and kept nowhere.
pub struct Repeat {
    pub(super) seal: Seal,
    pub(super) view: JobView,
}

impl Repeat {
    /// Takes the next bytes.
    pub fn take(&mut self, bytes: &Bytes) {
        self.seal.take(bytes);
    }
}

impl Services {
    /// The job of the first upload as it is by now, if this was the same.
    pub fn repeated_import(&self, repeat: Repeat) -> Result<JobView, ServiceError> {
        let Repeat { seal, view } = repeat;
        let hex = seal.hex();
        match &view.upload {
            Some(first) if *first != hex => Err(ServiceError::IdempotencyMismatch),
            // A long upload may outlast its job, and even the days that the job's file is kept.
            _ => Ok(self.job_view(&view.id)?.unwrap_or(view)),
        }
    }
}
