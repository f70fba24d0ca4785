//! A request that was read.

use http::HeaderMap;
use llmops_domain::id::ProjectId;
use llmops_domain::record::Door;
use serde::Deserialize;

use crate::error::GatewayError;
use crate::messages;
use crate::request::{Extension, Fields};

/// Anthropic's own place for the end user.
fn anthropic_user(fields: &Fields<'_>) -> Option<String> {
    #[derive(Deserialize)]
    struct Metadata {
        user_id: Option<String>,
    }
    fields.read::<Metadata>("metadata").ok().flatten()?.user_id
}

/// A request that was read.
pub(crate) struct Asked<'a> {
    pub(crate) door: Door,
    pub(crate) fields: Fields<'a>,
    pub(crate) headers: &'a HeaderMap,
    /// Whose deployments are meant.
    pub(crate) project: &'a ProjectId,
    pub(crate) model: String,
    pub(crate) said: Extension,
    pub(crate) stream: bool,
}

impl<'a> Asked<'a> {
    pub(crate) fn read(
        door: Door,
        body: &'a [u8],
        headers: &'a HeaderMap,
        project: &'a ProjectId,
    ) -> Result<Self, GatewayError> {
        let fields = Fields::parse(body)?;
        let model = fields
            .text("model")?
            .ok_or_else(|| GatewayError::bad_request("the field `model` is missing: name a deployment").at("model"))?
            .into_owned();
        let mut said = Extension::read(&fields, headers)?;
        if door == Door::Messages && said.user.is_none() {
            said.user = anthropic_user(&fields);
        }
        let stream = fields.read("stream")?.unwrap_or(false);
        Ok(Self { door, fields, headers, project, model, said, stream })
    }

    /// Whether an answer that is translated for Anthropic's clients has what the model thinks.
    pub(crate) fn shows_thoughts(&self) -> bool {
        self.door == Door::Messages && messages::asks_for_thoughts(&self.fields)
    }

    /// Whether a stream ends with its counts: OpenAI's clients ask for it.
    pub(crate) fn wants_usage(&self) -> bool {
        let options = self.fields.read::<serde_json::Value>("stream_options").ok().flatten();
        options.is_some_and(|options| options["include_usage"] == true)
    }
}
