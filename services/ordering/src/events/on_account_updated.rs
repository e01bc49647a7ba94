//! A changed account: keep the copy fresh.

use chassis::{
    Violation,
    db::Db,
    events::{Consumer, Delivery},
};
use contracts::caravan::identity::v1::{AccountState, AccountUpdated};
use uuid::Uuid;

use crate::{domain::customer::Customer, error::Error, store};

/// The consumer `ordering-on_account_updated`.
pub fn consumer(db: Db) -> Consumer {
    chassis::events::consumer("on_account_updated", move |delivery| {
        handle(db.clone(), delivery)
    })
}

async fn handle(db: Db, delivery: Delivery<AccountUpdated>) -> Result<(), Error> {
    let event = &delivery.message;
    let customer = Customer {
        id: account_id(&event.account_id)?,
        display_name: event.display_name.clone(),
        active: event.state() == AccountState::Active,
    };
    let (customer, version) = (&customer, event.version);
    db.claim(&delivery, |tx| async move {
        Ok(store::customers::remember(&tx, customer, version).await?)
    })
    .await
}

pub(super) fn account_id(text: &str) -> Result<Uuid, Error> {
    text.parse()
        .map_err(|_| Violation::new("accountId", "must be a UUID").into())
}
