//! Texts that a provider must not get to say again, such as its own key.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use memchr::memchr;
use memchr::memmem::Finder;

/// What stands for a secret in a message.
const REDACTED: &str = "***";

/// The secrets of an endpoint. Clones share them, and nothing prints them.
#[derive(Clone, Default)]
pub struct Secrets(Arc<[Secret]>);

#[derive(Clone)]
struct Secret {
    text: Box<str>,
    /// Whether answers must not hold it either. Other secrets may be words that answers use, such as the name of a team.
    is_key: bool,
    finder: Finder<'static>,
}

impl Secrets {
    /// Adds one; a key is looked for in answers, too.
    pub(crate) fn add(&mut self, secret: &str, is_key: bool) {
        let secret = Secret { text: secret.into(), is_key, finder: Finder::new(secret).into_owned() };
        self.0 = self.0.iter().cloned().chain([secret]).collect();
    }

    /// `text` without them.
    pub fn redact(&self, text: String) -> String {
        self.0.iter().fold(text, |text, secret| text.replace(&*secret.text, REDACTED))
    }

    /// `bytes` with as many asterisks where a key was: how many bytes come may have been said already. Nothing is copied
    /// where there is none.
    pub fn cover(&self, bytes: Bytes) -> Bytes {
        self.keys().fold(bytes, |bytes, secret| {
            let Some(first) = secret.finder.find(&bytes) else { return bytes };
            let mut covered = bytes.to_vec();
            let length = secret.text.len();
            let mut next = Some(first);
            while let Some(at) = next {
                covered[at..at + length].fill(b'*');
                next = secret.finder.find(&covered[at + length..]).map(|more| at + length + more);
            }
            covered.into()
        })
    }

    /// The same in the values of headers.
    pub fn cover_headers(&self, headers: &mut HeaderMap) {
        for value in headers.values_mut() {
            if self.keys().any(|secret| secret.finder.find(value.as_bytes()).is_some()) {
                let covered = self.cover(Bytes::copy_from_slice(value.as_bytes()));
                *value = HeaderValue::from_maybe_shared(covered).unwrap_or(HeaderValue::from_static(REDACTED));
            }
        }
    }

    /// How many bytes at the end of `bytes` may be the beginning of a key.
    pub fn begun(&self, bytes: &[u8]) -> usize {
        let Some(last) = bytes.last() else { return 0 };
        let begun = |secret: &Secret| {
            let secret = secret.text.as_bytes();
            // Most pieces of a stream end with a character that is in no key.
            memchr(*last, secret)?;
            (1..secret.len()).rev().find(|length| bytes.ends_with(&secret[..*length]))
        };
        self.keys().filter_map(begun).max().unwrap_or(0)
    }

    fn keys(&self) -> impl Iterator<Item = &Secret> {
        self.0.iter().filter(|secret| secret.is_key)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn secrets() -> Secrets {
        let mut secrets = Secrets::default();
        secrets.add("sk-12345678", true);
        secrets.add("aabaabaa", true);
        secrets.add("Acme Support", false);
        secrets
    }

    #[test]
    fn secrets_are_covered_wherever_they_stand() {
        let check = |bytes: &'static str, expected: &str| {
            let covered = secrets().cover(Bytes::from_static(bytes.as_bytes()));
            assert_eq!(covered, expected.as_bytes(), "{bytes}");
        };
        check("", "");
        check("sk-1234567", "sk-1234567");
        check("Welcome to Acme Support", "Welcome to Acme Support");
        check("sk-12345678", "***********");
        check("é sk-12345678sk-12345678, sk-12345678", "é **********************, ***********");
        check("aabaabaabaabaa sk-12345678", "********baabaa ***********");
        assert_eq!(secrets().redact("sk-12345678 aabaabaa Acme Support".to_owned()), "*** *** ***");
    }

    #[test]
    fn secrets_are_covered_in_headers() {
        let headers = [("x-echo", "Bearer sk-12345678"), ("x-echo", "plain"), ("x-team", "Acme Support")];
        let value = |value: &str| value.parse::<HeaderValue>().unwrap();
        let read = |(name, text): (&'static str, &str)| (name.parse::<HeaderName>().unwrap(), value(text));
        let mut headers: HeaderMap = headers.into_iter().map(read).collect();
        secrets().cover_headers(&mut headers);
        let values: Vec<_> = headers.values().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(values, ["Bearer ***********", "plain", "Acme Support"]);
    }

    #[test]
    fn secrets_that_have_only_begun() {
        let check = |bytes: &str, expected: usize| assert_eq!(secrets().begun(bytes.as_bytes()), expected, "{bytes}");
        check("", 0);
        check("data: {}\n\n", 0);
        check("8", 0);
        check("the s", 1);
        check("the sk-1234567", 10);
        check("the sk-12345678", 0);
        check("aabaabaabaaba", 7);
    }
}
