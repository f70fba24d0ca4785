//! What counts as a refusal, as a table.

use llmops_metrics::refusal::{RULES, refusal, refusal_rule};

#[test]
fn every_rule_compiles() {
    for rule in RULES {
        assert!(regex::Regex::new(rule.pattern).is_ok(), "{} {}", rule.language, rule.name);
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
        assert_eq!(refusal_rule(candidate).map(|rule| rule.language), Some(language), "{candidate}");
    }
}

#[test]
fn answers() {
    let cases = [
        "",
        "Paris.",
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
