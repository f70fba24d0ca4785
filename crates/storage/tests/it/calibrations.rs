use llmops_domain::calibration::{CalibrationFilter, JudgeCalibration};
use llmops_domain::id::{ProjectId, RunId};
use llmops_domain::run::RunResults;
use llmops_storage::StoreError;
use llmops_testing::on_backends;
use serde_json::json;

use crate::runs::results;
use crate::support::{project, stored_run};

fn calibration(id: &str, judge: &str, run: &str) -> JudgeCalibration {
    let estimate = json!({"value": 0.5, "n": 10, "lower": 0.4, "upper": 0.6});
    let corrected = json!({"raw": estimate, "corrected": estimate, "labelled": 10, "calibration": id});
    serde_json::from_value(json!({
        "id": id, "judge": {"hash": judge.repeat(64), "model": "sim/j"}, "metric": "judge", "run": run, "dataset": "golden",
        "created_at": "2026-11-26T12:00:00Z", "threshold": 0.7, "labels": 10, "raters": 1, "samples": 10,
        "agreement": {"cohen_kappa": estimate}, "confusion": {"both_pass": 4, "judge_passes_only": 1, "people_pass_only": 2,
        "both_fail": 3}, "bias": estimate, "category_bias": {"é": estimate}, "metric_mean": corrected, "overall": corrected,
    }))
    .unwrap()
}

#[tokio::test]
async fn calibrations_are_listed_newest_first() {
    on_backends(async |store| {
        stored_run(store, "run_1").await;
        let run = RunId::from("run_1");
        let key = store.run_key(&project(), &run).await.unwrap();
        let results = results(0.7);
        let all = ["calibration_1", "calibration_2", "calibration_3"]
            .map(|id| calibration(id, if id.ends_with('2') { "b" } else { "a" }, run.as_str()));
        for one in &all {
            let results = RunResults { corrected: one.overall.clone(), ..results.clone() };
            store.put_calibration(&project(), one, &key, &results).await.unwrap();
        }
        let again = store.put_calibration(&project(), &all[0], &key, &results).await;
        assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
        let kept = store.get_run(&project(), run.as_str()).await.unwrap().results.unwrap();
        assert_eq!(kept.corrected, all[2].overall, "the last one counts, and the refused one changed nothing");
        assert_eq!(store.get_calibration(&project(), "calibration_2").await.unwrap(), all[1]);
        let absent = store.get_calibration(&project(), "calibration").await;
        assert!(matches!(absent, Err(StoreError::NotFound { what: "calibration", .. })));
        let ids = async |filter: CalibrationFilter| -> Vec<String> {
            let found = store.list_calibrations(&project(), &filter).await.unwrap();
            found.into_iter().map(|c| c.id.0.replace("calibration_", "")).collect()
        };
        let any = CalibrationFilter::default;
        assert_eq!(ids(any()).await, ["3", "2", "1"]);
        assert_eq!(ids(CalibrationFilter { judge: Some("a".repeat(64)), ..any() }).await, ["3", "1"]);
        assert_eq!(ids(CalibrationFilter { run: Some("run_none".into()), ..any() }).await, Vec::<String>::new());
        assert_eq!(
            ids(CalibrationFilter { before: Some("calibration_3".into()), limit: Some(1), ..any() }).await,
            ["2"]
        );
        let elsewhere = ProjectId::from("elsewhere");
        assert!(store.list_calibrations(&elsewhere, &any()).await.unwrap().is_empty());
    })
    .await;
}
