//! What is attached to a filing: an image or a PDF, known by its bytes and not by what somebody calls it.
//!
//! A file that is two things at once (a polyglot) is how a harmless image becomes a script or an archive elsewhere. So the whole
//! file is walked: nothing stands before its signature, nothing after its end, and its parts have the lengths that they say.
//! What the picture shows is a reviewer's to see. Sources: PNG (W3C, third edition, section 5), JPEG (ITU-T T.81, annex B), PDF
//! (ISO 32000-1, section 7.5).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::text::Text;

/// The largest that is taken.
pub const MAX_ATTACHMENT_BYTES: usize = 4 << 20;

/// What it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "FilingAttachmentKind")]
pub enum AttachmentKind {
    /// 单位证件图像
    Certificate,
    /// 其他材料
    Other,
}

impl AttachmentKind {
    pub const ALL: [AttachmentKind; 2] = [AttachmentKind::Certificate, AttachmentKind::Other];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Other => "other",
        }
    }

    #[must_use]
    pub fn of_word(word: &str) -> Option<AttachmentKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "FilingMediaType")]
pub enum MediaType {
    #[serde(rename = "image/png")]
    Png,
    #[serde(rename = "image/jpeg")]
    Jpeg,
    #[serde(rename = "application/pdf")]
    Pdf,
}

impl MediaType {
    pub const ALL: [MediaType; 3] = [MediaType::Png, MediaType::Jpeg, MediaType::Pdf];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Pdf => "application/pdf",
        }
    }

    /// How such a file's name ends.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::Pdf => "pdf",
        }
    }
}

/// An attachment, as the step that brought it has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    pub kind: AttachmentKind,
    pub media_type: MediaType,
    pub bytes: u64,
}

/// Why a file is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachmentFault {
    Empty,
    TooLarge,
    /// None of the types.
    Unknown,
    /// It begins as one, and is not one to its end.
    Broken(MediaType),
    /// Something follows its end.
    Trailing(MediaType),
    /// A PDF that does something by itself, or has files within.
    Active,
}

impl AttachmentFault {
    #[must_use]
    pub fn text(&self) -> Text {
        let limit = MAX_ATTACHMENT_BYTES >> 20;
        match self {
            Self::Empty => Text::new("文件为空", "the file is empty"),
            Self::TooLarge => {
                Text::new(format!("文件超过 {limit} MiB"), format!("the file is larger than {limit} MiB"))
            }
            Self::Unknown => Text::new("不是 PNG、JPEG 或 PDF 文件", "is no PNG, JPEG or PDF file"),
            Self::Broken(media_type) => Text::new(
                format!("以 {} 开头，但结构不完整：请重新导出后上传", media_type.as_str()),
                format!("begins as {} and is not whole: export it anew", media_type.as_str()),
            ),
            Self::Trailing(media_type) => Text::new(
                format!("{} 结束之后还有其他内容：请重新导出后上传", media_type.as_str()),
                format!("has something after the end of {}: export it anew", media_type.as_str()),
            ),
            Self::Active => Text::new(
                "PDF 含脚本、启动动作或内嵌文件：请打印为普通 PDF 后上传",
                "the PDF holds a script, starts something or has files within: print it to a plain one",
            ),
        }
    }
}

/// What a file is, to its last byte.
///
/// # Errors
/// Whatever is not one of the types, whole and alone.
pub fn sniff(file: &[u8]) -> Result<MediaType, AttachmentFault> {
    match file {
        [] => Err(AttachmentFault::Empty),
        _ if file.len() > MAX_ATTACHMENT_BYTES => Err(AttachmentFault::TooLarge),
        _ if file.starts_with(PNG_SIGNATURE) => whole(MediaType::Png, png(file), file),
        _ if file.starts_with(&[0xff, 0xd8, 0xff]) => whole(MediaType::Jpeg, jpeg(file), file),
        _ if file.starts_with(b"%PDF-") => pdf(file),
        _ => Err(AttachmentFault::Unknown),
    }
}

/// `end`: where the file is over, if it is whole.
fn whole(media_type: MediaType, end: Option<usize>, file: &[u8]) -> Result<MediaType, AttachmentFault> {
    match end {
        None => Err(AttachmentFault::Broken(media_type)),
        Some(end) if end < file.len() => Err(AttachmentFault::Trailing(media_type)),
        Some(_) => Ok(media_type),
    }
}

