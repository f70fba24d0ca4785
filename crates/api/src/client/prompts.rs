//! Prompts.

use http::Method;
use llmops_domain::prompt::PromptVersion;
use llmops_domain::prompt_diff::PromptDiff;

use super::{Client, ClientError, segment};
use crate::page::{Page, PageQuery};
use crate::prompts::{CompareQuery, PushPrompt, PushedPrompt, RenderPrompt, RenderedPrompt};

impl Client {
    /// Pushes a prompt version.
    pub async fn push_prompt(&self, push: &PushPrompt) -> Result<PushedPrompt, ClientError> {
        self.send(Method::POST, "/api/v1/prompts", push).await
    }

    /// The active version of every prompt.
    pub async fn list_prompts(&self, page: &PageQuery) -> Result<Page<PromptVersion>, ClientError> {
        self.get_with("/api/v1/prompts", page).await
    }

    /// The active version of a prompt.
    pub async fn get_prompt(&self, name: &str) -> Result<PromptVersion, ClientError> {
        self.get(&format!("/api/v1/prompts/{}", segment(name))).await
    }

    /// All versions of a prompt, newest first.
    pub async fn list_prompt_versions(&self, name: &str) -> Result<Page<PromptVersion>, ClientError> {
        self.get(&format!("/api/v1/prompts/{}/versions", segment(name))).await
    }

    /// One version by its number or hash.
    pub async fn get_prompt_version(&self, name: &str, version: &str) -> Result<PromptVersion, ClientError> {
        self.get(&version_path(name, version, "")).await
    }

    /// Makes a version the active one.
    pub async fn activate_prompt(&self, name: &str, version: &str) -> Result<PromptVersion, ClientError> {
        self.send(Method::POST, &version_path(name, version, "/activate"), &()).await
    }

    /// Deletes a version that is not active.
    pub async fn delete_prompt(&self, name: &str, version: &str) -> Result<(), ClientError> {
        self.call(Method::DELETE, &version_path(name, version, ""), Vec::new()).await
    }

    /// Renders a version.
    pub async fn render_prompt(
        &self,
        name: &str,
        version: &str,
        render: &RenderPrompt,
    ) -> Result<RenderedPrompt, ClientError> {
        self.send(Method::POST, &version_path(name, version, "/render"), render).await
    }

    /// What differs between two versions.
    pub async fn compare_prompts(&self, name: &str, query: &CompareQuery) -> Result<PromptDiff, ClientError> {
        self.get_with(&format!("/api/v1/prompts/{}/compare", segment(name)), query).await
    }
}

fn version_path(name: &str, version: &str, rest: &str) -> String {
    format!("/api/v1/prompts/{}/versions/{}{rest}", segment(name), segment(version))
}
