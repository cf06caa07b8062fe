//! What is attached to a filing: an image or a PDF, known by its bytes and not by what somebody calls it.
//!
//! A file that is two things at once (a polyglot) is how a harmless image becomes an archive or a document elsewhere. So the whole
//! file is walked: nothing stands before its signature, nothing after its end, its parts have the lengths that they say and are
//! parts of an image, and nothing within is where an archive ends or a PDF begins. A decoder does not do this: it stops at an
//! image's end and takes what follows. What the picture shows is a reviewer's to
//! see; what its texts say is not looked at. Sources: PNG (W3C, third edition, section 5), JPEG (ITU-T T.81, annex B), PDF
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
    /// Something follows its end, or an archive ends within.
    Trailing(MediaType),
    /// Another document begins within, or parts that no image needs.
    Foreign(MediaType),
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
                format!("{} 结束之后还有其他内容：请另存或截图后上传", media_type.as_str()),
                format!("has something after the end of {}: save it anew, or take a screenshot", media_type.as_str()),
            ),
            Self::Foreign(media_type) => Text::new(
                format!("{} 中夹有其他文件或图像不需要的部分：请另存或截图后上传", media_type.as_str()),
                format!(
                    "has another file in its {}, or parts that no image needs: save it anew, or take a screenshot",
                    media_type.as_str()
                ),
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
fn whole(media_type: MediaType, end: Result<usize, Flaw>, file: &[u8]) -> Result<MediaType, AttachmentFault> {
    /// How far from its beginning a PDF may begin (ISO 32000-1, annex H, implementation note 13).
    const PDF_WITHIN: usize = 1_024;
    match end {
        Err(Flaw::Broken) => Err(AttachmentFault::Broken(media_type)),
        Err(Flaw::Foreign) => Err(AttachmentFault::Foreign(media_type)),
        Ok(end) if end < file.len() || ends_an_archive(file) => Err(AttachmentFault::Trailing(media_type)),
        Ok(_) if has(file.get(..PDF_WITHIN).unwrap_or(file), b"%PDF-") => Err(AttachmentFault::Foreign(media_type)),
        Ok(_) => Ok(media_type),
    }
}

/// An archive is found from its end, where its comment may swallow all that follows (ZIP, section 4.3.16).
fn ends_an_archive(file: &[u8]) -> bool {
    const ARCHIVE_BYTES: usize = 66_000;
    has(file.get(file.len().saturating_sub(ARCHIVE_BYTES)..).unwrap_or_default(), b"PK\x05\x06")
}

/// What is wrong with an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    Broken,
    Foreign,
}

const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The chunks of a still image.
const PNG_CHUNKS: [&[u8; 4]; 17] = [
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"pHYs", b"sBIT", b"bKGD",
    b"tIME", b"eXIf", b"tEXt", b"zTXt", b"iTXt",
];

/// Chunks: length, type, content, checksum; the first is IHDR, the last IEND.
fn png(file: &[u8]) -> Result<usize, Flaw> {
    let mut at = PNG_SIGNATURE.len();
    let mut is_first = true;
    let mut has_image = false;
    loop {
        let chunk = PngChunk::at(file, at).ok_or(Flaw::Broken)?;
        if (chunk.name == b"IHDR") != is_first || (is_first && !is_png_header(chunk.content)) {
            return Err(Flaw::Broken);
        }
        if !PNG_CHUNKS.iter().any(|known| known.as_slice() == chunk.name) {
            return Err(Flaw::Foreign);
        }
        has_image |= chunk.name == b"IDAT";
        (is_first, at) = (false, chunk.end);
        if chunk.name == b"IEND" {
            return if chunk.content.is_empty() && has_image { Ok(at) } else { Err(Flaw::Broken) };
        }
    }
}

struct PngChunk<'f> {
    name: &'f [u8],
    content: &'f [u8],
    end: usize,
}

