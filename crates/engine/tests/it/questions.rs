//! Questions that are answered from the observations, winsorised metrics, and shares that follow the data, over real stores.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use llmops::domain::experiment::observation::Observation;
use llmops::domain::experiment::result::{Conclusion, ExperimentResult};
use llmops::domain::experiment::{AskedQuestion, Question, QuestionStatus};
use llmops::{Error, LlmOps};
use llmops_api::observations::ResultsQuery;
use llmops_storage::Store;
use llmops_testing::on_backends;
use serde_json::{Map, Value, json};

use crate::experiments::{FakeClock, import, replica, spec};

async fn answered(ops: &LlmOps, experiment: &str, question: Value) -> AskedQuestion {
    let question: Question = serde_json::from_value(question).unwrap();
    let asked = ops.experiments().ask(experiment, question).await.unwrap();
    let answer = async {
        loop {
            let now = ops.experiments().question(experiment, asked.id.as_str()).await.unwrap();
            if now.status != QuestionStatus::Open {
                return now;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), answer).await.unwrap()
}

/// Means and p-values, without the last digits, which depend on the order of summation.
fn numbers(result: &ExperimentResult) -> Value {
    fn rounded(value: Value) -> Value {
        match value {
            Value::Number(number) => format!("{:.10e}", number.as_f64().unwrap()).into(),
            Value::Array(items) => items.into_iter().map(rounded).collect(),
            Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, rounded(value))).collect(),
            other => other,
        }
    }
    rounded(json!({
        "variants": result.variant_results,
        "comparisons": result.comparisons.iter().map(|c| json!([c.metric, c.difference, c.p_value, c.fixed])).collect::<Vec<_>>(),
    }))
}

/// What a unit did on a day, counted from the clock's; today's has no time of its own.
fn observed(unit: &str, n: usize, (metric, value, day): (&str, f64, i64)) -> Observation {
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let at = Timestamp::from_second(now.as_second() + day * 86_400 - 90_000).unwrap();
    Observation {
        unit: Some(unit.to_owned()),
        variant: None,
        metric: metric.to_owned(),
        value,
        at: Some(at).filter(|at| *at <= now),
        idempotency_key: Some(n.to_string()),
    }
}

#[tokio::test]
async fn the_rows_say_what_the_sums_say_and_more() {
    on_backends(async |store| {
        let clock = Arc::new(FakeClock::default());
        // Everything that is observed comes after the exposures.
        clock.hours.store(-250, Ordering::SeqCst);
        let ops = replica(store, &clock);
        let experiment = spec(json!({
            "name": "solver", "variants": [{"id": "control"}, {"id": "new"}], "analysis": {"segments": ["country"]},
            "metrics": ["quality", {"name": "latency"}, {"name": "rating", "kind": "ordinal"}, {"name": "before"}],
        }));
        let manager = ops.experiments();
        let id = manager.create(experiment).await.unwrap().id.0;
        let draft = manager.ask(&id, Question::default()).await;
        assert!(matches!(draft, Err(Error::Conflict { .. })));
        manager.start(&id).await.unwrap();
        let mut indexes = Vec::new();
        for i in 0..400_u32 {
            let country = if i % 4 < 3 { "DE" } else { "FR" };
            let attributes: Map<String, Value> = [("country".to_owned(), country.into())].into_iter().collect();
            let assigned = manager.assign(&id, Some(&format!("u{i}")), &attributes).await.unwrap();
            indexes.push(assigned.variant_index);
        }
        clock.hours.store(0, Ordering::SeqCst);
        let (mut import, mut line) = (manager.import_observations(&id).await.unwrap(), 0);
        for (i, index) in (0..400_u32).zip(indexes) {
            let unit = format!("u{i}");
            let treated = f64::from(u8::from(index == Some(1)));
            let skill = f64::from(i % 17) / 17.0;
            let rows = [
                ("before", skill, -9),
                ("quality", skill + 0.1 * treated + f64::from(i % 5) * 0.01, i64::from(i % 3)),
                ("quality", skill + 0.1 * treated, 1),
                ("latency", f64::from(100 + i % 90), 0),
                ("rating", f64::from(1 + (i + u32::from(treated > 0.0)) % 5), 0),
            ];
            for (n, row) in rows.into_iter().enumerate() {
                line += 1;
                import.push(line, observed(&unit, n, row), false).await.unwrap();
            }
        }
        import.finish().await.unwrap();
        let results = manager.get_results(&id, &ResultsQuery::default()).await.unwrap();
        let same = answered(&ops, &id, json!({})).await;
        assert_eq!(same.observations, 2000);
        let answer = same.result.unwrap();
        assert_eq!(numbers(&answer), numbers(&results), "nothing was asked but what was declared");
        assert_eq!((answer.winner, answer.missing[0].what.as_str()), (None, "declared"));
        let by = |result: &ExperimentResult, name: &str| {
            result.comparisons.iter().find(|c| c.metric == name).unwrap().clone()
        };
        let cuped = answered(&ops, &id, json!({"metrics": [{"name": "quality", "covariate": "before"}]})).await;
        let cuped = by(&cuped.result.unwrap(), "quality").cuped.unwrap();
        assert!(cuped.variance_reduction > 0.9, "{cuped:?}");
        let median = answered(&ops, &id, json!({"metrics": [{"name": "latency", "quantile": 0.5}]})).await;
        assert_eq!(median.result.unwrap().variant_results["control"].metrics["latency"].quantile.unwrap().q, 0.5);
        let part =
            answered(&ops, &id, json!({"where": {"country": "FR"}, "segments": ["country"]})).await.result.unwrap();
        assert_eq!(part.total_samples, 100);
        assert_eq!(part.segments.iter().map(|slice| slice.name.as_str()).collect::<Vec<_>>(), ["country=FR"]);
        let first_day = json!({"metrics": [{"name": "quality", "covariate": "before"}], "to": "2027-01-14T12:00:00Z"});
        let first_day = answered(&ops, &id, first_day).await;
        let result = first_day.result.unwrap();
        assert!(first_day.observations < 800 && by(&result, "quality").cuped.is_some(), "covariates are of before");
        let wrong =
            manager.ask(&id, serde_json::from_value(json!({"metrics": ["qualty"]})).unwrap()).await.unwrap_err();
        let Error::Invalid { problems, .. } = wrong else { panic!("{wrong}") };
        assert!(problems[0].message.contains("did you mean quality?"), "{problems:?}");
        let all = manager.questions(&id, None, 10).await.unwrap();
        assert_eq!(all.len(), 5);
        assert!(matches!(manager.question("solver", "question_none").await, Err(Error::NotFound { .. })));
    })
    .await;
}

