//! The ops services of a mesh, and the token that opens them.

use std::path::Path;

use anyhow::{Context as _, bail};
use contracts::caravan::ops::v1::ops_service_client::OpsServiceClient;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use super::super::status::running;
use crate::mesh::home::Home;
use crate::mesh::secrets::Secrets;
use crate::mesh::topology::{Role, Topology};
use crate::shop::Shop;

/// A client of one service's ops service.
pub(super) type Client = OpsServiceClient<InterceptedService<Channel, Bearer>>;

/// Puts the token on each call.
#[derive(Clone)]
pub(super) struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let token = self.0.clone();
        request.metadata_mut().insert("authorization", token);
        Ok(request)
    }
}

/// The services that a command is about.
pub(super) struct Services {
    /// By name, in the order of the mesh.
    clients: Vec<(String, Client)>,
    /// One JSON object a line instead of text.
    pub(super) json: bool,
}

impl Services {
    pub(super) async fn of(args: &super::Args, home: &Path) -> anyhow::Result<Self> {
        let (token, addresses) = match (&args.url, &args.token) {
            (Some(url), Some(token)) => {
                let name = args.service.clone().unwrap_or_else(|| url.clone());
                (token.clone(), vec![(name, url.clone())])
            }
            _ => local(args, home).await?,
        };
        let mut bearer: MetadataValue<Ascii> = format!("Bearer {token}")
            .parse()
            .context("the token is no header value")?;
        bearer.set_sensitive(true);
        let mut clients = Vec::new();
        for (name, url) in addresses {
            let endpoint = Endpoint::from_shared(url.clone())
                .with_context(|| format!("`{url}` is not a URL"))?;
            let channel = InterceptedService::new(endpoint.connect_lazy(), Bearer(bearer.clone()));
            clients.push((name, OpsServiceClient::new(channel)));
        }
        Ok(Self {
            clients,
            json: args.json,
        })
    }

    /// Every service with its name.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, Client)> {
        self.clients
            .iter()
            .map(|(name, client)| (name.as_str(), client.clone()))
    }

    /// The service that a consumer belongs to, by its name `<service>-<consumer>`.
    ///
    /// # Errors
    /// None of them has such a name.
    pub(super) fn of_consumer(&self, consumer: &str) -> anyhow::Result<Client> {
        if let [(_, only)] = self.clients.as_slice() {
            return Ok(only.clone());
        }
        let (_, client) = self
            .clients
            .iter()
            .find(|(name, _)| {
                consumer
                    .strip_prefix(name.as_str())
                    .is_some_and(|rest| rest.starts_with('-'))
            })
            .with_context(|| format!("`{consumer}` belongs to no service of this mesh"))?;
        Ok(client.clone())
    }

    /// The one service that was named.
    ///
    /// # Errors
    /// None was.
    pub(super) fn only(&self) -> anyhow::Result<(&str, Client)> {
        match self.clients.as_slice() {
            [(name, client)] => Ok((name, client.clone())),
            _ => bail!("say which service: --service NAME"),
        }
    }
}

/// The services of the local mesh, and its admin's token.
async fn local(args: &super::Args, home: &Path) -> anyhow::Result<(String, Vec<(String, String)>)> {
    let home = Home::open(home).context("start one with `caravan up`")?;
    let topology = Topology::new(running(&home)?.port_base)?;
    let wanted = |name: &str| args.service.as_deref().is_none_or(|only| only == name);
    let addresses: Vec<_> = topology
        .services()
        .filter(|node| wanted(node.name))
        .map(|node| (node.name.to_owned(), format!("http://{}", node.address)))
        .collect();
    if addresses.is_empty() {
        bail!("this mesh has no service of that name");
    }
    let token = match &args.token {
        Some(token) => token.clone(),
        None => {
            let shop = Shop::new(topology.only(Role::Gateway).address);
            shop.admin_token(&Secrets::of(&home), Some(&args.factor))
                .await?
        }
    };
    Ok((token, addresses))
}

/// What a refusal says, without the rest of a status.
pub(super) fn refused(service: &str) -> impl FnOnce(Status) -> anyhow::Error {
    move |status| anyhow::anyhow!("{service}: {:?}: {}", status.code(), status.message())
}
