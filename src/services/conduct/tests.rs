//! Each rule by events that were made up: what obeys it passes, and what does not is named once, by its index.

use serde_json::{Value as Json, json};

use super::Rule;
use super::book::Book;
use super::keys::BELATED_SECONDS;
use super::reading::Act;

/// Events in their order; each says its name, who asked and when in its first three places.
fn booked(events: &[(&str, &str, i64, Json)]) -> Book {
    let mut book = Book::default();
    for (index, (event, principal, iat, members)) in (0..).zip(events) {
        let (event, principal) = ((*event).to_owned(), (*principal).to_owned());
        let members = members.as_object().unwrap().clone();
        book.take_act(&Act { index, iat: *iat, event, principal, members });
    }
    book
}

fn found(events: &[(&str, &str, i64, Json)]) -> Vec<(u64, Rule)> {
    let book = booked(events);
    assert_eq!(book.breach_count, book.breaches.len() as u64);
    book.breaches.iter().map(|breach| (breach.index, breach.kind)).collect()
}

fn key(id: &str, role: &str) -> Json {
    json!({"key": {"id": id, "hash": "h", "role": role, "label": "王", "created": 1, "maker": "dev"}})
}

fn session(id: &str, key: &str, expires: i64) -> Json {
    json!({"session": id, "key": key, "expires": expires})
}

type Event = (&'static str, &'static str, i64, Json);

/// The keys of an applicant, two reviewers and an administrator.
fn people() -> Vec<Event> {
    let made = |(id, role)| ("key.created", "dev", 1, key(id, role));
    [("one", "applicant"), ("first", "reviewer"), ("second", "reviewer"), ("boss", "administrator")].map(made).into()
}

/// Steps of one filing by who takes them, numbered from 1, behind the keys of [`people`].
fn filed(steps: &[(&'static str, &'static str)]) -> Vec<Event> {
    let step = |(at, (step, by)): (usize, &(&'static str, &'static str))| {
        let mut members = json!({"filing": "f1", "seq": at + 1});
        if ["filing.endorsed", "filing.approved"].contains(step) {
            members["prefix"] = "88.999.7".into();
        }
        (*step, *by, 2, members)
    };
    people().into_iter().chain(steps.iter().enumerate().map(step)).collect()
}

const DRAFTED: (&str, &str) = ("filing.drafted", "key:one");
const SUBMITTED: (&str, &str) = ("filing.submitted", "key:one");
const CLAIMED: (&str, &str) = ("filing.claimed", "key:first");
const ENDORSED: (&str, &str) = ("filing.endorsed", "key:first");
const APPROVED: (&str, &str) = ("filing.approved", "key:first");

#[test]
fn a_day_without_fault_has_none() {
    let mut events = filed(&[
        DRAFTED,
        ("filing.attached", "key:one"),
        SUBMITTED,
        CLAIMED,
        ("filing.returned", "key:first"),
        DRAFTED,
        SUBMITTED,
        ("filing.claimed", "key:second"),
        ("filing.released", "key:boss"),
        CLAIMED,
        ENDORSED,
        ("filing.claimed", "key:second"),
        ("filing.approved", "key:second"),
    ]);
    events.extend([
        ("filing.revealed", "key:second", 2, json!({"filing": "f1", "seq": 3})),
        ("session.opened", "key:one", 3, session("s", "one", 900)),
        ("session.closed", "key:one", 4, session("s", "one", 0)),
        ("access.denied", "node", 5, json!({"since": 1, "until": 2, "denials": [{"principal": "key:one", "code": "forbidden", "count": 1}, {"principal": "anonymous", "code": "forbidden", "count": 1}]})),
        ("log.continued", "operator", 5, json!({"sequence": 1, "size": 1, "root": ""})),
        ("key.revoked", "key:boss", 6, json!({"id": "one"})),
    ]);
    let book = booked(&events);
    assert_eq!(book.breaches, []);
    assert_eq!((book.unclear, book.belated, book.earlier), ((0, None), (0, None), (0, None)));
    assert_eq!((book.held().keys, book.held().filings, book.held().prefixes), (4, 1, 1));
    assert!(book.unknown.is_empty());
}

#[test]
fn a_key_is_made_once_and_revoked_once_and_only_if_it_was_made() {
    let (made, revoked) =
        (("key.created", "dev", 1, key("a", "reader")), ("key.revoked", "dev", 2, json!({"id": "a"})));
    assert_eq!(found(&[made.clone(), made.clone()]), [(1, Rule::KeyTwice)]);
    assert_eq!(found(std::slice::from_ref(&revoked)), [(0, Rule::KeyUnknown)]);
    assert_eq!(found(&[made.clone(), revoked.clone(), revoked.clone()]), [(2, Rule::RevokedTwice)]);
    assert_eq!(found(&[made.clone(), revoked, made]), [(2, Rule::KeyTwice)], "nor made again once it is revoked");
    let denied = json!({"denials": [{"principal": "key:b", "code": "forbidden", "count": 1}]});
    assert_eq!(found(&[("access.denied", "node", 1, denied)]), [(0, Rule::KeyUnknown)]);
}

