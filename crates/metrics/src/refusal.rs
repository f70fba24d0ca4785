//! Whether the model declined to answer.
//!
//! A refusal is a sentence near the start of the answer in which the speaker declines to help: "I'm sorry, but I can't
//! assist with that." What does not count: an answer that regrets and then helps ("I'm sorry to hear that. …"), an
//! inability that is about the matter and not the help ("I can't find this order"), and mentions far into the text.
//!
//! The rules are phrases, so they are fast, explainable and blind to irony: a judge model is the means where that matters.
//! They were written for English, German, French, Spanish, Italian, Portuguese, Dutch, Swedish, Danish, Norwegian, Polish,
//! Czech, Russian, Ukrainian, Turkish, Arabic, Hindi, Vietnamese, Indonesian, Chinese, Japanese, Korean, Finnish, Greek, Hebrew
//! and Thai.

use std::sync::{LazyLock, OnceLock};

use regex::Regex;

use crate::score::indicator;

/// How much of the answer is looked at, in characters. Models decline in their first sentences.
const OPENING: usize = 400;
/// What stands for an apostrophe, beyond ASCII.
const APOSTROPHES: [char; 4] = ['’', '‘', 'ʼ', '´'];

/// A documented rule that recognises a refusal.
///
/// ```
/// use llmops_metrics::refusal::refusal_rule;
///
/// assert_eq!(refusal_rule("I'm sorry, but I can't help with that.").unwrap().language, "en");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusalRule {
    /// ISO 639-1 code of the language the rule is written for.
    pub language: &'static str,
    /// What the rule looks for, in words.
    pub name: &'static str,
    /// The regular expression, applied to the normalised opening of the answer.
    pub pattern: &'static str,
    /// Words of which one stands in whatever the expression matches, in lower case. Answers without any of them, which most are,
    /// need no closer look. First letters beyond ASCII are left out, for they may be capitals.
    pub hints: &'static [&'static str],
}

