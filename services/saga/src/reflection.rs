//! Descriptors of a participant that is not built in, by its server reflection: `grpc.reflection.v1`, else `v1alpha`, which
//! is the same on the wire.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chassis::{client::Channel, error::is_transient};
use contracts::DESCRIPTOR_POOL;
use futures::{SinkExt as _, channel::mpsc};
use http::uri::PathAndQuery;
use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming, client::Grpc};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, ServerReflectionResponse, server_reflection_request::MessageRequest,
    server_reflection_response::MessageResponse,
};

const PATHS: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];
/// Longest time for all files of one service.
const READ_TIMEOUT: Duration = Duration::from_secs(8);
/// Most files that one service may import.
const MAX_FILES: usize = 200;
/// Most bytes of all of them.
const MAX_BYTES: usize = 2 * 1024 * 1024;

/// The files that define a service and all that they import, save those that are built in: an encoded
/// `google.protobuf.FileDescriptorSet`.
///
/// # Errors
/// [`Fault`]
pub async fn read(channel: &Channel, service: &str) -> Result<FileDescriptorSet, Fault> {
    let read = async {
        for path in PATHS {
            match files(channel.clone(), path, service).await {
                Err(Fault::Absent) => {}
                read => return read,
            }
        }
        Err(Fault::Absent)
    };
    let files = timeout(READ_TIMEOUT, read).await;
    files.unwrap_or_else(|_| Err(Fault::Unreachable("no answer in time".to_owned())))
}

/// Why a participant's contract cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nobody answers, or not now.
    #[error("{0}")]
    Unreachable(String),
    /// It has neither version of server reflection.
    #[error("it has no server reflection")]
    Absent,
    /// It does not know the service, or its contract is too large or contradicts itself.
    #[error("{0}")]
    Unusable(String),
}

impl Fault {
    /// It may pass by itself.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }

    /// For programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "PARTICIPANT_UNREACHABLE",
            Self::Absent => "PARTICIPANT_WITHOUT_REFLECTION",
            Self::Unusable(_) => "PARTICIPANT_CONTRACT_UNREADABLE",
        }
    }
}

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        let text = status.message().to_owned();
        match status.code() {
            Code::Unimplemented => Self::Absent,
            code if is_transient(code) => Self::Unreachable(text),
            _ => Self::Unusable(text),
        }
    }
}

async fn files(
    channel: Channel,
    path: &'static str,
    service: &str,
) -> Result<FileDescriptorSet, Fault> {
    let mut client = Grpc::new(channel);
    let gone = |_| Status::unavailable("the participant cannot be reached");
    client.ready().await.map_err(gone)?;
    let (mut questions, stream) = mpsc::channel(1);
    // The channel is new and has room: the first answer says whether the participant has this version at all.
    let symbol = question(MessageRequest::FileContainingSymbol(service.to_owned()));
    questions.send(symbol).await.map_err(|_| closed())?;
    let codec = ProstCodec::default();
    let path = PathAndQuery::from_static(path);
    let response = client
        .streaming(tonic::Request::new(stream), path, codec)
        .await?;
    let mut answers: Streaming<ServerReflectionResponse> = response.into_inner();

    let mut files: BTreeMap<String, FileDescriptorProto> = BTreeMap::new();
    let (mut bytes, mut asked) = (0, BTreeSet::new());
    loop {
        for encoded in answer(&mut answers).await? {
            bytes += encoded.len();
            let file = FileDescriptorProto::decode(encoded.as_slice())
                .map_err(|_| unusable("its reflection answers what is no file"))?;
            files.insert(file.name().to_owned(), file);
        }
        if files.len() > MAX_FILES || bytes > MAX_BYTES {
            let text = format!("its contract has more than {MAX_FILES} files or {MAX_BYTES} bytes");
            return Err(Fault::Unusable(text));
        }
        let Some(missing) = missing(&files) else {
            // What is built in stays as it is built in.
            files.retain(|name, _| !is_built_in(name));
            let file = files.into_values().collect();
            return Ok(FileDescriptorSet { file });
        };
        if !asked.insert(missing.clone()) {
            let text = format!("its reflection does not know `{missing}`");
            return Err(Fault::Unusable(text));
        }
        let next = question(MessageRequest::FileByFilename(missing));
        questions.send(next).await.map_err(|_| closed())?;
    }
}

/// A file that another one imports and that is neither here nor built in.
fn missing(files: &BTreeMap<String, FileDescriptorProto>) -> Option<String> {
    let imports = files.values().flat_map(|file| &file.dependency);
    imports
        .into_iter()
        .find(|name| !files.contains_key(*name) && !is_built_in(name))
        .cloned()
}

fn is_built_in(file: &str) -> bool {
    DESCRIPTOR_POOL.get_file_by_name(file).is_some()
}

fn question(message: MessageRequest) -> ServerReflectionRequest {
    ServerReflectionRequest {
        message_request: Some(message),
        ..Default::default()
    }
}

fn closed() -> Status {
    Status::unavailable("the participant ended the conversation")
}

/// Encoded files.
async fn answer(answers: &mut Streaming<ServerReflectionResponse>) -> Result<Vec<Vec<u8>>, Fault> {
    let answer = answers.message().await?.ok_or_else(closed)?;
    match answer.message_response {
        Some(MessageResponse::FileDescriptorResponse(found)) => Ok(found.file_descriptor_proto),
        Some(MessageResponse::ErrorResponse(error)) => Err(Fault::Unusable(error.error_message)),
        _ => Err(unusable("its reflection answers something else")),
    }
}

fn unusable(text: &str) -> Fault {
    Fault::Unusable(text.to_owned())
}
