//! Health, reflection, and what keeps a service from booting.

use super::*;

#[tokio::test]
async fn health_follows_the_checks_and_needs_no_token() {
    let up = Arc::new(AtomicBool::new(false));
    let asked = up.clone();
    let kit = Kit::new("ordering", &config(&[]), None).unwrap();
    let service = kit
        .grpc(OrderingServiceServer::new(Shop::default()))
        .keys(Keys::of(&Signer::new("k1")))
        .ready_when("provider", move || {
            let up = asked.load(Ordering::SeqCst);
            async move { up.then_some(()).ok_or("away") }
        });
    let running = Running::start(service).await;
    running.until(Health::NotServing).await;
    assert!(
        http_get(&running.admin, "/readyz")
            .await
            .starts_with("HTTP/1.1 503")
    );
    assert!(
        http_get(&running.admin, "/livez")
            .await
            .starts_with("HTTP/1.1 200")
    );

    up.store(true, Ordering::SeqCst);
    running.until(Health::Serving).await;
    assert_eq!(running.health("").await.unwrap(), Health::Serving);
    assert_eq!(
        running.health("nobody").await.unwrap_err().code(),
        Code::NotFound
    );
    let ready = http_get(&running.admin, "/readyz").await;
    assert!(
        ready.starts_with("HTTP/1.1 200") && ready.contains(r#""provider":"ok""#),
        "{ready}"
    );
}

#[tokio::test]
async fn reflection_tells_what_is_served() {
    let (running, _) = start(&Signer::new("k1")).await;

    use reflection::{
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let ask = |question| reflection::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(question),
    };
    let questions = [
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol(ORDERING.into())),
        ask(MessageRequest::FileContainingSymbol(
            "grpc.health.v1.Health".into(),
        )),
    ];
    let mut client =
        reflection::server_reflection_client::ServerReflectionClient::new(running.connection());
    let answers = client
        .server_reflection_info(tokio_stream::iter(questions))
        .await
        .unwrap()
        .into_inner();
    let answers: Vec<_> = answers
        .map(|answer| answer.unwrap().message_response.unwrap())
        .collect()
        .await;
    let MessageResponse::ListServicesResponse(list) = &answers[0] else {
        panic!("{answers:?}")
    };
    let names: Vec<_> = list
        .service
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    for name in [
        ORDERING,
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(
        !names.contains(&"caravan.identity.v1.IdentityService"),
        "{names:?}"
    );
    for answer in &answers[1..] {
        assert!(
            matches!(answer, MessageResponse::FileDescriptorResponse(_)),
            "{answer:?}"
        );
    }

    let question = reflection_alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            reflection_alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
                "caravan.ordering.v1.Order".into(),
            ),
        ),
    };
    let mut client = reflection_alpha::server_reflection_client::ServerReflectionClient::new(
        running.connection(),
    );
    let mut answers = client
        .server_reflection_info(tokio_stream::iter([question]))
        .await
        .unwrap()
        .into_inner();
    let answer = answers
        .next()
        .await
        .unwrap()
        .unwrap()
        .message_response
        .unwrap();
    assert!(matches!(
        answer,
        reflection_alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(_)
    ));
}

#[tokio::test]
async fn what_keeps_a_service_from_booting_is_said() {
    let fault =
        |service: Service| async { format!("{:#}", service.bind().await.err().expect("a fault")) };
    let server = || OrderingServiceServer::new(Shop::default());
    let kit = Kit::new("ordering", &config(&[]), None).unwrap();
    let text = fault(kit.grpc(server())).await;
    assert!(text.contains("UPSTREAMS names no `identity`"), "{text}");

    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let kit = Kit::new("ordering", &config(&["--grpc-addr", &address]), None).unwrap();
    let text = fault(kit.grpc(server()).keys(Keys::default())).await;
    assert!(
        text.contains(&format!("GRPC_ADDR: cannot listen on {address}")),
        "{text}"
    );

    let kit = Kit::new("ordering", &config(&[]), None).unwrap();
    let health = tonic_health::server::health_reporter().1;
    let text = fault(kit.grpc(health).keys(Keys::default())).await;
    assert_eq!(text, "grpc.health.v1.Health is not in the contract");
}
