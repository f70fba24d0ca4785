//! The body that goes to the provider: the caller's fields as they were written, with what the deployment decides.

mod spoken;

use std::borrow::Cow;

use bytes::Bytes;
use llmops_domain::chat::{Message, Role};
use llmops_domain::deployment::{DeploymentSettings, SystemMerge};
use llmops_domain::render::RenderError;
use llmops_domain::template::{TemplateError, TemplateProblem};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::error::GatewayError;
use crate::request::{EXTENSION, Extension, Fields};
use crate::snapshot::{Forward, Route};

use self::spoken::{Spoken, last_spoken};

/// Fields that say the same, in one format or another: where the manifest sets one, the caller's other would contradict it.
const TWINS: [(&str, &str); 3] =
    [("max_tokens", "max_completion_tokens"), ("stop", "stop_sequences"), ("seed", "random_seed")];

/// Who says one of these chooses how random answers are. Some models refuse a temperature beside them.
const RANDOMNESS: [&str; 2] = ["top_p", "thinking"];

/// The caller's fields for another model name: the very bytes but for that, as far as they are known and nothing in them is for
/// llmops alone; else the same fields in their order.
pub(crate) fn direct(fields: &Fields<'_>, model: &str) -> Result<Bytes, GatewayError> {
    let model = to_json(&model)?;
    if let Some((before, after)) = fields.around("model").filter(|_| fields.get(EXTENSION).is_none()) {
        return Ok(Bytes::from([before, model.as_bytes(), after].concat()));
    }
    let mut body = Writer::new();
    for (name, value) in fields.iter().filter(|(name, _)| *name != EXTENSION) {
        body.raw(name, if name == "model" { &model } else { value.get() })?;
    }
    Ok(body.finish())
}

/// The messages of a call to a deployment, as JSON texts.
#[derive(Debug)]
pub(crate) struct Conversation {
    /// The deployment's system text with the caller's, as JSON, where the format has it apart and the deployment has one.
    pub(crate) system: Option<String>,
    /// The rest, or all, in order.
    messages: Vec<String>,
}

/// What is read of a caller's message.
#[derive(Deserialize)]
struct Said<'a> {
    role: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

impl Said<'_> {
    fn is_system(&self) -> bool {
        matches!(&*self.role, "system" | "developer")
    }
}

impl Conversation {
    /// Renders a deployment's prompt around the caller's messages. `system_apart`: the format has system messages in a
    /// field of their own.
    pub(crate) fn render(
        route: &Route,
        fields: &Fields<'_>,
        said: &Extension,
        system_apart: bool,
    ) -> Result<Self, GatewayError> {
        let raw: Vec<&RawValue> = fields.read("messages")?.unwrap_or_default();
        let mut theirs = Vec::with_capacity(raw.len());
        for (i, message) in raw.into_iter().enumerate() {
            let read: Said<'_> = serde_json::from_str(message.get())
                .map_err(|error| GatewayError::bad_request(format!("messages[{i}]: {error}")).at("messages"))?;
            theirs.push((read, message));
        }
        let taken = if route.target.wraps(&said.variables) { last_spoken(&theirs) } else { None };
        let (at, spoken) = taken.unzip();
        let last_user = spoken.as_ref().map(Spoken::text);
        let frame = route
            .target
            .frame_for_call(said.variables.clone(), last_user.as_deref(), !theirs.is_empty())
            .map_err(|error| variables_error(&error))?;
        // What follows a text that was taken (calls of tools and their results) stays behind the message that wraps the text.
        let mut after = Vec::new();
        if let Some(at) = at {
            after = theirs.split_off(at + 1);
            theirs.truncate(at);
        }
        let their_system = if system_apart { apart_system(fields)? } else { None };
        merge_system(route, &frame.messages, &mut theirs, their_system.is_some())?;
        merge_system(route, &frame.messages, &mut after, false)?;
        let keeps_theirs = route.deployment.settings.merge == SystemMerge::Keep || !has_system(&frame.messages);
        let mut conversation = Self { system: None, messages: Vec::with_capacity(frame.messages.len() + theirs.len()) };
        let mut system: Vec<String> = Vec::new();
        for (i, message) in frame.messages.iter().enumerate() {
            if i == frame.conversation_at {
                conversation.messages.extend(theirs.drain(..).map(|(_, raw)| raw.get().to_owned()));
            }
            if system_apart && matches!(message.role, Role::System | Role::Developer) {
                system.push(message.as_text().into_owned());
            } else {
                let wrapped = spoken.as_ref().filter(|_| i == frame.conversation_at);
                conversation.messages.push(match wrapped {
                    Some(spoken) => spoken.wrapped_by(message)?,
                    None => to_json(message)?,
                });
            }
            if i == frame.conversation_at {
                conversation.messages.extend(after.drain(..).map(|(_, raw)| raw.get().to_owned()));
            }
        }
        conversation.messages.extend(theirs.into_iter().map(|(_, raw)| raw.get().to_owned()));
        if frame.conversation_at >= frame.messages.len() {
            conversation.messages.extend(spoken.as_ref().map(Spoken::without_text).transpose()?.flatten());
        }
        conversation.messages.extend(after.into_iter().map(|(_, raw)| raw.get().to_owned()));
        if !system.is_empty() {
            conversation.system = Some(joined_system(&system.join("\n\n"), their_system.filter(|_| keeps_theirs))?);
        }
        if conversation.messages.is_empty() {
            return Err(
                GatewayError::bad_request("there is nothing to send: no prompt text and no messages").at("messages")
            );
        }
        Ok(conversation)
    }

