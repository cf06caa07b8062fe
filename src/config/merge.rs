//! Merging the sources of the configuration, and remembering which of them set each key.
//!
//! The known keys are those of the serialised default [`Spec`], so there is no second list to forget. Judging the
//! values is `check`'s work; here a value only has to be of its key's type.

use std::path::Path;

use serde::Deserialize;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::fault::{ConfigError, Fault};
use super::layers::{Layers, Origin, Origins};
use super::nearest::nearest;
use super::spec::{Spec, WitnessSpec};
use super::typed::{internal, parse_as, type_named, wrong_type};
use crate::model::prefix::PrefixPolicy;
use crate::model::text::Text;

/// Variables that begin like ours but belong to the command line, not to the node's configuration.
const COMMAND_LINE_VARIABLES: [&str; 6] =
    ["MINGPAI_CONFIG", "MINGPAI_SERVER", "MINGPAI_CA_FILE", "MINGPAI_TOKEN", "MINGPAI_TOKEN_FILE", "MINGPAI_LANG"];

/// What `--dev` changes where nobody has said otherwise.
const DEV_PRESET: &str = r#"
[node]
iss = "urn:mingpai:dev"
data = "mingpai-dev"
[drain]
lame_duck_seconds = 0
[[prefixes]]
prefix = "88.999"
registrant = "本节点 (this node)"
[[prefixes]]
prefix = "88.999.1"
registrant = "演示企业 (demonstration enterprise)"
"#;

/// What `--dev --tls` changes besides: https in place of cleartext.
const DEV_TLS_PRESET: &str = r#"
[http]
listen = []
[tls]
listen = ["127.0.0.1:8443", "[::1]:8443"]
"#;

pub(super) fn merge(layers: &Layers) -> Result<(Spec, Origins), ConfigError> {
    let mut merging = Merging::new()?;
    if let Some((path, text)) = &layers.file {
        merging.read_file(path, text);
    }
    for (name, text) in &layers.environment {
        merging.read_variable(name, text);
    }
    for (key, text) in &layers.flags {
        merging.read_text(key, text, Origin::Flag);
    }
    merging.apply_dev_presets();
    merging.finish()
}

/// A key whose value is a list of sections, `[[name]]`.
struct KnownList {
    name: &'static str,
    /// The keys of one section, at their defaults.
    member: Table,
    /// Keys that every section must have, and what to call them.
    needed: &'static [(&'static str, &'static str, &'static str)],
    probe: fn(Table) -> Result<(), toml::de::Error>,
}

impl KnownList {
    fn all() -> Result<Vec<KnownList>, toml::ser::Error> {
        Ok(vec![
            KnownList {
                name: "prefixes",
                member: Table::try_from(PrefixPolicy::new(""))?,
                needed: &[("prefix", "前缀", "prefix")],
                probe: |alone| PrefixPolicy::deserialize(alone).map(drop),
            },
            KnownList {
                name: "witnesses",
                member: Table::try_from(WitnessSpec::default())?,
                needed: &[("url", "地址", "address"), ("key", "公钥", "key")],
                probe: |alone| WitnessSpec::deserialize(alone).map(drop),
            },
        ])
    }
}

/// The state of a merge: faults are collected, so that one start reports them all.
struct Merging {
    known: Table,
    lists: Vec<KnownList>,
    merged: Table,
    origins: Origins,
    faults: Vec<Fault>,
}

impl Merging {
    fn new() -> Result<Self, ConfigError> {
        let broken = |error: toml::ser::Error| Fault::new("", "default", internal(&error));
        let known = Table::try_from(Spec::default()).map_err(broken)?;
        let lists = KnownList::all().map_err(broken)?;
        Ok(Self { merged: known.clone(), known, lists, origins: Origins::default(), faults: Vec::new() })
    }

