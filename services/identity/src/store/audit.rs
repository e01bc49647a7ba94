//! Audit entries to rows and back.

use chassis::{
    clock, context,
    db::{Error, Tx},
    page::Page,
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait as _,
    QueryFilter, QueryOrder, QuerySelect,
};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::entity::audit_entry::{ActiveModel, Column, Entity, Model};
use crate::domain::audit::Entry;

/// How long entries of accounts are kept.
const KEPT: Duration = Duration::days(400);
/// How long those of nobody are kept: anybody can make them.
const KEPT_OF_NOBODY: Duration = Duration::days(7);

/// Which entries are asked for; `None` is any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Whose account.
    pub account: Option<Uuid>,
    /// Who did it.
    pub actor: Option<String>,
    /// What was done.
    pub action: Option<String>,
}

/// Remembers what is done in this unit of work.
///
/// # Errors
/// The database's own.
pub async fn append(tx: &Tx, entry: Entry) -> Result<(), Error> {
    let request_id = context::current().map(|context| context.request_id.to_string());
    let row = ActiveModel {
        id: Set(Uuid::now_v7()),
        at_us: Set(clock::now_us()),
        actor: Set(entry.actor),
        action: Set(entry.action.as_str().to_owned()),
        account_id: Set(entry.account),
        detail: Set(entry.detail),
        request_id: Set(request_id.unwrap_or_default()),
    };
    Entity::insert(row).exec_without_returning(tx).await?;
    Ok(())
}

/// A page of entries, newest first.
///
/// # Errors
/// The database's own.
pub async fn list(
    db: &impl ConnectionTrait,
    filter: Filter,
    page: &Page,
) -> Result<Vec<Model>, Error> {
    let asked = Condition::all()
        .add_option(filter.account.map(|account| Column::AccountId.eq(account)))
        .add_option(filter.actor.map(|actor| Column::Actor.eq(actor)))
        .add_option(filter.action.map(|action| Column::Action.eq(action)))
        .add_option(page.after.map(|after| Column::Id.lt(after)));
    let rows = Entity::find()
        .filter(asked)
        .order_by_desc(Column::Id)
        .limit(page.limit())
        .all(db)
        .await?;
    Ok(rows)
}

/// Forgets up to `most` entries that are too old; answers how many.
///
/// # Errors
/// The database's own.
pub async fn purge(tx: &Tx, now: OffsetDateTime, most: u64) -> Result<u64, Error> {
    let before = |kept| clock::to_us(now - kept);
    let of_nobody = Column::AccountId
        .is_null()
        .and(Column::AtUs.lt(before(KEPT_OF_NOBODY)));
    let old: Vec<Uuid> = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::AtUs.lt(before(KEPT)).or(of_nobody))
        .order_by_asc(Column::Id)
        .limit(most)
        .into_tuple()
        .all(tx)
        .await?;
    let purged = Entity::delete_many()
        .filter(Column::Id.is_in(old))
        .exec(tx)
        .await?;
    Ok(purged.rows_affected)
}
