//! WebSockets of the old system: after the handshake bytes go both ways, unread.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, Method, Request, StatusCode, header, request::Parts};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use super::{
    Prefix,
    answer::{passed, send},
};
use crate::{
    answer::{Answer, Body},
    exchange::Exchange,
    gateway::Place,
    metrics::OpenStream,
    problem::Problem,
    socket::{self, Handshake},
    upstream::Use,
};

/// How a request asks for a WebSocket; `None` where it does not.
///
/// # Errors
/// It asks for something else that the connection is to become.
pub(super) fn handshake(head: &Parts) -> Result<Option<Handshake>, Problem> {
    let handshake = socket::handshake(head);
    let asks = head.extensions.get::<hyper::ext::Protocol>().is_some();
    if handshake.is_none() && asks {
        let detail = "only WebSockets go further";
        return Err(Problem::new(
            StatusCode::NOT_IMPLEMENTED,
            "UPGRADE_NOT_PASSED",
            detail,
        ));
    }
    Ok(handshake)
}

/// Makes a request one for a WebSocket, as HTTP/1.1 says it.
pub(super) fn ask(head: &Parts, request: &mut Request<()>) {
    *request.method_mut() = Method::GET;
    let headers = request.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    // HTTP/2 knows by itself that an answer is to its request, and has no key.
    if !head.headers.contains_key(header::SEC_WEBSOCKET_KEY) {
        let key = STANDARD.encode(fastrand::u128(..).to_be_bytes());
        if let Ok(key) = HeaderValue::try_from(key) {
            headers.insert(header::SEC_WEBSOCKET_KEY, key);
        }
    }
}

/// Opens a WebSocket at the old system and gives it on; what it answers instead is given on as it is.
pub(super) async fn answer(
    exchange: Exchange<'_>,
    prefix: &Prefix,
    (handshake, body): (Handshake, Incoming),
    place: Place,
) -> Result<Answer, Problem> {
    let gateway = exchange.gateway;
    socket::check_origin(gateway, &exchange.head.headers)?;
    let upgrade = exchange.head.extensions.get::<OnUpgrade>().cloned();
    let Some(upgrade) = upgrade.filter(|_| !prefix.site.is_http2()) else {
        let detail = "the system behind this path takes no WebSockets: it is spoken to in HTTP/2";
        return Err(Problem::new(
            StatusCode::NOT_IMPLEMENTED,
            "UPGRADE_NOT_PASSED",
            detail,
        ));
    };
    let (mut response, kept) = send(&exchange, prefix, body, Use::Upgrade).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(passed(&exchange, (response, kept), place));
    }
    let far = hyper::upgrade::on(&mut response);
    let (open, drain) = (OpenStream::new(), gateway.drain.clone());
    gateway.sockets.spawn(async move {
        let _held = (place, open);
        let (Ok(near), Ok(far)) = tokio::join!(upgrade, far) else {
            return;
        };
        let (mut near, mut far) = (TokioIo::new(near), TokioIo::new(far));
        // Nobody can be told in the middle of a frame: at a drain both sides see the connection end.
        let copied = copy_bidirectional(&mut near, &mut far);
        let _ = drain.run_until_cancelled(copied).await;
    });
    let mut answer = Answer::new(Body::default());
    *answer.headers_mut() = response.headers().clone();
    let headers = answer.headers_mut();
    match handshake {
        Handshake::Upgrade => *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS,
        Handshake::Connect => {
            for name in [
                header::CONNECTION,
                header::UPGRADE,
                header::SEC_WEBSOCKET_ACCEPT,
            ] {
                headers.remove(name);
            }
        }
    }
    Ok(answer)
}
