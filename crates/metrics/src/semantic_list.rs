//! Comparison of lists whose items need not be literally equal.

use serde_json::Value;

use crate::json_valid::{Wrapping, unwrap_json};
use crate::matching::largest_matching;
use crate::score::Prf;

/// The result of matching two lists.
///
/// ```
/// use llmops_metrics::semantic_list::match_lists;
///
/// let equal = |a: &str, b: &str| f64::from(u8::from(a == b));
/// let result = match_lists(&["tea", "milk"], &["milk"], 1.0, equal);
/// assert_eq!((result.score.precision, result.pairs.as_slice()), (0.5, [(1, 0)].as_slice()));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ListMatch {
    /// Precision: share of candidate items that are expected. Recall: share of expected items that were given. Two
    /// empty lists agree (1).
    pub score: Prf,
    /// Matched items as (candidate index, expected index), in the candidate's order.
    pub pairs: Vec<(usize, usize)>,
}

/// Matches the items of two lists one to one, as many as possible, where `similarity` is at least `threshold`.
///
/// Order does not matter and an item is used once. `similarity` is any function of candidate and expected item, such as
/// [`crate::levenshtein::levenshtein`] or the cosine of embeddings; it is called once for each pair of items, and NaN
/// counts as no match. The matching is a largest one (Kuhn's augmenting paths), so it does not depend on luck with the
/// order of items.
///
/// ```
/// use llmops_metrics::{levenshtein::levenshtein, semantic_list::match_lists};
///
/// let similar = |a: &str, b: &str| levenshtein(a, &[b]).unwrap_or(0.0);
/// let result = match_lists(&["appels", "pears", "milk"], &["pears", "apples"], 0.6, similar);
/// assert_eq!((result.score.precision, result.score.recall), (2.0 / 3.0, 1.0));
/// assert_eq!(result.pairs, [(0, 1), (1, 0)]);
/// ```
pub fn match_lists<A: AsRef<str>, B: AsRef<str>>(
    candidate: &[A],
    expected: &[B],
    threshold: f64,
    mut similarity: impl FnMut(&str, &str) -> f64,
) -> ListMatch {
    if candidate.is_empty() && expected.is_empty() {
        return ListMatch { score: Prf::ONE, pairs: Vec::new() };
    }
    // The most similar partners are tried first, so that of several largest matchings a sensible one is found.
    let partners: Vec<Vec<usize>> = candidate
        .iter()
        .map(|item| {
            let mut similar: Vec<(f64, usize)> = expected
                .iter()
                .enumerate()
                .map(|(index, other)| (similarity(item.as_ref(), other.as_ref()), index))
                .filter(|(value, _)| *value >= threshold)
                .collect();
            similar.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            similar.into_iter().map(|(_, index)| index).collect()
        })
        .collect();
    let pairs = largest_matching(&partners, expected.len());
    ListMatch { score: Prf::from_counts(pairs.len(), candidate.len(), expected.len()), pairs }
}

/// The items of a list in an answer: a JSON array (strings as they are, other values as JSON), in a Markdown fence or
/// not; else the lines that start with a bullet (`-`, `*`, `+`, `•`) or a number (`1.`, `1)`); else the non-empty lines;
/// and of a single line its parts between commas or semicolons.
///
/// ```
/// use llmops_metrics::semantic_list::list_items;
///
/// assert_eq!(list_items("Here you are:\n1. milk\n2. bread\n"), ["milk", "bread"]);
/// assert_eq!(list_items(r#"["milk", 2]"#), ["milk", "2"]);
/// assert_eq!(list_items("milk, bread"), ["milk", "bread"]);
/// assert!(list_items("").is_empty());
/// ```
pub fn list_items(text: &str) -> Vec<String> {
    if let Ok(Value::Array(items)) = serde_json::from_str(unwrap_json(text, Wrapping::Fence)) {
        return items
            .into_iter()
            .map(|item| if let Value::String(text) = item { text } else { item.to_string() })
            .collect();
    }
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let bullets: Vec<&str> = lines.iter().filter_map(|line| after_bullet(line)).collect();
    let items = match (bullets.is_empty(), lines.as_slice()) {
        (false, _) => bullets,
        (true, [line]) => line.split([',', ';']).map(str::trim).filter(|part| !part.is_empty()).collect(),
        (true, _) => lines,
    };
    items.into_iter().map(str::to_owned).collect()
}

fn after_bullet(line: &str) -> Option<&str> {
    let numbered = line.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let rest = match line.strip_prefix(['-', '*', '+', '•']) {
        None if numbered.len() < line.len() => numbered.strip_prefix(['.', ')']),
        bullet => bullet,
    }?;
    let item = rest.strip_prefix(char::is_whitespace)?.trim();
    (!item.is_empty()).then_some(item)
}
