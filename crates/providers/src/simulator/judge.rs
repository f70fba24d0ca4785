//! The simulated judge: scores from token overlap, bent by its character.

use std::collections::BTreeSet;

use llmops_domain::config::providers::{JudgeMode, SimulatedJudge};
use llmops_domain::judge::debate::median;
use llmops_domain::judge::{AskedTask, JudgeRequest, JudgedMetric, parse_judge_request};
use llmops_metrics::refusal::refusal;
use llmops_metrics::token_f1::token_f1;
use serde_json::{Map, Value, json};

use super::draw::{Purpose, RequestKey};

/// What an answer gets that nothing can be compared with.
const WITHOUT_REFERENCE: f64 = 0.75;
/// What a refusal or an empty answer gets at most.
const DECLINED: f64 = 0.1;
/// Share of a claim's words that the context must have.
const SUPPORTED: f64 = 0.6;
/// How much better one of two answers must be to win.
const BETTER: f64 = 0.05;
/// Score from which on a checklist's item is met.
const MET: f64 = 0.5;
/// What a broken judge says.
const PROSE: &str = "What a delightful answer! I would not dare to put a number on it.";

/// The judgement, when `message` asks for one.
///
/// * **Rubric**: every axis but `safety` gets the square root of the token F1 of the candidate and the best reference: a
///   good paraphrase shares half of its words with the reference and deserves 0.7. Without references the context stands
///   in: the share of the candidate's words that it has. Refused or empty answers get 0.1 where the reference does not
///   decline too. `safety` is 1, and `overall` is the mean.
/// * **Debate**: the same again; `sway` moves it towards the median of the others.
/// * **Claims**: each sentence is a claim, and holds when six in ten of its words stand in context or question.
/// * **Answer relevance, helpfulness**: the share of the question's words of four letters or more that the candidate or
///   the best reference shares with it, refusals and empty answers as above. **Accuracy**: as a rubric's axis.
/// * **Checklist**: yes to every item when a rubric's axis would get at least 0.5.
/// * **Comparison**: the answer wins that would get the higher score, by at least 0.05. Without references and context, what
///   the script answers to the question (`known`) is the reference; without that, too, the answer wins that takes up more of the
///   question.
///
/// That is an honest judge; any other bends its findings.
pub(super) fn answer(
    character: &SimulatedJudge,
    key: RequestKey,
    message: &str,
    known: impl FnOnce(&str) -> Option<String>,
) -> Option<String> {
    let mut request = parse_judge_request(message)?;
    if matches!(request.task, AskedTask::Pairwise(_)) && request.references.is_empty() && request.context.is_none() {
        request.references.extend(known(&request.question));
    }
    if character.mode == JudgeMode::Broken {
        return Some(PROSE.to_owned());
    }
    let bent = Bent { character, key };
    let said = match &request.task {
        AskedTask::Rubric(rubric) => bent.rubric(&request, rubric, None),
        AskedTask::Debate { rubric, others } => bent.rubric(&request, rubric, median(others)),
        AskedTask::Metric(metric) if metric.is_by_claims() => bent.claims(&request, *metric),
        AskedTask::Metric(metric) => bent.metric(&request, *metric),
        AskedTask::Checklist(items) => bent.checklist(&request, items),
        AskedTask::Pairwise(second) => bent.comparison(&request, second),
    };
    Some(said.to_string())
}

/// A character that judges one request.
struct Bent<'a> {
    character: &'a SimulatedJudge,
    key: RequestKey,
}

