//! `llmops init`: a project to start from.

use std::path::{Path, PathBuf};

use clap::Args;
use llmops_domain::config::DEFAULT_YAML;

use super::Context;
use crate::failure::{Failure, Kind, Outcome};
use crate::project::CONFIG_FILE;

/// Write a project to start from: a commented llmops.yaml, a prompt, a small dataset, a simulated model.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The folder
    #[arg(default_value = ".")]
    folder: PathBuf,
}

/// The files of a new project. They are written by us and evaluate as they are, offline.
const FILES: [(&str, &str); 5] = [
    (CONFIG_FILE, DEFAULT_YAML),
    ("prompts/support-bot.yaml", include_str!("init/support-bot.yaml")),
    ("datasets/golden.jsonl", include_str!("init/golden.jsonl")),
    ("sim/answers.jsonl", include_str!("init/answers.jsonl")),
    (".gitignore", ".llmops/\nscores.json\n"),
];

/// What to do with it.
const NEXT: &str = "
Next:
  llmops eval                      evaluate the prompt on the dataset, offline
  llmops baseline promote latest   make it what later runs are compared with
  llmops gate                      decide whether the newest run is good enough
";

/// Runs the command. Files that exist are never touched.
pub(crate) fn run(context: &Context, args: &InitArgs) -> Outcome {
    if args.folder.join(CONFIG_FILE).exists() {
        return Err(Failure::usage(format!("{} is there already", args.folder.join(CONFIG_FILE).display())));
    }
    let (mut wrote, mut kept) = (Vec::new(), Vec::new());
    for (name, content) in FILES {
        let path = args.folder.join(name);
        if path.exists() {
            context.note(&format!("kept    {}", path.display()));
            kept.push(path);
            continue;
        }
        write(&path, content)?;
        context.note(&format!("wrote   {}", path.display()));
        wrote.push(path);
    }
    let value = serde_json::json!({"folder": args.folder, "wrote": wrote, "kept": kept});
    context.show(&value, || NEXT.to_owned())
}

fn write(path: &Path, content: &str) -> Outcome {
    let fail = |e: std::io::Error| Failure::because(Kind::Undecided, format!("cannot write {}", path.display()), &e);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(fail)?;
    }
    std::fs::write(path, content).map_err(fail)
}
