//! Completing and checking an experiment as people wrote it: all mistakes at once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::metric::{MetricKind, MetricSpec};
use super::plan::Basis;
use super::{ExperimentSpec, Unit, Variant, condition, split};
use crate::suggest;

/// Most variants of one experiment.
const MOST_VARIANTS: usize = 100;
/// Most characters of a name or id.
const LONGEST_NAME: usize = 200;

/// One thing that is wrong with an experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecProblem {
    /// The field, as a dotted path: `variants[1].id`.
    pub field: String,
    /// What is wrong and what was expected.
    pub message: String,
}

impl SpecProblem {
    /// A problem of a field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// Everything that is wrong with an experiment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", summary(.problems))]
pub struct InvalidExperiment {
    /// Everything; never empty.
    pub problems: Vec<SpecProblem>,
}

fn summary(problems: &[SpecProblem]) -> String {
    match problems {
        [only] => format!("the experiment is not right: {}: {}", only.field, only.message),
        many => format!("the experiment is not right in {} places", many.len()),
    }
}

impl ExperimentSpec {
    /// The spec with everything that was left out filled in: key, ids and names of variants, control, split as fractions,
    /// target metric.
    ///
    /// # Errors
    /// [`InvalidExperiment`] with everything that is wrong.
    pub fn checked(mut self) -> Result<Self, InvalidExperiment> {
        let mut problems = Vec::new();
        if self.key.is_empty() {
            self.key.clone_from(&self.name);
        }
        check_name("name", &self.name, &mut problems);
        if self.key != self.name {
            check_name("key", &self.key, &mut problems);
        }
        complete_variants(&mut self.variants, &mut problems);
        complete_control(&mut self.variants, &mut problems);
        check_values(&self.variants, &mut problems);
        self.complete_split(&mut problems);
        self.check_population(&mut problems);
        self.complete_metrics(&mut problems);
        self.check_analysis(&mut problems);
        problems.extend(self.adaptive.iter().flat_map(|adaptive| adaptive.problems(&self)));
        if problems.is_empty() { Ok(self) } else { Err(InvalidExperiment { problems }) }
    }

    /// Replaces names by ids and percentages by fractions.
    fn complete_split(&mut self, problems: &mut Vec<SpecProblem>) {
        if self.variants.len() < 2 {
            return;
        }
        if self.traffic_split.is_empty() {
            let share = split::equal(self.variants.len());
            self.traffic_split = self.variants.iter().map(|v| v.id.clone()).zip(share).collect();
            return;
        }
        let before = problems.len();
        let mut shares = vec![None; self.variants.len()];
        for (name, share) in &self.traffic_split {
            let field = format!("traffic_split.{name}");
            match self.variant_index(name) {
                None => {
                    let hint = suggest::hint(name, self.variants.iter().map(|v| v.id.as_str()));
                    problems.push(SpecProblem::new(field, format!("`{name}` is no variant: {hint}")));
                }
                Some(index) if shares[index].replace(*share).is_some() => {
                    problems.push(SpecProblem::new(field, "the variant has a share already, under its id or name"));
                }
                Some(_) => {}
            }
        }
        for (variant, share) in self.variants.iter().zip(&shares) {
            if share.is_none() {
                let message =
                    format!("there is no share for the variant `{}`: write 0 if it shall have none", variant.id);
                problems.push(SpecProblem::new("traffic_split", message));
            }
        }
        if problems.len() > before {
            return;
        }
        let shares: Vec<f64> = shares.into_iter().flatten().collect();
        match split::fractions(&shares) {
            Ok(shares) => {
                self.traffic_split = self.variants.iter().map(|v| v.id.clone()).zip(shares).collect::<BTreeMap<_, _>>();
            }
            Err(error) => problems.push(SpecProblem::new("traffic_split", error.to_string())),
        }
    }

    /// Coverage, unit, audience, namespace, holdout: who may take part.
    fn check_population(&self, problems: &mut Vec<SpecProblem>) {
        if !(0.0..=1.0).contains(&self.coverage) {
            let message = format!("the coverage is {}: expected a share from 0 to 1", self.coverage);
            problems.push(SpecProblem::new("coverage", message));
        }
        if let Unit::Attribute(name) = &self.unit {
            check_name("unit.attribute", name, problems);
        }
        if let Err(errors) = condition::Condition::parse(&self.audience) {
            problems.extend(errors.into_iter().map(|e| SpecProblem::new(join("audience", &e.path), e.message)));
        }
        if let Some(namespace) = &self.namespace {
            check_name("namespace.name", &namespace.name, problems);
            let [from, to] = namespace.range;
            if !(0.0 <= from && from < to && to <= 1.0) {
                let message =
                    format!("the range is [{from}, {to}]: expected two numbers from 0 to 1, the smaller first");
                problems.push(SpecProblem::new("namespace.range", message));
            }
        }
        if let Some(holdout) = &self.holdout {
            check_name("holdout.name", &holdout.name, problems);
            if !(0.0..1.0).contains(&holdout.share) {
                let message = format!("the share is {}: expected a number from 0 to below 1", holdout.share);
                problems.push(SpecProblem::new("holdout.share", message));
            }
        }
    }

