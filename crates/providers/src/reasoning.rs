//! How hard a model should think: in words, as OpenAI's format says it, and in tokens, as Anthropic's and Gemini's do. The words
//! stand for the tokens that Google's door for OpenAI's clients takes them for.

/// Tokens for `low`, the fewest that Anthropic takes.
pub(crate) const LOW: u32 = 1024;
const MEDIUM: u32 = 8192;
const HIGH: u32 = 24576;

/// The word for a number of tokens.
pub fn effort(budget: u64) -> &'static str {
    match budget {
        budget if budget <= u64::from(LOW) => "low",
        budget if budget <= u64::from(MEDIUM) => "medium",
        _ => "high",
    }
}

/// The tokens that a word stands for; nothing where it is no such word.
pub fn budget(effort: &str) -> Option<u32> {
    match effort {
        "none" => Some(0),
        "minimal" | "low" => Some(LOW),
        "medium" => Some(MEDIUM),
        "high" | "xhigh" => Some(HIGH),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_tokens() {
        for word in ["low", "medium", "high"] {
            assert_eq!(effort(budget(word).unwrap().into()), word);
        }
        let words = ["none", "minimal", "xhigh", "much"].map(budget);
        assert_eq!(words, [Some(0), Some(1024), Some(24576), None]);
        assert_eq!([effort(1), effort(2048), effort(u64::MAX)], ["low", "medium", "high"]);
    }
}
