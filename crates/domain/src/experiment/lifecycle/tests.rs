use super::*;

fn at(hours: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + hours * 3600).unwrap()
}

fn draft() -> Experiment {
    let spec = serde_json::json!({"name": "e", "variants": [{}, {}], "coverage": 0.5});
    let spec: ExperimentSpec = serde_json::from_value(spec).unwrap();
    Experiment::draft(ExperimentId::from("exp_1"), spec.checked().unwrap(), at(0))
}

#[test]
fn every_step_from_every_status() {
    use ExperimentStatus::{Cancelled, Completed, Draft, Paused, Running};
    let steps = [Step::Start, Step::Pause, Step::Resume, Step::Complete, Step::Cancel];
    let table = [
        (Draft, [Some(Running), None, None, None, Some(Cancelled)]),
        (Running, [None, Some(Paused), None, Some(Completed), Some(Cancelled)]),
        (Paused, [Some(Running), None, Some(Running), Some(Completed), Some(Cancelled)]),
        (Completed, [None; 5]),
        (Cancelled, [None; 5]),
    ];
    for (from, expected) in table {
        for (step, to) in steps.into_iter().zip(expected) {
            assert_eq!(from.after(step).ok(), to, "{from} {step:?}");
        }
    }
}

#[test]
fn errors_say_what_is_possible() {
    let show = |status: ExperimentStatus, step| status.after(step).unwrap_err().to_string();
    insta::assert_snapshot!(show(ExperimentStatus::Draft, Step::Pause), @"a draft experiment cannot be paused: it can be started or cancelled");
    insta::assert_snapshot!(show(ExperimentStatus::Running, Step::Start), @"a running experiment cannot be started: it can be paused, completed or cancelled");
    insta::assert_snapshot!(show(ExperimentStatus::Completed, Step::Cancel), @"a completed experiment cannot be cancelled: it is over; a new experiment can be made from it");
    let running = draft().start(at(1)).unwrap();
    insta::assert_snapshot!(running.complete(Some("nobody"), at(2)).unwrap_err().to_string(), @"`nobody` is no variant of this experiment: expected control or treatment");
}

#[test]
fn a_whole_life() {
    let running = draft().start(at(1)).unwrap();
    assert_eq!(running.start_time, Some(at(1)));
    assert_eq!(running.allocations, [Allocation { at: at(1), weights: vec![0.5, 0.5], coverage: 0.5, step: None }]);
    let resumed = running.pause(at(2)).unwrap().resume(at(26)).unwrap();
    assert_eq!(resumed.pauses, [Pause { from: at(2), to: Some(at(26)) }]);
    assert_eq!(resumed.start_time, Some(at(1)));
    assert_eq!(resumed.running_time(at(27)), Duration::from_hours(2));
    let paused = resumed.pause(at(28)).unwrap();
    assert_eq!(paused.running_time(at(50)), Duration::from_hours(3));
    let done = paused.complete(Some("treatment"), at(30)).unwrap();
    assert_eq!((done.winner.as_deref(), done.end_time), (Some("treatment"), Some(at(30))));
    assert_eq!(done.running_time(at(99)), Duration::from_hours(3));
    assert_eq!(done.revision, 6);
    assert_eq!(resumed.complete(None, at(31)).unwrap().winner, None);
}

#[test]
fn what_may_change_while_running() {
    let running = draft().start(at(1)).unwrap();
    let mut spec = running.spec.clone();
    spec.coverage = 0.8;
    spec.description = Some("more of it".to_owned());
    let wider = running.revise(spec.clone(), at(2)).unwrap();
    assert_eq!((wider.allocations.len(), wider.notices.len()), (2, 0));
    spec.traffic_split = [("control".to_owned(), 0.9), ("treatment".to_owned(), 0.1)].into();
    let moved = wider.revise(spec.clone(), at(3)).unwrap();
    assert_eq!((moved.allocations.len(), moved.notices.len()), (3, 1));
    assert_eq!(moved.split_notices().collect::<Vec<_>>(), moved.notices, "results say the same");
    spec.coverage = 0.1;
    spec.seed = "other".to_owned();
    spec.variants[0].model_name = Some("sim/other".to_owned());
    let problems = moved.revise(spec.clone(), at(4)).unwrap_err().problems;
    assert_eq!(problems.iter().map(|p| p.field.as_str()).collect::<Vec<_>>(), ["variants", "seed", "coverage"]);
    assert!(draft().revise(spec.clone(), at(4)).is_ok());
    let over = moved.cancel(at(5)).unwrap();
    spec = over.spec.clone();
    spec.traffic_split.clear();
    spec.name = "renamed".to_owned();
    assert_eq!(over.revise(spec, at(6)).unwrap_err().problems[0].field, "traffic_split");
}
