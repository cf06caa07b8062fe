//! What a row does to the record that it names: most rows are its whole content, others change a part or its status.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::StartImport;
use super::plan::Plan;
use super::row::{Decision, Fault, Wanted, of_service, timeless};
use crate::model::draft::{Draft, DraftPatch};
use crate::model::record::Status;
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::services::reach::Author;
use crate::services::register::Change;
use crate::services::{ServiceError, Services, Standing};
use crate::store::journal::Location;

/// What is done to a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// The row is the record's whole content.
    #[default]
    Put,
    /// The row changes the members that it has.
    Patch,
    Activate,
    Suspend,
    Recall,
    Retire,
    /// Leaves a tombstone: the name is never given out again.
    Delete,
}

impl Operation {
    const WORDS: [(Operation, &'static str, &'static str); 7] = [
        (Operation::Put, "put", "登记"),
        (Operation::Patch, "patch", "修改"),
        (Operation::Activate, "activate", "启用"),
        (Operation::Suspend, "suspend", "暂停"),
        (Operation::Recall, "recall", "召回"),
        (Operation::Retire, "retire", "停用"),
        (Operation::Delete, "delete", "注销"),
    ];

    /// The English word, or the Chinese one, as a column may hold it.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Operation> {
        let word = word.trim();
        let found = Self::WORDS.iter().find(|(_, en, zh)| word.eq_ignore_ascii_case(en) || word == *zh)?;
        Some(found.0)
    }

    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(operation, ..)| *operation == self).map_or("put", |(_, en, _)| en)
    }

    /// The words, for a message.
    #[must_use]
    pub fn words() -> String {
        Self::WORDS.map(|(_, en, zh)| format!("{en} ({zh})")).join(", ")
    }

    pub(super) fn is_put(&self) -> bool {
        *self == Operation::Put
    }

    /// The status that a record gets by it, if that is all it does.
    fn status(self) -> Option<Status> {
        match self {
            Operation::Activate => Some(Status::Active),
            Operation::Suspend => Some(Status::Suspended),
            Operation::Recall => Some(Status::Recalled),
            Operation::Retire => Some(Status::Retired),
            Operation::Put | Operation::Patch | Operation::Delete => None,
        }
    }
}

/// What a row asks for.
#[derive(Clone, Debug, Default)]
pub(super) enum Act {
    /// Its draft as the record's content.
    #[default]
    Put,
    Patch(Box<DraftPatch>),
    Status(Status),
    Delete,
    /// What stood before a job, if the version that the job wrote stands at this place still.
    Undo(Location),
}

impl Act {
    /// Takes from a row what says what it does, and the version that it is for. `is_mapped`: what a mapping makes for empty
    /// columns asks for nothing.
    pub fn take(
        row: &mut Map<String, Json>,
        start: &StartImport,
        now: Timestamp,
        services: &Services,
        is_mapped: bool,
    ) -> Result<(Act, Option<u64>), Fault> {
        let expected = match row.remove(EXPECTED) {
            None | Some(Json::Null) => None,
            Some(value) => Some(version(&value).ok_or_else(|| not_a_version(&value))?),
        };
        if let Some(Plan::Undo(_)) = &start.plan {
            let place = row.remove("at").and_then(|place| serde_json::from_value(place).ok());
            let (segment, offset, length) = place.unwrap_or_default();
            return Ok((Act::Undo(Location { segment, offset, length }), expected));
        }
        let operation = match row.remove(OPERATION) {
            None | Some(Json::Null) => start.operation,
            Some(Json::String(word)) if word.trim().is_empty() => start.operation,
            Some(Json::String(word)) => Operation::from_word(&word).ok_or_else(|| unknown_operation(&word))?,
            Some(other) => return Err(unknown_operation(&other.to_string())),
        };
        let act = match operation {
            Operation::Put => Act::Put,
            Operation::Delete => Act::Delete,
            Operation::Patch => {
                let patch = match &start.plan {
                    Some(Plan::Bulk(chosen)) => chosen.patch.clone().unwrap_or_default(),
                    _ => {
                        let mut patch = std::mem::take(row);
                        if is_mapped && patch.get("aliases").and_then(Json::as_array).is_some_and(Vec::is_empty) {
                            patch.remove("aliases");
                        }
                        Json::Object(patch)
                    }
                };
                let patch = DraftPatch::from_json_within(&patch, now, &services.settings.draft_limits);
                Act::Patch(Box::new(patch.map_err(|errors| of_service(&ServiceError::Fields(errors), start))?))
            }
            other => other.status().map_or(Act::Put, Act::Status),
        };
        if !matches!(act, Act::Put) {
            // Of a record that is only named nothing else is looked at: an export's line may be sent back as it is.
            row.clear();
        }
        Ok((act, expected))
    }
}

