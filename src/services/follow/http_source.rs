//! A log over HTTP: HTTP/1.1, in the clear or over TLS, with time-outs and bounded answers. Redirects are not followed.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, RETRY_AFTER, USER_AGENT};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::RwLock;

use super::roots::roots;
use super::source::{Fetched, Source, SourceError};
use crate::model::text::Text;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Of a whole exchange: the largest bundle has 16 MiB.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(120);
/// No server may keep a reader waiting for longer than this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(30);

type Pool = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

pub struct HttpSource {
    connector: HttpsConnector<HttpConnector>,
    /// Replaced as a whole, to leave the connections that stand.
    pool: RwLock<Pool>,
    /// With the path that every part's path is added to; it ends without a slash.
    base: Uri,
    authorization: Option<Authorization>,
}

/// What is shown to whoever asks who is there.
struct Authorization {
    header: HeaderValue,
    /// The file or variable that the key is from, as a person is told.
    key_source: String,
    asked: Asked,
}

/// What a key must open, for the complaint where it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The log with what it hides.
    Disclosures,
    AuditTree,
}

impl HttpSource {
    /// A log at an address, such as `https://id.example.cn/log`. With `ca_file` only its roots count.
    pub fn new(address: &str, ca_file: Option<&Path>) -> Result<HttpSource, Text> {
        let shape = || {
            Text::new(
                format!("{address} 不是日志的地址：应为 http://主机:端口 或 https://主机:端口"),
                format!("{address} is no log's address: give http://HOST:PORT or https://HOST:PORT"),
            )
        };
        let base: Uri = address.trim_end_matches('/').parse().map_err(|_| shape())?;
        let is_known = [Scheme::HTTP, Scheme::HTTPS].iter().any(|scheme| base.scheme() == Some(scheme));
        if !is_known || base.query().is_some() || base.authority().is_none_or(|it| it.as_str().contains('@')) {
            return Err(shape());
        }
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        connector.enforce_http(false);
        let roots = if base.scheme() == Some(&Scheme::HTTPS) {
            roots(ca_file).map_err(|error| error.text())?
        } else {
            rustls::RootCertStore::empty()
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Text::new(format!("TLS 无法启用：{error}"), format!("TLS does not start: {error}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector);
        let pool = RwLock::new(pool(&connector));
        Ok(HttpSource { connector, pool, base, authorization: None })
    }

    /// With a key, for what is not for everybody: its header, and the file or variable that it is from.
    #[must_use]
    pub fn with_authorization(self, header: HeaderValue, key_source: &str, asked: Asked) -> HttpSource {
        let authorization = Authorization { header, key_source: key_source.to_owned(), asked };
        HttpSource { authorization: Some(authorization), ..self }
    }

    async fn exchange(&self, path: &str, limit_bytes: usize) -> Result<Bytes, SourceError> {
        let request = self.request(path)?;
        let pool = self.pool.read().clone();
        let response = pool.request(request).await.map_err(|error| broken(&error))?;
        let (head, body) = response.into_parts();
        match head.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => return Err(SourceError::Absent),
            status => return Err(self.key_refused(status).unwrap_or_else(|| refused(status, &head.headers))),
        }
        let body = read_body(body, limit_bytes).await?;
        match head.headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
            None | Some(b"identity") => Ok(body),
            Some(b"gzip" | b"x-gzip") => unpacked(&body, limit_bytes),
            Some(_) => Err(SourceError::Lasting(Text::new(
                "答复的内容编码不是 gzip",
                "the answer's content coding is not gzip",
            ))),
        }
    }

    /// What a status says of the key that was shown.
    fn key_refused(&self, status: StatusCode) -> Option<SourceError> {
        let Authorization { key_source: source, asked, .. } = self.authorization.as_ref()?;
        let cause = match (status, asked) {
            (StatusCode::UNAUTHORIZED, _) => Text::new(
                format!("节点不接受 {source} 中的密钥（已撤销、已过期，或属于另一节点）：请向其管理员换取新的密钥"),
                format!(
                    "the node does not accept the key in {source} (revoked, expired, or another node's): ask its administrator for a new one"
                ),
            ),
            (StatusCode::FORBIDDEN, Asked::AuditTree) => Text::new(
                format!("{source} 中的密钥无权读取审计树：须为审计员或管理员的密钥（mingpai token --role auditor）"),
                format!(
                    "the key in {source} does not open the audit tree: it must be an auditor's or an administrator's (mingpai token --role auditor)"
                ),
            ),
            (StatusCode::FORBIDDEN, Asked::Disclosures) => Text::new(
                format!("{source} 中的密钥无权读取：须为管理员密钥，且该节点本身不是镜像"),
                format!(
                    "the key in {source} does not open this: it must be an administrator's, and the node no mirror itself"
                ),
            ),
            _ => return None,
        };
        Some(SourceError::KeyRefused(cause))
    }

    fn request(&self, path: &str) -> Result<Request<Empty<Bytes>>, SourceError> {
        let long = || SourceError::Lasting(Text::new("地址过长", "the address is too long"));
        let path: PathAndQuery =
            format!("{}/{path}", self.base.path().trim_end_matches('/')).parse().map_err(|_| long())?;
        let mut parts = self.base.clone().into_parts();
        parts.path_and_query = Some(path);
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = Uri::from_parts(parts).map_err(|_| long())?;
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("mingpai/", env!("CARGO_PKG_VERSION"))));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.header.clone());
        }
        Ok(request)
    }
}

