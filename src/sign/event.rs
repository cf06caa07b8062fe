//! What a leaf of either tree tells of who did what: the event, what it is about, and what may be shown of it.
//!
//! Never a value of a record, nor anything that opens a door. Events of the audit tree are read by their members' names, so
//! that one which a later program adds is told without a change here. Not the statements themselves: those are `statement`'s,
//! `licence`'s and `entry`'s.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::{Map, Value as Json};

use super::entry::Payload;
use super::jws::{self, KEY_END_TYPE, KEYS_TYPE, LICENCE_END_TYPE, LICENCE_TYPE, ORIGIN_TYPE};
use super::sd_jwt;
use crate::model::time::Timestamp;
use crate::store::journal::{Effect, Frame, FrameKind};

/// Words in the name of a member whose value is shown to nobody.
const SECRET_WORDS: [&str; 8] = ["hash", "secret", "token", "password", "salt", "seed", "private", "credential"];
/// Members by which a JSON Web Key says its private part (RFC 8037, section 2; RFC 7518, section 6.4).
const PRIVATE_MEMBERS: [&str; 2] = ["d", "k"];
/// Members of every audit event that are told elsewhere, or of the issuer alone.
const OF_EVERY_EVENT: [&str; 4] = ["iat", "iss", "principal", "event"];
/// Members that say what an audit event is about, the surest first.
const SUBJECTS: [&str; 9] =
    ["/filing", "/session", "/grant/id", "/grant", "/id", "/key/id", "/identifier", "/prefix", "/kid"];
/// Members that are epoch seconds, and are shown as times.
const TIMES: [&str; 6] = ["created", "expires", "from", "issued", "since", "until"];

/// What happened, as an auditor is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Such as `key.created`.
    pub name: Cow<'static, str>,
    /// Who asked: `key:ID`, or a part of the node itself.
    pub principal: String,
    /// An identifier, a key's id, a prefix or a name of the log; `None` where it is about none, and once that is erased.
    pub subject: Option<String>,
    /// Of a record.
    pub version: Option<u64>,
    /// What else may be shown.
    pub detail: Map<String, Json>,
}

impl Event {
    /// Reads the event of a frame that is a leaf; says what is wrong with any other.
    pub fn of(frame: &Frame) -> Result<Event, String> {
        match frame.kind {
            FrameKind::Entry | FrameKind::Withheld => of_entry(frame),
            FrameKind::Statement => of_statement(frame),
            FrameKind::Erasure => Ok(of_erasure(frame)),
            FrameKind::Audit => of_audit(frame),
            FrameKind::CheckpointHead | FrameKind::Seal => Err("no leaf of a tree".to_owned()),
        }
    }

    fn new(name: &'static str, frame: &Frame) -> Event {
        let principal = frame.meta.principal.clone();
        Event { name: name.into(), principal, subject: None, version: None, detail: Map::new() }
    }
}

fn of_entry(frame: &Frame) -> Result<Event, String> {
    let name = match frame.meta.effect {
        Effect::Created => "record.created",
        Effect::Deleted => "record.deleted",
        Effect::Updated | Effect::None => "record.updated",
    };
    let mut event = Event::new(name, frame);
    event.version = Some(frame.meta.version);
    // A log that is open says names in clear, for ever; who asked for the erasure does not want to meet them here.
    if let Some(disclosures) = &frame.disclosures {
        event.subject = identifier(&frame.statement, disclosures)?;
    }
    if let Some(job) = &frame.meta.job {
        event.detail.insert("job".to_owned(), job.map(|byte| format!("{byte:02x}")).concat().into());
    }
    Ok(event)
}

/// The identifier of an entry. Of what it hides nothing else is looked at.
fn identifier(statement: &[u8], disclosures: &[u8]) -> Result<Option<String>, String> {
    let wrong = |error: serde_json::Error| error.to_string();
    let payload: Payload<IgnoredAny> = serde_json::from_slice(&jws::payload_of(statement)?).map_err(wrong)?;
    if payload.sub.is_some() {
        return Ok(payload.sub);
    }
    let disclosures = std::str::from_utf8(disclosures).map_err(|_| "the disclosures are not text".to_owned())?;
    let mut room = Vec::new();
    for encoded in disclosures.split('~').filter(|encoded| !encoded.is_empty()) {
        let (name, value) = sd_jwt::open(encoded, &mut room)?;
        if name == "sub" {
            return serde_json::from_str(value.get()).map_err(wrong);
        }
    }
    Ok(None)
}

