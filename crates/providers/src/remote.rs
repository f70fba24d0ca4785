//! From a configured provider on the network to its endpoint: address, headers, key.

use llmops_domain::config::providers::RemoteConfig;

use crate::http_client::Endpoint;
use crate::kinds::Kind;
use crate::provider::ProviderError;

/// The base address without a slash at its end.
pub(crate) fn base_url(kind: &Kind, config: &RemoteConfig) -> Result<String, ProviderError> {
    let configured = match config.base_url.as_deref() {
        Some(url) => expanded(url, "base_url")?,
        None => None,
    };
    let url = configured
        .or(kind.base_url)
        .ok_or_else(|| ProviderError::Config(format!("a provider of kind `{}` needs a `base_url`", kind.name)))?;
    Ok(url.trim_end_matches('/').to_owned())
}

/// The address, to put a path behind it.
pub(crate) fn parsed(base: &str) -> Result<url::Url, ProviderError> {
    url::Url::parse(base).map_err(|error| ProviderError::Config(format!("`base_url` is no address: {error}")))
}

/// The endpoint at `url` with the key's header and the configured headers.
pub(crate) fn endpoint(kind: &Kind, config: &RemoteConfig, url: &str) -> Result<Endpoint, ProviderError> {
    let mut endpoint = Endpoint::new(url)?;
    if let Some(key) = key(kind, config)? {
        let (header, before) = kind.key_header;
        endpoint = endpoint.secret_header(header, &format!("{before}{key}"), key)?;
    }
    let named = [("openai-organization", &config.organization), ("openai-project", &config.project)];
    for (header, value) in named {
        if let Some(value) = value {
            endpoint = endpoint.header(header, value)?;
        }
    }
    for (name, value) in &config.headers {
        if let Some(value) = expanded(value, &format!("headers.{name}"))? {
            endpoint = endpoint.secret_header(name, value, value)?;
        }
    }
    Ok(endpoint)
}

/// The key, if one is set. A key is missed only where requests go to the provider's own address: servers that speak its
/// format elsewhere often want none.
fn key<'a>(kind: &Kind, config: &'a RemoteConfig) -> Result<Option<&'a str>, ProviderError> {
    if let Some(key) = config.api_key.as_deref()
        && let Some(key) = expanded(key, "api_key")?
    {
        return Ok(Some(key));
    }
    let own_headers = config.headers.keys().any(|name| name.eq_ignore_ascii_case(kind.key_header.0));
    match kind.key_variable {
        Some(variable) if (config.base_url.is_none() || kind.base_url.is_none()) && !own_headers => {
            Err(ProviderError::Config(format!(
                "the API key is not set: set the environment variable {variable} and write `api_key: \"${{{variable}}}\"`"
            )))
        }
        _ => Ok(None),
    }
}

/// A configured value; `None` when it is blank.
///
/// A `${NAME}` that is still in it stands for an environment variable that was not set when the configuration was read.
pub(crate) fn expanded<'a>(value: &'a str, key: &str) -> Result<Option<&'a str>, ProviderError> {
    let variable = value.find("${").and_then(|at| value[at + 2..].split_once('}')).map(|(name, _)| name);
    if let Some(variable) = variable {
        return Err(ProviderError::Config(format!(
            "`{key}` needs the environment variable {variable}, which is not set"
        )));
    }
    let value = value.trim();
    Ok((!value.is_empty()).then_some(value))
}
