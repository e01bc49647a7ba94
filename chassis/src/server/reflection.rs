//! Reflection v1 and v1alpha, so that grpcurl and buf curl work without files.

use std::{
    sync::{Arc, LazyLock},
    task::{Context, Poll},
};

use tonic::{server::NamedService, service::Routes};
use tonic_reflection::server::{Builder, Error};
use tower::Service;

const REFLECTION_V1: &str = "grpc.reflection.v1.ServerReflection";
const REFLECTION_V1ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";
const HEALTH: &str = "grpc.health.v1.Health";

/// Adds both versions. They list what this process serves, not the whole contract.
pub(crate) fn add(routes: Routes, services: &[&'static str]) -> Routes {
    let (v1, v1alpha) = (services.to_vec(), services.to_vec());
    routes
        .add_service(Lazily::new(move || builder(&v1).build_v1()))
        .add_service(Lazily::new(move || builder(&v1alpha).build_v1alpha()))
}

fn builder(services: &[&'static str]) -> Builder<'static> {
    let known = Builder::configure()
        .register_encoded_file_descriptor_set(contracts::DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)
        .include_reflection_service(false);
    services
        .iter()
        .copied()
        .chain([HEALTH, REFLECTION_V1, REFLECTION_V1ALPHA])
        .fold(known, Builder::with_service_name)
}

/// A gRPC service that is made at its first call: few processes are ever asked, and its tables take a mebibyte.
struct Lazily<S> {
    made: Arc<LazyLock<S, Make<S>>>,
}

type Make<S> = Box<dyn FnOnce() -> S + Send>;

impl<S> Lazily<S> {
    fn new(make: impl FnOnce() -> Result<S, Error> + Send + 'static) -> Self {
        let make: Make<S> = Box::new(|| make().expect("the build made these descriptor sets"));
        Self {
            made: Arc::new(LazyLock::new(make)),
        }
    }
}

impl<S> Clone for Lazily<S> {
    fn clone(&self) -> Self {
        Self {
            made: self.made.clone(),
        }
    }
}

impl<S: NamedService> NamedService for Lazily<S> {
    const NAME: &'static str = S::NAME;
}

impl<S: Service<R> + Clone, R> Service<R> for Lazily<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        // What tonic generates is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> S::Future {
        S::clone(&self.made).call(request)
    }
}
