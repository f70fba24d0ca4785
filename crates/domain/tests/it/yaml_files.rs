//! What people get wrong in YAML itself.

use llmops_domain::yaml::{Document, Problem};

fn shown(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The value as JSON, or the problems.
fn read(text: &str) -> String {
    let env = |name: &str| (name == "KEY").then(|| "hunter2".to_owned());
    match Document::parse_with_env(text, "a.yaml", &env) {
        Ok(document) if document.problems.is_empty() => document.value.to_string(),
        Ok(document) => shown(&document.problems),
        Err(problems) => shown(&problems),
    }
}

#[test]
fn values() {
    insta::assert_snapshot!(read("a: [1, 2.5, yes, ~, 'x', \"1\"]\nb: {c: |\n  two\n  lines\n}"), @r#"{"a":[1,2.5,"yes",null,"x","1"],"b":{"c":"| two lines"}}"#);
    insta::assert_snapshot!(read("\u{feff}a: 1\r\nb:\r\n  - x\r\n  - y\r\n"), @r#"{"a":1,"b":["x","y"]}"#);
    insta::assert_snapshot!(read("a: &x {k: [1]}\nb: *x\nc: [*x, *x]"), @r#"{"a":{"k":[1]},"b":{"k":[1]},"c":[{"k":[1]},{"k":[1]}]}"#);
    insta::assert_snapshot!(read("a: !!str 12\nb: ! 12\nc: !!int 12"), @r#"{"a":"12","b":"12","c":12}"#);
    insta::assert_snapshot!(read("---\na: 1\n...\n"), @r#"{"a":1}"#);
    insta::assert_snapshot!(read("a: ${KEY}\nb: '${KEY}!'\nc: ${N:-7}\nd: \"${N:-7}\"\ne: $${KEY}\nf: ${NO}"), @r#"{"a":"hunter2","b":"hunter2!","c":7,"d":"7","e":"${KEY}","f":"${NO}"}"#);
    insta::assert_snapshot!(read("日本: 語\nü: é"), @r#"{"日本":"語","ü":"é"}"#);
}

#[test]
fn empty_files() {
    insta::assert_snapshot!(read(""), @"a.yaml:1:1: the file is empty");
    insta::assert_snapshot!(read("# nothing\n"), @"a.yaml:1:1: the file is empty");
    insta::assert_snapshot!(read("\u{feff}"), @"a.yaml:1:1: the file is empty");
    insta::assert_snapshot!(read("---\n"), @"a.yaml:1:1: the file is empty");
}

#[test]
fn keys() {
    insta::assert_snapshot!(read("a: 1\nb: 2\na: 3\nm:\n  x: 1\n  'x': 2"), @"
    a.yaml:3:1: a: the key is given twice, first on line 1
    a.yaml:6:3: m.x: the key is given twice, first on line 5
    ");
    insta::assert_snapshot!(read("1: a\ntrue: b\n[x]: c\n? {y: z}\n: d"), @r#"
    a.yaml:1:1: the key `1` is no text; put it in quotes: "1"
    a.yaml:2:1: the key `true` is no text; put it in quotes: "true"
    a.yaml:3:1: a map or a list cannot be a key
    a.yaml:4:3: a map or a list cannot be a key
    "#);
    insta::assert_snapshot!(read("base: &b {x: 1}\nm:\n  <<: *b\n  y: 2"), @"a.yaml:3:3: m: merge keys (`<<`) are no part of YAML 1.2; repeat the keys, or put an alias in the place of the whole value");
}

#[test]
fn numbers_and_tags() {
    insta::assert_snapshot!(read("a: .nan\nb: [1, -.inf]\nc: 1e999\nd: 99999999999999999999"), @"
    a.yaml:1:4: a: infinity and NaN are no numbers here
    a.yaml:2:8: b[1]: infinity and NaN are no numbers here
    a.yaml:3:4: c: the number is too large
    a.yaml:4:4: d: the number is too large; put it in quotes if it is text
    ");
    insta::assert_snapshot!(read("a: !secret x\nb: !ruby/object {}"), @"
    a.yaml:1:4: unknown YAML tag `!secret`
    a.yaml:2:4: unknown YAML tag `!ruby/object`
    ");
}

#[test]
fn syntax() {
    insta::assert_snapshot!(read("a:\n\t- x"), @"a.yaml:2:2: no valid YAML: tabs disallowed within this context (block indentation); indent with spaces: YAML takes no tabs");
    insta::assert_snapshot!(read("a:\n  b: 1\n\tc: 2"), @"a.yaml:2:6: no valid YAML: while scanning a plain scalar, found a tab; indent with spaces: YAML takes no tabs");
    insta::assert_snapshot!(read("a: b: c"), @"a.yaml:1:5: no valid YAML: mapping values are not allowed in this context; put text that holds `: ` in quotes");
    insta::assert_snapshot!(read("a: 'x\nb: 2"), @"a.yaml:1:4: no valid YAML: invalid indentation in quoted scalar");
    insta::assert_snapshot!(read("a: [1, 2\nb: 2"), @"a.yaml:2:2: no valid YAML: illegal placement of ':' indicator");
    insta::assert_snapshot!(read("a: 1\n---\nb: 2"), @"a.yaml:2:1: more than one document in the file; keep one, without `---` between");
    insta::assert_snapshot!(read("a: *nowhere"), @"a.yaml:1:4: no valid YAML: while parsing node, found unknown anchor");
    insta::assert_snapshot!(read("a: &a [*a]"), @"a.yaml:1:8: the alias refers to the value it stands in");
    insta::assert_snapshot!(read("a: ${KEY\nb: ${9}"), @"
    a.yaml:1:4: a: `${` without a closing `}`: write ${NAME}, or $${ for a plain `${`
    a.yaml:2:4: b: `${9}` names no variable: write ${NAME} or ${NAME:-default}
    ");
}

#[test]
fn bombs() {
    insta::assert_snapshot!(read(&"[".repeat(100_000)), @"a.yaml:1:256: no valid YAML: recursion limit exceeded");
    insta::assert_snapshot!(read(&format!("a: {}1{}", "{a: ".repeat(200), "}".repeat(200))), @"a.yaml:1:256: nested deeper than 64 levels");
    let mut laughs = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (this, last) in ('b'..='i').zip('a'..) {
        let aliases = vec![format!("*{last}"); 10].join(", ");
        laughs.extend([format!("{this}: &{this} [{aliases}]\n")]);
    }
    insta::assert_snapshot!(read(&laughs), @"a.yaml:6:8: the file holds too many values; aliases count with all they repeat");
    let long = format!("a: &a {}\nb: [{}]", "x".repeat(1 << 20), vec!["*a"; 1000].join(", "));
    insta::assert_snapshot!(read(&long), @"a.yaml:2:69: the file holds too many values; aliases count with all they repeat");
    insta::assert_snapshot!(read(&"a".repeat(5 << 20)), @"a.yaml: the file is larger than 4 MiB");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

    /// Whatever the text, reading ends, and a JSON value that is written as JSON reads back the same.
    #[test]
    fn reads_anything(text in "[ -~\\n\\t{}\\[\\]:,&*!|>'\"#-]{0,120}") {
        read(&text);
    }
}
