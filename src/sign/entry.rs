//! A record's version as a signed entry: an SD-JWT whose issuer part alone is the leaf of the registry tree.
//!
//! In clear: `iss`, `iat`, `ver`, `prev`, `sid`. Everything else is a salted disclosure, so the log tells nobody which
//! products a company registers. `sid` = SHA-256(sid_key || canonical identifier), and
//! sid_key = HMAC-SHA-256(the prefix's secret, canonical identifier): whoever is shown `sub` and `sid_key` can check that
//! the entry is about this identifier; nobody else can enumerate. A prefix with an open log has `sub`, `state` and
//! `registrant` in clear.
//!
//! Whether cases tell names apart follows from `sid`, except where the suffix is spelled in lower case: both ways of
//! comparing give that one key. There `case` says it, beside `sub`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::blinding::{Blinding, sid_of};
use super::jws::{self, ENTRY_TYPE};
use super::keys::SigningKey;
use super::sd_jwt::{self, Digest, Hidden, HideError, Hider};
use crate::model::identifier::Identifier;
use crate::model::prefix::{LogMode, Prefixes, SuffixCase};
use crate::model::record::{Record, Status};
use crate::model::scheme::Scheme;
use crate::model::time::Timestamp;
use crate::model::value::{Value, ValueWriter};
use crate::store::rows::LeafHash;

/// The most bytes of a statement: a leaf's length is a u16 (C2SP tlog-tiles).
pub const MAX_STATEMENT_BYTES: usize = 65_535;

/// Why an entry could not be built.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// The record has too many or too long values.
    #[error("the entry has {found} {unit}, {limit} fit: put fewer values into the record, or split it")]
    TooLarge { found: usize, limit: usize, unit: &'static str },
    #[error("the operating system gave no randomness for the salts")]
    NoRandomness,
    #[error("the record does not encode: {0}")]
    Encode(#[from] serde_json::Error),
}

/// An entry, ready for the journal.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The issuer-signed JWT: the leaf, byte for byte.
    pub statement: String,
    /// As they stand in the journal.
    pub disclosures: String,
    pub sid: [u8; 32],
}

/// What the signed payload says in clear. Who needs no digests reads it with another type in their place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Payload<Digests = Vec<String>> {
    #[serde(rename = "_sd", default)]
    pub sd: Digests,
    #[serde(rename = "_sd_alg")]
    pub sd_alg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<SuffixCase>,
    pub iat: i64,
    pub iss: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registrant: Option<String>,
    pub sid: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Status>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    pub ver: u64,
}

/// Who signs entries.
pub struct Signer<'a> {
    pub key: &'a SigningKey,
    pub issuer: &'a str,
    pub blinding: &'a Blinding,
}

impl Signer<'_> {
    /// Builds and signs the entry of a record's version. `prev` is the leaf hash of the version before.
    ///
    /// `owner_jws` is the owner's own signature, which was checked.
    pub fn entry(
        &self,
        record: &Record,
        log: LogMode,
        prev: Option<&LeafHash>,
        owner_jws: Option<&str>,
    ) -> Result<Entry, EntryError> {
        let sid_key = self.blinding.sid_key(&record.identifier);
        let sid = sid_of(&sid_key, record.identifier.key());
        let open = log == LogMode::Open;
        let mut hider = hide(record, &sid_key, open)?;
        if let Some(owner_jws) = owner_jws {
            hider.hide("owner_jws", &owner_jws)?;
        }
        let Hidden { disclosures, digests } = hider.finish().map_err(|error| match error {
            HideError::NoRandomness => EntryError::NoRandomness,
            HideError::TooManyClaims => {
                EntryError::TooLarge { found: record.values.len() + 9, limit: sd_jwt::MAX_DIGESTS, unit: "claims" }
            }
        })?;
        let payload = Payload {
            sd: Vec::new(),
            sd_alg: "sha-256".to_owned(),
            case: said_case(&record.identifier).filter(|_| open),
            iat: record.updated.as_seconds(),
            iss: self.issuer.to_owned(),
            prev: prev.map(|leaf| BASE64URL.encode(leaf)),
            registrant: record.registrant.clone().filter(|_| open),
            sid: BASE64URL.encode(sid),
            state: open.then_some(record.status),
            sub: open.then(|| record.identifier.spelling().to_owned()),
            ver: record.version,
        };
        let statement = jws::sign(self.key, ENTRY_TYPE, &with_digests(&payload, &digests)?);
        if statement.len() > MAX_STATEMENT_BYTES {
            return Err(EntryError::TooLarge { found: statement.len(), limit: MAX_STATEMENT_BYTES, unit: "bytes" });
        }
        Ok(Entry { statement, disclosures, sid })
    }
}

