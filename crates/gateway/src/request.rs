//! The top level of a request, and what callers tell llmops beside it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use http::HeaderMap;
use http::header::HeaderName;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::GatewayError;
use crate::json;

/// The field of a body that is for llmops alone and never goes further.
pub(crate) const EXTENSION: &str = "llmops";
/// How the headers begin that say the same.
const PREFIX: &str = "x-llmops-";
/// W3C's header of a trace.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The fields of a request, each value as it was written.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    all: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// What they were read from, where they are all that is in it.
    body: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Reads a body. Every value is checked to be JSON, and none is copied.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, GatewayError> {
        let read: Self = json::read(body).map_err(|error| {
            GatewayError::bad_request(format!("the request's body is not the expected JSON object: {error}"))
        })?;
        Ok(Self { body, ..read })
    }

    /// What stands before the value of a field, and behind it, where that is known.
    pub(crate) fn around(&self, name: &str) -> Option<(&'a [u8], &'a [u8])> {
        let value = self.get(name)?.get();
        let start = value.as_ptr().addr().checked_sub(self.body.as_ptr().addr())?;
        let (before, rest) = self.body.split_at_checked(start)?;
        Some((before, rest.strip_prefix(value.as_bytes())?))
    }

    /// The value of a field; null counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.all.iter().find(|(known, _)| known == name).map(|(_, value)| *value).filter(|value| value.get() != "null")
    }

    /// The fields in the order written.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.all.iter().map(|(name, value)| (&**name, *value))
    }

    /// The same object with another value in the place of one field, or with the field at its end.
    pub(crate) fn with(&self, name: &str, value: &str) -> String {
        let written = self.iter().map(|(known, raw)| (known, if known == name { value } else { raw.get() }));
        let new = (!self.iter().any(|(known, _)| known == name)).then_some((name, value));
        let fields = written.chain(new).map(|(name, value)| format!("{}:{value}", Value::from(name)));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
    }

    /// The fields that are kept, by the names that they are given.
    pub(crate) fn adapted(&self, keep: impl Fn(&mut Cow<'a, str>) -> bool) -> Self {
        let mut all = self.all.clone();
        all.retain_mut(|(name, _)| keep(name));
        Self { all, body: &[] }
    }

    /// The value of a field as a text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, GatewayError> {
        self.read(name)
    }

    /// The value of a field as a type of its own.
    pub(crate) fn read<T: Deserialize<'a>>(&self, name: &str) -> Result<Option<T>, GatewayError> {
        let Some(raw) = self.get(name) else { return Ok(None) };
        serde_json::from_str(raw.get())
            .map(Some)
            .map_err(|error| GatewayError::bad_request(format!("`{name}`: {}", reason(&error))).at(name))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::with_capacity(16);
                while let Some(name) = map.next_key::<Name<'de>>()? {
                    // Whoever reads the other one downstream would answer another question than was recorded.
                    if fields.iter().any(|(known, _)| *known == name.0) {
                        return Err(A::Error::custom(format!("the field `{}` is given twice", name.0)));
                    }
                    fields.push((name.0, map.next_value()?));
                }
                Ok(Fields { all: fields, body: &[] })
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// A key, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// What a caller tells llmops, in the body's `llmops` field or in `x-llmops-*` headers. The body wins.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "an object with `variables`, `user`, `session`, `tags` or `environment`"
)]
pub(crate) struct Extension {
    /// Values of the prompt's variables.
    pub(crate) variables: BTreeMap<String, Value>,
    /// The end user.
    pub(crate) user: Option<String>,
    /// The user's session.
    pub(crate) session: Option<String>,
    /// The caller's labels.
    #[serde(deserialize_with = "labels")]
    pub(crate) tags: BTreeMap<String, String>,
    /// The deployment's environment.
    pub(crate) environment: Option<String>,
}

/// What is wrong with a value. Where that stands is said by counting from the value's beginning, which nobody else sees.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(&*text, |(reason, _)| reason).to_owned()
}

