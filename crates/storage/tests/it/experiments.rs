use llmops_domain::experiment::assignment::Exposure;
use llmops_domain::experiment::{Experiment, ExperimentSpec, ExperimentStatus};
use llmops_domain::id::{ExperimentId, ProjectId};
use llmops_storage::{ExperimentKey, ExposureCount, StoreError, StoredUnit};
use llmops_testing::on_backends;

use crate::support::{at, project};

fn draft(id: &str, key: &str) -> Experiment {
    let spec = serde_json::json!({"name": key, "variants": [{}, {"value": 1.0, "parameters": {"temperature": 2.0}}]});
    let spec: ExperimentSpec = serde_json::from_value(spec).unwrap();
    Experiment::draft(ExperimentId::from(id), spec.checked().unwrap(), at(0))
}

fn exposure(unit: &str, variant: usize, seconds: i64) -> Exposure {
    let at = at(seconds).as_microsecond();
    Exposure { unit: unit.into(), variant, epoch: 0, at, segments: String::new() }
}

#[tokio::test]
async fn experiments_are_found_by_id_its_beginning_and_key() {
    on_backends(async |store| {
        let (first, second) = (draft("exp_1a", "greeting"), draft("exp_1b", "greeting"));
        store.create_experiment(&project(), &first).await.unwrap();
        let key = store.create_experiment(&project(), &second).await.unwrap();
        let taken = store.create_experiment(&project(), &first).await;
        assert!(matches!(taken, Err(StoreError::Conflict(message)) if message.contains("exp_1a")));

        let found = store.get_experiment(&project(), "exp_1b").await.unwrap();
        assert_eq!((found.key, found.experiment), (key, second.clone()), "a float stays a float");
        assert!(matches!(store.get_experiment(&project(), "exp_1").await, Err(StoreError::Ambiguous { .. })));
        assert_eq!(store.get_experiment(&project(), "greeting").await.unwrap().experiment, second, "the newest");
        let running = first.start(at(1)).unwrap();
        store.update_experiment(&project(), &running).await.unwrap();
        assert_eq!(
            store.get_experiment(&project(), "greeting").await.unwrap().experiment,
            running,
            "the one that lives"
        );
        for absent in ["exp_2", "other", "", "%"] {
            let absent = store.get_experiment(&project(), absent).await;
            assert!(matches!(absent, Err(StoreError::NotFound { what: "experiment", .. })));
        }
        let elsewhere = ProjectId("elsewhere".to_owned());
        assert!(store.get_experiment(&elsewhere, "exp_1a").await.is_err());
        assert!(matches!(store.create_experiment(&elsewhere, &first).await, Err(StoreError::NotFound { .. })));
    })
    .await;
}

