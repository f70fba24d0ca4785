//! `llmops judge list`: the judges of the configuration.

use llmops_api::Client;
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
        judges.push(JudgeInUse {
            kind: scorer.kind().to_owned(),
            models: scorer.judge_models().into_iter().map(str::to_owned).collect(),
            judge_hash: scorer.judge_hash().map(|hash| hash.to_string()).unwrap_or_default(),
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
        ]);
        if let Some((prompt, hash)) = judge.debate_prompt.as_ref().zip(judge.debate_prompt_hash.as_ref()) {
            let blank = || Cell::from("");
            rows.push(vec![blank(), blank(), blank(), prompt.as_str().into(), short(hash).into()]);
        }
    }
    terminal::table(context.ui.out, &columns, rows)
}
