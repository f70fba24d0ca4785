//! The pieces of a project folder: what the folder has, what the server has, and how one becomes the other.

use std::path::{Path, PathBuf};

use llmops_api::prompts::{BumpMode, PushPrompt};
use llmops_api::schedules::{Origin, ScheduleSpec};
use llmops_api::{Client, ClientError, ErrorCode};
use llmops_domain::apply::{self, AppliedPiece, PieceKind, Step};
use llmops_domain::experiment::{ExperimentSpec, ExperimentStatus, file};
use llmops_domain::hash::ContentHash;
use llmops_domain::prompt::PromptSpec;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::commands::{Context, dataset};
use crate::failure::{Failure, Kind, Outcome};
use crate::project::{Project, read_prompt, read_text};
use crate::suites;

/// What of a piece is brought to the server.
pub(super) enum Content {
    Prompt(Box<PromptSpec>),
    Dataset,
    Schedule(Box<ScheduleSpec>),
    Experiment(Box<ExperimentSpec>),
    /// The folder no longer has it.
    Gone,
}

/// One piece.
pub(super) struct Piece {
    pub(super) kind: PieceKind,
    pub(super) name: String,
    content: Content,
    pub(super) folder: Option<ContentHash>,
    server: Option<ContentHash>,
    applied: Option<ContentHash>,
    pub(super) note: Option<String>,
}

impl Piece {
    /// What is to be done with it.
    pub(super) fn step(&self) -> Step {
        apply::step(self.folder.as_ref(), self.server.as_ref(), self.applied.as_ref())
    }
}

/// All pieces of the folder, and those that came from it and are gone.
pub(super) async fn all(
    context: &Context,
    client: &Client,
    project: &Project,
    applied: &[AppliedPiece],
) -> Outcome<Vec<Piece>> {
    let mut pieces = Vec::new();
    for path in project.prompt_files()? {
        let spec = read_prompt(&path)?;
        let hash = spec.body.hash().map_err(|e| Failure::because(Kind::Usage, "the prompt has no hash", &e))?;
        let server = found(client.get_prompt(&spec.name).await)?.map(|prompt| prompt.hash);
        let name = spec.name.clone();
        pieces.push(piece(PieceKind::Prompt, name, Content::Prompt(Box::new(spec)), (hash, server)));
    }
    for name in project.config.datasets.keys() {
        let hash = dataset::version_of(project, name).await?;
        let server = found(client.get_dataset(name).await)?.and_then(|dataset| dataset.version);
        let mut piece = piece(PieceKind::Dataset, name.clone(), Content::Dataset, (hash, server));
        piece.note = dataset::pull::note(&dataset::pull::unpulled(client, project, name).await?, name);
        pieces.push(piece);
    }
    pieces.extend(schedules(context, client, project).await?);
    for path in experiment_files(&project.folder)? {
        pieces.push(experiment(client, &path).await?);
    }
    for piece in &mut pieces {
        let known = applied.iter().find(|known| known.kind == piece.kind && known.name == piece.name);
        piece.applied = known.map(|known| known.hash.clone());
        if let (Some(known), Step::EditedElsewhere) = (known, piece.step()) {
            let at = known.at.strftime("%Y-%m-%d %H:%M UTC");
            piece.note.get_or_insert_with(|| format!("applied last on {at} by {}", known.by));
        } else if piece.step() == Step::EditedElsewhere {
            piece.note.get_or_insert_with(|| "the server had another one before this folder came".to_owned());
        }
    }
    Ok(pieces)
}

fn piece(kind: PieceKind, name: String, content: Content, hashes: (ContentHash, Option<ContentHash>)) -> Piece {
    let (folder, server) = hashes;
    Piece { kind, name, content, folder: Some(folder), server, applied: None, note: None }
}

