//! Sagas by definition, state and key.

use chassis::{Call, clock, page::Page};
use contracts::caravan::saga::v1 as pb;

use prost_types::{Duration, Timestamp};

use super::{Rpc, convert};
use crate::{
    domain::{Micros, saga::first_id},
    error::Error,
    store::{
        list::{self, Filter},
        sagas::state_row,
    },
};

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::ListSagasRequest,
) -> Result<pb::ListSagasResponse, Error> {
    let page = Page::of(request.page_size, &request.page_token).map_err(Error::Invalid)?;
    let before = [
        request
            .created_before
            .map(|time| micros("createdBefore", time))
            .transpose()?,
        request.min_age.map(before_now).transpose()?,
    ];
    let bound = before.into_iter().flatten().min().map(first_id);
    let from = request
        .created_after
        .map(|time| micros("createdAfter", time))
        .transpose()?;
    let filter = Filter {
        state: convert::state(request.state()).map(state_row),
        definition: Some(request.definition).filter(|name| !name.is_empty()),
        key: Some(request.key).filter(|key| !key.is_empty()),
        before: bound.into_iter().chain(page.after).min(),
        from: from.map(first_id),
        step: Some(request.step).filter(|step| !step.is_empty()),
    };
    let mut rows = list::list(rpc.engine.db().read(), &filter, page.limit()).await?;
    let next_page_token = page.cut(&mut rows, |row| row.id);
    Ok(pb::ListSagasResponse {
        sagas: rows.iter().map(convert::saga).collect(),
        next_page_token,
    })
}

fn micros(field: &str, time: Timestamp) -> Result<Micros, Error> {
    let micros = time.seconds.checked_mul(1_000_000);
    micros
        .and_then(|micros| micros.checked_add(i64::from(time.nanos) / 1_000))
        .ok_or_else(|| Error::invalid(field, "is out of range"))
}

fn before_now(age: Duration) -> Result<Micros, Error> {
    let age = std::time::Duration::try_from(age).ok();
    age.and_then(|age| Micros::try_from(age.as_micros()).ok())
        .map(|age| clock::now_us().saturating_sub(age))
        .ok_or_else(|| Error::invalid("minAge", "is out of range"))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn ids_tell_when_a_saga_began() {
        let before = clock::now_us();
        let id = Uuid::now_v7();
        assert!(first_id(before) <= id);
        assert!(id < first_id(before + 60_000_000));
        assert!(
            before_now(Duration {
                seconds: -1,
                nanos: 0
            })
            .is_err()
        );
        let far = Timestamp {
            seconds: i64::MAX,
            nanos: 0,
        };
        assert!(micros("createdAfter", far).is_err());
    }
}
