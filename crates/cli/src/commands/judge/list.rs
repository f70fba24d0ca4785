//! `llmops judge list`: the judges of the configuration.

use llmops_api::Client;
use llmops_api::judges::CalibrationQuery;
use llmops_domain::calibration::JudgeCalibration;
use llmops_domain::judge::JudgePromptKind;
use llmops_domain::prompt::{PromptRef, PromptSelector};
use serde::Serialize;

use super::super::Context;
use crate::failure::{Failure, Outcome};
use crate::project::Project;
use crate::terminal::{self, Cell, Column, Tone};

/// One judge in use.
#[derive(Debug, Serialize)]
struct JudgeInUse {
    /// The metric's name.
    metric: String,
    /// The scorer's kind.
    kind: String,
    /// The judging models.
    models: Vec<String>,
    /// `NAME@VERSION` of the prompt.
    prompt: String,
    /// Hash of the prompt.
    prompt_hash: String,
    /// Of a debate: the prompt of the rounds after the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    debate_prompt: Option<String>,
    /// Its hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    debate_prompt_hash: Option<String>,
    /// Hash of everything that decides the judge's scores.
    judge_hash: String,
    /// The last comparison of this very judge with people.
    calibration: Option<JudgeCalibration>,
}

/// Runs the command.
pub(super) async fn run(context: &Context) -> Outcome {
    let project = Project::require(&context.global, &context.ui)?;
    let client = project.client(&context.global).await?;
    let judges = in_use(&project, &client).await?;
    context.show(&judges, || list(context, &judges))
}

async fn in_use(project: &Project, client: &Client) -> Outcome<Vec<JudgeInUse>> {
    let scoring = project.config.scoring_spec().map_err(|e| Failure::usage(e.to_string()))?;
    let mut judges = Vec::new();
    for (metric, spec) in scoring.spec.metrics {
        let mut scorer = spec.scorer;
        if !scorer.is_judged() {
            continue;
        }
        let mut prompts = Vec::new();
        for slot in scorer.prompt_slots() {
            let builtin = || format!("{}@{}", slot.kind.prompt_name(), slot.kind.prompt_version());
            let reference = slot.reference.clone().unwrap_or_else(builtin);
            let (name, version) = split(&metric, &reference)?;
            let found = client.get_prompt_version(&name, &version).await?;
            *slot.reference = Some(format!("{}@{}", found.name, found.hash));
            prompts.push((slot.kind, format!("{}@{}", found.name, found.version), found.hash.to_string()));
        }
        let debate =
            prompts.iter().position(|(kind, ..)| *kind == JudgePromptKind::Debate).map(|at| prompts.remove(at));
        let (debate_prompt, debate_prompt_hash) = debate.map(|(_, label, hash)| (label, hash)).unzip();
        let (_, prompt, prompt_hash) = prompts.swap_remove(0);
        let judge_hash = scorer.judge_hash().map(|hash| hash.to_string()).unwrap_or_default();
        let last = CalibrationQuery { judge: Some(judge_hash.clone()), limit: Some(1), ..CalibrationQuery::default() };
        judges.push(JudgeInUse {
            kind: scorer.kind().to_owned(),
            models: scorer.judge_models().into_iter().map(str::to_owned).collect(),
            calibration: client.list_calibrations(&last).await?.items.pop(),
            judge_hash,
            metric,
            prompt,
            prompt_hash,
            debate_prompt,
            debate_prompt_hash,
        });
    }
    Ok(judges)
}

fn split(metric: &str, reference: &str) -> Outcome<(String, String)> {
    let wrong = |e| Failure::usage(format!("metric `{metric}`: {e}"));
    let reference: PromptRef = reference.parse().map_err(wrong)?;
    let version = match reference.selector {
        PromptSelector::Active => "active".to_owned(),
        PromptSelector::Version(version) => version.to_string(),
        PromptSelector::Hash(hash) => hash,
    };
    Ok((reference.name, version))
}

fn list(context: &Context, judges: &[JudgeInUse]) -> String {
    if judges.is_empty() {
        return "No metric of the configuration asks a model to judge.".to_owned();
    }
    let columns = [
        Column::text("metric"),
        Column::text("kind"),
        Column::text("models"),
        Column::text("prompt"),
        Column::text("hash"),
        Column::text("people"),
    ];
    let short = |hash: &str| hash.chars().take(12).collect::<String>();
    let mut rows = Vec::new();
    for judge in judges {
        rows.push(vec![
            Cell::toned(Tone::Strong, &judge.metric),
            judge.kind.as_str().into(),
            judge.models.join(", ").into(),
            judge.prompt.as_str().into(),
            short(&judge.prompt_hash).into(),
            judge.calibration.as_ref().map_or_else(|| "–".to_owned(), agreement).into(),
        ]);
        if let Some((prompt, hash)) = judge.debate_prompt.as_ref().zip(judge.debate_prompt_hash.as_ref()) {
            let blank = || Cell::from("");
            rows.push(vec![blank(), blank(), blank(), prompt.as_str().into(), short(hash).into(), blank()]);
        }
    }
    let mut text = terminal::table(context.ui.out, &columns, rows);
    if judges.iter().any(|judge| judge.calibration.is_none()) {
        text.push_str("\nllmops judge calibrate --labels labels.csv compares a judge with what people said.");
    }
    text
}

/// Cohen's kappa with its interval and the samples that it is from.
fn agreement(calibration: &JudgeCalibration) -> String {
    let Some(kappa) = &calibration.agreement.cohen_kappa else {
        return format!("kappa unknown (n = {})", calibration.samples);
    };
    format!("kappa {:.2} [{:.2}, {:.2}], n = {}", kappa.value, kappa.lower, kappa.upper, kappa.n)
}
