//! What the processes of a mesh say: each line is kept in a file of the process and shown on stdout.
//!
//! [`line`] makes one JSON object of every line, [`pretty`] one readable line of every object, [`file`](mod@file) keeps the
//! lines within a bound, [`console`] shows them without ever holding a process up, [`read`] finds them again.

use std::io::PipeReader;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use serde_json::{Map, Value};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

use self::console::Console;
use self::file::RotatingFile;
use self::line::Level;
use crate::mesh::home::Home;

pub mod console;
pub mod file;
pub mod line;
pub mod pretty;
pub mod read;

/// The name under which `caravan up` itself speaks.
pub const OWN_NAME: &str = "caravan";

/// Longest line that is kept whole; a longer one is cut into several.
const MAX_LINE_BYTES: usize = 64 << 10;
/// Read from a process at once.
const READ_BYTES: usize = 16 << 10;

/// Where all lines of one mesh go.
#[derive(Debug)]
pub struct Logs {
    home: Home,
    console: Arc<Console>,
    own: Mutex<RotatingFile>,
}

impl Logs {
    /// Opens the own log of the home's mesh.
    ///
    /// # Errors
    /// Where the file cannot be opened.
    pub fn open(home: &Home, console: Arc<Console>) -> anyhow::Result<Self> {
        let own = RotatingFile::open(home.logs().join(format!("{OWN_NAME}.log")))?;
        Ok(Self {
            home: home.clone(),
            console,
            own: Mutex::new(own),
        })
    }

    /// Where lines are shown.
    #[must_use]
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// Says something about the mesh itself.
    pub fn say(&self, level: Level, message: &str, fields: Map<String, Value>) {
        let line = self.note(level, message, fields);
        self.console.show_own(&line);
    }

    /// As `say`, only into the file.
    pub fn note(&self, level: Level, message: &str, fields: Map<String, Value>) -> Vec<u8> {
        let line = line::own(level, message, fields);
        self.own
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .append(&line);
        line
    }

    /// The last thing that `service` said, with its error where it named one.
    #[must_use]
    pub fn last_message(&self, service: &str) -> Option<String> {
        let (lines, _) =
            read::Tail::open(&self.home.logs().join(format!("{service}.log")), 1).ok()?;
        let line: Map<String, Value> = serde_json::from_slice(lines.first()?).ok()?;
        let text = |name: &str| line.get(name).and_then(Value::as_str);
        let message = text("message")?;
        Some(
            text("error").map_or_else(|| message.to_owned(), |error| format!("{message}: {error}")),
        )
    }

    /// Copies what `service` says until it has ended and said all.
    ///
    /// # Errors
    /// Where its file cannot be opened.
    pub fn follow(
        &self,
        service: &'static str,
        reader: PipeReader,
    ) -> anyhow::Result<impl Future<Output = ()> + Send + use<>> {
        let mut file = RotatingFile::open(self.home.logs().join(format!("{service}.log")))?;
        let mut reader = pipe::Receiver::from_owned_fd(OwnedFd::from(reader))
            .context("cannot read from a process")?;
        let console = Arc::clone(&self.console);
        Ok(async move {
            let mut buffer = Vec::with_capacity(READ_BYTES);
            // A broken pipe ends like a closed one: the process is gone.
            while reader
                .read_buf(&mut buffer)
                .await
                .is_ok_and(|read| read > 0)
            {
                let lines = take_lines(service, &mut buffer);
                if !lines.is_empty() {
                    file.append(&lines);
                    console.show(&lines);
                }
                buffer.reserve(READ_BYTES);
            }
            buffer.push(b'\n');
            let rest = take_lines(service, &mut buffer);
            if !rest.is_empty() {
                file.append(&rest);
                console.show(&rest);
            }
        })
    }
}

/// Takes the whole lines out of the buffer, as JSON lines.
fn take_lines(service: &str, buffer: &mut Vec<u8>) -> Vec<u8> {
    let end = match buffer.iter().rposition(|byte| *byte == b'\n') {
        Some(newline) => newline + 1,
        None if buffer.len() >= MAX_LINE_BYTES => buffer.len(),
        None => return Vec::new(),
    };
    let mut lines = Vec::with_capacity(end);
    for line in buffer[..end].split(|byte| *byte == b'\n') {
        line::normalise(service, line, &mut lines);
    }
    buffer.drain(..end);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_are_taken_unless_too_long() {
        let mut buffer = b"{\"a\":1}\n\n{\"service\":\"x\"}\nrest".to_vec();
        let lines = String::from_utf8(take_lines("saga", &mut buffer)).unwrap();
        assert_eq!(
            lines,
            "{\"service\":\"saga\",\"a\":1}\n{\"service\":\"x\"}\n"
        );
        assert_eq!(buffer, b"rest");
        let mut endless = vec![b'x'; MAX_LINE_BYTES];
        assert!(!take_lines("saga", &mut endless).is_empty());
        assert!(endless.is_empty());
    }
}
