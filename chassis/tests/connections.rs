//! Connections to PostgreSQL between their uses: what breaks them, and what they are left in.

#[allow(dead_code)]
mod support;

use futures::future::join_all;
use kit::{Engine, wait::until};
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection};
use support::{add, database, number, value};

/// A connection of the test's own.
async fn outside(url: &str) -> DatabaseConnection {
    Database::connect(url).await.expect("connects")
}

async fn count(outside: &DatabaseConnection, sql: &str) -> i64 {
    let statement = sea_orm::Statement::from_string(outside.get_database_backend(), sql);
    let row = outside.query_one_raw(statement).await.expect("answers");
    row.map_or(0, |row| row.try_get("", "n").expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_break_while_they_wait_are_not_noticed() {
    let Some((db, url)) = database(Engine::Postgres).await else {
        return;
    };
    let outside = outside(&url).await;
    for round in 1..=3 {
        // Many, so that several connections wait, some of them in a transaction that has begun.
        let units = (0..40).map(|_| db.write(|tx| async move { add(&tx, "kept", 1).await }));
        for unit in join_all(units).await {
            unit.expect("kept");
        }
        assert_eq!(value(&db, "kept").await, 41 * round - 1);
        let ended = "SELECT COUNT(pg_terminate_backend(pid)) AS n FROM pg_stat_activity \
                     WHERE datname = current_database() AND pid <> pg_backend_pid()";
        assert!(count(&outside, ended).await > 0);
        db.write(|tx| async move { add(&tx, "kept", 1).await })
            .await
            .expect("on another connection");
        assert_eq!(value(&db, "kept").await, 41 * round);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_transaction_is_left_open() {
    let Some((db, url)) = database(Engine::Postgres).await else {
        return;
    };
    for _ in 0..20 {
        db.write(|tx| async move { add(&tx, "kept", 1).await })
            .await
            .expect("kept");
    }
    let outside = outside(&url).await;
    let open = "SELECT COUNT(*) AS n FROM pg_stat_activity \
                WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    until("no transaction is open", || async {
        match count(&outside, open).await {
            0 => Ok(()),
            open => Err(open),
        }
    })
    .await;
    assert_eq!(value(&db, "kept").await, 20);
}

/// Drops a query after each number of polls: the next ones get their own answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_go_away_leave_no_answers_to_others() {
    let Some((db, _url)) = database(Engine::Postgres).await else {
        return;
    };
    let sql = "SELECT $1::bigint AS n";
    for polls in 0..40_i64 {
        let mut left = Box::pin(number(&db, sql, [(-1_i64).into()]));
        for _ in 0..polls % 8 {
            if futures::poll!(left.as_mut()).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(left);
        let wanted: Vec<i64> = (polls * 100..polls * 100 + 12).collect();
        let answers = wanted.iter().map(|n| number(&db, sql, [(*n).into()]));
        assert_eq!(join_all(answers).await, wanted);
    }
}
