//! What an operator can do with a store that no node has open: look at it, make its record store anew and prove that equal.
//! Cutting a damaged journal is `cut`'s.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::apply::{Applier, ReadStatement};
use super::catch_up::{Opening, compare};
use super::checkpoint::{self, Checkpoint};
use super::cold::{self, Folders};
use super::engine::{Engine, Mark};
use super::home::Home;
use super::journal::{self, Examined, Journal, Recovered, Start};
use super::medium::Disk;
use super::open::{EngineChoice, OpenError, StoreOptions, lock_folder};
use super::restored::Restored;
use super::snapshot::{self, Layered, SnapshotState};
use crate::model::time::Timestamp;

/// What a look at a store found.
#[derive(Clone, Debug, Serialize)]
pub struct Examination {
    pub journal: Examined,
    pub records: u64,
    /// What differs between the rows and their totals; `None`: nothing.
    pub difference: Option<String>,
    /// Frames that the record store does not have yet: the next start applies them.
    pub behind: u64,
    /// The last snapshot of the rows, if there is one.
    pub snapshot: Option<SnapshotCheck>,
}

/// A snapshot, and what is wrong with it.
#[derive(Clone, Debug, Serialize)]
pub struct SnapshotCheck {
    #[serde(flatten)]
    pub state: SnapshotState,
    /// `None`: every block passes its checksum.
    pub damage: Option<String>,
}

/// What making a record store anew gave.
#[derive(Clone, Debug, Serialize)]
pub struct Rebuilt {
    pub frames: u64,
    pub records: u64,
    /// Rows of the old record store that the new one has otherwise, or not; `None` where the old one did not open, does not
    /// read, or was not as far.
    pub differing_rows: Option<u64>,
    /// Where the old files are.
    pub aside: PathBuf,
}

/// Looks at journal and record store without changing the journal. Fails while a node runs on the folder.
pub fn examine(options: &StoreOptions) -> Result<Examination, OpenError> {
    let _lock = lock_folder(&options.folder)?;
    whole_restore(options)?;
    let folders = folders(options)?.whole()?;
    let medium = folders.hot.as_ref();
    let rows = home(options, "records").open().and_then(|engine| Layered::reopen(engine, medium));
    // As an opening does: what either has seen was durable.
    let checkpoint = checkpoint::load(medium).map_or(0, |checkpoint| checkpoint.tail.sequence);
    let marked = rows.as_ref().map_or(0, |(_, mark)| mark.as_ref().map_or(0, |mark| mark.sequence));
    let journal = journal::examine(folders.segments().as_ref(), marked.max(checkpoint))?;
    let (engine, mark) = rows?;
    let mark = mark.unwrap_or_default();
    let snapshot = snapshot::newest(medium).map(|rows| SnapshotCheck {
        damage: rows.verify().err().map(|error| error.to_string()),
        state: SnapshotState::of(&rows),
    });
    let difference = compare(&engine, &mark, Timestamp::now().as_seconds())?.err();
    Ok(Examination {
        behind: journal.frames.saturating_sub(mark.sequence),
        records: mark.records,
        journal,
        difference,
        snapshot,
    })
}

/// Before a record store is made: a restore is begun anew only in a folder that holds nothing else.
fn whole_restore(options: &StoreOptions) -> Result<(), OpenError> {
    match Restored::is_cut_short(&Disk::existing(&options.folder.join("journal"))) {
        true => Err(OpenError::RestoreCutShort),
        false => Ok(()),
    }
}

