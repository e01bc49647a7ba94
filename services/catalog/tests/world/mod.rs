//! The catalog alone, with the few words that its tests speak.

#![allow(dead_code, reason = "each test file uses some of it")]

use alone::{Client, Engine, Service};
use contracts::caravan::{
    catalog::v1::{self as pb, catalog_service_client::CatalogServiceClient},
    common::v1::Money,
};
use tonic::Status;

/// A running catalog service.
pub(crate) struct World {
    pub(crate) service: Service,
    pub(crate) admin: CatalogServiceClient<Client>,
    pub(crate) anybody: CatalogServiceClient<Client>,
}

impl World {
    pub(crate) async fn start(engine: Engine) -> Option<Self> {
        let service = Service::of(env!("CARGO_BIN_EXE_catalog"), engine)
            .start()
            .await?;
        let admin = CatalogServiceClient::new(service.admin());
        let anybody = CatalogServiceClient::new(service.anonymous());
        Some(Self {
            service,
            admin,
            anybody,
        })
    }

    /// Adds a product at 9.50 EUR.
    pub(crate) async fn create(&self, sku: &str) -> pb::Product {
        self.try_create(a_mug(sku)).await.expect("a good product")
    }

    pub(crate) async fn try_create(
        &self,
        request: pb::CreateProductRequest,
    ) -> Result<pb::Product, Status> {
        let answer = self.admin.clone().create_product(request).await?;
        Ok(answer.into_inner().product.expect("always there"))
    }

    pub(crate) async fn get(&self, product_id: &str) -> Result<pb::Product, Status> {
        let request = pb::GetProductRequest {
            product_id: product_id.into(),
        };
        let answer = self.anybody.clone().get_product(request).await?;
        Ok(answer.into_inner().product.expect("always there"))
    }

    /// Changes the named fields; `None` sends no mask.
    pub(crate) async fn update(
        &self,
        product: pb::Product,
        mask: Option<&[&str]>,
    ) -> Result<pb::Product, Status> {
        let paths = |paths: &[&str]| paths.iter().map(ToString::to_string).collect();
        let update_mask = mask.map(|mask| prost_types::FieldMask { paths: paths(mask) });
        let request = pb::UpdateProductRequest {
            product: Some(product),
            update_mask,
        };
        let answer = self.admin.clone().update_product(request).await?;
        Ok(answer.into_inner().product.expect("always there"))
    }

    pub(crate) async fn retire(&self, product_id: &str) -> Result<pb::Product, Status> {
        let request = pb::RetireProductRequest {
            product_id: product_id.into(),
        };
        let answer = self.admin.clone().retire_product(request).await?;
        Ok(answer.into_inner().product.expect("always there"))
    }

    /// One page: the skus and the next token.
    pub(crate) async fn page(
        &self,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<String>, String), Status> {
        let request = pb::ListProductsRequest {
            page_size,
            page_token: page_token.into(),
        };
        let answer = self
            .anybody
            .clone()
            .list_products(request)
            .await?
            .into_inner();
        let skus = answer
            .products
            .into_iter()
            .map(|product| product.sku)
            .collect();
        Ok((skus, answer.next_page_token))
    }
}

pub(crate) fn a_mug(sku: &str) -> pb::CreateProductRequest {
    pb::CreateProductRequest {
        sku: sku.into(),
        name: "Mug".into(),
        description: "Holds coffee".into(),
        price: Some(eur(950)),
    }
}

pub(crate) fn eur(minor_units: i64) -> Money {
    Money {
        currency_code: "EUR".into(),
        minor_units,
    }
}
