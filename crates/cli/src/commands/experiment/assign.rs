//! `llmops experiment assign`: who gets which variant, of an experiment or by hash alone.

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use llmops_api::experiments::{AssignUnit, Assignment};
use llmops_domain::experiment::assignment::Splitter;
use llmops_domain::experiment::split;
use serde_json::{Map, Value};

use crate::commands::Context;
use crate::failure::{Failure, Kind, Outcome};
use crate::project::Project;
use crate::terminal::{self, Cell, Column, Tone};

/// Tell who gets which variant: of an experiment, or by hash alone for checks and backfills.
#[derive(Debug, Args)]
#[command(after_help = "\
Of an experiment:   llmops experiment assign greeting --unit user-1
By hash alone:      llmops experiment assign --seed KEY --weights 0.5,0.3,0.2 --coverage 0.8 --units units.txt
The second prints CSV, `unit,variant`: the position of the variant from 0, empty when the unit is not included. It equals
GrowthBook's hash version 2 with the same seed, weights and coverage.")]
pub(crate) struct AssignArgs {
    /// The experiment: an id, the beginning of one, or a key
    #[arg(required_unless_present = "seed", conflicts_with = "seed")]
    experiment: Option<String>,
    /// A unit; repeatable
    #[arg(long = "unit", value_name = "UNIT", conflicts_with = "seed")]
    unit: Vec<String>,
    /// Attributes of the unit, as a JSON object
    #[arg(long, value_name = "JSON", conflicts_with = "seed")]
    attributes: Option<String>,
    /// What the hash begins with
    #[arg(long, value_name = "KEY", requires_all = ["weights", "units"], allow_hyphen_values = true)]
    seed: Option<String>,
    /// Shares of the variants: fractions or percentages, with commas between
    #[arg(long, value_name = "SHARES", requires = "seed", allow_hyphen_values = true)]
    weights: Option<String>,
    /// Share of the units that take part
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, allow_negative_numbers = true)]
    coverage: f64,
    /// A file with a unit on each line; - is standard input
    #[arg(long, value_name = "FILE", requires = "seed")]
    units: Option<PathBuf>,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, args: &AssignArgs) -> Outcome {
    match (&args.experiment, &args.seed, &args.weights, &args.units) {
        (Some(experiment), ..) => online(context, experiment, args).await,
        (None, Some(seed), Some(weights), Some(units)) => offline(context, seed, weights, args.coverage, units),
        _ => Err(Failure::usage("name an experiment, or --seed, --weights and --units")),
    }
}

async fn online(context: &Context, experiment: &str, args: &AssignArgs) -> Outcome {
    let attributes: Map<String, Value> = match &args.attributes {
        None => Map::new(),
        Some(text) => serde_json::from_str(text).map_err(|e| {
            Failure::usage(format!("--attributes is no JSON object: {e}")).hint("'{\"country\": \"DE\"}'")
        })?,
    };
    if args.unit.is_empty() && attributes.is_empty() {
        return Err(Failure::usage("nobody to assign").hint("name a unit: --unit user-1"));
    }
    let project = Project::find(&context.global, &context.ui)?;
    let client = project.client(&context.global).await?;
    let units = if args.unit.is_empty() { vec![None] } else { args.unit.iter().cloned().map(Some).collect() };
    let mut found = Vec::with_capacity(units.len());
    for unit in units {
        found.push(client.assign(experiment, &AssignUnit { unit, attributes: attributes.clone() }).await?);
    }
    match found.as_slice() {
        [only] => context.show(only, || table(context, &found)),
        _ => context.show(&found, || table(context, &found)),
    }
}

