//! Signed notes (c2sp.org/signed-note, and golang.org/x/mod/sumdb/note, whose limits these are): text, a blank line, signature lines.
//!
//! Reading a note proves nothing: only [`Note::verify`] says who signed it. Keys are known by name and key id together; what
//! unknown keys signed is ignored, and what a known key did not sign spoils the whole note.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::digest::{SHA256, digest};
use ring::signature::{ED25519, UnparsedPublicKey};

use super::cosignature;
use crate::model::text::Text;

/// The most bytes of a note that is read, signatures included.
pub const NOTE_LIMIT_BYTES: usize = 1_000_000;
/// The most signature lines of a note (golang.org/x/mod/sumdb/note; the specification demands at least 16).
pub const NOTE_LIMIT_SIGNATURES: usize = 100;
/// The most bytes of a verifier key's text. The longest assigned keys (ML-DSA-44) have under 2 KB.
const VERIFIER_KEY_LIMIT_BYTES: usize = 4096;
/// An em dash and a space begin a signature line (signed-note, "Format").
const SIGNATURE_PREFIX: &str = "\u{2014} ";
/// Bytes of a key id before the signature.
const KEY_ID_BYTES: usize = 4;
/// Bytes of an Ed25519 public key (RFC 8032).
const PUBLIC_KEY_BYTES: usize = 32;

/// What can be wrong with a note or a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    #[error("not a verifier key: {0}")]
    BadKey(&'static str),
    #[error(
        "verifier keys of type 0x{0:02x} are not supported: only Ed25519 notes (0x01) and Ed25519 cosignatures (0x04) are"
    )]
    UnknownKeyType(u8),
    #[error("a key name has no white space, no control characters and no `+`, and is not empty: {0:?}")]
    BadName(String),
    #[error("the signature of {0} is wrong: the text was changed, or another key made it")]
    WrongSignature(String),
    #[error("no known key signed this")]
    Unsigned,
}

impl NoteError {
    /// What happened and what to do.
    #[must_use]
    pub fn text(&self) -> Text {
        let zh = match self {
            Self::Malformed(_) => "不是签名文本（C2SP signed-note）：请取得完整、未经改动的文件".to_owned(),
            Self::BadKey(_) => {
                "不是验证公钥：应为一行“名称+8 位十六进制+base64”（C2SP signed-note），请核对复制是否完整".to_owned()
            }
            Self::UnknownKeyType(kind) => {
                format!("不支持类型 0x{kind:02x} 的验证公钥：仅支持 Ed25519 签名（0x01）与 Ed25519 见证签名（0x04）")
            }
            Self::BadName(name) => format!("密钥名称不得为空，不得含空白、控制字符与 +：{name:?}"),
            Self::WrongSignature(name) => format!("{name} 的签名不符：文本被改动过，或由其他密钥签署。不要采信此文件"),
            Self::Unsigned => "没有任何已知密钥的签名：请核对所用的公钥，或另取一份".to_owned(),
        };
        Text::new(zh, self.to_string())
    }
}

/// What a key signs; the number is its type byte (signed-note, "Signature types").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// The note's text itself.
    Note = 0x01,
    /// A time and the note's text (tlog-cosignature).
    Cosignature = 0x04,
}

/// A public key with the name that it signs under (a "vkey").
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    name: String,
    kind: KeyKind,
    public: [u8; PUBLIC_KEY_BYTES],
}

impl VerifierKey {
    /// Fails if the name may not stand in a signature line.
    pub fn new(name: &str, kind: KeyKind, public: [u8; PUBLIC_KEY_BYTES]) -> Result<VerifierKey, NoteError> {
        if !is_key_name(name) {
            return Err(NoteError::BadName(name.to_owned()));
        }
        Ok(VerifierKey { name: name.to_owned(), kind, public })
    }