const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Chunks: length, type, content, checksum; the first is IHDR, the last IEND.
fn png(file: &[u8]) -> Option<usize> {
    let mut at = PNG_SIGNATURE.len();
    let mut is_first = true;
    let mut has_image = false;
    loop {
        let head = file.get(at..at + 8)?;
        let (length, name) = head.split_at(4);
        let length = usize::try_from(u32::from_be_bytes(length.try_into().ok()?)).ok()?;
        let end = at.checked_add(8)?.checked_add(length)?.checked_add(4)?;
        let content = file.get(at + 8..end - 4)?;
        let sum = u32::from_be_bytes(file.get(end - 4..end)?.try_into().ok()?);
        if crc32fast::hash(file.get(at + 4..end - 4)?) != sum || (name == b"IHDR") != is_first {
            return None;
        }
        if is_first && (length != 13 || content.get(..8).is_none_or(|size| size == [0; 8])) {
            return None;
        }
        has_image |= name == b"IDAT";
        (is_first, at) = (false, end);
        if name == b"IEND" {
            return (length == 0 && has_image).then_some(end);
        }
    }
}

/// Segments up to a scan, then its coded data up to the next marker; the last is EOI.
fn jpeg(file: &[u8]) -> Option<usize> {
    const EOI: u8 = 0xd9;
    const SOS: u8 = 0xda;
    let mut at = 2;
    let mut has_scan = false;
    loop {
        if *file.get(at)? != 0xff {
            return None;
        }
        // Markers may be preceded by fill bytes.
        while *file.get(at + 1)? == 0xff {
            at += 1;
        }
        let marker = *file.get(at + 1)?;
        at += 2;
        match marker {
            EOI => return has_scan.then_some(at),
            // A second image within, or what stands in coded data only.
            0xd8 | 0x00 => return None,
            0x01 | 0xd0..=0xd7 => {}
            _ => {
                let length = u16::from_be_bytes(file.get(at..at + 2)?.try_into().ok()?);
                at = at.checked_add(usize::from(length).max(2))?;
                if marker == SOS {
                    has_scan = true;
                    at = coded_end(file, at)?;
                }
            }
        }
    }
}

/// Where coded data ends: at a marker that is neither a stuffed byte nor a restart.
fn coded_end(file: &[u8], from: usize) -> Option<usize> {
    let coded = file.get(from..)?;
    let is_end = |pair: &[u8]| matches!(pair, [0xff, marker] if !matches!(marker, 0x00 | 0xff | 0xd0..=0xd7));
    coded.windows(2).position(is_end).map(|at| from + at)
}

/// From its header to its last `%%EOF`, with nothing that acts, and no archive behind it.
fn pdf(file: &[u8]) -> Result<MediaType, AttachmentFault> {
    const EOF: &[u8] = b"%%EOF";
    /// An archive's directory stands this far from the end at most (ZIP, section 4.3.16).
    const ARCHIVE_BYTES: usize = 66_000;
    let version = file.get(5..8).is_some_and(|version| matches!(version, [b'1' | b'2', b'.', b'0'..=b'9']));
    let end = file.windows(EOF.len()).rposition(|window| window == EOF).map(|at| at + EOF.len());
    let Some(end) = end.filter(|_| version && has(file, b"startxref")) else {
        return Err(AttachmentFault::Broken(MediaType::Pdf));
    };
    let is_over = file.get(end..).unwrap_or_default().iter().all(u8::is_ascii_whitespace);
    let tail = file.get(file.len().saturating_sub(ARCHIVE_BYTES)..).unwrap_or_default();
    if !is_over || has(tail, b"PK\x05\x06") {
        return Err(AttachmentFault::Trailing(MediaType::Pdf));
    }
    let acts: [&[u8]; 5] = [b"/JavaScript", b"/JS", b"/Launch", b"/EmbeddedFile", b"/RichMedia"];
    if acts.into_iter().any(|act| has_name(file, act)) { Err(AttachmentFault::Active) } else { Ok(MediaType::Pdf) }
}

fn has(file: &[u8], wanted: &[u8]) -> bool {
    file.windows(wanted.len()).any(|window| window == wanted)
}