/// Labels, which are texts; numbers, true and false are written as such.
fn labels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let given = Option::<BTreeMap<String, Value>>::deserialize(deserializer)?.unwrap_or_default();
    let mut labels = BTreeMap::new();
    for (name, value) in given {
        let text = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(yes) => yes.to_string(),
            Value::Null => continue,
            Value::Array(_) | Value::Object(_) => {
                return Err(D::Error::custom(format!("tags.{name}: expected a text, a number, true or false")));
            }
        };
        labels.insert(name, text);
    }
    Ok(labels)
}

impl Extension {
    /// Reads what the caller says in body and headers.
    pub(crate) fn read(fields: &Fields<'_>, headers: &HeaderMap) -> Result<Self, GatewayError> {
        let mut said: Self = fields.read(EXTENSION)?.unwrap_or_default();
        // Most callers have none, and one look is less than five.
        if headers.keys().any(|name| name.as_str().starts_with(PREFIX)) {
            said.read_headers(headers)?;
        }
        // OpenAI's own field for the end user.
        if said.user.is_none() {
            said.user = fields.text("user").ok().flatten().map(Cow::into_owned);
        }
        Ok(said)
    }

    fn read_headers(&mut self, headers: &HeaderMap) -> Result<(), GatewayError> {
        self.user = either(self.user.take(), headers, "x-llmops-user")?;
        self.session = either(self.session.take(), headers, "x-llmops-session")?;
        self.environment = either(self.environment.take(), headers, "x-llmops-environment")?;
        if let Some(text) = header(headers, "x-llmops-variables")? {
            let more: BTreeMap<String, Value> = serde_json::from_str(text)
                .map_err(|error| GatewayError::bad_request(format!("x-llmops-variables is no JSON object: {error}")))?;
            for (name, value) in more {
                self.variables.entry(name).or_insert(value);
            }
        }
        let tags = header(headers, "x-llmops-tags")?.unwrap_or_default();
        for pair in tags.split(',').filter(|pair| !pair.trim().is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(|| {
                GatewayError::bad_request(format!("x-llmops-tags: `{}` is not NAME=VALUE", pair.trim()))
            })?;
            self.tags.entry(name.trim().to_owned()).or_insert_with(|| value.trim().to_owned());
        }
        Ok(())
    }
}

/// What the body says, else the header.
fn either(said: Option<String>, headers: &HeaderMap, name: &str) -> Result<Option<String>, GatewayError> {
    Ok(match said {
        None => header(headers, name)?.map(str::to_owned),
        said => said,
    })
}

/// The text of a header, in which letters of any script may stand.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, GatewayError> {
    let text = headers.get(name).map(|value| std::str::from_utf8(value.as_bytes())).transpose();
    text.map_err(|_| GatewayError::bad_request(format!("the header {name} is not UTF-8")))
}