/// Makes the record store anew from the journal, checks it, compares it row by row with the old one, and puts it in its place.
pub fn rebuild(options: &StoreOptions, statements: Arc<dyn ReadStatement>) -> Result<Rebuilt, OpenError> {
    let _lock = lock_folder(&options.folder)?;
    whole_restore(options)?;
    let old_home = home(options, "records");
    let folders = folders(options)?.whole()?;
    let medium = Arc::clone(&folders.hot);
    let old = old_home
        .open()
        .and_then(|engine| Layered::reopen(engine, medium.as_ref()))
        .map(|(engine, mark)| (mark.unwrap_or_default(), engine))
        .ok();
    // As an opening does: what either has seen was durable, and is not cut.
    let checkpoint = checkpoint::load(medium.as_ref()).map_or(0, |checkpoint| checkpoint.tail.sequence);
    let durable_sequence = old.as_ref().map_or(0, |(mark, _)| mark.sequence).max(checkpoint);
    let start = Start { tail: None, durable_sequence };
    let Recovered { journal, from, erased, .. } = Journal::open(folders.segments(), options.segment_bytes, start)?;
    let applier = Applier { statements, journal: journal.reader() };

    let fresh_home = home(options, "records.fresh");
    fresh_home.remove()?;
    let mut fresh = Opening::empty(&fresh_home)?;
    fresh.catch_up(medium.as_ref(), &fresh_home, &applier, &journal, from, &erased)?;
    if fresh.opened.in_memory {
        // What is to take the old one's place stands in files, or not at all.
        let source = std::io::ErrorKind::StorageFull.into();
        return Err(OpenError::Io { action: "make the record store anew in", path: options.folder.clone(), source });
    }
    fresh.self_check()?.map_err(OpenError::SelfCheck)?;
    fresh.engine.persist()?;
    let differing_rows = old
        .as_ref()
        .filter(|(mark, _)| mark.sequence == fresh.mark.sequence)
        .map(|(mark, engine)| differing(engine, mark, &fresh))
        .transpose()?
        .flatten();
    let rebuilt = Rebuilt {
        frames: fresh.mark.sequence,
        records: fresh.mark.records,
        differing_rows,
        aside: options.folder.join("records.aside"),
    };
    // Both must be closed before their folders are moved.
    drop(old);
    drop(fresh);
    old_home.set_aside()?;
    fresh_home.rename_to(&old_home)?;
    checkpoint::save(medium.as_ref(), &Checkpoint { tail: journal.tail(), clean: false, session: None })?;
    // Whoever has all made anew trusts nothing that was made before.
    snapshot::remove_others(medium.as_ref(), &[]);
    Ok(rebuilt)
}

fn differing(old: &dyn Engine, mark: &Mark, fresh: &Opening) -> Result<Option<u64>, OpenError> {
    let mut count = Some(fresh.mark.records.abs_diff(mark.records));
    fresh.engine.each(&mut |table, key, value| {
        count = count.and_then(|count| match old.read(table, key) {
            Ok(Some(found)) if *found == *value => Some(count),
            Ok(_) => Some(count + 1),
            Err(error) => {
                tracing::warn!(%error, "the old record store does not read");
                None
            }
        });
    })?;
    Ok(count)
}

/// Segments may be missing.
pub(super) fn folders(options: &StoreOptions) -> Result<Folders, OpenError> {
    let folder = options.folder.join("journal");
    let disk = Disk::open(&folder).map_err(|source| OpenError::Io { action: "open", path: folder, source })?;
    Ok(cold::open(disk, options.cold.as_ref().map(|cold| cold.folder.as_path()))?)
}

pub(super) fn home(options: &StoreOptions, name: &str) -> Home {
    match options.engine {
        EngineChoice::Memory => Home::Memory,
        EngineChoice::Sled { budget_bytes } => Home::Sled { folder: options.folder.join(name), budget_bytes },
    }
}

/// How many journal segments are in a store's own folder: an open store has as many files open.
#[must_use]
pub fn segments(folder: &Path) -> usize {
    let Ok(listing) = std::fs::read_dir(folder.join("journal")) else {
        return 0;
    };
    listing.flatten().filter(|entry| entry.file_name().to_str().is_some_and(journal::is_segment)).count()
}

/// Whether a folder holds a store at all.
#[must_use]
pub fn is_store(folder: &Path) -> bool {
    folder.join("journal").is_dir()
}
