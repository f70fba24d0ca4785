//! Providers behind the proxy that the environment names.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::project::Project;

/// Takes one connection, keeps its head and opens no tunnel.
fn proxy() -> (SocketAddr, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let head = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        client.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").unwrap();
        String::from_utf8(head).unwrap()
    });
    (address, head)
}

#[test]
fn providers_are_asked_through_the_proxy_of_the_environment() {
    let provider = "{kind: openai, base_url: 'http://models.example/v1', api_key: none, retries: 0}";
    let config = format!("version: 1\nproject: far\nproviders:\n  far: {provider}\n");
    let project = Project::new(&[("llmops.yaml", &config)]);
    let (address, head) = proxy();
    let said = project
        .command(&["provider", "check", "far/m"])
        .env("HTTP_PROXY", format!("http://{address}"))
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&said.stderr);
    assert!(!said.status.success(), "the proxy opened no tunnel: {err}");
    // A proxy that nobody asked would wait forever.
    if let Ok(mut nobody) = TcpStream::connect(address) {
        nobody.write_all(b"\r\n\r\n").unwrap();
    }
    let head = head.join().unwrap();
    assert!(head.starts_with("CONNECT models.example:80 HTTP/1.1\r\n"), "{head}");
}
