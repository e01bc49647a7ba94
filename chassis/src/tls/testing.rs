//! For tests: an authority and certificates of services, as files.

use std::{fs, path::Path};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};

use super::{Files, ServiceIds};

/// How ids begin in tests.
pub(crate) const PREFIX: &str = "spiffe://test/";

/// Makes certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = parameters.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(parameters, key),
            pem,
        }
    }

    /// Writes a new certificate with the id of `service`, its key and the authority's certificate into `folder`.
    pub(crate) fn issue(&self, service: &str, folder: &Path) -> Files {
        let mut parameters = CertificateParams::default();
        let id = ServiceIds::new(PREFIX).id_of(service);
        parameters.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let files = Files {
            certificate: folder.join(format!("{service}.pem")),
            key: folder.join(format!("{service}.key")),
            authorities: folder.join(format!("{service}-authorities.pem")),
        };
        fs::write(&files.certificate, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        fs::write(&files.authorities, &self.pem).unwrap();
        files
    }
}
