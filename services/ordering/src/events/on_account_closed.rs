//! A closed account: forget whose it was. Orders stay, without a name.

use chassis::{
    db::Db,
    events::{Consumer, Delivery},
};
use contracts::caravan::identity::v1::AccountClosed;

use super::on_account_updated::account_id;
use crate::{domain::customer::Customer, error::Error, store};

/// The consumer `ordering-on_account_closed`.
pub fn consumer(db: Db) -> Consumer {
    chassis::events::consumer("on_account_closed", move |delivery| {
        handle(db.clone(), delivery)
    })
}

async fn handle(db: Db, delivery: Delivery<AccountClosed>) -> Result<(), Error> {
    let event = &delivery.message;
    let customer = &Customer {
        id: account_id(&event.account_id)?,
        display_name: String::new(),
        active: false,
    };
    db.claim(&delivery, |tx| async move {
        store::customers::remember(&tx, customer, event.version).await?;
        Ok(store::customers::forget_name(&tx, customer.id).await?)
    })
    .await
}
