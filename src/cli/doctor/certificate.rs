//! The certificate of TLS: the pair fits, is in force, and names the node.

use std::path::Path;

use http::Uri;

use super::{Check, Finding};
use crate::accept::{Certificates, FileFault, PairError, PairFiles, WARN_DAYS};
use crate::cli::shell;
use crate::config::Config;

const NAME: &str = "certificate";

/// Two checks where the configuration names a pair; none without TLS, and none for a throw-away pair.
pub fn check(config: &Config) -> Vec<Check> {
    let Some(files) = PairFiles::of(config) else {
        return Vec::new();
    };
    match Certificates::open(files.clone()) {
        Err(error) => vec![unusable(&error, &files)],
        Ok(certificates) => vec![in_force(&certificates), names(config, &files)],
    }
}

fn unusable(error: &PairError, files: &PairFiles) -> Check {
    let told = error.text();
    Check::new(NAME, Finding::Failed, told.zh, told.en, repair(error, files))
}

fn repair(error: &PairError, files: &PairFiles) -> String {
    let (certificate, key) = (shell::path(&files.certificate), shell::path(&files.key));
    match error {
        PairError::Certificate { path, fault } | PairError::Key { path, fault } => of_file(path, fault),
        // Both lines must be the same.
        PairError::Mismatch { .. } => format!(
            "openssl x509 -in {certificate} -noout -pubkey | sha256sum; openssl pkey -in {key} -pubout | sha256sum"
        ),
        PairError::Expired { .. } => renewal(files),
        PairError::NotYet { .. } => "timedatectl set-ntp true".to_owned(),
    }
}

fn of_file(path: &Path, fault: &FileFault) -> String {
    let path = shell::path(path);
    match fault {
        FileFault::Exposed { .. } => format!("chmod o= {path}"),
        FileFault::Unreadable(_) => format!("sudo -u mingpai head -c 1 {path}; ls -l {path}"),
        FileFault::TooLarge | FileFault::Nothing | FileFault::Unusable(_) => format!("head -n 1 {path}"),
    }
}

fn renewal(files: &PairFiles) -> String {
    let (certificate, key) = (shell::path(&files.certificate), shell::path(&files.key));
    format!("certbot renew  # or another pair in {certificate} and {key}; then: systemctl reload mingpai")
}

fn in_force(certificates: &Certificates) -> Check {
    let (expires, files) = (certificates.expires(), certificates.files());
    match certificates.ends_soon() {
        None => Check::ok(
            NAME,
            format!("证书与私钥成对，有效至 {expires}"),
            format!("certificate and key fit; in force until {expires}"),
        ),
        Some(days) => Check::new(
            NAME,
            Finding::Warning,
            format!("证书 {days} 天后（{expires}）到期，少于 {WARN_DAYS} 天"),
            format!("the certificate ends in {days} days, at {expires}: fewer than {WARN_DAYS}"),
            renewal(files),
        ),
    }
}

/// Clients compare the name that they asked for with those in the certificate, and with nothing else.
fn names(config: &Config, files: &PairFiles) -> Check {
    const NAME: &str = "names";
    let names = match files.names() {
        Ok(names) => names,
        Err(error) => return unusable(&error, files),
    };
    let shown = names.shown().join(" ");
    if shown.is_empty() {
        let host = host_of_issuer(config).map_or_else(|| "\"$(hostname -f)\"".to_owned(), |host| shell::word(&host));
        return Check::new(
            NAME,
            Finding::Failed,
            "证书没有 subjectAltName，客户端一律拒绝",
            "the certificate has no subjectAltName: every client refuses it",
            format!(
                "openssl req -new -key {} -subj /CN={host} -addext subjectAltName=DNS:{host}  # and have that signed",
                shell::path(&files.key)
            ),
        );
    }
    match host_of_issuer(config).filter(|host| !names.cover(host)) {
        None => Check::ok(NAME, format!("证书中的名称：{shown}"), format!("names in the certificate: {shown}")),
        Some(host) => Check::new(
            NAME,
            Finding::Warning,
            format!("node.iss 的主机名 {host} 不在证书中（{shown}）：按该地址访问的客户端会拒绝"),
            format!(
                "the host of node.iss, {host}, is not in the certificate ({shown}): clients that go there refuse it"
            ),
            format!("certbot certonly -d {}", shell::word(&host)),
        ),
    }
}

/// Where the issuer is an https address.
fn host_of_issuer(config: &Config) -> Option<String> {
    let uri: Uri = config.node.iss.parse().ok()?;
    (uri.scheme_str() == Some("https")).then(|| uri.host().map(str::to_owned)).flatten()
}
