//! A person who may log in.

use time::OffsetDateTime;
use uuid::Uuid;

use super::email::Email;

/// Longest display name, in characters.
pub const MAX_DISPLAY_NAME_CHARS: usize = 100;

/// What a person may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Buys.
    Customer,
    /// Sees everybody's orders.
    Support,
    /// Runs the mesh.
    Operator,
    /// May do all.
    Admin,
}

impl Role {
    /// As tokens, rows and the contract say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Support => "support",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The role of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Customer, Self::Support, Self::Operator, Self::Admin]
            .into_iter()
            .find(|role| role.as_str() == name)
    }
}

/// Whether an account can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It can.
    Active,
    /// It can neither log in nor buy.
    Inactive,
}

/// An attribute that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// Not an address.
    #[error("must be an e-mail address")]
    BadEmail,
    /// Blank, too long, or with characters that are not to be seen.
    #[error("must have from 1 to {MAX_DISPLAY_NAME_CHARS} visible characters")]
    BadDisplayName,
}

impl AccountError {
    /// The attribute at fault, as JSON names it.
    pub fn field(&self) -> &'static str {
        match self {
            Self::BadEmail => "email",
            Self::BadDisplayName => "displayName",
        }
    }
}

/// The new account, as others hear of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered(pub Account);

/// The changed account, as others hear of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Updated(pub Account);

/// Everything that an account is, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// UUIDv7.
    pub id: Uuid,
    /// Unique.
    pub email: Email,
    /// What orders and messages show.
    pub display_name: String,
    /// What the person may be.
    pub roles: Vec<Role>,
    /// Whether it can be used.
    pub state: State,
    /// When it was opened.
    pub created: OffsetDateTime,
    /// Counts the changes from 1; a change raises it, and its save wants the row to be one behind.
    pub version: i64,
}

/// A person who may log in. The password is kept apart from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account(Parts);

impl Account {
    /// Opens an account.
    ///
    /// # Errors
    /// An attribute that cannot be.
    pub fn register(
        id: Uuid,
        email: &str,
        display_name: &str,
        roles: Vec<Role>,
        now: OffsetDateTime,
    ) -> Result<Registered, AccountError> {
        let email = Email::parse(email).ok_or(AccountError::BadEmail)?;
        let display_name = display_name.trim();
        let visible = !display_name.is_empty() && !display_name.contains(char::is_control);
        if !visible || display_name.chars().count() > MAX_DISPLAY_NAME_CHARS {
            return Err(AccountError::BadDisplayName);
        }
        Ok(Registered(Self(Parts {
            id,
            email,
            display_name: display_name.to_owned(),
            roles,
            state: State::Active,
            created: now,
            version: 1,
        })))
    }

    /// The account as it was stored.
    pub fn restore(parts: Parts) -> Self {
        Self(parts)
    }

    /// What the account is made of.
    pub fn parts(&self) -> &Parts {
        &self.0
    }

    /// Whether the person may log in and buy.
    pub fn is_active(&self) -> bool {
        self.0.state == State::Active
    }

    /// The names of the roles.
    pub fn role_names(&self) -> Vec<String> {
        self.0
            .roles
            .iter()
            .map(|role| role.as_str().to_owned())
            .collect()
    }

    /// Opens or closes the account for its person; `None` where it is so already.
    pub fn set_state(&mut self, state: State) -> Option<Updated> {
        if self.0.state == state {
            return None;
        }
        self.0.state = state;
        self.0.version += 1;
        Some(Updated(self.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register(email: &str, name: &str) -> Result<Registered, AccountError> {
        Account::register(
            Uuid::nil(),
            email,
            name,
            vec![Role::Customer],
            OffsetDateTime::UNIX_EPOCH,
        )
    }

    #[test]
    fn an_account_is_found_by_its_address_whatever_the_case() {
        let Registered(account) = register("Ada@Example.org", " Ada ").expect("good");
        assert_eq!(account.parts().email.as_str(), "ada@example.org");
        assert_eq!(account.parts().display_name, "Ada");
        assert_eq!(account.role_names(), ["customer"]);
        assert!(account.is_active());
    }

    #[test]
    fn a_name_is_to_be_seen() {
        for name in ["", "   ", "A\nda", "Ada\u{0}", &"a".repeat(101)] {
            assert_eq!(
                register("ada@example.org", name),
                Err(AccountError::BadDisplayName),
                "{name:?}"
            );
        }
        assert_eq!(register("ada", "Ada"), Err(AccountError::BadEmail));
    }

    #[test]
    fn a_state_that_is_so_already_is_no_news() {
        let Registered(mut account) = register("ada@example.org", "Ada").expect("good");
        assert_eq!(account.set_state(State::Active), None);
        let Updated(told) = account.set_state(State::Inactive).expect("news");
        assert_eq!(told, account);
        assert_eq!(told.parts().version, 2);
        assert!(!account.is_active());
        assert_eq!(account.set_state(State::Inactive), None);
    }

    #[test]
    fn roles_keep_their_names() {
        for role in [Role::Customer, Role::Support, Role::Operator, Role::Admin] {
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        assert_eq!(Role::parse("root"), None);
    }
}
