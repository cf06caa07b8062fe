//! The policy's grammar case by case, and what quorums are met by.

use proptest::prelude::*;

use super::*;
use crate::tlog::cosignature::cosign;
use crate::tlog::note::tests::TestSigner;
use crate::tlog::note::{KeyKind, SignNote, SignatureLine};
use read::Fault;

fn log(seed: u8) -> TestSigner {
    TestSigner::new("example.com/log", KeyKind::Note, [seed; 32])
}

fn witness(seed: u8) -> TestSigner {
    TestSigner::new(&format!("w{seed}.example"), KeyKind::Cosignature, [seed; 32])
}

fn vkey(signer: &TestSigner) -> String {
    signer.verifier().to_string()
}

/// `@N` becomes witness N's key, `$N` log N's.
fn filled(text: &str) -> Vec<u8> {
    let mut text = text.to_owned();
    for seed in 1..10 {
        text = text.replace(&format!("@{seed}"), &vkey(&witness(seed)));
        text = text.replace(&format!("${seed}"), &vkey(&log(seed)));
    }
    text.into_bytes()
}

/// c2sp.org/tlog-policy, its example.
const EXAMPLE: &str = "log $1\n\nwitness X1 @1\nwitness X2 @2\nwitness X3 @3\ngroup X-witnesses 2 X1 X2 X3\n\nwitness Y1 @4\nwitness Y2 @5\nwitness Y3 @6\ngroup Y-witnesses any Y1 Y2 Y3\n\ngroup X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n";

fn checkpoint(witnesses: &[u8]) -> Note {
    let checkpoint =
        Checkpoint { origin: "example.com/log".to_owned(), size: 42, root: [5; 32], extensions: Vec::new() };
    let mut note = Note::sign(&checkpoint.encode(), &[&log(1)]).unwrap();
    for seed in witnesses {
        note.add(cosign(&checkpoint.encode(), 1000 + u64::from(*seed), &witness(*seed)).unwrap());
    }
    note
}

#[test]
fn the_example_of_the_specification_reads_and_judges() {
    let policy = Policy::parse(&filled(EXAMPLE)).unwrap();
    assert_eq!((policy.logs().len(), policy.witnesses().len(), policy.groups.len()), (1, 6, 3));
    assert_eq!(
        policy.groups[2],
        Group { name: b"X-and-Y".to_vec(), threshold: 2, members: vec![Member::Group(0), Member::Group(1)] }
    );
    for (witnesses, enough) in [
        (&[][..], false),
        (&[1, 2], false),
        (&[1, 2, 3], false),
        (&[4, 5, 6], false),
        (&[1, 4, 5, 6], false),
        (&[1, 3, 5], true),
        (&[6, 2, 1], true),
        (&[1, 2, 3, 4, 5, 6], true),
        (&[1, 7, 8, 4], false),
    ] {
        let note = checkpoint(witnesses);
        let verdict = policy.judge(&note).unwrap();
        assert_eq!(verdict.has_quorum, enough, "{witnesses:?}");
        let known = witnesses.iter().filter(|seed| **seed < 7).count();
        assert_eq!(verdict.cosigned.len(), known);
        assert_eq!(verdict.log, &policy.logs()[0]);
        for (witness, time) in verdict.cosigned {
            assert_eq!(witness.key.name(), format!("w{}.example", time - 1000));
        }
    }
}

#[test]
fn odd_but_allowed_files_read() {
    for text in [
        "quorum none\n",
        "\n# comment\n\t # another\n\twitness \t w1  @1   https://w1.example.com/  \n\n  quorum\tw1\n",
        "log $1 https://log.example.com/\nwitness w1 @1\nquorum w1\n",
        "witness all @1\nwitness any @2\ngroup group 2 all any\nquorum group\n",
        "quorum none\nlog $1\nwitness w1 @1\n",
        "witness w1 @1\ngroup g any w1\nquorum w1\n",
        "#only\nquorum none\n",
    ] {
        let policy = Policy::parse(&filled(text)).unwrap();
        assert_eq!(Policy::parse(&policy.encode()).unwrap(), policy, "{text}");
    }
    let mut octets = b"witness K\x80\xff ".to_vec();
    octets.extend(filled("@1\nquorum K"));
    octets.extend(b"\x80\xff\n");
    let policy = Policy::parse(&octets).unwrap();
    assert_eq!(policy.encode(), octets);
}

