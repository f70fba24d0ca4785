//! Embeddings of references on disk.
//!
//! The same references are compared with new answers in run after run, and embedding them is half of the work. Each text
//! is a file whose name is the hash of the model, the layer and the text. The folder is kept below its limit by removing
//! what has not been used for longest. Several processes may share it: files appear complete or not at all, and one that is
//! damaged counts as missing.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use llmops_metrics::encoder::TokenEmbeddings;
use sha2::{Digest, Sha256};

/// First bytes of a file; another layout is another number.
const MAGIC: &[u8; 8] = b"llmemb01";
/// Bytes of the checksum at the end.
const CHECKSUM: usize = 8;
/// A file that is read is marked as used when its mark is older than this.
const MARK_AFTER: Duration = Duration::from_hours(1);
/// Temporary files that are older than this belong to nobody.
const ABANDONED: Duration = Duration::from_hours(1);

/// A folder and how large it may become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// The folder.
    pub folder: PathBuf,
    /// Most bytes of all files.
    pub bytes: u64,
}

/// Embeddings that are kept between runs.
#[derive(Debug)]
pub struct EmbeddingCache {
    limit: Limit,
    /// Bytes written since the folder was last looked over.
    written: AtomicU64,
    /// Names of temporary files.
    count: AtomicU64,
    complained: AtomicBool,
}

/// What an embedding is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key([u8; 32]);

impl Key {
    /// The key of a text under a model, which `model` identifies together with its layer.
    pub(super) fn new(model: &[u8], text: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(model);
        hash.update(text);
        Self(hash.finalize().into())
    }
}

impl EmbeddingCache {
    /// A cache in a folder, which is made when the first embedding is kept.
    pub fn new(limit: Limit) -> Self {
        Self { limit, written: AtomicU64::new(0), count: AtomicU64::new(0), complained: AtomicBool::new(false) }
    }

    fn path(&self, key: &Key) -> PathBuf {
        let name = hex::encode(key.0);
        self.limit.folder.join(&name[..2]).join(&name[2..])
    }

