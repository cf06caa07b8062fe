//! Compare: what changed between two versions of a record, however many lie between them.

use super::resolve::{At, Resolve};
use super::share::Unnoted;
use super::{ServiceError, Services};
use crate::model::difference::{self, Change};
use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::record::{Record, Status};
use crate::model::time::Timestamp;

/// A question about two moments of one record.
#[derive(Clone, Debug)]
pub struct Compare {
    /// Percent-decoded, in any input form.
    pub identifier: String,
    pub from: At,
    /// `None`: as it stands now.
    pub to: Option<At>,
    /// How many bytes of entries are read on the way back to a moment.
    pub most_bytes: u64,
}

impl Asks for Compare {
    const ACTION: Action = Action::Read;
}

/// One of the two versions.
#[derive(Clone, Debug)]
pub struct Moment {
    pub version: u64,
    pub status: Status,
    pub updated: Timestamp,
}

/// What changed from one version to the other, as far as its asker may see it.
#[derive(Clone, Debug)]
pub struct Compared {
    pub identifier: String,
    pub from: Moment,
    pub to: Moment,
    pub changes: Vec<Change>,
}

impl Services {
    /// The older one may be named second: then the changes are those that lead back.
    pub fn compare(&self, asked: &Permitted<Compare>) -> Result<Unnoted<Compared>, ServiceError> {
        let question = asked.request();
        let (sight, mut looks) = (self.sight(asked.principal())?, Vec::new());
        let identifier = self.identifier(&question.identifier)?;
        let unknown = || self.unknown(&question.identifier);
        let mut version = |at: Option<At>| -> Result<Record, ServiceError> {
            self.told_of(Some(asked.principal()), &identifier)?;
            let mut standing = self.named(identifier.key())?.ok_or_else(unknown)?;
            self.told_under(Some(asked.principal()), standing.record.identifier.prefix())?;
            if let Some(at) = at {
                let walk = Resolve {
                    identifier: question.identifier.clone(),
                    most_bytes: question.most_bytes,
                    ..Resolve::default()
                };
                standing = self.at(standing, at, &walk)?;
            }
            let (record, by) = sight.seen(standing.record, standing.row.index);
            looks.extend(by);
            Ok(record)
        };
        let (before, after) = (version(Some(question.from))?, version(question.to)?);
        let compared = Compared {
            identifier: after.identifier.spelling().to_owned(),
            from: Moment::of(&before),
            to: Moment::of(&after),
            changes: difference::between(Some(&before), &after),
        };
        Ok(sight.unnoted(compared, looks))
    }
}

impl Moment {
    fn of(record: &Record) -> Moment {
        Moment { version: record.version, status: record.status, updated: record.updated }
    }
}
