//! Cutting a damaged journal where an operator says: an act that may take away what others were shown.
//!
//! Heads of the log that were published may count what is cut. So what remains is treated as a restored log that is known to
//! have gone on: it answers, and takes nothing until the operator has given it a new name ([`super::restored`]).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::checkpoint;
use super::cold::{self, Folders};
use super::doctor::{self, folders, home};
use super::home::Home;
use super::journal::walk::Walk;
use super::journal::{self, JournalError, Tail, segment_name, segment_number};
use super::medium::Medium;
use super::open::{OpenError, StoreOptions, lock_folder};
use super::restored::Restored;
use super::rows::leaf_hash;
use super::{snapshot, trees};
use crate::model::time::Timestamp;
use crate::tlog::frontier::Frontier;

/// Cuts a damaged journal at a place that an opening named, or where segments are missing behind it. One that is whole is left
/// alone, for a cut takes the log's name from it; and a place behind the damage, for the damage would stay.
pub fn cut_journal(options: &StoreOptions, segment: &str, offset: u64) -> Result<(), OpenError> {
    match doctor::examine(options) {
        Ok(_) => return Err(OpenError::NothingDamaged),
        Err(OpenError::Journal(JournalError::Damaged { segment: damaged, offset: at, .. }))
            if segment_number(segment)
                .is_some_and(|number| (Some(number), offset) > (segment_number(&damaged), at)) =>
        {
            return Err(OpenError::DamagedBefore { segment: damaged, offset: at });
        }
        Err(OpenError::Journal(_) | OpenError::Cold(_)) => {}
        Err(other) => return Err(other),
    }
    let _lock = lock_folder(&options.folder)?;
    cut(&folders(options)?, &home(options, "records"), segment, offset)
}

/// The same on media that a test stands behind, without a record store in files.
pub fn cut_journal_on_both(media: [Arc<dyn Medium>; 2], segment: &str, offset: u64) -> Result<(), OpenError> {
    let [hot, cold] = media;
    cut(&cold::join(hot, cold, Path::new("cold"))?, &Home::Memory, segment, offset)
}

/// What was made from the journal goes before, for it knows what is cut and would speak for it, and the note that holds the log
/// comes before: a crash at any step leaves a journal that opens and takes nothing, or one that is cut by doing this again.
fn cut(folders: &Folders, records: &Home, segment: &str, offset: u64) -> Result<(), OpenError> {
    let (hot, segments) = (folders.hot.as_ref(), folders.segments());
    let names = segments.list().map_err(failed("list the folder of", segment))?;
    if segment_number(segment).is_none() || !names.iter().any(|name| name == segment) {
        return Err(failed("find", segment)(std::io::ErrorKind::NotFound.into()));
    }
    let (tail, tree) = remaining(segments.as_ref(), segment, offset)?;
    if tail.sequence == 0 {
        return Err(OpenError::NothingRemains);
    }
    journal::copy_rest(segments.as_ref(), segment, offset)?;
    note(&tail, &tree).save(hot).map_err(failed("write the note that holds the log, beside", segment))?;
    snapshot::remove_others(hot, &[]);
    trees::forget(hot).map_err(failed("remove the mark of the trees beside", segment))?;
    // Makes the removals durable: a snapshot that came back after a power cut would name a place behind the cut.
    checkpoint::forget(hot)?;
    records.set_aside()?;
    if let Some(tiers) = &folders.tiers {
        // It will be the last one, which is written to.
        tiers.bring_back(segment).map_err(failed("bring back", segment))?;
    }
    Ok(journal::cut(segments.as_ref(), segment, offset)?)
}

/// What stands before the place: how far it goes, and its tree. What does not pass on the way there ends it: the cut itself
/// says what is wrong with the place then.
fn remaining(segments: &dyn Medium, segment: &str, offset: u64) -> Result<(Tail, Frontier), OpenError> {
    let (mut walk, mut tree) = (Walk::from_start(), Frontier::default());
    let last = segment_number(segment).unwrap_or(0);
    for number in 1..=last {
        let name = segment_name(number);
        let bytes = read(segments, &name)?;
        if walk.enter(&bytes).is_err() {
            break;
        }
        while (number < last || u64::from(walk.tail.offset) < offset)
            && let Some(seen) = walk.group(&bytes)
            // A group that the place falls into is cut whole.
            && (number < last || u64::from(seen.next.offset) <= offset)
        {
            for frame in seen.frames.iter().filter(|frame| frame.kind.in_registry()) {
                tree.push(leaf_hash(frame.statement));
            }
            walk.accept(&seen);
        }
    }
    Ok((walk.tail, tree))
}

fn read(segments: &dyn Medium, name: &str) -> Result<Vec<u8>, OpenError> {
    let file = segments.open(name).map_err(failed("open", name))?;
    let mut bytes = vec![0; usize::try_from(file.length().map_err(failed("measure", name))?).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0).map_err(failed("read", name))?;
    Ok(bytes)
}

fn note(tail: &Tail, tree: &Frontier) -> Restored {
    let now = Timestamp::now();
    Restored {
        is_complete: true,
        restored: now,
        backup: now,
        // The statements tell it; who decides is not asked for the present name.
        origin: String::new(),
        sequence: tail.sequence,
        size: tree.size,
        root: BASE64.encode(tree.root()),
        is_cut: true,
        again: None,
        decision: None,
    }
}

fn failed(action: &'static str, name: &str) -> impl Fn(std::io::Error) -> OpenError {
    let path = PathBuf::from(name);
    move |source| OpenError::Io { action, path: path.clone(), source }
}
