//! The keyed hash that places names.
//!
//! Whoever knows where names go can fill one set and keep its sixteen answers out. So the hash is SipHash-1-3 of the standard
//! library under a key drawn at start: made for this, with no known way to find names that collide without the key. Faster
//! keyed hashes (foldhash, rapidhash) promise less: names that collide under every key, or under many, are known for such.
//!
//! What no hash prevents: to find by the time that answers take which names share a set, one by one. It costs many questions, and
//! wins one set of thousands, where admission still keeps what is asked for more often.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A key for one process.
#[derive(Clone, Debug, Default)]
pub struct Seed(RandomState);

impl Seed {
    #[inline]
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }
}

/// The hash of a prefix, which places nothing and needs no key: it chooses one of a few counters, and prefixes that share one share
/// no more than their purges.
#[inline]
pub fn of_prefix(bytes: &[u8]) -> u64 {
    // The odd number nearest 2^64 over the golden ratio.
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let mix = |hash: u64, word: u64| {
        let product = (hash ^ word).wrapping_mul(ODD);
        product ^ (product >> 29)
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(bytes.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let rest = rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    mix(hash, rest).wrapping_mul(ODD)
}
