//! The story of an experiment in the library: made of two prompts, started, assigned, observed, decided.

use jiff::{Timestamp, ToSpan as _};
use llmops::LlmOps;
use llmops::domain::experiment::observation::Observation;
use llmops::domain::experiment::result::Conclusion;
use llmops_api::observations::ResultsQuery;
use serde_json::json;

fn quality(variant: &str, unit: &str, value: f64) -> Observation {
    Observation {
        unit: Some(unit.to_owned()),
        variant: Some(variant.to_owned()),
        metric: "quality".to_owned(),
        value,
        at: None,
        idempotency_key: None,
    }
}

#[tokio::test]
async fn prompts_are_compared_from_assignment_to_results() {
    let ops = LlmOps::in_memory().await.unwrap();
    let prompt = |version: &str, content: &str| {
        serde_json::from_value::<llmops::domain::prompt::PromptSpec>(
            json!({"name": "code-review", "version": version, "content": content}),
        )
        .unwrap()
    };
    let (control, treatment) = (prompt("1.0.0", "Review {{ input }}"), prompt("2.0.0", "Review well: {{ input }}"));
    let made = ops.create_prompt_experiment("code-review-v2-test", control, treatment, 0.3).await.unwrap();
    let experiments = ops.experiments();
    let refused = experiments.record_metric(made.id.as_str(), quality("control", "u", 1.0)).await.unwrap_err();
    assert!(refused.to_string().contains("start it first"), "{refused}");
    experiments.start(made.id.as_str()).await.unwrap();
    let mut counts = [0_u64; 2];
    for user in 0..400 {
        let unit = format!("user-{user}");
        let assigned = experiments.assign_variant(made.id.as_str(), &unit).await.unwrap();
        let index = assigned.variant_index.unwrap();
        counts[index] += 1;
        let score = 0.6 + 0.2 * index as f64 + 0.01 * f64::from(user % 10);
        let mut observation = quality(&assigned.variant.unwrap().id, &unit, score);
        if user % 2 == 0 {
            // The unit alone is enough: its variant is known.
            observation.variant = None;
        }
        experiments.record_metric(made.id.as_str(), observation).await.unwrap();
    }
    let results = experiments.get_results(made.id.as_str(), &ResultsQuery::default()).await.unwrap();
    let treatment = &made.spec.variants[1].id;
    assert_eq!((results.total_samples, results.variant_results[treatment].sample_count), (400, counts[1]));
    let ratio = results.sample_ratio.as_ref().unwrap();
    assert_eq!((ratio.mismatch, ratio.counted.as_str()), (false, "exposures"));
    assert!(results.confidence > 0.99, "{}", results.recommendation);
    assert_eq!((results.conclusion, &results.winner), (Conclusion::Undecided, &None), "it has not run seven days");
    assert!(results.missing.iter().any(|missing| missing.what == "duration"));
    let ahead: Timestamp = llmops_domain::clock::now() + 72.hours();
    let late = Observation { at: Some(ahead), ..quality("control", "user-1", 0.5) };
    assert!(experiments.record_metric(made.id.as_str(), late).await.is_err());
    let unknown = experiments.record_metric(made.id.as_str(), quality("contrl", "x", f64::NAN)).await.unwrap_err();
    let llmops::Error::Invalid { problems, .. } = unknown else { panic!("{unknown}") };
    assert_eq!(problems.len(), 2, "{problems:?}");
}
