//! What a deployment decides.

use llmops_domain::deployment::{DeploymentSettings, SystemMerge};
use llmops_domain::record::{BodyPolicy, CallOutcome};
use llmops_domain::soft_failure::{GuardAction, GuardConfig, SoftFailureKind};
use serde_json::{Value, json};

use crate::support::{ANSWER, Fixture, Provider, deployment, header, split};

/// The body that a provider gets for a call of a deployment, or the gateway's refusal.
async fn forwarded(prompt: Value, settings: DeploymentSettings, call: Value) -> Value {
    let provider = Provider::answering(ANSWER).await;
    let gateway = Fixture::start(&[("local", &provider.url)], vec![deployment("local/m", prompt, settings)]).await;
    let answer = gateway.chat(&call).await;
    match split(&answer) {
        (200, _) => serde_json::from_str(&provider.body()).unwrap(),
        (status, body) => {
            json!({"status": status, "error": serde_json::from_str::<Value>(body).unwrap()["error"]["message"]})
        }
    }
}

fn said(role: &str, content: &str) -> Value {
    json!({"role": role, "content": content})
}

#[tokio::test]
async fn its_messages_stand_before_the_callers() {
    let prompt = json!({"system": "Be kind.", "examples": [{"input": "a", "output": "b"}]});
    let call = json!({"model": "bot", "messages": [said("system", "Be brief."), said("user", "hi")]});
    let all = forwarded(prompt.clone(), DeploymentSettings::default(), call.clone()).await;
    let expected = [("system", "Be kind."), ("user", "a"), ("assistant", "b"), ("system", "Be brief."), ("user", "hi")];
    assert_eq!(all["messages"], Value::from(expected.map(|(role, content)| said(role, content)).to_vec()));

    let replace = DeploymentSettings { merge: SystemMerge::Replace, ..DeploymentSettings::default() };
    let replaced = forwarded(prompt.clone(), replace.clone(), call.clone()).await;
    assert_eq!(replaced["messages"].as_array().unwrap().len(), 4);
    let bare = forwarded(json!({}), replace, call.clone()).await;
    assert_eq!(bare["messages"].as_array().unwrap().len(), 2, "nothing replaces it");

    let refuse = DeploymentSettings { merge: SystemMerge::Refuse, ..DeploymentSettings::default() };
    let refused = forwarded(prompt, refuse, call).await;
    assert_eq!(refused, json!({"status": 400, "error": "the deployment `bot` takes no system message of its callers"}));
}

#[tokio::test]
async fn variables_fill_its_template() {
    let prompt = json!({
        "content": "Review this {{language}} code: {{input}}",
        "variables": [{"name": "language", "required": true}],
    });
    let call = |variables: Value| {
        json!({
            "model": "bot",
            "messages": [said("user", "earlier"), said("assistant", "yes"), said("user", "x = {{1}}")],
            "llmops": {"variables": variables},
        })
    };
    let wrapped = forwarded(prompt.clone(), DeploymentSettings::default(), call(json!({"language": "Go"}))).await;
    let expected = [("user", "earlier"), ("assistant", "yes"), ("user", "Review this Go code: x = {{1}}")];
    assert_eq!(wrapped["messages"], Value::from(expected.map(|(role, content)| said(role, content)).to_vec()));
    assert!(wrapped.get("llmops").is_none());
    let missing = forwarded(prompt, DeploymentSettings::default(), call(json!({}))).await;
    assert!(missing["error"].as_str().unwrap().contains("language"), "{missing}");
}

