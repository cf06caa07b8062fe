//! What services answer, as messages: records, registrations, versions, jobs.

use super::wire::v1 as wire;
use crate::codec::cursor;
use crate::codec::problem::Problem;
use crate::model::alias::Alias;
use crate::model::difference::{Change, Kind, Part};
use crate::model::link::{Link, Target};
use crate::model::record::{Record, Status};
use crate::model::text::Language;
use crate::model::time::Timestamp;
use crate::model::value::{Data, Reference, Value, Visibility};
use crate::services::compare::{Compared, Moment};
use crate::services::history::{Changes, Versions};
use crate::services::register::Registered;
use crate::services::resolve::Resolution;
use crate::store::journal::Effect;

pub(super) fn time(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_seconds(), nanos: 0 }
}

pub(super) fn resolution(resolution: &Resolution) -> wire::Resolution {
    wire::Resolution {
        record: Some(record(&resolution.record)),
        entry: resolution.entry.clone(),
        prefix_suspended: resolution.suspended.as_ref().map(|closed| time(closed.since)),
    }
}

/// Whatever values the record still has: who may see what was decided by the service.
pub(super) fn record(record: &Record) -> wire::Record {
    wire::Record {
        identifier: record.identifier.spelling().to_owned(),
        version: record.version,
        status: status(record.status).into(),
        template: record.template.clone(),
        values: record.values.iter().map(value).collect(),
        links: record.links.iter().map(link).collect(),
        aliases: record.aliases.iter().map(alias).collect(),
        registrant: record.registrant.clone(),
        registered: Some(time(record.registered)),
        updated: Some(time(record.updated)),
    }
}

fn status(status: Status) -> wire::RecordStatus {
    match status {
        Status::Active => wire::RecordStatus::Active,
        Status::Suspended => wire::RecordStatus::Suspended,
        Status::Recalled => wire::RecordStatus::Recalled,
        Status::Retired => wire::RecordStatus::Retired,
        Status::Deleted => wire::RecordStatus::Deleted,
    }
}

fn value(value: &Value) -> wire::Value {
    wire::Value {
        index: value.index,
        r#type: value.r#type.clone(),
        data: Some(data(&value.data)),
        ttl: Some(value.ttl_seconds),
        permissions: value.permissions.to_string(),
        references: value.references.iter().map(reference).collect(),
        timestamp: Some(time(value.timestamp)),
        visibility: match value.visibility {
            Visibility::Public => wire::Visibility::Public,
            Visibility::SignedIn => wire::Visibility::SignedIn,
            Visibility::Granted => wire::Visibility::Granted,
            Visibility::Owner => wire::Visibility::Owner,
        }
        .into(),
    }
}

fn reference(reference: &Reference) -> wire::Reference {
    wire::Reference { handle: reference.handle.clone(), index: reference.index }
}

fn data(data: &Data) -> wire::Data {
    use wire::data::Value as Wire;
    let value = match data {
        Data::String(text) => Wire::String(text.clone()),
        Data::Integer(integer) => Wire::Integer(*integer),
        Data::Decimal { text, unit } => Wire::Decimal(wire::Decimal { value: text.clone(), unit: unit.clone() }),
        Data::Date(text) => Wire::Date(text.clone()),
        Data::Boolean(truth) => Wire::Boolean(*truth),
        Data::Url(text) => Wire::Url(text.clone()),
        Data::Identifier(identifier) => Wire::Identifier(identifier.spelling().to_owned()),
        Data::List(items) => Wire::List(wire::DataList { items: items.iter().map(self::data).collect() }),
        Data::Bytes(bytes) => Wire::Bytes(bytes.clone()),
        Data::Admin { handle, index, permissions } => Wire::Admin(wire::Admin {
            handle: handle.clone(),
            index: *index,
            permissions: format!("{permissions:012b}"),
        }),
        Data::Vlist(items) => Wire::Vlist(wire::ReferenceList { items: items.iter().map(reference).collect() }),
        Data::Site(object) => Wire::Site(serde_json::Value::Object(object.clone()).to_string()),
        Data::Key(object) => Wire::Key(serde_json::Value::Object(object.clone()).to_string()),
    };
    wire::Data { value: Some(value) }
}

