//! The entry itself: its form, its signature, what it discloses, and the identifier that it is about.

use super::{Finding, Known, Report};
use crate::model::identifier::Identifier;
use crate::sign::entry::{Claims, Payload};
use crate::sign::jws::{ENTRY_TYPE, Parsed};
use crate::sign::sd_jwt;

/// An entry that was taken apart.
pub struct Checked {
    pub(super) kid: String,
    pub payload: Payload,
    pub claims: Claims,
    /// The identifier, where the entry was shown to belong to it.
    pub(super) identifier: Option<Identifier>,
}

/// Takes an entry apart; `None`: there is nothing to go on with.
pub(super) fn check_entry(report: &mut Report, entry: &str, known: Known<'_>) -> Option<Checked> {
    let mut parts = entry.trim().split('~');
    let statement = parts.next().unwrap_or_default();
    let disclosures: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    let parsed = match Parsed::parse(statement) {
        Ok(parsed) => parsed,
        Err(cause) => {
            // What has the three parts of an entry and does not read is a damaged entry: not genuine, whoever signed it.
            let damaged = statement.split('.').count() == 3;
            report.add(
                "format",
                if damaged { Finding::Fail } else { Finding::Unknown },
                format!("不是签名条目：{cause}"),
                format!("not a signed entry: {cause}"),
            );
            return None;
        }
    };
    let Ok(payload) = serde_json::from_slice::<Payload>(&parsed.payload) else {
        report.add("format", Finding::Unknown, "签名内容不是条目", "what is signed is no entry");
        // Its signature tells whether it never was an entry or is an altered one.
        check_signature(report, &parsed, known);
        return None;
    };
    let typed = parsed.header.typ == ENTRY_TYPE && payload.sd_alg == "sha-256";
    report.pass_or_fail(
        "format",
        typed,
        ["格式正确", "类型不是条目"],
        ["the format is right", "its type is not an entry's"],
    );
    check_signature(report, &parsed, known);
    if let Some(issuer) = known.issuer {
        report.pass_or_fail(
            "issuer",
            payload.iss == issuer,
            ["签发者相符", "签发者不是预期的节点"],
            ["the issuer is the expected one", "the issuer is another node"],
        );
    }
    let claims = check_disclosures(report, &payload, &disclosures)?;
    let identifier = check_identifier(report, &payload, &claims, known);
    Some(Checked { kid: parsed.header.kid, payload, claims, identifier })
}

fn check_signature(report: &mut Report, parsed: &Parsed<'_>, known: Known<'_>) {
    match known.keys.iter().find(|key| key.kid == parsed.header.kid) {
        Some(key) => report.pass_or_fail(
            "signature",
            parsed.verify(key),
            ["签名正确", "签名不正确：内容被改动或伪造"],
            ["the signature is right", "the signature is wrong: altered or forged"],
        ),
        None if known.keys.is_empty() => report.add(
            "signature",
            Finding::Unknown,
            "没有可用的公钥：用 --jwks 给出节点的公钥文件",
            "no key is known: give the node's keys with --jwks",
        ),
        None => report.add(
            "signature",
            Finding::Unknown,
            format!("不认识签名密钥 {}", parsed.header.kid),
            format!("the signing key {} is not among the known ones", parsed.header.kid),
        ),
    }
}

fn check_disclosures(report: &mut Report, payload: &Payload, disclosures: &[&str]) -> Option<Claims> {
    let mut claims = Claims::in_clear(payload);
    let (mut names, mut room) = (std::collections::HashSet::new(), Vec::new());
    for encoded in disclosures {
        let taken = if payload.sd.binary_search(&sd_jwt::digest_of(encoded)).is_err() {
            Err("a disclosure is not among the signed digests".to_owned())
        } else {
            sd_jwt::open(encoded, &mut room).map_err(str::to_owned).and_then(|(name, value)| {
                let in_clear = matches!(name.as_ref(), "sub" | "case") && payload.sub.is_some();
                if in_clear || !names.insert(name.clone().into_owned()) {
                    return Err(format!("the claim {name} is there twice"));
                }
                claims.take(&name, value).map_err(|error| format!("{name}: {error}"))
            })
        };
        if let Err(cause) = taken {
            report.add("disclosures", Finding::Fail, format!("披露内容不符：{cause}"), cause);
            return None;
        }
    }
    let hidden = payload.sd.len() - disclosures.len();
    report.add(
        "disclosures",
        Finding::Pass,
        format!("{} 项披露内容均已签名（另有 {hidden} 项未披露或为填充）", disclosures.len()),
        format!("all {} disclosures are signed ({hidden} more are hidden or padding)", disclosures.len()),
    );
    Some(claims)
}

fn check_identifier(report: &mut Report, payload: &Payload, claims: &Claims, known: Known<'_>) -> Option<Identifier> {
    let (Some(sub), Some(_)) = (&claims.sub, &claims.sid_key) else {
        report.add(
            "identifier",
            Finding::Unknown,
            "没有披露标识或其盲化密钥，无法判断条目属于哪个标识",
            "the identifier or its blinding key is not disclosed: which identifier this is about cannot be told",
        );
        return None;
    };
    let Ok(identifier) = Identifier::parse(sub) else {
        report.add("identifier", Finding::Fail, "披露的标识不合规则", "the disclosed identifier breaks the rules");
        return None;
    };
    let mut bound = claims.readings(&identifier);
    bound.retain(|reading| claims.belongs(reading, &payload.sid));
    report.pass_or_fail(
        "identifier",
        !bound.is_empty(),
        ["条目属于所披露的标识", "条目的盲化标识与所披露的标识不符"],
        [
            "the entry belongs to the disclosed identifier",
            "the entry's sid does not belong to the disclosed identifier",
        ],
    );
    if let Some(asked) = known.identifier {
        check_asked(report, asked, &bound, claims);
    }
    bound.into_iter().next()
}

/// Whether the entry is about the name asked for. `bound`: the readings of its identifier that the `sid` fits; both fit a
/// suffix in lower case whose `case` is not shown, or was not signed yet.
fn check_asked(report: &mut Report, asked: &str, bound: &[Identifier], claims: &Claims) {
    let asked = Identifier::parse(asked).ok();
    let asked: Vec<Identifier> =
        asked.into_iter().flat_map(|name| [name.clone().with_case_sensitive_suffix(), name]).collect();
    // In lower case both readings of a name have one key, so which of them it is counts too.
    let is_asked = |own: &Identifier| {
        asked.iter().any(|name| own.key() == name.key() && own.is_case_sensitive() == name.is_case_sensitive())
    };
    let fitting = bound.iter().filter(|own| is_asked(own)).count();
    let is_alias = claims.aliases.iter().any(|alias| is_asked(alias.identifier()));
    if fitting > 0 && fitting < bound.len() && !is_alias {
        report.add(
            "asked",
            Finding::Unknown,
            "与所询问的标识只有大小写不同，条目没有披露大小写是否算作不同的标识",
            "it differs from the identifier asked for in case only, and the entry does not show whether case tells names apart",
        );
        return;
    }
    report.pass_or_fail(
        "asked",
        fitting > 0 || is_alias,
        ["就是所询问的标识（或其别名）", "不是所询问的标识"],
        ["it is about the identifier asked for (or an alias of it)", "it is about another identifier than asked for"],
    );
}
