//! Feedback from arrival to a golden sample: joined, observed, queued, decided.

use jiff::Timestamp;
use llmops::domain::dataset::DatasetType;
use llmops::domain::feedback::FeedbackFilter;
use llmops::domain::genai_span::{Span, SpanError};
use llmops::domain::hash::ContentHash;
use llmops::domain::id::ProjectId;
use llmops::domain::record::{Door, RecordFilter, RequestRecord};
use llmops::domain::review::{Decide, ReviewFilter, ReviewItem, ReviewReason, ReviewStatus};
use llmops::{Error, LlmOps};
use llmops_api::feedback::{ExportCounts, SummaryBy, SummaryQuery};
use llmops_api::observations::ResultsQuery;
use llmops_storage::{AuditFilter, VersionSelector};
use llmops_testing::on_backends;
use serde_json::{Value, json};

use crate::scripted::{Scripted, add_samples, append, exact, finish, installation, right, run};

/// A record of a minute ago, with what `more` says.
#[expect(clippy::needless_pass_by_value, reason = "callers make it on the spot")]
fn record(id: &str, more: Value) -> RequestRecord {
    let body = json!({"model": "bot", "messages": [{"role": "user", "content": "What does delivery cost?"}]});
    let mut value = json!({"id": id, "at": Timestamp::from_second(llmops_domain::clock::now().as_second() - 60).unwrap(),
        "door": "chat", "model": "test/m", "stream": false, "deployment": "bot", "environment": "production",
        "user": "ana", "tags": {"country": "DE"}, "usage": {"prompt_tokens": 1, "completion_tokens": 1},
        "total_ms": 1.0, "status": 200, "outcome": "ok", "attempts": [], "request_body": body.to_string(),
        "response_body": "5.90"});
    for (name, field) in more.as_object().unwrap() {
        value[name] = field.clone();
    }
    serde_json::from_value(value).unwrap()
}

async fn put(ops: &LlmOps, records: &[RequestRecord]) {
    let owned: Vec<_> = records.iter().map(|record| (ProjectId::default_project(), record.clone())).collect();
    append(ops.store(), &owned).await;
}

fn decide(value: Value) -> Decide {
    serde_json::from_value(value).unwrap()
}

#[tokio::test]
async fn a_correction_becomes_a_sample_once() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        put(&ops, &[record("req_1", json!({})), record("req_2", json!({"request_body": null, "response_body": null}))])
            .await;
        let feedback = json!({"request_id": "req_1", "thumb": "down", "comment": "mail me at ana@example.org"});
        ops.feedback().submit(&feedback).await.unwrap();
        let correction = json!({"request_id": "req_1", "correction": "4.90, free from 60."});
        ops.feedback().submit(&correction).await.unwrap();
        ops.feedback().submit(&json!({"request_id": "req_2", "rating": {"value": 1, "scale": 5}})).await.unwrap();

        let items = ops.reviews().list(&ReviewFilter::default(), 10).await.unwrap();
        assert_eq!(items.len(), 2, "one item an answer: {items:?}");
        let item = &items[1].item;
        assert_eq!(items[1].item.reason, ReviewReason::Correction);
        assert_eq!(item.detail, "a thumb down, “mail me at [email]”; a correction");
        assert_eq!((item.input.as_str(), item.output.as_deref()), ("What does delivery cost?", Some("5.90")));

        let id = items[1].id.to_string();
        let decided =
            ops.reviews().decide(&id, decide(json!({"action": "accept", "category": "prices"}))).await.unwrap();
        assert_eq!(decided.item.status, ReviewStatus::Accepted);
        let version = decided.dataset.unwrap().version;
        assert_eq!((version.dataset.as_str(), version.sample_count), ("golden", 1));
        assert_eq!(ops.datasets().get("golden").await.unwrap().kind, DatasetType::Golden);
        let stored = ops.datasets().version("golden", &VersionSelector::Latest).await.unwrap();
        let (_, sample) = ops.datasets().get_samples(&stored, 0, 10).await.unwrap().pop().unwrap();
        assert_eq!(sample.expected_output, ["4.90, free from 60."]);
        assert_eq!((&sample.metadata["request_id"], &sample.metadata["by"]), (&json!("req_1"), &json!("local")));
        let again = ops.reviews().decide(&id, decide(json!({"action": "dismiss"}))).await.unwrap_err();
        assert!(matches!(&again, Error::Conflict { message, .. } if message.contains("local decided")), "{again}");

        // Nothing was kept of the other one: a person has to say what was asked.
        let other = items[0].id.to_string();
        let answer = json!({"action": "correct", "answer": "4.90", "dataset": "golden"});
        let silent = ops.reviews().decide(&other, decide(answer.clone())).await.unwrap_err();
        assert!(silent.to_string().contains("give what was asked"), "{silent}");
        let mut same = answer;
        same["input"] = json!("What does delivery cost?");
        let taken = ops.reviews().decide(&other, decide(same.clone())).await.unwrap_err();
        assert!(taken.to_string().contains("asks the same already"), "{taken}");
        same["replace"] = json!(true);
        let replaced = ops.reviews().decide("latest", decide(same)).await.unwrap();
        assert_eq!(replaced.dataset.unwrap().version.sample_count, 1);
        assert!(ops.reviews().get("latest").await.unwrap_err().to_string().contains("open review item"));
    })
    .await;
}