#[tokio::test]
async fn a_template_wraps_what_is_said_in_parts() {
    let text = |text: &str| json!({"type": "text", "text": text});
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,aaaa"}});
    let result = json!({"type": "tool_result", "tool_use_id": "t1", "content": "x"});
    let check = async |prompt: &Value, content: Value, expected: Value| {
        for (model, path) in [("local/m", "/v1/chat/completions"), ("anthropic/m", "/v1/messages")] {
            let provider = Provider::answering(ANSWER).await;
            let bot = deployment(model, prompt.clone(), DeploymentSettings::default());
            let name = model.split_once('/').unwrap().0;
            let gateway = Fixture::start(&[(name, &provider.url)], vec![bot]).await;
            let call = json!({"model": "bot", "max_tokens": 5, "messages": [{"role": "user", "content": content}]});
            gateway.post(path, "", &call.to_string()).await;
            let sent: Value = serde_json::from_str(&provider.body()).unwrap();
            let messages: Vec<_> =
                sent["messages"].as_array().unwrap().iter().filter(|m| m["role"] == "user").collect();
            let contents: Vec<_> = messages.iter().map(|message| message["content"].clone()).collect();
            assert_eq!(Value::from(contents), expected, "{path} {content}");
        }
    };
    let prompt = json!({"content": "Q: {{ input }}"});
    check(&prompt, json!([text("Where?")]), json!([[text("Q: Where?")]])).await;
    check(&prompt, json!([text("Where"), text(" is it?")]), json!([[text("Q: Where"), text(" is it?")]])).await;
    check(&prompt, json!([image, text("Where?")]), json!([[image, text("Q: Where?")]])).await;
    check(&prompt, json!([image]), json!([[text("Q: "), image]])).await;
    let marked = json!({"type": "text", "text": "A", "cache_control": {"type": "ephemeral"}});
    let album = json!([marked, image, text("B"), image]);
    check(&json!({"content": "{{ input }}"}), album.clone(), json!([album])).await;
    let mut quoted = album.clone();
    (quoted[0]["text"], quoted[2]["text"]) = ("<A".into(), "B>".into());
    check(&json!({"content": "<{{ input }}>"}), album.clone(), json!([quoted])).await;
    let mut twice = album.clone();
    (twice[0]["text"], twice[2]["text"]) = ("A\nB or A".into(), "B".into());
    check(&json!({"content": "{{ input }} or {{ input }}"}), album.clone(), json!([twice])).await;
    // Where the texts are not what they were, what they became stands in the place of the last one.
    check(&json!({"content": "{{ input | lower }}"}), album, json!([[image, text("a\nb"), image]])).await;
    let among = json!([text("Look:"), text("Q: {{ input }}."), text("Now!")]);
    let among = json!({"messages": [{"role": "user", "content": among}]});
    check(&among, json!([image, text("A")]), json!([[text("Look:"), image, text("Q: A."), text("Now!")]])).await;
    check(&among, json!("A"), json!([[text("Look:"), text("Q: A."), text("Now!")]])).await;
    check(&prompt, json!([text("And?"), result]), json!([[text("And?"), result]])).await;
    check(&json!({"content": "{{ input }}"}), json!([image]), json!([[image]])).await;
    check(&json!({"system": "Of {{ input }}."}), json!([text("a"), image]), json!([[image]])).await;
    check(&json!({"system": "Be kind."}), json!([text("a"), image]), json!([[text("a"), image]])).await;
}

