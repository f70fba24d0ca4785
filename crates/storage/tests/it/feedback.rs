use llmops_domain::feedback::{Feedback, FeedbackContext, FeedbackFilter, Sentiment};
use llmops_domain::id::{FeedbackId, ProjectId, ReviewId};
use llmops_domain::record::{Door, RequestRecord};
use llmops_domain::review::{NewReviewItem, ReviewItem, ReviewReason, ReviewStatus};
use llmops_storage::{Store, StoredFeedback};
use llmops_testing::on_backends;
use serde_json::{Value, json};

use crate::support::{append, at, execute, project};

/// Feedback as it is stored: `id` names it, `second` is when it was said.
#[expect(clippy::needless_pass_by_value, reason = "callers make it on the spot")]
fn said(id: &str, second: i64, body: Value) -> Feedback {
    let body = llmops_domain::feedback::read(&body).unwrap();
    Feedback { id: FeedbackId(id.to_owned()), at: at(second), sentiment: body.sentiment(), body, context: None }
}

fn record(id: &str, user: &str) -> RequestRecord {
    let value = json!({"id": id, "at": at(0), "door": "chat", "model": "sim/small", "stream": false,
        "deployment": "bot", "user": user, "usage": {"prompt_tokens": 1, "completion_tokens": 1}, "total_ms": 1.0,
        "status": 200, "outcome": "ok", "attempts": [], "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"});
    serde_json::from_value(value).unwrap()
}

fn context(request: &str) -> FeedbackContext {
    FeedbackContext {
        request_id: request.to_owned(),
        deployment: Some("bot".to_owned()),
        prompt: Some("bot@1.0.0".to_owned()),
        model: "sim/small".to_owned(),
        user: Some("ana".to_owned()),
        ..FeedbackContext::default()
    }
}

/// Sums of a kind as `name requests ups/thumbs mean`.
async fn sums(store: &Store, deployment: Option<&str>, kind: &str) -> Vec<String> {
    let sums = store.feedback_sums(&project(), deployment, kind, (i64::MIN, i64::MAX)).await.unwrap();
    let shown = sums.into_iter().map(|(slice, _, tally)| {
        let mean = tally.rating_moments().map_or("–".to_owned(), |(_, mean, _)| format!("{mean:.2}"));
        format!("{slice} {} {}/{} {mean}", tally.requests, tally.ups, tally.thumbs)
    });
    shown.collect()
}

#[tokio::test]
async fn several_words_on_one_answer_are_one_opinion() {
    on_backends(async |store| {
        let first = said("fb_1", 1, json!({"request_id": "req_1", "thumb": "down", "idempotency_key": "a"}));
        let second = said("fb_2", 2, json!({"request_id": "req_1", "rating": {"value": 4, "scale": 5}}));
        let other = said("fb_3", 3, json!({"request_id": "req_2", "thumb": "up"}));
        let stored = store.add_feedback(&project(), &[first.clone(), second, other]).await.unwrap();
        assert!(stored.iter().all(|stored| matches!(stored, StoredFeedback::New(_))), "{stored:?}");
        assert_eq!(sums(store, None, "all").await, ["all 2 1/2 0.80"]);

        // The same again, under another id, and other words under the same key.
        let again = Feedback { id: FeedbackId("fb_9".to_owned()), ..first };
        let clash = said("fb_8", 9, json!({"request_id": "req_1", "thumb": "up", "idempotency_key": "a"}));
        let stored = store.add_feedback(&project(), &[again, clash]).await.unwrap();
        let id = FeedbackId("fb_1".to_owned());
        assert_eq!(stored, [StoredFeedback::Duplicate(id.clone()), StoredFeedback::Clash(id)]);
        // Somebody changes their mind.
        store
            .add_feedback(&project(), &[said("fb_4", 5, json!({"request_id": "req_1", "thumb": "up"}))])
            .await
            .unwrap();
        assert_eq!(sums(store, None, "all").await, ["all 2 2/2 0.80"]);

        let filter = FeedbackFilter { request_id: Some("req_1".to_owned()), ..FeedbackFilter::default() };
        let listed = store.list_feedback(&project(), &filter, 10).await.unwrap();
        assert_eq!(listed.iter().map(|f| f.id.as_str()).collect::<Vec<_>>(), ["fb_4", "fb_2", "fb_1"]);
        let negative = FeedbackFilter { sentiment: Some(Sentiment::Negative), ..FeedbackFilter::default() };
        assert_eq!(store.list_feedback(&project(), &negative, 10).await.unwrap().len(), 1);
        assert_eq!(store.get_feedback(&project(), "fb_2").await.unwrap().sentiment, Some(Sentiment::Positive));
        let elsewhere = ProjectId("other".to_owned());
        assert!(store.list_feedback(&elsewhere, &FeedbackFilter::default(), 10).await.unwrap().is_empty());
        assert!(store.get_feedback(&elsewhere, "fb_2").await.is_err());
    })
    .await;
}

