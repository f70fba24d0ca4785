//! The diff as plain text, in the manner of unified diffs.

use std::fmt;

use serde_json::Value;

use super::{ConfigDiff, DiffLine, LineKind, PromptDiff, VariableDiff};
use crate::prompt::Variable;

impl fmt::Display for PromptDiff {
    /// Plain text: `-` and `+` before what was removed and added, as in unified diffs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "--- {}\n+++ {}", self.from, self.to)?;
        if self.identical {
            return writeln!(f, "identical");
        }
        if self.text.is_empty() && self.variables.is_empty() && self.config.is_empty() {
            return writeln!(f, "the same words in another form (content or messages, order of variables)");
        }
        for hunk in &self.text {
            writeln!(f, "{}", hunk.header)?;
            hunk.lines.iter().try_for_each(|line| write!(f, "{line}"))?;
        }
        section(f, "variables", &self.variables)?;
        section(f, "configuration", &self.config)
    }
}

fn section(f: &mut fmt::Formatter<'_>, title: &str, changes: &[impl fmt::Display]) -> fmt::Result {
    if !changes.is_empty() {
        writeln!(f, "{title}:")?;
    }
    changes.iter().try_for_each(|change| write!(f, "{change}"))
}

impl fmt::Display for DiffLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            LineKind::Same => " ",
            LineKind::Removed => "-",
            LineKind::Added => "+",
        })?;
        self.parts.iter().try_for_each(|part| f.write_str(&part.text))?;
        writeln!(f)
    }
}

impl fmt::Display for VariableDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (sign, variable) in [('-', &self.before), ('+', &self.after)] {
            if let Some(variable) = variable {
                writeln!(f, "{sign} {}", declaration(variable))?;
            }
        }
        Ok(())
    }
}

/// A declaration on one line: `language (string, required, default "Go", validation ["Go","Rust"]): what it is for`.
fn declaration(variable: &Variable) -> String {
    let mut facts = vec![json(&variable.kind).trim_matches('"').to_owned()];
    if variable.required {
        facts.push("required".to_owned());
    }
    if let Some(default) = &variable.default {
        facts.push(format!("default {default}"));
    }
    if let Some(validation) = &variable.validation {
        facts.push(format!("validation {}", json(validation)));
    }
    let description = variable.description.as_ref().map(|d| format!(": {d}")).unwrap_or_default();
    format!("{} ({}){description}", variable.name, facts.join(", "))
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

impl fmt::Display for ConfigDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (sign, value) in [('-', &self.before), ('+', &self.after)] {
            if *value != Value::Null {
                writeln!(f, "{sign} {}: {value}", self.field)?;
            }
        }
        Ok(())
    }
}