    /// Reads `name+hex8+base64(type || key)`, whose key id must be the one that name and key give.
    pub fn parse(text: &str) -> Result<VerifierKey, NoteError> {
        if text.len() > VERIFIER_KEY_LIMIT_BYTES {
            return Err(NoteError::BadKey("it is too long"));
        }
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::BadKey("it is not `name+id+key`"));
        };
        if !is_key_name(name) {
            return Err(NoteError::BadName(name.to_owned()));
        }
        let is_hex = id.len() == 2 * KEY_ID_BYTES && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let id = u32::from_str_radix(id, 16).ok().filter(|_| is_hex);
        let id = id.ok_or(NoteError::BadKey("its key id is not 8 digits of lower-case hexadecimal"))?;
        let bytes = BASE64.decode(key).map_err(|_| NoteError::BadKey("its last part is not base64"))?;
        let (kind, public) = bytes.split_first().ok_or(NoteError::BadKey("its last part is empty"))?;
        let kind = match kind {
            0x01 => KeyKind::Note,
            0x04 => KeyKind::Cosignature,
            other => return Err(NoteError::UnknownKeyType(*other)),
        };
        let public = public.try_into().map_err(|_| NoteError::BadKey("an Ed25519 key has 32 bytes"))?;
        let key = VerifierKey { name: name.to_owned(), kind, public };
        if key.key_id() != id {
            return Err(NoteError::BadKey("its key id does not belong to its name and key"));
        }
        Ok(key)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    pub fn public(&self) -> &[u8; PUBLIC_KEY_BYTES] {
        &self.public
    }

    /// The first four bytes of SHA-256(name || 0x0A || type || key), as signed-note recommends and tlog-cosignature demands.
    pub fn key_id(&self) -> u32 {
        let mut bytes = self.name.clone().into_bytes();
        bytes.extend([b'\n', self.kind as u8]);
        bytes.extend(self.public);
        let hash = digest(&SHA256, &bytes);
        hash.as_ref().iter().take(KEY_ID_BYTES).fold(0, |id, byte| id << 8 | u32::from(*byte))
    }

    /// Whether the line names this key; not whether its signature is right.
    pub fn made(&self, line: &SignatureLine) -> bool {
        line.name == self.name && line.key_id == self.key_id()
    }

    /// When the key made this signature of the text, if it did: the time for a cosignature, else `None` inside.
    pub fn check(&self, text: &str, signature: &[u8]) -> Option<Option<u64>> {
        match self.kind {
            KeyKind::Note => self.check_bytes(text.as_bytes(), signature).then_some(None),
            KeyKind::Cosignature => cosignature::check(self, text, signature).map(Some),
        }
    }

    /// Whether these 64 bytes are the key's Ed25519 signature of the message.
    pub(super) fn check_bytes(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public).verify(message, signature).is_ok()
    }
}

impl fmt::Display for VerifierKey {
    /// The one line that others pin.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![self.kind as u8];
        key.extend(self.public);
        write!(f, "{}+{:08x}+{}", self.name, self.key_id(), BASE64.encode(key))
    }
}

/// Who signs. The private key lives above this stage.
pub trait SignNote: Send + Sync {
    /// The name and the public half that others check the signature by.
    fn verifier(&self) -> &VerifierKey;

    /// The Ed25519 signature (RFC 8032) of these very bytes.
    fn sign(&self, message: &[u8]) -> [u8; 64];
}

/// One signature below a note: who claims to have made it, and its bytes (for a cosignature: time and signature).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SignatureLine {
    pub name: String,
    pub key_id: u32,
    pub signature: Vec<u8>,
}

impl SignatureLine {
    /// Signs a note's text with a key of notes (type 0x01); a key of cosignatures signs by [`cosignature::cosign`].
    pub fn sign(text: &str, signer: &dyn SignNote) -> Result<SignatureLine, NoteError> {
        if signer.verifier().kind != KeyKind::Note {
            return Err(NoteError::BadKey("a note's text is signed by a key of type 0x01"));
        }
        Ok(SignatureLine::of(signer.verifier(), signer.sign(text.as_bytes()).to_vec()))
    }

    pub(super) fn of(key: &VerifierKey, signature: Vec<u8>) -> SignatureLine {
        SignatureLine { name: key.name.clone(), key_id: key.key_id(), signature }
    }

