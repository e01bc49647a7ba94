//! `caravan up` with a real broker and stand-ins for the services: starting, keeping alive, draining.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod common;

use caravan::mesh::topology;
use common::{World, eventually};
use serde_json::Value;

#[test]
fn a_mesh_starts_answers_and_drains_in_order() {
    let world = World::new();
    let mut up = world.spawn(&mut world.up_command(&[]));
    let ready = up.until("ready", |line| line["event"] == "ready");
    assert_eq!(ready["service"], "caravan");
    assert_eq!(ready["commands"].as_array().unwrap().len(), 3);

    let status = world.status();
    assert_eq!(status["ready"], true, "{status}");
    let processes = status["processes"].as_array().unwrap();
    assert_eq!(processes.len(), topology::names().count());
    for process in processes {
        assert_eq!(
            (&process["ready"], &process["restarts"]),
            (&Value::from(true), &Value::from(0)),
            "{process}"
        );
    }

    // Registered at the first time, logged in at the second.
    for _ in 0..2 {
        assert_eq!(
            String::from_utf8(world.run(&["token"]).stdout).unwrap(),
            "token of customer@caravan.test\n"
        );
    }
    assert_eq!(
        String::from_utf8(world.run(&["token", "--admin"]).stdout).unwrap(),
        "token of admin@caravan.test\n"
    );

    let ended = up.close();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(world.running(), [""; 0]);
    assert!(!world.home().join("state.json").exists());

    let drained = String::from_utf8(world.run(&["logs"]).stdout).unwrap();
    let order: Vec<Value> = drained
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["message"] == "drained")
        .collect();
    assert_eq!(order.len(), 8);
    assert_eq!(order[0]["service"], "gateway");
    assert_eq!(order[7]["service"], "payment-sandbox");
}

#[test]
fn the_sample_catalogue_is_loaded_unless_refused() {
    let world = World::new();
    let stock = |world: &World| -> Value {
        let address = world.process("gateway")["http"]
            .as_str()
            .unwrap()
            .to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let call = caravan::http::Call::get("/v1/stock:batchGet?skus=x");
        runtime
            .block_on(call.to(address.parse().unwrap(), common::DEADLINE))
            .unwrap()
            .json()
            .unwrap()["stocks"]
            .clone()
    };
    let up = world.up(&["--no-seed"]);
    assert_eq!(stock(&world), Value::Array(Vec::new()));
    up.close();
    let _up = world.up(&[]);
    assert_eq!(stock(&world).as_array().unwrap().len(), 12);
}

#[test]
fn a_killed_process_is_started_again_and_it_is_said() {
    let world = World::new();
    let mut up = world.up(&[]);
    for name in ["ordering", "nats-server"] {
        world.held(name).kill();
        let line = up.until("death", |line| {
            line["service"] == "caravan" && line["process"] == name
        });
        assert_eq!(
            line["message"],
            format!("{name} died: signal 9 (SIGKILL); next try in 100ms")
        );
        eventually("ready again", || {
            let process = world.process(name);
            process["restarts"] == 1 && process["ready"] == true
        });
    }
    assert!(up.close().status.success());
}

#[test]
fn a_process_that_dies_at_the_start_stops_everything() {
    let world = World::new();
    let up = world.spawn(world.up_command(&[]).env("STANDIN_DIES", "payment"));
    let ended = up.wait();
    assert_eq!(ended.status.code(), Some(1));
    let complaint = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(
        complaint,
        "caravan: payment died before the mesh was ready: exit code 7; it said: cannot go on: as told\n"
    );
    assert_eq!(world.running(), [""; 0]);
}

#[test]
fn a_process_that_is_never_ready_stops_everything() {
    let world = World::new();
    let up = world.spawn(
        world
            .up_command(&["--ready-timeout", "1s"])
            .env("STANDIN_UNREADY", "saga"),
    );
    let ended = up.wait();
    assert_eq!(ended.status.code(), Some(1));
    let complaint = String::from_utf8(ended.stderr).unwrap();
    assert!(
        complaint.starts_with("caravan: saga is not ready after 1s: /readyz says 503")
            && complaint.lines().count() == 1,
        "{complaint}"
    );
    assert_eq!(world.running(), [""; 0]);
}

#[test]
fn a_process_that_does_not_drain_is_killed() {
    let world = World::new();
    let mut up = world.spawn(
        world
            .up_command(&["--drain-timeout", "100ms"])
            .env("STANDIN_STUBBORN", "catalog"),
    );
    up.until("ready", |line| line["event"] == "ready");
    up.held().terminate();
    up.until("a kill", |line| {
        line["message"] == "catalog did not drain in time and is killed"
    });
    assert!(up.wait().status.success());
    assert_eq!(world.running(), [""; 0]);
}

#[test]
fn a_second_signal_kills_at_once() {
    let world = World::new();
    let mut up = world.spawn(world.up_command(&[]).env("STANDIN_STUBBORN", "catalog"));
    up.until("ready", |line| line["event"] == "ready");
    up.held().terminate();
    up.until("catalog hangs", |line| {
        line["service"] == "catalog" && line["message"] == "drained"
    });
    up.held().terminate();
    assert!(up.wait().status.success());
    assert_eq!(world.running(), [""; 0]);
}