    /// The messages as a JSON array.
    pub(crate) fn to_json(&self) -> String {
        format!("[{}]", self.messages.join(","))
    }

    /// The messages as JSON texts, one by one.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.messages.iter().map(String::as_str)
    }
}

/// The `system` field of Anthropic's format.
enum System<'a> {
    Text(String),
    /// Text blocks, which may be marked for the provider's cache.
    Blocks(Vec<&'a RawValue>),
}

fn apart_system<'a>(fields: &Fields<'a>) -> Result<Option<System<'a>>, GatewayError> {
    let Some(raw) = fields.get("system") else { return Ok(None) };
    let read = if raw.get().starts_with('"') {
        serde_json::from_str(raw.get()).map(System::Text)
    } else {
        serde_json::from_str(raw.get()).map(System::Blocks)
    };
    read.map(Some).map_err(|_| no_system())
}

/// Our system text before theirs, as JSON. Their blocks stay as they were written.
fn joined_system(ours: &str, theirs: Option<System<'_>>) -> Result<String, GatewayError> {
    match theirs {
        None => to_json(&ours),
        Some(System::Text(theirs)) => to_json(&format!("{ours}\n\n{theirs}")),
        Some(System::Blocks(blocks)) => {
            let first = to_json(&json!({"type": "text", "text": ours}))?;
            let all: Vec<&str> = std::iter::once(&*first).chain(blocks.iter().map(|block| block.get())).collect();
            Ok(format!("[{}]", all.join(",")))
        }
    }
}

fn has_system(messages: &[Message]) -> bool {
    messages.iter().any(|message| matches!(message.role, Role::System | Role::Developer))
}

