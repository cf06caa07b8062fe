//! An entry that a stranger discloses: each disclosure is one that was signed, none is there twice, and the record is bound to
//! the entry's `sid` and is one that a node could have registered. Whether the entry itself is signed is asked elsewhere. What a
//! stranger keeps back, nobody can tell: digests of decoys look like any others.
//!
//! What is said of a fault is shown around, so that nothing hidden is in it: neither names nor values.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::entry::{Claims, Payload, record_of};
use super::{jws, sd_jwt};
use crate::model::draft::DraftLimits;
use crate::model::prefix::Prefixes;
use crate::model::record::Record;
use crate::model::time::Timestamp;

/// The most bytes of an entry's disclosures, joined: four times what its values may weigh (`DraftLimits::max_record_bytes`), so
/// that base64, escapes and links have room.
pub const MAX_DISCLOSED_BYTES: usize = 4 << 20;

static LIMITS: LazyLock<DraftLimits> = LazyLock::new(DraftLimits::default);

/// What is wrong with what is disclosed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undisclosed {
    /// The entry's key did not sign this: whoever passed it on may have changed it.
    NotSigned(&'static str),
    /// The entry's key signed it, and no node registers such a record.
    NoRecord(String),
}

/// The record that these disclosures state, joined by "~".
pub fn read_disclosed(
    statement: &[u8],
    disclosures: &str,
    registered: Timestamp,
    prefixes: &Prefixes,
) -> Result<Record, Undisclosed> {
    if disclosures.len() > MAX_DISCLOSED_BYTES {
        return Err(Undisclosed::NotSigned("its disclosures are longer than any record's"));
    }
    let no_record = Undisclosed::NoRecord;
    let payload = jws::payload_of(statement).map_err(|error| no_record(error.to_string()))?;
    let payload: Payload = serde_json::from_slice(&payload).map_err(|error| no_record(error.to_string()))?;
    let signed: HashSet<&str> = payload.sd.iter().map(String::as_str).collect();
    let mut claims = Claims::in_clear(&payload);
    let (mut names, mut room) = (HashSet::new(), Vec::new());
    for encoded in disclosures.split('~').filter(|encoded| !encoded.is_empty()) {
        if !signed.contains(sd_jwt::digest_of(encoded).as_str()) {
            return Err(Undisclosed::NotSigned("a disclosure is not among the signed digests"));
        }
        let (name, value) = sd_jwt::open(encoded, &mut room).map_err(|what| no_record(what.to_owned()))?;
        let in_clear = match name.as_ref() {
            "sub" | "case" => payload.sub.is_some(),
            "state" => payload.state.is_some(),
            "registrant" => payload.registrant.is_some(),
            _ => false,
        };
        if in_clear || !names.insert(name.clone().into_owned()) {
            return Err(Undisclosed::NotSigned("a claim is there twice"));
        }
        claims.take(&name, value).map_err(|_| no_record(format!("the claim {} does not read", kind_of(&name))))?;
        let index = name.strip_prefix("value/").zip(claims.values.last());
        if index.is_some_and(|(index, value)| *index != value.index.to_string()) {
            return Err(no_record("a value has another index than its claim".to_owned()));
        }
    }
    let blinded = Claims { sid_key: claims.sid_key.clone(), ..Claims::default() };
    let record = record_of(&payload, claims, registered, prefixes);
    let record = record.map_err(|_| no_record("its claims make no record".to_owned()))?;
    if !blinded.belongs(&record.identifier, &payload.sid) {
        return Err(no_record("the sid is not that of its identifier".to_owned()));
    }
    LIMITS.allow(&record).map_err(|errors| {
        let first = errors.first().map(|error| format!("{}: {}", error.pointer, error.code)).unwrap_or_default();
        no_record(format!("no node registers such a record: {first}"))
    })?;
    Ok(record)
}

