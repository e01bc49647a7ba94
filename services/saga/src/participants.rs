//! Calls of participants: unary, by path, with what their barrier needs to know.

use std::{collections::HashMap, sync::Arc, time::Duration};

use chassis::{Kit, call, client};
use prost::bytes::Bytes;
use tonic::{
    Code, Status,
    metadata::{MetadataMap, MetadataValue},
};
use uuid::Uuid;

use crate::config::Names;
use crate::domain::{
    definition::Call,
    outcome::{Class, Refusal},
    transition::Operation,
};

/// Longest time beyond a call's timeout before it is given up whatever the connection does.
const TIMEOUT_MARGIN: Duration = Duration::from_millis(500);
/// How tonic begins its text where an answer is larger than it takes.
const TOO_LARGE: &str = "Error, decoded message length too large";

/// Who calls, and for which step: what a participant's barrier tells calls apart by.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The saga.
    pub saga: Uuid,
    /// The step's name.
    pub step: &'a str,
    /// Which of its items, where it has some: each has a barrier of its own.
    pub item: Option<u32>,
    /// Doing or undoing.
    pub operation: Operation,
    /// The orchestrator's epoch.
    pub epoch: i64,
}

/// Channels to every upstream that the service knows.
#[derive(Clone)]
pub struct Participants {
    channels: Arc<HashMap<String, client::Channel>>,
    names: Arc<Names>,
}

impl Participants {
    /// Of the upstreams in the service's config.
    ///
    /// # Errors
    /// SAGA_PARTICIPANTS names an upstream that UPSTREAMS does not.
    pub fn new(
        kit: &Kit,
        upstreams: &chassis::config::Upstreams,
        names: Names,
    ) -> Result<Self, client::UnknownUpstream> {
        for upstream in names.upstreams() {
            kit.channel(upstream)?;
        }
        let channels = upstreams
            .iter()
            .map(|(name, _)| Ok((name.to_owned(), kit.channel(name)?)));
        let channels = channels.collect::<Result<_, _>>()?;
        Ok(Self {
            channels: Arc::new(channels),
            names: Arc::new(names),
        })
    }

    /// The channel to a service, by its full name; or else the name that UPSTREAMS would have to say.
    pub fn channel<'a>(&'a self, service: &'a str) -> Result<&'a client::Channel, &'a str> {
        let upstream = self.names.upstream(service);
        self.channels.get(upstream).ok_or(upstream)
    }

    /// Calls a participant and answers its reply, or what its failure means.
    pub async fn call(
        &self,
        identity: Identity<'_>,
        call: &Call,
        request: Bytes,
    ) -> Result<Bytes, Refusal> {
        let channel = self.channel(&call.service).map_err(|upstream| {
            let text = format!("UPSTREAMS names no `{upstream}`");
            Refusal::new("UNIMPLEMENTED", "NO_SUCH_PARTICIPANT", text)
        })?;
        let answer = client::call_raw(
            channel,
            &call.path,
            request,
            metadata(identity),
            call.timeout,
        );
        match tokio::time::timeout(call.timeout + TIMEOUT_MARGIN, answer).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(status)) => Err(refusal(&status)),
            Err(_) => Err(Refusal::new("DEADLINE_EXCEEDED", "", "no answer in time")),
        }
    }
}

fn metadata(identity: Identity<'_>) -> MetadataMap {
    let operation = match identity.operation {
        Operation::Action => chassis::SagaOperation::Action,
        Operation::Compensation => chassis::SagaOperation::Compensation,
    };
    let step = match identity.item {
        Some(item) => format!("{}.{item}", identity.step),
        None => identity.step.to_owned(),
    };
    let mut metadata = MetadataMap::new();
    for (key, value) in [
        (call::SAGA_ID, identity.saga.to_string()),
        (call::SAGA_STEP, step),
        (call::SAGA_OPERATION, operation.as_str().to_owned()),
        (call::SAGA_EPOCH, identity.epoch.to_string()),
    ] {
        let value =
            MetadataValue::try_from(value).expect("ids, numbers and step names are plain ASCII");
        metadata.insert(key, value);
    }
    metadata
}

fn refusal(status: &Status) -> Refusal {
    if status.code() == Code::OutOfRange && status.message().starts_with(TOO_LARGE) {
        // Our own limit, not the participant's word: it did its work and answered more than anybody reads.
        let refusal = Refusal::new("DATA_LOSS", "REPLY_TOO_LARGE", status.message());
        return Refusal {
            class: Class::Stop,
            ..refusal
        };
    }
    Refusal::new(
        chassis::error::code_name(status.code()),
        chassis::status::reason(status),
        status.message(),
    )
}
