//! An acknowledged result is on disk, whatever happens to the process.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use llmops_storage::{Store, StoreError};
use llmops_testing::{Backend, TestStore};

use crate::support::{project, scored, stored_run};

/// Names the database to the child process.
const CHILD: &str = "LLMOPS_KILL_TEST_URL";

/// Not a test of its own: what the killed process does. Writes results for ever and prints what was acknowledged.
#[tokio::test]
async fn writes_until_killed() {
    let Ok(url) = std::env::var(CHILD) else { return };
    let store = Store::open(&url).await.unwrap();
    let run = store.run_key(&project(), &"run_1".into()).await.unwrap();
    let submits = (0..4).map(|lane| {
        let (store, run) = (store.clone(), run.clone());
        async move {
            for i in 0.. {
                let ordinal = i * 4 + lane;
                match store.result_writer().submit(&run, vec![scored(ordinal, 0, 0.5), scored(ordinal, 1, 0.5)]).await {
                    Ok(()) => writeln!(std::io::stdout(), "ack {ordinal}").unwrap(),
                    Err(StoreError::Unavailable(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
    });
    futures::future::join_all(submits).await;
}

#[tokio::test]
async fn acknowledged_results_survive_a_kill() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        for acknowledged in [1, 40, 333] {
            let store = TestStore::new(backend).await;
            let run = stored_run(&store, "run_1").await;
            let acks = kill_after(store.url(), acknowledged);
            assert!(acks.len() >= acknowledged, "the child wrote {} of {acknowledged}", acks.len());
            let done = store.done_pairs(&run, 0, u64::MAX / 4).await.unwrap();
            for ordinal in acks {
                assert!(done.contains(&(ordinal, 0)) && done.contains(&(ordinal, 1)), "{backend:?} lost {ordinal}");
            }
            let whole = done.iter().all(|&(ordinal, trial)| done.contains(&(ordinal, 1 - trial)));
            assert!(whole, "{backend:?}: a batch is written whole or not at all");
            assert_eq!(store.progress(&run).await.unwrap().done, done.len() as u64, "{backend:?}: the counter agrees");
            store.remove().await;
        }
    }
}

/// Starts this test binary as a child, kills it after so many acknowledgements, and answers with all that it printed.
fn kill_after(url: &str, acknowledged: usize) -> Vec<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::writes_until_killed", "--nocapture"])
        .env(CHILD, url)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut acks = Vec::new();
    let mut read = |acks: &mut Vec<u64>| {
        let line = lines.next();
        acks.extend(line.as_deref().and_then(|line| line.split_once("ack ")?.1.parse::<u64>().ok()));
        line.is_some()
    };
    while acks.len() < acknowledged && read(&mut acks) {}
    child.kill().unwrap();
    while read(&mut acks) {}
    child.wait().unwrap();
    acks
}
