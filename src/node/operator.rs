//! What can be changed of a running node: the log, the share of traced requests, the cache's budget, the certificate. A reload is judged whole
//! before any of it is taken.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::accept::Certificates;
use crate::config::{CACHE_BUDGET, Change, Config, ConfigError, LogSpec};
use crate::metrics::Metrics;
use crate::observe::log::Filter;
use crate::observe::traces::Traces;
use crate::services::mirror::Order;
use crate::services::operate::{ChangeLog, Operate, Reloaded};
use crate::store::cache::AnswerCache;

/// Reads the sources of the configuration once more.
pub type ReadAgain = Arc<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// What the process lends a node. By default nothing: then a reload finds the configuration that the node was opened with.
#[derive(Clone, Default)]
pub struct Process {
    pub read_again: Option<ReadAgain>,
    pub filter: Filter,
    pub certificates: Option<Arc<Certificates>>,
    /// What is mirrored; none: the node registers.
    pub mirror: Option<Order>,
}

pub(super) struct Operator {
    process: Process,
    /// What the node was started with: the measure of what waits for a restart.
    started: Config,
    /// The same with what was changed since. Held through a change, so that two do not mix.
    running: Mutex<Config>,
    metrics: Arc<Metrics>,
    traces: Traces,
    cache: Arc<AnswerCache>,
}

impl Operator {
    pub(super) fn new(
        config: &Config,
        process: Process,
        (metrics, traces): (Arc<Metrics>, Traces),
        cache: Arc<AnswerCache>,
    ) -> Self {
        metrics.attention.set(&config.log);
        Self { process, started: config.clone(), running: Mutex::new(config.clone()), metrics, traces, cache }
    }

    /// From here on nothing fails.
    fn take(&self, running: &mut Config, wanted: &Config) {
        if running.log.filter != wanted.log.filter {
            self.process.filter.set(&wanted.log.filter);
        }
        self.metrics.attention.set(&wanted.log);
        self.traces.set_share(wanted.traces.sample_per_million);
        *running = running.with_live_of(wanted);
    }

    fn read_again(&self) -> Result<Config, ConfigError> {
        self.process.read_again.as_ref().map_or_else(|| Ok(self.started.clone()), |read| read())
    }

    fn judged_reload(&self) -> Result<Reloaded, ConfigError> {
        let mut running = self.running.lock();
        let wanted = self.read_again()?;
        let judged = match &self.process.certificates {
            None => None,
            Some(certificates) => {
                let of_pair = |error: crate::accept::PairError| wanted.fault(error.key(), error.text());
                Some((certificates, certificates.judge().map_err(of_pair)?))
            }
        };
        let (before, budget) = (running.cache.budget_bytes, wanted.cache.budget_bytes);
        // No cache becomes as small or as large as one likes while it answers.
        let is_resized = before == budget || self.cache.resize(budget);
        let is_taken = |change: &Change| change.is_live() && (is_resized || change.key != CACHE_BUDGET);
        let applied = running.changes_to(&wanted).into_iter().filter(is_taken).collect();
        let restart_needed = self.started.changes_to(&wanted).into_iter().filter(|change| !is_taken(change)).collect();
        let taken = if is_resized { wanted } else { wanted.with_cache_budget(before) };
        self.take(&mut running, &taken);
        let certificate = judged.map(|(certificates, judged)| {
            let is_new = judged.take();
            self.metrics.tls.set_expiry(certificates.expires().as_seconds());
            if is_new { "replaced" } else { "unchanged" }
        });
        Ok(Reloaded { applied, restart_needed, certificate })
    }
}

impl Operate for Operator {
    fn log(&self) -> LogSpec {
        self.running.lock().log.clone()
    }

    fn set_log(&self, change: &ChangeLog) -> Result<LogSpec, ConfigError> {
        let mut running = self.running.lock();
        let mut log = running.log.clone();
        log.filter = change.filter.clone().unwrap_or(log.filter);
        log.slow_microseconds = change.slow_microseconds.unwrap_or(log.slow_microseconds);
        log.requests = change.requests.unwrap_or(log.requests);
        let wanted = running.with_log(log)?;
        self.take(&mut running, &wanted);
        Ok(running.log.clone())
    }

    fn reload(&self) -> Result<Reloaded, ConfigError> {
        let reloaded = self.judged_reload();
        match &reloaded {
            Ok(reloaded) => tell(reloaded),
            Err(error) => tell_refusal(error),
        }
        reloaded
    }
}

