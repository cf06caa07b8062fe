//! Wiring: the only file that knows every stage. Opens a node from its configuration and fills the small traits by which a
//! lower stage reaches an upper one.

pub mod dev;
mod dev_certificate;
pub mod housekeeping;
pub mod mirror_once;
pub mod open_files;
pub mod operator;
pub mod serve;
mod service_manager;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use self::operator::{Operator, Process};
use crate::codec::rows::StrictRows;
use crate::codec::table::Tables;
use crate::config::{Config, Engine};
use crate::metrics::Metrics;
use crate::model::draft::DraftLimits;
use crate::model::prefix::{PrefixError, Prefixes};
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::observe::otlp::{self, Sending};
use crate::observe::traces::Traces;
use crate::services::import::OldImports;
use crate::services::log::{Log, LogSigner};
use crate::services::mirror::{Following, Mirror, Order, OrderError, Stated};
use crate::services::origin::{origin, settle_restore};
use crate::services::publish::Publisher;
use crate::services::signing_keys::{SettleError, settle_keys};
use crate::services::witnesses::Witnesses;
use crate::services::{Duty, EncodeResolution, Parts, ServiceSettings, Services, Signing};
use crate::sign::StatementReader;
use crate::sign::blinding::Blinding;
use crate::sign::keys::{KeyError, KeyFolder, KeyUse, SECRET_FILE};
use crate::sign::sealing::Sealing;
use crate::store::backup::load_last;
use crate::store::cache::AnswerCache;
use crate::store::doctor::is_store;
use crate::store::journal::Tail;
use crate::store::restored::Restored;
use crate::store::{
    ColdOptions, Commit, EngineChoice, Fatal, FolderLock, GroupLimits, Observer, OpenError, Opened, Store, StoreOptions,
};
use crate::tlog::note::NoteError;

