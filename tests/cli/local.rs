//! What works on the node's own machine: keygen, check-config, doctor; and how any command is asked wrongly.

use serde_json::Value as Json;

use crate::{mingpai, mode_of};

#[test]
fn a_new_key_is_private_and_only_its_id_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let ended = mingpai(folder.path(), ["keygen", "--use", "entry", "--keys", "keys", "--json"]).expect(0);
    let made = ended.json();
    let path = folder.path().join(made["path"].as_str().unwrap());
    let file: Json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(file["kid"], made["kid"]);
    assert_eq!(mode_of(&path), 0o600);
    assert!(!ended.out.contains(file["d"].as_str().unwrap()));
    let told = mingpai(folder.path(), ["keygen", "--use", "checkpoint", "--keys", "keys"]).expect(0);
    assert!(told.err.contains("next start"), "{}", told.err);
}

#[test]
fn bad_usage_is_a_two() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["no-such-command"][..],
        &[],
        &["resolve"],
        &["resolve", "x", "--server", "node:8080"],
        &["keygen", "--use", "everything", "--keys", "k"],
        &["token", "--expires", "soon", "--token-file", "t"],
        &["doctor", "--cut-journal", "here"],
        &["verify", "x", "--jwks", "a", "--server", "http://[::1]:1"],
    ] {
        mingpai(folder.path(), arguments).expect(2);
    }
    mingpai(folder.path(), ["--help"]).expect(0);
    mingpai(folder.path(), ["--version"]).expect(0);
}

#[test]
fn a_configuration_is_explained_and_a_wrong_one_is_a_no_that_names_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let right = ["check-config", "--dev", "--listen", "127.0.0.1:9000", "--set", "log.filter=debug"];
    let ended = mingpai(folder.path(), right).expect(0);
    let line = |key: &str| ended.out.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
    assert!(line("log.filter").contains("debug") && line("log.filter").ends_with("# flag"));
    assert!(line("http.listen").contains("127.0.0.1:9000"));
    assert!(line("limits.json_depth").ends_with("# default"));
    let json = mingpai(folder.path(), right.iter().chain(&["--json"])).expect(0).json();
    assert_eq!(json["ok"], true);

    std::fs::write(folder.path().join("wrong.toml"), "[limits]\njson_detph = 3\n").unwrap();
    let ended = mingpai(folder.path(), ["check-config", "--config", "wrong.toml"]).expect(1);
    assert!(ended.out.contains("limits.json_detph (wrong.toml:2)"), "{}", ended.out);
    let json = mingpai(folder.path(), ["check-config", "--config", "wrong.toml", "--json"]).expect(1).json();
    assert_eq!(json["ok"], false);
    assert!(json["faults"].as_array().unwrap().iter().any(|fault| fault["key"] == "limits.json_detph"));
    mingpai(folder.path(), ["check-config", "--config", "absent.toml"]).expect(2);
}

#[test]
fn a_node_that_is_away_is_told_in_the_reader_s_language_alone() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in
        [&["resolve", "88.999.1/A", "--server", "http://127.0.0.1:1"][..], &["audit", "http://127.0.0.1:1"]]
    {
        let told = mingpai(folder.path(), [&["--lang", "zh"], arguments].concat()).expect(2).err;
        assert!(told.contains("连接被拒绝") && !told.contains("refused"), "{told}");
        let told = mingpai(folder.path(), [&["--lang", "en"], arguments].concat()).expect(2).err;
        assert!(told.contains("refused") && told.is_ascii(), "{told}");
    }
}

#[test]
fn the_configuration_of_a_mirror_needs_no_issuer_and_is_judged_in_all_else() {
    let folder = tempfile::tempdir().unwrap();
    let write = |text: &str| std::fs::write(folder.path().join("mirror.toml"), text).unwrap();
    let check = |reader: &str| ["check-config", "--config", "mirror.toml", "--for", reader].map(str::to_owned);
    write("[http]\nlisten = [\"127.0.0.1:9000\"]\n");
    let ended = mingpai(folder.path(), check("mirror")).expect(0);
    assert!(ended.out.contains("127.0.0.1:9000"), "{}", ended.out);
    let ended = mingpai(folder.path(), check("serve")).expect(1);
    assert!(ended.out.contains("node.iss") && ended.err.contains("--for mirror"), "{} {}", ended.out, ended.err);
    mingpai(folder.path(), ["check-config", "--config", "mirror.toml"]).expect(1);
    write("[node]\niss = \"mistyped\"\n");
    assert!(mingpai(folder.path(), check("mirror")).expect(1).out.contains("node.iss"));
    write("[limits]\njson_detph = 3\n");
    assert!(mingpai(folder.path(), check("mirror")).expect(1).out.contains("limits.json_detph"));
    mingpai(folder.path(), check("witness")).expect(2);
}

