//! Which services a definition calls, and descriptors of those that are not built in.

use std::collections::BTreeSet;

use contracts::{DESCRIPTOR_POOL, caravan::saga::v1 as pb};
use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_types::FileDescriptorSet;

/// Full names of all services that the steps of a definition and their compensations call.
pub fn called_services(definition: &pb::Definition) -> BTreeSet<String> {
    definition
        .steps
        .iter()
        .flat_map(|step| {
            let undo = step.compensation.as_ref().map(|undo| &undo.call);
            std::iter::once(&step.call).chain(undo)
        })
        .filter_map(|call| Some(call.split_once('/')?.0.to_owned()))
        .collect()
}

/// The built-in descriptors and those of an encoded `google.protobuf.FileDescriptorSet`. A file that is built in stays as it
/// is built in.
///
/// # Errors
/// Bytes that are no such set, files that they import and that are missing, and names that are taken.
pub fn pool_with(set: &[u8]) -> Result<DescriptorPool, String> {
    let mut pool = DESCRIPTOR_POOL.clone();
    add(&mut pool, set)?;
    Ok(pool)
}

/// Adds the files of an encoded `google.protobuf.FileDescriptorSet` that the pool does not have.
///
/// # Errors
/// As [`pool_with`].
pub fn add(pool: &mut DescriptorPool, set: &[u8]) -> Result<(), String> {
    let mut set = FileDescriptorSet::decode(set)
        .map_err(|error| format!("is no google.protobuf.FileDescriptorSet: {error}"))?;
    set.file
        .retain(|file| pool.get_file_by_name(file.name()).is_none());
    pool.add_file_descriptor_set(set)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use prost_types::{
        DescriptorProto, FileDescriptorProto, MethodDescriptorProto, ServiceDescriptorProto,
    };

    use super::*;
    use crate::{check, source};

    fn billing() -> Vec<u8> {
        let message = |name: &str| DescriptorProto {
            name: Some(name.into()),
            ..Default::default()
        };
        let method = MethodDescriptorProto {
            name: Some("Charge".into()),
            input_type: Some(".acme.billing.v1.ChargeRequest".into()),
            output_type: Some(".acme.billing.v1.ChargeResponse".into()),
            ..Default::default()
        };
        let file = FileDescriptorProto {
            name: Some("acme/billing/v1/billing.proto".into()),
            package: Some("acme.billing.v1".into()),
            message_type: vec![message("ChargeRequest"), message("ChargeResponse")],
            service: vec![ServiceDescriptorProto {
                name: Some("Billing".into()),
                method: vec![method],
                ..Default::default()
            }],
            syntax: Some("proto3".into()),
            ..Default::default()
        };
        FileDescriptorSet { file: vec![file] }.encode_to_vec()
    }

    #[test]
    fn a_service_of_another_contract_is_known_by_its_descriptors() {
        let text = "name: a\nsteps: [{name: one, call: acme.billing.v1.Billing/Charge}]";
        let definition = source::read(text).expect("a definition");
        assert!(called_services(&definition).contains("acme.billing.v1.Billing"));
        let faults = check::compile(&definition, &DESCRIPTOR_POOL).expect_err("unknown");
        assert!(
            faults[0]
                .text
                .contains("no service `acme.billing.v1.Billing`")
        );
        let pool = pool_with(&billing()).expect("a set");
        check::compile(&definition, &pool).unwrap_or_else(|faults| panic!("{faults:#?}"));
    }

    #[test]
    fn built_in_files_are_skipped_and_other_bytes_refused() {
        pool_with(contracts::DESCRIPTOR_SET).expect("nothing is added");
        assert!(pool_with(b"no descriptors").is_err());
    }
}