#[tokio::test]
async fn drafts_are_deleted_and_nothing_else() {
    on_backends(async |store| {
        let (draft, started) = (draft("exp_1", "a"), draft("exp_2", "b"));
        for experiment in [&draft, &started] {
            store.create_experiment(&project(), experiment).await.unwrap();
        }
        store.update_experiment(&project(), &started.start(at(1)).unwrap()).await.unwrap();
        let elsewhere = ProjectId("elsewhere".to_owned());
        assert!(matches!(store.delete_draft(&elsewhere, &draft).await, Err(StoreError::NotFound { .. })));
        store.delete_draft(&project(), &draft).await.unwrap();
        assert!(matches!(store.delete_draft(&project(), &draft).await, Err(StoreError::NotFound { .. })));
        // What the caller saw as a draft may have been started since.
        assert!(matches!(store.delete_draft(&project(), &started).await, Err(StoreError::Conflict(_))));
        assert!(store.get_experiment(&project(), "exp_1").await.is_err());
        assert!(store.get_experiment(&project(), "exp_2").await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn one_of_two_concurrent_changes_wins() {
    on_backends(async |store| {
        let experiment = draft("exp_1", "greeting");
        store.create_experiment(&project(), &experiment).await.unwrap();
        let before = store.experiment_changes().await.unwrap();
        store.update_experiment(&project(), &experiment.start(at(1)).unwrap()).await.unwrap();
        assert_ne!(store.experiment_changes().await.unwrap(), before, "replicas hear of it");
        let late = store.update_experiment(&project(), &experiment.cancel(at(1)).unwrap()).await;
        assert!(matches!(late, Err(StoreError::Conflict(_))));
        let other = draft("exp_2", "greeting");
        store.create_experiment(&project(), &other).await.unwrap();
        let clash = store.update_experiment(&project(), &other.start(at(2)).unwrap()).await;
        assert!(matches!(clash, Err(StoreError::Conflict(message)) if message.contains("greeting")));
        let absent = store.update_experiment(&project(), &draft("exp_3", "x").start(at(2)).unwrap()).await;
        assert!(matches!(absent, Err(StoreError::NotFound { .. })));
    })
    .await;
}

#[tokio::test]
async fn lists_and_flags() {
    on_backends(async |store| {
        let ids = async |status, before, limit| -> Vec<String> {
            let found = store.list_experiments(&project(), status, before, limit).await.unwrap();
            found.into_iter().map(|e| e.id.0).collect()
        };
        for (i, key) in ["a", "a", "a", "b", "c"].into_iter().enumerate() {
            let experiment = draft(&format!("exp_{i}"), key);
            store.create_experiment(&project(), &experiment).await.unwrap();
            let running = experiment.start(at(1)).unwrap();
            let done = running.complete(None, at(2)).unwrap();
            let steps = match i {
                0 | 1 => vec![running, done],
                3 => vec![running],
                _ => Vec::new(),
            };
            for step in steps {
                store.update_experiment(&project(), &step).await.unwrap();
            }
        }
        assert_eq!(ids(None, None, 3).await, ["exp_4", "exp_3", "exp_2"]);
        assert_eq!(ids(None, Some("exp_2"), 3).await, ["exp_1", "exp_0"]);
        assert_eq!(ids(Some(ExperimentStatus::Completed), None, 9).await, ["exp_1", "exp_0"]);
        let flags = store.flag_experiments(&project()).await.unwrap();
        let flags: Vec<_> = flags.iter().map(|f| f.experiment.id.as_str()).collect();
        assert_eq!(flags, ["exp_1", "exp_3"], "the newest completed of a key, and what runs");
    })
    .await;
}

#[tokio::test]
async fn a_unit_keeps_its_first_variant_and_is_counted_once() {
    on_backends(async |store| {
        let key = store.create_experiment(&project(), &draft("exp_1", "e")).await.unwrap();
        let insert = async |rows: &[(&str, usize, i64)]| {
            let rows: Vec<(ExperimentKey, Exposure)> =
                rows.iter().map(|(unit, variant, s)| (key.clone(), exposure(unit, *variant, *s))).collect();
            store.insert_exposures(&rows).await.unwrap()
        };
        assert_eq!(insert(&[("u2", 0, 0), ("u1", 1, 0), ("u1", 0, 1), ("ünï 😀", 1, 86_400)]).await, 3);
        assert_eq!(insert(&[("u1", 0, 5), ("u3", 0, 5)]).await, 1);
        let many: Vec<_> = (0..300).map(|i| format!("m{i}")).collect();
        let many: Vec<_> = many.iter().map(|unit| (unit.as_str(), 0, 7)).collect();
        assert_eq!((insert(&many).await, insert(&many).await), (300, 0));

        let u1 = store.experiment_unit(&key, "u1").await.unwrap();
        assert_eq!(u1, Some(StoredUnit { variant: 1, epoch: 0, at: at(0).as_microsecond() }));
        assert_eq!(store.experiment_unit(&key, "nobody").await.unwrap(), None);
        let day = at(0).as_microsecond() / 86_400_000_000;
        let count = |variant, day, units| ExposureCount { epoch: 0, variant, day, units };
        let counts = store.exposure_counts(&key).await.unwrap();
        assert_eq!(counts, [count(0, day, 302), count(1, day, 1), count(1, day + 1, 1)]);
        let nul = store.insert_exposures(&[(key.clone(), exposure("a\0b", 0, 0))]).await;
        assert!(matches!(nul, Err(StoreError::Invalid(_))));
    })
    .await;
}
