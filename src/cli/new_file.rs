//! A file that is there whole or not at all: written under a temporary name, made durable, then renamed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::failure::CliError;

/// A file on its way. Dropped without [`NewFile::finish`] it leaves nothing behind.
pub struct NewFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    finished: bool,
}

impl NewFile {
    /// Begins the file next to where it will be. What stands at `path` stays until the end; it must be a plain file.
    pub fn create(path: &Path) -> Result<NewFile, CliError> {
        if std::fs::metadata(path).is_ok_and(|there| !there.is_file()) {
            let path = path.display();
            return Err(CliError::wrong(
                format!("{path} 不是普通文件，不会被替换：请换一个文件名"),
                format!("{path} is no plain file and will not be replaced: name another"),
            ));
        }
        let name = path.file_name().ok_or_else(|| {
            CliError::wrong(format!("{} 不是文件名", path.display()), format!("{} is no file name", path.display()))
        })?;
        let temporary = folder_of(path).join(format!(".{}.{}.partial", name.to_string_lossy(), std::process::id()));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&temporary)
            .map_err(CliError::file("创建", "create", path))?;
        Ok(NewFile { file, temporary, path: path.to_owned(), finished: false })
    }

    /// The same with the permissions of the file that stands there, if one does: a private list stays private.
    pub fn replacing(path: &Path) -> Result<NewFile, CliError> {
        let new = NewFile::create(path)?;
        if let Ok(standing) = std::fs::metadata(path) {
            new.file.set_permissions(standing.permissions()).map_err(CliError::file("创建", "create", path))?;
        }
        Ok(new)
    }

    /// Makes the file durable and gives it its name.
    pub fn finish(mut self) -> Result<(), CliError> {
        let path = self.path.clone();
        self.file
            .sync_all()
            .and_then(|()| std::fs::rename(&self.temporary, &path))
            .map_err(CliError::file("写入", "write", &path))?;
        self.finished = true;
        File::open(folder_of(&path)).and_then(|folder| folder.sync_all()).map_err(CliError::file(
            "落盘",
            "make durable",
            &path,
        ))
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.finished {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_given_up_leaves_what_was_there_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        std::fs::write(&path, "before").unwrap();
        let mut given_up = NewFile::create(&path).unwrap();
        given_up.write_all(b"half").unwrap();
        drop(given_up);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

        let mut whole = NewFile::create(&path).unwrap();
        whole.write_all(b"after").unwrap();
        whole.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "after");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_device_is_not_replaced_by_a_file() {
        assert!(NewFile::create(Path::new("/dev/null")).is_err());
        assert!(NewFile::create(Path::new("/")).is_err());
    }
}
