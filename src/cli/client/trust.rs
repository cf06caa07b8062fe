//! Whose certificates count: the roots of one file, or those of this machine. There is no way to trust anybody.

use std::path::Path;
use std::sync::Arc;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{ClientConfig, RootCertStore};

use super::Server;
use crate::cli::failure::CliError;
use crate::services::follow::roots::{RootsError, roots};

/// A connector that speaks TLS where the address says https. Roots are only read then.
pub(super) fn over_tls(
    connector: HttpConnector,
    server: &Server,
    ca_file: Option<&Path>,
) -> Result<HttpsConnector<HttpConnector>, CliError> {
    let roots = if server.is_tls() { roots(ca_file).map_err(failed)? } else { RootCertStore::empty() };
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| CliError::wrong(format!("TLS 无法启用：{error}"), format!("TLS does not start: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().wrap_connector(connector))
}

fn failed(error: RootsError) -> CliError {
    match error {
        RootsError::File { path, source } => CliError::file("读取根证书", "read the roots", &path)(source),
        other => CliError::Wrong(other.text()),
    }
}
