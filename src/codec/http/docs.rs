//! `/openapi.json`, and `/docs`: the document of the interface, and a page to read it with (swagger-ui, vendored).
//!
//! Everything is of this program: no foreign host is named, and the page's policy would let none be asked. Files lie in the
//! program packed, and go out so to whoever takes gzip.

use std::io::Read as _;
use std::sync::{Arc, OnceLock};

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use bytes::Bytes;
use flate2::Compression;
use flate2::read::{GzDecoder, GzEncoder};
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, IF_NONE_MATCH, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::call::Call;
use super::negotiation::best;
use super::preconditions::is_known;
use super::query::Query;
use super::reply::{self, JSON, Keep, Reply};
use super::{Desk, openapi};
use crate::codec::language::{self, quality};
use crate::codec::problem::Code;
use crate::model::text::Language;

const ROUTE: &str = "/docs/";
const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
/// A new limit of the configuration must be seen soon.
const DOCUMENT_SECONDS: u32 = 60;
/// Files change with the program only, and then their ETags do.
const FILE_SECONDS: u32 = 3_600;

/// Scripts, styles and requests of this node alone. swagger-ui's icons are data URLs.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Tells swagger-ui where the document is. Without `validatorUrl` it would ask a foreign host about it.
const START: &[u8] = b"window.addEventListener('load', () => {
  SwaggerUIBundle({
    url: '/openapi.json',
    dom_id: '#swagger-ui',
    deepLinking: true,
    docExpansion: 'list',
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    validatorUrl: null,
  });
});
";

/// A file of the page: its name, its type, its bytes, and whether they are packed.
struct File {
    name: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
    is_packed: bool,
}

macro_rules! vendored {
    ($file:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/vendor/swagger-ui/", $file))
    };
}

/// What bundles of scripts are said to hold stands beside them, as their licences ask.
const FILES: [File; 6] = [
    File { name: "start.js", media_type: SCRIPT, bytes: START, is_packed: false },
    File {
        name: "swagger-ui-bundle.js",
        media_type: SCRIPT,
        bytes: vendored!("swagger-ui-bundle.js.gz"),
        is_packed: true,
    },
    File { name: "swagger-ui.css", media_type: CSS, bytes: vendored!("swagger-ui.css.gz"), is_packed: true },
    File {
        name: "swagger-ui-bundle.js.LICENSE.txt",
        media_type: TEXT,
        bytes: vendored!("swagger-ui-bundle.js.LICENSE.txt.gz"),
        is_packed: true,
    },
    File { name: "LICENSE", media_type: TEXT, bytes: vendored!("LICENSE"), is_packed: false },
    File { name: "NOTICE", media_type: TEXT, bytes: vendored!("NOTICE"), is_packed: false },
];

/// The files' names, for the document.
pub(super) fn file_names() -> Vec<&'static str> {
    FILES.iter().map(|file| file.name).collect()
}

/// Their types.
pub(super) fn media_types() -> Vec<&'static str> {
    vec![CSS, SCRIPT, TEXT]
}

/// The document of a node, made at its first asking.
#[derive(Default)]
pub struct OnceDocument(OnceLock<Packed>);

/// An answer in both forms.
struct Packed {
    plain: Bytes,
    gzip: Bytes,
}

impl Packed {
    fn of(plain: Vec<u8>) -> Self {
        let mut gzip = Vec::new();
        // Reading from memory and packing into memory has no failure to report; an empty packing would not be sent.
        let _ = GzEncoder::new(plain.as_slice(), Compression::best()).read_to_end(&mut gzip);
        Self { plain: plain.into(), gzip: gzip.into() }
    }
}

pub(super) async fn document(desk: Arc<Desk>, call: Call) -> Reply {
    Query::of(&call.uri, &[])?;
    best(&call.headers, &[JSON])?;
    let packed = desk.document.0.get_or_init(|| Packed::of(openapi::document(&desk.limits).to_string().into_bytes()));
    let gzip = takes_gzip(&call.headers).then(|| packed.gzip.clone()).filter(|gzip| !gzip.is_empty());
    let (body, is_packed) = gzip.map_or_else(|| (packed.plain.clone(), false), |gzip| (gzip, true));
    Ok(sent(&call.headers, JSON, Keep::Public(DOCUMENT_SECONDS), body, is_packed))
}

pub(super) async fn page(_desk: Arc<Desk>, call: Call) -> Reply {
    Query::of(&call.uri, &[])?;
    best(&call.headers, &["text/html"])?;
    let keep = Keep::Public(DOCUMENT_SECONDS);
    let mut response = sent(&call.headers, HTML, keep, written(call.language).into(), false);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(language::tag(call.language)));
    headers.insert(VARY, HeaderValue::from_static("accept, accept-language"));
    Ok(response)
}