/// The name of a claim as far as it hides nothing.
fn kind_of(name: &str) -> &str {
    const KNOWN: [&str; 9] =
        ["sub", "case", "sid_key", "state", "template", "registrant", "owner_jws", "links", "aliases"];
    match KNOWN.into_iter().find(|known| *known == name) {
        Some(known) => known,
        None if name.starts_with("value/") => "value",
        None => "of another name",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::alias::Alias;
    use crate::model::draft::Draft;
    use crate::model::identifier::Identifier;
    use crate::model::prefix::LogMode;
    use crate::model::scheme::Scheme;
    use crate::model::value::{Data, Value};
    use crate::sign::blinding::Blinding;
    use crate::sign::entry::Signer;
    use crate::sign::keys::{KeyFolder, KeyUse, SigningKey};
    use crate::sign::sd_jwt::Hider;

    const HIDDEN: &str = "88.999.1/GEHEIM";

    fn key() -> SigningKey {
        let folder = tempfile::tempdir().unwrap();
        KeyFolder::open(folder.path(), 1).unwrap().take_all(KeyUse::Entry).pop().unwrap()
    }

    /// A record that its node signed, whatever it is.
    fn read(record: &Record) -> Result<Record, Undisclosed> {
        let (key, blinding) = (key(), Blinding::new([7; 32]));
        let signer = Signer { key: &key, issuer: "urn:test", blinding: &blinding };
        let entry = signer.entry(record, LogMode::Blinded, None, None).unwrap();
        let read =
            read_disclosed(entry.statement.as_bytes(), &entry.disclosures, record.registered, &Prefixes::default());
        if let Err(Undisclosed::NoRecord(what)) = &read {
            assert!(!what.contains("GEHEIM") && !what.contains("3088"), "it is shown around: {what}");
        }
        read
    }

    fn record(values: Vec<Value>, aliases: &[&str]) -> Record {
        let now = Timestamp::from_seconds(1_790_000_000).unwrap();
        let mut record = Record::first(Identifier::parse(HIDDEN).unwrap(), Draft::default(), now);
        record.values = values;
        record.aliases = aliases.iter().map(|alias| Alias::new(Scheme::Oid, alias).unwrap()).collect();
        record
    }

    fn value(index: u32, bytes: usize) -> Value {
        Value::new(index, "A", Data::String("a".repeat(bytes)), Timestamp::from_seconds(1_790_000_000).unwrap())
    }

    #[test]
    fn a_record_that_no_draft_could_have_been_is_refused_though_it_is_signed() {
        let names = ["1.2.156.3088.1", "1.2.156.3088.2"];
        let fit = record(vec![value(1, 10), value(7, 60 * 1024)], &names);
        assert_eq!(read(&fit), Ok(fit.clone()));
        let many: Vec<String> = (0..65).map(|number| format!("1.2.156.3088.{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let mut long_line = fit.clone();
        long_line.registrant = Some("a".repeat(256));
        for (what, wrong) in [
            ("/aliases/1: duplicate_alias", record(Vec::new(), &[names[0], names[0]])),
            ("/aliases: too_many", record(Vec::new(), &many)),
            ("/values/1/index: duplicate_index", record(vec![value(7, 1), value(1, 1)], &names)),
            ("/values/0/data: too_long", record(vec![value(1, 60 * 1024 + 1)], &names)),
            ("/values: too_long", record((1..=18).map(|index| value(index, 60 * 1024)).collect(), &names)),
            ("/registrant: too_long", long_line),
        ] {
            let refused = Err(Undisclosed::NoRecord(format!("no node registers such a record: {what}")));
            assert_eq!(read(&wrong), refused, "{what}");
        }
        let twice = read(&record(vec![value(7, 1), value(7, 2)], &names));
        assert_eq!(twice, Err(Undisclosed::NotSigned("a claim is there twice")));
    }

    #[test]
    fn a_value_stands_under_its_own_index_and_what_is_longer_than_any_record_is_not_opened() {
        let key = key();
        let mut hider = Hider::default();
        hider.hide("value/2", &value(1, 4)).unwrap();
        let hidden = hider.finish().unwrap();
        let sd: Vec<&str> = hidden.digests.iter().map(|one| std::str::from_utf8(one.as_bytes()).unwrap()).collect();
        let payload = serde_json::json!({
            "_sd": sd, "_sd_alg": "sha-256", "iat": 1_790_000_000, "iss": "urn:test", "sid": "", "ver": 1,
        });
        let statement = jws::sign(&key, jws::ENTRY_TYPE, payload.to_string().as_bytes());
        let now = Timestamp::from_seconds(1_790_000_000).unwrap();
        let read = |disclosures: &str| read_disclosed(statement.as_bytes(), disclosures, now, &Prefixes::default());
        let other = Undisclosed::NoRecord("a value has another index than its claim".to_owned());
        assert_eq!(read(&hidden.disclosures), Err(other));
        let long = "A".repeat(MAX_DISCLOSED_BYTES + 1);
        assert_eq!(read(&long), Err(Undisclosed::NotSigned("its disclosures are longer than any record's")));
        let unknown = Undisclosed::NotSigned("a disclosure is not among the signed digests");
        assert_eq!(read(&long[1..]), Err(unknown));
    }
}
