//! `google.api.http` as it stands on a method.

use prost_reflect::{DynamicMessage, MethodDescriptor, Value};

/// A header of the request that fills a field of the request message.
///
/// `google.api.http` has no word for it: what says so is the caller's, given to
/// [`Api::compile_with`](crate::Api::compile_with).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderField {
    /// Name of the header, in any case.
    pub header: String,
    /// Dotted path of a field that a query parameter could fill.
    pub field: String,
}

/// One route of a method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// `GET`, or a kind of the contract's own; `*` for any.
    pub(crate) verb: String,
    pub(crate) template: String,
    pub(crate) body: String,
    pub(crate) response_body: String,
}

/// The routes of a method, the first one first; none where it has no annotation.
pub(crate) fn of_method(method: &MethodDescriptor) -> Result<Vec<Rule>, String> {
    let Some(extension) = method
        .parent_pool()
        .get_extension_by_name("google.api.http")
    else {
        return Ok(Vec::new());
    };
    let options = method.options();
    if !options.has_extension(&extension) {
        return Ok(Vec::new());
    }
    let value = options.get_extension(&extension);
    let message = value.as_message().ok_or("google.api.http is no message")?;
    let mut rules = vec![rule(message)?];
    if let Some(more) = message.get_field_by_name("additional_bindings") {
        for additional in more.as_list().unwrap_or_default() {
            let additional = additional.as_message().ok_or("a binding is no message")?;
            rules.push(rule(additional)?);
        }
    }
    Ok(rules)
}

fn rule(message: &DynamicMessage) -> Result<Rule, String> {
    let text = |name: &str| {
        let value = message.get_field_by_name(name);
        let value = value.as_deref().and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let plain = ["get", "put", "post", "delete", "patch"]
        .into_iter()
        .find(|verb| message.has_field_by_name(verb));
    let (verb, template) = match plain {
        Some(verb) => (verb.to_uppercase(), text(verb)),
        None => {
            let custom = message
                .get_field_by_name("custom")
                .filter(|_| message.has_field_by_name("custom"))
                .ok_or("a rule of google.api.http has no path")?;
            let custom = custom.as_message().ok_or("custom is no message")?;
            let part = |name: &str| {
                let value = custom.get_field_by_name(name);
                let value = value.as_deref().and_then(Value::as_str);
                value.unwrap_or_default().to_owned()
            };
            (part("kind"), part("path"))
        }
    };
    Ok(Rule {
        verb,
        template,
        body: text("body"),
        response_body: text("response_body"),
    })
}
