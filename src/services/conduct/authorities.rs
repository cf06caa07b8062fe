//! Which keys may sign audit events: those that the registry log authorises, which is public and is followed beside.
//!
//! The trees count apart, and no leaf of the one says how many the other has. So what can be told of an event is whether the
//! registry authorises its key at all, and whether the keys came in the order in which it did: never one again after the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::Rule;
use super::book::Book;
use crate::model::text::Text;
use crate::services::audit::keys::{KeyFault, Succession};
use crate::services::follow::{Batch, FollowError, Follower};
use crate::sign::jws::{self, KEY_END_TYPE, KEYS_TYPE, Parsed};
use crate::sign::keys::PublicJwk;
use crate::sign::licence::KeyEndStatement;

/// What the registry says of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    pub keys: Succession,
    /// The last registry index for which a key's signatures count, where that was said.
    pub ends: BTreeMap<String, u64>,
    /// Of the genesis: every statement must bear it.
    pub issuer: Option<String>,
}

/// The registry log, as far as it was followed, and its keys.
pub struct Authorities {
    pub follower: Follower,
    pub known: Arc<Known>,
    /// Statements about keys that nobody authorised, and the first of them.
    pub faults: (u64, Option<u64>),
}

#[derive(Deserialize)]
struct Issued {
    iss: String,
}

impl Known {
    /// A key by its id, and its place in the order in which keys were authorised.
    pub(super) fn place_of(&self, kid: &str) -> Option<(usize, &PublicJwk)> {
        // The newest sign most.
        let place = self.keys.keys().iter().rposition(|known| known.key.kid == kid)?;
        self.keys.keys().get(place).map(|known| (place, &known.key))
    }

    fn take(&mut self, index: u64, entry: &[u8]) -> Result<(), KeyFault> {
        match jws::type_of(entry).unwrap_or_default().as_str() {
            KEYS_TYPE => {
                self.keys.take(index, entry)?;
                if index == 0 {
                    let payload = jws::payload_of(entry).map_err(|_| KeyFault::Unreadable)?;
                    self.issuer = serde_json::from_slice(&payload).ok().map(|Issued { iss }| iss);
                }
                Ok(())
            }
            KEY_END_TYPE => self.take_end(index, entry).ok_or(KeyFault::NotAuthorised),
            _ if index == 0 => Err(KeyFault::Genesis),
            _ => Ok(()),
        }
    }

    /// As an audit of the registry judges it: by the key in force, about one that was in force before.
    fn take_end(&mut self, index: u64, entry: &[u8]) -> Option<()> {
        let parsed = Parsed::parse(std::str::from_utf8(entry).ok()?).ok()?;
        let KeyEndStatement { kid, not_after, .. } = serde_json::from_slice(&parsed.payload).ok()?;
        let is_signed = self.keys.at(index).is_some_and(|key| parsed.verify(key));
        if !is_signed || !self.keys.is_succeeded(&kid, index) {
            return None;
        }
        let end = self.ends.entry(kid).or_insert(not_after);
        *end = not_after.min(*end);
        Some(())
    }

    /// Whether what a key signed is worth less than all: its end was said to lie before its successor's beginning.
    pub(super) fn is_cut_short(&self, place: usize) -> Option<(&str, u64)> {
        let key = self.keys.keys().get(place)?;
        let next = self.keys.keys().get(place + 1)?;
        let (kid, not_after) = self.ends.get_key_value(&key.key.kid)?;
        (*not_after < next.from).then_some((kid.as_str(), *not_after))
    }
}

impl Authorities {
    #[must_use]
    pub fn new(follower: Follower, known: Known) -> Authorities {
        Authorities { follower, known: Arc::new(known), faults: (0, None) }
    }

    /// Follows the registry to its newest head.
    pub(super) async fn advance(&mut self, progress: &mut dyn FnMut(u64)) -> Result<(), FollowError> {
        let (known, faults) = (&mut self.known, &mut self.faults);
        let advanced = self.follower.advance(|batch| {
            // Copied at most once, where bundles of the audit tree are still on their way with them.
            let known = Arc::make_mut(known);
            for (index, _, entry) in batch.iter() {
                if known.take(index, entry).is_err() {
                    faults.0 += 1;
                    faults.1.get_or_insert(index);
                }
            }
            progress(batch.first + batch.leaves.len() as u64);
            Ok(())
        });
        advanced.await.map(|_| ())
    }

    /// Whether something in a batch names a key that is not known yet, at this index or behind it.
    pub(super) fn lacks_a_key_of(&self, batch: &Batch, from: u64) -> bool {
        let mut last = String::new();
        let behind = batch.iter().filter(|(index, ..)| *index >= from);
        behind.filter_map(|(_, _, entry)| super::reading::kid_of(entry)).any(|kid| {
            let is_unknown = kid != last && self.known.place_of(&kid).is_none();
            last = kid;
            is_unknown
        })
    }

    /// The first key must be one that was pinned, if any was.
    pub(super) fn judge_genesis(&self, pinned: &[PublicJwk], book: &mut Book) {
        let first = self.known.keys.keys().first().map(|first| first.key.kid.as_str());
        if first.is_some_and(|first| pinned.is_empty() || pinned.iter().any(|pin| pin.kid == first)) {
            return;
        }
        let (zh, en) = match first {
            Some(kid) => (
                format!("登记日志的第一个密钥 {kid} 不在给定的公钥之中"),
                format!("the first key of the registry log, {kid}, is none of those that were given"),
            ),
            None => (
                "登记日志没有授权任何密钥：无从判断签名".to_owned(),
                "the registry log authorises no key: no signature can be judged".to_owned(),
            ),
        };
        book.found(0, "", Rule::Genesis, zh, en);
    }

    /// What is worth a look, and no fault of the audit tree.
    #[must_use]
    pub fn notes(&self, signed: &BTreeMap<usize, u64>) -> Vec<Text> {
        let mut notes = Vec::new();
        if let (count, Some(first)) = self.faults {
            notes.push(Text::new(
                format!("登记日志有 {count} 条密钥声明未经授权或不可读，首见于第 {first} 条：请另用 mingpai audit 审计登记树"),
                format!("the registry log has {count} statements about keys that nobody authorised, or that do not read, entry {first} first: audit the registry tree too"),
            ));
        }
        let cut = signed.iter().filter_map(|(place, count)| Some((self.known.is_cut_short(*place)?, count)));
        for ((kid, not_after), count) in cut {
            let first = not_after + 1;
            notes.push(Text::new(
                format!("密钥 {kid} 的签名自登记日志第 {first} 条起不算数；它签了 {count} 条审计事件，其中哪些在此之后无从得知"),
                format!("the signatures of the key {kid} count no more from registry entry {first} on; it signed {count} audit events, and which of them came after that cannot be told"),
            ));
        }
        notes
    }
}
