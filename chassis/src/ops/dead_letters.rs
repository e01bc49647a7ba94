//! Dead letters: looked at and redriven.

use contracts::caravan::ops::v1::{self as pb};
use uuid::Uuid;

use super::{Error, Ops};
use crate::{
    clock,
    events::dead_letter::{self, DeadLetter},
    page::Page,
};

/// Dead letters that are read at a time while all are redriven.
const REDRIVE_PAGE: u64 = 100;

pub(super) async fn list(
    ops: &Ops,
    request: pb::ListDeadLettersRequest,
) -> Result<pb::ListDeadLettersResponse, Error> {
    let db = ops.db()?;
    let page = Page::of(request.page_size, &request.page_token)
        .map_err(|violation| Error::Invalid(violation.description))?;
    let mut letters = dead_letter::list(&db, &request.consumer, page.after, page.limit()).await?;
    let next_page_token = page.cut(&mut letters, |letter| letter.event_id);
    let dead_letters = letters
        .into_iter()
        .map(|letter| pb::DeadLetter {
            payload: Default::default(),
            headers: Default::default(),
            ..whole(letter)
        })
        .collect();
    Ok(pb::ListDeadLettersResponse {
        dead_letters,
        next_page_token,
    })
}

pub(super) async fn get(
    ops: &Ops,
    request: pb::GetDeadLetterRequest,
) -> Result<pb::GetDeadLetterResponse, Error> {
    let id = event_id(&request.event_id)?;
    let letter = dead_letter::get(&ops.db()?, &request.consumer, id).await?;
    let letter = letter.ok_or_else(|| Error::NotFound("such dead letter".to_owned()))?;
    Ok(pb::GetDeadLetterResponse {
        dead_letter: Some(whole(letter)),
    })
}

pub(super) async fn redrive(
    ops: &Ops,
    request: pb::RedriveDeadLettersRequest,
) -> Result<pb::RedriveDeadLettersResponse, Error> {
    let db = ops.db()?;
    let only = match request.event_id.as_str() {
        "" => None,
        id => Some(event_id(id)?),
    };
    let mut answer = pb::RedriveDeadLettersResponse::default();
    let mut after = None;
    loop {
        let letters = dead_letter::list(&db, &request.consumer, after, REDRIVE_PAGE).await?;
        let Some(last) = letters.last() else {
            return Ok(answer);
        };
        after = Some(last.event_id);
        for letter in letters {
            if only.is_some_and(|id| id != letter.event_id) {
                continue;
            }
            // A consumer that is no more handles nothing.
            let handled = match db.consumers().get(&letter.consumer) {
                Some(entry) => letter.redrive(&db, &entry.handler).await?,
                None => false,
            };
            match handled {
                true => answer.handled += 1,
                false => answer.failed += 1,
            }
        }
    }
}

fn event_id(text: &str) -> Result<Uuid, Error> {
    Uuid::try_parse(text).map_err(|_| Error::Invalid("eventId: must be a UUID".to_owned()))
}

fn whole(letter: DeadLetter) -> pb::DeadLetter {
    pb::DeadLetter {
        headers: letter.headers().into_iter().collect(),
        consumer: letter.consumer,
        event_id: letter.event_id.to_string(),
        event_type: letter.event_type,
        subject: letter.subject,
        aggregate_id: letter.aggregate_id,
        payload: letter.payload,
        code: letter.code,
        error: letter.error,
        attempts: letter.attempts,
        died_at: Some(clock::timestamp_us(letter.died_at_us)),
    }
}
