//! What accept needs of the configuration, in the units it works with.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::tls::Certificates;
use crate::config::{Config, LimitsSpec};

#[derive(Clone, Debug)]
pub struct Settings {
    /// Cleartext.
    pub listen: Vec<SocketAddr>,
    pub tls: Option<TlsSettings>,
    /// At least one.
    pub workers: usize,
    pub pin_cores: bool,
    /// Whether hot answers go out before hyper sees a request; the answers are the same.
    pub fast_lane: bool,
    pub limits: Limits,
    /// How long `/readyz` refuses while requests are still served.
    pub lame_duck: Duration,
    /// How long requests in flight may take after that.
    pub deadline: Duration,
}

/// Addresses that speak TLS, and what they show.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    pub listen: Vec<SocketAddr>,
    pub certificates: Arc<Certificates>,
}

/// The limits of connections and of requests before they are understood.
#[derive(Clone, Debug)]
pub struct Limits {
    pub header_bytes: usize,
    pub header_count: usize,
    pub uri_bytes: usize,
    /// The default of every body; see [`Inbound::with_limit`](super::Inbound::with_limit).
    pub body_bytes: u64,
    pub connections: usize,
    pub requests_in_flight: usize,
    pub handshake_timeout: Duration,
    pub header_timeout: Duration,
    pub body_timeout: Duration,
    pub body_progress_bytes: u64,
    pub write_timeout: Duration,
    pub idle_timeout: Duration,
    pub h2_streams: u32,
    pub h2_resets: usize,
}

impl Settings {
    /// `certificates` are those of the configuration's `tls` section, if it has any.
    #[must_use]
    pub fn of(config: &Config, certificates: Option<Arc<Certificates>>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let workers = match size(config.http.workers) {
            0 => cores,
            workers => workers,
        };
        Self {
            listen: config.http.listen.clone(),
            tls: certificates.map(|certificates| TlsSettings { listen: config.tls.listen.clone(), certificates }),
            workers,
            pin_cores: config.http.pin_cores,
            fast_lane: config.http.fast_lane,
            limits: Limits::of(&config.limits),
            lame_duck: config.drain.lame_duck(),
            deadline: config.drain.deadline(),
        }
    }
}

impl Limits {
    #[must_use]
    pub fn of(spec: &LimitsSpec) -> Self {
        Self {
            header_bytes: size(spec.header_bytes),
            header_count: size(spec.header_count),
            uri_bytes: size(spec.uri_bytes),
            body_bytes: spec.body_bytes,
            connections: size(spec.connections),
            requests_in_flight: size(spec.requests_in_flight),
            handshake_timeout: Duration::from_secs(spec.handshake_timeout_seconds),
            header_timeout: Duration::from_secs(spec.header_timeout_seconds),
            body_timeout: Duration::from_secs(spec.body_timeout_seconds),
            body_progress_bytes: spec.body_progress_bytes,
            write_timeout: Duration::from_secs(spec.write_timeout_seconds),
            idle_timeout: Duration::from_secs(spec.idle_timeout_seconds),
            h2_streams: u32::try_from(spec.h2_streams).unwrap_or(u32::MAX),
            h2_resets: size(spec.h2_resets),
        }
    }

    /// The largest head that hyper buffers. More than the limits together, so that what is a little too large is still
    /// read and gets an answer with a body; hyper insists on 8 KiB.
    pub(super) fn head_bytes(&self) -> usize {
        (self.header_bytes + self.uri_bytes + 4096).max(8192)
    }
}

/// The configuration's check keeps every number far below what a 64-bit `usize` holds.
fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
