//! Which fields of an update count (AIP-134).

use contracts::caravan::catalog::v1 as pb;
use prost_types::FieldMask;

use crate::{domain::product::Change, error::Error};

/// What the masked fields of `product` change.
///
/// Without a mask the fields that are not empty count; `*` names all that can be changed.
///
/// # Errors
/// A path that is unknown or that cannot be changed.
pub(super) fn change(product: pb::Product, mask: Option<FieldMask>) -> Result<Change, Error> {
    let paths = match mask {
        Some(mask) if !mask.paths.is_empty() => mask.paths,
        _ => populated(&product),
    };
    let mut change = Change::default();
    for path in &paths {
        take(&product, path, &mut change)?;
    }
    Ok(change)
}

fn populated(product: &pb::Product) -> Vec<String> {
    let fields = [
        ("name", !product.name.is_empty()),
        ("description", !product.description.is_empty()),
        ("price", product.price.is_some()),
    ];
    fields
        .into_iter()
        .filter(|(_, set)| *set)
        .map(|(path, _)| path.to_owned())
        .collect()
}

fn take(product: &pb::Product, path: &str, change: &mut Change) -> Result<(), Error> {
    let price = || {
        let missing =
            || Error::invalid("product.price", "is named by updateMask, so it must be set");
        product.price.clone().ok_or_else(missing)
    };
    match path {
        "*" => {
            for path in ["name", "description", "price"] {
                take(product, path, change)?;
            }
        }
        "name" => change.name = Some(product.name.clone()),
        "description" => change.description = Some(product.description.clone()),
        "price" => {
            let price = price()?;
            change.currency_code = Some(price.currency_code);
            change.minor_units = Some(price.minor_units);
        }
        "price.currency_code" => change.currency_code = Some(price()?.currency_code),
        "price.minor_units" => change.minor_units = Some(price()?.minor_units),
        "product_id" | "sku" | "state" | "create_time" | "update_time" => {
            return Err(Error::invalid(
                "updateMask",
                format!("'{path}' cannot be changed"),
            ));
        }
        _ => {
            return Err(Error::invalid(
                "updateMask",
                format!("a product has no field '{path}'"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use contracts::caravan::common::v1::Money;

    use super::*;

    fn masked(paths: &[&str]) -> Result<Change, Error> {
        let product = pb::Product {
            name: "Mug".into(),
            price: Some(Money {
                currency_code: "EUR".into(),
                minor_units: 5,
            }),
            ..pb::Product::default()
        };
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        change(product, Some(FieldMask { paths }))
    }

    #[test]
    fn only_named_fields_count_even_empty_ones() {
        let only = Change {
            description: Some(String::new()),
            ..Change::default()
        };
        assert_eq!(masked(&["description"]).expect("known"), only);
        let minor = Change {
            minor_units: Some(5),
            ..Change::default()
        };
        assert_eq!(masked(&["price.minor_units"]).expect("known"), minor);
    }

    #[test]
    fn without_a_mask_the_filled_fields_count() {
        let filled = masked(&[]).expect("known");
        assert_eq!(filled.name.as_deref(), Some("Mug"));
        assert_eq!((filled.description, filled.minor_units), (None, Some(5)));
    }

    #[test]
    fn a_star_names_all_that_can_be_changed() {
        let all = masked(&["*"]).expect("known");
        assert!(all.name.is_some() && all.description.is_some() && all.currency_code.is_some());
    }

    #[test]
    fn unknown_and_fixed_paths_are_refused_by_name() {
        for path in ["colour", "sku", "product_id", "price.cents", "", "Name"] {
            let error = masked(&["name", path]).expect_err("not changeable");
            assert!(
                matches!(&error, Error::Invalid(violation) if violation.field == "updateMask"),
                "{path}"
            );
        }
    }
}
