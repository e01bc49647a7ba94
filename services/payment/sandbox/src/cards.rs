//! Stripe's test payment methods: the name decides what happens.

/// What the card network answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The amount is held.
    Approved,
    /// The card is refused.
    Declined {
        /// Stripe's error code.
        code: &'static str,
        /// The issuer's reason, where `code` does not say all.
        decline_code: Option<&'static str>,
        /// Text for the buyer.
        message: &'static str,
    },
}

const APPROVED: [&str; 10] = [
    "pm_card_visa",
    "pm_card_visa_debit",
    "pm_card_mastercard",
    "pm_card_mastercard_debit",
    "pm_card_mastercard_prepaid",
    "pm_card_amex",
    "pm_card_discover",
    "pm_card_diners",
    "pm_card_jcb",
    "pm_card_unionpay",
];

/// (name behind `pm_card_chargeDeclined`, code, decline code, text)
const DECLINED: [(&str, &str, Option<&str>, &str); 8] = [
    (
        "",
        "card_declined",
        Some("generic_decline"),
        "Your card was declined.",
    ),
    (
        "InsufficientFunds",
        "card_declined",
        Some("insufficient_funds"),
        "Your card has insufficient funds.",
    ),
    (
        "LostCard",
        "card_declined",
        Some("lost_card"),
        "Your card was declined.",
    ),
    (
        "StolenCard",
        "card_declined",
        Some("stolen_card"),
        "Your card was declined.",
    ),
    (
        "ExpiredCard",
        "expired_card",
        None,
        "Your card has expired.",
    ),
    (
        "IncorrectCvc",
        "incorrect_cvc",
        None,
        "Your card's security code is incorrect.",
    ),
    (
        "ProcessingError",
        "processing_error",
        None,
        "An error occurred while processing your card. Try again in a little bit.",
    ),
    (
        "VelocityLimitExceeded",
        "card_declined",
        Some("card_velocity_exceeded"),
        "Your card was declined for making repeated attempts too frequently or exceeding its amount limit.",
    ),
];

/// The verdict on a payment method; `None` where no such method exists.
pub(crate) fn verdict(payment_method: &str) -> Option<Verdict> {
    if APPROVED.contains(&payment_method) {
        return Some(Verdict::Approved);
    }
    // Stripe names some of them with the brand in between.
    let which = payment_method
        .strip_prefix("pm_card_visa_chargeDeclined")
        .or_else(|| payment_method.strip_prefix("pm_card_chargeDeclined"))?;
    DECLINED
        .iter()
        .find(|(name, ..)| *name == which)
        .map(|&(_, code, decline_code, message)| Verdict::Declined {
            code,
            decline_code,
            message,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides() {
        assert_eq!(verdict("pm_card_visa"), Some(Verdict::Approved));
        for name in [
            "pm_card_chargeDeclinedInsufficientFunds",
            "pm_card_visa_chargeDeclinedInsufficientFunds",
        ] {
            let Some(Verdict::Declined {
                code, decline_code, ..
            }) = verdict(name)
            else {
                panic!("{name} must be declined");
            };
            assert_eq!(
                (code, decline_code),
                ("card_declined", Some("insufficient_funds"))
            );
        }
        assert_eq!(verdict("pm_card_nonsense"), None);
        assert_eq!(verdict("pm_card_chargeDeclinedNonsense"), None);
    }
}
