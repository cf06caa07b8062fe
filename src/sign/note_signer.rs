//! A private key that signs notes of the log under a name: the stage `tlog` knows only what it can be asked.

use std::sync::Arc;

use super::keys::SigningKey;
use crate::tlog::note::{KeyKind, NoteError, SignNote, VerifierKey};

/// A pair and the name that it signs under.
pub struct NoteSigner {
    key: VerifierKey,
    pair: Arc<SigningKey>,
}

impl NoteSigner {
    /// Fails if the name may not stand in a signature line. One pair may sign under several names.
    pub fn new(name: &str, kind: KeyKind, pair: impl Into<Arc<SigningKey>>) -> Result<NoteSigner, NoteError> {
        let pair = pair.into();
        Ok(NoteSigner { key: VerifierKey::new(name, kind, pair.public_bytes())?, pair })
    }
}

impl NoteSigner {
    /// The pair itself.
    #[must_use]
    pub fn pair(&self) -> &SigningKey {
        &self.pair
    }
}

impl SignNote for NoteSigner {
    fn verifier(&self) -> &VerifierKey {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.pair.sign(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::keys::{KeyUse, generate, only};
    use crate::tlog::note::Note;

    #[test]
    fn what_a_key_of_a_folder_signs_verifies_under_its_name() {
        let folder = tempfile::tempdir().unwrap();
        assert!(only(folder.path(), KeyUse::Witness).unwrap().is_none());
        generate(folder.path(), KeyUse::Witness, 1).unwrap();
        let pair = only(folder.path(), KeyUse::Witness).unwrap().unwrap();
        let signer = NoteSigner::new("example.com/log", KeyKind::Note, pair).unwrap();
        let note = Note::sign("text\n", &[&signer]).unwrap();
        assert_eq!(note.verify(&[signer.verifier().clone()]).unwrap().len(), 1);
        generate(folder.path(), KeyUse::Witness, 2).unwrap();
        assert!(only(folder.path(), KeyUse::Witness).is_err());
    }
}
