//! Secrets in other tools' files. They stay there: what is made of the files can be committed, and reads secrets from the
//! environment.

use std::sync::LazyLock;

use llmops_domain::redact;
use regex::{Captures, Regex};

use super::Imported;

/// A name and its value, as in `"api_key": "…"`, `?token=…` and `--api-key …`.
static NAMED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r#"(?:\b(?P<name>[A-Za-z][\w.-]*)["']?\s*[:=]\s*|--(?P<option>[A-Za-z][\w-]*)\s+)"#,
        r#"(?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>[^']*)'|(?P<bare>[^\s"'&;,<>{}\[\]#]+))"#,
    ))
    .ok()
});

/// User and password in an address.
static USER: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"://(?P<user>[^/?#\s@:"'{}]+)?(?::(?P<password>[^/?#\s@"'{}]+))?@"#).ok());

impl Imported {
    /// An address, a body or a command line as `llmops.yaml` has it, without the secrets that are written in it: values under
    /// names of secrets, passwords of addresses, and keys of well-known shapes.
    pub(super) fn without_secrets(&mut self, place: &str, text: &str) -> String {
        // What is a text there would name a variable here.
        let text = text.replace("$$", "$$$$").replace("${", "$${");
        let text = self.replaced(place, &text, USER.as_ref(), |found| {
            let secret = found.name("password").or_else(|| found.name("user"))?;
            Some(("password".to_owned(), secret.range()))
        });
        let text = self.replaced(place, &text, NAMED.as_ref(), |found| {
            let name = found.name("name").or_else(|| found.name("option"))?.as_str();
            let value = ["double", "single", "bare"].iter().find_map(|kind| found.name(kind))?;
            let is_secret = redact::names_secret(name) && is_literal(value.as_str());
            is_secret.then(|| (name.to_owned(), value.range()))
        });
        let mut out = String::new();
        let mut copied = 0;
        for key in redact::keys(&text) {
            out.push_str(&text[copied..key.start]);
            copied = key.end;
            out.push_str(&self.withheld(place, "key", &text[key]));
        }
        out + &text[copied..]
    }

    /// The text with what `secret` finds in matches withheld: a name for it, and where it is.
    fn replaced(
        &mut self,
        place: &str,
        text: &str,
        pattern: Option<&Regex>,
        secret: impl Fn(&Captures<'_>) -> Option<(String, std::ops::Range<usize>)>,
    ) -> String {
        let (mut out, mut copied, mut at) = (String::new(), 0, 0);
        while let Some(found) = pattern.and_then(|pattern| pattern.captures_at(text, at)) {
            let Some((name, range)) = secret(&found) else {
                // What looks like a value may hold another name: `https:` before `?key=`.
                let named = found.name("name").or_else(|| found.name("option")).map_or(0, |name| name.end());
                at = named.max(found.get(0).map_or(text.len(), |all| all.start() + 1));
                continue;
            };
            out.push_str(&text[copied..range.start]);
            out.push_str(&self.withheld(place, &name, &text[range.clone()]));
            (copied, at) = (range.end, range.end);
        }
        out + &text[copied..]
    }

    /// `${NAME}` in the place of a secret: `Bearer ${AUTHORIZATION}` for a bearer token. One secret has one name.
    pub(super) fn withheld(&mut self, place: &str, name: &str, written: &str) -> String {
        let (scheme, secret) = match written.trim().split_once(' ') {
            Some((scheme, secret)) if name.to_lowercase().ends_with("authorization") => (format!("{scheme} "), secret),
            _ => (String::new(), written),
        };
        let known = self.withheld.get(secret).cloned();
        let variable = known.unwrap_or_else(|| self.name("variable", name).to_uppercase().replace('-', "_"));
        self.withheld.insert(secret.to_owned(), variable.clone());
        let what = format!("its secret was not copied: set the environment variable `{variable}` to it");
        if !self.notes.iter().any(|note| note.place == place && note.what == what) {
            self.note(place, what);
        }
        format!("{scheme}${{{variable}}}")
    }
}

/// Whether a value is written out: no variable, and no number or constant of JSON.
fn is_literal(value: &str) -> bool {
    let is_variable = value.starts_with('$') || value.contains("{{") || value.contains("${");
    !is_variable
        && !value.trim().is_empty()
        && serde_json::from_str::<f64>(value).is_err()
        && !matches!(value, "true" | "false" | "null")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_from_the_environment() {
        let check = |text: &str, expected: &str| {
            let mut imported = Imported::default();
            assert_eq!(imported.without_secrets("p", text), expected);
            assert_eq!(imported.notes.is_empty(), !expected.contains("${"), "{text}");
        };
        check(
            "https://h/v1?api-version=1&api_key=s3cret&q={{prompt}}#x",
            "https://h/v1?api-version=1&api_key=${API_KEY}&q={{prompt}}#x",
        );
        check("https://ana:s3cret@h/v1?token=a%20b", "https://ana:${PASSWORD}@h/v1?token=${TOKEN}");
        check("https://s3cret@h/", "https://${PASSWORD}@h/");
        check("https://h/a@b?q=1", "https://h/a@b?q=1");
        check("https://h/sk-abcdefghijklmnop1234/x", "https://h/${KEY}/x");
        check(
            r#"{"q": {{ prompt | tojson }}, "auth": {"accessToken": "s\"x", "max_tokens": 30, "user": "ana"}}"#,
            r#"{"q": {{ prompt | tojson }}, "auth": {"accessToken": "${ACCESSTOKEN}", "max_tokens": 30, "user": "ana"}}"#,
        );
        check(r#"{"Authorization": "Bearer s3cret"}"#, r#"{"Authorization": "Bearer ${AUTHORIZATION}"}"#);
        check("client_secret=s3cret&keywords=a&author=b", "client_secret=${CLIENT_SECRET}&keywords=a&author=b");
        check(
            "API_KEY='s3 cret' python bot.py --token s3cret -v",
            "API_KEY='${API_KEY}' python bot.py --token ${TOKEN} -v",
        );
        check("K=$KEY curl -H 'x: {{env.TOKEN}}' key={{env.K}}", "K=$KEY curl -H 'x: {{env.TOKEN}}' key={{env.K}}");
        let said = Imported::default().without_secrets("p", "kill $$; echo ${A} $B");
        assert_eq!(said, "kill $$$$; echo $${A} $B");
        check("Zwei Schlüssel: password=é, password=é", "Zwei Schlüssel: password=${PASSWORD}, password=${PASSWORD}");
    }
}
