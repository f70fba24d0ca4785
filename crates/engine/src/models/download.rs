//! Getting a model's files from the hub into its cache.
//!
//! A file is written under another name, checked against the size and the checksum that the hub announces, and only then
//! put into its place; a model is in the cache when its last file is.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LOCATION, RANGE};
use reqwest::{Method, Response, StatusCode, Url};
use sha2::{Digest, Sha256};

use super::hub::{HubName, NEEDED, OPTIONAL, is_revision};
use super::{HubSettings, ModelError};
use crate::error::with_causes;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence while a file comes.
const SILENCE: Duration = Duration::from_mins(1);
/// How often a file that breaks off is asked for again.
const TRIES: u32 = 4;
const MAX_REDIRECTS: u32 = 8;

/// Told of a download as it goes on.
pub trait Progress: Send + Sync {
    /// A file begins; `size` is in bytes.
    fn file(&self, model: &str, file: &str, size: Option<u64>);
    /// So many bytes more.
    fn advance(&self, bytes: u64);
    /// The file is complete.
    fn end(&self);
}

/// Tells nobody but the log.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn file(&self, model: &str, file: &str, size: Option<u64>) {
        tracing::info!(model, file, size, "downloading");
    }

    fn advance(&self, _: u64) {}

    fn end(&self) {}
}

/// The hub and its cache.
pub(super) struct Hub<'a> {
    settings: &'a HubSettings,
    cache: &'a Path,
    client: reqwest::Client,
}

/// What the hub says of a file before it gives it.
struct Announced {
    url: Url,
    commit: Option<String>,
    etag: Option<String>,
    size: Option<u64>,
}

/// How a file can be checked.
enum Checksum {
    Sha256(String),
    /// Git's hash of a blob.
    Git(String),
    None,
}

impl Checksum {
    fn of_etag(etag: Option<&str>) -> Self {
        let hex = etag.filter(|etag| etag.bytes().all(|b| b.is_ascii_hexdigit())).map(str::to_ascii_lowercase);
        match hex {
            Some(etag) if etag.len() == 64 => Self::Sha256(etag),
            Some(etag) if etag.len() == 40 => Self::Git(etag),
            _ => Self::None,
        }
    }
}

/// A file of a model on its way.
struct Wanted<'a> {
    name: &'a HubName,
    file: &'a str,
}

impl Wanted<'_> {
    fn check(&self, expected: &str, found: &str) -> Result<(), ModelError> {
        if expected == found {
            return Ok(());
        }
        Err(self.damaged(format!("its checksum is {found}, announced was {expected}")))
    }

    fn damaged(&self, reason: String) -> ModelError {
        ModelError::Damaged { name: self.name.repository.clone(), file: self.file.to_owned(), reason }
    }
}

impl<'a> Hub<'a> {
    pub(super) fn new(settings: &'a HubSettings, cache: &'a Path) -> Result<Self, ModelError> {
        // Installing it twice is no error that matters: the first one stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .user_agent(concat!("llmops/", env!("CARGO_PKG_VERSION")))
            // Redirects are followed here: the token must not go to another host.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE)
            .build();
        let client = client.map_err(|error| ModelError::Unreachable {
            endpoint: settings.endpoint.clone(),
            name: String::new(),
            file: String::new(),
            reason: with_causes(&error),
        })?;
        Ok(Self { settings, cache, client })
    }

    /// Whether the hub has a model.
    pub(super) async fn look_up(&self, name: &HubName) -> Result<(), ModelError> {
        self.announce(&Wanted { name, file: NEEDED[0] }, &name.revision).await.map(|_| ())
    }

    /// Downloads a model's files, and gives the directory that has them.
    pub(super) async fn download(&self, name: &HubName, progress: &dyn Progress) -> Result<PathBuf, ModelError> {
        let root = self.cache.join(name.folder());
        let mut revision = name.revision.clone();
        let mut snapshot = PathBuf::new();
        // Weights last: without a configuration that fits they are not wanted.
        for file in [NEEDED[0], OPTIONAL, NEEDED[1], NEEDED[2]] {
            let wanted = Wanted { name, file };
            let announced = match self.announce(&wanted, &revision).await {
                Err(ModelError::NotOnHub { .. }) if file == OPTIONAL => continue,
                announced => announced?,
            };
            if snapshot.as_os_str().is_empty() {
                // All files are of the commit that the first one is of.
                revision = announced.commit.clone().filter(|commit| is_revision(commit)).unwrap_or(revision);
                snapshot = root.join("snapshots").join(&revision);
            }
            let blob = self.blob(&wanted, &announced, &root.join("blobs"), progress).await?;
            link(&blob, &snapshot.join(file))?;
        }
        if revision != name.revision {
            write_whole(&root.join("refs").join(&name.revision), revision.as_bytes())?;
        }
        Ok(snapshot)
    }

