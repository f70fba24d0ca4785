//! The rules for a dataset's samples, checked while they stream by. What is kept per sample is two hashes.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use sha2::{Digest, Sha256};

use crate::chat::Role;
use crate::config::DatasetConfig;
use crate::dataset::{DatasetType, Sample};
use crate::dataset_lines::{FIELDS, LineProblem, Reading};
use crate::suggest;
use crate::yaml::{Problem, shorten};

/// Most problems that are kept; the others are counted.
pub const MAX_PROBLEMS: usize = 1000;
/// Most different categories of a dataset without configured ones.
const MAX_CATEGORIES: usize = 10_000;
/// What most files count their records by.
const LINE: &str = "line";
/// Most unknown fields that are told apart.
const MAX_UNKNOWN_FIELDS: usize = 100;

/// What was found in a dataset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Mistakes in the order of the file, the first [`MAX_PROBLEMS`] of them. None: the dataset is valid.
    pub problems: Vec<Problem>,
    /// Mistakes beyond those.
    pub hidden: u64,
    /// What is allowed and probably not meant.
    pub warnings: Vec<Problem>,
    /// Samples without mistake.
    pub samples: u64,
    /// Samples by category, the ones without under the empty name. Those with a mistake elsewhere count too.
    pub categories: BTreeMap<String, u64>,
}

