//! Path templates of `google.api.http`, taken apart.

use http_path_template::{PathTemplate, Segment};

use crate::path;

/// One atom of a template, variables taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Atom {
    /// Decoded.
    Literal(Box<str>),
    Single,
    Rest,
}

/// A template taken apart.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) atoms: Vec<Atom>,
    pub(crate) variables: Vec<Capture>,
    /// What follows the last colon.
    pub(crate) verb: Option<Box<str>>,
}

/// Which segments of the path a variable takes.
#[derive(Debug)]
pub(crate) struct Capture {
    pub(crate) field_path: Box<str>,
    pub(crate) from: usize,
    /// Exclusive; `None` for all that follow.
    pub(crate) to: Option<usize>,
    /// Whether it may take more than one segment.
    pub(crate) several: bool,
}

pub(crate) fn parse(template: &str) -> Result<Template, String> {
    let grammar = http_path_template::Grammar::default();
    let parsed = PathTemplate::parse(template, grammar)
        .map_err(|error| format!("bad path template {template:?}: {error}"))?;
    let mut atoms = Vec::new();
    let mut variables = Vec::new();
    for segment in parsed.segments() {
        let Segment::Variable(variable) = segment else {
            atoms.push(atom(segment)?);
            continue;
        };
        let from = atoms.len();
        for part in variable.segments() {
            atoms.push(atom(&part)?);
        }
        let count = atoms.len() - from;
        variables.push(Capture {
            field_path: variable.field_path().into(),
            from,
            to: (atoms.last() != Some(&Atom::Rest)).then_some(atoms.len()),
            several: count > 1 || atoms.last() == Some(&Atom::Rest),
        });
    }
    Ok(Template {
        atoms,
        variables,
        verb: parsed.verb().map(Into::into),
    })
}

fn atom(segment: &Segment<'_>) -> Result<Atom, String> {
    match segment {
        Segment::Literal(text) => {
            let text = path::decode(text, false).map_err(|error| error.problem().to_owned())?;
            Ok(Atom::Literal(text.into()))
        }
        Segment::Single => Ok(Atom::Single),
        Segment::Rest => Ok(Atom::Rest),
        other => Err(format!("unsupported segment {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_templates_are_refused() {
        for template in [
            "",
            "v1",
            "/v1/{x",
            "/v1/{x=**}/y",
            "/v1/{x={y}}",
            "/v1/%zz",
            "/**/a",
        ] {
            assert!(parse(template).is_err(), "{template}");
        }
    }
}
