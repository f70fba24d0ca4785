//! What a record keeps of the bodies of its call.

use std::borrow::Cow;

use llmops_domain::hash::ContentHash;
use llmops_domain::record::BodyPolicy;
use llmops_domain::redact::{redact, redact_id, redact_label};

use crate::request::Extension;
use crate::snapshot::Route;

/// What the caller sent, as text. Where users are kept as hashes, the fields that name them hold hashes too.
pub(super) fn asked_text<'a>(body: &'a [u8], route: Option<&Route>) -> Cow<'a, str> {
    if hides_users(route)
        && let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(body)
    {
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

/// Whether the deployment keeps users as hashes.
fn hides_users(route: Option<&Route>) -> bool {
    route.is_some_and(|route| route.deployment.settings.hash_users)
}

/// Puts a hash in the user's place where the deployment says so, and takes out of the caller's labels and the session's id what is
/// taken out of bodies, unless the deployment keeps these raw: who keeps less of bodies does not want more of labels.
pub(super) fn hide_people(said: &mut Extension, route: Option<&Route>) {
    if let Some(user) = said.user.as_mut().filter(|_| hides_users(route)) {
        *user = ContentHash::of_bytes(user.as_bytes()).to_string();
    }
    if route.is_some_and(|route| route.deployment.settings.bodies == BodyPolicy::Raw) {
        return;
    }
    said.session = said.session.take().map(redact_id);
    for (name, value) in &mut said.tags {
        *value = redact_label(name, value);
    }
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
