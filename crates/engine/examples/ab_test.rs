//! An A/B test of two prompts in the library: 30 % of the users get the new one; assign, record, ask for the winner.
//!
//! ```sh
//! cargo run -p llmops --example ab_test
//! ```

#![expect(clippy::print_stdout, reason = "showing the answers is what this program is for")]

use llmops::domain::experiment::observation::Observation;
use llmops::domain::prompt::PromptSpec;
use llmops::{Error, LlmOps};
use llmops_api::observations::ResultsQuery;
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let ops = LlmOps::in_memory().await?;
    let prompt = |version: &str, content: &str| -> Result<PromptSpec, Error> {
        let variable = |name: &str| json!({"name": name, "type": "string"});
        let variables = ["language", "focus_area", "code"].map(variable);
        let spec = json!({"name": "code-review", "version": version, "content": content, "variables": variables});
        serde_json::from_value(spec).map_err(|e| Error::invalid(e.to_string()))
    };
    let control = prompt("1.0.0", "Review this {{language}} code for {{focus_area}}: {{code}}")?;
    let treatment = prompt("2.0.0", "Carefully review this {{language}} code for {{focus_area}}: {{code}}")?;
    let experiment = ops.create_prompt_experiment("code-review-v2-test", control, treatment, 0.3).await?;

    let experiments = ops.experiments();
    let id = experiment.id.as_str();
    // By default a winner is named after seven days at the earliest, so that every weekday is in.
    let without_waiting = json!({"analysis": {"min_duration": "0s"}});
    if let Some(changes) = without_waiting.as_object() {
        experiments.update(id, changes, None).await?;
    }
    experiments.start(id).await?;

    for user in 0..1000 {
        // While a request is handled: which prompt does this user get?
        let user_id = format!("user-{user}");
        let Some(variant) = experiments.assign_variant(id, &user_id).await?.variant else { continue };
        // … the prompt named by variant.prompt_name and variant.prompt_version is used, and its answer judged.
        let quality = if variant.is_control { 0.70 } else { 0.80 } + f64::from(user % 10) / 100.0;
        let observation = Observation {
            unit: Some(user_id),
            variant: Some(variant.id),
            metric: "quality".to_owned(),
            value: quality,
            at: None,
            idempotency_key: None,
        };
        experiments.record_metric(id, observation).await?;
    }

    let results = experiments.get_results(id, &ResultsQuery::default()).await?;
    println!("confidence      {:.4}", results.confidence);
    println!("winner          {}", results.winner.as_deref().unwrap_or("none yet"));
    println!("recommendation  {}", results.recommendation);
    experiments.complete(id, results.winner.as_deref()).await?;
    Ok(())
}
