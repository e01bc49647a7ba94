//! Whether a type may stand where a message or one of its fields is needed.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use crate::expression::types::Type;

pub(super) fn unknown_field(message: &MessageDescriptor, field: &str) -> String {
    format!("{} has no field `{field}`", message.full_name())
}

pub(super) fn fits(found: &Type, field: &FieldDescriptor) -> Result<(), String> {
    let wanted = Type::of_field(field);
    match found {
        Type::Dyn | Type::Nothing | Type::Null => Ok(()),
        Type::List(element) if field.is_list() => fits_kind(element, &field.kind(), field.name()),
        Type::Map(_) | Type::Object(_) if field.is_map() => Ok(()),
        other => Err(format!(
            "field `{}` is a {wanted}, not a {other}",
            field.name()
        )),
    }
}

pub(super) fn fits_message(found: &Type, wanted: &MessageDescriptor) -> Result<(), String> {
    match (found, Type::of_message(wanted)) {
        (Type::Dyn | Type::Nothing | Type::Null | Type::Map(_), _) | (_, Type::Dyn) => Ok(()),
        (Type::Message(found), _) if found == wanted => Ok(()),
        (Type::Object(_), Type::Map(_)) | (Type::List(_), Type::List(_)) => Ok(()),
        (Type::Object(members), Type::Message(_)) => {
            members.iter().try_for_each(|(name, found)| {
                let field = wanted
                    .get_field_by_name(name)
                    .ok_or_else(|| unknown_field(wanted, name))?;
                if field.is_list() || field.is_map() {
                    fits(found, &field)
                } else {
                    fits_kind(found, &field.kind(), field.name())
                }
            })
        }
        (found, _) => Err(format!("is a {found}; {} is needed", wanted.full_name())),
    }
}

pub(super) fn fits_kind(found: &Type, kind: &Kind, field: &str) -> Result<(), String> {
    let wanted = Type::of_kind(kind);
    let fits = match (found, kind) {
        (Type::Dyn | Type::Nothing | Type::Null, _) => true,
        (_, Kind::Message(message)) => {
            return fits_message(found, message).map_err(|text| format!("field `{field}`: {text}"));
        }
        // By the name of a value; which names are right shows when it runs.
        (Type::String, Kind::Enum(_)) => true,
        (found, _) => found == &wanted || (found.is_number() && wanted.is_number()),
    };
    if fits {
        Ok(())
    } else {
        Err(format!("field `{field}` is a {wanted}, not a {found}"))
    }
}
