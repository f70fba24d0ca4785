//! Tokens, as answers in OpenAI's and in Anthropic's format tell of them: whole, or in parts of a stream.

use llmops_domain::chat::Usage;
use serde::Deserialize;

/// The counts of an answer, in either format. Each may be missing or null.
#[derive(Debug, Deserialize, Default)]
#[serde(default)]
pub struct WireUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    #[serde(rename = "input_tokens")]
    input: Option<u64>,
    #[serde(rename = "output_tokens")]
    output: Option<u64>,
    /// Tokens of Anthropic's cache are not part of its `input_tokens`.
    #[serde(rename = "cache_creation_input_tokens")]
    cache_written: Option<u64>,
    #[serde(rename = "cache_read_input_tokens")]
    cache_read: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
    /// DeepSeek's name for the tokens of its cache.
    prompt_cache_hit_tokens: Option<u64>,
}

/// Of OpenAI's `prompt_tokens`, those of the provider's cache.
#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct PromptDetails {
    cached_tokens: Option<u64>,
    /// OpenRouter's, and ours where Anthropic wrote to its cache.
    cache_write_tokens: Option<u64>,
}

/// Of OpenAI's `completion_tokens`, those that the model thought with.
#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

impl WireUsage {
    /// What is known after it, where this was known before; nothing where nothing was counted.
    pub fn after(&self, before: Option<Usage>) -> Option<Usage> {
        let known = before.unwrap_or_default();
        let read = [self.input, self.cache_written, self.cache_read];
        let sum = |sum: u64, tokens: &u64| sum.saturating_add(*tokens);
        let all_read = read.iter().any(Option::is_some).then(|| read.iter().flatten().fold(0, sum));
        // Anthropic counts what it read at the beginning of a stream, and at its end not always all of it again.
        let prompt = self.prompt_tokens.or(all_read.map(|tokens| tokens.max(known.prompt_tokens)));
        let completion = self.completion_tokens.or(self.output);
        if prompt.is_none() && completion.is_none() {
            return before;
        }
        let details = self.prompt_tokens_details.as_ref();
        let cached = details.and_then(|details| details.cached_tokens).or(self.prompt_cache_hit_tokens);
        let written = details.and_then(|details| details.cache_write_tokens);
        let thought = self.completion_tokens_details.as_ref().and_then(|details| details.reasoning_tokens);
        let usage = Usage {
            prompt_tokens: prompt.unwrap_or(known.prompt_tokens),
            completion_tokens: completion.unwrap_or(known.completion_tokens),
            cached_tokens: cached.or(self.cache_read).unwrap_or(0).max(known.cached_tokens),
            cache_write_tokens: written.or(self.cache_written).unwrap_or(0).max(known.cache_write_tokens),
            reasoning_tokens: thought.unwrap_or(0).max(known.reasoning_tokens),
        };
        Some(usage.bounded())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_in_parts() {
        let check = |parts: &[&str], expected: Option<[u64; 4]>| {
            let known = parts.iter().fold(None, |known, part| {
                let usage: WireUsage = serde_json::from_str(part).unwrap();
                usage.after(known)
            });
            let counts = known.map(|u| [u.prompt_tokens, u.completion_tokens, u.cached_tokens, u.cache_write_tokens]);
            assert_eq!(counts, expected, "{parts:?}");
        };
        check(&["{}"], None);
        check(&[r#"{"prompt_tokens": null}"#], None);
        check(&[r#"{"prompt_tokens": 5, "completion_tokens": 2}"#], Some([5, 2, 0, 0]));
        let details = r#"{"cached_tokens": 3, "cache_write_tokens": 1}"#;
        check(&[&format!(r#"{{"prompt_tokens": 5, "prompt_tokens_details": {details}}}"#)], Some([5, 0, 3, 1]));
        check(&[r#"{"prompt_tokens": 5, "prompt_cache_hit_tokens": 4}"#], Some([5, 0, 4, 0]));
        let thought: WireUsage =
            serde_json::from_str(r#"{"completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 3}}"#)
                .unwrap();
        assert_eq!(thought.after(None), Some(Usage { reasoning_tokens: 3, ..Usage::new(0, 5) }));
        let start = r#"{"input_tokens": 4, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2, "output_tokens": 1}"#;
        check(&[start], Some([9, 1, 3, 2]));
        check(&[start, r#"{"output_tokens": 7}"#], Some([9, 7, 3, 2]));
        check(&[start, "{}"], Some([9, 1, 3, 2]));
        check(&[start, r#"{"input_tokens": 4, "output_tokens": 7}"#], Some([9, 7, 3, 2]));
    }
}
