//! `DatasetManager`: datasets, their versions and samples.

use std::collections::hash_map::{Entry, RandomState};
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::Arc;

use llmops_api::Problem;
use llmops_api::datasets::ImportedDataset;
use llmops_domain::dataset::{Dataset, DatasetDiff, DatasetType, DatasetVersion, Sample};
use llmops_domain::hash::ContentHash;
use llmops_domain::id::ProjectId;
use llmops_storage::{Import, Replaces, StoreError, StoredVersion, VersionSelector};

use crate::{Error, Services};

/// Samples written at a time.
const BATCH: usize = 500;
/// Problems of an import that are listed; the others are counted.
const LISTED_PROBLEMS: usize = 100;
/// Versions that are listed.
const LISTED_VERSIONS: u32 = 500;
/// How often a change is tried when others change the dataset at the same time.
const MOST_ATTEMPTS: usize = 10;

/// Manages datasets: create, get, list, add_samples, get_samples, diff.
#[derive(Debug, Clone)]
pub struct DatasetManager {
    services: Arc<Services>,
    project: ProjectId,
}

impl DatasetManager {
    pub(crate) fn new(services: Arc<Services>, project: ProjectId) -> Self {
        Self { services, project }
    }

    /// Begins a new version of a dataset, which is made if it does not exist. Without a type, an existing dataset keeps
    /// its own and a new one is golden.
    pub async fn create(
        &self,
        name: &str,
        kind: Option<DatasetType>,
        description: Option<&str>,
    ) -> Result<DatasetImport, Error> {
        check_name(name)?;
        let kind = match (kind, self.services.store.get_dataset(&self.project, name).await) {
            (Some(kind), _) => kind,
            (None, Ok(existing)) => existing.kind,
            (None, Err(StoreError::NotFound { .. })) => DatasetType::default(),
            (None, Err(error)) => return Err(error.into()),
        };
        let import = self.services.store.begin_import(&self.project, name, kind, description).await?;
        Ok(DatasetImport {
            import,
            batch: Vec::with_capacity(BATCH),
            ids: Seen::default(),
            questions: Seen::default(),
            problems: Vec::new(),
            more_problems: 0,
            samples: 0,
        })
    }

    /// One dataset.
    pub async fn get(&self, name: &str) -> Result<Dataset, Error> {
        self.services.store.get_dataset(&self.project, name).await.map_err(|e| missing(name, e))
    }

    /// Datasets by name, after the name `after`.
    pub async fn list(&self, after: Option<&str>, limit: u32) -> Result<Vec<Dataset>, Error> {
        Ok(self.services.store.list_datasets(&self.project, after, limit).await?)
    }

    /// Versions of a dataset, newest first.
    pub async fn versions(&self, name: &str) -> Result<Vec<DatasetVersion>, Error> {
        self.get(name).await?;
        Ok(self.services.store.list_dataset_versions(&self.project, name, LISTED_VERSIONS).await?)
    }

    /// One version.
    pub async fn version(&self, name: &str, selector: &VersionSelector) -> Result<StoredVersion, Error> {
        self.services.store.get_dataset_version(&self.project, name, selector).await.map_err(|e| missing(name, e))
    }

    /// Samples of a version in order, from a position on.
    pub async fn get_samples(
        &self,
        version: &StoredVersion,
        from: u64,
        limit: u32,
    ) -> Result<Vec<(u64, Sample)>, Error> {
        Ok(self.services.store.stream_samples(version.key, from, limit).await?)
    }

    /// One sample of a version, with its position.
    pub async fn get_sample(&self, version: &StoredVersion, id: &str) -> Result<(u64, Sample), Error> {
        Ok(self.services.store.get_sample(version.key, id).await?)
    }

    /// A new version with these samples added to the newest one. A sample whose id exists takes its place.
    pub async fn add_samples(&self, name: &str, samples: Vec<Sample>) -> Result<ImportedDataset, Error> {
        Ok(self.add(name, None, &samples, &HashMap::new()).await?.0)
    }

    /// The same for questions of live traffic, where people ask alike: what comes twice, or is asked by the dataset already, is
    /// left out, and counted beside the dataset. One that is missing is made as `new` says.
    pub(crate) async fn add_questions(
        &self,
        name: &str,
        new: (DatasetType, &str),
        samples: Vec<Sample>,
    ) -> Result<(ImportedDataset, u64), Error> {
        let (mut asked, mut once) = (HashMap::new(), Vec::with_capacity(samples.len()));
        let mut left_out = 0;
        for sample in samples {
            let question = sample.question_hash().map_err(|error| Error::invalid(error.to_string()))?;
            if let Entry::Vacant(vacant) = asked.entry(question) {
                vacant.insert(sample.id.clone());
                once.push(sample);
            } else {
                left_out += 1;
            }
        }
        let (dataset, known) = self.add(name, Some(new), &once, &asked).await?;
        self.services.store.put_added_samples(&self.project, name, &once).await?;
        Ok((dataset, left_out + known))
    }

