//! The first account: somebody has to be able to make the others admins.

use anyhow::{Context as _, bail};
use chassis::outbox;
use contracts::caravan::identity::v1 as pb;
use uuid::Uuid;

use crate::{
    config::Config,
    domain::account::{Account, Registered, Role},
    error::Error,
    rpc::Rpc,
    store,
};

/// Makes the admin account that the configuration names, where it does not exist yet. An existing account is left as it is.
///
/// # Errors
/// An address without a password, or one that is none; the database's own.
pub async fn admin(rpc: &Rpc, config: &Config) -> anyhow::Result<()> {
    let Some(email) = &config.bootstrap_admin_email else {
        return Ok(());
    };
    let Some(password) = config.bootstrap_admin_password()? else {
        bail!(
            "BOOTSTRAP_ADMIN_EMAIL is set, but neither BOOTSTRAP_ADMIN_PASSWORD nor BOOTSTRAP_ADMIN_PASSWORD_FILE"
        );
    };
    let roles = vec![Role::Customer, Role::Admin];
    let registered =
        Account::register(Uuid::now_v7(), email, "Admin", roles, chassis::clock::now())
            .map_err(|error| anyhow::anyhow!("{error}"))
            .context("BOOTSTRAP_ADMIN_EMAIL")?;
    let Registered(account) = &registered;
    if store::accounts::find_by_email(rpc.db.read(), &account.parts().email)
        .await?
        .is_some()
    {
        return Ok(());
    }
    let hash = &rpc.passwords.hash(password).await?;
    let registered = &registered;
    let made = rpc
        .db
        .write(|tx| async move {
            // Another replica may have been first.
            let made = store::accounts::insert(&tx, account, hash).await?;
            if made {
                outbox::append(&tx, &pb::AccountRegistered::from(registered)).await?;
            }
            Ok::<_, Error>(made)
        })
        .await?;
    if made {
        tracing::info!(account_id = %account.parts().id, "made the first admin account");
    }
    Ok(())
}
