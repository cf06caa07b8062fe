//! The rules of grants: each is given once and taken back once, and nothing is shown by one that is not in force.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde_json::Value as Json;

use super::Rule;
use super::book::{Book, count};
use super::keys::BELATED_SECONDS;
use super::reading::{Act, key_of};
use crate::services::audit::examine::clipped;
use crate::services::token::sha256;
use crate::tlog::hash::Hash;

/// The grants that were given, by their ids.
#[derive(Default)]
pub(super) struct Grants(HashMap<Hash, Given>);

struct Given {
    from: i64,
    /// From then on it opens nothing.
    ends: i64,
    is_revoked: bool,
}

impl Grants {
    pub(super) fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

impl Book {
    pub(super) fn grant_given(&mut self, act: &Act) -> Option<()> {
        let grant = act.members.get("grant")?;
        let number = |name: &str| grant.get(name).and_then(Json::as_i64);
        let id = grant.get("id")?.as_str()?;
        let given = Given { from: number("from")?, ends: number("until").unwrap_or(i64::MAX), is_revoked: false };
        match self.grants.0.entry(sha256(id.as_bytes())) {
            Entry::Vacant(place) => {
                place.insert(given);
            }
            Entry::Occupied(_) => {
                let told = clipped(id);
                let text = (format!("授权 {told} 早已给出"), format!("the grant {told} was given before"));
                self.breach(act, Rule::GrantTwice, &[id], text);
            }
        }
        Some(())
    }

    pub(super) fn grant_revoked(&mut self, act: &Act) -> Option<()> {
        let id = act.text("grant")?;
        if !self.is_known_grant(act, id) {
            return Some(());
        }
        let Some(grant) = self.grants.0.get_mut(&sha256(id.as_bytes())) else { return Some(()) };
        grant.ends = grant.ends.min(act.iat);
        if std::mem::replace(&mut grant.is_revoked, true) {
            let told = clipped(id);
            let text = (format!("授权 {told} 早已撤回"), format!("the grant {told} was taken back before"));
            self.breach(act, Rule::RevokedTwice, &[id], text);
        }
        Some(())
    }

    pub(super) fn grant_used(&mut self, act: &Act) -> Option<()> {
        let since = act.number("since")?;
        // A clock may have been set back between the two.
        let until = act.number("until")?.max(since);
        for used in act.members.get("uses")?.as_array()? {
            let (id, principal) = (used.get("grant")?.as_str()?, used.get("principal")?.as_str()?);
            match key_of(principal) {
                Some(key) => {
                    self.is_known_key(act, key);
                }
                None if principal.strip_prefix("link:") != Some(id) => {
                    let text = ("以别的链接查看", "seen by the link of another grant");
                    self.breach(act, Rule::GrantUnknown, &[id], text);
                }
                None => {}
            }
            if self.is_known_grant(act, id) {
                self.is_shown_by(act, id, (since, until));
            }
        }
        Some(())
    }

    /// Whether it was in force at some moment of that time.
    fn is_shown_by(&mut self, act: &Act, id: &str, (since, until): (i64, i64)) {
        let Some(grant) = self.grants.0.get(&sha256(id.as_bytes())) else { return };
        if grant.from <= until && since < grant.ends {
            return;
        }
        // A revocation has its place in the order, and what was asked for before it may be noted behind it.
        if grant.from <= until && since < grant.ends.saturating_add(BELATED_SECONDS) {
            count(&mut self.belated, act.index);
            return;
        }
        let told = clipped(id);
        let text = (format!("授权 {told} 当时无效"), format!("the grant {told} was not in force then"));
        self.breach(act, Rule::GrantEnded, &[id], text);
    }

    fn is_known_grant(&mut self, act: &Act, id: &str) -> bool {
        let is_known = self.grants.0.contains_key(&sha256(id.as_bytes()));
        if !is_known {
            let told = clipped(id);
            let text = (format!("授权 {told} 从未给出"), format!("no grant {told} was given before"));
            self.breach(act, Rule::GrantUnknown, &[id], text);
        }
        is_known
    }
}
