//! How the engines answer the read model's questions when there are many orders.

use chassis::{
    db::{Db, Error},
    page::Page,
};
use sea_orm::{ConnectionTrait, DbBackend, QueryTrait, Statement};
use uuid::Uuid;

use super::{migrations::Migrator, orders};

alone::on_both_engines!(a_page_of_orders_is_read_from_an_index);

/// Enough for an index to be worth its while.
const ORDERS: u64 = 20_000;
const CUSTOMERS: u128 = 100;

/// An engine's plan of a query, as text.
async fn plan(db: &Db, customer: Option<Uuid>, page: &Page) -> String {
    let connection = db.read();
    let backend = connection.get_database_backend();
    let mut statement = orders::query(customer, page).build(backend);
    let explain = match backend {
        DbBackend::Postgres => "EXPLAIN",
        _ => "EXPLAIN QUERY PLAN",
    };
    statement.sql = format!("{explain} {}", statement.sql);
    let rows = connection.query_all_raw(statement).await.expect("a plan");
    let column = match backend {
        DbBackend::Postgres => "QUERY PLAN",
        _ => "detail",
    };
    let lines = rows.iter().map(|row| row.try_get::<String>("", column));
    lines
        .collect::<Result<Vec<_>, _>>()
        .expect("lines")
        .join("\n")
}

async fn fill(db: &Db) {
    let orders = &(0..ORDERS)
        .map(|number| {
            let (id, customer) = (
                Uuid::now_v7(),
                Uuid::from_u128(u128::from(number) % CUSTOMERS + 1),
            );
            [id.into(), customer.into()]
        })
        .collect::<Vec<[sea_orm::Value; 2]>>();
    db.write(|tx| async move {
        for values in orders.chunks(100) {
            let tuple = |row: usize| format!("(${}, ${}, 'PENDING', 0, 0, 1)", 2 * row + 1, 2 * row + 2);
            let tuples: Vec<_> = (0..values.len()).map(tuple).collect();
            let sql = format!(
                "INSERT INTO orders (id, customer_id, status, created_at_us, updated_at_us, version) VALUES {}",
                tuples.join(", ")
            );
            let values = values.iter().flatten().cloned();
            let backend = tx.get_database_backend();
            tx.execute_raw(Statement::from_sql_and_values(backend, sql, values))
                .await?;
        }
        let names = "INSERT INTO order_customers (order_id, customer_name) SELECT id, 'Ada' FROM orders";
        tx.execute_unprepared(names).await?;
        Ok::<_, Error>(())
    })
    .await
    .expect("filled");
    db.write(|tx| async move { tx.execute_unprepared("ANALYZE").await.map_err(Error::from) })
        .await
        .expect("analyzed");
}

async fn a_page_of_orders_is_read_from_an_index(engine: alone::Engine) {
    let Some(url) = alone::database_url(engine) else {
        return;
    };
    let db = Db::open::<Migrator>(&url).await.expect("opens");
    fill(&db).await;
    let customer = Some(Uuid::from_u128(7));
    let first = Page::of(20, "").expect("a page");
    let mut next = first;
    next.after = Some(Uuid::now_v7());
    for (customer, index) in [(customer, Some("orders_by_customer")), (None, None)] {
        for page in [&first, &next] {
            let plan = plan(&db, customer, page).await;
            for slow in ["SCAN orders\n", "Seq Scan on orders", "TEMP B-TREE", "Sort"] {
                assert!(!format!("{plan}\n").contains(slow), "{slow} in {plan}");
            }
            if let Some(index) = index {
                assert!(plan.contains(index), "no {index} in {plan}");
            }
        }
    }
}
