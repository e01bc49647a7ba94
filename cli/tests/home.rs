//! One home, one mesh: who may start, what is left after a crash, what runs in the background.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod common;

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Output, Stdio};

use caravan::mesh::leftovers::Held;
use caravan::mesh::topology;
use common::{World, eventually};

/// The one line of a command that failed.
fn complaint(output: &Output) -> &str {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let line = std::str::from_utf8(&output.stderr).unwrap();
    assert_eq!(line.lines().count(), 1, "{line}");
    line
}

fn text(output: &Output) -> &str {
    assert!(output.status.success(), "{output:?}");
    std::str::from_utf8(&output.stdout).unwrap()
}

#[test]
fn a_second_mesh_in_the_same_home_is_refused() {
    let world = World::new();
    let up = world.up(&[]);
    for arguments in [&[][..], &["--detach"]] {
        let second = world.up_command(arguments).output().unwrap();
        let line = complaint(&second);
        assert!(
            line.contains("already runs") && line.contains(&up.child.id().to_string()),
            "{line}"
        );
    }
    assert_eq!(world.status()["ready"], true, "the first is not disturbed");
}

#[test]
fn a_taken_port_is_named_and_nothing_starts() {
    let world = World::new();
    let _taken = TcpListener::bind(("127.0.0.1", world.port_base + 13)).unwrap();
    let refused = world.up_command(&[]).output().unwrap();
    let line = complaint(&refused);
    assert!(
        line.contains(&format!(
            "port {} (catalog, admin) is taken",
            world.port_base + 13
        )),
        "{line}"
    );
    assert_eq!(world.running(), [""; 0]);
    assert_eq!(world.status()["phase"], "stopped");
}

#[test]
fn a_missing_program_is_named_and_nothing_starts() {
    let world = World::new();
    std::fs::remove_file(world.bin().join("inventory")).unwrap();
    let refused = world.up_command(&[]).output().unwrap();
    assert!(complaint(&refused).contains("`inventory`"));
    assert_eq!(world.running(), [""; 0]);
}

#[test]
fn what_a_killed_mesh_leaves_is_found_and_stopped() {
    let world = World::new();
    let mut up = world.up(&[]);
    let everything = topology::names().count();
    up.child.kill().unwrap();
    up.child.wait().unwrap();
    assert_eq!(world.running().len(), everything);
    assert!(complaint(&world.run(&["status"])).contains("caravan down"));
    let down = world.run(&["down"]);
    assert!(text(&down).contains("stopped what was left"), "{down:?}");
    assert_eq!(world.running(), [""; 0]);

    // A new mesh clears up as well.
    let mut up = world.up(&[]);
    up.child.kill().unwrap();
    up.child.wait().unwrap();
    let mut up = world.spawn(&mut world.up_command(&[]));
    up.until("clearing", |line| {
        line["message"]
            .as_str()
            .is_some_and(|message| message.starts_with("stopped what an earlier mesh"))
    });
    up.until("ready", |line| line["event"] == "ready");
    assert_eq!(world.running().len(), everything);
    assert!(up.close().status.success());
}

#[test]
fn a_detached_mesh_stays_until_it_is_taken_down() {
    let world = World::new();
    let up = world.up_command(&["--detach"]).output().unwrap();
    let said = text(&up);
    assert!(
        said.contains("SERVICE") && said.contains("curl -sS") && said.contains("payment-sandbox"),
        "{said}"
    );
    assert_eq!(world.status()["ready"], true);
    let logs = world.run(&["logs", "caravan"]);
    assert!(text(&logs).contains("\"event\":\"ready\""), "{logs:?}");
    let down = world.run(&["down"]);
    assert!(text(&down).contains("has drained"), "{down:?}");
    assert_eq!(world.running(), [""; 0]);
    let down = world.run(&["down"]);
    assert!(text(&down).starts_with("no mesh runs"), "{down:?}");
    assert!(complaint(&world.run(&["token"])).contains("no mesh runs"));
}

#[test]
fn a_detached_mesh_that_cannot_start_says_why() {
    let world = World::new();
    let refused = world
        .up_command(&["--detach"])
        .env("STANDIN_DIES", "payment")
        .output()
        .unwrap();
    assert!(complaint(&refused).starts_with("caravan: payment died before the mesh was ready"));
    assert_eq!(world.running(), [""; 0]);
}

#[test]
fn two_meshes_run_side_by_side() {
    let (one, two) = (World::new(), World::new());
    let (first, _second) = (one.up(&[]), two.up(&[]));
    assert!(first.close().status.success());
    assert_eq!(one.running(), [""; 0]);
    assert_eq!(two.status()["ready"], true);
}

#[test]
fn the_mesh_drains_when_its_harness_is_gone() {
    let world = World::new();
    let up = world.up(&[]);
    // Dropped without a word: stdin and stdout close.
    drop(up);
    eventually("all ended", || world.running().is_empty());
}

#[test]
fn logs_follow_and_secrets_are_private() {
    let world = World::new();
    let _up = world.up(&[]);
    let own = world.run(&["logs", "saga", "-n", "1"]);
    assert!(
        text(&own).contains("stands in") && text(&own).lines().count() == 1,
        "{own:?}"
    );
    for entry in std::fs::read_dir(world.home().join("secrets")).unwrap() {
        assert_eq!(
            entry.unwrap().metadata().unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    let mut follow = world
        .caravan(&["logs", "saga", "--follow", "-n", "1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    assert!(lines.next().unwrap().contains("stands in"));
    world.held("saga").terminate();
    // Its last line, then the first one of the process that was started instead.
    assert!(lines.next().unwrap().contains("drained"));
    assert!(lines.next().unwrap().contains("stands in"));
    Held::take(follow.id(), "logs").unwrap().terminate();
    assert!(follow.wait().unwrap().success());
}
