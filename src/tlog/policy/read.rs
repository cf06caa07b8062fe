//! Reads a policy file line by line; an error names its line.

use super::{Group, Log, Member, POLICY_LIMIT_BYTES, POLICY_LIMIT_EACH, Policy, Witness, same_public, short};
use crate::model::text::Text;
use crate::tlog::note::{KeyKind, NoteError, VerifierKey};

/// What is wrong with a policy file, and on which line, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("policy, line {line}: {fault}")]
pub struct PolicyError {
    pub line: usize,
    pub fault: Fault,
}

/// What can be wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("the file is over 1 MiB")]
    Long,
    #[error("the octet 0x{0:02x} is not allowed: no control characters but tab and newline")]
    Octet(u8),
    #[error("the last line has no newline: the file may be cut short")]
    CutShort,
    #[error("a line begins with `log`, `witness`, `group`, `quorum` or `#`, not with `{0}`")]
    Keyword(String),
    #[error("it must be `{0}`")]
    Form(&'static str),
    #[error("{0}")]
    Key(NoteError),
    #[error("a log's key has type 0x01 and a witness's type 0x04; this one is of the other kind")]
    KeyKind,
    #[error("the key of {0} stands on an earlier line")]
    SameKey(String),
    #[error("the name `{0}` stands on an earlier line, or is `none`")]
    SameName(String),
    #[error("no earlier line defines `{0}`")]
    Unknown(String),
    #[error("`{0}` is already a member, and may be one only once in the whole file")]
    MemberTwice(String),
    #[error("the threshold must be `any`, `all`, or a decimal number from 1 to the {0} members")]
    Threshold(usize),
    #[error("there are over {POLICY_LIMIT_EACH} of this kind")]
    TooMany,
    #[error("a second quorum")]
    SecondQuorum,
    #[error("the file ends without a `quorum` line")]
    NoQuorum,
}

impl PolicyError {
    /// What happened and what to do.
    #[must_use]
    pub fn text(&self) -> Text {
        let zh = match &self.fault {
            Fault::Long => "文件超过 1 MiB".to_owned(),
            Fault::Octet(octet) => {
                format!("不允许字节 0x{octet:02x}：除制表符与换行外不得有控制字符（请用 LF 换行保存）")
            }
            Fault::CutShort => "末行没有换行符，文件可能不完整".to_owned(),
            Fault::Keyword(word) => format!("行首应为 log、witness、group、quorum 或 #，而不是 {word}"),
            Fault::Form(form) => format!("应为 {form}"),
            Fault::Key(error) => error.text().zh,
            Fault::KeyKind => "日志公钥的类型为 0x01，见证方为 0x04；此处用错了类型".to_owned(),
            Fault::SameKey(name) => format!("{name} 的公钥在前面已出现"),
            Fault::SameName(name) => format!("名称 {name} 在前面已出现，或为保留字 none"),
            Fault::Unknown(name) => format!("前面没有定义 {name}"),
            Fault::MemberTwice(name) => format!("{name} 已是成员；每个名称在整个文件中只能作一次成员"),
            Fault::Threshold(members) => format!("门限应为 any、all 或 1 至 {members} 的十进制数"),
            Fault::TooMany => format!("此类超过 {POLICY_LIMIT_EACH} 个"),
            Fault::SecondQuorum => "quorum 只能有一行".to_owned(),
            Fault::NoQuorum => "缺少 quorum 行".to_owned(),
        };
        Text::new(
            format!("策略文件第 {} 行：{zh}（C2SP tlog-policy）", self.line),
            format!("{self} (C2SP tlog-policy)"),
        )
    }
}

/// The policy under construction.
#[derive(Default)]
struct Reader {
    logs: Vec<Log>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    /// What is a member already, so that each counts in one way only.
    members: Vec<Member>,
    quorum: Option<Option<Member>>,
}

pub(super) fn read(bytes: &[u8]) -> Result<Policy, PolicyError> {
    if bytes.len() > POLICY_LIMIT_BYTES {
        return Err(PolicyError { line: 1, fault: Fault::Long });
    }
    let mut reader = Reader::default();
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    // Behind the last newline there is nothing.
    let rest = lines.pop().unwrap_or_default();
    let count = lines.len();
    for (at, line) in lines.into_iter().enumerate() {
        reader.line(line).map_err(|fault| PolicyError { line: at + 1, fault })?;
    }
    if !rest.is_empty() {
        let fault = octet(rest).map_or(Fault::CutShort, Fault::Octet);
        return Err(PolicyError { line: count + 1, fault });
    }
    let quorum = reader.quorum.ok_or(PolicyError { line: count.max(1), fault: Fault::NoQuorum })?;
    Ok(Policy { logs: reader.logs, witnesses: reader.witnesses, groups: reader.groups, quorum })
}

