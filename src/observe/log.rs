//! Where events go: standard error, as text or as JSON, a line each; and what is let through, changeable while the node runs.
//!
//! JSON: `{"timestamp","level","message",…fields…,"target","span":{"name":"request","request_id","trace_id"}}`. Every line that
//! is written for a request has its `request_id`, and its `trace_id` where the caller gave one.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::config::{LogFormat, LogSpec};

/// What is let through. Without a log of its own (in tests, in a second node of one process) it changes nothing.
#[derive(Clone, Debug, Default)]
pub struct Filter(Option<reload::Handle<EnvFilter, Registry>>);

impl Filter {
    /// Lets through what this text says from now on. It was judged with the configuration.
    pub fn set(&self, filter: &str) {
        let Some(handle) = &self.0 else { return };
        let replaced = EnvFilter::try_new(filter).map(|filter| handle.reload(filter));
        if !matches!(replaced, Ok(Ok(()))) {
            tracing::error!(filter, "the log's filter could not be changed: restart the node to change it");
        }
    }
}

/// Starts the log of this process. A second start keeps the first.
pub fn start(log: &LogSpec) -> Filter {
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let (filter, handle) = reload::Layer::new(filter);
    let lines = fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
    let lines = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
    };
    match tracing_subscriber::registry().with(filter).with(lines).try_init() {
        Ok(()) => Filter(Some(handle)),
        Err(_) => Filter::default(),
    }
}
