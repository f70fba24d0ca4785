//! The table of providers on the network: a compatible provider is one row.

use llmops_domain::config::providers::{ProviderConfig, RemoteConfig};

/// The wire format a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    OpenAi,
    Anthropic,
    Gemini,
}

/// What tells one provider from another.
#[derive(Debug)]
pub(crate) struct Kind {
    /// The `kind` in the configuration.
    pub name: &'static str,
    pub wire: Wire,
    /// Where the API lives; `None`: it must be configured.
    pub base_url: Option<&'static str>,
    /// The environment variable that usually holds the key; `None`: no key is needed.
    pub key_variable: Option<&'static str>,
    /// Header of the key, and what stands before it.
    pub key_header: (&'static str, &'static str),
    /// Name of the `seed` parameter.
    pub seed: &'static str,
    /// Whether OpenAI's rules for reasoning models hold (see [`is_reasoning_model`]).
    pub reasoning_rules: bool,
}

const BEARER: (&str, &str) = ("authorization", "Bearer ");

/// A row that is like most: OpenAI's format and a bearer token.
const fn compatible(name: &'static str, base_url: &'static str, key_variable: &'static str) -> Kind {
    Kind {
        name,
        wire: Wire::OpenAi,
        base_url: Some(base_url),
        key_variable: Some(key_variable),
        key_header: BEARER,
        seed: "seed",
        reasoning_rules: false,
    }
}

static OPENAI: Kind =
    Kind { reasoning_rules: true, ..compatible("openai", "https://api.openai.com/v1", "OPENAI_API_KEY") };
static AZURE: Kind = Kind {
    base_url: None,
    key_header: ("api-key", ""),
    reasoning_rules: true,
    ..compatible("azure", "", "AZURE_OPENAI_API_KEY")
};
static MISTRAL: Kind =
    Kind { seed: "random_seed", ..compatible("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY") };
static GROQ: Kind = compatible("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY");
static OPENROUTER: Kind = compatible("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY");
static DEEPSEEK: Kind = compatible("deepseek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY");
static TOGETHER: Kind = compatible("together", "https://api.together.xyz/v1", "TOGETHER_API_KEY");
static FIREWORKS: Kind = compatible("fireworks", "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY");
static XAI: Kind = compatible("xai", "https://api.x.ai/v1", "XAI_API_KEY");
static COHERE: Kind = compatible("cohere", "https://api.cohere.ai/compatibility/v1", "COHERE_API_KEY");
static VLLM: Kind = Kind { key_variable: None, ..compatible("vllm", "http://127.0.0.1:8000/v1", "") };
static OLLAMA: Kind = Kind { key_variable: None, ..compatible("ollama", "http://127.0.0.1:11434/v1", "") };
static ANTHROPIC: Kind = Kind {
    wire: Wire::Anthropic,
    key_header: ("x-api-key", ""),
    ..compatible("anthropic", "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY")
};
static GEMINI: Kind = Kind {
    wire: Wire::Gemini,
    key_header: ("x-goog-api-key", ""),
    ..compatible("gemini", "https://generativelanguage.googleapis.com/v1beta", "GEMINI_API_KEY")
};

/// The row of a provider on the network and its configuration; `None` for the other kinds.
pub(crate) fn remote(config: &ProviderConfig) -> Option<(&'static Kind, &RemoteConfig)> {
    use ProviderConfig as P;
    Some(match config {
        P::Openai(remote) => (&OPENAI, remote),
        P::Azure(remote) => (&AZURE, remote),
        P::Mistral(remote) => (&MISTRAL, remote),
        P::Groq(remote) => (&GROQ, remote),
        P::Openrouter(remote) => (&OPENROUTER, remote),
        P::Deepseek(remote) => (&DEEPSEEK, remote),
        P::Together(remote) => (&TOGETHER, remote),
        P::Fireworks(remote) => (&FIREWORKS, remote),
        P::Xai(remote) => (&XAI, remote),
        P::Cohere(remote) => (&COHERE, remote),
        P::Vllm(remote) => (&VLLM, remote),
        P::Ollama(remote) => (&OLLAMA, remote),
        P::Anthropic(remote) => (&ANTHROPIC, remote),
        P::Gemini(remote) => (&GEMINI, remote),
        P::Http(_) | P::Command(_) | P::Outputs(_) | P::Simulator(_) => return None,
    })
}

/// Whether OpenAI takes `model` for a reasoning model, which counts its limit in `max_completion_tokens` and refuses
/// temperature, nucleus sampling and penalties: the families `o1`, `o3`, `o4` … and `gpt-5` and later, except their
/// `chat` variants. Azure's deployments have names of their own: name them after the model, or set the fields through
/// `extra_body` (a null there removes a field).
pub(crate) fn is_reasoning_model(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    let digits_after = |prefix: &str| -> Option<u32> {
        let rest = name.strip_prefix(prefix)?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, after) = rest.split_at(end);
        (after.is_empty() || after.starts_with(['-', '.'])).then(|| digits.parse().ok())?
    };
    if name.contains("-chat") {
        return false;
    }
    digits_after("o").is_some_and(|n| n >= 1) || digits_after("gpt-").is_some_and(|n| n >= 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasoning_models_by_name() {
        for yes in ["o1", "o1-mini", "o3-mini-2025-01-31", "o4-mini", "gpt-5", "gpt-5-mini", "gpt-5.1", "openai/o3"] {
            assert!(is_reasoning_model(yes), "{yes}");
        }
        for no in ["gpt-4o", "gpt-4.1-mini", "gpt-5-chat-latest", "gpt-oss-120b", "omni", "o", "o1x", "llama-3", ""] {
            assert!(!is_reasoning_model(no), "{no}");
        }
    }
}
