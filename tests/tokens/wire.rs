//! Calls with whatever token a test likes, by REST and by gRPC.

use contracts::caravan::ops::v1::{GetStatusRequest, ops_service_client::OpsServiceClient};
use kit::{World, rest::Rest};
use tonic::{
    Code, Request, Status,
    transport::{Channel, Endpoint},
};

/// Services of the mesh, each on a gRPC port of its own.
pub(crate) fn services(world: &World) -> Vec<(String, Channel)> {
    let processes = world.status().processes.into_iter();
    let services = processes.filter_map(|process| Some((process.name, process.grpc?)));
    let channel = |address| {
        let endpoint = Endpoint::from_shared(format!("http://{address}"));
        endpoint.expect("a URL").connect_lazy()
    };
    services
        .map(|(name, address)| (name, channel(address)))
        .collect()
}

/// Calls what operators and admins may call of every service.
pub(crate) async fn ops(channel: &Channel, token: &str) -> Result<(), Status> {
    let mut request = Request::new(GetStatusRequest {});
    let header = format!("Bearer {token}").parse().expect("ASCII");
    request.metadata_mut().insert("authorization", header);
    let mut client = OpsServiceClient::new(channel.clone());
    client.get_status(request).await.map(drop)
}

/// The token's fate at every gRPC port: the code that all of them answer with.
pub(crate) async fn everywhere(services: &[(String, Channel)], token: &str) -> Vec<(String, Code)> {
    let calls = services.iter().map(|(name, channel)| async {
        let code = ops(channel, token)
            .await
            .map_or_else(|s| s.code(), |()| Code::Ok);
        (name.clone(), code)
    });
    futures::future::join_all(calls).await
}

/// Who calls the gateway with this token.
pub(crate) fn bearing(world: &World, token: &str) -> Rest {
    world.anonymous().with_token(token)
}
