//! What was done so far, as far as the rules need it, and what went against them.
//!
//! An event that this program does not know may have changed whatever it names. So what would break a rule about such a thing is
//! no accusation: it is counted as unclear, as is an event that does not say what its own rules ask for. An audit with anything
//! unclear cannot say yes.
//!
//! Names are held as hashes, so that a log's own words do not decide how much memory they take: about 55 to 110 bytes a key, 60
//! to 120 a session, 250 to 500 a filing and 64 each of its reviewers, 100 and the name a prefix, 65 to 130 a grant, 35 to 70 a name that an unknown event has.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use serde_json::Value as Json;

use super::Rule;
use super::filings::Filings;
use super::grants::Grants;
use super::keys::Keys;
use super::prefixes::Prefixes;
use super::reading::{Act, Examined, Says, key_of, read};
use super::sessions::Sessions;
use crate::model::filing::Step;
use crate::model::prefix::PrefixStep;
use crate::model::text::Text;
use crate::services::audit::ledger::{TOLD_ANOMALIES, count_apart};
use crate::services::token::sha256;
use crate::tlog::hash::Hash;

/// What is held at most of a log: some ten million keys, or two million filings.
const MOST_BYTES: u64 = 1 << 30;
/// A longer text names nothing.
const NAME_BYTES: usize = 256;

/// Something that must not be, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Breach {
    pub index: u64,
    /// Empty where it is about no event alone.
    pub event: String,
    pub kind: Rule,
    pub detail: Text,
}

/// Why an event was held against no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unjudged {
    /// None is known for its name.
    Name,
    /// It does not say what its rules ask for.
    Form,
}

/// How many, and the first of them.
pub type Counted = (u64, Option<u64>);

#[derive(Default)]
pub struct Book {
    pub breaches: Vec<Breach>,
    /// With those that are not told.
    pub breach_count: u64,
    /// What would break a rule if no event that is not known here had been about it, and what its rules cannot be held against.
    pub unclear: Counted,
    /// What a key did in the minutes after its end: it may have been asked for before.
    pub belated: Counted,
    /// Events dated before the one in front of them. No fault: clocks are set back.
    pub earlier: Counted,
    /// Events by their names, and those that this program does not know.
    pub events: BTreeMap<String, u64>,
    pub unknown: BTreeMap<String, u64>,
    /// Statements by the place of the key that signed them.
    pub signed: BTreeMap<usize, u64>,
    last_iat: i64,
    pub(super) keys: Keys,
    pub(super) sessions: Sessions,
    pub(super) filings: Filings,
    pub(super) prefixes: Prefixes,
    pub(super) grants: Grants,
    /// Names that unknown events have.
    touched: HashSet<Hash>,
}

/// How much of each there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Held {
    pub keys: u64,
    pub filings: u64,
    pub prefixes: u64,
    pub bytes: u64,
}

impl Book {
    #[must_use]
    pub fn held(&self) -> Held {
        let (keys, filings) = (self.keys.0.len() as u64, self.filings.0.len() as u64);
        let others = 130 * self.grants.len()
            + 120 * self.sessions.len()
            + 70 * self.touched.len() as u64
            + self.prefixes.bytes();
        Held { keys, filings, prefixes: self.prefixes.len(), bytes: 110 * keys + self.filings.bytes() + others }
    }

    /// Whether more than is held would have to be.
    pub(super) fn is_full(&self) -> bool {
        self.held().bytes > MOST_BYTES
    }

    pub(super) fn take(&mut self, examined: Vec<Examined>, issuer: Option<&str>) {
        for one in examined {
            self.take_one(one, issuer);
        }
    }

    fn take_one(&mut self, one: Examined, issuer: Option<&str>) {
        let index = one.index;
        let said = one.said.and_then(|(typ, payload)| read(index, &typ, &payload));
        let name = said.as_ref().map_or_else(|_| String::new(), |(says, _)| says.name().to_owned());
        match &said {
            Err(what) => {
                self.found(index, "", Rule::Unreadable, format!("不可读：{what}"), format!("it does not read: {what}"));
            }
            Ok((_, iss)) if issuer.is_some_and(|issuer| issuer != iss) => {
                let (zh, en) = ("签发者不是登记日志的签发者", "its issuer is not that of the registry log");
                self.found(index, &name, Rule::WrongIssuer, zh, en);
            }
            Ok(_) => {}
        }
        let Some(place) = one.signer else {
            let (zh, en) = ("签名不是由登记日志授权的密钥所作", "not signed by a key that the registry log authorises");
            self.found(index, &name, Rule::NotSigned, zh, en);
            // What nobody authorised was told as such, and was not done by the node.
            return;
        };
        if self.signed.last_key_value().is_some_and(|(last, _)| *last > place) {
            let (zh, en) = ("由已被后一把密钥接替的密钥签署", "signed by a key after its successor had signed");
            self.found(index, &name, Rule::KeyOutOfTurn, zh, en);
        }
        *self.signed.entry(place).or_default() += 1;
        match said {
            Ok((Says::Act(act), _)) => self.take_act(&act),
            Ok((Says::Misplaced(typ), _)) => {
                let (zh, en) =
                    ("登记树的声明不应出现在审计树中", "a statement of the registry has no place in the audit tree");
                self.found(index, &typ, Rule::Misplaced, zh, en);
            }
            Ok((Says::Other(typ), _)) => count_apart(&mut self.unknown, &typ),
            Err(_) => {}
        }
    }

