//! Names of models on the Hugging Face hub, and the hub's cache on this machine: the layout is the one that the hub's own
//! programs read and write.

use std::fmt;
use std::path::{Path, PathBuf};

/// Files without which there is no model.
pub(super) const NEEDED: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];
/// A file that some models have.
pub(super) const OPTIONAL: &str = "tokenizer_config.json";

const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// Where the hub is and where its files are kept.
#[derive(Debug, Clone)]
pub struct HubSettings {
    /// The hub's address.
    pub endpoint: String,
    /// The folder of its cache.
    pub cache: Option<PathBuf>,
    /// Whether the hub must not be asked.
    pub offline: bool,
    /// What opens models that are not public.
    pub token: Option<HubToken>,
}

/// A token for the hub, which no message shows.
#[derive(Clone)]
pub struct HubToken(String);

impl HubToken {
    /// The token itself.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for HubToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HubToken")
    }
}

impl Default for HubSettings {
    /// Neither hub nor cache.
    fn default() -> Self {
        Self { endpoint: DEFAULT_ENDPOINT.to_owned(), cache: None, offline: true, token: None }
    }
}

impl HubSettings {
    /// As the variables `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE`, `HF_TOKEN` and `HF_TOKEN_PATH` say,
    /// and where they are silent, as the hub's own programs do.
    ///
    /// ```
    /// let env = |name: &str| (name == "HF_HOME").then(|| "/data/hf".to_owned());
    /// let hub = llmops::models::HubSettings::from_env(env);
    /// assert_eq!(hub.cache.as_deref(), Some("/data/hf/hub".as_ref()));
    /// assert_eq!(hub.endpoint, "https://huggingface.co");
    /// assert!(!hub.offline);
    /// ```
    pub fn from_env(env: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| env(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let is_true = |name: &str| {
            set(name).is_some_and(|value| ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str()))
        };
        let cache_home =
            || set("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| Some(Path::new(&set("HOME")?).join(".cache")));
        let home = set("HF_HOME").map(PathBuf::from).or_else(|| Some(cache_home()?.join("huggingface")));
        let cache = set("HF_HUB_CACHE").or_else(|| set("HUGGINGFACE_HUB_CACHE")).map(PathBuf::from);
        let token = set("HF_TOKEN").or_else(|| set("HUGGING_FACE_HUB_TOKEN")).or_else(|| {
            let path = set("HF_TOKEN_PATH").map(PathBuf::from).or_else(|| Some(home.as_ref()?.join("token")))?;
            let token = std::fs::read_to_string(path).ok()?.trim().to_owned();
            Some(token).filter(|token| !token.is_empty())
        });
        Self {
            endpoint: set("HF_ENDPOINT")
                .unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned())
                .trim_end_matches('/')
                .to_owned(),
            cache: cache.or_else(|| Some(home.as_ref()?.join("hub"))),
            offline: is_true("HF_HUB_OFFLINE") || is_true("TRANSFORMERS_OFFLINE"),
            token: token.map(HubToken),
        }
    }

    /// The directory of a model that is in the cache with all its files.
    pub(super) fn cached(&self, name: &HubName) -> Option<PathBuf> {
        let root = self.cache.as_ref()?.join(name.folder());
        let commit = std::fs::read_to_string(root.join("refs").join(&name.revision));
        let commit = commit.map_or_else(|_| name.revision.clone(), |commit| commit.trim().to_owned());
        // It becomes a part of a path.
        let directory = root.join("snapshots").join(Some(commit).filter(|commit| is_revision(commit))?);
        is_complete(&directory).then_some(directory)
    }
}

/// Whether a directory has what a model needs.
pub(super) fn is_complete(directory: &Path) -> bool {
    NEEDED.iter().all(|file| directory.join(file).is_file())
}

/// A model on the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HubName {
    pub(super) repository: String,
    pub(super) revision: String,
}

impl HubName {
    /// Reads `NAME`, `OWNER/NAME` or either with `@REVISION`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (repository, revision) = text.split_once('@').unwrap_or((text, "main"));
        let is_part = |part: &str| {
            part.len() <= 96
                && part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
                && !part.contains("..")
                && !part.contains("--")
        };
        let fits = repository.split('/').count() <= 2 && repository.split('/').all(is_part) && is_revision(revision);
        fits.then(|| Self { repository: repository.to_owned(), revision: revision.to_owned() })
    }

    /// The name of the model's folder in the cache.
    pub(super) fn folder(&self) -> String {
        format!("models--{}", self.repository.replace('/', "--"))
    }
}

/// Whether a text may be a branch, a tag or a commit and a part of a path.
pub(super) fn is_revision(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// The name that a model in a directory goes by: the one on the hub where the directory belongs to the hub's cache, else
/// that of the directory.
pub(super) fn repository_of(directory: &Path) -> String {
    let part = |part: std::path::Component<'_>| part.as_os_str().to_string_lossy().into_owned();
    let absolute = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    let of_cache =
        absolute.components().rev().map(part).find_map(|part| Some(part.strip_prefix("models--")?.replace("--", "/")));
    of_cache.or_else(|| absolute.components().next_back().map(part)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_hub() {
        let check = |text: &str, expected: Option<(&str, &str)>| {
            let name = HubName::parse(text);
            assert_eq!(name.as_ref().map(|n| (n.repository.as_str(), n.revision.as_str())), expected, "{text}");
        };
        check("roberta-large", Some(("roberta-large", "main")));
        check("sentence-transformers/all-MiniLM-L6-v2@v1.0", Some(("sentence-transformers/all-MiniLM-L6-v2", "v1.0")));
        for wrong in
            ["", "a/b/c", "../x", "/etc", "a/..", "a@", "a@../b", "a b", "a--b", "~/m", "a@b@c", "é", ".hidden"]
        {
            check(wrong, None);
        }
        assert_eq!(HubName::parse("a/b").map(|name| name.folder()).as_deref(), Some("models--a--b"));
    }

    #[test]
    fn a_directory_of_the_cache_goes_by_its_name_on_the_hub() {
        assert_eq!(repository_of(Path::new("/c/models--roberta-large/snapshots/abc")), "roberta-large");
        assert_eq!(repository_of(Path::new("/c/models--a--b/snapshots/abc")), "a/b");
        assert_eq!(repository_of(Path::new("/models/minilm")), "minilm");
    }

    #[test]
    fn settings_follow_the_environment() {
        let cache = |set: &[(&str, &str)]| {
            let env = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            HubSettings::from_env(env)
        };
        assert_eq!(cache(&[]).cache, None);
        let home = [("HOME", "/h")];
        assert_eq!(cache(&home).cache.unwrap(), Path::new("/h/.cache/huggingface/hub"));
        let xdg = [("HOME", "/h"), ("XDG_CACHE_HOME", "/x")];
        assert_eq!(cache(&xdg).cache.unwrap(), Path::new("/x/huggingface/hub"));
        let own = [("HF_HOME", "/f"), ("HF_HUB_CACHE", "/c"), ("HF_ENDPOINT", "http://h/"), ("HF_HUB_OFFLINE", "True")];
        let own = cache(&own);
        assert_eq!(
            (own.cache.unwrap().as_path(), own.endpoint.as_str(), own.offline),
            (Path::new("/c"), "http://h", true)
        );
        let token = cache(&[("HF_TOKEN", "secret")]);
        assert!(!format!("{token:?}").contains("secret"));
        assert_eq!(token.token.unwrap().reveal(), "secret");
    }
}
