//! The two files of a certificate: read within bounds, and judged before anybody is shown them.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::names::Names;
use crate::config::{Config, TlsSpec};
use crate::model::text::Text;
use crate::model::time::Timestamp;

/// The largest file that is read as one of the two.
const FILE_LIMIT_BYTES: u64 = 1 << 20;

/// Where the certificate (PEM, the node's own first) and its key (PEM) lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Why a pair is not taken into use. Nothing of a file's content is repeated.
#[derive(Debug, thiserror::Error)]
#[error("{} / {}", self.text().zh, self.text().en)]
pub enum PairError {
    Certificate { path: PathBuf, fault: FileFault },
    Key { path: PathBuf, fault: FileFault },
    Mismatch { certificate: PathBuf, key: PathBuf },
    Expired { path: PathBuf, ended: Timestamp },
    NotYet { path: PathBuf, begins: Timestamp },
}

/// What can be wrong with one of the files.
#[derive(Debug)]
pub enum FileFault {
    Unreadable(io::Error),
    TooLarge,
    /// The bits that let others read a key.
    Exposed {
        mode: u32,
    },
    /// No PEM, or none of the wanted kind in it.
    Nothing,
    /// PEM, but not what rustls or X.509 make sense of.
    Unusable(String),
}

/// Both files as they were read at one moment.
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// A pair that fits and is in force.
pub(super) struct Pair {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) expires: Timestamp,
}

impl PairFiles {
    /// The files that the configuration names; none without TLS, and none for the throw-away pair of `tls.dev`.
    #[must_use]
    pub fn of(config: &Config) -> Option<Self> {
        let TlsSpec { certificate, key, .. } = &config.tls;
        let is_named = !certificate.as_os_str().is_empty();
        is_named.then(|| Self { certificate: certificate.clone(), key: key.clone() })
    }

    /// The names that clients may know the node by: the subjectAltName of its own certificate (RFC 9525, section 6), in order.
    pub fn names(&self) -> Result<Names, PairError> {
        let of_certificate = |fault| PairError::Certificate { path: self.certificate.clone(), fault };
        let bytes = read(&self.certificate, false).map_err(of_certificate)?;
        let first = CertificateDer::pem_slice_iter(&bytes).next().and_then(Result::ok);
        Names::of(&first.ok_or_else(|| of_certificate(FileFault::Nothing))?).map_err(of_certificate)
    }

    pub(super) fn read(&self) -> Result<Contents, PairError> {
        let certificate = read(&self.certificate, false)
            .map_err(|fault| PairError::Certificate { path: self.certificate.clone(), fault })?;
        let key = read(&self.key, true).map_err(|fault| PairError::Key { path: self.key.clone(), fault })?;
        Ok(Contents { certificate, key })
    }

    pub(super) fn key_unusable(&self, cause: String) -> PairError {
        PairError::Key { path: self.key.clone(), fault: FileFault::Unusable(cause) }
    }

    pub(super) fn judge(&self, contents: &Contents, now: Timestamp) -> Result<Pair, PairError> {
        let of_certificate = |fault| PairError::Certificate { path: self.certificate.clone(), fault };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&contents.certificate)
            .collect::<Result<_, _>>()
            .map_err(|_| of_certificate(FileFault::Nothing))?;
        let (begins, expires) = match chain.first() {
            Some(first) => validity(first).map_err(of_certificate)?,
            None => return Err(of_certificate(FileFault::Nothing)),
        };
        let key = PrivateKeyDer::from_pem_slice(&contents.key)
            .map_err(|_| PairError::Key { path: self.key.clone(), fault: FileFault::Nothing })?;
        let provider = rustls::crypto::ring::default_provider();
        let key = CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                PairError::Mismatch { certificate: self.certificate.clone(), key: self.key.clone() }
            }
            rustls::Error::InvalidCertificate(error) => of_certificate(FileFault::Unusable(format!("{error:?}"))),
            error => self.key_unusable(error.to_string()),
        })?;
        if now >= expires {
            return Err(PairError::Expired { path: self.certificate.clone(), ended: expires });
        }
        if now < begins {
            return Err(PairError::NotYet { path: self.certificate.clone(), begins });
        }
        Ok(Pair { key: Arc::new(key), expires })
    }
}

