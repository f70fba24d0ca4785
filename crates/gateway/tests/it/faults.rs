//! Providers and callers that fail.

use llmops_domain::chat::Usage;
use llmops_domain::deployment::DeploymentSettings;
use llmops_domain::record::CallOutcome;
use serde_json::{Value, json};

use crate::support::{ANSWER, Fixture, Provider, STREAM_HEAD, Step, deployment, header, json_response, piece, split};

fn ok() -> Vec<Step> {
    vec![Step::Send(json_response(200, "", ANSWER))]
}

fn failing(status: u16) -> Vec<Step> {
    vec![Step::Send(json_response(status, "", r#"{"error":{"message":"broken"}}"#)), Step::Close]
}

#[tokio::test]
async fn what_fails_before_the_first_byte_is_tried_again() {
    let garbage = vec![Step::Send(json_response(200, "", "\u{1}<garbage>")), Step::Close];
    let begun = vec![Step::Send(STREAM_HEAD.to_owned()), Step::Close];
    for first in [failing(500), failing(429), vec![Step::Close], begun, garbage] {
        let provider = Provider::start(vec![first.clone(), ok()]).await;
        let mut gateway = Fixture::start(&[("local", &provider.url)], Vec::new()).await;
        let answer = gateway.chat(&json!({"model": "local/m", "messages": []})).await;
        assert_eq!(split(&answer), (200, ANSWER), "{first:?}");
        let record = gateway.record().await;
        assert_eq!((record.outcome, record.attempts.len()), (CallOutcome::Ok, 2), "{first:?}");
        assert_eq!(provider.requests().len(), 2);
    }
}

#[tokio::test]
async fn fallbacks_are_asked_in_their_order() {
    let (broken, healthy) = (Provider::start(vec![failing(503)]).await, Provider::start(vec![ok()]).await);
    let settings =
        DeploymentSettings { fallbacks: vec!["b/m2".to_owned()], retries: 0, ..DeploymentSettings::default() };
    let bot = deployment("a/m", json!({"system": "Be kind."}), settings);
    let mut gateway = Fixture::start(&[("a", &broken.url), ("b", &healthy.url)], vec![bot]).await;
    let answer = gateway.chat(&json!({"model": "bot", "messages": [{"role": "user", "content": "hi"}]})).await;
    assert_eq!(split(&answer), (200, ANSWER));
    assert!(healthy.body().starts_with(r#"{"model":"m2","#), "{}", healthy.body());
    let record = gateway.record().await;
    let asked: Vec<_> = record.attempts.iter().map(|attempt| (&*attempt.model, attempt.status)).collect();
    assert_eq!(asked, [("a/m", Some(503)), ("b/m2", Some(200))]);
    assert_eq!(record.model, "b/m2");
}

#[tokio::test]
async fn a_provider_that_refuses_us_is_passed_by() {
    for (status, expected, asked) in [(401, 200, 1), (402, 200, 1), (403, 200, 1), (404, 200, 1), (400, 400, 0)] {
        let (refusing, healthy) = (Provider::start(vec![failing(status)]).await, Provider::start(vec![ok()]).await);
        let settings = DeploymentSettings { fallbacks: vec!["b/m".to_owned()], ..DeploymentSettings::default() };
        let bot = deployment("a/m", json!({}), settings);
        let gateway = Fixture::start(&[("a", &refusing.url), ("b", &healthy.url)], vec![bot]).await;
        let answer = gateway.chat(&json!({"model": "bot", "messages": [{"role": "user", "content": "hi"}]})).await;
        assert_eq!(split(&answer).0, expected, "{status}");
        assert_eq!((refusing.requests().len(), healthy.requests().len()), (1, asked), "{status}");
        // Where nobody else is left, the provider's own words are the caller's.
        let answer = gateway.chat(&json!({"model": "a/m", "messages": []})).await;
        assert_eq!(split(&answer), (status, r#"{"error":{"message":"broken"}}"#));
        assert_eq!(refusing.requests().len(), 2, "{status}");
    }
}

/// Some servers say 200 and mean an error, whole or with the first event of a stream.
#[tokio::test]
async fn an_error_inside_a_success_is_asked_again_and_elsewhere() {
    let whole = |error: &str| json_response(200, "", error);
    let json_head = STREAM_HEAD.replace("text/event-stream", "application/json");
    let chunked = |error: &str| {
        let (first, last) = error.split_at(error.len() - 1);
        format!("{json_head}{}{}0\r\n\r\n", piece(first), piece(last))
    };
    let streamed = |error: &str| format!("{STREAM_HEAD}{}0\r\n\r\n", piece(&format!("data: {error}\n\n")));
    let check = async |models: [&str; 2], path: &str, answer: String, expected: [usize; 2]| {
        let (first, second) =
            (Provider::start(vec![vec![Step::Send(answer.clone())]]).await, Provider::answering(ANSWER).await);
        let settings = DeploymentSettings { fallbacks: vec![models[1].to_owned()], ..DeploymentSettings::default() };
        let bot = deployment(models[0], json!({}), settings);
        let [a, b] = models.map(|model| model.split_once('/').unwrap().0);
        let prices = [(models[0], 1_000_000.0, 1_000_000.0)];
        let providers = [(a, &*first.url), (b, &second.url)];
        let mut gateway = Fixture::start_with_prices(&providers, &prices, vec![bot]).await;
        let mut call = json!({"model": "bot", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
        call["stream"] = answer.contains("event-stream").into();
        let got = gateway.post(path, "", &call.to_string()).await;
        assert_eq!([first.requests().len(), second.requests().len()], expected, "{answer}");
        let record = gateway.record().await;
        let failed = record.attempts.iter().filter(|attempt| attempt.error.is_some()).count();
        if expected[1] == 1 {
            assert_eq!((split(&got).1, record.outcome, failed), (ANSWER, CallOutcome::Ok, expected[0]), "{answer}");
        } else if expected[0] == 1 && failed == 1 {
            // Nobody else would do better: the caller has what was sent, and it costs nothing.
            assert!(split(&got).0 == 200 && got.contains("error"), "{got}");
            assert_eq!((record.outcome, record.cost), (CallOutcome::UpstreamError, Some(0.0)), "{answer}");
        }
    };
    let (chat, messages) = ("/v1/chat/completions", "/v1/messages");
    for (error, times) in [
        (r#"{"error":{"message":"boom","code":502}}"#, 2),
        (r#"{"error": "boom"}"#, 2),
        (r#"[{"error":{"message":"boom","code":503}}]"#, 2),
        (r#"{"id":"gen-1","error":{"message":"boom"},"choices":[]}"#, 2),
        (r#"{"object":"error","message":"boom","code":404}"#, 2),
        (r#"{"error":{"message":"no such model","code":404}}"#, 1),
    ] {
        check(["a/m", "b/m"], chat, whole(error), [times, 1]).await;
        check(["a/m", "b/m"], chat, chunked(error), [times, 1]).await;
    }
    check(["a/m", "b/m"], chat, streamed(r#"{"error":{"message":"boom"}}"#), [2, 1]).await;
    let last = r#"{"id":"c","choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}],"error":{"code":502,"message":"boom"}}"#;
    check(["a/m", "b/m"], chat, streamed(last), [2, 1]).await;
    let overloaded = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    check(["anthropic/m", "anthropic2/m"], messages, streamed(overloaded), [2, 1]).await;
    check(["anthropic/m", "b/m"], chat, whole(overloaded), [2, 1]).await;
    check(["a/m", "b/m"], chat, whole(r#"{"error":{"message":"too long","code":400}}"#), [1, 0]).await;
    // None of these is an error.
    for answer in [
        ANSWER.replacen('{', r#"{"error":null,"#, 1),
        ANSWER.replacen('{', r#"{"error" : {"code": 1},"#, 1),
        ANSWER.replace("chatcmpl-7", "error"),
    ] {
        check(["a/m", "b/m"], chat, whole(&answer), [1, 0]).await;
        check(["a/m", "b/m"], chat, chunked(&answer), [1, 0]).await;
    }
}

/// What a fallback's format cannot say neither keeps the first provider from being asked nor hides what it says.
#[tokio::test]
async fn a_fallback_of_another_format_takes_nothing_away() {
    let limited = json_response(429, "retry-after: 9\r\nconnection: close\r\n", r#"{"error":{"message":"slow down"}}"#);
    let check = async |models: [&str; 2], path: &str, call: &Value, hedge: bool, expected: (u16, [usize; 2])| {
        let answer = if models[0].starts_with("limited") { limited.clone() } else { json_response(200, "", ANSWER) };
        let first = Provider::start(vec![vec![Step::Send(answer)]]).await;
        let second = Provider::answering(ANSWER).await;
        let settings = DeploymentSettings {
            fallbacks: vec![models[1].to_owned()],
            retries: 0,
            hedge_after: hedge.then(|| "1ms".parse().unwrap()),
            ..DeploymentSettings::default()
        };
        let providers = models.map(|model| model.split_once('/').unwrap().0);
        let bot = deployment(models[0], json!({}), settings);
        let gateway = Fixture::start(&[(providers[0], &first.url), (providers[1], &second.url)], vec![bot]).await;
        let answer = gateway.post(path, "", &call.to_string()).await;
        let asked = [first.requests().len(), second.requests().len()];
        assert_eq!((split(&answer).0, asked), expected, "{models:?} {call} {answer}");
        answer
    };
    let document = json!({"type": "document", "source": {"type": "url", "url": "https://example.org/a.pdf"}});
    let native = json!({"model": "bot", "max_tokens": 5, "messages": [{"role": "user", "content": [document]}]});
    let two = json!({"model": "bot", "n": 2, "messages": [{"role": "user", "content": "hi"}]});
    let (messages, chat) = ("/v1/messages", "/v1/chat/completions");
    check(["anthropic/m", "local/m"], messages, &native, false, (200, [1, 0])).await;
    // Who can be told answers, also behind one who cannot.
    check(["local/m", "anthropic/m"], messages, &native, false, (200, [0, 1])).await;
    check(["anthropic/m", "local/m"], chat, &two, false, (200, [0, 1])).await;
    for hedge in [false, true] {
        let answer = check(["limited/m", "gemini/m"], chat, &two, hedge, (429, [1, 0])).await;
        assert_eq!(header(&answer, "retry-after").as_deref(), Some("9"), "{answer}");
        assert!(answer.contains("slow down"), "{answer}");
    }
    let answer = check(["anthropic/m", "gemini/m"], chat, &two, false, (400, [0, 0])).await;
    assert!(answer.contains(r#""param":"n""#), "{answer}");
}

/// A provider knows best whether it is worth asking it again; somebody else may be asked all the same.
#[tokio::test]
async fn what_a_provider_says_of_asking_again_is_heard() {
    let error = r#"{"error":{"message":"broken"}}"#;
    let play = |status: u16, said: &str| {
        let first = json_response(status, &format!("x-should-retry: {said}\r\n"), error);
        Provider::start(vec![vec![Step::Send(first), Step::Close], ok()])
    };
    for (status, said, expected, asked) in [
        (500, "false", 500, 1),
        (429, "false", 429, 1),
        (500, "true", 200, 2),
        (400, "true", 200, 2),
        (401, "true", 200, 2),
        (400, "maybe", 400, 1),
        (500, "maybe", 200, 2),
    ] {
        let provider = play(status, said).await;
        let gateway = Fixture::start(&[("a", &provider.url)], Vec::new()).await;
        let answer = gateway.chat(&json!({"model": "a/m", "messages": []})).await;
        assert_eq!((split(&answer).0, provider.requests().len()), (expected, asked), "{status} {said}");
        if expected != 200 {
            assert_eq!(header(&answer, "x-should-retry").as_deref(), Some(said), "{answer}");
        }
    }
    for (status, expected, asked) in [(500, 200, 1), (429, 200, 1), (400, 400, 0)] {
        let (refusing, healthy) = (play(status, "false").await, Provider::start(vec![ok()]).await);
        let settings = DeploymentSettings { fallbacks: vec!["b/m".to_owned()], ..DeploymentSettings::default() };
        let bot = deployment("a/m", json!({}), settings);
        let gateway = Fixture::start(&[("a", &refusing.url), ("b", &healthy.url)], vec![bot]).await;
        let answer = gateway.chat(&json!({"model": "bot", "messages": [{"role": "user", "content": "hi"}]})).await;
        let found = (split(&answer).0, refusing.requests().len(), healthy.requests().len());
        assert_eq!(found, (expected, 1, asked), "{status}");
    }
}

/// A status that nobody asked for is neither an answer nor an error that a client understands.
#[tokio::test]
async fn statuses_that_no_answer_has_are_errors_of_the_provider() {
    let upgrade = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let unchanged = "HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\n\r\n";
    // Those that promise an answer are waited past, and that one counts.
    let early = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    for (bytes, status, words) in [(upgrade, 101, "another protocol"), (unchanged, 304, "is known already")] {
        let odd = Provider::start(vec![vec![Step::Send(format!("{early}{bytes}")), Step::Close]]).await;
        let healthy = Provider::start(vec![ok()]).await;
        let settings = DeploymentSettings { fallbacks: vec!["b/m".to_owned()], ..DeploymentSettings::default() };
        let bot = deployment("a/m", json!({}), settings);
        let mut gateway = Fixture::start(&[("a", &odd.url), ("b", &healthy.url)], vec![bot]).await;
        for path in ["/v1/chat/completions", "/v1/messages"] {
            let call = json!({"model": "a/m", "max_tokens": 9, "messages": []}).to_string();
            let answer = gateway.post(path, "", &call).await;
            let expected = format!("the model provider sent the status {status}, which is no answer");
            assert!(split(&answer).0 == 502 && answer.contains(&expected), "{answer}");
            assert!(header(&answer, "upgrade").is_none() && header(&answer, "etag").is_none(), "{answer}");
            let record = gateway.record().await;
            assert_eq!((record.outcome, record.status), (CallOutcome::UpstreamError, 502));
            assert_eq!((record.attempts.len(), record.attempts[0].status), (1, Some(status)), "it is not tried again");
            assert!(record.error.unwrap().contains(words));
        }
        let call = json!({"model": "bot", "messages": [{"role": "user", "content": "hi"}]});
        assert_eq!(split(&gateway.chat(&call).await), (200, ANSWER), "somebody else is asked");
    }
    let provider = Provider::start(vec![vec![Step::Send(format!("{early}{}", json_response(200, "", ANSWER)))]]).await;
    let gateway = Fixture::start(&[("a", &provider.url)], Vec::new()).await;
    assert_eq!(split(&gateway.chat(&json!({"model": "a/m", "messages": []})).await), (200, ANSWER));
}

#[tokio::test]
async fn nobody_is_asked_when_the_time_is_over() {
    let hanging = Provider::start(vec![vec![Step::UntilClosed]]).await;
    let settings = DeploymentSettings {
        fallbacks: vec!["b/m".to_owned()],
        retries: 0,
        timeout_total: "50ms".parse().unwrap(),
        ..DeploymentSettings::default()
    };
    let bot = deployment("a/m", json!({}), settings);
    let mut gateway = Fixture::start(&[("a", &hanging.url), ("b", &hanging.url)], vec![bot]).await;
    let answer = gateway.chat(&json!({"model": "bot", "messages": [{"role": "user", "content": "hi"}]})).await;
    assert_eq!(split(&answer).0, 504);
    let record = gateway.record().await;
    assert_eq!((record.outcome, &*record.model), (CallOutcome::Unavailable, "a/m"));
    assert_eq!(record.attempts.len(), 1, "{:?}", record.attempts);
}

#[tokio::test]
async fn the_last_error_is_the_callers_where_all_fail() {
    let provider = Provider::start(vec![failing(503)]).await;
    let mut gateway = Fixture::start(&[("local", &provider.url)], Vec::new()).await;
    let answer = gateway.chat(&json!({"model": "local/m", "messages": []})).await;
    assert_eq!(split(&answer), (503, r#"{"error":{"message":"broken"}}"#));
    assert_eq!(gateway.record().await.attempts.len(), 2);
}

#[tokio::test]
async fn nobody_there() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let mut gateway = Fixture::start(&[("local", &url)], Vec::new()).await;
    let answer = gateway.chat(&json!({"model": "local/m", "messages": []})).await;
    assert_eq!(split(&answer).0, 502);
    assert!(!answer.contains("127.0.0.1"), "addresses are not the caller's business: {answer}");
    let record = gateway.record().await;
    assert_eq!(record.outcome, CallOutcome::Unavailable);
    assert!(record.error.unwrap().contains("cannot connect"));
}

#[tokio::test]
async fn a_provider_that_hangs_is_given_up() {
    let provider = Provider::start(vec![vec![Step::UntilClosed]]).await;
    let settings =
        DeploymentSettings { retries: 0, timeout_first_byte: "50ms".parse().unwrap(), ..DeploymentSettings::default() };
    let bot = deployment("local/m", json!({}), settings);
    let prices = [("local/m", 1_000_000.0, 0.0)];
    let mut gateway = Fixture::start_with_prices(&[("local", &provider.url)], &prices, vec![bot]).await;
    let answer = gateway.chat(&json!({"model": "bot", "messages": [{"role": "user", "content": "hi"}]})).await;
    assert_eq!(split(&answer).0, 504);
    let record = gateway.record().await;
    assert_eq!((record.outcome, record.status), (CallOutcome::Unavailable, 504));
    // It has read what it was asked all the same.
    assert_eq!((record.usage, record.usage_estimated, record.cost), (Usage::new(1, 0), true, Some(1.0)));
}

#[tokio::test]
async fn what_breaks_after_the_first_byte_is_never_repeated() {
    let begun = format!("{STREAM_HEAD}{}", piece("data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n"));
    let provider = Provider::start(vec![vec![Step::Send(begun), Step::Wait, Step::Close], ok()]).await;
    let mut gateway = Fixture::start(&[("local", &provider.url)], Vec::new()).await;
    provider.go_on();
    let answer = gateway.chat(&json!({"model": "local/m", "messages": [], "stream": true})).await;
    assert!(answer.contains("Hel") && !answer.ends_with("0\r\n\r\n"), "the end is missing, and looks so: {answer}");
    assert_eq!(provider.requests().len(), 1);
    let record = gateway.record().await;
    assert_eq!(record.outcome, CallOutcome::Cut);
    assert!(record.usage_estimated);
}

#[tokio::test]
async fn a_caller_that_leaves_takes_the_call_along() {
    // Before anything came, and in the middle of a stream.
    for stream in [false, true] {
        let begun = format!("{STREAM_HEAD}{}", piece("data: {}\n\n"));
        let script = if stream { vec![Step::Send(begun), Step::UntilClosed] } else { vec![Step::UntilClosed] };
        let mut provider = Provider::start(vec![script]).await;
        let prices = [("local/m", 1_000_000.0, 0.0)];
        let mut gateway = Fixture::start_with_prices(&[("local", &provider.url)], &prices, Vec::new()).await;
        let messages = json!([{"role": "user", "content": "12345678"}]);
        let request = json!({"model": "local/m", "messages": messages, "stream": stream}).to_string();
        let mut client = gateway.open("/v1/chat/completions", "", &request).await;
        if stream {
            let mut piece = [0; 1024];
            tokio::io::AsyncReadExt::read(&mut client, &mut piece).await.unwrap();
        } else {
            while provider.requests().is_empty() {
                tokio::task::yield_now().await;
            }
        }
        drop(client);
        provider.was_closed().await;
        let record = gateway.record().await;
        assert_eq!(record.outcome, CallOutcome::Cancelled, "stream: {stream}");
        assert_eq!(provider.requests().len(), 1);
        // The provider works on, and what it has read is paid for.
        assert_eq!((record.usage, record.usage_estimated), (Usage::new(2, 0), true), "stream: {stream}");
        assert_eq!(record.cost, Some(2.0), "stream: {stream}");
    }
}

/// Where the first of two that are asked together has not answered yet.
#[tokio::test]
async fn a_caller_that_leaves_a_hedged_call_has_asked_somebody() {
    let mut hanging = Provider::start(vec![vec![Step::UntilClosed]]).await;
    let settings = DeploymentSettings {
        fallbacks: vec!["b/m".to_owned()],
        hedge_after: Some("1h".parse().unwrap()),
        ..DeploymentSettings::default()
    };
    let bot = deployment("a/m", json!({}), settings);
    let providers = [("a", &*hanging.url), ("b", &hanging.url)];
    let prices = [("a/m", 1_000_000.0, 0.0)];
    let mut gateway = Fixture::start_with_prices(&providers, &prices, vec![bot]).await;
    let call = json!({"model": "bot", "messages": [{"role": "user", "content": "12345678"}]}).to_string();
    let client = gateway.open("/v1/chat/completions", "", &call).await;
    while hanging.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    drop(client);
    hanging.was_closed().await;
    let record = gateway.record().await;
    assert_eq!((record.outcome, &*record.model), (CallOutcome::Cancelled, "a/m"));
    assert_eq!((record.usage, record.usage_estimated, record.cost), (Usage::new(2, 0), true, Some(2.0)));
}
