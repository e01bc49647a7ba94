//! The table `definitions`. Rows never change.

use sea_orm::entity::prelude::*;

/// One version of a definition.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "definitions")]
pub struct Model {
    /// Lower case letters, digits and `-`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// From 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub version: i32,
    /// An encoded `caravan.saga.v1.Definition`.
    pub content: Vec<u8>,
    /// SHA-256 of the content and the descriptors.
    pub content_hash: Vec<u8>,
    /// An encoded `google.protobuf.FileDescriptorSet` of participants that are not built in; null where there are none.
    pub descriptors: Option<Vec<u8>>,
    /// Microseconds since 1970.
    pub created_at_us: i64,
}

impl ActiveModelBehavior for ActiveModel {}
