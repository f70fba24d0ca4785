//! `llmops review`: answers that a person should look at.

use std::path::Path;

use clap::{Args, Subcommand};
use llmops_api::Client;
use llmops_api::feedback::{CollectReviews, Decided};
use llmops_domain::config::DatasetConfig;
use llmops_domain::dataset::Sample;
use llmops_domain::dataset_lines::Reading;
use llmops_domain::dataset_schema::Validator;
use llmops_domain::review::{Decide, ReviewAction, ReviewFilter, ReviewItem, ReviewReason, ReviewStatus};
use llmops_domain::scorecard::format::{count, truncate};

use super::{Context, More};
use crate::failure::{Failure, Kind, Outcome};
use crate::project::{Project, read_text};
use crate::terminal::{self, Cell, Column, Tone};

/// Characters of a question or a reason in the list.
const SHOWN: usize = 80;
/// Characters of a new sample's question and answer.
const SHOWN_OF_SAMPLE: usize = 300;

/// Answers that a person should look at.
#[derive(Debug, Subcommand)]
pub(crate) enum ReviewCommand {
    /// List what nobody has decided on, newest first
    List {
        /// low_rating, correction, soft_failure, shadow_loss or uncertain_judge
        #[arg(long)]
        reason: Option<ReviewReason>,
        /// Answers of this deployment
        #[arg(long, value_name = "NAME")]
        deployment: Option<String>,
        /// Also what is decided
        #[arg(long, conflicts_with = "status")]
        all: bool,
        /// open, accepted, corrected, labelled or dismissed
        #[arg(long)]
        status: Option<ReviewStatus>,
        /// How many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
        /// Where the list before ended
        #[arg(long, value_name = "CURSOR")]
        cursor: Option<String>,
    },
    /// Show an item: what was asked, what was answered, what was said of it
    Show {
        /// The item's id, a beginning of it, or `latest`
        id: String,
    },
    /// Take the suggested answer, or without one the answer itself, for right: it becomes a sample
    Accept {
        /// The item's id, a beginning of it, or `latest`
        id: String,
        /// The answer was right, although it was rated low or failed softly
        #[arg(long)]
        answer_was_right: bool,
        #[command(flatten)]
        sample: SampleArgs,
        #[command(flatten)]
        note: NoteArgs,
    },
    /// Write the right answer: it becomes a sample
    Correct {
        /// The item's id, a beginning of it, or `latest`
        id: String,
        /// The answer as it should be
        answer: String,
        #[command(flatten)]
        sample: SampleArgs,
        #[command(flatten)]
        note: NoteArgs,
    },
    /// Give an item a label
    Label {
        /// The item's id, a beginning of it, or `latest`
        id: String,
        /// A word, such as wrong_tone
        label: String,
        #[command(flatten)]
        note: NoteArgs,
    },
    /// Lay an item aside
    Dismiss {
        /// The item's id, a beginning of it, or `latest`
        id: String,
        #[command(flatten)]
        note: NoteArgs,
    },
    /// Add the answers of a run that its judges are uncertain of
    Collect {
        /// The run: an id, `latest` or `baseline`
        #[arg(default_value = "latest")]
        run: String,
    },
}

/// The sample that an answer becomes.
#[derive(Debug, Args)]
pub(crate) struct SampleArgs {
    /// The dataset that gets it; else the one of the default suite, else `golden`
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// Its category
    #[arg(long, value_name = "NAME")]
    category: Option<String>,
    /// What was asked, where the record keeps no text
    #[arg(long, value_name = "TEXT")]
    input: Option<String>,
    /// Put it in the place of a sample that asks the same
    #[arg(long)]
    replace: bool,
}

/// Why.
#[derive(Debug, Args)]
pub(crate) struct NoteArgs {
    /// Why, in a sentence
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, command: ReviewCommand) -> Outcome {
    let project = Project::find(&context.global, &context.ui)?;
    let client = project.client(&context.global).await?;
    match command {
        ReviewCommand::List { reason, deployment, all, status, limit, cursor } => {
            let status = if all { None } else { Some(status.unwrap_or_default()) };
            let filter = ReviewFilter { status, reason, deployment, cursor, limit: Some(limit) };
            let page = client.list_reviews(&filter).await?;
            let is_narrow = filter.reason.is_some() || filter.deployment.is_some() || filter.cursor.is_some();
            let is_all_open = filter.status == Some(ReviewStatus::Open) && !is_narrow;
            context.show_page(&page, More::ByCursor, || list(context, &page.items, is_all_open))
        }
        ReviewCommand::Show { id } => {
            let item = client.get_review(&id).await?;
            context.show(&item, || show(context, &item))
        }
        ReviewCommand::Accept { id, answer_was_right, sample, note } => {
            let request = Decide { answer_was_right, ..decision(ReviewAction::Accept, None, sample, note) };
            sampled(context, &project, &client, (&id, request)).await
        }
        ReviewCommand::Correct { id, answer, sample, note } => {
            sampled(context, &project, &client, (&id, decision(ReviewAction::Correct, Some(answer), sample, note)))
                .await
        }
        ReviewCommand::Label { id, label, note } => {
            let request = Decide { label: Some(label), ..plain(ReviewAction::Label, note) };
            let decided = client.decide_review(&id, &request).await?;
            context.show(&decided, || told(&decided))
        }
        ReviewCommand::Dismiss { id, note } => {
            let decided = client.decide_review(&id, &plain(ReviewAction::Dismiss, note)).await?;
            context.show(&decided, || told(&decided))
        }
        ReviewCommand::Collect { run } => {
            let collected = client.collect_reviews(&CollectReviews { run }).await?;
            context.show(&collected, || {
                format!("{} answers came into the queue, {} were there already", collected.added, collected.known)
            })
        }
    }
}

