//! The ops service: dead letters, replay and verification as an operator sees them.

use std::sync::atomic::AtomicI64;

use contracts::caravan::{
    inventory::v1::StockAdjusted,
    ops::v1::{
        self as ops, GetDeadLetterRequest, ListDeadLettersRequest, RedriveDeadLettersRequest,
        ReplayEventsRequest, VerifyEventsRequest, ops_service_client::OpsServiceClient,
    },
};
use kit::{Nats, wait::until};
use sea_orm::ConnectionTrait as _;
use sea_orm_migration::{MigrationTrait, MigratorTrait};
use tempfile::TempDir;

use super::*;
use crate::{
    db::{self, Db},
    error::Classify,
    events::{Delivery, consumer},
    outbox,
};

const CONSUMER: &str = "inventory-counter";

struct NoTables;

impl MigratorTrait for NoTables {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        Vec::new()
    }
}

/// What the consumer says as long as it is broken.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("a rule says no")]
    Rule,
    #[error(transparent)]
    Store(#[from] db::Error),
}

impl Classify for Broken {
    fn code(&self) -> Code {
        match self {
            Self::Rule => Code::FailedPrecondition,
            Self::Store(error) => error.code(),
        }
    }

    fn reason(&self) -> &'static str {
        "TEST"
    }
}

/// A service that publishes and consumes its own events; 13 is refused while it is broken.
struct Counting {
    running: Running,
    signer: Signer,
    db: Db,
    _nats: Nats,
    broken: Arc<AtomicBool>,
    handled: Arc<AtomicI64>,
    _home: TempDir,
}

impl Counting {
    async fn start() -> Self {
        let (nats, home) = (Nats::start().await, tempfile::tempdir().unwrap());
        let (url, folder) = (nats.url(), home.path().display().to_string());
        let settings = config(&["--nats-url", &url, "--data-dir", &folder]);
        let kit = Kit::new("inventory", &settings, None).unwrap();
        let db = kit.database::<NoTables>().await.unwrap();
        let signer = Signer::new("k1");
        let broken = Arc::new(AtomicBool::new(true));
        let handled = Arc::new(AtomicI64::new(0));
        let (at, is_broken, count) = (db.clone(), broken.clone(), handled.clone());
        let counter = consumer("counter", move |delivery: Delivery<StockAdjusted>| {
            let (db, count) = (at.clone(), count.clone());
            let refused = delivery.message.on_hand == 13 && is_broken.load(Ordering::Relaxed);
            async move {
                if refused {
                    return Err(Broken::Rule);
                }
                let count = &count;
                db.claim(&delivery, |_| async move {
                    count.fetch_add(1, Ordering::Relaxed);
                    Ok(())
                })
                .await
            }
        });
        let service = kit
            .grpc(OrderingServiceServer::new(Shop::default()))
            .keys(Keys::of(&signer))
            .consume(counter);
        Self {
            running: Running::start(service).await,
            signer,
            db,
            _nats: nats,
            broken,
            handled,
            _home: home,
        }
    }

    async fn adjust(&self, on_hand: i64) {
        let event = &StockAdjusted {
            sku: "mug".into(),
            on_hand,
        };
        let appended = self
            .db
            .write(|tx| async move { outbox::append(&tx, event).await });
        appended.await.unwrap();
    }

    /// Changes the database behind the service's back.
    async fn change(&self, sql: &str) {
        let changed = self.db.write(|tx| async move {
            tx.execute_unprepared(sql).await?;
            Ok::<_, db::Error>(())
        });
        changed.await.unwrap();
    }

    async fn handles(&self, wanted: i64) {
        until("the consumer has handled them", || async {
            match self.handled.load(Ordering::Relaxed) {
                handled if handled == wanted => Ok(()),
                other => Err(other),
            }
        })
        .await;
    }

    fn ops(&self) -> OpsServiceClient<tonic::transport::Channel> {
        OpsServiceClient::new(self.running.connection())
    }

    /// As an operator.
    fn ask<M>(&self, message: M) -> Request<M> {
        with(message, &self.signer.user(Uuid::now_v7(), &["operator"]))
    }

    async fn letters(&self) -> Vec<ops::DeadLetter> {
        let request = self.ask(ListDeadLettersRequest::default());
        let answer = self.ops().list_dead_letters(request).await.unwrap();
        answer.into_inner().dead_letters
    }

