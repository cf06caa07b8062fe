//! Random bytes for salts and decoys, drawn from the operating system a page at a time: a record needs some 160 of them.
//!
//! Each thread has a page of its own. What was given out is wiped there, so nothing is given out twice or lies about.

use std::cell::RefCell;

use ring::error::Unspecified;
use ring::rand::{SecureRandom, SystemRandom};

/// Bytes that are drawn at once.
const PAGE_BYTES: usize = 4096;

struct Page {
    bytes: Box<[u8]>,
    /// Where the bytes begin that were not given out.
    next: usize,
}

thread_local! {
    static PAGE: RefCell<Page> = RefCell::new(Page { bytes: vec![0; PAGE_BYTES].into_boxed_slice(), next: PAGE_BYTES });
}

/// Fills `out` with bytes that nobody else is given.
pub fn fill(out: &mut [u8]) -> Result<(), Unspecified> {
    if out.len() > PAGE_BYTES {
        return SystemRandom::new().fill(out);
    }
    PAGE.with_borrow_mut(|page| {
        if page.bytes.len() - page.next < out.len() {
            // Until it has come, nothing of the page is fit to be given out.
            page.next = PAGE_BYTES;
            SystemRandom::new().fill(&mut page.bytes)?;
            page.next = 0;
        }
        let end = page.next + out.len();
        let given = &mut page.bytes[page.next..end];
        out.copy_from_slice(given);
        given.fill(0);
        page.next = end;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn nothing_is_given_out_twice_and_the_page_keeps_nothing_of_it() {
        let mut seen = HashSet::new();
        // Sizes that divide the page and that do not, and one that is longer than it.
        for size in [16, 160, 1000, 3000, PAGE_BYTES, PAGE_BYTES + 1].repeat(40) {
            let mut drawn = vec![0; size];
            fill(&mut drawn).unwrap();
            PAGE.with_borrow(|page| assert!(page.bytes[..page.next].iter().all(|byte| *byte == 0)));
            for salt in drawn.chunks_exact(16) {
                assert!(seen.insert(salt.to_vec()), "16 bytes were given out twice");
            }
        }
    }
}