#[test]
fn each_fault_is_named_with_its_line() {
    let long_form = "group <name> all|any|<k> <name>...";
    let unknown_kind = "unknown.example.com+60f98dc5+YwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for (text, line, fault) in [
        ("quorum none\n\u{1}", 2, Fault::Octet(1)),
        ("quorum none\r\n", 1, Fault::Octet(13)),
        ("quorum none\u{7f}\n", 1, Fault::Octet(127)),
        ("log $1\nquorum none", 2, Fault::CutShort),
        ("quibble w1\nquorum none\n", 1, Fault::Keyword("quibble".to_owned())),
        ("witness w1 @1 https://w1/ # no\nquorum w1\n", 1, Fault::Form("witness <name> <vkey> [<url>]")),
        ("log\nquorum none\n", 1, Fault::Form("log <vkey> [<url>]")),
        ("\nlog garbage\nquorum none\n", 2, Fault::Key(NoteError::BadKey("it is not `name+id+key`"))),
        ("log @1\nquorum none\n", 1, Fault::KeyKind),
        ("witness w1 $1\nquorum w1\n", 1, Fault::KeyKind),
        ("witness w1\nquorum none\n", 1, Fault::Form("witness <name> <vkey> [<url>]")),
        ("witness none @1\nquorum none\n", 1, Fault::SameName("none".to_owned())),
        ("witness w1 @1\nwitness w1 @2\nquorum w1\n", 2, Fault::SameName("w1".to_owned())),
        ("witness w1 @1\ngroup w1 any w1\nquorum w1\n", 2, Fault::SameName("w1".to_owned())),
        ("witness w1 @1\ngroup none any w1\nquorum none\n", 2, Fault::SameName("none".to_owned())),
        ("witness w1 @1\ngroup g 1\nquorum w1\n", 2, Fault::Form(long_form)),
        ("witness w1 @1\ngroup g 0 w1\nquorum g\n", 2, Fault::Threshold(1)),
        ("witness w1 @1\ngroup g -1 w1\nquorum g\n", 2, Fault::Threshold(1)),
        ("witness w1 @1\ngroup g +1 w1\nquorum g\n", 2, Fault::Threshold(1)),
        ("witness w1 @1\ngroup g 2 w1\nquorum g\n", 2, Fault::Threshold(1)),
        ("witness w1 @1\ngroup g any w2\nquorum g\n", 2, Fault::Unknown("w2".to_owned())),
        ("group g any w1\nwitness w1 @1\nquorum g\n", 1, Fault::Unknown("w1".to_owned())),
        ("witness w1 @1\ngroup g any none w1\nquorum g\n", 2, Fault::Unknown("none".to_owned())),
        ("witness w1 @1\ngroup g any g w1\nquorum g\n", 2, Fault::Unknown("g".to_owned())),
        ("witness w1 @1\ngroup g all w1 w1\nquorum g\n", 2, Fault::MemberTwice("w1".to_owned())),
        (
            "witness w1 @1\nwitness w2 @2\ngroup g any w1 w2\ngroup h any w1\nquorum g\n",
            4,
            Fault::MemberTwice("w1".to_owned()),
        ),
        ("witness w1 @1\n", 1, Fault::NoQuorum),
        ("", 1, Fault::NoQuorum),
        ("witness w1 @1\nquorum w1\nquorum w1\n", 3, Fault::SecondQuorum),
        ("quorum unknown\n", 1, Fault::Unknown("unknown".to_owned())),
        ("quorum w1\nwitness w1 @1\n", 1, Fault::Unknown("w1".to_owned())),
        ("quorum\n", 1, Fault::Form("quorum <name>")),
    ] {
        assert_eq!(Policy::parse(&filled(text)), Err(PolicyError { line, fault }), "{text}");
    }
    let error = Policy::parse(format!("log {unknown_kind}\nquorum none\n").as_bytes()).unwrap_err();
    assert_eq!(error.fault, Fault::Key(NoteError::UnknownKeyType(0x63)));
    assert!(error.text().zh.contains("第 1 行"));
    assert_eq!(Policy::parse(&vec![b'\n'; POLICY_LIMIT_BYTES + 1]).unwrap_err().fault, Fault::Long);
}

#[test]
fn one_public_key_counts_once_whatever_it_is_called() {
    let same = TestSigner::new("impostor.example", KeyKind::Cosignature, [1; 32]);
    let text = format!("witness w1 {}\nwitness w2 {}\nquorum w1\n", vkey(&witness(1)), vkey(&same));
    assert!(matches!(Policy::parse(text.as_bytes()).unwrap_err().fault, Fault::SameKey(_)));
    let text = format!("log {0}\nlog {0} https://log.example.com/\nquorum none\n", vkey(&log(1)));
    assert!(matches!(Policy::parse(text.as_bytes()).unwrap_err().fault, Fault::SameKey(_)));
    let many: String = (0..=POLICY_LIMIT_EACH)
        .map(|number| {
            let mut seed = [9; 32];
            seed[..8].copy_from_slice(&(number as u64).to_be_bytes());
            format!("log {}\n", vkey(&TestSigner::new("a", KeyKind::Note, seed)))
        })
        .collect();
    assert_eq!(Policy::parse(many.as_bytes()).unwrap_err().fault, Fault::TooMany);
}

