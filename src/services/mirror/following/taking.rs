//! One round's way from the follower to the pipeline: keys are learnt in order, the rest goes to all cores.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::super::check::Measure;
use super::super::disclosed::Disclosing;
use super::super::halt::{Fault, Halt};
use super::super::pipeline::{Pipeline, Told};
use super::super::recall;
use super::{Ending, Mirroring};
use crate::metrics::MirrorMetrics;
use crate::services::Services;
use crate::services::audit::keys::{Succession, is_about_keys};
use crate::services::follow::{Batch, FollowError};
use crate::sign::jws;
use crate::sign::statement::KeysStatement;
use crate::store::trees::Tree;
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::hash::Hash;
use crate::tlog::note::Note;

/// What the committing thread counts.
pub(super) struct Counts {
    pub metrics: MirrorMetrics,
    /// Entries without what they hide, by leaf: index, and heads since.
    pub unexplained: Mutex<HashMap<Hash, (u64, u32)>>,
}

impl Counts {
    pub fn of(metrics: MirrorMetrics) -> Counts {
        Counts { metrics, unexplained: Mutex::default() }
    }
}

impl Told for Counts {
    fn committed(&self, statements: usize) {
        self.metrics.applied(statements as u64);
    }

    fn unexplained(&self, leaf: Hash, index: u64) {
        self.unexplained.lock().insert(leaf, (index, 0));
    }

    fn explained(&self, leaf: &Hash) {
        self.unexplained.lock().remove(leaf);
    }
}

/// The issuer that the log began with; empty before its first statement.
pub(super) fn issuer(services: &Services) -> Result<String, Halt> {
    let reader = services.store.trees().reader(Tree::Registry);
    let Some(place) = reader.place(0).map_err(|error| Halt::Own(error.to_string()))? else {
        return Ok(String::new());
    };
    let (_, statement) = services.store.statement(place).map_err(|error| Halt::Own(error.to_string()))?;
    stated_issuer(&statement).ok_or_else(|| Halt::Own("the first statement does not read".to_owned()))
}

fn stated_issuer(statement: &[u8]) -> Option<String> {
    let payload = jws::payload_of(statement).ok()?;
    serde_json::from_slice::<KeysStatement>(&payload).ok().map(|statement| statement.iss)
}

/// The size that a head states.
fn size_of(head: &[u8]) -> u64 {
    let checkpoint = Note::parse_bytes(head).ok().and_then(|note| Checkpoint::of_note(&note).ok());
    checkpoint.map_or(0, |checkpoint| checkpoint.size)
}

/// One round's way from the follower to the pipeline.
pub(super) struct Taking {
    services: Arc<Services>,
    source: Arc<Disclosing>,
    counts: Arc<Counts>,
    ending: Arc<Ending>,
    pub keys: Arc<Succession>,
    pub issuer: Arc<str>,
    is_granted: bool,
    pub pipeline: Option<Pipeline>,
    pub halt: Option<Halt>,
}

impl Taking {
    pub fn of(mirroring: &Mirroring) -> Taking {
        Taking {
            services: Arc::clone(&mirroring.services),
            source: Arc::clone(&mirroring.source),
            counts: Arc::clone(&mirroring.counts),
            ending: Arc::clone(&mirroring.ending),
            keys: Arc::clone(&mirroring.keys),
            issuer: Arc::clone(&mirroring.issuer),
            is_granted: mirroring.order.granted.is_some(),
            pipeline: None,
            halt: None,
        }
    }

    pub fn take(&mut self, batch: Batch) -> Result<(), FollowError> {
        self.put(batch).map_err(|halt| {
            let text = halt.text();
            self.halt = Some(halt);
            FollowError::Stopped(text)
        })
    }

    fn put(&mut self, batch: Batch) -> Result<(), Halt> {
        if self.ending.is_over.load(Ordering::Acquire) {
            return Err(Halt::Over);
        }
        if batch.entries.is_empty() {
            return Ok(());
        }
        if self.pipeline.is_none() {
            let shown = self.source.head();
            recall::keep_seen(&self.services.settings.data_folder, &shown)?;
            self.counts.metrics.lags(size_of(&shown).saturating_sub(batch.first));
            let told: Arc<dyn Told> = Arc::clone(&self.counts) as _;
            let started = Pipeline::start(&self.services, &told);
            self.pipeline = Some(started.map_err(|error| Halt::Own(format!("no thread: {error}")))?);
        }
        self.learn_keys(&batch)?;
        let hidden = self.source.take(batch.first, batch.entries.len());
        let by = Measure {
            keys: Arc::clone(&self.keys),
            issuer: Arc::clone(&self.issuer),
            prefixes: Arc::clone(&self.services.prefixes),
            is_granted: self.is_granted,
        };
        self.pipeline.as_mut().map_or(Err(Halt::Over), |pipeline| pipeline.put(batch, hidden, by))
    }

    /// Keys sign what comes after them, perhaps in this very bundle.
    fn learn_keys(&mut self, batch: &Batch) -> Result<(), Halt> {
        for (index, _, entry) in batch.iter().filter(|(_, _, entry)| is_about_keys(entry)) {
            if index == 0 {
                self.issuer = Arc::from(stated_issuer(entry).unwrap_or_default().as_str());
            }
            // Before the keys are copied for the bundles behind this one.
            let judged = self.keys.judge(index, entry);
            let cause = |fault| format!("what it says of keys is not authorised: {fault:?}");
            let key = judged.map_err(|fault| Halt::Fault(Fault { index, cause: cause(fault), is_signed: true }))?;
            Arc::make_mut(&mut self.keys).push(key);
        }
        Ok(())
    }
}
