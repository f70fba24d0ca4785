//! `llmops experiment ask`: questions that are answered from the observations, in the background.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use llmops_api::page::PageQuery;
use llmops_domain::experiment::{AskedQuestion, MetricKind, MetricSpec, Question, QuestionStatus, TestChoice};
use serde_json::{Map, Value, json};

use super::super::Context;
use crate::failure::{Failure, Kind, Outcome};
use crate::project::Project;
use crate::terminal::{self, Cell, Column};
use crate::times;

/// Time between two looks whether there is an answer.
const LOOK: Duration = Duration::from_millis(200);

/// Ask what the results of an experiment cannot tell.
#[derive(Debug, Args)]
#[command(after_help = "\
The answer is computed from all observations, by the server's workers or in this process. It names no winner: what is asked \
after a look at the data finds something by chance more often than its p-values say.

llmops experiment ask greeting --metric latency --quantile 0.5
llmops experiment ask greeting --where '{\"country\": \"DE\"}' --from 2026-11-01
llmops experiment ask greeting --metric quality --covariate quality_before --by country")]
pub(crate) struct AskArgs {
    /// The experiment: an id, the beginning of one, or a key
    experiment: String,
    /// The metric; else all that are declared
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,
    /// Read it as this kind: binary, continuous, count, ordinal, latency, cost or ratio
    #[arg(long, value_name = "KIND", requires = "metric")]
    kind: Option<String>,
    /// Compare this quantile
    #[arg(long, value_name = "Q", requires = "metric")]
    quantile: Option<f64>,
    /// A recorded metric from before the experiment that takes variance out (CUPED)
    #[arg(long, value_name = "NAME", requires = "metric")]
    covariate: Option<String>,
    /// The recorded metric below the line of a ratio
    #[arg(long, value_name = "METRIC", requires = "metric")]
    denominator: Option<String>,
    /// Unit values above count as this
    #[arg(long, value_name = "VALUE", requires = "metric", allow_negative_numbers = true)]
    cap: Option<f64>,
    /// Unit values above this quantile of all units count as the quantile
    #[arg(long, value_name = "Q", requires = "metric")]
    winsorize: Option<f64>,
    /// The test for one look at the data, instead of the one for this kind
    #[arg(long, value_name = "TEST")]
    test: Option<TestChoice>,
    /// Observations at or after this time
    #[arg(long, value_name = "TIME", value_parser = times::past)]
    from: Option<Timestamp>,
    /// Observations before this time
    #[arg(long, value_name = "TIME", value_parser = times::past)]
    to: Option<Timestamp>,
    /// Only units with attributes like these, as JSON; they must be among the experiment's analysis.segments
    #[arg(long = "where", value_name = "JSON")]
    condition: Option<String>,
    /// Also by these attributes
    #[arg(long, value_name = "ATTRIBUTES", value_delimiter = ',')]
    by: Vec<String>,
    /// Do not wait for the answer
    #[arg(long)]
    no_wait: bool,
    /// Show a question that was asked before, by its id
    #[arg(long, value_name = "QUESTION", conflicts_with_all = ["metric", "test", "from", "to", "condition", "by", "list"])]
    show: Option<String>,
    /// List what was asked
    #[arg(long, conflicts_with_all = ["metric", "test", "from", "to", "condition", "by"])]
    list: bool,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, args: &AskArgs) -> Outcome {
    let question = question(args)?;
    let client = Project::find(&context.global, &context.ui)?.client(&context.global).await?;
    if args.list {
        let found = client.experiment_questions(&args.experiment, &PageQuery::default()).await?;
        return context.show(&found, || list(context, &found.items));
    }
    let mut asked = match &args.show {
        Some(id) => client.experiment_question(&args.experiment, id).await?,
        None => client.ask_experiment(&args.experiment, &question).await?,
    };
    while asked.status == QuestionStatus::Open && !args.no_wait && args.show.is_none() {
        tokio::time::sleep(LOOK).await;
        asked = client.experiment_question(&args.experiment, asked.id.as_str()).await?;
    }
    context.show(&asked, || shown(context, args, &asked))?;
    match (asked.status, asked.error) {
        (QuestionStatus::Failed, error) => {
            Err(Failure::new(Kind::No, format!("there is no answer: {}", error.unwrap_or_default())))
        }
        _ => Ok(()),
    }
}

fn question(args: &AskArgs) -> Outcome<Question> {
    let condition: Map<String, Value> = match &args.condition {
        None => Map::new(),
        Some(text) => serde_json::from_str(text).map_err(|e| {
            Failure::usage(format!("--where is no JSON object: {e}")).hint(r#"--where '{"country": "DE"}'"#)
        })?,
    };
    Ok(Question {
        metrics: metric(args)?.into_iter().collect(),
        from: args.from,
        to: args.to,
        condition,
        segments: args.by.clone(),
        test: args.test,
        ..Question::default()
    })
}

fn metric(args: &AskArgs) -> Outcome<Option<MetricSpec>> {
    let Some(name) = &args.metric else { return Ok(None) };
    let kind = args.kind.as_ref().map(|word| {
        serde_json::from_value::<MetricKind>(json!(word.to_lowercase())).map_err(|_| {
            let kinds = ["binary", "continuous", "count", "ordinal", "latency", "cost", "ratio"];
            Failure::usage(format!("--kind: `{word}` is no kind of a metric"))
                .hint(llmops_domain::suggest::hint(word, kinds))
        })
    });
    Ok(Some(MetricSpec {
        kind: kind.transpose()?,
        quantile: args.quantile,
        covariate: args.covariate.clone(),
        denominator: args.denominator.clone(),
        cap: args.cap,
        winsorize: args.winsorize,
        ..MetricSpec::named(name)
    }))
}

fn shown(context: &Context, args: &AskArgs, asked: &AskedQuestion) -> String {
    match &asked.result {
        Some(result) => {
            let text = terminal::experiment_result(context.ui.out, result);
            format!("{text}\n{} observations were read for {}", asked.observations, asked.id)
        }
        None => format!("{} is open: llmops experiment ask {} --show {}", asked.id, args.experiment, asked.id),
    }
}

fn list(context: &Context, questions: &[AskedQuestion]) -> String {
    if questions.is_empty() {
        return "nothing was asked; llmops experiment ask EXPERIMENT --metric NAME asks".to_owned();
    }
    let columns = [Column::id("question"), Column::text("asked"), Column::text("status"), Column::text("what")];
    let rows = questions.iter().map(|asked| {
        let what = serde_json::to_string(&asked.question).unwrap_or_default();
        vec![
            Cell::from(asked.id.as_str()),
            Cell::from(asked.asked_at.strftime("%Y-%m-%d %H:%M").to_string()),
            Cell::from(asked.status.as_str()),
            Cell::from(what),
        ]
    });
    terminal::table(context.ui.out, &columns, rows.collect())
}
