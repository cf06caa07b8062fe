//! Operate: how the log is kept while the node runs, and reading the configuration again. Not here: what that takes, which
//! the node knows ([`Operate`]), and keys and tokens (`administer`).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use schemars::JsonSchema;
use serde::Serialize;

use super::{ServiceError, Services};
use crate::config::{Change, ConfigError, LogSpec, RequestLines};
use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::prefix::LogMode;

/// What this stage needs of the node above it.
pub trait Operate: Send + Sync + 'static {
    /// The settings in force.
    fn log(&self) -> LogSpec;

    /// Goes by other settings until the next reload or restart; `format` stays.
    fn set_log(&self, change: &ChangeLog) -> Result<LogSpec, ConfigError>;

    /// Reads the configuration again: all of it is taken, or nothing.
    fn reload(&self) -> Result<Reloaded, ConfigError>;
}

/// Which settings of the log are in force?
#[derive(Clone, Copy, Debug)]
pub struct ReadLog;

impl Asks for ReadLog {
    const ACTION: Action = Action::Administer;
}

/// Other settings of the log, for the time being; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeLog {
    pub filter: Option<String>,
    pub slow_microseconds: Option<u64>,
    pub requests: Option<RequestLines>,
}

impl Asks for ChangeLog {
    const ACTION: Action = Action::Administer;
}

/// The configuration is to be read again.
#[derive(Clone, Copy, Debug)]
pub struct Reload;

impl Asks for Reload {
    const ACTION: Action = Action::Administer;
}

/// What a reload did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Reloaded {
    /// Taken.
    pub applied: Vec<Change>,
    /// Differs from what the node runs by, and waits for a restart.
    pub restart_needed: Vec<Change>,
    /// `unchanged`, `replaced`, or absent without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<&'static str>,
}

/// How a name may stand in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The prefix keeps an open log: so is this one.
    Clear(String),
    /// The entry's `sid`: whoever holds the record finds its lines, nobody learns a name from them.
    Blinded { prefix: Option<String>, sid: String },
}

impl Services {
    pub fn log(&self, _asked: &Permitted<ReadLog>) -> LogSpec {
        self.operator.log()
    }

    pub fn change_log(&self, asked: &Permitted<ChangeLog>) -> Result<LogSpec, ServiceError> {
        let log = self.operator.set_log(asked.request()).map_err(ServiceError::Configuration)?;
        let LogSpec { filter, slow_microseconds, requests, .. } = &log;
        let by = &asked.principal().id;
        tracing::info!(
            by,
            filter,
            slow_microseconds,
            ?requests,
            "the log is kept otherwise until the next reload or restart"
        );
        Ok(log)
    }

    pub fn reload(&self, asked: &Permitted<Reload>) -> Result<Reloaded, ServiceError> {
        tracing::info!(by = asked.principal().id, "asked to read the configuration again");
        self.operator.reload().map_err(ServiceError::Configuration)
    }

    /// How the name that a request is about may be told to whoever reads the log; `None`: it is no name.
    #[must_use]
    pub fn told(&self, name: &str) -> Option<Told> {
        let identifier = self.identifier(name).ok()?;
        let policy = self.prefixes.responsible(&identifier);
        if policy.as_ref().is_some_and(|policy| policy.log == LogMode::Open) {
            return Some(Told::Clear(identifier.spelling().to_owned()));
        }
        // A mirror cannot blind a name as its origin does.
        let sid = BASE64URL.encode(self.signing().ok()?.blinding.sid(&identifier));
        Some(Told::Blinded { prefix: policy.map(|policy| policy.prefix.clone()), sid })
    }
}
