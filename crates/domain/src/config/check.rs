//! What a schema cannot say: names that must exist, weights that must sum to 1, options that exclude each other.

mod judged;

use std::time::Duration;

use serde_json::Value;

use super::channels::ChannelConfig;
use super::providers::{ProviderConfig, RemoteConfig};
use super::resolve::split_model;
use super::{Config, DatasetConfig, SCHEMA};
use crate::prompt::PromptRef;
use crate::schedule::{ScheduleError, Timetable};
use crate::scoring::{MetricSpec, NAMES_OF_THE_WHOLE, ScorerSpec};
use crate::suggest;
use crate::yaml::{Document, Problem, escape};

mod scorers;

/// Metric weights sum to 1 within this.
const METRIC_TOLERANCE: f64 = 1e-9;
/// Category weights sum to 1 within this.
const CATEGORY_TOLERANCE: f64 = 1e-6;

/// Longest that a channel may be waited for.
const LONGEST_CHANNEL_TIMEOUT: Duration = Duration::from_mins(1);

/// What was found.
#[derive(Default)]
pub(super) struct Findings {
    /// Mistakes.
    pub(super) errors: Vec<Problem>,
    /// What is probably not meant.
    pub(super) warnings: Vec<Problem>,
}

/// Checks a decoded configuration against itself.
pub(super) fn check(document: &Document, config: &Config) -> Findings {
    let mut checker = Checker { document, config, found: Findings::default() };
    checker.providers();
    checker.prices();
    checker.targets();
    checker.datasets();
    checker.scoring();
    checker.suites();
    checker.operations();
    checker.channels();
    checker.queue();
    let mut found = checker.found;
    found.errors.sort_by_key(|p| (p.line, p.column));
    found.warnings.sort_by_key(|p| (p.line, p.column));
    found
}

/// Sections whose checks look for names in other sections.
const LOOKS_AT: [(&str, &[&str]); 4] = [
    ("prices", &["providers"]),
    ("targets", &["providers"]),
    ("scoring", &["providers"]),
    ("suites", &["targets", "datasets"]),
];

/// What is wrong beside mistakes of form.
pub(super) fn beside(document: &Document, mistakes: &[Problem]) -> Vec<Problem> {
    document.beside(&SCHEMA, &LOOKS_AT, mistakes, |config| check(document, config).errors)
}

struct Checker<'a> {
    document: &'a Document,
    config: &'a Config,
    found: Findings,
}