    /// Samples that llmops added to a dataset by itself, by id, after the id `after`: a version that is built from a file may lack
    /// them.
    pub async fn added(&self, name: &str, after: Option<&str>, limit: u32) -> Result<Vec<Sample>, Error> {
        Ok(self.services.store.list_added_samples(&self.project, name, after, limit).await?)
    }

    /// Of the samples, those are left out, and counted, whose question is among those `asked` (with the sample's id) and stands in
    /// the dataset under another id. Where others change the dataset meanwhile, they are added to what it is then.
    async fn add(
        &self,
        name: &str,
        new: Option<(DatasetType, &str)>,
        samples: &[Sample],
        asked: &HashMap<ContentHash, String>,
    ) -> Result<(ImportedDataset, u64), Error> {
        persistently(|| self.add_to_latest(name, new, samples, asked.clone())).await
    }

    async fn add_to_latest(
        &self,
        name: &str,
        new: Option<(DatasetType, &str)>,
        samples: &[Sample],
        mut asked: HashMap<ContentHash, String>,
    ) -> Result<(ImportedDataset, u64), Error> {
        let order: Vec<String> = samples.iter().map(|s| s.id.clone()).collect();
        let mut added: HashMap<String, Sample> = samples.iter().map(|s| (s.id.clone(), s.clone())).collect();
        let existing = match self.version(name, &VersionSelector::Latest).await {
            Ok(version) => Some(version),
            Err(Error::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        let (kind, about) = new.filter(|_| existing.is_none()).unzip();
        let newest = existing.as_ref().map(|version| version.version.version.clone());
        let replaces = newest.map_or(Replaces::Nothing, Replaces::Version);
        let mut import = self.create(name, kind, about).await?.replacing(replaces);
        let (mut from, mut left_out) = (0, 0);
        while let Some(version) = &existing {
            let page = self.get_samples(version, from, 500).await?;
            let Some((last, _)) = page.last() else { break };
            from = last + 1;
            for (_, sample) in page {
                let known = if asked.is_empty() { None } else { sample.question_hash().ok() };
                if let Some(id) = known.and_then(|question| asked.remove(&question))
                    && id != sample.id
                {
                    left_out += u64::from(added.remove(&id).is_some());
                }
                let sample = added.remove(&sample.id).unwrap_or(sample);
                import.push(None, sample).await?;
            }
        }
        for id in order {
            if let Some(sample) = added.remove(&id) {
                import.push(None, sample).await?;
            }
        }
        Ok((import.finish().await?, left_out))
    }

    /// Takes samples out of a dataset: a new version has the others. Answers with the number of those that are gone. No version is
    /// empty: where nothing would be left, the new one has a sample that says so.
    pub(crate) async fn remove_samples(&self, name: &str, ids: &HashSet<String>) -> Result<u64, Error> {
        persistently(|| self.remove_from_latest(name, ids)).await
    }

    async fn remove_from_latest(&self, name: &str, ids: &HashSet<String>) -> Result<u64, Error> {
        let version = self.version(name, &VersionSelector::Latest).await?;
        let mut import =
            self.create(name, None, None).await?.replacing(Replaces::Version(version.version.version.clone()));
        let (mut from, mut removed) = (0, 0);
        loop {
            let page = self.get_samples(&version, from, 500).await?;
            let Some((last, _)) = page.last() else { break };
            from = last + 1;
            for (_, sample) in page {
                if ids.contains(&sample.id) {
                    removed += 1;
                } else {
                    import.push(None, sample).await?;
                }
            }
        }
        if removed == 0 {
            import.import.abort().await?;
            return Ok(0);
        }
        if removed == version.version.sample_count {
            import.push(None, nothing_left()).await?;
        }
        import.finish().await?;
        Ok(removed)
    }

    /// What differs between two versions.
    pub async fn diff(&self, name: &str, from: &VersionSelector, to: &VersionSelector) -> Result<DatasetDiff, Error> {
        let (from, to) = (self.version(name, from).await?, self.version(name, to).await?);
        Ok(self.services.store.diff_versions(&from, &to).await?)
    }
}

/// What stands in a dataset whose samples were all erased.
fn nothing_left() -> Sample {
    Sample {
        id: "erased".to_owned(),
        input: "(erased)".to_owned(),
        source: Some("erased".to_owned()),
        ..Sample::default()
    }
}

/// Changes the newest version of a dataset; anew where others changed it meanwhile.
async fn persistently<T, F: Future<Output = Result<T, Error>>>(change: impl Fn() -> F) -> Result<T, Error> {
    for _ in 1..MOST_ATTEMPTS {
        match change().await {
            Err(Error::Store(StoreError::Conflict(_))) => {}
            done => return done,
        }
    }
    change().await
}

/// Reads what callers put in place of a version: `latest`, a hash, or the beginning of one.
pub fn read_version(text: &str) -> Result<VersionSelector, Error> {
    if text == "latest" {
        return Ok(VersionSelector::Latest);
    }
    if (4..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(VersionSelector::Hash(text.to_ascii_lowercase()));
    }
    Err(Error::invalid(format!(
        "`{text}` is no dataset version: expected `latest` or at least 4 hex digits of its hash"
    )))
}

fn check_name(name: &str) -> Result<(), Error> {
    let allowed = |c: char| c.is_alphanumeric() || "-_. ".contains(c);
    if name.is_empty() || name.chars().count() > 128 || !name.chars().all(allowed) || name.trim() != name {
        return Err(Error::invalid(format!(
            "`{name}` is no name for a dataset: expected 1 to 128 letters, digits, `-`, `_` or `.`"
        )));
    }
    Ok(())
}

fn missing(name: &str, error: StoreError) -> Error {
    match error {
        StoreError::NotFound { what, id } => Error::not_found(what, id)
            .with_hint(format!("llmops dataset list shows what exists; llmops dataset build {name} makes one")),
        other => other.into(),
    }
}

/// Lines by the keyed hash of a key: 16 bytes an entry, whatever the key.
#[derive(Debug, Default)]
struct Seen {
    hasher: RandomState,
    lines: HashMap<u64, u64>,
}

impl Seen {
    /// The line that had this key before, if any.
    fn insert(&mut self, key: &str, line: u64) -> Option<u64> {
        match self.lines.entry(self.hasher.hash_one(key)) {
            Entry::Occupied(first) => Some(*first.get()),
            Entry::Vacant(vacant) => {
                vacant.insert(line);
                None
            }
        }
    }
}

/// A version that is being written. Nothing is visible before [`finish`](Self::finish), and nothing stays without it.
#[derive(Debug)]
pub struct DatasetImport {
    import: Import,
    batch: Vec<(Sample, ContentHash)>,
    ids: Seen,
    questions: Seen,
    problems: Vec<Problem>,
    more_problems: u64,
    samples: u64,
}

impl DatasetImport {
    /// The samples are those of a version, edited, or the first ones: [`finish`](Self::finish) refuses them where another one is
    /// the newest by then.
    #[must_use]
    pub fn replacing(mut self, replaces: Replaces) -> Self {
        self.import.replacing(replaces);
        self
    }

    /// Adds a sample. What is wrong with it is kept for [`finish`](Self::finish), so that all problems are told at once.
    pub async fn push(&mut self, line: Option<u64>, sample: Sample) -> Result<(), Error> {
        self.samples += 1;
        let line = line.unwrap_or(self.samples);
        let (Ok(hash), Ok(question)) = (sample.hash(), sample.question_hash()) else {
            self.problem(line, "variables", "a number is not finite".to_owned());
            return Ok(());
        };
        if sample.id.trim().is_empty() {
            self.problem(line, "id", "the id is empty: expected a text that no other sample has".to_owned());
        } else if let Some(first) = self.ids.insert(&sample.id, line) {
            self.problem(line, "id", format!("the id `{}` is that of line {first}", sample.id));
        }
        if sample.input.is_empty() && sample.messages.is_empty() && sample.variables.is_empty() {
            self.problem(
                line,
                "input",
                "the sample asks nothing: expected `input` (or `prompt`), `messages` or `variables`".to_owned(),
            );
        } else if let Some(first) = self.questions.insert(question.as_str(), line) {
            self.problem(line, "input", format!("the same question as line {first}"));
        }
        if !self.problems.is_empty() {
            return Ok(());
        }
        self.batch.push((sample, hash));
        if self.batch.len() == BATCH {
            self.flush().await?;
        }
        Ok(())
    }

    /// Notes a line that is no sample.
    pub fn refuse(&mut self, line: u64, field: &str, message: String) {
        self.samples += 1;
        self.problem(line, field, message);
    }

    fn problem(&mut self, line: u64, field: &str, message: String) {
        if self.problems.len() < LISTED_PROBLEMS {
            let field = (!field.is_empty()).then(|| field.to_owned());
            self.problems.push(Problem { line: Some(line), field, message });
        } else {
            self.more_problems += 1;
        }
    }

    async fn flush(&mut self) -> Result<(), Error> {
        self.import.push(&self.batch).await?;
        self.batch.clear();
        Ok(())
    }

    /// Makes the version visible; or, if anything was wrong, tells everything and leaves nothing behind.
    pub async fn finish(mut self) -> Result<ImportedDataset, Error> {
        if self.samples == 0 && self.problems.is_empty() {
            self.import.abort().await?;
            return Err(Error::invalid("there are no samples: a dataset version needs at least one"));
        }
        if !self.problems.is_empty() {
            self.import.abort().await?;
            let count = self.problems.len() as u64 + self.more_problems;
            return Err(Error::Invalid {
                message: format!("{count} problem(s) in {} samples; nothing was written", self.samples),
                problems: self.problems,
                hint: None,
            });
        }
        self.flush().await?;
        let (version, created) = self.import.finish().await?;
        Ok(ImportedDataset { version, created, warnings: Vec::new() })
    }
}