    /// Asks about a file, following redirects inside of the hub.
    async fn announce(&self, wanted: &Wanted<'_>, revision: &str) -> Result<Announced, ModelError> {
        let address =
            format!("{}/{}/resolve/{revision}/{}", self.settings.endpoint, wanted.name.repository, wanted.file);
        let mut url: Url = address.parse().map_err(|error| self.unreachable(wanted, format!("{address}: {error}")))?;
        let mut method = Method::HEAD;
        for _ in 0..MAX_REDIRECTS {
            let response = self.request(method.clone(), &url).send().await;
            let response = response.map_err(|error| self.unreachable(wanted, with_causes(&error)))?;
            let status = response.status();
            let is_the_file =
                header(&response, "x-linked-etag").is_some() || header(&response, "x-repo-commit").is_some();
            let target = header(&response, LOCATION.as_str()).and_then(|to| url.join(to).ok());
            match target {
                Some(target) if status.is_redirection() && !is_the_file => url = target,
                // A plain file server may know no HEAD.
                None if matches!(status.as_u16(), 405 | 501) && method == Method::HEAD => method = Method::GET,
                target if status.is_success() || (status.is_redirection() && target.is_some()) => {
                    let text = |name: &str| header(&response, name).map(str::to_owned);
                    let linked =
                        |name: &str, plain: &str| text(name).or_else(|| text(plain).filter(|_| status.is_success()));
                    let etag = linked("x-linked-etag", ETAG.as_str());
                    let size = linked("x-linked-size", CONTENT_LENGTH.as_str());
                    return Ok(Announced {
                        commit: text("x-repo-commit"),
                        etag: etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"').to_owned()),
                        size: size.and_then(|size| size.parse().ok()),
                        url: target.filter(|_| status.is_redirection()).unwrap_or(url),
                    });
                }
                _ => return Err(self.refusal(wanted, status)),
            }
        }
        Err(self.unreachable(wanted, "too many redirects".to_owned()))
    }

    /// A request, with the token where it goes to the hub itself.
    fn request(&self, method: Method, url: &Url) -> reqwest::RequestBuilder {
        let request = self.client.request(method, url.clone());
        let own = self.settings.endpoint.parse::<Url>().is_ok_and(|hub| hub.origin() == url.origin());
        match &self.settings.token {
            Some(token) if own => request.header(AUTHORIZATION, format!("Bearer {}", token.reveal())),
            _ => request,
        }
    }

    /// The file in the folder of blobs, downloaded unless it is there.
    async fn blob(
        &self,
        wanted: &Wanted<'_>,
        announced: &Announced,
        blobs: &Path,
        progress: &dyn Progress,
    ) -> Result<PathBuf, ModelError> {
        let name = announced.etag.clone().filter(|etag| is_revision(etag));
        if let Some(blob) = name.as_ref().map(|name| blobs.join(name)).filter(|blob| blob.is_file()) {
            return Ok(blob);
        }
        fs::create_dir_all(blobs).map_err(|error| ModelError::io(blobs, error))?;
        let partial = Partial(blobs.join(format!("{}.{}.incomplete", wanted.file, std::process::id())));
        progress.file(&wanted.name.repository, wanted.file, announced.size);
        let hash = self.fetch(wanted, announced, &partial.0, progress).await?;
        progress.end();
        if let Checksum::Git(expected) = Checksum::of_etag(announced.etag.as_deref()) {
            let found = git_hash(&partial.0).map_err(|error| ModelError::io(&partial.0, error))?;
            wanted.check(&expected, &found)?;
        }
        if let Checksum::Sha256(expected) = Checksum::of_etag(announced.etag.as_deref()) {
            wanted.check(&expected, &hash)?;
        }
        let blob = blobs.join(name.unwrap_or(hash));
        fs::rename(&partial.0, &blob).map_err(|error| ModelError::io(&blob, error))?;
        Ok(blob)
    }

