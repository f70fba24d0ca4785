use std::collections::HashSet;

use llmops_domain::chat::{FunctionCall, ToolCall};
use llmops_domain::run::{Outcome, ResultStatus, SampleResult};
use llmops_storage::{ResultFilter, ResultOrder, RunKey, Side, Store, StoreError};
use llmops_testing::on_backends;

use crate::support::{errored, scored, stored_run};

/// Ten samples, two trials: composites 0.0, 0.1 … of the sample; sample 4 errored in both trials, sample 7 in one.
fn grid() -> Vec<SampleResult> {
    let pairs = (0..10).flat_map(|ordinal| [(ordinal, 0), (ordinal, 1)]);
    pairs
        .map(|(ordinal, trial)| match (ordinal, trial) {
            (4, _) | (7, 1) => errored(ordinal, trial),
            _ => scored(ordinal, trial, ordinal as f64 / 10.0),
        })
        .collect()
}

async fn stored_grid(store: &Store, id: &str) -> RunKey {
    let run = stored_run(store, id).await;
    store.result_writer().submit(&run, grid()).await.unwrap();
    run
}

#[tokio::test]
async fn results_come_back_whole_and_in_pages() {
    on_backends(async |store| {
        let run = stored_run(store, "run_1").await;
        let mut whole = grid();
        whole[0].output = "\0 \u{1F980} \"\\ \r\n".to_owned();
        whole[1].output = "x".repeat(5 << 20);
        whole[2].tool_calls = vec![ToolCall {
            id: "c".to_owned(),
            kind: "function".to_owned(),
            function: FunctionCall { name: "f".to_owned(), arguments: "{\"a\": 1 }".to_owned() },
        }];
        let mut shuffled = whole.clone();
        shuffled.reverse();
        store.result_writer().submit(&run, shuffled).await.unwrap();
        let mut read: Vec<SampleResult> = Vec::new();
        loop {
            let after = read.last().map(|last| (last.ordinal, last.trial));
            let page = store.stream_results(&run, after, 3).await.unwrap();
            if page.is_empty() {
                break;
            }
            read.extend(page);
        }
        assert!(read == whole);
        let lean = store.stream_measured(&run, Some((6, 1)), 3).await.unwrap();
        let pairs: Vec<_> = lean.iter().map(|m| (m.ordinal, m.trial, m.category.as_str())).collect();
        assert_eq!(pairs, [(7, 0, "odd"), (7, 1, "odd"), (8, 0, "even")]);
        assert_eq!((&lean[0].outcome, lean[0].usage), (&whole[14].outcome, whole[14].usage));
    })
    .await;
}

#[tokio::test]
async fn a_pair_keeps_its_first_result_and_counts_once() {
    on_backends(async |store| {
        let run = stored_run(store, "run_1").await;
        let writer = store.result_writer();
        writer.submit(&run, vec![scored(0, 0, 0.9), errored(1, 0)]).await.unwrap();
        writer
            .submit(&run, vec![scored(0, 0, 0.1), scored(1, 0, 0.5), scored(2, 0, 0.5), scored(2, 0, 0.6)])
            .await
            .unwrap();
        let results = store.stream_results(&run, None, 10).await.unwrap();
        assert_eq!(results, [scored(0, 0, 0.9), errored(1, 0), scored(2, 0, 0.5)]);
        let progress = store.progress(&run).await.unwrap();
        assert_eq!((progress.total, progress.done, progress.errored, progress.cost), (20, 3, 1, 1.5));
    })
    .await;
}

