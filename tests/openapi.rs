//! The OpenAPI document of a running mesh: valid for somebody else's validator, and no request made of it breaks a service.

use std::process::Command;

use kit::{World, rest::send};
use reqwest::Method;

#[tokio::test]
async fn the_document_is_valid_and_no_request_made_of_it_breaks_a_service() {
    let world = World::start().await;
    the_reference_page_needs_nothing_from_elsewhere(&world).await;
    world.product("tea", 690, 100).await;
    let admin = world.admin().await;
    let token = admin.token().expect("logged in").to_owned();
    let url = world.status().gateway_url.expect("it is up");
    let check = move || {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openapi-check");
        let output = Command::new(script).arg(url).env("TOKEN", token).output();
        output.expect("bash")
    };
    let output = tokio::task::spawn_blocking(check).await.expect("no panic");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    world.ready().await;
    let processes = world.status().processes;
    assert!(
        processes.iter().all(|process| process.restarts == 0),
        "{processes:?}"
    );
}

async fn the_reference_page_needs_nothing_from_elsewhere(world: &World) {
    let page = world.anonymous().get("/docs").await.expect(200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(
        page.header("content-security-policy")
            .starts_with("default-src 'none'")
    );
    assert!(page.text.contains("id=\"OrderingService_PlaceOrder\""));
    let head = send(world.anonymous().request(Method::HEAD, "/docs"))
        .await
        .expect(200);
    assert!(head.text.is_empty());
    world
        .anonymous()
        .post("/docs", &serde_json::json!({}))
        .await
        .expect(405);
}
