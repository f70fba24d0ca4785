//! Functions of at most 70 lines, files of at most 500 without their tests. What is longer already stands in
//! `tidy_baseline.json` and may only shrink.

use std::collections::BTreeMap;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItemFn, Item, ItemFn, ItemImpl, TraitItemFn};

use super::{has_extension, project_files, read, report, root};

const MAX_FUNCTION_LINES: usize = 70;
const MAX_FILE_LINES: usize = 500;
const BASELINE: &str = "crates/testing/tests/it/tidy_baseline.json";

/// Lines by what has them: `FILE`, or `FILE NAME` for a function.
type Sizes = BTreeMap<String, usize>;

#[test]
fn functions_and_files_are_short() {
    let mut excess = Sizes::new();
    for path in project_files().iter().filter(|path| is_product_code(path)) {
        excess.extend(too_long(path, &read(path)));
    }
    let baseline: Sizes = serde_json::from_str(&read(BASELINE)).unwrap();
    if std::env::var_os("TIDY_UPDATE").is_some() {
        let text = serde_json::to_string_pretty(&lowered(&baseline, &excess)).unwrap() + "\n";
        std::fs::write(root().join(BASELINE), text).unwrap();
    } else {
        report(&ratchet(&baseline, &excess));
    }
}

fn is_product_code(path: &str) -> bool {
    path.starts_with("crates/") && has_extension(path, "rs") && path.contains("/src/") && !path.ends_with("/tests.rs")
}

/// What is over its limit in one file.
fn too_long(path: &str, source: &str) -> Sizes {
    let file = syn::parse_file(source).unwrap_or_else(|e| panic!("{path}:{}: {e}", e.span().start().line));
    let mut measure = Measure::default();
    if !file.attrs.iter().any(is_test_only) {
        measure.file_lines = source.lines().count();
        measure.visit_file(&file);
    }
    let mut sizes: Sizes = measure
        .functions
        .into_iter()
        .filter(|(_, lines)| *lines > MAX_FUNCTION_LINES)
        .map(|(name, lines)| (format!("{path} {name}"), lines))
        .collect();
    if measure.file_lines > MAX_FILE_LINES {
        sizes.insert(path.to_owned(), measure.file_lines);
    }
    sizes
}

/// What is longer than its limit and than the baseline allows, or shorter than the baseline says.
fn ratchet(baseline: &Sizes, excess: &Sizes) -> Vec<String> {
    let mut problems = Vec::new();
    for (what, lines) in excess {
        let limit = if what.contains(' ') { MAX_FUNCTION_LINES } else { MAX_FILE_LINES };
        match baseline.get(what) {
            None => problems.push(format!("{what}: {lines} lines, at most {limit} are allowed")),
            Some(before) if lines > before => problems.push(format!("{what}: grew from {before} lines to {lines}")),
            Some(_) => {}
        }
    }
    if *baseline != lowered(baseline, excess) && problems.is_empty() {
        problems.push(format!("something got shorter: run the test with TIDY_UPDATE=1 to lower {BASELINE}"));
    }
    problems
}

/// The baseline without what is short now, and lower where something shrank.
fn lowered(baseline: &Sizes, excess: &Sizes) -> Sizes {
    let still = |(what, before): (&String, &usize)| Some((what.clone(), (*excess.get(what)?).min(*before)));
    baseline.iter().filter_map(still).collect()
}

/// Whether an item exists in tests only: `#[cfg(test)]`, `#[cfg(all(test, …))]`.
fn is_test_only(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute.meta.require_list().is_ok_and(|list| {
            let condition = list.tokens.to_string();
            condition == "test" || (condition.starts_with("all") && condition.contains("test"))
        })
}

#[derive(Default)]
struct Measure {
    /// Name (with its type, for a method) and lines, from `fn` to the closing brace.
    functions: Vec<(String, usize)>,
    file_lines: usize,
    /// The type whose `impl` is being visited.
    owner: Option<String>,
}

impl Measure {
    fn function(&mut self, signature: &syn::Signature, whole: &impl Spanned) {
        let lines = whole.span().end().line + 1 - signature.span().start().line;
        let owner = self.owner.as_ref().map(|owner| format!("{owner}::")).unwrap_or_default();
        self.functions.push((format!("{owner}{}", signature.ident), lines));
    }
}

impl<'ast> Visit<'ast> for Measure {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Const(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if attributes.iter().any(is_test_only) {
            self.file_lines -= item.span().end().line + 1 - item.span().start().line;
        } else {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        let name = match item.self_ty.as_ref() {
            syn::Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
            _ => None,
        };
        let outer = std::mem::replace(&mut self.owner, name);
        visit::visit_item_impl(self, item);
        self.owner = outer;
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.function(&item.sig, item);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.function(&item.sig, item);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        self.function(&item.sig, item);
        visit::visit_trait_item_fn(self, item);
    }
}

#[test]
fn measures_functions_with_their_signature_and_files_without_their_tests() {
    let body = "    let _ = '}';\n".repeat(68);
    let check = |source: String, expected: &[(&str, usize)]| {
        let expected: Sizes = expected.iter().map(|(what, lines)| ((*what).to_owned(), *lines)).collect();
        assert_eq!(too_long("a.rs", &source), expected);
    };
    check(format!("fn fits() {{\n{body}}}\n"), &[]);
    check(format!("/// Doc.\n#[inline]\nfn long(\n) {{\n{body}}}\n"), &[("a.rs long", 71)]);
    check(format!("struct S;\nimpl S {{\nfn long(\n) {{\n{body}}}\n}}\n"), &[("a.rs S::long", 71)]);
    check(format!("trait T {{\nfn long(\n) {{\n{body}}}\n}}\n"), &[("a.rs long", 71)]);
    check(format!("#[cfg(test)]\nmod tests {{\nfn long(\n) {{\n{body}}}\n}}\n"), &[]);
    let (long, tests) = ("// line\n".repeat(501), "// line\n".repeat(400));
    check(long.clone(), &[("a.rs", 501)]);
    check(format!("{}#[cfg(test)]\nmod tests {{\n{tests}}}\n", "// line\n".repeat(500)), &[]);
    check(format!("#![cfg(test)]\n{long}"), &[]);
}

#[test]
fn the_baseline_may_only_shrink() {
    let sizes = |lines: usize| Sizes::from([("a.rs f".to_owned(), lines)]);
    let check = |baseline: &Sizes, excess: &Sizes, expected: &str| {
        assert_eq!(ratchet(baseline, excess).join("\n"), expected);
    };
    check(&Sizes::new(), &Sizes::new(), "");
    check(&Sizes::new(), &sizes(80), "a.rs f: 80 lines, at most 70 are allowed");
    check(&sizes(80), &sizes(80), "");
    check(&sizes(80), &sizes(81), "a.rs f: grew from 80 lines to 81");
    let shrank = format!("something got shorter: run the test with TIDY_UPDATE=1 to lower {BASELINE}");
    check(&sizes(80), &sizes(75), &shrank);
    check(&sizes(80), &Sizes::new(), &shrank);
    assert_eq!(lowered(&sizes(80), &sizes(90)), sizes(80));
    assert_eq!(lowered(&sizes(80), &sizes(75)), sizes(75));
}
