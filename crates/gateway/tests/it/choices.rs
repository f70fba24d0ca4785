//! What a deployment decides beside its manifest: hedging, kept answers, limits, experiments, the guard's actions.

use llmops_domain::deployment::{CacheSettings, DeploymentSettings, LiveVariant};
use llmops_domain::limits::Limits;
use llmops_domain::record::CallOutcome;
use llmops_domain::soft_failure::{GuardAction, GuardConfig, SoftFailureKind};
use serde_json::{Value, json};

use crate::support::{ANSWER, Fixture, Provider, Step, deployment, header, json_response, split};

fn call(text: &str) -> Value {
    json!({"model": "bot", "messages": [{"role": "user", "content": text}]})
}

fn answering(text: &str) -> Vec<Step> {
    vec![Step::Send(json_response(200, "", &ANSWER.replace("Hello.", text))), Step::Close]
}

#[tokio::test]
async fn a_slow_provider_is_overtaken_where_the_deployment_hedges() {
    let mut slow = Provider::start(vec![vec![Step::UntilClosed]]).await;
    let fast = Provider::answering(ANSWER).await;
    let settings = DeploymentSettings {
        fallbacks: vec!["b/m".to_owned()],
        hedge_after: Some("20ms".parse().unwrap()),
        ..DeploymentSettings::default()
    };
    let bot = deployment("a/m", json!({}), settings);
    let prices = [("a/m", 1_000_000.0, 0.0), ("b/m", 0.0, 0.0)];
    let providers = [("a", &*slow.url), ("b", &fast.url)];
    let mut gateway = Fixture::start_with_prices(&providers, &prices, vec![bot]).await;
    assert_eq!(split(&gateway.chat(&call("hi")).await), (200, ANSWER));
    slow.was_closed().await;
    let record = gateway.record().await;
    let attempts: Vec<_> = record.attempts.iter().map(|attempt| (&*attempt.model, attempt.status)).collect();
    assert_eq!(attempts, [("a/m", None), ("b/m", Some(200))]);
    assert!(record.attempts[0].error.as_deref().unwrap().contains("given up"));
    assert_eq!(record.model, "b/m");
    // Both have read the question.
    assert_eq!((record.usage.prompt_tokens, record.usage_estimated, record.cost), (9 + 1, true, Some(1.0)));
}

#[tokio::test]
async fn equal_requests_are_answered_once_where_the_deployment_keeps_answers() {
    let provider = Provider::answering(ANSWER).await;
    let settings = DeploymentSettings { cache: Some(CacheSettings::default()), ..DeploymentSettings::default() };
    let mut gateway =
        Fixture::start(&[("local", &provider.url)], vec![deployment("local/m", json!({}), settings)]).await;
    for (text, expected, asked) in [("hi", "miss", 1), ("hi", "hit", 1), ("ho", "miss", 2)] {
        let answer = gateway.chat(&call(text)).await;
        assert_eq!(split(&answer), (200, ANSWER));
        assert_eq!(header(&answer, "x-llmops-cache").as_deref(), Some(expected), "{text}");
        assert_eq!(provider.requests().len(), asked);
        // The answer is kept when its record is made.
        let record = gateway.record().await;
        assert_eq!((record.cached, record.attempts.len()), (expected == "hit", usize::from(expected == "miss")));
        assert_eq!(record.model, "local/m", "{text}");
    }
}

#[tokio::test]
async fn kept_answers_stay_while_manifest_and_settings_do() {
    let provider = Provider::answering(ANSWER).await;
    let settings = DeploymentSettings { cache: Some(CacheSettings::default()), ..DeploymentSettings::default() };
    let bot = deployment("local/m", json!({}), settings.clone());
    let mut other = deployment("local/m", json!({"system": "Be brief."}), settings.clone());
    other.deployment.name = "other".to_owned();
    let stricter =
        DeploymentSettings { guard: GuardConfig { json: true, ..GuardConfig::default() }, ..settings.clone() };
    let mut gateway = Fixture::start(&[("local", &provider.url)], vec![bot.clone()]).await;
    for (deployments, expected) in [
        (vec![bot.clone()], "miss"),
        (vec![bot.clone()], "hit"),
        (vec![bot.clone(), other.clone()], "hit"),
        (vec![deployment("local/m", json!({"system": "Be kind."}), settings)], "miss"),
        (vec![bot, other], "miss"),
        (vec![deployment("local/m", json!({}), stricter)], "miss"),
    ] {
        gateway.deploy(deployments);
        let answer = gateway.chat(&call("hi")).await;
        assert_eq!(header(&answer, "x-llmops-cache").as_deref(), Some(expected));
        gateway.record().await;
    }
}

