//! Identity: who stands behind a prefix of this node, and since when. What anybody may ask of a registry (the query of
//! registration data), and nothing that a filing says of persons.

use super::file::PrefixClosed;
use super::{ServiceError, Services};
use crate::model::identifier::Identifier;
use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::prefix::{Standing, is_canonical};
use crate::model::time::Timestamp;

/// Who stands behind a name?
#[derive(Clone, Debug)]
pub struct AskIdentity {
    /// A prefix, or an identifier in any input form.
    pub name: String,
}

impl Asks for AskIdentity {
    const ACTION: Action = Action::Read;
}

/// What is known of a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// As it is compared.
    pub prefix: String,
    /// As people are shown it, where anybody said it.
    pub registrant: Option<String>,
    pub origin: PrefixOrigin,
    /// By whose keys its entries may be signed: holders of licences in force, each once.
    pub licensed: Vec<String>,
    /// Where it stands by itself.
    pub standing: Standing,
    /// What closes it, be it decided about a prefix above it.
    pub closed: Option<PrefixClosed>,
}

/// How the prefix came to be served here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixOrigin {
    /// Named by the operator.
    Configured,
    /// Allocated by a filing.
    Allocated { since: Timestamp },
}

impl Services {
    /// Who stands behind the prefix of a name.
    pub fn identity(&self, asked: &Permitted<AskIdentity>) -> Result<Identity, ServiceError> {
        let name = asked.request().name.trim();
        let prefix = match name.to_ascii_lowercase() {
            lowered if is_canonical(&lowered) => lowered,
            _ => self.prefix_of(name)?,
        };
        let unserved = || ServiceError::NotResponsible { identifier: prefix.clone() };
        let policy = self.prefixes.policy(&prefix).ok_or_else(unserved)?;
        let registrant = Some(policy.registrant.clone()).filter(|name| !name.is_empty());
        let origin =
            if self.prefixes.is_configured(&prefix) { PrefixOrigin::Configured } else { self.allocation(&prefix)? };
        let licensed = self.licensed_holders(&prefix)?;
        let (standing, closed) = (self.standing_of(&prefix)?, self.closing(&prefix)?);
        Ok(Identity { registrant, origin, licensed, standing, closed, prefix })
    }

    /// The prefix of an identifier, or of what bears it as an alias.
    fn prefix_of(&self, name: &str) -> Result<String, ServiceError> {
        let identifier: Identifier = self.identifier(name)?;
        if !identifier.scheme().is_tagged() {
            return Ok(identifier.prefix().to_owned());
        }
        let bearer = self.store.bearer(identifier.key())?;
        let bearer = bearer.and_then(|bearer| bearer.as_str().split_once('/').map(|(prefix, _)| prefix.to_owned()));
        bearer.ok_or_else(|| self.unknown(name))
    }

    fn allocation(&self, prefix: &str) -> Result<PrefixOrigin, ServiceError> {
        let allocation = self.allocation_of(prefix)?;
        let allocation = allocation.ok_or_else(|| ServiceError::NotResponsible { identifier: prefix.to_owned() })?;
        Ok(PrefixOrigin::Allocated { since: Timestamp::from_seconds(allocation.since).unwrap_or(Timestamp::EPOCH) })
    }
}