/// A control character that may not stand in a line.
fn octet(line: &[u8]) -> Option<u8> {
    line.iter().copied().find(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f)
}

impl Reader {
    fn line(&mut self, line: &[u8]) -> Result<(), Fault> {
        if let Some(octet) = octet(line) {
            return Err(Fault::Octet(octet));
        }
        let words: Vec<&[u8]> =
            line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty()).collect();
        let Some((keyword, words)) = words.split_first() else { return Ok(()) };
        match *keyword {
            word if word.starts_with(b"#") => Ok(()),
            b"log" => self.log(words),
            b"witness" => self.witness(words),
            b"group" => self.group(words),
            b"quorum" => self.take_quorum(words),
            other => Err(Fault::Keyword(shown(other))),
        }
    }

    fn log(&mut self, words: &[&[u8]]) -> Result<(), Fault> {
        let (key, url) = match words {
            [key] => (key, None),
            [key, url] => (key, Some(url.to_vec())),
            _ => return Err(Fault::Form("log <vkey> [<url>]")),
        };
        let key = read_key(key, KeyKind::Note)?;
        if self.logs.iter().any(|log| same_public(&log.key, &key)) {
            return Err(Fault::SameKey(short(&key)));
        }
        push(&mut self.logs, Log { key, url })
    }

    fn witness(&mut self, words: &[&[u8]]) -> Result<(), Fault> {
        let (name, key, url) = match words {
            [name, key] => (name, key, None),
            [name, key, url] => (name, key, Some(url.to_vec())),
            _ => return Err(Fault::Form("witness <name> <vkey> [<url>]")),
        };
        self.check_new(name)?;
        let key = read_key(key, KeyKind::Cosignature)?;
        if self.witnesses.iter().any(|witness| same_public(&witness.key, &key)) {
            return Err(Fault::SameKey(short(&key)));
        }
        push(&mut self.witnesses, Witness { name: name.to_vec(), key, url })
    }

    fn group(&mut self, words: &[&[u8]]) -> Result<(), Fault> {
        let [name, threshold, names @ ..] = words else {
            return Err(Fault::Form("group <name> all|any|<k> <name>..."));
        };
        if names.is_empty() {
            return Err(Fault::Form("group <name> all|any|<k> <name>..."));
        }
        self.check_new(name)?;
        let threshold = match *threshold {
            b"all" => names.len(),
            b"any" => 1,
            number => {
                let is_decimal = number.first() != Some(&b'0') && number.iter().all(u8::is_ascii_digit);
                let number = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok());
                let fits = number.filter(|number| is_decimal && (1..=names.len()).contains(number));
                fits.ok_or(Fault::Threshold(names.len()))?
            }
        };
        let mut members = Vec::with_capacity(names.len());
        for name in names {
            let member = self.find(name)?;
            if self.members.contains(&member) {
                return Err(Fault::MemberTwice(shown(name)));
            }
            self.members.push(member);
            members.push(member);
        }
        push(&mut self.groups, Group { name: name.to_vec(), threshold, members })
    }

    fn take_quorum(&mut self, words: &[&[u8]]) -> Result<(), Fault> {
        let [name] = words else { return Err(Fault::Form("quorum <name>")) };
        if self.quorum.is_some() {
            return Err(Fault::SecondQuorum);
        }
        self.quorum = Some(if *name == b"none" { None } else { Some(self.find(name)?) });
        Ok(())
    }

    fn find(&self, name: &[u8]) -> Result<Member, Fault> {
        let witness = self.witnesses.iter().position(|witness| witness.name == name).map(Member::Witness);
        let group = || self.groups.iter().position(|group| group.name == name).map(Member::Group);
        witness.or_else(group).ok_or_else(|| Fault::Unknown(shown(name)))
    }

    /// A name is given once, to a witness or to a group; `none` is taken.
    fn check_new(&self, name: &[u8]) -> Result<(), Fault> {
        if name == b"none" || self.find(name).is_ok() { Err(Fault::SameName(shown(name))) } else { Ok(()) }
    }
}

fn read_key(word: &[u8], kind: KeyKind) -> Result<VerifierKey, Fault> {
    let text = std::str::from_utf8(word).map_err(|_| Fault::Key(NoteError::BadKey("it is not UTF-8")))?;
    let key = VerifierKey::parse(text).map_err(Fault::Key)?;
    if key.kind() == kind { Ok(key) } else { Err(Fault::KeyKind) }
}

fn push<T>(list: &mut Vec<T>, item: T) -> Result<(), Fault> {
    if list.len() == POLICY_LIMIT_EACH {
        return Err(Fault::TooMany);
    }
    list.push(item);
    Ok(())
}

/// Octets for a message, and not too many.
fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name.get(..60).unwrap_or(name)).into_owned()
}
