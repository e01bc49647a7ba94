//! The contract of an upstream, by its server reflection: `grpc.reflection.v1`, else `v1alpha`, which is the same on the wire.

use std::{io, sync::Arc, time::Duration};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use chassis::tls;
use futures::channel::mpsc;
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tonic::{
    Code, Streaming,
    client::Grpc,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, ServerReflectionResponse, server_reflection_request::MessageRequest,
    server_reflection_response::MessageResponse,
};

use super::files::Files;
use crate::upstream::{Origin, Target, is_secure};

const PATHS: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];
/// Longest time to read a whole contract.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Most questions for one contract.
const MAX_QUESTIONS: usize = 10_000;
/// Services of the machinery, which every upstream has: behind a gateway nobody could say whose is meant.
const MACHINERY: [&str; 2] = ["grpc.reflection.", "grpc.health."];

/// What an upstream says of itself.
#[derive(Debug)]
pub(super) struct Reflected {
    /// Full names.
    pub(super) services: Vec<String>,
    /// Encoded files that define them, with what they import as far as the upstream has it.
    pub(super) files: Vec<Bytes>,
}

/// Reads the contract of an upstream.
pub(super) async fn read(
    target: &Target,
    tls: Option<&Arc<tls::Client>>,
) -> anyhow::Result<Reflected> {
    let read = async {
        let channel = connect(target, tls).await?;
        for path in PATHS {
            let mut client = Grpc::new(channel.clone());
            client.ready().await?;
            match Conversation::start(client, PathAndQuery::from_static(path)).await {
                Ok(conversation) => return conversation.contract().await,
                Err(status) if status.code() == Code::Unimplemented => {}
                Err(status) => bail!(status),
            }
        }
        bail!("it has no server reflection")
    };
    timeout(READ_TIMEOUT, read)
        .await
        .context("no answer in time")?
}

async fn connect(
    target: &Target,
    tls: Option<&Arc<tls::Client>>,
) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from(target.uri.clone());
    if !is_secure(&target.uri) {
        return endpoint.connect().await;
    }
    let origin = Origin::new(&target.uri, tls, target.service());
    let connector = tower::service_fn(move |_| {
        let origin = origin.clone();
        async move {
            let stream = origin.connect(None).await?;
            Ok::<_, io::Error>(TokioIo::new(origin.secured(stream).await?))
        }
    });
    endpoint.connect_with_connector(connector).await
}

struct Conversation {
    questions: mpsc::Sender<ServerReflectionRequest>,
    answers: Streaming<ServerReflectionResponse>,
    services: Vec<String>,
    asked: usize,
}

impl Conversation {
    /// Begins with the list of services: the answer says whether the upstream has this version at all.
    async fn start(mut client: Grpc<Channel>, path: PathAndQuery) -> Result<Self, tonic::Status> {
        let (mut questions, stream) = mpsc::channel(1);
        let first = question(MessageRequest::ListServices(String::new()));
        // The channel is new and has room.
        let _ = questions.try_send(first);
        let codec = ProstCodec::default();
        let response = client
            .streaming(tonic::Request::new(stream), path, codec)
            .await?;
        let mut answers: Streaming<ServerReflectionResponse> = response.into_inner();
        let list = answers.message().await?;
        let list = list.and_then(|answer| answer.message_response);
        let Some(MessageResponse::ListServicesResponse(list)) = list else {
            return Err(tonic::Status::unimplemented("no list of services"));
        };
        let services = list.service.into_iter().map(|service| service.name);
        let is_machinery = |name: &String| MACHINERY.iter().any(|prefix| name.starts_with(prefix));
        Ok(Self {
            questions,
            answers,
            services: services.filter(|name| !is_machinery(name)).collect(),
            asked: 0,
        })
    }

    async fn contract(mut self) -> anyhow::Result<Reflected> {
        let mut files = Files::default();
        let mut encoded = Vec::new();
        for service in self.services.clone() {
            let symbol = MessageRequest::FileContainingSymbol(service.clone());
            let found = self.ask(symbol).await?;
            let found = found.with_context(|| format!("it does not know its own {service}"))?;
            keep(&mut files, &mut encoded, found)?;
        }
        let mut absent = Vec::new();
        loop {
            let missing = files.missing();
            let Some(name) = missing.into_iter().find(|name| !absent.contains(name)) else {
                break;
            };
            match self
                .ask(MessageRequest::FileByFilename(name.clone()))
                .await?
            {
                Some(found) => keep(&mut files, &mut encoded, found)?,
                None => absent.push(name.clone()),
            }
            if !files.has(&name) {
                absent.push(name);
            }
        }
        Ok(Reflected {
            services: self.services,
            files: encoded,
        })
    }

    /// Encoded files; `None` where the upstream does not know.
    async fn ask(&mut self, request: MessageRequest) -> anyhow::Result<Option<Vec<Bytes>>> {
        self.asked += 1;
        ensure!(
            self.asked <= MAX_QUESTIONS,
            "more than {MAX_QUESTIONS} questions"
        );
        let asked = self.questions.try_send(question(request));
        asked.context("it does not listen")?;
        let answer = self.answers.message().await?.context("it broke off")?;
        match answer.message_response {
            Some(MessageResponse::FileDescriptorResponse(found)) => {
                let files = found.file_descriptor_proto.into_iter();
                Ok(Some(files.map(Bytes::from).collect()))
            }
            Some(MessageResponse::ErrorResponse(_)) => Ok(None),
            _ => bail!("it answered something else"),
        }
    }
}

fn question(request: MessageRequest) -> ServerReflectionRequest {
    ServerReflectionRequest {
        host: String::new(),
        message_request: Some(request),
    }
}

fn keep(files: &mut Files, encoded: &mut Vec<Bytes>, found: Vec<Bytes>) -> anyhow::Result<()> {
    for file in found {
        files.add(file.clone())?;
        encoded.push(file);
    }
    Ok(())
}
