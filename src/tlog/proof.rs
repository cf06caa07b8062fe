//! Inclusion and consistency proofs: made from stored hashes, checked by anybody (RFC 9162, sections 2.1.3 and 2.1.4).

use super::hash::{Hash, Head, empty_root, node_hash};
use super::layout::{ReadHashes, perfect};

/// No tree of 64-bit size needs more hashes in a proof: 63 to the left of an index and one.
pub const PROOF_HASHES: usize = 64;

/// The root of the leaves from `begin` up to `end`.
pub fn subtree<R: ReadHashes>(hashes: &R, begin: u64, end: u64) -> Result<Hash, R::Error> {
    let mut nodes = perfect(begin, end).into_iter().rev();
    let Some(last) = nodes.next() else {
        return Ok(empty_root());
    };
    let mut root = hashes.hash(last)?;
    for node in nodes {
        root = node_hash(&hashes.hash(node)?, &root);
    }
    Ok(root)
}

/// The root of the tree at a size.
pub fn root<R: ReadHashes>(hashes: &R, size: u64) -> Result<Hash, R::Error> {
    subtree(hashes, 0, size)
}

/// The proof that a leaf is in the tree of a size, from the leaf upwards (RFC 9162, 2.1.3.1). `index < size`.
pub fn inclusion<R: ReadHashes>(hashes: &R, index: u64, size: u64) -> Result<Vec<Hash>, R::Error> {
    let (mut begin, mut end) = (0, size);
    let mut siblings = Vec::new();
    while end - begin > 1 {
        let middle = begin + split(end - begin);
        if index < middle {
            siblings.push((middle, end));
            end = middle;
        } else {
            siblings.push((begin, middle));
            begin = middle;
        }
    }
    siblings.into_iter().rev().map(|(begin, end)| subtree(hashes, begin, end)).collect()
}

/// The proof that the tree of size `old` is the beginning of that of size `new` (RFC 9162, 2.1.4.1). `old <= new`; nothing is
/// to be proven where they are the same, or where the old one is empty.
pub fn consistency<R: ReadHashes>(hashes: &R, old: u64, new: u64) -> Result<Vec<Hash>, R::Error> {
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let (mut begin, mut end) = (0, new);
    let mut parts = Vec::new();
    while end != old {
        let middle = begin + split(end - begin);
        if old <= middle {
            parts.push((middle, end));
            end = middle;
        } else {
            parts.push((begin, middle));
            begin = middle;
        }
    }
    // The verifier has the root of the old tree already; any other subtree that ends there it must be given.
    if begin != 0 {
        parts.push((begin, end));
    }
    parts.into_iter().rev().map(|(begin, end)| subtree(hashes, begin, end)).collect()
}

