//! Canaries on the hot path: who is answered by the candidate, and what is handed over of a call for the comparison.

use std::collections::BTreeMap;
use std::sync::Arc;

use llmops_domain::canary::{Canary, SeenCall, Share, is_drawn};
use llmops_domain::hash::ContentHash;
use serde_json::Value;

use crate::answer::Answer;
use crate::recorder::CallWatch;
use crate::request::Extension;
use crate::snapshot::Route;

/// The canary of a deployment.
#[derive(Debug)]
pub(crate) struct RouteCanary {
    pub(crate) canary: Arc<Canary>,
    /// What answers instead for a share of users.
    pub(crate) exposed: Option<(Share, Arc<Route>)>,
}

/// What a caller said beside the request's body.
#[derive(Debug)]
pub(crate) struct Heard(BTreeMap<String, Value>);

/// The route that answers a call: the candidate's for those within the share, by the hash of the user, else of the
/// session, else of the request. Of a deployment with a canary the request is kept until it is recorded.
pub(crate) fn choose(route: &Arc<Route>, said: &Extension, watch: &mut CallWatch) -> Arc<Route> {
    let Some(running) = &route.canary else { return route.clone() };
    let mut chosen = route.clone();
    watch.with(|call| {
        if let Some((share, candidate)) = &running.exposed {
            let named = said.user.as_deref().or(said.session.as_deref());
            let unit = named.map_or_else(|| ContentHash::of_bytes(&call.asked).to_string(), str::to_owned);
            if is_drawn(running.canary.id.as_str(), &unit, *share) {
                chosen = candidate.clone();
            }
        }
        call.heard = Some(Heard(said.variables.clone()));
    });
    chosen
}

/// What is handed over of a call that is over.
pub(crate) fn seen(route: &Route, heard: Heard, (asked, stream): (&[u8], bool), answer: &Answer) -> Option<SeenCall> {
    let running = route.canary.as_ref()?;
    let mut text = answer.text.clone();
    // Callers got streams as they came; the candidate's answer is processed, and one that does not fit is told there.
    if stream {
        route.target.post_process(&mut text).unwrap_or_default();
    }
    Some(SeenCall {
        canary: running.canary.clone(),
        request: asked.to_vec(),
        variables: heard.0,
        answer: text,
        calls_tools: !answer.called_tools.is_empty(),
        record_bodies: route.deployment.settings.bodies,
    })
}
