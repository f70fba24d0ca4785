//! Embedding models: finding them, loading them once, and comparing texts with them.
//!
//! A model is named by a directory or by its name on the Hugging Face hub. [`Models::find`] says whether it is to be had,
//! [`Models::load`] gives an [`Embedder`], downloading what is missing into the hub's own cache.

mod download;
mod embedder;
mod embeddings;
mod hub;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, Weak};

use llmops_metrics::encoder::{LoadError, default_layer};

pub use self::download::{Progress, Quiet};
pub use self::embedder::{Embedder, Pair};
pub use self::embeddings::{EmbeddingCache, Limit};
use self::hub::HubName;
pub use self::hub::HubSettings;

/// The model of a scorer that names none: small, multilingual only in part, and good at short English texts.
pub const DEFAULT_MODEL: &str = "sentence-transformers/all-MiniLM-L6-v2";

/// Where models are looked for.
#[derive(Debug, Clone)]
pub struct ModelOptions {
    /// Relative directories are below this one.
    pub folder: PathBuf,
    /// Whether only directories below `folder`, and those of `named`, may be opened: for servers, whose callers must not
    /// find out what is on the disk.
    pub confined: bool,
    /// Directories that may be opened all the same.
    pub named: Vec<String>,
    /// The hub.
    pub hub: HubSettings,
    /// Where embeddings of references are kept.
    pub embeddings: Option<Limit>,
}

impl Default for ModelOptions {
    /// Directories of this machine only; nothing is kept.
    fn default() -> Self {
        Self {
            folder: PathBuf::from("."),
            confined: false,
            named: Vec::new(),
            hub: HubSettings::default(),
            embeddings: None,
        }
    }
}

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// Neither a directory nor a name that the hub could have.
    #[error("there is no folder `{name}` in {}, and a model of the hub is named NAME, OWNER/NAME or OWNER/NAME@REVISION", folder.display())]
    NoSuchFolder {
        /// What was asked for.
        name: String,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// A directory that callers of a server may not open.
    #[error("the folder `{0}` is outside of the project, and the server's llmops.yaml does not name it")]
    Outside(String),
    /// The hub must not be asked, and its cache lacks the model.
    #[error("`{name}` is no folder in {} and not in the hub's cache ({}), and the hub may not be asked", folder.display(), cache.display())]
    Offline {
        /// The model.
        name: String,
        /// Where a folder was looked for.
        folder: PathBuf,
        /// The cache.
        cache: PathBuf,
    },
    /// The hub has no such model, or the model lacks a file.
    #[error("{endpoint} has no {file} of the model `{name}`")]
    NotOnHub {
        /// The hub.
        endpoint: String,
        /// The model.
        name: String,
        /// The file.
        file: String,
    },
    /// The hub wants a token, or another one.
    #[error("{endpoint} does not give out the model `{name}` (HTTP {status})")]
    Refused {
        /// The hub.
        endpoint: String,
        /// The model.
        name: String,
        /// What it answered.
        status: u16,
    },
    /// The hub cannot be reached or breaks off.
    #[error("cannot get {file} of `{name}` from {endpoint}: {reason}")]
    Unreachable {
        /// The hub.
        endpoint: String,
        /// The model.
        name: String,
        /// The file.
        file: String,
        /// What happened.
        reason: String,
    },
    /// What was downloaded is not what the hub announced.
    #[error("{file} of `{name}` arrived damaged: {reason}")]
    Damaged {
        /// The model.
        name: String,
        /// The file.
        file: String,
        /// What differs.
        reason: String,
    },
    /// A file could not be written or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The files are no model that can be used.
    #[error("cannot load the model `{name}`: {source}")]
    Load {
        /// The model.
        name: String,
        /// Why.
        source: LoadError,
    },
    /// The thread that loaded it has died.
    #[error("the thread that loaded the model has died")]
    Died,
}