/// Every rule, in the order in which they are tried.
///
/// ```
/// use llmops_metrics::refusal::RULES;
///
/// assert!(RULES.iter().any(|rule| rule.language == "de"));
/// ```
pub const RULES: &[RefusalRule] = &[
    RefusalRule {
        language: "en",
        name: "unable or unwilling to help",
        pattern: r"\b(?:i|we)(?: can't| cannot| can not| (?:won't|will not)(?: be able to)?| couldn't| could not|(?:'m| am|'re| are) (?:unable|not able|not allowed|not permitted|not authori[sz]ed|not going|not willing|not comfortable)(?: to)?| do not feel comfortable| don't feel comfortable)(?: \w+ly)? (?:help(?:ing)?(?: (?:you|with|in|on|to)\b|[.,;!]|$)|assist|provid|comply|complying|fulfil|creat|writ(?:e|ing)\b|generat|produc|shar(?:e|ing)\b|answer|respond|discuss|engag|participat|disclos|reveal|facilitat|do(?:ing)? (?:that|this|so)\b|continu|complete (?:this|that|your)\b|support (?:this|that|your)\b|offer (?:advice|guidance|instructions|help|assistance)|give (?:you )?(?:advice|instructions|guidance|legal|medical|financial))",
        hints: &[
            "can't",
            "cannot",
            "can not",
            "won't",
            "will not",
            "couldn't",
            "could not",
            "unable",
            "not able",
            "not allowed",
            "not permitted",
            "not authori",
            "not going",
            "not willing",
            "not comfortable",
            "feel comfortable",
        ],
    },
    RefusalRule {
        language: "en",
        name: "declines in so many words",
        pattern: r"\b(?:i|we)(?: must| have to| need to|'ll have to| will have to|'m going to have to)?(?: \w+ly)? (?:decline|refuse)\b(?: to\b| this\b| that\b| your\b|[.,;!]|$)",
        hints: &["decline", "refuse"],
    },
    RefusalRule {
        language: "en",
        name: "cannot, as an AI",
        pattern: r"\bas an? (?:ai|artificial intelligence|(?:large )?language model|assistant)\b[^.!?]{0,80}\b(?:can't|cannot|can not|unable|not able|not allowed|not permitted|won't)\b",
        hints: &["can't", "cannot", "can not", "unable", "not able", "not allowed", "not permitted", "won't"],
    },
    RefusalRule {
        language: "en",
        name: "an apology, and no more than an inability",
        pattern: r"\b(?:sorry|apologi[sz]e|afraid)\b[^.!?]{0,20}\b(?:i|we) (?:can't|cannot|can not|won't|will not)[.!]*$",
        hints: &["can't", "cannot", "can not", "won't", "will not"],
    },
    RefusalRule {
        language: "en",
        name: "against the guidelines",
        pattern: r"\b(?:against|violates?|violating|not (?:permitted|allowed) (?:by|under)) (?:my|our|openai's|anthropic's|google's) (?:\w+ ){0,2}(?:guidelines?|polic(?:y|ies)|programming|principles|rules)\b",
        hints: &["against", "violat", "not permitted", "not allowed"],
    },
    RefusalRule {
        language: "en",
        name: "nothing that it can help with",
        pattern: r"\bnot (?:something|anything) (?:that )?(?:i|we)(?: can| could|'m able to| am able to| are able to|'re able to) (?:help|assist|do|share|discuss|provide|answer)\b",
        hints: &["not something", "not anything"],
    },
    RefusalRule {
        language: "en",
        name: "no more than an AI",
        pattern: r"\b(?:(?:i'm|i am)(?: just| only)? an? (?:ai|artificial intelligence|(?:large )?language model)\b[^.!?]{0,40}\b(?:can't|cannot|can not|unable|not able|not allowed)\b|as an? (?:ai|artificial intelligence|(?:large )?language model)\b[^.!?]{0,40}\b(?:don't|do not) have (?:personal )?(?:opinions|beliefs|feelings)[.!])",
        hints: &[
            "can't",
            "cannot",
            "can not",
            "unable",
            "not able",
            "not allowed",
            "have opinions",
            "have beliefs",
            "have feelings",
            "have personal",
        ],
    },
    RefusalRule {
        language: "de",
        name: "kann oder darf nicht helfen",
        pattern: r"\b(?:(?:ich|wir) (?:kann|können|darf|dürfen|werde|werden|möchte)|(?:kann|können|darf|dürfen|werde|möchte) (?:ich|wir))\b[^.!?]{0,80}\b(?:nicht|keine?n?)\b[^.!?]{0,50}\b(?:helfen|weiterhelfen|behilflich|unterstützen|beantworten|erfüllen|bereitstellen|erstellen|schreiben|nachkommen|anbieten|besprechen|weitergeben|auskunft geben|auskünfte geben)\b",
        hints: &[
            "helfen",
            "behilflich",
            "unterstützen",
            "beantworten",
            "erfüllen",
            "bereitstellen",
            "erstellen",
            "schreiben",
            "nachkommen",
            "anbieten",
            "besprechen",
            "weitergeben",
            "auskunft geben",
            "auskünfte geben",
        ],
    },
    RefusalRule {
        language: "de",
        name: "lehnt ab",
        pattern: r"\b(?:muss|möchte) (?:ich )?[^.!?]{0,40}\bablehnen\b|\bich bin nicht (?:in der lage|befugt|berechtigt)\b",
        hints: &["ablehnen", "nicht in der lage", "nicht befugt", "nicht berechtigt"],
    },
    RefusalRule {
        language: "de",
        name: "kann das nicht tun",
        pattern: r"\b(?:das|dies) (?:kann|darf|werde) ich (?:\w+ )?nicht (?:tun|machen)\b",
        hints: &["nicht tun", "nicht machen"],
    },
    RefusalRule {
        language: "de",
        name: "kann die Anfrage nicht bearbeiten",
        pattern: r"\b(?:kann|können|darf|dürfen|werde|werden) (?:ich|wir)?[^.!?]{0,30}\b(?:diese[rnms]?|ihre[rnms]?|deine[rnms]?|solche[rnms]?|die) (?:anfragen?|bitten?|aufforderung|frage)\b[^.!?]{0,30}\bnicht (?:bearbeiten|behandeln)\b",
        hints: &["nicht bearbeiten", "nicht behandeln"],
    },
    RefusalRule {
        language: "fr",
        name: "ne peut pas aider",
        pattern: r"\b(?:je|nous) ne (?:peux|puis|pouvons|suis|sommes) (?:malheureusement )?pas (?:en mesure de |autorisée? à |capable de )?(?:\w+ |vous |t'|l'|y |d'){0,2}(?:aider|assister|fournir|répondre|créer|écrire|rédiger|générer|partager|donner suite|accéder à (?:cette|votre)|satisfaire|divulguer|discuter)\b|\bje dois (?:\w+ )?(?:décliner|refuser)\b",
        hints: &["ne peux", "ne puis", "ne pouvons", "ne suis", "ne sommes", "décliner", "refuser"],
    },
    RefusalRule {
        language: "es",
        name: "no puede ayudar",
        pattern: r"\bno (?:puedo|podemos|podré|estoy autorizad[oa] (?:a|para)|soy capaz de) (?:\w+ ){0,2}?(?:ayudar|asistir|proporcionar|responder|cumplir|crear|escribir|generar|compartir|continuar|ofrecer|facilitar)\w*|\bdebo (?:rechazar|declinar)\b",
        hints: &["no puedo", "no podemos", "no podré", "no estoy autorizad", "no soy capaz", "rechazar", "declinar"],
    },
    RefusalRule {
        language: "it",
        name: "non può aiutare",
        pattern: r"\bnon (?:posso|possiamo|sono in grado di|sono autorizzat[oa] a) (?:\w+ ){0,2}?(?:aiutar|assister|fornir|risponder|crear|scriver|generar|condivider|soddisfar|procedere)\w*|\bdevo (?:rifiutare|declinare)\b",
        hints: &["non posso", "non possiamo", "non sono", "rifiutare", "declinare"],
    },
    RefusalRule {
        language: "pt",
        name: "não pode ajudar",
        pattern: r"\bnão (?:posso|podemos|consigo|poderei|estou autorizad[oa] a|sou capaz de) (?:\w+ ){0,2}?(?:ajudar|ajudá|auxiliar|fornecer|responder|atender|criar|escrever|gerar|compartilhar|partilhar|continuar)|\b(?:devo|preciso) recusar\b",
        hints: &[
            "não posso",
            "não podemos",
            "não consigo",
            "não poderei",
            "não estou autorizad",
            "não sou capaz",
            "recusar",
        ],
    },
    RefusalRule {
        language: "nl",
        name: "kan niet helpen",
        pattern: r"\b(?:(?:ik|we|wij) (?:kan|kunnen|mag|mogen|zal)|(?:kan|kunnen|mag|mogen|zal) (?:ik|we|wij))\b[^.!?]{0,60}\b(?:niet|geen)\b[^.!?]{0,40}\b(?:helpen|bijstaan|verstrekken|beantwoorden|voldoen|schrijven|genereren|geven|aanbieden)\b",
        hints: &[
            "helpen",
            "bijstaan",
            "verstrekken",
            "beantwoorden",
            "voldoen",
            "schrijven",
            "genereren",
            "geven",
            "aanbieden",
        ],
    },
    RefusalRule {
        language: "pl",
        name: "nie może pomóc",
        pattern: r"\bnie (?:mogę|możemy|jestem w stanie) (?:\w+ ){0,2}?(?:pomóc|udzielić|dostarczyć|odpowiedzieć|spełnić|stworzyć|napisać|udostępnić)|\bmuszę odmówić\b",
        hints: &["nie mogę", "nie możemy", "nie jestem w stanie", "muszę odmówić"],
    },
    RefusalRule {
        language: "ru",
        name: "не может помочь",
        pattern: r"\bне (?:могу|можем|смогу|буду|вправе) (?:\w+ ){0,2}?(?:помочь|помогать|предостав|ответить|отвечать|выполнить|создать|создавать|написать|обсуждать|делиться)|\bвынужден[аы]? отказать",
        hints: &["е могу", "е можем", "е смогу", "е буду", "е вправе", "ынужден"],
    },
    RefusalRule {
        language: "sv",
        name: "kan inte hjälpa",
        pattern: r"\b(?:(?:jag|jeg|vi) (?:kan|får|må|vil|kan desværre|kan dessverre|kan tyvärr)|(?:kan|får|må|vil) (?:jag|jeg|vi))(?: \w+)? (?:inte|ikke)\b[^.!?]{0,40}\b(?:hjälpa|hjelpe|hjælpe|bistå|besvara|besvare|svara på|svare på|dela|dele|tillhandahålla)\b",
        hints: &[
            "hjälpa",
            "hjelpe",
            "hjælpe",
            "bistå",
            "besvara",
            "besvare",
            "svara på",
            "svare på",
            "dela",
            "dele",
            "tillhandahålla",
        ],
    },
    RefusalRule {
        language: "cs",
        name: "nemůže pomoci",
        pattern: r"\b(?:nemohu|nemůžu|nemůžeme) (?:\w+ ){0,2}?(?:pomoc[it]|poskytnout|odpovědět|splnit|vyhovět)\b",
        hints: &["nemohu", "nemůžu", "nemůžeme"],
    },
    RefusalRule {
        language: "uk",
        name: "не може допомогти",
        pattern: r"\bне (?:можу|можемо|зможу) (?:[\w']+ ){0,2}?(?:допомогти|надати|відповісти|виконати|поділитися)",
        hints: &["е можу", "е можемо", "е зможу"],
    },
    RefusalRule {
        language: "tr",
        name: "yardımcı olamaz",
        pattern: r"\b(?:yardımcı|yardım) (?:olam(?:am|ıyorum|ayız|ıyoruz)|edem(?:em|iyorum|eyiz|iyoruz))\b|\b(?:yanıtlayam|cevaplayam|paylaşam|sağlayam)(?:am|ıyorum|ayız|ıyoruz)\b|\byerine getirem(?:em|iyorum|eyiz|iyoruz)\b",
        hints: &[
            "olama",
            "olamıyor",
            "edeme",
            "edemiyor",
            "layama",
            "layamıyor",
            "laşama",
            "laşamıyor",
            "getireme",
            "getiremiyor",
        ],
    },
    RefusalRule {
        language: "ar",
        name: "لا يستطيع المساعدة",
        pattern: r"\b(?:لا|لن) (?:أستطيع|استطيع|يمكنني|يمكننا|نستطيع|أقدر) (?:\w+ ){0,2}?(?:مساعد|المساعدة|تقديم|الإجابة|الاجابة|تنفيذ|تلبية|مشاركة|القيام|الرد)",
        hints: &["أستطيع", "استطيع", "يمكنني", "يمكننا", "نستطيع", "أقدر"],
    },
    RefusalRule {
        language: "hi",
        name: "मदद नहीं कर सकता",
        pattern: r"(?:मदद|सहायता|उत्तर|जवाब|जानकारी)[^।.!?]{0,30}नहीं (?:कर|दे) (?:सकता|सकती|सकते)",
        hints: &["नहीं कर सक", "नहीं दे सक"],
    },
    RefusalRule {
        language: "vi",
        name: "không thể giúp",
        pattern: r"\b(?:tôi|chúng tôi) không (?:thể|được phép) (?:\w+ ){0,2}?(?:giúp|hỗ trợ|cung cấp|trả lời|thực hiện|chia sẻ)",
        hints: &["không thể", "không được phép"],
    },
    RefusalRule {
        language: "id",
        name: "tidak dapat membantu",
        pattern: r"\b(?:saya|kami) (?:tidak (?:dapat|bisa)|tak bisa) (?:\w+ ){0,2}?(?:membantu|memberikan|menjawab|memenuhi|membagikan)\b",
        hints: &["tidak dapat", "tidak bisa", "tak bisa"],
    },
    RefusalRule {
        language: "zh",
        name: "无法帮助",
        pattern: r"(?:我|我们|我們)(?:无法|無法|不能|没法|沒法|不可以|不便)[^。！？，]{0,12}(?:帮|幫|协助|協助|提供|回答|满足|滿足|完成|生成|创作|創作|讨论|討論)",
        hints: &["无法", "無法", "不能", "没法", "沒法", "不可以", "不便"],
    },
    RefusalRule {
        language: "ja",
        name: "お手伝いできません",
        pattern: r"(?:お手伝い|手伝|お答え|回答|提供|対応|お応え|協力|支援|お力になる|作成)(?:を)?(?:する|い|いたす)?(?:こと)?(?:は|が)?(?:でき(?:ません|ない|かねます)|いたしかねます)",
        hints: &["できません", "できない", "できかねます", "いたしかねます"],
    },
    RefusalRule {
        language: "ko",
        name: "도와드릴 수 없음",
        pattern: r"(?:도와 ?드릴|도울|제공할|제공해 ?드릴|답변할|답변드릴|답변해 ?드릴|응할|작성할|작성해 ?드릴|도움을 드릴) 수(?:는|가)? 없",
        hints: &["수 없", "수는 없", "수가 없"],
    },
    RefusalRule {
        language: "fi",
        name: "ei voi auttaa",
        pattern: r"\b(?:en|emme) (?:valitettavasti |voi |pysty |saa ){1,2}(?:\w+ ){0,3}?(?:auttaa|auttamaan|avustaa|avustamaan|vastata|vastaamaan|tarjota|toteuttaa|kirjoittaa)\b",
        hints: &["auttaa", "auttamaan", "avusta", "vastata", "vastaamaan", "tarjota", "toteuttaa", "kirjoittaa"],
    },
    RefusalRule {
        language: "el",
        name: "δεν μπορεί να βοηθήσει",
        pattern: r"\bδεν (?:μπορώ|μπορούμε|είμαι σε θέση|μου επιτρέπεται) να (?:\w+ ){0,2}?(?:βοηθήσ|απαντήσ|παράσχ|παρέχ|εκπληρώσ|ικανοποιήσ|δημιουργήσ|συζητήσ|γράψ)",
        hints: &["μπορώ", "μπορούμε", "είμαι σε θέση", "μου επιτρέπεται"],
    },
    RefusalRule {
        language: "he",
        name: "לא יכול לעזור",
        pattern: r"\b(?:לא|איני|אינני|איננו) (?:יכול(?:ה|ים)?|מסוגל(?:ת|ים)?|רשאי(?:ת)?) (?:\w+ ){0,2}?(?:לעזור|לסייע|לענות|לספק|לבצע|ליצור|לכתוב|להשיב)",
        hints: &["לעזור", "לסייע", "לענות", "לספק", "לבצע", "ליצור", "לכתוב", "להשיב"],
    },
    RefusalRule {
        language: "th",
        name: "ไม่สามารถช่วยได้",
        pattern: r"(?:(?:ฉัน|ผม|เรา) ?|(?:ขออภัย|ขอโทษ)[^.!?]{0,20})ไม่สามารถ ?(?:ที่จะ)?(?:ช่วย|ตอบ|ให้ข้อมูล|ให้คำ|สร้าง|เขียน|ทำตามคำขอ)",
        hints: &["ไม่สามารถ"],
    },
];

