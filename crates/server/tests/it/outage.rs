//! PostgreSQL goes away and comes back.

use std::net::SocketAddr;

use http::StatusCode;
use llmops_domain::access::Role;
use llmops_server::ServerOptions;
use llmops_storage::Store;
use llmops_testing::{Backend, TestStore};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::{Server, installation};

/// Passes connections on to PostgreSQL until it is dropped, and cuts them then.
struct Proxy {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Proxy {
    async fn start(listen: SocketAddr, target: String) -> Self {
        let listener = TcpListener::bind(listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut here, _)) = listener.accept().await {
                let target = target.clone();
                connections.spawn(async move {
                    let mut there = TcpStream::connect(target).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
                });
            }
        });
        Self { address, _tasks: tasks }
    }
}

/// Accepts connections and ends them at once, until it is dropped.
async fn hang_up(listen: SocketAddr) -> JoinSet<()> {
    let listener = TcpListener::bind(listen).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { while listener.accept().await.is_ok() {} });
    tasks
}

/// The host and port in a URL of PostgreSQL.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").unwrap().1;
    let authority = rest.split('/').next().unwrap();
    authority.rsplit('@').next().unwrap()
}

#[tokio::test]
async fn an_outage_of_the_store_is_told_clearly_and_nothing_acknowledged_is_lost() {
    let store = TestStore::new(Backend::Postgres).await;
    let direct = authority(store.url());
    let target = if direct.contains(':') { direct.to_owned() } else { format!("{direct}:5432") };
    let proxy = Proxy::start("127.0.0.1:0".parse().unwrap(), target.clone()).await;
    let address = proxy.address;
    let through = store.url().replacen(direct, &address.to_string(), 1);
    let server = Server::with(installation(Store::open(&through).await.unwrap()), ServerOptions::default());
    let key = server.key("default", Role::Editor).await;
    let prompt = |version: &str| json!({"prompt": {"name": "p", "version": version, "content": version}});
    assert_eq!(server.post("/api/v1/prompts", &key, &prompt("1.0.0")).await.status, StatusCode::CREATED);

    drop(proxy);
    // Nobody listens; or something does, and hangs up, as proxies do that have no server.
    for hangs_up in [false, true] {
        let mut proxy = if hangs_up { hang_up(address).await } else { JoinSet::new() };
        for path in ["/api/v1/prompts", "/readyz"] {
            let said = server.get(path, &key).await;
            assert_eq!(
                (said.status, said.code().as_str()),
                (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable"),
                "{path}"
            );
            assert!(said.headers.contains_key("retry-after"), "{path}");
            assert!(!said.text.contains("127.0.0.1"), "where the store is remains inside: {}", said.text);
        }
        let asked = std::time::Instant::now();
        for _ in 0..6 {
            assert_eq!(server.get("/readyz", "").await.status, StatusCode::SERVICE_UNAVAILABLE);
        }
        assert!(asked.elapsed().as_secs() < 4, "what is known is told: {:?}", asked.elapsed());
        assert_eq!(server.get("/healthz", "").await.status, StatusCode::OK, "the process lives");
        let said = server.post("/api/v1/prompts", &key, &prompt("2.0.0")).await;
        assert_eq!(said.status, StatusCode::SERVICE_UNAVAILABLE);
        let flag = json!({"context": {"targetingKey": "u"}});
        let said = server.post("/ofrep/v1/evaluate/flags/f", &key, &flag).await;
        assert_eq!(
            (said.status, said.json()["errorCode"].as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, Some("GENERAL"))
        );
        assert!(said.headers.contains_key("retry-after"), "{said:?}");
        proxy.shutdown().await;
    }

    let _again = Proxy::start(address, target).await;
    let said = server.post("/api/v1/prompts", &key, &prompt("2.0.0")).await;
    assert_eq!(said.status, StatusCode::CREATED, "{}", said.text);
    while server.get("/readyz", "").await.status != StatusCode::OK {
        tokio::task::yield_now().await;
    }
    let versions = server.get("/api/v1/prompts/p/versions", &key).await.json();
    assert_eq!(versions["items"].as_array().unwrap().len(), 2);
    store.remove().await;
}
