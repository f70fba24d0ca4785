//! Which of several models a run takes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use llmops::domain::id::ProjectId;
use llmops::domain::verifier::{ModelStatus, ScoreSource};
use llmops::{Error, LlmOps, Verifier};
use llmops_api::runs::CreateRun;
use llmops_testing::on_backends;

use crate::scripted::{Scripted, add_samples, exact, finish, installation, right, run};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A run of the best of these models.
fn of(candidates: &[&str]) -> CreateRun {
    let mut request = run("m", exact());
    (request.target.model, request.target.candidates) = (None, names(candidates));
    request
}

async fn best(ops: &LlmOps, candidates: &[&str]) -> String {
    ops.models().select_best_provider(&names(candidates)).await.unwrap_or_else(|error| error.to_string())
}

#[tokio::test]
async fn takes_the_best_by_runs_and_by_people() {
    on_backends(async |store| {
        let provider = Scripted::new(|r| if r.model == "good" { right(r) } else { "no".to_owned() });
        let ops = installation(store, &provider);
        add_samples(&ops, 10).await;
        let both = ["test/bad", "test/good"];
        assert_eq!(best(&ops, &both).await, "test/bad", "nothing is known: the first");
        finish(&ops, run("bad", exact())).await;
        finish(&ops, run("good", exact())).await;
        assert_eq!(best(&ops, &both).await, "test/good");
        let status = ops.models().status(&names(&both)).await.unwrap();
        let score = status[1].score.as_ref().unwrap();
        assert_eq!((score.score, score.source, score.n), (1.0, ScoreSource::Run, Some(10)));
        let chosen = finish(&ops, of(&both)).await;
        assert_eq!(chosen.model_name, "test/good");
        assert!(chosen.spec.notices.iter().any(|notice| notice.contains("best of the candidates")));
        // What a person says counts more, until it is taken back.
        ops.models().set_score("test/bad", 1.0).await.unwrap();
        ops.models().set_score("test/good", 0.5).await.unwrap();
        assert_eq!(best(&ops, &both).await, "test/bad");
        ops.models().clear_score("test/bad").await.unwrap();
        ops.models().clear_score("test/good").await.unwrap();
        assert!(ops.models().clear_score("test/good").await.is_err());
        assert_eq!(best(&ops, &both).await, "test/good");
        assert!(ops.models().set_score("test/good", 1.5).await.is_err());
        assert!(ops.models().set_score("nobody/x", 0.5).await.is_err());
        let listed: Vec<_> = ops.models().list().await.unwrap().into_iter().map(|status| status.model).collect();
        assert_eq!(listed, ["openai/gpt-4o", "test/bad", "test/good", "test/judge", "test/priced"]);
    })
    .await;
}

#[tokio::test]
async fn a_model_that_is_down_is_not_taken() {
    on_backends(async |store| {
        let (up, down) = (Scripted::new(right), Scripted::new(right));
        let ops = installation(store, &up);
        down.down.store(true, Ordering::SeqCst);
        let probed = ops.models().probe(&names(&["test/a"])).await.unwrap();
        assert!(probed[0].healthy && probed[0].health.latency_ms.is_some());
        let ops = installation(store, &down);
        for _ in 0..3 {
            ops.models().probe(&names(&["test/a"])).await.unwrap();
        }
        assert_eq!(best(&ops, &["test/a"]).await, "none of test/a is healthy");
        assert_eq!(best(&ops, &["test/a", "test/b"]).await, "test/b", "it was never asked");
        assert_eq!(best(&ops, &["nobody/x", "test/b"]).await, "test/b", "who is not configured is not healthy");
        let error = ops.evaluator().create_run(of(&["test/a"])).await.unwrap_err();
        assert!(error.to_string().contains("dataset") || matches!(error, Error::NoHealthyProvider { .. }), "{error}");
    })
    .await;
}

/// Always likes the last one best.
struct Last;

#[async_trait]
impl Verifier for Last {
    async fn status(&self, _: &ProjectId, _: &[String]) -> Result<Vec<ModelStatus>, Error> {
        Ok(Vec::new())
    }

    async fn select_best_provider(&self, _: &ProjectId, candidates: &[String]) -> Result<String, Error> {
        candidates.last().cloned().ok_or_else(|| Error::invalid("no candidates"))
    }
}

#[tokio::test]
async fn another_verifier_can_be_set() {
    let ops = LlmOps::in_memory().await.unwrap();
    assert_eq!(best(&ops, &["sim/a", "sim/b"]).await, "sim/a");
    ops.set_verifier(Arc::new(Last));
    assert_eq!(best(&ops, &["sim/a", "sim/b"]).await, "sim/b");
}
