use std::collections::BTreeMap;

use llmops_domain::hash::ContentHash;
use llmops_domain::id::ProjectId;
use llmops_domain::prompt::{PromptBody, PromptSelector, PromptStatus, PromptVersion};
use llmops_storage::{CreatedPrompt, Store, StoreError};
use llmops_testing::on_backends;

use crate::support::{at, project};

pub(crate) fn prompt(name: &str, version: &str, content: &str) -> PromptVersion {
    let body = PromptBody { content: Some(content.to_owned()), ..PromptBody::default() };
    PromptVersion {
        name: name.to_owned(),
        version: version.parse().unwrap(),
        hash: body.hash().unwrap(),
        description: Some("für alle, \u{1F980} und \0".to_owned()),
        author: None,
        tags: vec!["a".to_owned()],
        change: None,
        metadata: BTreeMap::new(),
        body,
        scores: Vec::new(),
        status: PromptStatus::Draft,
        is_active: false,
        created_at: at(0),
    }
}

async fn push(store: &Store, name: &str, version: &str, content: &str) -> CreatedPrompt {
    store.create_prompt(&project(), &prompt(name, version, content)).await.unwrap()
}

#[tokio::test]
async fn the_first_version_of_a_name_is_active() {
    on_backends(async |store| {
        let first = push(store, "p", "1.0.0", "one").await;
        let expected = PromptVersion { is_active: true, ..prompt("p", "1.0.0", "one") };
        assert_eq!(first, CreatedPrompt::Created(expected.clone()));
        let second = push(store, "p", "1.1.0", "two").await;
        assert_eq!(second, CreatedPrompt::Created(prompt("p", "1.1.0", "two")));
        assert_eq!(store.get_prompt(&project(), "p", &PromptSelector::Active).await.unwrap(), expected);
    })
    .await;
}

#[tokio::test]
async fn pushing_the_same_content_again_is_the_same_version() {
    on_backends(async |store| {
        push(store, "p", "1.0.0", "one").await;
        for number in ["1.0.0", "9.0.0"] {
            let again = push(store, "p", number, "one").await;
            assert!(matches!(&again, CreatedPrompt::Existing(v) if v.version.to_string() == "1.0.0"), "{again:?}");
        }
        let other_name = push(store, "q", "1.0.0", "one").await;
        assert!(matches!(other_name, CreatedPrompt::Created(_)));
        let conflict = store.create_prompt(&project(), &prompt("p", "1.0.0", "other")).await.unwrap_err();
        assert!(matches!(&conflict, StoreError::Conflict(_)), "{conflict}");
        assert!(conflict.to_string().starts_with("p@1.0.0 exists with other content ("), "{conflict}");
    })
    .await;
}

#[tokio::test]
async fn the_number_of_a_deleted_version_stands_for_no_other_content() {
    on_backends(async |store| {
        push(store, "p", "1.0.0", "one").await;
        push(store, "p", "1.1.0", "two").await;
        // Another prompt's, whose name begins alike.
        push(store, "p2", "1.0.0", "one").await;
        push(store, "p2", "1.2.0", "three").await;
        for (name, version) in [("p", "1.1.0"), ("p2", "1.2.0")] {
            store.delete_prompt(&project(), name, &version.parse().unwrap()).await.unwrap();
        }
        let other = store.create_prompt(&project(), &prompt("p", "1.1.0", "other")).await.unwrap_err();
        assert!(matches!(other, StoreError::Conflict(_)), "{other}");
        assert!(other.to_string().starts_with("p@1.1.0 had other content ("), "{other}");
        let gone = store.deleted_prompt_versions(&project(), "p").await.unwrap();
        assert_eq!(gone, [("1.1.0".parse().unwrap(), prompt("p", "1.1.0", "two").hash)]);
        assert!(matches!(push(store, "p", "1.1.0", "two").await, CreatedPrompt::Created(_)));
        assert!(matches!(push(store, "p", "1.2.0", "other").await, CreatedPrompt::Created(_)));
    })
    .await;
}

#[tokio::test]
async fn versions_are_selected_by_number_and_hash() {
    on_backends(async |store| {
        let one = push(store, "p", "1.0.0", "one").await.into_version();
        push(store, "p", "1.0.0-rc.1", "candidate").await;
        let get = async |selector| store.get_prompt(&project(), "p", &selector).await;
        assert_eq!(get(PromptSelector::Version(one.version.clone())).await.unwrap(), one);
        assert_eq!(get(PromptSelector::Hash(one.hash.short().to_owned())).await.unwrap(), one);
        assert_eq!(store.prompt_by_hash(&project(), "p", &one.hash).await.unwrap(), Some(one));
        assert_eq!(store.prompt_by_hash(&project(), "p", &ContentHash::of_bytes(b"")).await.unwrap(), None);
        let absent = get(PromptSelector::Version("2.0.0".parse().unwrap())).await.unwrap_err();
        assert_eq!(absent.to_string(), "there is no prompt version `p@2.0.0`");
        let absent = get(PromptSelector::Hash("000000000000".to_owned())).await.unwrap_err();
        assert_eq!(absent.to_string(), "there is no prompt version `p@000000000000`");
        let absent = store.get_prompt(&project(), "nope", &PromptSelector::Active).await.unwrap_err();
        assert_eq!(absent.to_string(), "there is no prompt `nope`");
    })
    .await;
}

