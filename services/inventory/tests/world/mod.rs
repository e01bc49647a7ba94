//! Inventory alone, with the few words that its tests speak.

#![allow(dead_code, reason = "each test file uses some of it")]

use alone::{Client, Engine, Service};
use contracts::caravan::inventory::v1::{
    self as pb, inventory_service_client::InventoryServiceClient,
};
use tonic::Status;
use uuid::Uuid;

/// A running inventory service.
pub(crate) struct World {
    pub(crate) service: Service,
    pub(crate) admin: InventoryServiceClient<Client>,
    /// The mesh's services call it like this.
    pub(crate) peer: InventoryServiceClient<Client>,
}

impl World {
    pub(crate) async fn start(engine: Engine) -> Option<Self> {
        Self::start_with(engine, "15min").await
    }

    /// Holds last `hold_ttl` here.
    pub(crate) async fn start_with(engine: Engine, hold_ttl: &str) -> Option<Self> {
        let service = Service::of(env!("CARGO_BIN_EXE_inventory"), engine)
            .with("HOLD_TTL", hold_ttl)
            .with("EXPIRY_INTERVAL", "50ms")
            .start()
            .await?;
        let (admin, peer) = (admin(&service), peer(&service));
        Some(Self {
            service,
            admin,
            peer,
        })
    }

    /// Ends the process at once and goes on with another one.
    pub(crate) async fn crash(&mut self) {
        self.service.crash_and_restart().await;
        // It listens elsewhere now.
        (self.admin, self.peer) = (admin(&self.service), peer(&self.service));
    }

    /// Puts units of a sku into the house.
    pub(crate) async fn stock(&self, sku: &str, on_hand: i64) {
        self.set_stock(sku, on_hand).await.expect("set");
    }

    pub(crate) async fn set_stock(&self, sku: &str, on_hand: i64) -> Result<pb::Stock, Status> {
        let request = pb::SetStockRequest {
            sku: sku.into(),
            on_hand,
        };
        let answer = self.admin.clone().set_stock(request).await?;
        Ok(answer.into_inner().stock.expect("always there"))
    }

    /// On hand, reserved, available.
    pub(crate) async fn counts(&self, sku: &str) -> (i64, i64, i64) {
        let request = pb::GetStockRequest { sku: sku.into() };
        let answer = self.admin.clone().get_stock(request).await.expect("known");
        let stock = answer.into_inner().stock.expect("always there");
        (stock.on_hand, stock.reserved, stock.available)
    }

    pub(crate) async fn reserve(
        &self,
        order: Uuid,
        lines: &[(&str, i64)],
    ) -> Result<String, Status> {
        let answer = self
            .peer
            .clone()
            .reserve_stock(reserve(order, lines))
            .await?;
        Ok(answer.into_inner().reservation_id)
    }

    pub(crate) async fn release(&self, order: Uuid) -> Result<(), Status> {
        self.peer
            .clone()
            .release_stock(release(order))
            .await
            .map(drop)
    }

    pub(crate) async fn commit(&self, order: Uuid) -> Result<(), Status> {
        self.peer
            .clone()
            .commit_stock(commit(order))
            .await
            .map(drop)
    }

    pub(crate) async fn give_back(&self, order: Uuid) -> Result<(), Status> {
        let request = pb::ReturnStockRequest {
            order_id: order.to_string(),
        };
        self.peer.clone().return_stock(request).await.map(drop)
    }
}

pub(crate) fn reserve(order: Uuid, lines: &[(&str, i64)]) -> pb::ReserveStockRequest {
    pb::ReserveStockRequest {
        order_id: order.to_string(),
        lines: lines
            .iter()
            .map(|(sku, quantity)| line(sku, *quantity))
            .collect(),
    }
}

pub(crate) fn release(order: Uuid) -> pb::ReleaseStockRequest {
    pb::ReleaseStockRequest {
        order_id: order.to_string(),
    }
}

pub(crate) fn commit(order: Uuid) -> pb::CommitStockRequest {
    pb::CommitStockRequest {
        order_id: order.to_string(),
    }
}

pub(crate) fn line(sku: &str, quantity: i64) -> pb::StockLine {
    pb::StockLine {
        sku: sku.into(),
        quantity,
    }
}

/// A client of an admin.
fn admin(service: &Service) -> InventoryServiceClient<Client> {
    InventoryServiceClient::new(service.admin())
}

/// A client of a service of the mesh.
fn peer(service: &Service) -> InventoryServiceClient<Client> {
    InventoryServiceClient::new(service.peer("saga"))
}
