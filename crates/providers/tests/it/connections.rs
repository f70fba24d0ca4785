//! Connections: kept between requests, and closed when their answer is not wanted.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use llmops_providers::connector::ProxySettings;
use llmops_providers::http_client::{AnswerBody, Endpoint, HttpClient};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// What a server saw of one connection.
#[derive(Debug, PartialEq)]
enum Seen {
    Opened,
    Asked(String),
    Closed,
}

struct Server {
    endpoint: Endpoint,
    seen: mpsc::UnboundedReceiver<Seen>,
}

impl Server {
    /// A server that answers each request with the bytes that its path names, then closes the connection where the path says so.
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::new(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let (tell, seen) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, tell.clone()));
            }
        });
        Self { endpoint, seen }
    }

    async fn open(&self, client: &HttpClient, path: &str) -> http::Response<AnswerBody> {
        let uri = format!("http://{}{path}", self.endpoint.uri.authority().unwrap());
        let request = Request::post(uri).body(Full::new(Bytes::from_static(b"{}"))).unwrap();
        client.open(&self.endpoint, request).await.unwrap()
    }

    async fn fetch(&self, client: &HttpClient, path: &str) -> String {
        let body = self.open(client, path).await.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    async fn sees(&mut self, expected: &[Seen]) {
        for one in expected {
            assert_eq!(self.seen.recv().await.as_ref(), Some(one));
        }
        assert!(self.seen.try_recv().is_err(), "nothing else");
    }
}

async fn serve(mut stream: TcpStream, tell: mpsc::UnboundedSender<Seen>) {
    tell.send(Seen::Opened).unwrap();
    let mut buffer = vec![0; 65536];
    loop {
        let mut read = 0;
        while !buffer[..read].ends_with(b"{}") {
            match stream.read(&mut buffer[read..]).await {
                Ok(0) | Err(_) => {
                    drop(tell.send(Seen::Closed));
                    return;
                }
                Ok(n) => read += n,
            }
        }
        let head = String::from_utf8_lossy(&buffer[..read]).into_owned();
        let path = head.split(' ').nth(1).unwrap().to_owned();
        tell.send(Seen::Asked(path.clone())).unwrap();
        let answer: &[u8] = match &*path {
            "/chunked" => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n4\r\nnext\r\n0\r\n\r\n",
            "/empty" => b"HTTP/1.1 204 No Content\r\n\r\n",
            "/endless" => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n",
            "/last" => b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nlast",
            _ => b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole",
        };
        stream.write_all(answer).await.unwrap();
        if path == "/then-closed" {
            return;
        }
    }
}

fn client() -> HttpClient {
    HttpClient::new(&ProxySettings::default())
}

fn asked(path: &str) -> Seen {
    Seen::Asked(path.to_owned())
}

#[tokio::test]
async fn one_connection_answers_request_after_request() {
    let (mut server, client) = (Server::start().await, client());
    let mut expected = vec![Seen::Opened];
    for (path, text) in [("/whole", "whole"), ("/chunked", "partnext"), ("/empty", ""), ("/whole", "whole")] {
        assert_eq!(server.fetch(&client, path).await, text);
        expected.push(asked(path));
    }
    // A body of known length is at its end with its last byte, whether or not anybody asks for more.
    let mut body = server.open(&client, "/whole").await.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    server.fetch(&client, "/again").await;
    expected.extend([asked("/whole"), asked("/again")]);
    server.sees(&expected).await;
}

#[tokio::test]
async fn requests_at_once_have_connections_of_their_own() {
    let (mut server, client) = (Server::start().await, client());
    let (first, second) = (server.open(&client, "/chunked").await, server.open(&client, "/chunked").await);
    drop((first.into_body().collect().await.unwrap(), second.into_body().collect().await.unwrap()));
    server.fetch(&client, "/whole").await;
    server.fetch(&client, "/whole").await;
    let opened = [Seen::Opened, asked("/chunked"), Seen::Opened, asked("/chunked")];
    server.sees(&opened.into_iter().chain([asked("/whole"), asked("/whole")]).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn an_answer_that_is_not_wanted_ends_its_connection() {
    let (mut server, client) = (Server::start().await, client());
    let mut body = server.open(&client, "/endless").await.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    server.sees(&[Seen::Opened, asked("/endless"), Seen::Closed]).await;
}

#[tokio::test]
async fn connections_that_the_server_closed_are_not_used() {
    let (mut server, client) = (Server::start().await, client());
    assert_eq!(server.fetch(&client, "/last").await, "last");
    assert_eq!(server.fetch(&client, "/then-closed").await, "whole");
    // The end of a connection is noticed when the next request wants it, or a moment later: the request is asked once.
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    assert_eq!(server.fetch(&client, "/whole").await, "whole");
    let last = [Seen::Opened, asked("/last"), Seen::Closed];
    let closed = [Seen::Opened, asked("/then-closed"), Seen::Opened, asked("/whole")];
    server.sees(&last.into_iter().chain(closed).collect::<Vec<_>>()).await;
}