    /// Reads one line without its newline.
    pub fn parse(line: &str) -> Result<SignatureLine, NoteError> {
        let rest = line.strip_prefix(SIGNATURE_PREFIX);
        let (name, signature) = rest
            .and_then(|rest| rest.split_once(' '))
            .ok_or(NoteError::Malformed("after the last blank line each line is an em dash, a name and a signature"))?;
        if !is_key_name(name) {
            return Err(NoteError::Malformed("a signature line has no proper key name"));
        }
        let bytes = BASE64.decode(signature).map_err(|_| NoteError::Malformed("a signature is not base64"))?;
        match bytes.split_first_chunk::<KEY_ID_BYTES>() {
            Some((id, signature)) if !signature.is_empty() => Ok(SignatureLine {
                name: name.to_owned(),
                key_id: u32::from_be_bytes(*id),
                signature: signature.to_vec(),
            }),
            _ => Err(NoteError::Malformed("a signature is too short")),
        }
    }
}

impl fmt::Display for SignatureLine {
    /// The line without its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.key_id.to_be_bytes().to_vec();
        bytes.extend(&self.signature);
        write!(f, "{SIGNATURE_PREFIX}{} {}", self.name, BASE64.encode(bytes))
    }
}

/// A note as it was read or made; its signatures are claims until [`Note::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<SignatureLine>,
}

/// A signature that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed<'a> {
    pub key: &'a VerifierKey,
    /// Seconds since 1970; only cosignatures have one.
    pub time: Option<u64>,
}

impl Note {
    /// Signs a text that ends in a newline and has no control characters besides.
    pub fn sign(text: &str, signers: &[&dyn SignNote]) -> Result<Note, NoteError> {
        check_text(text)?;
        let lines: Result<Vec<_>, _> = signers.iter().map(|signer| SignatureLine::sign(text, *signer)).collect();
        Ok(Note { text: text.to_owned(), signatures: lines? })
    }

    /// Reads a note; the last blank line ends its text.
    pub fn parse(note: &str) -> Result<Note, NoteError> {
        if note.len() > NOTE_LIMIT_BYTES {
            return Err(NoteError::Malformed("it is over 1 MB"));
        }
        if note.chars().any(is_forbidden) {
            return Err(NoteError::Malformed("it has control characters"));
        }
        let split = note.rfind("\n\n").ok_or(NoteError::Malformed("no blank line stands before signatures"))?;
        let (text, lines) = (note.get(..=split).unwrap_or(""), note.get(split + 2..).unwrap_or(""));
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Malformed("its last line is cut short"))?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == NOTE_LIMIT_SIGNATURES {
                return Err(NoteError::Malformed("it has over 100 signatures"));
            }
            signatures.push(SignatureLine::parse(line)?);
        }
        Ok(Note { text: text.to_owned(), signatures })
    }

    /// As [`Note::parse`], from bytes that may not even be text.
    pub fn parse_bytes(note: &[u8]) -> Result<Note, NoteError> {
        if note.len() > NOTE_LIMIT_BYTES {
            return Err(NoteError::Malformed("it is over 1 MB"));
        }
        Note::parse(std::str::from_utf8(note).map_err(|_| NoteError::Malformed("it is not UTF-8"))?)
    }

    /// The signed text, with its last newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// Adds a line, in place of an earlier one of the same key.
    pub fn add(&mut self, line: SignatureLine) {
        self.signatures.retain(|known| known.name != line.name || known.key_id != line.key_id);
        self.signatures.push(line);
    }

    /// Which of the known keys signed, each once, in the order of the lines. A wrong signature by a known key, and none by any,
    /// are errors (signed-note, "Signatures").
    pub fn verify<'a>(&self, known: &'a [VerifierKey]) -> Result<Vec<Signed<'a>>, NoteError> {
        let mut signed: Vec<Signed<'a>> = Vec::new();
        for line in &self.signatures {
            // Two keys may share an id by design of an attacker: the line must then be right for one of them.
            let mut named = known.iter().filter(|key| key.made(line)).peekable();
            if named.peek().is_none() {
                continue;
            }
            let found = named.find_map(|key| Some((key, key.check(&self.text, &line.signature)?)));
            let (key, time) = found.ok_or_else(|| NoteError::WrongSignature(line.name.clone()))?;
            if !signed.iter().any(|earlier| earlier.key == key) {
                signed.push(Signed { key, time });
            }
        }
        if signed.is_empty() { Err(NoteError::Unsigned) } else { Ok(signed) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Key names are not empty and have neither white space nor `+` (signed-note, "Format").
pub fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|letter| letter == '+' || letter.is_whitespace() || letter < ' ')
}

