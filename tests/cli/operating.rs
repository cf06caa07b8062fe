//! What an operator types: completions, man pages, mistakes in his language, and a doctor who knows certificates.

use std::path::Path;
use std::process::Command;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::Value as Json;

use crate::{mingpai, write_with_mode};

/// In this environment and no other.
fn said(environment: &[(&str, &str)], arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_mingpai"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_mistake_is_told_in_the_language_of_who_makes_it() {
    let zh = "错误：没有参数“--listn”";
    let en = "unexpected argument '--listn' found";
    for (environment, more, wanted) in [
        (&[][..], &[][..], zh),
        (&[("LANG", "zh_CN.UTF-8")], &[], zh),
        (&[("LANG", "en_US.UTF-8")], &[], en),
        (&[("LANG", "en_US.UTF-8"), ("MINGPAI_LANG", "zh")], &[], zh),
        (&[("LANG", "zh_CN.UTF-8")], &["--lang", "en"], en),
        (&[("LANG", "en_US.UTF-8")], &["--lang=zh-CN"], zh),
    ] {
        let (code, out, err) = said(environment, &[&["serve", "--listn", "x"], more].concat());
        assert_eq!((code, out.as_str()), (2, ""));
        assert!(err.contains(wanted) && err.contains("--listen"), "{environment:?} {more:?}: {err}");
    }
    // A value that would speak to the terminal does not.
    let (_, _, err) = said(&[], &["resolve", "x", "--index", "\u{1b}[2J"]);
    assert!(!err.contains('\u{1b}') && err.contains("\u{fffd}[2J"), "{err:?}");
    let (code, out, _) = said(&[], &["--help"]);
    assert!(code == 0 && out.contains("completions"));
}

#[test]
fn completions_and_man_pages_are_made_of_the_commands_that_are_there() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = mingpai(folder.path(), ["completions", shell]).expect(0).out;
        for word in ["check-config", "slow-microseconds", "bootstrap-file", "completions"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    mingpai(folder.path(), ["completions", "tcsh"]).expect(2);
    let page = mingpai(folder.path(), ["man"]).expect(0).out;
    assert!(page.contains(".TH mingpai 1") && page.contains("mingpai\\-doctor(1)"), "{page}");
    let told = mingpai(folder.path(), ["man", "--dir", "pages"]).expect(0);
    let names = crate::names_in(&folder.path().join("pages"));
    assert!(told.out.starts_with(&format!("{} pages", names.len())), "{}", told.out);
    for name in ["mingpai.1", "mingpai-serve.1", "mingpai-import.1", "mingpai-log.1"] {
        assert!(names.contains(&name.to_owned()), "{names:?}");
    }
    std::fs::write(folder.path().join("in-the-way"), "").unwrap();
    mingpai(folder.path(), ["man", "--dir", "in-the-way"]).expect(2);
}

fn pair(folder: &Path, names: &[&str], ends: (i32, u8, u8)) {
    let mut parameters =
        CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    parameters.not_after = date_time_ymd(ends.0, ends.1, ends.2);
    let key = KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    std::fs::write(folder.join("certificate.pem"), certificate.pem()).unwrap();
    let _ = std::fs::remove_file(folder.join("key.pem"));
    write_with_mode(&folder.join("key.pem"), &key.serialize_pem(), 0o600);
}

#[test]
fn a_doctor_judges_certificate_key_and_names_and_says_what_mends_each() {
    let folder = tempfile::tempdir().unwrap();
    let config = "[node]\niss = \"https://id.example.cn\"\ndata = \"data\"\n[http]\nlisten = []\n[tls]\n\
                  listen = [\"127.0.0.1:0\"]\ncertificate = \"certificate.pem\"\nkey = \"key.pem\"\n";
    std::fs::write(folder.path().join("mingpai.toml"), config).unwrap();
    let check = |name: &str| {
        let told = mingpai(folder.path(), ["doctor", "--config", "mingpai.toml", "--json"]).json();
        let checks = told["checks"].as_array().unwrap().clone();
        for check in &checks {
            let is_repaired = check["repair"].as_str().is_some_and(|repair| !repair.is_empty());
            assert_eq!(is_repaired, check["finding"] != "ok", "{check}");
        }
        checks.into_iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{told}"))
    };
    let holds = |check: &Json, finding: &str, detail: &str, repair: &str| {
        let in_order = check["finding"] == finding
            && check["detail"]["en"].as_str().unwrap().contains(detail)
            && check["repair"].as_str().unwrap_or_default().contains(repair);
        assert!(in_order, "{finding} {detail} {repair}: {check}");
    };
    holds(&check("certificate"), "failed", "cannot read the certificate", "ls -l certificate.pem");
    pair(folder.path(), &["id.example.cn"], (2999, 1, 1));
    holds(&check("certificate"), "ok", "2999-01-01", "");
    holds(&check("names"), "ok", "id.example.cn", "");
    pair(folder.path(), &["other.example.cn"], (2999, 1, 1));
    holds(&check("names"), "warning", "other.example.cn", "certbot certonly -d id.example.cn");
    pair(folder.path(), &[], (2999, 1, 1));
    holds(&check("names"), "failed", "subjectAltName", "-addext subjectAltName");
    pair(folder.path(), &["id.example.cn"], (2001, 1, 1));
    holds(&check("certificate"), "failed", "ended at 2001", "certbot renew");
    let stranger = tempfile::tempdir().unwrap();
    pair(stranger.path(), &["id.example.cn"], (2999, 1, 1));
    std::fs::copy(stranger.path().join("certificate.pem"), folder.path().join("certificate.pem")).unwrap();
    holds(&check("certificate"), "failed", "does not belong to", "openssl x509 -in certificate.pem");
    let key = folder.path().join("key.pem");
    write_with_mode(&key, "", 0o604);
    holds(&check("certificate"), "failed", "may be read by anybody", "chmod o= key.pem");
    let (code, ..) = said(&[], &["doctor", "--config", folder.path().join("mingpai.toml").to_str().unwrap()]);
    assert_eq!(code, 1);
}

#[test]
fn log_and_reload_need_a_key() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["log", "reload"] {
        let ended = mingpai(folder.path(), [command]).expect(2);
        assert!(ended.err.contains("--token-file"), "{}", ended.err);
    }
}
