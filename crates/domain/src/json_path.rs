//! A small part of JSONPath: one value, by names and positions.

use serde_json::Value;

/// Longest path, in steps.
const MAX_STEPS: usize = 128;

/// A compiled path such as `$.a.b[0]`.
///
/// `$` is the whole document; `.name`, `['any name']` and `["any name"]` take a member; `[0]` takes an item and `[-1]`
/// the last one. Wildcards, slices and filters are no part of it: a path leads to one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Member(String),
    Item(i64),
}

/// A text that is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is no JSON path: {problem}; write one like `$.answer`, `$.items[0].text` or `$['a name']`")]
pub struct JsonPathError {
    /// The text.
    pub path: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl std::str::FromStr for JsonPath {
    type Err = JsonPathError;

    fn from_str(path: &str) -> Result<Self, Self::Err> {
        let error = |problem| JsonPathError { path: path.to_owned(), problem };
        let mut rest = path.trim().strip_prefix('$').ok_or_else(|| error("it must begin with `$`"))?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if steps.len() == MAX_STEPS {
                return Err(error("it has more than 128 steps"));
            }
            let (step, tail) = next_step(rest).map_err(error)?;
            steps.push(step);
            rest = tail;
        }
        Ok(Self(steps))
    }
}

fn next_step(rest: &str) -> Result<(Step, &str), &'static str> {
    if let Some(name) = rest.strip_prefix('.') {
        let end = name.find(['.', '[']).unwrap_or(name.len());
        let (name, tail) = name.split_at(end);
        return match name {
            "" => Err("a name is missing behind `.`"),
            "*" => Err("wildcards are not supported"),
            _ => Ok((Step::Member(name.to_owned()), tail)),
        };
    }
    let inner = rest.strip_prefix('[').ok_or("a `.` or `[` is missing")?;
    for quote in ['\'', '"'] {
        if let Some(quoted) = inner.strip_prefix(quote) {
            let (name, tail) = quoted.split_once(quote).ok_or("a quote is not closed")?;
            let tail = tail.strip_prefix(']').ok_or("a `]` is missing")?;
            return Ok((Step::Member(name.to_owned()), tail));
        }
    }
    let (index, tail) = inner.split_once(']').ok_or("a `]` is missing")?;
    let index = index.trim().parse().map_err(|_| "only a whole number or a quoted name can stand in `[…]`")?;
    Ok((Step::Item(index), tail))
}

impl JsonPath {
    /// The value the path leads to, or nothing.
    pub fn select<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(document, |value, step| match step {
            Step::Member(name) => value.as_object()?.get(name),
            Step::Item(index) => {
                let items = value.as_array()?;
                let index = usize::try_from(*index)
                    .ok()
                    .or_else(|| items.len().checked_sub(usize::try_from(index.unsigned_abs()).ok()?))?;
                items.get(index)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(path: &str, expected: &str) {
        let document = json!({"a": {"b": [1, {"c d": "x", "e.f": "y", "": 0}]}, "": 5, "é": "ü", "0": "zero"});
        let found = match path.parse::<JsonPath>() {
            Ok(path) => path.select(&document).map_or("nothing".to_owned(), Value::to_string),
            Err(error) => error.problem.to_owned(),
        };
        assert_eq!(found, expected, "{path}");
    }

    #[test]
    fn paths_lead_to_one_value() {
        check("$.a.b[0]", "1");
        check(" $.a.b[-1]['c d'] ", "\"x\"");
        check("$['a'][\"b\"][1]['e.f']", "\"y\"");
        check("$['']", "5");
        check("$.é", "\"ü\"");
        check("$.0", "\"zero\"");
        check("$.a.b[-2]", "1");
        for nothing in ["$.a.b[2]", "$.a.b[-3]", "$.x", "$.a[0]", "$[0]", "$.a.b.c", "$.a.b[-9223372036854775808]"] {
            check(nothing, "nothing");
        }
        assert_eq!("$".parse::<JsonPath>().unwrap().select(&json!(1)), Some(&json!(1)));
    }

    #[test]
    fn other_texts_are_errors() {
        check("a.b", "it must begin with `$`");
        check("", "it must begin with `$`");
        check("$a", "a `.` or `[` is missing");
        check("$..a", "a name is missing behind `.`");
        check("$.a.", "a name is missing behind `.`");
        check("$.*", "wildcards are not supported");
        check("$[1", "a `]` is missing");
        check("$['a'", "a `]` is missing");
        check("$['a", "a quote is not closed");
        check("$[*]", "only a whole number or a quoted name can stand in `[…]`");
        check("$[1:2]", "only a whole number or a quoted name can stand in `[…]`");
        check(&format!("${}", "[0]".repeat(200)), "it has more than 128 steps");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_path_or_an_error(text in r"\$?([.\[\]'\x22*0-9a-]|\PC){0,20}") {
            if let Ok(path) = text.parse::<JsonPath>() {
                let _ = path.select(&json!([{"a": [1]}]));
            }
        }
    }
}