    /// The embeddings of a text, if they are here and whole.
    pub(super) fn get(&self, key: &Key, width: usize) -> Option<TokenEmbeddings> {
        let path = self.path(key);
        let embeddings = decode(&fs::read(&path).ok()?, width)?;
        let used = fs::metadata(&path).and_then(|about| about.modified()).ok();
        if used.and_then(|used| used.elapsed().ok()).is_some_and(|age| age > MARK_AFTER) {
            // Without the mark it is only removed earlier than it should be.
            let _ = File::options().append(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        }
        Some(embeddings)
    }

    /// Keeps embeddings. What cannot be written is told once and not kept.
    pub(super) fn put(&self, key: &Key, embeddings: &TokenEmbeddings) {
        let content = encode(embeddings);
        let size = content.len() as u64;
        if size > self.limit.bytes / 4 {
            return;
        }
        if let Err(error) = self.write(&self.path(key), &content) {
            if !self.complained.swap(true, Ordering::Relaxed) {
                tracing::warn!(folder = %self.limit.folder.display(), %error, "embeddings cannot be kept");
            }
            return;
        }
        let step = (self.limit.bytes / 8).max(1);
        let before = self.written.fetch_add(size, Ordering::Relaxed);
        if before / step != (before + size) / step {
            self.trim();
        }
    }

    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let folder = path.parent().unwrap_or(&self.limit.folder);
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let temporary = folder.join(format!("{}-{count}.tmp", std::process::id()));
        let create = || File::create(&temporary);
        let mut file = create().or_else(|_| fs::create_dir_all(folder).and_then(|()| create()))?;
        let written = file.write_all(content).and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            // What could not be put in place must not lie around.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// Removes what was not used for longest until a tenth of the limit is free, where the limit is passed.
    pub(super) fn trim(&self) {
        let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        let mut sum = 0;
        for folder in entries(&self.limit.folder) {
            for path in entries(&folder) {
                let Ok(about) = fs::metadata(&path) else { continue };
                let used = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                if path.extension().is_some_and(|extension| extension == "tmp") {
                    if used.elapsed().is_ok_and(|age| age > ABANDONED) {
                        let _ = fs::remove_file(&path);
                    }
                    continue;
                }
                sum += about.len();
                files.push((used, about.len(), path));
            }
        }
        if sum <= self.limit.bytes {
            return;
        }
        files.sort();
        let goal = self.limit.bytes - self.limit.bytes / 10;
        for (_, size, path) in files {
            if sum <= goal {
                break;
            }
            // Another process may have been first.
            let _ = fs::remove_file(path);
            sum -= size;
        }
    }
}

impl Drop for EmbeddingCache {
    fn drop(&mut self) {
        if self.written.load(Ordering::Relaxed) > 0 {
            self.trim();
        }
    }
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}

fn encode(embeddings: &TokenEmbeddings) -> Vec<u8> {
    let (ids, values) = (embeddings.ids(), embeddings.values());
    let mut content = Vec::with_capacity(12 + 4 * (ids.len() + values.len()) + CHECKSUM);
    content.extend_from_slice(MAGIC);
    content.extend_from_slice(&u32::try_from(ids.len()).unwrap_or(u32::MAX).to_le_bytes());
    content.extend(ids.iter().flat_map(|id| id.to_le_bytes()));
    content.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    let checksum = Sha256::digest(&content);
    content.extend_from_slice(&checksum[..CHECKSUM]);
    content
}

fn decode(content: &[u8], width: usize) -> Option<TokenEmbeddings> {
    let (content, checksum) = content.split_at_checked(content.len().checked_sub(CHECKSUM)?)?;
    if Sha256::digest(content)[..CHECKSUM] != *checksum {
        return None;
    }
    let rest = content.strip_prefix(MAGIC)?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let (ids, values) = rest.split_at_checked((u32::from_le_bytes(*count) as usize).checked_mul(4)?)?;
    let ids: Vec<u32> = ids.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
    let values: Vec<f32> = values.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    TokenEmbeddings::from_parts(ids, values).filter(|embeddings| embeddings.width() == width)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embeddings(tokens: u32) -> TokenEmbeddings {
        let values = (0..tokens * 4).map(|value| f32::from(u16::try_from(value).unwrap()) + 0.1).collect();
        TokenEmbeddings::from_parts((0..tokens).collect(), values).unwrap()
    }

    fn cache(bytes: u64) -> (tempfile::TempDir, EmbeddingCache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = EmbeddingCache::new(Limit { folder: folder.path().join("embeddings"), bytes });
        (folder, cache)
    }

    fn files(cache: &EmbeddingCache) -> Vec<PathBuf> {
        entries(&cache.limit.folder).flat_map(|folder| entries(&folder).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn what_is_kept_comes_back_as_it_was() {
        let (_folder, cache) = cache(1 << 20);
        let (key, kept) = (Key::new(b"model", "text"), embeddings(5));
        assert_eq!(cache.get(&key, 4), None);
        cache.put(&key, &kept);
        assert_eq!(cache.get(&key, 4), Some(kept));
        assert_eq!(cache.get(&key, 8), None, "of another width");
        assert_eq!(cache.get(&Key::new(b"model", "another"), 4), None);
        assert_eq!(cache.get(&Key::new(b"other", "text"), 4), None);
    }

    #[test]
    fn a_damaged_file_counts_as_missing() {
        let (_folder, cache) = cache(1 << 20);
        let key = Key::new(b"model", "text");
        cache.put(&key, &embeddings(5));
        let path = files(&cache).remove(0);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, damaged).unwrap();
            assert_eq!(cache.get(&key, 4), None, "byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(cache.get(&key, 4), None, "cut at {at}");
        }
    }

    #[test]
    fn the_folder_stays_below_its_limit() {
        let (_folder, cache) = cache(10_000);
        let key = |i: u32| Key::new(b"model", &i.to_string());
        for i in 0..500 {
            cache.put(&key(i), &embeddings(10));
        }
        cache.trim();
        let sum: u64 = files(&cache).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
        assert!(sum <= 10_000 && sum > 5_000, "{sum} bytes");
        // One that alone would fill the folder is not worth it.
        cache.put(&key(1000), &embeddings(1000));
        assert_eq!(cache.get(&key(1000), 4), None);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_no_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let cache = EmbeddingCache::new(Limit { folder: file.path().join("x"), bytes: 1000 });
        let key = Key::new(b"model", "text");
        cache.put(&key, &embeddings(1));
        assert_eq!(cache.get(&key, 4), None);
    }
}