    fn read_file(&mut self, path: &Path, text: &str) {
        let source = path.display();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (spans, values) = match (DeTable::parse(text), text.parse::<Table>()) {
            (Ok(spans), Ok(values)) => (spans, values),
            (Err(error), _) | (_, Err(error)) => {
                let line = error.span().map_or(1, |span| line_of(text, span.start));
                let reason = error.message();
                self.faults.push(Fault::new(
                    "TOML",
                    format!("{source}:{line}"),
                    Text::new(format!("不是有效的 TOML: {reason}"), format!("not valid TOML: {reason}")),
                ));
                return;
            }
        };
        let lines = LineOf { path, text };
        for (name, value) in values {
            let Some((span, inner)) = find(spans.get_ref(), &name) else {
                continue;
            };
            match (self.known.get(&name).cloned(), value) {
                (None, _) => self.unknown_key(&name, lines.origin(span)),
                (Some(Value::Table(known)), Value::Table(section)) => {
                    self.read_section(&name, &known, section, inner, &lines);
                }
                (Some(Value::Array(_)), Value::Array(elements)) if self.lists.iter().any(|list| list.name == name) => {
                    self.read_list(&name, elements, inner, lines.origin(span), &lines);
                }
                (Some(known), value) => self.set(&name, &known, value, lines.origin(span)),
            }
        }
    }

    fn read_section(&mut self, name: &str, known: &Table, section: Table, spans: &DeValue<'_>, lines: &LineOf<'_>) {
        let Some(spans) = spans.as_table() else {
            return;
        };
        for (inner, value) in section {
            let Some((span, _)) = find(spans, &inner) else {
                continue;
            };
            let key = format!("{name}.{inner}");
            match known.get(&inner) {
                None => self.unknown_key(&key, lines.origin(span)),
                Some(known) => self.set(&key, known, value, lines.origin(span)),
            }
        }
    }

    fn read_list(&mut self, name: &str, elements: Vec<Value>, spans: &DeValue<'_>, whole: Origin, lines: &LineOf<'_>) {
        let needed = self.lists.iter().find(|list| list.name == name).map_or(&[][..], |list| list.needed);
        for (position, element) in elements.iter().enumerate() {
            let spans = spans.as_array().and_then(|list| list.get(position)).and_then(|one| one.get_ref().as_table());
            let (Some(spans), Some(element)) = (spans, element.as_table()) else {
                let section = format!("[[{name}]]");
                self.faults.push(Fault::new(name, &whole, wrong_type(&section, &section)));
                continue;
            };
            for (inner, zh, en) in needed.iter().filter(|(inner, ..)| !element.contains_key(*inner)) {
                self.faults.push(Fault::new(
                    format!("{name}[{position}].{inner}"),
                    &whole,
                    Text::new(format!("缺少{zh}, 请填写"), format!("the {en} is missing: name it")),
                ));
            }
            for (inner, value) in element {
                if let Some((span, _)) = find(spans, inner) {
                    let key = format!("{name}[{position}].{inner}");
                    self.read_member(name, &key, inner, value, lines.origin(span));
                }
            }
        }
        self.origins.0.insert(name.to_owned(), whole);
        self.merged.insert(name.to_owned(), Value::Array(elements));
    }

    fn read_member(&mut self, name: &str, key: &str, inner: &str, value: &Value, origin: Origin) {
        let Some((member, probe)) = self.lists.iter().find(|list| list.name == name).map(|it| (&it.member, it.probe))
        else {
            return;
        };
        match member.get(inner) {
            None => self.unknown_key(key, origin),
            Some(known) if !known.same_type(value) => {
                self.faults.push(Fault::new(key, &origin, type_named(known)));
            }
            Some(_) => {
                let mut alone = member.clone();
                alone.insert(inner.to_owned(), value.clone());
                self.probe(key, &origin, || probe(alone));
                self.origins.0.insert(key.to_owned(), origin);
            }
        }
    }

    fn read_variable(&mut self, name: &str, text: &str) {
        if COMMAND_LINE_VARIABLES.contains(&name) {
            return;
        }
        let Some(rest) = name.strip_prefix("MINGPAI_") else {
            return;
        };
        let rest = rest.to_ascii_lowercase();
        let key = rest.split_once('_').map_or_else(|| rest.clone(), |(section, key)| format!("{section}.{key}"));
        self.read_text(&key, text, Origin::Environment { name: name.to_owned() });
    }

    fn read_text(&mut self, key: &str, text: &str, origin: Origin) {
        let known =
            key.split_once('.').and_then(|(section, inner)| self.known.get(section)?.as_table()?.get(inner)).cloned();
        match known {
            None => self.unknown_key(key, origin),
            Some(known) => match parse_as(&known, text) {
                Ok(value) => self.set(key, &known, value, origin),
                Err(text) => self.faults.push(Fault::new(key, &origin, text)),
            },
        }
    }

