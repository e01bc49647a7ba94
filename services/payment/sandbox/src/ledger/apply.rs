//! What each command does. A refusal is an answer like any other: what it wrote (a decline) stays.

use sea_orm::{
    ActiveModelTrait,
    ActiveValue::{NotSet, Set},
    DatabaseTransaction, DbErr, EntityTrait, IntoActiveModel,
};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Command, NewIntent,
    entity::{
        entry::{self, Kind},
        intent::{self, Status},
        refund,
    },
};
use crate::{
    cards::{self, Verdict},
    error::ApiError,
};

type Outcome = Result<Result<Value, ApiError>, DbErr>;

pub(super) async fn apply(tx: &DatabaseTransaction, command: &Command) -> Outcome {
    match command {
        Command::Create(new) => create(tx, new).await,
        Command::Capture {
            intent,
            amount_minor,
        } => capture(tx, intent, *amount_minor).await,
        Command::Cancel { intent, reason } => cancel(tx, intent, reason.clone()).await,
        Command::Refund {
            intent,
            amount_minor,
            reason,
            metadata,
        } => refund(tx, intent, *amount_minor, reason.clone(), metadata.clone()).await,
    }
}

async fn create(tx: &DatabaseTransaction, new: &NewIntent) -> Outcome {
    let verdict = match &new.payment_method {
        Some(method) => match cards::verdict(method) {
            Some(verdict) => Some(verdict),
            None => return Ok(Err(unknown_method(method))),
        },
        None => None,
    };
    let status = match (verdict, new.confirm) {
        (None, true) => return Ok(Err(ApiError::missing("payment_method"))),
        (None, false) => Status::RequiresPaymentMethod,
        (Some(_), false) => Status::RequiresConfirmation,
        (Some(Verdict::Declined { .. }), true) => Status::RequiresPaymentMethod,
        (Some(Verdict::Approved), true) if new.capture_method == "manual" => {
            Status::RequiresCapture
        }
        (Some(Verdict::Approved), true) => Status::Succeeded,
    };
    let decline = match verdict {
        Some(Verdict::Declined {
            code,
            decline_code,
            message,
        }) if new.confirm => Some(ApiError::card(code, decline_code, message)),
        _ => None,
    };
    let captured_minor = if status == Status::Succeeded {
        new.amount_minor
    } else {
        0
    };
    let intent = intent::ActiveModel {
        seq: NotSet,
        id: Set(format!("pi_{}", Uuid::now_v7().simple())),
        status: Set(status),
        amount_minor: Set(new.amount_minor),
        captured_minor: Set(captured_minor),
        refunded_minor: Set(0),
        currency: Set(new.currency.clone()),
        capture_method: Set(new.capture_method.clone()),
        payment_method: Set(new.payment_method.clone().filter(|_| decline.is_none())),
        description: Set(new.description.clone()),
        metadata: Set(Value::Object(new.metadata.clone())),
        last_error: Set(decline.as_ref().map(|error| error.body()["error"].take())),
        cancellation_reason: Set(None),
        created_s: Set(OffsetDateTime::now_utc().unix_timestamp()),
        canceled_s: Set(None),
    }
    .insert(tx)
    .await?;
    if let Some(decline) = decline {
        enter(tx, &intent, Kind::Decline, intent.amount_minor).await?;
        return Ok(Err(decline.payment_intent(intent.json())));
    }
    if new.confirm {
        enter(tx, &intent, Kind::Authorize, intent.amount_minor).await?;
    }
    if captured_minor > 0 {
        enter(tx, &intent, Kind::Capture, captured_minor).await?;
    }
    Ok(Ok(intent.json()))
}

async fn capture(tx: &DatabaseTransaction, id: &str, amount_minor: Option<i64>) -> Outcome {
    let Some(found) = find(tx, id).await? else {
        return Ok(Err(ApiError::no_such("payment_intent", id, "intent")));
    };
    if found.status != Status::RequiresCapture {
        return Ok(Err(unexpected_state(&found, "captured")));
    }
    let held = found.amount_minor;
    let taken = amount_minor.unwrap_or(held);
    if taken > held {
        let message = "The amount to capture is greater than the amount that can be captured.";
        return Ok(Err(ApiError::invalid(message)
            .code("amount_too_large")
            .param("amount_to_capture")));
    }
    let mut change = found.into_active_model();
    change.status = Set(Status::Succeeded);
    change.captured_minor = Set(taken);
    let intent = change.update(tx).await?;
    enter(tx, &intent, Kind::Capture, taken).await?;
    if taken < held {
        enter(tx, &intent, Kind::Cancel, held - taken).await?;
    }
    Ok(Ok(intent.json()))
}

