//! The owner's own files: its names, and the entries that it made.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::LIST_LIMIT_BYTES;
use crate::cli::failure::CliError;
use crate::cli::log_source::read_bounded;
use crate::cli::new_file::NewFile;
use crate::services::watch::Finding;
use crate::sign::decode_sid;
use crate::tlog::hash::Hash;

/// Lines that are not empty.
fn lines_of(path: &Path) -> Result<Vec<String>, CliError> {
    let bytes = read_bounded(path, LIST_LIMIT_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|_| {
        let path = path.display();
        CliError::wrong(format!("{path} 不是 UTF-8 文本"), format!("{path} is not text in UTF-8"))
    })?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// A member of each line that is JSON, with the whole of it; other lines as they are.
fn members(path: &Path, member: &str) -> Result<Vec<(String, Option<Json>)>, CliError> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(lines_of(path)?) {
        if !line.starts_with('{') {
            found.push((line, None));
            continue;
        }
        let named = serde_json::from_str::<Json>(&line).ok();
        let told = named.as_ref().and_then(|json| json.get(member)).and_then(Json::as_str).map(str::to_owned);
        let told = told.ok_or_else(|| {
            let path = path.display();
            CliError::wrong(
                format!("{path} 第 {number} 个非空行没有 {member}"),
                format!("{path}, line {number} of those that are not empty: no {member}"),
            )
        })?;
        found.push((told, named));
    }
    Ok(found)
}

pub fn names_of(path: &Path) -> Result<Vec<String>, CliError> {
    Ok(members(path, "identifier")?.into_iter().map(|(name, _)| name).collect())
}

/// The entries that an owner made.
#[derive(Default)]
pub struct KnownEntries {
    pub leaves: HashSet<Hash>,
    /// Those whose line names their identifier.
    pub named: Vec<(Hash, String)>,
}

pub fn known_of(path: &Path) -> Result<KnownEntries, CliError> {
    let mut known = KnownEntries::default();
    if !path.exists() {
        return Ok(known);
    }
    let wrong = |leaf: String| {
        let path = path.display();
        CliError::wrong(
            format!("{path}：{leaf} 不是叶哈希（32 字节的 base64url）"),
            format!("{path}: {leaf} is no leaf hash (32 bytes in base64url)"),
        )
    };
    for (leaf, line) in members(path, "leaf")? {
        let hash = decode_sid(&leaf).ok_or_else(|| wrong(leaf))?;
        known.leaves.insert(hash);
        if let Some(name) = line.as_ref().and_then(|line| line.get("identifier")).and_then(Json::as_str) {
            known.named.push((hash, name.to_owned()));
        }
    }
    Ok(known)
}

/// Adds entries to those that are known. The file is replaced whole, so that a crash leaves no line that is half there; a last
/// line without its end, as editors leave it, gets one. Gives how many were added.
pub fn confirm(path: &Path, findings: &[Finding]) -> Result<usize, CliError> {
    let mut added = 0;
    let standing = if path.exists() { read_bounded(path, LIST_LIMIT_BYTES)? } else { Vec::new() };
    let mut whole = standing;
    if whole.last().is_some_and(|last| *last != b'\n') {
        whole.push(b'\n');
    }
    for finding in findings.iter().filter(|finding| finding.kind.can_be_known()) {
        let leaf = finding.leaf.clone().unwrap_or_default();
        let Finding { identifier, version, index, .. } = finding;
        let line = json!({"leaf": leaf, "identifier": identifier, "version": version, "index": index});
        whole.extend_from_slice(format!("{line}\n").as_bytes());
        added += 1;
    }
    // Where the name is a link to the list, the list is replaced and not the link.
    let place = if path.exists() {
        path.canonicalize().map_err(CliError::file("写入", "write", path))?
    } else {
        path.to_owned()
    };
    let mut file = NewFile::replacing(&place)?;
    file.write_all(&whole).map_err(CliError::file("写入", "write", path))?;
    file.finish()?;
    Ok(added)
}
