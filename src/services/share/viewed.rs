//! Plain answers to callers who have shown something: whole and encoded once for all who see the same, as the public ones are.
//!
//! Behind an answer's body the cache keeps whose it is: under which prefix the record stands, for its own enterprise sees more, and by
//! which grants it is shown, so that a look is noted whether it was read or found.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Look, Sight, Unnoted, View};
use crate::model::identifier::Identifier;
use crate::model::permitted::{Action, Permitted};
use crate::model::principal::Principal;
use crate::model::time::Timestamp;
use crate::observe::laps::{Step, timed};
use crate::services::resolve::{Resolution, Resolve};
use crate::services::{ServiceError, Services};
use crate::store::cache::{Answer, ViewClass};

const LENGTH_BYTES: usize = 4;

/// What is kept behind a body.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Behind {
    prefix: String,
    leaf: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    grants: Vec<String>,
}

impl Services {
    /// The plain answer for this caller, 200 or none.
    pub fn resolve_viewed(&self, asked: &Permitted<Resolve>) -> Result<Unnoted<Answer>, ServiceError> {
        let (now, principal) = (Timestamp::now(), asked.principal());
        let identifier: Identifier = self.identifier(&asked.request().identifier)?;
        let name = identifier.key();
        let unknown = || self.unknown(identifier.spelling());
        if self.absent(name, now).is_some() {
            return Err(unknown());
        }
        let sight = self.sight(principal)?;
        let (class, view) = class_of(&sight);
        let fill = self.cache.begin(name.as_str());
        let of_name = self.told_of(Some(principal), &identifier)?;
        if let Some(class) = class
            && let Some(found) = self.cache.find_viewed(class, name.as_str(), &view, now.as_seconds())
            && let Some(answer) = found_for(&sight, principal, found)
        {
            return Ok(answer);
        }
        let standing = timed(Step::Store, || self.named(name))?.ok_or_else(unknown)?;
        if standing.record.is_tombstone() {
            return Err(ServiceError::Gone { identifier: identifier.spelling().to_owned() });
        }
        let prefix = standing.record.identifier.prefix().to_owned();
        let suspended = self.told_under(Some(principal), &prefix)?.or(of_name);
        let (view_of, index) = (sight.view_of(&standing.record), standing.row.index);
        let (record, looks) = sight.seen(standing.record, index);
        let resolution = Resolution { record, entry: None, index, suspended, view: view_of };
        let body = timed(Step::Form, || self.encoder.encode(&resolution));
        let etag = Bytes::from(resolution.etag());
        let answer = |body| Answer { body, etag: etag.clone(), ..Answer::nothing(200, Bytes::new()) };
        if let Some(class) = class.filter(|_| view_of != View::Own) {
            let behind = Behind { prefix, leaf: index, grants: looks.iter().map(|look| look.grant.clone()).collect() };
            // One that is declined is no error: it is read again.
            let _ = timed(Step::Cache, || {
                self.cache.fill_viewed(fill, class, name.as_str(), &view, &answer(joined(&body, &behind)?)).ok()
            });
        }
        Ok(sight.unnoted(answer(Bytes::from(body)), looks))
    }
}

/// Where a sight's answers are kept; `None`: nowhere.
fn class_of(sight: &Sight<'_>) -> (Option<ViewClass>, String) {
    match sight.view() {
        View::Public | View::Own => (None, String::new()),
        View::SignedIn => (Some(ViewClass::SignedIn), String::new()),
        View::Granted(id) => (Some(ViewClass::Granted), id.map(|byte| format!("{byte:02x}")).concat()),
    }
}

/// What was found, with the looks that it costs; `None` where the record is this caller's own, who sees more.
fn found_for(sight: &Sight<'_>, principal: &Principal, found: Answer) -> Option<Unnoted<Answer>> {
    let (body, behind) = parted(&found.body)?;
    if principal.role.may(Action::List) && principal.scope.reaches(&behind.prefix) {
        return None;
    }
    let look = |grant: String| Look { grant, principal: principal.id.clone(), leaf: behind.leaf };
    let looks = behind.grants.into_iter().map(look).collect();
    Some(sight.unnoted(Answer { body, ..found }, looks))
}

fn joined(body: &[u8], behind: &Behind) -> Option<Bytes> {
    let behind = serde_json::to_vec(behind).ok()?;
    let length = u32::try_from(behind.len()).ok()?.to_le_bytes();
    Some(Bytes::from([body, &behind, &length].concat()))
}

fn parted(whole: &Bytes) -> Option<(Bytes, Behind)> {
    let at = whole.len().checked_sub(LENGTH_BYTES)?;
    let length = u32::from_le_bytes(whole.get(at..)?.try_into().ok()?);
    let begin = at.checked_sub(usize::try_from(length).ok()?)?;
    let behind = serde_json::from_slice(whole.get(begin..at)?).ok()?;
    Some((whole.slice(..begin), behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_comes_apart_and_nothing_else_does() {
        let behind = Behind { prefix: "88.999.1".to_owned(), leaf: 7, grants: vec!["g".to_owned()] };
        let whole = joined(b"{}", &behind).unwrap();
        assert_eq!(parted(&whole), Some((Bytes::from_static(b"{}"), behind)));
        for broken in [&b""[..], b"abc", b"\xff\xff\xff\xff", b"{}\x09\0\0\0", b"{}\x02\0\0\0"] {
            assert_eq!(parted(&Bytes::copy_from_slice(broken)), None, "{broken:?}");
        }
    }
}