fn table(context: &Context, found: &[Assignment]) -> String {
    let columns = [Column::id("unit"), Column::text("variant"), Column::text("why")];
    let rows = found.iter().map(|assignment| {
        let variant = match &assignment.variant {
            Some(variant) => Cell::toned(Tone::Strong, &variant.id),
            None => Cell::toned(Tone::Faint, "none"),
        };
        let why = serde_json::to_value(assignment.reason).ok().and_then(|v| v.as_str().map(str::to_owned));
        vec![
            Cell::from(assignment.unit.as_deref().unwrap_or_default()),
            variant,
            Cell::from(why.unwrap_or_default().replace('_', " ")),
        ]
    });
    terminal::table(context.ui.out, &columns, rows.collect())
}

fn offline(context: &Context, seed: &str, weights: &str, coverage: f64, units: &Path) -> Outcome {
    if !(0.0..=1.0).contains(&coverage) {
        return Err(Failure::usage(format!("--coverage is {coverage}: expected a share from 0 to 1")));
    }
    let weights = read_weights(context, weights)?;
    let splitter = Splitter::new(seed, &weights, coverage);
    let shown = units.display().to_string();
    let input: Box<dyn BufRead> = if shown == "-" {
        Box::new(io::stdin().lock())
    } else {
        let file = std::fs::File::open(units)
            .map_err(|e| Failure::because(Kind::Usage, format!("cannot read {shown}"), &e))?;
        Box::new(BufReader::with_capacity(1 << 16, file))
    };
    let mut output = csv::Writer::from_writer(io::BufWriter::with_capacity(1 << 16, io::stdout().lock()));
    match write_assignments(&splitter, input, &shown, &mut output) {
        // A reader that went away, such as `head`, is no error.
        Err(Stop::Output(e)) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(Stop::Output(e)) => Err(Failure::because(Kind::Undecided, "cannot write to standard output", &e)),
        Err(Stop::Input(failure)) => Err(failure),
        Ok(()) => Ok(()),
    }
}

enum Stop {
    Input(Failure),
    Output(io::Error),
}

impl From<csv::Error> for Stop {
    fn from(error: csv::Error) -> Self {
        Self::Output(error.into())
    }
}

fn write_assignments(
    splitter: &Splitter,
    mut input: Box<dyn BufRead>,
    shown: &str,
    output: &mut csv::Writer<impl Write>,
) -> Result<(), Stop> {
    output.write_record(["unit", "variant"])?;
    let (mut line, mut number) = (Vec::new(), 0_u64);
    loop {
        line.clear();
        let read = input
            .read_until(b'\n', &mut line)
            .map_err(|e| Stop::Input(Failure::because(Kind::Undecided, format!("cannot read {shown}"), &e)))?;
        if read == 0 {
            return output.flush().map_err(Stop::Output);
        }
        number += 1;
        let text = std::str::from_utf8(&line).map_err(|_| {
            let failure = Failure::usage(format!("{shown}:{number}: the line is no UTF-8 text"));
            Stop::Input(failure.hint("convert the file: iconv -f latin1 -t utf-8"))
        })?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        let unit = if number == 1 { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
        let variant = splitter.variant(unit).map(|index| index.to_string()).unwrap_or_default();
        output.write_record([unit, variant.as_str()])?;
    }
}

/// Fractions or percentages. A sum that GrowthBook takes for 1 (0.99 to 1.01) is taken as it is, because the answers must equal its.
fn read_weights(context: &Context, text: &str) -> Outcome<Vec<f64>> {
    let mut weights = Vec::new();
    for part in text.split(',') {
        let weight = part.trim().parse::<f64>().map_err(|_| {
            Failure::usage(format!("--weights has `{}`, which is no number", part.trim())).hint("--weights 0.5,0.3,0.2")
        })?;
        weights.push(weight);
    }
    let error = match split::fractions(&weights) {
        Ok(weights) => return Ok(weights),
        Err(error) => error,
    };
    if let split::SplitError::Sum(sum) = error
        && (0.99..=1.01).contains(&sum)
    {
        context.note(&format!(
            "note: the weights sum to {sum}; GrowthBook takes them as they are, and so does this command"
        ));
        return Ok(weights);
    }
    Err(Failure::usage(format!("--weights: {error}")))
}