fn finding(report: &Json, name: &str) -> (String, Option<String>) {
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name} in {report}"));
    (check["finding"].as_str().unwrap().to_owned(), check["repair"].as_str().map(str::to_owned))
}

#[test]
fn a_doctor_numbers_the_checks_and_finds_an_exposed_key_and_a_taken_port() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    mingpai(folder.path(), ["keygen", "--use", "entry", "--keys", "data/keys"]).expect(0);
    let base = ["doctor", "--dev", "--data", "data", "--json", "--listen"];
    let report = mingpai(folder.path(), base.iter().chain(&[address.as_str()])).expect(1).json();
    assert_eq!(finding(&report, "secrets").0, "ok");
    assert_eq!(finding(&report, "port").0, "failed");
    assert_eq!(finding(&report, "journal").0, "unknown", "there is none yet");
    assert_eq!(report["checks"][0]["number"], 1);

    drop(taken);
    let key = std::fs::read_dir(folder.path().join("data/keys")).unwrap().next().unwrap().unwrap().path();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let report = mingpai(folder.path(), base.iter().chain(&[address.as_str()])).expect(1).json();
    let (found, repair) = finding(&report, "secrets");
    assert_eq!(found, "failed");
    assert!(repair.unwrap().starts_with("chmod 600 "));
    assert_eq!(finding(&report, "port").0, "ok");
}

#[test]
fn a_doctor_looks_at_the_ports_of_tls_and_knows_a_demonstration_by_its_token() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    let base = ["doctor", "--data", "data", "--json"];
    let tls = ["--dev", "--tls", "--listen", &address];
    let report = mingpai(folder.path(), base.iter().chain(&tls)).expect(1).json();
    let is_taken = |check: &Json| check["finding"] == "failed" && check["detail"]["en"].to_string().contains(&address);
    assert!(report["checks"].as_array().unwrap().iter().any(is_taken), "{report}");
    let repair = || finding(&mingpai(folder.path(), base).json(), "config").1.unwrap();
    assert_eq!(repair(), "mingpai doctor --config /etc/mingpai/mingpai.toml");
    std::fs::write(folder.path().join("data/dev-token"), "x").unwrap();
    assert_eq!(repair(), "mingpai doctor --dev --data data");
}

#[test]
fn a_port_that_is_taken_is_a_remark_where_the_configuration_is_not_known() {
    let folder = tempfile::tempdir().unwrap();
    // Whoever else has the port of the defaults, its state is one of these two; with a configuration a taken port is a failure.
    std::fs::create_dir(folder.path().join("data")).unwrap();
    let _taken = std::net::TcpListener::bind("127.0.0.1:8080");
    let report = mingpai(folder.path(), ["doctor", "--data", "data", "--json"]).json();
    assert_eq!(finding(&report, "port").0, "warning", "{report}");
    let report = mingpai(folder.path(), ["doctor", "--dev", "--data", "data", "--json"]).expect(1).json();
    assert_eq!(finding(&report, "port").0, "failed", "{report}");
}

#[test]
fn every_repair_that_a_doctor_prints_is_a_command_as_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("my data");
    std::fs::create_dir_all(data.join("journal")).unwrap();
    crate::write_with_mode(&data.join("dev-token"), "x", 0o644);
    std::fs::write(folder.path().join("file"), "").unwrap();
    std::fs::write(folder.path().join("wrong.toml"), "[node]\niss = 5\n").unwrap();
    let _taken = std::net::TcpListener::bind("127.0.0.1:8080");
    let mut seen = 0;
    for arguments in [
        &["--data", "my data"][..],
        &["--dev", "--data", "my data"],
        &["--dev", "--data", "absent"],
        &["--dev", "--data", "file"],
        &["--config", "wrong.toml", "--data", "my data"],
    ] {
        let report = mingpai(folder.path(), ["doctor", "--json"].iter().chain(arguments)).json();
        for repair in report["checks"].as_array().unwrap().iter().filter_map(|check| check["repair"].as_str()) {
            seen += 1;
            let read = std::process::Command::new("sh").args(["-n", "-c", repair]).status().unwrap();
            assert!(read.success(), "{repair}");
            for word in ["FILE", "DIR", "NEW", "KEY", "NAME"] {
                assert!(!repair.split_whitespace().any(|part| part == word), "{repair}");
            }
            assert!(
                !repair.contains("my data") || repair.contains("my data'") || repair.contains("my data/"),
                "{repair}"
            );
        }
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn a_repair_does_not_guess() {
    let folder = tempfile::tempdir().unwrap();
    // No folder, no journal, no configuration: nothing is made and nothing is done.
    mingpai(folder.path(), ["doctor"]).expect(2);
    mingpai(folder.path(), ["doctor", "--data", "absent", "--rebuild"]).expect(2);
    mingpai(folder.path(), ["doctor", "--dev", "--data", "absent", "--rebuild"]).expect(2);
    mingpai(folder.path(), ["doctor", "--data", "absent", "--cut-journal", "000001.seg:0"]).expect(2);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_node_that_does_not_start_says_why_in_one_language() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let is_chinese = |text: &str| text.chars().any(|letter| ('\u{4e00}'..='\u{9fff}').contains(&letter));
    for more in [["--listen", &address, "--data", "data"], ["--listen", "127.0.0.1:0", "--data", "file"]] {
        let told = |language| {
            let base = ["--lang", language, "serve", "--dev", "--set", "log.filter=off"];
            mingpai(folder.path(), base.iter().chain(&more)).expect(2).err
        };
        let (zh, en) = (told("zh"), told("en"));
        assert!(is_chinese(&zh) && !zh.contains("cannot") && !zh.contains("exists"), "{zh}");
        assert!(!is_chinese(&en) && en.contains("the node does not serve"), "{en}");
    }
}

#[test]
fn a_missing_file_is_said_in_one_language_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    for (language, reason, remedy) in
        [("zh", "文件或目录不存在", "请核对路径"), ("en", "no such file", "check the path")]
    {
        for rest in [
            &["verify", "absent"][..],
            &["serve", "--config", "absent"],
            &["export", "--token-file", "absent"],
            &["import", "absent.csv", "--propose"],
            &["import", "absent.csv", "--mapping", "absent"],
        ] {
            let err = mingpai(folder.path(), ["--lang", language].iter().chain(rest)).expect(2).err;
            assert!(err.contains(reason) && err.contains(remedy) && !err.contains("os error"), "{err}");
        }
    }
}

