//! Memory for messages on their way.

use std::cell::RefCell;

use transcode::{Encoder, Printer};

thread_local! {
    /// Scratch memory of messages on their way, one a thread: nothing is shared and nothing is allocated a field.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) encoder: Encoder,
    pub(crate) printer: Printer,
    pub(crate) buffer: Vec<u8>,
}

/// Scratch memory that is kept between requests, in bytes.
const MAX_KEPT_BYTES: usize = 256 * 1024;

/// Runs `make` with the thread's scratch memory, whose buffer is empty.
pub(crate) fn with_scratch<T>(make: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.buffer.clear();
        let made = make(scratch);
        if scratch.buffer.capacity() > MAX_KEPT_BYTES {
            scratch.buffer = Vec::new();
        }
        made
    })
}