    fn complete_metrics(&mut self, problems: &mut Vec<SpecProblem>) {
        if let (Some(target), true) = (&self.target_metric, self.metrics.is_empty()) {
            self.metrics.push(MetricSpec::named(target));
        }
        let mut seen = BTreeSet::new();
        for (i, metric) in self.metrics.iter().enumerate() {
            check_metric(&format!("metrics[{i}]"), metric, problems);
            if !seen.insert(metric.name.as_str()) {
                let message = format!("the metric `{}` is declared twice", metric.name);
                problems.push(SpecProblem::new(format!("metrics[{i}].name"), message));
            }
        }
        match &self.target_metric {
            Some(target) if !seen.contains(target.as_str()) => {
                let hint = suggest::hint(target, seen.iter().copied());
                problems
                    .push(SpecProblem::new("target_metric", format!("`{target}` is not among the metrics: {hint}")));
            }
            Some(_) => {}
            None => {
                let first = self.metrics.iter().find(|m| m.guardrail.is_none()).or(self.metrics.first());
                self.target_metric = first.map(|m| m.name.clone());
            }
        }
    }

    fn check_analysis(&self, problems: &mut Vec<SpecProblem>) {
        let plan = &self.analysis;
        if !(plan.alpha > 0.0 && plan.alpha <= 0.5) {
            let message = format!("alpha is {}: expected a chance above 0 and at most 0.5", plan.alpha);
            problems.push(SpecProblem::new("analysis.alpha", message));
        }
        if plan.basis == Basis::FixedHorizon && plan.planned_n.is_none() {
            let message = "a fixed horizon needs the number of units per variant that it is planned for";
            problems.push(SpecProblem::new("analysis.planned_n", message));
        }
        let counts =
            [("min_samples", plan.min_samples), ("planned_n", plan.planned_n), ("units_per_day", plan.units_per_day)];
        for (field, _) in counts.iter().filter(|(_, n)| *n == Some(0)) {
            problems.push(SpecProblem::new(format!("analysis.{field}"), "expected 1 or more"));
        }
        for (i, segment) in plan.segments.iter().enumerate() {
            let field = format!("analysis.segments[{i}]");
            check_name(&field, segment, problems);
            if plan.segments[..i].contains(segment) {
                problems.push(SpecProblem::new(field, format!("`{segment}` is there twice")));
            }
        }
    }
}

/// A flag's clients ask for a value of one type.
fn check_values(variants: &[Variant], problems: &mut Vec<SpecProblem>) {
    let kind = |variant: &Variant| {
        Some(match variant.value.as_ref()? {
            Value::Null => return None,
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        })
    };
    let Some(first) = variants.iter().find_map(kind) else { return };
    for (i, variant) in variants.iter().enumerate() {
        if let Some(found) = kind(variant).filter(|found| *found != first) {
            let message = format!("it is {found}, and that of another variant {first}: expected values of one type");
            problems.push(SpecProblem::new(format!("variants[{i}].value"), message));
        }
    }
}

fn join(field: &str, path: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{field}.{path}") }
}

fn check_name(field: &str, name: &str, problems: &mut Vec<SpecProblem>) {
    let message = if name.trim().is_empty() {
        "expected a name, and it is empty".to_owned()
    } else if name.chars().count() > LONGEST_NAME {
        format!("the name has {} characters: expected at most {LONGEST_NAME}", name.chars().count())
    } else if name.chars().any(char::is_control) {
        "the name contains a control character: remove it".to_owned()
    } else {
        return;
    };
    problems.push(SpecProblem::new(field, message));
}

/// Lower-case letters and digits of a name, with one hyphen for everything between.
fn slug(name: &str) -> String {
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("-")
}

/// Gives every variant an id and a name.
fn complete_variants(variants: &mut [Variant], problems: &mut Vec<SpecProblem>) {
    if !(2..=MOST_VARIANTS).contains(&variants.len()) {
        let message = format!("there are {}: expected 2 to {MOST_VARIANTS}", variants.len());
        problems.push(SpecProblem::new("variants", message));
    }
    let (count, marked) = (variants.len(), variants.iter().any(|v| v.is_control));
    for (i, variant) in variants.iter_mut().enumerate() {
        if variant.id.is_empty() {
            variant.id = match slug(&variant.name) {
                slug if !slug.is_empty() => slug,
                _ if variant.is_control || (!marked && i == 0) => "control".to_owned(),
                _ if count == 2 => "treatment".to_owned(),
                _ => format!("variant-{}", i + 1),
            };
        }
        if variant.name.is_empty() {
            variant.name.clone_from(&variant.id);
        }
        check_name(&format!("variants[{i}].id"), &variant.id, problems);
        if variant.name != variant.id {
            check_name(&format!("variants[{i}].name"), &variant.name, problems);
        }
        if variant.prompt_version.is_some() && variant.prompt_name.is_none() {
            let message = "a prompt's version without the prompt's name: write prompt_name too";
            problems.push(SpecProblem::new(format!("variants[{i}].prompt_version"), message));
        }
    }
    let mut seen = BTreeMap::new();
    for (i, variant) in variants.iter().enumerate() {
        if let Some(first) = seen.insert(variant.id.clone(), i) {
            let message = format!("variants[{first}] has the id `{}` already: give each its own", variant.id);
            problems.push(SpecProblem::new(format!("variants[{i}].id"), message));
        }
    }
}

/// Exactly one control: the marked one, else the one that is called so, else the first.
fn complete_control(variants: &mut [Variant], problems: &mut Vec<SpecProblem>) {
    let marked: Vec<&str> = variants.iter().filter(|v| v.is_control).map(|v| v.id.as_str()).collect();
    match marked.as_slice() {
        [] => {
            let named = variants.iter().position(|v| v.id.eq_ignore_ascii_case("control")).unwrap_or(0);
            if let Some(control) = variants.get_mut(named) {
                control.is_control = true;
            }
        }
        [_] => {}
        many => {
            let message = format!("{} are marked as control: expected exactly one", many.join(", "));
            problems.push(SpecProblem::new("variants", message));
        }
    }
}

fn check_metric(field: &str, metric: &MetricSpec, problems: &mut Vec<SpecProblem>) {
    let mut problem = |name: &str, message: String| problems.push(SpecProblem::new(format!("{field}.{name}"), message));
    for (name, value) in [("cap", metric.cap), ("floor", metric.floor)] {
        if let Some(value) = value.filter(|v| !v.is_finite()) {
            problem(name, format!("it is {value}: expected a number"));
        }
    }
    if let (Some(floor), Some(cap)) = (metric.floor, metric.cap)
        && floor >= cap
    {
        problem("cap", format!("it is {cap} and the floor is {floor}: expected a cap above the floor"));
    }
    if let Some(q) = metric.winsorize.filter(|q| !(*q > 0.5 && *q <= 1.0)) {
        problem("winsorize", format!("it is {q}: expected a quantile above 0.5 and at most 1"));
    }
    if let Some(q) = metric.quantile.filter(|q| !(*q > 0.0 && *q < 1.0)) {
        problem("quantile", format!("it is {q}: expected a number between 0 and 1"));
    }
    if let Some(guardrail) = metric.guardrail.filter(|g| !(g.margin >= 0.0 && g.margin.is_finite())) {
        problem("guardrail.margin", format!("it is {}: expected 0 or more", guardrail.margin));
    }
    if let Some(effect) = metric.minimum_effect.filter(|e| !(*e > 0.0 && e.is_finite())) {
        problem("minimum_effect", format!("it is {effect}: expected a number above 0"));
    }
    let is_rate = metric.kind() == MetricKind::Binary;
    if let Some(mean) = metric.baseline.filter(|b| !b.is_finite() || (is_rate && !(0.0..=1.0).contains(b))) {
        problem(
            "baseline",
            format!("it is {mean}: expected {}", if is_rate { "a rate from 0 to 1" } else { "a number" }),
        );
    }
    if let Some(sd) = metric.sd.filter(|sd| !(*sd > 0.0 && sd.is_finite())) {
        problem("sd", format!("it is {sd}: expected a number above 0"));
    }
    match (metric.kind(), &metric.denominator) {
        (MetricKind::Ratio, None) => {
            problem("denominator", "a ratio needs the name of the metric below the line".to_owned());
        }
        (kind, Some(_)) if kind != MetricKind::Ratio => {
            problem("denominator", "only a metric of the kind `ratio` has one".to_owned());
        }
        _ => {}
    }
    for (name, other) in [("covariate", &metric.covariate), ("denominator", &metric.denominator)] {
        if other.as_deref() == Some(metric.name.as_str()) {
            problem(name, "it is the metric itself: expected the name of another".to_owned());
        }
    }
    check_name(&format!("{field}.name"), &metric.name, problems);
}

#[cfg(test)]
#[path = "check/tests.rs"]
mod tests;