impl Bent<'_> {
    /// What becomes of an honest score; `draw` tells the scores of one answer apart.
    fn score(&self, honest: f64, draw: u32) -> f64 {
        let SimulatedJudge { mode, bias, noise, score, .. } = *self.character;
        let base = score.unwrap_or(if mode == JudgeMode::Liar { 1.0 - honest } else { honest });
        let noise = noise * (2.0 * self.key.unit(Purpose::JudgeNoise, draw) - 1.0);
        rounded((base + bias + noise).clamp(0.0, 1.0))
    }

    /// What becomes of an honest yes or no.
    fn verdict(&self, honest: bool) -> bool {
        honest != (self.character.mode == JudgeMode::Liar)
    }

    fn rubric(&self, request: &JudgeRequest, rubric: &[String], others: Option<f64>) -> Value {
        let score = score(&request.candidate, request);
        let axes: Vec<(&String, f64)> =
            rubric.iter().map(|axis| (axis, if axis == "safety" { 1.0 } else { score })).collect();
        let mean = axes.iter().map(|(_, score)| score).sum::<f64>() / axes.len() as f64;
        let overall = if axes.is_empty() { score } else { mean };
        let swayed = |own: f64| match others {
            Some(others) => rounded(own + self.character.sway * (others - own)),
            None => own,
        };
        let mut answer = Map::new();
        for (draw, (axis, score)) in (1..).zip(axes) {
            answer.insert(axis.clone(), swayed(self.score(score, draw)).into());
        }
        answer.insert("overall".to_owned(), swayed(self.score(overall, 0)).into());
        let reason = if request.references.is_empty() {
            "There is no reference to compare with.".to_owned()
        } else {
            format!("The words of the answer and the reference overlap to {:.0} %.", score * score * 100.0)
        };
        answer.insert("reason".to_owned(), reason.into());
        Value::Object(answer)
    }

    fn metric(&self, request: &JudgeRequest, metric: JudgedMetric) -> Value {
        let honest = match metric {
            JudgedMetric::Accuracy => score(&request.candidate, request),
            _ => relevance(&request.candidate, request),
        };
        json!({"score": self.score(honest, 0), "reason": "Judged by the words that both have."})
    }

    fn claims(&self, request: &JudgeRequest, metric: JudgedMetric) -> Value {
        let mut known = words(request.context.as_deref().unwrap_or_default());
        known.extend(words(&request.question));
        let claims = sentences(&request.candidate).into_iter().map(|claim| {
            let holds = self.verdict(coverage(&words(claim), &known) >= SUPPORTED);
            let reason = if holds { "The context has its words." } else { "The context lacks its words." };
            match metric {
                JudgedMetric::Hallucination => json!({"claim": claim, "invented": !holds, "reason": reason}),
                _ => json!({"claim": claim, "supported": holds, "reason": reason}),
            }
        });
        json!({"claims": claims.collect::<Vec<_>>()})
    }

    fn checklist(&self, request: &JudgeRequest, items: &[String]) -> Value {
        let items = (1..).zip(items).map(|(number, _)| {
            let met = self.verdict(self.bent_or_honest(score(&request.candidate, request), number) >= MET);
            let reason = if met { "The answer meets it." } else { "The answer does not meet it." };
            json!({"item": number, "answer": if met { "yes" } else { "no" }, "reason": reason})
        });
        json!({"items": items.collect::<Vec<_>>()})
    }

    /// A score with bias and noise, but not yet turned upside down: a verdict is turned as a whole.
    fn bent_or_honest(&self, honest: f64, draw: u32) -> f64 {
        let character = SimulatedJudge { mode: JudgeMode::Honest, ..self.character.clone() };
        Bent { character: &character, key: self.key }.score(honest, draw)
    }

    fn comparison(&self, request: &JudgeRequest, second: &str) -> Value {
        if self.key.unit(Purpose::JudgePosition, 0) < self.character.position_bias {
            return json!({"winner": "first", "reason": "The first answer reads well."});
        }
        let lead = worth(&request.candidate, request) - worth(second, request);
        let lead = if self.character.mode == JudgeMode::Liar { -lead } else { lead };
        let winner = match lead {
            lead if lead >= BETTER => "first",
            lead if lead <= -BETTER => "second",
            _ => "tie",
        };
        json!({"winner": winner, "reason": "Judged by the words that both have."})
    }
}

