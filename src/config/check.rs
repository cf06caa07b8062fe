//! Judging a merged configuration: ranges, and what must hold between keys. Every fault names its key and the remedy.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::fault::{ConfigError, Fault};
use super::layers::{Origins, leaves};
use super::spec::{OWN_FOLDERS, Spec};
use crate::model::prefix::{MintPattern, PrefixError, Prefixes};
use crate::model::text::Text;
use crate::tlog::note::{KeyKind, VerifierKey};

/// All are asked at once for every head, and each adds a line to what everybody downloads.
const WITNESSES: usize = 16;
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
const TIB: u64 = 1024 * GIB;

/// What a configuration is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A node that registers, and signs what it registers.
    Node,
    /// A mirror of another node's log.
    Mirror,
}

/// The least and the greatest value of every number. A test keeps the table complete.
const RANGES: &[(&str, u64, u64)] = &[
    ("version", 1, 1),
    ("http.workers", 0, 1024),
    ("limits.header_bytes", KIB, MIB),
    ("limits.header_count", 8, 1000),
    // http::Uri holds at most 65,534 bytes.
    ("limits.uri_bytes", 256, 60 * KIB),
    ("limits.body_bytes", KIB, GIB),
    ("limits.import_bytes", KIB, 16 * TIB),
    ("limits.line_bytes", KIB, 64 * MIB),
    ("limits.xlsx_bytes", KIB, GIB),
    ("limits.xlsx_unpacked_bytes", MIB, 16 * GIB),
    // serde_json's own recursion ends at 128.
    ("limits.json_depth", 1, 100),
    ("limits.batch_identifiers", 1, 100_000),
    ("limits.history_bytes", KIB, GIB),
    ("limits.connections", 1, 1_000_000),
    ("limits.requests_in_flight", 1, 1_000_000),
    ("limits.handshake_timeout_seconds", 1, 300),
    ("limits.header_timeout_seconds", 1, 300),
    ("limits.body_timeout_seconds", 1, 3600),
    ("limits.body_progress_bytes", 1, MIB),
    ("limits.write_timeout_seconds", 1, 3600),
    ("limits.idle_timeout_seconds", 1, 3600),
    ("limits.h2_streams", 1, 10_000),
    ("limits.h2_resets", 1, 10_000),
    ("limits.grpc_call_seconds", 1, 86_400),
    ("drain.lame_duck_seconds", 0, 600),
    ("drain.deadline_seconds", 0, 3600),
    ("cache.budget_bytes", MIB, TIB),
    ("cache.negative_share_percent", 0, 50),
    // A recall must show within a minute, wherever the answer was kept.
    ("cache.max_age_seconds", 0, 60),
    ("cache.negative_seconds", 0, 60),
    ("store.sled_budget_bytes", 8 * MIB, TIB),
    ("store.segment_bytes", MIB, 256 * MIB),
    ("store.group_entries", 1, 65_536),
    ("store.group_bytes", 256 * KIB, GIB),
    ("store.queue_entries", 1, 1_000_000),
    ("store.checkpoint_seconds", 1, 86_400),
    ("store.snapshot_changes", 0, 100_000_000),
    ("store.reserve_bytes", MIB, TIB),
    ("store.cold_after_segments", 1, 1_000_000),
    ("import.jobs", 1, 64),
    // A day at least: so long a repeated upload finds its first job.
    ("import.keep_days", 1, 36_500),
    ("filing.approvals", 1, 2),
    ("import.error_bytes", 1 << 20, 1 << 40),
    ("log.slow_microseconds", 0, 3_600_000_000),
    ("traces.sample_per_million", 0, 1_000_000),
    ("traces.queue_requests", 1, 1_000_000),
];

pub(super) fn check(spec: &Spec, origins: &Origins, purpose: Purpose) -> Result<(), ConfigError> {
    let mut found = Found { origins, faults: Vec::new() };
    check_ranges(spec, &mut found);
    check_issuer(&spec.node.iss, purpose, &mut found);
    check_node(spec, &mut found);
    check_listen(spec, &mut found);
    check_tls(spec, &mut found);
    check_sizes(spec, &mut found);
    check_cold(spec, &mut found);
    check_prefixes(spec, &mut found);
    check_witnesses(spec, &mut found);
    check_traces(spec, &mut found);
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&spec.log.filter) {
        found.fault(
            "log.filter",
            format!("日志过滤式不可用: {error}; 例如 \"info\" 或 \"mingpai=debug,info\""),
            format!("not a log filter: {error}; for example \"info\" or \"mingpai=debug,info\""),
        );
    }
    if found.faults.is_empty() { Ok(()) } else { Err(ConfigError { faults: found.faults }) }
}

