//! Whose word counts: the upper node's key, the node's own keys in their ranges, and statements that are not as they were signed.

use super::*;

#[test]
fn the_upper_nodes_word_counts_by_its_key_and_for_this_node_only() {
    let enterprise = key();
    let record = record("88.999.1/A");
    let mut log = Log::licensed(&enterprise);
    let pinned = log.upper.public();
    log.upper = key();
    assert_eq!(
        finding(&log.judge(&record, None, 9), "node_licence"),
        Some(Finding::Fail),
        "another upper node is pinned"
    );
    let mut foreign = Log::new();
    foreign.grant_node(1, "88.999", vec![key().public()]);
    assert_eq!(
        finding(&foreign.judge(&record, None, 9), "node_licence"),
        Some(Finding::Fail),
        "it names another node's key"
    );
    assert_ne!(pinned.kid, log.upper.public().kid);
}

#[test]
fn a_key_that_took_over_needs_no_grant_of_its_own_and_each_counts_in_its_range() {
    let enterprise = key();
    let mut log = Log::licensed(&enterprise);
    let first = log.rotate(30);
    let record = record("88.999.1/A");
    let range = |kid: &str, index| finding(&log.judge_by(kid, &record, None, index), "key_range");
    let (old, new) = (first.public().kid, log.node.public().kid);
    assert_eq!([range(&old, 29), range(&old, 31)], [Some(Finding::Pass), Some(Finding::Fail)]);
    assert_eq!([range(&new, 29), range(&new, 31)], [Some(Finding::Fail), Some(Finding::Pass)]);
    assert_eq!(finding(&log.judge(&record, None, 31), "node_licence"), Some(Finding::Pass));
    // The first key turns out to have been known to others from index 12 on.
    let end = KeyEndStatement { iat: 1, iss: "n".to_owned(), kid: old.clone(), not_after: 12 };
    log.add(40, "", &end);
    let range = |kid: &str, index| finding(&log.judge_by(kid, &record, None, index), "key_range");
    assert_eq!([range(&old, 12), range(&old, 13)], [Some(Finding::Pass), Some(Finding::Fail)]);
    assert_eq!(range(&new, 41), Some(Finding::Pass), "the succession stands");
}

#[test]
fn a_forged_a_missing_and_a_reordered_statement_are_noticed() {
    let enterprise = key();
    let record = record("88.999.1/A");
    let owner_jws = signed(&record, &enterprise);
    let mut log = Log::licensed(&enterprise);
    log.end(20, "88.999.1", &log.licence_of(2), EndReason::Revoked, None);
    log.grant(22, "88.999.1", "甲", &enterprise, OwnerSignature::Optional);
    assert_eq!(finding(&log.judge(&record, Some(&owner_jws), 25), "owner_signature"), Some(Finding::Pass));
    let end = log.listed.remove(3);
    let steps = log.judge(&record, Some(&owner_jws), 21);
    assert_eq!(finding(&steps, "licences"), Some(Finding::Unknown), "the end between is not shown: {steps:?}");
    log.listed.insert(3, Listed { index: 23, ..end });
    assert_eq!(finding(&log.judge(&record, Some(&owner_jws), 25), "licences"), Some(Finding::Unknown));
    let mut forged = Log::licensed(&enterprise);
    let honest = std::mem::replace(&mut forged.node, key());
    forged.grant(7, "88.999.1", "丙", &key(), OwnerSignature::Optional);
    forged.node = honest;
    let steps = forged.judge(&record, Some(&owner_jws), 9);
    assert_eq!(
        finding(&steps, "licences"),
        Some(Finding::Unknown),
        "signed by a key that nobody authorised: {steps:?}"
    );
    let mut altered = Log::licensed(&enterprise);
    let statement = &mut altered.listed[2].statement;
    let at = statement.len() - 10;
    let letter = if statement.as_bytes()[at] == b'A' { "B" } else { "A" };
    statement.replace_range(at..=at, letter);
    assert_eq!(finding(&altered.judge(&record, None, 9), "licences"), Some(Finding::Fail));
}

