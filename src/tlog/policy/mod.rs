//! A trust policy (c2sp.org/tlog-policy): which logs count, which witnesses, and how many of them must have cosigned a checkpoint.
//!
//! - `read`: the file's lines.
//!
//! Names are octets that mean nothing outside the file, as the specification has it. Groups hold only what stands above them and
//! each name is a member once, so a policy is a forest, and judging one is a single pass over its groups.

mod read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

pub use read::PolicyError;

use super::checkpoint::{Checkpoint, CheckpointError};
use super::note::{Note, NoteError, VerifierKey};
use crate::model::text::Text;

/// The most bytes of a policy file that is read.
pub const POLICY_LIMIT_BYTES: usize = 1 << 20;
/// The most logs, witnesses and groups, of each (the specification asks for at least 32).
pub const POLICY_LIMIT_EACH: usize = 256;

/// A log that is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Its name is the origin of the log.
    pub key: VerifierKey,
    pub url: Option<Vec<u8>>,
}

/// A witness that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// What this file calls it.
    pub name: Vec<u8>,
    pub key: VerifierKey,
    pub url: Option<Vec<u8>>,
}

/// Members of which `threshold` must have witnessed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub name: Vec<u8>,
    /// From 1 to the number of members.
    pub threshold: usize,
    pub members: Vec<Member>,
}

/// A place in the list of witnesses, or in that of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    Witness(usize),
    Group(usize),
}

/// A policy that hangs together: places exist, and groups hold earlier groups only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<Log>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    /// `None`: no cosignature is demanded.
    quorum: Option<Member>,
}

/// Why nothing can be said of a checkpoint, or nothing good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JudgeError {
    #[error(transparent)]
    Note(#[from] NoteError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("no log of the policy signed the checkpoint of {0}")]
    AnotherLog(String),
    /// The very key of a log of the policy signed, under a name that is not the one it is believed under: no forgery, and nothing
    /// to believe before the new name is.
    #[error("the log calls itself {shown}, and its key is believed as that of {pinned}")]
    Renamed { pinned: String, shown: String },
}

impl JudgeError {
    /// What happened and what to do.
    #[must_use]
    pub fn text(&self) -> Text {
        match self {
            Self::Note(error) => error.text(),
            Self::Checkpoint(error) => error.text(),
            Self::Renamed { pinned, shown } => Text::new(
                format!(
                    "日志现名为 {shown}，而策略只信任此公钥的旧名 {pinned}：若日志由备份恢复并改名（mingpai restore --new-origin），请向运营方核实，再用新的策略与新的状态文件"
                ),
                format!(
                    "{self}: if it was restored under a new name (mingpai restore --new-origin), make sure of that with its operator, and begin with a new policy and a new state file"
                ),
            ),
            Self::AnotherLog(origin) => Text::new(
                format!("策略中没有任何日志签署过 {origin} 的检查点：请核对策略文件是否属于该日志，否则不要采信"),
                format!("{self}: see whether the policy is meant for this log, else do not believe it"),
            ),
        }
    }
}

/// What a checkpoint is worth by a policy. The log signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict<'a> {
    pub checkpoint: Checkpoint,
    /// The log whose signature is right; the first in the policy's order.
    pub log: &'a Log,
    /// The witnesses of the policy that cosigned, in its order, with their times in seconds since 1970.
    pub cosigned: Vec<(&'a Witness, u64)>,
    pub has_quorum: bool,
}

impl Policy {
    /// Reads a file.
    pub fn parse(bytes: &[u8]) -> Result<Policy, PolicyError> {
        read::read(bytes)
    }

    /// Some logs, and a quorum of so many of these witnesses; 0 demands none. Witnesses are named `w1`, `w2` and so on.
    pub fn of(
        logs: Vec<Log>,
        witnesses: Vec<(VerifierKey, Option<Vec<u8>>)>,
        quorum: usize,
    ) -> Result<Policy, PolicyError> {
        let mut text = Vec::new();
        for log in &logs {
            write_line(&mut text, &[b"log", log.key.to_string().as_bytes(), url(&log.url)]);
        }
        let names: Vec<String> = (1..=witnesses.len()).map(|number| format!("w{number}")).collect();
        for (name, (key, at)) in names.iter().zip(&witnesses) {
            write_line(&mut text, &[b"witness", name.as_bytes(), key.to_string().as_bytes(), url(at)]);
        }
        if quorum == 0 {
            write_line(&mut text, &[b"quorum", b"none"]);
        } else {
            text.extend(format!("group witnesses {quorum} {}\nquorum witnesses\n", names.join(" ")).bytes());
        }
        Policy::parse(&text)
    }

    pub fn logs(&self) -> &[Log] {
        &self.logs
    }

    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    /// Whether any cosignature is demanded.
    pub fn demands_witnesses(&self) -> bool {
        self.quorum.is_some()
    }

