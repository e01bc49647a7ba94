//! The ops service: what every service tells operators about itself, on its gRPC port.

mod dead_letters;
mod events;
mod status;

use async_nats::jetstream;
use contracts::caravan::ops::v1::{
    self as pb,
    ops_service_server::{OpsService, OpsServiceServer},
};
use tonic::{Code, Request, Response, Status};

use crate::{audit, db, error::Classify, events::archive::Archive, kit::Kit, rpc, telemetry};

/// Why an operator's call failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("this service keeps no data")]
    NoDatabase,
    #[error("no {0}")]
    NotFound(String),
    #[error("{0}")]
    Invalid(String),
    #[error("another service or the broker does not answer: {0}")]
    Unavailable(String),
    #[error(transparent)]
    Store(#[from] db::Error),
}

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::NoDatabase => Code::FailedPrecondition,
            Self::NotFound(_) => Code::NotFound,
            Self::Invalid(_) => Code::InvalidArgument,
            Self::Unavailable(_) => Code::Unavailable,
            Self::Store(error) => error.code(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::NoDatabase => "NO_DATABASE",
            Self::NotFound(_) => "NOT_FOUND",
            Self::Invalid(_) => "INVALID_REQUEST",
            Self::Unavailable(_) => "UNAVAILABLE",
            Self::Store(error) => error.reason(),
        }
    }
}

/// The server of one service.
#[derive(Clone)]
pub(crate) struct Ops {
    kit: Kit,
}

/// The ops service of the service that `kit` belongs to.
pub(crate) fn server(kit: Kit) -> OpsServiceServer<Ops> {
    OpsServiceServer::new(Ops { kit })
}

/// Where a consumer of `publisher`'s events finds those that the stream no longer holds.
pub(crate) fn archive(kit: &Kit, publisher: &str) -> Option<Archive> {
    if publisher == kit.name() {
        return kit.opened_database().map(Archive::Own);
    }
    match kit.channel(publisher) {
        Ok(channel) => Some(Archive::remote(channel)),
        Err(error) => {
            tracing::warn!(%error, "consumers of {publisher} see only what its stream holds");
            None
        }
    }
}

impl Ops {
    fn db(&self) -> Result<db::Db, Error> {
        self.kit.opened_database().ok_or(Error::NoDatabase)
    }

    async fn jetstream(&self) -> Result<jetstream::Context, Error> {
        let nats = self.kit.nats().await;
        let nats = nats.map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(jetstream::new(nats))
    }
}

#[tonic::async_trait]
impl OpsService for Ops {
    async fn get_status(
        &self,
        request: Request<pb::GetStatusRequest>,
    ) -> Result<Response<pb::GetStatusResponse>, Status> {
        rpc::unary(request, async |_, _| status::get(self).await).await
    }

    async fn list_events(
        &self,
        request: Request<pb::ListEventsRequest>,
    ) -> Result<Response<pb::ListEventsResponse>, Status> {
        rpc::unary(request, async |_, message| {
            events::list(self, message).await
        })
        .await
    }

    async fn verify_events(
        &self,
        request: Request<pb::VerifyEventsRequest>,
    ) -> Result<Response<pb::VerifyEventsResponse>, Status> {
        rpc::unary(request, async |_, message| {
            events::verify(self, message).await
        })
        .await
    }

    async fn list_dead_letters(
        &self,
        request: Request<pb::ListDeadLettersRequest>,
    ) -> Result<Response<pb::ListDeadLettersResponse>, Status> {
        rpc::unary(request, async |_, message| {
            dead_letters::list(self, message).await
        })
        .await
    }

    async fn get_dead_letter(
        &self,
        request: Request<pb::GetDeadLetterRequest>,
    ) -> Result<Response<pb::GetDeadLetterResponse>, Status> {
        rpc::unary(request, async |_, message| {
            dead_letters::get(self, message).await
        })
        .await
    }

    async fn redrive_dead_letters(
        &self,
        request: Request<pb::RedriveDeadLettersRequest>,
    ) -> Result<Response<pb::RedriveDeadLettersResponse>, Status> {
        rpc::unary(request, async |call, message| {
            tracing::info!(
                operator = call.caller.label(),
                consumer = message.consumer,
                event_id = message.event_id,
                "dead letters are redriven"
            );
            dead_letters::redrive(self, message).await
        })
        .await
    }

    async fn replay_events(
        &self,
        request: Request<pb::ReplayEventsRequest>,
    ) -> Result<Response<pb::ReplayEventsResponse>, Status> {
        rpc::unary(request, async |call, message| {
            tracing::info!(
                operator = call.caller.label(),
                consumer = message.consumer,
                "events are replayed"
            );
            events::replay(self, message).await
        })
        .await
    }

    async fn rebuild_projection(
        &self,
        request: Request<pb::RebuildProjectionRequest>,
    ) -> Result<Response<pb::RebuildProjectionResponse>, Status> {
        rpc::unary(request, async |call, message| {
            tracing::info!(
                operator = call.caller.label(),
                projection = message.projection,
                "a projection is built anew"
            );
            status::rebuild(self, message).await
        })
        .await
    }

    async fn set_log_filter(
        &self,
        request: Request<pb::SetLogFilterRequest>,
    ) -> Result<Response<pb::SetLogFilterResponse>, Status> {
        rpc::unary(request, async |call, message: pb::SetLogFilterRequest| {
            if let Some(db) = self.kit.opened_database() {
                audit::record(&db).await?;
            }
            let previous = telemetry::set_filter(&message.filter)
                .map_err(|error| Error::Invalid(error.to_string()))?;
            tracing::warn!(
                operator = call.caller.label(),
                filter = message.filter,
                previous,
                "log filter changed"
            );
            Ok::<_, Error>(pb::SetLogFilterResponse { previous })
        })
        .await
    }
}
