//! A mesh on PostgreSQL: each service is given a database of its own.
//!
//! Needs a cluster, named by `CARAVAN_TEST_POSTGRES` as `make test` does; says so where it is skipped.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod common;

use caravan::mesh::topology::Topology;
use common::World;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

#[tokio::test]
async fn missing_databases_are_made_and_named_to_the_services() {
    let Some(cluster) = std::env::var("CARAVAN_TEST_POSTGRES")
        .ok()
        .filter(|url| !url.is_empty())
    else {
        eprintln!("SKIPPED: CARAVAN_TEST_POSTGRES names no PostgreSQL cluster");
        return;
    };
    let cluster = cluster.trim_end_matches('/');
    let world = World::new();
    let prefix = format!("cli_{}_{}_", std::process::id(), world.port_base);
    let template = format!("{cluster}/{prefix}{{service}}");
    // Twice: made at first, found then.
    for _ in 0..2 {
        let mut up = world.spawn(&mut world.up_command(&["--postgres", &template]));
        up.until("ready", |line| line["event"] == "ready");
        assert!(up.close().status.success());
    }

    let mut connection = PgConnection::connect(&format!("{cluster}/postgres"))
        .await
        .unwrap();
    let rows = sqlx::query(
        "SELECT datname FROM pg_database WHERE starts_with(datname, $1) ORDER BY datname",
    )
    .bind(&prefix)
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let databases: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let topology = Topology::new(world.port_base).unwrap();
    let mut expected: Vec<_> = topology
        .services()
        .map(|node| format!("{prefix}{}", node.name))
        .collect();
    expected.sort();
    for database in &databases {
        sqlx::raw_sql(AssertSqlSafe(format!("DROP DATABASE \"{database}\"")))
            .execute(&mut connection)
            .await
            .unwrap();
    }
    assert_eq!(databases, expected);

    let told = |service: &str| -> Value {
        let log =
            std::fs::read_to_string(world.home().join(format!("logs/{service}.log"))).unwrap();
        serde_json::from_str::<Value>(log.lines().next().unwrap()).unwrap()["database_url"].clone()
    };
    assert_eq!(told("saga"), template.replace("{service}", "saga"));
    assert_eq!(told("payment-sandbox"), Value::Null);
    assert_eq!(told("gateway"), Value::Null);
}

#[test]
fn an_unreachable_server_stops_the_start_without_naming_the_password() {
    let world = World::new();
    let port = world.port_base;
    let refused = world
        .up_command(&[
            "--postgres",
            &format!("postgres://u:secret@127.0.0.1:{port}/x_{{service}}"),
        ])
        .output()
        .unwrap();
    let complaint = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        complaint.starts_with("caravan: cannot connect to PostgreSQL")
            && complaint.lines().count() == 1,
        "{complaint}"
    );
    assert!(!complaint.contains("secret"), "{complaint}");
    assert_eq!(world.running(), [""; 0]);
}
