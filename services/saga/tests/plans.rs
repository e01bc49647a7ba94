//! Every question about sagas is answered from an index: what operators list, what is due, what is to be forgotten.

use std::sync::{Mutex, PoisonError};

use alone::{Engine, database_url, on_both_engines};
use chassis::db::Db;
use saga::store::{
    due,
    entity::saga::{Model, State},
    list::{self, Filter},
    migrations::Migrator,
    retention,
};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, Statement,
};
use tonic::async_trait;
use uuid::Uuid;

on_both_engines!(what_operators_list, what_the_engine_asks);

/// Sagas that have ended, and as many that wait: what nobody may read only to find a few others.
const MANY: u64 = 20_000;

/// A connection that has every query explained before it runs.
struct Explained {
    database: DatabaseConnection,
    plans: Mutex<Vec<String>>,
}

#[async_trait]
impl ConnectionTrait for Explained {
    fn get_database_backend(&self) -> DbBackend {
        self.database.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.database.execute_raw(statement).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.database.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.explain(&statement).await?;
        self.database.query_one_raw(statement).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.explain(&statement).await?;
        self.database.query_all_raw(statement).await
    }
}

impl Explained {
    async fn explain(&self, statement: &Statement) -> Result<(), DbErr> {
        let (explain, column) = match self.get_database_backend() {
            DbBackend::Sqlite => ("EXPLAIN QUERY PLAN", "detail"),
            _ => ("EXPLAIN", "QUERY PLAN"),
        };
        let explaining = Statement {
            sql: format!("{explain} {}", statement.sql),
            ..statement.clone()
        };
        let lines = self.database.query_all_raw(explaining).await?;
        let lines: Result<Vec<String>, _> =
            lines.iter().map(|line| line.try_get("", column)).collect();
        let plan = format!("{}\n{}", statement.sql, lines?.join("\n"));
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        plans.push(plan);
        Ok(())
    }

    /// Every query so far looked up ids, or used one of these indexes and none else.
    fn used(&self, question: &str, indexes: &[&str]) {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(!plans.is_empty(), "{question} was not asked");
        for plan in plans.drain(..) {
            let text = plan.split_once('\n').map_or("", |(_, plan)| plan);
            if text.contains("definitions") {
                continue;
            }
            let by_id = ["sqlite_autoindex_sagas_1 (id=?)", "Index Cond: (id = ANY"];
            let looked_up = by_id.iter().any(|lookup| text.contains(lookup));
            let used = indexes.iter().any(|index| text.contains(index));
            let others = text.matches("sagas_").count();
            let known: usize = indexes
                .iter()
                .map(|index| text.matches(index).count())
                .sum();
            assert!(
                looked_up || used && others == known,
                "{question} does more than look into {indexes:?}:\n{plan}"
            );
            assert!(!text.contains("Seq Scan on sagas"), "{question}:\n{plan}");
        }
    }
}

/// What some sagas have in common.
struct Kind {
    definition: &'static str,
    state: &'static str,
    steps: &'static str,
    owned: bool,
    due_at_us: Option<i64>,
    erased: bool,
}

const QUIET: Kind = Kind {
    definition: "often",
    state: "completed",
    steps: "",
    owned: false,
    due_at_us: None,
    erased: false,
};

/// What an index finds among what it does not: the few are the oldest, where a list from the newest comes last.
async fn filled(engine: Engine) -> Option<(Explained, alone::DatabaseUrl)> {
    let url = database_url(engine)?;
    let db = Db::open::<Migrator>(&url).await.expect("it opens");
    let database = sea_orm::Database::connect(url.to_string())
        .await
        .expect("the same one");
    let waiting = Kind {
        definition: "waits",
        state: "running",
        steps: ",approve,",
        due_at_us: Some(i64::MAX),
        ..QUIET
    };
    let parked = Kind {
        state: "parked",
        steps: ",pay,",
        ..QUIET
    };
    let two_steps = Kind {
        steps: ",count,pay,",
        ..waiting
    };
    let at_work = Kind {
        state: "running",
        steps: ",pay,",
        owned: true,
        due_at_us: Some(1_000),
        ..QUIET
    };
    let undone = Kind {
        state: "compensated",
        erased: true,
        ..QUIET
    };
    let mut first = 1;
    for (kind, count) in [
        (parked, 5),
        (two_steps, 3),
        (at_work, 20),
        (undone, 4),
        (QUIET, 2),
        (waiting, MANY),
        // Of these the data is forgotten.
        (
            Kind {
                erased: true,
                ..QUIET
            },
            MANY,
        ),
    ] {
        fill(&database, &kind, first, count).await;
        first += count;
    }
    for name in ["often", "waits"] {
        let sql = format!(
            "INSERT INTO definitions (name, version, content, content_hash, created_at_us) VALUES ('{name}', 1, $1, $1, 0)"
        );
        let values = [Vec::<u8>::new().into()];
        let statement =
            Statement::from_sql_and_values(database.get_database_backend(), sql, values);
        database.execute_raw(statement).await.expect("inserted");
    }
    if engine == Engine::Postgres {
        let vacuumed = database.execute_unprepared("VACUUM ANALYZE sagas").await;
        vacuumed.expect("it knows what is there");
    }
    drop(db);
    let plans = Mutex::default();
    Some((Explained { database, plans }, url))
}

