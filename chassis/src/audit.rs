//! Who did what to whom: what the contract wants remembered of a call (option `audit`) is recorded with what the call changes.
//!
//! [`crate::rpc`] notes what a call is before its handler runs, and [`Db::write`] adds the record to the first unit of work
//! in which the call changes something: both are kept or neither. The record is an event like others
//! (`<service>.audit.recorded.v1`), so it goes through the outbox to whoever collects them. Handlers do nothing for it, with
//! three exceptions: what the request does not name is told by [`target`]; a call whose effect is no unit of work of its own
//! is recorded by [`record`]; and who stores the effect in another task takes the record along ([`take`]).

mod detail;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use contracts::caravan::{audit::v1::ActionRecorded, options::v1::Audit};
use prost_reflect::ReflectMessage;
use uuid::Uuid;

use crate::{
    call::{Call, Caller},
    clock,
    context::{self, Context},
    db::{Db, Error, Tx},
    outbox, status,
};

/// Longest target, in characters.
const MAX_TARGET_CHARS: usize = 200;
/// The role that everybody has.
const CUSTOMER: &str = "customer";

/// What is to be remembered of the call under way.
#[derive(Debug)]
pub(crate) struct Intent {
    actor: String,
    action: &'static str,
    target: Mutex<String>,
    detail: String,
    /// A unit of work with the record was committed, or somebody took it.
    recorded: AtomicBool,
}

impl Intent {
    /// Appends the record, where the unit of work has changed something.
    pub(crate) async fn record(&self, tx: &Tx) -> Result<(), Error> {
        if tx.has_changed() {
            tx.note_audited();
            outbox::append(tx, &self.event()).await?;
        }
        Ok(())
    }

    /// The record is kept: later units of work of the call have none.
    pub(crate) fn settle(&self) {
        self.recorded.store(true, Relaxed);
    }

    fn event(&self) -> ActionRecorded {
        let target = self.target.lock().unwrap_or_else(PoisonError::into_inner);
        ActionRecorded {
            entry_id: Uuid::now_v7().to_string(),
            time: Some(clock::timestamp_us(clock::now_us())),
            service: status::service().to_owned(),
            actor: self.actor.clone(),
            action: self.action.to_owned(),
            target: target.clone(),
            detail: self.detail.clone(),
            request_id: context::current()
                .map(|context| context.request_id.to_string())
                .unwrap_or_default(),
        }
    }
}

/// The context in which a call's handler runs, where the call is to be remembered.
pub(crate) fn context(
    rule: Option<&'static Audit>,
    call: &Call,
    message: &impl ReflectMessage,
) -> Option<Context> {
    let rule = rule.filter(|rule| is_remembered(rule, call))?;
    let message = message.transcode_to_dynamic();
    let target = detail::value_at(&message, &rule.target).unwrap_or_default();
    let intent = Intent {
        actor: call.caller.label(),
        action: &rule.action,
        target: Mutex::new(detail::bounded(&target, MAX_TARGET_CHARS)),
        detail: detail::of(&message, &rule.details),
        recorded: AtomicBool::new(false),
    };
    let context = context::current().unwrap_or_else(|| Context::new(None));
    Some(Context {
        audit: Some(Arc::new(intent)),
        ..context
    })
}

fn is_remembered(rule: &Audit, call: &Call) -> bool {
    let is_left_out = match &call.caller {
        Caller::Anonymous => true,
        Caller::User { roles, .. } => roles.iter().all(|role| role == CUSTOMER),
        caller => {
            let is_service = matches!(caller, Caller::Service { .. });
            is_service && (!rule.services || call.saga.is_some())
        }
    };
    !is_left_out
}

/// What the call under way has to record still.
pub(crate) fn pending() -> Option<Arc<Intent>> {
    context::audit().filter(|intent| !intent.recorded.load(Relaxed))
}

/// Says to what the call under way does something, where its request does not: e.g. the id of what it makes.
pub fn target(id: impl ToString) {
    if let Some(intent) = pending() {
        *intent.target.lock().unwrap_or_else(PoisonError::into_inner) =
            detail::bounded(&id.to_string(), MAX_TARGET_CHARS);
    }
}

/// Records the call under way now, in a unit of work of its own: before an effect that is none, e.g. on the process itself.
///
/// # Errors
/// As [`Db::write`].
pub async fn record(db: &Db) -> Result<(), Error> {
    let Some(intent) = pending() else {
        return Ok(());
    };
    let intent = &intent;
    db.write(|tx| async move { outbox::append(&tx, &intent.event()).await })
        .await
}

/// The record of the call under way, for who stores the call's effect in another task: in the same unit of work.
///
/// `None` where nothing is to be remembered, or was taken before.
pub fn take() -> Option<ActionRecorded> {
    let intent = pending()?;
    intent.settle();
    Some(intent.event())
}

#[cfg(test)]
mod tests {
    use contracts::{caravan::inventory::v1::SetStockRequest, policy};
    use tonic::Request;

    use super::*;

    /// The event of a call of SetStock by this caller, where there is one.
    async fn recorded(caller: Caller) -> Option<ActionRecorded> {
        let message = SetStockRequest {
            sku: "tea".into(),
            on_hand: 7,
        };
        let path = "/caravan.inventory.v1.InventoryService/SetStock";
        let mut request = Request::new(());
        request.extensions_mut().insert(caller);
        let call = Call::of(&request, path);
        let rule = policy::method(path)
            .expect("in the contract")
            .audit
            .as_ref();
        let context = context(rule, &call, &message)?;
        context::scope(context, async {
            let event = take();
            assert_eq!(take(), None, "once");
            event
        })
        .await
    }

    fn user(roles: &[&str]) -> Caller {
        Caller::User {
            id: Uuid::nil(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        }
    }

    #[tokio::test]
    async fn who_works_for_the_shop_is_remembered() {
        let event = recorded(user(&["customer", "admin"])).await;
        let event = event.expect("an admin");
        assert_eq!(event.actor, format!("user:{}", Uuid::nil()));
        assert_eq!(
            (&*event.action, &*event.target, &*event.detail),
            ("STOCK_SET", "tea", "on_hand=7")
        );
        assert!(!event.entry_id.is_empty() && !event.request_id.is_empty());

        let nobody = [
            user(&["customer"]),
            Caller::Anonymous,
            Caller::Service {
                name: "saga".into(),
            },
        ];
        for caller in nobody {
            assert_eq!(recorded(caller).await, None);
        }
        assert!(pending().is_none());
    }
}
