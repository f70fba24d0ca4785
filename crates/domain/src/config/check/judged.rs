//! Scorers that ask models.

use super::Checker;
use crate::prompt::PromptRef;
use crate::scoring::{PairwiseSpec, ScorerSpec};

impl Checker<'_> {
    /// The options of a scorer that asks models.
    pub(super) fn judged(&mut self, at: &str, scorer: &ScorerSpec) {
        let several = matches!(scorer, ScorerSpec::Panel(_) | ScorerSpec::Debate(_));
        for (index, model) in scorer.judge_models().into_iter().enumerate() {
            let pointer = if several { format!("{at}/models/{index}") } else { format!("{at}/model") };
            self.model(&pointer, model);
            self.judges_itself(&pointer, model);
        }
        self.distinct(&format!("{at}/rubric"), "axis", scorer.rubric().unwrap_or_default());
        for slot in scorer.clone().prompt_slots() {
            let key = if slot.kind == crate::judge::JudgePromptKind::Debate { "debate_prompt" } else { "prompt" };
            if slot.reference.as_ref().is_some_and(|reference| reference.parse::<PromptRef>().is_err()) {
                let pointer = format!("{at}/{key}");
                let message = format!("{} names no prompt version", self.document.quote(&pointer));
                let hint = "write NAME, NAME@1.2.0 or NAME@HASH with at least 12 hex digits".to_owned();
                self.error(&pointer, message, Some(hint));
            }
        }
        match scorer {
            ScorerSpec::Checklist(spec) => {
                let items: Vec<String> = spec.items.iter().map(|item| item.text().to_owned()).collect();
                self.distinct(&format!("{at}/items"), "item", &items);
                for (index, item) in spec.items.iter().enumerate() {
                    if !(item.weight() > 0.0 && item.weight().is_finite()) {
                        self.error(&format!("{at}/items/{index}/weight"), "must be above 0", None);
                    }
                }
            }
            ScorerSpec::Pairwise(spec) if spec.against.trim().is_empty() => {
                let hint = format!("write {}, {} or a run's id", PairwiseSpec::REFERENCE, PairwiseSpec::BASELINE);
                self.error(&format!("{at}/against"), "the answer to compare with is missing", Some(hint));
            }
            ScorerSpec::Debate(spec) if spec.models.len() == 2 => {
                let hint = Some("with three judges or more, one that lies or is fooled cannot decide".to_owned());
                self.warn(&format!("{at}/models"), "a debate of two takes the mean of both", hint);
            }
            _ => {}
        }
    }

    /// Texts that must not be empty or there twice.
    fn distinct(&mut self, at: &str, what: &str, texts: &[String]) {
        for (index, text) in texts.iter().enumerate() {
            let pointer = format!("{at}/{index}");
            if text.trim().is_empty() {
                let message = if what == "axis" { "the axis needs a name" } else { "the item needs a text" };
                self.error(&pointer, message, None);
            } else if texts[..index].contains(text) {
                let quoted = self.document.quote(&pointer);
                let place = if what == "axis" { "rubric" } else { "checklist" };
                self.error(&pointer, format!("{quoted} is in the {place} twice"), None);
            }
        }
    }

    fn judges_itself(&mut self, pointer: &str, judge: &str) {
        let config = self.config;
        if let Some((name, _)) = config.targets.iter().find(|(_, target)| target.model.as_deref() == Some(judge)) {
            let hint = Some("models favour their own answers: let another one judge".to_owned());
            self.warn(pointer, format!("the judge is the model of the target `{name}`"), hint);
        }
        if config.scoring.max_judge_cost.is_some() && self.has_no_price(judge) {
            let hint = Some(format!("write `prices: {{{judge}: {{input: …, output: …}}}}`"));
            let message = "the model has no price, so `max_judge_cost` cannot hold it back";
            self.warn(pointer, message, hint);
        }
    }

    /// Whether nobody says what a model costs. The simulator costs nothing.
    fn has_no_price(&self, model: &str) -> bool {
        let Some((provider, _)) = model.split_once('/') else { return false };
        let prices = &self.config.prices;
        let free = matches!(
            self.config.providers.get(provider),
            None | Some(crate::config::ProviderConfig::Simulator(_) | crate::config::ProviderConfig::Outputs(_))
        );
        !free && !prices.contains_key(model) && !prices.contains_key(&format!("{provider}/*"))
    }
}
