//! `mingpai audit --tree audit`: who did what on a node, replayed by an auditor and held against the node's own rules.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value as Json, json};

use super::super::failure::{CliError, Verdict};
use super::super::log_source::write_state;
use super::super::progress::{Progress, Unit};
use super::super::screen::Screen;
use super::{AuditArguments, Audited, error_json, no_threads, print_error};
use crate::model::text::{Text, counted};
use crate::services::conduct::authorities::Authorities;
use crate::services::conduct::state::{STATE_LIMIT_BYTES, State};
use crate::services::conduct::{self, Conduct};
use crate::services::follow::{FollowError, Follower};
use crate::sign::keys::PublicJwk;
use crate::store::trees::Tree;

/// What was seen, and of what.
struct Seen {
    conduct: Conduct,
    trail: Follower,
    authorities: Authorities,
    is_pinned: bool,
}

impl AuditArguments {
    pub(super) async fn audit_conduct(&self, pinned: &[PublicJwk], screen: Screen) -> Result<Verdict, CliError> {
        let token = self.token.required(screen)?;
        let kept = self.state_of(Audited::Audit, STATE_LIMIT_BYTES)?;
        let state = kept.map(|kept| State::decode(&kept)).transpose().map_err(|error| CliError::Wrong(error.text()))?;
        let State { audit, registry, known } = state.unwrap_or_default();
        let before = (audit.newest(), registry.newest());
        let ((registry, mut trail), is_pinned) = self.log.followers((registry, audit), &token, screen).await?;
        let mut authorities = Authorities::new(registry, known);
        let mut progress = Progress::begin(screen, Unit::Records, None, "审计", "audit");
        let mut told = |leaves| progress.update(leaves, 0, "");
        let done = conduct::judge(&mut trail, &mut authorities, pinned, &mut told).await;
        progress.end();
        let conduct = done.map_err(|error| no_threads(&error))?;
        let seen = Seen { conduct, trail, authorities, is_pinned };
        // As for the registry: a head that was believed is kept, though what it covers did not come.
        let (audit, registry) = (seen.trail.memory(), seen.authorities.follower.memory());
        if seen.conduct.head.is_ok() || (audit.newest(), registry.newest()) != before {
            let state = State::encode(audit, registry, &seen.authorities.known).map_err(|error| {
                CliError::wrong(format!("状态无法写成 JSON：{error}"), format!("the state does not encode: {error}"))
            })?;
            write_state(self.state.as_deref(), &state)?;
        }
        if screen.json {
            screen.print_json(&seen.report())?
        } else {
            seen.print(screen)?
        }
        Ok(seen.verdict())
    }
}

impl Seen {
    fn verdict(&self) -> Verdict {
        let book = &self.conduct.book;
        match &self.conduct.head {
            _ if book.breach_count > 0 => Verdict::No,
            Ok(_) if book.unclear.0 > 0 => Verdict::Unknown,
            Ok(_) => Verdict::Yes,
            Err((_, error)) if error.blames_the_log() => Verdict::No,
            Err(_) => Verdict::Unknown,
        }
    }

    fn speed(&self) -> u64 {
        (self.conduct.judged as f64 / self.conduct.took.as_secs_f64().max(0.001)) as u64
    }

    /// What is no fault, and may be worth a look.
    fn notes(&self) -> Vec<Text> {
        let book = &self.conduct.book;
        let mut notes = self.authorities.notes(&book.signed);
        if let (count, Some(first)) = book.earlier {
            notes.push(Text::new(
                format!("{count} 条的时间早于其前一条，首见于第 {first} 条：同时发生，或时钟曾被拨回"),
                format!(
                    "{} dated before the one in front, event {first} first: at the same time, or a clock was set back",
                    counted(count, "event")
                ),
            ));
        }
        if let (count, Some(first)) = book.belated {
            notes.push(Text::new(
                format!("{count} 条由刚失效的密钥所作，首见于第 {first} 条：请求可能在失效前已提出"),
                format!(
                    "{} by a key in the minutes after its end, event {first} first: asked for before, perhaps",
                    counted(count, "event")
                ),
            ));
        }
        if let (count, Some(first)) = book.unclear {
            notes.push(Text::new(
                format!("{count} 条涉及本程序不认识的事件，无法判断，首见于第 {first} 条：请换用更新的程序"),
                format!("{} cannot be judged, event {first} first, for what this program does not know was said of it: use a newer program", counted(count, "event")),
            ));
        }
        for (name, count) in &book.unknown {
            notes.push(Text::new(
                format!("{count} 条 {name} 只查了签名与签发者"),
                format!("of {} named {name} only signature and issuer were judged", counted(*count, "event")),
            ));
        }
        if let Err((Tree::Audit, FollowError::NoHead)) = &self.conduct.head {
            notes
                .push(Text::new("镜像没有审计树：请向节点本身查询", "a mirror has no audit tree: ask the node itself"));
        }
        notes
    }

