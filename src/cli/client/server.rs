//! Where a node is: `http://HOST[:PORT][/PATH]` or `https://…`, the host a name, an IPv4 address or an IPv6 address in brackets.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};

use super::ClientError;
use crate::model::text::Text;

#[derive(Clone, Debug, Args)]
pub struct ServerArguments {
    /// 节点地址 / The node, for example http://[::1]:8080
    #[arg(long, value_name = "URL", env = "MINGPAI_SERVER", default_value = "http://127.0.0.1:8080")]
    pub server: Server,
    /// https：信任此文件中的根证书（PEM），而非本机的 / https: trust the roots in this file (PEM), not the machine's own
    #[arg(long, value_name = "FILE", env = "MINGPAI_CA_FILE")]
    pub ca_file: Option<PathBuf>,
}

/// A node's address, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    is_tls: bool,
    authority: Authority,
    /// Where the node is not at the root: begins with a slash and does not end with one.
    base: String,
}

/// Why an address cannot be used. Both languages: clap shows it before a language is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} / {}", .0.zh, .0.en)]
pub struct ServerError(Text);

impl FromStr for Server {
    type Err = ServerError;

    fn from_str(text: &str) -> Result<Server, ServerError> {
        let wrong = |zh: &str, en: &str| ServerError(Text::new(zh, en));
        let shape = || {
            wrong(
                "应为 http://主机:端口 或 https://主机:端口，例如 http://[::1]:8080 或 https://id.example.cn",
                "give http://HOST:PORT or https://HOST:PORT, for example http://[::1]:8080 or https://id.example.cn",
            )
        };
        let uri: Uri = text.trim().parse().map_err(|_| shape())?;
        let is_tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => return Err(shape()),
        };
        let authority = uri.authority().ok_or_else(shape)?;
        if authority.as_str().contains('@') {
            return Err(wrong(
                "地址中不能带用户名或密码：凭证请用 --token-file",
                "no user or password in the address: credentials go by --token-file",
            ));
        }
        if uri.query().is_some() || authority.host().is_empty() {
            return Err(shape());
        }
        Ok(Server { is_tls, authority: authority.clone(), base: uri.path().trim_end_matches('/').to_owned() })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme(), self.authority, self.base)
    }
}

impl Server {
    pub(super) fn is_tls(&self) -> bool {
        self.is_tls
    }

    fn scheme(&self) -> Scheme {
        if self.is_tls { Scheme::HTTPS } else { Scheme::HTTP }
    }

    /// The URI of an encoded path with its query.
    pub(super) fn uri(&self, path: &str) -> Result<Uri, ClientError> {
        let path: PathAndQuery = format!("{}{path}", self.base).parse().map_err(|_| ClientError::RequestTooLong)?;
        Uri::builder()
            .scheme(self.scheme())
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
            .map_err(|_| ClientError::RequestTooLong)
    }
}

/// Percent-encodes everything but unreserved characters (RFC 3986, section 2.3): fit for a path segment or a query's value.
#[must_use]
pub fn encode(text: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 15] {
                out.push(DIGITS.get(usize::from(nibble)).map_or('0', |digit| char::from(*digit)));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_every_family_are_taken() {
        for (text, whole) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/v1/x?y=1"),
            ("http://[::1]:8080/", "http://[::1]:8080/v1/x?y=1"),
            ("http://node.example/mingpai/", "http://node.example/mingpai/v1/x?y=1"),
            ("https://node.example", "https://node.example/v1/x?y=1"),
        ] {
            let server: Server = text.parse().unwrap();
            assert_eq!(server.uri("/v1/x?y=1").unwrap().to_string(), whole);
        }
    }

    #[test]
    fn what_cannot_be_asked_is_said_at_once() {
        for text in ["", "127.0.0.1:8080", "ftp://x", "http://", "http://u:p@h", "http://h/?q=1"] {
            assert!(text.parse::<Server>().is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_in_an_identifier_changes_the_path() {
        assert_eq!(encode("88.1/a b?#%铭"), "88.1%2Fa%20b%3F%23%25%E9%93%AD");
    }
}
