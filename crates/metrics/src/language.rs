//! Which language an answer is written in.
//!
//! Detection counts letter trigrams (the `whatlang` crate) over the text's script, for 69 languages. It needs some words:
//! of a name or a number nobody can tell the language.

use thiserror::Error;
use whatlang::Lang;

use crate::score::indicator;

/// The code is neither an ISO 639-1 nor an ISO 639-3 code of a language that can be detected.
///
/// ```
/// use llmops_metrics::language::LanguageMatch;
///
/// let error = LanguageMatch::new(&["klingon"]).unwrap_err();
/// assert!(error.to_string().contains("klingon"));
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("unknown language `{0}`: give a code of ISO 639-1 or 639-3, such as `en` or `eng`")]
pub struct UnknownLanguage(String);

/// A detected language.
///
/// ```
/// use llmops_metrics::language::detect_language;
///
/// let found = detect_language("Your order has arrived at our shop today.").unwrap();
/// assert!(found.code == "en" && found.confidence <= 1.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detected {
    /// ISO 639-1 code, or the ISO 639-3 code where there is none.
    pub code: &'static str,
    /// How clear the decision is, in `[0, 1]`.
    pub confidence: f64,
}

/// Two-letter codes of the languages whose three-letter code is another word.
const TWO_LETTERS: &[(&str, &str)] = &[
    ("afr", "af"),
    ("aka", "ak"),
    ("amh", "am"),
    ("ara", "ar"),
    ("aze", "az"),
    ("bel", "be"),
    ("ben", "bn"),
    ("bul", "bg"),
    ("cat", "ca"),
    ("ces", "cs"),
    ("cmn", "zh"),
    ("cym", "cy"),
    ("dan", "da"),
    ("deu", "de"),
    ("ell", "el"),
    ("eng", "en"),
    ("epo", "eo"),
    ("est", "et"),
    ("fin", "fi"),
    ("fra", "fr"),
    ("guj", "gu"),
    ("heb", "he"),
    ("hin", "hi"),
    ("hrv", "hr"),
    ("hun", "hu"),
    ("hye", "hy"),
    ("ind", "id"),
    ("ita", "it"),
    ("jav", "jv"),
    ("jpn", "ja"),
    ("kan", "kn"),
    ("kat", "ka"),
    ("khm", "km"),
    ("kor", "ko"),
    ("lat", "la"),
    ("lav", "lv"),
    ("lit", "lt"),
    ("mal", "ml"),
    ("mar", "mr"),
    ("mkd", "mk"),
    ("mya", "my"),
    ("nep", "ne"),
    ("nld", "nl"),
    ("nob", "nb"),
    ("ori", "or"),
    ("pan", "pa"),
    ("pes", "fa"),
    ("pol", "pl"),
    ("por", "pt"),
    ("ron", "ro"),
    ("rus", "ru"),
    ("sin", "si"),
    ("slk", "sk"),
    ("slv", "sl"),
    ("sna", "sn"),
    ("spa", "es"),
    ("srp", "sr"),
    ("swe", "sv"),
    ("tam", "ta"),
    ("tel", "te"),
    ("tgl", "tl"),
    ("tha", "th"),
    ("tuk", "tk"),
    ("tur", "tr"),
    ("ukr", "uk"),
    ("urd", "ur"),
    ("uzb", "uz"),
    ("vie", "vi"),
    ("yid", "yi"),
    ("zul", "zu"),
];

/// The language of a text; `None` for a text without letters.
///
/// ```
/// use llmops_metrics::language::detect_language;
///
/// assert_eq!(detect_language("Die Bestellung ist heute angekommen.").unwrap().code, "de");
/// assert_eq!(detect_language("42"), None);
/// ```
pub fn detect_language(text: &str) -> Option<Detected> {
    let info = whatlang::detect(text)?;
    Some(Detected { code: short_code(info.lang()), confidence: info.confidence().clamp(0.0, 1.0) })
}

fn short_code(language: Lang) -> &'static str {
    let code = language.code();
    TWO_LETTERS.iter().find(|(long, _)| *long == code).map_or(code, |(_, short)| short)
}

/// Checks that answers are written in one language, or one of several.
///
/// ```
/// use llmops_metrics::language::LanguageMatch;
///
/// let german = LanguageMatch::new(&["de"])?;
/// assert_eq!(german.score("Ihre Bestellung ist heute angekommen."), 1.0);
/// assert_eq!(german.score("Your order has arrived today."), 0.0);
/// # Ok::<(), llmops_metrics::language::UnknownLanguage>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanguageMatch {
    accepted: Vec<&'static str>,
}

impl LanguageMatch {
    /// Accepts these languages, by ISO 639-1 or ISO 639-3 code.
    ///
    /// # Errors
    ///
    /// [`UnknownLanguage`] for a code of no language that can be detected.
    ///
    /// ```
    /// use llmops_metrics::language::LanguageMatch;
    ///
    /// assert!(LanguageMatch::new(&["en", "fra"]).is_ok());
    /// assert!(LanguageMatch::new(&["xx"]).is_err());
    /// ```
    pub fn new<S: AsRef<str>>(codes: &[S]) -> Result<Self, UnknownLanguage> {
        let accepted = codes.iter().map(|code| {
            let code = code.as_ref().to_lowercase();
            let language =
                Lang::all().iter().find(|language| language.code() == code || short_code(**language) == code);
            language.map(|language| short_code(*language)).ok_or(UnknownLanguage(code))
        });
        Ok(Self { accepted: accepted.collect::<Result<_, _>>()? })
    }

    /// `1.0` when the candidate's language is accepted, else `0.0`; also `0.0` for a text without letters.
    ///
    /// ```
    /// use llmops_metrics::language::LanguageMatch;
    ///
    /// assert_eq!(LanguageMatch::new(&["en"])?.score(""), 0.0);
    /// # Ok::<(), llmops_metrics::language::UnknownLanguage>(())
    /// ```
    pub fn score(&self, candidate: &str) -> f64 {
        indicator(detect_language(candidate).is_some_and(|detected| self.accepted.contains(&detected.code)))
    }
}
