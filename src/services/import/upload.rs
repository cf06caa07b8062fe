//! An upload: from its first byte to the job that it becomes.

use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;

use super::claim::Claim;
use super::course::{Running, tag_of};
use super::held::{HeldKey, Hold, key_digest};
use super::job::has_place;
use super::job::{Job, JobView, spool_failed};
use super::parts::SYNC_BYTES;
use super::repeat::{Repeat, Seal};
use super::{Form, StartImport};
use crate::model::permitted::Permitted;
use crate::model::principal::{Principal, Scope};
use crate::model::time::Timestamp;
use crate::services::{ServiceError, Services};
use crate::store::Refusal;
use crate::store::restored::Restored;

/// Jobs that may wait for their turn: each has a thread and a spooled file.
const MOST_JOBS: usize = 256;

/// An upload that is being received.
pub struct Upload {
    pub(super) id: String,
    pub(super) folder: PathBuf,
    /// Of one that comes in one piece: what is left of it goes away with the request.
    pub(super) claim: Option<Claim>,
    pub(super) key: Option<HeldKey>,
    /// Says how many bytes are missing to the reserve that the record store needs.
    pub(super) short_of: Arc<dyn Fn() -> Option<u64> + Send + Sync>,
    pub(super) file: tokio::fs::File,
    pub(super) seal: Option<Seal>,
    pub(super) bytes: u64,
    /// Of these, what may not have reached the disk.
    pub(super) unsynced: u64,
    pub(super) limit: u64,
    pub(super) start: StartImport,
    pub(super) principal: String,
}

/// What an upload begins as.
pub enum Begun {
    /// Send the bytes.
    Upload(Box<Upload>),
    /// The same idempotency key has a job already: send the bytes, to see whether it is the same upload.
    Known(Box<Repeat>),
}

impl Services {
    /// Begins an import: what follows is its upload.
    pub async fn begin_import(&self, asked: Permitted<StartImport>) -> Result<Begun, ServiceError> {
        let (principal, mut start) = asked.into_parts();
        start.scope = principal.scope.clone();
        if !start.dry_run && self.store.restored().is_some_and(Restored::is_undecided) {
            return Err(ServiceError::Refused(Refusal::Undecided));
        }
        let key = match &start.idempotency_key {
            None => None,
            Some(key) => match self.hold(&key_digest(&principal.id, key))? {
                Held::Taken(key) => Some(key),
                Held::Job(view) => return Ok(Begun::Known(Box::new(Repeat { seal: Seal::of(&start)?, view: *view }))),
            },
        };
        let id = new_id()?;
        let folder = self.settings.imports_folder.join(&id);
        self.place_for_job(&start.scope)?;
        let claim = Claim::make(&folder).map_err(|error| spool_failed(&error))?;
        let file = tokio::fs::File::create(folder.join("input")).await.map_err(|error| spool_failed(&error))?;
        let limit = self.upload_limit(&start);
        let (short_of, principal) = (self.store.room(), principal.id);
        let seal = start.idempotency_key.as_ref().map(|_| Seal::of(&start)).transpose()?;
        let upload = Upload {
            id,
            folder,
            claim: Some(claim),
            key,
            short_of,
            file,
            seal,
            bytes: 0,
            unsynced: 0,
            limit,
            start,
            principal,
        };
        Ok(Begun::Upload(Box::new(upload)))
    }

    /// The most bytes that an upload may have.
    #[must_use]
    pub fn upload_limit(&self, start: &StartImport) -> u64 {
        match start.form {
            Form::Xlsx { .. } => self.settings.workbook_bytes.min(self.settings.import_bytes),
            _ => self.settings.import_bytes,
        }
    }

    /// Ends an upload and starts its job.
    pub async fn start_import(self: &Arc<Self>, mut upload: Upload) -> Result<JobView, ServiceError> {
        upload.file.flush().await.map_err(|error| spool_failed(&error))?;
        upload.file.sync_data().await.map_err(|error| spool_failed(&error))?;
        // Goes to its end even if nobody waits for the answer any more.
        let services = Arc::clone(self);
        let started = tokio::task::spawn_blocking(move || services.start_job(upload)).await;
        started.map_err(|error| ServiceError::Internal(error.to_string()))?
    }

    fn start_job(self: &Arc<Self>, upload: Upload) -> Result<JobView, ServiceError> {
        let job = Arc::new(Job {
            bytes: AtomicU64::new(upload.bytes),
            upload: upload.seal.map(Seal::hex),
            key: upload.key.as_ref().map(|key| key.digest().to_owned()),
            ..self.new_job(upload.id, upload.folder, upload.start, upload.principal)?
        });
        job.save().and_then(|()| job.sync_folders()).map_err(|error| spool_failed(&error))?;
        // From here on a start after a crash finds the key and goes on with the job; a row is touched by its thread only.
        let view = job.view();
        self.work_off(job).map_err(|error| ServiceError::Internal(error.to_string()))?;
        if let Some(claim) = upload.claim {
            claim.keep();
        }
        if let Some(key) = upload.key {
            key.give(&view.id, view.started);
        }
        Ok(view)
    }