struct Found<'a> {
    origins: &'a Origins,
    faults: Vec<Fault>,
}

impl Found<'_> {
    fn fault(&mut self, key: &str, zh: impl Into<String>, en: impl Into<String>) {
        self.faults.push(Fault::new(key, self.origins.place(key), Text::new(zh, en)));
    }
}

fn check_ranges(spec: &Spec, found: &mut Found<'_>) {
    for (key, value) in leaves(spec) {
        let Some(value) = value.as_integer() else {
            continue;
        };
        let Some((_, least, greatest)) = RANGES.iter().find(|(known, ..)| *known == key) else {
            continue;
        };
        if u64::try_from(value).is_ok_and(|value| (*least..=*greatest).contains(&value)) {
            continue;
        }
        found.fault(
            &key,
            format!("{value} 超出范围, 请设为 {least} 到 {greatest}"),
            format!("{value} is out of range: set it from {least} to {greatest}"),
        );
    }
}

/// A mirror signs nothing and has no use for one; whoever gives it one all the same should not mistype it.
fn check_issuer(iss: &str, purpose: Purpose, found: &mut Found<'_>) {
    if iss.is_empty() && purpose == Purpose::Mirror {
        return;
    }
    if iss.is_empty() {
        found.fault(
            "node.iss",
            "未设置签发者. 请填写本节点长期使用的 URI, 例如 \"https://id.example.cn\"; 它写入每一条签名, 以后不能更改",
            "the issuer is not set. Give the URI that this node keeps for life, for example \"https://id.example.cn\"; every signed entry carries it",
        );
    } else if !is_uri(iss) {
        found.fault(
            "node.iss",
            format!("\"{iss}\" 不是 URI, 例如 \"https://id.example.cn\" 或 \"urn:mingpai:node-1\""),
            format!("\"{iss}\" is not a URI; for example \"https://id.example.cn\" or \"urn:mingpai:node-1\""),
        );
    }
}

fn check_node(spec: &Spec, found: &mut Found<'_>) {
    if spec.node.name.trim().is_empty() {
        found.fault("node.name", "节点名称为空, 请填写", "the node's name is empty: give one");
    }
    if spec.node.data.as_os_str().is_empty() {
        found.fault("node.data", "数据目录为空, 请填写", "the data folder is empty: name one");
    }
}

/// RFC 3986, section 3: a scheme, a colon, something after it, and no spaces.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let mut letters = scheme.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter))
        && !rest.is_empty()
        && rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"{}|\\^`".contains(&byte))
}

fn check_listen(spec: &Spec, found: &mut Found<'_>) {
    let (http, tls) = (&spec.http.listen, &spec.tls.listen);
    if http.is_empty() && tls.is_empty() {
        found.fault(
            "http.listen",
            "没有监听地址, 例如 [\"0.0.0.0:8080\", \"[::]:8080\"]",
            "no address to listen on; for example [\"0.0.0.0:8080\", \"[::]:8080\"]",
        );
    }
    let all: Vec<_> =
        http.iter().map(|one| ("http.listen", one)).chain(tls.iter().map(|one| ("tls.listen", one))).collect();
    for (position, (key, address)) in all.iter().enumerate() {
        if address.port() != 0 && all.iter().take(position).any(|(_, earlier)| earlier == address) {
            found.fault(
                key,
                format!("{address} 写了两次, 请删去一处 (一个地址只能是 http 或 https 之一)"),
                format!("{address} is listed twice: remove one (an address speaks http or https, not both)"),
            );
        }
        if spec.node.dev && !address.ip().is_loopback() {
            let loopback = SocketAddr::from(([127, 0, 0, 1], address.port()));
            found.fault(
                key,
                format!("--dev 只监听本机: 请把 {address} 换成 {loopback}, 或去掉 --dev"),
                format!("--dev listens on loopback only: use {loopback} instead of {address}, or leave out --dev"),
            );
        }
    }
}

