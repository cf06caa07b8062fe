//! One row: from a line's bytes to a change that is decided and signed, or to what is wrong with it.

use serde_json::{Map, Value as Json};

use super::{OnConflict, StartImport};
use crate::model::draft::Draft;
use crate::model::identifier::CanonicalKey;
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::services::register::Change;
use crate::services::{ServiceError, Services, Standing};
use crate::store::EntryProposal;

/// Reads one document strictly: what this stage needs of the codec above it.
pub trait ReadRow: Send + Sync + 'static {
    /// The document, or a stable code and a sentence.
    fn read(&self, line: &[u8]) -> Result<Json, (&'static str, Text)>;
}

/// What is wrong with a row.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub column: Option<String>,
    pub code: String,
    pub text: Text,
}

/// What is to become of a row.
pub(super) enum Decision {
    Register(Box<EntryProposal>),
    /// It stands there already, or was to be skipped.
    Skip,
}

/// Members of an export's line that say what the record was: the node gives its own.
const TOLD_BY_THE_NODE: [&str; 3] = ["version", "registered", "updated"];

/// A row's record, before anything is looked up.
pub(super) struct Wanted {
    pub identifier: crate::model::identifier::Identifier,
    pub draft: Draft,
}

impl Wanted {
    pub fn key(&self) -> &CanonicalKey {
        self.identifier.key()
    }
}

impl Services {
    /// Reads a line into what it wants registered.
    pub(super) fn wanted(&self, line: &[u8], start: &StartImport, now: Timestamp) -> Result<Wanted, Fault> {
        let json = self.row_reader.read(line).map_err(|(code, text)| fault(None, code, text))?;
        let Json::Object(mut row) = json else {
            let text = Text::new("每行应为一个 JSON 对象", "every line must be a JSON object");
            return Err(fault(None, "fields_invalid", text));
        };
        if let Some(mapping) = &start.mapping {
            let mapped = mapping.apply(&row);
            let mapped = mapped.map_err(|error| fault(Some(error.column), error.code, error.detail))?;
            row = match mapped {
                Json::Object(members) => members,
                _ => Map::new(),
            };
        }
        for name in TOLD_BY_THE_NODE {
            row.remove(name);
        }
        let Some(Json::String(text)) = row.remove("identifier") else {
            let text = Text::new("缺少 identifier", "the member identifier is missing");
            return Err(fault(Some("identifier".to_owned()), "fields_invalid", text));
        };
        let identifier = self.identifier(&text).map_err(|error| of_service(&error, start))?;
        self.policy(&identifier).map_err(|error| of_service(&error, start))?;
        let draft = Draft::from_json_within(&Json::Object(row), now, &self.settings.draft_limits)
            .map_err(|errors| of_service(&ServiceError::Fields(errors), start))?;
        Ok(Wanted { identifier, draft })
    }

    /// Decides what is to become of a row by what stands there now, and signs it.
    pub(super) fn decide_row(
        &self,
        wanted: &Wanted,
        start: &StartImport,
        principal: &str,
    ) -> Result<Decision, ServiceError> {
        let standing = self.standing(wanted.key())?;
        if let Some(standing) = &standing {
            if standing.record.is_tombstone() {
                return Err(ServiceError::Gone { identifier: wanted.identifier.spelling().to_owned() });
            }
            if self.says_the_same(standing, wanted) || start.on_conflict == OnConflict::Skip {
                return Ok(Decision::Skip);
            }
            if start.on_conflict == OnConflict::Error {
                return Err(ServiceError::VersionMismatch { current: Some(standing.record.version) });
            }
        }
        let change = Change::Put(wanted.draft.clone());
        let decided = self.next(&wanted.identifier, &change, standing.as_ref())?;
        if start.dry_run {
            self.names_free(&decided.record)?;
            return Ok(Decision::Skip);
        }
        Ok(Decision::Register(Box::new(self.propose(decided, principal, None)?)))
    }

    /// Whether the row says what stands there already. When it was said is no difference.
    fn says_the_same(&self, standing: &Standing, wanted: &Wanted) -> bool {
        let timeless = |mut draft: Draft| {
            for value in &mut draft.values {
                value.timestamp = Timestamp::EPOCH;
            }
            draft
        };
        let stands = timeless(standing.record.to_draft());
        let mut wants = timeless(wanted.draft.clone());
        wants.status = wants.status.or(stands.status);
        if wants.registrant.is_none() {
            wants.registrant.clone_from(&stands.registrant);
        }
        stands == wants
    }

    /// For a dry run: whether the record's names belong to nobody else. The commit checks again.
    fn names_free(&self, record: &crate::model::record::Record) -> Result<(), ServiceError> {
        for alias in &record.aliases {
            let other =
                self.named(alias.key())?.filter(|standing| standing.record.identifier.key() != record.identifier.key());
            if other.is_some() {
                return Err(ServiceError::AliasTaken { alias: alias.key().clone() });
            }
        }
        Ok(())
    }
}

fn fault(column: Option<String>, code: &str, text: Text) -> Fault {
    Fault { column, code: code.to_owned(), text }
}

/// A service's error as a row's fault; where a field is wrong, its own code and the column that it came from.
pub(super) fn of_service(error: &ServiceError, start: &StartImport) -> Fault {
    match error {
        ServiceError::Identifier(error) => fault(Some("identifier".to_owned()), error.code(), error.text()),
        ServiceError::Fields(errors) => match errors.first() {
            Some(first) => fault(Some(column_of(&first.pointer, start)), first.code, error.text()),
            None => fault(None, error.code(), error.text()),
        },
        ServiceError::VersionMismatch { .. } => fault(
            Some("identifier".to_owned()),
            "already_exists",
            Text::new(
                "标识已登记且内容不同：用 on_conflict=update 更新或 skip 跳过",
                "the identifier is registered with other content: on_conflict=update changes it, skip leaves it",
            ),
        ),
        other => fault(None, other.code(), other.text()),
    }
}

/// The column behind a pointer into the mapped record; without a mapping the pointer itself.
fn column_of(pointer: &str, start: &StartImport) -> String {
    let mut steps = pointer.split('/').skip(1);
    let (member, at) = (steps.next(), steps.next().and_then(|at| at.parse::<usize>().ok()));
    let column = start.mapping.as_ref().and_then(|mapping| match (member, at) {
        (Some("aliases"), Some(at)) => mapping.aliases.get(at).map(|alias| alias.from.clone()),
        (Some("values"), Some(at)) => mapping.values.get(at).map(|value| value.from.clone()),
        _ => None,
    });
    column.unwrap_or_else(|| pointer.to_owned())
}
