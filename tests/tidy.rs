//! Style as a test: what the house looks like, checked on every run. Each message says why. Never loosened: a listed exception
//! has a reason and may only shrink.

#![expect(clippy::unwrap_used, reason = "a test fails where it finds something")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The stages from the top of the house to the bottom: calls go down only.
const STAGES: [&str; 10] = ["cli", "node", "accept", "codec", "guard", "services", "sign", "store", "tlog", "model"];
/// What every stage may use.
const FREE: [&str; 3] = ["model", "config", "metrics"];
/// Up-calls that a lower stage's own types make necessary; a reason each.
const UP_CALLS: [(&str, &str, &str); 0] = [];

const FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 70;
/// Files over the limit: the most lines each may have, and why.
const LONG_FILES: &[(&str, usize, &str)] = &[];
/// Functions over the limit: `file:function`, the most lines each may have, and why.
const LONG_FUNCTIONS: &[(&str, usize, &str)] = &[];
const BANNED_WORDS: [&str; 7] = ["utils", "common", "misc", "helpers", "helper", "manager", "util"];

struct Source {
    path: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                found.push(Source { path: name, text: fs::read_to_string(&path).unwrap() });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(found.len() > 50, "the search for sources found only {} files", found.len());
    found
}

/// The stage that a file belongs to, if it belongs to one.
fn stage_of(path: &str) -> Option<&'static str> {
    let first = path.strip_prefix("src/")?.split('/').next()?.trim_end_matches(".rs");
    STAGES.into_iter().find(|stage| *stage == first)
}

fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]").next().unwrap_or(text)
}

fn without_comments(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn calls_go_down_the_stages_only() {
    let place = |stage: &str| STAGES.iter().position(|known| *known == stage);
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(stage) = stage_of(&source.path) else {
            continue;
        };
        let code = without_comments(without_tests(&source.text));
        for (at, _) in code.match_indices("crate::") {
            let word: String =
                code[at + 7..].chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
            let Some(target) = place(&word) else { continue };
            let excepted = UP_CALLS.iter().any(|(from, to, _)| source.path == *from && word == *to);
            if !FREE.contains(&word.as_str()) && place(stage).is_some_and(|own| target < own) && !excepted {
                wrong.push(format!("{} calls up into {word}", source.path));
            }
        }
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "a stage knows only the stages below it (lib.rs has the map):\n{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<String> =
        sources().into_iter().filter(|source| !source.text.starts_with("//!")).map(|source| source.path).collect();
    assert!(silent.is_empty(), "a reader learns from `//!` whether to read on:\n{}", silent.join("\n"));
}

#[test]
fn files_are_one_idea_long() {
    let mut wrong = Vec::new();
    for source in sources() {
        let lines = without_tests(&source.text).lines().count();
        let limit = LONG_FILES.iter().find(|(path, ..)| *path == source.path).map_or(FILE_LINES, |(_, most, _)| *most);
        if lines > limit {
            wrong.push(format!("{}: {lines} lines, {limit} allowed", source.path));
        }
    }
    assert!(wrong.is_empty(), "a longer file is two ideas (tests at its end do not count):\n{}", wrong.join("\n"));
}

#[test]
fn functions_fit_on_a_screen() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (name, lines) in functions(without_tests(&source.text)) {
            let place = format!("{}:{name}", source.path);
            let limit =
                LONG_FUNCTIONS.iter().find(|(known, ..)| *known == place).map_or(FUNCTION_LINES, |(_, most, _)| *most);
            if lines > limit {
                wrong.push(format!("{place}: {lines} lines, {limit} allowed"));
            }
        }
    }
    assert!(wrong.is_empty(), "a longer function hides its steps:\n{}", wrong.join("\n"));
}

/// Functions with their lengths, by rustfmt's layout: a function ends at a brace with its own indentation.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let indentation = line.len() - line.trim_start().len();
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(at) = words.iter().position(|word| *word == "fn") else {
            continue;
        };
        if !words[..at]
            .iter()
            .all(|word| word.starts_with("pub") || ["async", "const", "unsafe"].contains(word) || word.ends_with(')'))
        {
            continue;
        }
        let name = words.get(at + 1).map_or("", |word| word.split(['(', '<']).next().unwrap_or(""));
        // A trait's function may have no body.
        let last = [" ".repeat(indentation) + "}", " ".repeat(indentation) + ") -> "];
        let is_last = |(at, line): (usize, &&str)| {
            line.trim_end() == last[0] || ((at == 0 || line.starts_with(&last[1])) && line.trim_end().ends_with(';'))
        };
        let end = lines[start..].iter().enumerate().position(is_last).unwrap_or(0);
        found.push((name.to_owned(), end + 1));
    }
    found
}

