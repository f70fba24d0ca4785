//! `llmops dataset`: versioned datasets.

mod pack;
pub(crate) mod pull;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Subcommand;
use futures::StreamExt;
use llmops_api::datasets::{DiffQuery, ImportQuery, ImportedDataset};
use llmops_api::page::{MAX_PAGE, PageQuery};
use llmops_api::{Client, ErrorCode};
use llmops_domain::config::DatasetConfig;
use llmops_domain::dataset::{Dataset, DatasetDiff, DatasetType, DatasetVersion, Sample};
use llmops_domain::dataset_lines;
use llmops_domain::dataset_schema::Validator;
use llmops_domain::hash::{ContentHash, SetHasher};
use tokio::io::AsyncWriteExt;

use self::pack::Pack;
use super::{Context, More};
use crate::dataset_files::{self, Format, ReadError};
use crate::failure::{Failure, Kind, Outcome};
use crate::project::Project;
use crate::terminal::{self, Cell, Column, Tone};

/// Bytes of samples that are sent at a time.
const CHUNK: usize = 1 << 16;
/// Chunks that may wait to be sent.
const WAITING: usize = 8;

/// Versioned datasets.
#[derive(Debug, Subcommand)]
pub(crate) enum DatasetCommand {
    /// Check the datasets of the configuration and register them as versions; without names, all of them
    Build {
        /// Datasets of the configuration
        names: Vec<String>,
    },
    /// Register a file that the configuration does not name, or a dataset that comes with llmops
    Import {
        /// The file: .jsonl, .json, .csv or .parquet
        #[arg(required_unless_present = "pack")]
        file: Option<PathBuf>,
        /// A dataset that comes with llmops, with checks to run on it
        #[arg(long, value_enum, conflicts_with_all = ["file", "kind", "description", "format"])]
        pack: Option<Pack>,
        /// The dataset's name; else the file's
        #[arg(long)]
        name: Option<String>,
        /// golden, regression, benchmark or user; else what the dataset is already, and user for a new one
        #[arg(long = "type")]
        kind: Option<DatasetType>,
        /// What it is about
        #[arg(long)]
        description: Option<String>,
        /// The format, where the ending does not tell
        #[arg(long, value_enum)]
        format: Option<Format>,
    },
    /// Write into the project's file what people accepted or corrected in the review queue, or canaries and feedback brought, and
    /// it does not have; a dataset that the configuration does not name is written into a file of its own
    Pull {
        /// A dataset of the configuration, or of the server, such as NAME-lost of a canary
        name: String,
    },
    /// List the datasets
    List,
    /// Show a dataset with its versions
    Show {
        /// The dataset
        name: String,
        /// Show the first samples of this version too: `latest` or a hash
        #[arg(long, value_name = "VERSION")]
        samples: Option<String>,
        /// How many samples
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
    },
    /// Show what differs between two versions
    Diff {
        /// The dataset
        name: String,
        /// The older version: a hash or its beginning; else the one before the newest
        from: Option<String>,
        /// The newer version; else the newest
        to: Option<String>,
    },
    /// Write the samples of a version as JSON Lines
    Export {
        /// NAME, or NAME@VERSION
        dataset: String,
        /// The file; else standard output
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Runs the command.
pub(crate) async fn run(context: &Context, command: DatasetCommand) -> Outcome {
    let project = match &command {
        DatasetCommand::Build { .. } | DatasetCommand::Pull { .. } => Project::require(&context.global, &context.ui)?,
        _ => Project::find(&context.global, &context.ui)?,
    };
    let client = project.client(&context.global).await?;
    match command {
        DatasetCommand::Build { names } => build(&client, context, &project, names).await,
        DatasetCommand::Import { pack: Some(pack), name, .. } => {
            let imported = pack::import(&client, context, &project, pack, name).await?;
            context.show(&imported, || told(&imported))
        }
        DatasetCommand::Import { file, name, kind, description, format, pack: None } => {
            let file = file.unwrap_or_default();
            let of_file = || Some(file.file_stem()?.to_string_lossy().into_owned());
            let Some(name) = name.or_else(of_file) else {
                return Err(Failure::usage("the file has no name: give one with --name"));
            };
            let kind = match kind {
                Some(kind) => kind,
                None => known(&client, &name).await?.map_or(DatasetType::User, |dataset| dataset.kind),
            };
            let rules = DatasetConfig { kind, description, ..DatasetConfig::permissive() };
            let imported = import(&client, context, &name, Source { path: file, format, rules }).await?;
            context.show(&imported, || told(&imported))
        }
        DatasetCommand::Pull { name } => pull::run(&client, context, &project, &name).await,
        DatasetCommand::List => {
            let page = client.list_datasets(&PageQuery { cursor: None, limit: Some(MAX_PAGE) }).await?;
            context.show_page(&page, More::Hidden, || list(context, &page.items))
        }
        DatasetCommand::Show { name, samples: Some(version), limit } => {
            let page = PageQuery { cursor: None, limit: Some(limit) };
            let samples = client.list_samples(&name, &version, &page).await?;
            context.show(&samples, || {
                let lines = samples.items.iter().filter_map(|s| serde_json::to_string(&s.sample).ok());
                lines.map(|line| line + "\n").collect()
            })
        }
        DatasetCommand::Show { name, .. } => {
            let dataset = client.get_dataset(&name).await?;
            let versions = client.list_dataset_versions(&name).await?;
            let shown = serde_json::json!({"dataset": dataset, "versions": versions.items});
            context.show(&shown, || show(context, &dataset, &versions.items))
        }
        DatasetCommand::Diff { name, from, to } => {
            let from = match from {
                Some(from) => from,
                None => before_the_newest(&client, &name).await?,
            };
            let diff = client.diff_datasets(&name, &DiffQuery { from, to }).await?;
            context.show(&diff, || diff_text(&diff))
        }
        DatasetCommand::Export { dataset, output } => export(&client, context, &dataset, output.as_deref()).await,
    }
}

async fn before_the_newest(client: &Client, name: &str) -> Outcome<String> {
    let versions = client.list_dataset_versions(name).await?.items;
    let before = versions.get(1).map(|version| version.version.to_string());
    before.ok_or_else(|| Failure::usage(format!("`{name}` has one version only: there is nothing to compare it with")))
}

async fn build(client: &Client, context: &Context, project: &Project, mut names: Vec<String>) -> Outcome {
    if names.is_empty() {
        names = project.config.datasets.keys().cloned().collect();
    }
    if names.is_empty() {
        return Err(Failure::usage("the configuration names no datasets"));
    }
    let mut built = Vec::new();
    for name in names {
        built.push(build_one(client, context, project, &name).await?);
    }
    context.show(&built, || built.iter().map(told).collect())
}

/// Checks a dataset of the configuration and registers it; the version that exists is answered where nothing changed.
pub(crate) async fn build_one(
    client: &Client,
    context: &Context,
    project: &Project,
    name: &str,
) -> Outcome<ImportedDataset> {
    import(client, context, name, source_of(project, name)?).await
}

/// The version that a dataset of the configuration would have, after a look at every sample.
pub(crate) async fn version_of(project: &Project, name: &str) -> Outcome<ContentHash> {
    let source = source_of(project, name)?;
    Ok(blocking(move || check(&source)).await?.hash)
}

fn source_of(project: &Project, name: &str) -> Outcome<Source> {
    let rules = project.config.datasets.get(name).ok_or_else(|| {
        let known: Vec<&str> = project.config.datasets.keys().map(String::as_str).collect();
        Failure::usage(format!("there is no dataset `{name}` in the configuration"))
            .hint(format!("the datasets are: {}", known.join(", ")))
    })?;
    Ok(Source { path: project.folder.join(&rules.path), format: None, rules: rules.clone() })
}

/// A dataset that the configuration does not name, as the server keeps it: what canaries and incidents collect.
pub(crate) async fn kept_dataset(client: &Client, project: &Project, name: &str) -> Outcome<Dataset> {
    known(client, name).await?.ok_or_else(|| {
        let known: Vec<&str> = project.config.datasets.keys().map(String::as_str).collect();
        Failure::usage(format!("there is no dataset `{name}` in the configuration, and the server keeps none"))
            .hint(format!("the datasets are: {}; llmops dataset list shows those of the server", known.join(", ")))
    })
}

/// Of these samples, those that the file of a dataset has neither by id nor by question.
async fn missing_of(source: Source, samples: Vec<Sample>) -> Outcome<Vec<Sample>> {
    blocking(move || {
        let unreadable =
            |e: &ReadError| Failure::because(Kind::No, format!("cannot read {}", source.path.display()), e);
        let format = Format::of(&source.path).map_err(|e| unreadable(&e))?;
        let (mut ids, mut questions) = (HashSet::new(), HashSet::new());
        let wanted: HashSet<_> = samples.iter().filter_map(|sample| sample.question_hash().ok()).collect();
        let read = dataset_files::read(&source.path, format, |_, record| {
            if let Ok(reading) = dataset_lines::read(record) {
                let question = reading.sample.question_hash().ok();
                questions.extend(question.filter(|question| wanted.contains(question)));
                ids.extend(samples.iter().filter(|s| s.id == reading.sample.id).map(|s| s.id.clone()));
            }
            Ok::<(), ReadError>(())
        });
        read.map_err(|e| unreadable(&e))?;
        let has = |sample: &Sample| {
            ids.contains(&sample.id) || sample.question_hash().is_ok_and(|question| questions.contains(&question))
        };
        Ok(samples.into_iter().filter(|sample| !has(sample)).collect())
    })
    .await
}

/// A file with samples and the rules for them.
#[derive(Clone)]
struct Source {
    path: PathBuf,
    format: Option<Format>,
    rules: DatasetConfig,
}

/// Reads the file twice: to check every sample and know the version, and, where that version is new, to send it. So a
/// file with mistakes leaves nothing behind, and a file that was registered before is not sent again.
async fn import(client: &Client, context: &Context, name: &str, source: Source) -> Outcome<ImportedDataset> {
    let to_check = source.clone();
    let version = blocking(move || check(&to_check)).await?;
    for warning in &version.warnings {
        context.note(&format!("warning: {warning}"));
    }
    match client.get_dataset_version(name, version.hash.as_str()).await {
        Ok(known) if is_as_it_stands(client, name, &version.hash, &source.rules).await? => {
            return Ok(ImportedDataset { version: known, created: false, warnings: Vec::new() });
        }
        Ok(_) => {}
        Err(error) if error.code() == Some(ErrorCode::NotFound) => {}
        Err(error) => return Err(error.into()),
    }
    let query =
        ImportQuery { kind: Some(source.rules.kind), description: source.rules.description.clone(), replaces: None };
    let (sender, receiver) = tokio::sync::mpsc::channel(WAITING);
    let reader = tokio::task::spawn_blocking(move || send(&source, &sender));
    let lines = futures::stream::unfold(receiver, |mut receiver| async {
        let chunk = receiver.recv().await?;
        Some((chunk, receiver))
    });
    let imported = client.import_dataset(name, &query, lines.boxed()).await?;
    match reader.await {
        Ok(()) => Ok(imported),
        Err(error) => Err(Failure::because(Kind::Undecided, "reading the dataset failed", &error)),
    }
}

/// Whether nothing is to be registered. An older version that is built again becomes the newest one, and another type or
/// description becomes the dataset's.
async fn is_as_it_stands(client: &Client, name: &str, version: &ContentHash, rules: &DatasetConfig) -> Outcome<bool> {
    let dataset = client.get_dataset(name).await?;
    Ok(dataset.version.as_ref() == Some(version)
        && dataset.kind == rules.kind
        && (rules.description.is_none() || dataset.description == rules.description))
}

/// The dataset, if there is one.
async fn known(client: &Client, name: &str) -> Outcome<Option<Dataset>> {
    match client.get_dataset(name).await {
        Ok(dataset) => Ok(Some(dataset)),
        Err(error) if error.code() == Some(ErrorCode::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Runs work that waits for the disk where it does not hold others up.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Outcome<T> + Send + 'static) -> Outcome<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Failure::because(Kind::Undecided, "reading the dataset failed", &e))?
}

struct Checked {
    hash: ContentHash,
    warnings: Vec<String>,
}

/// Why reading stops: a file that cannot be read, or nobody who listens.
enum Stopped {
    Read(ReadError),
    Closed,
}

impl From<ReadError> for Stopped {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

fn check(source: &Source) -> Outcome<Checked> {
    let shown = source.path.display().to_string();
    let unreadable = |e: &ReadError| Failure::because(Kind::No, format!("cannot read {shown}"), e);
    let format = match source.format {
        Some(format) => format,
        None => Format::of(&source.path).map_err(|e| unreadable(&e))?,
    };
    let mut validator = Validator::new(&shown, &source.rules).counting(match format {
        Format::Jsonl | Format::Csv => "line",
        Format::Json => "item",
        Format::Parquet => "row",
    });
    let mut set = SetHasher::default();
    let read = dataset_files::read(&source.path, format, |line, record| {
        if let Some(sample) = validator.push(line, dataset_lines::read(record))
            && let Ok(hash) = sample.hash()
        {
            set.add(&hash);
        }
        Ok::<(), ReadError>(())
    });
    let report = validator.finish();
    if let Err(error) = &read {
        // What was found up to there is told too.
        return Err(unreadable(error).problems(report.problems.iter().map(ToString::to_string)));
    }
    if !report.is_valid() {
        let mut problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
        if report.hidden > 0 {
            problems.push(format!("… and {} more", report.hidden));
        }
        let count = report.problems.len() as u64 + report.hidden;
        let what = if count == 1 { "1 mistake".to_owned() } else { format!("{count} mistakes") };
        return Err(Failure::new(Kind::No, format!("{shown} has {what}; nothing was written")).problems(problems));
    }
    Ok(Checked { hash: set.finish(), warnings: report.warnings.iter().map(ToString::to_string).collect() })
}

type Chunks = tokio::sync::mpsc::Sender<Result<Bytes, std::io::Error>>;

/// Sends the samples as NDJSON, in chunks. What cannot be read any more makes the transfer fail, and so the import.
fn send(source: &Source, chunks: &Chunks) {
    let format = source.format.map_or_else(|| Format::of(&source.path), Ok);
    let mut buffer = Vec::with_capacity(CHUNK + 4096);
    let read = format.map_err(Stopped::from).and_then(|format| {
        dataset_files::read(&source.path, format, |_, record| {
            let changed = || Stopped::Read(ReadError::Io(std::io::Error::other("the file changed while it was read")));
            let reading = dataset_lines::read(record).map_err(|_| changed())?;
            serde_json::to_writer(&mut buffer, &reading.sample).map_err(|e| Stopped::Read(ReadError::Json(e)))?;
            buffer.push(b'\n');
            if buffer.len() >= CHUNK {
                let chunk = std::mem::replace(&mut buffer, Vec::with_capacity(CHUNK + 4096));
                chunks.blocking_send(Ok(Bytes::from(chunk))).map_err(|_| Stopped::Closed)?;
            }
            Ok(())
        })
    });
    // A closed channel means that the other side has said what is wrong.
    match read {
        Ok(()) => drop(chunks.blocking_send(Ok(Bytes::from(buffer)))),
        Err(Stopped::Read(error)) => drop(chunks.blocking_send(Err(std::io::Error::other(error)))),
        Err(Stopped::Closed) => {}
    }
}

fn told(imported: &ImportedDataset) -> String {
    let DatasetVersion { dataset, version, sample_count, categories, .. } = &imported.version;
    let what = if imported.created { "new version" } else { "unchanged" };
    let categories = by_category(categories);
    let by_category = if categories.is_empty() { String::new() } else { format!(": {categories}") };
    format!("{dataset}@{} {what}, {sample_count} samples{by_category}\n", version.short())
}

/// How many samples each category has; those without one are in none.
fn by_category(categories: &BTreeMap<String, u64>) -> String {
    let named = categories.iter().filter(|(name, _)| !name.is_empty());
    named.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

fn plain(text: impl AsRef<str>) -> Cell {
    Cell::toned(Tone::Plain, text)
}

fn list(context: &Context, datasets: &[Dataset]) -> String {
    if datasets.is_empty() {
        return "There are no datasets yet. `llmops dataset build` registers those of the configuration.".to_owned();
    }
    let columns = [
        Column::id("dataset"),
        Column::text("type"),
        Column::number("samples"),
        Column::text("version"),
        Column::text(""),
    ];
    let rows = datasets.iter().map(|d| {
        let version = d.version.as_ref().map_or("", |v| v.short());
        let text = d.description.as_deref().unwrap_or("");
        vec![plain(&d.name), plain(d.kind.as_str()), plain(d.sample_count.to_string()), plain(version), plain(text)]
    });
    terminal::table(context.ui.out, &columns, rows.collect())
}

fn show(context: &Context, dataset: &Dataset, versions: &[DatasetVersion]) -> String {
    let columns =
        [Column::text("version"), Column::number("samples"), Column::text("categories"), Column::text("built")];
    let rows = versions.iter().map(|v| {
        let built = v.created_at.strftime("%Y-%m-%d %H:%M").to_string();
        vec![
            plain(v.version.short()),
            plain(v.sample_count.to_string()),
            plain(by_category(&v.categories)),
            plain(built),
        ]
    });
    let table = terminal::table(context.ui.out, &columns, rows.collect());
    format!("{} ({})\n\n{table}", dataset.name, dataset.kind.as_str())
}

fn diff_text(diff: &DatasetDiff) -> String {
    let mut text = String::new();
    for (sign, ids) in [("+", &diff.added), ("-", &diff.removed), ("~", &diff.changed)] {
        text.extend(ids.iter().map(|id| format!("{sign} {id}\n")));
    }
    let (added, removed, changed) = (diff.added.len(), diff.removed.len(), diff.changed.len());
    text + &format!("{added} added, {removed} removed, {changed} changed, {} unchanged\n", diff.unchanged)
}

async fn export(client: &Client, context: &Context, dataset: &str, output: Option<&Path>) -> Outcome {
    let (name, version) = dataset.split_once('@').unwrap_or((dataset, "latest"));
    // A name that promises another format would be believed, by `llmops dataset import` too.
    if let Some(path) = output.filter(|path| !matches!(Format::of(path), Ok(Format::Jsonl) | Err(_))) {
        return Err(Failure::usage(format!("{} would hold lines of JSON", path.display()))
            .hint(format!("name it {}", path.with_extension("jsonl").display())));
    }
    let mut lines = client.export_dataset(name, version).await?;
    let Some(path) = output else {
        let fail = |e: std::io::Error| Failure::because(Kind::Undecided, "the export broke off", &e);
        let mut stdout = tokio::io::stdout();
        while let Some(chunk) = lines.next().await {
            stdout.write_all(&chunk.map_err(fail)?).await.map_err(fail)?;
        }
        return stdout.flush().await.map_err(fail);
    };
    let fail = |e: std::io::Error| Failure::because(Kind::Undecided, format!("cannot write {}", path.display()), &e);
    let mut file = tokio::fs::File::create(path).await.map_err(fail)?;
    let mut samples = 0;
    while let Some(chunk) = lines.next().await {
        let chunk = chunk.map_err(fail)?;
        samples += chunk.split(|byte| *byte == b'\n').count() - 1;
        file.write_all(&chunk).await.map_err(fail)?;
    }
    file.flush().await.map_err(fail)?;
    context.note(&format!("wrote {}", path.display()));
    if context.global.json {
        return context.show(&serde_json::json!({"file": path, "samples": samples}), String::new);
    }
    Ok(())
}
