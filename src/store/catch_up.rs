//! The record store on its way to where the journal is: replay, self-check, and making it anew.
//!
//! After a power cut the record store is believed only if a scan of all its rows adds up to the totals in its mark (a set
//! hash); sled's own files prove nothing then. What does not add up is moved aside and made anew from the journal.

use std::sync::Arc;

use super::apply::{self, Applier, ApplyError, Known};
use super::checkpoint::{self, Checkpoint};
use super::engine::{Engine, EngineError, Mark, Table};
use super::engine_memory::MemoryEngine;
use super::home::{Home, open_or_stand_in, stand_in};
use super::journal::{Frame, FrameKind, Journal, Location, Start, Tail};
use super::medium::Medium;
use super::open::{OpenError, Opened};
use super::restored::Restored;
use super::rows::{REQUEST_SECONDS, RequestRow, row_hash};
use super::snapshot::{self, Layered, Rows};
use crate::model::time::Timestamp;

/// How many frames are applied at once during a replay.
const REPLAY_FRAMES: usize = 4096;
/// Nor more than these bytes of them: a record may have a mebibyte.
const REPLAY_BYTES: usize = 32 << 20;

/// A record store on its way to where the journal is.
pub(super) struct Opening {
    pub engine: Arc<Layered>,
    pub mark: Mark,
    known: bool,
    /// Where the snapshot was begun that the rows come from.
    warm: Option<Tail>,
    checkpoint: Option<Checkpoint>,
    /// Whether the writing process saw the very mount that we see: then the kernel has lost nothing of sled's files.
    same_mount: bool,
    /// What a restore has left beside the journal.
    pub restored: Option<Restored>,
    pub opened: Opened,
}

impl Opening {
    /// An empty record store, which the whole journal is replayed into.
    pub fn empty(home: &Home) -> Result<Opening, OpenError> {
        Ok(Opening::nowhere(home.open()?, Opened::default()))
    }

    fn nowhere(engine: Arc<dyn Engine>, opened: Opened) -> Opening {
        Opening {
            engine: Arc::new(Layered::alone(engine)),
            mark: Mark::default(),
            known: false,
            warm: None,
            checkpoint: None,
            same_mount: false,
            restored: None,
            opened,
        }
    }