impl ModelError {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    /// Whether it may be there another time without anything being changed.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Damaged { .. } | Self::Died)
    }

    /// What happened, without the words of the system below.
    pub fn briefly(&self) -> String {
        match self {
            Self::Unreachable { endpoint, .. } => format!("{endpoint} cannot be reached"),
            Self::Offline { .. } => "the hub may not be asked".to_owned(),
            other => other.to_string(),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoSuchFolder { .. } | Self::NotOnHub { .. } => {
                "a model is a folder with config.json, tokenizer.json and model.safetensors, or a name on huggingface.co"
            }
            Self::Outside(_) => "put the model below the project's folder, or name it in the server's llmops.yaml",
            Self::Offline { .. } => "unset HF_HUB_OFFLINE, or put the model into a folder and name that",
            Self::Refused { .. } => "set HF_TOKEN to a token that may read the model",
            Self::Unreachable { .. } => "HF_ENDPOINT names another hub; a model in a folder needs none",
            Self::Damaged { .. } => "try again; if it stays so, a proxy on the way alters files",
            Self::Io { .. } => "HF_HUB_CACHE names another place for models",
            Self::Load { .. } => "`llmops doctor` loads the models of the configuration and says what they are",
            Self::Died => "try again with LLMOPS_LOG=debug",
        }
    }
}

/// Which hidden states are the embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layer {
    /// Those that `bert_score` recommends for the model, else the last.
    Recommended,
    /// The last.
    Last,
    /// Those after this many layers.
    At(usize),
}

impl Layer {
    /// About how many layers of a model that takes, before it is known what the model is.
    pub(crate) fn depth(self, model: &str) -> usize {
        let repository = model.split('@').next().unwrap_or(model);
        match self {
            Self::At(layer) => layer,
            Self::Recommended => default_layer(repository).unwrap_or(usize::MAX),
            Self::Last => usize::MAX,
        }
    }
}

/// Where a model is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// In this directory.
    Here(PathBuf),
    /// On the hub, which will be asked when it is loaded.
    OnHub,
}

enum Place {
    Directory(PathBuf),
    Hub(HubName),
}

/// The models of an installation. Each is in memory once while somebody uses it.
#[derive(Debug)]
pub struct Models {
    options: ModelOptions,
    cache: Option<Arc<EmbeddingCache>>,
    loaded: std::sync::Mutex<HashMap<(PathBuf, Layer), Weak<Embedder>>>,
    /// One download or load at a time.
    loading: tokio::sync::Mutex<()>,
}

impl Models {
    /// Looks for models as the options say.
    pub fn new(options: ModelOptions) -> Self {
        let cache = options.embeddings.clone().map(|limit| Arc::new(EmbeddingCache::new(limit)));
        Self { options, cache, loaded: std::sync::Mutex::default(), loading: tokio::sync::Mutex::default() }
    }

    /// Whether a model is to be had, without loading it. The hub is asked about one that is not here.
    ///
    /// # Errors
    /// [`ModelError`] when it is not.
    pub async fn find(&self, name: &str) -> Result<Found, ModelError> {
        match self.place(name)? {
            Place::Directory(directory) => {
                let missing = hub::NEEDED.iter().map(|file| directory.join(file)).find(|path| !path.is_file());
                match missing {
                    Some(path) => Err(ModelError::io(&path, io::ErrorKind::NotFound.into())),
                    None => Ok(Found::Here(directory)),
                }
            }
            Place::Hub(hub) => match self.options.hub.cached(&hub) {
                Some(directory) => Ok(Found::Here(directory)),
                None => self.hub(name)?.look_up(&hub).await.map(|()| Found::OnHub),
            },
        }
    }

    /// Whether a model is on this machine. Nobody is asked about it.
    ///
    /// # Errors
    /// [`ModelError`] when the name is none.
    pub fn is_here(&self, name: &str) -> Result<bool, ModelError> {
        Ok(match self.place(name)? {
            Place::Directory(directory) => directory.is_dir(),
            Place::Hub(hub) => self.options.hub.cached(&hub).is_some(),
        })
    }

