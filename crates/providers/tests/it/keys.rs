//! Missing and unused secrets.

use llmops_domain::config::providers::{HttpConfig, ProviderConfig, RemoteConfig};

use crate::support::{ask, limits, user};

async fn failure(config: ProviderConfig) -> String {
    let error = ask(config, &user("x")).await.unwrap_err();
    assert_eq!(error.reason(), "provider: configuration");
    error.to_string()
}

#[tokio::test]
async fn a_missing_key_names_its_variable() {
    let none = || RemoteConfig { limits: limits(0), ..RemoteConfig::default() };
    let unset = |key: &str| RemoteConfig { api_key: Some(key.to_owned()), ..none() };
    insta::assert_snapshot!(failure(ProviderConfig::Openai(none())).await, @r#"providers.p: the API key is not set: set the environment variable OPENAI_API_KEY and write `api_key: "${OPENAI_API_KEY}"`"#);
    insta::assert_snapshot!(failure(ProviderConfig::Gemini(unset(" "))).await, @r#"providers.p: the API key is not set: set the environment variable GEMINI_API_KEY and write `api_key: "${GEMINI_API_KEY}"`"#);
    insta::assert_snapshot!(failure(ProviderConfig::Anthropic(unset("${MY_KEY}"))).await, @"providers.p: `api_key` needs the environment variable MY_KEY, which is not set");
    insta::assert_snapshot!(failure(ProviderConfig::Azure(none())).await, @"providers.p: a provider of kind `azure` needs a `base_url`");
    let azure = RemoteConfig { base_url: Some("https://r.openai.azure.com".to_owned()), ..none() };
    insta::assert_snapshot!(failure(ProviderConfig::Azure(azure)).await, @r#"providers.p: the API key is not set: set the environment variable AZURE_OPENAI_API_KEY and write `api_key: "${AZURE_OPENAI_API_KEY}"`"#);
    let header = RemoteConfig { headers: [("x-a".to_owned(), "${A}".to_owned())].into(), ..unset("key") };
    insta::assert_snapshot!(failure(ProviderConfig::Groq(header)).await, @"providers.p: `headers.x-a` needs the environment variable A, which is not set");
}

#[tokio::test]
async fn http_secrets_and_settings() {
    let config = |url: &str, body: &str| {
        ProviderConfig::Http(HttpConfig {
            url: url.to_owned(),
            method: "post".to_owned(),
            headers: [("authorization".to_owned(), "Bearer ${APP_KEY}".to_owned())].into(),
            body: body.to_owned(),
            answer: None,
            limits: limits(0),
        })
    };
    insta::assert_snapshot!(failure(config("http://h/", "")).await, @"providers.p: `headers.authorization` needs the environment variable APP_KEY, which is not set");
    insta::assert_snapshot!(failure(config("${APP_URL}", "")).await, @"providers.p: `url` needs the environment variable APP_URL, which is not set");
    insta::assert_snapshot!(failure(config("/chat", "")).await, @"providers.p: `/chat` is no address: relative URL without a base");
}
