//! Kept answers: for deployments that want equal requests to be answered once. Bounded, by the hash of everything that
//! decides an answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use llmops_domain::deployment::CacheSettings;
use llmops_domain::hash::ContentHash;
use llmops_domain::record::Door;

use crate::told::Told;

/// Largest answer that is kept.
const MOST_BYTES: usize = 1 << 20;
/// Most bytes of all answers of one deployment.
const MOST_IN_ALL: usize = 256 << 20;

/// The kept answers of a deployment. A lock is taken only by those who asked for the cache.
#[derive(Debug)]
pub(crate) struct AnswerCache {
    ttl: Duration,
    most: usize,
    kept: Mutex<Kept>,
}

/// Answers in two generations: a full young one becomes the old one, and what was old goes.
#[derive(Debug, Default)]
struct Kept {
    young: HashMap<ContentHash, KeptAnswer>,
    young_bytes: usize,
    old: HashMap<ContentHash, KeptAnswer>,
}

/// A whole answer, as the caller got it.
#[derive(Debug, Clone)]
pub(crate) struct KeptAnswer {
    pub(crate) body: Bytes,
    pub(crate) kind: Option<HeaderValue>,
    /// What the provider said, where this is a translation of it.
    pub(crate) told: Option<Told>,
    /// Who gave it, as `provider/model`.
    pub(crate) model: String,
    at: Instant,
}

/// Where an answer is going to be kept.
#[derive(Debug, Clone)]
pub(crate) struct Fill {
    cache: Arc<AnswerCache>,
    key: ContentHash,
    /// The answer's content type, as soon as there is an answer.
    pub(crate) kind: Option<HeaderValue>,
}

/// What an answer depends on: the manifest, the format, whether it is a stream and ends with its counts, which of the provider's
/// features are tried out, and the body that it gets, in which not every format says so.
pub(crate) fn key(
    manifest: &ContentHash,
    door: Door,
    (stream, usage): (bool, bool),
    headers: &HeaderMap,
    body: &[u8],
) -> ContentHash {
    let door: &[u8] = match door {
        Door::Chat => b"chat",
        Door::Embeddings => b"embeddings",
        Door::Messages => b"messages",
    };
    let shape = [b'0' + u8::from(stream), b'0' + u8::from(usage)];
    let mut text = [manifest.as_str().as_bytes(), b"\n", door, b"\n", &shape, b"\n"].concat();
    for name in ["anthropic-beta", "anthropic-version", "openai-beta"] {
        for value in headers.get_all(name) {
            text.extend_from_slice(value.as_bytes());
            text.push(b'\n');
        }
    }
    text.extend_from_slice(body);
    ContentHash::of_bytes(&text)
}

impl AnswerCache {
    pub(crate) fn new(settings: &CacheSettings) -> Self {
        let most = usize::try_from(settings.max_answers).unwrap_or(usize::MAX).max(1);
        Self { ttl: settings.ttl.0, most, kept: Mutex::default() }
    }

    /// An answer that is young enough.
    pub(crate) fn get(&self, key: &ContentHash) -> Option<KeptAnswer> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.young.get(key).or_else(|| kept.old.get(key))?;
        (found.at.elapsed() < self.ttl).then(|| found.clone())
    }

    /// Where the answer to a request goes.
    pub(crate) fn fill(self: &Arc<Self>, key: ContentHash) -> Fill {
        Fill { cache: self.clone(), key, kind: None }
    }
}

impl Fill {
    /// Keeps an answer.
    pub(crate) fn put(self, body: Bytes, told: Option<Told>, model: &str) {
        if body.is_empty() || body.len() > MOST_BYTES {
            return;
        }
        let mut kept = self.cache.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // Two generations of half the size never hold more than is allowed.
        if kept.young.len() >= self.cache.most / 2 || kept.young_bytes + body.len() > MOST_IN_ALL / 2 {
            let young = std::mem::take(&mut kept.young);
            // Of one answer there are no halves.
            kept.old = if self.cache.most == 1 { HashMap::new() } else { young };
            kept.young_bytes = 0;
        }
        kept.young_bytes += body.len();
        let answer = KeptAnswer { body, kind: self.kind, told, model: model.to_owned(), at: Instant::now() };
        if let Some(before) = kept.young.insert(self.key, answer) {
            kept.young_bytes -= before.body.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(cache: &Arc<AnswerCache>, name: &str) {
        let key = ContentHash::of_bytes(name.as_bytes());
        cache.fill(key).put(Bytes::from(name.to_owned()), None, "p/m");
    }

    fn has(cache: &AnswerCache, name: &str) -> bool {
        cache.get(&ContentHash::of_bytes(name.as_bytes())).is_some_and(|kept| kept.body == name)
    }

    #[test]
    fn the_oldest_go_first_and_never_too_many_are_kept() {
        for max_answers in [1, 2, 10] {
            let settings = CacheSettings { max_answers, ..CacheSettings::default() };
            let cache = Arc::new(AnswerCache::new(&settings));
            for i in 0..100 {
                put(&cache, &i.to_string());
                assert!(has(&cache, &i.to_string()));
                let kept = cache.kept.lock().unwrap();
                assert!(kept.young.len() + kept.old.len() <= max_answers as usize);
            }
            assert!(!has(&cache, "0") && has(&cache, "95") == (max_answers == 10));
        }
    }

    #[test]
    fn answers_grow_old() {
        let settings = CacheSettings { ttl: "0ms".parse().unwrap(), ..CacheSettings::default() };
        let cache = Arc::new(AnswerCache::new(&settings));
        put(&cache, "a");
        assert!(!has(&cache, "a"));
    }

    #[test]
    fn keys_tell_formats_apart() {
        let manifest = ContentHash::of_bytes(b"m");
        let plain = HeaderMap::new();
        let known = key(&manifest, Door::Chat, (true, false), &plain, b"x");
        assert_eq!(known, key(&manifest, Door::Chat, (true, false), &plain, b"x"));
        assert_ne!(known, key(&manifest, Door::Messages, (true, false), &plain, b"x"));
        assert_ne!(known, key(&manifest, Door::Chat, (false, false), &plain, b"x"));
        assert_ne!(known, key(&manifest, Door::Chat, (true, true), &plain, b"x"));
        assert_ne!(known, key(&manifest, Door::Chat, (true, false), &plain, b"y"));
        let with = |name: &'static str| [(name.parse().unwrap(), "a=1".parse().unwrap())].into_iter().collect();
        assert_ne!(known, key(&manifest, Door::Chat, (true, false), &with("openai-beta"), b"x"));
        assert_ne!(known, key(&manifest, Door::Chat, (true, false), &with("anthropic-version"), b"x"));
        assert_eq!(known, key(&manifest, Door::Chat, (true, false), &with("idempotency-key"), b"x"));
    }
}
