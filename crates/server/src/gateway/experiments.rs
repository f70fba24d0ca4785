//! Experiments and spending, as the gateway asks for them.

use llmops::{LlmOps, Spendings};
use llmops_domain::experiment::Unit;
use llmops_domain::limits::Account;
use llmops_gateway::{Assign, BoxFuture, Ledger, Subject};

/// Assigns callers by the experiments of the installation; exposures are stored in batches.
pub(super) struct Experiments(pub(super) LlmOps);

impl Assign for Experiments {
    fn assign<'a>(&'a self, subject: Subject<'a>) -> BoxFuture<'a, Option<usize>> {
        Box::pin(async move {
            let ops = self.0.for_project(subject.project.clone());
            let experiments = ops.experiments();
            let flags = experiments
                .flags()
                .await
                .inspect_err(|error| tracing::warn!(%error, "experiments are not known, callers are not assigned"))
                .ok()?;
            let flag = flags.find(subject.experiment)?;
            let unit = flag.assigner.unit_of(subject.attributes);
            let is_user = || subject.attributes.get("user").and_then(|user| user.as_str()) == unit.as_deref();
            let assigned = match unit.as_deref() {
                Some(user) if subject.hash_users && flag.experiment.spec.unit == Unit::User && is_user() => {
                    experiments.evaluate_hidden(flag, user, subject.attributes).await
                }
                unit => experiments.evaluate(flag, unit, subject.attributes).await,
            };
            let assigned = assigned
                .inspect_err(|error| tracing::warn!(%error, "a caller could not be assigned and is answered without"))
                .ok()?;
            assigned.variant
        })
    }
}

/// The ledger of the limits: the book of the installation.
pub(super) struct Book(pub(super) Spendings);

impl Ledger for Book {
    fn lease<'a>(
        &'a self,
        account: &'a Account,
        want: u64,
        owed: u64,
        most: u64,
    ) -> BoxFuture<'a, Result<u64, String>> {
        Box::pin(self.0.lease(account, want, owed, most))
    }
}
