//! Histories, snapshots and the read model over real databases.

use chassis::{
    clock,
    db::{Db, Error},
    outbox::{Actor, history},
};
use sea_orm::{ConnectionTrait, Statement};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{
    history as orders_history,
    migrations::Migrator,
    orders,
    rebuild::{self, Progress},
    snapshots::{self, SNAPSHOT_EVERY},
};
use crate::domain::{
    event::{Event, Placed},
    money::Money,
    order::{Line, Order, Rejection},
};

alone::on_both_engines!(
    an_order_is_what_its_events_say,
    of_two_changes_of_the_same_state_one_is_stored,
    changes_at_the_same_time_are_all_decided_upon_what_is_stored,
    a_long_history_is_read_from_its_newest_snapshot,
    an_order_can_be_seen_as_it_was,
    a_rebuilt_read_model_is_what_the_events_say,
    an_order_from_before_there_were_events_is_read_and_goes_on,
    means_of_payment_and_names_do_not_stay_in_the_history,
);

async fn open(engine: alone::Engine) -> Option<(Db, impl Drop)> {
    let url = alone::database_url(engine)?;
    Some((Db::open::<Migrator>(&url).await.expect("opens"), url))
}

fn actor() -> Actor {
    Actor {
        label: "service:saga".into(),
        saga_id: Some(Uuid::max()),
    }
}

fn placed() -> Event {
    let price = Money {
        currency_code: "EUR".into(),
        minor_units: 1250,
    };
    Event::Placed(Placed {
        customer_id: Uuid::max(),
        customer_name: "Ada".into(),
        lines: vec![Line {
            sku: "mug".into(),
            name: "Mug".into(),
            quantity: 1,
            unit_price: Some(price.clone()),
        }],
        total: Some(price),
    })
}

async fn begin(db: &Db, event: &Event, now: OffsetDateTime) -> Order {
    let (id, actor) = (Uuid::now_v7(), &actor());
    db.write(
        |tx| async move { orders_history::begin(&tx, id, event, "pm_card_visa", now, actor).await },
    )
    .await
    .expect("stored")
}

async fn append(db: &Db, order: &Order, event: &Event) -> Result<Order, Error> {
    let actor = &actor();
    db.write(|tx| async move {
        let now = clock::now();
        orders_history::append(&tx, order.clone(), event, now, actor).await
    })
    .await
}

async fn execute(db: &Db, sql: &str) {
    db.write(|tx| async move { tx.execute_unprepared(sql).await.map_err(Error::from) })
        .await
        .expect("executed");
}

async fn an_order_is_what_its_events_say(engine: alone::Engine) {
    let Some((db, _url)) = open(engine).await else {
        return;
    };
    let returned = [
        Event::Confirmed,
        Event::ReturnRequested {
            reason: "worn".into(),
        },
        Event::ReturnDeclined {
            message: "It is worn.".into(),
        },
    ];
    let taken_back = [
        Event::Cancelled {
            was_confirmed: false,
            reason: "too late".into(),
        },
        Event::Returned,
    ];
    let why = Rejection {
        reason: "OUT_OF_STOCK".into(),
        message: "No mugs are left.".into(),
    };
    let Event::Placed(what) = placed() else {
        unreachable!("placed above")
    };
    let refused = Event::Refused(what, why.clone());
    for (first, later) in [
        (placed(), &returned[..]),
        (placed(), &taken_back[..]),
        (placed(), &[Event::Rejected(why)][..]),
        (refused, &[][..]),
    ] {
        let mut order = begin(&db, &first, clock::now()).await;
        for event in later {
            order = append(&db, &order, event).await.expect("the next one");
        }
        let id = order.parts().id;
        let loaded = orders_history::load(db.read(), id).await.expect("readable");
        assert_eq!(loaded.as_ref(), Some(&order));
        let row = orders::find(db.read(), id).await.expect("readable");
        assert_eq!(row.as_ref(), Some(&order), "the read model says the same");
        let entries = orders_history::list(db.read(), id, 1, 100)
            .await
            .expect("readable");
        assert!(entries.iter().map(|entry| &entry.event).eq(later));
        assert!(
            entries
                .iter()
                .all(|entry| entry.record.actor == Some(actor()))
        );
    }
    let nobody = orders_history::load(db.read(), Uuid::now_v7()).await;
    assert_eq!(nobody.expect("readable"), None);
}

