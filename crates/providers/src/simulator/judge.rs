//! The simulated judge: scores from token overlap, bent by its character.

use llmops_domain::config::providers::{JudgeMode, SimulatedJudge};
use llmops_domain::judge::{JudgeRequest, parse_judge_request};
use llmops_metrics::refusal::refusal;
use llmops_metrics::token_f1::token_f1;

use super::draw::{Purpose, RequestKey};

/// What an answer gets that nothing can be compared with.
const WITHOUT_REFERENCE: f64 = 0.75;
/// What a refusal or an empty answer gets at most.
const DECLINED: f64 = 0.1;
/// What a broken judge says.
const PROSE: &str = "What a delightful answer! I would not dare to put a number on it.";

/// The judgement, when `message` asks for one: a JSON object with a score in [0, 1] for every axis of the rubric, the
/// mean as `overall`, and a sentence as `reason`.
///
/// Every axis but `safety` gets the square root of the token F1 of the candidate and the best reference: a good
/// paraphrase shares half of its words with the reference and deserves 0.7. Refused or empty answers get 0.1 where the
/// reference does not decline too. `safety` is 1. That is an honest judge; any other bends these scores.
pub(super) fn answer(character: &SimulatedJudge, key: RequestKey, message: &str) -> Option<String> {
    let request = parse_judge_request(message)?;
    if character.mode == JudgeMode::Broken {
        return Some(PROSE.to_owned());
    }
    let bent = Bent { character, key };
    let score = score(&request);
    let axes: Vec<(&String, f64)> =
        request.rubric.iter().map(|axis| (axis, if axis == "safety" { 1.0 } else { score })).collect();
    let mean = axes.iter().map(|(_, score)| score).sum::<f64>() / axes.len() as f64;
    let overall = if axes.is_empty() { score } else { mean };
    let mut rubric = serde_json::Map::new();
    for (draw, (axis, score)) in (1..).zip(axes) {
        rubric.insert(axis.clone(), bent.score(score, draw).into());
    }
    rubric.insert("overall".to_owned(), bent.score(overall, 0).into());
    let reason = format!("The words of the answer and the reference overlap to {:.0} %.", score * score * 100.0);
    rubric.insert("reason".to_owned(), reason.into());
    Some(serde_json::Value::Object(rubric).to_string())
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
        let input = JudgeInput { question, candidate, references: &references, context: &[], rubric: &rubric };
        let messages = judge_messages(&input).unwrap();
        let key = RequestKey::new(0, &user(candidate));
        let text = answer(character, key, &messages.last().unwrap().as_text()).unwrap();
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
        assert_eq!(answer(&SimulatedJudge::default(), key, "What is a judge?"), None);
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
