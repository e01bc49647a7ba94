//! The payment of one order: asked for, then held, then taken or given back.

use time::OffsetDateTime;
use uuid::Uuid;

use super::money::Money;

/// Where a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Asked of the provider; its answer is not known yet.
    Pending,
    /// It is to be given back; what the provider holds is not known yet.
    Voiding,
    /// The amount is held.
    Authorized,
    /// The amount is taken.
    Captured,
    /// The hold was given back.
    Voided,
    /// The provider said no.
    Declined,
    /// The amount went back to the customer.
    Refunded,
}

/// Why the provider said no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decline {
    /// The provider's word for it, e.g. `insufficient_funds`.
    pub code: String,
    /// Whether the provider does not know the means of payment at all.
    pub method_unknown: bool,
}

/// A decision that the payment does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PaymentError {
    /// It was given back before.
    #[error("The payment was given back.")]
    Voided,
    /// The provider declined it.
    #[error("The payment was declined.")]
    Declined,
    /// The amount is taken: a refund gives it back.
    #[error("The amount is already taken; only a refund gives it back.")]
    Captured,
    /// The amount went back.
    #[error("The amount was refunded.")]
    Refunded,
    /// The provider's answer is not known yet.
    #[error("The payment is still under way.")]
    UnderWay,
}

/// A payment. Fields change by decisions only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    parts: Parts,
}

/// A payment's fields, for rows and messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// UUIDv7.
    pub id: Uuid,
    /// The order that is paid. One payment an order.
    pub order_id: Uuid,
    /// The account that pays.
    pub customer_id: Uuid,
    /// Where it stands.
    pub status: Status,
    /// What is paid.
    pub amount: Money,
    /// The provider's name for the means of payment; kept only until the provider's answer is known.
    pub payment_method: Option<String>,
    /// Why the provider said no.
    pub decline: Option<Decline>,
    /// The provider's id.
    pub provider_reference: Option<String>,
    /// When it was asked for.
    pub created: OffsetDateTime,
    /// When it last changed.
    pub updated: OffsetDateTime,
    /// Counts the changes; 1 when it is asked for.
    pub version: i64,
}

impl Payment {
    /// Asks for the amount; the provider is asked after this is stored.
    pub fn ask(
        id: Uuid,
        order_id: Uuid,
        customer_id: Uuid,
        amount: Money,
        payment_method: String,
        now: OffsetDateTime,
    ) -> Self {
        Self {
            parts: Parts {
                id,
                order_id,
                customer_id,
                status: Status::Pending,
                amount,
                payment_method: Some(payment_method),
                decline: None,
                provider_reference: None,
                created: now,
                updated: now,
                version: 1,
            },
        }
    }

    /// The payment that a row tells of.
    pub fn restore(parts: Parts) -> Self {
        Self { parts }
    }

    /// Its fields.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Records that the provider holds the amount. False where that was recorded before.
    ///
    /// # Errors
    /// The payment was given back or declined meanwhile.
    pub fn authorize(
        &mut self,
        reference: &str,
        now: OffsetDateTime,
    ) -> Result<bool, PaymentError> {
        match self.parts.status {
            Status::Pending => {
                self.parts.provider_reference = Some(reference.to_owned());
                self.parts.payment_method = None;
                self.go(Status::Authorized, now);
                Ok(true)
            }
            Status::Authorized | Status::Captured => Ok(false),
            Status::Voiding | Status::Voided => Err(PaymentError::Voided),
            Status::Declined => Err(PaymentError::Declined),
            Status::Refunded => Err(PaymentError::Refunded),
        }
    }

    /// Records that the provider said no. False where it was settled before.
    pub fn decline(&mut self, decline: Decline, now: OffsetDateTime) -> bool {
        if self.parts.status != Status::Pending {
            return false;
        }
        self.parts.decline = Some(decline);
        self.parts.payment_method = None;
        self.go(Status::Declined, now);
        true
    }

    /// Records that the amount is taken. False where that was recorded before.
    ///
    /// # Errors
    /// Nothing is held.
    pub fn capture(&mut self, now: OffsetDateTime) -> Result<bool, PaymentError> {
        match self.parts.status {
            Status::Authorized => {
                self.go(Status::Captured, now);
                Ok(true)
            }
            Status::Captured => Ok(false),
            Status::Pending => Err(PaymentError::UnderWay),
            Status::Voiding | Status::Voided => Err(PaymentError::Voided),
            Status::Declined => Err(PaymentError::Declined),
            Status::Refunded => Err(PaymentError::Refunded),
        }
    }

