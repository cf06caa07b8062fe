//! Looking again and again. Each look reads the owner's files anew and makes every check that a single look makes.
//!
//! A finding is told once, and only when it has stood for a while: a head may not have come yet, nor the owner have written down
//! what it has just registered.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::lists::KnownEntries;
use super::{HEAD_PATIENCE, WatchArguments, advance, missing, print_finding, tell_error};
use crate::cli::failure::{CliError, Verdict};
use crate::cli::log_source::write_state;
use crate::cli::screen::Screen;
use crate::model::text::Text;
use crate::services::follow::{FollowError, Follower};
use crate::services::watch::{Finding, FindingKind, Watch, not_in_log};
use crate::tlog::hash::{Hash, Head};

/// What makes two findings the same one: kind, entry, bundle.
type Mark = (FindingKind, Option<String>, Option<String>);

/// Since when a finding stands, and whether it was told.
struct Standing {
    since: Instant,
    is_told: bool,
}

/// Many looks at one log.
pub(super) struct Looks<'a> {
    asked: &'a WatchArguments,
    screen: Screen,
    /// As the owner's file said when it last read.
    known: KnownEntries,
    /// Entries that the log has, though not under a watched name. It only grows, so they need no second search.
    elsewhere: HashSet<Hash>,
    /// What stands now.
    standing: HashMap<Mark, Standing>,
    /// What the last look could not judge, and this one.
    noted: [HashSet<String>; 2],
    /// What was handed on and the newest head, as they were written last.
    kept: Option<[Head; 2]>,
}

impl<'a> Looks<'a> {
    pub fn begin(asked: &'a WatchArguments, known: KnownEntries, screen: Screen) -> Looks<'a> {
        let (elsewhere, standing, noted) = (HashSet::new(), HashMap::new(), Default::default());
        Looks { asked, screen, known, elsewhere, standing, noted, kept: None }
    }

    /// Looks until the log turns out dishonest.
    pub async fn go_on(mut self, watch: &mut Watch, follower: &mut Follower) -> Result<Verdict, CliError> {
        let every = Duration::from_secs(self.asked.every.max(1));
        loop {
            let started = Instant::now();
            let looked = self.look(watch, follower).await;
            // After an error, too: a head that was believed, and what of it was seen, counts the next time.
            self.keep(watch, follower)?;
            let (findings, error) = match looked {
                Ok(findings) => (findings, None),
                Err((findings, error)) => (findings, Some(error)),
            };
            let is_last = error.as_ref().is_some_and(FollowError::blames_the_log);
            self.tell(findings, error.is_none(), is_last)?;
            match error {
                Some(error) if is_last => return tell_error(&error, self.screen),
                Some(error) => self.note([error.text()]),
                None => {}
            }
            self.noted.swap(0, 1);
            self.noted[1].clear();
            tokio::time::sleep(every.saturating_sub(started.elapsed())).await;
        }
    }

    /// One look: what is found, and why it could not look further.
    async fn look(
        &mut self,
        watch: &mut Watch,
        follower: &mut Follower,
    ) -> Result<Vec<Finding>, (Vec<Finding>, FollowError)> {
        let advanced = advance(watch, follower).await;
        // After the log: what the owner has written down until now is known.
        self.read_known();
        let mut findings = watch.unknown(&self.known.leaves, 0);
        if let Err(error) = advanced {
            return Err((findings, error));
        }
        let (bundles, notes) = self.asked.judge_bundles(watch, &mut findings);
        self.note(notes);
        let sought = self.known.leaves.iter().copied().chain(bundles.iter().map(|bundle| bundle.leaf));
        let sought: Vec<Hash> = sought.filter(|leaf| !self.elsewhere.contains(leaf)).collect();
        // Those that were told are not searched for again and again: a search reads all leaf hashes.
        let told = |leaf: &Hash| {
            let mark = mark(&not_in_log(leaf, bundles.iter().find(|bundle| bundle.leaf == *leaf)));
            self.standing.get(&mark).is_some_and(|standing| standing.is_told)
        };
        let (lost, sought): (Vec<Hash>, Vec<Hash>) = sought.into_iter().partition(told);
        let missing = match missing(watch, follower, sought.iter().copied()).await {
            Ok(missing) => missing,
            Err(error) => return Err((findings, error)),
        };
        let unseen = watch.unseen(sought);
        self.elsewhere.extend(unseen.into_iter().filter(|leaf| !missing.contains(leaf)));
        let missing: HashSet<Hash> = lost.into_iter().chain(missing).collect();
        let doubt = watch.doubt_secret(&bundles, &self.known.named, &missing, &mut findings);
        self.note(doubt.into_iter().chain(watch.coverage().text()));
        for leaf in missing {
            findings.push(not_in_log(&leaf, bundles.iter().find(|bundle| bundle.leaf == leaf)));
        }
        Ok(findings)
    }

    /// A file that does not read just now, perhaps because it is being written, leaves what it said before.
    fn read_known(&mut self) {
        let Some(path) = &self.asked.known else { return };
        if !path.exists() && !self.known.leaves.is_empty() {
            let shown = path.display();
            let gone = Text::new(
                format!("{shown} 不见了：沿用上次读到的内容"),
                format!("{shown} has gone: what it said before still counts"),
            );
            return self.note([gone]);
        }
        match self.asked.known_entries() {
            Ok(known) => self.known = known,
            Err(error) => self.note([error.text()]),
        }
    }

    /// Says what the last look did not say.
    fn note(&mut self, notes: impl IntoIterator<Item = Text>) {
        for note in notes {
            if self.noted[1].insert(note.en.clone()) && !self.noted[0].contains(&note.en) {
                self.screen.note_text(&note);
            }
        }
    }

    /// Tells what has stood long enough; at the end all of it. What a whole look did not find stands no more.
    fn tell(&mut self, findings: Vec<Finding>, is_whole: bool, is_last: bool) -> Result<(), CliError> {
        if is_whole {
            let found: HashSet<Mark> = findings.iter().map(mark).collect();
            self.standing.retain(|mark, _| found.contains(mark));
        }
        for finding in findings {
            let begun = Standing { since: Instant::now(), is_told: false };
            let standing = self.standing.entry(mark(&finding)).or_insert(begun);
            if standing.is_told || !(is_last || standing.since.elapsed() >= HEAD_PATIENCE) {
                continue;
            }
            standing.is_told = true;
            if self.screen.json {
                self.screen.print(serde_json::to_string(&finding).unwrap_or_default())?;
            } else {
                print_finding(&finding, self.screen)?;
            }
        }
        Ok(())
    }

    /// Keeps what has changed.
    fn keep(&mut self, watch: &Watch, follower: &Follower) -> Result<(), CliError> {
        let memory = follower.memory();
        let heads = Some([memory.done(), memory.newest()]);
        if heads != self.kept {
            write_state(self.asked.state.as_deref(), &watch.encode(memory))?;
            self.kept = heads;
        }
        Ok(())
    }
}

fn mark(finding: &Finding) -> Mark {
    (finding.kind, finding.leaf.clone(), finding.file.clone())
}
