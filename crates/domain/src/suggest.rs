//! "Did you mean …?": the nearest of the words that would have been right.

/// Words of other tools, and what they are called here.
const MEANT: [(&str, &str); 4] =
    [("enum", "validation"), ("choices", "validation"), ("pattern", "validation"), ("regex", "validation")];

/// The candidate that `word` was most likely meant to be, or none when nothing is near.
///
/// Near is: equal but for case, `-`, `_` and spaces, or at most one edit for every three characters (transpositions
/// count once).
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Nobody mistypes a word of this length; and the distance costs the product of the lengths.
    const LONGEST: usize = 128;
    let folded = fold(word);
    if folded.is_empty() || folded.len() > LONGEST {
        return None;
    }
    let allowed = (folded.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&folded, &fold(candidate)), candidate))
        // `b` is no misspelt `a`: something must be left of the word.
        .filter(|(distance, candidate)| *distance <= allowed && *distance < folded.len().max(candidate.len()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A hint for a word that is none of the candidates: the nearest one, else all of them (at most 30).
pub fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let meant = || MEANT.iter().find(|(other, meant)| *other == word && candidates.contains(meant));
    match nearest(word, candidates.iter().copied()).or_else(|| meant().map(|(_, meant)| *meant)) {
        Some(candidate) => format!("did you mean {candidate}?"),
        None => one_of(&candidates),
    }
}

/// `expected one of a, b, c`, at most 30 of them.
pub fn one_of(candidates: &[&str]) -> String {
    const MOST: usize = 30;
    match candidates {
        [] => "none are allowed here".to_owned(),
        [only] => format!("expected {only}"),
        many if many.len() <= MOST => format!("expected one of {}", many.join(", ")),
        many => format!("expected one of {} and {} more", many[..MOST].join(", "), many.len() - MOST),
    }
}

fn fold(word: &str) -> String {
    word.trim().to_lowercase().replace(['-', ' '], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_only_what_is_near() {
        let keys = ["overall_min", "category_min", "max_drop", "mode"];
        for (word, expected) in [
            ("overal_min", Some("overall_min")),
            ("Overall-Min", Some("overall_min")),
            ("moed", Some("mode")),
            ("max_dorp", Some("max_drop")),
            ("threshold", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, keys), expected, "{word}");
        }
        assert_eq!(nearest("b", ["a"]), None);
        assert_eq!(nearest("sm", ["sim"]), Some("sim"));
        assert_eq!(nearest(&"m".repeat(100_000), keys), None);
        assert_eq!(hint("enum", ["name", "validation"]), "did you mean validation?");
        assert_eq!(hint("enum", ["name", "type"]), "expected one of name, type");
        assert_eq!(hint("zzzzzz", ["a", "b"]), "expected one of a, b");
    }
}