    fn report(&self) -> Json {
        let (conduct, known) = (&self.conduct, &self.authorities.known);
        let head = |follower: &Follower| {
            let (memory, newest) = (follower.memory(), follower.memory().newest());
            memory
                .origin()
                .map(|origin| json!({"origin": origin, "size": newest.size, "root": BASE64.encode(newest.root)}))
        };
        let signer = |(place, signed): (&usize, &u64)| {
            let key = known.keys.keys().get(*place)?;
            Some(json!({"kid": key.key.kid, "from": key.from, "signed": signed}))
        };
        let mut report = json!({
            "tree": "audit",
            "clean": match self.verdict() { Verdict::Yes => Json::Bool(true), Verdict::No => Json::Bool(false), Verdict::Unknown => Json::Null },
            "log": head(&self.trail),
            "registry": head(&self.authorities.follower),
            "pinned": self.is_pinned,
            "judged": conduct.judged,
            "events": conduct.book.events,
            "unknown": conduct.book.unknown,
            "unclear": conduct.book.unclear.0,
            "held": conduct.book.held(),
            "signing_keys": conduct.book.signed.iter().filter_map(signer).collect::<Vec<_>>(),
            "anomalies": conduct.book.breaches,
            "anomaly_count": conduct.book.breach_count,
            "notes": self.notes(),
            "seconds": conduct.took.as_secs_f64(),
            "entries_per_second": self.speed(),
        });
        if let Err((tree, error)) = &conduct.head {
            report["error"] = error_json(error);
            report["error"]["tree"] = tree_name(*tree).into();
        }
        report
    }

    fn print(&self, screen: Screen) -> Result<(), CliError> {
        let book = &self.conduct.book;
        for (zh, en, follower) in
            [("审计树", "audit tree", &self.trail), ("登记树", "registry", &self.authorities.follower)]
        {
            let (memory, newest) = (follower.memory(), follower.memory().newest());
            let Some(origin) = memory.origin() else { continue };
            let root = BASE64.encode(newest.root);
            screen.say(
                format_args!("{zh}  {origin}：{} 条，根 {root}", newest.size),
                format_args!("{en:<13}{origin}: {}, root {root}", counted(newest.size, "entry")),
            )?;
        }
        let (judged, held) = (self.conduct.judged, book.held());
        screen.say(
            format_args!("查过    {judged} 条：密钥 {}，备案 {}，前缀 {}", held.keys, held.filings, held.prefixes),
            format_args!(
                "judged       {}: {}, {}, {}",
                counted(judged, "event"),
                counted(held.keys, "key"),
                counted(held.filings, "filing"),
                counted(held.prefixes, "prefix")
            ),
        )?;
        let (seconds, speed) = (self.conduct.took.as_secs_f64(), self.speed());
        screen.say(
            format_args!("用时    {seconds:.1} 秒，每秒 {speed} 条"),
            format_args!("took         {seconds:.1} s, {speed} events/s"),
        )?;
        for breach in &book.breaches {
            let (index, event, word) = (breach.index, &breach.event, breach.kind.word());
            screen.say(
                format_args!("异常    第 {index} 条 {event} {word}：{}", breach.detail.zh),
                format_args!("ANOMALY      event {index} {event} {word}: {}", breach.detail.en),
            )?;
        }
        let untold = book.breach_count - book.breaches.len() as u64;
        if untold > 0 {
            screen.say(format_args!("异常    另有 {untold} 处"), format_args!("ANOMALY      and {untold} more"))?;
        }
        for note in self.notes() {
            screen.note_text(&note);
        }
        if let Err((tree, error)) = &self.conduct.head {
            let name = tree_name(*tree);
            screen.say(format_args!("未能读完：{name}"), format_args!("not read to its end: the {name} tree"))?;
            print_error(error, screen)?;
        }
        match self.verdict() {
            Verdict::Yes => screen.say("结论：无异常", "verdict: clean"),
            Verdict::No => screen.say("结论：有异常或伪造，不可信", "verdict: NOT clean"),
            Verdict::Unknown => screen.say("结论：无法判断", "verdict: cannot tell"),
        }
    }
}

fn tree_name(tree: Tree) -> &'static str {
    match tree {
        Tree::Registry => "registry",
        Tree::Audit => "audit",
    }
}