fn plain(action: ReviewAction, note: NoteArgs) -> Decide {
    Decide {
        action,
        answer: None,
        input: None,
        label: None,
        note: note.note,
        dataset: None,
        category: None,
        replace: false,
        answer_was_right: false,
    }
}

fn decision(action: ReviewAction, answer: Option<String>, sample: SampleArgs, note: NoteArgs) -> Decide {
    Decide {
        answer,
        input: sample.input,
        dataset: sample.dataset,
        category: sample.category,
        replace: sample.replace,
        ..plain(action, note)
    }
}

/// Decides on an item whose answer becomes a sample. Where the project keeps the dataset in a file, the file gets it too: what
/// is evaluated next is what stands there.
async fn sampled(context: &Context, project: &Project, client: &Client, (id, mut request): (&str, Decide)) -> Outcome {
    let config = &project.config;
    let of_suite = || {
        let suite =
            config.suites.get("default").or_else(|| config.suites.values().next().filter(|_| config.suites.len() == 1));
        suite.map(|suite| suite.dataset.clone())
    };
    let only = || config.datasets.keys().next().filter(|_| config.datasets.len() == 1).cloned();
    let dataset = request.dataset.clone().or_else(of_suite).or_else(only).unwrap_or_else(|| "golden".to_owned());
    request.dataset = Some(dataset.clone());
    let rules = config.datasets.get(&dataset);
    let item = client.get_review(id).await?;
    if let Some(rules) = rules.filter(|_| item.status == ReviewStatus::Open) {
        fits(&item, &request, rules)?;
    }
    let decided = client.decide_review(item.id.as_str(), &request).await?;
    let sample = decided.item.decision.as_ref().and_then(|decision| decision.sample.as_ref());
    let mut written = None;
    if let (Some(rules), Some(sample)) = (rules, sample) {
        let path = project.folder.join(&rules.path);
        if matches!(path.extension().and_then(|end| end.to_str()), Some("jsonl" | "ndjson")) {
            put_line(&path, sample)?;
            written = Some(path.display().to_string());
        } else {
            context.note(&format!("note: add the sample to {} by hand; llmops writes JSON Lines only", path.display()));
        }
    }
    context.show(&decided, || {
        let place = written.map(|path| format!("\n{path} has it too: commit it")).unwrap_or_default();
        told(&decided) + &place
    })
}

/// Refuses a sample that the project's rules for the dataset would refuse when it is built.
fn fits(item: &ReviewItem, request: &Decide, rules: &DatasetConfig) -> Outcome {
    let answer = request.answer.clone().or_else(|| item.item.suggestion.clone()).or_else(|| item.item.output.clone());
    // What the decision itself lacks, the server says.
    let Ok(sample) = item.sample(request, answer.as_deref().unwrap_or("?"), "") else { return Ok(()) };
    let mut validator = Validator::new(&rules.path, rules);
    let reading = Reading {
        sample,
        unknown_fields: Vec::new(),
        derived_id: false,
        input_name: "input",
        expected_name: "expected_output",
    };
    if validator.push(1, Ok(reading)).is_some() {
        return Ok(());
    }
    // The rules about the whole file have no line.
    let problems = validator.finish().problems.into_iter().filter(|problem| problem.line == 1);
    let problems = problems.map(|problem| {
        let hint = problem.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        format!("{}: {}{hint}", problem.field, problem.message)
    });
    Err(Failure::usage("the sample does not fit the dataset's rules; nothing was decided")
        .problems(problems)
        .hint("--category and --input complete it"))
}

/// Writes a sample into a file of JSON Lines: in the place of the one with its id, else at the end.
pub(super) fn put_line(path: &Path, sample: &Sample) -> Outcome {
    let line = serde_json::to_string(sample)
        .map_err(|e| Failure::because(Kind::Undecided, "the sample has no JSON form", &e))?;
    let text = if path.exists() { read_text(path)? } else { String::new() };
    super::write_file(path, &with_line(&text, &sample.id, &line))
}

