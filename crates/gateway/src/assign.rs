//! Experiments on a deployment: which variant a user gets is decided by somebody else.

use std::pin::Pin;

use llmops_domain::deployment::Deployment;
use llmops_domain::id::ProjectId;
use serde_json::{Map, Value};

use crate::request::Extension;

/// A future on the heap.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Who calls a deployment with an experiment on it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Whose deployment it is.
    pub project: &'a ProjectId,
    /// The experiment's key.
    pub experiment: &'a str,
    /// `user`, `session`, the caller's labels, the deployment's name and environment.
    pub attributes: &'a Map<String, Value>,
    /// Whether users are kept as hashes only.
    pub hash_users: bool,
}

/// Decides which variant a caller gets.
pub trait Assign: Send + Sync {
    /// The position of the variant; nothing for those who take no part. It waits only where a store must be asked, which is
    /// so for units at the border of a split that changed.
    fn assign<'a>(&'a self, subject: Subject<'a>) -> BoxFuture<'a, Option<usize>>;
}

/// What is known of a caller, as conditions of experiments name it.
pub(crate) fn attributes(deployment: &Deployment, said: &Extension) -> Map<String, Value> {
    let mut attributes: Map<String, Value> =
        said.tags.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    for (name, value) in [("user", &said.user), ("session", &said.session)] {
        if let Some(value) = value {
            attributes.insert(name.to_owned(), value.as_str().into());
        }
    }
    attributes.insert("deployment".to_owned(), deployment.name.as_str().into());
    attributes.insert("environment".to_owned(), deployment.environment.as_str().into());
    attributes
}