async fn fill(database: &DatabaseConnection, kind: &Kind, first: u64, count: u64) {
    let last = first + count - 1;
    let (id, numbers) = match database.get_database_backend() {
        DbBackend::Sqlite => (
            "unhex(printf('%032x', i))",
            format!(
                "(WITH RECURSIVE c(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM c WHERE i < {last}) SELECT i FROM c) n"
            ),
        ),
        _ => (
            "lpad(to_hex(i), 32, '0')::uuid",
            format!("generate_series({first}::bigint, {last}::bigint) n(i)"),
        ),
    };
    let Kind {
        definition,
        state,
        steps,
        erased,
        ..
    } = kind;
    let owner = if kind.owned { id } else { "NULL" };
    let ended = ["completed", "compensated"].contains(state);
    let ended_at = if ended { "i" } else { "NULL" };
    let rests_at = match kind.owned || ended {
        true => "NULL".to_owned(),
        false => format!("'{steps}'"),
    };
    let due = kind.due_at_us.map_or("NULL".into(), |due| due.to_string());
    let sql = format!(
        "INSERT INTO sagas (id, definition, version, key, state, epoch, owner, due_at_us, input, erased, records, \
         current_steps, rests_at, created_at_us, updated_at_us, ended_at_us) \
         SELECT {id}, '{definition}', 1, 'key-' || i, '{state}', 1, {owner}, {due}, $1, {erased}, 1, '{steps}', {rests_at}, i, i, {ended_at} \
         FROM {numbers}"
    );
    let values = [Vec::<u8>::new().into()];
    let statement = Statement::from_sql_and_values(database.get_database_backend(), sql, values);
    database.execute_raw(statement).await.expect("filled");
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

async fn what_operators_list(engine: Engine) {
    let Some((db, _url)) = filled(engine).await else {
        return;
    };
    let all = Filter::default;
    let newest = if engine == Engine::Postgres {
        "sagas_pkey"
    } else {
        "sqlite_autoindex_sagas_1"
    };
    let aged = Some(Uuid::from_u128(1_000));
    let questions: [(&str, Filter, usize, &[&str]); 11] = [
        ("all", all(), 50, &[newest]),
        (
            "of an age",
            Filter {
                before: aged,
                from: Some(Uuid::from_u128(990)),
                ..all()
            },
            10,
            &[newest],
        ),
        (
            "by definition",
            Filter {
                definition: text("often"),
                ..all()
            },
            50,
            &["sagas_by_state"],
        ),
        (
            "by state",
            Filter {
                state: Some(State::Parked),
                ..all()
            },
            5,
            &["sagas_by_state"],
        ),
        (
            "by another state",
            Filter {
                state: Some(State::Compensated),
                before: aged,
                ..all()
            },
            4,
            &["sagas_by_state"],
        ),
        (
            "by definition and state",
            Filter {
                definition: text("often"),
                state: Some(State::Running),
                ..all()
            },
            20,
            &["sagas_by_state"],
        ),
        (
            "by key",
            Filter {
                key: text("key-7"),
                ..all()
            },
            1,
            &["sagas_by_key"],
        ),
        (
            "by key and definition",
            Filter {
                key: text("key-7"),
                definition: text("often"),
                ..all()
            },
            0,
            &["sagas_by_key"],
        ),
        (
            "by step",
            Filter {
                step: text("pay"),
                ..all()
            },
            28,
            &["sagas_resting", "sagas_owned"],
        ),
        (
            "by the step of many",
            Filter {
                step: text("approve"),
                definition: text("waits"),
                before: aged,
                ..all()
            },
            50,
            &["sagas_resting", "sagas_owned"],
        ),
        (
            "by step and state",
            Filter {
                step: text("pay"),
                state: Some(State::Parked),
                ..all()
            },
            5,
            &["sagas_resting", "sagas_owned"],
        ),
    ];
    for (question, filter, found, indexes) in questions {
        let rows = list::list(&db, &filter, 50).await.expect(question);
        assert_eq!(rows.len(), found, "{question}");
        assert!(
            rows.is_sorted_by(|one, next| one.id > next.id),
            "{question}"
        );
        let asked_for = |row: &Model| {
            filter.state.is_none_or(|state| row.state == state)
                && filter.before.is_none_or(|before| row.id < before)
                && filter
                    .step
                    .as_ref()
                    .is_none_or(|step| row.current_steps.contains(step))
                && filter
                    .definition
                    .as_ref()
                    .is_none_or(|name| row.definition == *name)
        };
        assert!(rows.iter().all(asked_for), "{question}: {rows:?}");
        db.used(question, indexes);
    }
}

async fn what_the_engine_asks(engine: Engine) {
    let Some((db, _url)) = filled(engine).await else {
        return;
    };
    let due = due::due(&db, 2_000, 64).await.expect("due");
    assert_eq!(due.len(), 20);
    db.used("due", &["sagas_due"]);
    let next = due::next_due(&db).await.expect("next");
    assert_eq!(next, Some(1_000));
    db.used("next", &["sagas_due"]);
    for (erased, count) in [(false, 2), (true, 100)] {
        let ended = retention::ended(&db, erased, i64::MAX, 100).await;
        assert_eq!(ended.expect("ended").len(), count);
        db.used("ended", &["sagas_ended"]);
    }
    let open = due::open(&db).await.expect("counted");
    let counted: Vec<_> = open
        .iter()
        .map(|open| (&*open.definition, open.sagas))
        .collect();
    let many = i64::try_from(MANY).expect("a number");
    assert_eq!(counted, [("often", 5), ("often", 20), ("waits", many + 3)]);
    assert_eq!(open[0].oldest, 1);
    db.used("open", &["sagas_resting", "sagas_owned", "sagas_by_state"]);
}
