//! What calls cost by the price table, also those that somebody else made.

use llmops_domain::chat::Usage;
use llmops_domain::config::Price;

use super::Providers;

impl Providers {
    /// USD for the tokens of a call that somebody else made, by the price table alone: none of the configured providers need
    /// have the model, which is `provider/model`. `answered` is what the provider called the model that answered. Where the
    /// table has neither, their names without the date of a version count, and then `provider/*`.
    pub fn cost_by_table(&self, model: &str, answered: Option<&str>, usage: Usage) -> Option<f64> {
        let (provider, _) = model.split_once('/')?;
        let answered = answered.map(|answered| format!("{provider}/{answered}"));
        let named = || [Some(model), answered.as_deref()].into_iter().flatten();
        let price = named()
            .chain(named().filter_map(without_date))
            .find_map(|name| self.prices.get(name))
            .or_else(|| self.prices.get(&format!("{provider}/*")))?;
        Some(cost(*price, usage))
    }
}

/// USD for these tokens. Those of the provider's cache are among those that were read, whatever it counts.
pub(super) fn cost(price: Price, usage: Usage) -> f64 {
    let cached = usage.cached_tokens.min(usage.prompt_tokens);
    let written = usage.cache_write_tokens.min(usage.prompt_tokens - cached);
    let parts = [
        (usage.prompt_tokens - cached - written, price.input),
        (cached, price.cached_input.unwrap_or(price.input)),
        (written, price.cache_write.unwrap_or(price.input)),
        (usage.completion_tokens, price.output),
    ];
    parts.iter().map(|(tokens, price)| *tokens as f64 * price).sum::<f64>() / 1e6
}

/// The name of a model without the date that it ends with: `-2024-07-18`, `-20241022` or `@20240620`.
fn without_date(name: &str) -> Option<&str> {
    let is_date = |date: &str| date.len() == 8 && date.starts_with("20") && date.bytes().all(|b| b.is_ascii_digit());
    let (rest, last) = name.rsplit_once(['-', '@'])?;
    if is_date(last) {
        return Some(rest);
    }
    let mut parts = name.rsplitn(4, '-');
    let (day, month, year, rest) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    (day.len() == 2 && month.len() == 2 && is_date(&format!("{year}{month}{day}"))).then_some(rest)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;

    #[test]
    fn dates_at_the_end_of_names() {
        let check = |name: &str, expected: Option<&str>| assert_eq!(without_date(name), expected, "{name}");
        check("openai/gpt-4o-mini-2024-07-18", Some("openai/gpt-4o-mini"));
        check("anthropic/claude-3-5-sonnet-20241022", Some("anthropic/claude-3-5-sonnet"));
        check("google/claude-3-5-sonnet@20240620", Some("google/claude-3-5-sonnet"));
        for name in ["openai/gpt-4o-mini", "openai/gpt-4-0613", "m", "m-1-2-3", "m-20241x22", "m-2024-7-18", "-", ""] {
            check(name, None);
        }
    }

    #[test]
    fn tokens_of_the_cache_have_their_own_price() {
        let check = |cached_input, cache_write, (read, cached, written): (u64, u64, u64), expected: f64| {
            let price = Price { input: 4.0, output: 8.0, cached_input, cache_write };
            let usage = Usage {
                cached_tokens: cached * 1_000_000,
                cache_write_tokens: written * 1_000_000,
                ..Usage::new(read * 1_000_000, 1_000_000)
            };
            assert_eq!(cost(price, usage), expected + 8.0);
        };
        check(None, None, (10, 4, 3), 40.0);
        check(Some(1.0), None, (10, 4, 3), 28.0);
        check(Some(1.0), Some(5.0), (10, 4, 3), 31.0);
        check(Some(1.0), Some(5.0), (10, 20, 3), 10.0);
        check(Some(0.0), None, (10, 10, 0), 0.0);
    }

    #[test]
    fn costs_of_models_that_no_provider_has() {
        let price = |input| Price { input, ..Price::default() };
        let table = |names: &[(&str, f64)]| {
            let prices: BTreeMap<String, Price> =
                names.iter().map(|(name, input)| ((*name).to_owned(), price(*input))).collect();
            Providers::new(&BTreeMap::new(), &prices, Path::new(".")).unwrap()
        };
        let usage = Usage::new(1_000_000, 0);
        let check = |providers: &Providers, model: &str, answered: Option<&str>, expected: Option<f64>| {
            assert_eq!(providers.cost_by_table(model, answered, usage), expected, "{model} {answered:?}");
        };
        let some = table(&[("openai/gpt-4o", 1.0), ("openai/gpt-4o-2024-08-06", 2.0), ("azure/*", 3.0)]);
        check(&some, "openai/gpt-4o", None, Some(1.0));
        check(&some, "openai/gpt-4o", Some("gpt-4o-2024-08-06"), Some(1.0));
        check(&some, "openai/chat", Some("gpt-4o-2024-08-06"), Some(2.0));
        check(&some, "openai/gpt-4o-2024-11-20", None, Some(1.0));
        check(&some, "openai/chat", Some("gpt-4o-2024-11-20"), Some(1.0));
        check(&some, "openai/o3", None, None);
        check(&some, "azure/mine", None, Some(3.0));
        check(&some, "mine", None, None);
    }
}
