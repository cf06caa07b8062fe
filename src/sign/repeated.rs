//! Checking many signatures by one key, in less than half of the time of one at a time: for those who read a whole log, where
//! nearly every leaf is signed by the same key.
//!
//! What is checked is `R = [S]B - [k]A` (RFC 8032, section 5.1.7, without the cofactor, as ring does). A check of a key that was
//! never met doubles a point 253 times. Here the multiples of B and -A are written down once for each window of bits, and 86
//! additions do (fixed-base windowing: Handbook of Applied Cryptography, algorithm 14.109).
//!
//! Nothing is accepted that ring would refuse: the equation is the same, S below the order is asked for, R is compared as bytes,
//! and a key whose 32 bytes are not the canonical ones of its point gets no multiples. What does not hold here ring decides.

use std::sync::OnceLock;

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::Identity;
use ring::digest::{Context, SHA512};
use ring::signature::{ED25519, UnparsedPublicKey};

use super::keys::PublicJwk;

/// Bits of a window: 6 were as fast as 8 where messages differ, with a third of the memory (430 KB a key).
const WINDOW_BITS: usize = 6;
/// Points of a window: every multiple, zero included.
const WINDOW_POINTS: usize = 1 << WINDOW_BITS;
/// Windows of a scalar of 256 bits.
const WINDOWS: usize = 256_usize.div_ceil(WINDOW_BITS);
/// Making the multiples of a key costs what some sixty checks by them gain.
const WORTH_MULTIPLES: u32 = 64;

/// Remembers the key that it met last. For one thread; 430 KB once the key has come often, as much again for all together.
#[derive(Default)]
pub struct SignatureChecker {
    met: Option<Met>,
}

/// A key, and how often it has come.
struct Met {
    key: PublicJwk,
    /// None: the key is of no use.
    public: Option<[u8; 32]>,
    times: u32,
    multiples: Option<Multiples>,
}

impl SignatureChecker {
    /// Whether the key made the signature of the message.
    pub fn made(&mut self, key: &PublicJwk, message: &[u8], signature: &[u8]) -> bool {
        let met = match self.met.take() {
            Some(met) if met.key == *key => self.met.insert(met),
            _ => self.met.insert(Met::first(key)),
        };
        let Some(public) = met.public else { return false };
        met.times = met.times.saturating_add(1);
        if met.times == WORTH_MULTIPLES {
            met.multiples = Multiples::of_key(&public);
        }
        met.multiples.as_ref().is_some_and(|multiples| holds(multiples, &public, message, signature))
            || UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok()
    }
}

impl Met {
    fn first(key: &PublicJwk) -> Met {
        let public = key.public().and_then(|public| public.try_into().ok());
        Met { key: key.clone(), public, times: 0, multiples: None }
    }
}

/// Of one point P, window by window: 0, P, 2P, … 63P, then the same of 64P, and so on.
struct Multiples(Vec<EdwardsPoint>);

impl Multiples {
    fn of(point: EdwardsPoint) -> Multiples {
        let (mut points, mut unit) = (Vec::with_capacity(WINDOWS * WINDOW_POINTS), point);
        for _ in 0..WINDOWS {
            let mut multiple = EdwardsPoint::identity();
            for _ in 0..WINDOW_POINTS {
                points.push(multiple);
                multiple += unit;
            }
            unit = multiple;
        }
        Multiples(points)
    }

    /// Of -A. None where A's bytes are not the canonical ones of a point, on which programs do not agree.
    fn of_key(public: &[u8; 32]) -> Option<Multiples> {
        let point = CompressedEdwardsY(*public).decompress()?;
        (point.compress().as_bytes() == public).then(|| Multiples::of(-point))
    }

    fn of_base() -> &'static Multiples {
        static BASE: OnceLock<Multiples> = OnceLock::new();
        BASE.get_or_init(|| Multiples::of(ED25519_BASEPOINT_POINT))
    }

    /// `sum` and as much of the point as the scalar says. In a time that tells of the scalar: it is public here.
    fn add_to(&self, mut sum: EdwardsPoint, scalar: &Scalar) -> EdwardsPoint {
        for (window, digit) in self.0.chunks_exact(WINDOW_POINTS).zip(digits(scalar)) {
            if let Some(multiple) = window.get(digit).filter(|_| digit > 0) {
                sum += multiple;
            }
        }
        sum
    }
}

/// The scalar's digits to the base of 64, the least first.
fn digits(scalar: &Scalar) -> impl Iterator<Item = usize> {
    let bytes = scalar.to_bytes();
    (0..WINDOWS).map(move |window| {
        let (byte, shift) = (window * WINDOW_BITS / 8, window * WINDOW_BITS % 8);
        let at = |index: usize| bytes.get(index).copied().map_or(0, usize::from);
        ((at(byte) | at(byte + 1) << 8) >> shift) % WINDOW_POINTS
    })
}