#[tokio::test]
async fn the_call_of_a_span_becomes_a_sample() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let start = u64::try_from(llmops_domain::clock::now().as_second() - 60).unwrap() * 1_000_000_000;
        let attributes = json!({"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-2024-08-06",
            "gen_ai.provider.name": "openai", "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5,
            "gen_ai.input.messages": r#"[{"role": "user", "parts": [{"type": "text", "content": "What is delivery?"}]}]"#,
            "gen_ai.output.messages": r#"[{"role": "assistant", "parts": [{"type": "text", "content": "5.90"}]}]"#});
        let span = Span {
            trace_id: trace.to_owned(),
            span_id: "00f067aa0ba902b7".to_owned(),
            start,
            end: start + 5_000_000,
            error: None,
            attributes: attributes.as_object().cloned().unwrap(),
        };
        let late = Span { span_id: "00f067aa0ba902b8".to_owned(), start: 0, ..span.clone() };
        let lookup = json!({"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "e"});
        let lookup = Span {
            span_id: "00f067aa0ba902b9".to_owned(),
            start: start + 10_000_000,
            attributes: lookup.as_object().cloned().unwrap(),
            ..span.clone()
        };
        let refused = ops.records().take_in(&[span, late, lookup]).await.unwrap();
        assert_eq!(refused, [SpanError::Early("00f067aa0ba902b8".to_owned())]);
        let records = ops.records().list(&RecordFilter::default(), 10).await.unwrap();
        let costs: Vec<_> = records.iter().map(|record| (record.door, record.cost)).collect();
        assert_eq!(costs, [(Door::Embeddings, None), (Door::Chat, Some(0.02))]);
        ops.feedback().submit(&json!({"trace_id": trace, "correction": "4.90"})).await.unwrap();
        let item = ops.reviews().get("latest").await.unwrap();
        assert_eq!((item.item.input.as_str(), item.item.output.as_deref()), ("What is delivery?", Some("5.90")));
        let decided = ops.reviews().decide("latest", decide(json!({"action": "accept"}))).await.unwrap();
        assert_eq!(decided.dataset.unwrap().version.sample_count, 1);
    })
    .await;
}

#[tokio::test]
async fn what_was_found_bad_is_no_expected_answer_by_a_slip() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        put(&ops, &[record("req_1", json!({}))]).await;
        ops.feedback().submit(&json!({"request_id": "req_1", "thumb": "down", "comment": "slow"})).await.unwrap();
        let item = ops.reviews().get("latest").await.unwrap();
        assert_eq!(item.to_accept(), Some("5.90"));
        let error = ops.reviews().decide("latest", decide(json!({"action": "accept"}))).await.unwrap_err();
        assert!(matches!(&error, Error::Invalid { message, .. } if message.contains("answer_was_right")), "{error}");
        assert_eq!(ops.reviews().get("latest").await.unwrap().status, ReviewStatus::Open);
        let surely = decide(json!({"action": "accept", "answer_was_right": true}));
        let decided = ops.reviews().decide("latest", surely).await.unwrap();
        assert_eq!(decided.item.decision.unwrap().sample.unwrap().expected_output, ["5.90"]);
    })
    .await;
}

