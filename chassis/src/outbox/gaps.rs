//! What is missing in the middle of a stream. By itself a stream removes only from its beginning: somebody deleted it by hand,
//! or the broker found it damaged.

use async_nats::jetstream::stream::{Info, Stream};

use super::loss::BoxError;

/// Looks at the same gaps after which they are known. What was published just before the first look may not have been noted
/// as sent by then; at the second one, seconds later, it is.
const LOOKS: u32 = 2;

/// The gaps of a stream that were looked at.
#[derive(Default)]
pub(super) struct Gaps {
    newest: Option<Extent>,
    /// How often they were found like that.
    looks: u32,
}

/// What changes whenever a message is removed from the middle: the broker tells it with no more effort than anything else.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Extent {
    created_ns: i128,
    first_sequence: u64,
    /// Messages that are missing behind the first one.
    missing: u64,
}

impl Extent {
    fn of(info: &Info) -> Self {
        Self {
            created_ns: info.created.unix_timestamp_nanos(),
            first_sequence: info.state.first_sequence,
            missing: info.state.deleted_count.unwrap_or_default(),
        }
    }
}

impl Gaps {
    /// Sequences that are missing between the stream's first and last message; none where they were looked at before.
    pub(super) async fn find(&self, stream: &Stream, info: &Info) -> Result<Vec<u64>, BoxError> {
        let found = Extent::of(info);
        if found.missing == 0 || (self.newest == Some(found) && self.looks >= LOOKS) {
            return Ok(Vec::new());
        }
        let whole = stream.info_builder().with_deleted(true).fetch().await?;
        Ok(whole.info.state.deleted.unwrap_or_default())
    }

    /// What was missing has been dealt with.
    pub(super) fn dealt_with(&mut self, info: &Info) {
        let found = Some(Extent::of(info));
        self.looks = if self.newest == found {
            self.looks + 1
        } else {
            1
        };
        self.newest = found;
    }
}
