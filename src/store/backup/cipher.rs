//! How a backup's files are encrypted: AES-256-GCM in chunks, a key a file, a counter as nonce.
//!
//! ```text
//! file  = "MPBKENC1" key-id (8 bytes) salt (32 bytes) chunk*
//! chunk = 64 KiB of content, the last one less (perhaps nothing), and a tag of 16 bytes
//! ```
//! The file's key is HKDF-SHA-256 (RFC 5869) of the backup key and the salt, so a nonce never meets a key twice. The nonce is the
//! chunk's number and, in its last byte, whether it is the last (the STREAM construction, Hoang et al. 2015): a file that was cut at a
//! chunk, or whose chunks changed places, does not open. Header and file name are authenticated with every chunk, so
//! files cannot be exchanged either.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use super::hex;

const MAGIC: [u8; 8] = *b"MPBKENC1";
const KEY_MARK: &str = "mpbk1";
/// Bytes of an encrypted file before its first chunk.
pub(super) const HEADER_BYTES: usize = 48;
/// Bytes of content in a chunk.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;
/// Bytes that encryption adds to a chunk.
pub(super) const TAG_BYTES: usize = 16;

/// What encrypts a backup: 256 random bits. Not `Debug`, so that no log can hold it.
pub struct BackupKey([u8; 32]);

impl BackupKey {
    /// A new one; `None` where the operating system gives no randomness.
    #[must_use]
    pub fn generate() -> Option<BackupKey> {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).ok()?;
        Some(BackupKey(bytes))
    }

    /// Reads the text of a key file; its check finds a mistyped one.
    #[must_use]
    pub fn parse(text: &str) -> Option<BackupKey> {
        let (body, check) = text.trim().rsplit_once('_')?;
        if check != format!("{:08x}", crc32c::crc32c(body.as_bytes())) {
            return None;
        }
        let secret = body.strip_prefix(KEY_MARK)?.strip_prefix('_')?;
        BASE64URL.decode(secret).ok()?.try_into().ok().map(BackupKey)
    }

    /// The text for its file.
    #[must_use]
    pub fn text(&self) -> String {
        let body = format!("{KEY_MARK}_{}", BASE64URL.encode(self.0));
        format!("{body}_{:08x}", crc32c::crc32c(body.as_bytes()))
    }

    fn id_bytes(&self) -> [u8; 8] {
        let hash = digest(&SHA256, &[b"mingpai backup key id\0".as_slice(), &self.0].concat());
        let mut id = [0; 8];
        id.copy_from_slice(&hash.as_ref()[..8]);
        id
    }

    /// Which key it is, without saying what it is.
    #[must_use]
    pub fn id(&self) -> String {
        hex(&self.id_bytes())
    }

    /// Authenticates a manifest.
    pub(super) fn tag(&self, bytes: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[b"mingpai backup manifest\0".as_slice(), &self.0].concat());
        hex(hmac::sign(&key, bytes).as_ref())
    }

    /// Begins a file to be written.
    pub(super) fn seal(&self, name: &str) -> Option<(Chunks, [u8; HEADER_BYTES])> {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(&MAGIC);
        header[8..16].copy_from_slice(&self.id_bytes());
        SystemRandom::new().fill(&mut header[16..]).ok()?;
        Some((self.chunks(&header, name)?, header))
    }

    /// Begins a file to be read; `None` where the header is not of a file that this key has encrypted.
    pub(super) fn open(&self, header: &[u8; HEADER_BYTES], name: &str) -> Option<Chunks> {
        (header[..8] == MAGIC && header[8..16] == self.id_bytes()).then(|| self.chunks(header, name)).flatten()
    }

    fn chunks(&self, header: &[u8; HEADER_BYTES], name: &str) -> Option<Chunks> {
        let secret = Salt::new(HKDF_SHA256, &header[16..]).extract(&self.0);
        let info: [&[u8]; 1] = [b"mingpai backup file"];
        let key = UnboundKey::from(secret.expand(&info, &AES_256_GCM).ok()?);
        Some(Chunks { key: LessSafeKey::new(key), bound: [header.as_slice(), name.as_bytes()].concat(), number: 0 })
    }
}

/// The chunks of one file, in their order.
pub(super) struct Chunks {
    key: LessSafeKey,
    bound: Vec<u8>,
    number: u64,
}

impl Chunks {
    /// Encrypts the next chunk in place and adds its tag.
    pub fn seal(&mut self, chunk: &mut Vec<u8>, is_last: bool) -> Option<()> {
        let nonce = self.nonce(is_last);
        self.key.seal_in_place_append_tag(nonce, Aad::from(self.bound.as_slice()), chunk).ok()
    }

    /// Decrypts the next chunk in place; `None` where it is not what was encrypted.
    pub fn open<'c>(&mut self, chunk: &'c mut [u8], is_last: bool) -> Option<&'c [u8]> {
        let nonce = self.nonce(is_last);
        self.key.open_in_place(nonce, Aad::from(self.bound.as_slice()), chunk).ok().map(|plain| &*plain)
    }

    fn nonce(&mut self, is_last: bool) -> Nonce {
        let mut nonce = [0; 12];
        nonce[3..11].copy_from_slice(&self.number.to_be_bytes());
        nonce[11] = u8::from(is_last);
        self.number += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_file_and_a_mistyped_one_is_found() {
        let key = BackupKey::generate().unwrap();
        let again = BackupKey::parse(&format!("{}\n", key.text())).unwrap();
        assert_eq!(key.id(), again.id());
        assert_eq!(key.id().len(), 16);
        for at in 0..key.text().len() {
            let mut text = key.text().into_bytes();
            text[at] = if text[at] == b'A' { b'B' } else { b'A' };
            assert!(BackupKey::parse(std::str::from_utf8(&text).unwrap()).is_none(), "at {at}");
        }
    }

    #[test]
    fn chunks_open_in_their_order_under_their_name_and_key_only() {
        let key = BackupKey::generate().unwrap();
        let (mut sealing, header) = key.seal("a").unwrap();
        let mut chunks = [b"one".to_vec(), b"two".to_vec(), Vec::new()];
        for (at, chunk) in chunks.iter_mut().enumerate() {
            sealing.seal(chunk, at == 2).unwrap();
        }
        let open = |key: &BackupKey, name: &str, order: &[(usize, bool)]| {
            let mut opening = key.open(&header, name)?;
            order
                .iter()
                .map(|(at, is_last)| opening.open(&mut chunks[*at].clone(), *is_last).map(<[u8]>::to_vec))
                .collect::<Option<Vec<_>>>()
        };
        let whole = [(0, false), (1, false), (2, true)];
        assert_eq!(open(&key, "a", &whole).unwrap(), [b"one".to_vec(), b"two".to_vec(), Vec::new()]);
        assert_eq!(open(&key, "b", &whole), None, "another name");
        assert_eq!(open(&key, "a", &[(1, false)]), None, "another order");
        assert_eq!(open(&key, "a", &[(0, false), (1, true)]), None, "cut at a chunk");
        assert_eq!(open(&BackupKey::generate().unwrap(), "a", &whole), None, "another key");
        let (_, other) = key.seal("a").unwrap();
        assert_ne!(header, other, "two files never share a key");
    }
}