#[test]
fn only_a_log_of_the_policy_under_its_own_name_is_believed() {
    let judge = |policy: &str, note: &Note| Policy::parse(&filled(policy)).unwrap().judge(note).map(|it| it.has_quorum);
    let note = checkpoint(&[1]);
    assert_eq!(judge("log $1\nquorum none\n", &note), Ok(true));
    assert_eq!(judge("log $2\nlog $1\nquorum none\n", &note), Ok(true));
    let another = Err(JudgeError::AnotherLog("example.com/log".to_owned()));
    assert_eq!(judge("log $2\nquorum none\n", &note), another);
    assert_eq!(judge("quorum none\n", &note), another);
    // A witness's word is none for the log.
    assert_eq!(judge("log $2\nwitness w @1\nquorum w\n", &note), another);
    // A key that signs another origin's head, though it is trusted for its own.
    let text = "example.com/other\n42\nBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU=\n";
    let stolen = Note::sign(text, &[&log(1)]).unwrap();
    assert_eq!(judge("log $1\nquorum none\n", &stolen), Err(JudgeError::AnotherLog("example.com/other".to_owned())));
    // The same key under that name, as after a restore: said as what it is, and not believed.
    let same_key = TestSigner::new("example.com/other", KeyKind::Note, [1; 32]);
    let renamed = Note::sign(text, &[&same_key]).unwrap();
    let told = JudgeError::Renamed { pinned: "example.com/log".to_owned(), shown: "example.com/other".to_owned() };
    assert_eq!(judge("log $2\nlog $1\nquorum none\n", &renamed), Err(told));
    assert_eq!(judge("log $2\nquorum none\n", &renamed), Err(JudgeError::AnotherLog("example.com/other".to_owned())));
    // A line that only names it: the signature is not the key's.
    let mut made_up = stolen.clone();
    let mut line: SignatureLine = renamed.signatures()[0].clone();
    line.signature[20] ^= 1;
    made_up.add(line);
    let another = JudgeError::AnotherLog("example.com/other".to_owned());
    assert_eq!(judge("log $1\nquorum none\n", &made_up), Err(another));
    // A known witness's wrong signature spoils the note.
    let mut spoilt = note.clone();
    let mut line: SignatureLine = spoilt.signatures()[1].clone();
    line.signature[20] ^= 1;
    spoilt.add(line);
    assert!(matches!(judge("log $1\nwitness w @1\nquorum none\n", &spoilt), Err(JudgeError::Note(_))));
    assert_eq!(judge("log $1\nquorum none\n", &spoilt), Ok(true));
}

#[test]
fn a_plain_policy_is_made_of_keys_and_a_number() {
    let logs = vec![Log { key: log(1).verifier().clone(), url: Some(b"https://node.example".to_vec()) }];
    let witnesses = |seeds: &[u8]| seeds.iter().map(|seed| (witness(*seed).verifier().clone(), None)).collect();
    let policy = Policy::of(logs.clone(), witnesses(&[1, 2, 3]), 2).unwrap();
    assert!(policy.demands_witnesses());
    assert!(!policy.judge(&checkpoint(&[3])).unwrap().has_quorum);
    assert!(policy.judge(&checkpoint(&[3, 1])).unwrap().has_quorum);
    let text = String::from_utf8(policy.encode()).unwrap();
    assert!(text.ends_with("group witnesses 2 w1 w2 w3\nquorum witnesses\n"), "{text}");
    assert!(!Policy::of(logs.clone(), witnesses(&[1]), 0).unwrap().demands_witnesses());
    assert!(Policy::of(logs.clone(), witnesses(&[1]), 2).is_err());
    assert!(Policy::of(logs, witnesses(&[1, 1]), 1).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic_and_what_reads_is_written_and_read_again(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        lines in proptest::collection::vec("(witness|group|quorum|log|#)( (all|any|none|w[12]|g[12]|[012]|@[12]|\\$[12])){0,4}", 0..8),
    ) {
        let _ = Policy::parse(&bytes);
        let text = filled(&(lines.join("\n") + "\n"));
        if let Ok(policy) = Policy::parse(&text) {
            prop_assert_eq!(Policy::parse(&policy.encode()).unwrap(), policy);
        }
    }
}