#[tokio::test]
async fn done_pairs_are_those_of_the_range() {
    on_backends(async |store| {
        let run = stored_run(store, "run_1").await;
        let results = vec![scored(0, 1, 0.5), scored(1, 0, 0.5), errored(1, 1), scored(2, 0, 0.5), scored(9, 1, 0.5)];
        store.result_writer().submit(&run, results).await.unwrap();
        let done = async |from, to| store.done_pairs(&run, from, to).await.unwrap();
        assert_eq!(done(0, 20).await.len(), 5);
        assert_eq!(done(2, 4).await, HashSet::from([(1, 0), (1, 1)]));
        assert_eq!(done(1, 3).await, HashSet::from([(0, 1), (1, 0)]), "ranges may cut through a sample");
        assert!(done(6, 18).await.is_empty());
        assert!(done(0, 0).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn numbers_and_names_that_cannot_be_stored_are_refused() {
    on_backends(async |store| {
        let run = stored_run(store, "run_1").await;
        let writer = store.result_writer();
        let nul = SampleResult { sample_id: "a\0".to_owned(), ..scored(0, 0, 0.5) };
        for (bad, says) in [
            (scored(0, 0, f64::NAN), "`rouge_l` of sample `s000` is NaN"),
            (SampleResult { latency_ms: f64::INFINITY, ..errored(1, 0) }, "`latency_ms` of sample `s001` is inf"),
            (nul, "the sample id \"a\\0\" contains a NUL character"),
        ] {
            let error = writer.submit(&run, vec![scored(5, 0, 0.5), bad]).await.unwrap_err();
            assert!(matches!(error, StoreError::Invalid(_)) && error.to_string().starts_with(says), "{error}");
        }
        assert_eq!(store.progress(&run).await.unwrap().done, 0, "nothing of a refused batch is written");
        writer.submit(&run, Vec::new()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn many_submitters_share_the_writer() {
    on_backends(async |store| {
        let run = stored_run(store, "run_1").await;
        let submits = (0..500).map(|i| {
            let (writer, run) = (store.result_writer(), run.clone());
            async move { writer.submit(&run, vec![scored(i, 0, 0.5), scored(i, 1, 0.8)]).await }
        });
        for done in futures::future::join_all(submits).await {
            done.unwrap();
        }
        assert_eq!(store.progress(&run).await.unwrap().done, 1000);
        assert_eq!(store.done_pairs(&run, 0, 1000).await.unwrap().len(), 1000);
    })
    .await;
}

#[tokio::test]
async fn what_was_submitted_is_written_though_nobody_waits() {
    on_backends(async |store| {
        let run = stored_run(store, "run_1").await;
        let writer = store.result_writer();
        {
            let mut submit = std::pin::pin!(writer.submit(&run, vec![scored(0, 0, 0.5)]));
            assert!(futures::poll!(&mut submit).is_pending());
        }
        store.close().await;
        let reopened = Store::open(store.url()).await.unwrap();
        assert_eq!(reopened.progress(&run).await.unwrap().done, 1);
        let closed = writer.submit(&run, vec![scored(1, 0, 0.5)]).await;
        assert!(matches!(closed, Err(StoreError::Unavailable(_))), "{closed:?}");
        reopened.close().await;
    })
    .await;
}

#[tokio::test]
async fn trials_of_a_sample_are_found_by_its_id() {
    on_backends(async |store| {
        let run = stored_grid(store, "run_1").await;
        let trials = store.get_results_of_sample(&run, "s007").await.unwrap();
        assert_eq!(trials, [scored(7, 0, 0.7), errored(7, 1)]);
        assert!(store.get_results_of_sample(&run, "nope").await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn results_are_listed_by_status_category_and_composite() {
    on_backends(async |store| {
        let run = stored_grid(store, "run_1").await;
        let list = async |category: Option<&str>, status: Option<ResultStatus>, order: ResultOrder| {
            let filter = ResultFilter { category: category.map(str::to_owned), status, order };
            let mut pairs = Vec::new();
            let mut cursor = None;
            loop {
                let (page, next) = store.list_results(&run, &filter, cursor.as_ref(), 3).await.unwrap();
                pairs.extend(page.iter().map(|r| format!("{}.{}", r.ordinal, r.trial)));
                match next {
                    // As it travels through an API.
                    Some(next) => cursor = serde_json::from_str(&serde_json::to_string(&next).unwrap()).unwrap(),
                    None => break pairs.join(" "),
                }
            }
        };
        let (ordinal, worst, best) = (ResultOrder::Ordinal, ResultOrder::Worst, ResultOrder::Best);
        assert_eq!(list(None, None, ordinal).await.split(' ').count(), 20);
        assert_eq!(list(None, Some(ResultStatus::Errored), ordinal).await, "4.0 4.1 7.1");
        assert_eq!(list(None, Some(ResultStatus::Passed), ordinal).await, "7.0 8.0 8.1 9.0 9.1");
        assert_eq!(list(Some("odd"), Some(ResultStatus::Failed), ordinal).await, "1.0 1.1 3.0 3.1 5.0 5.1");
        assert_eq!(list(Some("odd"), None, worst).await, "7.1 1.0 1.1 3.0 3.1 5.0 5.1 7.0 9.0 9.1");
        assert_eq!(list(Some("even"), None, best).await, "8.0 8.1 6.0 6.1 2.0 2.1 0.0 0.1 4.0 4.1");
        assert_eq!(list(Some("none"), None, best).await, "");
    })
    .await;
}

#[tokio::test]
async fn runs_are_paired_by_sample_id() {
    on_backends(async |store| {
        let before = stored_grid(store, "run_1").await;
        let after = stored_run(store, "run_2").await;
        // The second run has samples 5 to 14, at other positions, and one trial.
        let moved = (5..15).map(|i| SampleResult { ordinal: 14 - i, ..scored(i, 0, 0.8) });
        store.result_writer().submit(&after, moved.collect()).await.unwrap();
        for limit in [1, 2, 3, 5, 100] {
            let mut pairs = Vec::new();
            let mut cursor = None;
            loop {
                let page = store.paired(&before, &after, cursor.as_deref(), limit).await.unwrap();
                pairs.extend(page.pairs);
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            let ids: Vec<_> = pairs.iter().map(|pair| pair.sample_id.as_str()).collect();
            assert_eq!(ids, ["s005", "s006", "s007", "s008", "s009"], "in pages of {limit}");
            assert_eq!(pairs[0].before, Side { composite: Some(0.5), passed: Some(false) });
            assert_eq!(pairs[2].before, Side { composite: Some(0.7), passed: Some(true) }, "the errored trial is out");
            assert_eq!(pairs[2].after, Side { composite: Some(0.8), passed: Some(true) });
            assert_eq!(pairs[2].category, "odd");
        }
        let same = store.paired(&before, &before, None, 100).await.unwrap();
        let unknown = Side { composite: None, passed: None };
        assert_eq!((same.pairs.len(), same.pairs[4].before), (10, unknown), "sample 4 errored in every trial");
    })
    .await;
}

#[tokio::test]
async fn a_sample_passes_when_all_its_trials_do() {
    on_backends(async |store| {
        let run = stored_run(store, "run_1").await;
        store.result_writer().submit(&run, vec![scored(0, 0, 0.9), scored(0, 1, 0.5)]).await.unwrap();
        let page = store.paired(&run, &run, None, 10).await.unwrap();
        assert_eq!(page.pairs[0].before, Side { composite: Some(0.7), passed: Some(false) });
    })
    .await;
}

#[tokio::test]
async fn a_composite_may_be_absent() {
    on_backends(async |store| {
        let run = stored_run(store, "run_1").await;
        let mut unweighted = scored(0, 0, 0.9);
        if let Outcome::Scored { composite, .. } = &mut unweighted.outcome {
            *composite = None;
        }
        store.result_writer().submit(&run, vec![unweighted.clone()]).await.unwrap();
        assert_eq!(store.stream_results(&run, None, 10).await.unwrap(), [unweighted]);
        let page = store.paired(&run, &run, None, 10).await.unwrap();
        assert_eq!(page.pairs[0].before, Side { composite: None, passed: Some(true) });
    })
    .await;
}

#[tokio::test]
async fn composites_are_counted_by_class() {
    on_backends(async |store| {
        let run = stored_grid(store, "run_1").await;
        let spread = store.score_distribution(&run).await.unwrap();
        assert_eq!((spread.bins.len(), spread.errored), (20, 3));
        let counted: Vec<u64> = spread.bins.iter().map(|bin| bin.passed + bin.failed).collect();
        assert_eq!(counted.iter().sum::<u64>(), 17);
        // 0.0, 0.1 … 0.9 lie at the beginning of every second class; sample 4 has no composite, sample 7 has one.
        assert_eq!(counted, [2, 0, 2, 0, 2, 0, 2, 0, 0, 0, 2, 0, 2, 0, 1, 0, 2, 0, 2, 0]);
    })
    .await;
}
