//! What an operator relies on: draining, one mesh a home, clear refusals, and restarts that are told.

use std::{
    cell::Cell,
    net::TcpListener,
    process::{Output, Stdio},
    time::Duration,
};

use kit::{
    Engine, Setup, World,
    mesh::{caravan, signal},
    shop::{Order, Status, an_order},
    wait::{until, within},
};
use serde_json::Value;

kit::stories!(
    a_drained_service_ends_well_and_keeps_what_it_said,
    a_killed_service_comes_back_and_says_so,
    readiness_and_metrics_are_on_the_admin_port,
);

/// Longest time from start to ready of a debug build on a busy machine.
const START_WITHIN: Duration = Duration::from_secs(30);

/// Lines of the log whose message begins so.
fn told(world: &World, what: &str) -> Vec<Value> {
    let mut lines = world.log();
    lines.retain(|line| {
        line["message"]
            .as_str()
            .is_some_and(|message| message.starts_with(what))
    });
    lines
}

async fn a_drained_service_ends_well_and_keeps_what_it_said(world: &World) {
    let sku = world.product("coffee", 1250, 100).await;
    let ada = world.customer("ada").await;
    let taken = Cell::new(0);
    let buy = async || {
        let answer = ada.send(&an_order().line(&sku, 1)).await;
        match answer.status {
            201 => taken.set(taken.get() + 1),
            // While it drains and comes back, a customer is told to come again.
            503 | 504 => {}
            status => panic!("{status} {}", answer.text),
        }
        answer.status
    };
    assert_eq!(buy().await, 201);
    let pid = world.signal("ordering", "TERM");
    until("ordering takes orders again", || async {
        // Asked first: the old process may have taken an order with its last breath.
        let is_new = world.process("ordering").pid != Some(pid);
        let status = buy().await;
        if status == 201 && is_new {
            Ok(())
        } else {
            Err(status)
        }
    })
    .await;
    // What was answered is kept, and nothing else: each order that was taken is there and goes its way.
    let list = ada
        .rest
        .get("/v1/orders?pageSize=100")
        .await
        .expect(200)
        .json();
    let orders: Vec<Order> = serde_json::from_value(list["orders"].clone()).expect("orders");
    assert_eq!(orders.len(), taken.get());
    for order in &orders {
        ada.until(order, Status::Confirmed).await;
    }
    assert_eq!(told(world, "ordering died: exit code 0").len(), 1);
}

async fn a_killed_service_comes_back_and_says_so(world: &World) {
    let sku = world.product("coffee", 1250, 10).await;
    let ada = world.customer("ada").await;
    let pid = world.kill("inventory");
    world.restarted("inventory", pid).await;
    assert_eq!(told(world, "inventory died: signal 9").len(), 1);
    assert_eq!(
        world
            .status()
            .processes
            .iter()
            .map(|process| process.restarts)
            .sum::<u32>(),
        1
    );
    let order = ada.place(an_order().line(&sku, 1)).await;
    ada.until(&order, Status::Confirmed).await;
    world.until_stock(&sku, 9, 0).await;
}

async fn readiness_and_metrics_are_on_the_admin_port(world: &World) {
    let mut seen = 0;
    for process in world.status().processes {
        let Some(admin) = process.admin else { continue };
        seen += 1;
        let admin = kit::rest::Rest::new(format!("http://{admin}"));
        admin.get("/livez").await.expect(200);
        admin.get("/readyz").await.expect(200);
        let metrics = admin.get("/metrics").await.expect(200);
        assert!(
            metrics.text.contains("# TYPE "),
            "{}: {}",
            process.name,
            metrics.text
        );
    }
    assert!(seen >= 7, "six services and the gateway have admin ports");
}

