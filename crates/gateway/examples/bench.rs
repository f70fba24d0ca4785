//! What a gateway is measured with: a provider that costs next to nothing, the barest proxy that hyper makes, and a
//! client that counts. `scripts/bench/gateway.py` puts them together.
//!
//! ```text
//! bench upstream ADDRESS                  answers every request with one text, or a stream where one is asked for
//! bench proxy ADDRESS UPSTREAM            forwards bytes, and does nothing else
//! bench load ADDRESS FILE CONNECTIONS SECONDS   sends the request in FILE again and again; prints JSON
//! bench hold ADDRESS FILE STREAMS SECONDS       opens streams and keeps reading them; prints JSON
//! ```
#![expect(clippy::print_stdout, reason = "figures go to standard output")]

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Failure = Box<dyn Error + Send + Sync>;

/// Pieces of a stream.
const PIECES: usize = 20;
/// Between two pieces of a stream that asks to be slow (`"slow":true`).
const SLOW: Duration = Duration::from_secs(1);

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    // The proxy may use all cores, as gateways do; the others shall leave them to it.
    let mut builder = match args.first() {
        Some(&"proxy") => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    builder.enable_all().build()?.block_on(async {
        match args[..] {
            ["upstream", address] => upstream(address).await,
            ["proxy", address, upstream] => proxy(address, upstream.to_owned()).await,
            ["load", address, file, connections, seconds] => {
                load(address, &std::fs::read(file)?, connections.parse()?, seconds.parse()?).await
            }
            ["hold", address, file, streams, seconds] => {
                hold(address, &std::fs::read(file)?, streams.parse()?, seconds.parse()?).await
            }
            _ => Err("usage: bench upstream|proxy|load|hold …".into()),
        }
    })
}

fn whole_answer() -> Vec<u8> {
    let body = concat!(
        r#"{"id":"chatcmpl-9","object":"chat.completion","created":1764000000,"model":"mock-2026","system_fingerprint":"fp_1","#,
        r#""choices":[{"index":0,"message":{"role":"assistant","content":"Your parcel left the warehouse on Monday and "#,
        r#"arrives within three working days. You can follow it with the number in your confirmation mail."},"#,
        r#""logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":42,"completion_tokens":27,"total_tokens":69}}"#
    );
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body.as_bytes()].concat()
}

fn piece() -> Vec<u8> {
    let event = concat!(
        r#"data: {"id":"chatcmpl-9","object":"chat.completion.chunk","created":1764000000,"model":"mock-2026","#,
        r#""choices":[{"index":0,"delta":{"content":"parcel "},"logprobs":null,"finish_reason":null}]}"#,
        "\n\n"
    );
    format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
}

async fn upstream(address: &str) -> Result<(), Failure> {
    let listener = TcpListener::bind(address).await?;
    let (answer, piece) = (Arc::new(whole_answer()), Arc::new(piece()));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (answer, piece) = (answer.clone(), piece.clone());
        tokio::spawn(async move {
            // A client that leaves ends it.
            let _ = answer_all(stream, &answer, &piece).await;
        });
    }
}

async fn answer_all(mut stream: TcpStream, answer: &[u8], piece: &[u8]) -> Result<(), Failure> {
    let mut read = BytesMut::with_capacity(8192);
    loop {
        let length = loop {
            if let Some(length) = message_length(&read) {
                break length;
            }
            if stream.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
        };
        let request = read.split_to(length);
        if !contains(&request, b"\"stream\":true") {
            stream.write_all(answer).await?;
            continue;
        }
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(&[head, piece].concat()).await?;
        let is_slow = contains(&request, b"\"slow\":true");
        for _ in 1..PIECES {
            if is_slow {
                tokio::time::sleep(SLOW).await;
            }
            stream.write_all(piece).await?;
        }
        stream.write_all(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n").await?;
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    find(text, part).is_some()
}

// What client and provider take of the processor is missing to the gateway between them.
fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, part)
}

/// Bytes of the first message, head and body, if all of it is there.
fn message_length(read: &[u8]) -> Option<usize> {
    let head = find(read, b"\r\n\r\n")? + 4;
    let total = head + content_length(&read[..head]).unwrap_or(0);
    (read.len() >= total).then_some(total)
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"\r\ncontent-length:";
    let slowly = || head.windows(NAME.len()).position(|window| window.eq_ignore_ascii_case(NAME));
    let at = find(head, NAME).or_else(slowly)? + NAME.len();
    let end = find(&head[at..], b"\r\n")?;
    std::str::from_utf8(&head[at..at + end]).ok()?.trim().parse().ok()
}

async fn proxy(address: &str, upstream: String) -> Result<(), Failure> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let upstream: Arc<str> = upstream.into();
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(connector);
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (client, upstream) = (client.clone(), upstream.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| forward(client.clone(), upstream.clone(), request));
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn forward(
    client: Client<HttpConnector, Incoming>,
    upstream: Arc<str>,
    mut request: http::Request<Incoming>,
) -> Result<http::Response<Incoming>, hyper_util::client::legacy::Error> {
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = http::Uri::builder()
        .scheme("http")
        .authority(&*upstream)
        .path_and_query(path.unwrap_or_else(|| http::uri::PathAndQuery::from_static("/")))
        .build()
        .unwrap_or_default();
    request.headers_mut().remove(http::header::HOST);
    client.request(request).await
}

