//! Which language a text is in.

use whatlang::{Lang, detect};

use super::GuardError;

/// Shorter texts do not tell their language.
const FEWEST_CHARS: usize = 40;
/// Detections that are less sure than this say nothing.
const LEAST_CONFIDENCE: f64 = 0.8;

/// Two-letter codes of ISO 639-1 for those of ISO 639-3.
const SHORT_CODES: [(&str, &str); 42] = [
    ("ar", "ara"),
    ("bg", "bul"),
    ("bn", "ben"),
    ("ca", "cat"),
    ("cs", "ces"),
    ("da", "dan"),
    ("de", "deu"),
    ("el", "ell"),
    ("en", "eng"),
    ("es", "spa"),
    ("et", "est"),
    ("fa", "pes"),
    ("fi", "fin"),
    ("fr", "fra"),
    ("he", "heb"),
    ("hi", "hin"),
    ("hr", "hrv"),
    ("hu", "hun"),
    ("id", "ind"),
    ("it", "ita"),
    ("ja", "jpn"),
    ("ko", "kor"),
    ("lt", "lit"),
    ("lv", "lav"),
    ("nb", "nob"),
    ("nl", "nld"),
    ("no", "nob"),
    ("pl", "pol"),
    ("pt", "por"),
    ("ro", "ron"),
    ("ru", "rus"),
    ("sk", "slk"),
    ("sl", "slv"),
    ("sr", "srp"),
    ("sv", "swe"),
    ("ta", "tam"),
    ("th", "tha"),
    ("tr", "tur"),
    ("uk", "ukr"),
    ("ur", "urd"),
    ("vi", "vie"),
    ("zh", "cmn"),
];

/// The language of a code: `de` or `deu`.
pub(super) fn by_code(code: &str) -> Result<Lang, GuardError> {
    let long = SHORT_CODES.iter().find(|(short, _)| *short == code).map_or(code, |(_, long)| long);
    Lang::from_code(long).ok_or_else(|| GuardError::Value {
        field: "language",
        message: format!("`{code}` is no language that can be told apart: expected a code such as en, de or zh"),
    })
}

/// The language of a text, where it surely is another one.
pub(super) fn other_than(wanted: Lang, text: &str) -> Option<&'static str> {
    if text.chars().count() < FEWEST_CHARS {
        return None;
    }
    let found = detect(text)?;
    (found.lang() != wanted && found.confidence() >= LEAST_CONFIDENCE).then(|| found.lang().eng_name())
}
