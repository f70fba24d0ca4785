//! A model that the caller names directly, past the deployments.

use std::time::Duration;

use llmops_domain::deployment::DEFAULT_ENVIRONMENT;
use llmops_domain::record::Door;
use llmops_providers::upstream::Purpose;
use tokio::time::Instant;

use crate::arrive::{self, Context, Miss, Way};
use crate::asked::Asked;
use crate::call::{self, Patience, Place};
use crate::error::GatewayError;
use crate::gateway::Caller;
use crate::messages;
use crate::recorder::CallWatch;
use crate::reply::{Answer, refuse};
use crate::request::Fields;
use crate::rewrite;
use crate::snapshot::{Candidate, Snapshot};

/// Longest wait for the first byte of a model that has no settings.
const FIRST_BYTE: Duration = Duration::from_mins(1);
/// Longest that an answer of such a model may take.
const TOTAL: Duration = Duration::from_mins(10);

/// The model that a caller names, if that is allowed.
pub(crate) fn candidate(snapshot: &Snapshot, caller: &Caller, asked: &Asked<'_>) -> Result<Candidate, GatewayError> {
    let name = &asked.model;
    let is_direct = name
        .split_once('/')
        .is_some_and(|(provider, model)| !model.is_empty() && snapshot.providers().names().any(|n| n == provider));
    if !is_direct {
        return Err(GatewayError::not_found(no_deployment(snapshot, caller, asked)).at("model"));
    }
    if !caller.may_pass_through {
        return Err(GatewayError::forbidden(format!("this key may call deployments only, not `{name}` directly")));
    }
    snapshot.candidate(name, None).map_err(GatewayError::misconfigured)
}

/// Says that there is no such deployment, and what there is.
fn no_deployment(snapshot: &Snapshot, caller: &Caller, asked: &Asked<'_>) -> String {
    let (name, environment) = match asked.model.split_once('@') {
        Some((name, environment)) => (name, Some(environment)),
        None => (&*asked.model, asked.said.environment.as_deref()),
    };
    let names = snapshot.names(&caller.project);
    let environments: Vec<_> = names.iter().filter_map(|known| known.strip_prefix(name)?.strip_prefix('@')).collect();
    match environment.unwrap_or(DEFAULT_ENVIRONMENT) {
        missing if !environments.is_empty() => {
            format!(
                "the deployment `{name}` is not in the environment `{missing}`, but in: {}",
                environments.join(", ")
            )
        }
        _ => {
            let hint = snapshot.nearest(&caller.project, name).map(|near| format!("; did you mean `{near}`?"));
            format!("there is no deployment `{name}`{}", hint.unwrap_or_default())
        }
    }
}

/// Asks it.
pub(crate) async fn answer(
    snapshot: &Snapshot,
    asked: &Asked<'_>,
    candidate: &Candidate,
    mut watch: CallWatch,
) -> Answer {
    watch.with(|call| call.target = Some(candidate.target.clone()));
    match ask(snapshot, asked, candidate, &mut watch).await {
        Ok(arrived) => arrived.hand_on(Instant::now() + TOTAL, watch),
        Err(Miss::Refusal(arrived)) => arrived.hand_on(Instant::now() + TOTAL, watch),
        Err(Miss::Failure(error)) => {
            let error = call::refusal(&error, &mut watch);
            refuse(error, watch, asked.door)
        }
        Err(Miss::Refused(error)) => refuse(error, watch, asked.door),
    }
}

async fn ask(
    snapshot: &Snapshot,
    asked: &Asked<'_>,
    candidate: &Candidate,
    watch: &mut CallWatch,
) -> Result<arrive::Arrived, Miss> {
    let converted = match asked.door {
        Door::Messages if !arrive::is_native(asked.door, candidate) => {
            Some(messages::to_openai(&asked.fields).map_err(Miss::Refused)?)
        }
        _ => None,
    };
    let converted = converted.as_deref().map(Fields::parse).transpose().map_err(Miss::Refused)?;
    let embeddings;
    let way = if asked.door == Door::Embeddings {
        if !arrive::is_native(asked.door, candidate) {
            return Err(Miss::Refused(GatewayError::no_embeddings(&candidate.name)));
        }
        let model = candidate.target.model();
        embeddings = snapshot
            .endpoint(&candidate.target, Purpose::Embeddings)
            .unwrap_or_else(|| Err("this provider has no embeddings".to_owned()))
            .map_err(|message| Miss::Refused(GatewayError::misconfigured(message)))?;
        let body = rewrite::direct(&asked.fields, model).map_err(Miss::Refused)?;
        let place =
            Place { model: &candidate.name, upstream: &embeddings.0, endpoint: &embeddings.1, body, is_native: true };
        Way::Network(place)
    } else {
        arrive::direct(asked, candidate, converted.as_ref().unwrap_or(&asked.fields)).map_err(Miss::Refused)?
    };
    watch.with(|call| {
        call.request = way.body();
        candidate.name.clone_into(&mut call.model);
    });
    let (attempts, id, headers) = (watch.attempts(), watch.id().to_owned(), call::outgoing(asked.headers));
    let patience = Patience { retries: 1, first_byte: FIRST_BYTE, deadline: Instant::now() + TOTAL };
    let context = Context { asked, headers: &headers, patience, attempts: &attempts, id: &id };
    arrive::ask(context, way, false).await
}
