//! Whether who signed had the right to: the key at its place in the log, the prefix, its owner.

use super::{Checked, Finding, Known, Report, Step};
use crate::model::record::Status;
use crate::sign::licence::{self, Listed};
use crate::sign::owner::Content;

/// The registry indexes that an entry key may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyIndexes {
    pub kid: String,
    /// The index of the statement that authorises it: it signs what comes after, and the genesis itself.
    pub from: u64,
    /// The last one; `None`: it is in force.
    pub until: Option<u64>,
}

impl KeyIndexes {
    fn hold(&self, index: u64) -> bool {
        (index > self.from || (index == 0 && self.from == 0)) && self.until.is_none_or(|until| index <= until)
    }
}

/// Whether the entry's key counts at its proven place, where no statements of the log tell it.
pub(super) fn check_indexes(report: &mut Report, index: Option<u64>, checked: &Checked, known: Known<'_>) {
    const NAME: &str = "key_range";
    let indexes = known.ranges.iter().find(|indexes| indexes.kid == checked.kid);
    match (indexes, index) {
        (Some(indexes), Some(index)) if indexes.hold(index) => report.add(
            NAME,
            Finding::Pass,
            format!("按节点的公钥集，签署条目的密钥在第 {index} 条处有效"),
            format!("by the node's key set the key that signed the entry counts at index {index}"),
        ),
        (Some(_), Some(index)) => report.add(
            NAME,
            Finding::Fail,
            format!("按节点的公钥集，签署条目的密钥在第 {index} 条处无效"),
            format!("by the node's key set the key that signed the entry does not count at index {index}"),
        ),
        _ => report.add(
            NAME,
            Finding::Unknown,
            "不知道签署条目的密钥在哪些序号有效：请用节点的公钥集（--jwks），或不带 --packed 的离线包",
            "for which indexes the key that signed the entry counts is not known: give the node's key set (--jwks), or a whole bundle",
        ),
    }
}

/// What statements beside the entry show of whose prefix it is; `index` is the entry's own. Without them nobody asked, and only
/// what contradicts is told.
pub(super) fn check_licences(
    report: &mut Report,
    listed: Option<&[Listed]>,
    index: Option<u64>,
    checked: &Checked,
    known: Known<'_>,
) {
    let Checked { kid, payload, claims, identifier } = checked;
    // Which identifier it is about was told above.
    let Some(identifier) = identifier else { return };
    let mut values = claims.values.clone();
    values.sort_by_key(|value| value.index);
    let shown = licence::check::Presented {
        statements: listed.unwrap_or_default(),
        are_proven: known.are_licences_proven,
        upper: known.upper,
        keys: known.keys,
        index,
        kid,
        identifier,
        version: payload.ver,
        owner_jws: claims.owner_jws.as_deref(),
        content: claims.state.map(|status| Content {
            status,
            template: claims.template.as_deref(),
            values: &values,
            links: &claims.links,
            aliases: &claims.aliases,
        }),
        is_deleted: claims.state == Some(Status::Deleted),
    };
    match listed {
        Some(_) => licence::check::check(report, &shown),
        None => licence::check::check_bare(report, &shown),
    }
    let is_owned = |step: &Step| step.name == "owner_signature" && step.finding == Finding::Pass;
    if known.requires_owner && !(known.are_licences_proven && report.steps.iter().any(is_owned)) {
        report.add(
            "owner_signature",
            Finding::Unknown,
            "没有证明：由获许可的所有者签名",
            "nothing proves that a licensed owner signed it",
        );
    }
}
