//! Reflection v1 and v1alpha, so that grpcurl and buf curl work without files.

use anyhow::Context as _;
use tonic::service::Routes;
use tonic_reflection::server::Builder;

const REFLECTION_V1: &str = "grpc.reflection.v1.ServerReflection";
const REFLECTION_V1ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";
const HEALTH: &str = "grpc.health.v1.Health";

/// Adds both versions. They list what this process serves, not the whole contract.
///
/// # Errors
/// A descriptor set cannot be read.
pub(crate) fn add(routes: Routes, services: &[&'static str]) -> anyhow::Result<Routes> {
    let builder = || {
        let known = Builder::configure()
            .register_encoded_file_descriptor_set(contracts::DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(
                tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
            )
            .include_reflection_service(false);
        services
            .iter()
            .copied()
            .chain([HEALTH, REFLECTION_V1, REFLECTION_V1ALPHA])
            .fold(known, Builder::with_service_name)
    };
    let v1 = builder().build_v1().context("reflection v1")?;
    let v1alpha = builder().build_v1alpha().context("reflection v1alpha")?;
    Ok(routes.add_service(v1).add_service(v1alpha))
}