/// Compiled form of [`RULES`], in the same order, each when it is first needed.
static COMPILED: [OnceLock<Option<Regex>>; RULES.len()] = [const { OnceLock::new() }; RULES.len()];

/// All hints.
static HINTS: LazyLock<Hints> = LazyLock::new(Hints::new);

/// Bits of the table of [`Hints`], as a power of two.
const TABLE_BITS: u32 = 15;

/// Finds any of the hints in one pass: a table tells of every four bytes whether a hint may begin there.
struct Hints {
    table: Vec<u64>,
    /// Every hint behind its first four bytes, in order.
    all: Vec<([u8; 4], Vec<u8>)>,
}

impl Hints {
    fn new() -> Self {
        let written = RULES.iter().flat_map(|rule| rule.hints).copied();
        let marks = |hint: &'static str| {
            let other = APOSTROPHES.iter().map(move |mark| hint.replace('\'', &mark.to_string()));
            std::iter::once(hint.to_owned()).chain(other)
        };
        let begun = |hint: String| Some((*hint.as_bytes().first_chunk::<4>()?, hint.into_bytes()));
        let mut all: Vec<_> = written.flat_map(marks).filter_map(begun).collect();
        all.sort_unstable();
        all.dedup();
        let mut table = vec![0; 1 << (TABLE_BITS - u64::BITS.ilog2())];
        for (begin, _) in &all {
            let (word, bit) = slot(*begin);
            table[word] |= bit;
        }
        Self { table, all }
    }

    fn stand_in(&self, text: &[u8]) -> bool {
        text.windows(4).enumerate().any(|(at, window)| {
            let begin = [window[0], window[1], window[2], window[3]];
            let (word, bit) = slot(begin);
            self.table[word] & bit != 0 && self.begins(begin, &text[at..])
        })
    }

    fn begins(&self, begin: [u8; 4], text: &[u8]) -> bool {
        let from = self.all.partition_point(|(other, _)| *other < begin);
        let mut alike = self.all[from..].iter().take_while(|(other, _)| *other == begin);
        alike.any(|(_, hint)| text.starts_with(hint))
    }
}

