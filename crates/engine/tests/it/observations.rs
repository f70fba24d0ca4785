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

fn bare(metric: &str, unit: &str, value: f64) -> Observation {
    Observation { variant: None, metric: metric.to_owned(), ..quality("", unit, value) }
}

#[tokio::test]
async fn a_key_means_the_same_experiment_for_recording_and_reading_as_for_assigning() {
    let ops = LlmOps::in_memory().await.unwrap();
    let experiments = ops.experiments();
    let spec = json!({"name": "se", "variants": [{"id": "control"}, {"id": "new"}], "metrics": ["quality"]});
    let made = async || experiments.create(serde_json::from_value(spec.clone()).unwrap()).await.unwrap().id.to_string();
    let first = made().await;
    experiments.start("se").await.unwrap();
    experiments.record_metric("se", quality("control", "u", 1.0)).await.unwrap();
    experiments.complete("se", Some("new")).await.unwrap();
    experiments.record_metric("se", quality("control", "v", 1.0)).await.unwrap();
    // A draft of the same key changes nothing before it starts, and nothing when it is cancelled.
    let second = made().await;
    experiments.record_metric("se", quality("control", "w", 1.0)).await.unwrap();
    let refused = experiments.record_metric(&second, quality("control", "w", 1.0)).await.unwrap_err();
    assert!(refused.to_string().contains("is a draft"), "{refused}");
    assert_eq!(experiments.assign_variant("se", "w").await.unwrap().experiment.as_str(), first);
    assert_eq!(experiments.get_results("se", &ResultsQuery::default()).await.unwrap().total_samples, 3);
    assert_eq!(experiments.cancel("se").await.unwrap().id.as_str(), second, "who manages means the newest");
    experiments.record_metric("se", quality("control", "w", 1.0)).await.unwrap();
    let refused = experiments.record_metric(&second, quality("control", "x", 1.0)).await.unwrap_err();
    assert!(refused.to_string().contains("was cancelled"), "{refused}");
    let results = experiments.get_results(&first, &ResultsQuery::default()).await.unwrap();
    assert_eq!(results.total_samples, 3);
}

#[tokio::test]
async fn without_stickiness_observations_count_where_the_unit_is_now() {
    let ops = LlmOps::in_memory().await.unwrap();
    let experiments = ops.experiments();
    let spec = json!({"name": "n", "variants": [{"id": "a"}, {"id": "b"}], "metrics": ["quality"], "sticky": false});
    experiments.create(serde_json::from_value(spec).unwrap()).await.unwrap();
    experiments.start("n").await.unwrap();
    let assign = async |unit: &str| experiments.assign_variant("n", unit).await.unwrap().variant_index.unwrap();
    let (mut moved, mut kept) = (0_u64, [0_u64; 2]);
    let units: Vec<String> = (0..100).map(|i| format!("u{i}")).collect();
    let mut before = Vec::new();
    for unit in &units {
        before.push(assign(unit).await);
    }
    let split = json!({"traffic_split": {"a": 20, "b": 80}});
    experiments.update("n", split.as_object().unwrap(), None).await.unwrap();
    for (unit, before) in units.iter().zip(before) {
        let now = assign(unit).await;
        experiments.record_metric("n", bare("quality", unit, now as f64)).await.unwrap();
        if now == before { kept[now] += 1 } else { moved += 1 }
    }
    let results = experiments.get_results("n", &ResultsQuery::default()).await.unwrap();
    let of = |variant: &str| {
        let result = &results.variant_results[variant];
        (result.sample_count, result.metric_values["quality"])
    };
    assert_eq!((of("a"), of("b")), ((kept[0], 0.0), (kept[1], 1.0)));
    assert_eq!(results.excluded.units_in_several_variants, moved);
    assert!(moved > 10, "{moved}");
    let notices: Vec<_> = results.notices.iter().filter(|notice| notice.contains("the split changed")).collect();
    assert_eq!(notices.len(), 1, "{:?}", results.notices);
}

#[tokio::test]
async fn values_fit_the_kind_of_their_metric() {
    let ops = LlmOps::in_memory().await.unwrap();
    let experiments = ops.experiments();
    let spec = json!({"name": "kinds", "variants": [{"id": "control"}, {"id": "new"}],
        "metrics": [{"name": "ok", "kind": "binary"}, {"name": "clicks", "kind": "count"}, "quality"]});
    experiments.create(serde_json::from_value(spec).unwrap()).await.unwrap();
    experiments.start("kinds").await.unwrap();
    let check = async |metric: &str, value: f64, expected: Option<&str>| {
        let observation = Observation { metric: metric.to_owned(), ..quality("control", "u", value) };
        let told = match experiments.record_metric("kinds", observation).await {
            Ok(_) => None,
            Err(llmops::Error::Invalid { problems, .. }) => {
                assert_eq!((problems.len(), problems[0].field.as_deref()), (1, Some("value")), "{problems:?}");
                Some(problems[0].message.clone())
            }
            Err(other) => panic!("{other}"),
        };
        assert_eq!(told.as_deref(), expected, "{metric} {value}");
    };
    check("ok", 1.0, None).await;
    check("ok", 0.25, None).await;
    check("ok", -7.0, Some("it is -7: a binary metric has 0 or 1, or a share of them")).await;
    check("clicks", 3.0, None).await;
    check("clicks", -3.0, Some("it is -3: a count is a whole number from 0")).await;
    check("clicks", 0.4, Some("it is 0.4: a count is a whole number from 0")).await;
    check("quality", -1e12, None).await;
    let large = "it is 1700000000000000000: expected at most 1e12 in size: choose a larger unit";
    check("quality", 1.7e18, Some(large)).await;
    check("quality", f64::NAN, Some("NaN is no number to calculate with: expected a finite one")).await;
}
