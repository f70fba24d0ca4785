//! Which language a text is in.

use whatlang::{Lang, detect};

use super::GuardError;

/// Shorter texts do not tell their language.
const FEWEST_CHARS: usize = 40;
/// Detections that are less sure than this say nothing.
const LEAST_CONFIDENCE: f64 = 0.8;

/// Two-letter codes of ISO 639-1 for those of ISO 639-3.
const SHORT_CODES: [(&str, &str); 71] = [
    ("af", "afr"),
    ("ak", "aka"),
    ("am", "amh"),
    ("ar", "ara"),
    ("az", "aze"),
    ("be", "bel"),
    ("bg", "bul"),
    ("bn", "ben"),
    ("ca", "cat"),
    ("cs", "ces"),
    ("cy", "cym"),
    ("da", "dan"),
    ("de", "deu"),
    ("el", "ell"),
    ("en", "eng"),
    ("eo", "epo"),
    ("es", "spa"),
    ("et", "est"),
    ("fa", "pes"),
    ("fi", "fin"),
    ("fr", "fra"),
    ("gu", "guj"),
    ("he", "heb"),
    ("hi", "hin"),
    ("hr", "hrv"),
    ("hu", "hun"),
    ("hy", "hye"),
    ("id", "ind"),
    ("it", "ita"),
    ("ja", "jpn"),
    ("jv", "jav"),
    ("ka", "kat"),
    ("km", "khm"),
    ("kn", "kan"),
    ("ko", "kor"),
    ("la", "lat"),
    ("lt", "lit"),
    ("lv", "lav"),
    ("mk", "mkd"),
    ("ml", "mal"),
    ("mr", "mar"),
    ("my", "mya"),
    ("nb", "nob"),
    ("ne", "nep"),
    ("nl", "nld"),
    ("no", "nob"),
    ("or", "ori"),
    ("pa", "pan"),
    ("pl", "pol"),
    ("pt", "por"),
    ("ro", "ron"),
    ("ru", "rus"),
    ("si", "sin"),
    ("sk", "slk"),
    ("sl", "slv"),
    ("sn", "sna"),
    ("sr", "srp"),
    ("sv", "swe"),
    ("ta", "tam"),
    ("te", "tel"),
    ("th", "tha"),
    ("tk", "tuk"),
    ("tl", "tgl"),
    ("tr", "tur"),
    ("uk", "ukr"),
    ("ur", "urd"),
    ("uz", "uzb"),
    ("vi", "vie"),
    ("yi", "yid"),
    ("zh", "cmn"),
    ("zu", "zul"),
];

/// The language of a code: `de` or `deu`, in capitals and with a region, too.
pub(super) fn by_code(code: &str) -> Result<Lang, GuardError> {
    let plain = code.split(['-', '_']).next().unwrap_or_default().to_lowercase();
    let long = SHORT_CODES.iter().find(|(short, _)| *short == plain).map_or(&*plain, |(_, long)| long);
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