/// The place of four bytes in the table: word and bit.
fn slot(begin: [u8; 4]) -> (usize, u64) {
    let hash = u32::from_le_bytes(begin).wrapping_mul(0x9E37_79B1) >> (u32::BITS - TABLE_BITS);
    ((hash / u64::BITS) as usize, 1 << (hash % u64::BITS))
}

/// `1.0` when the candidate is a refusal, else `0.0`. The empty text is no refusal.
///
/// ```
/// use llmops_metrics::refusal::refusal;
///
/// assert_eq!(refusal("I'm sorry, but I can't assist with that request."), 1.0);
/// assert_eq!(refusal("Das kann ich dir leider nicht beantworten."), 1.0);
/// assert_eq!(refusal("I'm sorry to hear that. I have refunded order 1234."), 0.0);
/// ```
pub fn refusal(candidate: &str) -> f64 {
    indicator(refusal_rule(candidate).is_some())
}

/// The first rule that recognises the candidate as a refusal, for a report that explains the score. It is cheap enough to be
/// asked of every answer: what has none of the rules' hints in its opening is not looked at more closely.
///
/// ```
/// use llmops_metrics::refusal::refusal_rule;
///
/// let rule = refusal_rule("As an AI I can't drive.").unwrap();
/// assert_eq!((rule.language, rule.name), ("en", "cannot, as an AI"));
/// ```
pub fn refusal_rule(candidate: &str) -> Option<&'static RefusalRule> {
    let said = first_characters(candidate.trim_start());
    let plain = plain(said);
    if !HINTS.stand_in(&plain) {
        return None;
    }
    let plain = String::from_utf8(plain).ok()?.replace(APOSTROPHES, "'");
    let opening = opening(said);
    let matches = |(rule, compiled): &(&RefusalRule, &OnceLock<Option<Regex>>)| {
        rule.hints.iter().any(|hint| plain.contains(hint))
            && compiled.get_or_init(|| Regex::new(rule.pattern).ok()).as_ref().is_some_and(|r| r.is_match(&opening))
    };
    RULES.iter().zip(&COMPILED).find(matches).map(|(rule, _)| rule)
}

