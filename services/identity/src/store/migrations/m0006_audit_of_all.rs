//! What was done in every service, and not only to accounts; and entries stay as they are.

use sea_orm::DbBackend;
use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

/// Entries go when they are too old, and not before: a day earlier than the purge asks for, since clocks differ. They never
/// change.
const STAY_ON_SQLITE: [&str; 2] = [
    "CREATE TRIGGER audit_entries_never_change BEFORE UPDATE ON audit_entries \
     BEGIN SELECT RAISE(ABORT, 'audit entries never change'); END",
    "CREATE TRIGGER audit_entries_stay BEFORE DELETE ON audit_entries \
     WHEN OLD.at_us > (CAST(strftime('%s', 'now') AS INTEGER) - 86400 * \
         CASE WHEN OLD.account_id IS NULL AND OLD.actor = 'anonymous' THEN 6 ELSE 399 END) * 1000000 \
     BEGIN SELECT RAISE(ABORT, 'audit entries stay'); END",
];
const STAY_ON_POSTGRES: [&str; 3] = [
    "CREATE FUNCTION audit_entries_stay() RETURNS trigger LANGUAGE plpgsql AS $$ \
     BEGIN \
       IF TG_OP = 'DELETE' THEN \
         IF OLD.at_us <= (extract(epoch FROM now()) - 86400 * \
             CASE WHEN OLD.account_id IS NULL AND OLD.actor = 'anonymous' THEN 6 ELSE 399 END) * 1000000 THEN \
           RETURN OLD; \
         END IF; \
       END IF; \
       RAISE EXCEPTION 'audit entries stay as they are'; \
     END $$",
    "CREATE TRIGGER audit_entries_stay BEFORE UPDATE OR DELETE ON audit_entries \
     FOR EACH ROW EXECUTE FUNCTION audit_entries_stay()",
    "CREATE TRIGGER audit_entries_not_all BEFORE TRUNCATE ON audit_entries \
     FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_stay()",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite takes one column at a time. What was done so far was done here, to accounts.
        for column in [
            schema::string_len("service", 64)
                .default("identity")
                .to_owned(),
            schema::string_len("target", 200).default("").to_owned(),
        ] {
            let mut alter = Table::alter();
            alter.table("audit_entries").add_column(column);
            manager.alter_table(alter).await?;
        }
        let connection = manager.get_connection();
        for sql in [
            "CREATE INDEX audit_entries_by_target ON audit_entries (target, id)",
            "CREATE INDEX audit_entries_by_action ON audit_entries (action, id)",
            "CREATE INDEX audit_entries_by_service ON audit_entries (service, id)",
        ] {
            connection.execute_unprepared(sql).await?;
        }
        let triggers: &[&str] = match manager.get_database_backend() {
            DbBackend::Sqlite => &STAY_ON_SQLITE,
            _ => &STAY_ON_POSTGRES,
        };
        for sql in triggers {
            connection.execute_unprepared(sql).await?;
        }
        Ok(())
    }
}