#[test]
fn what_is_not_shown_is_unknown_and_what_nothing_proves_is_said() {
    let enterprise = key();
    let record = record("88.999.1/A");
    let owner_jws = signed(&record, &enterprise);
    let mut log = Log::licensed(&enterprise);
    log.listed.remove(0);
    let steps = log.judge(&record, Some(&owner_jws), 9);
    assert_eq!(finding(&steps, "key_range"), Some(Finding::Unknown));
    let log = Log::licensed(&enterprise);
    let shown = Presented {
        statements: &log.listed,
        are_proven: false,
        upper: None,
        keys: &[],
        index: None,
        kid: log.node.kid(),
        identifier: &record.identifier,
        version: 1,
        owner_jws: Some(&owner_jws),
        content: None,
        is_deleted: false,
    };
    let mut report = Report::default();
    check(&mut report, &shown);
    assert!(report.steps.iter().all(|step| step.finding == Finding::Unknown), "{report:?}");
    assert!(report.steps[0].detail.en.contains("presenter's word"));
}

#[test]
fn without_statements_only_what_contradicts_is_told() {
    let enterprise = key();
    let shown_record = record("88.999.1/A");
    let mut altered = shown_record.clone();
    altered.values.clear();
    for (owner_jws, expected) in [
        (signed(&shown_record, &enterprise), None),
        (signed(&altered, &enterprise), Some(Finding::Fail)),
        ("a.b.c".to_owned(), Some(Finding::Fail)),
    ] {
        let shown = Presented {
            statements: &[],
            are_proven: false,
            upper: None,
            keys: &[],
            index: None,
            kid: "",
            identifier: &shown_record.identifier,
            version: 1,
            owner_jws: Some(&owner_jws),
            content: Some(Content::of(&shown_record)),
            is_deleted: false,
        };
        let mut report = Report::default();
        check_bare(&mut report, &shown);
        assert_eq!(report.steps.first().map(|step| step.finding), expected);
    }
}

#[test]
fn a_grant_is_read_only_as_it_was_signed() {
    let (upper, node) = (key(), key());
    let good = Grant {
        iat: 1,
        iss: "top".to_owned(),
        by: upper.public(),
        prefix: "88.999".to_owned(),
        holder: "n".to_owned(),
        keys: vec![node.public()],
    };
    assert!(Grant::read(&good.sign(&upper).unwrap()).unwrap().names(node.kid()));
    let wrong = [
        good.sign(&node).unwrap(),
        Grant { prefix: "88.999.".to_owned(), ..good.clone() }.sign(&upper).unwrap(),
        Grant { keys: Vec::new(), ..good.clone() }.sign(&upper).unwrap(),
        Grant { holder: "a\nb".to_owned(), ..good.clone() }.sign(&upper).unwrap(),
        jws::sign(&upper, LICENCE_TYPE, &serde_json::to_vec(&good).unwrap()),
        "a".repeat(MAX_GRANT_BYTES + 1),
    ];
    assert!(wrong.iter().all(|grant| Grant::read(grant).is_err()));
}

#[test]
fn the_rows_of_a_statement_follow_from_it_alone() {
    let enterprise = key();
    let log = Log::licensed(&enterprise);
    let statement = log.listed[2].statement.as_bytes();
    let made = crate::sign::statement::rows(FrameKind::Statement, statement, 5).unwrap();
    assert_eq!(made, crate::sign::statement::rows(FrameKind::Statement, statement, 5).unwrap());
    assert_eq!(made[0].key, row_key("88.999.1", 1));
    assert_eq!(prefix_of_row(&made[0].key), Some("88.999.1"));
    assert_eq!((made[1].table, made[1].value.as_ref()), (Table::LicencePlace, Some(&made[0].key)));
    let elsewhere = crate::sign::statement::rows(FrameKind::Statement, statement, 6).unwrap();
    assert!(made.iter().zip(&elsewhere).all(|(one, other)| one.key == other.key), "no key depends on the index");
}
