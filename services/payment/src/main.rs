//! The payment service's process.

use std::process::ExitCode;

use contracts::caravan::payment::v1::payment_service_server::PaymentServiceServer;
use payment::{config::Config, provider::Stripe, rpc::Rpc, store::migrations::Migrator};

fn main() -> ExitCode {
    chassis::run("payment", |config: Config, kit| async move {
        let provider = Stripe::new(config.provider_url.clone(), config.key()?)?;
        let db = kit.database::<Migrator>().await?;
        kit.grpc(PaymentServiceServer::new(Rpc::new(db, provider)))
            .serve() // Drains on SIGTERM.
            .await
    })
}
