use std::collections::BTreeMap;

use llmops_domain::canary::pair::SeenAnswer;
use llmops_domain::canary::{
    AbortCause, Action, Arm, Canary, CanaryPolicy, CanaryState, Decision, LoggedDecision, Measures, PairOutcome,
    PairStatus, PairVerdict, Phase, ShadowPair, ShadowTexts, Situation, SkipReason, StageEvidence,
};
use llmops_domain::hash::ContentHash;
use llmops_domain::id::{CanaryId, ProjectId};
use llmops_storage::{AuditFilter, CanaryStep, Change, PairFilter, Store, StoreError};
use llmops_testing::on_backends;

use crate::support::{at, project};

fn canary(id: &str, deployment: &str) -> Canary {
    Canary {
        id: CanaryId::from(id),
        deployment: deployment.to_owned(),
        environment: "production".to_owned(),
        candidate: ContentHash::of_bytes(b"candidate"),
        candidate_model: "sim/new".to_owned(),
        production: ContentHash::of_bytes(b"production"),
        production_model: "sim/old".to_owned(),
        policy: CanaryPolicy::with_judge("sim/judge"),
        dry_run: false,
        state: CanaryState::Shadowing,
        since: at(0),
        active_seconds: 0,
        started_by: None,
        approved_by: None,
        note: None,
        revision: 1,
        created_at: at(0),
        updated_at: at(0),
    }
}

fn waiting(id: &str, cluster: &str) -> ShadowPair {
    ShadowPair {
        id: id.to_owned(),
        at: at(1),
        cluster: cluster.to_owned(),
        prompt_hash: -7,
        status: PairStatus::Waiting,
        number: None,
        production: SeenAnswer { latency_ms: 100.0, cost: Some(0.25), ..SeenAnswer::default() },
        candidate: None,
        verdict: None,
        flipped: false,
        production_score: None,
        candidate_score: None,
        reasons: Vec::new(),
        error: None,
        judge_cost: 0.0,
        texts: Some(ShadowTexts { production_answer: "yes \0 no".to_owned(), ..ShadowTexts::default() }),
    }
}

fn judged(pair: ShadowPair, verdict: PairVerdict) -> ShadowPair {
    let outcome = PairOutcome {
        status: PairStatus::Judged,
        candidate: Some(SeenAnswer { latency_ms: 90.0, cost: Some(0.5), ..SeenAnswer::default() }),
        answer: Some("no".to_owned()),
        verdict: Some(verdict),
        flipped: false,
        scores: Some((0.0, 1.0)),
        reasons: Vec::new(),
        error: None,
        judge_cost: 0.125,
    };
    pair.settled(outcome, false)
}

fn logged(action: Action, asked: u64) -> LoggedDecision {
    LoggedDecision {
        number: 0,
        at: at(9),
        situation: Situation {
            phase: Phase::Shadow,
            asked,
            pairs: asked,
            wins: 1,
            losses: 0,
            ties: 0,
            unjudged: 0,
            elapsed_seconds: 9,
            spent: 0.5,
            production_changed: false,
            measures: Measures::default(),
        },
        decision: Decision { action, message: "because".to_owned(), checks: Vec::new(), estimate: None },
        acted: true,
    }
}

async fn step(store: &Store, canary: &Canary, to: CanaryState) -> Result<Canary, StoreError> {
    let next = canary.moved(to, at(10)).unwrap();
    let audit = Some(Change::new("canary.decided", canary.place()));
    let decision = logged(Action::Abort(AbortCause::NetLoss), 1);
    store.step_canary(&project(), CanaryStep { canary: &next, decision: Some(&decision), audit }).await?;
    Ok(next)
}

