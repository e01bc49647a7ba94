//! Headers of requests and answers that are given on.

use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Uri, Version, header,
    uri::{Authority, PathAndQuery},
};

use super::Prefix;
use crate::{
    exchange::Exchange,
    headers::{REQUEST_ID, TRACEPARENT},
    upstream::Origin,
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Headers of one connection, which mean nothing on the next, beside those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
/// Beginnings of names that only the mesh may use, and those that the gateway writes anew.
const RESERVED: [&str; 4] = ["caravan-", "x-forwarded-", "forwarded", "x-real-ip"];
/// What the gateway says itself where it answers pages of other origins.
const CORS: &str = "access-control-";

/// The head of a request to `origin`.
pub(super) fn request(
    exchange: &Exchange<'_>,
    prefix: &Prefix,
    origin: &Origin,
    is_http2: bool,
) -> Request<()> {
    let head = exchange.head;
    let mut headers = end_to_end(&head.headers, |name| {
        // Continuing was decided between client and gateway.
        name == header::EXPECT
            || name == header::HOST
            || RESERVED
                .iter()
                .any(|start| name.as_str().starts_with(start))
    });
    let asked = asked_host(exchange);
    forwarded(exchange, asked.as_ref(), &mut headers);
    headers.insert(REQUEST_ID, exchange.trace.request_id.clone());
    if let Some(traceparent) = &exchange.trace.traceparent {
        headers.insert(TRACEPARENT, traceparent.clone());
    }
    let host = asked.filter(|_| prefix.keeps_host);
    let host = host.unwrap_or_else(|| origin.authority().clone());
    let path = head.uri.path_and_query().cloned();
    let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
    let mut request = Request::new(());
    *request.method_mut() = head.method.clone();
    if is_http2 {
        let takes_trailers = head.headers.get(header::TE);
        if takes_trailers.is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers")) {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(origin.scheme());
        uri.authority = Some(host);
        uri.path_and_query = Some(path);
        // All three parts are there, so this cannot fail.
        *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
        *request.version_mut() = Version::HTTP_2;
    } else {
        joined_cookies(&mut headers);
        if let Ok(host) = HeaderValue::from_str(host.as_str()) {
            headers.insert(header::HOST, host);
        }
        *request.uri_mut() = path.into();
    }
    *request.headers_mut() = headers;
    request
}

/// The headers of an answer. `is_cors` where the gateway itself says which pages may read it.
pub(super) fn answer(headers: &HeaderMap, is_cors: bool) -> HeaderMap {
    end_to_end(headers, |name| is_cors && name.as_str().starts_with(CORS))
}

/// Without what is of one connection, or `is_dropped`.
fn end_to_end(headers: &HeaderMap, is_dropped: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let named = headers.get_all(header::CONNECTION).iter();
    let named = named.filter_map(|value| value.to_str().ok());
    let named: Vec<_> = named
        .flat_map(|value| value.split(',').map(str::trim))
        .collect();
    let mut kept = HeaderMap::with_capacity(headers.len() + 8);
    for (name, value) in headers {
        let is_named = named
            .iter()
            .any(|named| named.eq_ignore_ascii_case(name.as_str()));
        if !is_named && !HOP_BY_HOP.contains(name) && !is_dropped(name) {
            kept.append(name, value.clone());
        }
    }
    kept
}

/// The host that the client asked for.
fn asked_host(exchange: &Exchange<'_>) -> Option<Authority> {
    let head = exchange.head;
    head.uri.authority().cloned().or_else(|| {
        let host = head.headers.get(header::HOST)?;
        host.as_bytes().try_into().ok()
    })
}

/// Says where the request comes from: what a trusted proxy in front says is kept and added to, what anybody else says is not.
fn forwarded(exchange: &Exchange<'_>, host: Option<&Authority>, headers: &mut HeaderMap) {
    let given = &exchange.head.headers;
    let is_trusted = exchange.gateway.policies.is_trusted(exchange.peer);
    let before = given.get_all(FORWARDED_FOR).iter().filter(|_| is_trusted);
    let mut chain: Vec<_> = before
        .filter_map(|value| value.to_str().ok().map(ToOwned::to_owned))
        .collect();
    chain.push(exchange.peer.to_canonical().to_string());
    if let Ok(chain) = HeaderValue::try_from(chain.join(", ")) {
        headers.insert(FORWARDED_FOR, chain);
    }
    let own_proto = match exchange.gateway.is_secure {
        true => "https",
        false => "http",
    };
    let told = |name: &HeaderName| given.get(name).filter(|_| is_trusted).cloned();
    let proto = told(&FORWARDED_PROTO).unwrap_or(HeaderValue::from_static(own_proto));
    headers.insert(FORWARDED_PROTO, proto);
    let own_host = || HeaderValue::from_str(host?.as_str()).ok();
    if let Some(host) = told(&FORWARDED_HOST).or_else(own_host) {
        headers.insert(FORWARDED_HOST, host);
    }
}

/// HTTP/2 may send cookies one by one, HTTP/1.1 may not.
fn joined_cookies(headers: &mut HeaderMap) {
    let cookies: Vec<_> = headers.get_all(header::COOKIE).iter().collect();
    if cookies.len() < 2 {
        return;
    }
    let cookies: Vec<_> = cookies.iter().map(|cookie| cookie.as_bytes()).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}
