//! Ordering alone: a catalogue with two products stands beside it, and somebody who takes its sagas.

#![allow(dead_code, reason = "each test file uses some of it")]

use alone::{Client, Engine, Neighbour, Service, wait::until};
use contracts::caravan::{
    catalog::v1::{BatchGetProductsRequest, BatchGetProductsResponse, Product},
    common::v1::Money,
    identity::v1::AccountRegistered,
    ordering::v1::{self as pb, ordering_service_client::OrderingServiceClient},
    saga::v1::{RegisterDefinitionRequest, RegisterDefinitionResponse},
};
use tonic::{Code, Request, Status};
use uuid::Uuid;

/// A running ordering service.
pub(crate) struct World {
    pub(crate) service: Service,
    /// The mesh's services call it like this.
    pub(crate) peer: OrderingServiceClient<Client>,
    _catalog: Neighbour,
    _saga: Neighbour,
}

impl World {
    /// `None` where the engine is not there.
    pub(crate) async fn start(engine: Engine) -> Option<Self> {
        let catalog = Neighbour::builder()
            .answers(
                "/caravan.catalog.v1.CatalogService/BatchGetProducts",
                on_sale,
            )
            .start()
            .await;
        let saga = Neighbour::builder()
            .answers(
                "/caravan.saga.v1.SagaService/RegisterDefinition",
                |_: RegisterDefinitionRequest| RegisterDefinitionResponse {
                    name: "taken".into(),
                    version: 1,
                },
            )
            .start()
            .await;
        let service = Service::of(env!("CARGO_BIN_EXE_ordering"), engine)
            .upstream("catalog", catalog.url())
            .upstream("saga", saga.url())
            .start()
            .await?;
        let peer = OrderingServiceClient::new(service.peer("saga"));
        Some(Self {
            service,
            peer,
            _catalog: catalog,
            _saga: saga,
        })
    }

    /// A customer whose account ordering has heard of.
    pub(crate) async fn customer(&self) -> Customer {
        let id = Uuid::now_v7();
        let account = AccountRegistered {
            account_id: id.to_string(),
            email: "ada@example.com".into(),
            display_name: "Ada".into(),
            version: 1,
        };
        self.service.hears(&account).await;
        let client = OrderingServiceClient::new(self.service.user(id, &["customer"]));
        let customer = Customer { id, client };
        // A customer whom ordering does not know cannot place anything yet.
        until("ordering has heard of the account", || async {
            match customer.place(&[("unicorn", 1)]).await {
                Err(status) if status.code() == Code::Unavailable => Err(status.to_string()),
                Err(status) => panic!("{status}"),
                Ok(order) => Ok(order),
            }
        })
        .await;
        customer
    }
}

/// A person who buys.
#[derive(Clone)]
pub(crate) struct Customer {
    pub(crate) id: Uuid,
    pub(crate) client: OrderingServiceClient<Client>,
}

impl Customer {
    pub(crate) async fn place(&self, lines: &[(&str, i32)]) -> Result<pb::Order, Status> {
        self.place_with(Request::new(basket(lines))).await
    }

    pub(crate) async fn place_with(
        &self,
        request: Request<pb::PlaceOrderRequest>,
    ) -> Result<pb::Order, Status> {
        let answer = self.client.clone().place_order(request).await?;
        Ok(answer.into_inner().order.expect("always there"))
    }

    pub(crate) async fn order(&self, order_id: &str) -> Result<pb::Order, Status> {
        let request = pb::GetOrderRequest {
            order_id: order_id.into(),
            ..Default::default()
        };
        let answer = self.client.clone().get_order(request).await?;
        Ok(answer.into_inner().order.expect("always there"))
    }
}

pub(crate) fn basket(lines: &[(&str, i32)]) -> pb::PlaceOrderRequest {
    let line = |(sku, quantity): &(&str, i32)| pb::PlaceOrderLine {
        sku: (*sku).into(),
        quantity: *quantity,
    };
    pb::PlaceOrderRequest {
        lines: lines.iter().map(line).collect(),
        payment_method: "pm_card_visa".into(),
    }
}

/// A mug at 12.50 and a cap at 9.99.
fn on_sale(request: BatchGetProductsRequest) -> BatchGetProductsResponse {
    let product = |sku: &str, minor_units| Product {
        product_id: Uuid::now_v7().to_string(),
        sku: sku.into(),
        name: format!("The {sku}"),
        price: Some(Money {
            currency_code: "EUR".into(),
            minor_units,
        }),
        ..Default::default()
    };
    let all = [product("mug", 1250), product("cap", 999)];
    let products = all
        .into_iter()
        .filter(|product| request.skus.contains(&product.sku))
        .collect();
    BatchGetProductsResponse { products }
}
