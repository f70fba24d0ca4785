use llmops_domain::event::{Event, RunNews};
use llmops_domain::run::{Progress, RunStatus};
use llmops_storage::{AGING, StatusChange};
use llmops_testing::on_backends;

use crate::prompts::prompt;
use crate::support::{at, import, project, run, stored_run};

fn progress() -> Event {
    Event::RunProgress { run: "run_1".into(), progress: Progress::default() }
}

fn change(from: RunStatus, to: RunStatus, second: i64) -> StatusChange<'static> {
    StatusChange { from, to, at: at(second), error: None, results: None }
}

#[tokio::test]
async fn a_change_of_status_and_its_event_are_one() {
    on_backends(async |store| {
        stored_run(store, "run_1").await;
        let id = run("run_1").id;
        store.update_run_status(&project(), &id, change(RunStatus::Pending, RunStatus::Running, 1)).await.unwrap();
        // Who comes too late changes nothing and tells of nothing.
        let late = store.update_run_status(&project(), &id, change(RunStatus::Pending, RunStatus::Failed, 2)).await;
        assert!(late.is_err());
        store.update_run_status(&project(), &id, change(RunStatus::Running, RunStatus::Running, 3)).await.unwrap();
        store.update_run_status(&project(), &id, change(RunStatus::Running, RunStatus::Cancelled, 4)).await.unwrap();
        let events = store.events_after(Some(&project()), 0, 10).await.unwrap();
        let steps: Vec<_> = events.iter().map(|(_, e)| (e.id, e.at, e.event.kind().as_str())).collect();
        assert_eq!(steps, [(1, at(1), "run.started"), (2, at(4), "run.cancelled")]);
        let Event::RunCancelled(RunNews { run, .. }) = &events[1].1.event else { panic!("{events:?}") };
        assert_eq!(run, &id);
        assert_eq!(store.last_event().await.unwrap(), 2);
    })
    .await;
}

#[tokio::test]
async fn prompts_and_datasets_tell_of_what_changed() {
    on_backends(async |store| {
        let told = async || {
            let events = store.events_after(Some(&project()), 0, 100).await.unwrap().into_iter();
            let events = events.map(|(_, event)| match event.event {
                Event::Prompt { prompt, version, action } => format!("{prompt}@{version} {action}"),
                Event::Dataset { dataset, version } => format!("{dataset} {}", version.len()),
                other => format!("{other:?}"),
            });
            events.collect::<Vec<_>>()
        };
        for (version, content) in [("1.0.0", "one"), ("1.1.0", "two"), ("1.1.0", "two")] {
            store.create_prompt(&project(), &prompt("p", version, content)).await.unwrap();
        }
        let (first, second) = ("1.0.0".parse().unwrap(), "1.1.0".parse().unwrap());
        for _ in 0..2 {
            store.activate_prompt(&project(), "p", &second).await.unwrap();
        }
        store.delete_prompt(&project(), "p", &second).await.unwrap_err();
        store.delete_prompt(&project(), "p", &first).await.unwrap();
        let of_prompt = ["p@1.0.0 created", "p@1.1.0 created", "p@1.1.0 activated", "p@1.0.0 deleted"];
        assert_eq!(told().await, of_prompt);
        // The same samples again change nothing.
        let samples = [("a", "1"), ("b", "2")];
        for n in [1, 2, 2] {
            import(store, "d", &samples[..n]).await;
        }
        assert_eq!(told().await[4..], ["d 64", "d 64"]);
    })
    .await;
}

#[tokio::test]
async fn what_is_fleeting_goes_first() {
    on_backends(async |store| {
        for (second, event) in [(0, progress()), (100, progress()), (200, progress())] {
            store.append_event(&project(), at(second), &event).await.unwrap();
        }
        let event = Event::Experiment { experiment: "e".into(), name: "e".into(), status: "running".into() };
        store.append_event(&project(), at(50), &event).await.unwrap();
        let kinds = |name| AGING.iter().find(|kind| kind.name == name).unwrap();
        let (fleeting, lasting) = (kinds("progress"), kinds("events"));
        assert_eq!(store.delete_old(fleeting, at(150), 1).await.unwrap(), 1, "a bounded number at a time");
        assert_eq!(store.delete_old(fleeting, at(150), 10).await.unwrap(), 1);
        let left: Vec<u64> = store.events_after(None, 0, 10).await.unwrap().iter().map(|(_, e)| e.id).collect();
        assert_eq!(left, [3, 4]);
        assert_eq!(store.count_old(lasting, at(51)).await.unwrap(), 1);
        assert_eq!(store.delete_old(lasting, at(51), 10).await.unwrap(), 1);
        // Ids are never given out twice, whatever was deleted.
        assert_eq!(store.append_event(&project(), at(300), &progress()).await.unwrap(), 5);
        assert_eq!(store.events_after(None, 4, 0).await.unwrap(), []);
    })
    .await;
}
