//! An entry that a stranger discloses: each disclosure is one that was signed, none is there twice, and the record is bound to
//! the entry's `sid`. Whether the entry itself is signed is asked elsewhere. What a stranger keeps back, nobody can tell: digests
//! of decoys look like any others.

use std::collections::HashSet;

use super::entry::{Claims, Payload, record_of};
use super::{jws, sd_jwt};
use crate::model::prefix::Prefixes;
use crate::model::record::Record;
use crate::model::time::Timestamp;

/// The record that these disclosures state, joined by "~"; says in a word what is wrong with them.
pub fn read_disclosed(
    statement: &[u8],
    disclosures: &str,
    registered: Timestamp,
    prefixes: &Prefixes,
) -> Result<Record, String> {
    let payload: Payload = serde_json::from_slice(&jws::payload_of(statement)?).map_err(|error| error.to_string())?;
    let signed: HashSet<&str> = payload.sd.iter().map(String::as_str).collect();
    let mut claims = Claims::in_clear(&payload);
    let mut names = HashSet::new();
    for encoded in disclosures.split('~').filter(|encoded| !encoded.is_empty()) {
        if !signed.contains(sd_jwt::digest_of(encoded).as_str()) {
            return Err("a disclosure is not among the signed digests".to_owned());
        }
        let (name, value) = sd_jwt::open(encoded)?;
        let in_clear = match name.as_str() {
            "sub" | "case" => payload.sub.is_some(),
            "state" => payload.state.is_some(),
            "registrant" => payload.registrant.is_some(),
            _ => false,
        };
        if in_clear || !names.insert(name.clone()) {
            return Err(format!("the claim {name} is there twice"));
        }
        claims.take(&name, value).map_err(|error| format!("{name}: {error}"))?;
    }
    let blinded = Claims { sid_key: claims.sid_key.clone(), ..Claims::default() };
    let record = record_of(&payload, claims, registered, prefixes)?;
    if !blinded.belongs(&record.identifier, &payload.sid) {
        return Err(format!("the sid is not that of {}", record.identifier.spelling()));
    }
    Ok(record)
}
