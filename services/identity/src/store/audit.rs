//! Audit entries to rows and back.

use chassis::{
    clock, context,
    db::{Error, Tx},
    page::Page,
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait as _,
    QueryFilter, QueryOrder, QuerySelect, sea_query::OnConflict,
};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{
    entity::audit_entry::{ActiveModel, Column, Entity, Model},
    purge,
};
use crate::domain::audit::{Collected, Entry, NOBODY};

/// This service, as entries name it.
const HERE: &str = "identity";
/// How long entries are kept. The table's triggers want the same.
const KEPT: Duration = Duration::days(400);
/// How long those of nobody are kept: anybody can make them. As above.
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
    /// In which service.
    pub service: Option<String>,
    /// To what.
    pub target: Option<String>,
    /// When at the earliest.
    pub since: Option<OffsetDateTime>,
    /// Before when.
    pub until: Option<OffsetDateTime>,
}

impl Filter {
    fn condition(self) -> Condition {
        let at = |time| clock::to_us(time);
        Condition::all()
            .add_option(self.account.map(|account| Column::AccountId.eq(account)))
            .add_option(self.actor.map(|actor| Column::Actor.eq(actor)))
            .add_option(self.action.map(|action| Column::Action.eq(action)))
            .add_option(self.service.map(|service| Column::Service.eq(service)))
            .add_option(self.target.map(is_target))
            .add_option(self.since.map(|since| Column::AtUs.gte(at(since))))
            .add_option(self.until.map(|until| Column::AtUs.lt(at(until))))
    }
}

/// Of what is done to an account only the account is stored.
fn is_target(target: String) -> Condition {
    let account = Uuid::try_parse(&target).ok();
    Condition::any()
        .add(Column::Target.eq(target))
        .add_option(account.map(|account| Column::AccountId.eq(account)))
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
        service: Set(HERE.to_owned()),
        target: Set(String::new()),
    };
    Entity::insert(row).exec_without_returning(tx).await?;
    Ok(())
}

/// Keeps what a service has recorded.
///
/// # Errors
/// The database's own.
pub async fn collect(tx: &Tx, entry: Collected) -> Result<(), Error> {
    let row = ActiveModel {
        id: Set(entry.id),
        at_us: Set(clock::to_us(entry.time)),
        actor: Set(entry.actor),
        action: Set(entry.action),
        account_id: Set(None),
        detail: Set(entry.detail),
        request_id: Set(entry.request_id),
        service: Set(entry.service),
        target: Set(entry.target),
    };
    // The inbox sees to it that an event counts once; an id that is there nevertheless came from elsewhere.
    let mut first_counts = OnConflict::column(Column::Id);
    first_counts.do_nothing();
    Entity::insert(row)
        .on_conflict(first_counts)
        .exec_without_returning(tx)
        .await?;
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
    let behind = page.after.map(|after| Column::Id.lt(after));
    let asked = filter.condition().add_option(behind);
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
        .and(Column::Actor.eq(NOBODY))
        .and(Column::AtUs.lt(before(KEPT_OF_NOBODY)));
    let old = Column::AtUs.lt(before(KEPT)).or(of_nobody);
    purge::some::<Entity>(tx, Column::Id, old, most).await
}
