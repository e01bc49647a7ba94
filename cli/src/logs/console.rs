//! Lines on stdout. A reader that is slow or gone never holds a process of the mesh up: lines are dropped and counted instead
//! (the files have them all).

use std::collections::VecDeque;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};

use super::line::{self, Level};
use super::pretty;

/// Lines of processes that wait for the reader.
const MAX_QUEUED_BYTES: usize = 1 << 20;
/// Lines of the mesh itself still fit in when the processes have filled their part.
const MAX_QUEUED_WITH_OWN_BYTES: usize = 2 << 20;
/// How long the end waits for the reader to take the rest.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// How lines are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Not at all.
    Silent,
    /// JSON lines, for programs.
    Json,
    /// Readable lines, for people.
    Readable {
        /// With a colour for each service.
        colour: bool,
    },
}

impl Format {
    /// What fits stdout: readable on a terminal (in colours unless `NO_COLOR` is set), else JSON.
    #[must_use]
    pub fn of_stdout() -> Self {
        if std::io::stdout().is_terminal() {
            Self::Readable {
                colour: std::env::var_os("NO_COLOR").is_none(),
            }
        } else {
            Self::Json
        }
    }
}

/// Stdout with a bounded queue before it.
#[derive(Debug)]
pub struct Console {
    format: Format,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    batches: VecDeque<Vec<u8>>,
    bytes: usize,
    dropped_lines: usize,
    /// A batch has been taken and is not written yet.
    writing: bool,
    /// The reader is gone.
    broken: bool,
}

impl Console {
    /// Starts the thread that writes.
    #[must_use]
    pub fn start(format: Format) -> Arc<Self> {
        let console = Arc::new(Self {
            format,
            queue: Mutex::default(),
            changed: Condvar::new(),
        });
        if format != Format::Silent {
            let writer = Arc::clone(&console);
            // Not a task: writing to stdout blocks. It ends with the process.
            std::thread::spawn(move || writer.write());
        }
        console
    }

    /// How lines are shown.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Shows JSON lines of a process, or drops them where the reader is too slow.
    pub fn show(&self, lines: &[u8]) {
        self.enqueue(lines, MAX_QUEUED_BYTES, |lines| self.render(lines));
    }

    /// Shows a JSON line of the mesh itself.
    pub fn show_own(&self, line: &[u8]) {
        self.enqueue(line, MAX_QUEUED_WITH_OWN_BYTES, |line| self.render(line));
    }

    /// Shows text as it is.
    pub fn show_text(&self, text: &str) {
        self.enqueue(text.as_bytes(), MAX_QUEUED_WITH_OWN_BYTES, <[u8]>::to_vec);
    }

    fn enqueue(&self, lines: &[u8], limit: usize, render: impl FnOnce(&[u8]) -> Vec<u8>) {
        if self.format == Format::Silent {
            return;
        }
        let mut queue = self.lock();
        if queue.broken {
            return;
        }
        if queue.bytes + lines.len() > limit {
            queue.dropped_lines += lines.iter().filter(|byte| **byte == b'\n').count();
            return;
        }
        let dropped = std::mem::take(&mut queue.dropped_lines);
        let mut batch = if dropped > 0 {
            self.dropped(dropped)
        } else {
            Vec::new()
        };
        batch.extend(render(lines));
        queue.bytes += batch.len();
        queue.batches.push_back(batch);
        self.changed.notify_all();
    }

    fn dropped(&self, lines: usize) -> Vec<u8> {
        let fields = Map::from_iter([("lines".to_owned(), Value::from(lines))]);
        let message =
            "the reader of stdout is too slow: lines were dropped here, the log files have them";
        self.render(&line::own(Level::Warn, message, fields))
    }

    fn render(&self, lines: &[u8]) -> Vec<u8> {
        match self.format {
            Format::Readable { colour } => pretty::lines(lines, colour),
            Format::Json | Format::Silent => lines.to_vec(),
        }
    }

    /// Waits until all is written, at most a second.
    pub fn flush(&self) {
        let pending =
            |queue: &mut Queue| !queue.broken && (queue.writing || !queue.batches.is_empty());
        drop(
            self.changed
                .wait_timeout_while(self.lock(), FLUSH_TIMEOUT, pending),
        );
    }

    fn write(&self) {
        loop {
            let waiting = |queue: &mut Queue| queue.batches.is_empty();
            let mut queue = self
                .changed
                .wait_while(self.lock(), waiting)
                .unwrap_or_else(PoisonError::into_inner);
            let batch = queue.batches.pop_front().unwrap_or_default();
            queue.writing = true;
            drop(queue);
            let mut stdout = std::io::stdout().lock();
            let written = stdout.write_all(&batch).and_then(|()| stdout.flush());
            drop(stdout);
            let mut queue = self.lock();
            queue.writing = false;
            queue.bytes -= batch.len();
            if written.is_err() {
                *queue = Queue {
                    broken: true,
                    ..Queue::default()
                };
            }
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stuck_reader_costs_lines_and_never_memory() {
        // No thread takes anything: the reader is stuck.
        let console = Console {
            format: Format::Json,
            queue: Mutex::default(),
            changed: Condvar::new(),
        };
        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        for _ in 0..4096 {
            console.show(&line);
        }
        console.show_own(b"{}\n");
        let queue = console.lock();
        assert!(queue.bytes <= MAX_QUEUED_WITH_OWN_BYTES);
        assert_eq!(queue.dropped_lines, 0, "told with the next line");
        assert!(String::from_utf8_lossy(queue.batches.back().unwrap()).contains("\"lines\":3072"));
    }
}
