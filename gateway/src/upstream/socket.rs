//! The socket under an HTTP/2 connection. System calls are the larger part of what a small call costs, so what many calls
//! say goes out in one of them, and what comes for many comes in one.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are asked for at once. h2 alone asks for what its buffer has left: 8 KiB, and often only a few bytes.
const READ_BYTES: usize = 64 * 1024;
/// Bytes that wait for a flush. h2 alone writes each message of more than 256 bytes by itself.
const WRITE_BYTES: usize = 16 * 1024;

thread_local! {
    /// Where bytes come in; one a thread, since h2 mostly takes them at once.
    static INCOMING: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

/// A socket that gathers what is read and written.
#[derive(Debug)]
pub(super) struct Socket<S> {
    stream: S,
    /// Read and not taken yet, from `taken` on.
    read: Vec<u8>,
    taken: usize,
    /// Not written yet, from `written` on.
    unwritten: Vec<u8>,
    written: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            read: Vec::new(),
            taken: 0,
            unwritten: Vec::new(),
            written: 0,
        }
    }

    fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.unwritten.len() {
            let rest = &self.unwritten[self.written..];
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
        }
        self.unwritten.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

/// Moves as much as there is room for; the count of bytes.
fn fill(buffer: &mut ReadBuf<'_>, bytes: &[u8]) -> usize {
    let count = bytes.len().min(buffer.remaining());
    buffer.put_slice(&bytes[..count]);
    count
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.taken < this.read.len() {
            this.taken += fill(buffer, &this.read[this.taken..]);
            return Poll::Ready(Ok(()));
        }
        INCOMING.with_borrow_mut(|incoming| {
            let mut incoming = ReadBuf::new(incoming);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut incoming))?;
            let bytes = incoming.filled();
            let count = fill(buffer, bytes);
            this.read.clear();
            this.read.extend_from_slice(&bytes[count..]);
            this.taken = 0;
            Poll::Ready(Ok(()))
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.unwritten.len() + bytes.len() > WRITE_BYTES {
            ready!(self.poll_written(context))?;
            if bytes.len() > WRITE_BYTES {
                return Pin::new(&mut self.stream).poll_write(context, bytes);
            }
        }
        self.unwritten.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_written(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_written(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    /// h2 then gathers small messages itself, instead of writing each from where it is.
    fn is_write_vectored(&self) -> bool {
        false
    }
}
