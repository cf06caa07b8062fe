//! Sockets bound before anything is started, so that a wrong address is a start that fails and not a worker that dies.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use super::settings::Settings;
use crate::model::text::Text;

/// Connections that the kernel keeps for a busy worker.
const BACKLOG: i32 = 1024;

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}. {remedy}")]
pub struct BindError {
    pub address: SocketAddr,
    pub source: io::Error,
    pub remedy: &'static str,
    pub remedy_zh: &'static str,
}

impl BindError {
    #[must_use]
    pub fn text(&self) -> Text {
        let Self { address, source, remedy_zh, .. } = self;
        Text::new(format!("无法监听 {address}：{}。{remedy_zh}", Text::of_io(source).zh), self.to_string())
    }
}

/// Bound, not yet served.
#[derive(Debug)]
pub struct Bound {
    pub(super) settings: Settings,
    /// By worker, then by address.
    pub(super) listeners: Vec<Vec<Door>>,
    addresses: Vec<SocketAddr>,
    tls_addresses: Vec<SocketAddr>,
}

/// One listening socket of one worker.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) listener: TcpListener,
    pub(super) is_tls: bool,
}

impl Bound {
    /// The cleartext addresses as bound: a port 0 of the settings has become a real one.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The addresses that speak TLS, as bound.
    #[must_use]
    pub fn tls_addresses(&self) -> &[SocketAddr] {
        &self.tls_addresses
    }
}

/// Binds every address once for each worker (SO_REUSEPORT: the kernel spreads connections over them).
///
/// IPv6 sockets are IPv6 only, so `0.0.0.0:8080` and `[::]:8080` can stand side by side.
pub fn bind(settings: Settings) -> Result<Bound, BindError> {
    let workers = settings.workers.max(1);
    let mut listeners: Vec<Vec<Door>> = std::iter::repeat_with(Vec::new).take(workers).collect();
    let mut all = |wanted: &[SocketAddr], is_tls: bool| {
        wanted.iter().map(|wanted| bind_for_each(*wanted, is_tls, &mut listeners)).collect::<Result<Vec<_>, _>>()
    };
    let addresses = all(&settings.listen, false)?;
    let tls_addresses = all(settings.tls.as_ref().map_or(&[], |tls| tls.listen.as_slice()), true)?;
    Ok(Bound { settings, listeners, addresses, tls_addresses })
}

/// Binds one address for each worker and says what it became.
fn bind_for_each(wanted: SocketAddr, is_tls: bool, workers: &mut [Vec<Door>]) -> Result<SocketAddr, BindError> {
    let explain = |source| explain(wanted, source);
    // Two nodes that both set SO_REUSEPORT would share a port in silence; without it the second one fails here.
    let first = listen(wanted, false).map_err(explain)?;
    let address = first.local_addr().map_err(explain)?;
    if let [only] = workers {
        only.push(Door { listener: first, is_tls });
        return Ok(address);
    }
    drop(first);
    for worker in workers {
        worker.push(Door { listener: listen(address, true).map_err(explain)?, is_tls });
    }
    Ok(address)
}

fn listen(address: SocketAddr, is_shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A restart must not wait for connections of the last run to leave TIME_WAIT.
    socket.set_reuse_address(true)?;
    if is_shared {
        socket.set_reuse_port(true)?;
    }
    // Accepted sockets inherit it on Linux: one system call less a connection.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn explain(address: SocketAddr, source: io::Error) -> BindError {
    let (remedy, remedy_zh) = match source.kind() {
        io::ErrorKind::AddrInUse => (
            "Another program listens there: stop it (ss -ltnp shows it) or choose another port with --listen, http.listen or tls.listen",
            "该地址已被占用: 停止占用它的程序 (ss -ltnp 可查看), 或用 --listen, http.listen 或 tls.listen 换一个端口",
        ),
        io::ErrorKind::PermissionDenied => (
            "Ports below 1024 need CAP_NET_BIND_SERVICE: choose a higher port or grant it",
            "1024 以下的端口需要 CAP_NET_BIND_SERVICE 权限: 换用更高的端口或授予该权限",
        ),
        io::ErrorKind::AddrNotAvailable => (
            "This machine does not have that address: use one of its own (ip addr shows them), 0.0.0.0 or [::]",
            "本机没有这个地址: 请用本机地址 (ip addr 可查看), 或 0.0.0.0 或 [::]",
        ),
        _ if address.is_ipv6() => (
            "If IPv6 is switched off here, leave the address out of http.listen or tls.listen",
            "若本机关闭了 IPv6, 请从 http.listen 或 tls.listen 中去掉该地址",
        ),
        _ => ("Check http.listen and tls.listen", "请检查 http.listen 与 tls.listen"),
    };
    BindError { address, source, remedy, remedy_zh }
}