/// What was found; none where there is no such thing.
fn found<T>(answer: Result<T, ClientError>) -> Outcome<Option<T>> {
    match answer {
        Ok(thing) => Ok(Some(thing)),
        Err(error) if error.code() == Some(ErrorCode::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn hash_of<T: Serialize>(thing: &T) -> Outcome<ContentHash> {
    ContentHash::of_json(thing).map_err(|e| Failure::because(Kind::Usage, "it has no JSON form", &e))
}

/// Schedules of suites, and those whose suite is gone. A pause is the operator's, and no edit.
async fn schedules(context: &Context, client: &Client, project: &Project) -> Outcome<Vec<Piece>> {
    let present = suites::all_schedules(client).await?;
    let mut pieces = Vec::new();
    for (name, suite) in &project.config.suites {
        let Some(spec) = suites::spec_of(context, project, (name, suite))? else { continue };
        let before = present.iter().find(|schedule| schedule.spec.name == *name);
        let server =
            before.map(|before| hash_of(&ScheduleSpec { paused: false, ..before.spec.clone() })).transpose()?;
        let hash = hash_of(&spec)?;
        let mut piece = piece(PieceKind::Schedule, name.clone(), Content::Schedule(Box::new(spec)), (hash, server));
        if before.is_some_and(|before| before.spec.origin == Origin::Api) {
            piece.note = Some("a schedule of this name was made by hand".to_owned());
        }
        pieces.push(piece);
    }
    for schedule in present.iter().filter(|schedule| schedule.spec.origin == Origin::Config) {
        let name = &schedule.spec.name;
        if pieces.iter().all(|piece| piece.name != *name) {
            let server = Some(hash_of(&ScheduleSpec { paused: false, ..schedule.spec.clone() })?);
            pieces.push(Piece {
                kind: PieceKind::Schedule,
                name: name.clone(),
                content: Content::Gone,
                folder: None,
                server,
                applied: None,
                note: Some("its suite is gone".to_owned()),
            });
        }
    }
    Ok(pieces)
}

fn experiment_files(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let folder = folder.join("experiments");
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Failure::because(Kind::Usage, format!("cannot read {}", folder.display()), &e)),
    };
    let is_yaml = |path: &PathBuf| path.extension().is_some_and(|e| e == "yaml" || e == "yml");
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_yaml).collect();
    files.sort();
    Ok(files)
}

async fn experiment(client: &Client, path: &Path) -> Outcome<Piece> {
    let shown = path.display().to_string();
    let spec = file::parse(&read_text(path)?, &shown).map_err(|p| Failure::of_file(Kind::Usage, &shown, &p))?;
    let before = found(client.get_experiment(&spec.key).await)?;
    let server = before.as_ref().map(|before| {
        let mut theirs = before.spec.clone();
        // Where the file names no seed, the server takes the id.
        if theirs.seed == before.id.0 {
            theirs.seed.clear();
        }
        hash_of(&theirs)
    });
    let server = server.transpose()?;
    let (name, hash) = (spec.key.clone(), hash_of(&spec)?);
    let mut piece = piece(PieceKind::Experiment, name, Content::Experiment(Box::new(spec)), (hash, server));
    if let Some(before) = before.filter(|before| before.status != ExperimentStatus::Draft) {
        piece.note = Some(format!("it is {}", before.status));
    }
    Ok(piece)
}

/// What makes one draft of the other: what the file leaves out goes, but for the seed, which the server chose.
fn changes(spec: &ExperimentSpec, before: &ExperimentSpec) -> Map<String, Value> {
    let fields = |spec: &ExperimentSpec| match serde_json::to_value(spec) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let mut changes = fields(spec);
    for (field, _) in fields(before) {
        changes.entry(field).or_insert(Value::Null);
    }
    if spec.seed.is_empty() {
        changes.remove("seed");
    }
    changes
}

/// Brings a piece to the server.
pub(super) async fn bring(context: &Context, client: &Client, project: &Project, piece: &Piece) -> Outcome {
    match &piece.content {
        Content::Prompt(spec) => {
            let versions = found(client.list_prompt_versions(&spec.name).await)?;
            let is_taken =
                versions.is_some_and(|known| known.items.iter().any(|v| Some(&v.version) == spec.version.as_ref()));
            // A file that was edited and still says its old version becomes the next one.
            let bump = if is_taken { BumpMode::Auto } else { BumpMode::None };
            let pushed = client.push_prompt(&PushPrompt { prompt: (**spec).clone(), bump, activate: true }).await?;
            if Some(&pushed.prompt.version) != spec.version.as_ref() {
                context.note(&format!("note: {} is version {} on the server", spec.name, pushed.prompt.version));
            }
        }
        Content::Dataset => {
            dataset::build_one(client, context, project, &piece.name).await?;
        }
        Content::Schedule(spec) => {
            let paused = suites::all_schedules(client).await?.iter().any(|s| s.spec.name == spec.name && s.spec.paused);
            client.put_schedule(&ScheduleSpec { paused, ..(**spec).clone() }).await?;
        }
        Content::Experiment(spec) => match found(client.get_experiment(&spec.key).await)? {
            None => drop(client.create_experiment(spec).await?),
            Some(before) if before.status == ExperimentStatus::Draft => {
                let fields = changes(spec, &before.spec);
                client.update_experiment(before.id.as_str(), &fields).await?;
            }
            Some(before) => {
                return Err(Failure::new(Kind::No, format!("the experiment is {}", before.status))
                    .hint("an experiment that was started keeps its design; give the file another key"));
            }
        },
        Content::Gone => match piece.kind {
            PieceKind::Schedule => client.delete_schedule(&piece.name).await?,
            PieceKind::Prompt | PieceKind::Dataset | PieceKind::Experiment => {}
        },
    }
    Ok(())
}
