//! Measures the client against a trivial server and the simulator's server under the client.
//!
//! `cargo run --release -p llmops-providers --example throughput [REQUESTS]`

#![expect(clippy::print_stdout, reason = "the numbers are what this program is for")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use llmops_domain::chat::{ChatRequest, Message, Parameters, RequestOrigin, Role};
use llmops_domain::config::providers::{CallLimits, ProviderConfig, RemoteConfig, SimulatorConfig};
use llmops_providers::Providers;
use llmops_providers::simulator::server::{ServerOptions, serve};
use llmops_providers::simulator::{Script, Simulator};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const CONNECTIONS: u32 = 16;

const REPLY: &str = "{\"id\":\"x\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\
\"message\":{\"role\":\"assistant\",\"content\":\"It is forty-two.\"},\"finish_reason\":\"stop\"}],\
\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":5,\"total_tokens\":25}}";

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Error> {
    let requests: u32 = std::env::args().nth(1).map_or(Ok(200_000), |text| text.parse())?;
    let trivial = in_thread(|listener| async move {
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer_blindly(stream));
            }
        }
    })?;
    measure("client, trivial server", &trivial, requests)?;
    let simulator = Simulator::new(SimulatorConfig::default(), Script::default())?;
    let simulated = in_thread(|listener| async move {
        let options = ServerOptions { simulator, request_log: None };
        if let Err(error) = serve(listener, options, std::future::pending()).await {
            println!("the server failed: {error}");
        }
    })?;
    measure("client, simulator's server", &simulated, requests)
}

/// Runs a server in a thread of its own and gives its address.
fn in_thread<F: Future<Output = ()>>(server: impl FnOnce(TcpListener) -> F + Send + 'static) -> Result<String, Error> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let url = format!("http://{}/v1", listener.local_addr()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async move {
            match TcpListener::from_std(listener) {
                Ok(listener) => server(listener).await,
                Err(error) => println!("the server failed: {error}"),
            }
        });
    });
    Ok(url)
}

/// Answers whatever ends in `}` at once.
async fn answer_blindly(mut stream: TcpStream) {
    let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{REPLY}", REPLY.len());
    let mut buffer = vec![0; 8192];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if buffer[..count].ends_with(b"}") && stream.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn measure(name: &str, url: &str, requests: u32) -> Result<(), Error> {
    let limits = CallLimits { max_concurrency: CONNECTIONS, ..CallLimits::default() };
    let remote = RemoteConfig { base_url: Some(url.to_owned()), limits, ..RemoteConfig::default() };
    let configs = BTreeMap::from([("p".to_owned(), ProviderConfig::Openai(remote))]);
    let providers = Providers::new(&configs, &BTreeMap::new(), Path::new("."))?;
    let target = providers.resolve("p/m")?;
    let request = ChatRequest {
        model: "m".to_owned(),
        messages: vec![
            Message::text(Role::System, "You are a careful assistant."),
            Message::text(Role::User, "What is the meaning of life, the universe and everything?"),
        ],
        parameters: Parameters { temperature: Some(0.0), max_tokens: Some(100), ..Parameters::default() },
        tools: Vec::new(),
        response_format: None,
        origin: RequestOrigin::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (started, cpu) = (Instant::now(), cpu_seconds());
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (target, request) = (target.clone(), request.clone());
            tasks.spawn(async move {
                for _ in 0..requests / CONNECTIONS {
                    target.chat(&request).await?;
                }
                Ok::<_, llmops_providers::ProviderError>(())
            });
        }
        while let Some(task) = tasks.join_next().await {
            task??;
        }
        Ok::<_, Error>(())
    })?;
    let rate = f64::from(requests) / started.elapsed().as_secs_f64();
    print!("{name}, {CONNECTIONS} connections: {rate:.0} requests/s");
    match (cpu, cpu_seconds()) {
        (Some((client, server)), Some((client_after, server_after))) => {
            let per_second = |seconds: f64| f64::from(requests) / seconds;
            println!(
                "; per second of CPU time: client {:.0}, server {:.0}",
                per_second(client_after - client),
                per_second(server_after - server)
            );
        }
        _ => println!(),
    }
    Ok(())
}

/// CPU time of this thread and of all others of this process, where the system tells it.
fn cpu_seconds() -> Option<(f64, f64)> {
    let seconds = |path: &Path| {
        let text = std::fs::read_to_string(path).ok()?;
        Some(text.split(' ').next()?.parse::<f64>().ok()? / 1e9)
    };
    let own = seconds(Path::new("/proc/thread-self/schedstat"))?;
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let all: f64 = tasks.filter_map(|task| seconds(&task.ok()?.path().join("schedstat"))).sum();
    Some((own, all - own))
}
