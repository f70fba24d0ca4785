use serde_json::json;

use super::*;

fn vars(value: Value) -> BTreeMap<String, Value> {
    serde_json::from_value(value).unwrap()
}

/// Renders, or answers the error's text.
fn render(text: &str, variables: Value) -> String {
    Template::compile(text).and_then(|t| t.render(&vars(variables))).unwrap_or_else(|e| format!("error: {e}"))
}

#[track_caller]
fn check(text: &str, variables: Value, expected: &str) {
    assert_eq!(render(text, variables), expected, "{text}");
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    let error = Template::compile(text).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains(expected), "{text}: {error}");
}

#[test]
fn values_are_inserted_as_they_are() {
    check("Hello, {{name}}!", json!({"name": "Zoë <b>&'\""}), "Hello, Zoë <b>&'\"!");
    check("{{ x }}", json!({"x": "{{ y }} {% if %} {# #} {{"}), "{{ y }} {% if %} {# #} {{");
    check("{{ x }}", json!({"x": {"b": [1, "é"], "a": null}}), r#"{"b":[1,"é"],"a":null}"#);
    check("{{ x }} {{ y }} {{ z }} {{ n }}", json!({"x": 3, "y": 0.5, "z": true, "n": null}), "3 0.5 true null");
    check("{{ x }}", json!({"x": 18_446_744_073_709_551_615_u64}), "18446744073709551615");
    check("{{ x.a[0].b }}", json!({"x": {"a": [{"b": "deep"}]}}), "deep");
    check("", json!({}), "");
}

#[test]
fn text_outside_tags_is_untouched() {
    for text in ["plain", "line\n", "\n\n a \n\n", "{ not a tag }", "} %} #}", "100 % { {"] {
        check(text, json!({}), text);
    }
    check("a{# comment #}b", json!({}), "ab");
    check("{% raw %}{{ kept }}{% endraw %}", json!({}), "{{ kept }}");
    check("{{ x }}\n", json!({"x": 1}), "1\n");
}

#[test]
fn control_flow_and_filters_work() {
    check("{% for d in docs %}[{{ loop.index }}] {{ d }}\n{% endfor %}", json!({"docs": ["a", "b"]}), "[1] a\n[2] b\n");
    check("{% if tone == 'formal' %}Dear{% elif tone %}Hi{% else %}Yo{% endif %}", json!({"tone": "x"}), "Hi");
    check("{% set n = items | length %}{{ n }}", json!({"items": [1, 2]}), "2");
    check("{{ x | upper | trim }}", json!({"x": " ß "}), "SS");
    check("{{ x | tojson }}", json!({"x": "it's <b> & \"q\""}), r#""it's <b> & \"q\"""#);
    check("{{ x | tojson(indent=2) }}", json!({"x": [1]}), "[\n  1\n]");
    check("{{ x | join(', ') }}", json!({"x": ["a", 1, {"k": 2}]}), r#"a, 1, {"k":2}"#);
    check("{{ x | indent(2) }}", json!({"x": "a\nb\n\nc"}), "a\n  b\n\n  c");
    check("{{ x | replace('a', 'bb') }}", json!({"x": "aca"}), "bbcbb");
    check("{{ x | string | length }}", json!({"x": {"k": "v"}}), "9");
    check("{{ x | map(attribute='n') | join('+') }}", json!({"x": [{"n": 1}, {"n": 2}]}), "1+2");
    check("{% for i in range(3) %}{{ i }}{% endfor %}", json!({}), "012");
    check("{{ 'a' if x }}", json!({"x": false}), "");
    check("{{ 'a' + x }}", json!({"x": "b"}), "ab");
    check("{% set style = 'formal' if f else 'casual' %}{{ style }}", json!({"f": true}), "formal");
}

#[test]
fn missing_variables_are_named() {
    check(
        "Dear\n{{ nmae }}",
        json!({"name": 1}),
        "error: line 2, near `nmae`: `nmae` has no value: give one, or write `nmae | default(\"…\")`",
    );
    assert!(render("{{ user.email }}", json!({"user": {}})).contains("`user.email` has no value"));
    assert!(render("{{ user.mail.x }}", json!({"user": {}})).contains("`user.mail` has no value"));
    assert!(render("{% for d in docs %}x{% endfor %}", json!({})).contains("`docs` has no value"));
    assert!(render("{{ x | upper }}", json!({})).contains("`x` has no value"));
    assert!(render("{{ 1 + x }}", json!({})).contains('x'));
    check("{{ x | default('none') }}", json!({}), "none");
    check("{% if x is defined %}a{% else %}b{% endif %}{% if x %}c{% endif %}", json!({}), "b");
}

#[test]
fn placeholders_are_the_undeclared_variables() {
    let names = |text| Template::compile(text).unwrap().placeholders().map(str::to_owned).collect::<Vec<_>>().join(" ");
    assert_eq!(names("{{ b }} {{ a.x }} {% if c %}{{ b | default(d) }}{% endif %}"), "a b c d");
    assert_eq!(names("{% for x in xs %}{{ x }}{{ loop.index }}{% endfor %}{% set y = 1 %}{{ y }}"), "xs");
    assert_eq!(names("{% for i in range(n) %}{% endfor %} {% raw %}{{ z }}{% endraw %}{# {{ q }} #}"), "n");
    assert_eq!(names("plain"), "");
    assert!(Template::compile("{{ input }}").unwrap().uses("input"));
}

#[test]
fn errors_name_line_and_text() {
    insta::assert_snapshot!(render("a\n\n{{ x", json!({})), @"error: line 3, near `x`: unexpected end of input, expected end of variable block");
    insta::assert_snapshot!(render("{% if x %}", json!({})), @"error: line 1, near `%}`: unexpected end of input, expected end of block");
    insta::assert_snapshot!(render("{{ x | shout }}", json!({"x": "a"})), @"error: line 1, near `shout`: filter shout is unknown; known filters: abs, attr, bool, capitalize, count, d, default, dictsort, first, float, groupby, indent, int, items, join, last, length, lines, list, lower, map, max, min, reject, rejectattr, replace, reverse, round, safe, select, selectattr, sort, split, string, title, tojson, trim, unique, upper");
    insta::assert_snapshot!(render("a\n{% include 'etc' %}", json!({})), @"error: line 2, near `{% include 'etc' %}`: the tag `include` cannot be used in a prompt: only if, for, set, raw and comments are allowed");
    insta::assert_snapshot!(render("{{ x() }}", json!({"x": 1})), @"error: line 1, near `x()`: value of type number is not callable");
    insta::assert_snapshot!(render("{{ 1 / x }}", json!({"x": 0})), @"error: line 1, near `1 / x`: unable to calculate 1 / 0");
}

#[test]
fn names_of_filters_and_tests_are_looked_up_at_once() {
    refused("a\n{% if y %}{{ x | truncate(5) }}{% endif %}", "line 2, near `truncate`: filter truncate is unknown");
    refused("{% if a is weird %}b{% endif %}", "line 1, near `weird`: test weird is unknown; known tests: boolean,");
    refused("{% if a is not weird %}b{% endif %}", "test weird is unknown");
    refused("{{ x | map('shout') | join }}", "filter shout is unknown");
    refused("{{ x | select('weird') | list }}", "test weird is unknown");
    for known in [
        "{{ x | map(attribute='n') | list }} {{ x | map('upper') | join }}",
        "{{ x | selectattr('n', 'odd') | list }} {{ x | select('odd') | list }} {{ x | select | list }}",
        "{% if a is defined and b is not none and c is in [1] and d is divisibleby 3 %}e{% endif %}",
        "{{ user.is }} {{ user.truncate }} {{ 'is weird' }} {{ x['is'] }}",
        "{% raw %}{{ x | truncate }}{% endraw %} a | truncate",
    ] {
        assert!(Template::compile(known).is_ok(), "{known}");
    }
}

#[test]
fn what_multiplies_data_is_refused() {
    refused("{{ a ~ b }}", "`~` cannot be used");
    refused("{{ 'x' * 1000000000 }}", "multiplication cannot be used");
    refused("{{ 10 ** 10 }}", "multiplication cannot be used");
    for tag in ["include 'a'", "import 'a' as b", "extends 'a'", "macro m()", "with a = b", "filter upper", "block x"] {
        refused(&format!("{{% {tag} %}}"), "cannot be used in a prompt");
    }
    refused("{% set x %}{{ a }}{{ a }}{% endset %}", "`endset` cannot be used");
    refused("{% for x in xs recursive %}{{ loop(x) }}{% endfor %}", "a recursive loop cannot");
    refused(&"{% set x = [x, x] %}".repeat(30), "multiply the variables too often");
    refused(&"{% set x = x + x %}".repeat(30), "multiply the variables too often");
    refused(&"{% for x in [x, x] %}".repeat(30), "multiply the variables too often");
    refused(&"{% set x, y = y, x %}".repeat(30), "multiply the variables too often");
    assert!(render("{% set x = namespace() %}", json!({})).contains("namespace"));
    for filter in ["format", "batch(9)", "slice(9)", "pprint", "chain(x)", "zip(x)", "urlencode"] {
        assert!(render(&format!("{{{{ x | {filter} }}}}"), json!({"x": "%9d"})).contains("known filters"), "{filter}");
    }
}

#[test]
fn work_and_output_are_bounded() {
    let big = "x".repeat(1 << 20);
    let huge_loop = "{% for i in range(100000) %}{{ x }}{% endfor %}";
    assert!(render(huge_loop, json!({"x": big})).contains("would be more than 4194304 bytes longer than the values"));
    // What was given may be as long as it is.
    let longer = big.repeat(5);
    assert_eq!(render("{{ x }}, {{ y[0] }}", json!({"x": longer, "y": [longer]})).len(), 2 * longer.len() + 2);
    assert!(render(&huge_loop.replace("{{ x }}", &big[..100_000]), json!({})).contains("would be more than"));
    let nested = "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}";
    assert!(render(nested, json!({})).contains("takes more than 200000 steps"));
    let quotes = format!("{{{{ x {} | length }}}}", "| tojson ".repeat(40));
    assert!(render(&quotes, json!({"x": "\"".repeat(100)})).contains("filters would make more than"));
    let replaces = format!("{{{{ x {} | length }}}}", "| replace('a', 'aaaaaaaa') ".repeat(20));
    assert!(render(&replaces, json!({"x": "a"})).contains("filters would make more than"));
    let joined = "{{ xs | join(xs | join(xs | join(xs | join)))  | length }}";
    assert!(render(joined, json!({"xs": vec!["ab"; 400]})).contains("filters would make more than"));
    assert!(render("{{ range(1000000) | list }}", json!({})).contains("too many elements"));
    let reads = "{% for i in range(9999) %}{% if x | upper == '' %}{% endif %}{% endfor %}";
    assert!(render(reads, json!({"x": big})).contains("filters would read more than"));
    refused(&format!("{{{{ x{} }}}}", "+x".repeat(17)), "more than 16 `+`");
    refused(&"x".repeat(MAX_TEMPLATE_BYTES + 1), "pass long texts as variables");
}

/// Depth that the stack of a small thread must survive.
#[test]
fn deep_templates_do_not_overflow_the_stack() {
    let many = 20_000;
    let deep = [
        format!("{{{{ {}1{} }}}}", "(".repeat(many), ")".repeat(many)),
        format!("{{{{ {}x }}}}", "not ".repeat(many)),
        format!("{{{{ {}x }}}}", "-".repeat(many)),
        format!("{{{{ {}x }}}}", "-x+".repeat(many)),
        format!("{{{{ x{} }}}}", "+x".repeat(many)),
        format!("{{{{ x{} }}}}", "+x".repeat(195)),
        format!("{{{{ x{} }}}}", "|abs".repeat(195)),
        format!("{{{{ x{} }}}}", ".a".repeat(195)),
        format!("{{{{ x{} }}}}", " if x else x".repeat(90)),
        format!("{{{{ {}{} }}}}", "[".repeat(140), "]".repeat(140)),
        "{% if x %}".repeat(many),
        "{% for x in x %}".repeat(many),
        format!("{}{}", "{% for x in x %}".repeat(140), "{% endfor %}".repeat(140)),
        format!("{{% if x %}}{}{{% endif %}}", "{% elif x %}".repeat(many)),
        format!("{{% if x %}}{}{{% endif %}}", "{% elif x %}".repeat(490)),
        "{{".repeat(many),
        "{%".repeat(many),
        "{#".repeat(many),
    ];
    let render_all = move || {
        for text in deep {
            let _ = Template::compile(&text).and_then(|t| t.render(&vars(json!({"x": 1}))));
        }
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(render_all).unwrap().join().unwrap();
}

proptest::proptest! {
    #[test]
    fn a_value_is_never_rendered_again(value in r"(\{\{|\}\}|\{%|%\}|\{#|\PC|\n|x| ){0,40}") {
        let x = json!({"x": value, "y": "SECRET"});
        proptest::prop_assert_eq!(render("<{{ x }}>", x.clone()), format!("<{value}>"));
        proptest::prop_assert_eq!(render("{% for c in [x] %}{{ c }}{% endfor %}", x), value);
    }

    #[test]
    fn any_text_compiles_or_is_refused(text in r"(\{\{|\}\}|\{%|%\}|if |for |in |x|\.|\||[0-9]|'|\PC| ){0,30}") {
        if let Ok(template) = Template::compile(&text) {
            let _ = template.render(&vars(json!({"x": [1, "a"]})));
        }
    }
}
