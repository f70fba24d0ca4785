//! Observations: rows, units and sums.

use std::sync::Arc;

use llmops_domain::experiment::assignment::Exposure;
use llmops_domain::experiment::{AskedQuestion, Experiment, ExperimentSpec};
use llmops_domain::id::ExperimentId;
use llmops_storage::observations::{
    AllSums, MetricSums, NewObservation, ObservedExperiment, Recorded, RowChoice, SliceChoice, Sums,
};
use llmops_storage::{ExperimentKey, Store};
use llmops_testing::{Backend, on_backends};

use crate::support::{at, project};

pub(crate) async fn experiment(store: &Store, id: &str) -> (Arc<ObservedExperiment>, ExperimentKey) {
    let spec: ExperimentSpec = serde_json::from_value(serde_json::json!({
        "name": id,
        "variants": [{"id": "control", "is_control": true}, {"id": "new"}],
        "metrics": [
            {"name": "quality", "covariate": "before"}, {"name": "rating", "kind": "ordinal"}, {"name": "latency"},
            {"name": "spend", "kind": "ratio", "denominator": "calls"},
        ],
    }))
    .unwrap();
    let experiment = Experiment::draft(ExperimentId(format!("exp_{id}")), spec, at(0));
    let key = store.create_experiment(&project(), &experiment).await.unwrap();
    (Arc::new(ObservedExperiment::new(key.clone(), &experiment)), key)
}

pub(crate) fn observed(unit: &str, variant: usize, metric: &str, value: f64, second: i64) -> NewObservation {
    NewObservation {
        unit: Some(unit.to_owned()),
        variant: Some(variant),
        assigned: None,
        metric: metric.to_owned(),
        value,
        at: at(second).as_microsecond(),
        is_dated: true,
        key: None,
        replaces: false,
    }
}

async fn sums(store: &Store, key: &ExperimentKey) -> AllSums {
    let mut sums = store.observation_sums(key, SliceChoice { segments: true, days: true }).await.unwrap();
    // A day whose units all turned out to have come earlier.
    sums.retain(|_, sums| !matches!(sums, Sums::Metric(sums) if sums.sums.units() == 0));
    sums
}

fn metric(sums: &AllSums, slice: &str, variant: usize, name: &str) -> MetricSums {
    match sums.get(&(slice.to_owned(), variant, name.to_owned())) {
        Some(Sums::Metric(sums)) => sums.clone(),
        other => panic!("{slice} {variant} {name}: {other:?}"),
    }
}

/// The same to the last two digits: sums have 106 bits, and squares fill them.
fn same(a: &MetricSums, b: &MetricSums, place: &(String, usize, String)) {
    assert_eq!(
        (a.sums.units(), a.sums.paired(), a.observations, &a.tally),
        (b.sums.units(), b.sums.paired(), b.observations, &b.tally),
        "{place:?}"
    );
    if place.0 == "all" {
        assert_eq!((a.min, a.max), (b.min, b.max), "{place:?}");
    }
    let numbers = |sums: &MetricSums| {
        let moments = sums.sums.moments().unwrap();
        [moments.mean().unwrap_or(0.0), moments.variance().unwrap_or(0.0), sums.sums.second().0]
    };
    for (a, b) in numbers(a).into_iter().zip(numbers(b)) {
        assert!((a - b).abs() <= 1e-14 * a.abs(), "{place:?}: {a}, {b}");
    }
}

/// Observations of thirty units over five days, several a unit, with every metric.
fn many() -> Vec<NewObservation> {
    let mut all = Vec::new();
    for i in 0_u32..30 {
        let (unit, variant, day) = (format!("ü{i}"), (i % 2) as usize, i64::from(i % 5) * 86_400);
        let mut add = |metric: &str, value: f64, second: i64| all.push(observed(&unit, variant, metric, value, second));
        add("before", f64::from(i % 7) / 3.0, day - 500_000);
        for n in 0..=i % 3 {
            add("quality", f64::from(i + n) * 0.1, day + i64::from(n));
            add("latency", f64::from(100 + i * 7 + n), day + i64::from(n));
            add("spend", f64::from(i) / 7.0, day + 90_000 * i64::from(n));
            add("calls", f64::from(n + 1), day + i64::from(n));
        }
        add("rating", f64::from(1 + i % 5), day + 3);
    }
    all
}

