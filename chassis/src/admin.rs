//! The admin port: /livez, /readyz and /metrics.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};

use crate::{readiness::Report, telemetry::Metrics};

/// Most connections at once.
const MAX_CONNECTIONS: usize = 64;
/// Longest time to send a request's headers, and longest idle time of a connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest header block, in bytes.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Wait after an accept that failed, e.g. for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers probes and scrapes for as long as the future is polled.
pub async fn serve(
    listener: TcpListener,
    readiness: watch::Receiver<Report>,
    metrics: Option<Metrics>,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "admin port: accept failed"
                );
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (readiness, metrics) = (readiness.clone(), metrics.clone());
        tokio::spawn(async move {
            connection(stream, readiness, metrics).await;
            drop(place);
        });
    }
}

async fn connection(
    stream: TcpStream,
    readiness: watch::Receiver<Report>,
    metrics: Option<Metrics>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = answer(
            request.method(),
            request.uri().path(),
            &readiness.borrow(),
            metrics.as_ref(),
        );
        async { Ok::<_, Infallible>(response) }
    });
    // What breaks here is the prober's connection; it will say so itself.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn answer(
    method: &Method,
    path: &str,
    report: &Report,
    metrics: Option<&Metrics>,
) -> Response<Full<Bytes>> {
    let (status, kind, body) = match (path, metrics) {
        ("/livez" | "/readyz" | "/metrics", _)
            if method != Method::GET && method != Method::HEAD =>
        {
            (
                StatusCode::METHOD_NOT_ALLOWED,
                "text/plain",
                "only GET\n".to_owned(),
            )
        }
        ("/livez", _) => (StatusCode::OK, "text/plain", "alive\n".to_owned()),
        ("/readyz", _) => {
            let status = if report.ready {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            (
                status,
                "application/json",
                serde_json::to_string(report).unwrap_or_default(),
            )
        }
        ("/metrics", Some(metrics)) => (
            StatusCode::OK,
            "text/plain; version=0.0.4",
            metrics.render(),
        ),
        _ => (
            StatusCode::NOT_FOUND,
            "text/plain",
            "/livez, /readyz and /metrics are here\n".to_owned(),
        ),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use http_body_util::BodyExt as _;

    use super::*;

    async fn get(path: &str, report: &Report) -> (u16, String) {
        let response = answer(&Method::GET, path, report, None);
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn probes_are_answered() {
        let checks = BTreeMap::from([("nats".to_owned(), "not connected".to_owned())]);
        let mut report = Report {
            ready: false,
            draining: false,
            checks,
        };
        assert_eq!(get("/livez", &report).await.0, 200);
        let body = r#"{"ready":false,"draining":false,"checks":{"nats":"not connected"}}"#;
        assert_eq!(get("/readyz", &report).await, (503, body.to_owned()));
        report.ready = true;
        assert_eq!(get("/readyz", &report).await.0, 200);
        assert_eq!(get("/", &report).await.0, 404);
        assert_eq!(answer(&Method::POST, "/livez", &report, None).status(), 405);
    }
}
