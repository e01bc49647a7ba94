//! What may know what: dependencies point inward, services meet only through contracts, and the shared parts know no business.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// Bounded contexts whose contract types no shared part may name.
const BUSINESS: [&str; 4] = ["catalog", "inventory", "ordering", "payment"];

/// Crates of the outside world and of the mesh that a domain must not know.
const OUTSIDE: [&str; 11] = [
    "async_nats",
    "axum",
    "chassis",
    "contracts",
    "hyper",
    "reqwest",
    "sea_orm",
    "sea_orm_migration",
    "sqlx",
    "tokio",
    "tonic",
];

/// A package of the workspace.
struct Package {
    name: String,
    /// Its folder, relative to the workspace.
    folder: PathBuf,
    /// Names of all that it depends on, to build and to test.
    dependencies: BTreeSet<String>,
    /// Names of what it is built from.
    built_from: BTreeSet<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn packages() -> Vec<Package> {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("a list");
    packages.iter().map(package).collect()
}

fn package(package: &Value) -> Package {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let manifest = PathBuf::from(text(&package["manifest_path"]));
    let folder = manifest.parent().expect("a manifest lies in a folder");
    let dependencies = package["dependencies"].as_array().expect("a list");
    let named = |wanted: &dyn Fn(&Value) -> bool| {
        let kept = dependencies.iter().filter(|dependency| wanted(dependency));
        kept.map(|dependency| text(&dependency["name"])).collect()
    };
    Package {
        name: text(&package["name"]),
        folder: folder.strip_prefix(root()).unwrap_or(folder).to_owned(),
        dependencies: named(&|_| true),
        built_from: named(&|dependency| dependency["kind"] != "dev"),
    }
}

fn services(packages: &[Package]) -> BTreeSet<&str> {
    let services = packages
        .iter()
        .filter(|package| package.folder.starts_with("services"));
    services.map(|package| package.name.as_str()).collect()
}

/// Every Rust file below `folder`, with its path relative to the workspace.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(root().join(&folder)) else {
            continue;
        };
        for entry in entries {
            let name = entry.expect("a readable folder").file_name();
            let path = folder.join(name);
            if root().join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(root().join(&path)).expect("a readable file");
                files.push((path, code(&text)));
            }
        }
    }
    files
}

/// The code of a file without comments and without its unit tests, which stand last.
fn code(text: &str) -> String {
    let lines = text
        .lines()
        .take_while(|line| line.trim() != "#[cfg(test)]");
    let code = lines.filter(|line| !line.trim_start().starts_with("//"));
    code.collect::<Vec<_>>().join("\n")
}

/// Whether the code names something in the crate or module `name`.
fn names(code: &str, name: &str) -> bool {
    let path = format!("{name}::");
    code.match_indices(&path).any(|(at, _)| {
        !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_')
    }) || code.contains(&format!("use {name};"))
}

#[test]
fn services_never_depend_on_each_other() {
    let packages = packages();
    let services = services(&packages);
    assert!(services.len() >= 7, "{services:?}");
    for package in packages
        .iter()
        .filter(|package| services.contains(package.name.as_str()))
    {
        let others: Vec<_> = package
            .dependencies
            .iter()
            .filter(|name| {
                services.contains(name.as_str()) || *name == "gateway" || *name == "caravan"
            })
            // The stand-in for the outside provider is what payment's tests run against.
            .filter(|name| *name != "payment-sandbox" || package.built_from.contains(*name))
            .collect();
        assert!(others.is_empty(), "{} depends on {others:?}", package.name);
    }
}

#[test]
fn shared_parts_depend_on_no_service() {
    let packages = packages();
    let services = services(&packages);
    for shared in [
        "chassis",
        "transcode",
        "gateway",
        "contracts",
        "openapi",
        "saga-definition",
    ] {
        let package = packages
            .iter()
            .find(|package| package.name == shared)
            .unwrap_or_else(|| panic!("no package {shared}"));
        let known: Vec<_> = package
            .built_from
            .iter()
            .filter(|name| services.contains(name.as_str()))
            .collect();
        assert!(known.is_empty(), "{shared} depends on {known:?}");
    }
    let transcode = packages.iter().find(|package| package.name == "transcode");
    let built_from = &transcode.expect("listed").built_from;
    for io in [
        "contracts",
        "chassis",
        "tokio",
        "tonic",
        "hyper",
        "axum",
        "reqwest",
    ] {
        assert!(!built_from.contains(io), "transcode depends on {io}");
    }
}

#[test]
fn the_chassis_the_gateway_and_the_orchestrator_name_no_business() {
    for folder in [
        "chassis/src",
        "transcode/src",
        "gateway/src",
        "services/saga/src",
        "saga-definition/src",
    ] {
        for (path, code) in sources(Path::new(folder)) {
            for business in BUSINESS {
                let package = format!("caravan::{business}");
                assert!(
                    !names(&code, &package),
                    "{} names {package}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn a_domain_imports_nothing_of_the_outside() {
    let mut seen = 0;
    for package in packages() {
        for (path, code) in sources(&package.folder.join("src/domain")) {
            seen += 1;
            for outside in OUTSIDE {
                assert!(!names(&code, outside), "{} uses {outside}", path.display());
            }
            for room in [
                "crate::store",
                "crate::rpc",
                "crate::events",
                "crate::config",
            ] {
                assert!(!names(&code, room), "{} uses {room}", path.display());
            }
        }
    }
    assert!(seen >= 5, "only {seen} domain files found");
}

#[test]
fn only_the_configuration_reads_the_environment() {
    for folder in ["chassis/src", "gateway/src", "transcode/src", "services"] {
        for (path, code) in sources(Path::new(folder)) {
            let is_test = path.components().any(|part| part.as_os_str() == "tests");
            let is_config = path.ends_with("config.rs")
                || path
                    .parent()
                    .is_some_and(|folder| folder.ends_with("config"));
            if !is_test && !is_config {
                assert!(
                    !code.contains("env::var"),
                    "{} reads the environment",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn names_are_found_as_whole_words() {
    assert!(names("use tonic::Status;", "tonic"));
    assert!(names("let x = ::tonic::Status::ok();", "tonic"));
    assert!(!names("use my_tonic::Status;", "tonic"));
    assert!(!names(
        &code("// tonic::Status\n#[cfg(test)]\nmod tests { use tonic::Status; }"),
        "tonic"
    ));
}
