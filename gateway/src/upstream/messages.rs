//! The messages of a gRPC answer, taken out of their frames.

use bytes::{Buf as _, Bytes, BytesMut};
use http::{Response, StatusCode};
use tonic::Code;

use super::{FRAME_HEADER_BYTES, call::Receiving};
use crate::status::Status;

/// Largest message of an upstream, in bytes.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// An answer that is being received. Nothing is read ahead of `next` but what fits the flow-control window.
#[derive(Debug)]
pub struct Messages {
    body: Receiving,
    /// What has come and belongs to no message yet.
    rest: Rest,
}

/// One chunk mostly holds whole messages, which are then cut out of it without a copy.
#[derive(Debug)]
enum Rest {
    Chunk(Bytes),
    Gathered(BytesMut),
}

impl Messages {
    /// The messages of an answer that has begun.
    pub(super) fn of(response: Response<Receiving>) -> Result<Self, Status> {
        if response.status() != StatusCode::OK {
            return Err(Status::of_http(response.status()));
        }
        if let Some(status) = Status::read(response.headers()) {
            return Err(status);
        }
        Ok(Self {
            body: response.into_body(),
            rest: Rest::Chunk(Bytes::new()),
        })
    }

    /// The next message; `None` after the last one of a call that went well. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(message) = self.rest.message()? {
                return Ok(Some(message));
            }
            match self.body.bytes().await {
                Some(Ok(bytes)) => self.rest.push(bytes),
                Some(Err(error)) => return Err(broken(&error)),
                None => return self.end().await.map(|()| None),
            }
        }
    }

    /// How the call ended, after its last message.
    async fn end(&mut self) -> Result<(), Status> {
        // Without trailers nobody knows how the call went: the service died.
        let trailers = self.body.trailers().await.map_err(|error| broken(&error))?;
        let trailers = trailers.ok_or_else(Status::unavailable)?;
        if let Some(status) = Status::read(&trailers) {
            return Err(status);
        }
        if !trailers.contains_key("grpc-status") {
            return Err(Status::bad_answer());
        }
        self.rest.end()
    }

    /// The one message of a unary answer.
    pub(crate) async fn only(mut self) -> Result<Bytes, Status> {
        let message = self.next().await?.ok_or_else(Status::bad_answer)?;
        match self.next().await? {
            None => Ok(message),
            Some(_) => Err(Status::bad_answer()),
        }
    }
}

fn broken(error: &h2::Error) -> Status {
    tracing::warn!(error = error as &dyn std::error::Error, "answer broke off");
    Status::unavailable()
}

impl Rest {
    fn push(&mut self, data: Bytes) {
        match self {
            Self::Chunk(chunk) if chunk.is_empty() => *chunk = data,
            Self::Chunk(chunk) => {
                let mut gathered = BytesMut::with_capacity(chunk.len() + data.len());
                gathered.extend_from_slice(chunk);
                gathered.extend_from_slice(&data);
                *self = Self::Gathered(gathered);
            }
            Self::Gathered(gathered) if gathered.is_empty() => *self = Self::Chunk(data),
            Self::Gathered(gathered) => gathered.extend_from_slice(&data),
        }
    }

    fn message(&mut self) -> Result<Option<Bytes>, Status> {
        let bytes: &[u8] = match self {
            Self::Chunk(chunk) => chunk,
            Self::Gathered(gathered) => gathered,
        };
        let Some((header, rest)) = bytes.split_at_checked(FRAME_HEADER_BYTES) else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
        if header[0] != 0 {
            return Err(Status::bad_answer()); // Compressed, which was not asked for.
        }
        if length > MAX_MESSAGE_BYTES {
            return Err(Status::new(
                Code::ResourceExhausted,
                "the answer is too large",
            ));
        }
        if rest.len() < length {
            return Ok(None);
        }
        Ok(Some(match self {
            Self::Chunk(chunk) => {
                chunk.advance(FRAME_HEADER_BYTES);
                chunk.split_to(length)
            }
            Self::Gathered(gathered) => {
                gathered.advance(FRAME_HEADER_BYTES);
                gathered.split_to(length).freeze()
            }
        }))
    }

    fn end(&self) -> Result<(), Status> {
        let empty = match self {
            Self::Chunk(chunk) => chunk.is_empty(),
            Self::Gathered(gathered) => gathered.is_empty(),
        };
        if empty {
            Ok(())
        } else {
            Err(Status::bad_answer())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_out_however_they_come() {
        let wire = b"\0\0\0\0\x03abc\0\0\0\0\0\0\0\0\0\x02de";
        for size in 1..=wire.len() {
            let mut rest = Rest::Chunk(Bytes::new());
            let mut messages = Vec::new();
            for chunk in wire.chunks(size) {
                rest.push(Bytes::copy_from_slice(chunk));
                while let Some(message) = rest.message().expect("well-formed") {
                    messages.push(message);
                }
            }
            assert_eq!(messages, [&b"abc"[..], b"", b"de"], "chunks of {size}");
            rest.end().expect("nothing is left");
        }
    }

    #[test]
    fn what_cannot_be_a_message_is_refused() {
        let mut compressed = Rest::Chunk(Bytes::from_static(b"\x01\0\0\0\0"));
        assert!(compressed.message().is_err());
        let mut huge = Rest::Chunk(Bytes::from_static(b"\0\xff\xff\xff\xff"));
        assert!(huge.message().is_err());
        let cut = Rest::Chunk(Bytes::from_static(b"\0\0"));
        assert!(cut.end().is_err());
    }
}