    /// Loads a model, downloading it where it is missing; one that is in use already is shared, and so are its weights with its
    /// earlier layers. Who wants several layers saves memory by asking for the last of them first.
    ///
    /// # Errors
    /// [`ModelError`] when it is not to be had or cannot be used.
    pub async fn load(&self, name: &str, layer: Layer, progress: &dyn Progress) -> Result<Arc<Embedder>, ModelError> {
        let _one_at_a_time = self.loading.lock().await;
        let (directory, known_as) = self.directory(name, progress).await?;
        // What the table recommends may be the last layer: then it is the same model.
        let at = match layer {
            Layer::At(layer) => Some(layer),
            Layer::Recommended => default_layer(&known_as),
            Layer::Last => None,
        };
        let key = (directory.clone(), at.map_or(Layer::Last, Layer::At));
        if let Some(loaded) =
            self.loaded.lock().unwrap_or_else(PoisonError::into_inner).get(&key).and_then(Weak::upgrade)
        {
            return Ok(loaded);
        }
        let shared = self.shared(name, &directory, at);
        let loaded = if let Some(shared) = shared {
            shared
        } else {
            let (name, cache) = (name.to_owned(), self.cache.clone());
            let loaded = tokio::task::spawn_blocking(move || Embedder::load(&name, &directory, at, cache)).await;
            loaded.map_err(|_| ModelError::Died)??
        };
        let loaded = Arc::new(loaded);
        let mut all = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, known| known.strong_count() > 0);
        all.insert(key, Arc::downgrade(&loaded));
        Ok(loaded)
    }

    /// The model at an earlier layer than the one that somebody uses.
    fn shared(&self, name: &str, directory: &Path, layer: Option<usize>) -> Option<Embedder> {
        let all = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let here = all.iter().filter(|((known, _), _)| known == directory);
        here.filter_map(|(_, embedder)| embedder.upgrade()).find_map(|embedder| embedder.at(name, layer))
    }

    /// Downloads a model where it is missing, without loading it.
    ///
    /// # Errors
    /// [`ModelError`] when it is not to be had.
    pub async fn fetch(&self, name: &str, progress: &dyn Progress) -> Result<(), ModelError> {
        let _one_at_a_time = self.loading.lock().await;
        self.directory(name, progress).await.map(|_| ())
    }

    /// The directory of a model, and the name that `bert_score` may know it by.
    async fn directory(&self, name: &str, progress: &dyn Progress) -> Result<(PathBuf, String), ModelError> {
        match self.place(name)? {
            Place::Directory(directory) => {
                let known_as = hub::repository_of(&directory);
                Ok((directory, known_as))
            }
            Place::Hub(hub) => match self.options.hub.cached(&hub) {
                Some(directory) => Ok((directory, hub.repository)),
                None => Ok((self.hub(name)?.download(&hub, progress).await?, hub.repository)),
            },
        }
    }

    fn place(&self, name: &str) -> Result<Place, ModelError> {
        let path = self.options.folder.join(name);
        if !name.is_empty() && path.is_dir() {
            return if self.may_open(name, &path) {
                Ok(Place::Directory(path))
            } else {
                Err(ModelError::Outside(name.to_owned()))
            };
        }
        HubName::parse(name)
            .map(Place::Hub)
            .ok_or_else(|| ModelError::NoSuchFolder { name: name.to_owned(), folder: self.options.folder.clone() })
    }

    fn may_open(&self, name: &str, path: &Path) -> bool {
        if !self.options.confined || self.options.named.iter().any(|named| named == name) {
            return true;
        }
        match (path.canonicalize(), self.options.folder.canonicalize()) {
            (Ok(path), Ok(folder)) => path.starts_with(folder),
            _ => false,
        }
    }

    fn hub(&self, name: &str) -> Result<download::Hub<'_>, ModelError> {
        let settings = &self.options.hub;
        match &settings.cache {
            Some(cache) if !settings.offline => download::Hub::new(settings, cache),
            cache => Err(ModelError::Offline {
                name: name.to_owned(),
                folder: self.options.folder.clone(),
                cache: cache.clone().unwrap_or_default(),
            }),
        }
    }
}
