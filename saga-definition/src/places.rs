//! Where the parts of a definition stand in its text.

use std::{collections::HashMap, fmt};

use prost_reflect::{Kind, MessageDescriptor};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use crate::source::limits;

/// A place in a text, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl Place {
    pub(crate) fn of(location: Location) -> Option<Self> {
        let number = |number: u64| usize::try_from(number).ok().filter(|number| *number > 0);
        Some(Self {
            line: number(location.line())?,
            column: number(location.column())?,
        })
    }
}

/// Where every field of a definition stands in the YAML or JSON that it was read from.
#[derive(Clone, Debug)]
pub struct Places<'a> {
    lines: Vec<&'a str>,
    /// By path as the contract's JSON names it, e.g. `steps[2].forEach.items`; the empty path is the whole.
    values: HashMap<String, Place>,
}

impl<'a> Places<'a> {
    /// Of this text; empty where it is no YAML.
    pub fn of(source: &'a str) -> Self {
        let mut values = HashMap::new();
        if let Some(root) = parse(source) {
            note(&root, String::new(), &mut values);
        }
        Self {
            lines: source.lines().collect(),
            values,
        }
    }

    /// Where a field's value stands, or else the nearest thing around it that is there.
    pub fn find(&self, field: &str) -> Option<Place> {
        let mut path = field;
        loop {
            if let Some(place) = self.values.get(path) {
                return Some(*place);
            }
            path = match path.rfind(['.', '[']) {
                Some(end) => &path[..end],
                None if path.is_empty() => return None,
                None => "",
            };
        }
    }

    /// Where a place within a text value stands in the source: exact for plain texts, quoted ones without
    /// escapes and `|` blocks; for others the line is the value's first.
    pub fn within(&self, field: &str, inner: Place) -> Option<Place> {
        let start = *self.values.get(field)?;
        let line = *self.lines.get(start.line - 1)?;
        // The place of a block is that of its first line, below the `|`.
        let above = start.line.checked_sub(2).map(|above| self.lines[above]);
        let is_block = above.is_some_and(|above| {
            let above = above.trim_end().trim_end_matches(['-', '+']);
            above.ends_with('|') && line.chars().take(start.column - 1).all(|c| c == ' ')
        });
        let quote = usize::from(line.chars().nth(start.column - 1).is_some_and(is_quote));
        Some(if is_block {
            Place {
                line: start.line + inner.line - 1,
                column: start.column + inner.column - 1,
            }
        } else if inner.line == 1 {
            Place {
                line: start.line,
                column: start.column + quote + inner.column - 1,
            }
        } else {
            start
        })
    }
}

fn parse(source: &str) -> Option<Spanned<Content>> {
    serde_saphyr::from_str_with_options(source, limits()).ok()
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'')
}

/// The first field in a text that the message does not have, and where it stands.
pub(crate) fn unknown_field(source: &str, message: &MessageDescriptor) -> Option<(Place, String)> {
    unknown_in(&parse(source)?, message)
}

fn unknown_in(node: &Spanned<Content>, message: &MessageDescriptor) -> Option<(Place, String)> {
    match &node.value {
        Content::Other => None,
        Content::List(parts) => parts.iter().find_map(|part| unknown_in(part, message)),
        Content::Map(members) => members.iter().find_map(|(name, value)| {
            let known = message
                .fields()
                .find(|field| field.name() == name.value || field.json_name() == name.value);
            match known.map(|field| field.kind()) {
                None => {
                    let text = format!("{} has no field `{}`", message.full_name(), name.value);
                    Some((Place::of(name.referenced)?, text))
                }
                Some(Kind::Message(inner)) => unknown_in(value, &inner),
                Some(_) => None,
            }
        }),
    }
}

fn note(node: &Spanned<Content>, path: String, values: &mut HashMap<String, Place>) {
    match &node.value {
        Content::Other => {}
        Content::List(parts) => {
            for (index, part) in parts.iter().enumerate() {
                note(part, format!("{path}[{index}]"), values);
            }
        }
        Content::Map(members) => {
            for (name, value) in members {
                let name = json_name(&name.value);
                let path = if path.is_empty() {
                    name
                } else {
                    format!("{path}.{name}")
                };
                note(value, path, values);
            }
        }
    }
    if let Some(place) = Place::of(node.referenced) {
        values.insert(path, place);
    }
}

/// Fields may be written by their own name or by that of JSON.
fn json_name(name: &str) -> String {
    let mut json = String::with_capacity(name.len());
    let mut upper = false;
    for c in name.chars() {
        match c {
            '_' => upper = true,
            c if upper => {
                json.extend(c.to_uppercase());
                upper = false;
            }
            c => json.push(c),
        }
    }
    json
}

enum Content {
    Other,
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<String>, Spanned<Self>)>),
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("YAML")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
                let mut parts = Vec::new();
                while let Some(part) = seq.next_element()? {
                    parts.push(part);
                }
                Ok(Content::List(parts))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Content::Map(members))
            }

            fn visit_bool<E: Error>(self, _: bool) -> Result<Content, E> {
                Ok(Content::Other)
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Content, E> {
                Ok(Content::Other)
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<Content, E> {
                Ok(Content::Other)
            }

            fn visit_i128<E: Error>(self, _: i128) -> Result<Content, E> {
                Ok(Content::Other)
            }

            fn visit_u128<E: Error>(self, _: u128) -> Result<Content, E> {
                Ok(Content::Other)
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Content, E> {
                Ok(Content::Other)
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<Content, E> {
                Ok(Content::Other)
            }

            fn visit_unit<E: Error>(self) -> Result<Content, E> {
                Ok(Content::Other)
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "name: a
steps:
  - name: one
    call: p.S/M
    request: |
      {
        'x': 1
      }
    for_each: {items: \"trigger.lines\", maxItems: 5}
  - {name: two, when: true}
";

    fn place(line: usize, column: usize) -> Option<Place> {
        Some(Place { line, column })
    }

    #[test]
    fn every_field_has_its_place() {
        let places = Places::of(SOURCE);
        assert_eq!(places.find("name"), place(1, 7));
        assert_eq!(places.find("steps[0].call"), place(4, 11));
        assert_eq!(places.find("steps[1].when"), place(10, 23));
        assert_eq!(places.find("steps[0].forEach.maxItems"), place(9, 50));
        assert_eq!(places.find("steps[1].compensation.call"), place(10, 5));
        assert_eq!(places.find("deadline"), place(1, 1));
    }

    #[test]
    fn places_within_expressions_are_places_in_the_file() {
        let places = Places::of(SOURCE);
        let inner = |line, column| Place { line, column };
        assert_eq!(places.within("steps[0].request", inner(2, 3)), place(7, 9));
        assert_eq!(
            places.within("steps[0].forEach.items", inner(1, 9)),
            place(9, 32)
        );
        assert_eq!(places.within("steps[0].call", inner(1, 3)), place(4, 13));
    }

    #[test]
    fn json_has_places_too() {
        let places = Places::of("{\"name\": \"a\",\n \"steps\": [{\"call\": \"x\"}]}");
        assert_eq!(places.find("steps[0].call"), place(2, 21));
    }
}
