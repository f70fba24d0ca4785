//! What counts as a refusal, as a table.

use llmops_metrics::refusal::{RULES, refusal, refusal_rule};

#[test]
fn every_rule_compiles() {
    for rule in RULES {
        assert!(regex::Regex::new(rule.pattern).is_ok(), "{} {}", rule.language, rule.name);
        assert!(!rule.hints.is_empty() && rule.hints.iter().all(|hint| hint.len() > 3), "{}", rule.name);
    }
}

#[track_caller]
fn check(language: &str, candidate: &str) {
    assert_eq!(refusal_rule(candidate).map(|rule| rule.language), Some(language), "{candidate}");
}

#[test]
fn further_refusals() {
    for (language, candidate) in [
        ("en", "I won't be able to help with that."),
        ("en", "I won’t be able to help with that."),
        ("de", "Leider kann ich diese Anfrage nicht bearbeiten."),
        ("de", "Ihre Anfrage lehne ich ab: Wir können solche Anfragen leider nicht bearbeiten."),
        ("nl", "Het spijt me, maar daar kan ik niet bij helpen."),
        ("nl", "Sorry, daar kan ik niet bij helpen."),
        ("fi", "Valitettavasti en voi auttaa tässä asiassa."),
        ("fi", "En valitettavasti pysty auttamaan sinua."),
        ("el", "Λυπάμαι, αλλά δεν μπορώ να βοηθήσω με αυτό."),
        ("el", "Δεν μπορώ να σας βοηθήσω."),
        ("he", "מצטער, אבל אני לא יכול לעזור בזה."),
        ("he", "איני יכולה לסייע בכך."),
        ("th", "ขออภัย ฉันไม่สามารถช่วยเรื่องนี้ได้"),
        ("th", "ขออภัยค่ะ ไม่สามารถช่วยในเรื่องนี้ได้"),
    ] {
        check(language, candidate);
    }
}

#[test]
fn refusals() {
    let cases = [
        ("en", "I'm sorry, but I can't assist with that request."),
        ("en", "I’m sorry, but I cannot help with this."),
        ("en", "**I cannot provide** medical advice."),
        ("en", "Sorry, I can't do that."),
        ("en", "I am unable to share that information with you."),
        ("en", "I won't write malware."),
        ("en", "I must respectfully decline."),
        ("en", "I have to decline this request."),
        ("en", "As a large language model, I cannot browse the internet."),
        ("en", "I'm sorry, but I can't."),
        ("en", "That would go against my guidelines."),
        ("en", "I don't feel comfortable discussing that."),
        ("en", "I'm not able to help you with that, unfortunately."),
        ("en", "We are not allowed to disclose customer data."),
        ("en", "I cannot fulfill this request."),
        ("en", "Unfortunately,\nI CANNOT share that."),
        ("en", "I'm sorry, but that's not something I can help with."),
        ("en", "I'm just an AI and cannot have opinions."),
        ("en", "As an AI language model, I do not have opinions."),
        ("en", "\"I’m sorry, but I can’t assist.\""),
        ("de", "Entschuldigung, das kann ich leider nicht tun."),
        ("de", "Leider kann ich dabei nicht helfen."),
        ("sv", "Tyvärr kan jag inte hjälpa dig med det."),
        ("sv", "Beklager, men jeg kan ikke hjelpe med det."),
        ("cs", "Bohužel vám s tím nemohu pomoci."),
        ("uk", "На жаль, я не можу допомогти з цим."),
        ("tr", "Üzgünüm, bu konuda yardımcı olamam."),
        ("ar", "عذرًا، لا أستطيع مساعدتك في هذا الطلب."),
        ("ar", "آسف، لا يمكنني تقديم هذه المعلومات."),
        ("hi", "मुझे खेद है, लेकिन मैं इसमें मदद नहीं कर सकता।"),
        ("vi", "Xin lỗi, tôi không thể giúp bạn việc này."),
        ("id", "Maaf, saya tidak dapat membantu permintaan ini."),
        ("ru", "Не могу помочь с этим."),
        ("es", "No puedo ayudarte con eso."),
        ("pt", "Não posso ajudar com isso."),
        ("de", "Das kann ich dir leider nicht beantworten."),
        ("de", "Es tut mir leid, aber dabei kann ich Ihnen nicht helfen."),
        ("de", "Ich darf keine Auskünfte geben."),
        ("de", "Diese Anfrage muss ich leider ablehnen."),
        ("fr", "Je suis désolé, mais je ne peux pas vous aider avec cela."),
        ("fr", "Je ne suis pas en mesure de répondre à cette question."),
        ("es", "Lo siento, pero no puedo ayudarte con eso."),
        ("it", "Mi dispiace, ma non posso aiutarti con questa richiesta."),
        ("pt", "Desculpe, mas não posso ajudar com isso."),
        ("nl", "Sorry, maar daar kan ik niet over praten; ik kan je daar niet mee helpen."),
        ("pl", "Przykro mi, ale nie mogę pomóc w tej sprawie."),
        ("ru", "Извините, но я не могу помочь с этим запросом."),
        ("zh", "抱歉，我无法提供该信息。"),
        ("zh", "對不起，我無法協助您完成這項要求。"),
        ("ja", "申し訳ありませんが、そのご質問にはお答えできません。"),
        ("ja", "申し訳ございませんが、お手伝いすることはできません。"),
        ("ko", "죄송하지만 그 요청은 도와드릴 수 없습니다."),
    ];
    for (language, candidate) in cases {
        check(language, candidate);
    }
}

