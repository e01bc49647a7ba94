//! What a request may have: sizes, counts and times.

use std::time::Duration;

/// What a request may have. What goes beyond is refused with 413, 431 or 408.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most connections of clients to one worker at once; more wait until one of them ends.
    pub connections: usize,
    /// Largest body, in bytes: what services accept as one message.
    pub body_bytes: usize,
    /// Longest time to send a body.
    pub body_timeout: Duration,
    /// Largest header block, in bytes.
    pub header_bytes: usize,
    /// Most headers.
    pub headers: usize,
    /// Longest time to send the headers, and longest idle time of an HTTP/1.1 connection.
    pub header_timeout: Duration,
    /// Time between two signs of life on a quiet stream: proxies close what is silent for a minute.
    pub heartbeat: Duration,
    /// Largest message on a WebSocket, in bytes.
    pub message_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            body_bytes: 4 * 1024 * 1024,
            body_timeout: Duration::from_secs(30),
            header_bytes: 32 * 1024,
            headers: 100,
            header_timeout: Duration::from_secs(30),
            heartbeat: Duration::from_secs(15),
            message_bytes: 4 * 1024 * 1024,
        }
    }
}