#[tokio::test]
async fn a_limit_refuses_in_the_format_of_the_door() {
    let provider = Provider::answering(ANSWER).await;
    let limits = Limits { requests_per_day: Some(2), ..Limits::default() };
    let settings = DeploymentSettings { limits, ..DeploymentSettings::default() };
    let mut gateway =
        Fixture::start(&[("local", &provider.url)], vec![deployment("local/m", json!({}), settings)]).await;
    for _ in 0..2 {
        assert_eq!(split(&gateway.chat(&call("hi")).await).0, 200);
        gateway.record().await;
    }
    let answer = gateway.chat(&call("hi")).await;
    let (status, body) = split(&answer);
    let error = &serde_json::from_str::<Value>(body).unwrap()["error"];
    assert_eq!(
        (status, &error["code"], &error["type"]),
        (429, &json!("rate_limit_exceeded"), &json!("rate_limit_error"))
    );
    assert_eq!(error["message"], "the limit of this deployment is used up: 2 requests in a day");
    assert!(header(&answer, "retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    let record = gateway.record().await;
    assert_eq!((record.outcome, record.deployment.as_deref()), (CallOutcome::Refused, Some("bot")));
    let answer = gateway.post("/v1/messages", "", &call("hi").to_string()).await;
    assert!(answer.contains(r#""type":"error""#), "{answer}");
    assert_eq!(provider.requests().len(), 2);
}

#[tokio::test]
async fn an_experiments_variant_answers_with_its_own_manifest() {
    let provider = Provider::answering(ANSWER).await;
    let settings = DeploymentSettings { experiment: Some("tone".to_owned()), ..DeploymentSettings::default() };
    let mut bot = deployment("local/m", json!({"system": "Be kind."}), settings.clone());
    let other = deployment("local/m", json!({"system": "Be brief."}), settings);
    let variant = |name: &str, of: &llmops_domain::deployment::LiveDeployment| LiveVariant {
        variant: name.to_owned(),
        manifest: of.manifest.clone(),
        manifest_id: of.manifest_id.clone(),
        prompt: of.prompt.clone(),
    };
    bot.variants = vec![variant("control", &bot), variant("brief", &other)];
    let (control, brief) = (bot.manifest_id.clone(), other.manifest_id.clone());
    let mut gateway = Fixture::start(&[("local", &provider.url)], vec![bot]).await;
    for (user, manifest, label, system) in [
        ("v0", &control, Some("tone/control"), "Be kind."),
        ("v1", &brief, Some("tone/brief"), "Be brief."),
        ("nobody", &control, None, "Be kind."),
    ] {
        let mut call = call("hi");
        call["user"] = json!(user);
        let answer = gateway.chat(&call).await;
        assert_eq!(header(&answer, "x-llmops-variant").as_deref(), label, "{user}");
        assert_eq!(header(&answer, "x-llmops-manifest").as_deref(), Some(manifest.as_str()));
        let record = gateway.record().await;
        assert_eq!((record.variant.as_deref(), record.manifest.as_ref()), (label, Some(manifest)));
        assert!(provider.requests().last().unwrap().contains(system), "{user}");
    }
}

fn guarded(actions: &[GuardAction]) -> DeploymentSettings {
    let guard = GuardConfig {
        forbidden: vec!["Hello".to_owned()],
        actions: actions.to_vec(),
        safe_answer: Some("Please call us.".to_owned()),
        ..GuardConfig::default()
    };
    DeploymentSettings { guard, fallbacks: vec!["b/m".to_owned()], ..DeploymentSettings::default() }
}

#[tokio::test]
async fn the_guard_acts_before_the_caller_has_the_answer() {
    use GuardAction::{FallBack, Replace, Retry};
    for (actions, answers, expected, header_value) in [
        (vec![], ["Hello", "Fine", "Good"], "Hello", None),
        (vec![Retry], ["Hello", "Fine", "Good"], "Fine", Some("retry")),
        (vec![FallBack], ["Hello", "Fine", "Good"], "Good", Some("fall_back")),
        (vec![Retry, FallBack], ["Hello", "Hello", "Good"], "Good", Some("retry, fall_back")),
        (vec![Replace], ["Hello", "Fine", "Good"], "Please call us.", Some("replace")),
        (vec![Retry, Replace], ["Hello", "Hello", "Good"], "Please call us.", Some("retry, replace")),
        (vec![Retry], ["Fine", "Hello", "Good"], "Fine", None),
    ] {
        let a = Provider::start(vec![answering(answers[0]), answering(answers[1])]).await;
        let b = Provider::start(vec![answering(answers[2])]).await;
        let bot = deployment("a/m", json!({}), guarded(&actions));
        let mut gateway = Fixture::start(&[("a", &a.url), ("b", &b.url)], vec![bot]).await;
        let answer = gateway.chat(&call("hi")).await;
        let body: Value = serde_json::from_str(split(&answer).1).unwrap();
        assert_eq!(body["choices"][0]["message"]["content"], expected, "{actions:?}");
        assert_eq!(header(&answer, "x-llmops-guard").as_deref(), header_value, "{actions:?}");
        let record = gateway.record().await;
        let failed = answers[0] == "Hello";
        assert_eq!(record.soft_failures.iter().any(|f| f.kind == SoftFailureKind::Forbidden), failed, "{actions:?}");
        assert_eq!(record.attempts.len(), a.requests().len() + b.requests().len());
        let answers_paid_for = record.attempts.len() as u64;
        assert_eq!(record.usage.prompt_tokens, 9 * answers_paid_for, "{actions:?}");
        if header_value.is_some_and(|value| value.ends_with("replace")) {
            assert_eq!(body["usage"]["prompt_tokens"], record.usage.prompt_tokens, "{actions:?}");
        }
    }
}

/// A provider that honours the key would repeat the answer that the guard does not want.
#[tokio::test]
async fn what_the_guard_asks_again_is_another_request() {
    let provider = Provider::start(vec![answering("Hello"), answering("Fine")]).await;
    let bot = deployment("a/m", json!({}), guarded(&[GuardAction::Retry]));
    let gateway = Fixture::start(&[("a", &provider.url), ("b", &provider.url)], vec![bot]).await;
    gateway.post("/v1/chat/completions", "idempotency-key: k1\r\n", &call("hi").to_string()).await;
    let keys: Vec<_> = provider.requests().iter().map(|request| header(request, "idempotency-key")).collect();
    assert_eq!(keys, [Some("k1".to_owned()), None]);
}

#[tokio::test]
async fn the_guard_reads_every_choice() {
    let two = r#"{"choices":[{"index":0,"message":{"content":"Fine"}},{"index":1,"message":{"content":"Hello"}}]}"#;
    let provider = Provider::answering(two).await;
    let bot = deployment("a/m", json!({}), guarded(&[GuardAction::Replace]));
    let mut gateway = Fixture::start(&[("a", &provider.url), ("b", &provider.url)], vec![bot]).await;
    let mut call = call("hi");
    call["n"] = json!(2);
    let answer = gateway.chat(&call).await;
    assert!(answer.contains("Please call us.") && !answer.contains("Hello"), "{answer}");
    let record = gateway.record().await;
    let found: Vec<_> = record.soft_failures.iter().map(|failure| failure.kind).collect();
    assert_eq!(found, [SoftFailureKind::Forbidden]);
}

fn reset() -> Vec<Step> {
    vec![Step::Close]
}

fn refusing(status: u16) -> Vec<Step> {
    vec![Step::Send(json_response(status, "", r#"{"error":{"message":"no"}}"#)), Step::Close]
}

#[tokio::test]
async fn an_action_in_vain_leaves_the_answer_that_is_there() {
    use GuardAction::{FallBack, Replace, Retry};
    for (actions, then, of_b, expected) in [
        (vec![Retry], reset(), reset(), "Hello"),
        (vec![Retry], refusing(500), refusing(400), "Hello"),
        (vec![FallBack], answering("Fine"), refusing(400), "Hello"),
        (vec![FallBack], answering("Fine"), refusing(401), "Hello"),
        (vec![Retry, Replace], reset(), reset(), "Please call us."),
    ] {
        let a = Provider::start(vec![answering("Hello"), then.clone()]).await;
        let b = Provider::start(vec![of_b.clone()]).await;
        let settings = DeploymentSettings { retries: 0, ..guarded(&actions) };
        let bot = deployment("a/m", json!({}), settings);
        let prices = [("a/m", 1.0, 1.0), ("b/m", 100.0, 100.0)];
        let mut gateway = Fixture::start_with_prices(&[("a", &a.url), ("b", &b.url)], &prices, vec![bot]).await;
        let answer = gateway.chat(&call("hi")).await;
        assert_eq!(split(&answer).0, 200, "{actions:?} {then:?}");
        assert!(answer.contains(expected), "{actions:?} {then:?}: {answer}");
        let record = gateway.record().await;
        assert_eq!((record.outcome, record.error.as_deref()), (CallOutcome::Ok, None), "{actions:?} {then:?}");
        assert_eq!((&*record.model, record.cost), ("a/m", Some(11e-6)), "{actions:?} {then:?}");
        assert_eq!(record.soft_failures.len(), 1, "{actions:?} {then:?}: {:?}", record.soft_failures);
    }
}

#[tokio::test]
async fn discarded_answers_cost_what_their_own_models_take() {
    let a = Provider::start(vec![answering("Hello")]).await;
    let b = Provider::start(vec![answering("Fine")]).await;
    let bot = deployment("a/m", json!({}), guarded(&[GuardAction::FallBack]));
    for (prices, expected) in [
        (vec![("a/m", 1.0, 10.0), ("b/m", 1000.0, 10_000.0)], Some(29_029e-6)),
        (vec![("b/m", 1000.0, 10_000.0)], Some(29_000e-6)),
        (vec![("a/m", 1.0, 10.0)], Some(29e-6)),
        (vec![], None),
    ] {
        let providers = [("a", &*a.url), ("b", &*b.url)];
        let mut gateway = Fixture::start_with_prices(&providers, &prices, vec![bot.clone()]).await;
        assert!(gateway.chat(&call("hi")).await.contains("Fine"), "{prices:?}");
        let cost = gateway.record().await.cost;
        let is_equal = match (cost, expected) {
            (Some(cost), Some(expected)) => (cost - expected).abs() < 1e-12,
            (cost, expected) => cost == expected,
        };
        assert!(is_equal, "{prices:?}: {cost:?}");
    }
}

#[tokio::test]
async fn the_manifests_steps_are_applied_to_whole_answers() {
    let provider = Provider::start(vec![answering(r"```json\n{}\n```")]).await;
    let prompt = json!({"post_processing": ["trim", "strip_fences"]});
    let guard = GuardConfig { json: true, ..GuardConfig::default() };
    let settings = DeploymentSettings { guard, ..DeploymentSettings::default() };
    let bot = deployment("local/m", prompt, settings);
    let mut gateway = Fixture::start(&[("local", &provider.url)], vec![bot]).await;
    let answer = gateway.chat(&call("hi")).await;
    assert_eq!(split(&answer), (200, &*ANSWER.replace("Hello.", "{}")));
    let record = gateway.record().await;
    assert_eq!((record.response_body.as_deref(), record.soft_failures), (Some("{}"), Vec::new()));
    let mut streamed = call("hi");
    streamed["stream"] = json!(true);
    assert_eq!(split(&gateway.chat(&streamed).await), (200, &*ANSWER.replace("Hello.", r"```json\n{}\n```")));
}

#[tokio::test]
async fn an_answer_that_a_step_does_not_fit_is_a_soft_failure() {
    for (actions, text, found) in [(vec![], "Hello", 2), (vec![GuardAction::Retry], "Fine", 2)] {
        let provider = Provider::start(vec![answering("Hello"), answering(r#"{\"a\": \"Fine\"}"#)]).await;
        let prompt = json!({"post_processing": [{"json_path": "$.a"}]});
        let settings = DeploymentSettings { fallbacks: Vec::new(), ..guarded(&actions) };
        let bot = deployment("local/m", prompt, settings);
        let mut gateway = Fixture::start(&[("local", &provider.url)], vec![bot]).await;
        assert_eq!(split(&gateway.chat(&call("hi")).await), (200, &*ANSWER.replace("Hello.", text)), "{actions:?}");
        let kinds: Vec<_> = gateway.record().await.soft_failures.iter().map(|failure| failure.kind).collect();
        assert!(kinds.contains(&SoftFailureKind::NotJson) && kinds.len() == found, "{actions:?}: {kinds:?}");
    }
}
