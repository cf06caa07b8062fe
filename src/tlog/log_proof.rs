//! The file that proves offline that a log holds an entry (c2sp.org/tlog-proof): the entry's index, the path to the root, a
//! checkpoint with its signatures, and bytes that an application may add, which nothing authenticates.
//!
//! Reading it proves nothing: the path is checked by `proof`, the checkpoint by `policy`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::checkpoint::{Checkpoint, CheckpointError, parse_decimal, parse_hash};
use super::note::{NOTE_LIMIT_BYTES, Note, NoteError};
use super::proof::PROOF_HASHES;
use crate::model::text::Text;

/// The media type that a caller asks for to get this form.
pub const MEDIA_TYPE: &str = "text/x-tlog-proof";
/// The first line of a file: its form, and its version.
pub const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// The most bytes of a file that reads: a note, as much again for the extra data, and the path.
pub const LOG_PROOF_LIMIT_BYTES: usize = 2 * NOTE_LIMIT_BYTES + (PROOF_HASHES + 2) * 45;

/// A proof as it was read or is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogProof {
    /// What the application added; never empty.
    pub extra: Option<Vec<u8>>,
    /// The entry's place in the log, from 0.
    pub index: u64,
    /// From the leaf's sibling up to the root's child (RFC 6962, 2.1.1).
    pub hashes: Vec<[u8; 32]>,
    /// The checkpoint, word for word.
    pub checkpoint: Note,
}