#[test]
fn a_cold_folder_is_judged_before_a_start_and_by_the_doctor() {
    let folder = tempfile::tempdir().unwrap();
    let check = |cold: &str, code| {
        let set = format!("store.cold={cold}");
        mingpai(folder.path(), ["check-config", "--dev", "--data", "data", "--json", "--set", &set]).expect(code).json()
    };
    for cold in ["cold", "data", "data/journal", "data/keys/below"] {
        let faults = check(cold, 1)["faults"].clone();
        assert_eq!((faults[0]["key"].as_str(), faults[1].is_null()), (Some("store.cold"), true), "{cold}: {faults}");
    }
    std::fs::create_dir_all(folder.path().join("data/journal")).unwrap();
    std::fs::create_dir(folder.path().join("cold")).unwrap();
    check("cold", 0);
    std::fs::write(folder.path().join("cold/mingpai-cold"), r#"{"id": "another's"}"#).unwrap();
    let told = check("cold", 1)["faults"][0]["detail"].to_string();
    assert!(told.contains("another journal") && told.contains("另一个日志"), "{told}");

    // Without a configuration the journal says itself where its cold segments are.
    let note = r#"{"id": "1", "folder": "/absent/cold", "is_claimed": true}"#;
    std::fs::write(folder.path().join("data/journal/cold"), note).unwrap();
    let report = mingpai(folder.path(), ["doctor", "--data", "data", "--json"]).expect(1).json();
    assert_eq!(finding(&report, "store").1.unwrap(), "findmnt -T /absent/cold; ls -l /absent/cold");
    // With one that leaves it out, that is what is wrong.
    std::fs::write(folder.path().join("data/journal/0000000002.journal"), "").unwrap();
    let report = mingpai(folder.path(), ["doctor", "--dev", "--data", "data", "--json"]).expect(1).json();
    let repair = finding(&report, "store").1.unwrap();
    let again = "mingpai doctor --dev --data data --set store.cold=/absent/cold";
    assert!(repair.starts_with(again), "{repair}");
}

#[test]
fn a_plan_names_its_figures_their_sources_and_what_one_node_does_not_hold() {
    let folder = tempfile::tempdir().unwrap();
    let plan = mingpai(folder.path(), ["plan", "--records", "20000000", "--json"]).expect(0).json();
    let total = plan["disk"]["total_bytes"].as_u64().unwrap();
    assert!(total > plan["disk"]["journal_bytes"].as_u64().unwrap(), "{plan}");
    assert_eq!(plan["extrapolated"], true);
    let sources = plan["coefficients"].as_array().unwrap();
    assert!(sources.iter().all(|each| each["source"].as_str().is_some_and(|source| !source.is_empty())), "{plan}");
    let told = mingpai(folder.path(), ["plan", "--records", "1000000", "--lang", "en"]).expect(0);
    assert!(told.out.contains("disk in all") && !told.out.contains("extrapolated"), "{}", told.out);
    let told = mingpai(folder.path(), ["plan", "--records", "100000001", "--lang", "zh"]).expect(1);
    assert!(told.out.contains("按前缀拆分"), "{}", told.out);
    mingpai(folder.path(), ["plan"]).expect(2);
    mingpai(folder.path(), ["plan", "--records", "0"]).expect(2);
}