#[tokio::test]
async fn a_deployment_has_one_canary_at_a_time() {
    on_backends(async |store| {
        let first = canary("canary_1a", "bot");
        let revision = store.deployments_revision().await.unwrap();
        store.create_canary(&project(), &first).await.unwrap();
        assert!(store.deployments_revision().await.unwrap() > revision, "gateways hear of it");
        let second = store.create_canary(&project(), &canary("canary_1b", "bot")).await;
        assert!(matches!(second, Err(StoreError::Conflict(message)) if message.contains("canary abort bot")));
        store.create_canary(&project(), &canary("canary_2", "other")).await.unwrap();
        assert_eq!(store.get_canary(&project(), "bot", "production").await.unwrap(), first);
        assert_eq!(store.get_canary(&project(), "canary_1", "staging").await.unwrap(), first);
        assert!(matches!(store.get_canary(&project(), "canary_", "x").await, Err(StoreError::Ambiguous { .. })));
        assert!(matches!(store.get_canary(&project(), "bot", "staging").await, Err(StoreError::NotFound { .. })));
        let elsewhere = ProjectId("elsewhere".to_owned());
        assert!(store.get_canary(&elsewhere, "canary_1a", "production").await.is_err());
        let over = step(store, &first, CanaryState::Aborted { cause: AbortCause::Person }).await.unwrap();
        store.create_canary(&project(), &canary("canary_1b", "bot")).await.unwrap();
        assert_eq!(store.get_canary(&project(), "bot", "production").await.unwrap().id.as_str(), "canary_1b");
        assert_eq!(store.get_canary(&project(), "canary_1a", "production").await.unwrap(), over);
        let listed = store.list_canaries(&project(), Some("aborted"), None, 10).await.unwrap();
        assert_eq!(listed.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["canary_1a"]);
        assert_eq!(
            store.list_canaries(&project(), None, Some("canary_2"), 1).await.unwrap()[0].id.as_str(),
            "canary_1b"
        );
        assert_eq!(store.live_canaries().await.unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn what_a_pair_cost_is_counted_even_when_its_canary_is_over() {
    on_backends(async |store| {
        let canary = canary("canary_1", "bot");
        store.create_canary(&project(), &canary).await.unwrap();
        step(store, &canary, CanaryState::Aborted { cause: AbortCause::Person }).await.unwrap();
        let late = judged(waiting("r1", "u1"), PairVerdict::Win);
        assert_eq!(store.settle_shadow_pair(&project(), &canary.id, &late, at(20)).await.unwrap(), None);
        let sums = store.canary_sums(&project(), &canary.id, at(20)).await.unwrap();
        assert_eq!((sums.evidence.asked, sums.evidence.spent, sums.spent_this_hour), (0, 0.625, 0.625));
    })
    .await;
}

#[tokio::test]
async fn a_pair_is_settled_once_and_its_canary_adds_up() {
    on_backends(async |store| {
        let canary = canary("canary_1", "bot");
        let id = &canary.id;
        store.create_canary(&project(), &canary).await.unwrap();
        let pairs: Vec<ShadowPair> = ["r1", "r2", "r3"].map(|r| waiting(r, "u1")).into();
        store.put_shadow_pairs(&project(), id, &pairs).await.unwrap();
        store.put_shadow_pairs(&project(), id, &pairs[..1]).await.unwrap();
        assert_eq!(store.canary_sums(&project(), id, at(1)).await.unwrap().waiting, 3);
        let found = store.find_shadow_pair(&project(), id, "r1").await.unwrap().unwrap();
        assert_eq!(found.texts.unwrap().production_answer, "yes \u{FFFD} no");

        let win = judged(pairs[0].clone(), PairVerdict::Win);
        let own = project();
        let (one, other) = tokio::join!(
            store.settle_shadow_pair(&own, id, &win, at(2)),
            store.settle_shadow_pair(&own, id, &win, at(2))
        );
        let settled: Vec<_> = [one.unwrap(), other.unwrap()].into_iter().flatten().collect();
        assert_eq!(settled.len(), 1, "two workers, one pair");
        assert_eq!((settled[0].pair.number, settled[0].evidence.wins), (Some(1), 1));
        // The texts of a waiting pair that comes again do not come back.
        store.put_shadow_pairs(&project(), id, &pairs).await.unwrap();
        assert_eq!(store.find_shadow_pair(&project(), id, "r1").await.unwrap().unwrap().texts, None);
        let memory = judged(waiting("r4", "u2"), PairVerdict::Loss);
        let settled = store.settle_shadow_pair(&project(), id, &memory, at(2)).await.unwrap().unwrap();
        assert_eq!((settled.pair.number, settled.evidence.net_win.clusters), (Some(2), 2));
        let sums = store.canary_sums(&project(), id, at(3)).await.unwrap();
        assert_eq!((sums.evidence.pairs(), sums.evidence.losses, sums.waiting), (2, 1, 2));
        assert!((sums.spent_this_hour - 1.25).abs() < 1e-12 && (sums.evidence.spent - 1.25).abs() < 1e-12);
        assert!(store.canary_sums(&project(), id, at(7200)).await.unwrap().spent_this_hour.abs() < 1e-12);
        assert_eq!(store.canary_spending(at(3)).await.unwrap().get(id), Some(&1.25));

        let lost = PairFilter { verdict: Some(PairVerdict::Loss), ..PairFilter::default() };
        assert_eq!(store.list_shadow_pairs(&project(), id, &lost, 10).await.unwrap()[0].id, "r4");
        let after = PairFilter { after: Some("r2".to_owned()), ..PairFilter::default() };
        assert_eq!(store.list_shadow_pairs(&project(), id, &after, 10).await.unwrap().len(), 2);
        let elsewhere = ProjectId("elsewhere".to_owned());
        assert!(store.list_shadow_pairs(&elsewhere, id, &PairFilter::default(), 10).await.unwrap().is_empty());
        let old = store.waiting_shadow_pairs(at(5), 10).await.unwrap();
        assert_eq!(old.iter().map(|(_, _, pair)| pair.as_str()).collect::<Vec<_>>(), ["r2", "r3"]);
        store.drop_shadow_pair(&project(), id, "r2", SkipReason::HourlyBudget).await.unwrap();
        assert_eq!(store.erase_shadow_pairs(&project(), "u2").await.unwrap(), (1, 0));
        assert_eq!(store.canary_sums(&project(), id, at(3)).await.unwrap().evidence.pairs(), 2, "sums name nobody");
        let aging = llmops_storage::AGING.iter().find(|kind| kind.table() == "shadow_pairs").unwrap();
        assert_eq!(store.delete_old(aging, at(100), 10).await.unwrap(), 1, "r3 waits, and stays");
    })
    .await;
}

#[tokio::test]
async fn of_two_who_decide_at_once_one_acts() {
    on_backends(async |store| {
        let canary = canary("canary_1", "bot");
        store.create_canary(&project(), &canary).await.unwrap();
        store.put_shadow_pairs(&project(), &canary.id, &[waiting("r1", "u1")]).await.unwrap();
        store.log_canary_decision(&project(), &canary.id, &logged(Action::Hold, 0)).await.unwrap();
        let aborted = CanaryState::Aborted { cause: AbortCause::NetLoss };
        let (one, other) = tokio::join!(step(store, &canary, aborted.clone()), step(store, &canary, aborted));
        assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
        let log = store.list_canary_decisions(&project(), &canary.id, 0, 10).await.unwrap();
        assert_eq!(log.iter().map(|entry| entry.number).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(store.list_canary_decisions(&project(), &canary.id, 1, 10).await.unwrap().len(), 1);
        let filter = AuditFilter { action: Some("canary".to_owned()), ..AuditFilter::default() };
        assert_eq!(store.list_audit(&project(), &filter, 10).await.unwrap().len(), 2, "made, and aborted once");
        // What waited is gone with its texts, and counted.
        let sums = store.canary_sums(&project(), &canary.id, at(1)).await.unwrap();
        assert_eq!((sums.waiting, sums.skipped.get("ended")), (0, Some(&1)));
        let late = judged(waiting("r1", "u1"), PairVerdict::Win);
        assert_eq!(store.settle_shadow_pair(&project(), &canary.id, &late, at(11)).await.unwrap(), None);
        store.put_shadow_pairs(&project(), &canary.id, &[waiting("r2", "u1")]).await.unwrap();
        assert_eq!(store.find_shadow_pair(&project(), &canary.id, "r2").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn counts_of_several_processes_add_up() {
    on_backends(async |store| {
        let canary = canary("canary_1", "bot");
        store.create_canary(&project(), &canary).await.unwrap();
        let seen = StageEvidence {
            candidate: Arm { requests: 2, errors: 1, ..Arm::default() },
            production: Arm { requests: 50, cost: 0.5, priced: 50, ..Arm::default() },
        };
        let reasons = BTreeMap::from([(SkipReason::Tools, 2), (SkipReason::Redacted, 1)]);
        for _ in 0..2 {
            store.merge_canary_stage(&project(), &canary.id, 1, &seen).await.unwrap();
            store.skip_shadow_requests(&project(), &canary.id, &reasons).await.unwrap();
        }
        let sums = store.canary_sums(&project(), &canary.id, at(1)).await.unwrap();
        assert_eq!((sums.stages[&1].candidate.requests, sums.stages[&1].production.requests), (4, 100));
        assert_eq!((sums.skipped["tools"], sums.skipped["redacted"]), (4, 2));
    })
    .await;
}
