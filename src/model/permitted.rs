//! A request that was permitted: the only kind that a service takes.
//!
//! Made by the guard alone (tests/tidy.rs looks for the call); the bypass has an ugly name on purpose.

pub use super::action::Action;
use super::principal::Principal;

/// Says what a request would do.
pub trait Asks {
    const ACTION: Action;
}

/// A request, and who was permitted to make it.
#[derive(Clone, Debug)]
pub struct Permitted<R> {
    principal: Principal,
    request: R,
}

impl<R: Asks> Permitted<R> {
    /// For the guard, after it has checked.
    #[must_use]
    pub fn granted_by_guard(principal: Principal, request: R) -> Self {
        Self { principal, request }
    }

    /// For what the node does on its own behalf, such as loading demonstration data.
    #[must_use]
    pub fn bypassing_the_guard(name: &str, request: R) -> Self {
        Self { principal: Principal::administrator(name), request }
    }
}

impl<R> Permitted<R> {
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    pub fn request(&self) -> &R {
        &self.request
    }

    /// Both parts.
    pub fn into_parts(self) -> (Principal, R) {
        (self.principal, self.request)
    }
}
