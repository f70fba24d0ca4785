//! What a record keeps of the bodies of its call.

use std::borrow::Cow;

use llmops_domain::hash::ContentHash;
use llmops_domain::record::BodyPolicy;
use llmops_domain::redact::redact;

/// What the caller sent, as text. Where users are kept as hashes, the fields that name them hold hashes too.
pub(super) fn asked_text(body: &[u8], hash_users: bool) -> Cow<'_, str> {
    if hash_users && let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(body) {
        for place in ["/user", "/llmops/user", "/metadata/user_id"] {
            if let Some(serde_json::Value::String(user)) = value.pointer_mut(place) {
                *user = ContentHash::of_bytes(user.as_bytes()).to_string();
            }
        }
        return Cow::Owned(value.to_string());
    }
    // Nearly all bodies are UTF-8 as they are, which is told faster than by looking for what is not.
    std::str::from_utf8(body).map_or_else(|_| String::from_utf8_lossy(body), Cow::Borrowed)
}

/// As much of a text as the policy keeps.
pub(super) fn kept<'a>(policy: BodyPolicy, text: impl FnOnce() -> Cow<'a, str>) -> Option<String> {
    Some(match policy {
        BodyPolicy::None => return None,
        BodyPolicy::Raw => text().into_owned(),
        BodyPolicy::Full => redact(&text()).into_owned(),
        BodyPolicy::Hashed => ContentHash::of_bytes(text().as_bytes()).to_string(),
    })
}