    /// Writes the file, going on where it broke off, and gives its SHA-256.
    async fn fetch(
        &self,
        wanted: &Wanted<'_>,
        announced: &Announced,
        path: &Path,
        progress: &dyn Progress,
    ) -> Result<String, ModelError> {
        let mut file = File::create(path).map_err(|error| ModelError::io(path, error))?;
        let (mut hash, mut length, mut tries) = (Sha256::new(), 0_u64, 0);
        loop {
            tries += 1;
            let mut request = self.request(Method::GET, &announced.url);
            if length > 0 {
                request = request.header(RANGE, format!("bytes={length}-"));
            }
            let broke_off = match request.send().await {
                Ok(response) if response.status().is_success() => {
                    let goes_on = response.status() == StatusCode::PARTIAL_CONTENT
                        && header(&response, CONTENT_RANGE.as_str())
                            .is_some_and(|r| r.starts_with(&format!("bytes {length}-")));
                    if length > 0 && !goes_on {
                        // From the beginning again.
                        file = File::create(path).map_err(|error| ModelError::io(path, error))?;
                        (hash, length) = (Sha256::new(), 0);
                    }
                    let mut stream = response.bytes_stream();
                    let mut broke_off = None;
                    while let Some(bytes) = stream.next().await {
                        match bytes {
                            Ok(bytes) => {
                                file.write_all(&bytes).map_err(|error| ModelError::io(path, error))?;
                                hash.update(&bytes);
                                length += bytes.len() as u64;
                                progress.advance(bytes.len() as u64);
                            }
                            Err(error) => broke_off = Some(with_causes(&error)),
                        }
                    }
                    broke_off.or_else(|| {
                        let size = announced.size.filter(|size| length < *size)?;
                        Some(format!("it broke off after {length} of {size} bytes"))
                    })
                }
                Ok(response) if response.status().is_server_error() => {
                    Some(format!("HTTP {}", response.status().as_u16()))
                }
                Ok(response) => return Err(self.refusal(wanted, response.status())),
                Err(error) => Some(with_causes(&error)),
            };
            match broke_off {
                None => break,
                Some(reason) if tries >= TRIES => return Err(self.unreachable(wanted, reason)),
                Some(reason) => {
                    tracing::warn!(file = wanted.file, reason, "a download broke off; going on");
                    tokio::time::sleep(Duration::from_millis(250) * tries * tries).await;
                }
            }
        }
        if let Some(size) = announced.size.filter(|size| *size != length) {
            return Err(wanted.damaged(format!("{length} bytes instead of {size}")));
        }
        file.sync_all().map_err(|error| ModelError::io(path, error))?;
        Ok(hex::encode(hash.finalize()))
    }

    fn unreachable(&self, wanted: &Wanted<'_>, reason: String) -> ModelError {
        ModelError::Unreachable {
            endpoint: self.settings.endpoint.clone(),
            name: wanted.name.repository.clone(),
            file: wanted.file.to_owned(),
            reason,
        }
    }

    fn refusal(&self, wanted: &Wanted<'_>, status: StatusCode) -> ModelError {
        let (endpoint, name) = (self.settings.endpoint.clone(), wanted.name.repository.clone());
        match status.as_u16() {
            404 | 410 => ModelError::NotOnHub { endpoint, name, file: wanted.file.to_owned() },
            status @ (401 | 403) => ModelError::Refused { endpoint, name, status },
            status => self.unreachable(wanted, format!("HTTP {status}")),
        }
    }
}

/// A file that goes away unless it was put into its place.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        // It is gone already when all went well.
        let _ = fs::remove_file(&self.0);
    }
}

fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response.headers().get(name)?.to_str().ok()
}

/// SHA-1 over `blob LENGTH\0` and the content, as git names its objects.
fn git_hash(path: &Path) -> std::io::Result<String> {
    let content = fs::read(path)?;
    let mut hash = sha1::Sha1::new();
    hash.update(format!("blob {}\0", content.len()));
    hash.update(&content);
    Ok(hex::encode(hash.finalize()))
}

/// Makes `path` the blob: a link where the system has them, else a copy.
fn link(blob: &Path, path: &Path) -> Result<(), ModelError> {
    let fail = |error| ModelError::io(path, error);
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(fail)?;
    if path.exists() {
        return Ok(());
    }
    // A link to what is gone is in the way.
    let _ = fs::remove_file(path);
    let target = Path::new("..").join("..").join("blobs").join(blob.file_name().unwrap_or_default());
    #[cfg(unix)]
    let linked = std::os::unix::fs::symlink(target, path);
    #[cfg(not(unix))]
    let linked = fs::copy(folder.join(target), path).map(|_| ());
    match linked {
        // Another process was first.
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(fail(error)),
        _ => Ok(()),
    }
}

fn write_whole(path: &Path, content: &[u8]) -> Result<(), ModelError> {
    let fail = |error| ModelError::io(path, error);
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(fail)?;
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&temporary, content).and_then(|()| fs::rename(&temporary, path)).map_err(fail)
}
