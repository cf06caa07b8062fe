//! Reach: whether the names that a change is about lie within the scope of who makes it.
//!
//! The guard knows the role, and a role says nothing of names; which names a request is about is known once it was read. Every
//! change asks here before the store is looked at, so that what is out of reach answers the same whether it exists or not.

use super::{ServiceError, Services};
use crate::model::alias::Alias;
use crate::model::identifier::Identifier;
use crate::model::principal::{Principal, Scope};
use crate::model::record::Record;

/// Who changes a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Author<'a> {
    /// As the entry's frame has it.
    pub id: &'a str,
    pub scope: &'a Scope,
}

impl<'a> From<&'a Principal> for Author<'a> {
    fn from(principal: &'a Principal) -> Author<'a> {
        Author { id: &principal.id, scope: &principal.scope }
    }
}

impl Services {
    /// An identifier that this author may register or change.
    pub(super) fn reachable(&self, scope: &Scope, identifier: &Identifier) -> Result<(), ServiceError> {
        self.policy(identifier)?;
        if scope.reaches(identifier.prefix()) { Ok(()) } else { Err(out_of_reach(identifier, scope)) }
    }
}

/// Whether the author may give the record its names. Names of this and other nodes' prefixes are their holders'; what the
/// record bears already was given by who might.
pub(super) fn names_within(scope: &Scope, record: &Record, standing: Option<&Record>) -> Result<(), ServiceError> {
    let bears = |alias: &Alias| standing.is_some_and(|standing| standing.aliases.contains(alias));
    let is_foreign =
        |alias: &&Alias| alias.identifier().holder().is_some_and(|holder| !scope.reaches(holder)) && !bears(alias);
    let foreign = record.aliases.iter().find(is_foreign);
    foreign.map_or(Ok(()), |alias| Err(out_of_reach(alias.identifier(), scope)))
}

fn out_of_reach(identifier: &Identifier, scope: &Scope) -> ServiceError {
    ServiceError::OutOfReach { identifier: identifier.spelling().to_owned(), scope: scope.to_string() }
}
