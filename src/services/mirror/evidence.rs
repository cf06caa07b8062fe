//! What is kept of a log that is not honest, for its operator, its witnesses and its other readers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};

use super::halt::Halt;
use super::order::replace;
use crate::model::time::Timestamp;

/// Writes `fork-evidence-*.txt`: what was found and both heads, as they were signed. The same finding once more is the same file.
pub(super) fn keep(folder: &Path, url: &str, halt: &Halt, remembered: &str, shown: &str) -> io::Result<PathBuf> {
    let text = halt.text();
    let (remembered, shown) = match halt.evidence() {
        Some(evidence) => (evidence.remembered.as_deref().unwrap_or(remembered), evidence.shown.as_str()),
        None => (remembered, shown),
    };
    let found = format!(
        "{}\n{}\n\nlog: {url}\ncode: {}\n\n--- 先前所信 / believed before ---\n{remembered}\n--- 现在所示 / shown now ---\n{shown}\n",
        text.zh,
        text.en,
        halt.code()
    );
    let mark: String =
        digest(&SHA256, found.as_bytes()).as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let name = format!("fork-evidence-{mark}.txt");
    let path = folder.join(&name);
    if !fs::exists(&path)? {
        replace(folder, &name, format!("{} {found}", Timestamp::now()).as_bytes())?;
    }
    Ok(path)
}
