//! Which worker a thread is.

use std::cell::Cell;

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
