use llmops_domain::id::{ProjectId, ReviewId};
use llmops_domain::review::{
    NewReviewItem, ReviewAction, ReviewDecision, ReviewFilter, ReviewItem, ReviewReason, ReviewStatus,
};
use llmops_storage::{AuditFilter, StoreError};
use llmops_testing::on_backends;

use crate::support::{at, project};

fn item(id: &str, origin: &str, suggestion: Option<&str>) -> ReviewItem {
    let item = NewReviewItem {
        suggestion: suggestion.map(str::to_owned),
        deployment: Some("bot".to_owned()),
        request_id: Some(origin.to_owned()),
        input: "a\0b".to_owned(),
        ..NewReviewItem::new(ReviewReason::LowRating, format!("request/{origin}"), "a thumb down")
    };
    let id = ReviewId(id.to_owned());
    ReviewItem { id, created_at: at(0), status: ReviewStatus::Open, item, decision: None }
}

#[tokio::test]
async fn items_come_once_and_are_decided_once() {
    on_backends(async |store| {
        let first = item("review_1", "req_1", None);
        assert!(store.add_review(&project(), &first).await.unwrap().1);
        store.add_review(&project(), &item("review_2", "req_2", None)).await.unwrap();
        let (known, is_new) = store.add_review(&project(), &item("review_3", "req_1", Some("4.90"))).await.unwrap();
        assert!(!is_new);
        assert_eq!((known.id.as_str(), known.item.suggestion.as_deref()), ("review_1", Some("4.90")));
        assert_eq!(known.item.input, "a\u{FFFD}b");

        let listed = store.list_reviews(&project(), &ReviewFilter::default(), 10).await.unwrap();
        assert_eq!(listed.iter().map(|item| item.id.as_str()).collect::<Vec<_>>(), ["review_2", "review_1"]);
        let cursor = ReviewFilter { cursor: Some("review_2".to_owned()), ..ReviewFilter::default() };
        assert_eq!(store.list_reviews(&project(), &cursor, 10).await.unwrap().len(), 1);
        assert_eq!(store.count_open_reviews(&project(), None, Some("bot")).await.unwrap(), 2);
        assert!(store.get_review(&ProjectId("other".to_owned()), "review_1").await.is_err());
        assert!(matches!(store.get_review(&project(), "review_").await, Err(StoreError::Ambiguous { .. })));

        let decision = ReviewDecision {
            action: ReviewAction::Dismiss,
            at: at(5),
            by: "dana".to_owned(),
            label: None,
            note: Some("fine".to_owned()),
            answer: None,
            dataset: None,
            dataset_version: None,
            sample: None,
        };
        let decided = ReviewItem { status: ReviewStatus::Dismissed, decision: Some(decision), ..known };
        store.decide_review(&project(), &decided).await.unwrap();
        assert!(matches!(store.decide_review(&project(), &decided).await, Err(StoreError::Conflict(_))));
        assert_eq!(store.get_review(&project(), "review_1").await.unwrap(), decided);
        let open = ReviewFilter { status: Some(ReviewStatus::Open), ..ReviewFilter::default() };
        assert_eq!(store.list_reviews(&project(), &open, 10).await.unwrap().len(), 1);
        let filter = AuditFilter { action: Some("review".to_owned()), ..AuditFilter::default() };
        let audit = store.list_audit(&project(), &filter, 10).await.unwrap();
        assert_eq!((audit.len(), audit[0].target.as_str()), (1, "review_1"));
        assert_eq!(audit[0].after["status"], "dismissed");
    })
    .await;
}

#[tokio::test]
async fn cursors_only_move_on() {
    on_backends(async |store| {
        assert_eq!(store.review_cursors("soft").await.unwrap(), [(project(), String::new())]);
        for position in ["b", "a"] {
            store.move_review_cursor(&project(), "soft", position).await.unwrap();
        }
        assert_eq!(store.review_cursors("soft").await.unwrap(), [(project(), "b".to_owned())]);
        assert_eq!(store.review_cursors("hard").await.unwrap(), [(project(), String::new())]);
    })
    .await;
}
