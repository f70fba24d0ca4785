//! Calls through a proxy, and calls in TLS.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use llmops_domain::config::providers::ProviderConfig;
use llmops_providers::{Answer, ProviderError, Providers, ProxySettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{FakeServer, Play, ask, remote, user};

const ANSWER: &str = r#"{"choices": [{"message": {"content": "through"}}]}"#;

/// A proxy that opens tunnels and keeps what it was asked for.
async fn proxy() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://user:pass@{}", listener.local_addr().unwrap());
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let mut server = TcpStream::connect(head.split(' ').nth(1).unwrap()).await.unwrap();
            log.lock().unwrap().push(head);
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    (url, heads)
}

async fn through(settings: ProxySettings, server: &FakeServer) -> Result<Answer, ProviderError> {
    let configs = BTreeMap::from([("p".to_owned(), ProviderConfig::Openai(remote(&server.url())))]);
    let providers = Providers::new(&configs, &BTreeMap::new(), Path::new("/")).unwrap().with_proxies(settings);
    providers.chat(&providers.resolve("p/m").unwrap(), &user("x")).await
}

#[tokio::test]
async fn the_proxy_is_used_where_it_should_be() {
    let server = FakeServer::start(vec![Play::json(ANSWER)]).await;
    let (url, heads) = proxy().await;
    let settings = ProxySettings { http: url, ..ProxySettings::default() };
    assert_eq!(through(settings.clone(), &server).await.unwrap().response.text, "through");
    let head = heads.lock().unwrap().remove(0);
    assert!(head.starts_with(&format!("CONNECT {} HTTP/1.1\r\n", server.address)), "{head}");
    assert!(head.to_lowercase().contains("proxy-authorization: basic dxnlcjpwyxnz"), "{head}");

    let direct = ProxySettings { no: "localhost,127.0.0.0/8".to_owned(), ..settings };
    assert_eq!(through(direct, &server).await.unwrap().response.text, "through");
    assert!(heads.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_proxy_that_is_down_is_no_connection() {
    let server = FakeServer::start(vec![Play::json(ANSWER)]).await;
    let settings = ProxySettings { all: "http://secret:secret@127.0.0.1:1".to_owned(), ..ProxySettings::default() };
    let error = through(settings, &server).await.unwrap_err();
    assert_eq!(error.reason(), "provider: no connection");
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn tls_with_a_server_that_speaks_none() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    let reason = ask(ProviderConfig::Openai(remote(&url)), &user("x")).await.unwrap_err().reason();
    // The second on machines without certificates.
    assert!(["provider: no connection", "provider: configuration"].contains(&reason.as_str()), "{reason}");
}