#[tokio::test]
async fn feedback_without_a_record_is_counted() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let wrong = [json!({"request_id": "chatcmpl-abc", "thumb": "up"}), json!({"trace_id": "xyz", "thumb": "up"})];
        let received = ops.feedback().submit_all(&wrong).await.unwrap();
        assert_eq!(received.refused, 2);
        assert!(received.problems[0].message.contains("x-llmops-request-id"), "{:?}", received.problems);
        let said = [json!({"request_id": "req_lost", "thumb": "up"}), json!({"request_id": "req_1", "thumb": "up"})];
        put(&ops, &[record("req_1", json!({}))]).await;
        ops.feedback().submit_all(&said).await.unwrap();
        let counted = async |query: SummaryQuery| {
            let summary = ops.feedback().summary(&query).await.unwrap();
            (summary.rows.len(), summary.requests, summary.unjoined)
        };
        assert_eq!(counted(SummaryQuery::default()).await, (1, 2, 1));
        assert_eq!(counted(SummaryQuery { by: SummaryBy::Prompt, ..SummaryQuery::default() }).await, (0, 2, 1));
        let own = SummaryQuery { deployment: Some("bot".to_owned()), ..SummaryQuery::default() };
        assert_eq!(counted(own).await, (1, 1, 0));
    })
    .await;
}

#[tokio::test]
async fn feedback_of_long_ago_waits_for_its_record_as_long_as_any() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let now = llmops_domain::clock::now().as_second();
        let at = Timestamp::from_second(now - 20 * 86_400).unwrap();
        ops.feedback().submit(&json!({"request_id": "req_1", "thumb": "up", "at": at.to_string()})).await.unwrap();
        put(&ops, &[record("req_1", json!({}))]).await;
        ops.tend_feedback().await.unwrap();
        let listed = ops.feedback().list(&FeedbackFilter::default(), 10).await.unwrap();
        assert_eq!((listed[0].at, listed[0].context.is_some()), (at, true));
    })
    .await;
}

#[tokio::test]
async fn an_answer_is_one_complaint() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        put(&ops, &[record("req_1", json!({})), record("req_2", json!({})), record("req_3", json!({}))]).await;
        let all = [
            json!({"request_id": "req_1", "thumb": "down", "comment": "the price is wrong"}),
            json!({"request_id": "req_1", "rating": {"value": 1, "scale": 5}}),
            json!({"request_id": "req_1", "thumb": "down"}),
            json!({"request_id": "req_2", "thumb": "down", "comment": "wrong price"}),
            json!({"request_id": "req_3", "thumb": "down"}),
        ];
        ops.feedback().submit_all(&all).await.unwrap();
        let today = llmops_domain::clock::now().as_second().div_euclid(86_400);
        let topics = ops.feedback().topics(Some("bot"), (today - 1, today), None).await.unwrap();
        assert_eq!((topics.texts, topics.alone, topics.topics[0].count), (3, 1, 2), "{topics:?}");
    })
    .await;
}

#[tokio::test]
async fn feedback_that_is_early_or_wrong() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let all = [
            json!({"request_id": "req_1", "thumb": "down", "idempotency_key": "a"}),
            json!({"request_id": "req_1", "thumbs": "down"}),
            json!({"request_id": "req_1", "thumb": "down", "idempotency_key": "a"}),
            json!({"request_id": "req_1", "thumb": "up", "at": "2999-01-01T00:00:00Z"}),
            json!({"request_id": "req_1", "thumb": "up", "idempotency_key": "a"}),
            json!({"request_id": "req_1", "thumb": "up", "at": "0001-01-01T00:00:00Z"}),
            json!(5),
        ];
        let received = ops.feedback().submit_all(&all).await.unwrap();
        assert_eq!((received.accepted, received.duplicates, received.refused), (1, 1, 5));
        assert_eq!(received.ids.len(), 2);
        let lines: Vec<_> =
            received.problems.iter().map(|p| (p.line.unwrap(), p.field.as_deref().unwrap_or_default())).collect();
        assert_eq!(lines, [(2, "thumbs"), (2, ""), (4, "at"), (6, "at"), (7, ""), (5, "idempotency_key")]);
        let clash = ops.feedback().submit(&all[4]).await.unwrap_err();
        assert!(matches!(clash, Error::Conflict { .. }), "{clash}");
        assert!(ops.feedback().submit_all(&vec![Value::Null; 1_001]).await.is_err());

        let by_tag = SummaryQuery { by: SummaryBy::Tag, ..SummaryQuery::default() };
        assert_eq!(ops.feedback().summary(&by_tag).await.unwrap().rows, []);
        assert!(ops.reviews().list(&ReviewFilter::default(), 10).await.unwrap().is_empty());
        put(&ops, &[record("req_1", json!({}))]).await;
        ops.tend_feedback().await.unwrap();
        let rows = ops.feedback().summary(&by_tag).await.unwrap().rows;
        assert_eq!((rows.len(), rows[0].name.as_str(), rows[0].requests), (1, "country=DE", 1));
        let thumbs = rows[0].thumbs_up.unwrap();
        assert_eq!((thumbs.value, thumbs.n, thumbs.lower), (0.0, 1, 0.0));
        assert!(thumbs.upper > 0.7, "one thumb says little: {thumbs:?}");
        assert_eq!(ops.reviews().list(&ReviewFilter::default(), 10).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn feedback_that_is_late_says_when_it_was_said() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let at = Timestamp::from_second(llmops_domain::clock::now().as_second() - 3600).unwrap();
        let said = json!({"request_id": "req_1", "thumb": "up", "at": at, "idempotency_key": "a"});
        let received = ops.feedback().submit(&said).await.unwrap();
        assert_eq!(ops.feedback().get(received.ids[0].as_str()).await.unwrap().at, at);
        assert_eq!(ops.feedback().submit(&said).await.unwrap().duplicates, 1);
    })
    .await;
}

