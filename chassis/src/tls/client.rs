//! TLS of a process that only calls others: the gateway.

use std::{path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore,
    client::WantsClientCert,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio_util::sync::CancellationToken;

use super::{ALPN_HTTP2, ServiceIds, authorities, certificates, keep_fresh, key, peer, read};

/// The files of a process that calls, in PEM.
#[derive(Clone, Debug)]
pub struct ClientFiles {
    /// The authorities that certificates of the called come from.
    pub authorities: PathBuf,
    /// The process's own certificate and its private key, for those who ask for one: every service of the chassis does.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Whom a process that calls trusts, and what it shows. Changed files count for new connections; those that are open go on.
#[derive(Debug)]
pub struct Client {
    files: ClientFiles,
    ids: ServiceIds,
    current: ArcSwap<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    contents: Contents,
    authorities: Arc<RootCertStore>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

#[derive(Eq, PartialEq)]
struct Contents {
    authorities: Vec<u8>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A key is among them.
        formatter.write_str("Contents(..)")
    }
}

impl Client {
    /// Reads the files.
    ///
    /// # Errors
    /// A file cannot be read or holds no certificate or key, or certificate and key do not belong together. Names the file.
    pub fn load(files: ClientFiles, ids: ServiceIds) -> anyhow::Result<Self> {
        let contents = files.read()?;
        let current = ArcSwap::from_pointee(Loaded::new(&files, contents)?);
        Ok(Self {
            files,
            ids,
            current,
        })
    }

    /// How to meet the service `logical`, and nobody else: its certificate must carry its id.
    ///
    /// # Errors
    /// Certificate and key cannot be used.
    pub fn service(&self, logical: &str) -> anyhow::Result<ClientConfig> {
        let current = self.current.load();
        let authorities = current.authorities.clone();
        let verifier = peer::IsService::new(authorities, self.ids.id_of(logical));
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        current.shown(builder)
    }

    /// How to meet whoever is not of the mesh: its certificate must be for the host that is called, as for a browser.
    ///
    /// # Errors
    /// Certificate and key cannot be used.
    pub fn host(&self) -> anyhow::Result<ClientConfig> {
        let current = self.current.load();
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(current.authorities.clone());
        current.shown(builder)
    }

    /// Reads the files again and again until `stop`. New ones that cannot be used are told in the log, and the old ones stay.
    pub async fn keep_fresh(&self, stop: CancellationToken) {
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

impl ClientFiles {
    fn read(&self) -> anyhow::Result<Contents> {
        let identity = self.identity.as_ref();
        let identity =
            identity.map(|(certificate, key)| anyhow::Ok((read(certificate)?, read(key)?)));
        Ok(Contents {
            authorities: read(&self.authorities)?,
            identity: identity.transpose()?,
        })
    }
}

impl Loaded {
    fn new(files: &ClientFiles, contents: Contents) -> anyhow::Result<Self> {
        let identity = files.identity.as_ref().zip(contents.identity.as_ref());
        let identity = identity.map(|(files, contents)| {
            let certificates = certificates(&files.0, &contents.0)?;
            anyhow::Ok((certificates, key(&files.1, &contents.1)?))
        });
        let loaded = Self {
            authorities: authorities(&files.authorities, &contents.authorities)?,
            identity: identity.transpose()?,
            contents,
        };
        // Whether certificate and key belong together is found out by using them.
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(loaded.authorities.clone());
        let files = files.identity.as_ref();
        let files = files.map(|(certificate, key)| (certificate.display(), key.display()));
        loaded.shown(builder).map_err(|error| match files {
            Some((certificate, key)) => error.context(format!("{certificate} and {key}")),
            None => error,
        })?;
        Ok(loaded)
    }

    /// The config with what is shown to those who ask.
    fn shown(
        &self,
        builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    ) -> anyhow::Result<ClientConfig> {
        let mut config = match &self.identity {
            Some((certificates, key)) => {
                builder.with_client_auth_cert(certificates.clone(), key.clone_key())?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
        Ok(config)
    }
}
