//! Stage 3: from a credential to a principal, and from a request to a permitted one.
//!
//! Two steps, because a stranger must hear "who are you" before a word of what he sent is judged: [`admit`] looks at the
//! credential and at what kind of action is asked, [`Pass::permit`] at the request itself. Only what passed both reaches a
//! service. Whether the names that a request is about lie within the caller's scope is seen by services/reach, for only a
//! service knows which they are. Not here: where a credential stands in a request (codec/http), what it is compared with (services/administer).

use std::sync::OnceLock;

use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::principal::{Principal, Role};
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::services::signed_requests::SignedRequest;
use crate::services::{ServiceError, Services};

/// What a request shows. Not `Debug`: a token must reach no log.
pub enum Credentials {
    Absent,
    Bearer(Token),
    /// The request is signed.
    Signed(Box<Signed>),
    /// It is signed in a way that is refused whoever did it; says why.
    SignedUnusably(Text),
    /// Something that is no bearer token, or more than one credential.
    Unreadable,
}

/// A signed request's credential. It is good once, so it is judged once, however often it is asked for.
pub struct Signed {
    request: SignedRequest,
    signer: OnceLock<Result<Principal, ServiceError>>,
}

impl Signed {
    #[must_use]
    pub fn new(request: SignedRequest) -> Self {
        Self { request, signer: OnceLock::new() }
    }
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
    /// What was shown opens nothing.
    BadCredentials,
    /// What was shown opens other things.
    Forbidden { role: Role },
    /// It could not be found out.
    Service(ServiceError),
}

/// A caller who may do one kind of action.
#[derive(Clone, Debug)]
pub struct Pass {
    principal: Principal,
}

/// Whether this caller may do this kind of action ([`Role::may`]).
///
/// A wrong credential is refused even where none is needed: its owner believes to be somebody.
pub fn admit(
    services: &Services,
    credentials: &Credentials,
    action: Action,
    now: Timestamp,
) -> Result<Pass, GuardError> {
    let pass = Pass { principal: identify(services, credentials, now)? };
    pass.covers(action).inspect_err(|_| services.note_forbidden(&pass.principal, now))?;
    Ok(pass)
}

/// Who shows a credential, whatever he asks.
pub fn identify(services: &Services, credentials: &Credentials, now: Timestamp) -> Result<Principal, GuardError> {
    match credentials {
        Credentials::Absent => Ok(Principal::anonymous()),
        Credentials::Bearer(token) => authenticate(services, token, now),
        Credentials::Signed(signed) => {
            let signer = signed.signer.get_or_init(|| services.signer_of(&signed.request, now));
            signer.clone().map_err(|error| match error {
                ServiceError::BadCredential => GuardError::BadCredentials,
                other => GuardError::Service(other),
            })
        }
        Credentials::SignedUnusably(cause) => {
            services.note_bad_credential(None, now);
            Err(GuardError::Service(ServiceError::SignatureUnusable(cause.clone())))
        }
        Credentials::Unreadable => {
            services.note_bad_credential(None, now);
            Err(GuardError::BadCredentials)
        }
    }
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
        self.covers(R::ACTION)?;
        Ok(Permitted::granted_by_guard(self.principal.clone(), request))
    }

    fn covers(&self, action: Action) -> Result<(), GuardError> {
        match self.principal.role {
            role if role.may(action) => Ok(()),
            Role::Anonymous => Err(GuardError::MissingCredentials),
            role => Err(GuardError::Forbidden { role }),
        }
    }
}

/// Who may have a new API key made.
pub enum KeyMaker<'a> {
    Principal(Pass),
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
    admit(services, credentials, Action::ManageKeys, now).map(KeyMaker::Principal)
}

fn authenticate(services: &Services, token: &Token, now: Timestamp) -> Result<Principal, GuardError> {
    services.authenticate(token.secret(), now).map_err(|error| match error {
        ServiceError::BadCredential => {
            services.note_bad_credential(Some(token.secret()), now);
            GuardError::BadCredentials
        }
        other => GuardError::Service(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_asked_who_he_is_and_a_known_caller_is_told_no() {
        let anonymous = Pass { principal: Principal::anonymous() };
        let administrator = Pass { principal: Principal::administrator("key:1") };
        let auditor = Pass { principal: Principal::of_key("2", "auditor", &[], None).unwrap() };
        for action in Action::ALL {
            assert!(administrator.covers(action).is_ok(), "{action:?}");
            assert_eq!(anonymous.covers(action).is_ok(), action == Action::Read, "{action:?}");
        }
        assert!(matches!(anonymous.covers(Action::Register), Err(GuardError::MissingCredentials)));
        assert!(matches!(auditor.covers(Action::Register), Err(GuardError::Forbidden { role: Role::Auditor })));
    }
}
