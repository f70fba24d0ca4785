//! A call to a deployment, from the variant that answers to the answer.

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, Response};
use llmops_domain::record::Door;
use llmops_domain::soft_failure::{GuardAction, SoftFailure};
use tokio::time::Instant;

use crate::arrive::{self, Arrived, Context, Miss, Way};
use crate::asked::Asked;
use crate::assign::{self, Assign, Subject};
use crate::attempts::Attempts;
use crate::body::GatewayBody;
use crate::cache;
use crate::call::{self, Patience};
use crate::error::GatewayError;
use crate::messages;
use crate::post;
use crate::recorder::{Answering, CallWatch, End, guarded, plus};
use crate::reply::{Answer, fixed, refuse, with_header};
use crate::request::Fields;
use crate::rewrite::Conversation;
use crate::snapshot::{Candidate, Route};

const MANIFEST: HeaderName = HeaderName::from_static("x-llmops-manifest");
const DEPLOYMENT: HeaderName = HeaderName::from_static("x-llmops-deployment");
const VARIANT: HeaderName = HeaderName::from_static("x-llmops-variant");
const SAFE_MODE: HeaderName = HeaderName::from_static("x-llmops-safe-mode");
const CACHE: HeaderName = HeaderName::from_static("x-llmops-cache");
const GUARD: HeaderName = HeaderName::from_static("x-llmops-guard");

/// The variant that a caller gets: its route, and its name where there is an experiment.
async fn choose(assign: &dyn Assign, asked: &Asked<'_>, route: &Arc<Route>) -> (Arc<Route>, Option<String>) {
    let Some(experiment) = route.deployment.settings.experiment.as_deref().filter(|_| !route.variants.is_empty())
    else {
        return (route.clone(), None);
    };
    let attributes = assign::attributes(&route.deployment, &asked.said);
    let hash_users = route.deployment.settings.hash_users;
    let subject = Subject { project: asked.project, experiment, attributes: &attributes, hash_users };
    match assign.assign(subject).await.and_then(|at| route.variants.get(at)) {
        Some(variant) => {
            let own = variant.route.clone().unwrap_or_else(|| route.clone());
            (own, Some(variant.label.clone()))
        }
        None => (route.clone(), None),
    }
}

/// Answers a call to a deployment.
pub(crate) async fn deployed(
    assign: &dyn Assign,
    asked: &Asked<'_>,
    route: &Arc<Route>,
    mut watch: CallWatch,
) -> Answer {
    let (route, variant) = choose(assign, asked, route).await;
    watch.with(|call| {
        call.route = Some(route.clone());
        call.variant.clone_from(&variant);
    });
    let mut answer = if let Some(text) = &route.fixed_answer {
        match asked.door {
            Door::Embeddings => refuse(GatewayError::in_safe_mode(&route.deployment.name), watch, asked.door),
            Door::Chat | Door::Messages => fixed(asked, text, watch),
        }
    } else {
        let answered = pin!(answer_from_candidates(asked, &route, watch)).await;
        match answered {
            Ok(answer) => answer,
            Err((error, watch)) => refuse(error, watch, asked.door),
        }
    };
    let headers = answer.headers_mut();
    for (name, value) in [(MANIFEST, &route.manifest_header), (DEPLOYMENT, &route.name_header)] {
        headers.extend(value.clone().map(|value| (name, value)));
    }
    if let Some(variant) = &variant {
        answer = with_header(answer, VARIANT, variant);
    }
    if route.deployment.safe_mode { with_header(answer, SAFE_MODE, "on") } else { answer }
}

/// The messages of a call, rendered once for all attempts that want them: as OpenAI's format has them, with the request that
/// was translated into it, and as Anthropic's does. What one format cannot say is no matter while the other is asked.
#[derive(Default)]
struct Rendered {
    inline: OnceLock<Result<(Option<Bytes>, Conversation), GatewayError>>,
    apart: OnceLock<Result<Conversation, GatewayError>>,
}

impl Rendered {
    fn inline(&self, asked: &Asked<'_>, route: &Route) -> Result<&(Option<Bytes>, Conversation), GatewayError> {
        let rendered = self.inline.get_or_init(|| {
            if asked.door != Door::Messages {
                return Ok((None, Conversation::render(route, &asked.fields, &asked.said, false)?));
            }
            let translated = messages::to_openai(&asked.fields)?;
            let conversation = Conversation::render(route, &Fields::parse(&translated)?, &asked.said, false)?;
            Ok((Some(translated), conversation))
        });
        rendered.as_ref().map_err(Clone::clone)
    }