#[tokio::test]
async fn winsorised_metrics_are_those_with_their_limit_as_a_cap() {
    on_backends(async |store| {
        let ops = replica(store, &Arc::default());
        let manager = ops.experiments();
        let cost = |i: u32| (f64::from(i * 7919 % 1009) / 150.0).exp() / 100.0;
        let mut found = Vec::new();
        for (name, metric) in
            [("open", json!({"name": "cost", "winsorize": 0.95})), ("capped", json!({"name": "cost", "cap": 0.0}))]
        {
            let mut metric = metric;
            if name == "capped" {
                let result: &ExperimentResult = &found[0];
                let notice =
                    result.notices.iter().find(|notice| notice.starts_with("cost: unit values above")).unwrap();
                // The limit to all its digits: the largest mean of a unit that was pulled in.
                let shown: f64 = notice.split(' ').nth(4).unwrap().trim_end_matches(',').parse().unwrap();
                let exact = ((shown.ln() / 0.019_802_627_296_179_73).round() * 0.019_802_627_296_179_73).exp();
                metric["cap"] = json!(exact);
            }
            let made = spec(json!({"name": name, "variants": [{"id": "control"}, {"id": "new"}], "metrics": [metric]}));
            let id = manager.create(made).await.unwrap().id.0;
            manager.start(&id).await.unwrap();
            let variant = |i: u32| if i.is_multiple_of(2) { "control" } else { "new" };
            // In three batches, the second of which changes units of the first.
            import(&ops, &id, (0..300).map(|i| (format!("u{i}"), variant(i), "cost", cost(i)))).await;
            import(&ops, &id, (0..300).map(|i| (format!("u{i}"), variant(i), "cost", cost(i + 50)))).await;
            import(&ops, &id, (300..900).map(|i| (format!("u{i}"), variant(i), "cost", cost(i)))).await;
            found.push(manager.get_results(&id, &ResultsQuery { by_day: true, by_segment: true }).await.unwrap());
        }
        let means = |result: &ExperimentResult| -> Vec<f64> {
            let of = |result: &ExperimentResult, name: &str| {
                let metric = &result.variant_results[name].metrics["cost"];
                [metric.mean.unwrap(), metric.sd.unwrap(), metric.units as f64]
            };
            let compared = &result.comparisons[0];
            let day = &result.days[0].variant_results["new"]["cost"];
            [
                of(result, "control"),
                of(result, "new"),
                [compared.difference.unwrap(), compared.p_value.unwrap(), day.mean.unwrap()],
            ]
            .concat()
        };
        for (mine, theirs) in means(&found[0]).into_iter().zip(means(&found[1])) {
            assert!((mine - theirs).abs() <= 1e-9 * theirs.abs(), "{mine} and {theirs}");
        }
    })
    .await;
}

