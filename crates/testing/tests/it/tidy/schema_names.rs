//! Types of the API's document have names of their own: of two with one name, the document would show one, and readers of the
//! other would be told something wrong.

use std::collections::BTreeMap;

use syn::{Attribute, Ident, Item};

use super::{has_extension, project_files, read, report};

#[test]
fn schemas_have_names_of_their_own() {
    let mut places = BTreeMap::<String, Vec<String>>::new();
    for path in project_files().into_iter().filter(|path| path.contains("/src/") && has_extension(path, "rs")) {
        for name in schemas(&read(&path)) {
            places.entry(name).or_default().push(path.clone());
        }
    }
    assert!(places.len() > 100, "the types are looked for in the wrong place");
    let problems = places.into_iter().filter(|(_, paths)| paths.len() > 1).map(|(name, paths)| {
        format!("{}: both make the schema `{name}`: #[schema(as = …)] names one of them", paths.join(", "))
    });
    report(&problems.collect::<Vec<_>>());
}

/// The names under which a file's types stand in the document.
fn schemas(source: &str) -> Vec<String> {
    let Ok(file) = syn::parse_file(source) else { return Vec::new() };
    let named = |item: &Item| match item {
        Item::Struct(item) => name_of(&item.attrs, &item.ident),
        Item::Enum(item) => name_of(&item.attrs, &item.ident),
        _ => None,
    };
    file.items.iter().filter_map(named).collect()
}

fn name_of(attributes: &[Attribute], ident: &Ident) -> Option<String> {
    let text = |name: &str| {
        let of_name = attributes.iter().filter(|attribute| attribute.path().is_ident(name));
        of_name.filter_map(|attribute| Some(attribute.meta.require_list().ok()?.tokens.to_string())).collect::<String>()
    };
    text("derive").contains("ToSchema").then(|| {
        let schema = text("schema");
        let given = schema.split("as = ").nth(1).and_then(|rest| rest.split([',', ')', ' ']).next());
        given.map_or_else(|| ident.to_string(), str::to_owned)
    })
}
