//! From a file's bytes to UTF-8: which encoding it is in, without a guessing library, and the decoding piece by piece.

use std::io::{self, SeekFrom};

use encoding_rs::{Decoder, Encoding, GB18030, UTF_8};

use crate::services::import::{Input, TableError};

const PIECE_BYTES: usize = 64 * 1024;
/// Broken sequences after which a file is not UTF-8 unless it holds many more good ones.
const ENOUGH_BROKEN: u64 = 10_000;
/// So many good sequences of UTF-8 for one broken: a damaged row in a file of UTF-8. Two bytes of GB18030 are seldom also
/// one character of UTF-8.
const GOOD_FOR_ONE_BROKEN: u64 = 10;

/// The encoding that somebody names, by the labels of the WHATWG Encoding Standard.
pub fn named(label: &str) -> Result<&'static Encoding, TableError> {
    Encoding::for_label_no_replacement(label.as_bytes()).ok_or_else(|| {
        let shown: String = label.chars().take(32).collect();
        TableError::wrong(
            "encoding_unknown",
            format!("没有编码“{shown}”，可用 utf-8、gb18030、gbk、big5、utf-16le 等"),
            format!("there is no encoding {shown:?}; there are utf-8, gb18030, gbk, big5, utf-16le and others"),
        )
    })
}

/// The word that is shown.
#[must_use]
pub fn word(encoding: &'static Encoding) -> String {
    // The two are one decoder, and the newer name tells of all its characters.
    let encoding = if encoding == encoding_rs::GBK { GB18030 } else { encoding };
    encoding.name().to_ascii_lowercase()
}

/// Finds the encoding of a whole file: a byte order mark says it; else UTF-8 if all of it is (or nearly all, so that one
/// damaged row does not turn the others into nonsense); else GB18030. Leaves the file at its beginning.
pub fn find(input: &mut dyn Input) -> io::Result<&'static Encoding> {
    let mut counts = Counts::default();
    let mut piece = vec![0; PIECE_BYTES];
    let mut kept = 0;
    let mut is_first = true;
    let found = loop {
        let count = read_some(input, piece.get_mut(kept..).unwrap_or_default())?;
        let filled = piece.get(..kept + count).unwrap_or_default();
        if std::mem::take(&mut is_first)
            && let Some((encoding, _)) = Encoding::for_bom(filled)
        {
            break encoding;
        }
        let rest = counts.take(filled, count == 0);
        let filled = filled.len();
        piece.copy_within(filled - rest..filled, 0);
        kept = rest;
        if count == 0 || (counts.broken > ENOUGH_BROKEN && !counts.is_utf8()) {
            break if counts.is_utf8() { UTF_8 } else { GB18030 };
        }
    };
    input.seek(SeekFrom::Start(0))?;
    Ok(found)
}

/// Sequences of UTF-8 with more than one byte, and what is none.
#[derive(Default)]
struct Counts {
    good: u64,
    broken: u64,
}

impl Counts {
    /// Counts what is in some bytes; gives how many of the last ones need more to be judged.
    fn take(&mut self, mut bytes: &[u8], is_last: bool) -> usize {
        loop {
            let (valid, fault) = match std::str::from_utf8(bytes) {
                Ok(_) => (bytes.len(), None),
                Err(error) => (error.valid_up_to(), Some(error.error_len())),
            };
            let (before, after) = bytes.split_at(valid);
            self.good += before.iter().filter(|byte| **byte >= 0xC0).count() as u64;
            match fault {
                None => return 0,
                Some(None) if !is_last => return after.len(),
                Some(None) => {
                    self.broken += 1;
                    return 0;
                }
                Some(Some(length)) => {
                    self.broken += 1;
                    bytes = after.get(length..).unwrap_or_default();
                }
            }
        }
    }

    fn is_utf8(&self) -> bool {
        self.broken == 0 || self.good >= self.broken.saturating_mul(GOOD_FOR_ONE_BROKEN)
    }
}

