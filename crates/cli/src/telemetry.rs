//! Traces of servers and workers: what the configuration and OpenTelemetry's variables say.

use llmops::telemetry::{Collector, Telemetry};
use llmops_domain::config::TelemetryConfig;

use crate::failure::{Failure, Outcome};

/// Starts to send traces, where a collector is named.
pub(crate) fn start(config: &TelemetryConfig) -> Outcome<Telemetry> {
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if env("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(Telemetry::default());
    }
    let Some(collector) = collector(config, env)? else { return Ok(Telemetry::default()) };
    Ok(Telemetry::start(collector, config.sample_ratio))
}

/// The collector, if one is named: the variables come before the configuration, and the one for traces before the general one.
fn collector(config: &TelemetryConfig, env: impl Fn(&str) -> Option<String>) -> Outcome<Option<Collector>> {
    let general = env("OTEL_EXPORTER_OTLP_ENDPOINT").or_else(|| config.endpoint.clone());
    let general = general.map(|base| format!("{}/v1/traces", base.trim_end_matches('/')));
    let Some(url) = env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or(general) else { return Ok(None) };
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(Failure::usage("the collector's address is none: expected http://HOST:4318 or https://…")
            .hint("see `telemetry.endpoint` and OTEL_EXPORTER_OTLP_ENDPOINT; traces are sent over HTTP, not gRPC"));
    }
    let mut headers = config.headers.clone();
    let given = env("OTEL_EXPORTER_OTLP_TRACES_HEADERS").or_else(|| env("OTEL_EXPORTER_OTLP_HEADERS"));
    for pair in given.iter().flat_map(|pairs| pairs.split(',')) {
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            Failure::usage("OTEL_EXPORTER_OTLP_HEADERS: expected NAME=VALUE with commas between them")
        })?;
        headers.insert(name.trim().to_lowercase(), decoded(value.trim()));
    }
    let service_name = env("OTEL_SERVICE_NAME").unwrap_or_else(|| config.service_name.clone());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let instance = format!("{}:{}", host.trim(), std::process::id());
    Ok(Some(Collector { url, headers, service_name, instance }))
}

/// Values of the variable are percent-encoded.
fn decoded(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = value.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match digits {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_come_before_the_configuration() {
        let check = |config: Option<&str>, env: &[(&str, &str)], expected: Option<&str>| {
            let config = TelemetryConfig { endpoint: config.map(str::to_owned), ..TelemetryConfig::default() };
            let env = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
            assert_eq!(collector(&config, env).unwrap().map(|c| c.url).as_deref(), expected);
        };
        check(None, &[], None);
        check(Some("http://c:4318/"), &[], Some("http://c:4318/v1/traces"));
        check(Some("http://c:4318"), &[("OTEL_EXPORTER_OTLP_ENDPOINT", "https://d")], Some("https://d/v1/traces"));
        let both = [("OTEL_EXPORTER_OTLP_ENDPOINT", "https://d"), ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://e/x")];
        check(None, &both, Some("http://e/x"));
        let wrong = TelemetryConfig { endpoint: Some("c:4317".to_owned()), ..TelemetryConfig::default() };
        assert!(collector(&wrong, |_| None).is_err());
    }

    #[test]
    fn headers_are_decoded() {
        let config = TelemetryConfig { endpoint: Some("http://c".to_owned()), ..TelemetryConfig::default() };
        let env = |name: &str| (name == "OTEL_EXPORTER_OTLP_HEADERS").then(|| "Api-Key=a%20b%3D, x=1%".to_owned());
        let headers = collector(&config, env).unwrap().unwrap().headers;
        assert_eq!((headers["api-key"].as_str(), headers["x"].as_str()), ("a b=", "1%"));
    }
}
