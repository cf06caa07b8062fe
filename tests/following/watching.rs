//! `mingpai watch`: what an owner sees in the log, and what only a partner's answer shows.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use mingpai::sign::blinding::Blinding;
use mingpai::sign::jws::{ERASURE_TYPE, sign};
use mingpai::sign::prefix_secret::PrefixSecret;
use mingpai::tlog::hash::leaf_hash;
use serde_json::{Value as Json, json};

use crate::auditing::{DEMONSTRATION, shown, wait_for_head};
use crate::program::Node;
use crate::recorded::{ISSUER, PREFIX, Shelf, Signers, bundle, name, parts, serve};
use crate::{mingpai, mingpai_json};

fn write_secret(folder: &Path, secret: &[u8; 32]) {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("secret");
    std::fs::write(&path, BASE64URL.encode(secret)).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A shelf with two versions each of three names, and a folder that knows all of them.
struct Owner {
    signers: Signers,
    entries: Vec<Vec<u8>>,
    shelf: std::sync::Arc<Shelf>,
    url: String,
    folder: tempfile::TempDir,
}

impl Owner {
    fn new() -> Owner {
        let signers = Signers::new();
        let entries = signers.two_versions_each(3);
        let shelf = Shelf::of(parts(&signers.head, &entries));
        let (url, folder) = (serve(&shelf), tempfile::tempdir().unwrap());
        write_secret(folder.path(), &signers.blinding.prefix_secret(PREFIX));
        let owner = Owner { signers, entries, shelf, url, folder };
        owner.write("names", &[name(0), json!({"identifier": name(1), "version": 2}).to_string()]);
        let own = [1, 2, 4, 5];
        owner.write("known", &own.map(|at| json!({"leaf": owner.leaf(at)}).to_string()));
        owner
    }

    fn write(&self, file: &str, lines: &[String]) {
        std::fs::write(self.folder.path().join(file), lines.join("\n") + "\n").unwrap();
    }

    fn leaf(&self, index: usize) -> String {
        BASE64URL.encode(leaf_hash(&self.entries[index]))
    }

    fn add(&mut self, entry: &mingpai::sign::entry::Entry) {
        self.entries.push(entry.statement.clone().into_bytes());
        self.shelf.show(parts(&self.signers.head, &self.entries));
    }

    /// Exit code, what was found as "kind index", all that was said.
    fn watch(&self, more: &[&str]) -> (i32, Vec<String>, Json) {
        let vkey = self.signers.vkey();
        let arguments = ["watch", &self.url, "--vkey", &vkey, "--prefix", PREFIX, "--secret-file", "secret"];
        let (code, said) = mingpai_json(self.folder.path(), &[&arguments, more].concat());
        let found = |found: &Json| format!("{} {}", found["kind"].as_str().unwrap(), found["index"]);
        let found = said["found"].as_array().into_iter().flatten().map(found).collect();
        (code, found, said)
    }
}

#[test]
fn an_owner_is_told_of_entries_that_it_did_not_make() {
    let mut owner = Owner::new();
    let whole = ["--names", "names", "--known", "known", "--state", "state"];
    assert_eq!(owner.watch(&whole).0, 0);
    // The node makes a version by itself, and signs it as it should.
    let forged =
        owner.signers.entry(&name(1), 3, Some(&owner.entries[5]), &owner.signers.entry, &owner.signers.blinding);
    owner.add(&forged);
    let (code, found, said) = owner.watch(&whole);
    assert_eq!((code, found), (1, vec!["unknown_entry 7".to_owned()]));
    assert_eq!((&said["found"][0]["identifier"], &said["found"][0]["version"]), (&json!(name(1)), &json!(3)));
    assert_eq!(said["found"][0]["leaf"], owner.leaf(7));
    assert_eq!(owner.watch(&whole).0, 1, "it is told until it is known");
    assert_eq!(owner.watch(&whole[..4]).0, 1, "and without a state just so");
    // The owner looks, and finds that it did make it.
    assert_eq!(owner.watch(&[&whole[..], &["--confirm"]].concat()).0, 0);
    assert_eq!(owner.watch(&whole).0, 0);
    // A name that is added is looked for from the start.
    owner.write("names", &[name(0), name(1), name(2)]);
    assert_eq!(owner.watch(&whole).1, ["unknown_entry 3", "unknown_entry 6"]);
    // Names of others, and a secret that is another prefix's, see nothing.
    owner.write("names", &["88.999.2/X".to_owned()]);
    let vkey = owner.signers.vkey();
    let asked =
        ["watch", &owner.url, "--vkey", &vkey, "--prefix", PREFIX, "--secret-file", "secret", "--names", "names"];
    let (code, said) = mingpai(owner.folder.path(), &asked);
    assert!(code == 2 && said.contains("88.999.2/X: it is not under 88.999.1"), "{code} {said}");
    owner.write("names", &[name(0)]);
    write_secret(owner.folder.path(), &[7; 32]);
    let (code, found, said) = owner.watch(&["--names", "names"]);
    assert_eq!((code, found.len()), (2, 0), "with a wrong secret nothing is seen, which is no good word: {said}");
}

#[test]
fn a_secret_of_another_prefix_is_refused_and_one_without_its_prefix_is_taken() {
    let owner = Owner::new();
    let folder = owner.folder.path();
    let whole = ["--names", "names", "--known", "known"];
    for (prefix, code) in [(PREFIX, 0), ("99.9", 2)] {
        let _ = std::fs::remove_file(folder.join("secret"));
        PrefixSecret::write(prefix, &owner.signers.blinding.prefix_secret(PREFIX), &folder.join("secret")).unwrap();
        let (vkey, url) = (owner.signers.vkey(), &owner.url);
        let asked = ["watch", url, "--vkey", &vkey, "--prefix", PREFIX, "--secret-file", "secret"];
        let (ended, said) = mingpai(folder, &[&asked[..], &whole].concat());
        assert_eq!(ended, code, "{said}");
        assert_eq!(said.contains("is the secret of 99.9, not of 88.999.1"), code == 2, "{said}");
    }
    // As older versions wrote it.
    write_secret(folder, &owner.signers.blinding.prefix_secret(PREFIX));
    assert_eq!(owner.watch(&whole).0, 0);
}

#[test]
fn a_wrong_secret_accuses_nobody_and_never_says_that_nothing_was_found() {
    let mut owner = Owner::new();
    let Signers { entry: key, blinding, .. } = &owner.signers;
    let genuine = owner.signers.entry(&name(4), 1, None, key, blinding);
    let second = owner.signers.entry(&name(0), 1, None, key, &Blinding::new([9; 32]));
    owner.write("genuine", &[bundle(&genuine)]);
    owner.write("second", &[bundle(&second)]);
    owner.add(&genuine);
    owner.add(&second);
    owner.write("named", &[1, 4].map(|at| json!({"leaf": owner.leaf(at), "identifier": name(0)}).to_string()));
    write_secret(owner.folder.path(), &[7; 32]);
    let told = |more: &[&str]| {
        let (code, found, said) = owner.watch(more);
        assert_eq!((code, found.len()), (2, 0), "{more:?}: {said}");
        said["notes"].to_string()
    };
    assert!(told(&["--bundle", "genuine"]).contains("wrong secret"));
    assert!(told(&["--names", "names", "--bundle", "genuine", "second"]).contains("wrong secret"));
    assert!(told(&["--names", "names", "--known", "named"]).contains("of 2 known entries"));
    assert!(!told(&["--names", "names", "--known", "known"]).contains("wrong secret"), "nothing shows it");
    write_secret(owner.folder.path(), &owner.signers.blinding.prefix_secret(PREFIX));
    // The right one, and nothing yet that shows it to be: which of the two is wrong cannot be told.
    let (code, found, _) = owner.watch(&["--bundle", "second"]);
    assert_eq!((code, found.len()), (2, 0));
    let (code, found, _) = owner.watch(&["--bundle", "second", "genuine"]);
    assert_eq!((code, found), (1, vec!["second_sid null".to_owned()]), "the other bundle shows it");
    assert_eq!(owner.watch(&["--names", "names", "--known", "named"]).0, 1, "and so do names with entries");
}

#[test]
fn names_that_the_log_does_not_know_are_told_and_a_watch_of_nothing_is_refused() {
    let owner = Owner::new();
    owner.write("names", &[name(0), "88.999.1/MISPELT".to_owned(), name(1)]);
    let (code, found, said) = owner.watch(&["--names", "names", "--known", "known"]);
    assert_eq!((code, found.len()), (0, 0));
    assert_eq!((&said["names"], &said["names_without_entry"]), (&json!(3), &json!(["88.999.1/MISPELT"])));
    owner.write("names", &["88.999.1/MISPELT".to_owned()]);
    let (code, found, said) = owner.watch(&["--names", "names", "--known", "known"]);
    assert_eq!((code, found.len(), &said["verdict"]), (2, 0, &json!("unknown")));
    let (vkey, url) = (owner.signers.vkey(), &owner.url);
    let asked = ["watch", url, "--vkey", &vkey, "--prefix", PREFIX, "--secret-file", "secret"];
    owner.write("none", &[]);
    for more in [&[][..], &["--names", "none"], &["--known", "absent"]] {
        let (code, said) = mingpai(owner.folder.path(), &[&asked[..], more].concat());
        assert!(code == 2 && said.contains("nothing to watch"), "{more:?}: {code} {said}");
    }
}

#[test]
fn what_was_acknowledged_and_left_out_is_missed() {
    let owner = Owner::new();
    let mut entries = owner.entries.clone();
    entries.remove(5);
    owner.shelf.show(parts(&owner.signers.head, &entries));
    let (code, found, said) = owner.watch(&["--names", "names", "--known", "known"]);
    assert_eq!((code, found), (1, vec!["not_in_log null".to_owned()]));
    assert_eq!(said["found"][0]["leaf"], owner.leaf(5));
}

#[test]
fn a_partners_answer_shows_a_second_name_for_one_identifier_and_forgeries() {
    let mut owner = Owner::new();
    let Signers { entry: key, stranger, blinding, .. } = &owner.signers;
    let genuine = owner.signers.entry(&name(4), 1, None, key, blinding);
    let second = owner.signers.entry(&name(0), 1, None, key, &Blinding::new([9; 32]));
    let forged = owner.signers.entry(&name(0), 3, Some(&owner.entries[4]), stranger, blinding);
    let unlogged = owner.signers.entry(&name(5), 1, None, key, blinding);
    let foreign = owner.signers.entry("88.999.2/X", 1, None, key, blinding);
    for (file, entry) in [
        ("genuine", &genuine),
        ("second", &second),
        ("forged", &forged),
        ("unlogged", &unlogged),
        ("foreign", &foreign),
    ] {
        owner.write(file, &[bundle(entry)]);
    }
    owner.add(&genuine);
    owner.add(&second);
    let kinds = |bundle: &str| {
        let (code, _, said) = owner.watch(&["--names", "names", "--known", "known", "--bundle", bundle]);
        let kinds: Vec<String> =
            said["found"].as_array().unwrap().iter().map(|found| found["kind"].as_str().unwrap().to_owned()).collect();
        (code, kinds.join(" "))
    };
    assert_eq!(kinds("genuine"), (0, String::new()));
    // In the log, signed by the right key, and under a blinded name that its owner would never compute.
    assert_eq!(kinds("second"), (1, "second_sid".to_owned()));
    assert_eq!(owner.watch(&["--names", "names", "--known", "known"]).0, 0, "in the log alone it cannot be seen");
    assert_eq!(kinds("forged"), (1, "forged_bundle".to_owned()));
    assert_eq!(kinds("unlogged"), (1, "not_in_log".to_owned()));
    assert_eq!(kinds("foreign"), (2, String::new()), "about a name of somebody else's nothing can be told");
    let mut tampered = bundle(&genuine);
    let at = tampered.rfind('~').unwrap() - 8;
    tampered.replace_range(at..=at, if &tampered[at..=at] == "A" { "B" } else { "A" });
    owner.write("tampered", &[tampered]);
    assert_eq!(kinds("tampered"), (1, "forged_bundle".to_owned()));
    let (code, found, _) = owner.watch(&["--bundle", "genuine", "second", "unlogged"]);
    assert_eq!((code, found), (1, vec!["second_sid null".to_owned(), "not_in_log null".to_owned()]));
}

#[test]
fn an_owner_is_told_of_erasures_under_its_names() {
    let mut owner = Owner::new();
    let whole = ["--names", "names", "--known", "known", "--state", "state"];
    assert_eq!(owner.watch(&whole).0, 0);
    let sid = mingpai::sign::jws::payload_of(&owner.entries[1]).unwrap();
    let sid = serde_json::from_slice::<Json>(&sid).unwrap()["sid"].clone();
    let erase = |owner: &mut Owner, at: usize, last: bool| {
        let statement =
            json!({"iat": 1_790_000_005, "iss": ISSUER, "sid": sid, "leaf": owner.leaf(at), "last": last}).to_string();
        let statement = sign(&owner.signers.entry, ERASURE_TYPE, statement.as_bytes());
        owner.entries.push(statement.into_bytes());
        owner.shelf.show(parts(&owner.signers.head, &owner.entries));
    };
    erase(&mut owner, 1, false);
    let (code, found, said) = owner.watch(&whole);
    assert_eq!((code, found), (1, vec!["unknown_erasure 7".to_owned()]));
    assert_eq!((&said["found"][0]["identifier"], &said["found"][0]["version"]), (&json!(name(0)), &json!(1)));
    // It had asked for that one.
    assert_eq!(owner.watch(&[&whole[..], &["--confirm"]].concat()).0, 0);
    assert_eq!(owner.watch(&whole).0, 0);
    erase(&mut owner, 4, true);
    let (code, found, said) = owner.watch(&whole);
    assert_eq!((code, found), (1, vec!["unknown_erasure 8".to_owned()]));
    assert!(said["found"][0]["detail"]["en"].as_str().unwrap().contains("gone for ever"), "{said}");
    // One that names the leaf, and hides behind another name.
    let own = owner.leaf(2);
    let statement =
        json!({"iat": 1_790_000_005, "iss": ISSUER, "sid": BASE64URL.encode([7; 32]), "leaf": own, "last": false});
    let statement = sign(&owner.signers.entry, ERASURE_TYPE, statement.to_string().as_bytes());
    owner.entries.push(statement.into_bytes());
    owner.shelf.show(parts(&owner.signers.head, &owner.entries));
    let (_, found, said) = owner.watch(&whole);
    assert_eq!(found, ["unknown_erasure 8", "unknown_erasure 9"]);
    assert_eq!((&said["found"][1]["identifier"], &said["found"][1]["version"]), (&json!(name(1)), &json!(1)));
    // A state of a program that did not see erasures: the log is read anew.
    let state = owner.folder.path().join("state");
    let mut old: Json = serde_json::from_slice(&std::fs::read(&state).unwrap()).unwrap();
    old.as_object_mut().unwrap().remove("version");
    old["seen"].as_object_mut().unwrap().retain(|_, seen| seen["version"].is_u64());
    std::fs::write(&state, old.to_string()).unwrap();
    assert_eq!(owner.watch(&whole).1, ["unknown_erasure 8", "unknown_erasure 9"]);
}

#[test]
fn what_is_confirmed_gets_lines_of_its_own_and_leaves_the_list_as_private_as_it_was() {
    use std::os::unix::fs::PermissionsExt;
    let owner = Owner::new();
    let known = owner.folder.path().join("known");
    // As an editor leaves it: the last line has no end. The list is reached over a link.
    std::fs::write(&known, owner.leaf(1)).unwrap();
    std::fs::set_permissions(&known, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink("known", owner.folder.path().join("link")).unwrap();
    assert_eq!(owner.watch(&["--names", "names", "--known", "link", "--confirm"]).0, 0);
    let lines = std::fs::read_to_string(&known).unwrap();
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!((lines.len(), lines[0]), (4, owner.leaf(1).as_str()));
    assert_eq!(std::fs::metadata(&known).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(owner.folder.path().join("link").is_symlink());
    assert_eq!(owner.watch(&["--names", "names", "--known", "known"]).0, 0);
}

#[test]
fn a_head_that_was_believed_is_kept_by_a_watch_though_its_entries_never_came() {
    let mut owner = Owner::new();
    let whole = owner.entries.clone();
    owner.shelf.remove("tile/entries/000.p/7");
    let asked = ["--names", "names", "--known", "known", "--state", "state", "--patience", "0"];
    let (code, _, said) = owner.watch(&[&asked[..], &["--follow"]].concat());
    assert_eq!((code, &said["error"]["code"]), (1, &json!("withheld")));
    owner.entries.pop();
    owner.entries.extend([b"another".to_vec(), b"and more".to_vec()]);
    owner.shelf.show(parts(&owner.signers.head, &owner.entries));
    assert_eq!(owner.watch(&asked).2["error"]["code"], json!("forked"));
    owner.shelf.show(parts(&owner.signers.head, &whole));
    assert_eq!(owner.watch(&asked).0, 0);
}

#[test]
fn a_watch_that_goes_on_keeps_a_head_as_soon_as_it_is_believed() {
    let mut owner = Owner::new();
    let vkey = owner.signers.vkey();
    let mut going = Command::new(env!("CARGO_BIN_EXE_mingpai"))
        .args(["watch", &owner.url, "--vkey", &vkey, "--prefix", PREFIX, "--secret-file", "secret", "--names", "names"])
        .args(["--known", "known", "--state", "state", "--follow", "--every", "1", "--patience", "0"])
        .current_dir(owner.folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let state = owner.folder.path().join("state");
    let kept = |size: &str| {
        let end = Instant::now() + Duration::from_secs(30);
        let checkpoint = || {
            let state: Json = serde_json::from_slice(&std::fs::read(&state).ok()?).ok()?;
            Some(state["log"]["checkpoint"].as_str()?.lines().nth(1)? == size)
        };
        while Instant::now() < end && checkpoint() != Some(true) {
            std::thread::sleep(Duration::from_millis(20));
        }
        checkpoint() == Some(true)
    };
    let first = kept("7");
    // The next head is shown, and its entries do not come, for whatever reason.
    *owner.shelf.busy.lock().unwrap() = Some("tile/entries/000.p/8".to_owned());
    let next = owner.signers.entry(&name(2), 3, Some(&owner.entries[6]), &owner.signers.entry, &owner.signers.blinding);
    owner.add(&next);
    let second = kept("8");
    going.kill().unwrap();
    going.wait().unwrap();
    assert_eq!((first, second), (true, true));
}

#[test]
fn a_dishonest_log_is_told_to_its_owner_too() {
    let owner = Owner::new();
    let whole = ["--names", "names", "--known", "known", "--state", "state", "--patience", "0"];
    assert_eq!(owner.watch(&whole).0, 0);
    owner.shelf.show(parts(&owner.signers.head, &owner.entries[..6]));
    let (code, _, said) = owner.watch(&whole);
    assert_eq!((code, &said["error"]["code"]), (1, &json!("rolled_back")));
    owner.shelf.show(parts(&owner.signers.head, &owner.entries));
    assert_eq!(owner.watch(&whole).0, 0);
}

#[test]
fn a_watch_that_goes_on_tells_each_entry_as_it_comes_and_ends_when_the_log_turns_back() {
    let mut owner = Owner::new();
    let vkey = owner.signers.vkey();
    let mut going = Command::new(env!("CARGO_BIN_EXE_mingpai"))
        .args(["watch", &owner.url, "--vkey", &vkey, "--prefix", PREFIX, "--secret-file", "secret", "--names", "names"])
        .args([
            "--bundle",
            "answer",
            "--known",
            "known",
            "--state",
            "state",
            "--follow",
            "--every",
            "1",
            "--patience",
            "0",
            "--json",
        ])
        .current_dir(owner.folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(going.stdout.take().unwrap()).lines();
    let mut prev = owner.entries[5].clone();
    for version in 3..5 {
        let next = owner.signers.entry(&name(1), version, Some(&prev), &owner.signers.entry, &owner.signers.blinding);
        prev = next.statement.clone().into_bytes();
        owner.add(&next);
        let told: Json = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!((&told["kind"], &told["version"]), (&json!("unknown_entry"), &json!(version)));
    }
    // What a partner shows later, the entry that the owner wrote down and the log has not: a look makes every check, each time.
    let Signers { entry: key, blinding, .. } = &owner.signers;
    let second = owner.signers.entry(&name(0), 1, None, key, &Blinding::new([9; 32]));
    let unlogged = owner.signers.entry(&name(5), 1, None, key, blinding);
    let leaf = BASE64URL.encode(leaf_hash(unlogged.statement.as_bytes()));
    owner.add(&second);
    // Until now this file was not there, and nothing could be said of it.
    owner.write("answer", &[bundle(&second)]);
    let told: Json = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!((&told["kind"], &told["file"]), (&json!("second_sid"), &json!("answer")));
    // Its own registration, written down before the log shows it, is no finding: only the one that never comes is.
    let Signers { entry: key, blinding, .. } = &owner.signers;
    let own = owner.signers.entry(&name(0), 3, Some(&owner.entries[4]), key, blinding);
    let own_leaf = BASE64URL.encode(leaf_hash(own.statement.as_bytes()));
    let mut known: Vec<String> = [1, 2, 4, 5, 7, 8].map(|at| owner.leaf(at)).to_vec();
    known.extend([own_leaf, leaf.clone()]);
    owner.write("known", &known);
    owner.add(&own);
    let told: Json = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!((&told["kind"], &told["leaf"]), (&json!("not_in_log"), &json!(leaf)));
    owner.shelf.show(parts(&owner.signers.head, &owner.entries[..6]));
    let rest: String = lines.map(|line| line.unwrap() + "\n").collect();
    assert!(rest.contains("rolled_back"), "{rest}");
    assert!(!rest.contains("unknown_entry") && !rest.contains("not_in_log"), "each finding is told once: {rest}");
    assert_eq!(going.wait().unwrap().code(), Some(1));
}

#[test]
fn the_owner_of_a_prefix_of_a_node_of_our_own_watches_it() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    wait_for_head(&node, DEMONSTRATION);
    let here = folder.path();
    let run = |arguments: &[&str]| {
        let output = node.signed(arguments).current_dir(here).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let (code, made) = mingpai_json(
        here,
        &["keygen", "--use", "prefix-secret", "--keys", "keys", "--prefix", PREFIX, "--out", "secret"],
    );
    assert_eq!((code, &made["kid"]), (0, &json!(PREFIX)));
    std::fs::write(here.join("names"), run(&["export", "--prefix", PREFIX])).unwrap();
    let vkey = shown(&node, "/log/vkey");
    let watch = |more: &[&str]| {
        let base = ["watch", &node.url, "--vkey", &vkey, "--prefix", PREFIX, "--secret-file", "secret"];
        let whole = ["--names", "names", "--known", "known", "--state", "state"];
        mingpai_json(here, &[&base[..], &whole, more].concat())
    };
    let (code, said) = watch(&[]);
    let first = said["found"].as_array().unwrap().len();
    assert!(code == 1 && first > 30, "nothing is known yet: {code} {said}");
    assert_eq!(watch(&["--confirm"]).0, 0);
    assert_eq!(watch(&[]).0, 0);
    // Somebody changes a record.
    let exported = std::fs::read_to_string(here.join("names")).unwrap();
    let mut record: Json = serde_json::from_str(exported.lines().next().unwrap()).unwrap();
    record["registrant"] = "另一家企业".into();
    std::fs::write(here.join("change.ndjson"), record.to_string()).unwrap();
    run(&["import", "change.ndjson", "--on-conflict", "update"]);
    wait_for_head(&node, DEMONSTRATION + 1);
    let (code, said) = watch(&[]);
    assert_eq!((code, said["found"].as_array().unwrap().len()), (1, 1), "{said}");
    std::fs::write(
        here.join("answer"),
        run(&["resolve", said["found"][0]["identifier"].as_str().unwrap(), "--entry", "--json"]),
    )
    .unwrap();
    assert_eq!(watch(&["--confirm", "--bundle", "answer"]).0, 0);
}
