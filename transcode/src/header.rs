//! Headers to fields.

use crate::{
    HeaderField, InputError, MessageId, Schema,
    bound::{self, Bound, FieldPath},
    query::{self, Taken},
    schema::Shape,
};

/// A header that may fill a field.
#[derive(Debug)]
pub(crate) struct Header {
    /// In lower case.
    pub(crate) name: Box<str>,
    /// Dotted, as the contract has it.
    pub(crate) field: Box<str>,
    path: FieldPath,
    repeated: bool,
}

/// Compiles the headers of a method; the fault is text that names the header.
pub(crate) fn compile<'p>(
    schema: &Schema,
    request: MessageId,
    headers: &[HeaderField],
    in_path: impl Iterator<Item = &'p FieldPath>,
) -> Result<Vec<Header>, String> {
    let mut compiled: Vec<Header> = Vec::new();
    let in_path: Vec<_> = in_path.collect();
    for HeaderField { header, field } in headers {
        let fault = |problem: &str| format!("header {header:?}: {problem}");
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if header.is_empty() || !header.bytes().all(token) {
            return Err(fault("is no name of a header"));
        }
        let path = bound::resolve(schema, request, field).map_err(|problem| fault(&problem))?;
        let last = path[path.len() - 1];
        let target = schema.message(last.message).field(last.field);
        if !query::is_textual(schema, target) {
            return Err(fault(&format!("{field:?} cannot stand in a header")));
        }
        let others = compiled.iter().map(|other| &other.path);
        if others.chain(in_path.iter().copied()).any(|other| {
            let shorter = other.len().min(path.len());
            other[..shorter] == path[..shorter]
        }) {
            return Err(fault(&format!("{field:?} is set twice")));
        }
        compiled.push(Header {
            name: header.to_ascii_lowercase().into(),
            field: field.as_str().into(),
            repeated: matches!(target.shape, Shape::List { .. }),
            path,
        });
    }
    Ok(compiled)
}

/// What the path has set and what these headers set.
pub(crate) fn bound(headers: &[Header], given: &[(&str, &str)], in_path: &Bound) -> Bound {
    let mut bound = in_path.clone();
    for header in headers {
        if given.iter().any(|(name, _)| header.is(name)) {
            bound.insert(&header.path);
        }
    }
    bound
}

/// Appends the fields that headers set, and notes them in `taken`.
pub(crate) fn encode<'b>(
    schema: &Schema,
    headers: &'b [Header],
    given: &[(&str, &str)],
    lenient: bool,
    taken: &mut Taken<'b>,
    out: &mut Vec<u8>,
) -> Result<(), InputError> {
    for header in headers {
        let mut values = given.iter().filter(|(name, _)| header.is(name));
        let Some((_, first)) = values.next() else {
            continue;
        };
        let mut put = |text: &str| {
            query::put_path(out, schema, &header.path, text.trim(), lenient)
                .map_err(|error| error.in_field(&header.name))
        };
        taken
            .check(schema, &header.path, false)
            .map_err(|error| error.in_field(&header.name))?;
        taken.fix(&*header.path);
        if header.repeated {
            // Several headers and one with commas are the same to HTTP.
            for (_, value) in given.iter().filter(|(name, _)| header.is(name)) {
                value.split(',').try_for_each(&mut put)?;
            }
        } else if values.next().is_some() {
            return Err(InputError::new("is set twice").in_field(&header.name));
        } else {
            put(first)?;
        }
    }
    Ok(())
}

impl Header {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}
