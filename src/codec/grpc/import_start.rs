//! How an import is to be taken, from its first message.

use super::registrar::idempotency_key;
use super::wire::v1 as wire;
use crate::codec::http::failure::Failure;
use crate::codec::table::csv::separator_named;
use crate::codec::table::encoding;
use crate::services::import::{
    Form, MappedAlias, MappedMembers, MappedValue, Mapping, OnConflict, Operation, StartImport, TableError,
};

pub(super) fn start_of(start: wire::ImportStart) -> Result<StartImport, Failure> {
    let on_conflict = match start.on_conflict() {
        _ if wire::OnConflict::try_from(start.on_conflict).is_err() => {
            return Err(Failure::query("on_conflict", "应为 error、skip 或 update", "must be error, skip or update"));
        }
        wire::OnConflict::Unspecified | wire::OnConflict::Error => OnConflict::Error,
        wire::OnConflict::Skip => OnConflict::Skip,
        wire::OnConflict::Update => OnConflict::Update,
    };
    let form = form_of(start.form)?;
    if form.is_table() && start.mapping.is_none() && !start.exported {
        return Err(Failure::query(
            "mapping",
            "导入表格必须给出映射，说明各列的去向；导出的表格可用 exported",
            "a table needs a mapping, which says what its columns become; for an export set exported",
        ));
    }
    if start.exported && (start.mapping.is_some() || !form.is_table()) {
        return Err(Failure::query("exported", "只用于没有映射的表格", "is for a table without a mapping"));
    }
    Ok(StartImport {
        operation: operation_of(start.operation)?,
        form,
        mapping: start.mapping.map(mapping_of),
        on_conflict,
        dry_run: start.dry_run,
        atomic: start.atomic,
        idempotency_key: idempotency_key(&start.idempotency_key)?,
        ..StartImport::default()
    })
}

fn operation_of(number: i32) -> Result<Operation, Failure> {
    match wire::Operation::try_from(number) {
        Ok(wire::Operation::Unspecified | wire::Operation::Put) => Ok(Operation::Put),
        Ok(wire::Operation::Patch) => Ok(Operation::Patch),
        Ok(wire::Operation::Activate) => Ok(Operation::Activate),
        Ok(wire::Operation::Suspend) => Ok(Operation::Suspend),
        Ok(wire::Operation::Recall) => Ok(Operation::Recall),
        Ok(wire::Operation::Retire) => Ok(Operation::Retire),
        Ok(wire::Operation::Delete) => Ok(Operation::Delete),
        Err(_) => {
            let words = Operation::words();
            Err(Failure::query("operation", &format!("可用的有 {words}"), &format!("there are {words}")))
        }
    }
}

fn form_of(form: Option<wire::import_start::Form>) -> Result<Form, Failure> {
    let said = |text: String| Some(text).filter(|text| !text.is_empty());
    match form {
        None | Some(wire::import_start::Form::Ndjson(_)) => Ok(Form::Ndjson),
        Some(wire::import_start::Form::Xlsx(form)) => Ok(Form::Xlsx { sheet: said(form.sheet) }),
        Some(wire::import_start::Form::Csv(form)) => {
            let label = said(form.encoding);
            if let Some(label) = &label {
                encoding::named(label).map_err(|error| match error {
                    TableError::Wrong(_, text) => Failure::query("encoding", &text.zh, &text.en),
                    TableError::Io(error) => Failure::query("encoding", &error.to_string(), &error.to_string()),
                })?;
            }
            let separator = said(form.separator).map(|word| separator_named(&word)).transpose().map_err(|_| {
                let (zh, en) = ("应为 comma、semicolon、tab 或 pipe", "must be comma, semicolon, tab or pipe");
                Failure::query("separator", zh, en)
            })?;
            Ok(Form::Csv { encoding: label, separator })
        }
    }
}

fn mapping_of(mapping: wire::ImportMapping) -> Mapping {
    let value = |value: wire::MappedValue| MappedValue {
        index: value.index,
        r#type: value.r#type,
        from: value.from,
        format: value.format,
        unit: value.unit,
        visibility: value.visibility,
    };
    let alias = |alias: wire::MappedAlias| MappedAlias { scheme: alias.scheme, from: alias.from };
    Mapping {
        identifier: mapping.identifier,
        values: mapping.values.into_iter().map(value).collect(),
        aliases: mapping.aliases.into_iter().map(alias).collect(),
        registrant: mapping.registrant,
        template: mapping.template,
        members: mapping.members.map(|members| MappedMembers {
            status: members.status,
            template: members.template,
            registrant: members.registrant,
            aliases: members.aliases,
            links: members.links,
            more: members.more,
        }),
        operation: mapping.operation,
        if_version: mapping.if_version,
    }
}
