use jiff::Timestamp;
use llmops_domain::access::{Actor, ApiKey, Role};
use llmops_domain::id::{KeyId, ProjectId};
use llmops_storage::{AuditFilter, Change, Claim, KeptAnswer, KeyedRequest, Store, StoreError, StoredKey};
use llmops_testing::on_backends;

use crate::support::{at, project};

fn key(id: &str, byte: u8) -> StoredKey {
    let key = ApiKey {
        id: KeyId(id.to_owned()),
        name: "für \u{1F980}".to_owned(),
        project: project(),
        role: Role::Operator,
        prefix: "llmops_abcdef".to_owned(),
        created_at: at(0),
        created_by: "local".to_owned(),
        expires_at: Some(at(100)),
        revoked_at: None,
        last_used_at: None,
        limits: llmops_domain::limits::Limits::default(),
    };
    StoredKey { key, hash: [byte; 32] }
}

#[tokio::test]
async fn keys_are_stored_listed_and_found_by_hash() {
    on_backends(async |store| {
        let (one, two) = (key("key_1", 1), key("key_2", 2));
        let start = store.access_version().await.unwrap();
        store.create_key(&one).await.unwrap();
        store.create_key(&two).await.unwrap();
        assert_eq!(store.access_version().await.unwrap(), start + 2);
        assert_eq!(store.key_by_hash(&[1; 32]).await.unwrap(), Some(one.key.clone()));
        assert_eq!(store.key_by_hash(&[3; 32]).await.unwrap(), None);
        assert_eq!(store.list_keys(&project(), None, 1).await.unwrap(), std::slice::from_ref(&one.key));
        assert_eq!(store.list_keys(&project(), Some("key_1"), 5).await.unwrap(), std::slice::from_ref(&two.key));
        assert!(store.list_keys(&ProjectId::from("other"), None, 5).await.unwrap().is_empty());
        let taken = store.create_key(&key("key_3", 1)).await.unwrap_err();
        assert!(matches!(taken, StoreError::Conflict(_)), "{taken}");
        assert!(!store.create_first_key(&key("key_4", 4)).await.unwrap(), "there are keys");
        let mut foreign = key("key_5", 5);
        foreign.key.project = ProjectId::from("nope");
        let error = store.create_key(&foreign).await.unwrap_err();
        assert_eq!(error.to_string(), "there is no project `nope`");
        assert!(matches!(store.get_key(&ProjectId::from("other"), "key_1").await, Err(StoreError::NotFound { .. })));
    })
    .await;
}

#[tokio::test]
async fn a_revoked_key_stays_and_its_sessions_go() {
    on_backends(async |store| {
        let one = key("key_1", 1);
        store.create_key(&one).await.unwrap();
        store.create_session(&[9; 32], &one.key, Timestamp::from_second(4_000_000_000).unwrap()).await.unwrap();
        let session = store.session(&[9; 32], llmops_domain::clock::now()).await.unwrap();
        assert_eq!(session.unwrap().0, one.key);
        assert!(matches!(
            store.revoke_key(&ProjectId::from("other"), &one.key.id, at(5)).await,
            Err(StoreError::NotFound { .. })
        ));
        let revoked = store.revoke_key(&project(), &one.key.id, at(5)).await.unwrap();
        assert_eq!(revoked.revoked_at, Some(at(5)));
        let again = store.revoke_key(&project(), &one.key.id, at(9)).await.unwrap();
        assert_eq!(again.revoked_at, Some(at(5)), "the first time counts");
        assert_eq!(store.session(&[9; 32], llmops_domain::clock::now()).await.unwrap(), None);
        assert_eq!(store.list_keys(&project(), None, 5).await.unwrap(), [revoked]);
        assert!(store.live_keys().await.unwrap().1.is_empty());
    })
    .await;
}

#[tokio::test]
async fn the_last_use_only_moves_forward() {
    on_backends(async |store| {
        let one = key("key_1", 1);
        store.create_key(&one).await.unwrap();
        for (second, expected) in [(10, 10), (5, 10), (20, 20)] {
            store.touch_keys(&[(one.key.id.clone(), at(second))]).await.unwrap();
            let used = store.get_key(&project(), "key_1").await.unwrap().last_used_at;
            assert_eq!(used, Some(at(expected)));
        }
    })
    .await;
}

#[tokio::test]
async fn changes_are_recorded_as_the_actors() {
    on_backends(async |store| {
        let actor = Actor { name: "dana\0".to_owned(), key: Some(KeyId("key_1".to_owned())), request_id: None };
        let acting = store.acting_as(actor.into());
        let change = Change::new("note.created", "n").after(serde_json::json!({"ä": 1}));
        acting.audit(&project(), &change).await.unwrap();
        let records = store.list_audit(&project(), &AuditFilter::default(), 10).await.unwrap();
        assert_eq!(records.len(), 1);
        assert_eq!((records[0].actor.as_str(), records[0].action.as_str()), ("dana\u{FFFD}", "note.created"));
        assert_eq!((&records[0].before, &records[0].after["ä"]), (&serde_json::Value::Null, &serde_json::json!(1)));
        let missing = acting.audit(&ProjectId::from("nope"), &change).await.unwrap_err();
        assert!(matches!(missing, StoreError::NotFound { .. }), "{missing}");
        let other = store.list_audit(&ProjectId::from("other"), &AuditFilter::default(), 10).await.unwrap();
        assert!(other.is_empty());
    })
    .await;
}

async fn claim(store: &Store, request: u8, now: i64) -> Claim {
    let request = keyed(request);
    store.claim_request(&request, at(now), at(now + 10), at(now + 100)).await.unwrap()
}

fn keyed(request: u8) -> KeyedRequest {
    KeyedRequest { project: project(), caller: "key_1".to_owned(), key: "k".to_owned(), request: [request; 32] }
}

#[tokio::test]
async fn a_request_is_claimed_once_answered_again_and_forgotten_in_time() {
    on_backends(async |store| {
        assert_eq!(claim(store, 1, 0).await, Claim::New);
        assert_eq!(claim(store, 1, 5).await, Claim::Busy);
        assert_eq!(claim(store, 2, 5).await, Claim::Different);
        assert_eq!(claim(store, 1, 11).await, Claim::New, "who claimed it is taken for dead");
        let answer = KeptAnswer { status: 201, content_type: Some("application/json".to_owned()), body: vec![0, 255] };
        store.keep_answer(&keyed(1), &answer).await.unwrap();
        assert_eq!(claim(store, 1, 50).await, Claim::Answered(answer));
        assert_eq!(claim(store, 2, 200).await, Claim::New, "it has expired");
        store.forget_request(&keyed(2)).await.unwrap();
        assert_eq!(claim(store, 3, 201).await, Claim::New);
        store.remove_expired(at(1000)).await.unwrap();
        assert_eq!(claim(store, 4, 202).await, Claim::New);
    })
    .await;
}