impl Checker<'_> {
    fn error(&mut self, pointer: &str, message: impl Into<String>, hint: Option<String>) {
        self.found.errors.push(self.document.problem(pointer, message, hint));
    }

    fn warn(&mut self, pointer: &str, message: impl Into<String>, hint: Option<String>) {
        self.found.warnings.push(self.document.key_problem(pointer, message, hint));
    }

    fn is_written(&self, pointer: &str) -> bool {
        self.document.value.pointer(pointer).is_some()
    }

    /// A name that must be a key of another section.
    fn reference<'n>(&mut self, pointer: &str, name: &str, what: &str, known: impl Iterator<Item = &'n String>) {
        let known: Vec<&str> = known.map(String::as_str).collect();
        if known.contains(&name) {
            return;
        }
        let hint = match known[..] {
            [] => format!("there are no {what}s in the file"),
            _ if self.document.is_secret(pointer) => suggest::one_of(&known),
            _ => suggest::hint(name, known),
        };
        let quoted = self.document.quote(pointer);
        self.error(pointer, format!("no {what} is named {quoted}"), Some(hint));
    }

    /// A model must be `provider/model` with a provider of the file.
    fn model(&mut self, pointer: &str, model: &str) {
        let config = self.config;
        let Some((provider, _)) = split_model(model) else {
            let quoted = self.document.quote(pointer);
            let providers: Vec<&str> = config.providers.keys().map(String::as_str).collect();
            let hint = match providers[..] {
                [] => "write provider/model; there are no providers in the file".to_owned(),
                _ => format!("write provider/model; the providers are {}", providers.join(", ")),
            };
            return self.error(pointer, format!("{quoted} names no provider"), Some(hint));
        };
        if config.providers.contains_key(provider) {
            return;
        }
        let known: Vec<&str> = config.providers.keys().map(String::as_str).collect();
        let (message, hint) = if self.document.is_secret(pointer) {
            (format!("{} names no provider of the file", self.document.quote(pointer)), suggest::one_of(&known))
        } else {
            let near = suggest::nearest(provider, known.iter().copied());
            let hint = match (near, &known[..]) {
                (Some(near), _) => {
                    format!("did you mean {near}/{}?", model.split_once('/').map_or("", |(_, name)| name))
                }
                (None, []) => "there are no providers in the file".to_owned(),
                (None, known) => format!("the providers are {}", known.join(", ")),
            };
            (format!("{} names no provider of the file", self.document.quote(pointer)), hint)
        };
        self.error(pointer, message, Some(hint));
    }

    fn providers(&mut self) {
        let config = self.config;
        for (name, provider) in &config.providers {
            let at = format!("/providers/{}", escape(name));
            match provider {
                ProviderConfig::Http(http) => self.web_address(&format!("{at}/url"), &http.url),
                ProviderConfig::Command(command) if command.run.first().is_some_and(|p| p.trim().is_empty()) => {
                    self.error(&format!("{at}/run/0"), "the program's name is empty", None);
                }
                ProviderConfig::Simulator(simulator) => {
                    let f = &simulator.faults;
                    let sum = f.rate_limit + f.server_error + f.hang + f.cut + f.garbage;
                    if sum > 1.0 + 1e-9 {
                        self.error(
                            &format!("{at}/faults"),
                            format!("the shares sum to {}, more than 1", round(sum)),
                            None,
                        );
                    }
                }
                ProviderConfig::Azure(RemoteConfig { base_url: None, .. }) => {
                    let hint = Some("it names the resource: https://NAME.openai.azure.com/openai/v1".to_owned());
                    self.error(&at, "the key `base_url` is missing", hint);
                }
                _ => {}
            }
            if let Some(base_url) = self.document.value.pointer(&format!("{at}/base_url")).and_then(Value::as_str) {
                self.web_address(&format!("{at}/base_url"), base_url);
            }
            self.timeout(&at);
        }
    }

    fn timeout(&mut self, at: &str) {
        if self.document.value.pointer(&format!("{at}/timeout")).is_some_and(is_zero) {
            self.error(&format!("{at}/timeout"), "must be longer than nothing", Some("such as 60s".to_owned()));
        }
    }

    fn web_address(&mut self, pointer: &str, address: &str) {
        let is_unset = self.document.unset.iter().any(|unset| unset.pointer == pointer);
        let host = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://"));
        if !is_unset && !host.is_some_and(|host| !host.is_empty() && !host.starts_with('/')) {
            let message = format!("{} is no web address", self.document.quote(pointer));
            self.error(pointer, message, Some("it begins with http:// or https://".to_owned()));
        }
    }

    fn prices(&mut self) {
        let config = self.config;
        for name in config.prices.keys() {
            let pointer = format!("/prices/{}", escape(name));
            match split_model(name) {
                None => {
                    let problem =
                        self.document.key_problem(&pointer, "no model name", Some("write provider/model".to_owned()));
                    self.found.errors.push(problem);
                }
                Some((provider, _)) if !config.providers.contains_key(provider) => {
                    let hint = suggest::nearest(provider, config.providers.keys().map(String::as_str));
                    let hint = hint.map(|near| format!("did you mean {near}?"));
                    self.warn(&pointer, format!("no provider is named `{provider}`"), hint);
                }
                Some(_) => {}
            }
        }
    }

    fn targets(&mut self) {
        let config = self.config;
        for (name, target) in &config.targets {
            let at = format!("/targets/{}", escape(name));
            if let Some(prompt) = &target.prompt
                && prompt.parse::<PromptRef>().is_err()
            {
                let message = format!("{} names no prompt version", self.document.quote(&format!("{at}/prompt")));
                let hint = "write NAME, NAME@1.2.0 or NAME@HASH with at least 12 hex digits".to_owned();
                self.error(&format!("{at}/prompt"), message, Some(hint));
            }
            for (index, candidate) in target.candidates.iter().enumerate() {
                self.model(&format!("{at}/candidates/{index}"), candidate);
            }
            match (&target.model, &target.prompt) {
                (Some(_), _) if !target.candidates.is_empty() => {
                    let hint = Some("the model is chosen among `candidates`".to_owned());
                    self.warn(&format!("{at}/model"), "has no effect", hint);
                }
                (Some(model), _) => self.model(&format!("{at}/model"), model),
                (None, None) if target.candidates.is_empty() => {
                    let hint = Some("give a model, a prompt that names one, or both".to_owned());
                    self.error(&at, "neither model nor prompt", hint);
                }
                (None, _) => {}
            }
        }
    }

    fn datasets(&mut self) {
        let config = self.config;
        for (name, dataset) in &config.datasets {
            self.categories(&format!("/datasets/{}/categories", escape(name)), dataset);
        }
    }

    fn categories(&mut self, at: &str, dataset: &DatasetConfig) {
        if let Some(name) = dataset.categories.keys().find(|name| name.trim().is_empty()) {
            self.error(&format!("{at}/{}", escape(name)), "a category needs a name", None);
        }
        let weights: Vec<f64> = dataset.categories.values().filter_map(|category| category.weight).collect();
        if weights.is_empty() {
            return;
        }
        for (name, category) in &dataset.categories {
            if category.weight.is_none() {
                let hint = Some("give every category a weight, or none".to_owned());
                self.error(&format!("{at}/{}", escape(name)), "the key `weight` is missing", hint);
            }
        }
        let sum: f64 = weights.iter().sum();
        if weights.len() == dataset.categories.len() && (sum - 1.0).abs() > CATEGORY_TOLERANCE {
            let problem = self.document.key_problem(at, format!("the weights sum to {}, not 1", round(sum)), None);
            self.found.errors.push(problem);
        }
    }

    fn scoring(&mut self) {
        let config = self.config;
        let scoring = &config.scoring;
        for (name, metric) in &scoring.metrics {
            let at = format!("/scoring/metrics/{}", escape(name));
            if NAMES_OF_THE_WHOLE.contains(&name.as_str()) {
                let hint = Some("choose another name".to_owned());
                let problem =
                    self.document.key_problem(&at, "reports call what is made of all metrics and samples so", hint);
                self.found.errors.push(problem);
            }
            self.metric(&at, metric);
        }
        if let Some(model) = &scoring.judge_model {
            self.model("/scoring/judge_model", model);
            if !scoring.metrics.is_empty() {
                let hint = Some("it counts when `metrics` is absent; judges under `metrics` name their own".to_owned());
                self.warn("/scoring/judge_model", "has no effect", hint);
            }
        }
        let weights: Vec<f64> = scoring.metrics.values().filter_map(|metric| metric.weight).collect();
        let sum: f64 = weights.iter().sum();
        let problem = if scoring.metrics.is_empty() || (sum - 1.0).abs() <= METRIC_TOLERANCE {
            return;
        } else if weights.is_empty() {
            let hint = Some("metrics without weight are reported only; give weights that sum to 1".to_owned());
            self.document.key_problem("/scoring/metrics", "no metric has a weight", hint)
        } else {
            self.document.key_problem("/scoring/metrics", format!("the weights sum to {}, not 1", round(sum)), None)
        };
        self.found.errors.push(problem);
    }

    fn metric(&mut self, at: &str, metric: &MetricSpec) {
        if !metric.scorer.is_score() {
            let hint = match &metric.scorer {
                ScorerSpec::Latency { .. } => "latency is reported; `max_ms` makes it a limit",
                ScorerSpec::Cost { .. } => "cost is reported; `max` makes it a limit",
                _ => "the raw rate is reported; `expect` makes it a score",
            };
            for (key, is_set) in [("weight", metric.weight.is_some()), ("threshold", metric.threshold.is_some())] {
                if is_set {
                    let message = format!("{} cannot have a {key}", metric.scorer.kind());
                    self.error(&format!("{at}/{key}"), message, Some(hint.to_owned()));
                }
            }
        }
        self.judged(at, &metric.scorer);
        self.options(at, &metric.scorer);
    }

    /// A text that another library could not read: its message quotes the text.
    fn bad_text(&mut self, pointer: &str, what: &str, error: &str) {
        let reason = if self.document.is_secret(pointer) { self.document.quote(pointer) } else { error.to_owned() };
        self.error(pointer, format!("no valid {what}: {reason}"), None);
    }

    fn suites(&mut self) {
        let config = self.config;
        for (name, suite) in &config.suites {
            let at = format!("/suites/{}", escape(name));
            self.reference(&format!("{at}/target"), &suite.target, "target", config.targets.keys());
            self.reference(&format!("{at}/dataset"), &suite.dataset, "dataset", config.datasets.keys());
            let zone = suite.timezone.as_deref().unwrap_or("UTC");
            let schedule = suite.schedule.as_deref().unwrap_or("@daily");
            if let Err(error) = Timetable::cron(schedule, zone) {
                let (key, what) = match error {
                    ScheduleError::Zone(_) => ("timezone", "time zone"),
                    _ => ("schedule", "schedule"),
                };
                let pointer = format!("{at}/{key}");
                let message = format!("{} is no {what}", self.document.quote(&pointer));
                self.error(&pointer, message, Some(error.hint().to_owned()));
            }
        }
    }

    fn channels(&mut self) {
        let config = self.config;
        for (name, channel) in &config.channels {
            let at = format!("/channels/{}", escape(name));
            match channel {
                ChannelConfig::Webhook(webhook) => self.web_address(&format!("{at}/url"), &webhook.url),
                ChannelConfig::Slack(slack) => self.web_address(&format!("{at}/url"), &slack.url),
                ChannelConfig::Pagerduty(pager) => self.web_address(&format!("{at}/url"), &pager.url),
                ChannelConfig::Command(command) if command.run.first().is_some_and(|p| p.trim().is_empty()) => {
                    self.error(&format!("{at}/run/0"), "the program's name is empty", None);
                }
                ChannelConfig::Command(_) => {}
            }
            if self.document.value.pointer(&format!("{at}/timeout")).is_some_and(is_zero) {
                self.error(&format!("{at}/timeout"), "must be longer than nothing", Some("such as 15s".to_owned()));
            } else if channel.timeout() > LONGEST_CHANNEL_TIMEOUT {
                let hint = Some("a message that was not taken is sent again".to_owned());
                self.error(&format!("{at}/timeout"), "must be at most 60s", hint);
            }
        }
        let drops = config.alerts.pass_rate_drop;
        if drops.critical < drops.warning {
            let hint = Some("a critical drop is at least as large as one that is warned of".to_owned());
            self.error("/alerts/pass_rate_drop", "`critical` is below `warning`", hint);
        }
    }

    fn operations(&mut self) {
        let config = self.config;
        for key in ["evaluation_interval", "probe_interval", "experiment_review_interval"] {
            let pointer = format!("/operations/{key}");
            if self.document.value.pointer(&pointer).is_some_and(is_zero) {
                self.error(&pointer, "must be longer than nothing", Some("such as 24h".to_owned()));
            }
        }
        let judged = config.scoring.metrics.values().any(|metric| metric.scorer.is_judged());
        let auto = "/operations/enable_auto_evaluation";
        if self.is_written(auto) && config.operations.enable_auto_evaluation {
            if config.suites.is_empty() {
                self.warn(auto, "has no effect without a suite", None);
            } else if judged && config.scoring.max_judge_cost.is_none() {
                let hint = Some("set scoring.max_judge_cost: judges cost money each time".to_owned());
                self.warn(auto, "has no effect for judged metrics without a limit on their cost", hint);
            }
        }
        if config.gate.require_judge_kappa.is_some() && !judged && !config.scoring.metrics.is_empty() {
            self.warn("/gate/require_judge_kappa", "there is no judge among the metrics", None);
        }
        let categories = config.datasets.values().flat_map(|dataset| dataset.categories.keys());
        let known: Vec<&str> = ["pass_rate", "overall"]
            .into_iter()
            .chain(config.scoring.metrics.keys().chain(categories).map(String::as_str))
            .collect();
        for metric in config.operations.alert_thresholds.keys() {
            let any_name =
                config.scoring.metrics.is_empty() || config.datasets.values().any(|d| d.categories.is_empty());
            if !any_name && !known.contains(&metric.as_str()) {
                let pointer = format!("/operations/alert_thresholds/{}", escape(metric));
                self.warn(
                    &pointer,
                    "no metric or category has this name",
                    Some(suggest::hint(metric, known.iter().copied())),
                );
            }
        }
    }
}

impl Checker<'_> {
    fn queue(&mut self) {
        let queue = &self.config.queue;
        if queue.lease.0 < std::time::Duration::from_secs(1) {
            self.error("/queue/lease", "must be at least 1s", Some("such as 30s".to_owned()));
        }
        let known = ["redis:", "rediss:", "postgres:", "postgresql:", "sqlite:"];
        if queue.url.as_ref().is_some_and(|url| !known.iter().any(|scheme| url.starts_with(scheme))) {
            let hint = "write redis://HOST, rediss://HOST, postgres://USER@HOST/DATABASE or sqlite:PATH";
            self.error("/queue/url", "no kind of queue begins like this", Some(hint.to_owned()));
        }
    }
}

fn is_zero(value: &Value) -> bool {
    let duration = value.as_str().and_then(|text| text.parse::<super::duration::HumanDuration>().ok());
    duration.is_some_and(|duration| duration.0.is_zero())
}

/// A sum as people would write it: without the noise of binary fractions.
fn round(sum: f64) -> String {
    let text = format!("{sum:.9}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
