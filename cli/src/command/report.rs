//! What a mesh that is ready tells its user: the table, the gateway, and commands to copy.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use crate::logs::Logs;
use crate::logs::console::Format;
use crate::logs::line::{Level, fields};
use crate::mesh::home::Home;
use crate::mesh::state::{ProcessState, State};
use crate::shop::seed;

/// A service that is good to look at with grpcurl.
const GRPC_EXAMPLE: &str = "ordering";

/// A mesh that is ready.
#[derive(Debug)]
pub struct Report<'a> {
    state: &'a State,
    commands: [(&'static str, String); 3],
}

impl<'a> Report<'a> {
    /// The report about `state`.
    #[must_use]
    pub fn new(state: &'a State, home: &Home) -> Self {
        Self {
            commands: commands(state, home),
            state,
        }
    }

    /// For people: the table and the commands.
    #[must_use]
    pub fn text(&self) -> String {
        let ready = self
            .state
            .ready_after_ms
            .map(|ms| format!(", ready after {}.{:02} s", ms / 1000, ms % 1000 / 10))
            .unwrap_or_default();
        let mut out = format!(
            "\n{}\nGateway: {}{ready}\n",
            table(&self.state.processes),
            self.state.gateway_url
        );
        for (what, command) in &self.commands {
            // A String takes everything.
            let _ = write!(out, "\n# {what}\n{command}\n");
        }
        out.push('\n');
        out
    }

    /// Shows it where the mesh's lines are shown: as text to people, as one JSON line to programs.
    pub fn show(&self, logs: &Logs) {
        let commands: Vec<_> = self.commands.iter().map(|(_, command)| command).collect();
        let report = json!({
            "event": "ready",
            "gateway_url": self.state.gateway_url,
            "ready_after_ms": self.state.ready_after_ms,
            "processes": self.state.processes,
            "commands": commands,
        });
        let line = logs.note(Level::Info, "the mesh is ready", fields(report));
        match logs.console().format() {
            Format::Readable { .. } => logs.console().show_text(&self.text()),
            Format::Json | Format::Silent => logs.console().show_own(&line),
        }
    }
}

/// One line for each process.
#[must_use]
pub fn table(processes: &[ProcessState]) -> String {
    let rows = processes.iter().map(|process| {
        [
            process.name.clone(),
            address(process),
            process.admin.clone().unwrap_or_else(dash),
            process.pid.map_or_else(dash, |pid| pid.to_string()),
        ]
    });
    columns(["SERVICE", "GRPC", "ADMIN", "PID"], rows)
}

/// Where the process serves: bare where it speaks gRPC, as a URL where it does not.
#[must_use]
pub fn address(process: &ProcessState) -> String {
    let http = process.http.as_ref().map(|http| format!("http://{http}"));
    let nats = process.nats.as_ref().map(|nats| format!("nats://{nats}"));
    process.grpc.clone().or(http).or(nats).unwrap_or_else(dash)
}

/// Rows under a heading, each column as wide as its widest cell.
pub fn columns<const N: usize>(
    heading: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let rows: Vec<[String; N]> = std::iter::once(heading.map(str::to_owned))
        .chain(rows)
        .collect();
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0));
    let line = |row: &[String; N]| {
        let cells: Vec<_> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn dash() -> String {
    "-".to_owned()
}

fn commands(state: &State, home: &Home) -> [(&'static str, String); 3] {
    let gateway = &state.gateway_url;
    let program =
        std::env::current_exe().map_or_else(|_| "caravan".to_owned(), |program| quote(&program));
    let token = format!("$({program} --home {} token)", quote(home.root()));
    let sku = seed::samples()
        .into_iter()
        .next()
        .map(|sample| sample.sku)
        .unwrap_or_default();
    let body = json!({"lines": [{"sku": sku, "quantity": 1}], "paymentMethod": "pm_card_visa"});
    let grpc = state
        .processes
        .iter()
        .find(|process| process.name == GRPC_EXAMPLE)
        .and_then(|process| process.grpc.clone())
        .unwrap_or_default();
    [
        (
            "List the products",
            format!("curl -sS {gateway}/v1/products"),
        ),
        (
            "Buy one",
            format!(
                "curl -sS {gateway}/v1/orders -H \"authorization: Bearer {token}\" -H \"idempotency-key: $(date +%s%N)\" \
                 -H 'prefer: wait=5' -H 'content-type: application/json' -d '{body}'"
            ),
        ),
        (
            "List the services of a process",
            format!("grpcurl -plaintext {grpc} list"),
        ),
    ]
}

/// As one word of a shell.
fn quote(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::topology::Topology;

    #[test]
    fn the_report_names_every_process_and_pastable_commands() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::create(&folder.path().join("a b")).unwrap();
        let state = State::new(&Topology::new(8080).unwrap());
        let text = Report::new(&state, &home).text();
        for process in &state.processes {
            assert!(text.contains(&process.name), "{text}");
        }
        assert!(
            text.contains("grpcurl -plaintext 127.0.0.1:8096 list"),
            "{text}"
        );
        assert!(text.contains("a b' token)"), "{text}");
    }

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let rows = [["longer".to_owned(), "1".to_owned()]];
        assert_eq!(
            columns(["A", "B"], rows.into_iter()),
            "A       B\nlonger  1\n"
        );
    }
}
