//! The table `sagas`.

use sea_orm::entity::prelude::*;

/// Where a saga stands, as its row says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))")]
pub enum State {
    /// Steps go forward.
    #[sea_orm(string_value = "running")]
    Running,
    /// Steps are being undone.
    #[sea_orm(string_value = "compensating")]
    Compensating,
    /// All steps are done.
    #[sea_orm(string_value = "completed")]
    Completed,
    /// All that was done is undone.
    #[sea_orm(string_value = "compensated")]
    Compensated,
    /// It cannot go on by itself.
    #[sea_orm(string_value = "parked")]
    Parked,
}

/// Longest text of `rests_at`: an index takes no text of any length.
pub const MAX_RESTS_AT: usize = 200;

/// A saga: what it is and who works on it. What happened to it stands in its log.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sagas")]
pub struct Model {
    /// UUIDv7; also the order of lists.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The definition's name.
    pub definition: String,
    /// The version that it started with and stays on.
    pub version: i32,
    /// Unique within the definition.
    pub key: String,
    /// Where it stands.
    pub state: State,
    /// Raised by every claim: who writes with an older one is refused.
    pub epoch: i64,
    /// The orchestrator process that works on it.
    pub owner: Option<Uuid>,
    /// When somebody has to look at it: the lease's end where it is owned, else when work is due. Unset: never.
    /// Microseconds since 1970.
    pub due_at_us: Option<i64>,
    /// The encoded event or input; of an erased saga only its SHA-256.
    pub input: Vec<u8>,
    /// Input and replies are forgotten, some time after the end.
    pub erased: bool,
    /// Records in its log; counts its changes.
    pub records: i32,
    /// Names of the steps where it stands, with a comma before and after each.
    #[sea_orm(column_type = "Text")]
    pub current_steps: String,
    /// The same, cut to [`MAX_RESTS_AT`] characters, where nobody works on it and it has not ended; else unset.
    #[sea_orm(column_type = "Text", nullable)]
    pub rests_at: Option<String>,
    /// The step at fault; empty for the saga as a whole. Unset, as the next three, while all is well.
    pub failure_step: Option<String>,
    /// The gRPC status.
    pub failure_code: Option<String>,
    /// For programs.
    pub failure_reason: Option<String>,
    /// For people.
    #[sea_orm(column_type = "Text", nullable)]
    pub failure_message: Option<String>,
    /// W3C trace context of what started it.
    pub traceparent: Option<String>,
    /// Request id of what started it.
    pub request_id: Option<String>,
    /// Microseconds since 1970.
    pub created_at_us: i64,
    /// Microseconds since 1970.
    pub updated_at_us: i64,
    /// When it completed or was compensated. Microseconds since 1970.
    pub ended_at_us: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
