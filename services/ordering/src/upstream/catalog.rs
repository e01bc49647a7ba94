//! Prices, from the catalogue.

use std::collections::HashMap;

use chassis::client::{self, Channel};
use contracts::caravan::catalog::v1::{
    BatchGetProductsRequest, catalog_service_client::CatalogServiceClient,
};

use crate::{
    domain::{money::Money, order::Offer},
    error::Error,
};

/// The catalogue.
#[derive(Clone, Debug)]
pub struct Catalog {
    client: CatalogServiceClient<Channel>,
}

impl Catalog {
    /// The catalogue behind this channel.
    pub fn new(channel: Channel) -> Self {
        Self {
            client: CatalogServiceClient::new(channel),
        }
    }

    /// What is on sale of these skus, by one call.
    ///
    /// # Errors
    /// [`Error::Upstream`].
    pub async fn offers(&self, skus: Vec<String>) -> Result<HashMap<String, Offer>, Error> {
        let request = BatchGetProductsRequest { skus };
        let reply = client::retry(|| {
            let (mut client, request) = (self.client.clone(), request.clone());
            async move { client.batch_get_products(request).await }
        })
        .await
        .map_err(Error::Upstream)?;
        reply
            .into_inner()
            .products
            .into_iter()
            .map(|product| {
                let price = product.price.ok_or_else(|| {
                    Error::Contract(format!("product {} has no price", product.product_id))
                })?;
                let unit_price = Money {
                    currency_code: price.currency_code,
                    minor_units: price.minor_units,
                };
                Ok((
                    product.sku,
                    Offer {
                        name: product.name,
                        unit_price,
                    },
                ))
            })
            .collect()
    }
}
