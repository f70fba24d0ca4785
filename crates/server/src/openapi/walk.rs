//! All schemas within a schema.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayItems, Schema};

/// Visits a schema, and then those within it, as the visit left it. What is only referred to is not visited.
pub(super) fn each(schema: &mut RefOr<Schema>, visit: &mut impl FnMut(&mut Schema)) {
    let RefOr::T(schema) = schema else { return };
    visit(schema);
    match schema {
        Schema::Object(object) => object.properties.values_mut().for_each(|property| each(property, visit)),
        Schema::Array(array) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                each(items, visit);
            }
        }
        Schema::OneOf(forms) => forms.items.iter_mut().for_each(|form| each(form, visit)),
        Schema::AllOf(parts) => parts.items.iter_mut().for_each(|part| each(part, visit)),
        Schema::AnyOf(forms) => forms.items.iter_mut().for_each(|form| each(form, visit)),
        _ => {}
    }
}