#[tokio::test]
async fn hard_examples_ask_each_question_once() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let other =
            json!({"model": "bot", "messages": [{"role": "user", "content": "Do you ship to Malta, and how fast?"}]});
        let other = json!({"request_body": other.to_string(), "response_body": "No idea."});
        let wrong = json!({"response_body": "Delivery is always free, wherever you live, and takes a day."});
        put(&ops, &[record("req_1", json!({})), record("req_2", wrong), record("req_3", other)]).await;
        let make = |dataset: &str| {
            let request = serde_json::from_value(json!({"dataset": dataset})).unwrap();
            let feedback = ops.feedback();
            async move { feedback.hard_examples(request).await }
        };
        assert!(matches!(make("hard").await.unwrap_err(), Error::Conflict { .. }));
        for id in ["req_1", "req_2"] {
            ops.feedback().submit(&json!({"request_id": id, "thumb": "down"})).await.unwrap();
        }
        let made = make("hard").await.unwrap();
        assert_eq!((made.dataset.version.sample_count, made.counts.examples, made.counts.duplicates), (1, 1, 1));

        // The other question comes to it; what it asks already is not asked again, whichever answer was complained of.
        ops.feedback()
            .submit(&json!({"request_id": "req_3", "thumb": "down", "correction": "Yes: four days."}))
            .await
            .unwrap();
        ops.feedback()
            .submit(&json!({"request_id": "req_1", "thumb": "down", "comment": "still wrong"}))
            .await
            .unwrap();
        let made = make("hard").await.unwrap();
        assert_eq!((made.dataset.version.sample_count, made.counts.examples), (2, 1));
        let stored = ops.datasets().version("hard", &VersionSelector::Latest).await.unwrap();
        let samples = ops.datasets().get_samples(&stored, 0, 10).await.unwrap();
        assert_eq!(samples[1].1.expected_output, ["Yes: four days."]);
    })
    .await;
}

/// The export of a format: its lines, and its counts.
async fn exported(ops: &LlmOps, format: &str) -> (Vec<Value>, ExportCounts) {
    let query = serde_json::from_value(json!({"format": format})).unwrap();
    let (counts, mut lines) = ops.feedback().export(query).await.unwrap();
    let mut found = Vec::new();
    while let Some(line) = lines.recv().await {
        found.push(serde_json::from_str(&line.unwrap()).unwrap());
    }
    assert_eq!(counts.examples, found.len() as u64);
    (found, counts)
}