    fn set(&mut self, key: &str, known: &Value, value: Value, origin: Origin) {
        if !known.same_type(&value) {
            self.faults.push(Fault::new(key, &origin, type_named(known)));
            return;
        }
        let alone = match key.split_once('.') {
            Some((section, inner)) => {
                let section_alone = Table::from_iter([(inner.to_owned(), value.clone())]);
                if let Some(Value::Table(section)) = self.merged.get_mut(section) {
                    section.insert(inner.to_owned(), value);
                }
                Table::from_iter([(section.to_owned(), Value::Table(section_alone))])
            }
            None => {
                self.merged.insert(key.to_owned(), value.clone());
                Table::from_iter([(key.to_owned(), value)])
            }
        };
        self.probe(key, &origin, || Spec::deserialize(alone).map(drop));
        self.origins.0.insert(key.to_owned(), origin);
    }

    /// Deserialises one key alone, so that a bad value is blamed on its own key and line.
    fn probe(&mut self, key: &str, origin: &Origin, deserialize: impl FnOnce() -> Result<(), toml::de::Error>) {
        if let Err(error) = deserialize() {
            let reason = error.message();
            self.faults.push(Fault::new(
                key,
                origin,
                Text::new(format!("取值不可用: {reason}"), format!("the value cannot be used: {reason}")),
            ));
        }
    }

    fn apply_dev_presets(&mut self) {
        let says_dev = |merged: &Table, section: &str| {
            merged.get(section).and_then(|section| section.get("dev")).and_then(Value::as_bool) == Some(true)
        };
        if !says_dev(&self.merged, "node") {
            return;
        }
        self.apply_preset(DEV_PRESET);
        if says_dev(&self.merged, "tls") {
            self.apply_preset(DEV_TLS_PRESET);
        }
    }

    fn apply_preset(&mut self, text: &str) {
        let Ok(preset) = text.parse::<Table>() else {
            return;
        };
        for (name, value) in preset {
            match value {
                Value::Table(section) => {
                    for (inner, value) in section {
                        self.preset(&format!("{name}.{inner}"), value);
                    }
                }
                value => self.preset(&name, value),
            }
        }
    }

    fn preset(&mut self, key: &str, value: Value) {
        if self.origins.of(key).is_some() {
            return;
        }
        match key.split_once('.') {
            Some((section, inner)) => {
                if let Some(Value::Table(section)) = self.merged.get_mut(section) {
                    section.insert(inner.to_owned(), value);
                }
            }
            None => {
                let elements = value.as_array().into_iter().flatten().enumerate();
                let inner =
                    elements.flat_map(|(at, one)| one.as_table().into_iter().flatten().map(move |(k, _)| (at, k)));
                self.origins.0.extend(inner.map(|(at, inner)| (format!("{key}[{at}].{inner}"), Origin::Dev)));
                self.merged.insert(key.to_owned(), value);
            }
        }
        self.origins.0.insert(key.to_owned(), Origin::Dev);
    }

    fn unknown_key(&mut self, key: &str, origin: Origin) {
        let bare =
            key.split_once('[').zip(key.rsplit_once("].")).map(|((list, _), (_, inner))| format!("{list}.{inner}"));
        let lists: Vec<_> = self.lists.iter().map(|list| (list.name, &list.member)).collect();
        let nearest = nearest(bare.as_deref().unwrap_or(key), &self.known, &lists);
        self.faults.push(Fault::new(
            key,
            &origin,
            Text::new(
                format!("没有这个配置项, 最接近的是 {nearest}"),
                format!("no such key; the nearest is {nearest}"),
            ),
        ));
    }

    fn finish(mut self) -> Result<(Spec, Origins), ConfigError> {
        if self.faults.is_empty() {
            match Spec::deserialize(self.merged) {
                Ok(spec) => return Ok((spec, self.origins)),
                Err(error) => self.faults.push(Fault::new("", "merged", internal(&error))),
            }
        }
        Err(ConfigError { faults: self.faults })
    }
}

struct LineOf<'a> {
    path: &'a Path,
    text: &'a str,
}

impl LineOf<'_> {
    fn origin(&self, at: usize) -> Origin {
        Origin::File { path: self.path.to_owned(), line: line_of(self.text, at) }
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

fn find<'t, 'i>(table: &'t DeTable<'i>, name: &str) -> Option<(usize, &'t DeValue<'i>)> {
    table.iter().find(|(key, _)| key.get_ref().as_ref() == name).map(|(key, value)| (key.span().start, value.get_ref()))
}