/// Whether `R = [S]B - [k]A`.
fn holds(of_key: &Multiples, public: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    let Some((r, s)) = signature.split_first_chunk::<32>() else { return false };
    let s = s.try_into().ok().and_then(|s: [u8; 32]| Option::<Scalar>::from(Scalar::from_canonical_bytes(s)));
    let Some(s) = s else { return false };
    let mut hash = Context::new(&SHA512);
    [r.as_slice(), public, message].iter().for_each(|part| hash.update(part));
    let mut wide = [0; 64];
    wide.copy_from_slice(hash.finish().as_ref());
    let k = Scalar::from_bytes_mod_order_wide(&wide);
    let sum = Multiples::of_base().add_to(EdwardsPoint::identity(), &s);
    of_key.add_to(sum, &k).compress().as_bytes() == r
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sign::keys::SigningKey;

    fn by_ring(public: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok()
    }

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        let digit = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap();
        std::array::from_fn(digit)
    }

    /// Message, key and signature of "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko; 2020), as its authors publish them in
    /// ed25519-speccheck, cases.json: keys and R of small and of mixed order, S that is not reduced, R that is not canonical.
    const HARD: [[&str; 3]; 10] = [
        [
            "8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a0000000000000000000000000000000000000000000000000000000000000000",
        ],
        [
            "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
            "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
        ],
        [
            "aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab",
            "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e",
        ],
        [
            "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
            "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
            "9046a64750444938de19f227bb80485e92b83fdb4b6506c160484c016cc1852f87909e14428a7a1d62e9f22f3d3ad7802db02eb2e688b6c52fcd6648a98bd009",
        ],
        [
            "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
            "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
            "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed5125ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09",
        ],
        [
            "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
            "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
            "21122a84e0b5fca4052f5b1235c80a537878b38f3142356b2c2384ebad4668b7e40bc836dac0f71076f9abe3a53f9c03c1ceeeddb658d0030494ace586687405",
        ],
        [
            "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
            "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
            "e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514",
        ],
        [
            "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
            "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
            "8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa19427e71f98a473474f2f13f06f97c20d58cc3f54b8bd0d272f42b695dd7e89a8c22",
        ],
        [
            "fdaebc429f4a735932a160da1301080c13280eea8bc280d1b392c6b9e6ba3a5a",
            "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f454d370c8d9fc323a41450f8d513eafeb5b0697390c1e505a0d4ddc71f566607",
        ],
        [
            "84b698d39be126ff55fe45079e6c8bf64a0d7db6994560b4e96b7021eb39c1a1",
            "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f084d5b99c2a9463d9c8bd5026916996984eeec87ddf1d3be329006ace1b37b09",
        ],
    ];

    #[test]
    fn what_programs_do_not_agree_on_is_judged_as_ring_judges_it() {
        let mut accepted = 0;
        for [message, public, signature] in HARD {
            let (message, public, signature) = (hex::<32>(message), hex::<32>(public), hex::<64>(signature));
            if let Some(multiples) = Multiples::of_key(&public) {
                let held = holds(&multiples, &public, &message, &signature);
                assert_eq!(held, by_ring(&public, &message, &signature), "{public:02x?} {signature:02x?}");
                accepted += usize::from(held);
            }
        }
        assert!(accepted > 0, "none was accepted");
    }

    #[test]
    fn a_key_whose_bytes_are_not_canonical_gets_no_multiples() {
        // y = p + 1 for y = 1, and the negative zero of x = 0 (RFC 8032, section 5.1.3).
        let beyond = hex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
        let negative_zero = hex("0100000000000000000000000000000000000000000000000000000000000080");
        assert!(Multiples::of_key(&beyond).is_none() && Multiples::of_key(&negative_zero).is_none());
        let mut neutral = [0; 32];
        neutral[0] = 1;
        assert!(Multiples::of_key(&neutral).is_some());
    }

    #[test]
    fn the_multiples_are_used_once_a_key_comes_often_and_forgotten_with_it() {
        let (key, other) = (SigningKey::from_seed(&[1; 32]).unwrap(), SigningKey::from_seed(&[2; 32]).unwrap());
        let mut checker = SignatureChecker::default();
        for at in 0..2 * WORTH_MULTIPLES {
            let message = at.to_be_bytes();
            assert!(checker.made(&key.public(), &message, &key.sign(&message)));
            assert!(!checker.made(&key.public(), b"another", &key.sign(&message)));
        }
        assert!(checker.met.as_ref().unwrap().multiples.is_some());
        assert!(!checker.made(&other.public(), b"m", &key.sign(b"m")));
        assert!(checker.made(&other.public(), b"m", &other.sign(b"m")));
        assert!(checker.met.as_ref().unwrap().multiples.is_none());
    }

    proptest! {
        #[test]
        fn signatures_hold_and_changed_ones_do_not(
            seed: [u8; 32], message: Vec<u8>, bit in 0..512_usize, length in 0..70_usize,
        ) {
            let key = SigningKey::from_seed(&seed).unwrap();
            let public = key.public_bytes();
            let multiples = Multiples::of_key(&public).unwrap();
            let signature = key.sign(&message);
            prop_assert!(holds(&multiples, &public, &message, &signature));
            let mut changed = signature;
            changed[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(holds(&multiples, &public, &message, &changed), by_ring(&public, &message, &changed));
            prop_assert!(!holds(&multiples, &public, &message, &changed));
            let mut of_another_length = signature.to_vec();
            of_another_length.resize(length, 0);
            prop_assert_eq!(holds(&multiples, &public, &message, &of_another_length), length == 64);
        }
    }
}
