//! Keys of logs and of witnesses as they are given to a command: vkeys (c2sp.org/signed-note), one a line, `#` begins a comment.
//!
//! A node with two keys shows two lines at /log/vkey, so what is pasted may hold several.

use std::path::Path;

use super::failure::CliError;
use crate::model::text::Text;
use crate::tlog::note::{KeyKind, VerifierKey};

/// The most bytes of a file of keys.
const FILE_LIMIT_BYTES: u64 = 1 << 20;

/// What an argument holds: one key, or several lines.
#[derive(Clone, Debug)]
pub struct Keys(pub Vec<VerifierKey>);

/// For clap: keys of logs.
pub fn of_logs(text: &str) -> Result<Keys, Text> {
    parse(text, KeyKind::Note).map(Keys)
}

/// For clap: keys of witnesses.
pub fn of_witnesses(text: &str) -> Result<Keys, Text> {
    parse(text, KeyKind::Cosignature).map(Keys)
}

/// The keys of a file of one kind.
pub fn read(path: &Path, kind: KeyKind) -> Result<Vec<VerifierKey>, CliError> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(FILE_LIMIT_BYTES).read_to_end(&mut bytes));
    read.map_err(CliError::file("读取", "read", path))?;
    parse_from(&bytes, kind, &path.display().to_string())
}

/// The same of bytes that came from somewhere.
pub fn parse_from(bytes: &[u8], kind: KeyKind, from: &str) -> Result<Vec<VerifierKey>, CliError> {
    parse(&String::from_utf8_lossy(bytes), kind)
        .map_err(|Text { zh, en }| CliError::wrong(format!("{from}：{zh}"), format!("{from}: {en}")))
}

/// At least one key, all of this kind.
fn parse(text: &str, kind: KeyKind) -> Result<Vec<VerifierKey>, Text> {
    let mut keys = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let key = VerifierKey::parse(line).map_err(|error| error.text())?;
        match (key.kind() == kind, kind) {
            (true, _) => keys.push(key),
            (false, KeyKind::Note) => {
                return Err(Text::new("这是见证方的公钥，不是日志的", "this is the key of a witness, not of a log"));
            }
            (false, KeyKind::Cosignature) => {
                return Err(Text::new("这是日志的公钥，不是见证方的", "this is the key of a log, not of a witness"));
            }
        }
    }
    if keys.is_empty() {
        return Err(Text::new("没有公钥", "there is no key"));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const WITNESS: &str = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2";

    #[test]
    fn keys_are_read_line_by_line_and_only_of_their_kind() {
        assert_eq!(of_logs(&format!("# the log\n{LOG}\r\n\n {LOG} \n")).unwrap().0.len(), 2);
        assert_eq!(of_witnesses(WITNESS).unwrap().0[0].name(), "remora.n621.de");
        for wrong in ["", "# none\n", WITNESS, "x", &format!("{LOG}\nx")] {
            assert!(of_logs(wrong).is_err(), "{wrong}");
        }
        assert!(of_witnesses(LOG).unwrap_err().en.contains("of a log"));
    }
}