async fn of_two_changes_of_the_same_state_one_is_stored(engine: alone::Engine) {
    let Some((db, _url)) = open(engine).await else {
        return;
    };
    let order = begin(&db, &placed(), clock::now()).await;
    let cancelled = Event::Cancelled {
        was_confirmed: false,
        reason: String::new(),
    };
    let (first, second) = tokio::join!(
        append(&db, &order, &Event::Confirmed),
        append(&db, &order, &cancelled)
    );
    let winner = match (first, second) {
        (Ok(winner), Err(Error::Conflict)) | (Err(Error::Conflict), Ok(winner)) => winner,
        other => panic!("{other:?}"),
    };
    let loaded = orders_history::load(db.read(), order.parts().id).await;
    assert_eq!(loaded.expect("readable"), Some(winner));
}

async fn changes_at_the_same_time_are_all_decided_upon_what_is_stored(engine: alone::Engine) {
    /// Below the tries that a unit of work has.
    const WRITERS: i64 = 4;
    let Some((db, _url)) = open(engine).await else {
        return;
    };
    let id = begin(&db, &placed(), clock::now()).await.parts().id;
    let writers = (0..WRITERS).map(|_| async {
        let actor = &actor();
        db.write(|tx| async move {
            let order = orders_history::load(&tx, id).await?.expect("placed");
            orders_history::append(&tx, order, &Event::Confirmed, clock::now(), actor).await
        })
        .await
    });
    for outcome in futures::future::join_all(writers).await {
        outcome.expect("tried again where another one came first");
    }
    let order = orders_history::load(db.read(), id).await;
    let order = order.expect("readable").expect("placed");
    assert_eq!(order.parts().version, 1 + WRITERS);
}

async fn a_long_history_is_read_from_its_newest_snapshot(engine: alone::Engine) {
    let Some((db, _url)) = open(engine).await else {
        return;
    };
    let mut order = begin(&db, &placed(), clock::now()).await;
    let id = order.parts().id;
    for _ in 1..3 * SNAPSHOT_EVERY - 1 {
        order = append(&db, &order, &Event::Confirmed).await.expect("next");
    }
    let snapshot = snapshots::newest(db.read(), id, None).await;
    let snapshot = snapshot.expect("readable").expect("taken");
    assert_eq!(snapshot.parts().version, 2 * SNAPSHOT_EVERY);
    let rest = history(
        db.read(),
        &id.to_string(),
        snapshot.parts().version,
        u64::MAX >> 1,
    )
    .await
    .expect("readable");
    assert_eq!(rest.len() as i64, SNAPSHOT_EVERY - 1);
    let from_snapshot = orders_history::load(db.read(), id).await;
    assert_eq!(from_snapshot.expect("readable"), Some(order.clone()));

    // They only save time.
    execute(&db, "UPDATE order_snapshots SET schema = 0").await;
    let from_events = orders_history::load(db.read(), id).await;
    assert_eq!(from_events.expect("readable"), Some(order));
}

async fn an_order_can_be_seen_as_it_was(engine: alone::Engine) {
    let Some((db, _url)) = open(engine).await else {
        return;
    };
    // In the past, so that every event has a time of its own.
    let start = clock::now() - Duration::hours(1);
    let mut states = vec![begin(&db, &placed(), start).await];
    let actor = &actor();
    for minute in 1..=SNAPSHOT_EVERY + 2 {
        let before = states.last().expect("placed");
        let at = start + Duration::minutes(minute);
        let next = db
            .write(|tx| async move {
                orders_history::append(&tx, before.clone(), &Event::Confirmed, at, actor).await
            })
            .await
            .expect("next");
        states.push(next);
    }
    let id = states[0].parts().id;
    for state in &states {
        let at = state.parts().updated + Duration::seconds(30);
        let seen = orders_history::load_as_of(db.read(), id, at).await;
        assert_eq!(seen.expect("readable").as_ref(), Some(state));
    }
    let before = start - Duration::microseconds(1);
    let none = orders_history::load_as_of(db.read(), id, before).await;
    assert_eq!(none.expect("readable"), None);
}

/// What the read model says of all orders.
async fn read_model(db: &Db, ids: &[Uuid]) -> Vec<Option<Order>> {
    let mut found = Vec::new();
    for id in ids {
        found.push(orders::find(db.read(), *id).await.expect("readable"));
    }
    found
}

