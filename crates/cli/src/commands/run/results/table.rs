//! Results as rows of a table with a column for each metric, of CSV and Parquet alike.

use llmops_domain::run::EvaluationRun;

use super::Line;
use crate::parquet_file::Read;

/// What a row has before its metrics.
const BEFORE: [(&str, Read<Row>); 8] = [
    ("sample_id", Read::Text(|row| Some(row.sample_id.clone()))),
    ("category", Read::Text(|row| Some(row.category.clone()))),
    ("trial", Read::Int(|row| Some(row.trial.into()))),
    ("input", Read::Text(|row| Some(row.input.clone()))),
    ("expected_output", Read::Text(|row| row.expected_output.clone())),
    ("output", Read::Text(|row| Some(row.output.clone()))),
    ("status", Read::Text(|row| Some(row.status.to_owned()))),
    ("composite", Read::Real(|row| row.composite)),
];
/// And behind them.
const BEHIND: [(&str, Read<Row>); 8] = [
    ("failures", Read::Text(|row| row.failures.clone())),
    ("error", Read::Text(|row| row.error.clone())),
    ("latency_ms", Read::Real(|row| Some(row.latency_ms))),
    ("cost", Read::Real(|row| Some(row.cost))),
    ("judge_cost", Read::Real(|row| Some(row.judge_cost))),
    ("prompt_tokens", Read::Int(|row| i64::try_from(row.prompt_tokens).ok())),
    ("completion_tokens", Read::Int(|row| i64::try_from(row.completion_tokens).ok())),
    ("cached", Read::Bool(|row| Some(row.cached))),
];

/// Text that spreadsheets would compute, with an apostrophe before it, which makes it text to them. Numbers stay numbers.
fn inert(text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err() {
        format!("'{text}")
    } else {
        text
    }
}

/// The metrics that have a column, in their order.
pub(super) struct Metrics(Vec<String>);

/// Names of columns, and how they are read.
pub(super) type Columns = Vec<(String, Read<Row>)>;

/// A result as a row.
pub(super) struct Row {
    sample_id: String,
    category: String,
    trial: u32,
    input: String,
    expected_output: Option<String>,
    output: String,
    status: &'static str,
    composite: Option<f64>,
    scores: Vec<Option<f64>>,
    failures: Option<String>,
    error: Option<String>,
    latency_ms: f64,
    cost: f64,
    judge_cost: f64,
    prompt_tokens: u64,
    completion_tokens: u64,
    cached: bool,
}

impl Metrics {
    pub(super) fn of(run: &EvaluationRun) -> Self {
        Self(run.spec.scoring.metrics.keys().cloned().collect())
    }

    /// The columns. A metric with the name of another column, such as `cost`, is called `cost_score`: no two columns of a table
    /// share a name.
    pub(super) fn columns(&self) -> Columns {
        let named = |(name, read): (&str, Read<Row>)| (name.to_owned(), read);
        let is_taken = |metric: &str| BEFORE.iter().chain(&BEHIND).any(|(name, _)| *name == metric);
        let metrics = self.0.iter().enumerate().map(|(nth, metric)| {
            let mut name = metric.clone();
            while is_taken(&name) || (name != *metric && self.0.contains(&name)) {
                name += "_score";
            }
            (name, Read::Nth(|row: &Row, nth| row.scores.get(nth).copied().flatten(), nth))
        });
        BEFORE.into_iter().map(named).chain(metrics).chain(BEHIND.into_iter().map(named)).collect()
    }

    /// A line as a row.
    ///
    /// # Errors
    /// When texts have no JSON form.
    pub(super) fn row(&self, line: &Line<'_>) -> Result<Row, serde_json::Error> {
        // One answer as it is; several as JSON, so that none is taken for a part of another.
        let expected_output = match line.expected_output {
            [] => None,
            [one] => Some(one.clone()),
            several => Some(serde_json::to_string(several)?),
        };
        Ok(Row {
            sample_id: line.sample_id.to_owned(),
            category: line.category.to_owned(),
            trial: line.trial,
            input: line.input.clone(),
            expected_output,
            output: line.output.to_owned(),
            status: line.status,
            composite: line.composite,
            scores: self.0.iter().map(|name| line.scores.get(name.as_str()).copied()).collect(),
            failures: (!line.failures.is_empty()).then(|| line.failures.join("; ")),
            error: line.error.map(str::to_owned),
            latency_ms: line.latency_ms,
            cost: line.cost,
            judge_cost: line.judge_cost,
            prompt_tokens: line.prompt_tokens,
            completion_tokens: line.completion_tokens,
            cached: line.cached,
        })
    }
}

/// What a column has of a row, for a table of texts; what is not there is empty.
pub(super) fn cell(read: &Read<Row>, row: &Row) -> String {
    fn shown(value: Option<impl ToString>) -> String {
        value.map(|value| value.to_string()).unwrap_or_default()
    }
    match *read {
        Read::Text(read) => shown(read(row).map(inert)),
        Read::Time(read) | Read::Int(read) => shown(read(row)),
        Read::Real(read) => shown(read(row)),
        Read::Nth(read, nth) => shown(read(row, nth)),
        Read::Bool(read) => shown(read(row)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_columns_share_a_name() {
        let names = |metrics: &[&str]| -> Vec<String> {
            let metrics = Metrics(metrics.iter().map(|&name| name.to_owned()).collect());
            let columns = metrics.columns();
            columns[BEFORE.len()..columns.len() - BEHIND.len()].iter().map(|(name, _)| name.clone()).collect()
        };
        assert_eq!(names(&["rouge_l", "latency"]), ["rouge_l", "latency"]);
        assert_eq!(names(&["cost", "cost_score", "output"]), ["cost_score_score", "cost_score", "output_score"]);
    }
}