#[test]
fn names_say_what_a_thing_is() {
    let mut wrong = Vec::new();
    for source in sources() {
        let file = Path::new(&source.path).file_stem().unwrap().to_string_lossy().into_owned();
        if BANNED_WORDS.contains(&file.as_str()) {
            wrong.push(format!("{}: the file's name says nothing", source.path));
        }
        for line in source.text.lines() {
            let code = line.trim_start();
            if code.starts_with("//") {
                continue;
            }
            for word in ["fn get_", "mod utils", "mod common", "mod helpers", "mod misc", "mod manager"] {
                if code.contains(word) {
                    wrong.push(format!("{}: {}", source.path, code));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "names are the field's words, nouns for modules, no get_:\n{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_stands_in_two_folders_only() {
    let wrong: Vec<String> = sources()
        .into_iter()
        .filter(|source| !source.path.starts_with("src/store/cache/") && !source.path.starts_with("src/accept/udp"))
        .filter(|source| {
            let code = without_comments(&source.text);
            code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl")
        })
        .map(|source| source.path)
        .collect();
    assert!(wrong.is_empty(), "everything else is checked by the compiler:\n{}", wrong.join("\n"));
}

#[test]
fn only_the_guard_permits() {
    let mut callers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for source in sources() {
        let code = without_comments(without_tests(&source.text));
        for call in ["granted_by_guard(", "bypassing_the_guard("] {
            if code.contains(call) && source.path != "src/model/permitted.rs" {
                callers.entry(call).or_default().push(source.path.clone());
            }
        }
    }
    let granted = callers.remove("granted_by_guard(").unwrap_or_default();
    assert!(
        granted.iter().all(|path| path.starts_with("src/guard/")),
        "a service trusts its request because the guard made it: {granted:?}"
    );
    let bypassed = callers.remove("bypassing_the_guard(").unwrap_or_default();
    assert!(
        bypassed.iter().all(|path| path == "src/node.rs" || path.starts_with("src/node/")),
        "only the node itself acts without a permission: {bypassed:?}"
    );
}

#[test]
fn main_is_a_table_of_contents() {
    let main = sources().into_iter().find(|source| source.path == "src/main.rs").unwrap();
    let lines = main.text.lines().count();
    assert!(lines <= 60, "main.rs has {lines} lines: it shows the way, others walk it");
}

#[test]
fn the_maps_name_only_rooms_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    for source in sources().into_iter().filter(|source| source.path.ends_with("/mod.rs") || source.path == "src/lib.rs")
    {
        let folder = root.join(&source.path).parent().unwrap().to_path_buf();
        let head: Vec<&str> = source.text.lines().take_while(|line| line.starts_with("//!")).collect();
        // A line of a map: "//! - `room`, `room`: what it is".
        for line in head.iter().filter(|line| line.starts_with("//! - `")) {
            let names = line.split(':').next().unwrap_or("");
            for name in names.split('`').skip(1).step_by(2) {
                let is_room = name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
                if is_room && !folder.join(format!("{name}.rs")).exists() && !folder.join(name).join("mod.rs").exists()
                {
                    wrong.push(format!("{}: `{name}`", source.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "a drawing that drifted is a bug:\n{}", wrong.join("\n"));
}

/// Where codes of members, rows and jobs are given, and words there that look like codes and are none.
const CODE_PLACES: [&str; 8] = [
    "src/model/field.rs",
    "src/model/draft/",
    "src/model/value/",
    "src/model/link.rs",
    "src/model/alias.rs",
    "src/model/identifier/error.rs",
    "src/services/import/",
    "src/codec/table/",
];
const NO_CODES: [&str; 5] = ["is_ndjson", "is_false", "default_mint_pattern", "error_code", "owner_jws"];

#[test]
fn every_code_that_a_member_or_a_row_may_have_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    let explained = read("docs/codes.md") + &read("docs/problems.md");
    let is_code = |word: &str| {
        let mut parts = word.split('_');
        word.contains('_')
            && parts.all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
    };
    let mut codes = 0;
    for source in sources().iter().filter(|source| CODE_PLACES.iter().any(|place| source.path.starts_with(place))) {
        for word in without_comments(without_tests(&source.text)).split('"').skip(1).step_by(2) {
            if is_code(word) && !NO_CODES.contains(&word) {
                codes += 1;
                assert!(
                    explained.contains(&format!("`{word}`")),
                    "{}: docs/codes.md must explain `{word}`",
                    source.path
                );
            }
        }
    }
    assert!(codes > 60, "the search for codes found only {codes}");
}
