//! One service as a process of its own: its real binary on a real port, over a real database and a real broker.
//!
//! What stands around it is the test's: an identity that signs whatever token a test asks for, and a look
//! into the streams that the service publishes to.

mod call;
mod identity;
mod neighbour;
mod process;
mod signer;
mod stream;

pub use call::{Bearer, Client, SagaCall, reason, violated_fields};
pub use kit::{DatabaseUrl, Engine, database_url, wait};
pub use neighbour::{Answer, Neighbour, NeighbourBuilder};
pub use process::{Service, ServiceBuilder};
pub use signer::Signer;

/// Makes two tests of each named `async fn(Engine)`: one on SQLite and one on PostgreSQL.
#[macro_export]
macro_rules! on_both_engines {
    ($($test:ident),* $(,)?) => {$(
        mod $test {
            #[tokio::test]
            async fn on_sqlite() {
                super::$test($crate::Engine::Sqlite).await;
            }

            #[tokio::test]
            async fn on_postgres() {
                super::$test($crate::Engine::Postgres).await;
            }
        }
    )*};
}
