//! What people see: where text goes, how wide it may be, whether it has colour.
//!
//! Rendering is a function from data and a [`Look`] to a `String`; only [`Ui`] writes. Text that models and other people
//! wrote is cleaned of control characters before it reaches a terminal.

mod compare;
mod error;
mod experiment;
mod gate;
mod judgements;
mod results;
mod runs;
mod schedules;
mod table;
mod text;
mod widths;

use std::io::{IsTerminal as _, Write as _};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};

pub(crate) use compare::comparison;
pub(crate) use error::{error, waits};
pub(crate) use experiment::experiment_result;
pub(crate) use gate::gate;
pub(crate) use results::{results, sample};
pub(crate) use runs::{run, runs};
pub(crate) use schedules::{preview, schedule, schedules};
pub(crate) use table::{Cell, Column, pairs, table};
pub(crate) use text::wrap;

/// Columns where nobody says how wide the output is: in a pipe or a log.
const DEFAULT_WIDTH: usize = 100;
/// Bounds on what the terminal claims.
const WIDTHS: std::ops::RangeInclusive<usize> = 20..=500;
/// Prose is not set wider than this, however wide the terminal.
const PROSE_WIDTH: usize = 100;

/// What a piece of text means, from which its colour follows. Meaning never rests on the tone alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Ordinary text.
    #[default]
    Plain,
    /// A title or the most important number.
    Strong,
    /// Less important.
    Faint,
    /// Good news.
    Good,
    /// Bad news.
    Bad,
    /// Something to look at.
    Warn,
}

/// How text is laid out for one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// Columns.
    pub(crate) width: usize,
    /// Whether escape sequences for colour are wanted.
    pub(crate) colour: bool,
}

impl Look {
    /// `text` in the colour of its tone.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        let style = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Strong => Style::new().bold(),
            Tone::Faint => Style::new().dimmed(),
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Bad => AnsiColor::Red.on_default().bold(),
            Tone::Warn => AnsiColor::Yellow.on_default(),
        };
        if self.colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    /// Columns for prose.
    fn prose(self) -> usize {
        self.width.min(PROSE_WIDTH)
    }
}

/// The process's two output streams.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ui {
    /// Answers.
    pub(crate) out: Look,
    /// Progress, notes, errors.
    pub(crate) err: Look,
}

impl Ui {
    /// Looks at the terminal and at `NO_COLOR`, `CLICOLOR_FORCE`, `CLICOLOR`, `TERM` and `COLUMNS`.
    pub(crate) fn from_env() -> Self {
        let var = |name: &str| std::env::var(name).ok();
        let (out, err) = (std::io::stdout().is_terminal(), std::io::stderr().is_terminal());
        let width = width(var, table::terminal_width());
        Self {
            out: Look { width, colour: wants_colour(var, out) },
            err: Look { width, colour: wants_colour(var, err) },
        }
    }

    /// Writes an answer to standard output. A reader that went away, such as `head`, is no error.
    ///
    /// # Errors
    /// When the stream cannot be written for another reason.
    pub(crate) fn print(&self, text: &str) -> std::io::Result<()> {
        let mut stream = AutoStream::new(std::io::stdout(), choice(self.out));
        let written = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
        match written {
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// Writes to standard error. When even that cannot be written there is nobody to tell.
    pub(crate) fn note(&self, text: &str) {
        let mut stream = AutoStream::new(std::io::stderr(), choice(self.err));
        let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
    }
}

fn choice(look: Look) -> ColorChoice {
    if look.colour { ColorChoice::Always } else { ColorChoice::Never }
}

/// `NO_COLOR` wins, then `CLICOLOR_FORCE`; else colour is for terminals that can show it and whose user did not say
/// `CLICOLOR=0`.
pub(crate) fn wants_colour(var: impl Fn(&str) -> Option<String>, terminal: bool) -> bool {
    let set = |name: &str| var(name).filter(|v| !v.is_empty());
    if set("NO_COLOR").is_some() {
        return false;
    }
    if set("CLICOLOR_FORCE").is_some_and(|v| v != "0") {
        return true;
    }
    terminal && set("CLICOLOR").is_none_or(|v| v != "0") && set("TERM").is_none_or(|v| v != "dumb")
}

fn width(var: impl Fn(&str) -> Option<String>, terminal: Option<usize>) -> usize {
    let said = var("COLUMNS").and_then(|v| v.trim().parse().ok());
    terminal.or(said).filter(|w| *w > 0).unwrap_or(DEFAULT_WIDTH).clamp(*WIDTHS.start(), *WIDTHS.end())
}

#[cfg(test)]
mod tests;
