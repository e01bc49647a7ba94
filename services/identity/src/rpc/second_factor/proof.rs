//! A code that somebody shows: is it right, and what does trying it leave behind?

use std::time::Duration;

use chassis::db::Tx;
use secrecy::{ExposeSecret as _, SecretString};
use time::OffsetDateTime;

use crate::{
    domain::{
        audit::{Action, Entry},
        second_factor::SecondFactor,
        throttle::TooMany,
    },
    error::Error,
    second_factor::{recovery, seal::Seal, totp},
    store,
};

/// What somebody shows.
pub(super) enum Proof {
    /// What the app shows.
    Code(SecretString),
    /// A recovery code.
    RecoveryCode(SecretString),
}

/// What it came to. It is no error, since what it leaves behind must be kept.
pub(super) enum Checked {
    /// It was right, and is used up.
    Right,
    /// It was wrong.
    Wrong,
    /// It was not looked at: too many were wrong before.
    TooSoon(Duration),
}

impl Checked {
    /// Only what is right goes on.
    pub(super) fn settled(self) -> Result<(), Error> {
        match self {
            Self::Right => Ok(()),
            Self::Wrong => Err(Error::InvalidCode),
            Self::TooSoon(retry_after) => Err(Error::TooManyFailures(TooMany { retry_after })),
        }
    }
}

/// Tries what is shown, in the unit of work that it is shown for. Whatever it comes to is part of that.
pub(super) async fn check(
    tx: &Tx,
    seal: &Seal,
    factor: &mut SecondFactor,
    proof: &Proof,
    now: OffsetDateTime,
) -> Result<Checked, Error> {
    if let Some(wait) = factor.wait(now) {
        return Ok(Checked::TooSoon(wait.unsigned_abs()));
    }
    let account = factor.account;
    let is_right = match proof {
        Proof::Code(code) => {
            let secret = seal.open(account, &factor.secret)?;
            let step = totp::accept(&secret, code.expose_secret(), factor.last_step, now);
            step.map(|step| factor.take_code(step)).is_some()
        }
        Proof::RecoveryCode(code) => {
            let hash = recovery::hash(account, code.expose_secret());
            let taken = store::second_factors::take_recovery_code(tx, account, hash).await?;
            if taken {
                factor.take_recovery_code();
                let left = store::second_factors::recovery_codes(tx, account).await?;
                let entry = Entry::by_owner(Action::RecoveryCodeUsed, account);
                store::audit::append(tx, entry.with(format!("left={left}"))).await?;
            }
            taken
        }
    };
    if !is_right {
        factor.refuse(now);
    }
    store::second_factors::save(tx, factor).await?;
    Ok(if is_right {
        Checked::Right
    } else {
        Checked::Wrong
    })
}
