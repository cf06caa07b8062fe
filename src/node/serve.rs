//! From a configuration to a node that answers: open, bind, serve, drain, stop.

use std::future::Future;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use http_body_util::BodyExt;

use super::dev::{dev_token, load_demonstration};
use super::dev_certificate::{DevCertificateError, ca_file, dev_certificate};
use super::housekeeping::{INTERVAL, keep_house};
use super::open_files::OpenFiles;
use super::operator::Process;
use super::service_manager::ServiceManager;
use super::{EndProcess, Node, StartError};
use crate::accept::{
    Answerer, BindError, Bound, Certificates, Ending, Inbound, InboundError, Lifecycle, Outbound, PairFiles, Phase,
    Plain, Refresh, Refusal, Settings, bind, is_grpc, stop_on_signals,
};
use crate::codec::grpc::Grpc;
use crate::codec::http::{BodyFault, Desk, Hit, Http, PlainGet, Readiness};
use crate::codec::problem::Code;
use crate::codec::resolution::ResolutionJson;
use crate::config::{Config, ConfigError};
use crate::metrics::Transport;
use crate::model::text::Text;
use crate::services::ServiceError;
use crate::services::mirror::Mirror;
use crate::store;

/// Why a node does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Start(#[from] StartError),
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Certificate(#[from] ConfigError),
    #[error(transparent)]
    DevCertificate(#[from] DevCertificateError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("{}", .0.text())]
    Service(ServiceError),
    #[error("threads or signals: {0}")]
    Io(#[from] io::Error),
    /// `--dev` is for one's own machine: its data and its key are known.
    #[error("--dev listens on loopback only, and {0} is none: leave --dev out, or listen on 127.0.0.1 or [::1]")]
    DevOffLoopback(SocketAddr),
}

impl ServeError {
    /// What happened and what to do, for whoever starts the node.
    #[must_use]
    pub fn text(&self) -> Text {
        match self {
            Self::Start(error) => error.text(),
            Self::Certificate(error) => error.text(),
            Self::DevCertificate(error) => error.text(),
            Self::Bind(error) => error.text(),
            Self::Service(error) => error.text(),
            Self::Io(error) => Text::new(
                format!("线程或信号：{}。请检查进程数与文件数的限制（ulimit -u、-n）", Text::of_io(error).zh),
                format!("{self}; check the limits of processes and files (ulimit -u, -n)"),
            ),
            Self::DevOffLoopback(address) => Text::new(
                format!("--dev 只监听本机回环地址，而 {address} 不是：请去掉 --dev，或监听 127.0.0.1 或 [::1]"),
                self.to_string(),
            ),
        }
    }
}

impl From<ServiceError> for ServeError {
    fn from(error: ServiceError) -> ServeError {
        ServeError::Service(error)
    }
}

/// How long the service manager is asked to wait, each time, while the store is opened; it is asked again after half of it.
const OPENING_PATIENCE: Duration = Duration::from_secs(60);

/// Serves until a signal ends it. `announce` is told the URLs, once they answer; `process` need not name certificates.
pub fn serve(config: &Config, process: Process, announce: &mut dyn Write) -> Result<Ending, ServeError> {
    if config.node.dev
        && let Some(address) =
            config.http.listen.iter().chain(&config.tls.listen).find(|address| !address.ip().is_loopback())
    {
        return Err(ServeError::DevOffLoopback(*address));
    }
    OpenFiles::raise(config).log();
    // Bound first: an address in use is found before the store is touched.
    let certificates = open_certificates(config)?;
    let bound = bind(Settings::of(config, certificates.clone()))?;
    let lifecycle = Lifecycle::new();
    stop_on_signals(lifecycle.clone())?;
    let manager = ServiceManager::of_environment();
    // A closed terminal ends a demonstration, as it ends any program; a service is asked by the same signal to read again.
    let refresh = Refresh::start(certificates.clone(), lifecycle.clone(), !config.node.dev)?;
    let process = Process { certificates, ..process };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let Some(mut node) = runtime.block_on(open(config, process, &lifecycle, &manager))? else {
        tracing::info!("asked to stop while the store was opening: nothing was served, the next start opens it anew");
        return Ok(Ending::Drained);
    };
    tracing::info!(opened = ?node.opened, "the store is open");
    let token = runtime.block_on(first_credential(config, &node))?;
    let front = Arc::new(Front::new(config, &node, lifecycle.clone()));
    let housekeeping = keep_house(Arc::clone(&node.services), INTERVAL)?;
    let addresses = Addresses::of(&bound);
    let services = Arc::clone(&node.services);
    // What came of it stands in the log.
    refresh.begin(node.metrics.tls.clone(), Box::new(move || drop(services.operator.reload())));
    let running = bound.serve(front, lifecycle.clone(), Arc::clone(&node.metrics))?;
    lifecycle.set_ready();
    manager.ready();
    // Who reads the announcement may have gone; that is no reason not to serve.
    let is_mirror = node.services.mirror().is_some();
    let _ = announce_urls(announce, &addresses, token, config, is_mirror);
    manager.hear_the_stop(&lifecycle, runtime)?;
    let ending = running.wait()?;
    drop(housekeeping);
    node.services.save_key_uses();
    node.services.write_denials();
    node.services.write_grant_uses();
    // A last head, for what the last requests wrote.
    drop(node.publisher.take());
    drop(node.following.take());
    node.services.store.stop();
    drop(node.sending.take());
    Ok(ending)
}

/// Opens the node; `None` if it is to stop before it is open, for a replay may take long and a signal must not wait for it.
///
/// The thread that opens is left to itself then and ends with the process: a crash at any point of an opening is a case
/// that the next opening knows.
async fn open(
    config: &Config,
    process: Process,
    lifecycle: &Lifecycle,
    manager: &ServiceManager,
) -> Result<Option<Node>, ServeError> {
    let (opened, opening) = tokio::sync::oneshot::channel();
    let config = config.clone();
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let node = runtime.map_err(ServeError::from).and_then(|runtime| {
            let encoder = Arc::new(ResolutionJson);
            Ok(runtime.block_on(Node::open_in(process, &config, encoder, Arc::new(EndProcess)))?)
        });
        // Nobody waits for it any more: the node closes again, if there is time.
        drop(opened.send(node));
    };
    std::thread::Builder::new().name("open".to_owned()).spawn(work)?;
    let patience = async {
        loop {
            manager.opening(OPENING_PATIENCE);
            tokio::time::sleep(OPENING_PATIENCE / 2).await;
        }
    };
    tokio::select! {
        () = lifecycle.reached(Phase::LameDuck) => Ok(None),
        () = patience => Ok(None),
        node = opening => node.unwrap_or_else(|_| Err(io::Error::other("the opening panicked").into())).map(Some),
    }
}

/// What a newcomer signs in with.
struct FirstCredential {
    path: std::path::PathBuf,
    is_bootstrap: bool,
}

async fn first_credential(config: &Config, node: &Node) -> Result<Option<FirstCredential>, ServeError> {
    let data = &config.node.data;
    if node.services.mirror().is_some() {
        return Ok(Some(FirstCredential { path: Mirror::key_file(data), is_bootstrap: false }));
    }
    if config.node.dev {
        let path = match dev_token(&node.services, data).await {
            // A restored node makes no key before its operator has decided how its log goes on.
            Err(ServiceError::Refused(store::Refusal::Undecided)) => return Ok(None),
            path => path?,
        };
        match load_demonstration(&node.services).await {
            Ok(view) => tracing::info!(rows = ?view.rows, "demonstration data"),
            Err(error @ ServiceError::Refused(store::Refusal::Full { .. } | store::Refusal::Undecided)) => {
                tracing::warn!(cause = error.text().en, "demonstration data that is not there yet stays out");
            }
            Err(error) => return Err(error.into()),
        }
        return Ok(Some(FirstCredential { path, is_bootstrap: false }));
    }
    let path = node.services.put_bootstrap_out(data)?;
    Ok(path.map(|path| FirstCredential { path, is_bootstrap: true }))
}

/// The certificate that the configuration names, judged; or a throw-away one.
fn open_certificates(config: &Config) -> Result<Option<Arc<Certificates>>, ServeError> {
    let files = if config.tls.dev { Some(dev_certificate(&config.node.data)?) } else { PairFiles::of(config) };
    let opened = files.map(Certificates::open).transpose();
    let certificates = opened.map_err(|error| ConfigError::from(config.fault(error.key(), error.text())))?;
    Ok(certificates.map(Arc::new))
}

/// Where the node answers.
struct Addresses {
    cleartext: Vec<SocketAddr>,
    tls: Vec<SocketAddr>,
}

impl Addresses {
    fn of(bound: &Bound) -> Addresses {
        Addresses { cleartext: bound.addresses().to_vec(), tls: bound.tls_addresses().to_vec() }
    }

    /// What a command on this machine is told to ask: cleartext where there is some, since it is spoken over loopback
    /// and the address need not be in the certificate.
    fn own(&self, config: &Config) -> Option<String> {
        match (self.cleartext.first(), self.tls.first()) {
            (Some(address), _) => Some(format!("http://{address}")),
            (None, Some(address)) if config.tls.dev => Some(format!("https://{address}")),
            (None, Some(address)) => Some(format!("https://证书中的名称_NAME-IN-THE-CERTIFICATE:{}", address.port())),
            (None, None) => None,
        }
    }
}

fn announce_urls(
    out: &mut dyn Write,
    addresses: &Addresses,
    token: Option<FirstCredential>,
    config: &Config,
    is_mirror: bool,
) -> io::Result<()> {
    writeln!(out, "mingpai {} 已就绪 / ready", env!("CARGO_PKG_VERSION"))?;
    for address in &addresses.tls {
        writeln!(out, "  https://{address}/")?;
    }
    for address in &addresses.cleartext {
        writeln!(out, "  http://{address}/")?;
    }
    let Some(own) = addresses.own(config) else { return out.flush() };
    // A freshly built program stands in no folder of PATH.
    let program = std::env::current_exe().map_or_else(|_| "mingpai".to_owned(), |path| in_shell(&path));
    let ca = own.starts_with("https:").then(|| in_shell(&ca_file(&config.node.data))).filter(|_| config.tls.dev);
    if config.node.dev {
        let trust = ca.as_ref().map_or_else(String::new, |ca| format!("--cacert {ca} "));
        // The demonstration is a node's own: which names a mirror has is the origin's affair.
        let path = if is_mirror { "log/checkpoint" } else { "v1/resolve/88.999.1/NEV-VEH-2026-000003" };
        writeln!(out, "试一试 / try:\n  curl {trust}{own}/{path}")?;
    }
    if let Some(ca) = ca.as_ref().filter(|_| !is_mirror) {
        writeln!(
            out,
            "命令行 / the command line:\n  {program} resolve 88.999.1/NEV-VEH-2026-000003 --server {own} --ca-file {ca}"
        )?;
    }
    match token {
        Some(FirstCredential { path, is_bootstrap: true }) => writeln!(
            out,
            "首个管理员密钥（24 小时内，仅一次） / the first administrator's key (within 24 h, once):\n  \
             {program} token --server {own} --bootstrap-file {} --out admin-key",
            in_shell(&path)
        )?,
        Some(FirstCredential { path, is_bootstrap: false }) => {
            writeln!(out, "管理员密钥 / administrator's key: {}", path.display())?;
        }
        None => {}
    }
    out.flush()
}

/// A path as a shell takes it, whatever folder it stands in.
fn in_shell(path: &Path) -> String {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let text = whole.to_string_lossy();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+@%".contains(letter);
    if text.chars().all(is_plain) { text.into_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Between the sockets and the surfaces.
struct Front {
    http: Http,
    grpc: Grpc,
}

impl Front {
    fn new(config: &Config, node: &Node, lifecycle: Lifecycle) -> Front {
        let store = Arc::clone(&node.services);
        let ends = lifecycle.clone();
        let http = Http::new(Desk {
            proposing: Default::default(),
            document: Default::default(),
            services: Arc::clone(&node.services),
            metrics: Arc::clone(&node.metrics),
            limits: config.limits.clone(),
            traces: node.traces.clone(),
            readiness: Box::new(move || {
                if lifecycle.phase() != Phase::Serving {
                    Readiness::Stopping
                } else if lifecycle.is_ready() && !store.store.is_poisoned() && store.has_begun() {
                    Readiness::Ready
                } else {
                    Readiness::Starting
                }
            }),
        });
        let stopping = move || -> Pin<Box<dyn Future<Output = ()> + Send>> {
            let lifecycle = ends.clone();
            Box::pin(async move { lifecycle.reached(Phase::Draining).await })
        };
        let grpc = Grpc::new(http.desk(), Box::new(stopping), config.node.dev);
        Front { http, grpc }
    }
}

impl Answerer for Front {
    fn hot(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Response<Outbound>> {
        self.http.hot(method, uri, headers).map(|response| response.map(Outbound::Whole))
    }

    fn hot_bytes(&self, asked: &Plain<'_>, out: &mut Vec<u8>) -> Option<u16> {
        let Plain { is_head, path, headers, now, date, room } = *asked;
        self.http.hot_bytes(&PlainGet { is_head, path, headers, now, date, room }, out)
    }

    fn read_bytes(&self, asked: &Plain<'_>, out: &mut Vec<u8>) -> Option<u16> {
        let Plain { is_head, path, headers, now, date, room } = *asked;
        self.http.read_bytes(&PlainGet { is_head, path, headers, now, date, room }, out)
    }

    fn tell_hot(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        status: u16,
        transport: Transport,
        took: Duration,
    ) {
        self.http.tell_hit(&Hit { method, uri, headers, status, transport, took });
    }

    async fn answer(&self, request: Request<Inbound>) -> Response<Outbound> {
        if is_grpc(request.version(), request.headers()) {
            let bounds = self.grpc.bounds(request.uri());
            let request = request.map(|body| {
                let body = body.with_limit(bounds.body_bytes);
                match bounds.least_bytes {
                    Some(bytes) => body.with_least(bytes),
                    None => body,
                }
                .map_err(fault)
            });
            return self.grpc.answer(request).await.map(Outbound::stream);
        }
        let limit = self.http.body_bytes(request.method(), request.uri(), request.headers());
        let request = request.map(|body| Body::new(body.with_limit(limit).map_err(fault)));
        self.http.answer(request).await.map(Outbound::stream)
    }

    fn refuse(&self, refusal: Refusal, headers: &HeaderMap) -> Response<Outbound> {
        let code = match refusal {
            Refusal::UriTooLong => Code::UriTooLong,
            Refusal::NoSingleHost | Refusal::OddFraming => Code::HeaderInvalid,
            Refusal::HeadersTooLarge => Code::HeadersTooLarge,
            Refusal::TooManyRequests | Refusal::TooManyConnections => Code::Overloaded,
            Refusal::HeadLate => Code::RequestTimeout,
            Refusal::NotTls => Code::TlsRequired,
            Refusal::Panicked => Code::Internal,
        };
        // Only its content type is left of the head here, and no HTTP/1.1 client has this one.
        if is_grpc(Version::HTTP_2, headers) {
            return self.grpc.refuse(code, headers).map(Outbound::Whole);
        }
        self.http.refuse(code, headers).map(Outbound::Whole)
    }
}

fn fault(error: InboundError) -> BodyFault {
    match error {
        InboundError::TooLarge { limit } => BodyFault::TooLarge { limit },
        InboundError::Stalled { .. } => BodyFault::Late,
        InboundError::Broken(_) => BodyFault::Broken,
    }
}
