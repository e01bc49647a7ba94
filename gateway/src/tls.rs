//! TLS towards clients: the certificate's files, read again when they change.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use chassis::tls;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

/// What clients may choose by ALPN, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// Longest time of a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The files, in PEM.
#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate and what stands between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The certificate that clients are shown. A changed one counts for new connections; those that are open go on.
#[derive(Debug)]
pub struct Tls {
    files: Files,
    current: ArcSwap<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    certificate: Vec<u8>,
    key: Vec<u8>,
    config: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// A file cannot be read, or key and certificate do not belong together.
    pub fn load(files: Files) -> anyhow::Result<Self> {
        let current = ArcSwap::from_pointee(Loaded::read(&files)?);
        Ok(Self { files, current })
    }

    /// Looks at the files again and again until `stop`. What cannot be used leaves the old certificate in place and is told
    /// in the log.
    pub async fn keep_fresh(&self, stop: CancellationToken) {
        tls::keep_fresh(stop, || async {
            let loaded = Loaded::read(&self.files)?;
            let current = self.current.load();
            let is_new = loaded.certificate != current.certificate || loaded.key != current.key;
            if is_new {
                self.current.store(Arc::new(loaded));
            }
            Ok(is_new)
        })
        .await;
    }

    /// Shakes hands with a client; `None` where it does not, in time.
    pub(crate) async fn accept<S>(&self, stream: S) -> Option<TlsStream<S>>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let acceptor = TlsAcceptor::from(self.current.load().config.clone());
        match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                // The client's doing: a scanner, or one that does not trust the certificate.
                tracing::debug!(error = &error as &dyn std::error::Error, "no handshake");
                None
            }
            Err(_) => None,
        }
    }
}

impl Loaded {
    fn read(files: &Files) -> anyhow::Result<Self> {
        let read = |path: &PathBuf| std::fs::read(path).with_context(|| path.display().to_string());
        let (certificate, key) = (read(&files.certificate)?, read(&files.key)?);
        let chain = CertificateDer::pem_slice_iter(&certificate).collect::<Result<Vec<_>, _>>();
        let chain = chain.with_context(|| files.certificate.display().to_string())?;
        let private = PrivateKeyDer::from_pem_slice(&key);
        let private = private.with_context(|| files.key.display().to_string())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider);
        let mut config = builder
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .context("key and certificate cannot be used together")?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Self {
            certificate,
            key,
            config: Arc::new(config),
        })
    }
}
