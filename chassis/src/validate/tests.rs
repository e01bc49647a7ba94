use contracts::caravan::{
    catalog::v1::{Product, UpdateProductRequest},
    identity::v1::{CreateClientRequest, RegisterAccountRequest},
    ordering::v1::{GetOrderRequest, PlaceOrderLine, PlaceOrderRequest},
    saga::v1::{
        Definition, ListSagasRequest, RegisterDefinitionRequest, RetryPolicy, StartSagaRequest,
        Step, register_definition_request::Content,
    },
};

use super::*;

fn fields<M: ReflectMessage>(message: &M) -> Vec<String> {
    check(message)
        .into_iter()
        .map(|violation| violation.field)
        .collect()
}

#[test]
fn all_violations_come_at_once_with_their_places() {
    let request = PlaceOrderRequest {
        lines: vec![
            PlaceOrderLine {
                sku: "mug".into(),
                quantity: 1,
            },
            PlaceOrderLine {
                sku: String::new(),
                quantity: -3,
            },
        ],
        payment_method: String::new(),
    };
    assert_eq!(
        fields(&request),
        ["lines[1].sku", "lines[1].quantity", "paymentMethod"]
    );
}

#[test]
fn a_list_has_bounds() {
    let lines = vec![
        PlaceOrderLine {
            sku: "mug".into(),
            quantity: 1
        };
        101
    ];
    assert_eq!(
        fields(&PlaceOrderRequest {
            lines,
            payment_method: "pm".into()
        }),
        ["lines"]
    );
    assert_eq!(
        fields(&PlaceOrderRequest {
            lines: vec![],
            payment_method: "pm".into()
        }),
        ["lines"]
    );
}

#[test]
fn no_scope_is_named_twice() {
    let client = |scopes: &[&str]| CreateClientRequest {
        client_id: "erp".into(),
        description: String::new(),
        scopes: scopes.iter().map(|&scope| scope.into()).collect(),
    };
    assert!(fields(&client(&["orders:read", "stock:write"])).is_empty());
    assert_eq!(fields(&client(&["mesh", "a", "mesh"])), ["scopes"]);
}

#[test]
fn forms_are_checked() {
    let account = |email: &str| RegisterAccountRequest {
        email: email.into(),
        password: "correct horse".into(),
        display_name: "Ada".into(),
    };
    assert!(fields(&account("ada@example.com")).is_empty());
    for email in [
        "",
        "ada",
        "ada@",
        "@example.com",
        "ada@example",
        "a da@example.com",
    ] {
        assert_eq!(fields(&account(email)), ["email"], "{email:?}");
    }
    assert_eq!(
        fields(&GetOrderRequest {
            order_id: "1' OR '1'='1".into(),
            ..Default::default()
        }),
        ["orderId"]
    );
    assert!(
        fields(&GetOrderRequest {
            order_id: "0190a5c0-0000-7000-8000-000000000000".into(),
            ..Default::default()
        })
        .is_empty()
    );
}

#[test]
fn no_text_holds_a_nul() {
    let place = |sku: &str, payment_method: &str| {
        fields(&PlaceOrderRequest {
            lines: vec![PlaceOrderLine {
                sku: sku.into(),
                quantity: 1,
            }],
            payment_method: payment_method.into(),
        })
    };
    assert_eq!(place("\0", "pm"), ["lines[0].sku"]);
    assert_eq!(place("mug", "pm\0"), ["paymentMethod"]);
}

#[test]
fn a_required_oneof_must_be_set() {
    assert_eq!(
        fields(&RegisterDefinitionRequest { content: None }),
        ["definition|source"]
    );
}

#[test]
fn a_double_has_bounds_and_is_a_number() {
    let with = |multiplier: f64| {
        let step = Step {
            name: "one".into(),
            retry: Some(RetryPolicy {
                multiplier,
                ..Default::default()
            }),
            ..Default::default()
        };
        let definition = Definition {
            steps: vec![step],
            ..Default::default()
        };
        fields(&RegisterDefinitionRequest {
            content: Some(Content::Definition(definition)),
        })
    };
    assert!(with(1000.0).is_empty());
    for multiplier in [-1.0, 1000.5, f64::INFINITY] {
        assert_eq!(with(multiplier), ["definition.steps[0].retry.multiplier"]);
    }
    assert!(!with(f64::NAN).is_empty());
}

#[test]
fn well_known_types_have_bounds_of_their_own() {
    let mut list = ListSagasRequest {
        created_after: Some(prost_types::Timestamp::default()),
        min_age: Some(prost_types::Duration::default()),
        ..Default::default()
    };
    assert!(fields(&list).is_empty());
    list.created_after = Some(prost_types::Timestamp {
        seconds: i64::MAX,
        nanos: 0,
    });
    list.min_age = Some(prost_types::Duration {
        seconds: 1,
        nanos: -1,
    });
    assert_eq!(fields(&list), ["createdAfter", "minAge"]);

    let masked = |paths: Vec<String>| {
        fields(&UpdateProductRequest {
            product: Some(Product::default()),
            update_mask: Some(prost_types::FieldMask { paths }),
        })
    };
    assert!(masked(vec!["name".into(); 100]).is_empty());
    assert_eq!(masked(vec!["name".into(); 101]), ["updateMask"]);
    assert_eq!(masked(vec!["n".repeat(201)]), ["updateMask"]);

    let input = |text: String| {
        let value = prost_types::value::Kind::StringValue(text);
        let entry = ("a".to_owned(), prost_types::Value { kind: Some(value) });
        fields(&StartSagaRequest {
            definition: "d".into(),
            key: "k".into(),
            input: Some(prost_types::Struct {
                fields: [entry].into(),
            }),
        })
    };
    assert!(input("x".repeat(1000)).is_empty());
    assert_eq!(input("a\0b".into()), ["input"]);
    assert_eq!(input("x".repeat(256 * 1024)), ["input"]);
}
