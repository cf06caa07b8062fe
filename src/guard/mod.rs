//! Stage 3: from a credential to a principal, and from a request to a permitted one.
//!
//! Two steps, because a stranger must hear "who are you" before a word of what he sent is judged: [`admit`] looks at the
//! credential and at what kind of action is asked, [`Pass::permit`] at the request itself. Only what passed both reaches a
//! service. Not here: where a credential stands in a request (codec/http), what it is compared with (services/administer).

use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::principal::{Principal, Role};
use crate::model::time::Timestamp;
use crate::services::{ServiceError, Services};

/// What a request shows. Not `Debug`: a token must reach no log.
pub enum Credentials {
    Absent,
    Bearer(Token),
    /// Something that is no bearer token, or more than one.
    Unreadable,
}

/// A secret text, handed on and never shown.
pub struct Token(String);

impl Token {
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// For the service that compares it, and for nothing else.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }
}

/// Why a request goes no further.
#[derive(Clone, Debug)]
pub enum GuardError {
    /// Nothing was shown, and the action needs something.
    MissingCredentials,
    /// What was shown opens nothing, or not this.
    BadCredentials,
    /// It could not be found out.
    Service(ServiceError),
}

/// A caller who may do one kind of action.
#[derive(Clone, Debug)]
pub struct Pass {
    principal: Principal,
}

/// Whether this caller may do this kind of action: everybody reads, administrators do the rest.
///
/// A wrong credential is refused even where none is needed: its owner believes to be somebody.
pub fn admit(
    services: &Services,
    credentials: &Credentials,
    action: Action,
    now: Timestamp,
) -> Result<Pass, GuardError> {
    let principal = match credentials {
        Credentials::Absent => Principal::anonymous(),
        Credentials::Unreadable => return Err(GuardError::BadCredentials),
        Credentials::Bearer(token) => authenticate(services, token, now)?,
    };
    Pass { principal }.covers(action)
}

/// Reads a request's credentials and permits it, for callers who have the request at hand already.
pub fn permit<R: Asks>(services: &Services, credentials: &Credentials, request: R) -> Result<Permitted<R>, GuardError> {
    admit(services, credentials, R::ACTION, Timestamp::now())?.permit(request)
}

impl Pass {
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Whether nobody has shown a credential.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.principal.role == Role::Anonymous
    }

    /// The permitted request, if the pass is good for its kind of action.
    pub fn permit<R: Asks>(&self, request: R) -> Result<Permitted<R>, GuardError> {
        let pass = self.clone().covers(R::ACTION)?;
        Ok(Permitted::granted_by_guard(pass.principal, request))
    }

    fn covers(self, action: Action) -> Result<Self, GuardError> {
        if action == Action::Read || self.principal.is_administrator() {
            Ok(self)
        } else {
            Err(GuardError::MissingCredentials)
        }
    }
}

/// Who may have a new API key made.
pub enum KeyMaker<'a> {
    Administrator(Pass),
    /// The bootstrap token of a node that nobody has a key of yet. It opens this door only.
    Bootstrap(&'a Token),
}

/// The one door that the bootstrap token opens, too.
pub fn admit_key_maker<'a>(
    services: &Services,
    credentials: &'a Credentials,
    now: Timestamp,
) -> Result<KeyMaker<'a>, GuardError> {
    services.writes().map_err(GuardError::Service)?;
    if let Credentials::Bearer(token) = credentials
        && services.is_bootstrap(token.secret(), now)
    {
        return Ok(KeyMaker::Bootstrap(token));
    }
    admit(services, credentials, Action::Administer, now).map(KeyMaker::Administrator)
}

fn authenticate(services: &Services, token: &Token, now: Timestamp) -> Result<Principal, GuardError> {
    services.authenticate(token.secret(), now).map_err(|error| match error {
        ServiceError::BadCredential => GuardError::BadCredentials,
        other => GuardError::Service(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_reads_and_administrators_do_the_rest() {
        let anonymous = Pass { principal: Principal::anonymous() };
        let administrator = Pass { principal: Principal::administrator("key:1") };
        assert!(anonymous.clone().covers(Action::Read).is_ok());
        for action in [Action::Register, Action::Administer] {
            assert!(matches!(anonymous.clone().covers(action), Err(GuardError::MissingCredentials)));
            assert!(administrator.clone().covers(action).is_ok());
        }
    }
}
