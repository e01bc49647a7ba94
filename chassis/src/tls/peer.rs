//! Who the other side of a connection is: the SPIFFE id in its certificate.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

/// How ids in certificates name services: a prefix, then the logical name. Istio's are
/// `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.
#[derive(Clone, Debug)]
pub struct ServiceIds {
    prefix: Arc<str>,
}

impl ServiceIds {
    /// Ids that begin with `prefix`, e.g. `spiffe://cluster.local/ns/shop/sa/`.
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.into(),
        }
    }

    /// The id of a service.
    pub fn id_of(&self, logical: &str) -> String {
        format!("{}{logical}", self.prefix)
    }

    /// The service that an id names; `None` where it is no id of ours.
    pub fn service_of(&self, id: &str) -> Option<String> {
        let name = id.strip_prefix(&*self.prefix)?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        (!name.is_empty() && name.chars().all(is_name)).then(|| name.to_owned())
    }

    /// The service whose certificate this is. One with several ids is nobody's: SPIFFE allows one.
    pub(super) fn service_of_certificate(
        &self,
        certificate: &CertificateDer<'_>,
    ) -> Option<String> {
        self.service_of(&only_id(certificate)?)
    }
}

/// The one URI among a certificate's names.
fn only_id(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    let mut ids = certificate.valid_uri_names();
    let id = ids.next()?.to_owned();
    ids.next().is_none().then_some(id)
}

/// Takes only the certificate of one service. Host names say nothing in a mesh: addresses come and go, ids stay.
#[derive(Debug)]
pub(super) struct IsService {
    authorities: Arc<RootCertStore>,
    id: String,
    provider: Arc<CryptoProvider>,
}

impl IsService {
    pub(super) fn new(authorities: Arc<RootCertStore>, id: String) -> Self {
        let provider = CryptoProvider::get_default()
            .cloned()
            .unwrap_or_else(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        Self {
            authorities,
            id,
            provider,
        }
    }
}

impl ServerCertVerifier for IsService {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(certificate)?,
            &self.authorities,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        if only_id(certificate).as_deref() == Some(self.id.as_str()) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::NotValidForName.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_a_service_or_nobody() {
        let ids = ServiceIds::new("spiffe://cluster.local/ns/shop/sa/");
        assert_eq!(
            ids.service_of(&ids.id_of("ordering")).as_deref(),
            Some("ordering")
        );
        for foreign in [
            "spiffe://cluster.local/ns/shop/sa/",
            "spiffe://cluster.local/ns/shop/sa/a/b",
            "spiffe://cluster.local/ns/shop/sa/saga?x",
            "spiffe://cluster.local/ns/other/sa/saga",
            "spiffe://evil/ns/shop/sa/saga",
            "saga",
            "",
        ] {
            assert_eq!(ids.service_of(foreign), None, "{foreign}");
        }
    }
}