/// The payload's JSON with these in its `_sd`, which is empty there and stands first: they need no escapes, so they are written
/// as they are.
fn with_digests(payload: &Payload, digests: &[Digest]) -> Result<Vec<u8>, serde_json::Error> {
    const FIRST: &[u8] = b"{\"_sd\":[";
    let mut json = Vec::with_capacity(512);
    serde_json::to_writer(&mut json, payload)?;
    let mut out = Vec::with_capacity(json.len() + digests.len() * 46);
    out.extend_from_slice(FIRST);
    for (at, digest) in digests.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"\"" } else { b",\"" });
        out.extend_from_slice(digest.as_bytes());
        out.push(b'"');
    }
    out.extend_from_slice(&json[FIRST.len()..]);
    Ok(out)
}

fn hide(record: &Record, sid_key: &[u8], open: bool) -> Result<Hider, serde_json::Error> {
    let mut hider = Hider::default();
    hider.hide("sid_key", &BASE64URL.encode(sid_key))?;
    if !open {
        hider.hide("sub", &record.identifier.spelling())?;
        if let Some(case) = said_case(&record.identifier) {
            hider.hide("case", &case)?;
        }
        hider.hide("state", &record.status)?;
        if let Some(registrant) = &record.registrant {
            hider.hide("registrant", registrant)?;
        }
    }
    if let Some(template) = &record.template {
        hider.hide("template", template)?;
    }
    if !record.links.is_empty() {
        hider.hide("links", &record.links)?;
    }
    if !record.aliases.is_empty() {
        hider.hide("aliases", &record.aliases)?;
    }
    let mut writer = ValueWriter::default();
    for value in &record.values {
        hider.hide_written(format_args!("value/{}", value.index), |json| writer.write(value, json))?;
    }
    Ok(hider)
}

/// How the suffix compares, where the `sid` leaves that open: spelled in lower case it has one key either way.
fn said_case(identifier: &Identifier) -> Option<SuffixCase> {
    let suffix = identifier.suffix();
    let is_open = matches!(identifier.scheme(), Scheme::Vaa | Scheme::Handle)
        && suffix.bytes().any(|byte| byte.is_ascii_lowercase())
        && !suffix.bytes().any(|byte| byte.is_ascii_uppercase());
    is_open.then(|| SuffixCase::of(identifier))
}

/// The compact SD-JWT that a reader is given: the statement, and the disclosures of which `visible` approves the value (`None`:
/// one that does not read).
///
/// What is no value (name, state, links and so on) is what every reader of the record sees, so it always goes along. But the
/// owner's signature goes to who sees every value: its digest has no salt, so it would tell whether a guess at a hidden one
/// is right.
pub fn present(
    statement: &str,
    disclosures: &str,
    visible: impl Fn(Option<&Value>) -> bool,
) -> Result<String, &'static str> {
    let mut out = String::with_capacity(statement.len() + disclosures.len() + 2);
    out.push_str(statement);
    out.push('~');
    let (mut owner_jws, mut is_whole, mut room) = (None, true, Vec::new());
    for encoded in disclosures.split('~').filter(|encoded| !encoded.is_empty()) {
        let (name, value) = sd_jwt::open(encoded, &mut room)?;
        if name == "owner_jws" {
            owner_jws = Some(encoded);
        } else if !name.starts_with("value/") || visible(Value::read(value.get()).ok().as_ref()) {
            out.push_str(encoded);
            out.push('~');
        } else {
            is_whole = false;
        }
    }
    if let Some(owner_jws) = owner_jws.filter(|_| is_whole) {
        out.push_str(owner_jws);
        out.push('~');
    }
    Ok(out)
}

/// Reads a record back from its entry: the other half of [`Signer::entry`].
pub fn read(
    statement: &[u8],
    disclosures: &[u8],
    registered: Timestamp,
    prefixes: &Prefixes,
) -> Result<Record, String> {
    let payload = jws::payload_of(statement)?;
    let payload: Payload<IgnoredAny> = serde_json::from_slice(&payload).map_err(|error| error.to_string())?;
    let disclosures = std::str::from_utf8(disclosures).map_err(|_| "the disclosures are not text".to_owned())?;
    let (mut claims, mut room) = (Claims::in_clear(&payload), Vec::new());
    for encoded in disclosures.split('~').filter(|encoded| !encoded.is_empty()) {
        let (name, value) = sd_jwt::open(encoded, &mut room)?;
        claims.take(&name, value).map_err(|error| format!("{name}: {error}"))?;
    }
    record_of(&payload, claims, registered, prefixes)
}