    fn apart(&self, asked: &Asked<'_>, route: &Route) -> Result<&Conversation, GatewayError> {
        let rendered = self.apart.get_or_init(|| Conversation::render(route, &asked.fields, &asked.said, true));
        rendered.as_ref().map_err(Clone::clone)
    }
}

type Refused = (GatewayError, CallWatch);

async fn answer_from_candidates(asked: &Asked<'_>, route: &Route, watch: CallWatch) -> Result<Answer, Refused> {
    if asked.door == Door::Embeddings && !route.target.manifest().is_model_alone() {
        let message = format!(
            "the deployment `{}` answers chats: embeddings are made by one that is a model alone, without prompt, system text, \
             examples or tools",
            route.deployment.name
        );
        return Err((GatewayError::bad_request(message).at("model"), watch));
    }
    let settings = &route.deployment.settings;
    let serving = Serving {
        asked,
        route,
        rendered: Rendered::default(),
        headers: call::outgoing(asked.headers),
        headers_again: OnceLock::new(),
        patience: Patience {
            retries: settings.retries,
            first_byte: settings.timeout_first_byte.0,
            deadline: Instant::now() + settings.timeout_total.0,
        },
        order: route.ranking.load_full(),
        attempts: watch.attempts(),
        id: watch.id().to_owned(),
    };
    pin!(serving.answer(watch)).await
}

/// A call under way.
struct Serving<'a> {
    asked: &'a Asked<'a>,
    route: &'a Route,
    rendered: Rendered,
    headers: HeaderMap,
    /// The same for what the guard wants asked again: a provider that honours an `idempotency-key` would repeat itself.
    headers_again: OnceLock<HeaderMap>,
    patience: Patience,
    /// Positions of the candidates, as they are asked.
    order: Arc<Vec<usize>>,
    attempts: Attempts,
    /// The call's id.
    id: String,
}

