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

/// USD for these tokens.
pub(super) fn cost(price: Price, usage: Usage) -> f64 {
    (usage.prompt_tokens as f64 * price.input + usage.completion_tokens as f64 * price.output) / 1e6
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
    fn costs_of_models_that_no_provider_has() {
        let price = |input| Price { input, output: 0.0 };
        let table = |names: &[(&str, f64)]| {
            let prices: BTreeMap<String, Price> =
                names.iter().map(|(name, input)| ((*name).to_owned(), price(*input))).collect();
            Providers::new(&BTreeMap::new(), &prices, Path::new(".")).unwrap()
        };
        let usage = Usage { prompt_tokens: 1_000_000, completion_tokens: 0 };
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
