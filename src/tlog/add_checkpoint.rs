//! What a log asks a witness (c2sp.org/tlog-witness, `add-checkpoint`): a new head, and the proof that it continues the witness's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::checkpoint::{Checkpoint, CheckpointError, parse_decimal, parse_hash};
use super::note::{NOTE_LIMIT_BYTES, Note, NoteError, SignatureLine};

/// The most lines of a consistency proof (tlog-witness: "more than 63 consistency proof lines" must not be sent).
pub const PROOF_LIMIT_HASHES: usize = 63;
/// The most bytes of a request that reads: a note, the proof's lines and the first line.
pub const REQUEST_LIMIT_BYTES: usize = NOTE_LIMIT_BYTES + (PROOF_LIMIT_HASHES + 1) * 45 + 32;
/// The media type of the answer 409 that names the size.
pub const SIZE_MEDIA_TYPE: &str = "text/x.tlog.size";

/// A request for a cosignature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size that the witness is believed to have signed last; 0 for none.
    pub old_size: u64,
    /// The consistency proof from that size to the checkpoint's (RFC 6962, 2.1.2).
    pub proof: Vec<[u8; 32]>,
    pub note: Note,
    pub checkpoint: Checkpoint,
}

/// Why a request does not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("the request is not UTF-8, or over its limit")]
    NoText,
    #[error("the first line must be `old SIZE`, the size in decimal digits without leading zeros")]
    OldSize,
    #[error("line {0} must be a hash of the consistency proof, 32 bytes in base64, or empty before the checkpoint")]
    Proof(usize),
    #[error("a consistency proof has at most 63 lines")]
    LongProof,
    #[error("the old size is larger than the checkpoint's")]
    Backwards,
    #[error("from size 0 the proof must be empty")]
    ProofFromNothing,
    #[error("the checkpoint: {0}")]
    Note(#[from] NoteError),
    #[error("the checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
}

impl AddCheckpoint {
    /// Reads a body.
    pub fn parse(body: &[u8]) -> Result<AddCheckpoint, RequestError> {
        if body.len() > REQUEST_LIMIT_BYTES {
            return Err(RequestError::NoText);
        }
        let body = std::str::from_utf8(body).map_err(|_| RequestError::NoText)?;
        let (first, mut rest) = body.split_once('\n').ok_or(RequestError::OldSize)?;
        let old_size = first.strip_prefix("old ").and_then(parse_decimal).ok_or(RequestError::OldSize)?;
        let mut proof = Vec::new();
        loop {
            let (line, after) = rest.split_once('\n').ok_or(RequestError::Proof(proof.len() + 2))?;
            rest = after;
            if line.is_empty() {
                break;
            }
            if proof.len() == PROOF_LIMIT_HASHES {
                return Err(RequestError::LongProof);
            }
            proof.push(parse_hash(line).ok_or(RequestError::Proof(proof.len() + 2))?);
        }
        let note = Note::parse(rest)?;
        let checkpoint = Checkpoint::of_note(&note)?;
        if old_size > checkpoint.size {
            return Err(RequestError::Backwards);
        }
        if old_size == 0 && !proof.is_empty() {
            return Err(RequestError::ProofFromNothing);
        }
        Ok(AddCheckpoint { old_size, proof, note, checkpoint })
    }

    /// The body that asks for a cosignature of this note.
    #[must_use]
    pub fn encode(old_size: u64, proof: &[[u8; 32]], note: &str) -> String {
        let mut body = format!("old {old_size}\n");
        for hash in proof {
            body.push_str(&BASE64.encode(hash));
            body.push('\n');
        }
        body.push('\n');
        body.push_str(note);
        body
    }
}

/// The signature lines of an answer 200.
pub fn parse_answer(body: &str) -> Result<Vec<SignatureLine>, NoteError> {
    let lines = body.strip_suffix('\n').ok_or(NoteError::Malformed("its last line is cut short"))?;
    lines.split('\n').map(SignatureLine::parse).collect()
}