fn check_text(text: &str) -> Result<(), NoteError> {
    if !text.ends_with('\n') {
        return Err(NoteError::Malformed("the text does not end in a newline"));
    }
    if text.chars().any(is_forbidden) {
        return Err(NoteError::Malformed("it has control characters"));
    }
    Ok(())
}

/// ASCII control characters below U+0020, but for the newline.
fn is_forbidden(letter: char) -> bool {
    letter < ' ' && letter != '\n'
}

#[cfg(test)]
pub(crate) mod tests {
    use ed25519_dalek::Signer;
    use proptest::prelude::*;

    use super::*;

    /// A signer of the tests.
    pub(crate) struct TestSigner {
        key: VerifierKey,
        pair: ed25519_dalek::SigningKey,
    }

    impl TestSigner {
        pub(crate) fn new(name: &str, kind: KeyKind, seed: [u8; 32]) -> TestSigner {
            let pair = ed25519_dalek::SigningKey::from_bytes(&seed);
            let key = VerifierKey::new(name, kind, *pair.verifying_key().as_bytes()).unwrap();
            TestSigner { key, pair }
        }

        /// A private key in the form of golang.org/x/mod/sumdb/note: `PRIVATE+KEY+name+id+base64(type || seed)`.
        pub(crate) fn of_go(text: &str, kind: KeyKind) -> TestSigner {
            let parts: Vec<&str> = text.splitn(5, '+').collect();
            let bytes = BASE64.decode(parts[4]).unwrap();
            TestSigner::new(parts[2], kind, bytes[1..].try_into().unwrap())
        }
    }

    impl SignNote for TestSigner {
        fn verifier(&self) -> &VerifierKey {
            &self.key
        }

        fn sign(&self, message: &[u8]) -> [u8; 64] {
            self.pair.sign(message).to_bytes()
        }
    }

    // golang.org/x/mod/sumdb/note, note_test.go.
    const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const PETER_PRIVATE: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const ENOCH: &str = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
    const TEXT: &str =
        "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    const PETER_LINE: &str = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    const ENOCH_LINE: &str = "\u{2014} EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

    fn key(text: &str) -> VerifierKey {
        VerifierKey::parse(text).unwrap()
    }

    #[test]
    fn the_vector_of_the_specification_verifies() {
        // c2sp.org/signed-note.
        let known = [key("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")];
        let note = "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
        let note = Note::parse(note).unwrap();
        assert_eq!(note.text(), "This is an example message.\n");
        let signed = note.verify(&known).unwrap();
        assert_eq!((signed.len(), signed[0].key, signed[0].time), (1, &known[0], None));
    }

    #[test]
    fn notes_are_those_of_go_and_signing_gives_them_byte_for_byte() {
        let whole = format!("{TEXT}\n{PETER_LINE}{ENOCH_LINE}");
        let note = Note::parse(&whole).unwrap();
        assert_eq!(note.to_string(), whole);
        assert_eq!(note.verify(&[key(PETER)]).unwrap().len(), 1);
        assert_eq!(note.verify(&[key(ENOCH), key(PETER)]).unwrap().len(), 2);
        assert_eq!(note.verify(&[]), Err(NoteError::Unsigned));
        let signer = TestSigner::of_go(PETER_PRIVATE, KeyKind::Note);
        assert_eq!(signer.verifier().to_string(), PETER);
        assert_eq!(Note::sign(TEXT, &[&signer]).unwrap().to_string(), format!("{TEXT}\n{PETER_LINE}"));
        assert!(Note::sign("abc", &[&signer]).is_err());
    }

