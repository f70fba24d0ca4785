//! What an unquoted scalar means: YAML 1.2's core schema, without the numbers that JSON lacks.

use serde_json::{Number, Value};

/// Reads a plain scalar as null, a boolean, a number or text.
pub(super) fn resolve(text: &str) -> Result<Value, &'static str> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => match number(text) {
            Some(number) => Value::Number(number?),
            None => Value::String(text.to_owned()),
        },
    })
}

fn number(text: &str) -> Option<Result<Number, &'static str>> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return Some(Err("infinity and NaN are no numbers here"));
    }
    if let Some(digits) = text.strip_prefix("0x").filter(|d| !d.is_empty()) {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o").filter(|d| !d.is_empty()) {
        return radix(digits, 8);
    }
    if !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return Some(integer(text));
    }
    let numeric = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'));
    if !numeric {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    Some(Number::from_f64(value).ok_or("the number is too large"))
}

fn integer(text: &str) -> Result<Number, &'static str> {
    let text = text.strip_prefix('+').unwrap_or(text);
    if let Ok(small) = text.parse::<i64>() {
        return Ok(small.into());
    }
    text.parse::<u64>().map(Into::into).map_err(|_| "the number is too large; put it in quotes if it is text")
}

fn radix(digits: &str, radix: u32) -> Option<Result<Number, &'static str>> {
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    Some(u64::from_str_radix(digits, radix).map(Into::into).map_err(|_| "the number is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_core_schema() {
        for (text, json) in [
            ("", "null"),
            ("~", "null"),
            ("True", "true"),
            ("yes", r#""yes""#),
            ("on", r#""on""#),
            ("0", "0"),
            ("-7", "-7"),
            ("+7", "7"),
            ("007", "7"),
            ("0x1F", "31"),
            ("0o17", "15"),
            ("0xZZ", r#""0xZZ""#),
            ("18446744073709551615", "18446744073709551615"),
            ("1.5", "1.5"),
            (".5", "0.5"),
            ("1.", "1.0"),
            ("1e3", "1000.0"),
            ("1.0.0", r#""1.0.0""#),
            ("1-2", r#""1-2""#),
            ("2024-07-18", r#""2024-07-18""#),
            ("inf", r#""inf""#),
            ("nan", r#""nan""#),
            (".", r#"".""#),
            ("-", r#""-""#),
            ("1_000", r#""1_000""#),
        ] {
            assert_eq!(resolve(text).unwrap().to_string(), json, "{text}");
        }
        for text in [".nan", "-.inf", "1e999", "99999999999999999999"] {
            assert!(resolve(text).is_err(), "{text}");
        }
    }
}
