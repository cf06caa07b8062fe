//! The configuration as an operator meets it: sources, precedence, complaints.

use std::path::PathBuf;

use super::*;
use crate::model::prefix::PrefixPolicy;

fn file(text: &str) -> Layers {
    Layers { file: Some((PathBuf::from("mingpai.toml"), text.to_owned())), ..Layers::default() }
}

fn dev() -> Layers {
    Layers { flags: vec![("node.dev".to_owned(), "true".to_owned())], ..Layers::default() }
}

fn only_fault(layers: &Layers) -> Fault {
    let faults = Config::load(layers).expect_err("must be refused").faults;
    assert_eq!(faults.len(), 1, "{faults:?}");
    faults.into_iter().next().unwrap()
}

const TEMPLATE: &str = include_str!("../../config/mingpai.toml");

#[test]
fn the_live_lines_of_the_template_are_the_defaults() {
    let (spec, origins) = merge::merge(&file(TEMPLATE)).unwrap();
    assert_eq!(spec, Spec::default());
    for (key, _) in layers::leaves(&spec) {
        assert!(origins.of(&key).is_some(), "{key} is missing from config/mingpai.toml");
    }
}

#[test]
fn the_commented_prefix_of_the_template_works_when_uncommented() {
    let at = TEMPLATE.find("# [[prefixes]]").unwrap();
    let live: String = TEMPLATE[at..]
        .lines()
        .filter_map(|line| line.strip_prefix("# ").filter(|line| line.contains(" = ") || line.starts_with('[')))
        .map(|line| format!("{line}\n"))
        .collect();
    let config = Config::load(&file(&format!("[node]\niss = \"urn:x:1\"\n{live}"))).unwrap();
    assert_eq!(config.prefixes[0].prefix, "88.118.8");
    let defaults = PrefixPolicy::new("88.118.8");
    assert_eq!(config.prefixes[0], PrefixPolicy { registrant: "示例企业".to_owned(), ..defaults });
    assert_eq!(config.witnesses.len(), 1);
    assert_eq!(config.witnesses[0].url, "https://witness.example.cn");
}

#[test]
fn a_witness_has_an_address_and_a_key_of_cosignatures_of_its_own() {
    const KEY: &str = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2";
    const LOG: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let with = |url: &str, key: &str| {
        file(&format!("[node]\niss = \"urn:x:1\"\n[[witnesses]]\nurl = \"{url}\"\nkey = \"{key}\"\n"))
    };
    for url in ["https://w.example", "http://[::1]:8090/", "http://w.example:80/prefix"] {
        assert!(Config::load(&with(url, KEY)).is_ok(), "{url}");
    }
    for url in ["", "w.example", "ftp://w.example", "https://u:p@w.example", "https://w.example/?a=1"] {
        let fault = only_fault(&with(url, KEY));
        assert_eq!((fault.key.as_str(), fault.place.as_str()), ("witnesses[0].url", "mingpai.toml:4"), "{url}");
    }
    for key in ["", "x", LOG, &KEY.replace("da77", "da78")] {
        let fault = only_fault(&with("https://w.example", key));
        assert_eq!((fault.key.as_str(), fault.place.as_str()), ("witnesses[0].key", "mingpai.toml:5"), "{key}");
    }
    let twice = format!("[[witnesses]]\nurl = \"https://w.example\"\nkey = \"{KEY}\"\n").repeat(2);
    assert_eq!(only_fault(&file(&format!("node.iss = \"urn:x:1\"\n{twice}"))).key, "witnesses[1].key");
    let alone = file("[node]\niss = \"urn:x:1\"\n[[witnesses]]\nurl = \"https://w.example\"\n");
    assert_eq!(Config::load(&alone).unwrap_err().faults[0].key, "witnesses[0].key");
    let fault = only_fault(&file(&format!(
        "[node]\niss = \"urn:x:1\"\n[[witnesses]]\nurl = \"https://w.example\"\nkey = \"{KEY}\"\nkeys = \"\"\n"
    )));
    assert_eq!((fault.key.as_str(), fault.place.as_str()), ("witnesses[0].keys", "mingpai.toml:6"));
    assert!(fault.text.en.ends_with("witnesses.key"), "{fault:?}");
}

#[test]
fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
    let mut layers = file("[node]\niss = \"urn:x:1\"\n[limits]\njson_depth = 5\nline_bytes = 2048\n");
    assert_eq!(Config::load(&layers).unwrap().limits.json_depth, 5);
    layers.environment.push(("MINGPAI_LIMITS_JSON_DEPTH".to_owned(), "6".to_owned()));
    assert_eq!(Config::load(&layers).unwrap().limits.json_depth, 6);
    layers.flags.push(("limits.json_depth".to_owned(), "7".to_owned()));
    let config = Config::load(&layers).unwrap();
    assert_eq!(config.limits.json_depth, 7);

    let explained = config.explain();
    let line = |key: &str| explained.iter().find(|line| line.key == key).unwrap().clone();
    assert_eq!(line("limits.json_depth").origin, "flag");
    assert_eq!(line("limits.line_bytes").origin, "mingpai.toml:5");
    assert_eq!(line("limits.line_bytes").value, "2048");
    assert_eq!(line("http.workers").origin, "default");
}

