//! The throw-away certificate of `--dev --tls`, for localhost, 127.0.0.1 and [::1], in DATA/tls.
//!
//! A root is made, signs one certificate, and its key is forgotten: whoever trusts `ca.pem` trusts this node and nothing
//! that could be made later.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

use crate::accept::{Certificates, PairFiles};
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::sign::keys::{KeyError, write_secret_file};

const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// Long enough for a demonstration, short enough that nobody comes to rely on it.
const LIFE: Duration = Duration::from_secs(90 * 24 * 3600);
/// The beginning lies back, for clients whose clock is slow.
const SLACK: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, thiserror::Error)]
pub enum DevCertificateError {
    #[error("the throw-away certificate cannot be made: {0}")]
    Making(#[from] rcgen::Error),
    #[error(transparent)]
    Writing(#[from] KeyError),
    #[error("cannot clear away {path}: {source}; remove it and start again")]
    Clearing { path: PathBuf, source: std::io::Error },
}

impl DevCertificateError {
    #[must_use]
    pub fn text(&self) -> Text {
        match self {
            Self::Making(cause) => Text::new(format!("无法生成临时证书：{cause}"), self.to_string()),
            Self::Writing(error) => error.text(),
            Self::Clearing { path, source } => {
                let (path, reason) = (path.display(), Text::of_io(source));
                Text::new(format!("无法清除旧的临时证书 {path}：{}。请手动删除后重试", reason.zh), self.to_string())
            }
        }
    }
}

/// What a client of this node is given with `--cacert` or `--ca-file`.
#[must_use]
pub fn ca_file(data: &Path) -> PathBuf {
    data.join("tls").join("ca.pem")
}

/// The pair in DATA/tls: the one that is there while it is good for a while, otherwise a new one.
pub fn dev_certificate(data: &Path) -> Result<PairFiles, DevCertificateError> {
    let folder = data.join("tls");
    let files = PairFiles { certificate: folder.join("certificate.pem"), key: folder.join("key.pem") };
    let is_good = Certificates::open(files.clone()).is_ok_and(|pair| pair.ends_soon().is_none());
    if !is_good || !ca_file(data).exists() {
        make(data, &folder, &files)?;
    }
    Ok(files)
}

fn make(data: &Path, folder: &Path, files: &PairFiles) -> Result<(), DevCertificateError> {
    let clearing = |path: &Path| {
        let path = path.to_owned();
        move |source| DevCertificateError::Clearing { path, source }
    };
    for folder in [data, folder] {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(clearing(folder))?;
    }
    // The key goes first and comes last: a start that is cut short between leaves no pair that could be taken for a good one.
    for path in [&files.key, &files.certificate, &ca_file(data)] {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(clearing(path)(error)),
            _ => {}
        }
    }
    let since_1970 = Duration::from_secs(u64::try_from(Timestamp::now().as_seconds()).unwrap_or_default());
    let params = |names: &[&str], common_name: &str| {
        let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
        params.not_before = date_time_ymd(1970, 1, 1) + since_1970.saturating_sub(SLACK);
        params.not_after = date_time_ymd(1970, 1, 1) + since_1970 + LIFE;
        params.distinguished_name.push(DnType::CommonName, common_name);
        Ok::<_, rcgen::Error>(params)
    };
    let mut root = params(&[], "Mingpai --dev: throw-away root")?;
    root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let root_key = KeyPair::generate()?;
    let root_certificate = root.self_signed(&root_key)?;

    let mut node = params(&NAMES, "localhost")?;
    node.use_authority_key_identifier_extension = true;
    node.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    node.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let node_key = KeyPair::generate()?;
    let node_certificate = node.signed_by(&node_key, &Issuer::new(root, root_key))?;

    write_secret_file(&ca_file(data), root_certificate.pem().as_bytes())?;
    write_secret_file(&files.certificate, node_certificate.pem().as_bytes())?;
    write_secret_file(&files.key, node_key.serialize_pem().as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_good_one_is_kept_and_a_broken_one_is_made_anew() {
        let data = tempfile::tempdir().unwrap();
        let files = dev_certificate(data.path()).unwrap();
        let first = std::fs::read(&files.certificate).unwrap();
        assert_eq!(std::fs::metadata(&files.key).unwrap().permissions().mode() & 0o777, 0o600);
        dev_certificate(data.path()).unwrap();
        assert_eq!(std::fs::read(&files.certificate).unwrap(), first);
        std::fs::write(&files.key, "cut sho").unwrap();
        dev_certificate(data.path()).unwrap();
        assert_ne!(std::fs::read(&files.certificate).unwrap(), first);
        assert!(Certificates::open(files).is_ok());
    }
}