/// How good an answer is, by its words.
fn score(candidate: &str, request: &JudgeRequest) -> f64 {
    let declines = |text: &str| text.trim().is_empty() || refusal(text) > 0.0;
    let by_context = || request.context.as_deref().map(|context| coverage(&words(candidate), &words(context)));
    let overlap = token_f1(candidate, &request.references).map(f64::sqrt).or_else(by_context);
    let overlap = overlap.unwrap_or(WITHOUT_REFERENCE);
    let expected = request.references.iter().any(|reference| declines(reference));
    rounded(if declines(candidate) && !expected { overlap.min(DECLINED) } else { overlap })
}

/// How good one of two answers is: where there is nothing else to compare it with, by how much of the question it takes up.
fn worth(candidate: &str, request: &JudgeRequest) -> f64 {
    if request.references.is_empty() && request.context.is_none() {
        relevance(candidate, request)
    } else {
        score(candidate, request)
    }
}

/// How much of what is asked an answer takes up.
fn relevance(candidate: &str, request: &JudgeRequest) -> f64 {
    if candidate.trim().is_empty() || refusal(candidate) > 0.0 {
        return DECLINED;
    }
    let asked: BTreeSet<String> = words(&request.question).into_iter().filter(|w| w.chars().count() >= 4).collect();
    if asked.is_empty() { WITHOUT_REFERENCE } else { rounded(coverage(&asked, &words(candidate)).sqrt()) }
}

/// The share of some words that others have; 1 of none.
fn coverage(some: &BTreeSet<String>, others: &BTreeSet<String>) -> f64 {
    if some.is_empty() { 1.0 } else { some.intersection(others).count() as f64 / some.len() as f64 }
}

fn words(text: &str) -> BTreeSet<String> {
    let split = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    split.map(str::to_lowercase).collect()
}

/// Sentences with a word in them.
fn sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = 0;
    let ends = text.char_indices().filter(|(_, c)| matches!(c, '.' | '!' | '?' | '\n' | '。' | '！' | '？'));
    for end in ends.map(|(at, c)| at + c.len_utf8()).chain([text.len()]) {
        // A point within a number or a name ends no sentence.
        if end < text.len() && !text[end..].starts_with(char::is_whitespace) && text.as_bytes()[end - 1] == b'.' {
            continue;
        }
        let sentence = text[start..end].trim();
        if sentence.chars().any(char::is_alphanumeric) {
            found.push(sentence);
        }
        start = end;
    }
    found
}

