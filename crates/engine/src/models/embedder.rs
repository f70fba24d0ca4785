//! A loaded model: comparing texts with it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use llmops_metrics::encoder::{EncodeError, Encoder, TokenEmbeddings};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::embeddings::{EmbeddingCache, Key};
use super::{ModelError, hub};

/// About how many tokens are embedded before they are compared, which bounds the memory.
const GROUP_TOKENS: usize = 8_192;
/// A token is rarely shorter than this many bytes.
const TOKEN_BYTES: usize = 3;

/// A model in memory, with what identifies it.
#[derive(Debug)]
pub struct Embedder {
    encoder: Encoder,
    name: String,
    hash: String,
    /// The same in bytes.
    files: [u8; 32],
    /// What the embeddings depend on beside the text.
    identity: Vec<u8>,
    cache: Option<Arc<EmbeddingCache>>,
}

/// Embeddings by their texts.
type ByText<'a> = HashMap<&'a str, TokenEmbeddings>;

/// An output and the references it is compared with.
pub type Pair<'a> = (&'a str, &'a [String]);

impl Embedder {
    pub(super) fn load(
        name: &str,
        directory: &Path,
        layer: Option<usize>,
        cache: Option<Arc<EmbeddingCache>>,
    ) -> Result<Self, ModelError> {
        let (hash, encoder) = rayon::join(|| hash_of(directory), || Encoder::load(directory, layer));
        let encoder = encoder.map_err(|source| ModelError::Load { name: name.to_owned(), source })?;
        Ok(Self::of(name, encoder, hash?, cache))
    }

    /// The same model at another layer (absent: the last), over the same weights; none where that layer is not loaded.
    pub(super) fn at(&self, name: &str, layer: Option<usize>) -> Option<Self> {
        let encoder = self.encoder.at(layer.unwrap_or(self.encoder.layers()))?;
        Some(Self::of(name, encoder, self.files, self.cache.clone()))
    }

    fn of(name: &str, encoder: Encoder, files: [u8; 32], cache: Option<Arc<EmbeddingCache>>) -> Self {
        let mut identity = files.to_vec();
        identity.extend_from_slice(&(encoder.layer() as u64).to_le_bytes());
        Self { encoder, name: name.to_owned(), hash: hex::encode(files), files, identity, cache }
    }

    /// The name that it was asked for by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 over the model's files, in hex digits.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The model itself.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// For each pair what `measure` makes of the output and each reference, the best by `best`; none where there is no
    /// reference. Texts are embedded in groups of bounded size; references come from the cache where they are in it.
    ///
    /// # Errors
    /// [`EncodeError`] when the model's tokenizer does not fit the model.
    pub fn compare<T: Send>(
        &self,
        pairs: &[Pair<'_>],
        measure: impl Fn(&TokenEmbeddings, &TokenEmbeddings) -> T + Sync,
        best: impl Fn(T, T) -> T,
    ) -> Result<Vec<Option<T>>, EncodeError> {
        let mut found: Vec<Option<T>> = pairs.iter().map(|_| None).collect();
        let flat = pairs.iter().enumerate().flat_map(|(at, (output, references))| {
            references.iter().map(move |reference| (at, *output, reference.as_str()))
        });
        let mut group = Vec::new();
        let mut room = GROUP_TOKENS;
        let mut work = |group: &mut Vec<(usize, &str, &str)>| -> Result<(), EncodeError> {
            let (outputs, references) = self.embed_group(group)?;
            let scores: Vec<(usize, T)> = group
                .par_iter()
                .map(|(at, output, reference)| (*at, measure(&outputs[output], &references[reference])))
                .collect();
            for (at, score) in scores {
                found[at] = Some(match found[at].take() {
                    Some(before) => best(before, score),
                    None => score,
                });
            }
            group.clear();
            Ok(())
        };
        for (at, output, reference) in flat {
            let known = group.last().is_some_and(|(last, _, _)| *last == at);
            let size = self.size(reference) + if known { 0 } else { self.size(output) };
            if size > room && !group.is_empty() {
                work(&mut group)?;
                room = GROUP_TOKENS;
            }
            room = room.saturating_sub(size);
            group.push((at, output, reference));
        }
        work(&mut group)?;
        Ok(found)
    }

    /// About how many tokens a text has.
    fn size(&self, text: &str) -> usize {
        (text.len() / TOKEN_BYTES + 2).min(self.encoder.max_tokens())
    }

    /// The embeddings of the outputs and those of the references.
    fn embed_group<'a>(&self, group: &[(usize, &'a str, &'a str)]) -> Result<(ByText<'a>, ByText<'a>), EncodeError> {
        let mut references = ByText::new();
        if let Some(cache) = &self.cache {
            let texts = distinct(group.iter().map(|(_, _, reference)| *reference));
            let known =
                texts.par_iter().filter_map(|text| Some((*text, cache.get(&self.key(text), self.encoder.width())?)));
            references = known.collect();
        }
        let missing = distinct(group.iter().map(|(_, _, text)| *text).filter(|text| !references.contains_key(text)));
        let kept = missing.len();
        // One call for both, so that all cores have work; a text that is output and reference is embedded once or twice.
        let mut texts = missing;
        texts.extend(distinct(group.iter().map(|(_, output, _)| *output)));
        let mut embeddings = self.encoder.embed(&texts)?;
        let outputs = texts[kept..].iter().copied().zip(embeddings.drain(kept..)).collect();
        if let Some(cache) = &self.cache {
            texts[..kept].par_iter().zip(&embeddings).for_each(|(text, made)| cache.put(&self.key(text), made));
        }
        references.extend(texts[..kept].iter().copied().zip(embeddings));
        Ok((outputs, references))
    }

    fn key(&self, text: &str) -> Key {
        Key::new(&self.identity, text)
    }
}

/// Each text once, in the order of first appearance.
fn distinct<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = std::collections::HashSet::new();
    texts.filter(|text| seen.insert(*text)).collect()
}

/// A hash over the files of a model, with their names and lengths.
fn hash_of(directory: &Path) -> Result<[u8; 32], ModelError> {
    let mut hash = Sha256::new();
    for name in hub::NEEDED.into_iter().chain([hub::OPTIONAL]) {
        let path = directory.join(name);
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && name == hub::OPTIONAL => continue,
            file => file.map_err(|error| ModelError::io(&path, error))?,
        };
        let about = file.metadata().map_err(|error| ModelError::io(&path, error))?;
        hash.update(name);
        hash.update(about.len().to_le_bytes());
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer).map_err(|error| ModelError::io(&path, error))? {
                0 => break,
                read => hash.update(&buffer[..read]),
            }
        }
    }
    Ok(hash.finalize().into())
}