#[test]
fn a_bootstrap_token_makes_one_key_and_no_other_does() {
    let used = |token: &str, id: &str| {
        let mut members = key(id, "administrator");
        members["token"] = token.into();
        ("bootstrap.used", "bootstrap", 1, members)
    };
    assert_eq!(found(&[used("bootstrap:1", "a")]), []);
    assert_eq!(found(&[used("bootstrap:1", "a"), used("bootstrap:1", "b")]), [(1, Rule::BootstrapTwice)]);
    assert_eq!(found(&[used("bootstrap:1", "a"), used("bootstrap:2", "b")]), [(1, Rule::BootstrapTwice)]);
    assert_eq!(
        found(&[("key.created", "dev", 1, key("a", "reader")), used("bootstrap:1", "a")]),
        [(1, Rule::KeyTwice)]
    );
}

#[test]
fn who_asks_has_a_key_that_opens_and_what_was_on_its_way_is_no_fault() {
    let made = ("key.created", "dev", 1, key("a", "reader"));
    let opened = |iat| ("session.opened", "key:a", iat, session("s", "a", iat + 900));
    let revoked = ("key.revoked", "dev", 1_000, json!({"id": "a"}));
    assert_eq!(found(&[opened(5)]), [(0, Rule::KeyUnknown)]);
    assert_eq!(found(&[made.clone(), opened(5)]), []);
    assert_eq!(found(&[made.clone(), revoked.clone(), opened(1_000 + BELATED_SECONDS)]), [(2, Rule::KeyEnded)]);
    // By another's name, it is the key that counts.
    let others = ("session.opened", "dev", 5, session("s", "a", 900));
    assert_eq!(found(&[others]), [(0, Rule::KeyUnknown)]);
    let book = booked(&[made, revoked, opened(999 + BELATED_SECONDS), opened(10)]);
    assert_eq!((book.breach_count, book.belated), (1, (2, Some(2))), "{:?}", book.breaches);
    assert_eq!(book.breaches[0].kind, Rule::SessionTwice);
    // One that has expired opens nothing either.
    let mut over = key("b", "reader");
    over["key"]["expires"] = 100.into();
    let by = |iat| ("session.opened", "key:b", iat, session("t", "b", 2_000));
    assert_eq!(found(&[("key.created", "dev", 1, over.clone()), by(99)]), []);
    assert_eq!(found(&[("key.created", "dev", 1, over), by(100 + BELATED_SECONDS)]), [(1, Rule::KeyEnded)]);
}

#[test]
fn a_session_ends_if_it_was_begun_and_begins_once() {
    let made = ("key.created", "dev", 1, key("a", "reader"));
    let opened = |iat| ("session.opened", "key:a", iat, session("s", "a", iat + 900));
    let closed = |iat| ("session.closed", "key:a", iat, json!({"session": "s", "key": "a"}));
    assert_eq!(found(&[made.clone(), closed(5)]), [(1, Rule::SessionUnknown)]);
    assert_eq!(found(&[made.clone(), opened(5), closed(6), closed(7)]), [(3, Rule::SessionUnknown)]);
    assert_eq!(found(&[made.clone(), opened(5), closed(905 + 3_601)]), [(2, Rule::SessionUnknown)], "long over");
    assert_eq!(found(&[made.clone(), opened(5), opened(6)]), [(2, Rule::SessionTwice)]);
    assert_eq!(found(&[made, opened(5), opened(905)]), [], "the first is over");
}

#[test]
fn steps_of_a_filing_follow_each_other() {
    assert_eq!(found(&filed(&[SUBMITTED])), [(4, Rule::FilingUnknown)]);
    assert_eq!(found(&filed(&[DRAFTED, CLAIMED])), [(5, Rule::StepOrder)]);
    assert_eq!(found(&filed(&[DRAFTED, ("filing.withdrawn", "key:one"), SUBMITTED])), [(6, Rule::StepOrder)]);
    for seq in [1, 3] {
        let mut events = filed(&[DRAFTED, SUBMITTED]);
        events[5].3["seq"] = seq.into();
        assert_eq!(found(&events), [(5, Rule::StepNumber)], "{seq}");
    }
    let revealed = ("filing.revealed", "key:first", 2, json!({"filing": "f2", "seq": 1}));
    assert_eq!(found(&[people(), vec![revealed]].concat()), [(4, Rule::FilingUnknown)]);
}

