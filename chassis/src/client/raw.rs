//! Calls of methods that are known only at run time, by path and bytes.

use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataMap,
};

use super::Channel;

/// Calls the unary method at `path` (`/package.Service/Method`) with an encoded message and answers with one.
///
/// # Errors
/// What the method answers; INVALID_ARGUMENT where `path` is none; DEADLINE_EXCEEDED after `timeout`.
pub async fn call_raw(
    channel: &Channel,
    path: &str,
    message: Bytes,
    metadata: MetadataMap,
    timeout: Duration,
) -> Result<Bytes, Status> {
    let path = PathAndQuery::try_from(path)
        .map_err(|_| Status::invalid_argument(format!("`{path}` is no method")))?;
    let mut request = Request::new(message);
    *request.metadata_mut() = metadata;
    request.set_timeout(timeout);
    let mut client = Grpc::new(channel.clone());
    client
        .unary(request, path, Raw)
        .await
        .map(tonic::Response::into_inner)
}

/// Leaves messages as they are.
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
