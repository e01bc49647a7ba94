//! Mutual TLS between services: a process shows its own certificate, asks the other side for one, and reads all of it again
//! when the files change.

mod client;
mod peer;
mod watch;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use arc_swap::ArcSwap;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio_util::sync::CancellationToken;

pub use client::{Client, ClientFiles};
pub use peer::ServiceIds;
pub use watch::keep_fresh;

/// The only protocol on a gRPC connection, by its ALPN name.
const ALPN_HTTP2: &[u8] = b"h2";
/// Largest of the files, in bytes: some hundred certificates.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The files of one process, in PEM.
#[derive(Clone, Debug)]
pub struct Files {
    /// The process's certificate and what stands between it and the authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities that certificates of other services come from.
    pub authorities: PathBuf,
}

/// What a process shows and trusts. Changed files count for new connections; those that are open go on.
#[derive(Debug)]
pub struct Tls {
    files: Files,
    ids: ServiceIds,
    current: ArcSwap<Loaded>,
}

/// What the files held when they were last read.
#[derive(Debug)]
struct Loaded {
    contents: Contents,
    certificates: Vec<CertificateDer<'static>>,
    authorities: Arc<RootCertStore>,
    server: Arc<ServerConfig>,
}

#[derive(Eq, PartialEq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    authorities: Vec<u8>,
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A key is among them.
        formatter.write_str("Contents(..)")
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// A file cannot be read or holds no certificate or key, or certificate and key do not belong together. Names the file.
    pub fn load(files: Files, ids: ServiceIds) -> anyhow::Result<Self> {
        let contents = files.read()?;
        let loaded = Loaded::new(&files, contents)?;
        Ok(Self {
            files,
            ids,
            current: ArcSwap::from_pointee(loaded),
        })
    }

    /// How to meet clients: only those with a certificate of our authorities come in.
    pub fn server(&self) -> Arc<ServerConfig> {
        self.current.load().server.clone()
    }

    /// How to meet the service `logical`, and nobody else: its certificate must carry its id.
    ///
    /// # Errors
    /// Certificate and key cannot be used.
    pub fn client(&self, logical: &str) -> anyhow::Result<ClientConfig> {
        let current = self.current.load();
        let verifier = peer::IsService::new(current.authorities.clone(), self.ids.id_of(logical));
        let mut config = ClientConfig::builder()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(
                current.certificates.clone(),
                key(&self.files.key, &current.contents.key)?,
            )?;
        config.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
        Ok(config)
    }

    /// The service whose certificate this is; `None` where it is nobody's that we know.
    pub fn service_of(&self, certificates: Option<&[CertificateDer<'_>]>) -> Option<String> {
        self.ids.service_of_certificate(certificates?.first()?)
    }

    /// Reads the files again and again until `stop`. New ones that cannot be used are told in the log, and the old ones stay.
    pub(crate) async fn keep_fresh(&self, stop: CancellationToken) {
        keep_fresh(stop, || async {
            let files = self.files.clone();
            let contents = tokio::task::spawn_blocking(move || files.read()).await??;
            if contents == self.current.load().contents {
                return Ok(false);
            }
            let loaded = Loaded::new(&self.files, contents)?;
            self.current.store(Arc::new(loaded));
            Ok(true)
        })
        .await;
    }
}

impl Files {
    fn read(&self) -> anyhow::Result<Contents> {
        Ok(Contents {
            certificate: read(&self.certificate)?,
            key: read(&self.key)?,
            authorities: read(&self.authorities)?,
        })
    }
}

impl Loaded {
    fn new(files: &Files, contents: Contents) -> anyhow::Result<Self> {
        let certificates = certificates(&files.certificate, &contents.certificate)?;
        let authorities = authorities(&files.authorities, &contents.authorities)?;
        let mut server = ServerConfig::builder()
            .with_client_cert_verifier(WebPkiClientVerifier::builder(authorities.clone()).build()?)
            .with_single_cert(certificates.clone(), key(&files.key, &contents.key)?)
            .with_context(|| {
                let (certificate, key) = (files.certificate.display(), files.key.display());
                format!("{certificate} and {key}")
            })?;
        server.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
        Ok(Self {
            contents,
            certificates,
            authorities,
            server: Arc::new(server),
        })
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let explain = || format!("cannot read {}", path.display());
    if fs::metadata(path).with_context(explain)?.len() > MAX_FILE_BYTES {
        bail!("{} is larger than {MAX_FILE_BYTES} bytes", path.display());
    }
    fs::read(path).with_context(explain)
}

fn certificates(path: &Path, pem: &[u8]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(io::Error::other)
        .with_context(|| format!("{}: no PEM", path.display()))?;
    if certificates.is_empty() {
        bail!("{} holds no certificate", path.display());
    }
    Ok(certificates)
}

fn authorities(path: &Path, pem: &[u8]) -> anyhow::Result<Arc<RootCertStore>> {
    let mut authorities = RootCertStore::empty();
    for authority in certificates(path, pem)? {
        authorities
            .add(authority)
            .with_context(|| format!("{}: no authority", path.display()))?;
    }
    Ok(Arc::new(authorities))
}

fn key(path: &Path, pem: &[u8]) -> anyhow::Result<PrivateKeyDer<'static>> {
    // The error's own text could quote the file.
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|_| anyhow::anyhow!("{} holds no private key", path.display()))
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
