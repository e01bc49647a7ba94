//! The table `signing_keys`.

use sea_orm::entity::prelude::*;

/// A key that access tokens are signed with.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "signing_keys")]
pub struct Model {
    /// 1 for the first key. Replicas that make the same generation at once meet here: one of them wins.
    #[sea_orm(primary_key, auto_increment = false)]
    pub generation: i64,
    /// PKCS#8, with the public key inside.
    #[sea_orm(column_type = "Blob")]
    pub private_key: Vec<u8>,
    /// Microseconds since 1970.
    pub created_at_us: i64,
    /// From when on it signs, unless a newer one does; 0 where it always did. Microseconds since 1970.
    pub signs_from_us: i64,
    /// How long a token that it signed may last, at most. Microseconds.
    pub longest_token_us: i64,
}

impl ActiveModelBehavior for ActiveModel {}
