//! Certificates over real connections.

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{
    testing::{Authority, PREFIX},
    watch::LOOK_EVERY,
    *,
};

fn load(files: &Files) -> anyhow::Result<Tls> {
    Tls::load(files.clone(), ServiceIds::new(PREFIX))
}

/// Who the server thinks has called; `None` where one of both sides did not want to.
async fn accepted(server: &Tls, config: ClientConfig) -> Option<String> {
    shake_hands(server, config).await.1
}

/// What both sides see of each other: the client's view of the handshake, and who the server thinks it is.
async fn meet(server: &Tls, client: &Tls, wanted: &str) -> (io::Result<()>, Option<String>) {
    shake_hands(server, client.client(wanted).unwrap()).await
}

async fn shake_hands(server: &Tls, config: ClientConfig) -> (io::Result<()>, Option<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = TlsAcceptor::from(server.server())
            .accept(stream)
            .await
            .ok()?;
        server.service_of(stream.get_ref().1.peer_certificates())
    };
    let connect = async {
        let stream = TcpStream::connect(address).await?;
        let connector = TlsConnector::from(Arc::new(config));
        let name = "anything".try_into().unwrap();
        connector.connect(name, stream).await.map(drop)
    };
    let (seen, connected) = tokio::join!(serve, connect);
    (connected, seen)
}

#[tokio::test]
async fn both_sides_know_each_other_by_their_ids() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let saga = load(&authority.issue("saga", folder.path())).unwrap();
    let payment = load(&authority.issue("payment", folder.path())).unwrap();
    let (connected, seen) = meet(&payment, &saga, "payment").await;
    connected.unwrap();
    assert_eq!(seen.as_deref(), Some("saga"));
    // Another service behind the address is not the one that was wanted.
    assert!(meet(&payment, &saga, "ordering").await.0.is_err());
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_nobodys() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let ours = load(&Authority::new().issue("payment", folder.path())).unwrap();
    let theirs = load(&Authority::new().issue("saga", elsewhere.path())).unwrap();
    let (connected, seen) = meet(&ours, &theirs, "payment").await;
    assert!(connected.is_err());
    assert_eq!(seen, None);
}

#[tokio::test(start_paused = true)]
async fn changed_files_count_and_broken_ones_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new(), Authority::new());
    let files = old.issue("payment", folder.path());
    let payment = Arc::new(load(&files).unwrap());
    let stop = CancellationToken::new();
    let fresh = tokio::spawn({
        let (payment, stop) = (payment.clone(), stop.clone());
        async move { payment.keep_fresh(stop).await }
    });
    let first = payment.server();

    fs::write(&files.key, "half of a key").unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let saga = load(&new.issue("saga", elsewhere.path())).unwrap();
    tokio::time::sleep(LOOK_EVERY * 3).await;
    assert!(Arc::ptr_eq(&first, &payment.server()));

    new.issue("payment", folder.path());
    while Arc::ptr_eq(&first, &payment.server()) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    stop.cancel();
    fresh.await.unwrap();
    let (connected, seen) = meet(&payment, &saga, "payment").await;
    connected.unwrap();
    assert_eq!(seen.as_deref(), Some("saga"));
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let files = authority.issue("payment", folder.path());
    let refusal = |files: &Files| format!("{:#}", load(files).unwrap_err());

    let other = authority.issue("saga", folder.path());
    let mixed = Files {
        key: other.key.clone(),
        ..files.clone()
    };
    assert!(refusal(&mixed).contains("saga.key"), "{}", refusal(&mixed));
    fs::write(&files.authorities, "").unwrap();
    assert!(refusal(&files).contains("holds no certificate"));
    fs::remove_file(&files.key).unwrap();
    assert!(refusal(&files).contains("payment.key"));
}

#[tokio::test]
async fn a_process_that_only_calls_meets_services_by_their_ids() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let payment = load(&authority.issue("payment", folder.path())).unwrap();
    let own = authority.issue("gateway", folder.path());
    let shown = ClientFiles {
        authorities: own.authorities.clone(),
        identity: Some((own.certificate, own.key)),
    };
    let nothing = ClientFiles {
        authorities: own.authorities,
        identity: None,
    };
    let ids = || ServiceIds::new(PREFIX);
    let shown = Client::load(shown, ids()).unwrap();
    let nothing = Client::load(nothing, ids()).unwrap();
    let service = |client: &Client, wanted| client.service(wanted).unwrap();
    let seen = accepted(&payment, service(&shown, "payment")).await;
    assert_eq!(seen.as_deref(), Some("gateway"));
    assert_eq!(accepted(&payment, service(&shown, "saga")).await, None);
    // The service asks for a certificate.
    assert_eq!(accepted(&payment, service(&nothing, "payment")).await, None);
    // Its own is for an id, not for a host.
    assert_eq!(accepted(&payment, shown.host().unwrap()).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_only_calls_reads_its_files_again() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new(), Authority::new());
    let own = old.issue("gateway", folder.path());
    let files = ClientFiles {
        authorities: own.authorities.clone(),
        identity: Some((own.certificate.clone(), own.key.clone())),
    };
    let client = Arc::new(Client::load(files, ServiceIds::new(PREFIX)).unwrap());
    let stop = CancellationToken::new();
    let fresh = tokio::spawn({
        let (client, stop) = (client.clone(), stop.clone());
        async move { client.keep_fresh(stop).await }
    });
    let before = load(&old.issue("payment", elsewhere.path())).unwrap();
    fs::write(&own.certificate, "half of a certificate").unwrap();
    tokio::time::sleep(LOOK_EVERY * 3).await;
    let config = client.service("payment").unwrap();
    let seen = accepted(&before, config).await;
    assert_eq!(seen.as_deref(), Some("gateway"));

    new.issue("gateway", folder.path());
    let after = load(&new.issue("payment", elsewhere.path())).unwrap();
    while accepted(&after, client.service("payment").unwrap())
        .await
        .is_none()
    {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    stop.cancel();
    fresh.await.unwrap();
    let config = client.service("payment").unwrap();
    assert_eq!(accepted(&before, config).await, None);
}