#[tokio::test]
async fn order_and_batches_leave_no_trace() {
    on_backends(async |store| {
        let (one, one_key) = experiment(store, "one").await;
        store.record_observations(&one, many()).await.unwrap();
        let expected = sums(store, &one_key).await;
        let quality = metric(&expected, "all", 0, "quality");
        assert_eq!((quality.sums.units(), quality.sums.paired()), (15, 15));
        let (other, other_key) = experiment(store, "other").await;
        let mut shuffled = many();
        shuffled.sort_by_key(|o| (o.value.to_bits().wrapping_mul(0x9E37_79B9), o.at));
        for piece in shuffled.chunks(7) {
            store.record_observations(&other, piece.to_vec()).await.unwrap();
        }
        let other = sums(store, &other_key).await;
        assert_eq!(other.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (place, sums) in &expected {
            match (sums, &other[place]) {
                (Sums::Metric(a), Sums::Metric(b)) => same(a, b, place),
                (a, b) => assert_eq!(a, b, "{place:?}"),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_same_observation_counts_once() {
    on_backends(async |store| {
        let (experiment, key) = experiment(store, "same").await;
        let count = async |observations: Vec<NewObservation>| {
            let Recorded { accepted, duplicates, .. } =
                store.record_observations(&experiment, observations).await.unwrap();
            (accepted, duplicates)
        };
        let dated = observed("u", 0, "rating", 3.0, 1);
        assert_eq!(count(vec![dated.clone(), dated.clone()]).await, (1, 1));
        assert_eq!(count(vec![dated.clone()]).await, (0, 1));
        assert_eq!(
            count(vec![observed("u", 0, "rating", 4.0, 1)]).await,
            (1, 0),
            "another value is another observation"
        );
        let keyed = |metric: &str| NewObservation {
            key: Some("k".to_owned()),
            is_dated: false,
            ..observed("u", 0, metric, 5.0, 9)
        };
        assert_eq!(count(vec![keyed("rating"), keyed("quality")]).await, (2, 0), "a key is one of its metric");
        assert_eq!(count(vec![keyed("rating"), keyed("quality")]).await, (0, 2));
        let bare = NewObservation { is_dated: false, ..dated };
        assert_eq!(count(vec![bare.clone(), bare]).await, (2, 0), "without key and time, nothing is the same");
        assert_eq!(metric(&sums(store, &key).await, "all", 0, "rating").observations, 5);
    })
    .await;
}

#[tokio::test]
async fn a_value_takes_the_place_of_the_one_before() {
    on_backends(async |store| {
        let (experiment, key) = experiment(store, "replaced").await;
        let said = |key: &str, value: f64, second: i64| NewObservation {
            key: Some(key.to_owned()),
            replaces: true,
            ..observed("u", 0, "quality", value, second)
        };
        let check = async |rows: Vec<NewObservation>, expected: (u64, u64), mean: f64| {
            let recorded = store.record_observations(&experiment, rows).await.unwrap();
            assert_eq!((recorded.accepted, recorded.duplicates), expected);
            let kept = metric(&sums(store, &key).await, "all", 0, "quality").sums;
            assert_eq!((kept.units(), kept.moments().unwrap().mean()), (1, Some(mean)));
            let everything = |_: &str| Some(String::new());
            let (again, _) = store.recompute_sums(&experiment, &RowChoice::default(), everything).await.unwrap();
            assert_eq!(metric(&again, "all", 0, "quality").sums, kept);
        };
        let replaced = async |row| store.record_observations(&experiment, vec![row]).await.unwrap().replaced;
        check(vec![said("a", 0.0, 1)], (1, 0), 0.0).await;
        assert_eq!([replaced(said("a", 1.0, 1)).await, replaced(said("a", 1.0, 1)).await], [1, 0]);
        check(vec![said("a", 1.0, 2)], (0, 1), 1.0).await;
        check(vec![said("a", 1.0, 2)], (0, 1), 1.0).await;
        check(vec![said("b", 0.0, 3), said("b", 0.25, 4), said("a", 0.25, 5)], (1, 2), 0.25).await;
        // At once with the one before, on another day: it was observed when the first one was.
        let said =
            |value: f64, day: i64| NewObservation { unit: Some("v".to_owned()), ..said("c", value, day * 86_400) };
        store.record_observations(&experiment, vec![said(0.0, 0), said(1.0, 3)]).await.unwrap();
        let days = sums(store, &key).await;
        let of_v = days.keys().filter(|(slice, ..)| slice.starts_with("day/")).count();
        assert_eq!(of_v, 1, "{:?}", days.keys().collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn a_unit_in_two_variants_is_taken_out() {
    on_backends(async |store| {
        let (experiment, key) = experiment(store, "two").await;
        let rows = [("a", 0, 1.0), ("b", 0, 2.0), ("c", 1, 3.0)]
            .map(|(unit, variant, value)| observed(unit, variant, "quality", value, 1));
        store.record_observations(&experiment, rows.to_vec()).await.unwrap();
        store.record_observations(&experiment, vec![observed("b", 1, "quality", 9.0, 2)]).await.unwrap();
        store.record_observations(&experiment, vec![observed("b", 0, "quality", 9.0, 3)]).await.unwrap();
        let sums = sums(store, &key).await;
        let mean = |variant| metric(&sums, "all", variant, "quality").sums.moments().unwrap().mean();
        assert_eq!((mean(0), mean(1)), (Some(1.0), Some(3.0)));
        match sums.get(&("excluded".to_owned(), 0, String::new())) {
            Some(Sums::Units(count)) => {
                assert_eq!((count.units, count.examples.as_slice()), (1, &["b".to_owned()][..]));
            }
            other => panic!("{other:?}"),
        }
    })
    .await;
}

/// How many single observations of latency the sketches of a variant hold, and how many of them are at most `value`.
fn sketched(sums: &AllSums, variant: usize, value: f64) -> (u64, f64) {
    let sketches = sums.iter().filter(|((_, of, metric), _)| *of == variant && metric == "latency");
    sketches.fold((0, 0.0), |(n, below), (_, sums)| match sums {
        Sums::Sketch(sketch) => (n + sketch.n(), below + sketch.below(value)),
        _ => (n, below),
    })
}

#[tokio::test]
async fn what_a_unit_was_observed_with_leaves_the_quantiles_with_it() {
    on_backends(async |store| {
        let (experiment, key) = experiment(store, "sketched").await;
        let check = async |rows: Vec<NewObservation>, expected: (u64, f64)| {
            store.record_observations(&experiment, rows).await.unwrap();
            let sums = sums(store, &key).await;
            assert_eq!((sketched(&sums, 0, 500.0), sketched(&sums, 1, 500.0)), (expected, (0, 0.0)));
        };
        let seen =
            |unit: &str, variant: usize, value: f64, second: i64| observed(unit, variant, "latency", value, second);
        let said = |value: f64| NewObservation {
            key: Some("k".to_owned()),
            replaces: true,
            ..observed("d", 0, "latency", value, 1)
        };
        check(vec![seen("a", 0, 100.0, 1), seen("b", 0, 9000.0, 1), seen("b", 0, 0.0, 2)], (3, 2.0)).await;
        check(vec![said(9000.0)], (4, 2.0)).await;
        check(vec![said(100.0)], (4, 3.0)).await;
        // In another variant at once with a new value: the whole unit goes, and once.
        check(vec![seen("b", 0, 8000.0, 3), seen("b", 1, 8000.0, 4), seen("c", 0, 7000.0, 1)], (3, 2.0)).await;
        check(vec![said(6000.0), NewObservation { variant: Some(1), ..said(6000.0) }], (2, 1.0)).await;
        check(vec![seen("b", 1, 9000.0, 5), seen("d", 0, 9000.0, 5)], (2, 1.0)).await;
    })
    .await;
}

fn exposed(key: &ExperimentKey, unit: &str, variant: usize, segments: &str) -> (ExperimentKey, Exposure) {
    let at = at(0).as_microsecond();
    (key.clone(), Exposure { unit: unit.into(), variant, epoch: 0, at, segments: segments.to_owned() })
}

#[tokio::test]
async fn a_unit_that_is_exposed_elsewhere_after_it_was_recorded_is_left_out() {
    on_backends(async |store| {
        let (experiment, key) = experiment(store, "elsewhere").await;
        let bare =
            |unit: &str, second: i64| NewObservation { variant: None, ..observed(unit, 0, "quality", 2.0, second) };
        let first = vec![observed("u", 0, "quality", 1.0, 1), observed("v", 0, "quality", 1.0, 1)];
        store.record_observations(&experiment, first).await.unwrap();
        store.insert_exposures(&[exposed(&key, "u", 1, ""), exposed(&key, "v", 0, "")]).await.unwrap();
        store.record_observations(&experiment, vec![bare("u", 2), bare("v", 2)]).await.unwrap();
        let sums = sums(store, &key).await;
        let quality = metric(&sums, "all", 0, "quality");
        assert_eq!((quality.sums.units(), quality.sums.moments().unwrap().mean()), (1, Some(1.5)));
        assert!(!sums.contains_key(&("all".to_owned(), 1, "quality".to_owned())));
    })
    .await;
}

#[tokio::test]
async fn segments_of_any_length_and_content_are_recorded() {
    on_backends(async |store| {
        let (experiment, key) = experiment(store, "segments").await;
        // Not alike enough to be stored in less.
        let long: String =
            (0_u32..3000).map(|i| char::from_u32(0x4e00 + i.wrapping_mul(2_654_435_761) % 20_000).unwrap()).collect();
        let segments = |country: &str| serde_json::json!({ "country": country }).to_string();
        let exposures = [("a", long.as_str()), ("b", "D\0E"), ("c", "DE")];
        let exposures = exposures.map(|(unit, country)| exposed(&key, unit, 0, &segments(country)));
        store.insert_exposures(&exposures).await.unwrap();
        let rows = ["a", "b", "c"].map(|unit| observed(unit, 0, "quality", 1.0, 1)).to_vec();
        assert_eq!(store.record_observations(&experiment, rows).await.unwrap().accepted, 3);
        let sums = sums(store, &key).await;
        let slices: Vec<&str> =
            sums.keys().map(|key| key.0.as_str()).filter(|slice| slice.starts_with("segment/")).collect();
        assert_eq!(slices.len(), 3, "{slices:?}");
        assert!(slices.contains(&"segment/country=DE") && slices.contains(&"segment/country=D\u{fffd}E"), "{slices:?}");
    })
    .await;
}

#[tokio::test]
async fn a_forgotten_unit_counts_on_without_its_name() {
    on_backends(async |store| {
        let (experiment, key) = experiment(store, "forgotten").await;
        let segments = r#"{"country":"DE"}"#;
        store.insert_exposures(&[exposed(&key, "ana", 0, segments), exposed(&key, "ben", 1, segments)]).await.unwrap();
        let rows = [("ana", 0), ("ben", 1), ("ben", 0), ("cleo", 1)];
        let rows = rows.map(|(unit, variant)| observed(unit, variant, "quality", 1.0, 1)).to_vec();
        store.record_observations(&experiment, rows).await.unwrap();
        let before = sums(store, &key).await;
        let shown = async || {
            let seen = std::sync::Mutex::new(Vec::new());
            let segments_of = |segments: &str| {
                seen.lock().unwrap().push(segments.to_owned());
                Some(String::new())
            };
            store.recompute_sums(&experiment, &RowChoice::default(), segments_of).await.unwrap();
            let mut seen = seen.into_inner().unwrap();
            seen.sort();
            seen
        };
        assert_eq!(shown().await, ["", segments, segments]);
        for (unit, expected) in [("ana", 1), ("ana", 0), ("ben", 1), ("nobody", 0)] {
            assert_eq!(store.forget_unit(&project(), unit).await.unwrap(), expected, "{unit}");
            assert_eq!(store.experiment_unit(&key, unit).await.unwrap(), None);
        }
        assert_eq!(shown().await, ["", "", ""]);
        let after = sums(store, &key).await;
        let place = ("excluded".to_owned(), 0, String::new());
        let left_out = |sums: &AllSums| match &sums[&place] {
            Sums::Units(count) => (count.units, count.examples.clone()),
            other => panic!("{other:?}"),
        };
        assert_eq!((left_out(&before), left_out(&after)), ((1, vec!["ben".to_owned()]), (1, Vec::new())));
        assert_eq!(metric(&after, "all", 0, "quality"), metric(&before, "all", 0, "quality"));
    })
    .await;
}

#[tokio::test]
async fn a_segment_that_only_erased_units_had_loses_its_name() {
    on_backends(async |store| {
        let (experiment, key) = experiment(store, "mail").await;
        let of = |unit: &str| serde_json::json!({"country": "DE", "mail": format!("{unit}@example.org")}).to_string();
        let names: Vec<String> = (0..400).map(|i| format!("person-{i:03}-{}", "x".repeat(i % 70))).collect();
        let exposures: Vec<_> = names.iter().map(|unit| exposed(&key, unit, 0, &of(unit))).collect();
        store.insert_exposures(&exposures).await.unwrap();
        let rows = names.iter().map(|unit| observed(unit, 0, "quality", 2.0, 1)).collect();
        store.record_observations(&experiment, rows).await.unwrap();
        let before = sums(store, &key).await;
        let asked = |id: &str, condition: serde_json::Value| -> AskedQuestion {
            serde_json::from_value(serde_json::json!({
                "id": id, "experiment": "exp_mail", "question": {"where": condition}, "status": "open",
                "asked_at": at(1), "observations": 0,
            }))
            .unwrap()
        };
        let gone = [&names[7], &names[390]];
        let (mail, other) = (format!("{}@example.org", gone[0]), format!("{}@example.org", names[8]));
        let questions = [
            ("question_1", serde_json::json!({"$or": [{"mail": {"$in": [mail, other]}}, {"country": "FR"}]})),
            ("question_2", serde_json::json!({"mail": {"$regex": format!("^{mail}")}})),
            ("question_3", serde_json::json!({"mail": other})),
            ("question_4", serde_json::json!({"country": {"$ne": other}})),
            ("question_5", serde_json::json!({"country": "DE"})),
        ];
        for (id, condition) in questions {
            store.create_question(&key, &asked(id, condition)).await.unwrap();
        }
        for unit in gone {
            assert_eq!(store.forget_unit(&project(), unit).await.unwrap(), 1);
        }
        let left = store.list_questions(&key, None, 10).await.unwrap();
        let left: Vec<&str> = left.iter().map(|question| question.id.as_str()).collect();
        assert_eq!(left, ["question_5", "question_4", "question_3"]);
        let after = sums(store, &key).await;
        let slice = |unit: &str| format!("segment/mail={unit}@example.org");
        assert!(gone.iter().all(|unit| after.keys().all(|place| place.0 != slice(unit))));
        let folded = metric(&after, "segment/mail=(erased)", 0, "quality");
        let moments = folded.sums.moments().unwrap();
        assert_eq!((folded.sums.units(), folded.observations, moments.mean()), (2, 2, Some(2.0)));
        for place in ["all", "segment/country=DE"] {
            assert_eq!(metric(&after, place, 0, "quality"), metric(&before, place, 0, "quality"), "{place}");
        }
        assert_eq!(metric(&after, &slice(&names[8]), 0, "quality").sums.units(), 1, "who is not erased keeps it");
        // Nothing of them is left in the file, also not in what is free.
        store.clear_log().await.unwrap();
        if let Some(path) = store.url().strip_prefix("sqlite:") {
            let file = std::fs::read(path).unwrap();
            for unit in gone {
                assert!(!file.windows(unit.len()).any(|part| part == unit.as_bytes()), "{unit} is in the file");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_before_the_exposure_does_not_count() {
    on_backends(async |store| {
        let day = 86_400;
        let (_, key) = experiment(store, "early").await;
        let started = store.get_experiment(&project(), "exp_early").await.unwrap().experiment;
        let started = started.start(at(-10 * day)).unwrap();
        let experiment = Arc::new(ObservedExperiment::new(key.clone(), &started));
        // At noon of a day.
        let noon = at(0).as_second().rem_euclid(day);
        let noon = day / 2 - noon;
        let mut exposure = exposed(&key, "u", 0, "");
        exposure.1.at = at(noon).as_microsecond();
        store.insert_exposures(&[exposure]).await.unwrap();
        let check = async |row: NewObservation, expected: (u64, u64, u64), why: &str| {
            let recorded = store.record_observations(&experiment, vec![row]).await.unwrap();
            assert_eq!((recorded.accepted, recorded.duplicates, recorded.early), expected, "{why}");
        };
        let seen = |unit: &str, value: f64, second: i64| observed(unit, 0, "quality", value, second);
        check(seen("u", 7.0, noon - 3600), (1, 0, 1), "an hour before").await;
        check(seen("u", 7.0, noon - 3600), (0, 1, 0), "the same again").await;
        let keyed = NewObservation { key: Some("k".to_owned()), replaces: true, ..seen("u", 7.0, noon - 3600) };
        check(keyed.clone(), (1, 0, 1), "by a key").await;
        check(NewObservation { value: 9.0, ..keyed.clone() }, (0, 1, 0), "with another value").await;
        let sums_of = async || sums(store, &key).await;
        let units = |sums: &AllSums| match sums.get(&("all".to_owned(), 0, String::new())) {
            Some(Sums::Units(count)) => count.units,
            _ => 0,
        };
        assert_eq!(units(&sums_of().await), 0, "who has nothing that counts is not counted");
        check(observed("u", 0, "before", 0.5, noon - 9 * day), (1, 0, 0), "a covariate").await;
        check(seen("u", 1.0, noon - 60), (1, 0, 0), "clocks differ").await;
        check(seen("u", 2.0, noon - day / 2), (1, 0, 0), "a day without time").await;
        check(seen("u", 3.0, noon + 1), (1, 0, 0), "after").await;
        check(NewObservation { is_dated: false, ..seen("u", 2.0, noon - 3600) }, (1, 0, 0), "without time").await;
        // Without exposure, the start tells.
        check(seen("v", 7.0, noon - 12 * day), (1, 0, 1), "before the start").await;
        check(seen("v", 2.0, noon - 8 * day), (1, 0, 0), "after it").await;
        let sums = sums_of().await;
        let quality = metric(&sums, "all", 0, "quality");
        assert_eq!((quality.sums.units(), quality.observations, quality.max), (2, 5, Some(3.0)));
        assert_eq!((quality.sums.moments().unwrap().mean(), units(&sums)), (Some(2.0), 2));
        match sums.get(&("early".to_owned(), 0, String::new())) {
            Some(Sums::Units(count)) => assert_eq!(count.units, 3),
            other => panic!("{other:?}"),
        }
        let everything = |_: &str| Some(String::new());
        let (again, _) = store.recompute_sums(&experiment, &RowChoice::default(), everything).await.unwrap();
        assert_eq!(metric(&again, "all", 0, "quality").sums, quality.sums, "rows say the same");
    })
    .await;
}

#[tokio::test]
async fn a_late_arrival_moves_its_unit_to_the_earlier_day() {
    on_backends(async |store| {
        let (experiment, key) = experiment(store, "late").await;
        let day = |second: i64| format!("day/{}", jiff::tz::TimeZone::UTC.to_datetime(at(second)).date());
        store.record_observations(&experiment, vec![observed("u", 0, "quality", 2.0, 200_000)]).await.unwrap();
        store.record_observations(&experiment, vec![observed("u", 0, "quality", 4.0, 10)]).await.unwrap();
        let sums = sums(store, &key).await;
        assert!(!sums.contains_key(&(day(200_000), 0, "quality".to_owned())));
        let moved = metric(&sums, &day(10), 0, "quality");
        assert_eq!((moved.sums.units(), moved.sums.moments().unwrap().mean()), (1, Some(3.0)));
    })
    .await;
}

#[tokio::test]
async fn units_without_variant_are_told() {
    on_backends(async |store| {
        let (experiment, key) = experiment(store, "nobody").await;
        let nameless = NewObservation { unit: None, is_dated: false, ..observed("", 1, "quality", 1.0, 1) };
        let unassigned = NewObservation { variant: None, ..observed("x", 0, "quality", 1.0, 1) };
        let by_hash = NewObservation { variant: None, assigned: Some(1), ..observed("y", 0, "quality", 2.0, 1) };
        let rows = vec![nameless.clone(), unassigned, nameless, by_hash];
        let recorded = store.record_observations(&experiment, rows).await.unwrap();
        assert_eq!((recorded.accepted, recorded.unassigned), (3, vec![1]));
        let sums = sums(store, &key).await;
        assert_eq!(metric(&sums, "all", 1, "quality").sums.units(), 3);
        match sums.get(&("all".to_owned(), 1, String::new())) {
            Some(Sums::Units(count)) => assert_eq!(count.units, 1, "only units with a name are counted"),
            other => panic!("{other:?}"),
        }
    })
    .await;
}

#[tokio::test]
async fn observations_are_kept_by_month_and_forgotten() {
    on_backends(async |store| {
        let is_postgres = store.url().starts_with("postgres");
        let (observed_experiment, key) = experiment(store, "kept").await;
        let made = store.make_observation_parts(at(0)).await.unwrap();
        assert_eq!(made.len(), if is_postgres { 3 } else { 0 }, "{made:?}");
        assert!(store.make_observation_parts(at(0)).await.unwrap().is_empty(), "they are there");
        let month = 31 * 86_400;
        let rows: Vec<_> = [-2 * month, 0, month, 2 * month]
            .into_iter()
            .enumerate()
            .map(|(i, second)| observed(&format!("u{i}"), i % 2, "quality", 1.0, second))
            .collect();
        let recorded = store.record_observations(&observed_experiment, rows.clone()).await.unwrap();
        assert_eq!(recorded.accepted, 4);
        let again = store.record_observations(&observed_experiment, rows.clone()).await.unwrap();
        assert_eq!((again.accepted, again.duplicates), (0, 4), "whichever part they are in");
        let before = sums(store, &key).await;
        let (deleted, dropped) = store.expire_observations(at(40 * 86_400)).await.unwrap();
        assert_eq!(deleted + dropped.len() as u64, 3, "{deleted} {dropped:?}");
        assert_eq!(dropped.len(), usize::from(is_postgres), "a month as a whole");
        assert_eq!(sums(store, &key).await, before, "results stay");
        let everything = |_: &str| Some(String::new());
        let (left, rows) = store.recompute_sums(&observed_experiment, &RowChoice::default(), everything).await.unwrap();
        assert_eq!((rows, left.contains_key(&("all".to_owned(), 1, "quality".to_owned()))), (1, true));
    })
    .await;
}

#[tokio::test]
async fn values_of_ordinal_metrics_are_counted_each_by_itself() {
    on_backends(async |store| {
        let (experiment, key) = experiment(store, "tallied").await;
        let rated = |unit: usize, value: f64| observed(&format!("u{unit}"), unit % 2, "rating", value, 1);
        let tally = async || {
            let sums = sums(store, &key).await;
            let everything = |_: &str| Some(String::new());
            let (again, _) = store.recompute_sums(&experiment, &RowChoice::default(), everything).await.unwrap();
            [0, 1].map(|variant| {
                let tally = metric(&sums, "all", variant, "rating").tally.unwrap();
                assert_eq!(tally, metric(&again, "all", variant, "rating").tally.unwrap());
                tally
            })
        };
        let many = (0..2_000).map(|unit| rated(unit, unit as f64 / 7.0)).collect();
        store.record_observations(&experiment, many).await.unwrap();
        // Another value of a known unit, a unit that leaves, and zeros with either sign.
        let moved = NewObservation { key: Some("k".to_owned()), ..rated(0, 3.0) };
        let rows = vec![moved, observed("u1", 0, "rating", 5.0, 2), rated(2_000, 0.0), rated(2_002, -0.0)];
        store.record_observations(&experiment, rows).await.unwrap();
        let found = tally().await;
        assert_eq!((found[0].len(), found[1].len()), (1_001, 999));
        assert_eq!((found[0][0], found[1][0]), ((0.0, 2), (3.0 / 7.0, 1)));
        // A row that grew with the values would be refused here.
        store.execute("UPDATE observation_sums SET project_id = NULL WHERE length(state) > 2000").await;
    })
    .await;
}

#[tokio::test]
async fn tallies_that_older_versions_kept_in_the_sums_count_on() {
    on_backends(async |store| {
        let (experiment, key) = experiment(store, "older").await;
        let rated = |unit: &str, value: f64, second: i64| observed(unit, 0, "rating", value, second);
        let rows = vec![rated("a", 1.0, 1), rated("b", 2.0, 1), rated("c", 2.0, 1)];
        store.record_observations(&experiment, rows).await.unwrap();
        let older = match store.backend() {
            Backend::Sqlite => {
                "UPDATE observation_sums SET state = CAST(substr(CAST(state AS TEXT), 1, length(state) - 1) \
                 || ',\"tally\":[[1.0,1],[2.0,2]]}' AS BLOB) WHERE metric = 'rating'"
            }
            Backend::Postgres => {
                "UPDATE observation_sums SET state = convert_to(substr(convert_from(state, 'UTF8'), 1, length(state) - 1) \
                 || ',\"tally\":[[1.0,1],[2.0,2]]}', 'UTF8') WHERE metric = 'rating'"
            }
        };
        store.execute("DELETE FROM observation_tallies").await;
        store.execute(older).await;
        let tally = async || metric(&sums(store, &key).await, "all", 0, "rating").tally.unwrap();
        assert_eq!(tally().await, [(1.0, 1), (2.0, 2)]);
        // The unit's mean goes from 2 to 3.
        store.record_observations(&experiment, vec![rated("c", 4.0, 2)]).await.unwrap();
        assert_eq!(tally().await, [(1.0, 1), (2.0, 1), (3.0, 1)]);
        store.record_observations(&experiment, vec![rated("d", 3.0, 1)]).await.unwrap();
        assert_eq!(tally().await, [(1.0, 1), (2.0, 1), (3.0, 2)]);
    })
    .await;
}
