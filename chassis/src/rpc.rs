//! What every rpc does around its handler: read the call, check the message, turn a failure into a status.

use std::{collections::HashMap, future::Future};

use contracts::policy;
use futures::{Stream, StreamExt as _, stream::BoxStream};
use prost_reflect::ReflectMessage;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{
    audit,
    call::{Call, MAX_IDEMPOTENCY_KEY_BYTES},
    context::{self, Context},
    error::{Classify, Violation},
    status, validate,
};
use contracts::caravan::options::v1::Idempotency;

/// Runs the handler of a unary rpc.
///
/// The message is checked against the contract's rules first: all violations at once, as
/// `google.rpc.BadRequest`. A failure of the handler becomes the status that its code says.
pub async fn unary<M, R, E, F, Fut>(request: Request<M>, handle: F) -> Result<Response<R>, Status>
where
    M: ReflectMessage,
    E: Classify,
    F: FnOnce(Call, M) -> Fut,
    Fut: Future<Output = Result<R, E>>,
{
    let (call, message, remembered) = accept(request)?;
    within(remembered, handle(call, message))
        .await
        .map(Response::new)
        .map_err(|error| status::from_error(&error))
}

/// Runs the handler of a server-streaming rpc; see [`unary`].
pub async fn server_stream<M, R, E, F, Fut, S>(
    request: Request<M>,
    handle: F,
) -> Result<Response<BoxStream<'static, Result<R, Status>>>, Status>
where
    M: ReflectMessage,
    E: Classify,
    F: FnOnce(Call, M) -> Fut,
    Fut: Future<Output = Result<S, E>>,
    S: Stream<Item = Result<R, E>> + Send + 'static,
    R: Send + 'static,
{
    let (call, message, remembered) = accept(request)?;
    let answers = within(remembered, handle(call, message))
        .await
        .map_err(|error| status::from_error(&error))?;
    Ok(Response::new(
        answers
            .map(|answer| answer.map_err(|error| status::from_error(&error)))
            .boxed(),
    ))
}

/// Runs a handler, in the context of a call that is to be remembered where it is one.
async fn within<F: Future>(remembered: Option<Context>, handling: F) -> F::Output {
    match remembered {
        Some(context) => context::scope(context, handling).await,
        None => handling.await,
    }
}

/// The call, its message, and the context to handle it in where the audit is to remember it.
fn accept<M: ReflectMessage>(request: Request<M>) -> Result<(Call, M, Option<Context>), Status> {
    let descriptor = request.get_ref().descriptor();
    let Some((method, policy)) = policy::method_of_request(descriptor.full_name()) else {
        return Err(Status::unimplemented(
            "the contract has no rpc that takes this message",
        ));
    };
    let mut call = Call::of(&request, method);
    check_idempotency_key(&mut call, policy.idempotency)?;
    let message = request.into_inner();
    let violations = validate::check(&message);
    if violations.is_empty() {
        let remembered = audit::context(policy.audit.as_ref(), &call, &message);
        Ok((call, message, remembered))
    } else {
        Err(invalid("INVALID_REQUEST", violations))
    }
}

fn check_idempotency_key(call: &mut Call, heeded: Idempotency) -> Result<(), Status> {
    let refuse = |text: String| {
        Err(invalid(
            "INVALID_IDEMPOTENCY_KEY",
            vec![Violation::new("Idempotency-Key", text)],
        ))
    };
    match (heeded, &call.idempotency_key) {
        (Idempotency::Unspecified, _) => call.idempotency_key = None,
        (Idempotency::Required, None) => {
            return refuse("this call needs an Idempotency-Key".to_owned());
        }
        (_, Some(key)) if key.len() > MAX_IDEMPOTENCY_KEY_BYTES => {
            return refuse(format!(
                "must have at most {MAX_IDEMPOTENCY_KEY_BYTES} bytes"
            ));
        }
        _ => {}
    }
    Ok(())
}

fn invalid(reason: &str, violations: Vec<Violation>) -> Status {
    let text = match violations.as_slice() {
        [one] => format!("{}: {}", one.field, one.description),
        many => format!("{} fields break the contract's rules", many.len()),
    };
    let mut details = ErrorDetails::with_error_info(reason, status::domain(), HashMap::new());
    for violation in violations {
        details.add_bad_request_violation(violation.field, violation.description);
    }
    Status::with_error_details(Code::InvalidArgument, text, details)
}