#[test]
fn a_step_is_taken_by_whose_it_is() {
    let begun = [DRAFTED, SUBMITTED];
    let with = |more: &[(&'static str, &'static str)]| found(&filed(&[&begun, more].concat()));
    assert_eq!(found(&filed(&[DRAFTED, ("filing.submitted", "key:first")])), [(5, Rule::NotApplicant)]);
    assert_eq!(with(&[("filing.claimed", "key:one")]), [(6, Rule::SamePerson)]);
    assert_eq!(with(&[CLAIMED, ("filing.returned", "key:second")]), [(7, Rule::NotClaimed)]);
    assert_eq!(with(&[CLAIMED, ("filing.released", "key:second")]), [(7, Rule::NotClaimed)]);
    assert_eq!(with(&[CLAIMED, ("filing.released", "key:boss")]), []);
    assert_eq!(with(&[CLAIMED, ("filing.released", "key:first"), ("filing.rejected", "key:first")]).len(), 2);
    let look = |by| ("filing.revealed", by, 2, json!({"filing": "f1", "seq": 1}));
    let looked = |by| found(&[filed(&[DRAFTED, SUBMITTED, CLAIMED]), vec![look(by)]].concat());
    assert_eq!(looked("key:first"), []);
    assert_eq!(looked("key:second"), [(7, Rule::NotClaimed)]);
}

#[test]
fn what_one_agreed_to_another_approves_and_it_is_the_same_prefix() {
    let steps = [DRAFTED, SUBMITTED, CLAIMED, ENDORSED];
    let with = |more: &[(&'static str, &'static str)]| filed(&[&steps, more].concat());
    assert_eq!(found(&with(&[CLAIMED])), [(8, Rule::SamePerson)]);
    assert_eq!(found(&with(&[CLAIMED, APPROVED])), [(8, Rule::SamePerson), (9, Rule::SamePerson)]);
    let second = [("filing.claimed", "key:second"), ("filing.approved", "key:second")];
    assert_eq!(found(&with(&second)), []);
    let mut other = with(&second);
    other[9].3["prefix"] = "88.999.8".into();
    assert_eq!(found(&other), [(9, Rule::OtherPrefix)]);
    let mut other = with(&second);
    other[9].3["applicant"] = "key:boss".into();
    assert_eq!(found(&other), [(9, Rule::NotApplicant)]);
    // Once it was returned, the first word counts no more.
    let returned = [("filing.claimed", "key:second"), ("filing.returned", "key:second"), SUBMITTED, CLAIMED, APPROVED];
    assert_eq!(found(&with(&returned)), []);
}

#[test]
fn a_prefix_is_allocated_once_and_lies_neither_above_nor_below_another() {
    for (first, second, expected) in [
        ("88.999.7", "88.999.7", vec![(11, Rule::PrefixTwice)]),
        ("88.999.7", "88.999", vec![(11, Rule::PrefixOverlaps)]),
        ("86.709", "86.709.1", vec![(11, Rule::PrefixOverlaps)]),
        ("86.709", "86.709.1.2", vec![(11, Rule::PrefixOverlaps)]),
        ("88.999.7", "88.999.70", vec![]),
        ("88.999.7", "88.999.6", vec![]),
    ] {
        let approved = |filing: &str, prefix: &str| {
            let mut events = filed(&[DRAFTED, SUBMITTED, CLAIMED, APPROVED]).split_off(4);
            events.iter_mut().for_each(|event| event.3["filing"] = filing.into());
            events[3].3["prefix"] = prefix.into();
            events
        };
        let events = [people(), approved("f1", first), approved("f2", second)].concat();
        assert_eq!(found(&events), expected, "{first} {second}");
    }
}

