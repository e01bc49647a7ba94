//! The payment provider's own books: the truth about money, outside of the mesh.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::rest::Rest;

/// Every movement of money that the provider knows.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// In the order in which they happened.
    pub entries: Vec<Entry>,
    /// False: every test fits one page.
    has_more: bool,
}

/// One movement.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// `authorize`, `capture`, `cancel`, `refund` or `decline`.
    pub kind: String,
    /// The payment intent that it belongs to.
    pub intent_id: String,
    /// The order that the payment service named.
    pub order_id: Option<String>,
    /// Minor units.
    pub amount_minor: i64,
}

/// The money of one order at the provider, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// On hold on the customer's card.
    pub held: i64,
    /// Taken and not given back.
    pub kept: i64,
}

impl Ledger {
    pub(crate) async fn read(address: &str) -> Self {
        let ledger: Self = Rest::new(format!("http://{address}"))
            .get("/ledger")
            .await
            .expect(200)
            .read();
        assert!(!ledger.has_more, "more movements than one page holds");
        ledger
    }

    /// What is held and kept of all orders together.
    pub fn balance(&self) -> Balance {
        let balances = self.balances();
        balances
            .values()
            .fold(Balance::default(), |sum, one| Balance {
                held: sum.held + one.held,
                kept: sum.kept + one.kept,
            })
    }

    /// What is held and kept, by order id.
    pub fn balances(&self) -> BTreeMap<String, Balance> {
        let mut balances = BTreeMap::new();
        for entry in &self.entries {
            let order = entry.order_id.clone().unwrap_or_default();
            let balance: &mut Balance = balances.entry(order).or_default();
            match entry.kind.as_str() {
                "authorize" => balance.held += entry.amount_minor,
                "cancel" => balance.held -= entry.amount_minor,
                "capture" => {
                    balance.held -= entry.amount_minor;
                    balance.kept += entry.amount_minor;
                }
                "refund" => balance.kept -= entry.amount_minor,
                "decline" => {}
                kind => panic!("an unknown movement: {kind}"),
            }
        }
        balances
    }
}
