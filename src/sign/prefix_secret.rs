//! The secret of one prefix, as its owner is given it: `PREFIX SECRET` on one line, the secret in base64url, in a file of mode 0600.
//!
//! The prefix stands beside it, for a secret says nothing of what it is for: with another prefix's an owner would see nothing
//! of its own names, and take the node's right blinded names for wrong ones.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

use super::keys::{KeyError, read_secret_file, write_secret_file};

/// What blinds the names under one prefix.
pub struct PrefixSecret {
    /// `None` in a file that an older program made.
    pub prefix: Option<String>,
    pub secret: [u8; 32],
}

impl PrefixSecret {
    /// Reads a file that only its owner may read; one that holds the secret alone, too.
    pub fn read(path: &Path) -> Result<PrefixSecret, KeyError> {
        let bytes = read_secret_file(path)?;
        // The file is secret: say only that it does not read.
        PrefixSecret::parse(&bytes).ok_or_else(|| KeyError::Malformed {
            path: path.to_owned(),
            cause: "not a prefix and 32 bytes in base64url".to_owned(),
        })
    }

    fn parse(bytes: &[u8]) -> Option<PrefixSecret> {
        let line = std::str::from_utf8(bytes).ok()?.trim();
        let (prefix, secret) = match line.rsplit_once(' ') {
            Some((prefix, secret)) => (Some(prefix.trim().to_owned()), secret),
            None => (None, line),
        };
        let secret = BASE64URL.decode(secret).ok()?.try_into().ok()?;
        Some(PrefixSecret { prefix, secret })
    }

    /// Writes a file that only its owner may read; durable when this returns. An existing file is an error.
    pub fn write(prefix: &str, secret: &[u8; 32], path: &Path) -> Result<(), KeyError> {
        write_secret_file(path, format!("{prefix} {}\n", BASE64URL.encode(secret)).as_bytes())
    }
}