    #[test]
    fn a_note_of_go_with_any_byte_changed_is_refused() {
        let whole = format!("{TEXT}\n{PETER_LINE}").into_bytes();
        let known = [key(PETER)];
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[at] ^= 1 << bit;
                let verdict = Note::parse_bytes(&changed).and_then(|note| note.verify(&known).map(|_| ()));
                assert!(verdict.is_err(), "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn malformed_notes_of_go_are_refused() {
        let short = &PETER_LINE[..PETER_LINE.len() - 1];
        let spoiled = format!("{}ABCD{}", &PETER_LINE[..60], &PETER_LINE[60..]);
        for bad in [
            TEXT.to_owned(),
            format!("{TEXT}\n"),
            format!("{TEXT}\n{short}"),
            format!("\u{1}{TEXT}\n{PETER_LINE}"),
            format!("{TEXT}\n{PETER_LINE}Unexpected line.\n"),
            format!(
                "{TEXT}\n\u{2014} Bad Name x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
            ),
            format!("{TEXT}\n{}", PETER_LINE.repeat(101)),
            format!("{TEXT}\n\u{2014} a AAAAAA==\n"),
        ] {
            assert!(matches!(Note::parse(&bad), Err(NoteError::Malformed(_))), "{bad}");
        }
        assert!(Note::parse_bytes(b"\xff\n\n").is_err());
        assert!(Note::parse(&format!("{}\n\n{PETER_LINE}", "a".repeat(NOTE_LIMIT_BYTES))).is_err());
        let known = [key(PETER)];
        let wrong = Note::parse(&format!("{TEXT}\n{spoiled}")).unwrap();
        assert_eq!(wrong.verify(&known), Err(NoteError::WrongSignature("PeterNeumann".to_owned())));
        let repeated = Note::parse(&format!("{TEXT}\n{PETER_LINE}{PETER_LINE}{ENOCH_LINE}")).unwrap();
        assert_eq!(repeated.verify(&known).unwrap().len(), 1);
        // One right and one wrong signature of a known key: the note is refused whole.
        let half = Note::parse(&format!("{TEXT}\n{PETER_LINE}{spoiled}")).unwrap();
        assert!(half.verify(&known).is_err());
    }

    #[test]
    fn mangled_keys_are_refused() {
        assert_eq!(key(PETER).to_string(), PETER);
        for start in 0..=PETER.len() {
            for end in start..=PETER.len() {
                assert!((start, end) == (0, PETER.len()) || VerifierKey::parse(&PETER[start..end]).is_err());
            }
        }
        for at in 0..PETER.len() {
            let mut changed = PETER.as_bytes().to_vec();
            changed[at] += 1;
            assert!(VerifierKey::parse(&String::from_utf8(changed).unwrap()).is_err(), "byte {at}");
        }
        let long = "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==";
        assert!(VerifierKey::parse(long).is_err());
        let unknown = "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        assert_eq!(VerifierKey::parse(unknown), Err(NoteError::UnknownKeyType(0x65)));
        for name in ["", "a b", "a+b", "a\u{3000}b", "a\nb", "a\u{1}"] {
            assert!(VerifierKey::new(name, KeyKind::Note, [1; 32]).is_err(), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_signed_reads_back_and_verifies(text in "[^\\x00-\\x1f]{0,40}(\n[^\\x00-\\x1f]{0,40}){0,4}", seed: [u8; 32], name in "[a-z./]{1,20}") {
            let signer = TestSigner::new(&name, KeyKind::Note, seed);
            let note = Note::sign(&(text + "\n"), &[&signer]).unwrap();
            let again = Note::parse(&note.to_string()).unwrap();
            prop_assert_eq!(&again, &note);
            let known = [signer.verifier().clone()];
            prop_assert_eq!(again.verify(&known).unwrap().len(), 1);
            prop_assert_eq!(&VerifierKey::parse(&known[0].to_string()).unwrap(), &known[0]);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in "(\u{2014} |[a+ \n=A])*") {
            let _ = Note::parse_bytes(&bytes);
            let _ = Note::parse(&text);
            let _ = VerifierKey::parse(&text);
        }
    }
}
