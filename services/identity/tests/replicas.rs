//! Replicas that boot at the same moment end up with the same key.

use std::time::Duration;

use alone::{Engine, database_url, on_both_engines};
use chassis::db::Db;
use futures::future::join_all;
use identity::{
    store::migrations::Migrator,
    tokens::{Rules, Tokens},
};

on_both_engines!(replicas_that_boot_at_once_agree_on_the_key);

async fn replicas_that_boot_at_once_agree_on_the_key(engine: Engine) {
    let Some(url) = database_url(engine) else {
        return;
    };
    let open = || async { Db::open::<Migrator>(&url).await.expect("an empty database") };
    let (one, other) = (open().await, open().await);
    let boots = (0..8).map(|number| {
        let db = if number % 2 == 0 { &one } else { &other };
        let minute = Duration::from_secs(60);
        let rules = Rules {
            issuer: "caravan".to_owned(),
            lifetime: minute,
            key_max_age: 100 * minute,
            key_ahead: minute,
        };
        Tokens::open(db, rules)
    });
    let keys: Vec<_> = join_all(boots)
        .await
        .into_iter()
        .map(|tokens| tokens.expect("a key").public_keys())
        .collect();
    assert_eq!(keys[0].len(), 1);
    assert!(keys.iter().all(|theirs| *theirs == keys[0]), "{keys:?}");
}
