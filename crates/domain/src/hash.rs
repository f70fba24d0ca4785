//! Content hashes: SHA-256 over canonical JSON (RFC 8785).

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Number of hex digits in the short form of a hash, as people type it (`NAME@3f1c9a2b7d40`).
pub const SHORT_LEN: usize = 12;

/// A SHA-256 content hash in 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, example = "3f1c9a2b7d40e58c61b0a94f2de7358c1a6f0b9d4e82c75f36a1d0e9b84c2f57")]
pub struct ContentHash(String);

/// A text is no content hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a content hash: 64 of the digits 0-9 and a-f")]
pub struct NoHash;

impl TryFrom<String> for ContentHash {
    type Error = NoHash;

    fn try_from(text: String) -> Result<Self, NoHash> {
        if Self::is_hash(&text) { Ok(Self(text)) } else { Err(NoHash) }
    }
}

impl ContentHash {
    /// What every hash looks like, as a regular expression.
    pub const PATTERN: &str = "^[0-9a-f]{64}$";

    fn is_hash(text: &str) -> bool {
        text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    }

    /// Hashes the canonical JSON (RFC 8785: sorted keys, shortest numbers, no white space) of `value`.
    ///
    /// ```
    /// # use llmops_domain::hash::ContentHash;
    /// let a = ContentHash::of_json(&serde_json::json!({"b": 1, "a": 2.0})).unwrap();
    /// let b = ContentHash::of_json(&serde_json::json!({"a": 2, "b": 1.0})).unwrap();
    /// assert_eq!(a, b);
    /// ```
    ///
    /// # Errors
    /// When `value` has no JSON form (NaN, infinity, maps with non-string keys).
    pub fn of_json<T: Serialize>(value: &T) -> Result<Self, serde_json::Error> {
        Ok(Self::of_bytes(&serde_json_canonicalizer::to_vec(value)?))
    }

    /// Hashes raw bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut text = [0; 64];
        // Written at once: every request record has two of these. A digest has 32 bytes, so they fit.
        let written = hex::encode_to_slice(Sha256::digest(bytes), &mut text);
        debug_assert!(written.is_ok(), "two digits for each of 32 bytes");
        Self(String::from_utf8_lossy(&text).into_owned())
    }

    /// Hashes the sorted hashes of a set, joined by line feeds: a hash of the set, whatever its order.
    ///
    /// Equal to `printf '%s' "$(sort hashes.txt)" | sha256sum`.
    pub fn of_set<'a>(members: impl IntoIterator<Item = &'a ContentHash>) -> Self {
        let mut set = SetHasher::default();
        members.into_iter().for_each(|member| set.add(member));
        set.finish()
    }

    /// Reads 64 lower-case hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        Self::is_hash(text).then(|| Self(text.to_owned()))
    }

    /// All 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits.
    pub fn short(&self) -> &str {
        self.0.get(..SHORT_LEN).unwrap_or(&self.0)
    }
}

/// [`ContentHash::of_set`] for members that come one by one: 32 bytes each are kept.
#[derive(Debug, Default)]
pub struct SetHasher(Vec<[u8; 32]>);

impl SetHasher {
    /// Adds a member.
    pub fn add(&mut self, member: &ContentHash) {
        let mut bytes = [0; 32];
        // A `ContentHash` is always 64 hex digits.
        if hex::decode_to_slice(member.as_str(), &mut bytes).is_ok() {
            self.0.push(bytes);
        }
    }

    /// The hash of the set.
    pub fn finish(mut self) -> ContentHash {
        // Bytes sort as their hex digits do.
        self.0.sort_unstable();
        let mut digest = Sha256::new();
        for (i, member) in self.0.iter().enumerate() {
            if i > 0 {
                digest.update(b"\n");
            }
            digest.update(hex::encode(member));
        }
        ContentHash(hex::encode(digest.finalize()))
    }
}

impl std::fmt::Display for ContentHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
