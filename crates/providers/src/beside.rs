//! What an answer has beside its text and its calls of tools: thoughts, pictures, addresses that it refers to. The gateway hands
//! it on to callers of another format; nothing is scored by it.

use llmops_domain::chat::ChatResponse;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A whole answer with all that it has.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Whole {
    /// The answer.
    pub response: ChatResponse,
    /// What stands beside it.
    pub beside: Beside,
}

/// What an answer has beside its text and its calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beside {
    /// What the model thought, to be read.
    pub thoughts: String,
    /// The same in Anthropic's blocks, which it wants back in the next round of calls of tools.
    pub blocks: Vec<ThinkingBlock>,
    /// Pictures, each as a `data:` address.
    pub pictures: Vec<String>,
    /// What the text refers to.
    pub citations: Vec<Citation>,
    /// OpenAI's `system_fingerprint`.
    pub fingerprint: Option<String>,
}

/// A block of Anthropic's thoughts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ThinkingBlock {
    /// Thoughts that may be read.
    Thinking {
        /// Their text, which may be empty.
        #[serde(default)]
        thinking: String,
        /// By which Anthropic knows them again.
        #[serde(default)]
        signature: String,
    },
    /// Thoughts that only Anthropic can read.
    RedactedThinking {
        /// The thoughts, encrypted.
        #[serde(default)]
        data: String,
    },
}

impl ThinkingBlock {
    /// Whether Anthropic takes it back.
    pub fn is_signed(&self) -> bool {
        let (Self::Thinking { signature: proof, .. } | Self::RedactedThinking { data: proof }) = self;
        !proof.is_empty()
    }
}

/// An address that a part of the text refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation {
    /// The address.
    pub url: String,
    /// What is found there; empty where nobody says it.
    pub title: String,
    /// The first character of the part.
    pub start: usize,
    /// The character behind its last one.
    pub end: usize,
}

impl Citation {
    /// One of Anthropic's citations of a text between these characters; nothing where it names no address.
    pub(crate) fn of_anthropic(citation: &Value, (start, end): (usize, usize)) -> Option<Self> {
        let text = |name: &str| citation[name].as_str();
        let url = text("url").or_else(|| text("source")).filter(|url| is_address(url))?;
        Some(Self { url: url.to_owned(), title: text("title").unwrap_or_default().to_owned(), start, end })
    }
}

fn is_address(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

/// The addresses that Gemini says its answer to be grounded in or taken from. It counts in bytes of the text.
pub(crate) fn citations_of_gemini(grounding: Option<&Value>, taken: Option<&Value>, text: &str) -> Vec<Citation> {
    let place = |segment: &Value, unit: &str| {
        let at = |name: &str| segment[name].as_u64().and_then(|at| usize::try_from(at).ok());
        // What begins with the text has no beginning.
        let start = text.get(..at(&format!("start{unit}")).unwrap_or(0))?.chars().count();
        Some((start, text.get(..at(&format!("end{unit}"))?)?.chars().count()))
    };
    let cited = |source: &Value, url: &str, (start, end): (usize, usize)| {
        let url = source[url].as_str().filter(|url| is_address(url))?;
        Some(Citation {
            url: url.to_owned(),
            title: source["title"].as_str().unwrap_or_default().to_owned(),
            start,
            end,
        })
    };
    let list = |value: Option<&Value>, name: &str| value.and_then(|value| value[name].as_array()).cloned();
    let sources = list(grounding, "groundingChunks").unwrap_or_default();
    let mut citations = Vec::new();
    for support in list(grounding, "groundingSupports").unwrap_or_default() {
        let Some(place) = place(&support["segment"], "Index") else { continue };
        let named = support["groundingChunkIndices"].as_array().into_iter().flatten();
        let named = named.filter_map(|at| sources.get(usize::try_from(at.as_u64()?).ok()?));
        citations.extend(named.filter_map(|source| cited(&source["web"], "uri", place)));
    }
    let from = list(taken, "citationSources").or_else(|| list(taken, "citations")).unwrap_or_default();
    citations.extend(from.iter().filter_map(|source| cited(source, "uri", place(source, "Index")?)));
    citations
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_gemini_cites() {
        let web = |uri: &str| json!({"web": {"uri": uri, "title": "A page"}});
        let support = |segment: Value, at: Value| json!({"segment": segment, "groundingChunkIndices": at});
        let grounding = json!({
            "groundingChunks": [web("https://a"), {"retrievedContext": {"uri": "gs://b"}}, web("javascript:x")],
            "groundingSupports": [
                support(json!({"endIndex": 5, "text": "Zoë "}), json!([0, 1, 2, 9, -1])),
                support(json!({"startIndex": 5, "endIndex": 7}), json!([0])),
                // In the middle of a character, and behind the end.
                support(json!({"startIndex": 3, "endIndex": 7}), json!([0])),
                support(json!({"startIndex": 5, "endIndex": 99}), json!([0])),
            ],
        });
        let page = |start, end| Citation { url: "https://a".to_owned(), title: "A page".to_owned(), start, end };
        let found = citations_of_gemini(Some(&grounding), None, "Zoë is");
        assert_eq!(found, [page(0, 4), page(4, 6)]);
        for name in ["citationSources", "citations"] {
            let taken = json!({name: [{"startIndex": 0, "endIndex": 4, "uri": "https://a"}, {"endIndex": 4}]});
            let found = citations_of_gemini(None, Some(&taken), "Zoë is");
            assert_eq!(found, [Citation { title: String::new(), ..page(0, 3) }]);
        }
        assert_eq!(citations_of_gemini(Some(&json!([])), Some(&json!("x")), "a"), []);
    }

    #[test]
    fn what_anthropic_cites() {
        let check = |citation: Value, expected: Option<(&str, &str)>| {
            let found = Citation::of_anthropic(&citation, (1, 2));
            let found = found.as_ref().map(|found| (&*found.url, &*found.title));
            assert_eq!(found, expected, "{citation}");
        };
        check(
            json!({"type": "web_search_result_location", "url": "https://a", "title": "A"}),
            Some(("https://a", "A")),
        );
        check(json!({"type": "search_result_location", "source": "https://a", "title": null}), Some(("https://a", "")));
        check(json!({"type": "search_result_location", "source": "note 7"}), None);
        check(json!({"type": "char_location", "document_title": "A"}), None);
    }

    #[test]
    fn what_anthropic_takes_back() {
        let check = |block: Value, expected: bool| {
            let read: ThinkingBlock = serde_json::from_value(block.clone()).unwrap();
            assert_eq!(read.is_signed(), expected, "{block}");
        };
        check(json!({"type": "thinking", "thinking": "hm", "signature": "s", "index": 0}), true);
        check(json!({"type": "thinking", "thinking": "", "signature": "s"}), true);
        check(json!({"type": "thinking", "thinking": "hm", "signature": ""}), false);
        check(json!({"type": "redacted_thinking", "data": "x"}), true);
        check(json!({"type": "redacted_thinking"}), false);
    }
}
