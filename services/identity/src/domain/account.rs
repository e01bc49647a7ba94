//! A person who may log in.

use time::OffsetDateTime;
use uuid::Uuid;

use super::email::Email;

/// Longest display name, in characters.
pub const MAX_DISPLAY_NAME_CHARS: usize = 100;

/// What a person may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// Its person is gone, for good.
    Closed,
}

/// How a person wants to be spoken to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preferences {
    /// A language tag (BCP 47); the shop's own language where it is empty.
    pub locale: String,
    /// Whether mails beside those about orders and the account are welcome.
    pub newsletter: bool,
}

/// What a closed account is called.
const CLOSED_NAME: &str = "Closed account";

/// A change that an account does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Nobody comes back to it.
    #[error("The account is closed.")]
    Closed,
    /// Somebody has to be able to make others admins.
    #[error("Admins cannot take the role away from themselves.")]
    OwnAdminRole,
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

/// The account is closed, as others hear of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed(pub Account);

/// Everything that an account is, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// UUIDv7.
    pub id: Uuid,
    /// Unique.
    pub email: Email,
    /// Whether the address is known to be its owner's.
    pub email_verified: bool,
    /// What orders and messages show.
    pub display_name: String,
    /// What the person may be.
    pub roles: Vec<Role>,
    /// Whether it can be used.
    pub state: State,
    /// How the person wants to be spoken to.
    pub preferences: Preferences,
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
        Ok(Registered(Self(Parts {
            id,
            email,
            email_verified: false,
            display_name: visible_name(display_name)?,
            roles,
            state: State::Active,
            preferences: Preferences::default(),
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

    /// Opens or closes the account for its person for a while; `None` where it is so already.
    ///
    /// # Errors
    /// It is closed for good.
    pub fn set_active(&mut self, active: bool) -> Result<Option<Updated>, ChangeError> {
        let state = if active {
            State::Active
        } else {
            State::Inactive
        };
        self.change(|parts| parts.state = state)
    }

    /// Changes what the person may change; `None` where it is so already.
    ///
    /// # Errors
    /// An attribute that cannot be, or the account is closed.
    pub fn update<E: From<AccountError> + From<ChangeError>>(
        &mut self,
        display_name: Option<&str>,
        preferences: Option<Preferences>,
    ) -> Result<Option<Updated>, E> {
        let display_name = display_name.map(visible_name).transpose()?;
        let updated = self.change(|parts| {
            if let Some(name) = display_name {
                parts.display_name = name;
            }
            if let Some(preferences) = preferences {
                parts.preferences = preferences;
            }
        })?;
        Ok(updated)
    }

    /// The address is its owner's; `None` where that was known.
    ///
    /// # Errors
    /// It is closed.
    pub fn verify_email(&mut self) -> Result<Option<Updated>, ChangeError> {
        self.change(|parts| parts.email_verified = true)
    }

    /// Says what the person may be, at the word of the admin `by`; `None` where it is so already.
    ///
    /// # Errors
    /// It is closed, or the admin would be none any more.
    pub fn set_roles(
        &mut self,
        mut roles: Vec<Role>,
        by: Option<Uuid>,
    ) -> Result<Option<Updated>, ChangeError> {
        if by == Some(self.0.id) && !roles.contains(&Role::Admin) {
            return Err(ChangeError::OwnAdminRole);
        }
        roles.sort_unstable();
        roles.dedup();
        self.change(|parts| parts.roles = roles)
    }

    /// Closes the account for good and forgets whose it was; `None` where it is closed.
    pub fn close(&mut self) -> Option<Closed> {
        let id = self.0.id;
        let nobody = Email::parse(&format!("closed-{id}@account.invalid"))?;
        self.change(|parts| {
            parts.email = nobody;
            parts.email_verified = false;
            CLOSED_NAME.clone_into(&mut parts.display_name);
            parts.preferences = Preferences::default();
            parts.roles.clear();
            parts.state = State::Closed;
        })
        .ok()
        .flatten()
        .map(|Updated(account)| Closed(account))
    }

    /// One change: counted where it makes a difference, and none once the account is closed.
    fn change(&mut self, make: impl FnOnce(&mut Parts)) -> Result<Option<Updated>, ChangeError> {
        if self.0.state == State::Closed {
            return Err(ChangeError::Closed);
        }
        let before = self.0.clone();
        make(&mut self.0);
        if self.0 == before {
            return Ok(None);
        }
        self.0.version += 1;
        Ok(Some(Updated(self.clone())))
    }
}

fn visible_name(text: &str) -> Result<String, AccountError> {
    let name = text.trim();
    let visible = !name.is_empty() && !name.contains(char::is_control);
    if visible && name.chars().count() <= MAX_DISPLAY_NAME_CHARS {
        Ok(name.to_owned())
    } else {
        Err(AccountError::BadDisplayName)
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
        assert_eq!(account.set_active(true), Ok(None));
        let Updated(told) = account.set_active(false).expect("open").expect("news");
        assert_eq!(told, account);
        assert_eq!(told.parts().version, 2);
        assert!(!account.is_active());
        assert_eq!(account.set_active(false), Ok(None));
    }

    #[test]
    fn an_admin_stays_one_until_another_says_otherwise() {
        let Registered(mut account) = register("ada@example.org", "Ada").expect("good");
        let own = Some(account.parts().id);
        let both = vec![Role::Admin, Role::Customer, Role::Admin];
        account.set_roles(both, None).expect("open").expect("news");
        assert_eq!(account.role_names(), ["customer", "admin"]);
        let down = vec![Role::Customer];
        assert_eq!(
            account.set_roles(down.clone(), own),
            Err(ChangeError::OwnAdminRole)
        );
        let other = Some(Uuid::max());
        assert!(account.set_roles(down, other).expect("open").is_some());
    }

    #[test]
    fn a_closed_account_is_nobodys_and_stays_closed() {
        let Registered(mut account) = register("ada@example.org", "Ada").expect("good");
        let Closed(closed) = account.close().expect("news");
        let told = format!("{closed:?}");
        assert!(!told.contains("ada@") && !told.contains("Ada"), "{told}");
        assert!(!closed.is_active() && closed.role_names().is_empty());
        assert_eq!(account.close(), None);
        assert_eq!(account.set_active(true), Err(ChangeError::Closed));
        assert_eq!(account.verify_email(), Err(ChangeError::Closed));
    }

    #[test]
    fn roles_keep_their_names() {
        for role in [Role::Customer, Role::Support, Role::Operator, Role::Admin] {
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        assert_eq!(Role::parse("root"), None);
    }
}