/// Whether a proof shows that a leaf stands at an index of the tree with this head (RFC 9162, 2.1.3.2).
#[must_use]
pub fn check_inclusion(leaf: &Hash, index: u64, head: &Head, hashes: &[Hash]) -> bool {
    if index >= head.size || hashes.len() > PROOF_HASHES {
        return false;
    }
    let (mut at, mut last, mut root) = (index, head.size - 1, *leaf);
    for sibling in hashes {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            root = node_hash(sibling, &root);
            // A leaf on the right edge has no sibling on the levels where it stands alone.
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            root = node_hash(&root, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && root == head.root
}

/// Whether a proof shows that the tree of one head is the beginning of that of another (RFC 9162, 2.1.4.2).
#[must_use]
pub fn check_consistency(old: &Head, new: &Head, hashes: &[Hash]) -> bool {
    let empty_fits = |head: &Head| head.size != 0 || head.root == empty_root();
    if old.size > new.size || hashes.len() > PROOF_HASHES || !empty_fits(old) || !empty_fits(new) {
        return false;
    }
    if old.size == 0 || old.size == new.size {
        return hashes.is_empty() && (old.size == 0 || old.root == new.root);
    }
    // Where the old tree is perfect its root is the first hash, and is not sent.
    let mut hashes = hashes.iter();
    let Some(first) = (if old.size.is_power_of_two() { Some(&old.root) } else { hashes.next() }) else {
        return false;
    };
    let (mut at, mut last) = (old.size - 1, new.size - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let (mut old_root, mut new_root) = (*first, *first);
    for sibling in hashes {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old_root = node_hash(sibling, &old_root);
            new_root = node_hash(sibling, &new_root);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new_root = node_hash(&new_root, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && old_root == old.root && new_root == new.root
}

/// The largest power of two below `size` (`k` of RFC 9162, 2.1.1). `size > 1`.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::super::frontier::Frontier;
    use super::super::hash::leaf_hash;
    use super::super::memory::Hashes;
    use super::*;

    const SIZES: u64 = 130;

    /// All hashes of a tree, and its head at every size.
    fn tree() -> (Hashes, Vec<Head>) {
        let (mut frontier, mut hashes) = (Frontier::default(), Hashes::default());
        let mut heads = vec![frontier.head()];
        for leaf in 0..SIZES {
            frontier.push_all(leaf_hash(&leaf.to_be_bytes()), |hash| hashes.0.push(*hash));
            heads.push(frontier.head());
        }
        (hashes, heads)
    }

    #[test]
    fn every_leaf_is_proven_in_every_tree_and_at_no_other_place() {
        let (hashes, heads) = tree();
        for head in &heads {
            assert_eq!(root(&hashes, head.size), Ok(head.root));
            for index in 0..head.size {
                let proof = inclusion(&hashes, index, head.size).unwrap();
                let leaf = leaf_hash(&index.to_be_bytes());
                assert!(check_inclusion(&leaf, index, head, &proof), "{index} in {}", head.size);
                assert!(!check_inclusion(&leaf, index + 1, head, &proof), "{index} as another in {}", head.size);
                assert!(!check_inclusion(&leaf_hash(b"other"), index, head, &proof));
                let longer = [proof.as_slice(), &[head.root]].concat();
                assert!(!check_inclusion(&leaf, index, head, &longer));
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(!check_inclusion(&leaf, index, head, shorter));
                }
            }
        }
    }

    #[test]
    fn every_tree_is_proven_the_beginning_of_every_later_one_and_of_no_other() {
        let (hashes, heads) = tree();
        for new in &heads {
            for old in heads.iter().filter(|old| old.size <= new.size) {
                let proof = consistency(&hashes, old.size, new.size).unwrap();
                assert!(check_consistency(old, new, &proof), "{} to {}", old.size, new.size);
                let forked = Head { root: leaf_hash(b"fork"), ..*new };
                assert!(!check_consistency(old, &forked, &proof) || (old.size == 0 && new.size != 0), "a fork");
                let rewritten = Head { root: leaf_hash(b"rewritten"), ..*old };
                assert!(!check_consistency(&rewritten, new, &proof), "{} to {}", old.size, new.size);
                let longer = [proof.as_slice(), &[new.root]].concat();
                assert!(!check_consistency(old, new, &longer));
                assert!(old.size == new.size || !check_consistency(new, old, &proof), "backwards");
            }
        }
    }

    #[test]
    fn no_bit_of_a_proof_can_be_changed() {
        let (hashes, heads) = tree();
        let (old, new) = (&heads[77], &heads[SIZES as usize]);
        let leaf = leaf_hash(&77_u64.to_be_bytes());
        let inclusion = inclusion(&hashes, 77, new.size).unwrap();
        let consistency = consistency(&hashes, old.size, new.size).unwrap();
        let flipped = |proof: &[Hash], at: usize, bit: usize| {
            let mut proof = proof.to_vec();
            proof[at][bit / 8] ^= 1 << (bit % 8);
            proof
        };
        for bit in 0..256 {
            for at in 0..inclusion.len() {
                assert!(!check_inclusion(&leaf, 77, new, &flipped(&inclusion, at, bit)), "{at}.{bit}");
            }
            for at in 0..consistency.len() {
                assert!(!check_consistency(old, new, &flipped(&consistency, at, bit)), "{at}.{bit}");
            }
        }
    }

    #[test]
    fn sizes_at_the_end_of_what_can_be_counted_do_no_harm() {
        let head = Head { size: u64::MAX, root: [0; 32] };
        assert!(!check_inclusion(&[0; 32], u64::MAX - 1, &head, &[[0; 32]; 64]));
        assert!(!check_inclusion(&[0; 32], u64::MAX - 1, &head, &[[0; 32]; 65]));
        assert!(!check_consistency(&Head { size: u64::MAX - 1, root: [0; 32] }, &head, &[[0; 32]; 64]));
        assert!(!check_consistency(&Head { size: 1 << 63, root: [0; 32] }, &head, &[[0; 32]; 1]));
    }
}
