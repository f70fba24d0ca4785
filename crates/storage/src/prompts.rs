//! The prompt registry: immutable versions, exactly one of each name active.

use llmops_domain::hash::ContentHash;
use llmops_domain::id::ProjectId;
use llmops_domain::prompt::{PromptSelector, PromptVersion};
use semver::Version;

use crate::{Store, StoreError};

/// What became of a push.
#[derive(Debug, Clone, PartialEq)]
pub enum CreatedPrompt {
    /// A new version, as it is stored: the first version of a name is active.
    Created(PromptVersion),
    /// The same content was there already, perhaps under another number.
    Existing(PromptVersion),
}

impl CreatedPrompt {
    /// The stored version.
    pub fn into_version(self) -> PromptVersion {
        match self {
            Self::Created(version) | Self::Existing(version) => version,
        }
    }
}

/// The active version before and after an activation.
#[derive(Debug, Clone, PartialEq)]
pub struct Activation {
    /// Active until now.
    pub before: PromptVersion,
    /// Active from now on; equal to `before` when nothing changed.
    pub after: PromptVersion,
}

impl Store {
    /// Stores a version. The same content under any number is the version that is there already.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the number is taken by other content.
    pub async fn create_prompt(&self, project: &ProjectId, prompt: &PromptVersion) -> Result<CreatedPrompt, StoreError> {
        todo!()
    }

    /// The version that the selector names.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or [`StoreError::Ambiguous`] for a hash prefix that fits several versions.
    pub async fn get_prompt(
        &self,
        project: &ProjectId,
        name: &str,
        selector: &PromptSelector,
    ) -> Result<PromptVersion, StoreError> {
        todo!()
    }

    /// The version with exactly this content.
    pub async fn prompt_by_hash(
        &self,
        project: &ProjectId,
        name: &str,
        hash: &ContentHash,
    ) -> Result<Option<PromptVersion>, StoreError> {
        todo!()
    }

    /// All versions of a name, highest semantic version first; empty when there is no such prompt.
    pub async fn list_prompt_versions(&self, project: &ProjectId, name: &str) -> Result<Vec<PromptVersion>, StoreError> {
        todo!()
    }

    /// The active versions, by name, of names behind `after`.
    pub async fn list_prompts(
        &self,
        project: &ProjectId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<PromptVersion>, StoreError> {
        todo!()
    }

    /// Makes a version the active one.
    pub async fn activate_prompt(
        &self,
        project: &ProjectId,
        name: &str,
        version: &Version,
    ) -> Result<Activation, StoreError> {
        todo!()
    }

    /// Deletes a version.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] for the active version.
    pub async fn delete_prompt(&self, project: &ProjectId, name: &str, version: &Version) -> Result<(), StoreError> {
        todo!()
    }
}
