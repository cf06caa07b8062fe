//! What a verifier asked for and the document cannot tell: each is a step of its own, so that nothing asked for is passed over.
//! It does not matter why the question was not reached: a bare entry has no place for the answer, a bundle may lack it.

use super::{Finding, Known, Report, WORD};

/// Adds a step for every question that no step has answered.
pub(super) fn tell_unanswered(report: &mut Report, known: Known<'_>) {
    let questions = [
        (
            known.policy.is_some(),
            &[WORD, "checkpoint", "inclusion"][..],
            "没有收录证明，无法按 --policy 核对：请用 ?proof=1 重新解析，或取一份离线包（mingpai resolve --bundle）",
            "it has no proof that the log has it, for --policy to judge: resolve again with ?proof=1, or get a bundle (`mingpai resolve --bundle`)",
        ),
        (
            known.max_age_seconds.is_some(),
            &["freshness"][..],
            "没有“最新版本”声明，无法按 --max-age 判断其后有无新版本（如召回）：请取一份离线包（mingpai resolve --bundle）",
            "nothing in it says that it is the newest version, for --max-age to judge: a later one, such as a recall, may have come; get a bundle (`mingpai resolve --bundle`)",
        ),
        (
            known.upper.is_some(),
            &["node_licence"][..],
            "没有出示许可声明，无法按 --upper-key 核对上级节点是否许可：请取一份离线包（mingpai resolve --bundle）",
            "no statements about licences are shown with it, for --upper-key to judge: get a bundle (`mingpai resolve --bundle`)",
        ),
        (
            known.requires_owner,
            &["owner_signature"][..],
            "没有证明：由获许可的所有者签名",
            "nothing proves that a licensed owner signed it",
        ),
    ];
    for (is_asked, steps, zh, en) in questions {
        let is_told = report.steps.iter().any(|step| steps.contains(&step.name));
        if is_asked && !is_told {
            // The last name: under it the answer is looked for.
            report.add(steps.last().copied().unwrap_or("asked"), Finding::Unknown, zh, en);
        }
    }
}