/// A name of PDF, which a letter or digit would make another one; plural forms count, too.
fn has_name(file: &[u8], name: &[u8]) -> bool {
    file.windows(name.len() + 1).any(|window| {
        window.starts_with(name) && window.last().is_some_and(|next| *next == b's' || !next.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
pub mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let body = [name.as_slice(), content].concat();
        let length = u32::try_from(content.len()).unwrap();
        [&length.to_be_bytes()[..], &body, &crc32fast::hash(&body).to_be_bytes()].concat()
    }

    fn png_file() -> Vec<u8> {
        let header = [0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0];
        [PNG_SIGNATURE, &chunk(b"IHDR", &header), &chunk(b"IDAT", b"data"), &chunk(b"IEND", b"")].concat()
    }

    fn jpeg_file() -> Vec<u8> {
        let head: &[u8] = &[0xff, 0xd8, 0xff, 0xe0, 0, 4, b'J', b'F', 0xff, 0xdb, 0, 3, 1];
        let scan: &[u8] = &[0xff, 0xda, 0, 3, 0, 1, 2, 0xff, 0x00, 3, 0xff, 0xd0, 4, 0xff, 0xd9];
        [head, scan].concat()
    }

    fn pdf_file() -> Vec<u8> {
        b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\nstartxref\n9\n%%EOF\n".to_vec()
    }

    #[test]
    fn a_file_is_known_by_its_bytes() {
        assert_eq!(sniff(&png_file()), Ok(MediaType::Png));
        assert_eq!(sniff(&jpeg_file()), Ok(MediaType::Jpeg));
        assert_eq!(sniff(&pdf_file()), Ok(MediaType::Pdf));
        for other in [&b"<html><script>"[..], b"GIF89a", b"PK\x03\x04", b"MZ", b" %PDF-1.7", b"\0\x89PNG"] {
            assert_eq!(sniff(other), Err(AttachmentFault::Unknown));
        }
        assert_eq!(sniff(b""), Err(AttachmentFault::Empty));
        assert_eq!(sniff(&vec![0; MAX_ATTACHMENT_BYTES + 1]), Err(AttachmentFault::TooLarge));
    }

    #[test]
    fn two_files_in_one_are_refused() {
        for (file, media_type) in
            [(png_file(), MediaType::Png), (jpeg_file(), MediaType::Jpeg), (pdf_file(), MediaType::Pdf)]
        {
            for more in [&b"PK\x05\x06"[..], b"<script>alert(1)</script>", b"\0", b"%PDF-1.7"] {
                let both = [file.as_slice(), more].concat();
                assert_eq!(sniff(&both), Err(AttachmentFault::Trailing(media_type)), "{media_type:?} {more:?}");
            }
        }
        // An archive whose comment ends as a PDF does.
        let archive = [b"%PDF-1.7\nstartxref\nPK\x05\x06".as_slice(), &[0; 18], b"%%EOF"].concat();
        assert_eq!(sniff(&archive), Err(AttachmentFault::Trailing(MediaType::Pdf)));
        // An image within the header of another.
        let nested = [&[0xff, 0xd8][..], &jpeg_file()].concat();
        assert_eq!(sniff(&nested), Err(AttachmentFault::Broken(MediaType::Jpeg)));
    }

    #[test]
    fn what_is_cut_or_bent_is_refused() {
        for (file, media_type) in [(png_file(), MediaType::Png), (jpeg_file(), MediaType::Jpeg)] {
            for end in 8..file.len() {
                assert_eq!(
                    sniff(&file[..end]),
                    Err(AttachmentFault::Broken(media_type)),
                    "{media_type:?} cut at {end}"
                );
            }
        }
        for at in PNG_SIGNATURE.len()..png_file().len() {
            let mut bent = png_file();
            bent[at] ^= 1;
            assert!(sniff(&bent).is_err(), "a flip at {at}");
        }
        assert_eq!(sniff(b"%PDF-1.7\n%%EOF"), Err(AttachmentFault::Broken(MediaType::Pdf)));
        assert_eq!(sniff(b"%PDF-x\nstartxref\n%%EOF"), Err(AttachmentFault::Broken(MediaType::Pdf)));
    }

    #[test]
    fn a_pdf_that_acts_is_refused() {
        for act in ["/JavaScript (x)", "/JS(x)", "/S /Launch", "/EmbeddedFiles 3 0 R", "/EmbeddedFile ", "/RichMedia "]
        {
            let file = format!("%PDF-1.4\n1 0 obj << {act} >>\nstartxref\n%%EOF");
            assert_eq!(sniff(file.as_bytes()), Err(AttachmentFault::Active), "{act}");
        }
        let harmless = b"%PDF-1.4\n/JSize 1 /Launching 2\nstartxref\n%%EOF";
        assert_eq!(sniff(harmless), Ok(MediaType::Pdf));
    }

    proptest! {
        #[test]
        fn nothing_panics_on_any_bytes(
            beginning in prop::sample::select(vec![png_file(), jpeg_file(), pdf_file(), b"%PDF-".to_vec(), vec![0xff, 0xd8, 0xff]]),
            keep in 0_usize..80,
            rest in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut file = beginning;
            file.truncate(keep);
            file.extend(rest);
            let _ = sniff(&file);
        }
    }
}