impl Serving<'_> {
    async fn answer(&self, mut watch: CallWatch) -> Result<Answer, Refused> {
        if let Some(kept) = self.kept(&mut watch) {
            watch.with(|call| {
                call.status = 200;
                call.told = kept.told;
                call.model = kept.model;
            });
            watch.capture(&kept.body);
            watch.end(End::Complete);
            let mut response = Response::new(GatewayBody::whole(kept.body));
            response.headers_mut().extend(kept.kind.map(|kind| (CONTENT_TYPE, kind)));
            return Ok(with_header(response, CACHE, "hit"));
        }
        let is_read = !self.asked.stream && self.asked.door != Door::Embeddings;
        let is_guarded = is_read && !self.route.guard.config().actions.is_empty();
        let is_whole = is_guarded || self.is_processed();
        let found = pin!(self.first_of(0, is_whole, &mut watch)).await;
        let (position, arrived) = match found {
            Ok(found) => found,
            Err(error) => return Err((error, watch)),
        };
        let arrived = self.processed(arrived, &mut watch);
        let (arrived, guard) =
            if is_guarded { Box::pin(self.guarded(position, arrived, &mut watch)).await } else { (arrived, None) };
        let mut answer = arrived.hand_on(self.patience.deadline, watch);
        if let Some(guard) = guard {
            answer = with_header(answer, GUARD, &guard);
        }
        Ok(if self.route.cache.is_some() { with_header(answer, CACHE, "miss") } else { answer })
    }

    /// The answer that was kept for an equal request, or where this one's is going to be kept.
    fn kept(&self, watch: &mut CallWatch) -> Option<cache::KeptAnswer> {
        let cache = self.route.cache.as_ref()?;
        let body = self.order.iter().find_map(|at| self.way(&self.route.candidates[*at]).ok())?.body();
        let shape = (self.asked.stream, self.asked.wants_usage() || self.asked.shows_thoughts());
        let key = cache::key(&self.route.manifest_id, self.asked.door, shape, &self.headers, &body);
        if let Some(kept) = cache.get(&key) {
            watch.with(|call| {
                call.cached = true;
                call.request = body;
            });
            return Some(kept);
        }
        watch.with(|call| call.fill = Some(cache.fill(key)));
        None
    }

    /// How a candidate is asked.
    fn way<'b>(&'b self, candidate: &'b Candidate) -> Result<Way<'b>, GatewayError> {
        let asked = self.asked;
        if asked.door == Door::Embeddings {
            return arrive::embeddings(asked, self.route, candidate);
        }
        if asked.door == Door::Messages && arrive::is_native(asked.door, candidate) {
            let conversation = self.rendered.apart(asked, self.route)?;
            return arrive::deployed(asked, self.route, candidate, (&asked.fields, conversation));
        }
        let (translated, conversation) = self.rendered.inline(asked, self.route)?;
        let translated = translated.as_deref().map(Fields::parse).transpose()?;
        let fields = translated.as_ref().unwrap_or(&asked.fields);
        arrive::deployed(asked, self.route, candidate, (fields, conversation))
    }

    /// The first answer of the candidates from a position on, and the position that gave it.
    async fn first_of(
        &self,
        from: usize,
        whole: bool,
        watch: &mut CallWatch,
    ) -> Result<(usize, Arrived), GatewayError> {
        let mut last = None;
        let mut position = from;
        // When the time is over nobody else could answer.
        while position < self.order.len() && Instant::now() < self.patience.deadline {
            let (at, arrived) = pin!(self.hedged(position, whole, watch)).await;
            match arrived {
                Ok(arrived) => return Ok((at, arrived)),
                // What one cannot be told another may understand: this is the answer where nobody was asked.
                Err(miss @ Miss::Refused(_)) => last = last.or(Some(miss)),
                Err(miss) => last = Some(miss),
            }
            position = at + 1;
        }
        match last {
            // The provider's own refusal is better than ours, where nobody else is left to ask.
            Some(Miss::Refusal(arrived)) => Ok((self.order.len() - 1, *arrived)),
            Some(Miss::Failure(error)) => Err(call::refusal(&error, watch)),
            Some(Miss::Refused(error)) => Err(error),
            None => Err(GatewayError::unavailable(Instant::now() >= self.patience.deadline)),
        }
    }

    /// Asks the candidate at a position, and where the deployment hedges, the one after it too when that takes long. The last
    /// position that was asked comes with what arrived.
    async fn hedged(&self, position: usize, whole: bool, watch: &mut CallWatch) -> (usize, Result<Arrived, Miss>) {
        let next = position + 1;
        let delay = self.route.deployment.settings.hedge_after.filter(|_| next < self.order.len());
        let Some(delay) = delay else {
            let candidate = &self.route.candidates[self.order[position]];
            let way = match self.way(candidate) {
                Ok(way) => way,
                Err(error) => return (position, Err(Miss::Refused(error))),
            };
            note(candidate, way.body(), watch);
            return (position, pin!(arrive::ask(self.context(), way, whole)).await);
        };
        Box::pin(self.raced(position, delay.0, whole, watch)).await
    }

    async fn raced(
        &self,
        position: usize,
        delay: Duration,
        whole: bool,
        watch: &mut CallWatch,
    ) -> (usize, Result<Arrived, Miss>) {
        let next = position + 1;
        // A caller that leaves meanwhile has asked this one.
        self.note_at(position, watch);
        let mut first = pin!(self.ask_at(position, whole));
        if let Ok(arrived) = tokio::time::timeout(delay, &mut first).await {
            return (position, arrived);
        }
        let mut second = pin!(self.ask_at(next, whole));
        // Whoever answers first is taken; the other one is dropped, which cancels it, unless the first word was a failure.
        let (at, arrived) = tokio::select! {
            arrived = &mut first => match arrived {
                Ok(arrived) => (position, Ok(arrived)),
                Err(miss) => match second.await {
                    // It was not asked.
                    Err(Miss::Refused(_)) => (position, Err(miss)),
                    arrived => (next, arrived),
                },
            },
            arrived = &mut second => match arrived {
                Ok(arrived) => (next, Ok(arrived)),
                Err(_) => (position, first.await),
            },
        };
        self.note_at(at, watch);
        // Both were asked: whoever goes on goes on behind them.
        if arrived.is_err() { (next, arrived) } else { (at, arrived) }
    }

    async fn ask_at(&self, position: usize, whole: bool) -> Result<Arrived, Miss> {
        let way = self.way(&self.route.candidates[self.order[position]]).map_err(Miss::Refused)?;
        arrive::ask(self.context(), way, whole).await
    }

    fn context(&self) -> Context<'_> {
        Context {
            asked: self.asked,
            headers: self.headers_again.get().unwrap_or(&self.headers),
            patience: self.patience,
            attempts: &self.attempts,
            id: &self.id,
        }
    }

    /// Notes whose answer it is going to be, where two were asked.
    fn note_at(&self, position: usize, watch: &mut CallWatch) {
        let candidate = &self.route.candidates[self.order[position]];
        if let Ok(way) = self.way(candidate) {
            note(candidate, way.body(), watch);
        }
    }

    /// Does what the deployment wants done about a soft failure, until an answer passes or nothing is left to do.
    async fn guarded(&self, position: usize, arrived: Arrived, watch: &mut CallWatch) -> (Arrived, Option<String>) {
        let config = self.route.guard.config();
        let (mut position, mut arrived) = (position, arrived);
        let mut taken: Vec<&str> = Vec::new();
        for action in &config.actions {
            let failures = self.failures(&arrived, watch);
            if !failures.iter().any(|failure| config.acts_on(failure.kind)) {
                break;
            }
            let before = watch.answering();
            self.headers_again.get_or_init(|| {
                let mut headers = self.headers.clone();
                headers.remove("idempotency-key");
                headers
            });
            let next = match action {
                GuardAction::Retry => self.first_of(position, true, watch).await.ok(),
                GuardAction::FallBack => self.first_of(position + 1, true, watch).await.ok(),
                GuardAction::Replace => {
                    let text = config.safe_answer.clone().unwrap_or_default();
                    let usage = arrived.usage().plus(watch.discarded());
                    Some((position, Arrived::made(self.asked, &text, watch.id(), usage)))
                }
            };
            // Where nobody else answers, the answer that is there is better than none.
            let Some((at, next)) = next.filter(|(_, next)| next.is_success()) else {
                watch.restore(before);
                continue;
            };
            discard((&arrived, &before), failures, *action, watch);
            taken.push(name_of(*action));
            let is_ours = *action == GuardAction::Replace;
            (position, arrived) = (at, if is_ours { next } else { self.processed(next, watch) });
        }
        let header = (!taken.is_empty()).then(|| taken.join(", "));
        (arrived, header)
    }

    /// Whether the manifest has steps for this answer. Streams are handed on as they come.
    fn is_processed(&self) -> bool {
        !self.asked.stream && !self.route.target.post_processor().is_empty()
    }

    /// An answer with the manifest's steps applied. One that they do not fit stays as it is, and this is noted.
    fn processed(&self, arrived: Arrived, watch: &mut CallWatch) -> Arrived {
        if !self.is_processed() || !arrived.is_success() {
            return arrived;
        }
        let steps = self.route.target.post_processor();
        match arrived.body().map(|body| post::process(steps, self.asked.door, body)) {
            Some(Ok(Some(body))) => arrived.with_body(body),
            Some(Err(error)) => {
                watch.with(|call| call.misfit = Some(error.soft_failure()));
                arrived
            }
            Some(Ok(None)) | None => arrived,
        }
    }

    fn failures(&self, arrived: &Arrived, watch: &CallWatch) -> Vec<SoftFailure> {
        match arrived.read().filter(|_| arrived.is_success()) {
            Some(read) => {
                let mut found = guarded(self.route, &watch.request(), &read);
                found.extend(watch.misfit());
                found
            }
            None => Vec::new(),
        }
    }
}

/// Notes an answer that the caller does not get: what was wrong with it, and what it cost.
fn discard(
    (arrived, by): (&Arrived, &Answering),
    failures: Vec<SoftFailure>,
    action: GuardAction,
    watch: &mut CallWatch,
) {
    let usage = arrived.usage();
    watch.with(|call| {
        call.guard.push(action);
        call.misfit = None;
        if call.found.is_empty() {
            call.found = failures;
        }
        call.discarded = call.discarded.plus(usage);
        call.discarded_cost = plus(call.discarded_cost, by.target.as_ref().and_then(|target| target.cost(usage)));
        // A safe answer is not what the model says to such a request.
        call.fill = call.fill.take().filter(|_| action != GuardAction::Replace);
    });
}

fn note(candidate: &Candidate, body: Bytes, watch: &mut CallWatch) {
    watch.with(|call| {
        call.target = Some(candidate.target.clone());
        candidate.name.clone_into(&mut call.model);
        call.request = body;
    });
}

fn name_of(action: GuardAction) -> &'static str {
    match action {
        GuardAction::Retry => "retry",
        GuardAction::FallBack => "fall_back",
        GuardAction::Replace => "replace",
    }
}