impl Report {
    /// Whether there was no mistake.
    pub fn is_valid(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Checks samples one at a time.
pub struct Validator {
    file: String,
    /// What records are counted by: lines, or the items of a list.
    noun: &'static str,
    rules: DatasetConfig,
    ids: FirstLines,
    questions: FirstLines,
    unknown_fields: BTreeMap<String, Seen>,
    derived_ids: Option<Seen>,
    report: Report,
}

/// How often something occurred, and where first.
#[derive(Clone, Copy)]
struct Seen {
    first_line: u64,
    count: u64,
}

impl Validator {
    /// A validator for one file, which problems name.
    pub fn new(file: &str, rules: &DatasetConfig) -> Self {
        Self {
            file: file.to_owned(),
            noun: LINE,
            rules: rules.clone(),
            ids: FirstLines::default(),
            questions: FirstLines::default(),
            unknown_fields: BTreeMap::new(),
            derived_ids: None,
            report: Report::default(),
        }
    }

    /// The same for a file whose records are no lines: `item` of a JSON list, `row` of a table. Problems name them so.
    #[must_use]
    pub fn counting(self, noun: &'static str) -> Self {
        Self { noun, ..self }
    }

    /// Where a problem is: the file with the record, where that is no line, and the line.
    fn place(&self, number: u64) -> (String, u64) {
        if self.noun == LINE || number == 0 {
            (self.file.clone(), number)
        } else {
            (format!("{}: {} {number}", self.file, self.noun), 0)
        }
    }

    /// Checks the record of a line (for files without lines: its position from 1). Answers the sample when nothing is
    /// wrong with it.
    pub fn push(&mut self, line: u64, reading: Result<Reading, Vec<LineProblem>>) -> Option<Sample> {
        let reading = match reading {
            Ok(reading) => reading,
            Err(problems) => {
                self.add(line, problems);
                return None;
            }
        };
        self.note(line, &reading);
        let mut problems = Vec::new();
        self.check_input(&reading, &mut problems);
        self.check_expected(&reading, &mut problems);
        self.check_category(&reading.sample, &mut problems);
        self.check_duplicates(line, &reading, &mut problems);
        if !problems.is_empty() {
            self.add(line, problems);
            return None;
        }
        self.report.samples += 1;
        Some(reading.sample)
    }

    /// Checks what only the whole file tells: that it has samples, and enough of each category.
    pub fn finish(mut self) -> Report {
        if self.report.samples == 0 && self.report.problems.is_empty() {
            self.add(0, vec![LineProblem::new("", "the file holds no samples")]);
        }
        let short = self.rules.categories.iter().filter_map(|(name, rule)| {
            let found = self.report.categories.get(name).copied().unwrap_or(0);
            let needed = u64::from(rule.min_examples);
            let found_text = count(found, "sample");
            let message = format!("category `{}` has {found_text}, needs at least {needed}", shorten(name));
            (found < needed).then(|| LineProblem::new("", message))
        });
        let short: Vec<LineProblem> = short.collect();
        self.add(0, short);
        self.warn();
        self.report
    }

    fn add(&mut self, line: u64, problems: Vec<LineProblem>) {
        for LineProblem { field, message, hint } in problems {
            if self.report.problems.len() >= MAX_PROBLEMS {
                self.report.hidden += 1;
                continue;
            }
            let (file, line) = self.place(line);
            self.report.problems.push(Problem { file, line, column: 0, field, message, hint });
        }
    }

    fn note(&mut self, line: u64, reading: &Reading) {
        let once = Seen { first_line: line, count: 0 };
        if reading.derived_id {
            self.derived_ids.get_or_insert(once).count += 1;
        }
        for name in &reading.unknown_fields {
            if self.unknown_fields.contains_key(name) || self.unknown_fields.len() < MAX_UNKNOWN_FIELDS {
                self.unknown_fields.entry(name.clone()).or_insert(once).count += 1;
            }
        }
    }

    fn warn(&mut self) {
        let problem = |file: &str, seen: Seen, field: String, message: String, hint: Option<String>| Problem {
            file: file.to_owned(),
            line: seen.first_line,
            column: 0,
            field,
            message: format!("{message} ({} in all)", count(seen.count, "sample")),
            hint,
        };
        if let Some(seen) = self.derived_ids {
            let message = "no id: it is derived from the content, and changes with it".to_owned();
            self.report.warnings.push(problem(&self.file, seen, "id".to_owned(), message, None));
        }
        for (name, seen) in &self.unknown_fields {
            let hint = suggest::nearest(name, FIELDS).map(|known| format!("did you mean {known}?"));
            let message = "no field of a sample: kept in the metadata".to_owned();
            self.report.warnings.push(problem(&self.file, *seen, shorten(name), message, hint));
        }
        self.report.warnings.sort_by_key(|warning| warning.line);
        for at in 0..self.report.warnings.len() {
            (self.report.warnings[at].file, self.report.warnings[at].line) = self.place(self.report.warnings[at].line);
        }
    }

    fn check_input(&self, reading: &Reading, problems: &mut Vec<LineProblem>) {
        let sample = &reading.sample;
        let last_user = sample.messages.iter().rev().find(|message| message.role == Role::User);
        let (field, question) = match last_user {
            Some(message) if sample.input.trim().is_empty() => ("messages", message.as_text()),
            _ => (reading.input_name, sample.input.as_str().into()),
        };
        if sample.messages.is_empty() && question.trim().is_empty() {
            // A prompt may be made of variables alone.
            if asks_nothing(sample) {
                let message = "is missing: give `input` (or `prompt`), `messages` or `variables`";
                problems.push(LineProblem { hint: meant(reading), ..LineProblem::new(field, message) });
            }
            return;
        }
        let chars = question.trim().chars().count();
        let needed = self.rules.min_prompt_chars as usize;
        if chars < needed {
            let message = format!("has {}, needs at least {needed}", count(chars as u64, "character"));
            problems.push(LineProblem::new(field, message));
        }
        let Some(most) = self.rules.max_prompt_tokens else { return };
        let messages = sample.messages.iter().map(|message| approximate_tokens(&message.as_text()));
        let tokens = approximate_tokens(&sample.input) + messages.sum::<u64>();
        if tokens > u64::from(most) {
            problems.push(LineProblem::new(field, format!("has about {tokens} tokens, may have at most {most}")));
        }
    }

    fn check_expected(&self, reading: &Reading, problems: &mut Vec<LineProblem>) {
        let (name, expected) = (reading.expected_name, &reading.sample.expected_output);
        for (index, _) in expected.iter().enumerate().filter(|(_, text)| text.trim().is_empty()) {
            let field = if expected.len() == 1 { name.to_owned() } else { format!("{name}[{index}]") };
            problems.push(LineProblem::new(field, "is blank"));
        }
        let needs_one = matches!(self.rules.kind, DatasetType::Golden | DatasetType::Regression);
        if expected.is_empty() && needs_one {
            let message = format!("is missing: samples of a {} dataset need one", self.rules.kind.as_str());
            problems.push(LineProblem::new(name, message));
        }
    }

    fn check_category(&mut self, sample: &Sample, problems: &mut Vec<LineProblem>) {
        let known = || self.rules.categories.keys().map(String::as_str);
        let name = sample.category.as_deref().unwrap_or_default();
        if !self.rules.categories.is_empty() && !self.rules.categories.contains_key(name) {
            let (message, hint) = if name.trim().is_empty() {
                ("is missing".to_owned(), suggest::one_of(&known().collect::<Vec<_>>()))
            } else {
                (format!("`{}` is no category of this dataset", shorten(name)), suggest::hint(name, known()))
            };
            problems.push(LineProblem { field: "category".to_owned(), message, hint: Some(hint) });
            return;
        }
        let categories = &mut self.report.categories;
        if categories.len() >= MAX_CATEGORIES && !categories.contains_key(name) {
            let message = format!("the dataset has more than {MAX_CATEGORIES} categories");
            problems.push(LineProblem::new("category", message));
            return;
        }
        // A sample with another mistake counts too: one mistake should not be reported as two.
        *categories.entry(name.to_owned()).or_default() += 1;
    }

    fn check_duplicates(&mut self, line: u64, reading: &Reading, problems: &mut Vec<LineProblem>) {
        let sample = &reading.sample;
        // A sample whose hash cannot be made could not be stored either; reading JSON never gives one.
        let Ok(question) = sample.question_hash() else { return };
        let asked = self.questions.insert(question.as_str().as_bytes(), line);
        let named = self.ids.insert(sample.id.as_bytes(), line);
        // The same content without id gives the same id: that is one mistake.
        if let Some(first) = named.filter(|_| !(reading.derived_id && asked.is_some())) {
            let message = format!("`{}` is the id of {} {first} too", shorten(&sample.id), self.noun);
            problems.push(LineProblem::new("id", message));
        }
        // What asks nothing was told of already.
        if let Some(first) = asked.filter(|_| !asks_nothing(sample)) {
            let field = if sample.input.is_empty() { "messages" } else { reading.input_name };
            problems.push(LineProblem::new(field, format!("asks the same as {} {first}", self.noun)));
        }
    }
}

/// Whether there is neither an input, nor a message, nor a variable.
fn asks_nothing(sample: &Sample) -> bool {
    sample.messages.is_empty() && sample.input.trim().is_empty() && sample.variables.is_empty()
}

/// Names of other people's fields: one of them may be what is meant.
fn meant(reading: &Reading) -> Option<String> {
    let known = &reading.unknown_fields;
    if known.is_empty() || !reading.sample.input.is_empty() {
        return None;
    }
    let mut names: Vec<String> = known.iter().take(5).map(|name| format!("`{}`", shorten(name))).collect();
    if known.len() > names.len() {
        names.push("…".to_owned());
    }
    Some(format!("the record has {}: rename the field that holds the question", names.join(", ")))
}

/// The first line of each text seen, by a 64-bit hash: 16 bytes a text. Two of a million texts share a hash once in
/// thirty million datasets; the validator would then report a duplicate that is none.
#[derive(Default)]
struct FirstLines(HashMap<u64, u32, BuildHasherDefault<AlreadyHashed>>);

impl FirstLines {
    /// Notes the line of a text; the earlier line when there is one.
    fn insert(&mut self, text: &[u8], line: u64) -> Option<u32> {
        let digest = Sha256::digest(text);
        let hash = digest.iter().take(8).fold(0, |hash, byte| (hash << 8) | u64::from(*byte));
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        match self.0.entry(hash) {
            std::collections::hash_map::Entry::Occupied(first) => Some(*first.get()),
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(line);
                None
            }
        }
    }
}

/// The keys are SHA-256 already: hashing them again would buy nothing.
#[derive(Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// About how many tokens a model reads in a text: one for every four letters or digits of an ASCII word (begun fours
/// count), one for every two other letters, one for each Chinese, Japanese or Korean character and for each mark of
/// punctuation or symbol; none for white space. Real tokenizers differ by some 20 %.
pub fn approximate_tokens(text: &str) -> u64 {
    let mut tokens = 0;
    let (mut ascii, mut letters) = (0_u64, 0_u64);
    for c in text.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' => ascii += 1,
            _ if is_cjk(c) => tokens += 1,
            _ if c.is_alphanumeric() => letters += 1,
            _ => {
                tokens += ascii.div_ceil(4) + letters.div_ceil(2) + u64::from(!c.is_whitespace());
                (ascii, letters) = (0, 0);
            }
        }
    }
    tokens + ascii.div_ceil(4) + letters.div_ceil(2)
}

fn is_cjk(c: char) -> bool {
    matches!(u32::from(c),
        0x1100..=0x11FF | 0x3040..=0x30FF | 0x3130..=0x318F | 0x31F0..=0x31FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF
        | 0xAC00..=0xD7AF | 0xF900..=0xFAFF | 0x20000..=0x3134F)
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_estimated() {
        for (text, tokens) in [
            ("", 0),
            (" \n\t", 0),
            ("word", 1),
            ("words", 2),
            ("two words", 3),
            ("Hi, you!", 4),
            ("日本語", 3),
            ("한국어", 3),
            ("привет", 3),
            ("naïve", 2),
            ("🎉🎉", 2),
            ("x = 42;", 4),
        ] {
            assert_eq!(approximate_tokens(text), tokens, "{text}");
        }
    }
}
