//! Loading embedding models with a progress bar where they are downloaded.

use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use llmops::models::{DEFAULT_MODEL, Embedder, Layer, ModelError, Models, Progress};
use llmops_domain::scorecard::format;
use llmops_domain::scoring::ScoringSpec;

use crate::commands::Context;
use crate::failure::{Failure, Kind, Outcome};
use crate::project::Project;

/// Loads a model for a command.
pub(crate) async fn load(context: &Context, models: &Models, name: &str, layer: Layer) -> Outcome<Arc<Embedder>> {
    let bar = Bar::new(context);
    let loaded = models.load(name, layer, &bar).await;
    bar.clear();
    loaded.map_err(|error| failure(&error))
}

/// Downloads the models that metrics need and that are missing, so that the run which loads them finds them.
pub(crate) async fn fetch(context: &Context, project: &Project, scoring: &ScoringSpec) -> Outcome {
    let models = Models::new(project.model_options());
    let bar = Bar::new(context);
    for named in scoring.metrics.values().filter_map(|metric| metric.scorer.embedding_model()) {
        let fetched = models.fetch(named.unwrap_or(DEFAULT_MODEL), &bar).await;
        bar.clear();
        // A metric that names no model is left out of the run, which says why.
        if let (Err(error), Some(_)) = (fetched, named) {
            return Err(failure(&error));
        }
    }
    Ok(())
}

/// A model that is not to be had.
pub(crate) fn failure(error: &ModelError) -> Failure {
    let kind = if error.is_temporary() { Kind::Undecided } else { Kind::Usage };
    let mut failure = Failure::new(kind, error.to_string()).hint(error.hint());
    let source = std::error::Error::source(error);
    failure.chain.extend(source.and_then(std::error::Error::source).map(ToString::to_string));
    failure
}

/// A bar on standard error, one file after the other.
pub(crate) struct Bar {
    quiet: bool,
    bar: Mutex<ProgressBar>,
}

impl Bar {
    pub(crate) fn new(context: &Context) -> Self {
        Self { quiet: context.global.quiet, bar: Mutex::new(ProgressBar::hidden()) }
    }

    fn clear(&self) {
        self.present().finish_and_clear();
    }

    fn present(&self) -> ProgressBar {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Progress for Bar {
    fn file(&self, model: &str, file: &str, size: Option<u64>) {
        let target = if self.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr_with_hz(10) };
        let bar = ProgressBar::with_draw_target(size, target);
        let template = if size.is_some() {
            "{prefix} {bar:30} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}"
        } else {
            "{prefix} {spinner} {binary_bytes}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸─"));
        }
        bar.set_prefix(format::one_line(&format!("{model} {file}")));
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = bar;
    }

    fn advance(&self, bytes: u64) {
        self.present().inc(bytes);
    }

    fn end(&self) {
        self.clear();
    }
}
