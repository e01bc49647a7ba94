//! Sagas from their rows and logs.

use std::sync::Arc;

use prost::bytes::Bytes;
use prost_reflect::{DynamicMessage, MessageDescriptor};

use sha2::{Digest as _, Sha256};

use super::Engine;
use crate::{
    domain::{definition::Definition, saga},
    error::Error,
    store::{
        self,
        entity::{record, saga::Model},
    },
};

/// What StartSaga takes where no event starts a saga.
const INPUT: &str = "google.protobuf.Struct";

/// The message that a definition's `trigger` variable is.
pub(crate) fn input_descriptor(definition: &Definition) -> MessageDescriptor {
    match &definition.trigger {
        Some(trigger) => trigger.message.clone(),
        None => contracts::DESCRIPTOR_POOL
            .get_message_by_name(INPUT)
            .expect("saga.proto imports it"),
    }
}

impl Engine {
    /// A saga as its row and log say, with its log.
    ///
    /// # Errors
    /// Rows that do not read; the database's own.
    pub async fn load(&self, row: &Model) -> Result<(saga::Saga, Vec<record::Model>), Error> {
        let definition = self
            .shared
            .registry
            .version(&row.definition, row.version)
            .await?;
        let input = if row.erased {
            DynamicMessage::new(input_descriptor(&definition))
        } else {
            read_input(&definition, &row.input)?
        };
        let log = store::log::read(self.shared.db.read(), row.id).await?;
        let transitions: Vec<_> = log
            .iter()
            .map(|record| store::log::transition(record, &definition))
            .collect::<Result<_, _>>()?;
        let mut saga = saga::Saga::start(
            Arc::clone(&definition),
            row.id,
            row.key.clone(),
            &input,
            row.created_at_us,
        );
        saga.replay(&transitions).map_err(Error::corrupt)?;
        Ok((saga, log))
    }
}

/// What is kept of an input when the input itself is forgotten: whether another one is the same can still be told.
///
/// # Errors
/// The input has no JSON.
pub(crate) fn fingerprint(input: &DynamicMessage) -> Result<Vec<u8>, Error> {
    // JSON's maps are sorted, those of encoded messages are not.
    let json = serde_json::to_value(input).map_err(|error| Error::corrupt(error.to_string()))?;
    Ok(Sha256::digest(json.to_string()).to_vec())
}

/// The stored input of a saga.
///
/// # Errors
/// It does not read.
pub(crate) fn read_input(definition: &Definition, input: &[u8]) -> Result<DynamicMessage, Error> {
    saga::decode(
        &input_descriptor(definition),
        &Bytes::copy_from_slice(input),
    )
    .map_err(Error::corrupt)
}