    /// The file that reads as this policy: comments are lost, thresholds are numbers.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for log in &self.logs {
            write_line(&mut text, &[b"log", log.key.to_string().as_bytes(), url(&log.url)]);
        }
        for witness in &self.witnesses {
            let key = witness.key.to_string();
            write_line(&mut text, &[b"witness", &witness.name, key.as_bytes(), url(&witness.url)]);
        }
        for group in &self.groups {
            let threshold = group.threshold.to_string();
            let mut words: Vec<&[u8]> = vec![b"group", &group.name, threshold.as_bytes()];
            words.extend(group.members.iter().map(|member| self.name(*member)));
            write_line(&mut text, &words);
        }
        write_line(&mut text, &[b"quorum", self.quorum.map_or(b"none", |member| self.name(member))]);
        text
    }

    /// Judges a checkpoint: its log's signature must be right; how many witnesses there are is told, not demanded.
    ///
    /// # Errors
    /// The text is no checkpoint; a key of the policy signed wrongly; no log of the policy, of the checkpoint's very origin, signed,
    /// or one did under another name than the policy has for it.
    pub fn judge(&self, note: &Note) -> Result<Verdict<'_>, JudgeError> {
        let checkpoint = Checkpoint::of_note(note)?;
        let keys: Vec<VerifierKey> =
            self.logs.iter().map(|log| &log.key).chain(self.witnesses.iter().map(|it| &it.key)).cloned().collect();
        let signed = match note.verify(&keys) {
            Ok(signed) => signed,
            Err(NoteError::Unsigned) => return Err(self.not_believed(note, checkpoint.origin)),
            Err(error) => return Err(error.into()),
        };
        let has_signed = |log: &&Log| log.key.name() == checkpoint.origin && signed.iter().any(|it| *it.key == log.key);
        let Some(log) = self.logs.iter().find(has_signed) else {
            return Err(self.not_believed(note, checkpoint.origin));
        };
        let time_of = |witness: &Witness| signed.iter().find(|it| *it.key == witness.key).and_then(|it| it.time);
        let times: Vec<Option<u64>> = self.witnesses.iter().map(time_of).collect();
        let has_quorum = self.is_quorum(&times);
        let cosigned = self.witnesses.iter().zip(times).filter_map(|(witness, time)| Some((witness, time?))).collect();
        Ok(Verdict { checkpoint, log, cosigned, has_quorum })
    }

    /// Why no log of the policy counts: it is another one, or one of them under another name.
    fn not_believed(&self, note: &Note, shown: String) -> JudgeError {
        let has_signed = |key: &VerifierKey| {
            let mut lines = note.signatures().iter().filter(|line| key.made(line));
            lines.any(|line| key.check(note.text(), &line.signature).is_some())
        };
        let renamed = self
            .logs
            .iter()
            .find(|log| VerifierKey::new(&shown, log.key.kind(), *log.key.public()).is_ok_and(|key| has_signed(&key)));
        match renamed {
            Some(log) => JudgeError::Renamed { pinned: log.key.name().to_owned(), shown },
            None => JudgeError::AnotherLog(shown),
        }
    }

    /// Whether these witnesses, by their places, are enough.
    fn is_quorum(&self, times: &[Option<u64>]) -> bool {
        let mut groups: Vec<bool> = Vec::with_capacity(self.groups.len());
        let has = |member: &Member, groups: &[bool]| match member {
            Member::Witness(at) => times.get(*at).copied().flatten().is_some(),
            Member::Group(at) => groups.get(*at).copied().unwrap_or(false),
        };
        for group in &self.groups {
            let witnessed = group.members.iter().filter(|member| has(member, &groups)).count();
            groups.push(witnessed >= group.threshold);
        }
        self.quorum.is_none_or(|member| has(&member, &groups))
    }

    fn name(&self, member: Member) -> &[u8] {
        match member {
            Member::Witness(at) => self.witnesses.get(at).map_or(b"", |witness| &witness.name),
            Member::Group(at) => self.groups.get(at).map_or(b"", |group| &group.name),
        }
    }
}

fn url(url: &Option<Vec<u8>>) -> &[u8] {
    url.as_deref().unwrap_or_default()
}

/// Words with a space between them; an empty last one is left out.
fn write_line(text: &mut Vec<u8>, words: &[&[u8]]) {
    let words: Vec<&[u8]> = words.iter().filter(|word| !word.is_empty()).copied().collect();
    text.extend(words.join(&b' '));
    text.push(b'\n');
}

/// Used to compare keys whatever they are called.
fn same_public(one: &VerifierKey, other: &VerifierKey) -> bool {
    one.public() == other.public()
}

/// A key in words for a message: its name and the beginning of its key.
fn short(key: &VerifierKey) -> String {
    let encoded = BASE64.encode(key.public());
    format!("{} ({}…)", key.name(), encoded.get(..8).unwrap_or_default())
}

#[cfg(test)]
mod tests;