#[test]
fn an_environment_variable_names_section_and_key() {
    let mut layers = dev();
    layers.environment.push(("MINGPAI_HTTP_LISTEN".to_owned(), "127.0.0.1:0, [::1]:0".to_owned()));
    layers.environment.push(("MINGPAI_TOKEN_FILE".to_owned(), "for the command line".to_owned()));
    let config = Config::load(&layers).unwrap();
    assert_eq!(config.http.listen, ["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()]);
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_key() {
    let fault = only_fault(&file("version = 1\n\n[http]\nlistn = []\n"));
    assert_eq!(fault.key, "http.listn");
    assert_eq!(fault.place, "mingpai.toml:4");
    assert!(fault.text.en.contains("http.listen"), "{fault:?}");
    assert!(fault.text.zh.contains("http.listen"), "{fault:?}");
}

#[test]
fn an_unknown_section_prefix_key_variable_and_flag_are_refused() {
    let fault = only_fault(&file("[limit]\nx = 1\n"));
    assert_eq!((fault.key.as_str(), fault.place.as_str()), ("limit", "mingpai.toml:1"));
    let fault = only_fault(&file("[[prefixes]]\nprefix = \"88.1\"\nlogs = \"open\"\n"));
    assert_eq!((fault.key.as_str(), fault.place.as_str()), ("prefixes[0].logs", "mingpai.toml:3"));
    assert!(fault.text.en.ends_with("prefixes.log"), "{fault:?}");

    let mut layers = dev();
    layers.environment.push(("MINGPAI_HTPP_LISTEN".to_owned(), String::new()));
    let fault = only_fault(&layers);
    assert_eq!(fault.place, "MINGPAI_HTPP_LISTEN");
    assert!(fault.text.en.ends_with("http.listen"), "{fault:?}");

    let mut layers = dev();
    layers.flags.push(("store.engin".to_owned(), "memory".to_owned()));
    assert_eq!(only_fault(&layers).place, "flag");
}

#[test]
fn a_wrong_type_or_value_is_blamed_on_its_own_line() {
    let fault = only_fault(&file("[node]\niss = \"urn:x:1\"\n[limits]\njson_depth = \"deep\"\n"));
    assert_eq!((fault.key.as_str(), fault.place.as_str()), ("limits.json_depth", "mingpai.toml:4"));
    let fault = only_fault(&file("[store]\nengine = \"rocks\"\n"));
    assert_eq!((fault.key.as_str(), fault.place.as_str()), ("store.engine", "mingpai.toml:2"));
    assert!(fault.text.en.contains("sled"), "{fault:?}");
    let fault = only_fault(&file("[http]\nlisten = [\"localhost\"]\n"));
    assert_eq!(fault.key, "http.listen");
    let fault = only_fault(&file("[limits]\njson_depth = -1\n"));
    assert_eq!(fault.key, "limits.json_depth");
}

#[test]
fn broken_toml_names_the_line() {
    let fault = only_fault(&file("[http]\nlisten = [\n\n=\n"));
    assert!(fault.place.starts_with("mingpai.toml:"), "{fault:?}");
    assert_ne!(fault.place, "mingpai.toml:1");
}

#[test]
fn a_max_age_over_a_minute_is_refused() {
    let fault = only_fault(&file("[node]\niss = \"urn:x:1\"\n[cache]\nmax_age_seconds = 61\n"));
    assert_eq!((fault.key.as_str(), fault.place.as_str()), ("cache.max_age_seconds", "mingpai.toml:4"));
    assert!(fault.text.en.contains("from 0 to 60"), "{fault:?}");
}

#[test]
fn the_issuer_must_be_set_outside_dev() {
    assert_eq!(only_fault(&Layers::default()).key, "node.iss");
    assert_eq!(Config::load(&dev()).unwrap().node.iss, "urn:mingpai:dev");
}

#[test]
fn dev_refuses_to_listen_beyond_loopback() {
    let mut layers = dev();
    layers.flags.push(("http.listen".to_owned(), "0.0.0.0:8080".to_owned()));
    let fault = only_fault(&layers);
    assert_eq!(fault.key, "http.listen");
    assert!(fault.text.zh.contains("127.0.0.1:8080"), "{fault:?}");
}

#[test]
fn the_dev_preset_gives_way_to_what_the_operator_says() {
    let config = Config::load(&dev()).unwrap();
    assert_eq!(config.drain.lame_duck_seconds, 0);
    assert_eq!(config.prefixes.len(), 2);
    let origin = config.explain().into_iter().find(|line| line.key == "prefixes[1].prefix").unwrap().origin;
    assert_eq!(origin, "--dev");

    let mut layers = file("[[prefixes]]\nprefix = \"88.777\"\n[drain]\nlame_duck_seconds = 3\n");
    layers.flags = dev().flags;
    let config = Config::load(&layers).unwrap();
    assert_eq!(config.drain.lame_duck_seconds, 3);
    assert_eq!(config.prefixes.len(), 1);
}

#[test]
fn every_fault_is_reported_at_once_in_both_languages() {
    let error = Config::load(&file("[limits]\njson_depth = 0\nuri_bytes = 1\n")).unwrap_err();
    let keys: Vec<_> = error.faults.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["limits.json_depth", "limits.uri_bytes", "node.iss"]);
    let shown = error.to_string();
    assert!(shown.contains("超出范围") && shown.contains("out of range"), "{shown}");
}

#[test]
fn two_entries_for_one_prefix_are_refused() {
    let fault = only_fault(&file(
        "[node]\niss = \"urn:x:1\"\n[[prefixes]]\nprefix = \"86.a\"\n[[prefixes]]\nprefix = \"86.A\"\n",
    ));
    assert_eq!((fault.key.as_str(), fault.place.as_str()), ("prefixes[1].prefix", "mingpai.toml:6"));
}

#[test]
fn a_prefix_that_is_none_or_missing_and_a_pattern_that_cannot_mint_are_refused() {
    let with = |lines: &str| file(&format!("[node]\niss = \"urn:x:1\"\n[[prefixes]]\n{lines}\n"));
    assert_eq!(only_fault(&with("log = \"open\"")).key, "prefixes[0].prefix");
    assert_eq!(only_fault(&with("prefix = \"88.1/x\"")).key, "prefixes[0].prefix");
    let fault = only_fault(&with("prefix = \"88.118.8\"\nmint_pattern = \"{digits:2}\""));
    assert_eq!(fault.key, "prefixes[0].mint_pattern");
    assert_eq!(fault.place, "mingpai.toml:5");
    assert_eq!(only_fault(&with("prefix = \"88.118.8\"\nlog = \"shut\"")).key, "prefixes[0].log");
}

#[test]
fn tls_is_whole_or_not_there() {
    let with = |lines: &str| file(&format!("[node]\niss = \"urn:x:1\"\n[tls]\n{lines}\n"));
    let pair = "certificate = \"c\"\nkey = \"k\"";
    assert!(Config::load(&with(&format!("{pair}\nlisten = [\"[::]:8443\"]"))).is_ok());
    let fault = only_fault(&with("certificate = \"c\"\nlisten = [\"[::]:8443\"]"));
    assert_eq!(fault.key, "tls.key");
    let fault = only_fault(&with("key = \"k\"\nlisten = [\"[::]:8443\"]"));
    assert_eq!(fault.key, "tls.certificate");
    let fault = only_fault(&with(pair));
    assert_eq!(fault.key, "tls.listen");
    let fault = only_fault(&with("listen = [\"[::]:8443\"]"));
    assert_eq!((fault.key.as_str(), fault.place.as_str()), ("tls.listen", "mingpai.toml:4"));
    assert!(fault.text.en.contains("tls.certificate"), "{fault:?}");
    assert_eq!(only_fault(&with("certficate = \"c\"")).key, "tls.certficate");
}

#[test]
fn http_may_be_left_out_where_there_is_tls_and_no_address_speaks_both() {
    let with = |http: &str, tls: &str| {
        let text = format!("[node]\niss = \"urn:x:1\"\n[http]\nlisten = [{http}]\n[tls]\n{tls}\n");
        Config::load(&file(&text))
    };
    let tls = "certificate = \"c\"\nkey = \"k\"\nlisten = [\"[::]:8443\"]";
    assert!(with("", tls).is_ok());
    assert_eq!(with("", "").unwrap_err().faults[0].key, "http.listen");
    let fault = with("\"[::]:8443\"", tls).unwrap_err().faults.remove(0);
    assert_eq!((fault.key.as_str(), fault.place.as_str()), ("tls.listen", "mingpai.toml:8"));
}

#[test]
fn a_throw_away_certificate_is_for_dev_on_the_names_it_has() {
    let mut layers = dev();
    layers.flags.push(("tls.dev".to_owned(), "true".to_owned()));
    let config = Config::load(&layers).unwrap();
    assert!(config.http.listen.is_empty());
    assert_eq!(config.tls.listen, ["127.0.0.1:8443".parse().unwrap(), "[::1]:8443".parse().unwrap()]);
    layers.flags.push(("tls.listen".to_owned(), "127.0.0.2:8443".to_owned()));
    assert_eq!(only_fault(&layers).key, "tls.listen");
    let text = "[node]\niss = \"urn:x:1\"\n[tls]\ndev = true\nlisten = [\"127.0.0.1:8443\"]\n";
    assert_eq!(only_fault(&file(text)).key, "tls.dev");
}

#[test]
fn what_a_key_leads_to_is_blamed_on_its_line() {
    let text = "[node]\niss = \"urn:x:1\"\n[tls]\ncertificate = \"c\"\nkey = \"k\"\nlisten = [\"[::]:1\"]\n";
    let fault = Config::load(&file(text)).unwrap().fault("tls.key", Text::new("", ""));
    assert_eq!(fault.place, "mingpai.toml:5");
}