fn link(link: &Link) -> wire::Link {
    wire::Link {
        rel: link.rel.clone(),
        target: Some(match &link.target {
            Target::Href(href) => wire::link::Target::Href(href.clone()),
            Target::Identifier(identifier) => wire::link::Target::Identifier(identifier.spelling().to_owned()),
        }),
        title: link.title.clone(),
        r#type: link.media_type.clone(),
        hreflang: link.hreflang.clone(),
    }
}

fn alias(alias: &Alias) -> wire::Alias {
    wire::Alias {
        scheme: alias.scheme().as_str().to_owned(),
        identifier: alias.spelling().to_owned(),
        case_sensitive: alias.identifier().is_case_sensitive(),
    }
}

fn effect(effect: Effect) -> wire::Effect {
    match effect {
        Effect::None => wire::Effect::Unspecified,
        Effect::Created => wire::Effect::Created,
        Effect::Updated => wire::Effect::Updated,
        Effect::Deleted => wire::Effect::Deleted,
    }
}

pub(super) fn registered(registered: &Registered) -> wire::Registered {
    wire::Registered {
        identifier: registered.identifier.clone(),
        version: registered.version,
        effect: effect(registered.effect).into(),
        updated: Some(time(registered.time)),
        index: registered.index,
        leaf: registered.leaf.to_vec(),
        repeated: registered.repeated,
    }
}

pub(super) fn history(page: &Versions) -> wire::HistoryPage {
    let versions = page.versions.iter().map(|version| wire::Version {
        version: version.version,
        effect: effect(version.effect).into(),
        status: version.status.map_or(wire::RecordStatus::Unspecified, status).into(),
        updated: Some(time(version.time)),
        index: version.index,
        leaf: version.leaf.to_vec(),
        principal: version.principal.clone(),
        changes: match &version.changes {
            Changes::NotAsked | Changes::Erased => None,
            Changes::Known(changes) => Some(wire::ChangeList { items: changes.iter().map(change).collect() }),
        },
    });
    wire::HistoryPage {
        identifier: page.identifier.clone(),
        versions: versions.collect(),
        next_cursor: page.next.map(|place| cursor::of_version(&place)).unwrap_or_default(),
    }
}

pub(super) fn comparison(compared: &Compared) -> wire::Comparison {
    let moment = |moment: &Moment| wire::Moment {
        version: moment.version,
        status: status(moment.status).into(),
        updated: Some(time(moment.updated)),
    };
    wire::Comparison {
        identifier: compared.identifier.clone(),
        from: Some(moment(&compared.from)),
        to: Some(moment(&compared.to)),
        changes: compared.changes.iter().map(change).collect(),
    }
}

fn change(change: &Change) -> wire::Change {
    let part = match change.part {
        Part::Status => "status",
        Part::Template => "template",
        Part::Registrant => "registrant",
        Part::Value => "value",
        Part::Alias => "alias",
        Part::Link => "link",
    };
    let kind = match change.change {
        Kind::Added => "added",
        Kind::Removed => "removed",
        Kind::Changed => "changed",
    };
    wire::Change {
        part: part.to_owned(),
        index: change.index,
        change: kind.to_owned(),
        before: change.before.as_ref().map(ToString::to_string),
        after: change.after.as_ref().map(ToString::to_string),
    }
}

/// A problem with one of several things.
pub(super) fn problem(problem: &Problem, language: Language) -> wire::Problem {
    let row = problem.code.row();
    let detail = problem.detail.as_ref().map(|detail| detail.in_language(language).to_owned());
    wire::Problem {
        code: row.code.to_owned(),
        status: u32::from(row.status),
        title: row.title(language).to_owned(),
        detail: detail.unwrap_or_default(),
        remedy: row.remedy(language).to_owned(),
        errors: problem
            .errors
            .iter()
            .map(|error| wire::FieldError {
                pointer: error.pointer.clone(),
                code: error.code.to_owned(),
                detail: error.detail.in_language(language).to_owned(),
            })
            .collect(),
        request_id: problem.request_id.clone().unwrap_or_default(),
    }
}