impl Contents {
    /// Tells one content from another without keeping the key about.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut both = ring::digest::Context::new(&ring::digest::SHA256);
        both.update(&(self.certificate.len() as u64).to_be_bytes());
        both.update(&self.certificate);
        both.update(&self.key);
        let mut digest = [0; 32];
        digest.copy_from_slice(both.finish().as_ref());
        digest
    }
}

fn read(path: &Path, is_secret: bool) -> Result<Vec<u8>, FileFault> {
    let file = File::open(path).map_err(FileFault::Unreadable)?;
    let mode = file.metadata().map_err(FileFault::Unreadable)?.permissions().mode() & 0o777;
    // A group may read it: distributions keep keys under a group of their own (ssl-cert, 0640).
    if is_secret && mode & 0o007 != 0 {
        return Err(FileFault::Exposed { mode });
    }
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT_BYTES + 1).read_to_end(&mut bytes).map_err(FileFault::Unreadable)?;
    if bytes.len() as u64 > FILE_LIMIT_BYTES { Err(FileFault::TooLarge) } else { Ok(bytes) }
}

/// From when until when a certificate counts (RFC 5280, section 4.1.2.5).
fn validity(certificate: &CertificateDer<'_>) -> Result<(Timestamp, Timestamp), FileFault> {
    let (_, read) =
        x509_parser::parse_x509_certificate(certificate).map_err(|error| FileFault::Unusable(error.to_string()))?;
    let moment = |time: x509_parser::time::ASN1Time| {
        Timestamp::from_seconds(time.timestamp()).map_err(|error| FileFault::Unusable(error.to_string()))
    };
    Ok((moment(read.validity().not_before)?, moment(read.validity().not_after)?))
}

impl PairError {
    /// The setting whose file is to be mended.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::Certificate { .. } | Self::Expired { .. } | Self::NotYet { .. } => "tls.certificate",
            Self::Key { .. } | Self::Mismatch { .. } => "tls.key",
        }
    }

    #[must_use]
    pub fn text(&self) -> Text {
        match self {
            Self::Certificate { path, fault } => fault.text(path, "证书", "certificate", "CERTIFICATE"),
            Self::Key { path, fault } => fault.text(path, "私钥", "private key", "PRIVATE KEY"),
            Self::Mismatch { certificate, key } => {
                let (certificate, key) = (certificate.display(), key.display());
                Text::new(
                    format!(
                        "私钥 {key} 与证书 {certificate} 不成对: 请换上签发该证书时所用的私钥, 且节点自己的证书须排在文件最前"
                    ),
                    format!(
                        "the key {key} does not belong to the certificate {certificate}: put the key there that the certificate \
                         was issued for; the node's own certificate must be the first in its file"
                    ),
                )
            }
            Self::Expired { path, ended } => {
                let path = path.display();
                Text::new(
                    format!("证书 {path} 已于 {ended} 到期: 请续期并换上新证书"),
                    format!("the certificate {path} ended at {ended}: renew it and put the new one there"),
                )
            }
            Self::NotYet { path, begins } => {
                let path = path.display();
                Text::new(
                    format!("证书 {path} 到 {begins} 才生效: 请核对本机时钟, 或换上已生效的证书"),
                    format!(
                        "the certificate {path} begins at {begins}: set this machine's clock, or use one that is in force"
                    ),
                )
            }
        }
    }
}

