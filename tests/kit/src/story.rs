//! Stories: each is told twice, on SQLite and on PostgreSQL.

use crate::{Engine, Setup, World};

/// Tells a story in a world on this engine. Used by [`stories!`](crate::stories).
pub async fn tell(engine: Engine, story: impl AsyncFnOnce(&World)) {
    if let Some(world) = World::start_with(Setup::on(engine)).await {
        story(&world).await;
    }
}

/// Makes two tests of each named `async fn(&World)`: one on SQLite and one on PostgreSQL.
///
/// Their connections run on a thread of their own: a world that stops while the test's thread waits for it
/// finds clients that let go.
#[macro_export]
macro_rules! stories {
    ($($story:ident),* $(,)?) => {$(
        mod $story {
            #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn on_sqlite() {
                $crate::tell($crate::Engine::Sqlite, super::$story).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn on_postgres() {
                $crate::tell($crate::Engine::Postgres, super::$story).await;
            }
        }
    )*};
}
