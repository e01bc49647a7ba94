//! Where an upstream is, and how it is met: addresses of a URL, connections to them, TLS.

use std::{io, net::SocketAddr, sync::Arc};

use chassis::tls;
use http::{
    Uri,
    uri::{Authority, Scheme},
};
use rustls::pki_types::{DnsName, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;
/// HTTP/2 by its name in TLS.
pub(super) const HTTP2: &[u8] = b"h2";

/// One URL of an upstream.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    authority: Authority,
    host: Box<str>,
    port: u16,
    security: Option<Security>,
}

/// How the one who answers proves who it is.
#[derive(Clone, Debug)]
struct Security {
    tls: Arc<tls::Client>,
    /// The service whose id its certificate must carry; without one it must be for the host of the URL.
    service: Option<Box<str>>,
}

impl Origin {
    /// The upstream at `uri`, `http://host:port` or `https://host:port`. With `service` whoever answers over TLS must be
    /// that service of the mesh.
    pub(crate) fn new(uri: &Uri, tls: Option<&Arc<tls::Client>>, service: Option<&str>) -> Self {
        let is_secure = is_secure(uri);
        let security = tls.filter(|_| is_secure).map(|tls| Security {
            tls: tls.clone(),
            service: service.map(Into::into),
        });
        let unknown = || Authority::from_static("localhost");
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        Self {
            authority: uri.authority().cloned().unwrap_or_else(unknown),
            host: host.into(),
            port: uri
                .port_u16()
                .unwrap_or(if is_secure { HTTPS_PORT } else { HTTP_PORT }),
            security,
        }
    }

    /// `host:port`
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    pub(crate) fn scheme(&self) -> Scheme {
        match self.security {
            Some(_) => Scheme::HTTPS,
            None => Scheme::HTTP,
        }
    }

    /// The name to be looked up, and the port; `None` where the URL has an address.
    pub(super) fn name(&self) -> Option<(&str, u16)> {
        let is_address = self.host.parse::<std::net::IpAddr>().is_ok();
        (!is_address).then_some((&*self.host, self.port))
    }

    pub(super) fn is_secure(&self) -> bool {
        self.security.is_some()
    }

    /// Connects to `address`, or to the first one of the name that takes it.
    pub(crate) async fn connect(&self, address: Option<SocketAddr>) -> io::Result<TcpStream> {
        let stream = match address {
            Some(address) => TcpStream::connect(address).await?,
            None => TcpStream::connect((&*self.host, self.port)).await?,
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Finds out who answers.
    ///
    /// # Errors
    /// It is not the one who was wanted, or it does not want us.
    pub(crate) async fn secured(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.secured_for(stream, HTTP2).await
    }

    /// The same, to speak `protocol`, by its name in TLS (ALPN).
    pub(super) async fn secured_for(
        &self,
        stream: TcpStream,
        protocol: &[u8],
    ) -> io::Result<TlsStream<TcpStream>> {
        let security = self.security.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        let (config, name) = match security.service.as_deref() {
            Some(service) => {
                // What is asked for by SNI; who answers is checked by its id.
                let name = DnsName::try_from(service).map_err(io::Error::other)?;
                let name = ServerName::DnsName(name.to_owned());
                (security.tls.service(service), name)
            }
            None => {
                let name = ServerName::try_from(&*self.host).map_err(io::Error::other)?;
                (security.tls.host(), name.to_owned())
            }
        };
        let mut config = config.map_err(io::Error::other)?;
        config.alpn_protocols = vec![protocol.to_vec()];
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }
}

/// Whether a URL asks for TLS.
pub(crate) fn is_secure(uri: &Uri) -> bool {
    uri.scheme_str() == Some("https")
}