/// Feedback, in this order, on the answer `5.90` to a question, and then what the conversations for fine-tuning end with.
async fn check_learnt(said: &[Value], decision: Option<Value>, expected: &[&str]) {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        put(&ops, &[record("req_1", json!({"trace_id": TRACE}))]).await;
        for one in said {
            let mut one = one.clone();
            if one.get("trace_id").is_none() {
                one["request_id"] = json!("req_1");
            }
            ops.feedback().submit(&one).await.unwrap();
        }
        if let Some(decision) = &decision {
            ops.reviews().decide("latest", decide(decision.clone())).await.unwrap();
        }
        let (lines, _) = exported(&ops, "openai-ft").await;
        let answers: Vec<&str> = lines.iter().map(|line| line["messages"][1]["content"].as_str().unwrap()).collect();
        assert_eq!(answers, expected, "{said:?} {decision:?}");
    })
    .await;
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test]
async fn the_last_word_on_an_answer_is_what_is_learnt() {
    let (up, down) = (json!({"thumb": "up"}), json!({"thumb": "down"}));
    check_learnt(&[down.clone(), up.clone()], None, &["5.90"]).await;
    check_learnt(&[up.clone(), down.clone()], None, &[]).await;
    check_learnt(&[up.clone(), json!({"trace_id": TRACE.to_uppercase(), "thumb": "down"})], None, &[]).await;
    let wrong = json!({"thumb": "down", "correction": "WRONG"});
    check_learnt(&[up, wrong.clone()], None, &["WRONG"]).await;
    check_learnt(std::slice::from_ref(&wrong), Some(json!({"action": "dismiss"})), &[]).await;
    check_learnt(std::slice::from_ref(&wrong), Some(json!({"action": "label", "label": "price"})), &[]).await;
    check_learnt(std::slice::from_ref(&wrong), Some(json!({"action": "correct", "answer": "4.90"})), &["4.90"]).await;
    check_learnt(&[wrong], Some(json!({"action": "accept"})), &["WRONG"]).await;
    check_learnt(&[down], Some(json!({"action": "accept", "answer_was_right": true})), &["5.90"]).await;
}

/// What becomes of a request that was found good, by the member of the counts that its example is counted in.
async fn check_kept(messages: Value, more: Value, said: Value, expected: &str) {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let mut more = more.clone();
        more["request_body"] = json!(json!({"model": "bot", "messages": messages}).to_string());
        put(&ops, &[record("req_1", more)]).await;
        let mut said = said.clone();
        said["request_id"] = json!("req_1");
        ops.feedback().submit(&said).await.unwrap();
        for format in ["openai-ft", "jsonl"] {
            let (_, counts) = exported(&ops, format).await;
            let counts = serde_json::to_value(counts).unwrap();
            let expected =
                expected.split_once('|').map_or(expected, |(ft, all)| if format == "jsonl" { all } else { ft });
            assert_eq!(counts[expected], 1, "{format}: {counts}");
        }
    })
    .await;
}

