//! Whoever listens is told something: each event that a service or a saga waits for is published by its owner.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use contracts::policy;

/// Every file below `folder` that ends with `extension`, with its text.
fn files(folder: &Path, extension: &str) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let text = fs::read_to_string(&path).expect("a readable file");
                files.push((path, text));
            }
        }
    }
    files
}

fn services() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("services")
}

/// Subjects that consumers (`Delivery<..::Message>`) and triggers of sagas (`subject: ...`) wait for, with where they do.
fn awaited() -> BTreeSet<(String, PathBuf)> {
    let mut awaited = BTreeSet::new();
    for (path, text) in files(&services(), "rs") {
        for rest in text.split("Delivery<").skip(1) {
            let Some((message, _)) = rest.split_once('>') else {
                continue;
            };
            let name = message.rsplit("::").next().unwrap_or(message);
            // What every service publishes the chassis publishes for it.
            let subjects = policy::events().filter(|(full, event)| {
                full.rsplit('.').next() == Some(name) && !event.is_published_by_all()
            });
            awaited.extend(subjects.map(|(_, event)| (event.subject.clone(), path.clone())));
        }
    }
    for (path, text) in files(&services(), "yaml") {
        let subjects = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("subject:"));
        awaited.extend(subjects.map(|subject| (subject.trim().to_owned(), path.clone())));
    }
    awaited
}

#[test]
fn every_subject_that_somebody_waits_for_is_published() {
    let awaited = awaited();
    assert!(awaited.len() >= 4, "{awaited:?}");
    for (subject, path) in awaited {
        let message = policy::event_message(&subject)
            .unwrap_or_else(|| panic!("{}: {subject} is no event of the contract", path.display()));
        let publisher = subject.split('.').next().unwrap_or_default();
        let sources = files(&services().join(publisher).join("src"), "rs");
        let made = format!("pb::{}", message.name());
        let is_published = sources.iter().any(|(path, text)| {
            // Not where somebody listens to it.
            let makes = path.ends_with("events/publish.rs") || text.contains("outbox::");
            makes && text.contains(&made)
        });
        assert!(
            is_published,
            "{}: nobody publishes {subject}",
            path.display()
        );
    }
}
