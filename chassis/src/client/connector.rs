//! Connections over TLS, to one service and nobody who poses as it.

use std::{io, sync::Arc};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{DnsName, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower::{Service, service_fn};

use crate::tls::Tls;

/// Port of `https` where the address names none.
const HTTPS_PORT: u16 = 443;

/// Connects to the service `logical`, with the certificates that count at that time.
pub(super) fn to(
    logical: &str,
    tls: Arc<Tls>,
) -> impl Service<Uri, Response = TokioIo<TlsStream<TcpStream>>, Error = io::Error, Future: Send>
+ Send
+ 'static {
    let logical: Arc<str> = logical.into();
    service_fn(move |uri| connect(uri, logical.clone(), tls.clone()))
}

async fn connect(
    uri: Uri,
    logical: Arc<str>,
    tls: Arc<Tls>,
) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
    let host = uri.host().ok_or(io::ErrorKind::InvalidInput)?;
    let port = uri.port_u16().unwrap_or(HTTPS_PORT);
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    stream.set_nodelay(true)?;
    let config = tls.client(&logical).map_err(io::Error::other)?;
    // What is asked for by SNI; who answers is checked by its id.
    let name = DnsName::try_from(&*logical).map_err(io::Error::other)?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(ServerName::DnsName(name.to_owned()), stream)
        .await?;
    Ok(TokioIo::new(stream))
}
