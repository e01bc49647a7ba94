//! The command line of an admin who has a second factor.

use std::{fs, process::Stdio};

use aws_lc_rs::hmac;
use data_encoding::BASE32_NOPAD;
use kit::World;
use serde_json::{Value, json};

kit::stories!(the_command_line_asks_for_a_code_once);

/// What the app shows `steps` after now.
fn code(secret: &str, steps: u64) -> String {
    let secret = BASE32_NOPAD.decode(secret.as_bytes()).expect("Base32");
    let step = jsonwebtoken::get_current_timestamp() / 30 + steps;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag[tag.len() - 1] & 0xf);
    let word: [u8; 4] = tag[offset..offset + 4].try_into().expect("four");
    format!(
        "{:06}",
        (u32::from_be_bytes(word) & 0x7fff_ffff) % 1_000_000
    )
}

async fn caravan(world: &World, arguments: &[&str], code: &str) -> Result<String, String> {
    let mut command = kit::mesh::caravan();
    command.args(arguments).arg("--home").arg(world.mesh_home());
    command.env("CARAVAN_CODE", code).stdin(Stdio::null());
    if code.is_empty() {
        command.env_remove("CARAVAN_CODE");
    }
    let output = tokio::task::spawn_blocking(move || command.output()).await;
    let output = output.expect("no panic").expect("the binary is there");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr)),
    }
}

async fn the_command_line_asks_for_a_code_once(world: &World) {
    let secrets = world.mesh_home().join("secrets");
    let password = fs::read_to_string(secrets.join("admin-password")).expect("made at the start");
    let admin = world.admin().await;
    let factor = "/v1/accounts/me/secondFactor";
    let enrol = json!({"password": password.trim()});
    let enrolled = admin.post(&format!("{factor}:enrol"), &enrol).await;
    let secret = enrolled.expect(200).json()["secret"].clone();
    let secret = secret.as_str().expect("a text");
    let confirm = json!({"code": code(secret, 0)});
    let confirmed = admin.post(&format!("{factor}:confirm"), &confirm).await;
    let recovery = confirmed.expect(200).json()["recoveryCodes"][0].clone();
    let recovery = recovery.as_str().expect("a text");

    let refusal = caravan(world, &["audit"], "").await.expect_err("no code");
    assert!(refusal.contains("--code"), "{refusal}");
    let refusal = caravan(world, &["audit", "--code", "12345"], "").await;
    assert!(refusal.expect_err("no code").contains("cannot log in"));
    let next = code(secret, 1);
    let entries = caravan(world, &["audit", "--code", &next], "").await;
    assert!(entries.expect("right").contains("SECOND_FACTOR_ENABLED"));
    // The login goes on, with no code and no other one.
    for _ in 0..2 {
        let keys = caravan(world, &["keys", "list"], "")
            .await
            .expect("logged in");
        assert_eq!(keys.lines().count(), 1, "{keys}");
    }
    let mails = caravan(world, &["mails", "--json"], "")
        .await
        .expect("logged in");
    let mails = mails
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let told = mails.filter(|mail| mail["kind"] == "MAIL_KIND_SECOND_FACTOR_ENABLED");
    let told: Vec<_> = told.collect();
    assert_eq!((told.len(), &told[0]["token"]), (1, &json!("")), "{told:?}");

    // A login that has ended is begun anew.
    admin
        .post("/v1/sessions:endAll", &json!({}))
        .await
        .expect(200);
    let refusal = caravan(world, &["saga", "list"], "")
        .await
        .expect_err("out");
    assert!(refusal.contains("--code"), "{refusal}");
    caravan(world, &["saga", "list"], recovery)
        .await
        .expect("in again");
    let token = caravan(world, &["token", "--admin"], "")
        .await
        .expect("still in");
    world
        .anonymous()
        .with_token(token)
        .get("/v1/sagas")
        .await
        .expect(200);
}