/// The part of a text that is looked at.
fn first_characters(text: &str) -> &str {
    if text.len() <= OPENING {
        return text;
    }
    let mut rest = text.chars();
    rest.nth(OPENING - 1);
    &text[..text.len() - rest.as_str().len()]
}

/// The bytes of a text in lower case as far as they are ASCII, with plain spaces and apostrophes. It is UTF-8 still.
fn plain(text: &str) -> Vec<u8> {
    let plain = |byte: u8| match byte {
        b'\t'..=b'\r' => b' ',
        b'`' => b'\'',
        other => other.to_ascii_lowercase(),
    };
    text.bytes().map(plain).collect()
}

/// A text in lower case, with one kind of apostrophe, single spaces, and no Markdown marks or quotes.
fn opening(text: &str) -> String {
    let mut opening = String::with_capacity(text.len());
    let mut space = false;
    for character in text.chars() {
        match character {
            '*' | '_' | '#' | '>' | '"' | '“' | '”' | '«' | '»' => continue,
            _ if character.is_whitespace() => {
                space = !opening.is_empty();
                continue;
            }
            _ => {}
        }
        if space {
            opening.push(' ');
            space = false;
        }
        match character {
            '`' => opening.push('\''),
            _ if APOSTROPHES.contains(&character) => opening.push('\''),
            _ => opening.extend(character.to_lowercase()),
        }
    }
    opening
}
