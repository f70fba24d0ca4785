//! Who a caller is, and the management of keys, projects and the record of changes.

mod manage;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};
use llmops_domain::access::ApiKey;
use llmops_domain::id::KeyId;
use llmops_storage::{News, SecretHash, Store, StoreError, StoredKey};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::watch;

pub use manage::{AuditLog, KeyManager, ProjectManager};

use crate::{Clock, Error};

/// How old the copy of the keys may be. News from other replicas make it younger.
const REFRESH: Duration = Duration::from_millis(400);
/// How often the last use of keys is written, and what has ended is removed.
const NOTE_USES: Duration = Duration::from_secs(30);
/// How long a session of the dashboard lasts.
const SESSION: SignedDuration = SignedDuration::from_hours(12);
/// Begins every secret that llmops makes, so that scanners of leaked secrets know it.
const SECRET_PREFIX: &str = "llmops_";
const SECRET_ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Knows the keys: an immutable copy of them, which follows the store.
pub struct Access {
    store: Store,
    clock: Arc<dyn Clock>,
    keys: ArcSwap<Keys>,
    /// Told whenever the copy is made anew.
    changed: watch::Sender<()>,
}

/// The keys at one time, by the first bytes of their hash.
#[derive(Default)]
struct Keys {
    /// None before the first look.
    version: Option<i64>,
    by_hash: HashMap<[u8; 8], Vec<Arc<Known>>>,
    by_id: HashMap<KeyId, Arc<Known>>,
}

struct Known {
    key: Arc<ApiKey>,
    hash: SecretHash,
    /// Microseconds since 1970 of its last use here; 0: not used since it was written.
    used: AtomicI64,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Access")
    }
}

/// SHA-256 of a secret. The secrets are long and random, so that a slow hash would protect nothing.
fn hash_of(secret: &str) -> SecretHash {
    Sha256::digest(secret.as_bytes()).into()
}

fn short(hash: &SecretHash) -> [u8; 8] {
    let mut short = [0; 8];
    short.copy_from_slice(&hash[..8]);
    short
}

