//! A file on its way that outlives the run: `FILE.partial`, and beside it what a later run must know to go on.
//!
//! What is noted is durable before the note is: a later run cuts off what came behind it and asks for that again.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Format;
use crate::cli::client::Server;
use crate::cli::failure::CliError;
use crate::cli::new_file::NewFile;

/// A note is small; what is larger is no note of ours.
const NOTE_LIMIT_BYTES: u64 = 16 << 20;

/// How far an export has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    server: String,
    query: String,
    format: Format,
    /// Of a CSV: they stay the same to its end.
    pub columns: Vec<String>,
    pub cursor: Option<String>,
    /// Of the file, behind which everything is to come again.
    bytes: u64,
    pub records: u64,
    pub damaged: u64,
}

impl State {
    pub fn new(server: String, query: String, format: Format, columns: Vec<String>) -> State {
        State { server, query, format, columns, cursor: None, bytes: 0, records: 0, damaged: 0 }
    }

    /// Whether it is of the same question to the same node.
    pub fn is_of(&self, server: &Server, query: &str, format: Format) -> bool {
        self.server == server.to_string() && self.query == query && self.format == format
    }
}

pub(super) struct Partial {
    file: File,
    path: PathBuf,
    partial: PathBuf,
    note: PathBuf,
}

impl Partial {
    /// Opens the part of an earlier run, or begins; `fits` says whether it is of this export.
    ///
    /// # Errors
    /// A part of another export, unless it may be thrown away.
    pub fn open(
        path: &Path,
        fits: impl FnOnce(&State) -> bool,
        may_replace: bool,
    ) -> Result<(Partial, Option<State>), CliError> {
        let (partial, note) = (with_ending(path, ".partial"), with_ending(path, ".partial.json"));
        let noted = read_note(&note).map_err(CliError::file("读取", "read", &note))?;
        let begun = noted.filter(|_| partial.is_file());
        let is_other = begun.as_ref().is_some_and(|state| !fits(state));
        if is_other && !may_replace {
            let shown = partial.display();
            return Err(CliError::wrong(
                format!("{shown} 属于另一次导出（节点、条件或格式不同）：用 --force 重新开始，或换一个文件名"),
                format!(
                    "{shown} is of another export (another node, filter or format): begin anew with --force, or name another file"
                ),
            ));
        }
        let begun = begun.filter(|_| !is_other);
        let open = || -> io::Result<File> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(begun.is_none()).open(&partial)?;
            let bytes = begun.as_ref().map_or(0, |state| state.bytes);
            if file.metadata()?.len() < bytes {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is shorter than was noted"));
            }
            file.set_len(bytes)?;
            file.seek(SeekFrom::End(0))?;
            Ok(file)
        };
        let file = open().map_err(CliError::file("打开", "open", &partial))?;
        Ok((Partial { file, path: path.to_owned(), partial, note }, begun))
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    pub fn save(&mut self, state: &mut State) -> Result<(), CliError> {
        let synced = self.file.sync_data().and_then(|()| self.file.stream_position());
        state.bytes = synced.map_err(CliError::file("落盘", "make durable", &self.partial))?;
        let note = serde_json::to_vec(state).map_err(io::Error::from);
        let note = note.map_err(CliError::file("写入", "write", &self.note))?;
        let mut file = NewFile::create(&self.note)?;
        file.write_all(&note).map_err(CliError::file("写入", "write", &self.note))?;
        file.finish()
    }

    /// Gives the file its name.
    pub fn finish(self) -> Result<(), CliError> {
        let Partial { file, path, partial, note } = self;
        let named = file.sync_all().and_then(|()| std::fs::rename(&partial, &path));
        named.map_err(CliError::file("写入", "write", &path))?;
        // Without the part it says nothing any more.
        let _ = std::fs::remove_file(&note);
        Ok(())
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(ending);
    PathBuf::from(name)
}

/// The note, if there is one that reads.
fn read_note(path: &Path) -> io::Result<Option<State>> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(there) if there.len() > NOTE_LIMIT_BYTES => Ok(None),
        Ok(_) => Ok(serde_json::from_slice(&std::fs::read(path)?).ok()),
    }
}