/// A file as UTF-8. What is no text in its encoding becomes U+FFFD.
pub(super) struct Decoded {
    input: Box<dyn Input>,
    decoder: Decoder,
    piece: Vec<u8>,
    is_ended: bool,
    /// Bytes that were read so far.
    pub taken: u64,
}

impl Decoded {
    pub fn new(input: Box<dyn Input>, encoding: &'static Encoding) -> Decoded {
        let decoder = encoding.new_decoder_with_bom_removal();
        Decoded { input, decoder, piece: vec![0; PIECE_BYTES], is_ended: false, taken: 0 }
    }

    /// Puts some more text at the end of `text`; false when there is no more.
    pub fn fill(&mut self, text: &mut Vec<u8>) -> io::Result<bool> {
        if self.is_ended {
            return Ok(false);
        }
        let count = read_some(&mut *self.input, &mut self.piece)?;
        self.is_ended = count == 0;
        self.taken += count as u64;
        let mut bytes = self.piece.get(..count).unwrap_or_default();
        let before = text.len();
        loop {
            let room = self.decoder.max_utf8_buffer_length(bytes.len()).unwrap_or(4 * PIECE_BYTES);
            let start = text.len();
            text.resize(start + room, 0);
            let out = text.get_mut(start..).unwrap_or_default();
            let (result, read, written, _) = self.decoder.decode_to_utf8(bytes, out, self.is_ended);
            text.truncate(start + written);
            bytes = bytes.get(read..).unwrap_or_default();
            if result == encoding_rs::CoderResult::InputEmpty {
                break;
            }
        }
        // A piece may be nothing but the half of a character.
        if text.len() == before && !self.is_ended { self.fill(text) } else { Ok(!self.is_ended || text.len() > before) }
    }
}

fn read_some(input: &mut dyn Input, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(buffer.get_mut(filled..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn found(bytes: &[u8]) -> String {
        word(find(&mut Cursor::new(bytes)).unwrap())
    }

    fn decoded(bytes: &[u8], encoding: &'static Encoding) -> String {
        let mut text = Vec::new();
        let mut decoded = Decoded::new(Box::new(Cursor::new(bytes.to_vec())), encoding);
        while decoded.fill(&mut text).unwrap() {}
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_mark_says_it_then_utf8_then_gb18030() {
        assert_eq!(found(b"\xEF\xBB\xBFa"), "utf-8");
        assert_eq!(found(b"\xFF\xFEa\0"), "utf-16le");
        assert_eq!(found(b"\xFE\xFF\0a"), "utf-16be");
        assert_eq!(found(b""), "utf-8");
        assert_eq!(found("编号,名称\n".as_bytes()), "utf-8");
        assert_eq!(found(&GB18030.encode("编号,名称\n").0), "gb18030");
        // The character that a piece ends in the middle of counts as one.
        let long = format!("{}{}", "x".repeat(PIECE_BYTES - 1), "铭牌".repeat(100_000));
        assert_eq!(found(long.as_bytes()), "utf-8");
        let late = [long.as_bytes(), &GB18030.encode("\n铭牌").0].concat();
        assert_eq!(found(&late), "utf-8", "one damaged row in a file of UTF-8");
        assert_eq!(found(&GB18030.encode(&long).0), "gb18030");
    }

    #[test]
    fn text_is_whole_wherever_the_pieces_break() {
        let long = format!("x{}", "铭牌𠀀".repeat(30_000));
        assert_eq!(decoded(&GB18030.encode(&long).0, GB18030), long);
        assert_eq!(decoded(long.as_bytes(), UTF_8), long);
        let units: Vec<u8> = long.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(decoded(&units, encoding_rs::UTF_16LE), long);
        assert_eq!(decoded(b"\xEF\xBB\xBFa\xFF", UTF_8), "a\u{FFFD}");
        assert!(named("gb2312").is_ok() && named("replacement").is_err() && named("klingon").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_become_text(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let encoding = find(&mut Cursor::new(&bytes)).unwrap();
            decoded(&bytes, encoding);
        }
    }
}