impl Access {
    pub(crate) fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, keys: ArcSwap::default(), changed: watch::Sender::new(()) }
    }

    /// The key with this secret, if it works.
    ///
    /// The copy answers for keys that it holds. What it does not hold may have been made a moment ago on another
    /// replica: the store is asked.
    pub async fn authenticate(&self, secret: &str) -> Result<Option<ApiKey>, Error> {
        if let Some(key) = self.known(secret) {
            return Ok(Some(ApiKey::clone(&key)));
        }
        let now = self.clock.now();
        Ok(self.store.key_by_hash(&hash_of(secret)).await?.filter(|key| key.works_at(now)))
    }

    /// The key with this secret, if the copy has it and it works.
    pub fn known(&self, secret: &str) -> Option<Arc<ApiKey>> {
        let (hash, now) = (hash_of(secret), self.clock.now());
        let keys = self.keys.load();
        let candidates = keys.by_hash.get(&short(&hash)).map(Vec::as_slice).unwrap_or_default();
        // Which bytes differ must not show in the time that it takes.
        let known = candidates.iter().find(|known| bool::from(known.hash.ct_eq(&hash)))?;
        if !known.key.works_at(now) {
            return None;
        }
        known.used.store(now.as_microsecond(), Ordering::Relaxed);
        Some(known.key.clone())
    }

    /// The key of a session of the dashboard, if both work still, and when the session ends.
    pub async fn session(&self, token: &str) -> Result<Option<(ApiKey, Timestamp)>, Error> {
        let now = self.clock.now();
        let session = self.store.session(&hash_of(token), now).await?;
        let session = session.filter(|(key, _)| key.works_at(now));
        if let Some((key, _)) = &session
            && let Some(known) = self.keys.load().by_id.get(&key.id)
        {
            known.used.store(now.as_microsecond(), Ordering::Relaxed);
        }
        Ok(session)
    }

    /// Begins a session for whoever has the key: its token, and when it ends.
    pub async fn begin_session(&self, key: &ApiKey) -> Result<(String, Timestamp), Error> {
        let token = self.new_secret("");
        let until = self.clock.now() + SESSION;
        let until = key.expires_at.map_or(until, |end| end.min(until));
        self.store.create_session(&hash_of(&token), key, until).await?;
        Ok((token, until))
    }

    /// Ends a session.
    pub async fn end_session(&self, token: &str) -> Result<(), Error> {
        Ok(self.store.delete_session(&hash_of(token)).await?)
    }

    /// 256 random bits in 52 characters.
    fn new_secret(&self, prefix: &str) -> String {
        let mut secret = prefix.to_owned();
        for _ in 0..4 {
            // 13 characters hold 65 bits.
            let bits = u128::from(self.clock.random());
            secret.extend((0..13).rev().map(|i| {
                let digit = usize::try_from((bits >> (5 * i)) & 31).unwrap_or(0);
                char::from(SECRET_ALPHABET[digit])
            }));
        }
        secret
    }

    /// Follows the changes of keys, here and on other replicas, and notes their last use, until it is dropped.
    pub async fn follow(self: Arc<Self>) {
        let mut news: Option<News> = None;
        let mut noted = self.clock.now();
        loop {
            if let Err(error) = self.refresh().await {
                tracing::warn!(%error, "the keys could not be read anew");
            }
            if self.clock.now().duration_since(noted).unsigned_abs() >= NOTE_USES {
                noted = self.clock.now();
                if let Err(error) = self.note_uses().await {
                    tracing::warn!(%error, "the last use of keys could not be written");
                }
                if let Err(error) = self.store.remove_expired(noted).await {
                    tracing::warn!(%error, "ended sessions and old answers could not be removed");
                }
            }
            if news.is_none() {
                news = self.store.access_news().await.ok();
            }
            let told = async {
                match &mut news {
                    Some(news) => news.next().await.map(drop),
                    None => std::future::pending().await,
                }
            };
            // A lost connection is made anew by the next call, after a pause.
            if let Ok(Err(_)) = tokio::time::timeout(REFRESH, told).await {
                tokio::time::sleep(REFRESH).await;
            }
        }
    }

    /// Reads the keys anew if any of them changed.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let present = self.keys.load();
        if present.version == Some(self.store.access_version().await?) {
            return Ok(());
        }
        let (version, stored) = self.store.live_keys().await?;
        let mut keys = Keys { version: Some(version), ..Keys::default() };
        for StoredKey { key, hash } in stored {
            let used = present.by_id.get(&key.id).map_or(0, |known| known.used.load(Ordering::Relaxed));
            let known = Arc::new(Known { key: Arc::new(key), hash, used: AtomicI64::new(used) });
            keys.by_hash.entry(short(&hash)).or_default().push(known.clone());
            keys.by_id.insert(known.key.id.clone(), known);
        }
        self.keys.store(Arc::new(keys));
        self.changed.send_replace(());
        Ok(())
    }

    /// Resolves when a key does not work any more: what it opened is closed then.
    pub async fn ended(&self, id: &KeyId) {
        let mut changed = self.changed.subscribe();
        // The key may be younger than the copy. Without the store nobody can have revoked it.
        let mut is_known = self.refresh().await.is_ok();
        loop {
            let known = self.keys.load().by_id.get(id).cloned();
            let now = self.clock.now();
            match &known {
                Some(known) if !known.key.works_at(now) => return,
                None if is_known => return,
                _ => is_known = true,
            }
            let end = known.and_then(|known| known.key.expires_at);
            let left = end.and_then(|end| Duration::try_from(end.duration_since(now)).ok()).unwrap_or(Duration::MAX);
            // Time is up, or something changed: look again.
            let _ = tokio::time::timeout(left, changed.changed()).await;
        }
    }

    /// Writes when keys were used last.
    pub async fn note_uses(&self) -> Result<(), StoreError> {
        let keys = self.keys.load_full();
        let uses: Vec<(KeyId, Timestamp)> = keys
            .by_id
            .iter()
            .filter_map(|(id, known)| {
                let used = known.used.swap(0, Ordering::Relaxed);
                (used > 0).then(|| Some((id.clone(), Timestamp::from_microsecond(used).ok()?))).flatten()
            })
            .collect();
        if uses.is_empty() {
            return Ok(());
        }
        self.store.touch_keys(&uses).await.inspect_err(|_| {
            // They are written once the store is there.
            for (id, at) in &uses {
                if let Some(known) = keys.by_id.get(id) {
                    known.used.fetch_max(at.as_microsecond(), Ordering::Relaxed);
                }
            }
        })
    }
}
