//! The way out.

use super::*;

#[tokio::test]
async fn a_drain_finishes_what_runs() {
    let signer = Signer::new("k1");
    let (running, rpc) = start(&signer).await;
    running.until(Health::Serving).await;
    let token = signer.user(Uuid::nil(), &[]);
    let mut stream = running
        .ordering()
        .watch_order(with(pb::WatchOrderRequest::default(), &token))
        .await
        .unwrap()
        .into_inner();
    stream.message().await.unwrap().unwrap();
    let mut health = HealthClient::new(running.connection());
    let watched = HealthCheckRequest {
        service: ORDERING.into(),
    };
    let mut health = health.watch(watched).await.unwrap().into_inner();
    assert_eq!(
        health.message().await.unwrap().unwrap().status(),
        Health::Serving
    );
    let mut client = running.ordering();
    let call = tokio::spawn(async move { client.place_order(with(pay_by("wait"), &token)).await });
    rpc.started.notified().await;

    running.kit.drain().cancel();
    assert_eq!(
        health.message().await.unwrap().unwrap().status(),
        Health::NotServing
    );
    let end = timeout(LIMIT, stream.message()).await.unwrap().unwrap_err();
    assert_eq!(end.code(), Code::Unavailable);
    let address = running.url.trim_start_matches("http://").to_owned();
    while tokio::net::TcpStream::connect(&address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(
        http_get(&running.admin, "/readyz")
            .await
            .contains(r#""draining":true"#)
    );
    assert!(!running.ended.is_finished());

    rpc.finish.notify_one();
    call.await.unwrap().unwrap();
    timeout(LIMIT, running.ended)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}