    pub(super) fn take_act(&mut self, act: &Act) {
        if act.iat < self.last_iat {
            count(&mut self.earlier, act.index);
        }
        self.last_iat = act.iat;
        count_apart(&mut self.events, &act.event);
        if let Some(id) = act.asking_key() {
            self.asked_by(act, id);
        }
        match self.judge(act) {
            Ok(()) => return,
            Err(Unjudged::Name) => count_apart(&mut self.unknown, &act.event),
            Err(Unjudged::Form) => count(&mut self.unclear, act.index),
        }
        act.members.values().for_each(|member| self.touch(member));
    }

    /// By the rules of its event: a line for each.
    fn judge(&mut self, act: &Act) -> Result<(), Unjudged> {
        let judged = match act.event.as_str() {
            "key.created" => self.key_created(act),
            "key.revoked" => self.key_revoked(act),
            "bootstrap.used" => self.bootstrap_used(act),
            "session.opened" => self.session_opened(act),
            "session.closed" => self.session_closed(act),
            "access.denied" => self.access_denied(act),
            // By the operator's word: nothing in this tree contradicts it.
            "log.continued" => Some(()),
            // Which statements it blanks is the registry's to say.
            "erasure.ordered" => act.text("sid").map(|_| ()),
            "filing.revealed" => self.filing_revealed(act),
            "grant.given" => self.grant_given(act),
            "grant.revoked" => self.grant_revoked(act),
            "grant.used" => self.grant_used(act),
            event => match event.split_once('.') {
                Some(("filing", step)) => self.filing_step(act, Step::of_word(step).ok_or(Unjudged::Name)?),
                Some(("prefix", step)) => self.prefix_step(act, PrefixStep::of_word(step).ok_or(Unjudged::Name)?),
                _ => return Err(Unjudged::Name),
            },
        };
        judged.ok_or(Unjudged::Form)
    }

    /// Those who were refused are keys that there are.
    fn access_denied(&mut self, act: &Act) -> Option<()> {
        for denial in act.members.get("denials")?.as_array()? {
            if let Some(id) = key_of(denial.get("principal")?.as_str()?) {
                self.is_known_key(act, id);
            }
        }
        Some(())
    }

    /// What a member names is beyond what can be told from here on. The depth is bounded by serde_json, which read it.
    fn touch(&mut self, member: &Json) {
        match member {
            Json::String(text) if text.len() <= NAME_BYTES => {
                self.touched.insert(sha256(key_of(text).unwrap_or(text).as_bytes()));
            }
            Json::Array(items) => items.iter().for_each(|item| self.touch(item)),
            Json::Object(members) => members.values().for_each(|member| self.touch(member)),
            _ => {}
        }
    }

    /// A rule is broken, about things of these names.
    pub(super) fn breach(
        &mut self,
        act: &Act,
        kind: Rule,
        about: &[&str],
        (zh, en): (impl Into<String>, impl Into<String>),
    ) {
        if about.iter().any(|name| self.touched.contains(&sha256(name.as_bytes()))) {
            count(&mut self.unclear, act.index);
        } else {
            self.found(act.index, &act.event, kind, zh, en);
        }
    }

    pub(super) fn found(&mut self, index: u64, event: &str, kind: Rule, zh: impl Into<String>, en: impl Into<String>) {
        self.breach_count += 1;
        if self.breaches.len() < TOLD_ANOMALIES {
            self.breaches.push(Breach { index, event: event.to_owned(), kind, detail: Text::new(zh, en) });
        }
    }
}

/// One more, of which the first is known.
pub(super) fn count(counted: &mut Counted, index: u64) {
    counted.0 += 1;
    counted.1.get_or_insert(index);
}
