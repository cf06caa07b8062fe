//! List: records in the order of their keys, and one record whole: what an export is made of.
//!
//! Not a snapshot: a record that changes while a list is read appears as it is when its page is read. Tombstones are left
//! out, as nothing can be registered from them.

use super::share::Unnoted;
use super::{ServiceError, Services};
use crate::model::filter::Filter;
use crate::model::identifier::{CanonicalKey, Identifier};
use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::principal::Scope;
use crate::model::record::Record;
use crate::model::time::Timestamp;
use crate::store::Refusal;
use crate::store::engine::Table;
use crate::store::rows::RecordRow;

/// A page of records.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// Only those that it means.
    pub filter: Filter,
    /// Only what follows this key (a cursor).
    pub after: Option<CanonicalKey>,
    pub limit: usize,
}

impl Asks for List {
    // Whoever could list would have what the blinded log keeps from everybody: which identifiers there are.
    const ACTION: Action = Action::List;
}

/// One record, with what its asker may see.
#[derive(Clone, Debug)]
pub struct ReadRecord {
    /// Percent-decoded, in any input form.
    pub identifier: String,
}

impl Asks for ReadRecord {
    const ACTION: Action = Action::Read;
}

/// Records in the order of their keys.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// At most as many as asked for; fewer where tombstones or what is not meant stand between. One that cannot be read has its place, with
    /// [`ServiceError::RecordDamaged`], or [`Refusal::ReadFailed`] where its disk does not answer: it ends no list, and is missing from none unseen.
    pub records: Vec<(CanonicalKey, Result<Record, ServiceError>)>,
    /// Ask on after this key; `None`: this was the last page.
    pub next: Option<CanonicalKey>,
}

impl Services {
    /// Whether a list may be given: to be asked before the first of many pages goes out.
    pub fn may_list(&self, asked: &Permitted<List>) -> Result<(), ServiceError> {
        let within = stretches(&asked.request().filter, &asked.principal().scope);
        within.map(|_| ()).map_err(|error| self.denied(asked.principal(), error))
    }

    /// Every record that its asker reaches, with every value.
    pub fn list(&self, asked: &Permitted<List>) -> Result<Page, ServiceError> {
        let question = asked.request();
        let after = question.after.as_ref().map_or("", CanonicalKey::as_str);
        let stretches = stretches(&question.filter, &asked.principal().scope)?;
        let mut left = stretches.iter().filter(|stretch| stretch.end.as_deref().is_none_or(|end| after < end));
        let Some(stretch) = left.next() else { return Ok(Page::default()) };
        let rows = self.store.scan(Table::Record, Some(after.max(&stretch.start).as_bytes()), question.limit.max(1))?;
        let full = rows.len() >= question.limit.max(1);
        let mut page = Page::default();
        let mut last = None;
        for (key, row) in rows {
            let key = CanonicalKey::from_stored(&String::from_utf8_lossy(&key));
            if stretch.end.as_deref().is_some_and(|end| key.as_str() >= end) {
                page.next = left.next().map(|next| CanonicalKey::from_stored(&next.start));
                return Ok(page);
            }
            last = Some(key.clone());
            let Some(row) = RecordRow::decode(&row) else {
                let cause = "its row does not read".to_owned();
                let damaged = ServiceError::RecordDamaged { identifier: key.as_str().to_owned(), cause };
                page.records.push((key, Err(damaged)));
                continue;
            };
            let registered = Timestamp::from_seconds(row.registered).unwrap_or(Timestamp::EPOCH);
            if !question.filter.may_mean(registered) {
                continue;
            }
            match self.store.record(&row).map_err(|error| ServiceError::of_reading(key.as_str(), error)) {
                Ok(record) if record.is_tombstone() => {}
                Ok(record) => {
                    // What is listed is within reach, and so seen whole.
                    if !asked.principal().sees_all_of(&record) {
                        continue;
                    }
                    if question.filter.means(&record) {
                        page.records.push((key, Ok(record)));
                    }
                }
                // Others may lie in a segment that does answer.
                Err(unread @ (ServiceError::RecordDamaged { .. } | ServiceError::Refused(Refusal::ReadFailed(_)))) => {
                    page.records.push((key, Err(unread)))
                }
                Err(error) => return Err(error),
            }
        }
        page.next = last.filter(|_| full);
        Ok(page)
    }

    /// The key of an identifier that a list has shown, from which the list goes on.
    ///
    /// How it compares is what it was registered with, whatever its prefix's policy has become: else a list would go on from
    /// another place, and leave records out.
    pub fn listed_key(&self, asked: &Permitted<List>, text: &str) -> Result<CanonicalKey, ServiceError> {
        let likely = self.identifier(text)?;
        if !asked.principal().scope.reaches(likely.prefix()) {
            // No list of this caller has shown it; nothing is told of it by looking.
            return Ok(likely.key().clone());
        }
        let plain = Identifier::parse(text)?;
        for reading in [likely.clone(), plain.clone(), plain.with_case_sensitive_suffix()] {
            let standing = self.standing(reading.key())?;
            if standing.is_some_and(|standing| standing.record.identifier.spelling() == text) {
                return Ok(reading.key().clone());
            }
        }
        Ok(likely.key().clone())
    }

    /// The record as it stands now, not from the cache.
    pub fn record(&self, asked: &Permitted<ReadRecord>) -> Result<Unnoted<Record>, ServiceError> {
        let text = &asked.request().identifier;
        let identifier = self.identifier(text)?;
        self.told_of(Some(asked.principal()), &identifier)?;
        match self.named(identifier.key())? {
            None => Err(self.unknown(text)),
            Some(standing) if standing.record.is_tombstone() => Err(ServiceError::Gone { identifier: text.clone() }),
            Some(standing) => {
                self.told_under(Some(asked.principal()), standing.record.identifier.prefix())?;
                let sight = self.sight(asked.principal())?;
                let (record, looks) = sight.seen(standing.record, standing.row.index);
                Ok(sight.unnoted(record, looks))
            }
        }
    }
}

/// A stretch of keys: those between these two texts, neither of which is a key.
struct Stretch {
    start: String,
    /// `None`: to the last one.
    end: Option<String>,
}

/// Where the records are that are meant and within reach, in the order of their keys.
fn stretches(filter: &Filter, scope: &Scope) -> Result<Vec<Stretch>, ServiceError> {
    // What follows "/", and so every name of a prefix.
    let end = |prefix: &str| Some(format!("{prefix}0"));
    if let Some(prefix) = &filter.prefix {
        let is_reached = scope.reaches(&prefix.to_ascii_lowercase());
        let out_of_reach = || ServiceError::OutOfReach { identifier: prefix.clone(), scope: scope.to_string() };
        let start = filter.key_start().unwrap_or_default();
        let end = end(start.trim_end_matches('/'));
        return is_reached.then(|| vec![Stretch { start, end }]).ok_or_else(out_of_reach);
    }
    let Some(prefixes) = scope.prefixes() else {
        return Ok(vec![Stretch { start: String::new(), end: None }]);
    };
    // Prefixes below one stand before its own names: "." comes before "/".
    let below = |prefix: &String| Stretch { start: format!("{prefix}."), end: end(prefix) };
    let mut stretches: Vec<Stretch> = prefixes.iter().map(below).collect();
    stretches.sort_by(|one, other| one.start.cmp(&other.start));
    Ok(stretches)
}
