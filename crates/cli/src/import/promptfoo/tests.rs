//! Tests: in the configuration or in files, with the default test laid under each.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::prompts::expand;
use super::{Reader, assertions};
use crate::failure::{Failure, Outcome};
use crate::import::{SampleSet, as_text, extension, read_document, read_lines, read_table};
use crate::project::read_text;

/// Most tests that lists of values may become.
const MAX_CASES: usize = 100_000;
/// How often values are put into values.
const ROUNDS: usize = 5;
/// A value that grew longer than this is put in no more.
const LONG: usize = 1 << 20;

/// A test, or what is laid under all of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Case {
    pub(super) place: String,
    pub(super) vars: Map<String, Value>,
    description: Option<String>,
    /// Assertions with their places.
    asserts: Vec<(String, Value)>,
    threshold: Option<f64>,
    metadata: Map<String, Value>,
    /// Whether lists of values are values.
    keeps_lists: bool,
}

impl Reader {
    /// What is laid under every test.
    pub(super) fn default_test(&mut self, value: Option<&Value>) -> Outcome<Case> {
        match value {
            None | Some(Value::Null) => Ok(Case::default()),
            Some(Value::String(reference)) => {
                if let Some(program) = Self::program(reference) {
                    let what = format!("not carried over: {program} is a program; write the test that it makes");
                    self.imported.note("defaultTest", what);
                    return Ok(Case::default());
                }
                let value = read_document(&self.path(reference))?;
                Ok(self.case("defaultTest", &value))
            }
            Some(value) => Ok(self.case("defaultTest", value)),
        }
    }

    /// All tests of the configuration, the default test under each, and a test for each combination of listed values.
    pub(super) fn tests(&mut self, config: &Map<String, Value>, default: &Case) -> Outcome<Vec<Case>> {
        let mut found = Vec::new();
        self.collect(&mut found, "tests", config.get("tests").unwrap_or(&Value::Null))?;
        let scenarios = config.get("scenarios").and_then(Value::as_array).cloned().unwrap_or_default();
        for (at, scenario) in scenarios.iter().enumerate() {
            let place = format!("scenarios[{at}]");
            let mut of_config = Vec::new();
            self.collect(&mut of_config, &format!("{place}.config"), scenario.get("config").unwrap_or(&Value::Null))?;
            let mut of_tests = Vec::new();
            self.collect(&mut of_tests, &format!("{place}.tests"), scenario.get("tests").unwrap_or(&Value::Null))?;
            for data in &of_config {
                found.extend(of_tests.iter().map(|test| test.clone().over(data)));
            }
        }
        let mut cases = Vec::new();
        for case in found {
            let case = case.over(default);
            let empty = |(_, value): &(&String, &Value)| value.as_array().is_some_and(Vec::is_empty);
            if let Some((name, _)) = case.vars.iter().find(empty).filter(|_| !case.keeps_lists) {
                self.imported
                    .note(format!("{}.vars.{name}", case.place), "the list is empty: promptfoo runs no test for it");
            }
            cases.extend(case.combinations().into_iter().map(Case::resolved));
            if cases.len() > MAX_CASES {
                return Err(Failure::usage(format!("the lists of values make more than {MAX_CASES} tests")));
            }
        }
        if cases.is_empty() {
            self.imported.note("tests", "there are none: no dataset was made");
        }
        Ok(cases)
    }