/// Keys that sign, licences and names of the log: all public, of which that is told which says what was decided.
fn of_statement(frame: &Frame) -> Result<Event, String> {
    let (typ, payload) = (jws::type_of(&frame.statement)?, payload(frame)?);
    let (name, subject, shown): (_, _, &[&str]) = match typ.as_str() {
        KEYS_TYPE => ("signing_key.authorised", "/key/kid", &[]),
        KEY_END_TYPE => ("signing_key.ended", "/kid", &["not_after"]),
        LICENCE_TYPE => ("licence.granted", "/prefix", &["seq", "role", "holder", "owner_signature"]),
        LICENCE_END_TYPE => ("licence.ended", "/prefix", &["seq", "licence", "reason", "not_after"]),
        ORIGIN_TYPE => ("log.renamed", "/origin", &["before", "size"]),
        _ => ("statement.recorded", "", &[]),
    };
    let mut event = Event::new(name, frame);
    event.subject = payload.pointer(subject).and_then(Json::as_str).map(str::to_owned);
    let members = shown.iter().filter_map(|name| Some(((*name).to_owned(), payload.get(name)?.clone())));
    event.detail = members.collect();
    if name == "statement.recorded" {
        event.detail.insert("typ".to_owned(), typ.into());
    }
    Ok(event)
}

fn of_erasure(frame: &Frame) -> Event {
    let mut event = Event::new("record.erased", frame);
    if frame.meta.previous.is_some() {
        event.detail.insert("erases".to_owned(), frame.meta.previous_index.into());
    }
    event
}

fn of_audit(frame: &Frame) -> Result<Event, String> {
    let payload = payload(frame)?;
    let text = |name: &str| payload.get(name).and_then(Json::as_str).map(str::to_owned);
    let mut event = Event::new("", frame);
    event.name = text("event").ok_or("an audit event without a name")?.into();
    if let Some(principal) = text("principal") {
        event.principal = principal;
    }
    let subject = SUBJECTS.iter().find_map(|pointer| Some((*pointer, payload.pointer(pointer)?.as_str()?)));
    event.subject = subject.map(|(_, text)| text.to_owned());
    let told = subject.and_then(|(pointer, _)| pointer.rsplit('/').next()).unwrap_or_default();
    let members = payload.as_object().into_iter().flatten();
    for (name, value) in members.filter(|(name, _)| !OF_EVERY_EVENT.contains(&name.as_str())) {
        match value {
            // What is said of the key or grant that an event is about is said of the event.
            Json::Object(members) if name == "key" || name == "grant" => event.detail.extend(shown(members, told)),
            value => event.detail.extend(shown_member(name, value).filter(|(name, _)| name != told)),
        }
    }
    Ok(event)
}

fn payload(frame: &Frame) -> Result<Json, String> {
    serde_json::from_slice(&jws::payload_of(&frame.statement)?).map_err(|error| error.to_string())
}

/// The members that may be shown, but for one that is told already.
fn shown(members: &Map<String, Json>, told: &str) -> Map<String, Json> {
    let members = members.iter().filter(|(name, _)| *name != told);
    members.filter_map(|(name, value)| shown_member(name, value)).collect()
}

fn shown_member(name: &str, value: &Json) -> Option<(String, Json)> {
    let lower = name.to_ascii_lowercase();
    if SECRET_WORDS.iter().any(|word| lower.contains(word)) || PRIVATE_MEMBERS.contains(&lower.as_str()) {
        return None;
    }
    let time = value.as_i64().filter(|_| TIMES.contains(&name)).and_then(|at| Timestamp::from_seconds(at).ok());
    let value = time.map_or_else(|| without_secrets(value), |time| time.to_string().into());
    Some((name.to_owned(), value))
}

