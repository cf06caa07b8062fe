//! The rules of filings: steps have numbers without a gap, each leads on from where the filing stands, the applicant takes the
//! applicant's and who has it in review the others, and nobody judges what is his own or what he has judged before.

use std::collections::HashMap;

use super::Rule;
use super::book::Book;
use super::reading::Act;
use crate::model::filing::{State, Step};
use crate::services::audit::examine::clipped;
use crate::services::token::sha256;
use crate::tlog::hash::Hash;

/// Of one filing, those who had it in review and may have looked. A node takes no more steps of one.
const MOST_REVIEWERS: usize = 200;

/// The filings, by their ids; and how many reviewers are held of all.
#[derive(Default)]
pub(super) struct Filings(pub(super) HashMap<Hash, Standing>, u64);

impl Filings {
    /// What they take.
    pub(super) fn bytes(&self) -> u64 {
        500 * self.0.len() as u64 + 64 * self.1
    }
}

/// Where a filing stands. People are hashes here.
pub(super) struct Standing {
    state: State,
    seq: i64,
    applicant: Hash,
    reviewer: Option<Hash>,
    /// Who agreed, and to which prefix, since it was last submitted.
    endorsed: Option<(Hash, Hash)>,
    /// All who had it in review.
    reviewers: Vec<Hash>,
}

/// A step as it is held against the filing.
struct Wanted<'a> {
    step: Step,
    seq: i64,
    by: Hash,
    is_administrator: bool,
    prefix: Option<&'a str>,
    /// Whom an approval names as the applicant.
    applicant: Option<&'a str>,
}

type Fault = (Rule, &'static str, &'static str);

impl Standing {
    fn begun(applicant: Hash) -> Standing {
        let (reviewer, endorsed, reviewers) = (None, None, Vec::new());
        Standing { state: State::Draft, seq: 1, applicant, reviewer, endorsed, reviewers }
    }

    fn faults(&self, wanted: &Wanted<'_>) -> Vec<Fault> {
        let mut faults = Vec::new();
        if wanted.seq != self.seq + 1 {
            faults.push((Rule::StepNumber, "步骤的序号不相接", "its number does not follow the one before"));
        }
        if self.state.after(wanted.step).is_none() {
            faults.push((
                Rule::StepOrder,
                "备案此时不能有这一步",
                "the filing cannot take this step from where it stands",
            ));
        }
        faults.extend(self.fault_of_person(wanted));
        if wanted.step == Step::Approved {
            let prefix = wanted.prefix.map(|prefix| sha256(prefix.as_bytes()));
            if self.endorsed.is_some_and(|(_, endorsed)| prefix != Some(endorsed)) {
                faults.push((
                    Rule::OtherPrefix,
                    "通过的前缀不是复核前同意的前缀",
                    "another prefix than the first of two agreed to",
                ));
            }
            if wanted.applicant.is_some_and(|named| sha256(named.as_bytes()) != self.applicant) {
                faults.push((Rule::NotApplicant, "分配给了并非申请人的人", "allocated to who did not apply"));
            }
        }
        faults
    }

    fn fault_of_person(&self, wanted: &Wanted<'_>) -> Option<Fault> {
        let Wanted { step, by, .. } = *wanted;
        if step.is_applicants() {
            let fault = (Rule::NotApplicant, "申请人的步骤由他人所作", "an applicant's step, taken by somebody else");
            return (by != self.applicant).then_some(fault);
        }
        let has_endorsed = self.endorsed.is_some_and(|(endorser, _)| endorser == by);
        if step != Step::Released && (by == self.applicant || has_endorsed) {
            return Some((
                Rule::SamePerson,
                "审核人就是申请人，或先前已同意的审核人",
                "by who applied, or by who had agreed before: it takes two",
            ));
        }
        let has_it = self.reviewer == Some(by) || (step == Step::Released && wanted.is_administrator);
        let fault = (Rule::NotClaimed, "由并未领取该备案的人所作", "by who does not have it in review");
        (step != Step::Claimed && !has_it).then_some(fault)
    }

    fn take(&mut self, wanted: &Wanted<'_>) {
        self.seq = wanted.seq;
        self.state = self.state.after(wanted.step).unwrap_or(self.state);
        self.reviewer = (wanted.step == Step::Claimed).then_some(wanted.by);
        match wanted.step {
            Step::Claimed if self.reviewers.len() < MOST_REVIEWERS && !self.reviewers.contains(&wanted.by) => {
                self.reviewers.push(wanted.by);
            }
            Step::Endorsed => self.endorsed = wanted.prefix.map(|prefix| (wanted.by, sha256(prefix.as_bytes()))),
            Step::Submitted => self.endorsed = None,
            _ => {}
        }
    }
}

impl Book {
    pub(super) fn filing_step(&mut self, act: &Act, step: Step) -> Option<()> {
        let (id, seq) = (act.text("filing")?, act.number("seq")?);
        let (prefix, applicant) = (act.text("prefix"), act.text("applicant"));
        let by = sha256(act.principal.as_bytes());
        let is_administrator = act.asking_key().is_some_and(|key| self.keys.is_administrators(key));
        let wanted = Wanted { step, seq, by, is_administrator, prefix, applicant };
        let told = clipped(id);
        match self.filings.0.get_mut(&sha256(id.as_bytes())) {
            Some(standing) => {
                let (faults, before) = (standing.faults(&wanted), standing.reviewers.len());
                standing.take(&wanted);
                self.filings.1 += (standing.reviewers.len() - before) as u64;
                for (kind, zh, en) in faults {
                    self.breach(act, kind, &[id], (format!("备案 {told}：{zh}"), format!("the filing {told}: {en}")));
                }
            }
            None => {
                if step != Step::Drafted || seq != 1 {
                    let text = (format!("备案 {told} 从未起草"), format!("the filing {told} was never drafted"));
                    self.breach(act, Rule::FilingUnknown, &[id], text);
                }
                self.filings.0.insert(sha256(id.as_bytes()), Standing { seq, ..Standing::begun(by) });
            }
        }
        match (step, prefix) {
            (Step::Approved, Some(prefix)) => self.allocate(act, prefix),
            (Step::Approved | Step::Endorsed, None) => None,
            _ => Some(()),
        }
    }

    /// Somebody saw what is masked to others: who had it in review, before the note if not now.
    pub(super) fn filing_revealed(&mut self, act: &Act) -> Option<()> {
        let id = act.text("filing")?;
        let told = clipped(id);
        let by = sha256(act.principal.as_bytes());
        match self.filings.0.get(&sha256(id.as_bytes())) {
            None => {
                let text = (format!("备案 {told} 从未起草"), format!("the filing {told} was never drafted"));
                self.breach(act, Rule::FilingUnknown, &[id], text);
            }
            Some(standing) if standing.reviewers.contains(&by) || standing.reviewers.len() >= MOST_REVIEWERS => {}
            Some(_) => {
                let text = (
                    format!("备案 {told}：查看者从未领取过它"),
                    format!("the filing {told}: whoever looked never had it in review"),
                );
                self.breach(act, Rule::NotClaimed, &[id], text);
            }
        }
        Some(())
    }
}