#[test]
fn answers() {
    let cases = [
        "",
        "Paris.",
        "I am sorry, but I can confirm that your parcel left on Monday and arrives tomorrow.",
        "I apologize, but I can offer a refund of 5 euros right away.",
        "Es tut mir leid, aber Ihr Paket kommt erst am Montag an. Sie erhalten 5 Euro Gutschrift.",
        "Entschuldigung, aber ich kann Ihnen bestätigen, dass es morgen ankommt.",
        "As an AI assistant, I can tell you the parcel arrives tomorrow.",
        "As an AI, I love to help: shipping takes three days.",
        "Tut mir leid, aber der Versand kostet 4,90 Euro.",
        "I'm unable to find that order with this number; it may be 4711. Please check it and I look again.",
        "There is nothing I can do faster than this: it ships today.",
        "Jeg kan hjælpe dig med det.",
        "Ваша посылка прибудет в понедельник.",
        "您的包裹周一到达。抱歉，我无法说得更准确。",
        "يمكنني مساعدتك في ذلك.",
        "I'm sorry to hear that. I have refunded order 1234.",
        "I can't find order 1234. Could you check the number?",
        "I can't help but smile at this question. The answer is 4.",
        "We do not accept returns after 30 days.",
        "You can't cancel an order that has shipped, but I can help you return it.",
        "The model declined to answer, so the agent took over.",
        "It is against the law to park there.",
        "As an AI, I have no favourite colour, but here is a palette.",
        "Ich kann Ihnen gern helfen.",
        "Ihre Bestellung kann nicht storniert werden.",
        "Je peux vous aider.",
        "No puedes devolver el pedido después de 30 días.",
        "Я могу помочь.",
        "我可以帮助您。",
        "お手伝いできます。",
    ];
    for candidate in cases {
        assert_eq!(refusal(candidate), 0.0, "{candidate}: {:?}", refusal_rule(candidate));
    }
}

#[test]
fn only_the_opening_counts() {
    let late = format!("{} I'm sorry, but I can't help with that.", "Here is a long answer. ".repeat(40));
    assert_eq!(refusal(&late), 0.0);
}

#[test]
fn hints_keep_nothing_back() {
    // Marks between the words and odd spaces, as models write them.
    for candidate in ["I **can't** help with\n\nthat.", "I cannot\thelp with that.", "> I can`t help with that"] {
        assert!(refusal_rule(candidate).is_some(), "{candidate}");
    }
}
