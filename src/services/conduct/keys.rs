//! The rules of API keys: each is made once and revoked once, what is not there is not revoked, and who asks has one. The
//! bootstrap token makes one key, and never another.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::Rule;
use super::book::{Book, count};
use super::reading::Act;
use crate::model::principal::Role;
use crate::services::audit::examine::clipped;
use crate::services::token::sha256;
use crate::tlog::hash::Hash;

/// What was asked for by a key that opened is done within this time, though the key ends meanwhile: a body may take its time,
/// and a commit too.
pub(super) const BELATED_SECONDS: i64 = 600;

/// The keys that were made, by their ids.
#[derive(Default)]
pub(super) struct Keys(pub(super) HashMap<Hash, Key>, bool);

pub(super) struct Key {
    /// From then on it opens nothing.
    ends: i64,
    is_revoked: bool,
    is_administrators: bool,
}

impl Keys {
    pub(super) fn is_administrators(&self, id: &str) -> bool {
        self.0.get(&sha256(id.as_bytes())).is_some_and(|key| key.is_administrators)
    }
}

impl Book {
    pub(super) fn key_created(&mut self, act: &Act) -> Option<()> {
        let key = act.members.get("key")?;
        let (id, role) = (key.get("id")?.as_str()?, key.get("role")?.as_str()?);
        let made = Key {
            ends: key.get("expires").and_then(serde_json::Value::as_i64).unwrap_or(i64::MAX),
            is_revoked: false,
            is_administrators: role == Role::Administrator.as_str(),
        };
        match self.keys.0.entry(sha256(id.as_bytes())) {
            Entry::Vacant(place) => {
                place.insert(made);
            }
            // What the first one was made as stands.
            Entry::Occupied(_) => {
                let told = clipped(id);
                let text = (format!("密钥 {told} 早已建立"), format!("the key {told} was made before"));
                self.breach(act, Rule::KeyTwice, &[id], text);
            }
        }
        Some(())
    }

    pub(super) fn bootstrap_used(&mut self, act: &Act) -> Option<()> {
        let token = act.text("token")?;
        if std::mem::replace(&mut self.keys.1, true) {
            let text = ("引导令牌早已用过一次", "a bootstrap token was used before");
            self.breach(act, Rule::BootstrapTwice, &[token], text);
        }
        self.key_created(act)
    }

    pub(super) fn key_revoked(&mut self, act: &Act) -> Option<()> {
        let id = act.text("id")?;
        if !self.is_known_key(act, id) {
            return Some(());
        }
        let Some(key) = self.keys.0.get_mut(&sha256(id.as_bytes())) else { return Some(()) };
        key.ends = key.ends.min(act.iat);
        if std::mem::replace(&mut key.is_revoked, true) {
            let told = clipped(id);
            let text = (format!("密钥 {told} 早已撤销"), format!("the key {told} was revoked before"));
            self.breach(act, Rule::RevokedTwice, &[id], text);
        }
        Some(())
    }

    /// Whether a key was made that an event names.
    pub(super) fn is_known_key(&mut self, act: &Act, id: &str) -> bool {
        let is_known = self.keys.0.contains_key(&sha256(id.as_bytes()));
        if !is_known {
            let told = clipped(id);
            let text = (format!("密钥 {told} 从未建立"), format!("no key {told} was made before"));
            self.breach(act, Rule::KeyUnknown, &[id], text);
        }
        is_known
    }

    /// Who asks must have a key that opens.
    pub(super) fn asked_by(&mut self, act: &Act, id: &str) {
        if !self.is_known_key(act, id) {
            return;
        }
        let Some(key) = self.keys.0.get(&sha256(id.as_bytes())) else { return };
        let is_over = key.is_revoked || key.ends <= act.iat;
        if !is_over {
            return;
        }
        // A revocation has its place in the order, and a clock may have been set back since.
        if act.iat < key.ends.saturating_add(BELATED_SECONDS) {
            count(&mut self.belated, act.index);
            return;
        }
        let told = clipped(id);
        let text = (
            format!("密钥 {told} 在此之前已撤销或到期"),
            format!("the key {told} was revoked, or had expired, before this"),
        );
        self.breach(act, Rule::KeyEnded, &[id], text);
    }
}
