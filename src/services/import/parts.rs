//! An upload that may break off: it keeps what has come, and goes on at the byte where it stopped, also after a restart.
//!
//! One request at a time adds to it, and a later one takes over from an earlier: what the earlier still has on its way is
//! refused, so a client whose connection broke unnoticed need not wait for the node to notice.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::claim::Claim;
use super::held::{HeldKey, Hold, key_digest};
use super::job::has_place;
use super::job::{JobView, spool_failed, write_replacing};
use super::repeat::Seal;
use super::upload::{Upload, new_id};
use super::{AddPart, ReadUpload, StartImport};
use crate::model::permitted::Permitted;
use crate::model::time::Timestamp;
use crate::services::{ServiceError, Services};
use crate::store::Refusal;
use crate::store::rows::REQUEST_SECONDS;

/// Uploads that may be open: each may have a file of `limits.import_bytes`.
const MOST_OPEN: usize = 64;
/// What a power cut may cost: after so many bytes they are made durable, and noted.
pub(super) const SYNC_BYTES: u64 = 8 << 20;
const READ_BYTES: usize = 1 << 18;

/// Where an upload stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadView {
    pub id: String,
    /// The byte that is wanted next.
    pub offset: u64,
    pub is_complete: bool,
    /// The most bytes that it may have.
    pub limit: u64,
}

/// What an upload in parts begins as.
pub enum PartsBegun {
    Open(UploadView),
    /// The same idempotency key has a job already.
    Job(Box<JobView>),
}

/// An upload of which more is to come.
pub(super) struct OpenUpload {
    id: String,
    folder: PathBuf,
    start: StartImport,
    principal: String,
    limit: u64,
    key: Mutex<Option<HeldKey>>,
    state: Mutex<State>,
}

struct State {
    file: File,
    bytes: u64,
    synced: u64,
    /// Which request may add to it.
    turn: u64,
    touched: Timestamp,
    is_ending: bool,
}

/// `upload.json`
#[derive(Serialize, Deserialize)]
struct UploadFile {
    start: StartImport,
    principal: String,
    /// So many are durable: a start goes on from here.
    bytes: u64,
    touched: Timestamp,
}

/// A request's right to add to an upload.
pub struct Adding {
    upload: Arc<OpenUpload>,
    turn: u64,
    short_of: Arc<dyn Fn() -> Option<u64> + Send + Sync>,
}

impl Services {
    /// Opens an upload, or finds the one that was opened under the same idempotency key.
    pub fn open_upload(&self, asked: Permitted<StartImport>) -> Result<PartsBegun, ServiceError> {
        let (principal, mut start) = asked.into_parts();
        start.scope = principal.scope.clone();
        let mut key = None;
        if let Some(text) = &start.idempotency_key {
            let digest = key_digest(&principal.id, text);
            if let Some(open) = self.imports.open_under(&digest) {
                let is_same = serde_json::to_vec(&open.start)? == serde_json::to_vec(&start)?;
                return if is_same {
                    Ok(PartsBegun::Open(open.take_turn().1))
                } else {
                    Err(ServiceError::IdempotencyMismatch)
                };
            }
            match self.imports.keys.hold(digest, Timestamp::now(), |id| self.imports.knows(id)) {
                Hold::Taken(held) => key = Some(held),
                Hold::Upload => return Err(ServiceError::IdempotencyRunning),
                Hold::Job(id) => {
                    let view = self.job_view(&id)?.ok_or(ServiceError::UnknownRequest)?;
                    return Ok(PartsBegun::Job(Box::new(view)));
                }
            }
        }
        let has_place = {
            let open = self.imports.open.lock();
            has_place(MOST_OPEN, open.values().map(|open| &open.start.scope), &start.scope)
        };
        if !has_place {
            return Err(ServiceError::Refused(Refusal::Busy));
        }
        let id = new_id()?;
        let folder = self.settings.imports_folder.join(&id);
        let claim = Claim::make(&folder).map_err(|error| spool_failed(&error))?;
        let file = File::options().create_new(true).read(true).write(true).open(folder.join("input"));
        let file = file.map_err(|error| spool_failed(&error))?;
        let limit = self.upload_limit(&start);
        let open = OpenUpload::new(id, folder, start, principal.id, limit, key, file, 0);
        open.note().map_err(|error| spool_failed(&error))?;
        claim.keep();
        let open = Arc::new(open);
        let view = open.view();
        self.imports.open.lock().insert(open.id.clone(), open);
        Ok(PartsBegun::Open(view))
    }

    /// Where an upload stands. Whoever was adding to it is cut off: what is told must stay true.
    pub fn upload(&self, asked: &Permitted<ReadUpload>) -> Result<UploadView, ServiceError> {
        let id = &asked.request().id;
        if let Ok(open) = self.open_of(id, &asked.principal().id) {
            return Ok(open.take_turn().1);
        }
        let missing = || ServiceError::NotFound { what: "import", name: id.clone() };
        let job = self.job_within(id, &asked.principal().scope)?;
        let job = job.filter(|job| job.plan.is_none()).ok_or_else(missing)?;
        Ok(UploadView { id: job.id, offset: job.bytes, is_complete: true, limit: job.bytes })
    }