/// Why a file is no proof. Lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogProofError {
    #[error("not a proof of a log: it is not UTF-8, or over its limit")]
    NoText,
    #[error("not a proof of a log: line 1 must be `{HEADER}`")]
    Header,
    #[error(
        "line {0} must be `extra` and at least one byte in base64, or `index` and decimal digits without leading zeros"
    )]
    Index(usize),
    #[error("line {0} must be a hash of 32 bytes in base64, or empty before the checkpoint")]
    Hash(usize),
    #[error("a path has at most {PROOF_HASHES} hashes")]
    LongPath,
    #[error("the checkpoint in the proof: {0}")]
    Note(#[from] NoteError),
    #[error("the checkpoint in the proof: {0}")]
    Checkpoint(#[from] CheckpointError),
}

impl LogProofError {
    /// What happened and what to do.
    #[must_use]
    pub fn text(&self) -> Text {
        let zh = match self {
            Self::NoText | Self::Header => format!("不是日志证明：首行应为 {HEADER}"),
            Self::Index(line) => format!("第 {line} 行应为 index 与十进制序号，或 extra 与 base64"),
            Self::Hash(line) => format!("第 {line} 行应为 32 字节哈希的 base64，或在检查点之前为空行"),
            Self::LongPath => format!("路径至多 {PROOF_HASHES} 个哈希"),
            Self::Note(error) => format!("证明中的检查点：{}", error.text().zh),
            Self::Checkpoint(error) => format!("证明中的检查点：{}", error.text().zh),
        };
        Text::new(format!("{zh}。请重新取得该证明"), format!("{self}; fetch the proof again"))
    }
}

impl LogProof {
    /// Reads a file.
    pub fn parse(bytes: &[u8]) -> Result<LogProof, LogProofError> {
        if bytes.len() > LOG_PROOF_LIMIT_BYTES {
            return Err(LogProofError::NoText);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| LogProofError::NoText)?;
        let (header, mut rest) = text.split_once('\n').ok_or(LogProofError::Header)?;
        if header != HEADER {
            return Err(LogProofError::Header);
        }
        let mut number = 1;
        let mut line = || {
            number += 1;
            let (line, after) = rest.split_once('\n')?;
            rest = after;
            Some((number, line))
        };
        let (mut at, mut next) = line().ok_or(LogProofError::Index(2))?;
        let mut extra = None;
        if let Some(encoded) = next.strip_prefix("extra ") {
            let decoded = BASE64.decode(encoded).ok().filter(|bytes| !bytes.is_empty());
            extra = Some(decoded.ok_or(LogProofError::Index(at))?);
            (at, next) = line().ok_or(LogProofError::Index(at + 1))?;
        }
        let index = next.strip_prefix("index ").and_then(parse_decimal).ok_or(LogProofError::Index(at))?;
        let mut hashes = Vec::new();
        loop {
            (at, next) = line().ok_or(LogProofError::Hash(at + 1))?;
            if next.is_empty() {
                break;
            }
            if hashes.len() == PROOF_HASHES {
                return Err(LogProofError::LongPath);
            }
            hashes.push(parse_hash(next).ok_or(LogProofError::Hash(at))?);
        }
        let checkpoint = Note::parse(rest)?;
        Checkpoint::of_note(&checkpoint)?;
        Ok(LogProof { extra, index, hashes, checkpoint })
    }

    /// The file's text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = format!("{HEADER}\n");
        if let Some(extra) = self.extra.as_ref().filter(|extra| !extra.is_empty()) {
            text += &format!("extra {}\n", BASE64.encode(extra));
        }
        text += &format!("index {}\n", self.index);
        for hash in &self.hashes {
            text += &format!("{}\n", BASE64.encode(hash));
        }
        text + &format!("\n{}", self.checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tlog::note::KeyKind;
    use crate::tlog::note::tests::TestSigner;

    /// c2sp.org/tlog-proof, with its elided signature and its ill-padded extra data replaced by the ones of the checkpoint's page.
    const EXAMPLE: &str = "\
c2sp.org/tlog-proof@v1
extra YWdlLXYxLjIuMS1kYXJ3aW4tYXJtNjQudGFyLmd6
index 73894
gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=
EKNzoDWG8LGC0Yp9o+sv3qllpMP9uHQ9B20KNL+Q1zs=
RoopEkOdqkYqMB4MJXrbt/hMjOxsVn0IrWjpz1ZMMes=
AHCioX9nLjsrse6YhjRRmk1WUEirVOLLRoOQ6vfO5vk=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

\u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
";

    #[test]
    fn the_example_of_the_specification_reads_and_is_written_the_same() {
        let proof = LogProof::parse(EXAMPLE.as_bytes()).unwrap();
        assert_eq!(proof.extra.as_deref(), Some(&b"age-v1.2.1-darwin-arm64.tar.gz"[..]));
        assert_eq!((proof.index, proof.hashes.len()), (73_894, 5));
        assert_eq!(proof.encode(), EXAMPLE);
        let bare = LogProof { extra: None, index: 0, hashes: Vec::new(), ..proof };
        let text = bare.encode();
        assert!(text.starts_with("c2sp.org/tlog-proof@v1\nindex 0\n\nexample.com/"), "{text}");
        assert_eq!(LogProof::parse(text.as_bytes()).unwrap(), bare);
    }

    #[test]
    fn what_is_malformed_is_refused_by_its_line() {
        let parse = |from: &str, to: &str| LogProof::parse(EXAMPLE.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert_eq!(parse("@v1", "@v2"), LogProofError::Header);
        assert_eq!(parse("extra YWdl", "extra !WdlL"), LogProofError::Index(2));
        assert_eq!(parse("extra YWdlLXYxLjIuMS1kYXJ3aW4tYXJtNjQudGFyLmd6", "extra "), LogProofError::Index(2));
        for index in ["index -5", "index 073894", "index x", "index", "idx 1", "index 18446744073709551616"] {
            assert_eq!(parse("index 73894", index), LogProofError::Index(3), "{index}");
        }
        assert_eq!(parse("gSKy", "!!!!"), LogProofError::Hash(4));
        assert_eq!(parse("gSKy", ""), LogProofError::Hash(4));
        assert_eq!(LogProof::parse(b"c2sp.org/tlog-proof@v1\n").unwrap_err(), LogProofError::Index(2));
        assert_eq!(LogProof::parse(b"c2sp.org/tlog-proof@v1\nindex 0\n").unwrap_err(), LogProofError::Hash(3));
        let hash = "gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=\n";
        assert_eq!(parse(hash, &hash.repeat(61)), LogProofError::LongPath);
        assert!(matches!(parse("\n20852163\n", "\nx\n"), LogProofError::Checkpoint(_)));
        assert!(matches!(parse("\u{2014} ", "- "), LogProofError::Note(_)));
        assert_eq!(LogProof::parse(&vec![b'a'; LOG_PROOF_LIMIT_BYTES + 1]).unwrap_err(), LogProofError::NoText);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(extra in proptest::option::of(proptest::collection::vec(any::<u8>(), 1..50)), index: u64, hashes in proptest::collection::vec(any::<[u8; 32]>(), 0..=64), size: u64) {
            let signer = TestSigner::new("example.com/log", KeyKind::Note, [3; 32]);
            let text = Checkpoint { origin: "example.com/log".to_owned(), size, root: [9; 32], extensions: Vec::new() }.encode();
            let proof = LogProof { extra, index, hashes, checkpoint: Note::sign(&text, &[&signer]).unwrap() };
            prop_assert_eq!(LogProof::parse(proof.encode().as_bytes()).unwrap(), proof);
        }

        #[test]
        fn what_reads_is_written_the_same(at in 0..EXAMPLE.len(), byte: u8) {
            let _ = LogProof::parse(&EXAMPLE.as_bytes()[..at]);
            let mut changed = EXAMPLE.as_bytes().to_vec();
            changed[at] = byte;
            if let Ok(proof) = LogProof::parse(&changed) {
                let written = proof.encode();
                prop_assert_eq!(written.as_bytes(), &changed[..]);
            }
        }
    }
}