/// What a cached answer is assumed to have when the cache's table is laid out.
const EXPECTED_ANSWER_BYTES: u64 = 700;

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{action} {path}: {source}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(transparent)]
    Prefix(#[from] PrefixError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Store(#[from] OpenError),
    #[error(transparent)]
    Settle(#[from] SettleError),
    #[error("the name of the log: {0}")]
    Origin(#[from] NoteError),
    #[error("the thread that signs heads of the log: {0}")]
    Publisher(io::Error),
    #[error(transparent)]
    Mirror(#[from] OrderError),
    #[error("{0} is the data folder of a mirror")]
    IsMirror(PathBuf),
    #[error("the sender of spans: {0}")]
    Traces(io::Error),
}

impl StartError {
    #[must_use]
    pub fn text(&self) -> Text {
        match self {
            Self::Io { path, source, .. } => {
                let (path, reason) = (path.display(), Text::of_io(source));
                Text::new(
                    format!("{path} 读写失败：{}。请核对属主与权限，或用 --data 换一个数据目录", reason.zh),
                    format!("{self}; check owner and permissions, or name another data folder with --data"),
                )
            }
            Self::Prefix(error) => Text::new(format!("配置的前缀不可用：{error}"), error.to_string()),
            Self::Key(error) => error.text(),
            Self::Store(error) => error.text(),
            Self::Settle(error) => error.text(),
            Self::Origin(error) => Text::new(
                format!("日志的名称（node.iss）不可用：{}", error.text().zh),
                format!("{self}: it is node.iss unless the log was given another name"),
            ),
            Self::Mirror(error) => error.text(),
            Self::IsMirror(path) => Text::new(
                format!(
                    "{} 是镜像的数据目录，不能在其上登记：请用 mingpai mirror 启动，或用 --data 换一个目录",
                    path.display()
                ),
                format!(
                    "{self}, where nothing is registered: start it with `mingpai mirror`, or name another with --data"
                ),
            ),
            Self::Publisher(error) => Text::new(
                format!("签发检查点的线程无法启动：{}", Text::of_io(error).zh),
                format!("{self}; check the limit of processes (ulimit -u)"),
            ),
            Self::Traces(error) => Text::new(
                format!("链路追踪的发送线程无法启动：{}。可先清空 traces.endpoint", Text::of_io(error).zh),
                format!("{self}; empty traces.endpoint to start without"),
            ),
        }
    }
}

/// An open node: everything but the sockets.
pub struct Node {
    pub services: Arc<Services>,
    pub metrics: Arc<Metrics>,
    /// What opening the store found and did.
    pub opened: Opened,
    pub traces: Traces,
    /// Signs heads of the log, until dropped.
    pub publisher: Option<Publisher>,
    /// Follows the origin of a mirror, until dropped.
    pub following: Option<Following>,
    /// Sends what is traced, until dropped.
    pub sending: Option<Sending>,
}

impl Node {
    /// Opens keys, store and services in the data folder.
    pub async fn open(
        config: &Config,
        encoder: Arc<dyn EncodeResolution>,
        fatal: Arc<dyn Fatal>,
    ) -> Result<Node, StartError> {
        Node::open_in(Process::default(), config, encoder, fatal).await
    }

    /// The same in a process that lends it a log, a certificate and the sources of its configuration.
    pub async fn open_in(
        process: Process,
        config: &Config,
        encoder: Arc<dyn EncodeResolution>,
        fatal: Arc<dyn Fatal>,
    ) -> Result<Node, StartError> {
        let order = process.mirror.clone();
        make_private_folder(&config.node.data)?;
        // Nothing is written before the folder is this process's own: a start that is refused must leave a mirror's policy alone.
        let lock = FolderLock::take(&config.node.data)?;
        settle_folder(&config.node.data, order.as_ref())?;
        let prefixes = Arc::new(Prefixes::new(config.prefixes.clone())?);
        let cache = Arc::new(AnswerCache::new(
            config.cache.budget_bytes,
            config.cache.negative_share_percent,
            EXPECTED_ANSWER_BYTES,
        ));
        let metrics = Arc::new(Metrics::new());
        let (traces, sending) = otlp::start(config, &metrics.traces).map_err(StartError::Traces)?;
        if traces.is_on() {
            metrics.attention.watch_every();
        }
        let operator =
            Arc::new(Operator::new(config, process, (Arc::clone(&metrics), traces.clone()), Arc::clone(&cache)));
        let observer = Arc::new(NodeObserver { cache: Arc::clone(&cache), metrics: Arc::clone(&metrics) });
        // A mirror has none, and a folder without its secret is found before the store is touched.
        let keys = order.is_none().then(|| open_keys(&config.node.data)).transpose()?;
        let (store, opened) = open_store(lock, config, &prefixes, observer, &metrics, fatal)?;
        let (duty, signer) = match (keys, &order) {
            (Some(keys), _) => signing(&store, keys, config).await?,
            (None, Some(order)) => mirroring(order, &config.node.data)?,
            (None, None) => return Err(StartError::IsMirror(config.node.data.clone())),
        };
        let services = Arc::new(Services::new(Parts {
            store,
            cache,
            log: Log::new(signer),
            settings: service_settings(config, Arc::clone(&prefixes)),
            prefixes,
            duty,
            encoder,
            row_reader: Arc::new(StrictRows { depth: as_usize(config.limits.json_depth) }),
            table_reader: Arc::new(Tables::of(&config.limits)),
            operator,
        }));
        let mut node = Node { services, metrics, opened, traces, publisher: None, following: None, sending };
        match order {
            Some(order) if order.is_followed => {
                let metrics = node.metrics.mirror.of(&order.origin);
                let following = Following::start(&node.services, metrics, order).map_err(StartError::Publisher)?;
                node.following = Some(following);
            }
            Some(_) => {}
            None => {
                node.services.take_up_allocations().map_err(SettleError::from)?;
                node.services.take_up_grants().map_err(SettleError::from)?;
                take_up_imports(&node.services, &config.node.data)?;
                let witnesses =
                    Witnesses::new(&config.witnesses, node.metrics.witnesses.clone()).map_err(StartError::Publisher)?;
                let publisher = Publisher::start(&node.services, node.metrics.log.clone(), witnesses);
                node.publisher = Some(publisher.map_err(StartError::Publisher)?);
            }
        }
        Ok(node)
    }
}

/// The folder of a node that registers, or of this mirror; never the one for the other.
fn settle_folder(data: &Path, order: Option<&Order>) -> Result<(), StartError> {
    match order {
        Some(order) => Ok(Stated::of(order).settle(data)?),
        None if Stated::read(data)?.is_some() => Err(StartError::IsMirror(data.to_owned())),
        None => Ok(()),
    }
}

fn open_keys(data: &Path) -> Result<KeyFolder, StartError> {
    let secret = data.join("keys").join(SECRET_FILE);
    if is_store(data) && !secret.exists() {
        return Err(KeyError::SecretMissing(secret).into());
    }
    Ok(KeyFolder::open(&data.join("keys"), Timestamp::now().as_seconds())?)
}

fn open_store(
    lock: FolderLock,
    config: &Config,
    prefixes: &Arc<Prefixes>,
    observer: Arc<NodeObserver>,
    metrics: &Metrics,
    fatal: Arc<dyn Fatal>,
) -> Result<(Store, Opened), StartError> {
    let statements = Arc::new(StatementReader { prefixes: Arc::clone(prefixes) });
    let (store, opened) = Store::open_held(lock, &store_options(config), statements, observer, fatal)?;
    metrics.node.disk_reserve_bytes.set(config.store.reserve_bytes);
    metrics.node.start_timestamp_seconds.set(Timestamp::now().as_seconds().unsigned_abs());
    metrics.records.in_memory.set(u64::from(opened.in_memory));
    metrics.records.opened(opened.kind(), opened.seconds);
    let is_undecided = store.restored().is_some_and(Restored::is_undecided);
    metrics.backup.restored_undecided.set(u64::from(is_undecided));
    if let Some(last) = load_last(&config.node.data) {
        metrics.backup.set(last.time.as_seconds(), last.sequence, last.bytes);
    }
    Ok((store, opened))
}

/// What a node that registers signs with, once its log has heard of it.
async fn signing(store: &Store, mut keys: KeyFolder, config: &Config) -> Result<(Duty, LogSigner), StartError> {
    let issuer = &config.node.iss;
    // Before anything else is written: the log goes on with it, or not at all.
    settle_restore(store, &keys, issuer).await?;
    let key = settle_keys(store, &mut keys, issuer).await?;
    let origin = origin(store, issuer).map_err(SettleError::from)?;
    let signer = LogSigner::new(keys.take_all(KeyUse::Checkpoint), &origin)?;
    let sealing = Sealing::new(keys.secret()).ok_or(KeyError::NoRandomness)?;
    let signing = Signing { key, issuer: issuer.clone(), blinding: Blinding::new(*keys.secret()), sealing };
    Ok((Duty::Signs(Box::new(signing)), signer))
}

fn mirroring(order: &Order, data: &Path) -> Result<(Duty, LogSigner), StartError> {
    Ok((
        Duty::Mirrors(Mirror::open(&order.url, order.granted.is_some(), data)?),
        LogSigner::of_others(order.keys(), &order.origin),
    ))
}

/// Goes on with the imports that the last stop cut short.
fn take_up_imports(services: &Arc<Services>, data: &Path) -> Result<(), StartError> {
    let found = services.take_up_imports().map_err(|source| StartError::Io {
        action: "look through the jobs in",
        path: data.join("imports"),
        source,
    })?;
    if found.resumed > 0 {
        tracing::info!(jobs = found.resumed, "imports that the last stop cut short go on where they were");
    }
    if found.closed > 0 {
        tracing::warn!(
            jobs = found.closed,
            "imports that the last stop cut short are marked as failed; import again with on_conflict=skip"
        );
    }
    housekeeping::look_through_imports(services, &mut OldImports::default());
    Ok(())
}

/// The store's options from the configuration.
pub fn store_options(config: &Config) -> StoreOptions {
    StoreOptions {
        folder: config.node.data.clone(),
        engine: match config.store.engine {
            Engine::Sled => EngineChoice::Sled { budget_bytes: config.store.sled_budget_bytes },
            Engine::Memory => EngineChoice::Memory,
        },
        segment_bytes: config.store.segment_bytes,
        group: GroupLimits { frames: as_usize(config.store.group_entries), bytes: as_usize(config.store.group_bytes) },
        queue_entries: as_usize(config.store.queue_entries),
        checkpoint_interval: Duration::from_secs(config.store.checkpoint_seconds),
        snapshot_frames: config.store.snapshot_changes,
        reserve_bytes: config.store.reserve_bytes,
        cold: (!config.store.cold.as_os_str().is_empty()).then(|| ColdOptions {
            folder: config.store.cold.clone(),
            after_segments: config.store.cold_after_segments,
        }),
    }
}

fn service_settings(config: &Config, prefixes: Arc<Prefixes>) -> ServiceSettings {
    ServiceSettings {
        draft_limits: DraftLimits { prefixes, ..DraftLimits::default() },
        max_age_seconds: u32::try_from(config.cache.max_age_seconds).unwrap_or(u32::MAX),
        negative_seconds: u32::try_from(config.cache.negative_seconds).unwrap_or(u32::MAX),
        data_folder: config.node.data.clone(),
        imports_folder: config.node.data.join("imports"),
        line_bytes: as_usize(config.limits.line_bytes),
        import_bytes: config.limits.import_bytes,
        workbook_bytes: config.limits.xlsx_bytes,
        workbook_unpacked_bytes: config.limits.xlsx_unpacked_bytes,
        json_depth: as_usize(config.limits.json_depth),
        parallel_imports: as_usize(config.import.jobs),
        import_keep_days: config.import.keep_days,
        filing_approvals: config.filing.approvals,
        import_error_bytes: config.import.error_bytes,
    }
}

fn as_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn make_private_folder(folder: &std::path::Path) -> Result<(), StartError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|source| StartError::Io {
        action: "make the data folder",
        path: folder.to_owned(),
        source,
    })
}

/// Tells the cache and the counters of every commit.
struct NodeObserver {
    cache: Arc<AnswerCache>,
    metrics: Arc<Metrics>,
}

impl Observer for NodeObserver {
    fn changed(&self, name: &str) {
        self.cache.changed(name);
    }

    fn standings_changed(&self) {
        // Aliases of any scheme may answer for a prefix's records.
        self.cache.purge_all();
    }

    fn committed(&self, commit: &Commit, tail: Tail) {
        let journal = &self.metrics.journal;
        journal.sequence.set(tail.sequence);
        journal.group_entries.observe(commit.frames as f64);
        journal.group_bytes.observe(commit.bytes as f64);
        journal.sync_seconds.observe(commit.durable.as_secs_f64());
        self.metrics.records.applied_sequence.set(tail.sequence);
    }
}

/// Ends the process: after a failed fsync nothing may be acknowledged, and the next start finds out what is durable.
pub struct EndProcess;

impl Fatal for EndProcess {
    fn failed(&self, cause: &str) {
        tracing::error!(
            cause,
            "the storage failed: the process ends before anything is acknowledged; start it again when the disk is well"
        );
        std::process::exit(3);
    }
}