impl<'f> PngChunk<'f> {
    /// `None` where there is no whole one.
    fn at(file: &'f [u8], at: usize) -> Option<PngChunk<'f>> {
        let (length, name) = file.get(at..at.checked_add(8)?)?.split_at(4);
        let length = usize::try_from(u32::from_be_bytes(length.try_into().ok()?)).ok()?;
        let end = at.checked_add(12)?.checked_add(length)?;
        let sum = u32::from_be_bytes(file.get(end - 4..end)?.try_into().ok()?);
        let content = file.get(at + 8..end - 4)?;
        (crc32fast::hash(file.get(at + 4..end - 4)?) == sum).then_some(PngChunk { name, content, end })
    }
}

/// Thirteen bytes, of which the first are a width and a height.
fn is_png_header(content: &[u8]) -> bool {
    content.len() == 13 && content.chunks_exact(4).take(2).all(|size| size != [0; 4])
}

/// Segments up to a scan, then its coded data up to the next marker; the last is EOI.
fn jpeg(file: &[u8]) -> Result<usize, Flaw> {
    const EOI: u8 = 0xd9;
    const SOS: u8 = 0xda;
    let byte = |at: usize| file.get(at).copied().ok_or(Flaw::Broken);
    let (mut at, mut has_frame, mut has_scan) = (2, false, false);
    loop {
        if byte(at)? != 0xff {
            return Err(Flaw::Broken);
        }
        // Markers may be preceded by fill bytes.
        while byte(at + 1)? == 0xff {
            at += 1;
        }
        let marker = byte(at + 1)?;
        at += 2;
        match marker {
            EOI => return if has_scan { Ok(at) } else { Err(Flaw::Broken) },
            // A second image within, or what stands in coded data only.
            0xd8 | 0x00 => return Err(Flaw::Broken),
            0x01 | 0xd0..=0xd7 => continue,
            // Words of applications and comments belong before the picture.
            0xe0..=0xef | 0xfe if has_scan => return Err(Flaw::Foreign),
            // Frames; what lies between them are tables.
            0xc0..=0xcf if ![0xc4, 0xc8, 0xcc].contains(&marker) => has_frame = true,
            _ => {}
        }
        let length = u16::from_be_bytes([byte(at)?, byte(at + 1)?]);
        if length < 2 || (marker == SOS && !has_frame) {
            return Err(Flaw::Broken);
        }
        at += usize::from(length);
        if marker == SOS {
            has_scan = true;
            at = coded_end(file, at).ok_or(Flaw::Broken)?;
        }
    }
}

/// Where coded data ends: at a marker that is neither a stuffed byte nor a restart.
fn coded_end(file: &[u8], from: usize) -> Option<usize> {
    let coded = file.get(from..)?;
    let is_end = |pair: &[u8]| matches!(pair, [0xff, marker] if !matches!(marker, 0x00 | 0xff | 0xd0..=0xd7));
    coded.windows(2).position(is_end).map(|at| from + at)
}

/// Names in a PDF by which it does something by itself, or has files within.
const ACTS: [&[u8]; 9] = [
    b"JavaScript",
    b"Launch",
    b"EmbeddedFile",
    b"EmbeddedFiles",
    b"RichMedia",
    b"SubmitForm",
    b"ImportData",
    b"GoToE",
    b"XFA",
];

/// From its header to its last `%%EOF`, with nothing that acts, and no archive behind it.
fn pdf(file: &[u8]) -> Result<MediaType, AttachmentFault> {
    const EOF: &[u8] = b"%%EOF";
    let version = file.get(5..8).is_some_and(|version| matches!(version, [b'1' | b'2', b'.', b'0'..=b'9']));
    let end = file.windows(EOF.len()).rposition(|window| window == EOF).map(|at| at + EOF.len());
    let Some(end) = end.filter(|_| version && has(file, b"startxref")) else {
        return Err(AttachmentFault::Broken(MediaType::Pdf));
    };
    if !file.get(end..).unwrap_or_default().iter().all(u8::is_ascii_whitespace) || ends_an_archive(file) {
        return Err(AttachmentFault::Trailing(MediaType::Pdf));
    }
    let mut names = file.split(|byte| *byte == b'/').skip(1);
    if names.any(|after| ACTS.contains(&pdf_name(after).as_slice())) {
        return Err(AttachmentFault::Active);
    }
    Ok(MediaType::Pdf)
}

/// The name that begins here, its escapes (`#4A`) read; no more of it than matters.
fn pdf_name(after: &[u8]) -> Vec<u8> {
    const LONGEST: usize = 16;
    let mut name = Vec::with_capacity(LONGEST);
    let mut rest = after;
    while let [first, more @ ..] = rest
        && name.len() < LONGEST
        && first.is_ascii_graphic()
        && !b"()<>[]{}%".contains(first)
    {
        rest = more;
        let escaped = match more {
            [high, low, ..] if *first == b'#' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                name.push(high << 4 | low);
                rest = more.get(2..).unwrap_or_default();
            }
            None => name.push(*first),
        }
    }
    name
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn has(file: &[u8], wanted: &[u8]) -> bool {
    file.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests {
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
        let head: &[u8] = &[0xff, 0xd8, 0xff, 0xe0, 0, 4, b'J', b'F', 0xff, 0xdb, 0, 3, 1, 0xff, 0xc0, 0, 3, 8];
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
        // An archive that ends in a chunk or a comment of an image, which it takes for its own comment.
        let end = png_file().len() - 12;
        let archive = [b"PK\x05\x06".as_slice(), &[0; 18]].concat();
        let within =
            |name: &[u8; 4], content: &[u8]| [&png_file()[..end], &chunk(name, content), &png_file()[end..]].concat();
        assert_eq!(sniff(&within(b"tEXt", b"Title\0A part")), Ok(MediaType::Png));
        assert_eq!(sniff(&within(b"tEXt", &archive)), Err(AttachmentFault::Trailing(MediaType::Png)));
        assert_eq!(sniff(&within(b"zzZz", b"a")), Err(AttachmentFault::Foreign(MediaType::Png)));
        assert_eq!(
            sniff(&within(b"tEXt", b"%PDF-1.4 /JavaScript %%EOF")),
            Err(AttachmentFault::Foreign(MediaType::Png))
        );
        let comment = |text: &[u8]| [&[0xff, 0xfe, 0, u8::try_from(text.len() + 2).unwrap()], text].concat();
        let jpeg = jpeg_file();
        let (head, tail) = jpeg.split_at(2);
        let early = |text: &[u8]| [head, &comment(text), tail].concat();
        assert_eq!(sniff(&early(b"a scanner")), Ok(MediaType::Jpeg));
        assert_eq!(sniff(&early(b"%PDF-1.4 %%EOF")), Err(AttachmentFault::Foreign(MediaType::Jpeg)));
        assert_eq!(sniff(&early(&archive)), Err(AttachmentFault::Trailing(MediaType::Jpeg)));
        let eoi = jpeg_file().len() - 2;
        let late = [&jpeg_file()[..eoi], &comment(b"a"), &jpeg_file()[eoi..]].concat();
        assert_eq!(sniff(&late), Err(AttachmentFault::Foreign(MediaType::Jpeg)));
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
        for act in [
            "/JavaScript (x)",
            "/J#61vaScript",
            "/#4aavaScript(",
            "/S /Launch",
            "/S/Launch",
            "/EmbeddedFiles 3 0 R",
            "/EmbeddedFile>>",
            "/RichMedia ",
            "/XFA[",
        ] {
            let file = format!("%PDF-1.4\n1 0 obj << {act} >>\nstartxref\n%%EOF");
            assert_eq!(sniff(file.as_bytes()), Err(AttachmentFault::Active), "{act}");
        }
        let harmless = b"%PDF-1.4\n/JS 1 /Launching 2 /Launch#67 (JavaScript) /\nstartxref\n%%EOF";
        assert_eq!(sniff(harmless), Ok(MediaType::Pdf));
    }

    proptest! {
        #[test]
        fn nothing_panics_on_any_bytes(
            beginning in prop::sample::select(vec![png_file(), jpeg_file(), pdf_file(), b"%PDF-".to_vec(), vec![0xff, 0xd8, 0xff]]),
            keep in 0_usize..80,
            rest in prop::collection::vec(any::<u8>(), 0..200),
            contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..5),
        ) {
            let mut file = beginning;
            file.truncate(keep);
            file.extend(&rest);
            let _ = sniff(&file);
            // Chunks that are right, and then what is not.
            let chunks = contents.iter().flat_map(|content| chunk(b"tEXt", content));
            let image: Vec<u8> = png_file()[..33].iter().copied().chain(chunks).chain(rest).collect();
            let _ = sniff(&image);
        }
    }
}
