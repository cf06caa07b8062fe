//! Conversations that come in pieces: wherever they are cut, both ways go the same.

use std::collections::BTreeMap;

use super::fragments::plain;
use super::{Course, same};

#[test]
fn a_conversation_that_is_cut_anywhere_goes_the_same_way() {
    let text = plain("GET", "/hot") + &plain("GET", "/cold") + "\r\n" + &plain("HEAD", "/hot") + &plain("GET", "/slow");
    let whole = same(&Course::of(text.clone()));
    let counts = [("http1 hit", 2), ("http1 ok", 1), ("http1 unknown", 1)];
    assert_eq!(whole.counted, BTreeMap::from(counts.map(|(word, count)| (word.to_owned(), count))));
    for cut in 0..text.len() {
        let fate = same(&Course::of(text.clone()).cut(cut));
        assert_eq!(fate.said, whole.said, "cut at {cut}");
    }
}

/// Empty lines before a head look like its end: they are looked at again, by hyper too, and what follows is not.
#[test]
fn a_fault_behind_empty_lines_is_found_at_the_same_piece() {
    for before in ["", &plain("GET", "/hot")] {
        let text = [before, "\r\n\r\nHEAD /hot HTTP/1.1\r\nHost: x\r\na: é\r\r"].concat();
        let places = before.len()..text.len();
        for (first, second) in places.clone().flat_map(|first| places.clone().map(move |second| (first, second))) {
            same(&Course::of(text.clone()).cut(first).cut(second));
        }
    }
}