const OPERATION: &str = "operation";
const EXPECTED: &str = "if_version";

/// A number, or digits as tables have them.
fn version(value: &Json) -> Option<u64> {
    match value {
        Json::Number(number) => number.as_u64(),
        Json::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn not_a_version(value: &Json) -> Fault {
    let shown: String = value.to_string().chars().take(64).collect();
    Fault {
        column: Some(EXPECTED.to_owned()),
        code: "fields_invalid".to_owned(),
        text: Text::new(
            format!("{EXPECTED} 应为版本号，而不是 {shown}"),
            format!("{EXPECTED} must be the number of a version, not {shown}"),
        ),
    }
}

fn unknown_operation(word: &str) -> Fault {
    let (shown, words): (String, _) = (word.chars().take(64).collect(), Operation::words());
    Fault {
        column: Some(OPERATION.to_owned()),
        code: "operation_unknown".to_owned(),
        text: Text::new(
            format!("没有操作“{shown}”，可用的有 {words}"),
            format!("there is no operation `{shown}`; there are {words}"),
        ),
    }
}

impl Services {
    /// Decides a row that is not the record's whole content.
    pub(super) fn decide_act(
        &self,
        wanted: &Wanted,
        standing: Option<Standing>,
        start: &StartImport,
        author: Author<'_>,
    ) -> Result<Decision, ServiceError> {
        let identifier = || wanted.identifier.spelling().to_owned();
        let Some(standing) = standing else {
            return Err(ServiceError::Unknown { identifier: identifier() });
        };
        let record = &standing.record;
        let is_there = match &wanted.act {
            Act::Undo(place) => standing.row.location == *place,
            _ => wanted.expected.is_none_or(|version| version == record.version),
        };
        if !is_there {
            if let (Act::Undo(_), Some(Plan::Undo(undo))) = (&wanted.act, &start.plan)
                && undo.is_own(self, &standing.row)?
            {
                return Ok(Decision::Skip);
            }
            return Err(ServiceError::ChangedSince { identifier: identifier(), current: record.version });
        }
        if record.is_tombstone() {
            return match &wanted.act {
                Act::Delete => Ok(Decision::Skip),
                _ => Err(ServiceError::Gone { identifier: identifier() }),
            };
        }
        let change = match &wanted.act {
            Act::Put => Change::Put(wanted.draft.clone()),
            Act::Patch(patch) => Change::Patch((**patch).clone()),
            Act::Status(status) => Change::Put(Draft { status: Some(*status), ..record.to_draft() }),
            Act::Delete => Change::Delete,
            Act::Undo(place) => Change::Put(self.before_job(*place, start)?),
        };
        // An undo touches what its job did; which names it may give back is up to who asked for it.
        let author = match &start.plan {
            Some(Plan::Undo(undo)) => Author { scope: &undo.names, ..author },
            _ => author,
        };
        let decided = self.next(&record.identifier, change, Some(&standing), author)?;
        if timeless(decided.record.to_draft()) == timeless(record.to_draft()) {
            return Ok(Decision::Skip);
        }
        self.settled(decided, start, author)
    }
}
