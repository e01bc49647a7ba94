//! More calls than get done: some are turned away at once, the others go on.

use std::sync::atomic::AtomicUsize;

use contracts::caravan::{
    identity::v1::{
        ListAuditEntriesRequest, ListAuditEntriesResponse,
        audit_service_client::AuditServiceClient,
        audit_service_server::{AuditService, AuditServiceServer},
    },
    ops::v1::{GetStatusRequest, ops_service_client::OpsServiceClient},
};
use tokio::{sync::Semaphore, task::JoinSet};

use super::*;

/// Calls that the shelf has room for at once.
const ROOM: usize = 4;
/// Time that a call takes on the shelf.
const WORK: Duration = Duration::from_millis(10);
/// Callers that ask without a pause.
const CALLERS: usize = 60;
/// Answers and refusals that the test wants to see.
const ENOUGH: usize = 100;

/// A service with something behind it that does only so much at a time.
struct Shelf(Semaphore);

#[tonic::async_trait]
impl AuditService for Shelf {
    async fn list_audit_entries(
        &self,
        _: Request<ListAuditEntriesRequest>,
    ) -> Result<Response<ListAuditEntriesResponse>, Status> {
        let _room = self.0.acquire().await.expect("never closed");
        tokio::time::sleep(WORK).await;
        Ok(Response::new(ListAuditEntriesResponse::default()))
    }
}

#[derive(Default)]
struct Seen {
    answered: AtomicUsize,
    turned_away: AtomicUsize,
    /// Answers since the first refusal.
    went_on: AtomicUsize,
}

impl Seen {
    fn note(&self, outcome: Result<Response<ListAuditEntriesResponse>, Status>) {
        match outcome {
            Ok(_) => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                let shedding = self.turned_away.load(Ordering::Relaxed) > 0;
                self.went_on
                    .fetch_add(usize::from(shedding), Ordering::Relaxed);
            }
            Err(status) => {
                let expected = (Code::ResourceExhausted, "OVERLOADED".into());
                assert_eq!(refusal(&status), expected, "{status:?}");
                assert!(status.get_details_retry_info().is_some());
                self.turned_away.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn is_enough(&self) -> bool {
        let counts = [&self.turned_away, &self.went_on];
        counts
            .iter()
            .all(|count| count.load(Ordering::Relaxed) >= ENOUGH)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overloaded_rpc_turns_calls_away_and_goes_on_with_the_others() {
    let signer = Signer::new("k1");
    let settings = [
        "--min-concurrent-calls",
        "4",
        "--max-concurrent-calls",
        "1000",
        "--overload-latency",
        "30ms",
    ];
    let kit = Kit::new("audit", &config(&settings), None).unwrap();
    let running = Running::start(
        kit.grpc(AuditServiceServer::new(Shelf(Semaphore::new(ROOM))))
            .keys(Keys::of(&signer)),
    )
    .await;
    let token = signer.user(Uuid::nil(), &["admin"]);
    let ask = || with(ListAuditEntriesRequest::default(), &token);
    let client = AuditServiceClient::new(running.connection());

    let seen = Arc::new(Seen::default());
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (seen, mut client, token) = (seen.clone(), client.clone(), token.clone());
        callers.spawn(async move {
            while !seen.is_enough() {
                let request = with(ListAuditEntriesRequest::default(), &token);
                seen.note(client.list_audit_entries(request).await);
                tokio::task::yield_now().await;
            }
        });
    }
    let others = async {
        while !seen.is_enough() {
            // Probes and operators are never turned away.
            assert!(running.health("").await.is_ok());
            let mut operators = OpsServiceClient::new(running.connection());
            let status = operators.get_status(with(GetStatusRequest {}, &token));
            status.await.unwrap();
        }
    };
    timeout(LIMIT, others).await.expect("some are turned away");
    timeout(LIMIT, callers.join_all()).await.expect("in time");
    let answered = seen.answered.load(Ordering::Relaxed);
    assert!(answered >= ENOUGH, "{answered}");

    // Where little is to be done everybody is welcome.
    let mut client = client;
    client.list_audit_entries(ask()).await.unwrap();
}

#[tokio::test]
async fn the_ceiling_holds_before_anything_is_learned() {
    let signer = Signer::new("k1");
    let settings = ["--max-concurrent-calls", "2", "--overload-latency", "1h"];
    let kit = Kit::new("audit", &config(&settings), None).unwrap();
    // No room at all: calls stay.
    let running = Running::start(
        kit.grpc(AuditServiceServer::new(Shelf(Semaphore::new(0))))
            .keys(Keys::of(&signer)),
    )
    .await;
    let token = signer.user(Uuid::nil(), &["admin"]);
    let client = AuditServiceClient::new(running.connection());
    let mut calls = JoinSet::new();
    for _ in 0..3 {
        let mut client = client.clone();
        let request = with(ListAuditEntriesRequest::default(), &token);
        calls.spawn(async move { client.list_audit_entries(request).await });
    }
    let first = timeout(LIMIT, calls.join_next()).await.expect("in time");
    let status = first.unwrap().unwrap().unwrap_err();
    let expected = (Code::ResourceExhausted, "OVERLOADED".into());
    assert_eq!(refusal(&status), expected);
}
