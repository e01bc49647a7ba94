//! What keeps the service from booting is told in one line.

use std::process::{Command, Output};

use tempfile::TempDir;

fn boot(variables: &[(&str, &str)]) -> Output {
    let home = TempDir::new().expect("a temporary folder");
    Command::new(env!("CARGO_BIN_EXE_identity"))
        .env("DATA_DIR", home.path())
        .env("LOG_FORMAT", "text")
        .envs(variables.iter().copied())
        .output()
        .expect("cargo built it")
}

#[test]
fn bad_settings_are_named_and_no_secret_is_shown() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), r#"{"ordering": "hush"}"#).expect("written");
    let path = file.path().display().to_string();
    for (variables, named) in [
        (
            vec![("SERVICE_CLIENTS_FILE", "/nowhere.json")],
            "SERVICE_CLIENTS_FILE: cannot read /nowhere.json",
        ),
        (
            vec![("SERVICE_CLIENTS_FILE", path.as_str())],
            "the secret of 'ordering' has less than 16 bytes",
        ),
        (
            vec![("BOOTSTRAP_ADMIN_EMAIL", "admin@caravan.test")],
            "BOOTSTRAP_ADMIN_PASSWORD",
        ),
        (
            vec![
                ("BOOTSTRAP_ADMIN_EMAIL", "admin"),
                ("BOOTSTRAP_ADMIN_PASSWORD", "hush"),
            ],
            "must be an e-mail address",
        ),
        (vec![("TOKEN_LIFETIME", "soon")], "TOKEN_LIFETIME"),
    ] {
        let output = boot(&variables);
        let told = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(!output.status.success(), "{named}");
        assert!(told.contains(named), "{named}: {told}");
        assert!(!told.contains("hush"), "{told}");
    }
}
