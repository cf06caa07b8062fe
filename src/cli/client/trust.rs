//! Whose certificates count: the roots of one file, or those of this machine. There is no way to trust anybody.

use std::path::Path;
use std::sync::Arc;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::Server;
use crate::cli::failure::CliError;

/// The largest file that is read as roots.
const CA_LIMIT_BYTES: u64 = 4 << 20;

/// A connector that speaks TLS where the address says https. Roots are only read then.
pub(super) fn over_tls(
    connector: HttpConnector,
    server: &Server,
    ca_file: Option<&Path>,
) -> Result<HttpsConnector<HttpConnector>, CliError> {
    let roots = match (server.is_tls(), ca_file) {
        (false, _) => RootCertStore::empty(),
        (true, Some(file)) => roots_of(file)?,
        (true, None) => roots_of_this_machine()?,
    };
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| CliError::wrong(format!("TLS 无法启用：{error}"), format!("TLS does not start: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().wrap_connector(connector))
}

fn roots_of(file: &Path) -> Result<RootCertStore, CliError> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|file| file.take(CA_LIMIT_BYTES).read_to_end(&mut bytes))
        .map_err(CliError::file("读取根证书", "read the roots", file))?;
    let mut roots = RootCertStore::empty();
    let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes).filter_map(Result::ok).collect();
    let (added, _) = roots.add_parsable_certificates(found);
    if added == 0 {
        let file = file.display();
        return Err(CliError::wrong(
            format!("{file} 中没有 PEM 格式的证书：请指明根证书文件（-----BEGIN CERTIFICATE-----）"),
            format!("{file} holds no certificate in PEM: name the file of the root (-----BEGIN CERTIFICATE-----)"),
        ));
    }
    Ok(roots)
}

fn roots_of_this_machine() -> Result<RootCertStore, CliError> {
    let mut roots = RootCertStore::empty();
    // What cannot be read there is of no use; only having none at all is worth a word.
    let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        return Err(CliError::wrong(
            "本机没有根证书：请用 --ca-file FILE（或 MINGPAI_CA_FILE）指明，或安装 ca-certificates",
            "this machine has no root certificates: name one with --ca-file FILE (or MINGPAI_CA_FILE), or install ca-certificates",
        ));
    }
    Ok(roots)
}
