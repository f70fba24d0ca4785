//! A form that contains another one's fields among its own.
//!
//! It is told as "all of" both. Where the inner form takes no other fields, nothing could be both: their fields are told together.

use std::collections::BTreeMap;

use utoipa::openapi::schema::{AdditionalProperties, AllOf, Schema};
use utoipa::openapi::{Object, Ref, RefOr};

use super::walk::each;

type Schemas = BTreeMap<String, RefOr<Schema>>;

/// Tells such forms as one object each, wherever they stand.
pub(super) fn complete(schemas: &mut Schemas) {
    let all = schemas.clone();
    let mut complete = |schema: &mut Schema| {
        let form = if let Schema::AllOf(parts) = &*schema { together(parts, &all) } else { None };
        if let Some(form) = form {
            *schema = Schema::Object(form);
        }
    };
    for schema in schemas.values_mut() {
        each(schema, &mut complete);
    }
}

/// The fields of all parts in one object; none where no part is closed, or one is no object.
fn together(all: &AllOf, schemas: &Schemas) -> Option<Object> {
    let parts: Vec<&Object> = all.items.iter().map(|part| object(part, schemas)).collect::<Option<_>>()?;
    let is_closed =
        |part: &&&Object| matches!(part.additional_properties.as_deref(), Some(AdditionalProperties::FreeForm(false)));
    let closed = parts.iter().find(is_closed)?;
    let mut form = (*closed).clone();
    form.properties.clear();
    form.required.clear();
    form.description.clone_from(&all.description);
    for part in parts {
        form.properties.extend(part.properties.clone());
        form.required.extend(part.required.iter().cloned());
    }
    Some(form)
}

fn object<'a>(part: &'a RefOr<Schema>, schemas: &'a Schemas) -> Option<&'a Object> {
    let schema = match part {
        RefOr::Ref(Ref { ref_location, .. }) => schemas.get(ref_location.rsplit('/').next()?)?,
        part @ RefOr::T(_) => part,
    };
    match schema {
        RefOr::T(Schema::Object(object)) => Some(object),
        _ => None,
    }
}