/// A half-configured TLS must not look like one that works. What is in the files is judged by accept::tls.
fn check_tls(spec: &Spec, found: &mut Found<'_>) {
    let tls = &spec.tls;
    let (certificate, key) = (!tls.certificate.as_os_str().is_empty(), !tls.key.as_os_str().is_empty());
    if tls.dev {
        if !spec.node.dev {
            found.fault(
                "tls.dev",
                "临时证书只用于 --dev: 请改设 tls.certificate 与 tls.key",
                "a throw-away certificate is for --dev only: set tls.certificate and tls.key instead",
            );
        }
        // The curl line that is printed must work.
        let others = tls.listen.iter().filter(|one| one.ip() != Ipv4Addr::LOCALHOST && one.ip() != Ipv6Addr::LOCALHOST);
        for address in others {
            found.fault(
                "tls.listen",
                format!("临时证书只写有 127.0.0.1 与 ::1: 请改用其一, 不用 {address}"),
                format!("the throw-away certificate names 127.0.0.1 and ::1: use one of them instead of {address}"),
            );
        }
        if certificate || key {
            found.fault(
                "tls.dev",
                "已设 tls.certificate 或 tls.key: 二者与临时证书只能选一",
                "tls.certificate or tls.key is set too: choose between them and the throw-away certificate",
            );
        }
    }
    for (is_set, other_is_set, missing, other) in
        [(certificate, key, "tls.certificate", "tls.key"), (key, certificate, "tls.key", "tls.certificate")]
    {
        if !is_set && other_is_set && !tls.dev {
            found.fault(
                missing,
                format!("已设 {other}, 也请填写 {missing}"),
                format!("{other} is set: name {missing} too"),
            );
        }
    }
    let has_pair = tls.dev || certificate || key;
    if has_pair && tls.listen.is_empty() {
        found.fault(
            "tls.listen",
            "有证书而没有 https 监听地址, 例如 [\"0.0.0.0:8443\", \"[::]:8443\"]",
            "there is a certificate but no address that speaks https; for example [\"0.0.0.0:8443\", \"[::]:8443\"]",
        );
    }
    if !has_pair && !tls.listen.is_empty() {
        found.fault(
            "tls.listen",
            "没有证书, 无法提供 https: 请填写 tls.certificate 与 tls.key, 或清空 tls.listen",
            "https needs a certificate: set tls.certificate and tls.key, or empty tls.listen",
        );
    }
}

fn check_sizes(spec: &Spec, found: &mut Found<'_>) {
    if spec.limits.body_bytes > spec.limits.import_bytes {
        found.fault(
            "limits.import_bytes",
            "小于 limits.body_bytes, 请调大",
            "is less than limits.body_bytes: raise it",
        );
    }
    if spec.store.group_bytes > spec.store.segment_bytes / 2 {
        found.fault(
            "store.group_bytes",
            "超过 store.segment_bytes 的一半, 一组写不进一个段; 请调小",
            "is more than half of store.segment_bytes, so a group would not fit a segment: lower it",
        );
    }
    if spec.cache.negative_seconds > spec.cache.max_age_seconds {
        found.fault(
            "cache.negative_seconds",
            "长于 cache.max_age_seconds, 新注册的标识会迟迟查不到; 请调小",
            "is longer than cache.max_age_seconds, so a new registration would stay unseen: lower it",
        );
    }
}

/// Whether the folder is there, this node's, and by no other path one of these, is judged by the store.
fn check_cold(spec: &Spec, found: &mut Found<'_>) {
    let (cold, data) = (&spec.store.cold, &spec.node.data);
    let is_taken = cold == data || OWN_FOLDERS.iter().any(|name| cold.starts_with(data.join(name)));
    if !cold.as_os_str().is_empty() && is_taken {
        found.fault(
            "store.cold",
            "这是数据目录中已有用途的目录: 请改用另一文件系统上的目录",
            "is a folder that the node uses for something else: name one on another file system",
        );
    }
}

fn check_traces(spec: &Spec, found: &mut Found<'_>) {
    let endpoint = &spec.traces.endpoint;
    let is_usable = |uri: &http::Uri| is_plain_http(uri) && uri.path().len() > 1;
    if !endpoint.is_empty() && !endpoint.parse().is_ok_and(|uri| is_usable(&uri)) {
        found.fault(
            "traces.endpoint",
            format!("\"{endpoint}\" 不是采集器的地址, 例如 \"http://127.0.0.1:4318/v1/traces\" (OTLP, 含路径, 不含用户名和密码)"),
            format!(
                "\"{endpoint}\" is no address of a collector; for example \"http://127.0.0.1:4318/v1/traces\" (OTLP, with its path, without user or password)"
            ),
        );
    }
}