#[tokio::test]
async fn a_hash_prefix_of_two_versions_is_ambiguous() {
    on_backends(async |store| {
        for (version, tail) in [("1.0.0", "0"), ("1.0.1", "1")] {
            let hash = ContentHash::parse(&format!("{}{tail}", "a".repeat(63))).unwrap();
            let version = PromptVersion { hash, ..prompt("p", version, version) };
            store.create_prompt(&project(), &version).await.unwrap();
        }
        let error = store.get_prompt(&project(), "p", &PromptSelector::Hash("a".repeat(12))).await.unwrap_err();
        assert!(matches!(error, StoreError::Ambiguous { .. }), "{error}");
    })
    .await;
}

#[tokio::test]
async fn versions_are_listed_by_semantic_version() {
    on_backends(async |store| {
        for version in ["1.9.0", "1.10.0", "2.0.0-rc.1", "0.1.0"] {
            push(store, "p", version, version).await;
        }
        let versions = store.list_prompt_versions(&project(), "p").await.unwrap();
        let numbers: Vec<String> = versions.iter().map(|v| v.version.to_string()).collect();
        assert_eq!(numbers, ["2.0.0-rc.1", "1.10.0", "1.9.0", "0.1.0"]);
        assert!(store.list_prompt_versions(&project(), "q").await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn prompts_are_listed_in_pages_by_the_bytes_of_their_names() {
    on_backends(async |store| {
        for name in ["b", "a", "Z", "ä"] {
            push(store, name, "1.0.0", name).await;
            push(store, name, "1.0.1", &format!("{name} again")).await;
        }
        let mut names = Vec::new();
        while let Some(page) = Some(store.list_prompts(&project(), names.last().map(String::as_str), 3).await.unwrap())
            .filter(|page| !page.is_empty())
        {
            assert!(page.iter().all(|p| p.is_active && p.version.to_string() == "1.0.0"));
            names.extend(page.into_iter().map(|p| p.name));
        }
        assert_eq!(names, ["Z", "a", "b", "ä"]);
    })
    .await;
}

#[tokio::test]
async fn exactly_one_version_is_active() {
    on_backends(async |store| {
        push(store, "p", "1.0.0", "one").await;
        push(store, "p", "2.0.0", "two").await;
        let two = "2.0.0".parse().unwrap();
        let moved = store.activate_prompt(&project(), "p", &two).await.unwrap();
        assert_eq!((moved.before.version.major, moved.after.version.major), (1, 2));
        assert!(moved.before.is_active && moved.after.is_active);
        let again = store.activate_prompt(&project(), "p", &two).await.unwrap();
        assert_eq!(again.before, again.after);
        let absent = store.activate_prompt(&project(), "p", &"3.0.0".parse().unwrap()).await;
        assert!(matches!(absent, Err(StoreError::NotFound { .. })));
        let active = store.get_prompt(&project(), "p", &PromptSelector::Active).await.unwrap();
        assert_eq!(active.version, two, "a failed activation leaves the active version");
    })
    .await;
}

#[tokio::test]
async fn concurrent_pushes_and_activations_leave_one_active_version() {
    on_backends(async |store| {
        let pushes = (0..8).map(|i| async move { push(store, "p", &format!("1.0.{i}"), &format!("{i}")).await });
        futures::future::join_all(pushes).await;
        let moves = (0..8).map(|i| async move {
            let version = format!("1.0.{i}").parse().unwrap();
            store.activate_prompt(&project(), "p", &version).await.unwrap()
        });
        futures::future::join_all(moves).await;
        let versions = store.list_prompt_versions(&project(), "p").await.unwrap();
        assert_eq!((versions.len(), versions.iter().filter(|v| v.is_active).count()), (8, 1));
    })
    .await;
}

#[tokio::test]
async fn the_active_version_is_not_deleted() {
    on_backends(async |store| {
        push(store, "p", "1.0.0", "one").await;
        push(store, "p", "2.0.0", "two").await;
        let delete = async |version: &str| store.delete_prompt(&project(), "p", &version.parse().unwrap()).await;
        assert!(matches!(delete("1.0.0").await, Err(StoreError::Conflict(_))));
        delete("2.0.0").await.unwrap();
        assert!(matches!(delete("2.0.0").await, Err(StoreError::NotFound { .. })));
    })
    .await;
}

#[tokio::test]
async fn projects_are_apart() {
    on_backends(async |store| {
        let other = ProjectId::from("other");
        let missing = store.create_prompt(&other, &prompt("p", "1.0.0", "one")).await.unwrap_err();
        assert_eq!(missing.to_string(), "there is no project `other`");
        store.put_project(&other, "Other").await.unwrap();
        push(store, "p", "1.0.0", "one").await;
        assert!(store.list_prompts(&other, None, 10).await.unwrap().is_empty());
        let theirs = store.create_prompt(&other, &prompt("p", "1.0.0", "different")).await.unwrap();
        assert!(matches!(theirs, CreatedPrompt::Created(_)));
    })
    .await;
}

#[tokio::test]
async fn a_nul_in_a_name_is_refused() {
    on_backends(async |store| {
        let error = store.create_prompt(&project(), &prompt("p\0", "1.0.0", "one")).await.unwrap_err();
        assert_eq!(error.to_string(), r#"the prompt's name "p\0" contains a NUL character: remove it"#);
    })
    .await;
}
