//! `llmops import`: a project made of what another tool keeps in files.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use llmops_domain::config::Config;
use serde_json::json;

use super::Context;
use crate::failure::{Failure, Kind, Outcome};
use crate::import::{Imported, langfuse, promptfoo, tensorzero};
use crate::project::CONFIG_FILE;

/// Where the report on an import is kept.
const REPORT: &str = "IMPORT.md";

/// Make a project of what another tool keeps in files.
#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// promptfoo: prompts, providers, tests and assertions
    Promptfoo {
        /// The configuration, usually promptfooconfig.yaml
        config: PathBuf,
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Langfuse: exported prompts and items of datasets
    Langfuse {
        /// Exported files: .json, .jsonl or .csv
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        target: TargetArgs,
    },
    /// TensorZero: functions with their variants and templates, datapoints
    Tensorzero {
        /// The configuration, usually tensorzero.toml
        config: PathBuf,
        /// Exported datapoints, as lines of JSON; repeatable
        #[arg(long = "dataset", value_name = "FILE")]
        datasets: Vec<PathBuf>,
        #[command(flatten)]
        target: TargetArgs,
    },
}

/// Where the project goes.
#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    /// The folder of the new project
    #[arg(long, short, value_name = "FOLDER", default_value = "llmops")]
    output: PathBuf,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

/// Runs the command.
pub(crate) fn run(context: &Context, command: &ImportCommand) -> Outcome {
    let (imported, target, source) = match command {
        ImportCommand::Promptfoo { config, target } => (promptfoo::read(config)?, target, config.display().to_string()),
        ImportCommand::Langfuse { files, target } => {
            let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
            let source = files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
            (langfuse::read(&files)?, target, source)
        }
        ImportCommand::Tensorzero { config, datasets, target } => {
            (tensorzero::read(config, datasets)?, target, config.display().to_string())
        }
    };
    write(&imported, target, &source)?;
    for missing in &imported.missing {
        context.note(&format!("warning: {missing}"));
    }
    let files: Vec<&String> = imported.files.iter().map(|(path, _)| path).collect();
    let value = json!({
        "folder": target.output, "files": files, "carried_over": imported.carried, "missing": imported.missing,
        "notes": imported.notes,
    });
    context.show(&value, || summary(&imported, &target.output))
}

fn write(imported: &Imported, target: &TargetArgs, source: &str) -> Outcome {
    let report = (REPORT.to_owned(), report(imported, source));
    let files = || imported.files.iter().chain(std::iter::once(&report));
    if !target.force
        && let Some((there, _)) = files().find(|(path, _)| target.output.join(path).exists())
    {
        return Err(Failure::usage(format!("{} is there already", target.output.join(there).display()))
            .hint("--output names another folder, --force replaces what is there"));
    }
    for (path, text) in files() {
        let path = target.output.join(path);
        let fail =
            |e: std::io::Error| Failure::because(Kind::Undecided, format!("cannot write {}", path.display()), &e);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(fail)?;
        }
        std::fs::write(&path, text).map_err(fail)?;
    }
    Ok(())
}

fn summary(imported: &Imported, folder: &Path) -> String {
    let mut text = format!("Carried over: {}.\n", imported.carried.join(", "));
    if !imported.notes.is_empty() {
        text.push_str(&format!("\nTo look at ({}):\n", imported.notes.len()));
        for note in imported.notes.iter().take(20) {
            text.push_str(&format!("  {}: {}\n", note.place, note.what));
        }
        if imported.notes.len() > 20 {
            text.push_str(&format!("  … all of them are in {}\n", folder.join(REPORT).display()));
        }
    }
    text += &format!("\nNext:\n  cd {}\n  llmops doctor     check what was made\n", folder.display());
    text + &evaluation(imported)
}

/// How what was made is evaluated.
fn evaluation(imported: &Imported) -> String {
    let written = imported.files.iter().find(|(path, _)| path == CONFIG_FILE);
    let Some(Ok((config, _))) = written.map(|(path, text)| Config::parse(text, path, |_| None)) else {
        // What is wrong with it is what `doctor` says.
        return "  llmops eval       evaluate it\n".to_owned();
    };
    if config.suite(None).is_ok() {
        return "  llmops eval       evaluate it\n".to_owned();
    }
    let names = |names: Vec<&String>| names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    if let Some(suite) = config.suites.keys().next() {
        return format!("  llmops eval {suite}    evaluate a suite: {}\n", names(config.suites.keys().collect()));
    }
    match (config.targets.keys().next(), config.datasets.keys().next()) {
        (Some(target), Some(dataset)) => format!(
            "  llmops eval --target {target} --dataset {dataset}    evaluate a target on the dataset that belongs to it, and add the \
             pair to {CONFIG_FILE}: `suites: {{default: {{target: {target}, dataset: {dataset}}}}}`\n\
             \nTargets: {}. Datasets: {}.\n",
            names(config.targets.keys().collect()),
            names(config.datasets.keys().collect()),
        ),
        (_, None) => {
            format!("  add samples: a file in datasets/, named under `datasets` in {CONFIG_FILE}; then llmops eval\n")
        }
        (None, _) => format!("  name what is to be evaluated under `targets` in {CONFIG_FILE}; then llmops eval\n"),
    }
}

/// The report, which stays with the project.
fn report(imported: &Imported, source: &str) -> String {
    let mut text = format!("# Import\n\nMade from {source}. Carried over: {}.\n\n", imported.carried.join(", "));
    for missing in &imported.missing {
        text.push_str(&format!("**{missing}**\n\n"));
    }
    if imported.notes.is_empty() {
        text.push_str("Everything has a counterpart.\n");
        return text;
    }
    text.push_str("To look at:\n\n");
    for note in &imported.notes {
        text.push_str(&format!("- `{}`: {}\n", note.place, note.what));
    }
    text
}