impl FileFault {
    fn text(&self, path: &Path, zh: &str, en: &str, label: &str) -> Text {
        let path = path.display();
        match self {
            Self::Unreadable(error) => Text::new(
                format!("无法读取{zh} {path}: {error}; 请核对路径, 并确认运行节点的用户可以读取"),
                format!("cannot read the {en} {path}: {error}; check the path, and that the node's user may read it"),
            ),
            Self::TooLarge => Text::new(
                format!("{path} 超过 1 MiB, 不会是{zh}: 请核对路径"),
                format!("{path} is over 1 MiB and no {en}: check the path"),
            ),
            Self::Exposed { mode } => Text::new(
                format!("{zh} {path} 可被任何人读取 (权限 {mode:03o}): 请执行 chmod o= {path}, 并考虑更换私钥"),
                format!(
                    "the {en} {path} may be read by anybody (mode {mode:03o}): run chmod o= {path}, and consider a new key"
                ),
            ),
            Self::Nothing => Text::new(
                format!("{path} 中没有 PEM 格式的{zh} (-----BEGIN … {label}-----, 私钥不能带口令): 请转换为该格式"),
                format!(
                    "{path} holds no {en} in PEM (-----BEGIN … {label}-----; a key without a passphrase): convert it to that"
                ),
            ),
            Self::Unusable(cause) => Text::new(
                format!("{path} 中的{zh}不可用: {cause}; 可用的密钥: RSA (2048 位起), ECDSA P-256 与 P-384, Ed25519"),
                format!(
                    "the {en} in {path} cannot be used: {cause}; usable keys: RSA (from 2048 bits), ECDSA P-256 and P-384, Ed25519"
                ),
            ),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;

    /// A folder with a pair that is in force from `begins` to `ends`, in days from now.
    pub(in super::super) fn pair(begins: i64, ends: i64) -> (tempfile::TempDir, PairFiles) {
        let folder = tempfile::tempdir().unwrap();
        let files = PairFiles { certificate: folder.path().join("c.pem"), key: folder.path().join("k.pem") };
        put(&files, begins, ends);
        (folder, files)
    }

    pub(in super::super) fn put(files: &PairFiles, begins: i64, ends: i64) {
        let moment = |days: i64| {
            let seconds = Timestamp::now().as_seconds() + days * 24 * 3600;
            rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(seconds).unwrap())
        };
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (moment(begins), moment(ends));
        let key = rcgen::KeyPair::generate().unwrap();
        std::fs::write(&files.certificate, params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        set_mode(&files.key, 0o640);
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn judged(files: &PairFiles) -> Result<Timestamp, PairError> {
        let contents = files.read()?;
        files.judge(&contents, Timestamp::now()).map(|pair| pair.expires)
    }

    fn complaint(files: &PairFiles) -> (&'static str, String) {
        let error = judged(files).unwrap_err();
        (error.key(), error.text().en)
    }

    #[test]
    fn a_good_pair_says_when_it_ends() {
        let (_folder, files) = pair(-1, 30);
        let days = (judged(&files).unwrap().as_seconds() - Timestamp::now().as_seconds()) / (24 * 3600);
        assert!((29..=30).contains(&days));
    }

    #[test]
    fn a_pair_outside_its_time_is_refused() {
        let (_folder, files) = pair(-30, -1);
        let (key, text) = complaint(&files);
        assert!(key == "tls.certificate" && text.contains("ended at") && text.contains("renew"), "{text}");
        put(&files, 1, 30);
        let (key, text) = complaint(&files);
        assert!(key == "tls.certificate" && text.contains("begins at") && text.contains("clock"), "{text}");
    }

    #[test]
    fn a_key_that_anybody_may_read_is_refused_and_a_group_is_not_anybody() {
        let (_folder, files) = pair(-1, 30);
        set_mode(&files.key, 0o644);
        let (key, text) = complaint(&files);
        assert!(key == "tls.key" && text.contains("mode 644") && text.contains("chmod o="), "{text}");
        set_mode(&files.key, 0o640);
        assert!(judged(&files).is_ok());
    }

    #[test]
    fn each_file_is_blamed_for_its_own_fault() {
        let (_folder, files) = pair(-1, 30);
        let (_other_folder, other) = pair(-1, 30);
        let mixed = PairFiles { key: other.key.clone(), ..files.clone() };
        let (key, text) = complaint(&mixed);
        assert!(key == "tls.key" && text.contains("does not belong"), "{text}");

        let swapped = PairFiles { certificate: files.key.clone(), key: files.key.clone() };
        assert!(complaint(&swapped).1.contains("no certificate in PEM"));
        std::fs::write(
            &other.key,
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n",
        )
        .unwrap();
        assert!(complaint(&other).1.contains("without a passphrase"));
        std::fs::write(&other.key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
        assert!(complaint(&other).1.contains("cannot be used"));
        std::fs::write(&files.certificate, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert!(complaint(&files).1.contains("cannot be used"));
        std::fs::write(&files.certificate, vec![b'x'; (1 << 20) + 1]).unwrap();
        assert!(complaint(&files).1.contains("over 1 MiB"));
        std::fs::remove_file(&files.certificate).unwrap();
        let (key, text) = complaint(&files);
        assert!(key == "tls.certificate" && text.contains("check the path"), "{text}");
    }
}
