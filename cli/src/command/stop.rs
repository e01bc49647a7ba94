//! What ends `caravan up`.

use std::io::Read as _;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// Waits for the reasons to stop.
#[derive(Debug)]
pub struct Stop {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    background: bool,
    stdin: Option<oneshot::Receiver<()>>,
}

impl Stop {
    /// Listens from now on. In the background a closed terminal is no reason; with `stdin` its end is one.
    ///
    /// # Errors
    /// Where the system does not let us listen.
    pub fn listen(background: bool, stdin: bool) -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hangup: on(SignalKind::hangup())?,
            background,
            stdin: stdin.then(end_of_stdin),
        })
    }

    /// The next reason to stop.
    pub async fn next(&mut self) -> &'static str {
        loop {
            let stdin = async {
                match self.stdin.as_mut() {
                    Some(stdin) => drop(stdin.await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.hangup.recv() => if !self.background { return "SIGHUP" },
                () = stdin => { self.stdin = None; return "end of stdin" }
            }
        }
    }

    /// Ends when somebody insists: a signal after the first reason.
    pub async fn insisted(&mut self) {
        // The end of stdin comes by itself after a signal to a whole harness; it insists on nothing.
        self.stdin = None;
        self.next().await;
    }
}

fn end_of_stdin() -> oneshot::Receiver<()> {
    let (ended, end) = oneshot::channel();
    // A thread: reading stdin blocks. It ends with stdin or with the process.
    std::thread::spawn(move || {
        let mut ignored = [0; 1024];
        while std::io::stdin()
            .read(&mut ignored)
            .is_ok_and(|read| read > 0)
        {}
        let _ = ended.send(());
    });
    end
}
