//! Helpers of the unit tests.

use llmops_domain::chat::{ChatRequest, Message, Parameters, RequestOrigin, Role};

/// A request to the model `m` with one user message.
pub(crate) fn user(text: &str) -> ChatRequest {
    conversation("m", &[(Role::User, text)])
}

/// A request with text messages.
pub(crate) fn conversation(model: &str, messages: &[(Role, &str)]) -> ChatRequest {
    ChatRequest {
        model: model.to_owned(),
        messages: messages.iter().map(|(role, text)| Message::text(*role, *text)).collect(),
        parameters: Parameters::default(),
        tools: Vec::new(),
        response_format: None,
        origin: RequestOrigin::default(),
    }
}
