//! What is imported: a file or standard input, unpacked while it is read, within a bound.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use super::form::Format;
use crate::cli::failure::CliError;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const BUFFER_BYTES: usize = 256 << 10;
/// How files begin that are taken for a table by their name only: ZIP (also XLSX), old XLS, PDF.
const OTHER_FILES: [&[u8]; 3] = [b"PK\x03\x04", b"\xD0\xCF\x11\xE0", b"%PDF-"];

/// Where rows come from. Opening it again begins anew, except for standard input.
#[derive(Clone, Debug)]
pub struct Source {
    path: Option<PathBuf>,
    pub format: Format,
    unpacked_limit: u64,
}

/// Rows being read.
pub struct Rows {
    reader: Box<dyn Read + Send>,
    /// Bytes taken from the file so far, packed as they are there.
    pub taken: Arc<AtomicU64>,
    /// Bytes of the file; `None` where nobody knows.
    pub length: Option<u64>,
}

impl Source {
    pub fn new(file: &Path, format: Format, unpacked_limit: u64) -> Source {
        Source { path: (file != Path::new("-")).then(|| file.to_owned()), format, unpacked_limit }
    }

    /// Whether it can be sent a second time.
    #[must_use]
    pub fn repeats(&self) -> bool {
        self.path.as_ref().is_some_and(|path| path.is_file())
    }

    /// Where it is, unless it is standard input.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Bytes of a file that can be sent a second time.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        let about = std::fs::metadata(self.path()?).ok()?;
        about.is_file().then_some(about.len())
    }

    /// Opens it, and looks at its first bytes: what cannot be of its form is not sent.
    pub fn open(&self) -> Result<Rows, CliError> {
        let name = self.path.clone().unwrap_or_else(|| PathBuf::from("-"));
        let failed = || CliError::file("读取", "read", &name);
        let taken = Arc::new(AtomicU64::new(0));
        let (raw, length): (Box<dyn Read + Send>, _) = match &self.path {
            None => (Box::new(io::stdin()), None),
            Some(path) => {
                let file = File::open(path).map_err(failed())?;
                let about = file.metadata().map_err(failed())?;
                (Box::new(file), about.is_file().then_some(about.len()))
            }
        };
        let counted = Counted { inner: raw, taken: Arc::clone(&taken) };
        let mut raw = BufReader::with_capacity(BUFFER_BYTES, counted);
        let packed = raw.fill_buf().map_err(failed())?.starts_with(&GZIP_MAGIC);
        let unpacked: Box<dyn Read + Send> = if packed { Box::new(MultiGzDecoder::new(raw)) } else { Box::new(raw) };
        let bounded = Bounded { inner: unpacked, left: self.unpacked_limit };
        let mut rows = BufReader::with_capacity(BUFFER_BYTES, bounded);
        check_beginning(rows.fill_buf().map_err(failed())?, self.format, &name)?;
        Ok(Rows { reader: Box::new(rows), taken, length })
    }
}

impl Read for Rows {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

/// Every row of NDJSON is a JSON object, so the first letter is `{`. Other files would come back as one fault a line. A table
/// may be in any encoding, but is no archive and no document of another kind.
fn check_beginning(bytes: &[u8], format: Format, name: &Path) -> Result<(), CliError> {
    if format == Format::Xlsx {
        return Ok(());
    }
    if format == Format::Csv {
        return if OTHER_FILES.iter().any(|magic| bytes.starts_with(magic)) {
            let name = name.display();
            Err(CliError::wrong(
                format!("{name} 不是 CSV：若是 XLSX，请加 --format xlsx，否则从电子表格软件另存为 CSV"),
                format!(
                    "{name} is not CSV: if it is XLSX, add --format xlsx, else save it as CSV from the spreadsheet"
                ),
            ))
        } else {
            Ok(())
        };
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match bytes.trim_ascii_start().first() {
        None | Some(b'{') => Ok(()),
        Some(_) => {
            let name = name.display();
            Err(CliError::wrong(
                format!(
                    "{name} 不是 NDJSON：每行应为一个 JSON 对象，以 {{ 开头，UTF-8 编码；若是表格，请加 --format csv"
                ),
                format!(
                    "{name} is not NDJSON: every line must be a JSON object in UTF-8, beginning with {{; if it is a table, add --format csv"
                ),
            ))
        }
    }
}

struct Counted {
    inner: Box<dyn Read + Send>,
    taken: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.taken.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Against a small file that unpacks to a huge one.
struct Bounded {
    inner: Box<dyn Read + Send>,
    left: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::FileTooLarge,
                "解压后超过 --unpacked-limit / it unpacks to more than --unpacked-limit",
            )
        })?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8], limit: u64) -> Result<io::Result<Vec<u8>>, CliError> {
        read_as(Format::Ndjson, bytes, limit)
    }

    fn read_as(format: Format, bytes: &[u8], limit: u64) -> Result<io::Result<Vec<u8>>, CliError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        std::fs::write(&path, bytes).unwrap();
        let mut rows = Source::new(&path, format, limit).open()?;
        let mut out = Vec::new();
        Ok(rows.read_to_end(&mut out).map(|_| out))
    }

    #[test]
    fn a_packed_file_is_known_by_its_first_bytes_and_all_its_members_are_read() {
        let mut two = packed(b"{\"a\":1}\n");
        two.extend(packed(b"{\"a\":2}\n"));
        assert_eq!(read(&two, 100).unwrap().unwrap(), b"{\"a\":1}\n{\"a\":2}\n");
        assert_eq!(read(b"{\"a\":1}\n", 100).unwrap().unwrap(), b"{\"a\":1}\n");
        assert_eq!(read(b"", 100).unwrap().unwrap(), b"");
    }

    #[test]
    fn a_file_that_unpacks_to_too_much_ends_in_an_error_and_so_does_a_torn_one() {
        let mut bomb = b"{}\n".to_vec();
        bomb.resize(10 << 20, b' ');
        let bomb = packed(&bomb);
        assert!(bomb.len() < 100_000);
        assert!(read(&bomb, 1 << 20).unwrap().is_err());
        assert!(read(&bomb[..bomb.len() / 2], 1 << 30).unwrap().is_err());
    }

    #[test]
    fn a_table_or_another_encoding_is_refused_before_it_is_sent() {
        for bytes in [b"code,name\n".as_slice(), b"\xFF\xFE{\0", b"PK\x03\x04", b"[{}]"] {
            assert!(read(bytes, 100).is_err());
        }
        assert!(read(b"\xEF\xBB\xBF\n {}", 100).is_ok());
        for bytes in [b"PK\x03\x04".as_slice(), b"\xD0\xCF\x11\xE0\xA1", b"%PDF-1.7"] {
            assert!(read_as(Format::Csv, bytes, 100).is_err());
        }
        assert!(read_as(Format::Csv, b"code,name\n", 100).is_ok());
    }
}