/// The record that claims state.
pub(super) fn record_of<Digests>(
    payload: &Payload<Digests>,
    claims: Claims,
    registered: Timestamp,
    prefixes: &Prefixes,
) -> Result<Record, String> {
    let sub = claims.sub.as_deref().ok_or("no identifier is disclosed")?;
    let identifier = Identifier::parse(sub).map_err(|error| error.to_string())?;
    let identifier = as_signed(identifier, &claims, &payload.sid, prefixes);
    Ok(Record {
        identifier,
        version: payload.ver,
        status: claims.state.ok_or("no state is disclosed")?,
        template: claims.template,
        values: claims.values,
        links: claims.links,
        aliases: claims.aliases,
        registrant: claims.registrant,
        registered,
        updated: Timestamp::from_seconds(payload.iat).map_err(|error| error.to_string())?,
    })
}

/// The identifier as it was registered: how it compares is said, or the `sid` tells.
///
/// Not what the prefix's policy says today: a policy that has changed since would give two records one key, and a store
/// made anew would lose one of them. It tells only of an entry from before `case` was signed, and only where the key is one
/// either way.
fn as_signed(identifier: Identifier, claims: &Claims, sid: &str, prefixes: &Prefixes) -> Identifier {
    let readings = claims.readings(&identifier);
    if let [said] = readings.as_slice() {
        return said.clone();
    }
    let likely = prefixes.keyed(identifier);
    if claims.belongs(&likely, sid) {
        return likely;
    }
    readings.into_iter().find(|reading| claims.belongs(reading, sid)).unwrap_or(likely)
}

/// The disclosed claims of an entry.
#[derive(Default)]
pub struct Claims {
    pub sub: Option<String>,
    pub case: Option<SuffixCase>,
    pub sid_key: Option<String>,
    pub state: Option<Status>,
    pub template: Option<String>,
    pub registrant: Option<String>,
    pub owner_jws: Option<String>,
    pub values: Vec<Value>,
    pub links: Vec<crate::model::link::Link>,
    pub aliases: Vec<crate::model::alias::Alias>,
}

impl Claims {
    /// What a payload says without a disclosure.
    pub fn in_clear<Digests>(payload: &Payload<Digests>) -> Claims {
        Claims {
            sub: payload.sub.clone(),
            case: payload.case,
            state: payload.state,
            registrant: payload.registrant.clone(),
            ..Claims::default()
        }
    }

    /// The ways in which the identifier may compare: the one that is said, or both.
    pub fn readings(&self, identifier: &Identifier) -> Vec<Identifier> {
        let both = [SuffixCase::Insensitive, SuffixCase::Sensitive];
        both.into_iter()
            .filter(|way| self.case.is_none_or(|said| said == *way))
            .map(|way| way.reading(identifier))
            .collect()
    }

    /// Whether a `sid` is this identifier's, by the key that blinds it.
    pub fn belongs(&self, identifier: &Identifier, sid: &str) -> bool {
        let sid_key = self.sid_key.as_deref().and_then(|text| BASE64URL.decode(text).ok()).unwrap_or_default();
        BASE64URL.encode(sid_of(&sid_key, identifier.key())) == sid
    }

    /// Takes one disclosure in; a name that is not known is an error, for it would be dropped unseen.
    pub fn take(&mut self, name: &str, value: &RawValue) -> Result<(), serde_json::Error> {
        let json = value.get();
        match name {
            "sub" => self.sub = serde_json::from_str(json)?,
            "case" => self.case = Some(serde_json::from_str(json)?),
            "sid_key" => self.sid_key = serde_json::from_str(json)?,
            "state" => self.state = serde_json::from_str(json)?,
            "template" => self.template = serde_json::from_str(json)?,
            "registrant" => self.registrant = serde_json::from_str(json)?,
            "owner_jws" => self.owner_jws = serde_json::from_str(json)?,
            "links" => self.links = serde_json::from_str(json)?,
            "aliases" => self.aliases = serde_json::from_str(json)?,
            _ if name.starts_with("value/") => {
                self.values.push(Value::read(json)?);
            }
            _ => {
                return Err(serde::de::Error::custom("no claim of an entry has this name"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_written_as_serde_would() {
        let mut hider = Hider::default();
        hider.hide("state", &"active").unwrap();
        let Hidden { digests, .. } = hider.finish().unwrap();
        for digests in [digests.as_slice(), &digests[..1], &[]] {
            let mut payload = Payload {
                sd: Vec::new(),
                sd_alg: "sha-256".to_owned(),
                case: None,
                iat: 1_790_000_000,
                iss: "urn:\"_sd\":[]".to_owned(),
                prev: None,
                registrant: Some("海宁紧固件".to_owned()),
                sid: String::new(),
                state: None,
                sub: None,
                ver: 1,
            };
            let written = with_digests(&payload, digests).unwrap();
            payload.sd = digests.iter().map(|one| String::from_utf8(one.as_bytes().to_vec()).unwrap()).collect();
            assert_eq!(written, serde_json::to_vec(&payload).unwrap());
        }
    }
}
