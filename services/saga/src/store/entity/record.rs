//! The table `saga_log`. Rows are only ever added.

use sea_orm::entity::prelude::*;

/// What a record tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))")]
pub enum Kind {
    /// A step that calls nothing counts as done.
    #[sea_orm(string_value = "passed")]
    Passed,
    /// A step's condition was false.
    #[sea_orm(string_value = "skipped")]
    Skipped,
    /// A step has items to be done for.
    #[sea_orm(string_value = "fanned")]
    Fanned,
    /// A step waits for its signal.
    #[sea_orm(string_value = "awaited")]
    Awaited,
    /// A step took a signal.
    #[sea_orm(string_value = "received")]
    Received,
    /// A call is about to go out.
    #[sea_orm(string_value = "called")]
    Called,
    /// A call succeeded.
    #[sea_orm(string_value = "answered")]
    Answered,
    /// A call failed and comes again.
    #[sea_orm(string_value = "failed_again")]
    FailedAgain,
    /// A call was refused.
    #[sea_orm(string_value = "failed_refused")]
    FailedRefused,
    /// A call was given up.
    #[sea_orm(string_value = "failed_given_up")]
    FailedGivenUp,
    /// A call waits for an operator.
    #[sea_orm(string_value = "failed_parked")]
    FailedParked,
    /// From here on steps are undone.
    #[sea_orm(string_value = "turned_back")]
    TurnedBack,
    /// An operator aborts.
    #[sea_orm(string_value = "cancelled")]
    Cancelled,
    /// An operator tries again.
    #[sea_orm(string_value = "retried")]
    Retried,
    /// An operator leaves a step, or its undoing, out.
    #[sea_orm(string_value = "step_skipped")]
    StepSkipped,
    /// An operator says that a step, or its undoing, was done.
    #[sea_orm(string_value = "step_done")]
    StepDone,
    /// An operator says that a step was not done.
    #[sea_orm(string_value = "step_failed")]
    StepFailed,
    /// Somebody sent a signal.
    #[sea_orm(string_value = "signalled")]
    Signalled,
    /// It stopped.
    #[sea_orm(string_value = "parked")]
    Parked,
    /// It is done.
    #[sea_orm(string_value = "completed")]
    Completed,
    /// It is undone.
    #[sea_orm(string_value = "compensated")]
    Compensated,
}

/// One record of one saga's log.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "saga_log")]
pub struct Model {
    /// The saga.
    #[sea_orm(primary_key, auto_increment = false)]
    pub saga_id: Uuid,
    /// From 1, per saga.
    #[sea_orm(primary_key, auto_increment = false)]
    pub number: i32,
    /// Microseconds since 1970.
    pub at_us: i64,
    /// Epoch of the orchestrator that wrote it.
    pub epoch: i64,
    /// What it tells.
    pub kind: Kind,
    /// Index of the step in the definition.
    pub step: Option<i32>,
    /// Which of the step's items, from 0.
    pub item: Option<i32>,
    /// Whether the step's compensation is meant, not its action.
    pub undoing: bool,
    /// From 1, per step and operation; 0 where no call was made. Which signal was received, from 0; how many items
    /// there are.
    pub attempt: i32,
    /// The encoded reply, where an expression reads it; a signal's payload; items. Erased some time after the end.
    pub reply: Option<Vec<u8>>,
    /// The gRPC status; a signal's name.
    pub code: Option<String>,
    /// For programs; a signal's id.
    pub reason: Option<String>,
    /// For people; an operator's reason.
    #[sea_orm(column_type = "Text", nullable)]
    pub message: Option<String>,
    /// The participant may have acted although no success came back.
    pub doubtful: bool,
    /// When it is called again, or no longer waits. Microseconds since 1970.
    pub due_at_us: Option<i64>,
    /// Who intervened.
    pub actor: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
