//! Datasets that several change at once.

use llmops::domain::dataset::Sample;
use llmops_storage::VersionSelector;
use llmops_testing::on_backends;

use crate::scripted::{Scripted, installation, right};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_samples_of_two_are_both_kept() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        for name in (0..8).map(|number| format!("fresh-{number}")) {
            let add = async |id: &str| {
                let sample = Sample { id: id.to_owned(), input: format!("What is {id}?"), ..Sample::default() };
                ops.datasets().add_samples(&name, vec![sample]).await.unwrap();
            };
            tokio::join!(add("a"), add("b"), add("c"));
            let version = ops.datasets().version(&name, &VersionSelector::Latest).await.unwrap();
            assert_eq!(version.version.sample_count, 3, "{name}");
        }
    })
    .await;
}
