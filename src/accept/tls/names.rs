//! The names in a certificate: what clients may call the node by, judged as they judge it.

use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use x509_parser::extensions::GeneralName;

use super::pair::FileFault;

/// The subjectAltName of one certificate. A common name counts for nothing (RFC 9525, section 2).
#[derive(Clone, Debug)]
pub struct Names {
    certificate: CertificateDer<'static>,
    shown: Vec<String>,
}

impl Names {
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Result<Self, FileFault> {
        let unusable = |error: String| FileFault::Unusable(error);
        let (_, read) =
            x509_parser::parse_x509_certificate(certificate).map_err(|error| unusable(error.to_string()))?;
        let names = read.subject_alternative_name().map_err(|error| unusable(error.to_string()))?;
        let shown = names.map(|names| names.value.general_names.iter().filter_map(shown).collect());
        Ok(Self { certificate: certificate.clone().into_owned(), shown: shown.unwrap_or_default() })
    }

    /// Host names (with their wildcards) and addresses, as they are written.
    #[must_use]
    pub fn shown(&self) -> &[String] {
        &self.shown
    }

    /// Whether a client that asks for this host finds it here.
    #[must_use]
    pub fn cover(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let Ok(name) = ServerName::try_from(host) else { return false };
        ParsedCertificate::try_from(&self.certificate).is_ok_and(|read| verify_server_name(&read, &name).is_ok())
    }
}

fn shown(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(four) => Some(std::net::Ipv4Addr::from(four).to_string()),
            Err(_) => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string()),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_as_a_client_finds_them() {
        let names = ["id.example.cn", "*.node.example.cn", "192.0.2.1", "2001:db8::1"].map(str::to_owned).to_vec();
        let made = rcgen::generate_simple_self_signed(names.clone()).unwrap();
        let found = Names::of(made.cert.der()).unwrap();
        assert_eq!(found.shown(), names);
        for good in ["id.example.cn", "a.node.example.cn", "192.0.2.1", "2001:db8::1", "[2001:db8::1]"] {
            assert!(found.cover(good), "{good}");
        }
        for bad in ["example.cn", "a.b.node.example.cn", "192.0.2.2", "", "a b"] {
            assert!(!found.cover(bad), "{bad}");
        }
        let nameless = rcgen::generate_simple_self_signed(Vec::new()).unwrap();
        let found = Names::of(nameless.cert.der()).unwrap();
        assert!(found.shown().is_empty() && !found.cover("id.example.cn"));
    }
}
