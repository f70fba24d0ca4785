//! The samples that explain the verdict, with what was expected beside what was answered, and the flips.

use std::fmt::Write as _;

use similar::{ChangeTag, TextDiff};

use super::{MAX_ITEMS, block, escape, field, format, more, open};
use crate::compare::SampleChange;
use crate::gate::{GateReport, SampleNote};
use crate::scorecard::category_label;

/// Longest text shown; also what bounds the work of comparing two of them.
const MAX_TEXT: usize = 4_000;
/// Texts that share less than this are shown without marks: nearly everything would be marked.
const MIN_SIMILARITY: f64 = 0.2;
/// Samples that are unfolded from the start.
const UNFOLDED: usize = 3;

/// Writes the worst samples.
pub(super) fn samples(out: &mut String, report: &GateReport) {
    if report.samples.is_empty() {
        return;
    }
    open(
        out,
        "Worst samples",
        "Words that only the expected answer has are struck through; words that only the output has are underlined.",
    );
    for (i, note) in report.samples.iter().enumerate() {
        sample(out, note, i < UNFOLDED);
    }
    out.push_str("</section>\n");
}

fn sample(out: &mut String, note: &SampleNote, unfolded: bool) {
    let before = note.baseline_composite.map(|b| format!("{} → ", format::number(b))).unwrap_or_default();
    let after = note.composite.map_or_else(|| "errored".to_owned(), format::number);
    let _ = writeln!(
        out,
        "<details class=\"card sample\"{}>\n<summary><span class=\"id\">{}<span>{}</span></span>\
         <span class=\"move\">{before}<b>{after}</b></span><span class=\"why\">{}</span></summary>\n<div class=\"body\">",
        if unfolded { " open" } else { "" },
        field(&note.sample_id),
        field(category_label(&note.category)),
        field(&note.reasons.join("; ")),
    );
    text(out, "Input", " class=\"wide\"", &block(&note.input, MAX_TEXT));
    let reference = match (&note.expected, &note.baseline_output) {
        (Some(expected), _) => Some(("Expected", expected)),
        (None, Some(before)) => Some(("Baseline's output", before)),
        (None, None) => None,
    };
    match reference {
        Some((label, reference)) => {
            let (old, new) = marked(&shorten(reference), &shorten(&note.output));
            text(out, label, "", &old);
            text(out, "Output", "", &new);
        }
        None => text(out, "Output", " class=\"wide\"", &block(&note.output, MAX_TEXT)),
    }
    if let (Some(_), Some(before)) = (&note.expected, &note.baseline_output) {
        text(out, "Baseline's output", " class=\"wide\"", &block(before, MAX_TEXT));
    }
    out.push_str("</div>\n</details>\n");
}

fn shorten(text: &str) -> String {
    format::short_block(text, MAX_TEXT)
}

/// `content` is HTML.
fn text(out: &mut String, label: &str, class: &str, content: &str) {
    let _ = write!(out, "<div{class}><h3>{label}</h3>");
    if content.trim().is_empty() {
        out.push_str("<p class=\"text none\">empty</p></div>\n");
    } else {
        let _ = writeln!(out, "<pre class=\"text\" dir=\"auto\" tabindex=\"0\">{content}</pre></div>");
    }
}

/// Both texts as HTML, with the words only one of them has marked.
fn marked(old: &str, new: &str) -> (String, String) {
    let diff = TextDiff::from_unicode_words(old, new);
    let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).count();
    let mut shared = 0;
    let mut sides = (Side::new("del"), Side::new("ins"));
    for change in diff.iter_all_changes() {
        match change.tag() {
            ChangeTag::Equal => {
                shared += letters(change.value());
                sides.0.push(change.value(), false);
                sides.1.push(change.value(), false);
            }
            ChangeTag::Delete => sides.0.push(change.value(), true),
            ChangeTag::Insert => sides.1.push(change.value(), true),
        }
    }
    if 2.0 * shared as f64 <= MIN_SIMILARITY * (letters(old) + letters(new)) as f64 {
        return (escape(old), escape(new));
    }
    (sides.0.finish(), sides.1.finish())
}

/// One side of a comparison: neighbouring words with the same mark share an element, and the space between them too.
struct Side {
    element: &'static str,
    html: String,
    open: bool,
    /// White space after a marked word, until it is known what follows.
    space: String,
}

impl Side {
    fn new(element: &'static str) -> Self {
        Self { element, html: String::new(), open: false, space: String::new() }
    }

    fn push(&mut self, word: &str, marked: bool) {
        if self.open && !marked && word.trim().is_empty() {
            self.space.push_str(word);
            return;
        }
        if self.open && !marked {
            self.close();
        }
        self.html.push_str(&std::mem::take(&mut self.space));
        if marked && !self.open {
            let _ = write!(self.html, "<{}>", self.element);
            self.open = true;
        }
        self.html.push_str(&escape(word));
    }

    fn close(&mut self) {
        if self.open {
            let _ = write!(self.html, "</{}>", self.element);
            self.open = false;
        }
    }

    fn finish(mut self) -> String {
        self.close();
        self.html + &self.space
    }
}

/// Writes the samples whose pass or fail changed.
pub(super) fn flips(out: &mut String, report: &GateReport) {
    let Some(comparison) = report.comparison.as_ref().filter(|c| !c.flips.is_empty()) else { return };
    let hint = format!(
        "{} newly failing, {} newly passing.",
        format::count(comparison.newly_failed, "sample"),
        comparison.newly_passed
    );
    open(out, "Flips since the baseline", &hint);
    out.push_str("<div class=\"card scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Flips\">\n<table>\n");
    out.push_str("<thead><tr><th scope=\"col\">Sample</th>");
    out.push_str("<th scope=\"col\">Category</th><th scope=\"col\" class=\"num\">Baseline</th>");
    out.push_str("<th scope=\"col\" class=\"num\">Current</th><th scope=\"col\">Flip</th></tr></thead>\n<tbody>\n");
    for flip in comparison.flips.iter().take(MAX_ITEMS) {
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\" class=\"name\">{}</th><td>{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"nowrap\">{}</td></tr>",
            field(&flip.sample_id),
            field(category_label(&flip.category)),
            format::optional(flip.before),
            format::optional(flip.after),
            direction(flip),
        );
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
    more(out, comparison.flips.len());
    out.push_str("</section>\n");
}

fn direction(flip: &SampleChange) -> String {
    let word = |passed: Option<bool>| match passed {
        Some(true) => "passed",
        Some(false) => "failed",
        None => "not scored",
    };
    format!("{} → {}", word(flip.passed_before), word(flip.passed_after))
}
