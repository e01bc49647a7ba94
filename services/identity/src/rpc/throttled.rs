//! Who tries too often, by account and by network address, has to wait. All replicas count together.

use chassis::clock;

use super::Rpc;
use crate::{
    domain::{
        audit::Entry,
        throttle::{self, Key},
    },
    error::Error,
    store,
};

/// The network address that the call under way comes from. Loopback excepted: behind it stand proxies that do not say for whom.
pub(super) fn address() -> Vec<Key<'static>> {
    let client = chassis::context::current().and_then(|context| context.client);
    let client = client.filter(|address| !address.is_loopback());
    client.map(Key::of_address).into_iter().collect()
}

/// That, and the account with this e-mail address.
pub(super) fn account_and_address(email: &str) -> Vec<Key<'_>> {
    let mut keys: Vec<Key<'_>> = address();
    keys.push(Key::Account(email));
    keys
}

/// Whether these may try.
pub(super) async fn check(rpc: &Rpc, keys: &[Key<'_>]) -> Result<(), Error> {
    let counted = store::failures::of(rpc.db.read(), keys).await?;
    throttle::check(&counted, clock::now()).map_err(Error::TooManyFailures)
}

/// Counts how a try ended, together with what the audit log says of it, and says whether its end may be told.
pub(super) async fn settle(
    rpc: &Rpc,
    keys: &[Key<'_>],
    right: bool,
    entry: Option<&Entry>,
) -> Result<(), Error> {
    if right && entry.is_none() {
        let counted = store::failures::of(rpc.db.read(), keys).await?;
        let mut after = counted.clone();
        throttle::settle(&mut after, right, clock::now()).map_err(Error::TooManyFailures)?;
        // Most have not failed of late: nothing is written for them.
        if counted == after {
            return Ok(());
        }
    }
    let settled = rpc
        .db
        .write(|tx| async move {
            if let Some(entry) = entry {
                store::audit::append(&tx, entry.clone()).await?;
            }
            let now = clock::now();
            let mut counted = store::failures::locked(&tx, keys, now).await?;
            let settled = throttle::settle(&mut counted, right, now);
            store::failures::save(&tx, &counted).await?;
            Ok::<_, Error>(settled)
        })
        .await?;
    settled.map_err(Error::TooManyFailures)
}
