//! Who tries too often, by account and by network address, has to wait.

use std::{
    sync::{MutexGuard, PoisonError},
    time::Instant,
};

use super::Rpc;
use crate::{
    domain::throttle::{Key, Throttle},
    error::Error,
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
pub(super) fn check(rpc: &Rpc, keys: &[Key<'_>]) -> Result<(), Error> {
    let checked = throttle(rpc).check(keys, Instant::now());
    checked.map_err(Error::TooManyFailures)
}

/// Records how a try ended, and says whether its end may be told.
pub(super) fn settle(rpc: &Rpc, keys: &[Key<'_>], right: bool) -> Result<(), Error> {
    let settled = throttle(rpc).settle(keys, right, Instant::now());
    settled.map_err(Error::TooManyFailures)
}

fn throttle(rpc: &Rpc) -> MutexGuard<'_, Throttle> {
    rpc.throttle.lock().unwrap_or_else(PoisonError::into_inner)
}