    /// Begins to give back what the provider may hold, so that a late authorization is refused. False where
    /// nothing is under way.
    pub fn begin_void(&mut self, now: OffsetDateTime) -> bool {
        if self.parts.status != Status::Pending {
            return false;
        }
        self.go(Status::Voiding, now);
        true
    }

    /// Records that nothing is held any more. False where nothing was held before.
    ///
    /// # Errors
    /// The amount is taken, or went back after that.
    pub fn void(
        &mut self,
        reference: Option<&str>,
        now: OffsetDateTime,
    ) -> Result<bool, PaymentError> {
        match self.parts.status {
            Status::Pending | Status::Voiding | Status::Authorized => {
                if let Some(reference) = reference {
                    self.parts.provider_reference = Some(reference.to_owned());
                }
                self.parts.payment_method = None;
                self.go(Status::Voided, now);
                Ok(true)
            }
            Status::Voided | Status::Declined => Ok(false),
            Status::Captured => Err(PaymentError::Captured),
            Status::Refunded => Err(PaymentError::Refunded),
        }
    }

    /// Records that the amount went back. False where that was recorded before.
    ///
    /// # Errors
    /// Nothing was taken, or not yet.
    pub fn refund(&mut self, now: OffsetDateTime) -> Result<bool, PaymentError> {
        match self.parts.status {
            Status::Captured => {
                self.go(Status::Refunded, now);
                Ok(true)
            }
            Status::Refunded => Ok(false),
            Status::Pending | Status::Authorized => Err(PaymentError::UnderWay),
            Status::Voiding | Status::Voided => Err(PaymentError::Voided),
            Status::Declined => Err(PaymentError::Declined),
        }
    }

    fn go(&mut self, status: Status, now: OffsetDateTime) {
        self.parts.status = status;
        self.parts.updated = now;
        self.parts.version += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn asked() -> Payment {
        let amount = Money {
            currency_code: "EUR".into(),
            minor_units: 1250,
        };
        let id = Uuid::now_v7;
        Payment::ask(id(), id(), id(), amount, "pm_card_visa".into(), NOW)
    }

    fn declined() -> Decline {
        Decline {
            code: "insufficient_funds".into(),
            method_unknown: false,
        }
    }

    #[test]
    fn a_hold_is_taken_and_sent_back_each_once() {
        let mut payment = asked();
        assert_eq!(payment.capture(NOW), Err(PaymentError::UnderWay));
        assert_eq!(payment.authorize("pi_1", NOW), Ok(true));
        assert_eq!(payment.authorize("pi_1", NOW), Ok(false));
        assert_eq!(payment.refund(NOW), Err(PaymentError::UnderWay));
        assert_eq!(payment.capture(NOW), Ok(true));
        assert_eq!(payment.capture(NOW), Ok(false));
        assert_eq!(payment.void(None, NOW), Err(PaymentError::Captured));
        assert_eq!(payment.refund(NOW), Ok(true));
        assert_eq!(payment.refund(NOW), Ok(false));
        assert_eq!(payment.parts().version, 4);
    }

    #[test]
    fn an_authorization_that_comes_after_the_void_began_is_refused() {
        let mut payment = asked();
        assert!(payment.begin_void(NOW));
        assert_eq!(payment.authorize("pi_1", NOW), Err(PaymentError::Voided));
        assert!(!payment.decline(declined(), NOW));
        assert_eq!(payment.void(Some("pi_1"), NOW), Ok(true));
        assert_eq!(payment.void(None, NOW), Ok(false));
        assert_eq!(payment.parts().provider_reference.as_deref(), Some("pi_1"));
    }

    #[test]
    fn a_decline_is_the_end() {
        let mut payment = asked();
        assert!(payment.decline(declined(), NOW));
        assert_eq!(payment.void(None, NOW), Ok(false), "nothing is held");
        assert_eq!(payment.capture(NOW), Err(PaymentError::Declined));
        assert_eq!(payment.authorize("pi_1", NOW), Err(PaymentError::Declined));
    }

    #[test]
    fn the_means_of_payment_is_forgotten_once_the_answer_is_known() {
        for settle in [
            (|payment: &mut Payment| assert_eq!(payment.authorize("pi_1", NOW), Ok(true)))
                as fn(&mut Payment),
            |payment| assert!(payment.decline(declined(), NOW)),
            |payment| assert_eq!(payment.void(None, NOW), Ok(true)),
        ] {
            let mut payment = asked();
            assert!(payment.parts().payment_method.is_some());
            settle(&mut payment);
            assert_eq!(payment.parts().payment_method, None);
        }
    }
}