fn check_witnesses(spec: &Spec, found: &mut Found<'_>) {
    if spec.witnesses.len() > WITNESSES {
        found.fault(
            "witnesses",
            format!("见证方至多 {WITNESSES} 个"),
            format!("a node asks at most {WITNESSES} witnesses"),
        );
    }
    let mut earlier: Vec<VerifierKey> = Vec::new();
    for (position, witness) in spec.witnesses.iter().enumerate() {
        let url = &witness.url;
        if !url.parse().is_ok_and(|uri| is_plain_http(&uri)) {
            found.fault(
                &format!("witnesses[{position}].url"),
                format!("\"{url}\" 不是见证方的地址, 例如 \"https://witness.example.cn\" (不含用户名、密码和查询)"),
                format!(
                    "\"{url}\" is no address of a witness; for example \"https://witness.example.cn\" (without user, password or query)"
                ),
            );
        }
        let key = format!("witnesses[{position}].key");
        match VerifierKey::parse(&witness.key) {
            Ok(known) if known.kind() != KeyKind::Cosignature => found.fault(
                &key,
                "这是日志的公钥, 不是见证方的: 见证方的公钥由其首页给出",
                "this is the key of a log, not of a witness: a witness shows its key on its page",
            ),
            Ok(known) if earlier.iter().any(|other| other.public() == known.public()) => {
                found.fault(&key, "这个公钥写了两次", "this key is listed twice");
            }
            Ok(known) => earlier.push(known),
            Err(error) => found.fault(&key, error.text().zh, error.text().en),
        }
    }
}

/// An http or https address without user or query.
fn is_plain_http(uri: &http::Uri) -> bool {
    matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.authority().is_some_and(|authority| !authority.as_str().contains('@') && !authority.host().is_empty())
        && uri.query().is_none()
}

fn check_prefixes(spec: &Spec, found: &mut Found<'_>) {
    for (position, policy) in spec.prefixes.iter().enumerate() {
        let prefix = &policy.prefix;
        let key = format!("prefixes[{position}].prefix");
        match Prefixes::new(vec![policy.clone()]) {
            Ok(_) => {}
            Err(PrefixError::MintPattern { error, .. }) => found.fault(
                &format!("prefixes[{position}].mint_pattern"),
                format!("后缀样式不可用, 例如 \"{}\": {error}", MintPattern::DEFAULT),
                format!("cannot mint, {error}; for example \"{}\"", MintPattern::DEFAULT),
            ),
            Err(_) => found.fault(
                &key,
                format!("\"{prefix}\" 不是前缀, 例如 \"88.118.8\" 或 \"86.709.612\""),
                format!("\"{prefix}\" is no prefix; for example \"88.118.8\" or \"86.709.612\""),
            ),
        }
        let mut earlier = spec.prefixes.iter().take(position);
        if earlier.any(|earlier| earlier.prefix.eq_ignore_ascii_case(prefix)) {
            found.fault(&key, format!("前缀 {prefix} 写了两次"), format!("the prefix {prefix} is listed twice"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_range() {
        for (key, value) in leaves(&Spec::default()) {
            let listed = RANGES.iter().any(|(known, ..)| *known == key);
            assert_eq!(value.is_integer(), listed, "{key}: numbers and only numbers stand in RANGES");
        }
    }

    #[test]
    fn every_default_is_within_its_range() {
        let origins = Origins::default();
        let mut found = Found { origins: &origins, faults: Vec::new() };
        check_ranges(&Spec::default(), &mut found);
        check_sizes(&Spec::default(), &mut found);
        assert_eq!(found.faults, []);
    }

    #[test]
    fn a_uri_needs_a_scheme_and_something_after_it() {
        for good in ["https://id.example.cn", "urn:mingpai:dev", "did:cn:88.100.1"] {
            assert!(is_uri(good), "{good}");
        }
        for bad in ["", "id.example.cn", ":x", "1a:x", "https:", "https://a b", "http://中"] {
            assert!(!is_uri(bad), "{bad}");
        }
    }
}
