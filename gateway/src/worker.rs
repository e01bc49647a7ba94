//! The threads that serve: each has a runtime and connections to upstreams of its own, and shares nothing on the way of a
//! request but what is only read.

use std::{cell::Cell, io};

use tokio::sync::oneshot;

thread_local! {
    static INDEX: Cell<usize> = const { Cell::new(0) };
}

/// Makes this thread the worker `index`.
pub(crate) fn become_worker(index: usize) {
    INDEX.set(index);
}

/// The worker that this thread is; 0 for any other thread.
pub(crate) fn index() -> usize {
    INDEX.get()
}

/// Runs a future of `make` on each of `count` threads until all have ended. Returns whether all said that they ended well.
///
/// # Errors
/// A thread or its runtime cannot be made.
pub(crate) async fn run<F>(
    count: usize,
    make: impl Fn() -> F + Clone + Send + 'static,
) -> io::Result<bool>
where
    F: Future<Output = io::Result<bool>>,
{
    let mut outcomes = Vec::new();
    for index in 0..count {
        let make = make.clone();
        let (sender, outcome) = oneshot::channel();
        outcomes.push(outcome);
        let work = move || {
            become_worker(index);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            // Made within the runtime, whose reactor sockets are registered with.
            let ended = runtime.and_then(|runtime| runtime.block_on(async { make().await }));
            // Nobody waits where another thread could not be made.
            let _ = sender.send(ended);
        };
        std::thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(work)?;
    }
    let mut all = true;
    for outcome in outcomes {
        all &= outcome.await.unwrap_or(Ok(false))?;
    }
    Ok(all)
}
