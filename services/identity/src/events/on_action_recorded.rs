//! Collects what every service records of who did what to whom.

use std::collections::BTreeSet;

use chassis::{
    clock,
    db::Db,
    events::{self, Consumer, Delivery},
};
use contracts::{caravan::audit::v1::ActionRecorded, policy};

use crate::{domain::audit::Collected, error::Error, store};

/// A consumer for each service that the contract knows.
pub fn consumers(db: &Db) -> Vec<Consumer> {
    let consumer = |publisher: &&str| {
        let db = db.clone();
        let name = format!("audit-{publisher}");
        events::consumer_of(&name, publisher, move |delivery| {
            let db = db.clone();
            async move { handle(&db, delivery).await }
        })
    };
    publishers().iter().map(consumer).collect()
}

/// Services that publish anything, and with it what they record.
fn publishers() -> BTreeSet<&'static str> {
    policy::events()
        .filter(|(_, event)| !event.is_published_by_all())
        .map(|(_, event)| event.publisher())
        .collect()
}

async fn handle(db: &Db, delivery: Delivery<ActionRecorded>) -> Result<(), Error> {
    let entry = &Collected::try_from(&delivery)?;
    db.claim(&delivery, |tx| async move {
        Ok(store::audit::collect(&tx, entry.clone()).await?)
    })
    .await
}

impl TryFrom<&Delivery<ActionRecorded>> for Collected {
    type Error = Error;

    fn try_from(delivery: &Delivery<ActionRecorded>) -> Result<Self, Error> {
        let event = delivery.message.clone();
        let time = event.time.as_ref().and_then(clock::from_timestamp);
        Ok(Self {
            id: event
                .entry_id
                .parse()
                .map_err(|_| Error::invalid("entryId", "must be a UUID"))?,
            time: time.unwrap_or(delivery.time),
            service: event.service,
            actor: event.actor,
            action: event.action,
            target: event.target,
            detail: event.detail,
            request_id: event.request_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_records_something_is_heard() {
        let publishers = publishers();
        for (path, rule) in policy::methods() {
            // `/caravan.<service>.v1...`; operators' calls are served, and recorded, by every service.
            let service = path.split('.').nth(1).unwrap_or_default();
            if rule.audit.is_some() && service != "ops" {
                assert!(publishers.contains(service), "{path}");
            }
        }
    }
}