#[tokio::test]
async fn of_several_replicas_one_lets_the_shares_follow_the_data() {
    on_backends(async |store| {
        let clock = Arc::new(FakeClock::default());
        let replicas = [replica(store, &clock), replica(&Store::open(store.url()).await.unwrap(), &clock)];
        let manager = replicas[0].experiments();
        let experiment = spec(json!({
            "name": "solver", "variants": [{"id": "control"}, {"id": "new"}], "metrics": [{"name": "solved", "kind": "binary"}],
            "adaptive": {"every": "1h", "min_units": 200}, "analysis": {"min_duration": "0s"},
        }));
        let id = manager.create(experiment).await.unwrap().id.0;
        manager.start(&id).await.unwrap();
        let mut first = Vec::new();
        for day in 1..=4_i64 {
            let mut import = manager.import_observations(&id).await.unwrap();
            for i in 0..400_u32 {
                let unit = format!("u{day}-{i}");
                let index = manager.assign_variant(&id, &unit).await.unwrap().variant_index.unwrap();
                if day == 1 {
                    first.push(index);
                }
                let solved = f64::from(i % 10 < if index == 0 { 3 } else { 7 });
                let observation = Observation {
                    unit: Some(unit),
                    variant: None,
                    metric: "solved".to_owned(),
                    value: solved,
                    at: None,
                    idempotency_key: None,
                };
                import.push(u64::from(i) + 1, observation, false).await.unwrap();
            }
            import.finish().await.unwrap();
            clock.hours.store(day * 2, Ordering::SeqCst);
            let looks = replicas.iter().map(|ops| {
                let ops = ops.clone();
                tokio::spawn(async move { ops.alert_worker().run_once().await })
            });
            for look in looks.collect::<Vec<_>>() {
                look.await.unwrap().unwrap();
            }
        }
        let now = manager.get(&id).await.unwrap();
        let shares: Vec<f64> = now.allocations.iter().map(|allocation| allocation.weights[1]).collect();
        assert_eq!(shares.len(), 2, "one step, and the next ones would hardly change anything: {:?}", now.allocations);
        assert!(shares[0] == 0.5 && shares[1] > 0.7, "{shares:?}");
        let step = now.allocations[1].step.as_ref().unwrap();
        assert!(step.chances[1] > 0.99 && step.units == 400, "{step:?}");
        for (i, index) in first.iter().enumerate() {
            let again = manager.assign_variant(&id, &format!("u1-{i}")).await.unwrap();
            assert_eq!(again.variant_index, Some(*index), "nobody is moved");
        }
        let (project, filter) = (llmops::domain::id::ProjectId::default_project(), llmops_storage::AuditFilter::default());
        let audit = store.list_audit(&project, &filter, 50).await.unwrap();
        let steps: Vec<_> = audit.iter().filter(|r| r.action == "experiment.reallocated").map(|r| r.actor.as_str()).collect();
        assert_eq!(steps, ["experiments"]);
        let result = manager.get_results(&id, &ResultsQuery::default()).await.unwrap();
        assert_eq!((result.winner.as_deref(), result.conclusion), (Some("new"), Conclusion::Winner), "{:?}", result.missing);
        assert!(result.notices.iter().any(|notice| notice.contains("adaptive allocation")), "{:?}", result.notices);
        assert!(!result.sample_ratio.unwrap().mismatch);
        assert!(result.comparisons[0].fixed.as_ref().unwrap().test.ends_with("reweighted"));
        let difference = result.comparisons[0].difference.unwrap();
        assert!((difference - 0.4).abs() < 0.1, "{difference}");
    })
    .await;
}

#[tokio::test]
async fn who_was_erased_is_in_no_answer() {
    on_backends(async |store| {
        let ops = replica(store, &Arc::default());
        let manager = ops.experiments();
        let experiment = spec(json!({"name": "named", "metrics": ["quality"],
            "variants": [{"id": "control"}, {"id": "new"}]}));
        let id = manager.create(experiment).await.unwrap().id.0;
        manager.start(&id).await.unwrap();
        for (n, (unit, variant)) in
            [("ana", "control"), ("ana", "new"), ("ben", "new"), ("ben", "control"), ("cleo", "new")]
                .into_iter()
                .enumerate()
        {
            let seen =
                Observation { variant: Some(variant.to_owned()), at: None, ..observed(unit, n, ("quality", 1.0, 0)) };
            manager.record_metric(&id, seen).await.unwrap();
        }
        let asked = answered(&ops, &id, json!({})).await;
        assert_eq!(asked.result.as_ref().unwrap().excluded.examples, ["ana", "ben"]);
        // Another one is being answered meanwhile.
        let project = llmops::domain::id::ProjectId::default_project();
        let key = store.get_experiment(&project, &id).await.unwrap().key;
        let open =
            AskedQuestion { id: "question_late".into(), status: QuestionStatus::Open, result: None, ..asked.clone() };
        store.create_question(&key, &open).await.unwrap();
        ops.records().erase_user("ana").await.unwrap();
        store.settle_question(&project, &AskedQuestion { id: open.id.clone(), ..asked.clone() }).await.unwrap();
        for question in [&asked.id, &open.id] {
            let left_out = manager.question(&id, question.as_str()).await.unwrap().result.unwrap().excluded;
            assert_eq!(
                (left_out.units_in_several_variants, left_out.examples),
                (2, vec!["ben".to_owned()]),
                "{question}"
            );
        }
    })
    .await;
}