    /// Lets a request add to an upload, from the byte where it stands.
    pub fn add_part(&self, asked: &Permitted<AddPart>) -> Result<Adding, ServiceError> {
        let AddPart { id, offset } = asked.request();
        let upload = self.open_of(id, &asked.principal().id)?;
        if !upload.start.dry_run {
            self.may_sign()?;
        }
        let (turn, view) = upload.take_turn();
        if view.offset != *offset {
            return Err(ServiceError::UploadOffset { offset: view.offset });
        }
        Ok(Adding { upload, turn, short_of: self.store.room() })
    }

    /// The upload is whole: its job begins.
    pub async fn end_upload(self: &Arc<Self>, adding: Adding) -> Result<JobView, ServiceError> {
        let open = Arc::clone(&adding.upload);
        let sealed = tokio::task::spawn_blocking(move || adding.end());
        let upload = sealed.await.map_err(|error| ServiceError::Internal(error.to_string()))??;
        match self.start_import(upload.received(self.store.room())).await {
            Ok(view) => {
                self.imports.open.lock().remove(&open.id);
                let _ = tokio::fs::remove_file(open.folder.join("upload.json")).await;
                Ok(view)
            }
            Err(error) => {
                open.state.lock().is_ending = false;
                Err(error)
            }
        }
    }

    /// Forgets an upload. Blocks.
    pub fn drop_upload(&self, asked: &Permitted<ReadUpload>) -> Result<(), ServiceError> {
        let open = self.open_of(&asked.request().id, &asked.principal().id)?;
        open.take_turn();
        self.imports.open.lock().remove(&open.id);
        std::fs::remove_dir_all(&open.folder).map_err(|error| spool_failed(&error))
    }

    /// Goes on with an upload that a stop cut short; `false` where there is none in the folder.
    pub(super) fn take_up_upload(&self, folder: &Path) -> io::Result<bool> {
        let Ok(bytes) = std::fs::read(folder.join("upload.json")) else { return Ok(false) };
        let Ok(found) = serde_json::from_slice::<UploadFile>(&bytes) else { return Ok(false) };
        let Some(id) = folder.file_name().map(|name| name.to_string_lossy().into_owned()) else { return Ok(false) };
        let Ok(file) = File::options().read(true).write(true).open(folder.join("input")) else { return Ok(false) };
        if is_old(found.touched) || file.metadata()?.len() < found.bytes {
            return Ok(false);
        }
        file.set_len(found.bytes)?;
        let key = found.start.idempotency_key.as_ref().and_then(|key| {
            let digest = key_digest(&found.principal, key);
            match self.imports.keys.hold(digest, Timestamp::now(), |id| self.imports.knows(id)) {
                Hold::Taken(key) => Some(key),
                Hold::Upload | Hold::Job(_) => None,
            }
        });
        let limit = self.upload_limit(&found.start);
        let open =
            OpenUpload::new(id.clone(), folder.to_owned(), found.start, found.principal, limit, key, file, found.bytes);
        open.state.lock().touched = found.touched;
        self.imports.open.lock().insert(id, Arc::new(open));
        Ok(true)
    }

    /// Removes uploads to which nothing was added for a day. Blocks.
    pub(super) fn drop_old_uploads(&self) {
        let mut open = self.imports.open.lock();
        let old: Vec<Arc<OpenUpload>> =
            open.values().filter(|upload| is_old(upload.state.lock().touched)).cloned().collect();
        open.retain(|id, _| old.iter().all(|upload| upload.id != *id));
        drop(open);
        for upload in old {
            upload.take_turn();
            if let Err(error) = std::fs::remove_dir_all(&upload.folder) {
                tracing::warn!(%error, upload = upload.id, "an upload that nobody went on with could not be removed");
            }
        }
    }

    fn open_of(&self, id: &str, principal: &str) -> Result<Arc<OpenUpload>, ServiceError> {
        let open = self.imports.open.lock().get(id).filter(|open| open.principal == principal).cloned();
        open.ok_or_else(|| ServiceError::NotFound { what: "import", name: id.to_owned() })
    }
}

impl super::Jobs {
    fn open_under(&self, digest: &str) -> Option<Arc<OpenUpload>> {
        let open = self.open.lock();
        open.values().find(|open| open.key.lock().as_ref().is_some_and(|key| key.digest() == digest)).cloned()
    }
}

impl OpenUpload {
    #[expect(clippy::too_many_arguments, reason = "what an upload is, once here and once from its file")]
    fn new(
        id: String,
        folder: PathBuf,
        start: StartImport,
        principal: String,
        limit: u64,
        key: Option<HeldKey>,
        file: File,
        bytes: u64,
    ) -> OpenUpload {
        let state = State { file, bytes, synced: bytes, turn: 0, touched: Timestamp::now(), is_ending: false };
        OpenUpload { id, folder, start, principal, limit, key: Mutex::new(key), state: Mutex::new(state) }
    }