    fn collect(&mut self, cases: &mut Vec<Case>, place: &str, value: &Value) -> Outcome {
        match value {
            Value::Null => {}
            Value::String(reference) => self.collect_file(cases, place, reference)?,
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.collect(cases, &format!("{place}[{at}]"), item)?;
                }
            }
            Value::Object(map) if map.contains_key("path") => {
                self.imported
                    .note(place, "not carried over: tests that a program generates are its output; export them");
            }
            test => {
                let case = self.case(place, test);
                cases.push(case);
            }
        }
        Ok(())
    }

    fn collect_file(&mut self, cases: &mut Vec<Case>, place: &str, reference: &str) -> Outcome {
        if reference.contains("://") && !reference.starts_with("file://") {
            self.imported.note(place, format!("not carried over: download {reference} and name the file"));
            return Ok(());
        }
        if let Some(program) = Self::program(reference).filter(|program| !program.contains('*')) {
            self.imported
                .note(place, format!("not carried over: {program} is a program; export the tests that it makes"));
            return Ok(());
        }
        let path = self.path(reference);
        let files = expand(&path)?;
        if files.is_empty() {
            self.imported.note(place, format!("not carried over: there is no file {}", path.display()));
        }
        for file in files {
            let shown = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            match extension(&file).as_str() {
                "csv" => {
                    for (at, row) in read_table(&file)?.into_iter().enumerate() {
                        let case = self.row(&format!("{shown}:{}", at + 2), row);
                        cases.push(case);
                    }
                }
                "jsonl" => self.collect(cases, &shown, &read_lines(&file)?.into())?,
                "json" | "yaml" | "yml" => self.collect(cases, &shown, &read_document(&file)?)?,
                _ => self.imported.note(place, format!("not carried over: {shown} is a program or an unknown format")),
            }
        }
        Ok(())
    }

    fn case(&mut self, place: &str, value: &Value) -> Case {
        let Some(map) = value.as_object() else {
            self.imported.note(place, format!("not carried over: `{value}` is no test"));
            return Case { place: place.to_owned(), ..Case::default() };
        };
        let mut case = Case { place: place.to_owned(), ..Case::default() };
        for (key, value) in map {
            match key.as_str() {
                "vars" => case.vars = self.vars(place, value),
                "description" => case.description = Some(as_text(value)),
                "threshold" => case.threshold = value.as_f64(),
                "metadata" => case.metadata = value.as_object().cloned().unwrap_or_default(),
                "assert" => {
                    let items = value.as_array().cloned().unwrap_or_default();
                    let placed =
                        items.into_iter().enumerate().map(|(at, item)| (format!("{place}.assert[{at}]"), item));
                    case.asserts.extend(placed);
                }
                "options" => self.options(&mut case, value),
                _ => self.imported.note(format!("{place}.{key}"), "not carried over"),
            }
        }
        case
    }

    fn options(&mut self, case: &mut Case, value: &Value) {
        for (key, value) in value.as_object().into_iter().flatten() {
            match key.as_str() {
                "disableVarExpansion" => case.keeps_lists = value.as_bool().unwrap_or_default(),
                "provider" | "rubricPrompt" => {
                    let what = "not carried over: a judge names its `model` and `prompt` in scoring.metrics";
                    self.imported.note(format!("{}.options.{key}", case.place), what);
                }
                "transform" | "postprocess" => {
                    let what = "not carried over: `post_processing` of a prompt changes answers before they are scored";
                    self.imported.note(format!("{}.options.{key}", case.place), what);
                }
                _ => self.imported.note(format!("{}.options.{key}", case.place), "not carried over"),
            }
        }
    }

    fn vars(&mut self, place: &str, value: &Value) -> Map<String, Value> {
        let map = match value {
            Value::Object(map) => map.clone(),
            Value::String(reference) => self.vars_of(place, &[reference.clone().into()]),
            Value::Array(references) => self.vars_of(place, references),
            _ => Map::new(),
        };
        let mut vars = Map::new();
        for (name, value) in map {
            let value = match &value {
                Value::String(text) if text.starts_with("file://") => match Self::read_or_why(self.var_file(text)) {
                    Ok(Some(value)) => value,
                    Ok(None) => {
                        let what = format!("not carried over: {text} is a program; write its value down");
                        self.imported.note(format!("{place}.vars.{name}"), what);
                        continue;
                    }
                    Err(why) => {
                        self.imported.note(format!("{place}.vars.{name}"), format!("not carried over: {why}"));
                        continue;
                    }
                },
                Value::String(text) if text.starts_with("package:") => {
                    self.imported.note(format!("{place}.vars.{name}"), "not carried over: it comes from a package");
                    continue;
                }
                _ => value,
            };
            vars.insert(name, value);
        }
        vars
    }

    /// The variables that files hold.
    fn vars_of(&mut self, place: &str, references: &[Value]) -> Map<String, Value> {
        let mut all = Map::new();
        for reference in references.iter().filter_map(Value::as_str) {
            let read = match Self::program(reference) {
                Some(program) => Err(format!("{program} is a program; write its values down")),
                None => Self::read_or_why(read_document(&self.path(reference))),
            };
            match read {
                Ok(found) => all.extend(found.as_object().cloned().unwrap_or_default()),
                Err(why) => self.imported.note(format!("{place}.vars"), format!("not carried over: {why}")),
            }
        }
        all
    }

    /// The value of a variable that stands in a file; `None` where a program makes it.
    fn var_file(&self, reference: &str) -> Outcome<Option<Value>> {
        if Self::program(reference).is_some() {
            return Ok(None);
        }
        let path = self.path(reference);
        Ok(match extension(&path).as_str() {
            "json" | "yaml" | "yml" => Some(match read_document(&path)? {
                list @ Value::Array(_) => list,
                text @ Value::String(_) => text,
                other => other.to_string().into(),
            }),
            _ => Some(read_text(&path)?.trim_end_matches('\n').into()),
        })
    }

    /// A row of a table: columns are variables, but for those that begin with `__`.
    fn row(&mut self, place: &str, row: Vec<(String, String)>) -> Case {
        let mut case = Case { place: place.to_owned(), ..Case::default() };
        for (column, cell) in row {
            let Some(special) = column.strip_prefix("__") else {
                case.vars.insert(column, cell.into());
                continue;
            };
            match special {
                _ if cell.trim().is_empty() => {}
                "description" => case.description = Some(cell),
                "threshold" => case.threshold = cell.trim().parse().ok(),
                _ if special.starts_with("expected") => {
                    case.asserts.push((format!("{place}.{column}"), assertions::of_cell(cell.trim())));
                }
                _ if special.starts_with("metadata:") => {
                    let name = special.trim_start_matches("metadata:").trim_end_matches("[]").to_owned();
                    case.metadata.insert(name, cell.into());
                }
                _ => self.imported.note(format!("{place}.{column}"), "not carried over"),
            }
        }
        case
    }

    /// The samples: those with assertions, then those none of whose assertions has a counterpart; and how many
    /// assertions were carried over, as often as they are written down: one of the default test counts once, however many
    /// tests it is laid under.
    pub(super) fn samples(&mut self, cases: &[Case]) -> Outcome<([SampleSet; 2], usize)> {
        let [mut judged, mut unjudged] = [SampleSet::default(), SampleSet::default()];
        let (mut carried, mut metrics, mut noted) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        for case in cases {
            let (mut kept, mut lost) = (Vec::new(), Vec::new());
            for (place, assertion) in &case.asserts {
                match self.assertion(place, assertion, &case.vars)? {
                    Ok(found) => {
                        carried.insert(place.as_str(), found.len());
                        metrics.extend(found.iter().filter_map(|one| one.get("metric")).map(as_text));
                        kept.extend(found);
                    }
                    Err(why) => {
                        let what = format!("not carried over: {why}");
                        if noted.insert((place.as_str(), what.clone())) {
                            self.imported.note(place.clone(), what);
                        }
                        lost.push(assertion.clone());
                    }
                }
            }
            let label = case.description.as_deref().unwrap_or("test");
            let id = self.imported.name("sample", label);
            let sample = sample(case, &id, &kept, &lost);
            let set = if kept.is_empty() && !lost.is_empty() { &mut unjudged } else { &mut judged };
            set.push(&mut self.imported, &case.place, sample);
        }
        if !metrics.is_empty() {
            let names: Vec<String> = metrics.into_iter().collect();
            let what = "each stands before what did not hold of its assertions; there is no mean by metric, but one of all \
                        assertions, `assertions`";
            self.imported.note(format!("metrics of assertions ({})", names.join(", ")), what);
        }
        Ok(([judged, unjudged], carried.into_values().sum()))
    }

    /// The value of an assertion that stands in a file.
    pub(super) fn value_file(&self, reference: &str) -> Outcome<Option<Value>> {
        if Self::program(reference).is_some() {
            return Ok(None);
        }
        let path = self.path(reference);
        if matches!(extension(&path).as_str(), "json" | "yaml" | "yml") {
            return read_document(&path).map(Some);
        }
        Ok(Some(read_text(&path)?.trim_end_matches('\n').into()))
    }
}

