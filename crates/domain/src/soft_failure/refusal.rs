//! Refusals by their first words.

use std::sync::LazyLock;

use regex::Regex;

/// How far into an answer a refusal may begin, in bytes: what comes later belongs to an answer.
const BEGINNING: usize = 120;

/// Beginnings of refusals, in lower case, with apostrophes and commas as in ASCII.
const PHRASES: [&str; 67] = [
    "i'm sorry, but i can't",
    "i'm sorry, but i cannot",
    "i'm sorry, i can't",
    "i'm sorry, i cannot",
    "i am sorry, but i can",
    "sorry, but i can't",
    "sorry, i can't",
    "i apologize, but i can",
    "i apologise, but i can",
    "i can't help with",
    "i cannot help with",
    "i can't assist",
    "i cannot assist",
    "i can't provide",
    "i cannot provide",
    "i can't comply",
    "i cannot comply",
    "i won't be able to",
    "i'm unable to",
    "i am unable to",
    "i'm not able to help",
    "i am not able to help",
    "i must decline",
    "as an ai language model",
    "as an ai, i",
    "as an ai assistant, i can",
    "es tut mir leid, aber",
    "tut mir leid, aber",
    "dabei kann ich nicht helfen",
    "je suis désolé, mais je ne peux",
    "désolé, je ne peux pas",
    "lo siento, pero no puedo",
    "mi dispiace, ma non posso",
    "desculpe, mas não posso",
    "entschuldigung, aber ich kann",
    "das kann ich leider nicht",
    "dabei kann ich leider nicht helfen",
    "お手伝いできません",
    "お手伝いすることはできません",
    "お答えできません",
    "お答えすることはできません",
    "お応えできません",
    "お応えすることはできません",
    "抱歉,我无法",
    "抱歉,我不能",
    "抱歉,我無法",
    "對不起,我無法",
    "對不起,我不能",
    "对不起,我无法",
    "对不起,我不能",
    "我无法协助",
    "我无法提供帮助",
    "извините, но я не могу",
    "извините, я не могу",
    "простите, но я не могу",
    "к сожалению, я не могу",
    "я не могу помочь с",
    "عذرًا, لا أستطيع",
    "عذراً, لا أستطيع",
    "عذرا, لا أستطيع",
    "عذرًا, لا يمكنني",
    "عذراً, لا يمكنني",
    "عذرا, لا يمكنني",
    "آسف, لا أستطيع",
    "آسف, لا يمكنني",
    "لا أستطيع مساعدتك",
    "لا يمكنني مساعدتك",
];

/// All of them at once: this is asked of every answer.
static ANY: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&PHRASES.map(regex::escape).join("|")).ok());

/// The phrase that an answer begins with, in its first sentence.
pub(super) fn phrase(text: &str) -> Option<&'static str> {
    let mut end = text.len().min(BEGINNING);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut beginning = text[..end].to_lowercase();
    if !beginning.is_ascii() {
        beginning = beginning.replace('’', "'").replace(['，', '،'], ",");
    }
    let sentence = beginning.split(['.', '!', '?', '\n', '。', '！', '？', '؟']).next().unwrap_or_default();
    let found = ANY.as_ref()?.find(sentence)?;
    PHRASES.into_iter().find(|phrase| *phrase == found.as_str())
}
