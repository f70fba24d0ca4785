//! `llmops simulate`: a simulated model provider that speaks OpenAI's wire format.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use llmops_domain::config::duration::HumanDuration;
use llmops_domain::config::providers::{FaultRates, SimulatedJudge, SimulatorConfig};
use llmops_providers::simulator::Simulator;
use llmops_providers::simulator::server::{self, ServerOptions};

use super::Context;
use super::serve::shutdown;
use crate::failure::{Failure, Kind, Outcome};

/// A simulated model provider that speaks OpenAI's wire format: for trying things out offline, and for tests.
///
/// Everything it does is a function of the seed and the request.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// The port; 0 takes a free one
    #[arg(long, default_value_t = 9100)]
    port: u16,
    /// The address
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Answers: JSONL with lines {"input": …, "answer": …}; else answers are made by rule
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Share of good answers; the others are wrong, truncated, refused, empty or malformed
    #[arg(long, default_value_t = 1.0, value_parser = share)]
    quality: f64,
    /// Time to answer, such as 250ms
    #[arg(long)]
    latency: Option<HumanDuration>,
    /// Spread of a log-normal latency around --latency (0: fixed)
    #[arg(long, default_value_t = 0.0)]
    latency_sigma: f64,
    /// Share of 429 answers with Retry-After
    #[arg(long, default_value_t = 0.0, value_parser = share, help_heading = "Faults")]
    rate_limit: f64,
    /// Share of 500 answers
    #[arg(long, default_value_t = 0.0, value_parser = share, help_heading = "Faults")]
    server_error: f64,
    /// Share of requests that are never answered
    #[arg(long, default_value_t = 0.0, value_parser = share, help_heading = "Faults")]
    hang: f64,
    /// Share of answers that are cut off
    #[arg(long, default_value_t = 0.0, value_parser = share, help_heading = "Faults")]
    cut: f64,
    /// Share of answers that are not JSON
    #[arg(long, default_value_t = 0.0, value_parser = share, help_heading = "Faults")]
    garbage: f64,
    /// Share of connections that are closed before an answer
    #[arg(long, default_value_t = 0.0, value_parser = share, help_heading = "Faults")]
    reset: f64,
    /// Share of answers that arrive byte by byte
    #[arg(long, default_value_t = 0.0, value_parser = share, help_heading = "Faults")]
    drip: f64,
    /// What a 429 asks to wait
    #[arg(long, default_value = "1s", help_heading = "Faults")]
    retry_after: HumanDuration,
    /// How a model judges, as [MODEL:]KEY=VALUE[,KEY=VALUE…]; without MODEL, every model that is not named
    ///
    /// Keys: mode (honest, liar, broken), bias, noise, score, position_bias, sway. Such as --judge bias=0.2 --judge
    /// liar:mode=liar --judge stubborn:score=0.9. May be given more than once.
    #[arg(long, value_name = "CHARACTER", value_parser = character, help_heading = "Judging")]
    judge: Vec<Character>,
    /// Append one JSON line per request to this file
    #[arg(long, value_name = "FILE")]
    request_log: Option<PathBuf>,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a share from 0 to 1".to_owned()),
    }
}

/// How one model judges, or all of them.
#[derive(Debug, Clone)]
struct Character {
    model: Option<String>,
    judge: SimulatedJudge,
}

/// Reads `[MODEL:]KEY=VALUE,…`. A value is what it would be in the configuration, and so are the messages.
fn character(text: &str) -> Result<Character, String> {
    let (model, settings) = match text.split_once(':') {
        Some((model, settings)) if !model.contains('=') => (Some(model.trim().to_owned()), settings),
        _ => (None, text),
    };
    let mut judge = serde_json::Map::new();
    for setting in settings.split(',') {
        let (key, value) = setting
            .split_once('=')
            .ok_or_else(|| format!("expected KEY=VALUE, such as bias=0.2, found `{setting}`"))?;
        let value = value.trim();
        let value = serde_json::from_str(value).unwrap_or_else(|_| serde_json::Value::from(value));
        judge.insert(key.trim().to_owned(), value);
    }
    let judge = serde_json::from_value(serde_json::Value::Object(judge)).map_err(|e| e.to_string())?;
    Ok(Character { model, judge })
}

/// Runs the command until Ctrl-C or SIGTERM.
pub(crate) async fn run(context: &Context, args: SimulateArgs) -> Outcome {
    let faults = FaultRates {
        rate_limit: args.rate_limit,
        server_error: args.server_error,
        hang: args.hang,
        cut: args.cut,
        garbage: args.garbage,
        reset: args.reset,
        drip: args.drip,
    };
    let mut config = SimulatorConfig {
        script: args.script.map(|path| path.to_string_lossy().into_owned()),
        seed: args.seed,
        quality: args.quality,
        latency: args.latency,
        latency_sigma: args.latency_sigma,
        faults,
        retry_after: args.retry_after,
        ..SimulatorConfig::default()
    };
    for Character { model, judge } in args.judge {
        match model {
            Some(model) => drop(config.judges.insert(model, judge)),
            None => config.judge = judge,
        }
    }
    let simulator = Simulator::load(config, std::path::Path::new(""))
        .map_err(|e| Failure::because(Kind::Usage, "the simulator cannot be set up", &e))?;
    let address = SocketAddr::new(args.host, args.port);
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|e| Failure::because(Kind::Undecided, format!("cannot listen on {address}"), &e))?;
    let address = listener.local_addr().map_err(|e| Failure::because(Kind::Undecided, "no address", &e))?;
    context.note(&format!("simulated provider at http://{address}/v1; Ctrl-C stops it"));
    let options = ServerOptions { simulator, request_log: args.request_log };
    server::serve(listener, options, shutdown())
        .await
        .map_err(|e| Failure::because(Kind::Undecided, "the simulator stopped", &e))
}
