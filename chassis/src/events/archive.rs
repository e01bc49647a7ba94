//! Where a consumer finds events that the stream does not hold any more: the publisher's outbox.

use contracts::caravan::ops::v1::{
    ListEventsRequest, ListEventsResponse, ops_service_client::OpsServiceClient,
};
use tonic::{Code, Status};

use crate::{client::Channel, clock, db::Db, outbox, status};

/// Events of one answer.
const PAGE_EVENTS: i32 = 500;

/// The outbox of a consumer's publisher.
#[derive(Clone)]
pub(crate) enum Archive {
    /// The consumer's service publishes the events itself.
    Own(Db),
    /// Asked through the publisher's ops service.
    Remote(OpsServiceClient<Channel>),
}

/// Which events are asked for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// A subject, or a prefix that ends with `.>`.
    pub(super) subject: String,
    /// Only those that happened then or later.
    pub(super) from_us: Option<i64>,
    /// Only those that the publisher noted as sent then or later.
    pub(super) sent_from_us: Option<i64>,
}

impl Archive {
    /// The archive behind a channel to the publisher.
    pub(crate) fn remote(publisher: Channel) -> Self {
        Self::Remote(OpsServiceClient::new(publisher))
    }

    /// The events behind a position, as many as fit an answer.
    ///
    /// # Errors
    /// The publisher's status; `UNIMPLEMENTED` where it has no archive.
    pub(super) async fn page(
        &self,
        wanted: &Wanted,
        after: i64,
    ) -> Result<ListEventsResponse, Status> {
        let request = ListEventsRequest {
            after_position: after,
            page_size: PAGE_EVENTS,
            subject: wanted.subject.clone(),
            from: wanted.from_us.map(clock::timestamp_us),
            sent_from: wanted.sent_from_us.map(clock::timestamp_us),
        };
        match self {
            Self::Own(db) => outbox::archive::list(db, &request)
                .await
                .map_err(|error| status::from_error(&error)),
            Self::Remote(client) => {
                let answer = client.clone().list_events(request).await?;
                Ok(answer.into_inner())
            }
        }
    }
}

/// Whether the publisher says that it has nothing to give, now and ever.
pub(super) fn is_absent(status: &Status) -> bool {
    status.code() == Code::Unimplemented
}
