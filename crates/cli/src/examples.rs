//! Examples at the end of the help of the commands that people type most.

use clap::Command;
use clap::builder::StyledStr;

/// A command by its path, and lines that could be typed, each with what it does.
const EXAMPLES: [(&str, &[(&str, &str)]); 19] = [
    (
        "eval",
        &[
            ("llmops eval", "the default suite"),
            ("llmops eval smoke --model openai/gpt-4o-mini", "another suite, by another model"),
            ("llmops eval --failing latest --no-cache", "ask again what did not pass"),
            ("llmops eval --resume", "go on with a run that stopped"),
        ],
    ),
    (
        "gate",
        &[
            ("llmops gate", "the newest run, against the baseline"),
            ("llmops gate --format markdown --comment github", "with a comment on the pull request"),
            ("llmops gate latest --baseline run_01k9zr8d2hq4n7c1bb", "against another run than the baseline"),
        ],
    ),
    (
        "compare",
        &[
            ("llmops compare baseline latest", "what changed since the baseline"),
            ("llmops compare run_01k9zr8d2hq4n7c1bb latest --json", "since an earlier run, for a program"),
        ],
    ),
    (
        "run results",
        &[
            ("llmops run results latest --status failed", "what did not pass, as lines of JSON"),
            ("llmops run results latest --format parquet --output run.parquet", "all of it, for pandas or DuckDB"),
        ],
    ),
    (
        "prompt push",
        &[
            ("llmops prompt push", "all prompts of the configuration"),
            ("llmops prompt push prompts/support-bot.yaml --activate", "one file, active at once"),
        ],
    ),
    ("prompt diff", &[("llmops prompt diff support-bot@1.0.0", "what the active version changed")]),
    (
        "dataset import",
        &[
            ("llmops dataset import questions.csv --name golden", "a file that somebody sent"),
            ("llmops dataset import --pack red-team", "probing questions, and what evaluates them"),
        ],
    ),
    ("dataset export", &[("llmops dataset export golden@1.2.0 --output golden.jsonl", "an older version")]),
    (
        "judge calibrate",
        &[("llmops judge calibrate --labels labels.csv --run latest", "how far the judge agrees with people")],
    ),
    (
        "experiment power",
        &[("llmops experiment power --baseline 0.42 --mde 0.05 --traffic 300", "units and days that it takes")],
    ),
    (
        "deploy",
        &[
            ("llmops deploy support-bot --prompt support-bot@1.1.0 --model openai/gpt-4o", "to production"),
            (
                "llmops deploy support-bot --model openai/gpt-4o -e staging",
                "the same prompt, another model, to staging",
            ),
            ("llmops deploy support-bot --settings settings.yaml", "other settings; what is live stays"),
        ],
    ),
    (
        "rollback",
        &[
            ("llmops rollback support-bot", "to what answered before"),
            ("llmops rollback support-bot --to 3fa9c1 --reason refunds", "to an earlier one, and why"),
        ],
    ),
    (
        "release",
        &[
            ("llmops release support-bot --prompt support-bot@1.2.0", "begin"),
            ("llmops release support-bot", "go on, or say what is missing"),
            ("llmops release support-bot --approve", "allow the last step"),
        ],
    ),
    (
        "records query",
        &[
            ("llmops records query --deployment support-bot --soft-failed", "answers that are none"),
            ("llmops records query --user u-17 --since 2026-11-01T00:00:00Z --json", "what a user asked"),
        ],
    ),
    (
        "feedback add",
        &[
            ("llmops feedback add latest --thumb down --comment wrong", "to the newest call"),
            ("llmops feedback add req_01k9zr8d2hq4n7c1bb --rating 2/5 --correction '30 days'", "with the right answer"),
        ],
    ),
    (
        "feedback export",
        &[("llmops feedback export --format preference --output pairs.jsonl", "chosen and rejected answers")],
    ),
    (
        "schedule add",
        &[
            ("llmops schedule add nightly --suite default --cron '0 3 * * *'", "every night"),
            ("llmops schedule add weekly --report team --cron '0 9 * * 1'", "a report, on Mondays"),
        ],
    ),
    (
        "key create",
        &[
            ("llmops key create shop --role caller --cost-per-month 200", "for an application, with a budget"),
            ("llmops key create ci --role editor --expires 90d", "for a pipeline"),
        ],
    ),
    (
        "serve",
        &[
            ("llmops serve --dev", "on this machine, without keys"),
            ("llmops serve --listen 0.0.0.0:8080 --database postgres://llmops@db/llmops", "for a team"),
        ],
    ),
];

/// The command with these examples in its help.
pub(crate) fn with_examples(mut command: Command) -> Command {
    for (path, examples) in EXAMPLES {
        let path: Vec<&str> = path.split(' ').collect();
        command = at(command, &path, &|command| {
            let before = |told: &StyledStr| format!("{}\n\n{told}", shown(examples));
            let long = command.get_after_long_help().map(before);
            let short = command.get_after_help().map_or_else(|| shown(examples), before);
            let command = command.after_help(short);
            match long {
                Some(long) => command.after_long_help(long),
                None => command,
            }
        });
    }
    command
}

fn at(command: Command, path: &[&str], change: &dyn Fn(Command) -> Command) -> Command {
    match path.split_first() {
        None => change(command),
        Some((name, rest)) => command.mut_subcommand(name, |below| at(below, rest, change)),
    }
}

fn shown(examples: &[(&str, &str)]) -> String {
    let lines = examples.iter().map(|(typed, does)| format!("  # {does}\n  {typed}"));
    std::iter::once("Examples:".to_owned()).chain(lines).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::args::Cli;

    #[test]
    fn every_example_can_be_typed_and_stands_in_its_help() {
        for (path, examples) in EXAMPLES {
            let path: Vec<&str> = path.split(' ').collect();
            let help = with_examples(Cli::command())
                .try_get_matches_from(["llmops"].iter().chain(&path).chain(&["--help"]))
                .unwrap_err()
                .to_string();
            for (typed, does) in examples {
                let mut words: Vec<&str> = Vec::new();
                for (at, part) in typed.split('\'').enumerate() {
                    // Every second part was quoted.
                    if at % 2 == 1 {
                        words.push(part);
                    } else {
                        words.extend(part.split_whitespace());
                    }
                }
                assert!(words[1..].starts_with(&path), "{typed}");
                if let Err(error) = Cli::try_parse_from(&words) {
                    panic!("{typed}: {error}");
                }
                assert!(help.contains(typed) && help.contains(does), "{typed}: {help}");
            }
        }
    }
}
