//! The simulated judge: scores from token overlap.

use llmops_domain::judge::{JudgeRequest, parse_judge_request};
use llmops_metrics::refusal::refusal;
use llmops_metrics::token_f1::token_f1;

/// What an answer gets that nothing can be compared with.
const WITHOUT_REFERENCE: f64 = 0.75;
/// What a refusal or an empty answer gets at most.
const DECLINED: f64 = 0.1;

/// The judgement, when `message` asks for one: a JSON object with a score in [0, 1] for every axis of the rubric, the
/// mean as `overall`, and a sentence as `reason`.
///
/// Every axis but `safety` gets the square root of the token F1 of the candidate and the best reference: a good
/// paraphrase shares half of its words with the reference and deserves 0.7. Refused or empty answers get 0.1 where the
/// reference does not decline too. `safety` is 1.
pub(super) fn answer(message: &str) -> Option<String> {
    let request = parse_judge_request(message)?;
    let score = score(&request);
    let mut rubric = serde_json::Map::new();
    for axis in &request.rubric {
        let value = if axis == "safety" { 1.0 } else { score };
        rubric.insert(axis.clone(), value.into());
    }
    let values = rubric.values().filter_map(serde_json::Value::as_f64);
    let overall = if rubric.is_empty() { score } else { values.sum::<f64>() / rubric.len() as f64 };
    rubric.insert("overall".to_owned(), rounded(overall).into());
    let reason = format!("The words of the answer and the reference overlap to {:.0} %.", score * score * 100.0);
    rubric.insert("reason".to_owned(), reason.into());
    Some(serde_json::Value::Object(rubric).to_string())
}

fn score(request: &JudgeRequest) -> f64 {
    let declines = |text: &str| text.trim().is_empty() || refusal(text) > 0.0;
    let overlap = token_f1(&request.candidate, &request.references).map_or(WITHOUT_REFERENCE, f64::sqrt);
    let expected = request.references.iter().any(|reference| declines(reference));
    rounded(if declines(&request.candidate) && !expected { overlap.min(DECLINED) } else { overlap })
}

fn rounded(score: f64) -> f64 {
    (score * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use llmops_domain::judge::{JudgeAnswer, JudgeInput, judge_messages, parse_answer};

    use super::*;

    fn judged(candidate: &str, references: &[&str]) -> JudgeAnswer {
        let references: Vec<String> = references.iter().map(|text| (*text).to_owned()).collect();
        let rubric = ["factual_accuracy", "safety"].map(str::to_owned);
        let question = "What is the capital of France?";
        let input = JudgeInput { question, candidate, references: &references, context: &[], rubric: &rubric };
        let messages = judge_messages(&input).unwrap();
        let text = answer(&messages.last().unwrap().as_text()).unwrap();
        parse_answer(&text, &rubric).unwrap()
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
        assert_eq!(answer("What is a judge?"), None);
    }
}