/// The depth is bounded by serde_json, which read it.
fn without_secrets(value: &Json) -> Json {
    match value {
        Json::Object(members) => shown(members, "").into(),
        Json::Array(items) => items.iter().map(without_secrets).collect::<Vec<_>>().into(),
        plain => plain.clone(),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
    use serde_json::json;

    use super::*;
    use crate::store::journal::{Location, Meta};

    fn frame(kind: FrameKind, typ: &str, payload: &Json) -> Frame {
        let part = |json: &Json| BASE64URL.encode(json.to_string());
        let header = json!({"alg": "EdDSA", "typ": typ, "kid": "k"});
        Frame {
            sequence: 0,
            location: Location::default(),
            kind,
            meta: Meta::plain(7, "node"),
            statement: format!("{}.{}.AAAA", part(&header), part(payload)).into_bytes(),
            disclosures: None,
            index: 0,
        }
    }

    fn audit(event: Json) -> Event {
        let mut payload = json!({"iat": 7, "iss": "urn:node", "principal": "key:a"});
        payload.as_object_mut().unwrap().extend(event.as_object().unwrap().clone());
        Event::of(&frame(FrameKind::Audit, jws::AUDIT_TYPE, &payload)).unwrap()
    }

    #[test]
    fn an_event_that_nobody_knew_is_told_without_its_secrets() {
        let event = audit(json!({
            "event": "vault.opened", "id": "V1", "reason": "drill", "apiToken": "T", "door": {"Secret_hash": "H", "floor": 3},
            "steps": [{"password": "P", "at": 1}], "key": {"d": "D", "id": "K", "expires": 0, "label": "导入"},
        }));
        assert_eq!(
            (&*event.name, event.principal.as_str(), event.subject.as_deref()),
            ("vault.opened", "key:a", Some("V1"))
        );
        let wanted = json!({
            "reason": "drill", "door": {"floor": 3}, "steps": [{"at": 1}], "expires": "1970-01-01T00:00:00Z", "label": "导入",
        });
        assert_eq!(Json::Object(event.detail), wanted);
    }

    #[test]
    fn a_key_is_the_subject_of_its_making_and_its_hash_is_not_shown() {
        let key = json!({"id": "K", "hash": "H", "role": "reader", "prefixes": ["88.1"], "label": "", "created": 7});
        let event = audit(json!({"event": "bootstrap.used", "token": "bootstrap:1", "key": key}));
        assert_eq!(event.subject.as_deref(), Some("K"));
        let wanted = json!({"role": "reader", "prefixes": ["88.1"], "label": "", "created": "1970-01-01T00:00:07Z"});
        assert_eq!(Json::Object(event.detail), wanted);
        assert!(Event::of(&frame(FrameKind::Audit, jws::AUDIT_TYPE, &json!({"iat": 7}))).is_err());
    }

    #[test]
    fn a_statement_of_a_kind_to_come_is_told_by_its_type() {
        let event = Event::of(&frame(FrameKind::Statement, "mingpai-new+jwt", &json!({"value": "V"}))).unwrap();
        assert_eq!((&*event.name, event.subject), ("statement.recorded", None));
        assert_eq!(Json::Object(event.detail), json!({"typ": "mingpai-new+jwt"}));
    }

    #[test]
    fn an_erasure_names_the_leaf_and_an_entry_that_is_erased_no_identifier() {
        let mut erasure = frame(FrameKind::Erasure, jws::ERASURE_TYPE, &json!({}));
        erasure.meta.previous = Some(Location { segment: 1, offset: 64, length: 100 });
        erasure.meta.previous_index = 5;
        let event = Event::of(&erasure).unwrap();
        assert_eq!((&*event.name, event.subject, &event.detail["erases"]), ("record.erased", None, &json!(5)));
        let payload =
            json!({"_sd": [], "_sd_alg": "sha-256", "iat": 7, "iss": "i", "sid": "s", "sub": "88.1/a", "ver": 1});
        let mut entry = frame(FrameKind::Entry, jws::ENTRY_TYPE, &payload);
        assert_eq!(Event::of(&entry).unwrap().subject, None, "though the log says it in clear");
        entry.disclosures = Some(Vec::new());
        assert_eq!(Event::of(&entry).unwrap().subject.as_deref(), Some("88.1/a"));
    }
}
