//! A cosignature (c2sp.org/tlog-cosignature, the Ed25519 form): who made it says that at this time this was the largest head of the log
//! that it had seen, and that it was consistent with all the smaller ones.

use super::note::{KeyKind, NoteError, SignNote, SignatureLine, VerifierKey};

/// A time may not exceed this (tlog-cosignature, "Format").
const TIME_LIMIT: u64 = (1 << 63) - 1;
/// Bytes of the time before the 64 of the signature.
const TIME_BYTES: usize = 8;

/// Signs a checkpoint's text at a time in seconds since 1970. Whether the head may be signed is the caller's to know.
pub fn cosign(text: &str, time: u64, signer: &dyn SignNote) -> Result<SignatureLine, NoteError> {
    if signer.verifier().kind() != KeyKind::Cosignature {
        return Err(NoteError::BadKey("a cosignature is made by a key of type 0x04"));
    }
    if time > TIME_LIMIT {
        return Err(NoteError::Malformed("a cosignature's time is below 2^63"));
    }
    let mut signature = time.to_be_bytes().to_vec();
    signature.extend(signer.sign(message(text, time).as_bytes()));
    Ok(SignatureLine::of(signer.verifier(), signature))
}

/// The time of a cosignature that this key made of this text, if it did.
pub(super) fn check(key: &VerifierKey, text: &str, signature: &[u8]) -> Option<u64> {
    let (time, signature) = signature.split_first_chunk::<TIME_BYTES>()?;
    let time = u64::from_be_bytes(*time);
    (time <= TIME_LIMIT && key.check_bytes(message(text, time).as_bytes(), signature)).then_some(time)
}

fn message(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::note::Note;
    use crate::tlog::note::tests::TestSigner;

    /// A checkpoint of a public log with what four public witnesses said of it, and their keys, as published.
    pub(super) const REAL: &str = "\
arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

\u{2014} arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
\u{2014} arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
\u{2014} transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==
\u{2014} witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==
\u{2014} remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==
\u{2014} witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==
";
    const REMORA: &str = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2";
    const LOG: &str = "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f";

    fn witness(name: &str, public: &str) -> VerifierKey {
        let bytes: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&public[2 * at..2 * at + 2], 16).unwrap()).collect();
        VerifierKey::new(name, KeyKind::Cosignature, bytes.try_into().unwrap()).unwrap()
    }

    #[test]
    fn cosignatures_of_public_witnesses_verify() {
        let known = [
            VerifierKey::parse(LOG).unwrap(),
            VerifierKey::parse(REMORA).unwrap(),
            witness("witness1.smartit.nu/witness1", "f4855a0f46e8a3e23bb40faf260ee57ab8a18249fa402f2ca2d28a60e1a3130e"),
            witness("witness.stagemole.eu", "4a921b7caef58ae670cdc11ef4184f1c058f7b9259a9107a969f69fa54aa496f"),
            witness(
                "transparency.dev/DEV:witness-little-garden",
                "2b6eb0ec483503544cde4e8fc1ce6d1921db21dffccc186865f808f7625443cc",
            ),
        ];
        let note = Note::parse(REAL).unwrap();
        let signed = note.verify(&known).unwrap();
        assert_eq!(signed.len(), 5);
        let times: Vec<_> = signed.iter().map(|signed| signed.time).collect();
        assert_eq!(times, [None, Some(1_779_573_024), Some(1_779_573_024), Some(1_779_573_024), Some(1_779_573_024)]);
        assert_eq!(note.to_string(), REAL);
        let other = Note::parse(&REAL.replace("1432088532", "1432088533")).unwrap();
        assert!(matches!(other.verify(&known[1..2]), Err(NoteError::WrongSignature(_))));
    }

    #[test]
    fn a_cosignature_with_any_bit_changed_is_refused() {
        let text = "example.com/log\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
        let signer = TestSigner::new("witness.example", KeyKind::Cosignature, [7; 32]);
        let line = cosign(text, 1_700_000_000, &signer).unwrap();
        assert_eq!(signer.verifier().check(text, &line.signature), Some(Some(1_700_000_000)));
        for at in 0..line.signature.len() {
            for bit in 0..8 {
                let mut changed = line.signature.clone();
                changed[at] ^= 1 << bit;
                assert_eq!(signer.verifier().check(text, &changed), None, "byte {at}, bit {bit}");
            }
        }
        assert_eq!(signer.verifier().check(&text.replace('1', "2"), &line.signature), None);
        for length in 0..line.signature.len() {
            assert_eq!(signer.verifier().check(text, &line.signature[..length]), None);
        }
        assert!(cosign(text, 1 << 63, &signer).is_err());
    }

    #[test]
    fn a_key_of_one_kind_makes_nothing_of_the_other() {
        let text = "example.com/log\n0\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
        let log = TestSigner::new("example.com/log", KeyKind::Note, [1; 32]);
        let witness = TestSigner::new("example.com/log", KeyKind::Cosignature, [1; 32]);
        assert!(cosign(text, 1, &log).is_err());
        assert!(Note::sign(text, &[&witness]).is_err());
        assert_ne!(log.verifier().key_id(), witness.verifier().key_id());
        let line = cosign(text, 1, &witness).unwrap();
        assert_eq!(log.verifier().check(text, &line.signature), None);
    }
}
