//! Rows on their way to the commit: read, decided and signed in lanes beside one another, handed on in their order.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Sender, bounded};

use super::job::Job;
use super::lines::{Line, Rows};
use super::row::{Decision, Fault, Shape, Wanted, of_service};
use super::run::{Failed, failed, internal, stopped_by};
use crate::model::identifier::CanonicalKey;
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::services::Services;
use crate::store::journal::Effect;
use crate::store::{EntryProposal, Refusal};

/// Threads that decide and sign: as many as there are cores, no more than the committing thread can keep up with.
const MOST_LANES: usize = 4;
/// Windows that may have been read before one is committed: in each lane one waits to be prepared, one is being
/// prepared, one waits to be committed; and one is under way behind another.
pub(super) const WINDOWS_IN_FLIGHT: usize = 3 * MOST_LANES + 2;
/// Bytes that a lane hands on at once, about: a mapping can make much of a short row.
pub(super) const PIECE_BYTES: usize = 4 << 20;

/// A row on its way.
pub(super) struct Prepared {
    pub line: Line,
    pub fate: Fate,
}

/// What a row wants is not kept: whoever has to decide it anew reads its line again, which seldom happens.
pub(super) enum Fate {
    Commit(Box<EntryProposal>),
    /// The name occurs earlier in the window: decide when that one is committed.
    Later(CanonicalKey),
    /// Of a dry run, by what stands: nothing of it is committed. The bytes that a group would have of it.
    Would(CanonicalKey, Effect, usize),
    /// By what stood when it was decided.
    Skipped(CanonicalKey),
    /// By what stood when it was decided.
    Refused(CanonicalKey, Fault),
    /// The row is no good, whatever stands.
    Failed(Fault),
}

impl Fate {
    /// The row's name, if it has a good one.
    pub fn name(&self) -> Option<&CanonicalKey> {
        match self {
            Fate::Commit(proposal) => Some(proposal.record.identifier.key()),
            Fate::Would(key, ..) | Fate::Later(key) | Fate::Skipped(key) | Fate::Refused(key, _) => Some(key),
            Fate::Failed(_) => None,
        }
    }

    /// What the row holds in memory until it is committed, about.
    pub fn bytes(&self) -> usize {
        match self {
            // The record is in the disclosures too.
            Fate::Commit(proposal) => proposal.statement.len() + 2 * proposal.disclosures.len(),
            _ => 0,
        }
    }
}

/// Rows of one window that follow one another: mostly the whole window.
pub(super) struct Piece {
    pub rows: Vec<Prepared>,
    pub is_first: bool,
    is_last: bool,
}

/// Reads the upload window by window, prepares the windows in lanes beside one another, and hands them on in their order.
///
/// ```text
/// reader -> lane 0: windows 0, 2, 4, ... \
///        -> lane 1: windows 1, 3, 5, ... -> take: 0, 1, 2, 3, ...
/// ```
///
/// Each channel holds one window or piece, so memory is bounded by a few of them a lane. Who ends early drops its
/// channels, and all others end with it.
pub(super) fn in_lanes(
    services: &Services,
    job: &Job,
    mut rows: Rows,
    shape: Option<&Shape>,
    mut take: impl FnMut(Piece) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let lanes = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(MOST_LANES);
    std::thread::scope(|scope| {
        let (mut entries, mut exits) = (Vec::with_capacity(lanes), Vec::with_capacity(lanes));
        for _ in 0..lanes {
            let (entry, windows) = bounded::<Vec<Line>>(1);
            let (prepared, exit) = bounded::<Piece>(1);
            entries.push(entry);
            exits.push(exit);
            let lane = move || windows.into_iter().all(|window| prepare(services, job, shape, window, &prepared));
            std::thread::Builder::new().name("import-sign".to_owned()).spawn_scoped(scope, lane)?;
        }
        let reader = move || read_windows(services, job, &mut rows, &entries);
        let reader = std::thread::Builder::new().name("import-read".to_owned()).spawn_scoped(scope, reader)?;
        let mut taken = Ok(());
        'windows: for exit in exits.iter().cycle() {
            loop {
                // A lane that has ended is one that the reader gave no window to: the file is at its end.
                let Ok(piece) = exit.recv() else { break 'windows };
                let is_last = piece.is_last;
                taken = take(piece).and_then(|()| few_errors(services, job));
                if taken.is_err() {
                    break 'windows;
                }
                if is_last {
                    break;
                }
            }
        }
        drop(exits);
        let read = reader.join().unwrap_or_else(|_| Err(internal("the reading thread panicked")));
        taken.and(read)
    })
}

/// A job whose rows are nearly all wrong would fill the disk with saying so.
pub(super) fn few_errors(services: &Services, job: &Job) -> Result<(), Failed> {
    let limit = services.settings.import_error_bytes;
    if job.noted_bytes.load(Ordering::Relaxed) <= limit {
        return Ok(());
    }
    Err(failed(
        "import_too_many_errors",
        Text::new(
            format!(
                "被拒的行已超过 {limit} 字节（import.error_bytes）：请核对文件与映射，改正后用 on_conflict=skip 重新导入"
            ),
            format!(
                "the rejected rows have more than {limit} bytes (import.error_bytes): look through file and mapping, then import again with on_conflict=skip"
            ),
        ),
    ))
}

