//! Changes the caller's name and preferences.

use chassis::{Call, outbox};
use contracts::caravan::identity::v1 as pb;

use super::{Rpc, convert};
use crate::{
    domain::{
        account::Preferences,
        audit::{Action, Entry},
    },
    error::Error,
    store,
};

/// What a request changes; `None` is left as it is.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    display_name: Option<String>,
    locale: Option<String>,
    newsletter: Option<bool>,
}

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::UpdateMyAccountRequest,
) -> Result<pb::UpdateMyAccountResponse, Error> {
    let id = call.caller.user_id().ok_or(Error::NoPerson)?;
    let changes = &Changes::try_from(request)?;
    let account = rpc
        .db
        .write(|tx| async move {
            let mut account = store::accounts::find(&tx, id)
                .await?
                .ok_or(Error::NotFound(id))?;
            let before = account.parts().preferences.clone();
            let preferences = Preferences {
                locale: changes.locale.clone().unwrap_or(before.locale),
                newsletter: changes.newsletter.unwrap_or(before.newsletter),
            };
            let name = changes.display_name.as_deref();
            if let Some(updated) = account.update::<Error>(name, Some(preferences))? {
                store::accounts::save(&tx, &account).await?;
                outbox::append(&tx, &pb::AccountUpdated::from(&updated)).await?;
                store::audit::append(&tx, Entry::by_owner(Action::Updated, id)).await?;
            }
            Ok::<_, Error>(account)
        })
        .await?;
    Ok(pb::UpdateMyAccountResponse {
        account: Some(convert::account(&account)),
    })
}

impl TryFrom<pb::UpdateMyAccountRequest> for Changes {
    type Error = Error;

    /// Without a mask everything that is set is meant.
    fn try_from(request: pb::UpdateMyAccountRequest) -> Result<Self, Error> {
        let account = request.account.unwrap_or_default();
        let preferences = account.preferences.clone().unwrap_or_default();
        let mask = request.update_mask.unwrap_or_else(|| set_fields(&account));
        let mut changes = Self::default();
        for path in mask.paths {
            match path.as_str() {
                "display_name" => changes.display_name = Some(account.display_name.clone()),
                "preferences" => {
                    changes.locale = Some(preferences.locale.clone());
                    changes.newsletter = Some(preferences.newsletter);
                }
                "preferences.locale" => changes.locale = Some(preferences.locale.clone()),
                "preferences.newsletter" => changes.newsletter = Some(preferences.newsletter),
                _ => return Err(Error::invalid(&path, "cannot be changed")),
            }
        }
        Ok(changes)
    }
}

fn set_fields(account: &pb::Account) -> prost_types::FieldMask {
    // By name, so that a field that is new to the message is refused too until somebody says what it means.
    let pb::Account {
        account_id,
        email,
        display_name,
        state,
        roles,
        create_time,
        email_verified,
        preferences,
    } = account;
    let set = [
        ("account_id", !account_id.is_empty()),
        ("email", !email.is_empty()),
        ("display_name", !display_name.is_empty()),
        ("state", *state != 0),
        ("roles", !roles.is_empty()),
        ("create_time", create_time.is_some()),
        ("email_verified", *email_verified),
        ("preferences", preferences.is_some()),
    ];
    let paths = set.into_iter().filter(|(_, set)| *set);
    prost_types::FieldMask {
        paths: paths.map(|(path, _)| path.to_owned()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(account: pb::Account, paths: Option<&[&str]>) -> pb::UpdateMyAccountRequest {
        pb::UpdateMyAccountRequest {
            account: Some(account),
            update_mask: paths.map(|paths| prost_types::FieldMask {
                paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            }),
        }
    }

    #[test]
    fn only_what_is_meant_is_changed() {
        let account = pb::Account {
            display_name: "Ada".into(),
            preferences: Some(pb::Preferences {
                locale: "de".into(),
                newsletter: true,
            }),
            ..Default::default()
        };
        let all = Changes {
            display_name: Some("Ada".into()),
            locale: Some("de".into()),
            newsletter: Some(true),
        };
        assert_eq!(
            Changes::try_from(request(account.clone(), None)).expect("good"),
            all
        );
        let one = Changes::try_from(request(account, Some(&["preferences.locale"])));
        let locale = Some("de".to_owned());
        assert_eq!(
            one.expect("good"),
            Changes {
                locale,
                ..Default::default()
            }
        );
    }

    #[test]
    fn nobody_makes_themselves_an_admin() {
        let roles = pb::Account {
            roles: vec!["admin".into()],
            ..Default::default()
        };
        for request in [
            request(roles.clone(), None),
            request(roles, Some(&["roles"])),
            request(pb::Account::default(), Some(&["state"])),
            request(pb::Account::default(), Some(&["no_such_field"])),
        ] {
            assert!(Changes::try_from(request).is_err());
        }
    }
}