/// The trace that a request belongs to, as W3C's `traceparent` says it.
pub(crate) fn trace_id(headers: &HeaderMap) -> Option<String> {
    let trace = headers.get(TRACEPARENT)?.to_str().ok()?.split('-').nth(1)?;
    let is_one = trace.len() == 32 && trace.bytes().all(|b| b.is_ascii_hexdigit()) && trace.bytes().any(|b| b != b'0');
    is_one.then(|| trace.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, headers: &[(&'static str, &'static str)], expected: &Extension) {
        let value = |value: &str| http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
        let headers = headers.iter().map(|(n, v)| (n.parse().unwrap(), value(v))).collect();
        assert_eq!(&Extension::read(&Fields::parse(body.as_bytes()).unwrap(), &headers).unwrap(), expected, "{body}");
    }

    #[test]
    fn values_are_kept_as_written() {
        let body = br#"{"model": "m", "temperature": 1.0, "x": {"b": 1e3,  "a": "\u00e9"}, "user": null}"#;
        let fields = Fields::parse(body).unwrap();
        assert_eq!(fields.get("temperature").unwrap().get(), "1.0");
        assert_eq!(fields.get("x").unwrap().get(), r#"{"b": 1e3,  "a": "\u00e9"}"#);
        assert!(fields.get("user").is_none());
        assert_eq!(fields.text("model").unwrap().unwrap(), "m");
        assert_eq!(fields.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["model", "temperature", "x", "user"]);
    }

    #[test]
    fn what_is_refused() {
        for (body, expected) in [
            ("", "EOF"),
            ("[]", "an object"),
            (r#"{"model": "a", "model": "b"}"#, "`model` is given twice"),
            (r#"{"model": "a"} x"#, "trailing"),
            (r#"{"model": tru}"#, "expected"),
        ] {
            let error = Fields::parse(body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{body}: {error}");
        }
        let fields = Fields::parse(br#"{"model": 3, "llmops": {"vars": {}}}"#).unwrap();
        assert!(fields.text("model").unwrap_err().to_string().contains("`model`"));
        let error = Extension::read(&fields, &HeaderMap::new()).unwrap_err().to_string();
        assert!(error.contains("unknown field `vars`"), "{error}");
        let fields = Fields::parse(br#"{"llmops": "x"}"#).unwrap();
        let error = Extension::read(&fields, &HeaderMap::new()).unwrap_err().to_string();
        assert!(
            error.starts_with(r#"`llmops`: invalid type: string "x", expected an object with `variables`"#),
            "{error}"
        );
    }

    #[test]
    fn traces_by_their_header() {
        let check = |value: &'static str, expected: Option<&str>| {
            let headers = [("traceparent".parse().unwrap(), value.parse().unwrap())].into_iter().collect();
            assert_eq!(trace_id(&headers).as_deref(), expected, "{value}");
        };
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Some(id));
        check("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", Some(id));
        check("00-00000000000000000000000000000000-00f067aa0ba902b7-01", None);
        check("00-4bf9-00f067aa0ba902b7-01", None);
        check("nonsense", None);
        assert_eq!(trace_id(&HeaderMap::new()), None);
    }

    #[test]
    fn who_wins() {
        let said = Extension { user: Some("a".to_owned()), ..Extension::default() };
        check(r#"{"llmops": {"user": "a"}, "user": "b"}"#, &[("x-llmops-user", "c")], &said);
        check(r#"{"user": "b"}"#, &[("x-llmops-user", "a")], &said);
        check(r#"{"user": "a"}"#, &[], &said);
        let tags = [("team", "a b"), ("x", "1")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let said = Extension { tags: tags.into(), ..Extension::default() };
        check(r#"{"llmops": {"tags": {"x": "1"}}}"#, &[("x-llmops-tags", "x=2, team=a b")], &said);
    }

    #[test]
    fn tags_are_written_as_texts() {
        let tags = [("a", "1"), ("b", "true"), ("c", "0.50"), ("d", "x")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let said = Extension { tags: tags.into(), ..Extension::default() };
        check(r#"{"llmops": {"tags": {"a": 1, "b": true, "c": "0.50", "d": "x", "e": null}}}"#, &[], &said);
        check(r#"{"llmops": {"tags": null}}"#, &[], &Extension::default());
        let fields = Fields::parse(br#"{"llmops": {"tags": {"a": ["x"]}}}"#).unwrap();
        let error = Extension::read(&fields, &HeaderMap::new()).unwrap_err().to_string();
        assert_eq!(error, "`llmops`: tags.a: expected a text, a number, true or false");
    }

    #[test]
    fn headers_have_letters_of_any_script() {
        let said = Extension {
            user: Some("Zoë".to_owned()),
            session: Some("セッション".to_owned()),
            variables: [("name".to_owned(), Value::from("Zoë"))].into(),
            tags: [("équipe".to_owned(), "ä".to_owned())].into(),
            environment: None,
        };
        let headers = [
            ("x-llmops-user", "Zoë"),
            ("x-llmops-session", "セッション"),
            ("x-llmops-variables", r#"{"name": "Zoë"}"#),
            ("x-llmops-tags", "équipe=ä"),
        ];
        check("{}", &headers, &said);
        for name in ["user", "session", "environment", "variables", "tags"] {
            let name = format!("x-llmops-{name}");
            let latin = http::HeaderValue::from_bytes(b"Zo\xeb").unwrap();
            let headers = [(name.parse().unwrap(), latin)].into_iter().collect();
            let error = Extension::read(&Fields::parse(b"{}").unwrap(), &headers).unwrap_err().to_string();
            assert_eq!(error, format!("the header {name} is not UTF-8"));
        }
    }
}
