//! Errors: what happened, why, and what to do about it.

use std::fmt::Write as _;

use llmops_domain::scorecard::format::clean;

use super::{Look, Tone};

/// Problems listed; a file with more is mended in rounds.
const MAX_PROBLEMS: usize = 1_000;

/// `error: …`, the single problems, a `caused by: …` for each further message of the chain that says something new, and a
/// `hint: …`. The chain begins with what happened.
pub(crate) fn error(look: Look, chain: &[String], hint: Option<&str>, problems: &[String]) -> String {
    let mut said = chain.first().map_or("unknown", String::as_str);
    let mut out = labelled(look, Tone::Bad, "error: ", said);
    for problem in problems.iter().take(MAX_PROBLEMS) {
        out += &labelled(look, Tone::Faint, "  - ", problem);
    }
    if problems.len() > MAX_PROBLEMS {
        let _ = writeln!(out, "  … and {} more", problems.len() - MAX_PROBLEMS);
    }
    for message in chain.iter().skip(1).map(|m| m.trim()) {
        // Many errors repeat their cause in their own message.
        if !message.is_empty() && !said.contains(message) {
            out += &labelled(look, Tone::Faint, "  caused by: ", message);
            said = message;
        }
    }
    if let Some(hint) = hint.filter(|h| !h.trim().is_empty()) {
        out += &labelled(look, Tone::Warn, "  hint: ", hint);
    }
    out
}

/// What is waited for: nothing is wrong, and it is not done.
pub(crate) fn waits(look: Look, chain: &[String], hint: Option<&str>) -> String {
    let mut out = labelled(look, Tone::Warn, "waits: ", chain.first().map_or("", String::as_str));
    if let Some(hint) = hint.filter(|h| !h.trim().is_empty()) {
        out += &labelled(look, Tone::Warn, "  hint: ", hint);
    }
    out
}

/// A label and a text whose further lines stand under its first.
fn labelled(look: Look, tone: Tone, label: &str, text: &str) -> String {
    let indent = " ".repeat(label.len());
    let text = clean(text.trim_end());
    let body: Vec<&str> = text.lines().collect();
    format!("{}{}\n", look.paint(tone, label), body.join(&format!("\n{indent}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(chain: &[&str], hint: Option<&str>, problems: &[&str]) -> String {
        let owned = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        error(Look { width: 80, colour: false }, &owned(chain), hint, &owned(problems))
    }

    #[test]
    fn the_chain_is_told_once() {
        let chain = ["cannot evaluate", "provider sim: cannot connect", "cannot connect", "refused\n(os error 111)"];
        insta::assert_snapshot!(check(&chain, Some("is it running? try `llmops provider check`"), &[]), @"
        error: cannot evaluate
          caused by: provider sim: cannot connect
          caused by: refused
                     (os error 111)
          hint: is it running? try `llmops provider check`
        ");
    }

    #[test]
    fn every_problem_has_its_line() {
        let problems = [
            "llmops.yaml:3:1: unknown key `targetz`\n      did you mean `targets`?",
            "llmops.yaml:9:5: expected a number",
        ];
        insta::assert_snapshot!(check(&["llmops.yaml has 2 mistakes"], None, &problems), @"
        error: llmops.yaml has 2 mistakes
          - llmops.yaml:3:1: unknown key `targetz`
                  did you mean `targets`?
          - llmops.yaml:9:5: expected a number
        ");
    }

    #[test]
    fn hostile_text_is_shown_not_obeyed() {
        insta::assert_snapshot!(check(&["\u{1b}[2Jgone", ""], Some(" "), &[]), @"error: ␛[2Jgone");
    }

    #[test]
    fn many_problems_are_cut_and_counted() {
        let problems = vec!["x"; MAX_PROBLEMS + 10];
        assert!(check(&["bad"], None, &problems).ends_with("  … and 10 more\n"));
        assert_eq!(check(&[], None, &[]), "error: unknown\n");
    }
}