#[tokio::test]
async fn feedback_waits_for_its_record_and_is_settled_once() {
    on_backends(async |store| {
        let early = said("fb_1", 1, json!({"request_id": "req_1", "thumb": "up"}));
        let traced = said("fb_2", 2, json!({"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "thumb": "down"}));
        store.add_feedback(&project(), &[early, traced]).await.unwrap();
        assert!(store.feedback_to_join(at(-10), 10).await.unwrap().is_empty());
        assert!(store.unsettled_feedback(10).await.unwrap().is_empty());
        assert_eq!(sums(store, None, "prompt").await, [""; 0]);

        append(store, &[(project(), record("req_1", "ana"))]).await;
        assert!(store.feedback_to_join(at(100), 10).await.unwrap().is_empty(), "too old to wait for");
        let mut ready = store.feedback_to_join(at(-10), 10).await.unwrap();
        ready.sort_by(|a, b| a.1.cmp(&b.1));
        let subjects: Vec<&str> = ready.iter().map(|(_, subject, _)| subject.as_str()).collect();
        assert_eq!(subjects, ["req_1", "trace:4bf92f3577b34da6a3ce929d0e0e4736"]);
        for (owner, subject, record) in &ready {
            store.join_feedback(owner, subject, &context(&record.id), false).await.unwrap();
            store.join_feedback(owner, subject, &context("req_other"), false).await.unwrap();
        }
        // The request and its trace are one answer, of which the last thumb counts.
        assert_eq!(sums(store, None, "prompt").await, ["prompt/bot@1.0.0 1 0/1 –"]);
        assert_eq!(sums(store, Some("bot"), "all").await, ["all 1 0/1 –"]);
        assert_eq!(store.opinion(&project(), "req_1").await.unwrap().unwrap().sentiment(), Some(Sentiment::Negative));
        assert_eq!(store.opinion(&project(), subjects[1]).await.unwrap(), None);
        assert_eq!(sums(store, Some("bat"), "all").await, [""; 0]);

        let waiting = store.unsettled_feedback(10).await.unwrap();
        assert_eq!(waiting.len(), 2);
        assert_eq!(waiting[0].1.context.as_ref().unwrap().request_id, "req_1");
        let ids: Vec<FeedbackId> = waiting.iter().map(|(_, feedback)| feedback.id.clone()).collect();
        store.settle_feedback(&project(), &ids).await.unwrap();
        assert!(store.unsettled_feedback(10).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn what_is_said_of_a_trace_is_said_of_its_chat() {
    on_backends(async |store| {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        store.add_feedback(&project(), &[said("fb_1", 1, json!({"trace_id": trace, "thumb": "up"}))]).await.unwrap();
        let check = async |record: RequestRecord, expected: &str| {
            append(store, &[(project(), record)]).await;
            let found = store.record_of_trace(&project(), trace).await.unwrap().unwrap();
            let ready = store.feedback_to_join(at(-10), 10).await.unwrap();
            assert_eq!((found.id.as_str(), ready.len(), ready[0].2.id.as_str()), (expected, 1, expected));
        };
        let embedding = |id| RequestRecord { door: Door::Embeddings, ..record(id, "ana") };
        check(embedding("req_1"), "req_1").await;
        // What somebody said does not count as what was called.
        let words = Some(r#""door":"embeddings""#.to_owned());
        check(RequestRecord { request_body: words, ..record("req_2", "ana") }, "req_2").await;
        check(embedding("req_3"), "req_2").await;
        check(record("req_4", "ana"), "req_4").await;
    })
    .await;
}

#[tokio::test]
async fn a_record_that_cannot_be_read_keeps_no_other_from_its_feedback() {
    on_backends(async |store| {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let about = [json!({"request_id": "req_1", "thumb": "up"}), json!({"request_id": "req_2", "thumb": "up"})];
        let about = [&about[0], &about[1], &json!({"trace_id": trace, "thumb": "up"})];
        let said: Vec<Feedback> =
            ["fb_1", "fb_2", "fb_3"].iter().zip(about).map(|(id, body)| said(id, 1, body.clone())).collect();
        store.add_feedback(&project(), &said).await.unwrap();
        let owned = ["req_1", "req_2"].map(|id| (project(), record(id, "ana")));
        append(store, &owned).await;
        execute(store, "UPDATE request_records SET document = '[' WHERE id = 'req_1'").await;
        let ready = store.feedback_to_join(at(-10), 10).await.unwrap();
        assert!(ready.iter().all(|(_, _, record)| record.id == "req_2"));
        assert!(ready.iter().any(|(_, subject, _)| subject == "req_2"));
        execute(store, "UPDATE request_records SET document = '['").await;
        assert_eq!(store.record_of_trace(&project(), trace).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn what_is_erased_leaves_the_sums() {
    on_backends(async |store| {
        let known = |id: &str, request: &str, body: Value| {
            let mut feedback = said(id, 1, body);
            feedback.context = Some(context(request));
            feedback
        };
        let mut other = known("fb_3", "req_3", json!({"request_id": "req_3", "thumb": "up"}));
        other.context.as_mut().unwrap().user = Some("ben".to_owned());
        let mut tagged =
            known("fb_1", "req_1", json!({"request_id": "req_1", "thumb": "down", "rating": {"value": 1, "scale": 3}}));
        tagged.context.as_mut().unwrap().tags = [("who".to_owned(), "ana".to_owned())].into();
        let all = [tagged, said("fb_2", 2, json!({"request_id": "req_2", "thumb": "up", "user": "ana"})), other];
        store.add_feedback(&project(), &all).await.unwrap();
        assert_eq!(sums(store, None, "all").await, ["all 3 2/3 0.33"]);
        assert_eq!(store.erase_feedback_of_user(&ProjectId("other".to_owned()), "ana").await.unwrap(), (0, 0));
        assert_eq!(store.erase_feedback_of_user(&project(), "ana").await.unwrap(), (2, 0));
        assert_eq!(sums(store, None, "all").await, ["all 1 1/1 –"]);
        // A sum of nothing would still name her.
        execute(store, "UPDATE feedback_sums SET requests = 1 WHERE requests = 0").await;
        assert_eq!(sums(store, None, "tag").await, Vec::<String>::new());
        assert_eq!(store.list_feedback(&project(), &FeedbackFilter::default(), 10).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn of_a_traces_records_the_newest_is_meant() {
    on_backends(async |store| {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let early = said("fb_1", 1, json!({"trace_id": trace.to_uppercase(), "thumb": "up", "user": "ben"}));
        store.add_feedback(&project(), &[early]).await.unwrap();
        let records = ["req_2", "req_3", "req_1"].map(|id| (project(), record(id, "ana")));
        append(store, &records).await;
        let ready = store.feedback_to_join(at(-10), 10).await.unwrap();
        let found: Vec<(&str, &str)> =
            ready.iter().map(|(_, subject, record)| (subject.as_str(), record.id.as_str())).collect();
        let subject = format!("trace:{trace}");
        assert_eq!(found, [(subject.as_str(), "req_3")]);
        assert_eq!(store.record_of_trace(&project(), trace).await.unwrap().unwrap().id, "req_3");

        // Users are hashed where the record's is; what comes later by the trace is about the same answer.
        store.join_feedback(&project(), &subject, &context("req_3"), true).await.unwrap();
        let hashed = llmops_domain::hash::ContentHash::of_bytes(b"ben").to_string();
        let kept = store.get_feedback(&project(), "fb_1").await.unwrap();
        assert_eq!(kept.body.user.as_deref(), Some(hashed.as_str()));
        let mut late = said("fb_2", 2, json!({"trace_id": trace, "thumb": "down"}));
        late.context = Some(context("req_3"));
        store.add_feedback(&project(), &[late]).await.unwrap();
        assert_eq!(sums(store, None, "all").await, ["all 1 0/1 –"]);
        assert_eq!(store.erase_feedback_of_user(&project(), &hashed).await.unwrap(), (1, 0));
        assert_eq!(sums(store, None, "all").await, ["all 1 0/1 –"]);
    })
    .await;
}

#[tokio::test]
async fn who_is_erased_takes_nobody_elses_words_along() {
    on_backends(async |store| {
        let by = |id: &str, second: i64, user: &str, thumb: &str, request: &str| {
            let body = json!({"request_id": request, "thumb": thumb, "user": user, "correction": format!("of {user}")});
            let mut feedback = said(id, second, body);
            feedback.context = Some(FeedbackContext { user: None, ..context(request) });
            feedback
        };
        let all = [by("fb_1", 1, "ana", "up", "req_1"), by("fb_2", 2, "ben", "down", "req_1")];
        let waiting = ["ana", "ben"].map(|user| {
            let body = json!({"request_id": "req_2", "thumb": "up", "user": user});
            said(&format!("fb_{user}"), 3, body)
        });
        store.add_feedback(&project(), &[all.as_slice(), &waiting].concat()).await.unwrap();
        store.settle_feedback(&project(), &["fb_1".into(), "fb_2".into()]).await.unwrap();
        let item = |reason, id: &str, request: &str, status| {
            let item = NewReviewItem {
                request_id: Some(request.to_owned()),
                suggestion: Some("of ben".to_owned()),
                ..NewReviewItem::new(reason, format!("request/{request}"), "“words of ben”")
            };
            ReviewItem { id: ReviewId(id.to_owned()), created_at: at(5), status, item, decision: None }
        };
        let open = item(ReviewReason::Correction, "rev_1", "req_1", ReviewStatus::Open);
        store.add_review(&project(), &open).await.unwrap();
        assert_eq!(sums(store, None, "all").await, ["all 2 1/2 –"]);

        assert_eq!(store.erase_feedback_of_user(&project(), "ben").await.unwrap(), (2, 1));
        assert_eq!(sums(store, None, "all").await, ["all 2 2/2 –"]);
        let left = store.list_feedback(&project(), &FeedbackFilter::default(), 10).await.unwrap();
        assert_eq!(left.iter().map(|f| f.id.as_str()).collect::<Vec<_>>(), ["fb_ana", "fb_1"]);
        let again = store.unsettled_feedback(10).await.unwrap();
        assert_eq!(
            again.iter().map(|(_, f)| f.id.as_str()).collect::<Vec<_>>(),
            ["fb_1"],
            "the queue hears of it again"
        );

        // A decision stays, without the words.
        store
            .add_review(&project(), &item(ReviewReason::Correction, "rev_2", "req_1", ReviewStatus::Dismissed))
            .await
            .unwrap();
        assert_eq!(store.erase_feedback_of_user(&project(), "ana").await.unwrap(), (2, 0));
        let kept = store.get_review(&project(), "rev_2").await.unwrap();
        assert_eq!((kept.status, kept.item.suggestion), (ReviewStatus::Dismissed, None));
        assert!(!kept.item.detail.contains("words"), "{}", kept.item.detail);
        assert_eq!(sums(store, None, "all").await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn writers_at_the_same_time_lose_nothing() {
    on_backends(async |store| {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let store = Store::clone(store);
                tokio::spawn(async move {
                    for i in 0..10 {
                        let request = format!("req_{}", i % 3);
                        let body = json!({"request_id": request, "thumb": "up", "idempotency_key": format!("k{i}")});
                        let one = said(&format!("fb_{writer}_{i}"), i, body);
                        store.add_feedback(&project(), &[one]).await.unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        assert_eq!(sums(store, None, "all").await, ["all 3 3/3 –"]);
        assert_eq!(store.list_feedback(&project(), &FeedbackFilter::default(), 500).await.unwrap().len(), 10);
    })
    .await;
}