#[tokio::test]
async fn secrets_are_found_wherever_they_are() {
    let up = json!({"thumb": "up"});
    let calls = |arguments: &str| {
        json!([{"role": "user", "content": "Write to her"}, {"role": "assistant", "content": null, "tool_calls":
            [{"id": "c1", "type": "function", "function": {"name": "mail", "arguments": arguments}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "sent"}])
    };
    check_kept(calls(r#"{"to": "her"}"#), json!({}), up.clone(), "examples").await;
    check_kept(calls(r#"{"to": "ana@example.org"}"#), json!({}), up.clone(), "secrets").await;
    check_kept(calls(r#"{"to": "[email]"}"#), json!({}), up.clone(), "redacted").await;
    let hello = json!([{"role": "user", "content": "Hello"}]);
    let mail = json!({"thumb": "up", "user": "ana@example.org"});
    check_kept(hello.clone(), json!({}), mail, "examples|secrets").await;
    let signal = json!({"thumb": "up", "signals": {"address": "ana@example.org"}});
    check_kept(hello, json!({}), signal, "examples|secrets").await;
}

#[tokio::test]
async fn conversations_with_tools_bring_them_along() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let tools = json!([{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]);
        let call = json!([{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]);
        let messages = json!([{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Delivery?"},
            {"role": "assistant", "content": null, "tool_calls": call}, {"role": "tool", "tool_call_id": "c1", "content": "5.90"}]);
        let body = json!({"model": "bot", "messages": messages, "tools": tools}).to_string();
        put(&ops, &[record("req_1", json!({"request_body": body})), record("req_2", json!({"request_body": body}))]).await;
        let learnt = async |expected: &str| {
            let (lines, _) = exported(&ops, "openai-ft").await;
            let roles: Vec<_> = lines[0]["messages"].as_array().unwrap().iter().map(|m| m["role"].clone()).collect();
            assert_eq!(roles, ["system", "user", "assistant", "tool", "assistant"]);
            assert_eq!((&lines[0]["messages"][4]["content"], &lines[0]["tools"]), (&json!(expected), &tools));
        };
        ops.feedback().submit(&json!({"request_id": "req_1", "thumb": "up"})).await.unwrap();
        learnt("5.90").await;
        ops.feedback().submit(&json!({"request_id": "req_1", "thumb": "down", "correction": "4.90"})).await.unwrap();
        ops.reviews().decide("latest", decide(json!({"action": "accept"}))).await.unwrap();
        learnt("4.90").await;
        let (pairs, _) = exported(&ops, "preference").await;
        assert_eq!((&pairs[0]["prompt"][0]["role"], &pairs[0]["tools"]), (&json!("system"), &tools));
    })
    .await;
}

#[tokio::test]
async fn functions_are_learnt_as_tools() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let function = json!({"name": "look", "parameters": {"type": "object"}});
        let call = json!({"name": "look", "arguments": "{}"});
        let messages = json!([{"role": "user", "content": "Delivery?"},
            {"role": "assistant", "content": null, "function_call": call}, {"role": "function", "name": "look", "content": "5.90"}]);
        let body = json!({"model": "bot", "messages": messages, "functions": [function]}).to_string();
        put(&ops, &[record("req_1", json!({"request_body": body}))]).await;
        ops.feedback().submit(&json!({"request_id": "req_1", "thumb": "down", "correction": "4.90"})).await.unwrap();
        for (format, member) in [("openai-ft", "messages"), ("preference", "prompt")] {
            let (lines, _) = exported(&ops, format).await;
            assert_eq!(lines[0]["tools"], json!([{"type": "function", "function": function}]), "{format}");
            let calls = json!([{"id": "call_1", "type": "function", "function": call}]);
            assert_eq!(lines[0][member][1]["tool_calls"], calls, "{format}");
            assert_eq!(lines[0][member][2], json!({"role": "tool", "content": "5.90", "tool_call_id": "call_1"}));
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_no_conversation_of_texts_is_left_out() {
    let up = json!({"thumb": "up"});
    let hello = json!([{"role": "user", "content": "Hello"}]);
    let call = json!({"response_body": "look({\"q\":1})", "finish_reason": "tool_calls"});
    check_kept(hello.clone(), call.clone(), up.clone(), "without_answer|examples").await;
    check_kept(hello, call, json!({"correction": "Good day"}), "examples").await;
    let result = json!([{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "4"}]}]);
    check_kept(result, json!({"door": "messages"}), up, "without_text|examples").await;
}

#[tokio::test]
async fn a_reviewer_is_not_told_that_somebody_elses_decision_is_theirs() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        put(&ops, &[record("req_1", json!({}))]).await;
        ops.feedback().submit(&json!({"request_id": "req_1", "thumb": "down"})).await.unwrap();
        let item = ops.reviews().get("latest").await.unwrap();
        // Somebody decided, and their process ended before the sample was in the dataset.
        let request = decide(json!({"action": "correct", "answer": "4.90"}));
        let sample = item.sample(&request, "4.90", "dana").unwrap();
        let decision = json!({"action": "correct", "at": Timestamp::UNIX_EPOCH, "by": "dana", "answer": "4.90",
            "dataset": "golden", "sample": sample});
        let decision = Some(serde_json::from_value(decision).unwrap());
        let half = ReviewItem { status: ReviewStatus::Corrected, decision, ..item };
        ops.store().decide_review(&ProjectId::default_project(), &half).await.unwrap();
        let id = half.id.to_string();
        for other in [json!({"action": "dismiss"}), json!({"action": "correct", "answer": "9.99"})] {
            let late = ops.reviews().decide(&id, decide(other)).await.unwrap_err();
            assert!(matches!(&late, Error::Conflict { message, .. } if message.contains("dana decided")), "{late}");
        }
        assert_eq!(ops.datasets().version("golden", &VersionSelector::Latest).await.unwrap().version.sample_count, 1);
        ops.store().complete_review(&ProjectId::default_project(), &half).await.unwrap();
        let same = ops.reviews().decide(&id, request).await.unwrap();
        assert_eq!((same.item.status, same.item.decision.unwrap().by.as_str()), (ReviewStatus::Corrected, "dana"));
    })
    .await;
}

#[tokio::test]
async fn users_are_hashed_where_the_record_has_hashes() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let hashed = |user: &str| ContentHash::of_bytes(user.as_bytes()).to_string();
        let early = json!({"request_id": "req_1", "thumb": "up", "user": "ben", "idempotency_key": "a"});
        ops.feedback().submit(&early).await.unwrap();
        put(&ops, &[record("req_1", json!({"user": hashed("ana")}))]).await;
        ops.tend_feedback().await.unwrap();
        assert_eq!(ops.feedback().submit(&early).await.unwrap().duplicates, 1);
        ops.feedback().submit(&json!({"request_id": "req_1", "thumb": "up", "user": "cleo"})).await.unwrap();
        let all = ops.feedback().list(&FeedbackFilter::default(), 10).await.unwrap();
        let users: Vec<String> = all.into_iter().filter_map(|feedback| feedback.body.user).collect();
        assert_eq!(users, [hashed("cleo"), hashed("ben")]);
        assert_eq!(ops.records().erase_user("cleo").await.unwrap().feedback, 1);
    })
    .await;
}

#[tokio::test]
async fn experiments_hear_of_feedback_on_their_variants() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let spec = json!({"name": "tone", "variants": [{"id": "control"}, {"id": "warm"}],
            "metrics": [{"name": "feedback_thumb"}, {"name": "feedback_copied"}, {"name": "feedback_correction"}],
            "target_metric": "feedback_thumb"});
        let experiment = ops.experiments().create(serde_json::from_value(spec).unwrap()).await.unwrap();
        ops.experiments().start(experiment.id.as_str()).await.unwrap();
        let variant = |name: &str| json!({"variant": format!("{}/{name}", experiment.id), "user": name});
        put(&ops, &[record("req_1", variant("control")), record("req_2", variant("warm"))]).await;
        for (request, thumb) in [("req_1", "down"), ("req_2", "up")] {
            let said = json!({"request_id": request, "thumb": thumb, "rating": {"value": 3, "scale": 5},
                "signals": {"copied": thumb == "up"}});
            ops.feedback().submit(&said).await.unwrap();
        }
        // Nobody is told twice.
        ops.tend_feedback().await.unwrap();
        let results = ops.experiments().get_results(experiment.id.as_str(), &ResultsQuery::default()).await.unwrap();
        let mean = |variant: &str, metric: &str| results.variant_results[variant].metric_values[metric];
        assert_eq!(results.total_samples, 2);
        assert_eq!([mean("control", "feedback_thumb"), mean("warm", "feedback_thumb")], [0.0, 1.0]);
        assert_eq!(mean("warm", "feedback_copied"), 1.0);
        assert_eq!([mean("control", "feedback_correction"), mean("warm", "feedback_correction")], [0.0, 0.0]);

        // Somebody thinks better of it: the last word counts, and not half of it.
        ops.feedback().submit(&json!({"request_id": "req_1", "thumb": "up", "correction": "4.90"})).await.unwrap();
        let results = ops.experiments().get_results(experiment.id.as_str(), &ResultsQuery::default()).await.unwrap();
        let mean = |variant: &str, metric: &str| results.variant_results[variant].metric_values[metric];
        assert_eq!(results.total_samples, 2);
        assert_eq!([mean("control", "feedback_thumb"), mean("control", "feedback_correction")], [1.0, 1.0]);
    })
    .await;
}

