//! The text of a checkpoint (c2sp.org/tlog-checkpoint): origin, size, root, each on a line; then extension lines, which nobody audits
//! and this node never writes.
//!
//! Who signed it is the note's affair (`note`), what it is worth the policy's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::hash::Head;
use super::note::Note;
use crate::model::text::Text;

/// Bytes of a root (SHA-256, RFC 6962).
const ROOT_BYTES: usize = 32;

/// What a head says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    /// The log's name: not empty, one line.
    pub origin: String,
    /// Leaves.
    pub size: u64,
    pub root: [u8; ROOT_BYTES],
    /// Lines after the third, without their newlines; none is empty.
    pub extensions: Vec<String>,
}

/// Why a text is no checkpoint. Lines count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    #[error("not a checkpoint: line 1 must be the log's origin and is empty")]
    Origin,
    #[error("not a checkpoint: line 2 must be the size, in decimal digits without leading zeros")]
    Size,
    #[error("not a checkpoint: line 3 must be the root, 32 bytes in base64")]
    Root,
    #[error("not a checkpoint: line {0} is empty, and only the end may be")]
    Extension(usize),
    #[error("not a checkpoint: the last line is cut short")]
    CutShort,
}

impl CheckpointError {
    /// What happened and what to do.
    #[must_use]
    pub fn text(&self) -> Text {
        let zh = match self {
            Self::Origin => "第 1 行应为日志名，却是空行".to_owned(),
            Self::Size => "第 2 行应为大小：十进制数字，无前导零".to_owned(),
            Self::Root => "第 3 行应为根：32 字节的 base64".to_owned(),
            Self::Extension(line) => format!("第 {line} 行不得为空"),
            Self::CutShort => "末行不完整".to_owned(),
        };
        Text::new(
            format!("不是日志检查点（C2SP tlog-checkpoint）：{zh}。请取得完整的检查点"),
            format!("{self} (C2SP tlog-checkpoint); fetch the whole checkpoint again"),
        )
    }
}

impl Checkpoint {
    /// Reads a note's text.
    pub fn parse(text: &str) -> Result<Checkpoint, CheckpointError> {
        let text = text.strip_suffix('\n').ok_or(CheckpointError::CutShort)?;
        let mut lines = text.split('\n');
        let origin = lines.next().filter(|line| !line.is_empty()).ok_or(CheckpointError::Origin)?;
        let size = lines.next().and_then(parse_decimal).ok_or(CheckpointError::Size)?;
        let root = lines.next().and_then(parse_hash).ok_or(CheckpointError::Root)?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if let Some(at) = extensions.iter().position(String::is_empty) {
            return Err(CheckpointError::Extension(at + 4));
        }
        Ok(Checkpoint { origin: origin.to_owned(), size, root, extensions })
    }

    /// What a note claims; whether anybody signed it is not judged.
    pub fn of_note(note: &Note) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::parse(note.text())
    }

    /// Size and root.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { size: self.size, root: self.root }
    }

    /// The text to sign, with its last newline.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(self.root));
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

/// Decimal digits without leading zeros, below 2^64.
pub(super) fn parse_decimal(text: &str) -> Option<u64> {
    let is_plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    text.parse().ok().filter(|_| is_plain)
}

/// 32 bytes in standard base64 with its padding.
pub(super) fn parse_hash(text: &str) -> Option<[u8; ROOT_BYTES]> {
    BASE64.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROOT: &str = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";

    #[test]
    fn the_example_of_the_specification_reads() {
        // c2sp.org/tlog-checkpoint.
        let note = format!(
            "example.com/behind-the-sofa\n20852163\n{ROOT}\n\n\u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
        );
        let checkpoint = Checkpoint::of_note(&Note::parse(&note).unwrap()).unwrap();
        assert_eq!((checkpoint.origin.as_str(), checkpoint.size), ("example.com/behind-the-sofa", 20_852_163));
        assert_eq!(BASE64.encode(checkpoint.root), ROOT);
        assert!(checkpoint.extensions.is_empty());
    }

    #[test]
    fn what_is_not_written_exactly_so_is_refused_by_its_line() {
        let parse = |text: &str| Checkpoint::parse(text);
        assert_eq!(parse(""), Err(CheckpointError::CutShort));
        assert_eq!(parse(&format!("\n1\n{ROOT}\n")), Err(CheckpointError::Origin));
        for size in ["01", "00", "-1", "+1", " 1", "1 ", "", "x", "18446744073709551616", "１"] {
            assert_eq!(parse(&format!("a\n{size}\n{ROOT}\n")), Err(CheckpointError::Size), "{size}");
        }
        assert_eq!(parse(&format!("a\n18446744073709551615\n{ROOT}\n")).unwrap().size, u64::MAX);
        // The last but one: bits beyond the 32 bytes are set.
        let loose = format!("{}3=", &ROOT[..ROOT.len() - 2]);
        for root in ["", "AAAA", &ROOT[..43], &format!("{ROOT} "), &loose, &ROOT.replace('+', "-").replace('/', "_")] {
            assert_eq!(parse(&format!("a\n1\n{root}\n")), Err(CheckpointError::Root), "{root}");
        }
        assert_eq!(parse(&format!("a\n1\n{ROOT}\nx\n\n")), Err(CheckpointError::Extension(5)));
        assert_eq!(parse(&format!("a\n1\n{ROOT}\nx\n\ny\n")), Err(CheckpointError::Extension(5)));
        assert_eq!(parse(&format!("a\n1\n{ROOT}")), Err(CheckpointError::CutShort));
        assert_eq!(parse("a\n1\n"), Err(CheckpointError::Root));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(origin in "[^\n]{1,30}", size: u64, root: [u8; 32], extensions in proptest::collection::vec("[^\n]{1,30}", 0..4)) {
            let checkpoint = Checkpoint { origin, size, root, extensions };
            prop_assert_eq!(Checkpoint::parse(&checkpoint.encode()).unwrap(), checkpoint);
        }

        #[test]
        fn what_reads_is_written_the_same(text in "[a0-9\n=/+]{0,20}|a\n[0-9]{1,3}\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n[b\n]{0,3}") {
            if let Ok(checkpoint) = Checkpoint::parse(&text) {
                prop_assert_eq!(checkpoint.encode(), text);
            }
        }
    }
}