fn tell(reloaded: &Reloaded) {
    for Change { key, from, to } in &reloaded.applied {
        tracing::info!(key, from, to, "changed by the configuration");
    }
    let waiting: Vec<&str> = reloaded.restart_needed.iter().map(|change| change.key.as_str()).collect();
    if !waiting.is_empty() {
        tracing::warn!(keys = waiting.join(" "), "changed in the configuration, and waits for a restart");
    }
    match reloaded.certificate {
        Some("replaced") => tracing::info!("new connections are shown the new certificate"),
        Some(_) => tracing::info!("the certificate is unchanged"),
        None => tracing::info!("there is no TLS, so no certificate to read"),
    }
    tracing::info!(applied = reloaded.applied.len(), waiting = waiting.len(), "the configuration was read again");
}

fn tell_refusal(error: &ConfigError) {
    for fault in &error.faults {
        if fault.key.starts_with("tls.") {
            let told = &fault.text;
            tracing::error!(
                error = format!("{} / {}", told.zh, told.en),
                "the new certificate cannot be used; the one before stays in use"
            );
        } else {
            tracing::error!(
                key = fault.key,
                place = fault.place,
                error = fault.text.en,
                "a fault in the configuration"
            );
        }
    }
    tracing::error!(
        faults = error.faults.len(),
        "the configuration was read again and cannot be used: nothing of it was taken; `mingpai check-config` judges it beforehand"
    );
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::config::Layers;
    use crate::store::cache::{Answer, ViewClass};

    const MIB: u64 = 1 << 20;

    fn config(mebibytes: u64) -> Config {
        let file = format!("node.iss = \"urn:x:1\"\n[cache]\nbudget_bytes = {}\n", mebibytes * MIB);
        Config::load(&Layers { file: Some(("m.toml".into(), file)), ..Layers::default() }).unwrap()
    }

    #[test]
    fn a_reload_gives_the_cache_its_new_budget_while_it_answers() {
        let budget = Arc::new(Mutex::new(4));
        let read_again: ReadAgain = {
            let budget = Arc::clone(&budget);
            Arc::new(move || Ok(config(*budget.lock())))
        };
        let process = Process { read_again: Some(read_again), ..Process::default() };
        let cache = Arc::new(AnswerCache::new(4 * MIB, 10, 500));
        let (metrics, traces) = (Arc::new(Metrics::new()), Traces::default());
        let operator = Operator::new(&config(4), process, (metrics, traces), Arc::clone(&cache));
        let answer = Answer { status: 200, body: Bytes::from(vec![b'a'; 500]), ..Answer::nothing(200, Bytes::new()) };
        // Asked for twice, so that each is worth its place.
        let fill = || {
            for name in (0..20_000).flat_map(|at| [at, at]).map(|at| format!("88.999.1/{at}")) {
                if cache.find(ViewClass::Public, &name, 0).is_none() {
                    let _ = cache.fill(cache.begin(&name), ViewClass::Public, &name, &answer);
                }
            }
            cache.bytes()
        };
        assert!((3 * MIB..=4 * MIB).contains(&fill()));
        for (mebibytes, held) in [(2, MIB..=2 * MIB), (16, 8 * MIB..=16 * MIB)] {
            *budget.lock() = mebibytes;
            let reloaded = operator.reload().unwrap();
            let keys: Vec<&str> = reloaded.applied.iter().map(|change| change.key.as_str()).collect();
            assert_eq!((keys.as_slice(), reloaded.restart_needed.len()), (&["cache.budget_bytes"] as &[&str], 0));
            assert!(cache.bytes() <= mebibytes * MIB && !cache.is_empty());
            assert!(held.contains(&fill()), "{mebibytes} MiB: {}", cache.bytes());
        }
        // The same once more changes nothing.
        let again = operator.reload().unwrap();
        assert!(again.applied.is_empty() && again.restart_needed.is_empty());
        // The counters of a cache of 4 MiB are too few for that; it is left as it is.
        *budget.lock() = 65;
        let refused = operator.reload().unwrap();
        assert_eq!((refused.applied.len(), refused.restart_needed.len()), (0, 1));
        assert_eq!(refused.restart_needed[0].key, CACHE_BUDGET);
        assert!((8 * MIB..=16 * MIB).contains(&fill()));
        *budget.lock() = 4;
        assert_eq!(operator.reload().unwrap().applied.len(), 1, "back to what it was opened with");
    }
}