    async fn redrive(&self) -> (i64, i64) {
        let request = self.ask(RedriveDeadLettersRequest::default());
        let answer = self.ops().redrive_dead_letters(request).await.unwrap();
        let answer = answer.into_inner();
        (answer.handled, answer.failed)
    }

    async fn verify(&self, repair: bool) -> ops::VerifyEventsResponse {
        let request = self.ask(VerifyEventsRequest { repair });
        let answer = self.ops().verify_events(request).await.unwrap();
        answer.into_inner()
    }
}

#[tokio::test]
async fn a_dead_letter_is_listed_shown_and_redriven_once_its_cause_is_gone() {
    let service = Counting::start().await;
    for on_hand in [1, 13, 2] {
        service.adjust(on_hand).await;
    }
    service.handles(2).await;
    until("the dead letter is there", || async {
        match service.letters().await.len() {
            1 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    let customer = with(
        ListDeadLettersRequest::default(),
        &service.signer.user(Uuid::now_v7(), &["customer"]),
    );
    let refused = service.ops().list_dead_letters(customer).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);

    let listed = &service.letters().await[0];
    assert_eq!(listed.consumer, CONSUMER);
    assert_eq!(
        (listed.code.as_str(), listed.attempts),
        ("FAILED_PRECONDITION", 1)
    );
    assert!(listed.payload.is_empty() && listed.headers.is_empty());
    let request = service.ask(GetDeadLetterRequest {
        consumer: CONSUMER.into(),
        event_id: listed.event_id.clone(),
    });
    let whole = service.ops().get_dead_letter(request).await.unwrap();
    let whole = whole.into_inner().dead_letter.unwrap();
    assert_eq!(StockAdjusted::decode(&*whole.payload).unwrap().on_hand, 13);
    assert_eq!(whole.headers["ce-id"], listed.event_id);
    assert_eq!(whole.error, "a rule says no");

    assert_eq!(service.redrive().await, (0, 1));
    assert_eq!(service.letters().await[0].attempts, 2);
    service.broken.store(false, Ordering::Relaxed);
    assert_eq!(service.redrive().await, (1, 0));
    service.handles(3).await;
    assert!(service.letters().await.is_empty());
    assert_eq!(service.redrive().await, (0, 0));
}

#[tokio::test]
async fn events_are_replayed_to_who_missed_them_and_to_nobody_else() {
    let service = Counting::start().await;
    for on_hand in 1..=4 {
        service.adjust(on_hand).await;
    }
    service.handles(4).await;
    // As if the consumer had never had the second one.
    let second = "DELETE FROM inbox WHERE event_id = (SELECT event_id FROM outbox WHERE id = 2)";
    service.change(second).await;
    let replay = || {
        service.ask(ReplayEventsRequest {
            consumer: CONSUMER.into(),
            from: None,
        })
    };
    for handled in [1, 0] {
        let answer = service.ops().replay_events(replay()).await.unwrap();
        let answer = answer.into_inner();
        assert_eq!(
            (answer.events, answer.handled, answer.dead_letters),
            (4, handled, 0)
        );
    }
    service.handles(5).await;
    let unknown = service.ask(ReplayEventsRequest {
        consumer: "inventory-nobody".into(),
        from: None,
    });
    let refused = service.ops().replay_events(unknown).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
}

#[tokio::test]
async fn what_a_stream_has_lost_is_named_and_sent_again() {
    let service = Counting::start().await;
    for on_hand in 1..=5 {
        service.adjust(on_hand).await;
    }
    service.handles(5).await;
    until("all events are noted as sent", || async {
        let answer = service.verify(false).await;
        match (answer.checked, answer.unsent, answer.missing_count) {
            (5, 0, 0) => Ok(()),
            other => Err(other),
        }
    })
    .await;
    // As if another message stood in the place of the third: nothing is missing for who does not read them.
    service
        .change("UPDATE outbox SET stream_seq = 2 WHERE id = 3")
        .await;
    let answer = service.verify(false).await;
    assert_eq!((answer.missing_count, answer.missing.len()), (1, 1));
    assert_eq!(answer.missing[0].stream_sequence, 2);
    assert_eq!(service.verify(true).await.repaired, 1);
    until("it is in the stream again", || async {
        let answer = service.verify(false).await;
        match (answer.unsent, answer.missing_count) {
            (0, 0) => Ok(()),
            other => Err(other),
        }
    })
    .await;
    service.handles(5).await;
}
