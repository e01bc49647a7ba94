//! Read models that are built from events, and can be built anew from the beginning of history while the old one serves.
//!
//! A projection keeps its rows by generation. Each generation has a durable consumer of its own, so that building one does not
//! touch what the other is given. A new generation takes its events from the publisher's archive and then from the stream;
//! when it has caught up it is the one that is read, and the rows of the old one go.
//!
//! Readers add `WHERE generation = (SELECT serving FROM projections WHERE projection = '<name>')`.

mod run;
mod state;

use std::{collections::HashMap, future::Future, sync::Arc};

use bytes::Bytes;
use futures::future::BoxFuture;
use prost_reflect::ReflectMessage;
use tonic::Code;

pub(crate) use state::{State, all};
pub use state::{rebuild, serving};

use crate::{
    db::{self, Db, Tx},
    error::Classify,
    events::{Consumer, Delivery, Failure, archive::Archive},
};

type Apply =
    Arc<dyn Fn(Tx, i64, Delivery<Bytes>) -> BoxFuture<'static, Result<(), Failure>> + Send + Sync>;
type Forget = Arc<dyn Fn(Tx, i64) -> BoxFuture<'static, Result<u64, db::Error>> + Send + Sync>;

/// A read model of one publisher's events.
#[derive(Clone)]
pub struct Projection {
    name: String,
    publisher: String,
    /// By the event's full name.
    apply: HashMap<String, Apply>,
    forget: Forget,
    archive: Option<Archive>,
}

impl Projection {
    /// A projection of the events of `publisher`. `forget` removes some rows of a generation, at most a thousand or so at a
    /// time, and says how many; 0 ends it.
    pub fn new<F, Fut>(name: &str, publisher: &str, forget: F) -> Self
    where
        F: Fn(Tx, i64) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<u64, db::Error>> + Send + 'static,
    {
        Self {
            name: name.to_owned(),
            publisher: publisher.to_owned(),
            apply: HashMap::new(),
            forget: Arc::new(move |tx, generation| Box::pin(forget(tx, generation))),
            archive: None,
        }
    }

    /// How the event `M` changes the rows of a generation. Claim and change commit together; events of one aggregate come in
    /// their order, whatever their types.
    ///
    /// # Panics
    /// `M` is not an event of the publisher: a fault of the program, found when it starts.
    pub fn on<M, E, F, Fut>(mut self, apply: F) -> Self
    where
        M: ReflectMessage + Default,
        E: Classify,
        F: Fn(Tx, i64, Delivery<M>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
    {
        let descriptor = M::default().descriptor();
        let event = descriptor.full_name();
        let publisher = contracts::policy::event(event).map(|policy| policy.publisher());
        assert!(
            publisher == Some(&self.publisher),
            "{event} is no event of {}",
            self.publisher
        );
        let apply: Apply = Arc::new(
            move |tx, generation, delivery| match delivery.decode::<M>() {
                Ok(delivery) => {
                    let change = apply(tx, generation, delivery);
                    Box::pin(async move { change.await.map_err(|error| Failure::of(&error)) })
                }
                Err(error) => Box::pin(async move {
                    Err(Failure {
                        code: Code::DataLoss,
                        text: error.to_string(),
                    })
                }),
            },
        );
        self.apply.insert(event.to_owned(), apply);
        self
    }

    /// Builds from the publisher's archive where the stream does not reach back far enough.
    pub(crate) fn with_archive(mut self, archive: Archive) -> Self {
        self.archive = Some(archive);
        self
    }

    /// Builds from this outbox: that of the publisher itself, where it is in reach.
    pub fn with_history_of(self, publisher: &Db) -> Self {
        self.with_archive(Archive::Own(publisher.clone()))
    }

    /// The service that publishes its events.
    pub fn publisher(&self) -> &str {
        &self.publisher
    }

    /// What the consumer of a generation is called behind the service's name.
    fn consumer_name(&self, generation: i64) -> String {
        format!("{}-g{generation}", self.name)
    }

    fn consumer(&self, db: &Db, generation: i64) -> Consumer {
        let (db, apply) = (db.clone(), Arc::new(self.apply.clone()));
        let handler = move |delivery: Delivery<Bytes>| {
            let (db, apply) = (db.clone(), apply.clone());
            let work: BoxFuture<'static, Result<(), Failure>> = Box::pin(async move {
                let Some(apply) = apply.get(&delivery.event_type) else {
                    return Ok(());
                };
                let claimed = db.claim(&delivery, |tx| {
                    let change = apply(tx, generation, delivery.clone());
                    async move { change.await.map_err(Applied::Failure) }
                });
                claimed.await.map_err(|error| match error {
                    Applied::Store(error) => Failure::of(&error),
                    Applied::Failure(failure) => failure,
                })
            });
            work
        };
        let subject = format!("{}.>", self.publisher);
        let consumer = Consumer::new(&self.consumer_name(generation), subject, Arc::new(handler));
        match &self.archive {
            Some(archive) => consumer.with_archive(archive.clone()),
            None => consumer,
        }
    }
}

/// Why a change was not made.
enum Applied {
    Store(db::Error),
    Failure(Failure),
}

impl From<db::Error> for Applied {
    fn from(error: db::Error) -> Self {
        Self::Store(error)
    }
}