fn merge_system(
    route: &Route,
    ours: &[Message],
    theirs: &mut Vec<(Said<'_>, &RawValue)>,
    system_field: bool,
) -> Result<(), GatewayError> {
    match route.deployment.settings.merge {
        SystemMerge::Replace if has_system(ours) => theirs.retain(|(said, _)| !said.is_system()),
        SystemMerge::Refuse if system_field || theirs.iter().any(|(said, _)| said.is_system()) => {
            let message = format!("the deployment `{}` takes no system message of its callers", route.deployment.name);
            return Err(GatewayError::bad_request(message).at("messages"));
        }
        SystemMerge::Keep | SystemMerge::Replace | SystemMerge::Refuse => {}
    }
    Ok(())
}

fn variables_error(error: &RenderError) -> GatewayError {
    if let RenderError::Template { error: TemplateError { problem: TemplateProblem::TooMuch(_), .. }, .. } = error {
        return GatewayError::bad_request(format!("the deployment's prompt cannot be rendered: {error}"));
    }
    GatewayError::unrendered(format!(
        "the deployment's prompt cannot be rendered: {error}; variables go into the body's `llmops.variables` or the \
         header x-llmops-variables"
    ))
    .at("llmops.variables")
}

/// The body of a call to a deployment for one candidate.
pub(crate) fn deployed(
    fields: &Fields<'_>,
    route: &Route,
    conversation: &Conversation,
    forward: &Forward,
    model: &str,
) -> Result<Bytes, GatewayError> {
    let mut body = Writer::new();
    body.text("model", model)?;
    let system = system(fields, conversation, forward)?;
    if let Some(system) = &system {
        body.raw("system", system)?;
    }
    body.raw("messages", &conversation.to_json())?;
    let settings = &route.deployment.settings;
    let says = |name: &str| fields.get(name).is_some() || twin(name).is_some_and(|twin| fields.get(twin).is_some());
    let overridden = |name: &str| says(name) && is_allowed(settings, name);
    for (name, value) in forward.fixed.iter().filter(|(name, _)| !overridden(name)) {
        body.raw(name, value.get())?;
    }
    let open = |name: &str| !says(name) && (name != "temperature" || !RANDOMNESS.into_iter().any(says));
    for (name, value) in forward.defaults.iter().filter(|(name, _)| open(name)) {
        body.raw(name, value.get())?;
    }
    let decided = |name: &str| {
        forward.fixed.iter().any(|(fixed, _)| fixed == name && !overridden(fixed))
            || forward.defaults.iter().any(|(default, _)| default == name && open(default))
    };
    for (name, value) in fields.iter() {
        let ours = matches!(name, "model" | "messages" | EXTENSION)
            || (name == "system" && system.is_some())
            || decided(name)
            || twin(name).is_some_and(decided);
        if !ours {
            body.raw(name, value.get())?;
        }
    }
    Ok(body.finish())
}

/// The body of a call for embeddings: the caller's fields, and what the manifest decides.
pub(crate) fn embeddings(
    fields: &Fields<'_>,
    route: &Route,
    forward: &Forward,
    model: &str,
) -> Result<Bytes, GatewayError> {
    let overridden = |name: &str| fields.get(name).is_some() && is_allowed(&route.deployment.settings, name);
    let mut body = Writer::new();
    body.text("model", model)?;
    for (name, value) in forward.fixed.iter().filter(|(name, _)| !overridden(name)) {
        body.raw(name, value.get())?;
    }
    let decided = |name: &str| forward.fixed.iter().any(|(fixed, _)| fixed == name && !overridden(fixed));
    for (name, value) in fields.iter().filter(|(name, _)| !matches!(*name, "model" | EXTENSION) && !decided(name)) {
        body.raw(name, value.get())?;
    }
    Ok(body.finish())
}

/// The system text where it is a field of its own and not just the caller's, as JSON.
fn system(fields: &Fields<'_>, conversation: &Conversation, forward: &Forward) -> Result<Option<String>, GatewayError> {
    let Some(instruction) = &forward.instruction else { return Ok(conversation.system.clone()) };
    let theirs = || fields.get("system").map(RawValue::get);
    let Some(system) = conversation.system.as_deref().or_else(theirs) else { return to_json(instruction).map(Some) };
    if let Ok(text) = serde_json::from_str::<String>(system) {
        return to_json(&format!("{text}\n\n{instruction}")).map(Some);
    }
    let block = to_json(&json!({"type": "text", "text": instruction}))?;
    let blocks: Vec<&RawValue> = serde_json::from_str(system).map_err(|_| no_system())?;
    Ok(Some(format!("[{}]", blocks.iter().map(|block| block.get()).chain([&*block]).collect::<Vec<_>>().join(","))))
}

fn no_system() -> GatewayError {
    GatewayError::bad_request("`system`: expected a text or a list of text blocks").at("system")
}

fn twin(name: &str) -> Option<&'static str> {
    TWINS.iter().find_map(|(one, other)| match name {
        _ if name == *one => Some(*other),
        _ if name == *other => Some(*one),
        _ => None,
    })
}

/// Whether the caller wins over the manifest in a field, by any name that it has.
pub(crate) fn is_allowed(settings: &DeploymentSettings, name: &str) -> bool {
    settings.allow_override.iter().any(|allowed| allowed == name || twin(allowed) == Some(name))
}

pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, GatewayError> {
    serde_json::to_string(value).map_err(|error| GatewayError::bad_request(format!("no JSON form: {error}")))
}

/// Writes an object field by field.
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new() -> Self {
        Self(Vec::with_capacity(1024))
    }

    pub(crate) fn raw(&mut self, name: &str, value: &str) -> Result<(), GatewayError> {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        serde_json::to_writer(&mut self.0, name).map_err(|e| GatewayError::bad_request(e.to_string()))?;
        self.0.push(b':');
        self.0.extend_from_slice(value.as_bytes());
        Ok(())
    }

    pub(crate) fn text(&mut self, name: &str, value: &str) -> Result<(), GatewayError> {
        self.raw(name, &to_json(&value)?)
    }

    pub(crate) fn finish(mut self) -> Bytes {
        self.0.push(b'}');
        Bytes::from(self.0)
    }
}
