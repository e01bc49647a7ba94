//! What a shop's people see and do through REST.

use reqwest::Method;
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    rest::{Answer, Rest, send},
    wait::until,
};

/// A card that the provider accepts.
pub const GOOD_CARD: &str = "pm_card_visa";
/// A card that the provider declines.
pub const DECLINED: &str = "pm_card_chargeDeclined";
/// Every test account has this password.
pub const PASSWORD: &str = "correct horse battery staple";

/// An order as REST shows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// UUIDv7.
    pub order_id: String,
    /// Account of the buyer.
    pub customer_id: String,
    /// `ORDER_STATUS_...`
    pub status: String,
    /// What was ordered.
    pub lines: Vec<Line>,
    /// Sum of the lines.
    pub total: Option<Money>,
    /// Why it was turned down, where it was.
    pub rejection: Option<Rejection>,
    /// RFC 3339.
    pub create_time: String,
}

/// A line of an [`Order`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// What.
    pub sku: String,
    /// Units.
    pub quantity: i32,
}

/// An amount of money.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Money {
    /// ISO 4217.
    pub currency_code: String,
    /// Whole minor units.
    #[serde(deserialize_with = "int64")]
    pub minor_units: i64,
}

/// Why an order was turned down.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Rejection {
    /// For programs.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// Stock of one sku, in units.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stock {
    /// In the house.
    #[serde(deserialize_with = "int64")]
    pub on_hand: i64,
    /// Held for orders.
    #[serde(deserialize_with = "int64")]
    pub reserved: i64,
    /// Free.
    #[serde(deserialize_with = "int64")]
    pub available: i64,
}

/// A payment as REST shows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    /// UUIDv7.
    pub payment_id: String,
    /// The order that it is for.
    pub order_id: String,
    /// `PAYMENT_STATUS_...`
    pub status: String,
    /// How much.
    pub amount: Money,
    /// The provider's id of it.
    pub provider_reference: String,
}

/// Where an order stands, by REST's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Waits for stock and money.
    Pending,
    /// Will be delivered.
    Confirmed,
    /// Turned down.
    Rejected,
    /// Taken back.
    Cancelled,
}

impl Status {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "ORDER_STATUS_PENDING",
            Self::Confirmed => "ORDER_STATUS_CONFIRMED",
            Self::Rejected => "ORDER_STATUS_REJECTED",
            Self::Cancelled => "ORDER_STATUS_CANCELLED",
        }
    }
}

/// An order to be placed: see [`an_order`].
#[derive(Clone, Debug)]
pub struct OrderDraft {
    lines: Vec<Value>,
    card: String,
    key: Option<String>,
    wait_s: Option<u32>,
}

/// An order without lines, paid by [`GOOD_CARD`], with an Idempotency-Key of its own.
pub fn an_order() -> OrderDraft {
    OrderDraft {
        lines: Vec::new(),
        card: GOOD_CARD.into(),
        key: Some(Uuid::now_v7().to_string()),
        wait_s: None,
    }
}

impl OrderDraft {
    /// Adds a line.
    pub fn line(mut self, sku: &str, quantity: i32) -> Self {
        self.lines.push(json!({"sku": sku, "quantity": quantity}));
        self
    }

    /// Pays by another means.
    pub fn card(mut self, payment_method: &str) -> Self {
        self.card = payment_method.into();
        self
    }

    /// Names the Idempotency-Key.
    pub fn key(mut self, key: &str) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sends no Idempotency-Key.
    pub fn without_key(mut self) -> Self {
        self.key = None;
        self
    }

    /// Asks for the outcome: `Prefer: wait=N`.
    pub fn wait(mut self, seconds: u32) -> Self {
        self.wait_s = Some(seconds);
        self
    }

    /// The request's body.
    pub fn body(&self) -> Value {
        json!({"lines": self.lines, "paymentMethod": self.card})
    }
}

/// Somebody who is logged in.
#[derive(Clone, Debug)]
pub struct Customer {
    /// The account's id.
    pub account_id: String,
    /// The login name.
    pub email: String,
    /// Speaks as this person.
    pub rest: Rest,
}

impl Customer {
    /// Opens an account for `name`, with an address that nobody else has, and logs in.
    pub async fn register(rest: &Rest, name: &str) -> Self {
        let email = format!("{name}-{}@example.com", Uuid::now_v7().simple());
        let account = rest
            .post(
                "/v1/accounts",
                &json!({"email": email, "password": PASSWORD, "displayName": name}),
            )
            .await
            .expect(201)
            .json();
        let session = rest
            .post(
                "/v1/sessions",
                &json!({"email": email, "password": PASSWORD}),
            )
            .await
            .expect(201)
            .json();
        let token = session["accessToken"].as_str().expect("an access token");
        Self {
            account_id: account["accountId"].as_str().expect("an id").into(),
            rest: rest.with_token(token),
            email,
        }
    }

    /// Sends an order, whatever the answer.
    pub async fn send(&self, draft: &OrderDraft) -> Answer {
        send(self.order_request(draft)).await
    }

    /// The request that [`Customer::send`] sends.
    pub fn order_request(&self, draft: &OrderDraft) -> reqwest::RequestBuilder {
        let mut request = self.rest.request(Method::POST, "/v1/orders");
        if let Some(key) = &draft.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(seconds) = draft.wait_s {
            request = request.header("prefer", format!("wait={seconds}"));
        }
        request.json(&draft.body())
    }

    /// Places an order that is taken.
    pub async fn place(&self, draft: OrderDraft) -> Order {
        self.send(&draft).await.expect(201).read()
    }

    /// The order as it now is.
    pub async fn order(&self, order_id: &str) -> Order {
        self.rest
            .get(&format!("/v1/orders/{order_id}"))
            .await
            .expect(200)
            .read()
    }

    /// Waits until the order stands so.
    pub async fn until(&self, order: &Order, status: Status) -> Order {
        until(status.name(), || async {
            let order = self.order(&order.order_id).await;
            if order.status == status.name() {
                Ok(order)
            } else {
                Err(order)
            }
        })
        .await
    }

    /// Takes the order back, whatever the answer.
    pub async fn cancel(&self, order: &Order) -> Answer {
        self.rest
            .post(&format!("/v1/orders/{}:cancel", order.order_id), &json!({}))
            .await
    }

    /// The order's payments as this person sees them.
    pub async fn payments(&self, order: &Order) -> Vec<Payment> {
        let answer = self
            .rest
            .get(&format!("/v1/payments?orderId={}", order.order_id))
            .await
            .expect(200);
        serde_json::from_value(answer.json()["payments"].clone()).expect("payments")
    }

    /// Stock of one sku.
    pub async fn stock(&self, sku: &str) -> Stock {
        self.rest
            .get(&format!("/v1/stock/{sku}"))
            .await
            .expect(200)
            .read()
    }
}

/// A 64-bit integer, which proto3 JSON writes as a string.
pub(crate) fn int64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    String::deserialize(deserializer)?
        .parse()
        .map_err(D::Error::custom)
}
