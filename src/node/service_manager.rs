//! Tells the service manager how the node stands: one datagram a message to the socket that it names (sd_notify(3)). Without
//! one nothing is sent.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::accept::{Lifecycle, Phase};

/// Whoever started the process and wants to know.
pub struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
}

impl ServiceManager {
    /// By `NOTIFY_SOCKET`: a path, or `@` and an abstract name.
    #[must_use]
    pub fn of_environment() -> Self {
        Self::at(std::env::var_os("NOTIFY_SOCKET"))
    }

    fn at(name: Option<OsString>) -> Self {
        let socket = name.filter(|name| !name.is_empty()).and_then(|name| {
            let address = match name.as_bytes().strip_prefix(b"@") {
                Some(hidden) => SocketAddr::from_abstract_name(hidden),
                None => SocketAddr::from_pathname(&name),
            };
            match address.and_then(|address| Ok((UnixDatagram::unbound()?, address))) {
                Ok(both) => Some(both),
                Err(error) => {
                    tracing::warn!(%error, "the service manager's socket cannot be used; it will not hear that the node is ready");
                    None
                }
            }
        });
        Self { socket }
    }

    /// The store is being opened, which may take as long as this without being stuck.
    pub fn opening(&self, patience: Duration) {
        let micros = patience.as_micros();
        self.say(&format!("STATUS=opening the store\nEXTEND_TIMEOUT_USEC={micros}"));
    }

    pub fn ready(&self) {
        self.say("READY=1\nSTATUS=serving");
    }

    /// Tells it that the node stops once that begins, from a thread that waits for nothing else.
    pub fn hear_the_stop(self, lifecycle: &Lifecycle, runtime: Runtime) -> io::Result<()> {
        if self.socket.is_none() {
            return Ok(());
        }
        let lifecycle = lifecycle.clone();
        let work = move || {
            runtime.block_on(lifecycle.reached(Phase::LameDuck));
            self.stopping();
        };
        std::thread::Builder::new().name("notify".to_owned()).spawn(work).map(drop)
    }

    fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=requests in flight end");
    }

    fn say(&self, message: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(message.as_bytes(), address) {
            tracing::warn!(%error, "the service manager could not be told how the node stands");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 256];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn each_message_is_one_datagram_to_a_path_or_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let hidden = format!("mingpai-test-{}", std::process::id());
        let listeners = [
            (UnixDatagram::bind(&path).unwrap(), path.into_os_string()),
            (
                UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&hidden).unwrap()).unwrap(),
                format!("@{hidden}").into(),
            ),
        ];
        for (listener, name) in listeners {
            let manager = ServiceManager::at(Some(name));
            manager.opening(Duration::from_secs(60));
            manager.ready();
            manager.stopping();
            assert_eq!(heard(&listener), "STATUS=opening the store\nEXTEND_TIMEOUT_USEC=60000000");
            assert_eq!(heard(&listener), "READY=1\nSTATUS=serving");
            assert!(heard(&listener).starts_with("STOPPING=1\n"));
        }
    }

    #[test]
    fn nobody_listening_is_no_failure() {
        ServiceManager::at(None).ready();
        ServiceManager::at(Some("/nowhere/at/all".into())).ready();
        ServiceManager::at(Some("x".repeat(300).into())).ready();
    }
}
