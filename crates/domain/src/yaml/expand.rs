//! `${NAME}` and `${NAME:-default}` in scalars; `$$` is a dollar sign.

/// A text after expansion.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Expanded {
    /// The text. As written where a variable is unset.
    pub(super) text: String,
    /// Variables whose values went into the text: it must not be shown to anybody.
    pub(super) variables: Vec<String>,
    /// Variables without value and default.
    pub(super) unset: Vec<String>,
}

/// Expands a text; none when there is nothing to expand.
pub(super) fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<Expanded>, String> {
    if !text.contains("${") && !text.contains("$$") {
        return Ok(None);
    }
    let mut result = Expanded::default();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        result.text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            result.text.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let end = after.find('}').ok_or("`${` without a closing `}`: write ${NAME}, or $${ for a plain `${`")?;
            substitute(&after[..end], env, &mut result)?;
            rest = &after[end + 1..];
        } else {
            // A lone dollar sign is text: "$.answer", "^a$".
            result.text.push('$');
        }
    }
    result.text.push_str(rest);
    if !result.unset.is_empty() {
        text.clone_into(&mut result.text);
    }
    Ok(Some(result))
}

fn substitute(inside: &str, env: &dyn Fn(&str) -> Option<String>, result: &mut Expanded) -> Result<(), String> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        let shown = super::problem::shorten(inside);
        return Err(format!("`${{{shown}}}` names no variable: write ${{NAME}} or ${{NAME:-default}}"));
    }
    match (env(name), default) {
        // As in a shell, `:-` also replaces an empty value.
        (Some(value), Some(default)) if value.is_empty() => result.text.push_str(default),
        (Some(value), _) => {
            result.text.push_str(&value);
            result.variables.push(name.to_owned());
        }
        (None, Some(default)) => result.text.push_str(default),
        (None, None) => result.unset.push(name.to_owned()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let env = |name: &str| match name {
            "KEY" => Some("se$${cret".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let shown = match expand(text, &env) {
            Ok(None) => "as written".to_owned(),
            Ok(Some(e)) => format!("{} uses {:?} lacks {:?}", e.text, e.variables, e.unset),
            Err(message) => message,
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn expands() {
        check("plain", "as written");
        check("$.answer ^a$", "as written");
        check("${KEY}", r#"se$${cret uses ["KEY"] lacks []"#);
        check("Bearer ${KEY}!", r#"Bearer se$${cret! uses ["KEY"] lacks []"#);
        check("$${KEY} $$ $", "${KEY} $ $ uses [] lacks []");
        check("${NONE:-a:-b} ${EMPTY:-c}", "a:-b c uses [] lacks []");
        check("[${EMPTY}]", r#"[] uses ["EMPTY"] lacks []"#);
        check("${KEY}/${NONE}", r#"${KEY}/${NONE} uses ["KEY"] lacks ["NONE"]"#);
        check("${KEY", "`${` without a closing `}`: write ${NAME}, or $${ for a plain `${`");
        check("${}", "`${}` names no variable: write ${NAME} or ${NAME:-default}");
        check("${1A}", "`${1A}` names no variable: write ${NAME} or ${NAME:-default}");
        check("${KEY:?no}", "`${KEY:?no}` names no variable: write ${NAME} or ${NAME:-default}");
    }
}