    pub fn begin(medium: &dyn Medium, home: &Home, session: Option<String>) -> Result<Opening, OpenError> {
        let checkpoint = checkpoint::load(medium);
        let before = checkpoint.as_ref().and_then(|checkpoint| checkpoint.session.clone());
        let same_mount = session.is_some() && session == before;
        let is_clean = checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.clean);
        let durable = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.tail.sequence);
        // The power may have been cut: a snapshot that is soon replayed over is sooner believed than all of sled's files are
        // looked through. One that is not waits until they have failed.
        let left = if is_clean || same_mount || !snapshot::is_sooner_than_a_scan(medium, durable) {
            Some(Opening::as_left(medium, home)?)
        } else {
            None
        };
        let found = match left {
            Some(found) if found.known || found.opened.in_memory => found,
            unfit => match (snapshot::sound(medium, durable), unfit) {
                (Some((rows, mark)), unfit) => {
                    let rebuilt = unfit.and_then(|found| found.opened.rebuilt);
                    Opening::warm(home, rows, mark, rebuilt)?
                }
                (None, Some(found)) => found,
                (None, None) => Opening::as_left(medium, home)?,
            },
        };
        Ok(Opening { checkpoint, same_mount: same_mount && found.warm.is_none(), ..found })
    }

    /// The record store as its files are; an empty one where they do not open.
    fn as_left(medium: &dyn Medium, home: &Home) -> Result<Opening, OpenError> {
        let mut opened = Opened::default();
        match home.open().and_then(|engine| Layered::reopen(engine, medium)) {
            Ok((engine, mark)) => Ok(Opening {
                engine: Arc::new(engine),
                known: mark.is_some(),
                mark: mark.unwrap_or_default(),
                ..Opening::nowhere(Arc::new(MemoryEngine::default()), opened)
            }),
            Err(error) if error.is_full => {
                opened.in_memory = true;
                Ok(Opening::nowhere(stand_in(&error), opened))
            }
            Err(error) => {
                tracing::warn!(%error, "the record store does not open: moved aside, made anew from the journal");
                opened.rebuilt = Some(error.to_string());
                home.set_aside()?;
                let engine = open_or_stand_in(home, &mut opened)?;
                Ok(Opening::nowhere(engine, opened))
            }
        }
    }

    /// An empty record store above a sound snapshot. What sled has is of no more use, and takes room.
    fn warm(home: &Home, rows: Rows, mark: Mark, rebuilt: Option<String>) -> Result<Opening, OpenError> {
        home.remove()?;
        let mut opened = Opened { rebuilt, snapshot_rows: Some(rows.head.rows), ..Opened::default() };
        let engine = open_or_stand_in(home, &mut opened)?;
        let tail = rows.head.tail;
        let layered = match Layered::begin(engine, rows, &mark) {
            Err(error) if error.is_full => {
                opened.in_memory = true;
                return Ok(Opening::nowhere(stand_in(&error), Opened { snapshot_rows: None, ..opened }));
            }
            other => other?,
        };
        tracing::info!(sequence = tail.sequence, "the record store begins with its last snapshot");
        let nowhere = Opening::nowhere(Arc::new(MemoryEngine::default()), opened);
        Ok(Opening { engine: Arc::new(layered), mark, known: true, warm: Some(tail), ..nowhere })
    }

    /// Scanning may begin at the checkpoint; both it and the record store say what had been durable.
    pub fn start(&self) -> Start {
        let tail = self.checkpoint.as_ref().map(|checkpoint| checkpoint.tail);
        let durable_sequence = tail.map_or(0, |tail| tail.sequence).max(self.mark.sequence);
        let tail = self.warm.or(tail);
        // Without rows, or with rows older than the checkpoint, everything will be replayed, so everything is scanned.
        let near = self.known && tail.is_some_and(|tail| tail.sequence <= self.mark.sequence);
        Start { tail: tail.filter(|_| near), durable_sequence }
    }

    /// Brings the record store to where the journal is, or makes it anew; finishes erasures that were cut short.
    pub fn catch_up(
        &mut self,
        medium: &dyn Medium,
        home: &Home,
        applier: &Applier,
        journal: &Journal,
        mut from: Tail,
        erased: &[(u64, Location)],
    ) -> Result<(), OpenError> {
        let until = journal.tail();
        let clean = self.known
            && self.warm.is_none()
            && self.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.clean && checkpoint.tail == until)
            && self.mark.sequence == until.sequence;
        self.opened.clean = clean || (!self.known && until.sequence == 0);
        if clean {
            return Ok(());
        }
        let (mut erased, mut is_anew) = (erased.to_vec(), false);
        while let Err(difference) = self.follow_in_room(applier, journal, from, &erased)? {
            if is_anew || self.opened.in_memory {
                return Err(OpenError::SelfCheck(difference));
            }
            tracing::warn!(difference, "the record store is not what the journal says: it is made anew");
            let sound = if self.warm.is_some() {
                // Every block of it passed its checksum: it would fail again after every cut.
                snapshot::remove_others(medium, &[]);
                None
            } else {
                let durable = self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.tail.sequence);
                self.known.then(|| snapshot::sound(medium, durable)).flatten()
            };
            // The old files must be closed before their folder is moved.
            self.engine = Arc::new(Layered::alone(Arc::new(MemoryEngine::default())));
            let restored = self.restored.take();
            let next = match sound {
                Some((rows, mark)) => Opening::warm(home, rows, mark, Some(difference))?,
                None => {
                    home.set_aside()?;
                    let mut opened = Opened { rebuilt: Some(difference), ..Opened::default() };
                    Opening::nowhere(open_or_stand_in(home, &mut opened)?, opened)
                }
            };
            *self = Opening { restored, ..next };
            is_anew = self.warm.is_none();
            from = match self.warm {
                Some(begin) => {
                    erasures_between(applier, begin, from, &mut erased)?;
                    begin
                }
                None => applier.journal.start(),
            };
        }
        Ok(())
    }

    /// Follows, and where the disk has no room for that, once more in memory and from the start. A full disk says nothing
    /// against what is in the files.
    fn follow_in_room(
        &mut self,
        applier: &Applier,
        journal: &Journal,
        from: Tail,
        erased: &[(u64, Location)],
    ) -> Result<Result<(), String>, OpenError> {
        let full = match self.follow(applier, journal, from, erased) {
            Err(OpenError::Engine(error) | OpenError::Apply(ApplyError::Engine(error))) if error.is_full => error,
            other => return other,
        };
        self.engine = Arc::new(Layered::alone(stand_in(&full)));
        self.opened.in_memory = true;
        self.opened.snapshot_rows = None;
        self.warm = None;
        self.known = false;
        self.mark = Mark::default();
        self.follow(applier, journal, applier.journal.start(), erased)
    }

    /// Replays and checks. The inner error says why the record store is not to be believed.
    ///
    /// An erasure that the record store does not have yet needs what it erases, to know which rows go. One that it has,
    /// or a record store without any rows, does not: there the blanking comes first, so that no replay meets a blanking
    /// that was cut short, and nothing that is erased gets rows again.
    fn follow(
        &mut self,
        applier: &Applier,
        journal: &Journal,
        from: Tail,
        erased: &[(u64, Location)],
    ) -> Result<Result<(), String>, OpenError> {
        let applied = self.mark.sequence;
        self.opened.anew = applied == 0 && journal.tail().sequence > 0;
        let (known, news): (Vec<_>, Vec<_>) =
            erased.iter().partition(|(sequence, _)| applied == 0 || *sequence < applied);
        for (_, location) in &news {
            if !applier.journal.discloses(*location)? {
                return Ok(Err("it is older than an erasure that was carried out".to_owned()));
            }
        }
        self.blank(journal, known)?;
        match self.replay(applier, from, journal.tail()) {
            Err(OpenError::Apply(ApplyError::Engine(error))) if !error.is_full => return Ok(Err(error.to_string())),
            other => other?,
        }
        // A killed process leaves a prefix of its writes in sled (measured: docs/decisions.md), a power cut leaves anything.
        let only_killed = self.known && self.same_mount && from.sequence <= applied;
        if !only_killed && let Err(difference) = self.self_check()? {
            return Ok(Err(difference));
        }
        self.blank(journal, news)?;
        Ok(Ok(()))
    }

    /// Finishes blankings, once the record store is durable without what they take away.
    fn blank(&self, journal: &Journal, erased: Vec<(u64, Location)>) -> Result<(), OpenError> {
        if erased.is_empty() {
            return Ok(());
        }
        self.engine.persist()?;
        journal.blank(erased.into_iter().map(|(_, location)| location))?;
        Ok(())
    }

    /// Applies what the record store does not have yet.
    fn replay(&mut self, applier: &Applier, from: Tail, until: Tail) -> Result<(), OpenError> {
        let skip = self.mark.sequence;
        let (mut waiting, mut bytes) = (Vec::with_capacity(REPLAY_FRAMES), 0);
        applier.journal.replay::<ApplyError>(from, until, |frame| {
            if frame.sequence >= skip {
                bytes += frame.location.length as usize;
                waiting.push(frame);
            }
            if waiting.len() < REPLAY_FRAMES && bytes < REPLAY_BYTES {
                return Ok(());
            }
            bytes = 0;
            self.apply(applier, &mut waiting)
        })?;
        self.apply(applier, &mut waiting)?;
        Ok(())
    }

    fn apply(&mut self, applier: &Applier, frames: &mut Vec<Frame>) -> Result<(), ApplyError> {
        let Some(last) = frames.last() else {
            return Ok(());
        };
        let sequence = last.sequence + 1;
        // Decoding is most of the work and needs no order; the rows go in one after the other.
        let half = frames.len() / 2;
        let decode =
            |frames: &[Frame]| frames.iter().map(|frame| applier.changes(frame, Known::default())).collect::<Vec<_>>();
        let (first, second) = std::thread::scope(|scope| {
            let second = scope.spawn(|| decode(&frames[half..]));
            (decode(&frames[..half]), second.join())
        });
        let second = second.map_err(|_| ApplyError::Statement { sequence, cause: "decoding panicked".to_owned() })?;
        let forgotten = RequestRow::forgotten_hour(Timestamp::now().as_seconds());
        let mut all = Vec::with_capacity(frames.len() * 2);
        for changes in first.into_iter().chain(second) {
            let mut changes = changes?;
            // A request that is past would only be taken away again, and until then weigh down every mark.
            changes.retain(|change| {
                let made = change.new.as_deref().filter(|_| change.table == Table::Request);
                made.is_none_or(|row| RequestRow::hour(row) > forgotten)
            });
            apply::count(&mut self.mark, &changes);
            all.extend(changes);
        }
        self.mark.sequence = sequence;
        self.engine.write(&apply::writes(all), &self.mark)?;
        self.opened.replayed_frames += frames.len() as u64;
        frames.clear();
        Ok(())
    }

    /// Whether all rows together are what the mark says.
    pub fn self_check(&self) -> Result<Result<(), String>, EngineError> {
        compare(self.engine.as_ref(), &self.mark, Timestamp::now().as_seconds())
    }
}

