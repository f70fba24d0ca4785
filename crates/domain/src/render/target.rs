//! Requests for a target: what a provider is asked for one sample.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{AroundInput, Asked, CONTEXT, CompiledPrompt, Extra, Frame, INPUT, RenderError, has_text};
use crate::chat::{ChatRequest, Message, Parameters, RequestOrigin, Role};
use crate::dataset::Sample;
use crate::deployment::SystemMerge;
use crate::manifest::{DEFAULT_TEMPERATURE, Manifest};
use crate::post_process::{PostProcessError, PostProcessor};
use crate::prompt::PromptBody;

/// A manifest and its prompt, compiled once for all samples of a run.
#[derive(Debug, Clone)]
pub struct CompiledTarget {
    manifest: Manifest,
    prompt: CompiledPrompt,
    /// The manifest's parameters with its stop sequences, as requests carry them.
    parameters: Parameters,
    has_default_temperature: bool,
}

impl CompiledTarget {
    /// Compiles a manifest with the body of the prompt it names; without a prompt the input is sent as it is, behind the
    /// manifest's system message and examples. What the manifest holds (system, examples, parameters, stop, tools,
    /// response format, post-processing) wins over the prompt's own.
    ///
    /// # Errors
    /// [`RenderError::Prompt`] with everything that is wrong with the prompt.
    pub fn compile(manifest: Manifest, prompt: Option<&PromptBody>) -> Result<Self, RenderError> {
        let body = PromptBody {
            content: prompt.and_then(|p| p.content.clone()),
            messages: prompt.map(|p| p.messages.clone()).unwrap_or_default(),
            variables: prompt.map(|p| p.variables.clone()).unwrap_or_default(),
            system: manifest.system.clone(),
            examples: manifest.examples.clone(),
            post_processing: manifest.post_processing.clone(),
            ..PromptBody::default()
        };
        let mut parameters = manifest.parameters.clone();
        parameters.stop.clone_from(&manifest.stop);
        // A resolved manifest does not say who named its temperature, but its prompt says whether it did.
        let has_default_temperature = parameters.temperature == Some(DEFAULT_TEMPERATURE)
            && !parameters.extra_body.contains_key("temperature")
            && prompt.is_none_or(|prompt| prompt.parameters.temperature.is_none());
        Ok(Self { prompt: CompiledPrompt::compile(&body)?, manifest, parameters, has_default_temperature })
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The compiled prompt, with the manifest's system message and examples.
    pub fn prompt(&self) -> &CompiledPrompt {
        &self.prompt
    }

    /// The steps for the answers.
    pub fn post_processor(&self) -> &PostProcessor {
        self.prompt.post_processor()
    }

    /// Applies the steps to a text. An empty text, beside calls of tools, has nothing to apply them to.
    ///
    /// # Errors
    /// When the text does not fit a step: it stays as it is.
    pub fn post_process(&self, text: &mut String) -> Result<(), PostProcessError> {
        if !text.is_empty() {
            *text = self.post_processor().apply(text)?.into_owned();
        }
        Ok(())
    }

    /// The provider's name: the part of the model before the first `/`, empty where there is none.
    pub fn provider(&self) -> &str {
        self.manifest.model.split_once('/').map_or("", |(provider, _)| provider)
    }

    /// The model's name at the provider: the part behind the first `/`.
    pub fn model(&self) -> &str {
        self.manifest.model.split_once('/').map_or(&*self.manifest.model, |(_, model)| model)
    }

    /// The request for one trial of a sample.
    ///
    /// Where a sample has a conversation and no input, the conversation's last message is the input if the user says it:
    /// so a template may wrap it, and instructions without `{{input}}` stand before the conversation, not behind it. A template
    /// with `{{input}}` wraps what the user said last where others spoke after that; what they said stays behind it.
    ///
    /// # Errors
    /// When the sample's variables do not suit the prompt, a template fails, or there is nothing to send.
    pub fn request_for_sample(&self, sample: &Sample, trial: u32) -> Result<ChatRequest, RenderError> {
        let mut values = sample.variables.clone();
        let mut split = split_input(sample, self.prompt.uses(INPUT));
        let has_conversation = !split.before.is_empty();
        let is_silent = split.said.is_none() && !has_text(values.get(INPUT)) && has_conversation;
        let asked = if is_silent { Asked::Nothing } else { Asked::Something };
        self.give(&mut values, INPUT, split.said.take().unwrap_or_default());
        self.give(&mut values, CONTEXT, sample.context.join("\n\n"));
        let bound = self.prompt.bind(values, Extra::Ignore)?;
        let mut frame = self.prompt.frame(&bound, asked)?;
        if has_conversation {
            frame.drop_blank();
        }
        let ends_with_user = split.before.last().is_some_and(|message| message.role == Role::User);
        if ends_with_user && !self.prompt.uses(INPUT) && !has_text(bound.get(INPUT)) {
            // What the user says last stays a message of its own, as it is.
            frame.conversation_at = frame.messages.len();
        }
        let messages = frame.around(split);
        if messages.is_empty() {
            return Err(RenderError::Nothing);
        }
        Ok(ChatRequest {
            messages,
            origin: RequestOrigin { sample_id: Some(sample.id.clone()), trial, variables: bound },
            ..self.bare_request()
        })
    }

    /// Whether a call with these variables has a template wrap what the user said last: one that uses `input`, which the caller
    /// did not give.
    pub fn wraps(&self, variables: &BTreeMap<String, Value>) -> bool {
        self.prompt.uses(INPUT) && variables.get(INPUT).is_none_or(Value::is_null)
    }

    /// The messages around a live conversation. `last_user` is the text that the user said last, where a template
    /// [wraps](Self::wraps) it: what came before it goes where the conversation stands, what came after it behind the message
    /// there. Where nothing wraps it, the conversation follows the prompt, without what the prompt would have the user ask in a
    /// conversation where the user says nothing.
    ///
    /// # Errors
    /// When the variables do not suit the prompt, or a template fails.
    pub fn frame_for_call(
        &self,
        mut variables: BTreeMap<String, Value>,
        last_user: Option<&str>,
        has_conversation: bool,
    ) -> Result<Frame, RenderError> {
        let wraps = self.wraps(&variables);
        let given = variables.get(INPUT).is_some_and(|value| !value.is_null());
        let taken = last_user.filter(|_| wraps);
        if !given {
            self.give(&mut variables, INPUT, taken.unwrap_or_default().to_owned());
        }
        if !variables.contains_key(CONTEXT) {
            self.give(&mut variables, CONTEXT, String::new());
        }
        let bound = self.prompt.bind(variables, Extra::Ignore)?;
        let is_silent = wraps && taken.is_none() && has_conversation;
        let mut frame = self.prompt.frame(&bound, if is_silent { Asked::Nothing } else { Asked::Something })?;
        if !given && taken.is_none() {
            if wraps {
                frame.drop_blank();
            }
            frame.conversation_at = frame.messages.len();
        }
        Ok(frame)
    }

    /// The messages of a call: the prompt's own around the caller's, of which system messages stay as far as `merge` lets them.
    ///
    /// # Errors
    /// As [`CompiledTarget::frame_for_call`].
    pub fn messages_for_call(
        &self,
        variables: BTreeMap<String, Value>,
        theirs: Vec<Message>,
        merge: SystemMerge,
    ) -> Result<Vec<Message>, RenderError> {
        let has_conversation = !theirs.is_empty();
        let all_before = |before| AroundInput { before, ..AroundInput::default() };
        let mut split = if self.wraps(&variables) { AroundInput::of(theirs) } else { all_before(theirs) };
        let frame = self.frame_for_call(variables, split.said.as_deref(), has_conversation)?;
        let is_system = |message: &Message| matches!(message.role, Role::System | Role::Developer);
        if merge == SystemMerge::Replace && frame.messages.iter().any(is_system) {
            split.before.retain(|message| !is_system(message));
            split.after.retain(|message| !is_system(message));
        }
        Ok(frame.around(split))
    }

    /// The request without its messages: what is the same for every call.
    pub fn bare_request(&self) -> ChatRequest {
        ChatRequest {
            model: self.model().to_owned(),
            messages: Vec::new(),
            parameters: self.parameters.clone(),
            tools: self.manifest.tools.clone(),
            response_format: self.manifest.response_format.clone(),
            origin: RequestOrigin::default(),
        }
    }

    /// Whether the temperature is the one that a manifest has where its prompt names none. Evaluations use it; a caller who
    /// names another gets that.
    pub fn has_default_temperature(&self) -> bool {
        self.has_default_temperature
    }

    /// The parameters of a call whose caller wants `theirs`: the manifest decides what it names, except for the names that
    /// are `allowed`.
    pub fn parameters_for_call(&self, theirs: &Parameters, allowed: impl Fn(&str) -> bool) -> Parameters {
        let mut ours = self.parameters.clone();
        if self.has_default_temperature && theirs.chooses_randomness() {
            ours.temperature = None;
        }
        let mut merged = theirs.clone().overlaid(&ours);
        merged.let_win(theirs, allowed);
        merged
    }

    /// Sets a variable that a sample has a field for. The field wins over a variable of that name. An empty field is an
    /// empty text, unless the prompt declares the variable: then it is not given, and default or requirement decide.
    fn give(&self, values: &mut BTreeMap<String, Value>, name: &str, field: String) {
        let is_wanted = !field.is_empty() || (!self.prompt.declares(name) && !values.contains_key(name));
        if is_wanted {
            values.insert(name.to_owned(), Value::String(field));
        }
    }
}

/// The sample's conversation around its input. A template that `wraps` an input takes it from within the conversation, too.
fn split_input(sample: &Sample, wraps: bool) -> AroundInput {
    if sample.input.is_empty() && !sample.variables.contains_key(INPUT) {
        let split = AroundInput::of(sample.messages.clone());
        let ends_plainly = sample.messages.last().is_some_and(|message| message.content.is_string());
        if split.said.is_some() && (wraps || (split.after.is_empty() && ends_plainly)) {
            return split;
        }
    }
    let said = Some(sample.input.clone()).filter(|input| !input.is_empty());
    AroundInput { before: sample.messages.clone(), said, ..AroundInput::default() }
}