/// What one connection saw: microseconds to the first byte of each body and to its end.
#[derive(Default)]
struct Seen {
    first: Vec<f64>,
    total: Vec<f64>,
    errors: usize,
    error: Option<String>,
}

async fn load(address: &str, request: &[u8], connections: usize, seconds: f64) -> Result<(), Failure> {
    let request = Bytes::copy_from_slice(request);
    // The beginning, when connections are made and caches are cold, is not counted.
    let begin = Instant::now() + Duration::from_secs_f64(seconds.min(1.0));
    let end = begin + Duration::from_secs_f64(seconds);
    let tasks: Vec<_> = (0..connections)
        .map(|_| tokio::spawn(one_connection(address.to_owned(), request.clone(), begin, end)))
        .collect();
    let mut all = Seen::default();
    for task in tasks {
        let seen = task.await?;
        all.first.extend(seen.first);
        all.total.extend(seen.total);
        all.errors += seen.errors;
        all.error = all.error.or(seen.error);
    }
    let rate = all.total.len() as f64 / seconds;
    all.first.sort_by(f64::total_cmp);
    all.total.sort_by(f64::total_cmp);
    // `percent` of the values are not larger.
    let at = |values: &[f64], percent: usize| {
        let index = values.len().saturating_sub(1) * percent / 100;
        values.get(index).copied().unwrap_or(f64::NAN) / 1000.0
    };
    let figures = serde_json::json!({
        "requests": all.total.len(), "errors": all.errors, "error": all.error, "rate": rate,
        "p50_ms": at(&all.total, 50), "p99_ms": at(&all.total, 99),
        "first_p50_ms": at(&all.first, 50), "first_p99_ms": at(&all.first, 99),
    });
    println!("{figures}");
    Ok(())
}

async fn one_connection(address: String, request: Bytes, begin: Instant, end: Instant) -> Seen {
    let mut seen = Seen::default();
    let mut stream = None;
    while Instant::now() < end {
        let sent = Instant::now();
        match exchange(&mut stream, &address, &request).await {
            Ok(first) if sent >= begin => {
                seen.first.push((first - sent).as_secs_f64() * 1e6);
                seen.total.push(sent.elapsed().as_secs_f64() * 1e6);
            }
            Ok(_) => {}
            Err(error) => {
                stream = None;
                seen.errors += 1;
                seen.error = Some(error.to_string());
            }
        }
    }
    seen
}

/// Sends the request and reads the answer; when its body began.
async fn exchange(
    stream: &mut Option<(TcpStream, BytesMut)>,
    address: &str,
    request: &[u8],
) -> Result<Instant, Failure> {
    if stream.is_none() {
        let made = TcpStream::connect(address).await?;
        made.set_nodelay(true)?;
        *stream = Some((made, BytesMut::with_capacity(16384)));
    }
    let Some((socket, read)) = stream else { return Err("no connection".into()) };
    socket.write_all(request).await?;
    let head = loop {
        if let Some(head) = find(read, b"\r\n\r\n") {
            break head + 4;
        }
        more(socket, read).await?;
    };
    if !read.starts_with(b"HTTP/1.1 200") {
        return Err(String::from_utf8_lossy(&read[..read.len().min(300)]).into_owned().into());
    }
    let length = content_length(&read[..head]);
    while read.len() <= head && length != Some(0) {
        more(socket, read).await?;
    }
    let first = Instant::now();
    match length {
        Some(length) => {
            while read.len() < head + length {
                more(socket, read).await?;
            }
        }
        None => {
            while !read.ends_with(b"0\r\n\r\n") {
                more(socket, read).await?;
            }
        }
    }
    read.clear();
    Ok(first)
}

async fn more(socket: &mut TcpStream, read: &mut BytesMut) -> Result<(), Failure> {
    if socket.read_buf(read).await? == 0 { Err("the connection was closed".into()) } else { Ok(()) }
}

async fn hold(address: &str, request: &[u8], streams: usize, seconds: f64) -> Result<(), Failure> {
    let mut open = Vec::with_capacity(streams);
    for _ in 0..streams {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request).await?;
        open.push(stream);
    }
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let reading = open.into_iter().map(|mut stream| {
        tokio::spawn(async move {
            let (mut bytes, mut piece) = (0, [0; 4096]);
            while Instant::now() < until {
                match tokio::time::timeout_at(until.into(), stream.read(&mut piece)).await {
                    Ok(Ok(n)) if n > 0 => bytes += n,
                    Err(_) => return bytes,
                    _ => break,
                }
            }
            // It ended before its time.
            if Instant::now() < until { 0 } else { bytes }
        })
    });
    let tasks: Vec<_> = reading.collect();
    let mut alive = 0;
    for task in tasks {
        alive += usize::from(task.await? > 0);
    }
    println!("{}", serde_json::json!({"streams": streams, "alive": alive}));
    Ok(())
}