async fn a_rebuilt_read_model_is_what_the_events_say(engine: alone::Engine) {
    let Some((db, _url)) = open(engine).await else {
        return;
    };
    let mut ids = Vec::new();
    // More than a batch.
    for _ in 0..103 {
        ids.push(begin(&db, &placed(), clock::now()).await.parts().id);
    }
    for id in &ids[50..60] {
        let order = orders_history::load(db.read(), *id).await;
        let order = order.expect("readable").expect("placed");
        append(&db, &order, &Event::Confirmed).await.expect("next");
    }
    let good = read_model(&db, &ids).await;
    execute(
        &db,
        "UPDATE orders SET status = 'rejected', version = 9 WHERE status = 'confirmed'",
    )
    .await;
    execute(
        &db,
        "DELETE FROM order_lines WHERE order_id IN (SELECT id FROM orders ORDER BY id LIMIT 5)",
    )
    .await;
    execute(
        &db,
        "DELETE FROM orders WHERE id IN (SELECT id FROM orders ORDER BY id DESC LIMIT 2)",
    )
    .await;
    let stranger = Order::begin(Uuid::now_v7(), &placed(), clock::now()).expect("a beginning");
    let stranger = &stranger;
    db.write(|tx| async move { orders::insert(&tx, stranger).await })
        .await
        .expect("stored");
    assert_ne!(read_model(&db, &ids).await, good);

    let mut progress = Progress::default();
    while !progress.done {
        progress = rebuild::step(&db, progress).await.expect("goes on");
    }
    assert_eq!(
        progress,
        Progress {
            orders: 103,
            corrected: 17,
            removed: 1,
            last: ids[102],
            done: true
        }
    );
    assert_eq!(read_model(&db, &ids).await, good);
    let gone = orders::find(db.read(), stranger.parts().id).await;
    assert_eq!(gone.expect("readable"), None);
    let again = rebuild::step(&db, Progress::behind(ids[50])).await;
    let again = again.expect("goes on");
    assert_eq!((again.orders, again.corrected), (52, 0));
}

async fn an_order_from_before_there_were_events_is_read_and_goes_on(engine: alone::Engine) {
    use sea_orm_migration::MigratorTrait;

    let Some(url) = alone::database_url(engine) else {
        return;
    };
    let db = Db::open::<super::migrations::BeforeEvents>(&url).await;
    let db = db.expect("opens");
    let (id, customer) = (Uuid::now_v7(), Uuid::max());
    db.write(|tx| async move {
        let order = "INSERT INTO orders (id, customer_id, customer_name, status, currency_code, total_minor, created_at_us, \
                     updated_at_us, version) VALUES ($1, $2, 'Ada', 'confirmed', 'EUR', 2500, 1000, 2000, 2)";
        let line = "INSERT INTO order_lines (order_id, position, sku, name, quantity, currency_code, unit_price_minor) \
                    VALUES ($1, 0, 'mug', 'Mug', 2, 'EUR', 1250)";
        let statement = |sql, values: Vec<sea_orm::Value>| {
            Statement::from_sql_and_values(tx.get_database_backend(), sql, values)
        };
        tx.execute_raw(statement(order, vec![id.into(), customer.into()]))
            .await?;
        tx.execute_raw(statement(line, vec![id.into()])).await?;
        Ok::<_, Error>(())
    })
    .await
    .expect("stored");
    drop(db);
    let db = Db::open::<Migrator>(&url).await.expect("is migrated");
    assert_eq!(Migrator::migrations().len(), 2);

    let order = orders_history::load(db.read(), id).await;
    let order = order.expect("readable").expect("carried over");
    assert_eq!(order.parts().customer_name, "Ada");
    assert_eq!(order.parts().lines[0].quantity, 2);
    assert_eq!(order.parts().version, 2);
    let row = orders::find(db.read(), id).await.expect("readable");
    assert_eq!(row.as_ref(), Some(&order));
    let pending = orders_history::load_as_of(db.read(), id, clock::from_us(1500)).await;
    let pending = pending.expect("readable").expect("placed by then");
    assert_eq!(pending.parts().version, 1);
    let cancelled = Event::Cancelled {
        was_confirmed: true,
        reason: String::new(),
    };
    let order = append(&db, &order, &cancelled).await.expect("goes on");
    let loaded = orders_history::load(db.read(), id).await;
    assert_eq!(loaded.expect("readable"), Some(order));
}

async fn means_of_payment_and_names_do_not_stay_in_the_history(engine: alone::Engine) {
    let Some((db, _url)) = open(engine).await else {
        return;
    };
    let order = begin(&db, &placed(), clock::now()).await;
    append(&db, &order, &Event::Confirmed).await.expect("next");
    let id = order.parts().id.to_string();
    for record in history(db.read(), &id, 0, 10).await.expect("readable") {
        let holds = |text: &str| {
            record
                .payload
                .windows(text.len())
                .any(|window| window == text.as_bytes())
        };
        assert!(!holds("pm_card_visa") && !holds("Ada"), "{record:?}");
    }
}
