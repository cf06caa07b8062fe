//! What the XML reader would set aside for one part of a workbook, measured while the part is unpacked to nowhere.
//!
//! The reader believes the count of shared texts that the part names, holds one text in memory whatever its length, and
//! copies a style's texts for each cell format. All three are bounded here by the part's own bytes, wherever it lies.

use std::io::{self, Write};

/// The attribute by which shared texts say how many they are, and the shortest of them: `<si/>`.
const COUNT: &[u8] = b"uniqueCount";
const COUNTED_BYTES: u64 = 5;
/// What may pass without a tag: in XML, and in what else lies in a workbook, such as pictures.
const XML_TEXT_BYTES: u64 = 1 << 20;
const OTHER_TEXT_BYTES: u64 = 16 << 20;
/// The longest text of the styles, once for each of their tags.
const STYLE_BYTES: u64 = 64 << 20;

/// Counts a part's bytes.
#[derive(Default)]
pub(super) struct Part {
    pub bytes: u64,
    tags: u64,
    /// Since the last tag, and the most that passed without one.
    text: u64,
    longest: u64,
    /// The last bytes, as many as [`COUNT`] has.
    last: [u8; COUNT.len()],
    at: At,
    /// The largest number that was named as a count.
    counted: u64,
}

/// Where the part stands in `uniqueCount = "7"`.
#[derive(Clone, Copy, Default, PartialEq)]
enum At {
    #[default]
    Elsewhere,
    Name,
    Equals,
    Number(u64),
}

/// What a part must not be.
#[derive(Debug, PartialEq)]
pub(super) enum Harm {
    /// It counts more texts than it can have.
    Count(u64),
    /// Bytes without a tag.
    Text(u64),
}

impl Part {
    /// Whether it may be opened, now that it was written here as a whole; by its name in small letters.
    pub fn judge(&self, name: &str) -> Result<(), Harm> {
        if self.counted > self.bytes / COUNTED_BYTES {
            return Err(Harm::Count(self.counted));
        }
        let is_xml = [".xml", ".rels", ".vml"].iter().any(|ending| name.ends_with(ending));
        let mut most = if is_xml { XML_TEXT_BYTES } else { OTHER_TEXT_BYTES };
        if name.ends_with("styles.xml") {
            most = most.min(STYLE_BYTES / self.tags.max(1));
        }
        if self.longest > most { Err(Harm::Text(most)) } else { Ok(()) }
    }

    fn step(&mut self, byte: u8) {
        // A comment or CDATA does not end a text.
        if self.last.last() == Some(&b'<') && !matches!(byte, b'!' | b'?') {
            self.tags += 1;
            self.text = 0;
        }
        self.text += 1;
        self.longest = self.longest.max(self.text);
        self.at = match (self.at, byte) {
            (At::Name, b'=') => At::Equals,
            (At::Equals, b'"' | b'\'') => At::Number(0),
            (At::Name | At::Equals, _) if byte.is_ascii_whitespace() => self.at,
            (At::Number(number), b'+') => At::Number(number),
            (At::Number(number), b'0'..=b'9') => {
                let number = number.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
                self.counted = self.counted.max(number);
                At::Number(number)
            }
            _ => At::Elsewhere,
        };
        self.last.rotate_left(1);
        if let Some(last) = self.last.last_mut() {
            *last = byte;
        }
        if self.last == *COUNT {
            self.at = At::Name;
        }
    }
}

impl Write for Part {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len() as u64;
        bytes.iter().for_each(|byte| self.step(*byte));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(name: &str, pieces: &[&[u8]]) -> Result<(), Harm> {
        let mut part = Part::default();
        pieces.iter().for_each(|piece| part.write_all(piece).unwrap());
        part.judge(name)
    }

    #[test]
    fn a_count_is_held_against_the_bytes_wherever_it_stands() {
        let judged = |text: &str| judged("x.xml", &[text.as_bytes()]);
        assert_eq!(judged("<sst count=\"900\" uniqueCount=\"2\"><si/><si/></sst>"), Ok(()));
        for text in [
            "<sst uniqueCount=\"900\"/>",
            "<x:sst a=\">\" uniqueCount \n= '000900'/>",
            "<!-- <sst uniqueCount=\"1\"> --><sst uniqueCount=\"900\">",
            "<sst uniquniqueCount=\"900\"/>",
        ] {
            assert_eq!(judged(text), Err(Harm::Count(900)), "{text}");
        }
        assert_eq!(judged("<sst uniqueCount=\"99999999999999999999999\"/>"), Err(Harm::Count(u64::MAX)));
    }

    #[test]
    fn a_text_is_bounded_whatever_interrupts_it() {
        let half = vec![b'x'; 600 << 10];
        assert_eq!(judged("a.xml", &[b"<v>", &half, b"</v><v>", &half, b"</v>"]), Ok(()));
        let whole = Err(Harm::Text(XML_TEXT_BYTES));
        assert_eq!(judged("a.xml", &[b"<v>", &half, &half, b"</v>"]), whole);
        assert_eq!(judged("a.xml", &[b"<v>", &half, b"<!---->", &half, b"</v>"]), whole);
        assert_eq!(judged("a.emf", &[&half, &half]), Ok(()));
        let tags = b"<xf fontId=\"0\"/>".repeat(1000);
        assert_eq!(judged("xl/styles.xml", &[&half, &tags]), Err(Harm::Text(STYLE_BYTES / 1000)));
        assert_eq!(judged("xl/styles.xml", &[&half[..1000], &tags]), Ok(()));
    }
}