/// Steps about a prefix, numbered from 1, behind the keys of [`people`].
fn decided(steps: &[&'static str]) -> Vec<Event> {
    let step = |(at, step): (usize, &&'static str)| {
        let members = json!({"prefix": "88.999.7", "seq": at + 1, "until": 9_000, "resolves": at % 2 == 0});
        (*step, "key:first", 2, members)
    };
    people().into_iter().chain(steps.iter().enumerate().map(step)).collect()
}

#[test]
fn what_is_decided_about_a_prefix_follows_what_was_decided_before() {
    let way = ["prefix.suspended", "prefix.suspended", "prefix.renewed", "prefix.restored", "prefix.revoked"];
    assert_eq!(found(&decided(&way)), []);
    assert_eq!(found(&decided(&["prefix.restored"])), [(4, Rule::StepOrder)]);
    assert_eq!(found(&decided(&["prefix.revoked", "prefix.restored"])), [(5, Rule::StepOrder)]);
    for seq in [1, 3] {
        let mut events = decided(&way[..2]);
        events[5].3["seq"] = seq.into();
        assert_eq!(found(&events), [(5, Rule::StepNumber)], "{seq}");
    }
    let book = booked(&decided(&["prefix.paused"]));
    assert_eq!((book.breach_count, book.unknown["prefix.paused"]), (0, 1));
    let mut events = decided(&["prefix.suspended"]);
    events[4].3["prefix"] = "88/7".into();
    assert_eq!((booked(&events).breach_count, booked(&events).unclear.0), (0, 1), "of another form");
}

#[test]
fn a_grant_is_given_once_taken_back_once_and_opens_only_meanwhile() {
    let made = ("key.created", "dev", 1, key("a", "partner"));
    let given = ("grant.given", "dev", 10, json!({"grant": {"id": "g", "from": 10, "until": 100_000}}));
    let revoked = ("grant.revoked", "dev", 1_000, json!({"grant": "g"}));
    let used = |principal: &str, since: i64| {
        let uses = json!([{"grant": "g", "principal": principal, "leaf": 7, "count": 1}]);
        ("grant.used", "node", since, json!({"since": since, "until": since, "event_id": "e", "uses": uses}))
    };
    let with = |more: &[Event]| found(&[&[made.clone(), given.clone()], more].concat());
    assert_eq!(with(&[used("key:a", 10), used("link:g", 20), revoked.clone()]), []);
    assert_eq!(with(std::slice::from_ref(&given)), [(2, Rule::GrantTwice)]);
    assert_eq!(with(&[revoked.clone(), revoked.clone()]), [(3, Rule::RevokedTwice)]);
    assert_eq!(with(&[used("key:b", 10)]), [(2, Rule::KeyUnknown)]);
    assert_eq!(with(&[used("link:h", 10)]), [(2, Rule::GrantUnknown)]);
    assert_eq!(with(&[used("key:a", 9)]), [(2, Rule::GrantEnded)], "not yet");
    assert_eq!(with(&[used("key:a", 100_000 + BELATED_SECONDS)]), [(2, Rule::GrantEnded)]);
    assert_eq!(with(&[revoked.clone(), used("key:a", 1_000 + BELATED_SECONDS)]), [(3, Rule::GrantEnded)]);
    let book = booked(&[made.clone(), given.clone(), revoked.clone(), used("key:a", 1_001)]);
    assert_eq!((book.breach_count, book.belated), (0, (1, Some(3))), "on its way");
    assert_eq!(found(&[made.clone(), used("key:a", 5)]), [(1, Rule::GrantUnknown)]);
    assert_eq!(found(&[revoked]), [(0, Rule::GrantUnknown)]);
}

#[test]
fn a_clock_that_was_set_back_is_no_fault() {
    let made = |id, iat| ("key.created", "dev", iat, key(id, "reader"));
    let book = booked(&[made("a", 9), made("b", 8), made("c", 7)]);
    assert_eq!((book.breach_count, book.earlier), (0, (2, Some(1))));
}

#[test]
fn an_event_to_come_accuses_nobody_and_leaves_open_what_it_names() {
    let later = ("vault.opened", "dev", 1, json!({"door": {"of": ["x", "key:a"]}}));
    let book = booked(std::slice::from_ref(&later));
    assert_eq!((book.breach_count, book.unclear, book.unknown["vault.opened"]), (0, (0, None), 1));
    let revoked = |id| ("key.revoked", "dev", 2, json!({ "id": id }));
    let book = booked(&[later, revoked("a"), revoked("b")]);
    assert_eq!((book.breach_count, book.breaches[0].index, book.unclear), (1, 2, (1, Some(1))));
    // A step of a filing that this program does not know takes a number.
    let mut events = filed(&[DRAFTED, ("filing.paused", "key:one"), SUBMITTED]);
    let book = booked(&events);
    assert_eq!((book.breach_count, book.unclear, book.unknown["filing.paused"]), (0, (1, Some(6)), 1));
    // A name that is known, of another form.
    events[5] = ("filing.approved", "key:one", 2, json!({"filing": "f1"}));
    let book = booked(&events);
    assert_eq!((book.breach_count, book.unclear, book.unknown.len()), (0, (2, Some(5)), 0));
}

#[test]
fn nothing_of_a_person_is_repeated() {
    let mut events = filed(&[DRAFTED, SUBMITTED, CLAIMED, APPROVED, APPROVED]);
    for event in &mut events {
        event.3["registrant"] = "王法人".into();
    }
    let told = serde_json::to_string(&booked(&events).breaches).unwrap();
    assert!(told.contains("step_order") && !told.contains('王'), "{told}");
}