/// Runs `caravan up` where it must refuse; answers what it said, one line.
fn refused(arguments: &[&str]) -> String {
    let mut command = caravan();
    command.arg("up").args(arguments).stdin(Stdio::null());
    let output = command
        .output()
        .expect("the caravan binary lies beside the tests");
    let Output {
        status,
        stdout,
        stderr,
    } = output;
    let text = String::from_utf8_lossy(&stderr).into_owned();
    assert!(
        !status.success(),
        "{} {text}",
        String::from_utf8_lossy(&stdout)
    );
    assert_eq!(text.trim().lines().count(), 1, "one clear line: {text}");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_second_mesh_on_the_same_home_is_refused() {
    let mut world = World::start().await;
    let home = world.mesh_home();
    let home = home.to_str().expect("a path in UTF-8");
    let base = world.port_base().to_string();
    let text = refused(&["--home", home, "--port-base", &base, "--no-seed"]);
    assert!(text.contains(home), "{text}");
    // The first one does not mind.
    world.ready().await;

    // The same ports for another home.
    let other = tempfile::tempdir().expect("a temporary folder");
    let other = other.path().join("mesh");
    let other = other.to_str().expect("a path in UTF-8");
    let text = refused(&["--home", other, "--port-base", &base, "--no-seed"]);
    assert!(text.contains("port") && text.contains("taken"), "{text}");
    world.ready().await;

    let status = world.mesh().stop().expect("the mesh stops by itself");
    assert!(status.success(), "{status}");
    // Everything is stopped: each port is free again.
    for port in world.port_base()..world.port_base() + 30 {
        drop(TcpListener::bind(("127.0.0.1", port)).expect("a free port"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_sample_catalogue_is_there_from_the_start() {
    let world = World::start_with(Setup::on(Engine::Sqlite).seeded())
        .await
        .expect("SQLite is always there");
    let list = world
        .anonymous()
        .get("/v1/products")
        .await
        .expect(200)
        .json();
    let products = list["products"].as_array().expect("products");
    assert!(products.len() >= 3, "{list}");
    let sku = products[0]["sku"]
        .as_str()
        .expect("a product carries its sku");
    assert!(world.stock(sku).await.available > 0);
    let ada = world.customer("ada").await;
    let order = ada.place(an_order().line(sku, 1).wait(30)).await;
    assert_eq!(order.status, Status::Confirmed.name());
    let api = world
        .anonymous()
        .get("/openapi.json")
        .await
        .expect(200)
        .json();
    let paths = api["paths"].as_object().expect("paths");
    for path in [
        "/v1/orders",
        "/v1/orders/{orderId}",
        "/v1/products",
        "/v1/stock/{sku}",
    ] {
        assert!(
            paths.contains_key(path),
            "{path} is not in {:?}",
            paths.keys()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_was_confirmed_survives_a_stop_and_a_kill_of_everything() {
    let mut world = World::start().await;
    let sku = world.product("coffee", 1250, 10).await;
    let ada = world.customer("ada").await;
    let order = ada.place(an_order().line(&sku, 1).wait(30)).await;
    assert_eq!(order.status, Status::Confirmed.name());
    world.until_stock(&sku, 9, 0).await;

    world.mesh().stop().expect("the mesh stops by itself");
    world.start_again().await;
    assert_eq!(ada.order(&order.order_id).await, order);
    world.until_stock(&sku, 9, 0).await;

    // Nothing is asked of the second end: neither the command nor a service can say goodbye.
    let second = ada.place(an_order().line(&sku, 1)).await;
    let processes = world.status().processes;
    signal(world.mesh().pid(), "KILL");
    for process in processes {
        process.pid.into_iter().for_each(|pid| signal(pid, "KILL"));
    }
    let mesh = world.mesh();
    within(START_WITHIN, "the command is gone", || {
        let ended = mesh.ended().ok_or("it still runs");
        async move { ended }
    })
    .await;
    world.start_again().await;
    ada.until(&second, Status::Confirmed).await;
    world.until_stock(&sku, 8, 0).await;
}

#[test]
fn a_missing_program_is_named() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let home = home.path().join("mesh");
    let home = home.to_str().expect("a path in UTF-8");
    let text = refused(&["--home", home, "--bin-dir", "/nonexistent"]);
    assert!(text.contains("/nonexistent"), "{text}");
}
