//! The HTTP client of a running node, for what it sends by itself: HTTP/1.1, in the clear or over TLS with the machine's own roots.
//!
//! Who uses it sets the time-outs of whole exchanges; only connecting has one here. Redirects are not followed.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// A client with its pool of connections.
pub type Outgoing = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A client for these addresses; roots are only read if one of them is https.
pub fn client<'a>(addresses: impl IntoIterator<Item = &'a Uri>, connect_timeout: Duration) -> io::Result<Outgoing> {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(connect_timeout));
    connector.enforce_http(false);
    let mut roots = rustls::RootCertStore::empty();
    if addresses.into_iter().any(|address| address.scheme_str() == Some("https")) {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector);
    Ok(Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector))
}

/// hyper's own words leave out what the connection failed of.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
