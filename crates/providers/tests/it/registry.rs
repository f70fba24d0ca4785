use std::collections::BTreeMap;
use std::path::Path;

use llmops_domain::chat::Usage;
use llmops_domain::config::providers::{
    CommandConfig, FaultRates, OutputsConfig, Price, ProviderConfig, RemoteConfig, SimulatorConfig,
};
use llmops_providers::Providers;

use crate::support::{limits, user};

fn configs() -> BTreeMap<String, ProviderConfig> {
    let simulator = SimulatorConfig { limits: limits(0), ..SimulatorConfig::default() };
    BTreeMap::from([
        ("openai".to_owned(), ProviderConfig::Openai(RemoteConfig::default())),
        ("sim".to_owned(), ProviderConfig::Simulator(simulator)),
        ("done".to_owned(), ProviderConfig::Outputs(OutputsConfig { path: "outputs.jsonl".to_owned() })),
    ])
}

fn registry() -> Providers {
    let price = |input, output| Price { input, output, ..Price::default() };
    let prices =
        [("openai/gpt-4o-mini", price(0.15, 0.6)), ("openai/*", price(1.0, 2.0)), ("sim/a/b", price(3.0, 0.0))];
    let prices = prices.into_iter().map(|(name, price)| (name.to_owned(), price)).collect();
    Providers::new(&configs(), &prices, Path::new("/nowhere")).unwrap()
}

#[test]
fn names_resolve() {
    let target = registry().resolve("openai/org/model:free").unwrap();
    assert_eq!((target.provider(), target.model()), ("openai", "org/model:free"));
    assert_eq!((target.is_cacheable(), target.max_concurrency()), (true, Some(16)));
    assert_eq!(target.fingerprint(), "openai https://api.openai.com/v1 ");
    let done = registry().resolve("done/x").unwrap();
    assert_eq!((done.is_cacheable(), done.max_concurrency()), (false, None));
    assert_eq!(format!("{:?} {done:?}", registry()), r#"Providers(["done", "openai", "sim"]) Target(done/x)"#);

    let error = |name: &str| registry().resolve(name).unwrap_err().to_string();
    insta::assert_snapshot!(error("opanai/gpt"), @"`opanai/gpt`: there is no provider `opanai`; did you mean openai/gpt?");
    insta::assert_snapshot!(error("anthropic/claude"), @"`anthropic/claude`: there is no provider `anthropic`; the configured providers are done, openai, sim");
    insta::assert_snapshot!(error("gpt-4o"), @"`gpt-4o` names no model: write provider/model; the configured providers are done, openai, sim");
    insta::assert_snapshot!(error("openai/"), @"`openai/` names no model: write provider/model; the configured providers are done, openai, sim");
}

#[test]
fn costs() {
    let usage = Usage::new(1_000_000, 500_000);
    let cost = |name: &str| registry().resolve(name).unwrap().cost(usage);
    assert_eq!(cost("openai/gpt-4o-mini"), Some(0.45));
    assert_eq!(cost("openai/other"), Some(2.0));
    assert_eq!(cost("sim/a/b"), Some(3.0));
    assert_eq!(cost("sim/a"), None);
}

#[tokio::test]
async fn the_model_of_the_target_is_asked() {
    let providers = registry();
    let target = providers.resolve("sim/a/b").unwrap();
    let answer = providers.chat(&target, &user("Hello there")).await.unwrap();
    assert_eq!((answer.response.model.as_str(), answer.attempts), ("a/b", 1));
    let tokens = answer.response.usage.prompt_tokens;
    assert_eq!(answer.cost, Some(tokens as f64 * 3.0 / 1e6));
    assert!(providers.check(&target).await.is_ok());
}

#[tokio::test]
async fn what_is_missing_fails_when_it_is_used() {
    let providers = registry();
    let done = providers.resolve("done/x").unwrap();
    let error = providers.check(&done).await.unwrap_err().to_string();
    assert!(error.starts_with("providers.done: cannot read the outputs outputs.jsonl: "), "{error}");

    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("outputs.jsonl"), "{\"id\": \"1\", \"output\": \"o\"}\n").unwrap();
    let providers = Providers::new(&configs(), &BTreeMap::new(), dir.path()).unwrap();
    let done = providers.resolve("done/x").unwrap();
    assert_eq!(providers.check(&done).await.unwrap().attempts, 0);
    let mut request = user("x");
    request.origin.sample_id = Some("1".to_owned());
    assert_eq!(providers.chat(&done, &request).await.unwrap().response.text, "o");
}

#[test]
fn all_problems_at_once() {
    let mut wrong = configs();
    let faults = FaultRates { hang: 0.7, cut: 0.7, ..FaultRates::default() };
    let simulator = SimulatorConfig { quality: 1.5, faults, latency_sigma: f64::NAN, ..SimulatorConfig::default() };
    wrong.insert("a/b".to_owned(), ProviderConfig::Simulator(simulator));
    let mut none = limits(0);
    none.max_concurrency = 0;
    let command = CommandConfig { run: Vec::new(), env: BTreeMap::new(), cwd: None, limits: none };
    wrong.insert("bot".to_owned(), ProviderConfig::Command(command));
    let error = Providers::new(&wrong, &BTreeMap::new(), Path::new("/")).unwrap_err();
    insta::assert_snapshot!(error, @"
    providers.a/b: a provider's name must not be empty or have a slash
    providers.a/b: `quality` is 1.5; it must lie between 0 and 1
    providers.a/b: the shares of `faults` sum to 1.4; together they must be at most 1
    providers.a/b: `latency_sigma` is NaN; it must lie between 0 and 5
    providers.bot: `max_concurrency` must be at least 1
    providers.bot: `run` names no program
    ");
}
