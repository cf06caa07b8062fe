//! Whose certificates count where a log is fetched: the roots of one file, or those of this machine. There is no way to trust
//! anybody.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::model::text::Text;

/// The largest file that is read as roots.
const CA_LIMIT_BYTES: u64 = 4 << 20;

#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    #[error("read the roots in {path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("{0} holds no certificate in PEM")]
    NoCertificate(PathBuf),
    #[error("this machine has no root certificates")]
    NoneHere,
}

impl RootsError {
    /// What happened and what to do.
    #[must_use]
    pub fn text(&self) -> Text {
        match self {
            Self::File { path, source } => {
                let (path, reason) = (path.display(), Text::of_io(source));
                Text::new(
                    format!("读取根证书 {path} 失败：{}。请核对路径与权限", reason.zh),
                    format!("cannot read the roots in {path}: {}; check path and permissions", reason.en),
                )
            }
            Self::NoCertificate(path) => {
                let path = path.display();
                Text::new(
                    format!("{path} 中没有 PEM 格式的证书：请指明根证书文件（-----BEGIN CERTIFICATE-----）"),
                    format!(
                        "{path} holds no certificate in PEM: name the file of the root (-----BEGIN CERTIFICATE-----)"
                    ),
                )
            }
            Self::NoneHere => Text::new(
                "本机没有根证书：请用 --ca-file FILE（或 MINGPAI_CA_FILE）指明，或安装 ca-certificates",
                "this machine has no root certificates: name one with --ca-file FILE (or MINGPAI_CA_FILE), or install ca-certificates",
            ),
        }
    }
}

/// The roots in a file, or without one those of this machine.
pub fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, RootsError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca_file else {
        // What cannot be read there is of no use; only having none at all is worth a word.
        let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if added == 0 { Err(RootsError::NoneHere) } else { Ok(roots) };
    };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(CA_LIMIT_BYTES).read_to_end(&mut bytes))
        .map_err(|source| RootsError::File { path: path.to_owned(), source })?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes).filter_map(Result::ok).collect();
    let (added, _) = roots.add_parsable_certificates(found);
    if added == 0 { Err(RootsError::NoCertificate(path.to_owned())) } else { Ok(roots) }
}