    /// Starts a job that finds its rows itself. `told` is called with its number when its file is durable, and before a
    /// row is touched.
    pub(super) fn start_plan(
        self: &Arc<Self>,
        start: StartImport,
        asker: &Principal,
        told: impl FnOnce(&str) -> std::io::Result<()>,
    ) -> Result<JobView, ServiceError> {
        self.place_for_job(&asker.scope)?;
        if let Some(needed_bytes) = (self.store.room())() {
            return Err(ServiceError::Refused(Refusal::Full { needed_bytes }));
        }
        let id = new_id()?;
        let folder = self.settings.imports_folder.join(&id);
        let claim = Claim::make(&folder).map_err(|error| spool_failed(&error))?;
        let job = Arc::new(self.new_job(id, folder, start, asker.id.clone())?);
        job.save().and_then(|()| job.sync_folders()).map_err(|error| spool_failed(&error))?;
        told(&job.id).map_err(|error| spool_failed(&error))?;
        let view = job.view();
        self.work_off(job).map_err(|error| ServiceError::Internal(error.to_string()))?;
        claim.keep();
        Ok(view)
    }

    fn place_for_job(&self, scope: &Scope) -> Result<(), ServiceError> {
        let known = self.imports.known.lock();
        let has_place = has_place(MOST_JOBS, known.values().map(|job| &job.start.scope), scope);
        has_place.then_some(()).ok_or(ServiceError::Refused(Refusal::Busy))
    }

    fn new_job(&self, id: String, folder: PathBuf, start: StartImport, principal: String) -> Result<Job, ServiceError> {
        let errors = std::fs::File::create(folder.join("errors.ndjson")).map_err(|error| spool_failed(&error))?;
        // The key itself is nobody's business any more: its digest stands in the job's file.
        let start = StartImport { idempotency_key: None, ..start };
        let running = Running::begin(start.clone(), principal.clone(), self.store.tail());
        Ok(Job {
            tag: tag_of(&id).unwrap_or_default(),
            id,
            folder,
            start,
            principal,
            bytes: AtomicU64::new(0),
            upload: None,
            key: None,
            table: Mutex::default(),
            bytes_done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            registered: AtomicU64::new(0),
            updated: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            new_ground: super::lanes::NewGround::default(),
            errors: Mutex::new(Some(BufWriter::new(errors))),
            noted_bytes: AtomicU64::new(0),
            end: Mutex::new(None),
            started: Timestamp::now(),
            sample: Mutex::default(),
            undone_by: Vec::new(),
            running: Mutex::new(running),
        })
    }

    /// Gives a job its thread.
    pub(super) fn work_off(self: &Arc<Self>, job: Arc<Job>) -> std::io::Result<()> {
        self.imports.known.lock().insert(job.id.clone(), Arc::clone(&job));
        let id = job.id.clone();
        let (services, turns) = (Arc::clone(self), self.imports.turns.clone());
        let work = move || super::run::run(&services, &turns, &job);
        let started = std::thread::Builder::new().name("import".to_owned()).spawn(work);
        if started.is_err() {
            self.imports.forget(&id);
        }
        started.map(drop)
    }

    /// Holds an idempotency key for an upload, or finds the job that has it.
    fn hold(&self, digest: &str) -> Result<Held, ServiceError> {
        loop {
            match self.imports.keys.hold(digest.to_owned(), Timestamp::now(), |id| self.imports.knows(id)) {
                Hold::Taken(key) => return Ok(Held::Taken(key)),
                Hold::Upload => return Err(ServiceError::IdempotencyRunning),
                Hold::Job(id) => match self.job_view(&id)? {
                    Some(view) => return Ok(Held::Job(Box::new(view))),
                    None => self.imports.keys.forget(digest, &id),
                },
            }
        }
    }
}

impl Upload {
    /// Takes the next bytes.
    pub async fn write(&mut self, bytes: &Bytes) -> Result<(), ServiceError> {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.limit {
            return Err(ServiceError::UploadTooLarge { limit: self.limit });
        }
        if let Some(needed_bytes) = (self.short_of)() {
            return Err(ServiceError::Refused(Refusal::Full { needed_bytes }));
        }
        if let Some(seal) = &mut self.seal {
            seal.take(bytes);
        }
        self.file.write_all(bytes).await.map_err(|error| spool_failed(&error))?;
        self.unsynced += bytes.len() as u64;
        if self.unsynced >= SYNC_BYTES {
            self.file.sync_data().await.map_err(|error| spool_failed(&error))?;
            self.unsynced = 0;
        }
        Ok(())
    }

    /// Forgets an upload that did not come to its end.
    pub async fn abandon(self) {
        if let Some(claim) = self.claim
            && let Err(error) = claim.give_up().await
        {
            tracing::warn!(%error, "an abandoned upload could not be removed");
        }
    }
}

/// Who has an idempotency key, with what is to be told of it.
enum Held {
    Taken(HeldKey),
    Job(Box<JobView>),
}

pub(super) fn new_id() -> Result<String, ServiceError> {
    let mut random = [0; 12];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random)
        .map_err(|_| ServiceError::Internal("no randomness".to_owned()))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}