#[tokio::test]
async fn feedback_counts_for_the_experiment_that_gave_the_answer() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let experiments = ops.experiments();
        let spec = json!({"name": "team/tone", "variants": [{"id": "a"}, {"id": "b"}], "metrics": ["feedback_thumb"],
            "target_metric": "feedback_thumb"});
        let mut ids: Vec<String> = Vec::new();
        for _ in 0..2 {
            let made = experiments.create(serde_json::from_value(spec.clone()).unwrap()).await.unwrap();
            if let Some(before) = ids.last() {
                experiments.complete(before, None).await.unwrap();
            }
            ids.push(experiments.start(made.id.as_str()).await.unwrap().id.to_string());
        }
        let [first, second] = [experiments.get(&ids[0]).await.unwrap(), experiments.get(&ids[1]).await.unwrap()];
        let answered =
            |variant: &str, at: Option<Timestamp>| json!({"variant": format!("team/tone/{variant}"), "at": at});
        let earlier = Timestamp::from_second(first.start_time.unwrap().as_second() - 3600).unwrap();
        put(
            &ops,
            &[
                record("req_1", answered("a", first.end_time)),
                record("req_2", answered("b", Some(llmops_domain::clock::now()))),
                record("req_3", answered("b", Some(earlier))),
                record("req_4", answered("c", second.start_time)),
            ],
        )
        .await;
        let said: Vec<Value> = (1..=4).map(|i| json!({"request_id": format!("req_{i}"), "thumb": "up"})).collect();
        ops.feedback().submit_all(&said).await.unwrap();
        ops.tend_feedback().await.unwrap();
        let query = ResultsQuery::default();
        for (id, expected) in ids.iter().zip([["a", "b"], ["b", "a"]]) {
            let results = experiments.get_results(id, &query).await.unwrap();
            let counts = expected.map(|variant| results.variant_results[variant].sample_count);
            assert_eq!((counts, results.excluded.units_in_several_variants), ([1, 0], 0), "{id}");
        }
    })
    .await;
}

