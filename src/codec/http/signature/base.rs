//! The signature base (RFC 9421, section 2.5): a line for each covered component, and the parameters in the last.

use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Head, SIGNATURE, SIGNATURE_INPUT, text};
use crate::model::text::Text;

/// The bytes under a signature. `parameters` are as the signature's member of `Signature-Input` has them, list and all.
pub(super) fn of(head: &Head<'_>, names: &[&str], parameters: &str) -> Result<String, Text> {
    let mut base = String::with_capacity(512);
    for name in names {
        let value = value(head, name)?;
        [r#"""#, name, r#"": "#, &value, "\n"].iter().for_each(|part| base.push_str(part));
    }
    base.push_str(r#""@signature-params": "#);
    base.push_str(parameters);
    Ok(base)
}

fn value(head: &Head<'_>, name: &str) -> Result<String, Text> {
    match name {
        "@method" => Ok(head.method.as_str().to_owned()),
        "@authority" => authority(head),
        "@path" => plain("@path", head.uri.path()),
        // Where there is none it is the question mark alone (section 2.2.7).
        "@query" => plain("@query", head.uri.query().unwrap_or_default()).map(|query| format!("?{query}")),
        _ if name.starts_with('@') => Err(text(
            format!("不支持组成部分 \"{name}\"：可用 \"@method\"、\"@authority\"、\"@path\"、\"@query\" 与请求头"),
            format!(
                "the component \"{name}\" is not supported here: there are \"@method\", \"@authority\", \"@path\", \"@query\" and headers"
            ),
        )),
        _ => field(head.headers, name),
    }
}

/// Of ASCII: nobody else would have the same bytes.
fn plain(name: &str, value: &str) -> Result<String, Text> {
    if value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(value.to_owned());
    }
    Err(text(
        format!("\"{name}\" 中有非 ASCII 字符，须先百分号编码"),
        format!("\"{name}\" has characters beyond ASCII, which must be percent-encoded"),
    ))
}

/// The host that is asked, in lower case, without the ports that a scheme implies (section 2.2.3). Which scheme it is, a node behind
/// a proxy does not know, so both are left out.
fn authority(head: &Head<'_>) -> Result<String, Text> {
    let wrong = || {
        text(
            "无法确定 \"@authority\"：应恰有一个 Host，且与请求目标一致",
            "\"@authority\" is in doubt: there must be one Host, the same as that of the target",
        )
    };
    let mut hosts = head.headers.get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    let host = first.map(|host| host.to_str().map_err(|_| wrong())).transpose()?;
    let target = head.uri.authority().map(http::uri::Authority::as_str);
    let authority = match (target, host) {
        _ if second.is_some() => return Err(wrong()),
        (Some(target), Some(host)) if !target.eq_ignore_ascii_case(host) => return Err(wrong()),
        (Some(authority), _) | (None, Some(authority)) => authority,
        (None, None) => return Err(wrong()),
    };
    if authority.is_empty() || authority.contains('@') || !authority.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong());
    }
    let lower = authority.to_ascii_lowercase();
    let bare = lower.strip_suffix(":443").or_else(|| lower.strip_suffix(":80")).unwrap_or(&lower);
    Ok(bare.to_owned())
}

/// RFC 9110, section 5.6.2, in lower case. The type of names takes a quotation mark, too, which would end a line's name here.
fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The lines of a header, joined (section 2.1). Folded lines come no further than the parser of heads.
fn field(headers: &HeaderMap, name: &str) -> Result<String, Text> {
    let known = HeaderName::from_lowercase(name.as_bytes()).ok().filter(|_| name.bytes().all(is_of_a_name));
    let known = known.filter(|known| *known != SIGNATURE && *known != SIGNATURE_INPUT);
    let Some(known) = known else {
        return Err(text(
            format!("\"{name}\" 不能作为组成部分"),
            format!("\"{name}\" cannot be a component: the name of a header, in lower case, can"),
        ));
    };
    let lines: Result<Vec<&str>, _> = headers.get_all(&known).iter().map(HeaderValue::to_str).collect();
    let lines = lines.map_err(|_| {
        text(format!("请求头 {name} 中有非 ASCII 字符"), format!("the header {name} has characters beyond ASCII"))
    })?;
    if lines.is_empty() {
        return Err(text(
            format!("签名覆盖的请求头 {name} 不存在"),
            format!("it covers the header {name}, which is not there"),
        ));
    }
    Ok(lines.into_iter().map(|line| line.trim_matches([' ', '\t'])).collect::<Vec<_>>().join(", "))
}