impl Case {
    /// This test with what it does not say itself taken from `under`.
    fn over(mut self, under: &Self) -> Self {
        let mut vars = under.vars.clone();
        vars.extend(self.vars);
        let mut metadata = under.metadata.clone();
        metadata.extend(self.metadata);
        let mut asserts = under.asserts.clone();
        asserts.append(&mut self.asserts);
        Self {
            vars,
            metadata,
            asserts,
            description: self.description.or_else(|| under.description.clone()),
            threshold: self.threshold.or(under.threshold),
            keeps_lists: self.keeps_lists || under.keeps_lists,
            place: self.place,
        }
    }

    /// The test with the variables in the values of its variables put in, as promptfoo does, which goes as many rounds.
    fn resolved(mut self) -> Self {
        for _ in 0..ROUNDS {
            let before = self.vars.clone();
            for value in self.vars.values_mut() {
                if let Value::String(text) = value
                    && text.len() < LONG
                {
                    *text = filled(text, &before);
                }
            }
            if self.vars == before {
                break;
            }
        }
        self
    }

    /// A test for each combination of the values that are lists.
    fn combinations(self) -> Vec<Self> {
        let mut cases = vec![self.clone()];
        if self.keeps_lists {
            return cases;
        }
        for (name, value) in &self.vars {
            let Value::Array(values) = value else { continue };
            if values.is_empty() {
                return Vec::new();
            }
            let with = |case: &Self, value: &Value| {
                let mut case = case.clone();
                case.vars.insert(name.clone(), value.clone());
                case
            };
            cases = cases
                .iter()
                .flat_map(|case| values.iter().map(|value| with(case, value)).collect::<Vec<_>>())
                .collect();
            if cases.len() > MAX_CASES {
                break;
            }
        }
        cases
    }
}

