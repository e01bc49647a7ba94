//! Every way in which a call can fail, and its one code.

use chassis::{
    Classify,
    error::{Code, Violation},
};
use uuid::Uuid;

use crate::domain::product::ProductError;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request breaks a rule that the contract's own rules cannot say.
    #[error("{}: {}", .0.field, .0.description)]
    Invalid(Violation),
    /// The product is retired.
    #[error("The product is retired and can no longer be changed.")]
    Retired,
    /// Another product, retired ones among them, has this sku.
    #[error("There is already a product with the sku '{0}'.")]
    SkuTaken(String),
    /// No product has this id.
    #[error("There is no product {0}.")]
    NotFound(Uuid),
    /// The database failed, or a concurrent change won.
    #[error(transparent)]
    Store(#[from] chassis::db::Error),
}

impl Error {
    /// A field of the request that cannot be used; `field` as JSON names it.
    pub fn invalid(field: &str, description: impl Into<String>) -> Self {
        Self::Invalid(Violation::new(field, description))
    }

    /// A rule of the product that the request breaks; `at` is where the product stands in the request, e.g. `product`.
    pub fn rule(at: &str, error: ProductError) -> Self {
        let Some(field) = error.field() else {
            return Self::Retired;
        };
        let field = if at.is_empty() {
            field.to_owned()
        } else {
            format!("{at}.{field}")
        };
        Self::invalid(&field, error.to_string())
    }
}

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::InvalidArgument,
            Self::Retired => Code::FailedPrecondition,
            Self::SkuTaken(_) => Code::AlreadyExists,
            Self::NotFound(_) => Code::NotFound,
            Self::Store(error) => error.code(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "INVALID_REQUEST",
            Self::Retired => "PRODUCT_RETIRED",
            Self::SkuTaken(_) => "SKU_TAKEN",
            Self::NotFound(_) => "PRODUCT_NOT_FOUND",
            Self::Store(error) => error.reason(),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Store(error) => error.message(),
            _ => self.to_string(),
        }
    }

    fn violations(&self) -> Vec<Violation> {
        match self {
            Self::Invalid(violation) => vec![violation.clone()],
            _ => Vec::new(),
        }
    }
}
