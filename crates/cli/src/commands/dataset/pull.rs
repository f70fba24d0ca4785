//! `llmops dataset pull`: samples that the server has and the project's files do not, brought into them.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;

use llmops_api::Client;
use llmops_api::page::{MAX_PAGE, Page, PageQuery};
use llmops_domain::config::DatasetConfig;
use llmops_domain::dataset::Sample;
use llmops_domain::review::{ReviewFilter, ReviewStatus};
use llmops_domain::scorecard::format::count;

use super::{Context, Format, Source, kept_dataset, missing_of, source_of};
use crate::commands::write_file;
use crate::failure::{Failure, Kind, Outcome};
use crate::project::{CONFIG_FILE, Project, read_text};

/// Samples that the file of a dataset does not have.
#[derive(Debug, Default)]
pub(crate) struct Unpulled {
    /// Those that people made in the review queue.
    reviewed: Vec<Sample>,
    /// Those that llmops made of calls by itself: of what canaries lost, and of feedback. No person looked at their answers.
    collected: Vec<Sample>,
}

impl Unpulled {
    fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.reviewed.iter().chain(&self.collected)
    }
}

/// Runs the command.
pub(super) async fn run(client: &Client, context: &Context, project: &Project, name: &str) -> Outcome {
    if !project.config.datasets.contains_key(name) {
        return whole(client, context, project, name).await;
    }
    let path = source_of(project, name)?.path;
    if !matches!(path.extension().and_then(|end| end.to_str()), Some("jsonl" | "ndjson")) {
        return Err(Failure::usage(format!("{} is not JSON Lines, which is what llmops writes", path.display()))
            .hint(format!("llmops dataset export {name} shows the samples: add them by hand")));
    }
    let missing = unpulled(client, project, name).await?;
    let samples: Vec<&Sample> = missing.samples().collect();
    append(&path, &samples)?;
    let ids: Vec<&str> = samples.iter().map(|sample| sample.id.as_str()).collect();
    context.show(&serde_json::json!({"file": path, "samples": ids}), || match samples.len() as u64 {
        0 => format!("{} has everything that was accepted, corrected or collected", path.display()),
        new => {
            let unchecked = match missing.collected.len() {
                0 => String::new(),
                n => format!(" ({n} collected from calls: no person looked at the answers)"),
            };
            format!("{} into {}{unchecked}: look through it and commit it", count(new, "sample"), path.display())
        }
    })
}

/// A dataset that the configuration does not name, such as what a canary lost: all its samples, into a file of its own.
async fn whole(client: &Client, context: &Context, project: &Project, name: &str) -> Outcome {
    let kind = kept_dataset(client, project, name).await?.kind;
    let path = project.folder.join(format!("datasets/{name}.jsonl"));
    let found =
        Page::all(|cursor| async move { client.list_samples(name, "latest", &PageQuery::largest(cursor)).await })
            .await?;
    let mut samples: Vec<Sample> = found.into_iter().map(|one| one.sample).collect();
    if path.exists() {
        let rules = DatasetConfig::permissive();
        samples = missing_of(Source { path: path.clone(), format: Some(Format::Jsonl), rules }, samples).await?;
    } else if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|e| Failure::because(Kind::Undecided, format!("cannot make {}", folder.display()), &e))?;
    }
    append(&path, &samples.iter().collect::<Vec<_>>())?;
    let ids: Vec<&str> = samples.iter().map(|sample| sample.id.as_str()).collect();
    context.show(&serde_json::json!({"file": path, "samples": ids}), || {
        let into = match samples.len() as u64 {
            0 => format!("{} has all samples of {name}", path.display()),
            new => format!("{} into {}: look through it and commit it", count(new, "sample"), path.display()),
        };
        let entry = serde_json::json!({"path": format!("datasets/{name}.jsonl"), "type": kind.as_str()});
        format!(
            "{into}\nin {CONFIG_FILE}, under `datasets`, this makes it a dataset of the project:\n  {name}: {entry}"
        )
    })
}

/// Adds samples to the end of a file of JSON Lines.
fn append(path: &Path, samples: &[&Sample]) -> Outcome {
    if samples.is_empty() {
        return Ok(());
    }
    let mut text = if path.exists() { read_text(path)? } else { String::new() };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for sample in samples {
        let line = serde_json::to_string(sample)
            .map_err(|e| Failure::because(Kind::Undecided, "the sample has no JSON form", &e))?;
        let _ = writeln!(text, "{line}");
    }
    write_file(path, &text)
}

/// Samples that were made for a dataset of the configuration and that its file does not have: by people in the review queue, and by
/// llmops of calls. What `llmops eval` asks is the file, and only the command line writes it: servers and other programs cannot.
pub(crate) async fn unpulled(client: &Client, project: &Project, name: &str) -> Outcome<Unpulled> {
    let (mut made, mut questions) = (Vec::new(), HashSet::new());
    // Who asked may have asked twice, and a file asks nothing twice. What a person decided counts first.
    let mut is_new = |sample: &Sample| sample.question_hash().is_ok_and(|question| questions.insert(question));
    for status in [ReviewStatus::Accepted, ReviewStatus::Corrected] {
        let items = Page::all(|cursor| async move {
            let (status, limit) = (Some(status), Some(MAX_PAGE));
            client.list_reviews(&ReviewFilter { status, limit, cursor, ..ReviewFilter::default() }).await
        });
        let decided = items.await?.into_iter().filter_map(|item| item.decision);
        let of_it = decided.filter(|decision| decision.dataset.as_deref() == Some(name));
        made.extend(of_it.filter_map(|decision| decision.sample).filter(&mut is_new));
    }
    let mut collected =
        Page::all(|cursor| async move { client.list_added_samples(name, &PageQuery::largest(cursor)).await }).await?;
    collected.retain(&mut is_new);
    if made.is_empty() && collected.is_empty() {
        return Ok(Unpulled::default());
    }
    let reviewed: HashSet<String> = made.iter().map(|sample| sample.id.clone()).collect();
    made.extend(collected);
    let missing = missing_of(source_of(project, name)?, made).await?;
    let (reviewed, collected) = missing.into_iter().partition(|sample| reviewed.contains(&sample.id));
    Ok(Unpulled { reviewed, collected })
}

/// What is to be known of them, where there are any.
pub(crate) fn note(missing: &Unpulled, name: &str) -> Option<String> {
    let kinds = [(&missing.reviewed, "of the review queue"), (&missing.collected, "collected from calls")];
    let some = kinds.iter().filter(|(samples, _)| !samples.is_empty());
    let what: Vec<String> =
        some.map(|(samples, from)| format!("{} {from}", count(samples.len() as u64, "sample"))).collect();
    let is = if missing.samples().count() == 1 { "is" } else { "are" };
    (!what.is_empty()).then(|| {
        format!("{} {is} not in the file of {name}, and {is} not asked: llmops dataset pull {name}", what.join(" and "))
    })
}