/// The text with each `{{ name }}` of a variable with a plain value replaced by it. Whatever else stands in braces stays.
fn filled(text: &str, vars: &Map<String, Value>) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, inner, behind)) = rest
        .split_once("{{")
        .and_then(|(before, from)| from.split_once("}}").map(|(inner, behind)| (before, inner, behind)))
    {
        out.push_str(before);
        match vars.get(inner.trim()) {
            Some(value @ (Value::String(_) | Value::Number(_) | Value::Bool(_))) => out.push_str(&as_text(value)),
            _ => out.extend(["{{", inner, "}}"]),
        }
        rest = behind;
    }
    out + rest
}

/// A test as a sample.
fn sample(case: &Case, id: &str, kept: &[Value], lost: &[Value]) -> Map<String, Value> {
    let mut metadata = case.metadata.clone();
    if let Some(description) = &case.description {
        metadata.insert("description".to_owned(), description.clone().into());
    }
    let assertions = match case.threshold {
        Some(threshold) => json!({"threshold": threshold.clamp(0.0, 1.0), "all": kept}),
        None => kept.into(),
    };
    if lost.is_empty() || !kept.is_empty() {
        metadata.insert("assertions".to_owned(), assertions);
    }
    if !lost.is_empty() {
        metadata.insert("not_imported".to_owned(), lost.into());
    }
    let mut sample = Map::new();
    sample.insert("id".to_owned(), id.into());
    // `input` is what a sample asks in any case; the others are variables.
    let mut vars = case.vars.clone();
    if let Some(Value::String(input)) = vars.get("input") {
        sample.insert("input".to_owned(), input.clone().into());
        vars.remove("input");
    }
    if vars.is_empty() && !sample.contains_key("input") {
        // A prompt without variables is asked as it stands.
        vars.insert("test".to_owned(), id.into());
    }
    if !vars.is_empty() {
        sample.insert("variables".to_owned(), Value::Object(vars));
    }
    sample.insert("source".to_owned(), format!("promptfoo {}", case.place).into());
    sample.insert("metadata".to_owned(), Value::Object(metadata));
    sample
}
