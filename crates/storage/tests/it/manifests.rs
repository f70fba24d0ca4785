use llmops_domain::chat::Parameters;
use llmops_domain::manifest::Manifest;
use llmops_storage::StoreError;
use llmops_testing::on_backends;

use crate::support::project;

#[tokio::test]
async fn manifests_are_found_by_the_beginning_of_their_hash() {
    on_backends(async |store| {
        let manifest = Manifest::resolve(None, "sim/small", &Parameters::default());
        let hash = store.put_manifest(&project(), &manifest).await.unwrap();
        assert_eq!(store.put_manifest(&project(), &manifest).await.unwrap(), hash, "storing twice changes nothing");
        assert_eq!(hash, manifest.id().unwrap());
        for prefix in [hash.as_str(), hash.short(), &hash.as_str()[..4]] {
            assert_eq!(store.get_manifest(&project(), prefix).await.unwrap(), (hash.clone(), manifest.clone()));
        }
        for bad in ["", "abc", "XYZW", "%%%%", &"0".repeat(65)] {
            assert!(matches!(store.get_manifest(&project(), bad).await, Err(StoreError::Invalid(_))), "{bad}");
        }
        let absent = store.get_manifest(&project(), &"0".repeat(64)).await;
        assert!(matches!(absent, Err(StoreError::NotFound { what: "manifest", .. })));
    })
    .await;
}

#[tokio::test]
async fn a_prefix_of_two_manifests_is_ambiguous() {
    on_backends(async |store| {
        // Two of 600 hashes share their first four digits with a probability of 94 %; the manifests are fixed, and do.
        let mut seen = std::collections::HashMap::new();
        let mut shared = None;
        for seed in 0.. {
            let parameters = Parameters { seed: Some(seed), ..Parameters::default() };
            let manifest = Manifest::resolve(None, "sim/small", &parameters);
            let prefix = manifest.id().unwrap().as_str()[..4].to_owned();
            if let Some(other) = seen.insert(prefix.clone(), manifest.clone()) {
                store.put_manifest(&project(), &other).await.unwrap();
                store.put_manifest(&project(), &manifest).await.unwrap();
                shared = Some(prefix);
                break;
            }
        }
        let error = store.get_manifest(&project(), &shared.unwrap()).await.unwrap_err();
        assert!(matches!(error, StoreError::Ambiguous { what: "manifest", .. }), "{error}");
    })
    .await;
}

#[tokio::test]
async fn nan_is_refused() {
    on_backends(async |store| {
        let parameters = Parameters { temperature: Some(f64::NAN), ..Parameters::default() };
        let manifest = Manifest { parameters, ..Manifest::resolve(None, "m", &Parameters::default()) };
        let stored = store.put_manifest(&project(), &manifest).await;
        assert!(matches!(stored, Err(StoreError::Invalid(_))), "{stored:?}");
    })
    .await;
}