/// Adds the erasures that stand before those which the opening of the journal has come upon: rows from before one of them
/// are not replayed over.
fn erasures_between(
    applier: &Applier,
    begin: Tail,
    until: Tail,
    erased: &mut Vec<(u64, Location)>,
) -> Result<(), ApplyError> {
    if begin.sequence >= until.sequence {
        return Ok(());
    }
    applier.journal.replay(begin, until, |frame| {
        if frame.kind == FrameKind::Erasure {
            erased.extend(frame.meta.previous.map(|location| (frame.sequence, location)));
        }
        Ok(())
    })
}

/// Compares a scan of all rows with the totals in a mark. The inner error says what differs, or that a row does not read.
pub(super) fn compare(engine: &dyn Engine, mark: &Mark, now: i64) -> Result<Result<(), String>, EngineError> {
    let mut found = Mark { sequence: mark.sequence, ..Mark::default() };
    let scanned = engine.each(&mut |table, key, value| {
        let hash = row_hash(table, key, value);
        if table == Table::Request {
            let sum = found.requests.entry(RequestRow::hour(value)).or_default();
            *sum = sum.wrapping_add(hash);
        } else {
            found.rows = found.rows.wrapping_add(hash);
            found.records += u64::from(table == Table::Record);
            found.erased += u64::from(table == Table::Erased);
            found.untagged_aliases += u64::from(table == Table::Alias && !apply::is_tagged(key));
        }
    });
    match scanned {
        Err(error) if error.is_full => return Err(error),
        Err(error) => return Ok(Err(error.to_string())),
        Ok(()) => {}
    }
    if found.records != mark.records {
        return Ok(Err(format!("{} records are there, {} should be", found.records, mark.records)));
    }
    if (found.erased, found.untagged_aliases) != (mark.erased, mark.untagged_aliases) {
        return Ok(Err("the counts of aliases and erasures are not those of the rows".to_owned()));
    }
    if found.rows != mark.rows {
        return Ok(Err("a row is missing, old or damaged".to_owned()));
    }
    // A clock that was set back must not bring hours back into the comparison whose rows were replaced by then.
    let newest = mark.requests.last_key_value().map_or(now, |(hour, _)| now.max(hour * 3600));
    let oldest = (newest - REQUEST_SECONDS).div_euclid(3600) + 1;
    let recent = |mark: &Mark| mark.requests.range(oldest..).map(|(hour, sum)| (*hour, *sum)).collect::<Vec<_>>();
    if recent(&found) != recent(mark) {
        return Ok(Err("an idempotency key is missing or damaged".to_owned()));
    }
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::apply::ReadStatement;
    use super::super::engine::{RowBytes, Visit, Write};
    use super::super::journal::{FrameContent, FrameKind, JournalError, Meta};
    use super::super::medium::Disk;
    use super::*;
    use crate::model::record::Record;

    /// Rows in memory, and a disk that has no room for one of the calls.
    #[derive(Default)]
    struct Tight {
        rows: MemoryEngine,
        full_at: &'static str,
        writes: AtomicUsize,
    }

    impl Tight {
        fn room(&self, action: &'static str) -> Result<(), EngineError> {
            let full = || EngineError { action, cause: "no space left on device".to_owned(), is_full: true };
            (self.full_at != action).then_some(()).ok_or_else(full)
        }
    }

    impl Engine for Tight {
        fn read(&self, table: Table, key: &[u8]) -> Result<Option<RowBytes>, EngineError> {
            self.rows.read(table, key)
        }
        fn scan(
            &self,
            table: Table,
            after: Option<&[u8]>,
            limit: usize,
        ) -> Result<Vec<(Vec<u8>, RowBytes)>, EngineError> {
            self.rows.scan(table, after, limit)
        }
        fn each(&self, visit: &mut Visit<'_>) -> Result<(), EngineError> {
            self.room("scan")?;
            self.rows.each(visit)
        }
        fn write(&self, rows: &[Write], mark: &Mark) -> Result<(), EngineError> {
            self.room("write")?;
            self.writes.fetch_add(1, Ordering::Relaxed);
            self.rows.write(rows, mark)
        }
        fn mark(&self) -> Result<Option<Mark>, EngineError> {
            self.rows.mark()
        }
        fn persist(&self) -> Result<(), EngineError> {
            self.room("flush")?;
            self.rows.persist()
        }
        fn disk_bytes(&self) -> u64 {
            0
        }
    }

    /// Every statement makes one row.
    struct OneRow;

    impl ReadStatement for OneRow {
        fn record(&self, _: &[u8], _: &[u8], _: &Meta) -> Result<Record, String> {
            Err("none".to_owned())
        }
        fn rows(&self, _: FrameKind, statement: &[u8], _: u64) -> Result<Vec<Write>, String> {
            Ok(vec![Write { table: Table::Key, key: statement.to_vec(), value: Some(Vec::new()) }])
        }
    }

    /// A journal with so many statements, each in a group of its own.
    fn journal(folder: &Path, statements: usize, disclosure_bytes: usize) -> Journal {
        let medium = Arc::new(Disk::open(&folder.join("journal")).unwrap());
        let mut journal = Journal::open(medium, 4 << 20, Start::default()).unwrap().journal;
        for at in 0..statements {
            let frame = FrameContent {
                kind: FrameKind::Statement,
                meta: Meta::plain(1, "").encode(),
                statement: at.to_le_bytes().to_vec(),
                disclosures: vec![1; disclosure_bytes],
                previous_in_group: None,
            };
            journal.append(&[frame]).unwrap();
        }
        journal
    }

    /// Where no snapshot is.
    fn empty(folder: &Path) -> Disk {
        Disk::open(&folder.join("empty")).unwrap()
    }

    #[test]
    fn a_disk_that_fills_up_on_the_way_says_nothing_against_the_record_store() {
        for full_at in ["write", "scan", "flush"] {
            let folder = tempfile::tempdir().unwrap();
            let records = folder.path().join("records");
            std::fs::create_dir(&records).unwrap();
            let home = Home::Sled { folder: records.clone(), budget_bytes: 0 };
            let journal = journal(folder.path(), 3, 10);
            let applier = Applier { statements: Arc::new(OneRow), journal: journal.reader() };
            let mut opening = Opening::empty(&Home::Memory).unwrap();
            opening.engine = Arc::new(Layered::alone(Arc::new(Tight { full_at, ..Tight::default() })));
            // An erasure whose blanking is done again, which is why the record store is made durable first.
            let start = applier.journal.start();
            let mut erased = Vec::new();
            applier
                .journal
                .replay::<JournalError>(start, journal.tail(), |frame| {
                    erased.push((frame.sequence, frame.location));
                    Ok(())
                })
                .unwrap();
            opening.catch_up(&empty(folder.path()), &home, &applier, &journal, start, &erased[..1]).unwrap();
            assert!(opening.opened.in_memory && opening.opened.rebuilt.is_none(), "{full_at}: {:?}", opening.opened);
            assert_eq!(opening.mark.sequence, 3, "{full_at}");
            assert_eq!(opening.engine.scan(Table::Key, None, 9).unwrap().len(), 3, "{full_at}");
            assert!(records.exists() && !folder.path().join("records.aside").exists(), "{full_at}");
        }
    }

    #[test]
    fn a_replay_holds_few_long_frames_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal(folder.path(), 70, 1 << 20);
        let applier = Applier { statements: Arc::new(OneRow), journal: journal.reader() };
        let (engine, mut opening) = (Arc::new(Tight::default()), Opening::empty(&Home::Memory).unwrap());
        opening.engine = Arc::new(Layered::alone(Arc::<Tight>::clone(&engine)));
        opening
            .catch_up(&empty(folder.path()), &Home::Memory, &applier, &journal, applier.journal.start(), &[])
            .unwrap();
        assert_eq!((opening.mark.sequence, engine.writes.load(Ordering::Relaxed)), (70, 3), "32 MiB at a time");
    }
}