    fn view(&self) -> UploadView {
        let offset = self.state.lock().bytes;
        UploadView { id: self.id.clone(), offset, is_complete: false, limit: self.limit }
    }

    /// Cuts off whoever was adding.
    fn take_turn(&self) -> (u64, UploadView) {
        let turn = {
            let mut state = self.state.lock();
            state.turn += 1;
            state.turn
        };
        (turn, self.view())
    }

    fn note(&self) -> io::Result<()> {
        let (bytes, touched) = {
            let state = self.state.lock();
            (state.synced, state.touched)
        };
        let file = UploadFile { start: self.start.clone(), principal: self.principal.clone(), bytes, touched };
        write_replacing(&self.folder.join("upload.json"), &serde_json::to_vec(&file)?)?;
        File::open(&self.folder)?.sync_all()
    }

    /// Makes what has come durable, and notes how much that is.
    fn sync(&self) -> io::Result<()> {
        {
            let mut state = self.state.lock();
            state.file.sync_data()?;
            state.synced = state.bytes;
        }
        self.note()
    }
}

impl Adding {
    /// Takes the next bytes: all of them, or none where somebody else has the upload now.
    pub async fn write(&self, bytes: Bytes) -> Result<(), ServiceError> {
        if let Some(needed_bytes) = (self.short_of)() {
            return Err(ServiceError::Refused(Refusal::Full { needed_bytes }));
        }
        let (upload, turn) = (Arc::clone(&self.upload), self.turn);
        // Goes to its end even if the request is dropped in the middle.
        let written = tokio::task::spawn_blocking(move || upload.write(turn, &bytes)).await;
        written.map_err(|error| ServiceError::Internal(error.to_string()))?
    }

    /// The request has ended and more is to come, or it broke off: what has come is durable. Gives the next byte's place.
    pub async fn pause(&self) -> Result<u64, ServiceError> {
        let upload = Arc::clone(&self.upload);
        let synced = tokio::task::spawn_blocking(move || upload.sync()).await;
        synced.map_err(|error| ServiceError::Internal(error.to_string()))?.map_err(|error| spool_failed(&error))?;
        Ok(self.upload.view().offset)
    }

    fn end(self) -> Result<Whole, ServiceError> {
        let upload = self.upload;
        let (file, bytes) = {
            let mut state = upload.state.lock();
            if state.turn != self.turn || state.is_ending {
                return Err(ServiceError::UploadOffset { offset: state.bytes });
            }
            state.is_ending = true;
            (state.file.try_clone(), state.bytes)
        };
        upload.sync().map_err(|error| spool_failed(&error))?;
        let file = file.map_err(|error| spool_failed(&error))?;
        let seal = match &upload.start.idempotency_key {
            None => None,
            // As if it had come in one piece: the same upload is known by it.
            Some(_) => Some(sealed(&upload).map_err(|error| spool_failed(&error))?),
        };
        Ok(Whole { upload, file, bytes, seal })
    }
}

/// An upload of which all has come.
struct Whole {
    upload: Arc<OpenUpload>,
    file: File,
    bytes: u64,
    seal: Option<Seal>,
}

impl Whole {
    fn received(self, short_of: Arc<dyn Fn() -> Option<u64> + Send + Sync>) -> Upload {
        Upload {
            id: self.upload.id.clone(),
            folder: self.upload.folder.clone(),
            claim: None,
            key: self.upload.key.lock().take(),
            short_of,
            file: tokio::fs::File::from_std(self.file),
            seal: self.seal,
            bytes: self.bytes,
            unsynced: 0,
            limit: self.upload.limit,
            start: self.upload.start.clone(),
            principal: self.upload.principal.clone(),
        }
    }
}

impl OpenUpload {
    fn write(&self, turn: u64, bytes: &Bytes) -> Result<(), ServiceError> {
        let is_due = {
            let mut state = self.state.lock();
            if state.turn != turn || state.is_ending {
                return Err(ServiceError::UploadOffset { offset: state.bytes });
            }
            let whole = state.bytes + bytes.len() as u64;
            if whole > self.limit {
                return Err(ServiceError::UploadTooLarge { limit: self.limit });
            }
            state.file.write_all_at(bytes, state.bytes).map_err(|error| spool_failed(&error))?;
            state.bytes = whole;
            state.touched = Timestamp::now();
            state.bytes - state.synced >= SYNC_BYTES
        };
        if is_due { self.sync().map_err(|error| spool_failed(&error)) } else { Ok(()) }
    }
}

fn sealed(upload: &OpenUpload) -> io::Result<Seal> {
    let mut seal = Seal::of(&upload.start).map_err(|error| io::Error::other(error.text().en))?;
    let mut file = File::open(upload.folder.join("input"))?;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(seal),
            count => seal.take(buffer.get(..count).unwrap_or_default()),
        }
    }
}

fn is_old(touched: Timestamp) -> bool {
    Timestamp::now().as_seconds() >= touched.as_seconds().saturating_add(REQUEST_SECONDS)
}
