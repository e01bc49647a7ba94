//! The tables of `schema.sql`, one file each.

pub(crate) mod answer;
pub(crate) mod entry;
pub(crate) mod intent;
pub(crate) mod refund;
