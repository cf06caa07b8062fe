//! The text of credentials: `MARK_ID_SECRET_CHECK`. Made of letters and digits, checked before anything is looked up.

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};

use crate::sign::keys::KeyError;

/// An API key.
pub(super) const KEY_MARK: &str = "mpk";
/// The token of a session.
pub(super) const SESSION_MARK: &str = "mps";
/// The token of a link by which values are shared; its id is the grant's.
pub(super) const GRANT_MARK: &str = "mpg";
/// A bootstrap token; its id is the time it was issued.
pub(super) const BOOTSTRAP_MARK: &str = "mpb";

/// MARK_ID_SECRET_CHECK. The check finds a mistyped token before anything is looked up.
pub(super) fn token_text(mark: &str, id: &str) -> Result<String, KeyError> {
    let body = format!("{mark}_{id}_{}", random_text(32)?);
    Ok(format!("{body}_{:08x}", crc32c::crc32c(body.as_bytes())))
}

/// The id and the hash of the secret, where the token is one of this kind and its check is right.
pub(super) fn taken_apart<'a>(mark: &str, token: &'a str) -> Option<(&'a str, [u8; 32])> {
    let (body, check) = token.rsplit_once('_')?;
    let (id, secret) = body.strip_prefix(mark)?.strip_prefix('_')?.split_once('_')?;
    let right = check == format!("{:08x}", crc32c::crc32c(body.as_bytes()));
    (right && !id.is_empty() && id.len() <= 64).then(|| (id, sha256(secret.as_bytes())))
}

/// Letters and digits only, so that a double click takes the whole token.
pub(super) fn random_text(bytes: usize) -> Result<String, KeyError> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut random = vec![0; bytes * 8 / 5];
    SystemRandom::new().fill(&mut random).map_err(|_| KeyError::NoRandomness)?;
    Ok(random.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect())
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

/// Whether two hashes are the same, in the same time for every difference.
pub(super) fn are_same(one: &[u8], other: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one, other).is_ok()
}