pub(super) async fn file(_desk: Arc<Desk>, call: Call) -> Reply {
    let name = call.text_after(ROUTE)?;
    let file = FILES.iter().find(|file| file.name == name).ok_or(Code::RouteUnknown)?;
    Query::of(&call.uri, &[])?;
    best(&call.headers, &[file.media_type.split(';').next().unwrap_or(file.media_type)])?;
    let is_packed = file.is_packed && takes_gzip(&call.headers);
    let body = if file.is_packed && !is_packed {
        let mut plain = Vec::new();
        // Bytes of the program's own, which a test unpacks.
        GzDecoder::new(file.bytes).read_to_end(&mut plain).map_err(|_| Code::Internal)?;
        plain.into()
    } else {
        Bytes::from_static(file.bytes)
    };
    Ok(sent(&call.headers, file.media_type, Keep::Public(FILE_SECONDS), body, is_packed))
}

/// An answer that is known by its content.
fn sent(headers: &HeaderMap, media_type: &'static str, keep: Keep, body: Bytes, is_packed: bool) -> Response<Body> {
    let etag = etag(&body);
    let is_known = headers.get(IF_NONE_MATCH).is_some_and(|header| is_known(header, &etag));
    let status = if is_known { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let body = if is_known { Body::empty() } else { Body::from(body) };
    let mut response = reply::of_type(media_type, status, keep, body);
    reply::add_etag(&mut response, etag);
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_known {
        headers.remove(CONTENT_TYPE);
    } else if is_packed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// The packed and the plain form have each their own.
fn etag(body: &Bytes) -> Bytes {
    let digest = ring::digest::digest(&ring::digest::SHA256, body);
    let short = digest.as_ref().get(..16).unwrap_or_default();
    format!("\"{}\"", BASE64URL.encode(short)).into()
}

/// RFC 9110, section 12.5.3: said by name or by `*`, with a quality above zero.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let said = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut by_name = None;
    let mut by_any = None;
    for coding in said.flat_map(|text| text.split(',')) {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => by_name = Some(quality(parameters) > 0),
            "*" => by_any = Some(quality(parameters) > 0),
            _ => {}
        }
    }
    by_name.or(by_any).unwrap_or(false)
}

fn written(language: Language) -> String {
    let (title, without) = match language {
        Language::Zh => ("铭牌接口文档", "此页需要脚本；文档本身在"),
        Language::En => ("Mingpai API", "This page needs scripts; the document itself is at"),
    };
    let tag = language::tag(language);
    format!(
        "<!doctype html><html lang=\"{tag}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <link rel=\"icon\" href=\"data:,\"><link rel=\"stylesheet\" href=\"/docs/swagger-ui.css\"></head>\
         <body><noscript><p>{without} <a href=\"/openapi.json\">/openapi.json</a></p></noscript>\
         <div id=\"swagger-ui\"></div><script src=\"/docs/swagger-ui-bundle.js\"></script>\
         <script src=\"/docs/start.js\"></script></body></html>"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write as _;

    use super::*;
    use crate::codec::http::routes::ROUTES;

    #[test]
    fn every_route_is_in_the_document_and_nothing_else() {
        let described: BTreeSet<(&str, String)> =
            openapi::described().into_iter().map(|(verb, path)| (verb, path.to_owned())).collect();
        let is_whole = |path: &str| path == "/" || !path.ends_with('/');
        let mut routed = BTreeSet::new();
        for route in ROUTES {
            for (verb, _) in route.verbs {
                if is_whole(route.path) {
                    routed.insert((*verb, route.path.replace("{*", "{")));
                } else {
                    // The same with nothing in it: a name that is empty, or a page with a slash behind it.
                    let twins = [format!("{}{{*identifier}}", route.path), route.path.trim_end_matches('/').to_owned()];
                    let has_twin = ROUTES.iter().any(|other| twins.iter().any(|twin| twin == other.path));
                    assert!(has_twin, "{verb} {} has no described twin", route.path);
                }
            }
        }
        let missing: Vec<_> = routed.difference(&described).collect();
        assert!(missing.is_empty(), "routed, but no Operation in src/codec/http/openapi/operations: {missing:?}");
        let surplus: Vec<_> = described.difference(&routed).collect();
        assert!(surplus.is_empty(), "described, but not routed: {surplus:?}");
    }

    #[test]
    fn vendored_files_unpack_to_what_their_readme_says() {
        let readme = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/vendor/swagger-ui/README.md"));
        let mut packed_bytes = 0;
        for file in FILES.iter().filter(|file| file.is_packed) {
            packed_bytes += file.bytes.len();
            let mut plain = Vec::new();
            GzDecoder::new(file.bytes).read_to_end(&mut plain).unwrap();
            let digest = ring::digest::digest(&ring::digest::SHA256, &plain);
            let mut hash = String::new();
            for byte in digest.as_ref() {
                write!(hash, "{byte:02x}").unwrap();
            }
            assert!(readme.contains(&format!("| `{}` | {} | `{hash}` |", file.name, plain.len())), "{}", file.name);
        }
        assert!(packed_bytes < 600 << 10, "the program grew by {packed_bytes} bytes");
        for file in FILES.iter() {
            assert!(media_types().contains(&file.media_type), "{}", file.name);
        }
    }

    #[test]
    fn gzip_goes_to_those_who_take_it() {
        for (said, takes) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("*", true),
            ("gzip;q=0, *", false),
            ("identity", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(said));
            assert_eq!(takes_gzip(&headers), takes, "{said}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
