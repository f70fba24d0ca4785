//! Whether a provider is there, without a call that counts.

use llmops_domain::chat::{ChatRequest, ChatResponse, Message, Parameters, RequestOrigin, Role};
use llmops_domain::config::providers::ProviderConfig;

use super::{Answer, Target};
use crate::provider::ProviderError;

/// Tokens that a check asks for: some models think before the first word.
const CHECK_TOKENS: u32 = 16;

impl Target {
    /// Looks whether what answers on this machine is there: files of answers and scripts can be read, line by line, and a program can
    /// be found. Nothing is asked.
    ///
    /// # Errors
    /// `Config` with what is missing or wrong.
    pub async fn ready(&self) -> Result<(), ProviderError> {
        let is_here = matches!(
            self.entry.config.as_deref(),
            Some(ProviderConfig::Outputs(_) | ProviderConfig::Command(_) | ProviderConfig::Simulator(_))
        );
        if is_here && !matches!(self.entry.client.get(), Some(Ok(_))) {
            // A failure is not kept: what is missing may be mended before the next look.
            let made = self.make().await?;
            let _ = self.entry.client.set(Ok(made));
        }
        Ok(())
    }

    /// Whether calls cost nothing: files of answers, and the simulator.
    pub fn is_free(&self) -> bool {
        matches!(self.entry.config.as_deref(), Some(ProviderConfig::Outputs(_) | ProviderConfig::Simulator(_)))
    }

    /// How many answers it has to give, where that is a fixed number and they were looked at.
    pub fn answers(&self) -> Option<u64> {
        self.entry.client.get()?.as_ref().ok()?.answers()
    }

    pub(super) async fn check(&self) -> Result<Answer, ProviderError> {
        let request = ChatRequest {
            model: self.model.clone(),
            messages: vec![Message::text(Role::User, "Reply with the word OK.")],
            parameters: Parameters { max_tokens: Some(CHECK_TOKENS), ..Parameters::default() },
            tools: Vec::new(),
            response_format: None,
            origin: RequestOrigin::default(),
        };
        if matches!(self.entry.config.as_deref(), Some(ProviderConfig::Outputs(_))) {
            self.ready().await.inspect_err(|error| self.observe(Err(error)))?;
            self.observe(Ok(0.0));
            let response = ChatResponse { model: self.model.clone(), ..ChatResponse::default() };
            return Ok(Answer { response, cost: None, attempts: 0 });
        }
        self.ask(&request, false).await
    }
}
