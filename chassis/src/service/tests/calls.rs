//! Access, deadlines, panics, and calls that go on to others.

use super::*;

#[tokio::test]
async fn access_is_what_the_contract_says() {
    let signer = Signer::new("k1");
    let (running, _) = start(&signer).await;
    let mut client = running.ordering();
    let missing = client.place_order(pay_by("")).await.unwrap_err();
    assert_eq!(
        refusal(&missing),
        (Code::Unauthenticated, "TOKEN_MISSING".into())
    );
    let invalid = client
        .place_order(with(pay_by(""), "rubbish"))
        .await
        .unwrap_err();
    assert_eq!(
        refusal(&invalid),
        (Code::Unauthenticated, "TOKEN_INVALID".into())
    );
    let mut claims = crate::auth::testing::claims("user", &Uuid::nil().to_string());
    claims["exp"] = 1.into();
    let expired = client
        .place_order(with(pay_by(""), &signer.sign(&signer.header(), &claims)))
        .await
        .unwrap_err();
    assert_eq!(
        refusal(&expired),
        (Code::Unauthenticated, "TOKEN_EXPIRED".into())
    );

    let (user, id) = (Uuid::now_v7(), pb::ConfirmOrderRequest::default());
    let denied = client
        .confirm_order(with(id.clone(), &signer.user(user, &["admin"])))
        .await
        .unwrap_err();
    assert_eq!(
        refusal(&denied),
        (Code::PermissionDenied, "ACCESS_DENIED".into())
    );
    let denied = client
        .place_order(with(pay_by(""), &signer.service("saga")))
        .await
        .unwrap_err();
    assert_eq!(
        refusal(&denied),
        (Code::PermissionDenied, "ACCESS_DENIED".into())
    );

    let placed = client
        .place_order(with(pay_by(""), &signer.user(user, &[])))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(placed.order.unwrap().customer_id, format!("user:{user}"));
    client
        .confirm_order(with(id, &signer.service("saga")))
        .await
        .unwrap();
    let nowhere = IdentityServiceClient::new(running.connection())
        .get_key_set(identity::GetKeySetRequest {})
        .await;
    assert_eq!(nowhere.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_deadline_holds_over_the_handler_and_over_streams() {
    let signer = Signer::new("k1");
    let (running, _) = start(&signer).await;
    let kit = Kit::new(
        "saga",
        &config(&["--upstreams", &format!("ordering={}", running.url)]),
        None,
    )
    .unwrap();
    let mut client = OrderingServiceClient::new(kit.channel("ordering").unwrap());
    let mut request = with(pay_by("never"), &signer.user(Uuid::nil(), &[]));
    request.set_timeout(Duration::from_millis(80));
    let late = timeout(LIMIT, client.place_order(request))
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);

    let mut request = with(
        pb::WatchOrderRequest::default(),
        &signer.user(Uuid::nil(), &[]),
    );
    request.set_timeout(Duration::from_secs(1));
    request
        .metadata_mut()
        .insert("x-request-id", "r-7".parse().unwrap());
    let mut stream = client.watch_order(request).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    assert_eq!(
        first.order.unwrap().order_id,
        "r-7",
        "streams run within their context"
    );
    assert_eq!(
        timeout(LIMIT, stream.message())
            .await
            .unwrap()
            .unwrap_err()
            .code(),
        Code::DeadlineExceeded
    );
}

#[tokio::test]
async fn a_panic_is_internal_and_the_connection_goes_on() {
    let signer = Signer::new("k1");
    let (running, _) = start(&signer).await;
    let mut client = running.ordering();
    let token = signer.user(Uuid::nil(), &[]);
    let status = client
        .place_order(with(pay_by("panic"), &token))
        .await
        .unwrap_err();
    assert_eq!(refusal(&status), (Code::Internal, "INTERNAL".into()));
    assert!(!status.message().contains("as asked"));
    client.place_order(with(pay_by(""), &token)).await.unwrap();
}

#[tokio::test]
async fn a_call_goes_on_with_token_request_id_and_what_is_left_of_the_deadline() {
    let signer = Signer::new("k1");
    let (callee, _) = start(&signer).await;
    // Identity is asked over the port for keys and for the caller's token.
    let identity = serve_identity(signer.clone()).await;
    let upstreams = format!("ordering={},identity={identity}", callee.url);
    let kit = Kit::new(
        "saga",
        &config(&["--upstreams", &upstreams, "--client-secret", "hush"]),
        None,
    )
    .unwrap();
    let upstream = Some(kit.channel("ordering").unwrap());
    let caller = Running::start(kit.grpc(OrderingServiceServer::new(Shop {
        upstream,
        ..Default::default()
    })))
    .await;

    let mut request = with(
        pb::ConfirmOrderRequest::default(),
        &signer.service("gateway"),
    );
    request
        .metadata_mut()
        .insert("x-request-id", "r-1".parse().unwrap());
    request.set_timeout(Duration::from_secs(3));
    let seen = caller
        .ordering()
        .confirm_order(request)
        .await
        .unwrap()
        .into_inner()
        .order
        .unwrap();
    assert_eq!(
        (seen.order_id.as_str(), seen.customer_id.as_str()),
        ("r-1", "service:saga")
    );
    let left: u64 = seen.rejection.unwrap().message.parse().unwrap();
    assert!((1..3000).contains(&left), "{left} ms");

    let user = Uuid::now_v7();
    let placed = caller
        .ordering()
        .place_order(with(pay_by(""), &signer.user(user, &[])))
        .await
        .unwrap();
    assert_eq!(
        placed.into_inner().order.unwrap().customer_id,
        format!("user:{user}")
    );

    let raw = pb::ConfirmOrderRequest::default().encode_to_vec().into();
    let path = format!("/{ORDERING}/ConfirmOrder");
    let channel = kit.channel("ordering").unwrap();
    let answer = call_raw(&channel, &path, raw, MetadataMap::new(), LIMIT)
        .await
        .unwrap();
    assert_eq!(
        pb::ConfirmOrderResponse::decode(answer)
            .unwrap()
            .order
            .unwrap()
            .customer_id,
        "service:saga"
    );
    let bad = call_raw(
        &channel,
        &format!("/{ORDERING}/GetOrder"),
        Bytes::new(),
        MetadataMap::new(),
        LIMIT,
    )
    .await;
    assert_eq!(bad.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_service_that_is_away_is_unavailable() {
    let kit = Kit::new(
        "saga",
        &config(&["--upstreams", "ordering=http://127.0.0.1:1"]),
        None,
    )
    .unwrap();
    let mut client = OrderingServiceClient::new(kit.channel("ordering").unwrap());
    let status = client
        .confirm_order(pb::ConfirmOrderRequest::default())
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "ordering cannot be reached")
    );
    let Err(error) = kit.channel("catalog") else {
        panic!("not configured")
    };
    assert_eq!(
        error.to_string(),
        "UPSTREAMS names no `catalog`: add catalog=http://host:port"
    );
}

/// An identity service that knows keys and gives out one token.
async fn serve_identity(signer: Signer) -> String {
    grpc_double(move |request| {
        assert!(
            !request.headers().contains_key("authorization"),
            "tokens are what identity is asked for"
        );
        Ok(match request.uri().path() {
            "/caravan.identity.v1.IdentityService/GetKeySet" => identity::GetKeySetResponse {
                keys: vec![signer.jwk()],
            }
            .encode_to_vec(),
            _ => identity::IssueTokenResponse {
                access_token: signer.service("saga"),
                expires_in: 60,
                ..identity::IssueTokenResponse::default()
            }
            .encode_to_vec(),
        })
    })
    .await
}
