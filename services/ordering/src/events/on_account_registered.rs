//! A new account: keep a copy.

use chassis::{
    db::Db,
    events::{Consumer, Delivery},
};
use contracts::caravan::identity::v1::AccountRegistered;

use super::on_account_updated::account_id;
use crate::{domain::customer::Customer, error::Error, store};

/// The consumer `ordering-on_account_registered`.
pub fn consumer(db: Db) -> Consumer {
    chassis::events::consumer("on_account_registered", move |delivery| {
        handle(db.clone(), delivery)
    })
}

async fn handle(db: Db, delivery: Delivery<AccountRegistered>) -> Result<(), Error> {
    let event = &delivery.message;
    let customer = Customer {
        id: account_id(&event.account_id)?,
        display_name: event.display_name.clone(),
        active: true,
    };
    let (customer, version) = (&customer, event.version);
    db.claim(&delivery, |tx| async move {
        Ok(store::customers::remember(&tx, customer, version).await?)
    })
    .await
}