fn read_windows(services: &Services, job: &Job, rows: &mut Rows, entries: &[Sender<Vec<Line>>]) -> Result<(), Failed> {
    for entry in entries.iter().cycle() {
        if let Some(needed_bytes) = (services.store.room())() {
            // Also rows that are only noted as wrong take room.
            return Err(stopped_by(job, &Refusal::Full { needed_bytes }));
        }
        let window = rows.window()?;
        job.total.fetch_add(window.len() as u64, Ordering::Relaxed);
        if window.is_empty() || entry.send(window).is_err() {
            break;
        }
    }
    Ok(())
}

/// Rows after which a lane offers its core to whoever waits for it, about a third of a millisecond: the kernel takes it by
/// itself only at its next tick, which may be 4 ms away (docs/decisions.md, "Beside an import").
const ROWS_A_BREATH: usize = 8;

/// Reads, decides and signs a window's rows, and hands them on in pieces; whether anybody still takes them.
fn prepare(services: &Services, job: &Job, shape: Option<&Shape>, window: Vec<Line>, out: &Sender<Piece>) -> bool {
    let now = Timestamp::now();
    let mut names: HashSet<CanonicalKey> = HashSet::with_capacity(window.len());
    let (mut rows, mut bytes, mut is_first) = (Vec::with_capacity(window.len()), 0, true);
    for mut line in window {
        if bytes >= PIECE_BYTES {
            let piece = Piece { rows: std::mem::take(&mut rows), is_first, is_last: false };
            if out.send(piece).is_err() {
                return false;
            }
            (bytes, is_first) = (0, false);
        }
        let fate = match services.wanted(&mut line, shape, &job.start, now) {
            Err(fault) => Fate::Failed(fault),
            Ok(wanted) if !names.insert(wanted.key().clone()) => Fate::Later(wanted.key().clone()),
            Ok(wanted) if may_guess(job, &wanted) => match services.decide_new_row(wanted, job.author()) {
                Ok(proposal) => job.row(proposal),
                // What would be wrong with a new one may be no matter for what stands there.
                Err(_) => again(services, job, shape, &mut line),
            },
            Ok(wanted) => decided(services, job, wanted),
        };
        bytes += fate.bytes();
        rows.push(Prepared { line, fate });
        if rows.len() % ROWS_A_BREATH == 0 {
            std::thread::yield_now();
        }
    }
    out.send(Piece { rows, is_first, is_last: true }).is_ok()
}

/// Rows in succession that nothing stood for, after which nothing is looked for any more.
const NEW_GROUND: u64 = 4096;

/// How many rows in succession were new. Most files bring new names only, and looking each up costs a twelfth of the job.
#[derive(Default)]
pub(super) struct NewGround(AtomicU64);

impl NewGround {
    /// What was looked up: whether something stood there.
    pub fn saw(&self, something: bool) {
        match something {
            true => self.0.store(0, Ordering::Relaxed),
            false => drop(self.0.fetch_add(1, Ordering::Relaxed)),
        }
    }

    fn is_here(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= NEW_GROUND
    }
}

/// Whether a row is signed for a name that is taken for new without a look, where the rows before were: the commit finds out
/// where it is not. A dry run and an atomic job never get there, or not in time. A row that bears aliases must take them
/// before the rows behind it do, so it is never guessed.
fn may_guess(job: &Job, wanted: &Wanted) -> bool {
    wanted.is_whole()
        && wanted.draft.aliases.is_empty()
        && !job.start.dry_run
        && !job.start.atomic
        && job.new_ground.is_here()
}

/// Reads a line again, decides what it says by what stands there now, and signs it.
pub(super) fn again(services: &Services, job: &Job, shape: Option<&Shape>, line: &mut Line) -> Fate {
    match services.wanted(line, shape, &job.start, Timestamp::now()) {
        Ok(wanted) => decided(services, job, wanted),
        Err(fault) => Fate::Failed(fault),
    }
}

/// Decides and signs a row by what stands there now.
fn decided(services: &Services, job: &Job, wanted: Wanted) -> Fate {
    let decision = services.standing(wanted.key()).and_then(|standing| {
        job.new_ground.saw(standing.is_some());
        services.decide_row(&wanted, standing, &job.start, job.author())
    });
    let key = || wanted.key().clone();
    match decision {
        Ok(Decision::Register(proposal)) => job.row(proposal),
        Ok(Decision::Would(effect, bytes)) => Fate::Would(key(), effect, bytes),
        Ok(Decision::Skip) => Fate::Skipped(key()),
        Err(error) => Fate::Refused(key(), of_service(&error, &job.start)),
    }
}
