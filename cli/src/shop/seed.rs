//! The sample catalogue.

use std::collections::HashSet;

use anyhow::{Context as _, bail};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::Shop;
use crate::http::Call;
use crate::mesh::secrets::Secrets;

const PRODUCTS: &str = include_str!("../../seed/products.json");
const CURRENCY: &str = "EUR";

/// One product of the sample catalogue.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sample {
    /// The shop's code for it.
    pub sku: String,
    name: String,
    description: String,
    /// In cents.
    price_minor_units: i64,
    /// In units.
    on_hand: i64,
}

/// The sample catalogue, read from the file that is built in.
#[must_use]
pub fn samples() -> Vec<Sample> {
    serde_json::from_str(PRODUCTS).expect("seed/products.json is checked by a test")
}

impl Shop {
    /// Adds the sample products that are missing, with their stock. What is there stays as it is, so that a mesh that was
    /// used keeps its prices and its stock. The number of products added.
    ///
    /// # Errors
    /// Where a call is refused or nobody answers.
    pub async fn seed(&self, secrets: &Secrets) -> anyhow::Result<usize> {
        let token = self
            .admin_token(secrets, None)
            .await
            .context("cannot load the sample catalogue")?;
        let samples = samples();
        let query: Vec<_> = samples
            .iter()
            .map(|sample| format!("skus={}", sample.sku))
            .collect();
        let query = query.join("&");
        let products = self
            .expect(
                "read the catalogue",
                &Call::get(&format!("/v1/products:batchGet?{query}")).token(&token),
            )
            .await?;
        let stocks = self
            .expect(
                "read the stock",
                &Call::get(&format!("/v1/stock:batchGet?{query}")).token(&token),
            )
            .await?;
        let (offered, stocked) = (skus(&products["products"]), skus(&stocks["stocks"]));

        let mut tasks = JoinSet::new();
        for sample in samples {
            let (shop, token) = (*self, token.clone());
            let (offered, stocked) = (offered.contains(&sample.sku), stocked.contains(&sample.sku));
            tasks.spawn(async move {
                let added = !offered && shop.add(&sample, &token).await?;
                // A start that was interrupted may have left a product without stock.
                if added || !stocked {
                    shop.stock(&sample, &token).await?;
                }
                anyhow::Ok(added)
            });
        }
        let mut added = 0;
        while let Some(done) = tasks.join_next().await {
            added += usize::from(done??);
        }
        Ok(added)
    }

    /// Whether the product is new; one with this sku may exist and be off sale.
    async fn add(&self, sample: &Sample, token: &str) -> anyhow::Result<bool> {
        let price =
            json!({"currencyCode": CURRENCY, "minorUnits": sample.price_minor_units.to_string()});
        let body = json!({"sku": sample.sku, "name": sample.name, "description": sample.description, "price": price});
        let answer = self
            .send(&Call::send(Method::POST, "/v1/products", &body).token(token))
            .await?;
        match answer.status {
            status if status.is_success() => Ok(true),
            StatusCode::CONFLICT => Ok(false),
            _ => bail!(
                "cannot add the product {}: {}",
                sample.sku,
                answer.problem()
            ),
        }
    }

    async fn stock(&self, sample: &Sample, token: &str) -> anyhow::Result<()> {
        let body = json!({"onHand": sample.on_hand.to_string()});
        let path = format!("/v1/stock/{}", sample.sku);
        self.expect(
            &format!("set the stock of {}", sample.sku),
            &Call::send(Method::PUT, &path, &body).token(token),
        )
        .await
        .map(drop)
    }
}

fn skus(list: &Value) -> HashSet<String> {
    let items = list.as_array().into_iter().flatten();
    items
        .filter_map(|item| item["sku"].as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_catalogue_is_sound() {
        let samples = samples();
        assert_eq!(samples.len(), 12);
        assert_eq!(
            samples
                .iter()
                .map(|sample| &sample.sku)
                .collect::<HashSet<_>>()
                .len(),
            samples.len()
        );
        // They stand in URLs as they are.
        assert!(samples.iter().all(|sample| {
            sample
                .sku
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        }));
        assert!(samples.iter().all(|sample| sample.price_minor_units > 0
            && sample.on_hand > 0
            && !sample.name.is_empty()));
    }
}