fn rounded(score: f64) -> f64 {
    (score * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use llmops_domain::judge::{
        JudgeAnswer, JudgeInput, JudgeTask, Winner, judge_messages, parse_answer, parse_claims, parse_items,
        parse_score, parse_winner,
    };

    use super::*;
    use crate::test_support::user;

    fn judged(candidate: &str, references: &[&str]) -> JudgeAnswer {
        judged_by(&SimulatedJudge::default(), candidate, references).unwrap()
    }

    fn judged_by(
        character: &SimulatedJudge,
        candidate: &str,
        references: &[&str],
    ) -> Result<JudgeAnswer, llmops_domain::judge::JudgeFormatError> {
        let references: Vec<String> = references.iter().map(|text| (*text).to_owned()).collect();
        let rubric = ["factual_accuracy", "safety"].map(str::to_owned);
        let question = "What is the capital of France?";
        let input = JudgeInput { question, candidate, references: &references, context: &[] };
        let messages = judge_messages(&input, &JudgeTask::Rubric(&rubric)).unwrap();
        let key = RequestKey::new(0, &user(candidate));
        let text = answer(character, key, &messages.last().unwrap().as_text(), |_| None).unwrap();
        parse_answer(&text, &rubric)
    }

    #[test]
    fn scores_by_overlap() {
        let check = |candidate: &str, references: &[&str], accuracy: f64| {
            let judged = judged(candidate, references);
            assert_eq!(judged.axes["factual_accuracy"].score, accuracy, "{candidate}");
            assert_eq!(judged.axes["safety"].score, 1.0);
            assert!((judged.overall - f64::midpoint(accuracy, 1.0)).abs() < 0.001);
        };
        check("Paris is the capital.", &["Paris is the capital."], 1.0);
        check("It is Paris", &["Rome", "Paris"], 0.707);
        check("Berlin", &["Paris"], 0.0);
        check("", &["Paris"], 0.0);
        check("I'm sorry, but I can't help with that.", &["I can help with that, sorry"], DECLINED);
        check("I'm sorry, but I can't help with that.", &["I'm sorry, but I can't help with that."], 1.0);
        check("Anything", &[], WITHOUT_REFERENCE);
        check("", &[], DECLINED);
    }

    #[test]
    fn other_messages_are_not_judged() {
        let key = RequestKey::new(0, &user("x"));
        assert_eq!(answer(&SimulatedJudge::default(), key, "What is a judge?", |_| None), None);
    }

    #[test]
    fn characters_bend_scores() {
        let check = |character: SimulatedJudge, candidate: &str, accuracy: f64, overall: f64| {
            let judged = judged_by(&character, candidate, &["Paris"]).unwrap();
            assert_eq!((judged.axes["factual_accuracy"].score, judged.overall), (accuracy, overall), "{character:?}");
        };
        let biased = |bias| SimulatedJudge { bias, ..SimulatedJudge::default() };
        check(biased(0.2), "It is Paris", 0.907, 1.0);
        check(biased(0.2), "Berlin", 0.2, 0.7);
        check(biased(-0.9), "Berlin", 0.0, 0.0);
        let liar = SimulatedJudge { mode: JudgeMode::Liar, ..SimulatedJudge::default() };
        check(liar.clone(), "Paris", 0.0, 0.0);
        check(liar.clone(), "Berlin", 1.0, 0.5);
        check(SimulatedJudge { score: Some(0.9), ..liar }, "Berlin", 0.9, 0.9);
        let broken = SimulatedJudge { mode: JudgeMode::Broken, ..SimulatedJudge::default() };
        assert_eq!(judged_by(&broken, "Paris", &["Paris"]).unwrap_err().reason(), "judge: no JSON");
    }

    /// What a judge says when it is asked about an answer to "What is the capital of France?".
    fn said(character: &SimulatedJudge, candidate: &str, task: &JudgeTask<'_>) -> String {
        let (references, context) = (["Paris".to_owned()], ["The capital of France is Paris.".to_owned()]);
        let question = "What is the capital of France?";
        let input = JudgeInput { question, candidate, references: &references, context: &context };
        let messages = judge_messages(&input, task).unwrap();
        let message = messages.last().unwrap().as_text().into_owned();
        answer(character, RequestKey::new(0, &user(&message)), &message, |_| None).unwrap()
    }

    #[test]
    fn every_task_is_done() {
        let (honest, liar) =
            (SimulatedJudge::default(), SimulatedJudge { mode: JudgeMode::Liar, ..SimulatedJudge::default() });
        let invented = "Paris is the capital. It has 9 million penguins.";
        for (judge, holding) in [(&honest, [true, false]), (&liar, [false, true])] {
            for metric in [JudgedMetric::Faithfulness, JudgedMetric::Hallucination] {
                let claims = parse_claims(&said(judge, invented, &JudgeTask::Metric(metric)), metric).unwrap();
                assert_eq!(claims.iter().map(|c| c.holds).collect::<Vec<_>>(), holding, "{claims:?}");
            }
        }
        let relevance = |candidate: &str| {
            parse_score(&said(&honest, candidate, &JudgeTask::Metric(JudgedMetric::AnswerRelevance))).unwrap().score
        };
        assert!(relevance("The capital of France: what a city!") > 0.9 && relevance("Use more salt.") < 0.1);
        assert_eq!((relevance("I'm sorry, but I can't help with that."), relevance("")), (DECLINED, DECLINED));
        let items = ["Is it right?".to_owned(), "Is it short?".to_owned()];
        let met = |judge, candidate: &str| {
            let answers = parse_items(&said(judge, candidate, &JudgeTask::Checklist(&items)), &items).unwrap();
            answers.iter().filter(|item| item.yes).count()
        };
        assert_eq!((met(&honest, "Paris"), met(&honest, "Berlin"), met(&liar, "Paris")), (2, 0, 0));
        let winner = |judge, first: &str, second: &str| {
            parse_winner(&said(judge, first, &JudgeTask::Pairwise(second))).unwrap().0
        };
        assert_eq!(winner(&honest, "Paris", "Berlin"), Winner::First);
        assert_eq!(winner(&honest, "Berlin", "Paris"), Winner::Second);
        assert_eq!(winner(&honest, "Paris.", "paris"), Winner::Tie);
        assert_eq!(winner(&liar, "Paris", "Berlin"), Winner::Second);
        // Without a reference the question decides.
        let compared = |first: &str, second: &str| {
            let input = JudgeInput {
                question: "What is the capital of France?",
                candidate: first,
                references: &[],
                context: &[],
            };
            let messages = judge_messages(&input, &JudgeTask::Pairwise(second)).unwrap();
            let message = messages.last().unwrap().as_text().into_owned();
            let said = answer(&honest, RequestKey::new(0, &user(&message)), &message, |_| None).unwrap();
            parse_winner(&said).unwrap().0
        };
        assert_eq!(compared("zzz zzz", "Paris is the capital of France."), Winner::Second);
        let first = SimulatedJudge { position_bias: 1.0, ..SimulatedJudge::default() };
        assert_eq!(winner(&first, "Berlin", "Paris"), Winner::First);
    }

    #[test]
    fn sway_moves_towards_the_others() {
        let axes = ["factual_accuracy".to_owned()];
        let of = |overall| JudgeAnswer { axes: std::collections::BTreeMap::new(), overall, reason: None };
        let (own, low, high) = (of(1.0), of(0.2), of(0.4));
        let revised = |sway| {
            let judge = SimulatedJudge { sway, ..SimulatedJudge::default() };
            let task = JudgeTask::Debate { rubric: &axes, own: &own, others: &[&low, &high] };
            parse_answer(&said(&judge, "Paris", &task), &axes).unwrap().overall
        };
        assert_eq!((revised(0.0), revised(0.5), revised(1.0)), (1.0, 0.65, 0.3));
    }

    #[test]
    fn sentences_end_where_they_do() {
        let check = |text: &str, expected: &[&str]| assert_eq!(sentences(text), expected);
        check("It is 3.5 km. Really? Yes!\n\n- ", &["It is 3.5 km.", "Really?", "Yes!"]);
        check("", &[]);
        check("東京です。大阪ではない。", &["東京です。", "大阪ではない。"]);
        check("no end", &["no end"]);
    }

    #[test]
    fn noise_is_even_and_has_no_bias() {
        let noisy = SimulatedJudge { noise: 0.2, ..SimulatedJudge::default() };
        let of = |i: u32| judged_by(&noisy, &format!("Berlin {i}"), &["Paris"]).unwrap().overall - 0.5;
        let errors: Vec<f64> = (0..2_000).map(of).collect();
        assert!(errors.iter().all(|e| e.abs() <= 0.2));
        // Uniform on ±0.2: standard deviation 0.1155, of the mean 0.0026.
        assert!((errors.iter().sum::<f64>() / 2_000.0).abs() < 0.01);
        assert!((errors.iter().map(|e| e * e).sum::<f64>() / 2_000.0 - 0.04 / 3.0).abs() < 0.001);
        assert_eq!(of(1).to_bits(), of(1).to_bits());
    }
}
