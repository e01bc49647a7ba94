//! The floor: a proxy on the same HTTP libraries that understands nothing. The client's body goes on as the request
//! message, and the answer is a constant as long as the gateway's.

use std::{convert::Infallible, sync::Arc};

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use crate::contract;

struct Floor {
    upstream: SendRequest<Full<Bytes>>,
    read: Route,
    write: Route,
}

/// What is called and answered for one method.
struct Route {
    uri: Uri,
    answer: Bytes,
}

/// Serves until the process ends; tells the port on stdout.
pub(crate) async fn serve(backend: u16) -> anyhow::Result<()> {
    let stream = TcpStream::connect(("127.0.0.1", backend)).await?;
    stream.set_nodelay(true)?;
    let builder = http2::Builder::new(TokioExecutor::new());
    let (upstream, connection) = builder.handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let route = |rpc, answer| -> anyhow::Result<Route> {
        let uri = format!("http://127.0.0.1:{backend}/bench.v1.BenchService/{rpc}").parse()?;
        Ok(Route { uri, answer })
    };
    let floor = Arc::new(Floor {
        upstream,
        read: route("GetShelf", contract::shelf_json())?,
        write: route("PlaceOrder", contract::receipt_json())?,
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    crate::say_port(listener.local_addr()?.port())?;
    loop {
        let (stream, _) = listener.accept().await.context("accept")?;
        stream.set_nodelay(true)?;
        let floor = floor.clone();
        let service = service_fn(move |request| {
            let floor = floor.clone();
            async move { Ok::<_, Infallible>(forward(&floor, request).await) }
        });
        tokio::spawn(async move {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new());
            // A client that goes away ends its connection.
            let _ = builder
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn forward(floor: &Floor, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let route = match *request.method() {
        Method::POST => &floor.write,
        _ => &floor.read,
    };
    let answered = match request.into_body().collect().await {
        Ok(body) => call(floor, &route.uri, &body.to_bytes()).await.is_ok(),
        Err(_) => false,
    };
    let mut response = Response::new(Full::new(route.answer.clone()));
    if !answered {
        *response.status_mut() = http::StatusCode::BAD_GATEWAY;
    }
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

async fn call(floor: &Floor, uri: &Uri, body: &[u8]) -> anyhow::Result<()> {
    let mut framed = Vec::with_capacity(5 + body.len());
    framed.push(0);
    framed.extend_from_slice(&(body.len() as u32).to_be_bytes());
    framed.extend_from_slice(body);
    let mut request = Request::new(Full::new(Bytes::from(framed)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.clone();
    let mut headers = HeaderMap::with_capacity(2);
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc"),
    );
    *request.headers_mut() = headers;
    let response = floor.upstream.clone().send_request(request).await?;
    let body = response.into_body().collect().await?;
    anyhow::ensure!(body.trailers().is_some(), "no trailers");
    Ok(())
}