fn with_line(text: &str, id: &str, line: &str) -> String {
    let has_id = |known: &&str| {
        let value: Option<serde_json::Value> = serde_json::from_str(known).ok();
        value.is_some_and(|value| value.get("id").and_then(serde_json::Value::as_str) == Some(id))
    };
    if let Some(known) = text.lines().find(has_id) {
        return text.replacen(known, line, 1);
    }
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{text}{end}{line}\n")
}

fn told(decided: &Decided) -> String {
    let item = &decided.item;
    let mut text = format!("{} is {}", item.id, item.status.as_str());
    if let (Some(imported), Some(decision)) = (&decided.dataset, &item.decision) {
        let sample = decision.sample.as_ref().map(|sample| sample.id.as_str()).unwrap_or_default();
        let version = &imported.version;
        text += &format!(
            ": sample {sample} of {}@{}, which has {} now",
            version.dataset,
            version.version.short(),
            count(version.sample_count, "sample")
        );
    }
    if let Some(sample) = item.decision.as_ref().and_then(|decision| decision.sample.as_ref()) {
        let asked = if sample.input.trim().is_empty() { "the conversation" } else { sample.input.as_str() };
        text += &format!("\n  asked     {}", truncate(asked, SHOWN_OF_SAMPLE));
        for answer in &sample.expected_output {
            text += &format!("\n  expected  {}", truncate(answer, SHOWN_OF_SAMPLE));
        }
    }
    text
}

/// `is_all_open`: nothing but open items was asked for.
fn list(context: &Context, items: &[ReviewItem], is_all_open: bool) -> String {
    const COLUMNS: [Column; 6] = [
        Column::id("item"),
        Column::text("when (UTC)"),
        Column::text("why"),
        Column::text("deployment").optional(),
        Column::text("asked"),
        Column::text("seen"),
    ];
    if items.is_empty() && !is_all_open {
        return "No item fits. `llmops review list` shows all that waits for a person, --all what is decided, too."
            .to_owned();
    }
    if items.is_empty() {
        return "Nothing waits for a person. Bad ratings, corrections and soft failures come here by themselves."
            .to_owned();
    }
    let rows = items.iter().map(|item| {
        let why = match item.status {
            ReviewStatus::Open => Cell::toned(Tone::Warn, item.item.reason.as_str()),
            status => Cell::toned(Tone::Faint, format!("{} ({})", item.item.reason.as_str(), status.as_str())),
        };
        vec![
            item.id.as_str().into(),
            item.created_at.strftime("%m-%d %H:%M").to_string().into(),
            why,
            item.item.deployment.as_deref().unwrap_or("–").into(),
            truncate(&item.item.input, SHOWN).into(),
            truncate(&item.item.detail, SHOWN).into(),
        ]
    });
    terminal::table(context.ui.out, &COLUMNS, rows.collect())
}

fn show(context: &Context, item: &ReviewItem) -> String {
    let new = &item.item;
    let mut pairs = vec![
        ("item", item.id.to_string()),
        ("status", item.status.as_str().to_owned()),
        ("why", format!("{}: {}", new.reason.as_str(), new.detail)),
    ];
    let mut add = |name: &'static str, value: Option<String>| pairs.extend(value.map(|value| (name, value)));
    add("request", new.request_id.clone());
    add("deployment", new.deployment.clone());
    add("manifest", new.manifest.as_ref().map(|hash| hash.short().to_owned()));
    for message in &new.messages {
        add("before", Some(format!("{}: {}", message.role.as_str(), message.as_text())));
    }
    add("asked", Some(new.input.clone()).filter(|text| !text.is_empty()));
    add("answered", new.output.clone());
    add("suggested", new.suggestion.clone());
    let expected = item.to_accept().filter(|_| item.status == ReviewStatus::Open);
    add("if accepted", expected.map(|answer| format!("expected is: {answer}")));
    if let Some(decision) = &item.decision {
        add("decided", Some(format!("by {} at {}", decision.by, decision.at.strftime("%Y-%m-%d %H:%M:%S UTC"))));
        add("label", decision.label.clone());
        add("note", decision.note.clone());
        add("answer", decision.answer.clone());
        add("dataset", decision.dataset.clone());
    }
    terminal::pairs(context.ui.out, pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_takes_its_place_in_the_file() {
        let check = |text: &str, expected: &str| assert_eq!(with_line(text, "b", "NEW"), expected);
        check("", "NEW\n");
        check("{\"id\": \"a\"}", "{\"id\": \"a\"}\nNEW\n");
        check("{\"id\": \"a\"}\n\n", "{\"id\": \"a\"}\n\nNEW\n");
        check("{\"id\": \"b\", \"x\": 1}\n{\"id\": \"c\"}\n", "NEW\n{\"id\": \"c\"}\n");
    }
}
