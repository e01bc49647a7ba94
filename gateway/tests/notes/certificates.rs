//! An authority, and certificates of services and hosts as files.

use std::path::{Path, PathBuf};

use chassis::tls::{Files, ServiceIds, Tls};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};

use super::replace;

/// How ids begin.
pub(crate) const PREFIX: &str = "spiffe://test/";

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        replace(&folder.path().join("ca.pem"), certificate.pem().as_bytes());
        Self {
            issuer: Issuer::new(parameters, key),
            folder,
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate with the id of a service.
    pub(crate) fn service(&self, name: &str) -> Files {
        let id = ServiceIds::new(PREFIX).id_of(name);
        self.issue(name, SanType::URI(id.try_into().expect("ASCII")))
    }

    /// A certificate for a host.
    pub(crate) fn host(&self, name: &str) -> Files {
        self.issue(name, SanType::DnsName(name.try_into().expect("ASCII")))
    }

    fn issue(&self, name: &str, is: SanType) -> Files {
        let mut parameters = CertificateParams::default();
        parameters.subject_alt_names = vec![is];
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("signed");
        let at = |kind: &str| self.folder.path().join(format!("{name}.{kind}"));
        replace(&at("pem"), certificate.pem().as_bytes());
        replace(&at("key"), key.serialize_pem().as_bytes());
        Files {
            certificate: at("pem"),
            key: at("key"),
            authorities: self.path(),
        }
    }

    /// How a service of the chassis meets its callers.
    pub(crate) fn meets(&self, name: &str) -> Tls {
        Tls::load(self.service(name), ServiceIds::new(PREFIX)).expect("certificates")
    }
}

/// As an argument.
pub(crate) fn text(path: &Path) -> String {
    path.display().to_string()
}