/// The size that an answer 409 names.
#[must_use]
pub fn parse_size(body: &str) -> Option<u64> {
    parse_decimal(body.strip_suffix('\n')?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// c2sp.org/tlog-witness.
    const EXAMPLE: &str = "\
old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

\u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
\u{2014} example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
";

    #[test]
    fn the_example_of_the_specification_reads_and_is_written_the_same() {
        let request = AddCheckpoint::parse(EXAMPLE.as_bytes()).unwrap();
        assert_eq!((request.old_size, request.proof.len()), (20_852_014, 4));
        assert_eq!(request.checkpoint.size, 20_852_163);
        assert_eq!(request.note.signatures().len(), 2);
        assert_eq!(AddCheckpoint::encode(request.old_size, &request.proof, &request.note.to_string()), EXAMPLE);
    }

    #[test]
    fn answers_of_the_specification_read() {
        let answer = "\
\u{2014} witness.example/w1 CMp+6LWBU0anHGH5aNDTJkH/gj79sG+T6+iP2ThYN5krrDJbR1HDnucjL39QsZTSvVjyQLrdk3DXDqI5G2HgLatVs0pWh6Up69HVOw==
\u{2014} witness.example/w1 I7rEps0pvK2UqkS2gSpVUDhrhVtQV9lgF6pRrWAvjJHjyWpW7VcE3SiOlVlbQNt64vWhO+DlkL0+UfzuOBMh9ChdMkP1vi/lCAsmlw==
\u{2014} witness.example/w2 AWui8Sk55XjYLOijihBjhqEH6nS1ndDymE0a+6idX7pLcnoB+dhnz0854aLZgrrKbYKA7nC3HNJhm/kWl7oJlqU3rXXvpysAdyP3wQ==
";
        let lines = parse_answer(answer).unwrap();
        assert_eq!((lines.len(), lines[0].signature.len()), (3, 72));
        assert!(parse_answer("").is_err());
        assert!(parse_answer("\n").is_err());
        assert_eq!(parse_size("20852014\n"), Some(20_852_014));
        assert_eq!(parse_size("0\n"), Some(0));
        for bad in ["", "\n", "5", "05\n", "5\n\n", "5 \n"] {
            assert_eq!(parse_size(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn what_is_malformed_is_refused_by_what_is_wrong_with_it() {
        let parse = |text: String| AddCheckpoint::parse(text.as_bytes()).unwrap_err();
        for first in ["old", "old ", "old 01", "old -1", "new 1", "old  1", "OLD 1"] {
            let error = parse(EXAMPLE.replacen("old 20852014", first, 1));
            assert_eq!(error, RequestError::OldSize, "{first}");
        }
        assert_eq!(parse(EXAMPLE.replacen("PlRN", "!lRN", 1)), RequestError::Proof(2));
        assert_eq!(parse(EXAMPLE.replacen("pkaw=\n", "pkaw=\r\n", 1)), RequestError::Proof(2));
        assert_eq!(parse(EXAMPLE.replacen("old 20852014", "old 20852164", 1)), RequestError::Backwards);
        assert_eq!(parse(EXAMPLE.replacen("old 20852014", "old 0", 1)), RequestError::ProofFromNothing);
        let line = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n";
        assert_eq!(parse(EXAMPLE.replacen(line, &line.repeat(61), 1)), RequestError::LongProof);
        assert!(AddCheckpoint::parse(EXAMPLE.replacen(line, &line.repeat(60), 1).as_bytes()).is_ok());
        assert!(matches!(parse(EXAMPLE.replacen("\n20852163", "\n020852163", 1)), RequestError::Checkpoint(_)));
        assert!(matches!(parse(EXAMPLE.replacen("\u{2014}", "-", 1)), RequestError::Note(_)));
        assert_eq!(AddCheckpoint::parse(b"old 1\n\xff").unwrap_err(), RequestError::NoText);
        assert_eq!(AddCheckpoint::parse(&vec![b'a'; REQUEST_LIMIT_BYTES + 1]).unwrap_err(), RequestError::NoText);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(at in 0..EXAMPLE.len(), byte: u8, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = AddCheckpoint::parse(&bytes);
            let _ = AddCheckpoint::parse(&EXAMPLE.as_bytes()[..at]);
            let mut changed = EXAMPLE.as_bytes().to_vec();
            changed[at] = byte;
            if let Ok(request) = AddCheckpoint::parse(&changed) {
                let again = AddCheckpoint::encode(request.old_size, &request.proof, &request.note.to_string());
                prop_assert_eq!(again.as_bytes(), &changed);
            }
        }
    }
}