#[tokio::test]
async fn what_else_a_message_says_stays_where_a_template_wraps_it() {
    let check = async |content: &str, expected: &str| {
        let provider = Provider::answering(ANSWER).await;
        let bot = deployment("local/m", json!({ "content": content }), DeploymentSettings::default());
        let gateway = Fixture::start(&[("local", &provider.url)], vec![bot]).await;
        let call = r#"{"model":"bot","messages":[{"role":"user","name":"ana","content":"h\u00e9","x":1.0}]}"#;
        gateway.post("/v1/chat/completions", "", call).await;
        assert!(provider.body().contains(expected), "{content}: {}", provider.body());
    };
    check("{{ input }}", r#""messages":[{"role":"user","name":"ana","content":"h\u00e9","x":1.0}]"#).await;
    check("Q: {{ input }}", r#""messages":[{"role":"user","name":"ana","content":"Q: hé","x":1.0}]"#).await;
}

#[tokio::test]
async fn nothing_is_asked_in_the_name_of_a_user_who_says_nothing() {
    let check = async |messages: Value, expected: Value| {
        let prompt = json!({"system": "Be kind.", "content": "Q: {{ input }}"});
        let call = json!({"model": "bot", "messages": messages});
        let sent = forwarded(prompt, DeploymentSettings::default(), call).await;
        assert_eq!(sent["messages"], expected, "{messages}");
    };
    let greeting = said("assistant", "How can I help?");
    check(json!([greeting]), json!([said("system", "Be kind."), greeting])).await;
    let result = json!({"role": "tool", "tool_call_id": "c1", "content": "no"});
    check(json!([result]), json!([said("system", "Be kind."), result])).await;
    check(json!([]), json!([said("system", "Be kind."), said("user", "Q: ")])).await;
}

/// In the rounds of an agent the question is where it was, wrapped as it was: no message is made up, and none is empty.
#[tokio::test]
async fn a_template_wraps_the_question_in_every_round_of_tools() {
    let call = json!({"id": "c1", "type": "function", "function": {"name": "rain", "arguments": "{}"}});
    let openai = json!([
        said("user", "Rain?"),
        {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "no"},
    ]);
    let anthropic = json!([
        said("user", "Rain?"),
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "rain", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "no"}]},
    ]);
    let prefilled = json!([said("user", "Rain?"), said("assistant", "{")]);
    for (model, path, messages) in [
        ("local/m", "/v1/chat/completions", &openai),
        ("anthropic/m", "/v1/messages", &anthropic),
        ("anthropic/m", "/v1/messages", &prefilled),
    ] {
        for (content, question) in [("{{ input }}", "Rain?"), ("Q: {{ input }}", "Q: Rain?")] {
            let provider = Provider::answering(ANSWER).await;
            let bot = deployment(model, json!({ "content": content }), DeploymentSettings::default());
            let gateway = Fixture::start(&[(model.split_once('/').unwrap().0, &provider.url)], vec![bot]).await;
            let call = json!({"model": "bot", "max_tokens": 5, "messages": messages});
            gateway.post(path, "", &call.to_string()).await;
            let sent: Value = serde_json::from_str(&provider.body()).unwrap();
            let mut expected = messages.clone();
            expected[0]["content"] = question.into();
            assert_eq!(sent["messages"], expected, "{path} {content}");
        }
    }
}

#[tokio::test]
async fn its_parameters_win_unless_it_allows_otherwise() {
    let prompt = json!({"parameters": {"temperature": 0.0, "max_tokens": 100, "extra_body": {"service_tier": "flex"}}});
    let call = json!({
        "model": "bot", "messages": [said("user", "hi")],
        "temperature": 1.5, "max_completion_tokens": 9, "service_tier": "auto", "top_k": 5, "tools": [],
    });
    let strict = forwarded(prompt.clone(), DeploymentSettings::default(), call.clone()).await;
    assert_eq!(strict["temperature"], 0.0);
    assert_eq!(strict["max_tokens"], 100);
    assert!(strict.get("max_completion_tokens").is_none(), "it would contradict max_tokens");
    assert_eq!(strict["service_tier"], "flex");
    assert_eq!((&strict["top_k"], &strict["tools"]), (&json!(5), &json!([])), "what is left open is the caller's");

    let allow = ["temperature", "max_tokens"].map(str::to_owned).to_vec();
    let lenient = DeploymentSettings { allow_override: allow, ..DeploymentSettings::default() };
    let overridden = forwarded(prompt, lenient, call).await;
    assert_eq!(overridden["temperature"], 1.5);
    assert_eq!(overridden["max_completion_tokens"], 9);
    assert!(overridden.get("max_tokens").is_none());
}

