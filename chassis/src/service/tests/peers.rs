//! Services that show who they are by a certificate instead of a token.

use std::path::Path;

use super::*;
use crate::tls::testing::{Authority, PREFIX};

/// Settings of a service with a certificate.
fn secure(authority: &Authority, name: &str, folder: &Path, more: &[&str]) -> Common {
    let files = authority.issue(name, folder);
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let (certificate, key) = (path(&files.certificate), path(&files.key));
    let authorities = path(&files.authorities);
    let tls = [
        "--tls-cert",
        &certificate,
        "--tls-key",
        &key,
        "--tls-ca",
        &authorities,
        "--service-id-prefix",
        PREFIX,
    ];
    config(&[&tls, more].concat())
}

async fn serve(common: &Common, signer: &Signer) -> Running {
    let kit = Kit::new("ordering", common, None).unwrap();
    Running::start(
        kit.grpc(OrderingServiceServer::new(Shop::default()))
            .keys(Keys::of(signer)),
    )
    .await
}

/// Whom the service takes us for, over `channel`.
async fn seen<T>(
    client: &mut OrderingServiceClient<T>,
    header: Option<&str>,
) -> Result<String, Status>
where
    T: tonic::client::GrpcService<tonic::body::Body, Error: Into<tonic::codegen::StdError>>,
    T::ResponseBody: http_body::Body<Data = Bytes, Error: Into<tonic::codegen::StdError> + Send>
        + Send
        + 'static,
{
    let mut request = Request::new(pb::ConfirmOrderRequest::default());
    if let Some(header) = header {
        request
            .metadata_mut()
            .insert("x-forwarded-client-cert", header.parse().unwrap());
    }
    let answer = client.confirm_order(request).await?.into_inner();
    Ok(answer.order.unwrap().customer_id)
}

#[tokio::test]
async fn a_certificate_is_as_good_as_a_service_token() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let (authority, signer) = (Authority::new(), Signer::new("k1"));
    let running = serve(&secure(&authority, "ordering", folder.path(), &[]), &signer).await;
    let upstream = format!("ordering={}", running.url.replace("http:", "https:"));
    let kit = |common: &Common| Kit::new("saga", common, None).unwrap();

    let saga = kit(&secure(
        &authority,
        "saga",
        folder.path(),
        &["--upstreams", &upstream],
    ));
    let mut client = OrderingServiceClient::new(saga.channel("ordering").unwrap());
    assert_eq!(seen(&mut client, None).await.unwrap(), "service:saga");
    // What only users may do takes a user's token, and the token counts.
    let denied = client.place_order(pay_by("")).await.unwrap_err();
    assert_eq!(refusal(&denied).1, "ACCESS_DENIED");
    let user = Uuid::now_v7();
    let placed = client
        .place_order(with(pay_by(""), &signer.user(user, &[])))
        .await
        .unwrap();
    assert_eq!(
        placed.into_inner().order.unwrap().customer_id,
        format!("user:{user}")
    );

    // A certificate of somebody else's authority, and none at all, get no connection.
    let stranger = kit(&secure(
        &Authority::new(),
        "payment",
        folder.path(),
        &["--upstreams", &upstream],
    ));
    let mut client = OrderingServiceClient::new(stranger.channel("ordering").unwrap());
    let refused = seen(&mut client, None).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    let plain = running.ordering().place_order(pay_by("")).await;
    assert_eq!(refusal(&plain.unwrap_err()).1, "", "no handler answers");
}

#[tokio::test]
async fn a_sidecar_is_believed_only_where_config_says_that_there_is_one() {
    let signer = Signer::new("k1");
    let saga = Some("URI=spiffe://test/saga");
    let trusting = config(&[
        "--trust-forwarded-client-cert",
        "--service-id-prefix",
        PREFIX,
    ]);
    let running = serve(&trusting, &signer).await;
    let mut client = running.ordering();
    assert_eq!(seen(&mut client, saga).await.unwrap(), "service:saga");
    for nobody in [
        None,
        Some("URI=spiffe://elsewhere/saga"),
        Some("By=spiffe://test/saga"),
    ] {
        let refused = seen(&mut client, nobody).await.unwrap_err();
        assert_eq!(refusal(&refused).1, "TOKEN_MISSING", "{nobody:?}");
    }

    let wary = serve(&config(&["--service-id-prefix", PREFIX]), &signer).await;
    let refused = seen(&mut wary.ordering(), saga).await.unwrap_err();
    assert_eq!(refusal(&refused).1, "TOKEN_MISSING");
}

#[tokio::test]
async fn tls_upstreams_need_a_certificate() {
    let common = config(&["--upstreams", "ordering=https://ordering:443"]);
    let kit = Kit::new("saga", &common, None).unwrap();
    let error = kit.channel("ordering").unwrap_err().to_string();
    assert!(error.contains("TLS_CERT_FILE"), "{error}");
}
