//! Answers that the lane reads from the store: so much at a time, and whatever goes wrong is hyper's to tell.

use super::fragments::plain;
use super::{Course, fate, same};
use crate::accept::lane::READINGS;

#[test]
fn what_is_read_is_answered_in_the_lane_so_much_at_a_time() {
    let (hot, read) = (plain("GET", "/hot"), plain("GET", "/read"));
    // The last, so that nothing waits for it, however long it took.
    let said = fate(&Course::of(hot.repeat(9) + &read), true).said;
    assert_eq!((said.reads, said.writes), (1, 1));
    let many = Course::of(format!("{read}{hot}{}", plain("HEAD", "/read")).repeat(100));
    // More where they take their time.
    assert!(fate(&many, true).said.writes >= 200_usize.div_ceil(READINGS));
    same(&many);
}

#[test]
fn a_reading_that_panics_or_is_one_too_many_is_hypers_to_tell() {
    let text = plain("GET", "/hot") + &plain("GET", "/failing") + &plain("GET", "/read");
    let fate = same(&Course::of(text));
    assert_eq!(fate.counted["panicked"], 1);
    let full = Course { is_full: true, ..Course::of(plain("GET", "/read") + &plain("GET", "/hot")) };
    let fate = same(&full);
    assert_eq!((fate.counted["requests_in_flight"], fate.counted["http1 hit"]), (1, 1));
}
