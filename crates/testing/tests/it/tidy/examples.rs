//! Every public item of the libraries that others use on their own has an example in its documentation.

use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ImplItem, ItemImpl, Lit, Meta, Visibility};

use super::{has_extension, project_files, read, report};

/// The crates whose documentation is a reference.
const LIBRARIES: [&str; 2] = ["crates/metrics/src/", "crates/stats/src/"];

#[test]
fn every_public_item_has_an_example() {
    let mut problems = Vec::new();
    for path in project_files() {
        if LIBRARIES.iter().any(|library| path.starts_with(library)) && has_extension(&path, "rs") {
            problems.extend(without_example(&path, &read(&path)));
        }
    }
    report(&problems);
}

/// Public items of a file without a code block in their documentation.
fn without_example(path: &str, source: &str) -> Vec<String> {
    let file = syn::parse_file(source).unwrap_or_else(|e| panic!("{path}:{}: {e}", e.span().start().line));
    let mut items = Items::default();
    items.visit_file(&file);
    items
        .bare
        .iter()
        .map(|name| format!("{path}: `{name}` is public and has no example in its documentation"))
        .collect()
}

#[derive(Default)]
struct Items {
    bare: Vec<String>,
}

impl Items {
    fn look(&mut self, visibility: &Visibility, attributes: &[Attribute], name: &syn::Ident) {
        if matches!(visibility, Visibility::Public(_)) && !attributes.iter().any(has_code) {
            self.bare.push(name.to_string());
        }
    }
}

fn has_code(attribute: &Attribute) -> bool {
    let Meta::NameValue(pair) = &attribute.meta else { return false };
    let Expr::Lit(value) = &pair.value else { return false };
    let Lit::Str(text) = &value.lit else { return false };
    attribute.path().is_ident("doc") && text.value().trim_start().starts_with("```")
}

/// An error shows in the examples of what fails with it.
fn is_error(attributes: &[Attribute]) -> bool {
    let derives_error = |attribute: &Attribute| {
        let Meta::List(list) = &attribute.meta else { return false };
        let tokens = list.tokens.to_string();
        attribute.path().is_ident("derive") && tokens.split(',').any(|name| name.trim().ends_with("Error"))
    };
    attributes.iter().any(derives_error)
}

impl<'ast> Visit<'ast> for Items {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        // A module of its own is no item to be called; what is private or for tests is nobody's business.
        if module.content.is_some() && matches!(module.vis, Visibility::Public(_)) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.look(&function.vis, &function.attrs, &function.sig.ident);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        if !is_error(&item.attrs) {
            self.look(&item.vis, &item.attrs, &item.ident);
        }
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        if !is_error(&item.attrs) {
            self.look(&item.vis, &item.attrs, &item.ident);
        }
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.look(&item.vis, &item.attrs, &item.ident);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.look(&item.vis, &item.attrs, &item.ident);
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        if item.trait_.is_some() {
            return;
        }
        for inner in &item.items {
            match inner {
                ImplItem::Fn(method) => self.look(&method.vis, &method.attrs, &method.sig.ident),
                ImplItem::Const(constant) => self.look(&constant.vis, &constant.attrs, &constant.ident),
                _ => {}
            }
        }
    }
}

#[test]
fn examples_are_found() {
    let check = |source: &str, expected: &[&str]| {
        let found = without_example("x.rs", source);
        let names: Vec<&str> = found.iter().filter_map(|problem| problem.split('`').nth(1)).collect();
        assert_eq!(names, expected, "{source}");
    };
    check("/// Text.\n///\n/// ```\n/// code();\n/// ```\npub fn shown() {}", &[]);
    check("/// Text.\npub fn bare() {}\nfn private() {}\npub(crate) fn inside() {}", &["bare"]);
    check("pub struct S;\nimpl S { pub fn f(&self) {}\n pub const C: u8 = 1; fn g() {} }", &["S", "f", "C"]);
    check("#[derive(Debug, thiserror::Error)]\npub enum E {}\n#[derive(Error)]\npub struct F;", &[]);
    check("impl Clone for S { fn clone(&self) -> Self { S } }\n#[cfg(test)]\nmod tests { pub fn helper() {} }", &[]);
}