#[tokio::test]
async fn one_fault_is_one_item() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let failed = |number: u32, more: Value| {
            let mut all = json!({"soft_failures": [{"kind": "empty", "detail": "no text"}], "response_body": ""});
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            record(&format!("req_{number}"), all)
        };
        let mut records: Vec<RequestRecord> = (0..6).map(|number| failed(number, json!({}))).collect();
        records.push(failed(6, json!({"response_body": "Deliv"})));
        // What keeps no text may be anything.
        records.extend((7..9).map(|number| failed(number, json!({"request_body": null}))));
        put(&ops, &records[..3]).await;
        ops.tend_feedback().await.unwrap();
        put(&ops, &records[3..]).await;
        ops.tend_feedback().await.unwrap();
        let items = ops.reviews().list(&ReviewFilter::default(), 50).await.unwrap();
        let mut requests: Vec<&str> = items.iter().filter_map(|item| item.item.request_id.as_deref()).collect();
        requests.sort_unstable();
        assert_eq!(requests, ["req_0", "req_6", "req_7", "req_8"]);
    })
    .await;
}

#[tokio::test]
async fn soft_failures_come_into_the_queue_and_users_leave_it() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let failure = json!({"soft_failures": [{"kind": "truncated", "detail": "stopped at the token limit"}]});
        put(&ops, &[record("req_1", failure.clone()), record("req_2", json!({}))]).await;
        ops.tend_feedback().await.unwrap();
        ops.tend_feedback().await.unwrap();
        let items = ops.reviews().list(&ReviewFilter::default(), 10).await.unwrap();
        assert_eq!(items.len(), 1);
        assert_eq!(
            (items[0].item.reason, &*items[0].item.detail),
            (ReviewReason::SoftFailure, "stopped at the token limit")
        );
        ops.feedback().submit(&json!({"request_id": "req_2", "thumb": "up"})).await.unwrap();
        let erased = ops.records().erase_user("ana").await.unwrap();
        assert_eq!((erased.records, erased.feedback, erased.review_items), (2, 1, 1));
        let filter = AuditFilter { action: Some("user".to_owned()), ..AuditFilter::default() };
        let lines = ops.audit().list(None, &filter, 9).await.unwrap();
        assert_eq!((lines.len(), &lines[0].after["records"]), (1, &json!(2)));
        assert_eq!(lines[0].target, ContentHash::of_bytes(b"ana").as_str(), "who it was is not said again");
        // A flood of failures is no flood of work.
        let asked = |i: u32| {
            let body = json!({"model": "bot", "messages": [{"role": "user", "content": format!("Question {i}")}]});
            // The user who was erased has no more records of before.
            json!({"user": "ben", "soft_failures": failure["soft_failures"], "request_body": body.to_string()})
        };
        let flood: Vec<_> = (0..150).map(|i| record(&format!("req_9{i:03}"), asked(i))).collect();
        put(&ops, &flood).await;
        ops.tend_feedback().await.unwrap();
        assert_eq!(ops.reviews().list(&ReviewFilter::default(), 500).await.unwrap().len(), 100);
    })
    .await;
}

#[tokio::test]
async fn answers_that_no_judge_looked_at_are_not_uncertain() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        add_samples(&ops, 3).await;
        let run = finish(&ops, run("m", exact())).await;
        let found = ops.reviews().collect(&run.id.as_str().into()).await.unwrap();
        assert_eq!((found.added, found.known), (0, 0));
    })
    .await;
}