#[tokio::test]
async fn what_nobody_chose_is_the_callers() {
    let check = async |door: &str, prompt: Value, theirs: Value, expected: Value| {
        let provider = Provider::answering(ANSWER).await;
        let (name, path) =
            if door == "messages" { ("anthropic", "/v1/messages") } else { ("local", "/v1/chat/completions") };
        let mut bot = deployment(&format!("{name}/m"), prompt, DeploymentSettings::default());
        // As a manifest is resolved.
        bot.manifest.parameters.temperature.get_or_insert(0.0);
        let gateway = Fixture::start(&[(name, &provider.url)], vec![bot]).await;
        let mut call = json!({"model": "bot", "messages": [said("user", "hi")]});
        call.as_object_mut().unwrap().extend(theirs.as_object().unwrap().clone());
        gateway.post(path, "", &call.to_string()).await;
        let sent = provider.body();
        let mut sent: Value = serde_json::from_str(&sent).unwrap_or_else(|error| panic!("{error}: {sent}"));
        sent.as_object_mut().unwrap().retain(|name, _| name != "model" && name != "messages");
        assert_eq!(sent, expected, "{door} {theirs}");
    };
    check("messages", json!({}), json!({}), json!({"temperature": 0.0, "max_tokens": 4096})).await;
    let theirs = json!({"max_tokens": 17, "temperature": 0.9});
    check("messages", json!({}), theirs.clone(), theirs).await;
    let thinks = json!({"max_tokens": 17, "thinking": {"type": "enabled", "budget_tokens": 1024}});
    check("messages", json!({}), thinks.clone(), thinks).await;
    let prompt = json!({"parameters": {"temperature": 0.0, "max_tokens": 8}});
    let theirs = json!({"max_tokens": 17, "temperature": 0.9});
    check("messages", prompt, theirs, json!({"temperature": 0.0, "max_tokens": 8})).await;
    check("chat", json!({}), json!({}), json!({"temperature": 0.0})).await;
    check("chat", json!({}), json!({"temperature": null}), json!({"temperature": 0.0})).await;
    check("chat", json!({}), json!({"temperature": 1.0}), json!({"temperature": 1.0})).await;
    check("chat", json!({}), json!({"top_p": 0.5}), json!({"top_p": 0.5})).await;
}

