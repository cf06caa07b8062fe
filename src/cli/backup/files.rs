//! The files of keys: the one that encrypts a backup, and the node's own that go into it.

use std::path::Path;

use crate::cli::failure::CliError;
use crate::model::text::Text;
use crate::sign::keys::{KeyError, SECRET_FILE, read_secret_file};
use crate::store::backup::{BackupKey, KeyFile};

/// The key in a file that only its owner may read.
pub(super) fn backup_key(path: Option<&Path>) -> Result<Option<BackupKey>, CliError> {
    let Some(path) = path else {
        return Ok(None);
    };
    let bytes = read_secret_file(path).map_err(|error| explained(&error))?;
    match std::str::from_utf8(&bytes).ok().and_then(BackupKey::parse) {
        Some(key) => Ok(Some(key)),
        None => {
            let path = path.display();
            Err(CliError::wrong(
                format!("{path} 不是备份密钥，或已残缺：请用 mingpai keygen --use backup 所生成的文件"),
                format!(
                    "{path} is no backup key, or not a whole one: name a file that `mingpai keygen --use backup` made"
                ),
            ))
        }
    }
}

/// The node's keys and the secret of its prefixes.
pub(super) fn key_files(folder: &Path) -> Result<Vec<KeyFile>, CliError> {
    let failed = || CliError::file("列出密钥目录", "list the key folder", folder);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if name.ends_with(".jwk") || name == SECRET_FILE {
            let bytes = read_secret_file(&entry.path()).map_err(|error| explained(&error))?;
            files.push(KeyFile { name, bytes });
        }
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    if files.iter().any(|file| file.name == SECRET_FILE) {
        return Ok(files);
    }
    let folder = folder.display();
    Err(CliError::wrong(
        format!("{folder} 中没有 {SECRET_FILE}，不是节点的密钥目录"),
        format!("{folder} has no {SECRET_FILE}: it is not the key folder of a node"),
    ))
}

fn explained(error: &KeyError) -> CliError {
    let Text { zh, en } = error.text();
    CliError::wrong(zh, en)
}