async fn cancel(tx: &DatabaseTransaction, id: &str, reason: Option<String>) -> Outcome {
    let Some(found) = find(tx, id).await? else {
        return Ok(Err(ApiError::no_such("payment_intent", id, "intent")));
    };
    if matches!(found.status, Status::Succeeded | Status::Canceled) {
        return Ok(Err(unexpected_state(&found, "canceled")));
    }
    let held = found.status == Status::RequiresCapture;
    let mut change = found.into_active_model();
    change.status = Set(Status::Canceled);
    change.cancellation_reason = Set(reason);
    change.canceled_s = Set(Some(OffsetDateTime::now_utc().unix_timestamp()));
    let intent = change.update(tx).await?;
    if held {
        enter(tx, &intent, Kind::Cancel, intent.amount_minor).await?;
    }
    Ok(Ok(intent.json()))
}

async fn refund(
    tx: &DatabaseTransaction,
    id: &str,
    amount_minor: Option<i64>,
    reason: Option<String>,
    metadata: Map<String, Value>,
) -> Outcome {
    let Some(found) = find(tx, id).await? else {
        return Ok(Err(ApiError::no_such(
            "payment_intent",
            id,
            "payment_intent",
        )));
    };
    if found.status != Status::Succeeded {
        let message =
            format!("This PaymentIntent ({id}) does not have a successful charge to refund.");
        return Ok(Err(ApiError::invalid(message).param("payment_intent")));
    }
    let left = found.captured_minor - found.refunded_minor;
    if left == 0 {
        let message = format!("The payment {id} has already been refunded.");
        return Ok(Err(
            ApiError::invalid(message).code("charge_already_refunded")
        ));
    }
    let amount = amount_minor.unwrap_or(left);
    if amount > left {
        let message =
            format!("Refund amount ({amount}) is greater than the unrefunded amount ({left}).");
        return Ok(Err(ApiError::invalid(message).param("amount")));
    }
    let refunded = found.refunded_minor + amount;
    let mut change = found.into_active_model();
    change.refunded_minor = Set(refunded);
    let intent = change.update(tx).await?;
    enter(tx, &intent, Kind::Refund, amount).await?;
    let refund = refund::ActiveModel {
        seq: NotSet,
        id: Set(format!("re_{}", Uuid::now_v7().simple())),
        intent_id: Set(intent.id),
        amount_minor: Set(amount),
        currency: Set(intent.currency),
        reason: Set(reason),
        metadata: Set(Value::Object(metadata)),
        created_s: Set(OffsetDateTime::now_utc().unix_timestamp()),
    }
    .insert(tx)
    .await?;
    Ok(Ok(refund.json()))
}

async fn find(tx: &DatabaseTransaction, id: &str) -> Result<Option<intent::Model>, DbErr> {
    intent::Entity::named(id).one(tx).await
}

async fn enter(
    tx: &DatabaseTransaction,
    intent: &intent::Model,
    kind: Kind,
    amount_minor: i64,
) -> Result<(), DbErr> {
    let at_us = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000;
    entry::Entity::insert(entry::ActiveModel {
        seq: NotSet,
        intent_id: Set(intent.id.clone()),
        order_id: Set(intent.order_id()),
        kind: Set(kind),
        amount_minor: Set(amount_minor),
        currency: Set(intent.currency.clone()),
        at_us: Set(i64::try_from(at_us).unwrap_or(i64::MAX)),
    })
    .exec_without_returning(tx)
    .await?;
    Ok(())
}

fn unknown_method(method: &str) -> ApiError {
    let mut error = ApiError::no_such("PaymentMethod", method, "payment_method");
    // Stripe answers 404 only where the address names the missing thing.
    error.status = axum::http::StatusCode::BAD_REQUEST;
    error
}

fn unexpected_state(intent: &intent::Model, wish: &str) -> ApiError {
    let body = intent.json();
    let status = body["status"].as_str().unwrap_or_default();
    ApiError::invalid(format!(
        "This PaymentIntent could not be {wish} because it has a status of {status}."
    ))
    .code("payment_intent_unexpected_state")
    .payment_intent(body.clone())
}