impl Source for HttpSource {
    fn fetch<'a>(&'a self, path: &'a str, limit_bytes: usize) -> Fetched<'a> {
        Box::pin(async move {
            match tokio::time::timeout(EXCHANGE_TIMEOUT, self.exchange(path, limit_bytes)).await {
                Ok(answer) => answer,
                Err(_) => {
                    let seconds = EXCHANGE_TIMEOUT.as_secs();
                    Err(passing(format!("{seconds} 秒内没有答复"), format!("no answer within {seconds} s")))
                }
            }
        })
    }

    fn renew(&self) {
        *self.pool.write() = pool(&self.connector);
    }
}

fn pool(connector: &HttpsConnector<HttpConnector>) -> Pool {
    Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector.clone())
}

async fn read_body(mut body: Incoming, limit_bytes: usize) -> Result<Bytes, SourceError> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error))?;
        if let Ok(piece) = frame.into_data() {
            if whole.len() + piece.len() > limit_bytes {
                return Err(SourceError::Oversize);
            }
            whole.extend_from_slice(&piece);
        }
    }
    Ok(whole.freeze())
}

fn unpacked(packed: &[u8], limit_bytes: usize) -> Result<Bytes, SourceError> {
    let mut whole = Vec::new();
    let read = MultiGzDecoder::new(packed).take(limit_bytes as u64 + 1).read_to_end(&mut whole);
    match read {
        Ok(_) if whole.len() > limit_bytes => Err(SourceError::Oversize),
        Ok(_) => Ok(whole.into()),
        Err(error) => Err(SourceError::Lasting(Text::new(
            format!("答复的 gzip 有误：{error}"),
            format!("the answer's gzip is broken: {error}"),
        ))),
    }
}

fn passing(zh: String, en: String) -> SourceError {
    SourceError::Passing { cause: Text::new(zh, en), retry_after: None }
}

/// What lies under the layers of a transport error is what tells a person something.
fn broken(error: &(dyn std::error::Error + 'static)) -> SourceError {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    let told = error.to_string();
    let Text { zh, en } = error.downcast_ref().map_or_else(|| Text::new(told.clone(), told.clone()), Text::of_io);
    passing(format!("连接不通或中断：{zh}"), format!("not reached, or broken off: {en}"))
}

fn refused(status: StatusCode, headers: &HeaderMap) -> SourceError {
    let cause = Text::new(
        format!("答复 HTTP {status}：请核对地址是否指向日志"),
        format!("it answered HTTP {status}; does the address lead to a log?"),
    );
    if !matches!(status.as_u16(), 429 | 500 | 502 | 503 | 504) {
        return SourceError::Lasting(cause);
    }
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    let retry_after = seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER));
    SourceError::Passing { cause, retry_after }
}