#[tokio::test]
async fn system_texts_apart_are_joined_as_they_were_written() {
    let check = async |theirs: &str, expected: &str| {
        let provider = Provider::answering(ANSWER).await;
        let bot = deployment("anthropic/m", json!({"system": "Be kind."}), DeploymentSettings::default());
        let gateway = Fixture::start(&[("anthropic", &provider.url)], vec![bot]).await;
        let body = format!(r#"{{"model":"bot","max_tokens":1,"messages":[{{"role":"user","content":"a"}}]{theirs}}}"#);
        let answer = gateway.post("/v1/messages", "", &body).await;
        let requests = provider.requests();
        let sent = requests.first().map_or(&*answer, |request| request.as_str());
        assert!(sent.contains(expected), "{theirs}: {sent}");
    };
    check("", r#""system":"Be kind.","#).await;
    check(r#","system":"Be brief.""#, r#""system":"Be kind.\n\nBe brief.","#).await;
    check(
        r#","system":[{"type":"text","text":"S", "cache_control":{"type":"ephemeral"}}]"#,
        r#""system":[{"type":"text","text":"Be kind."},{"type":"text","text":"S", "cache_control":{"type":"ephemeral"}}],"#,
    )
    .await;
    check(r#","system":3"#, "`system`: expected a text or a list of text blocks").await;
}

/// A tool that stands for a schema would be a stranger to the caller, whose own tools it would displace.
#[tokio::test]
async fn a_schema_is_said_in_the_system_text_where_anthropics_format_is_forwarded() {
    let check = async |format: &Value, theirs: &str, expected: &str| {
        let provider = Provider::answering(ANSWER).await;
        let mut bot = deployment("anthropic/m", json!({}), DeploymentSettings::default());
        bot.manifest.response_format = Some(format.clone());
        let gateway = Fixture::start(&[("anthropic", &provider.url)], vec![bot]).await;
        let tools = r#"[{"name":"mine","input_schema":{"type":"object"}}]"#;
        let body = format!(
            r#"{{"model":"bot","max_tokens":1,"messages":[{{"role":"user","content":"a"}}],"tools":{tools}{theirs}}}"#
        );
        gateway.post("/v1/messages", "", &body).await;
        let sent = provider.body();
        assert!(sent.contains(&format!(r#""system":{expected}"#)), "{theirs}: {sent}");
        assert!(sent.contains(&format!(r#""tools":{tools}"#)) && !sent.contains("tool_choice"), "{sent}");
    };
    let schema = json!({"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}});
    let (plain, object) = ("Answer with one JSON object and nothing else.", json!({"type": "json_object"}));
    check(&object, "", &format!(r#""{plain}","#)).await;
    let asked = format!(r#"{plain} It must conform to this JSON schema: {{\"type\":\"object\"}}""#);
    check(&schema, "", &format!(r#""{asked}"#)).await;
    check(&schema, r#","system":"Be brief.""#, &format!(r#""Be brief.\n\n{asked}"#)).await;
    let blocks = r#"[{"type":"text","text":"S", "cache_control":{"type":"ephemeral"}}"#;
    let expected = format!(r#"{blocks},{{"type":"text","text":"{asked}}}]"#);
    check(&schema, &format!(r#","system":{blocks}]"#), &expected).await;
}

#[tokio::test]
async fn what_callers_may_override_has_many_names() {
    let check = async |model: &str, path: &str, theirs: Value, names: [&str; 2]| {
        let provider = Provider::answering(ANSWER).await;
        let prompt = json!({"parameters": {"stop": ["OURS"], "seed": 1, "max_tokens": 5}});
        let allow_override = ["stop", "seed"].map(str::to_owned).to_vec();
        let settings = DeploymentSettings { allow_override, ..DeploymentSettings::default() };
        let mut bot = deployment(model, prompt, settings);
        bot.manifest.stop = std::mem::take(&mut bot.manifest.parameters.stop);
        let gateway = Fixture::start(&[(model.split_once('/').unwrap().0, &provider.url)], vec![bot]).await;
        let mut call = json!({"model": "bot", "messages": [said("user", "hi")], "max_tokens": 9});
        call.as_object_mut().unwrap().extend(theirs.as_object().unwrap().clone());
        gateway.post(path, "", &call.to_string()).await;
        let sent: Value = serde_json::from_str(&provider.body()).unwrap();
        let config = if model.starts_with("gemini") { &sent["generationConfig"] } else { &sent };
        assert_eq!((&config[names[0]], &config[names[1]]), (&json!(["THEIRS"]), &json!(5)), "{model} {path}: {sent}");
    };
    let theirs = json!({"stop": ["THEIRS"], "seed": 2});
    check("local/m", "/v1/chat/completions", theirs.clone(), ["stop", "max_tokens"]).await;
    check("anthropic/m", "/v1/chat/completions", theirs.clone(), ["stop_sequences", "max_tokens"]).await;
    check("gemini/m", "/v1/chat/completions", theirs, ["stopSequences", "maxOutputTokens"]).await;
    check("anthropic/m", "/v1/messages", json!({"stop_sequences": ["THEIRS"]}), ["stop_sequences", "max_tokens"]).await;
    check("local/m", "/v1/messages", json!({"stop_sequences": ["THEIRS"]}), ["stop", "max_tokens"]).await;
}

#[tokio::test]
async fn answers_say_what_answered_and_records_what_was_wrong() {
    let provider =
        Provider::answering(&ANSWER.replace("Hello.", "Mail ana@example.org").replace("stop", "length")).await;
    let bot = deployment("local/m", json!({}), DeploymentSettings::default());
    let manifest = bot.manifest_id.clone();
    let mut gateway = Fixture::start(&[("local", &provider.url)], vec![bot]).await;
    let answer =
        gateway.chat(&json!({"model": "bot@production", "messages": [said("user", "call +49 30 901820")]})).await;
    assert_eq!(header(&answer, "x-llmops-manifest").as_deref(), Some(manifest.as_str()));
    assert_eq!(header(&answer, "x-llmops-deployment").as_deref(), Some("bot"));
    let record = gateway.record().await;
    assert_eq!(record.manifest, Some(manifest));
    assert_eq!(record.soft_failures.iter().map(|f| f.kind).collect::<Vec<_>>(), [SoftFailureKind::Truncated]);
    assert_eq!(record.response_body.as_deref(), Some("Mail [email]"));
    // It is what the application sent, whatever the deployment made of it.
    let body: serde_json::Value = serde_json::from_str(&record.request_body.unwrap()).unwrap();
    assert_eq!(body, json!({"model": "bot@production", "messages": [said("user", "call [phone]")]}));
}

#[tokio::test]
async fn bodies_are_kept_by_policy() {
    for (policy, expected) in [
        (BodyPolicy::Raw, Some("Hello.")),
        (BodyPolicy::None, None),
        (BodyPolicy::Hashed, Some("2d8bd7d9bb5f85ba643f0110d50cb506a1fe439e769a22503193ea6046bb87f7")),
    ] {
        let provider = Provider::answering(ANSWER).await;
        let settings = DeploymentSettings { bodies: policy, hash_users: true, ..DeploymentSettings::default() };
        let bot = deployment("local/m", json!({}), settings);
        let mut gateway = Fixture::start(&[("local", &provider.url)], vec![bot]).await;
        gateway.chat(&json!({"model": "bot", "messages": [said("user", "hi")], "user": "ana"})).await;
        let record = gateway.record().await;
        assert_eq!(record.response_body.as_deref(), expected, "{policy:?}");
        assert_eq!(record.user.unwrap().len(), 64);
        assert!(!record.request_body.unwrap_or_default().contains("ana"), "{policy:?}");
    }
}

#[tokio::test]
async fn who_names_a_wrong_environment_hears_of_the_right_ones() {
    let in_environment = |name: &str| {
        let mut bot = deployment("local/m", json!({}), DeploymentSettings::default());
        bot.deployment.environment = name.to_owned();
        bot
    };
    let deployments = ["production", "dev"].map(in_environment).to_vec();
    let gateway = Fixture::start(&[("local", "http://127.0.0.1:9/v1")], deployments).await;
    let missing = "the deployment `bot` is not in the environment `staging`, but in: dev, production";
    for (model, environment, expected) in [
        ("bot", Some("staging"), missing),
        ("bot@staging", None, missing),
        ("local/", None, "there is no deployment `local/`"),
        ("bots", Some("staging"), "there is no deployment `bots`; did you mean `bot`?"),
        ("bots@dev", None, "there is no deployment `bots`; did you mean `bot`?"),
    ] {
        let answer =
            gateway.chat(&json!({"model": model, "messages": [], "llmops": {"environment": environment}})).await;
        let body: Value = serde_json::from_str(split(&answer).1).unwrap();
        assert_eq!((split(&answer).0, &body["error"]["message"]), (404, &json!(expected)), "{model}");
    }
    let two =
        gateway.post("/v1/chat/completions", "x-llmops-environment: dev\r\n", r#"{"model":"bot@production"}"#).await;
    assert!(split(&two).0 == 400 && two.contains("two environments are named"), "{two}");
}

const VECTORS: &str = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.25,1e-3]}],"model":"e-2026","usage":{"prompt_tokens":2,"total_tokens":2}}"#;

#[tokio::test]
async fn a_model_alone_makes_embeddings() {
    let prompt = json!({"parameters": {"temperature": null, "extra_body": {"dimensions": 2}}});
    let guard = GuardConfig { json: true, actions: vec![GuardAction::Retry], ..GuardConfig::default() };
    let settings = DeploymentSettings { guard, ..DeploymentSettings::default() };
    let open = DeploymentSettings { allow_override: vec!["dimensions".to_owned()], ..settings.clone() };
    for (settings, dimensions) in [(settings, 2), (open, 9)] {
        let provider = Provider::answering(VECTORS).await;
        let bot = deployment("local/m", prompt.clone(), settings);
        let manifest = bot.manifest_id.clone();
        let mut gateway = Fixture::start(&[("local", &provider.url)], vec![bot]).await;
        let call = json!({"model": "bot", "input": ["a", "b"], "dimensions": 9, "x": 1, "llmops": {"user": "u"}});
        let answer = gateway.post("/v1/embeddings", "", &call.to_string()).await;
        assert_eq!(split(&answer), (200, VECTORS));
        assert_eq!(header(&answer, "x-llmops-manifest").as_deref(), Some(manifest.as_str()));
        assert!(provider.requests()[0].starts_with("POST /v1/embeddings "), "{:?}", provider.requests());
        let sent: Value = serde_json::from_str(&provider.body()).unwrap();
        assert_eq!(sent, json!({"model": "m", "dimensions": dimensions, "input": ["a", "b"], "x": 1}));
        let record = gateway.record().await;
        assert_eq!((record.deployment.as_deref(), record.user.as_deref()), (Some("bot"), Some("u")));
        assert_eq!((record.usage.prompt_tokens, record.soft_failures.len(), record.attempts.len()), (2, 0, 1));
    }
}

#[tokio::test]
async fn what_says_more_than_a_model_makes_no_embeddings() {
    let alone = || deployment("local/m", json!({}), DeploymentSettings::default());
    let mut safe = alone();
    safe.fixed_answer = Some("Later.".to_owned());
    let with_prompt = deployment("local/m", json!({"system": "Be kind."}), DeploymentSettings::default());
    let of_claude = deployment("anthropic/m", json!({}), DeploymentSettings::default());
    for (bot, status, expected) in [
        (with_prompt, 400, "the deployment `bot` answers chats"),
        (of_claude, 400, "the provider of `anthropic/m` has no embeddings"),
        (safe, 503, "is in safe mode"),
    ] {
        let provider = Provider::answering(VECTORS).await;
        let gateway = Fixture::start(&[("local", &provider.url), ("anthropic", &provider.url)], vec![bot]).await;
        let answer = gateway.post("/v1/embeddings", "", r#"{"model": "bot", "input": "a"}"#).await;
        assert!(split(&answer).0 == status && answer.contains(expected), "{answer}");
        assert!(provider.requests().is_empty());
    }
}

#[tokio::test]
async fn a_prompt_that_multiplies_what_is_said_does_not_blame_variables() {
    let prompt = json!({"content": "{{ input }}".repeat(60)});
    let call = json!({"model": "bot", "messages": [said("user", &"x".repeat(100_000))]});
    let body = forwarded(prompt, DeploymentSettings::default(), call).await;
    let error = body["error"].as_str().unwrap();
    assert!(error.contains("4194304 bytes longer than the values") && !error.contains("llmops.variables"), "{error}");
}

#[tokio::test]
async fn a_prepared_answer_needs_no_provider() {
    let guard = GuardConfig { json: true, ..GuardConfig::default() };
    let mut bot = deployment("local/m", json!({}), DeploymentSettings { guard, ..DeploymentSettings::default() });
    bot.fixed_answer = Some("We are being repaired.".to_owned());
    bot.deployment.safe_mode = true;
    let mut gateway = Fixture::start(&[("local", "http://127.0.0.1:9/v1")], vec![bot]).await;
    let answer = gateway.chat(&json!({"model": "bot", "messages": []})).await;
    assert!(split(&answer).1.contains("We are being repaired."), "{answer}");
    assert_eq!(header(&answer, "x-llmops-safe-mode").as_deref(), Some("on"));
    // No manifest has said it, and none is to be judged by it.
    assert_eq!(header(&answer, "x-llmops-manifest"), None);
    let record = gateway.record().await;
    assert_eq!((record.manifest, record.safe_mode, record.soft_failures.len()), (None, true, 0));
    assert_eq!((record.attempts, record.deployment.as_deref()), (vec![], Some("bot")));
    for (options, expected) in [(json!({}), false), (json!({"include_usage": true}), true)] {
        let call = json!({"model": "bot", "messages": [], "stream": true, "stream_options": options});
        let streamed = gateway.chat(&call).await;
        assert!(streamed.contains("data: [DONE]"), "{streamed}");
        let has_usage = streamed.contains(r#""choices":[],"#) && streamed.contains(r#""total_tokens":0"#);
        assert_eq!(has_usage, expected, "{streamed}");
    }
}

#[tokio::test]
async fn a_strict_manifest_answers_in_its_own_name() {
    let provider = Provider::answering(ANSWER).await;
    let mut bot = deployment("local/m", json!({"system": "Say little."}), DeploymentSettings::default());
    bot.deployment.safe_mode = true;
    let strict = bot.manifest_id.clone();
    let mut gateway = Fixture::start(&[("local", &provider.url)], vec![bot]).await;
    let call = json!({"model": "bot", "messages": [{"role": "user", "content": "hi"}]});
    let answer = gateway.chat(&call).await;
    assert_eq!(header(&answer, "x-llmops-manifest").as_deref(), Some(strict.as_str()));
    let record = gateway.record().await;
    assert_eq!((record.manifest, record.safe_mode), (Some(strict), true));
}

/// What a call is in the records, with what was found in its answer.
async fn recorded(prompt: Value, call: Value, answer: &str) -> (CallOutcome, Vec<SoftFailureKind>) {
    let answer = json!({"choices": [{"message": {"content": answer}, "finish_reason": "stop"}]}).to_string();
    let provider = Provider::answering(&answer).await;
    let settings = DeploymentSettings::default();
    let mut gateway = Fixture::start(&[("local", &provider.url)], vec![deployment("local/m", prompt, settings)]).await;
    gateway.chat(&call).await;
    let record = gateway.record().await;
    (record.outcome, record.soft_failures.iter().map(|failure| failure.kind).collect())
}

#[tokio::test]
async fn a_prompt_that_cannot_be_rendered_fails_and_refuses_nobody() {
    let wants = json!({"content": "{{language}}: {{input}}", "variables": [{"name": "language", "required": true}]});
    let never = json!({"content": "{{language}}: {{input}}"});
    for prompt in [wants, never] {
        let call = json!({"model": "bot", "messages": [said("user", "hi")]});
        assert_eq!(recorded(prompt, call, "hi").await, (CallOutcome::Unavailable, Vec::new()));
    }
    let wrong = json!({"model": "bot", "messages": "hi"});
    assert_eq!(recorded(json!({}), wrong, "hi").await.0, CallOutcome::Refused);
}

#[tokio::test]
async fn the_guard_sees_refusals_and_answers_that_are_no_objects() {
    let check = async |more: Value, answer: &str, expected: &[SoftFailureKind]| {
        let mut call = json!({"model": "bot", "messages": [said("user", "hi")]});
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(recorded(json!({}), call, answer).await, (CallOutcome::Ok, expected.to_vec()), "{answer}");
    };
    check(json!({}), "Unfortunately, I can’t share that.", &[SoftFailureKind::Refusal]).await;
    check(json!({}), "I am sorry, but I can confirm that it left on Monday.", &[]).await;
    let object = json!({"response_format": {"type": "json_object"}});
    check(object.clone(), "not json", &[SoftFailureKind::NotJson]).await;
    check(object, "{}", &[]).await;
    check(json!({"response_format": {"type": "text"}}), "not json", &[]).await;
}
