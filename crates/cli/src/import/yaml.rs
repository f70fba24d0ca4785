//! Readable YAML of a JSON value.

use serde_json::Value;

/// Longest list or map of plain values that stays on one line.
const LINE: usize = 90;

/// The value as YAML that reads back as the same value.
pub(super) fn write(value: &Value) -> String {
    let mut out = String::new();
    block(&mut out, value, 0);
    out
}

fn block(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                pad(out, indent);
                out.push_str(&plain(key));
                out.push(':');
                after_key(out, value, indent);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                pad(out, indent);
                out.push('-');
                let mut inner = String::new();
                after_key(&mut inner, item, indent);
                // A map begins on the line of its dash.
                match inner.strip_prefix('\n') {
                    Some(rest) if item.is_object() => {
                        out.push(' ');
                        out.push_str(rest.trim_start_matches(' '));
                    }
                    _ => out.push_str(&inner),
                }
            }
        }
        other => {
            out.push_str(&flow(other));
            out.push('\n');
        }
    }
}

/// What follows `key:` or `-`.
fn after_key(out: &mut String, value: &Value, indent: usize) {
    if let Value::String(text) = value
        && is_block_text(text)
    {
        let keep = if text.ends_with('\n') { "" } else { "-" };
        out.push_str(&format!(" |{keep}\n"));
        for line in text.lines() {
            if !line.is_empty() {
                pad(out, indent + 2);
            }
            out.push_str(line);
            out.push('\n');
        }
        return;
    }
    let line = flow(value);
    let is_short = line.len() + indent <= LINE && !line.contains("\\n");
    if is_short || !matches!(value, Value::Object(_) | Value::Array(_)) || line.len() <= 2 {
        out.push(' ');
        out.push_str(&line);
        out.push('\n');
    } else {
        out.push('\n');
        block(out, value, indent + 2);
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// Whether a text can stand as a block: several lines, none of which YAML would read otherwise.
fn is_block_text(text: &str) -> bool {
    let lines = || text.lines();
    text.trim_end_matches('\n').contains('\n')
        && !text.ends_with("\n\n")
        && lines().next().is_some_and(|first| !first.starts_with([' ', '\t']) && !first.is_empty())
        && lines().all(|line| !line.starts_with('\t') && !line.ends_with('\r'))
        && text.chars().all(|c| c == '\n' || c == '\t' || !c.is_control())
}

/// A value on one line.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => plain(text),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let entries = map.iter().map(|(key, value)| format!("{}: {}", plain(key), flow(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// A text without quotes where nothing else could be read into it, else as JSON, which is YAML.
fn plain(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_-./@ ".contains(c);
    let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "~"];
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && !text.ends_with(' ')
        && text.chars().all(is_word)
        && !reserved.contains(&text.to_ascii_lowercase().as_str());
    if is_plain { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use llmops_domain::yaml::Document;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let check = |value: Value| {
            let text = write(&value);
            let read = Document::parse(&text, "x.yaml").unwrap_or_else(|e| panic!("{text}\n{e:?}"));
            assert_eq!(read.value, value, "{text}");
        };
        check(json!({"a": "text", "b": ["x", "1", "true", ""], "c": {"d": null, "e": 1.5}}));
        check(json!({"content": "line one\nline two\n\n  indented: {x}\n", "tail": "a\nb"}));
        check(
            json!({"odd": "  starts with space\nx", "tabs": "\ta\nb", "cr": "a\r\nb", "blank": "a\n\n", "colon": "a: b # c"}),
        );
        check(
            json!({"long": (0..40).collect::<Vec<_>>(), "nested": [{"role": "user", "content": "a\nb"}, {"role": "system", "content": "x"}]}),
        );
        check(json!({"empty": {}, "none": [], "quote": "\"q\" 'r' \\", "unicode": "größe 🙂", "-": "- x"}));
        check(
            json!({"deep": [[["a\nb"]], {"k": [{"x": "a long text that goes on and on until the line is full of words and more words"}]}]}),
        );
    }

    #[test]
    fn it_looks_like_a_person_wrote_it() {
        let value =
            json!({"name": "bot", "content": "Answer:\n{{ q }}", "parameters": {"temperature": 0}, "tags": ["a", "b"]});
        insta::assert_snapshot!(write(&value), @"
        name: bot
        content: |-
          Answer:
          {{ q }}
        parameters: {temperature: 0}
        tags: [a, b]
        ");
    }
}
