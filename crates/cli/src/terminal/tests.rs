use llmops_domain::gate::GateReport;

use super::*;

/// The report that several views are shown with.
pub(super) fn report() -> GateReport {
    serde_json::from_str(include_str!("../../../domain/tests/data/gate_report.json")).expect("a gate report")
}

fn vars<'a>(set: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + Copy + 'a {
    move |name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
}

#[test]
fn colour_is_for_terminals_unless_somebody_says_otherwise() {
    let check = |set: &[(&str, &str)], terminal, expected| {
        assert_eq!(wants_colour(vars(set), terminal), expected, "{set:?} on a terminal: {terminal}");
    };
    check(&[], true, true);
    check(&[], false, false);
    check(&[("NO_COLOR", "1")], true, false);
    check(&[("NO_COLOR", "")], true, true);
    check(&[("CLICOLOR", "0")], true, false);
    check(&[("CLICOLOR", "1")], false, false);
    check(&[("CLICOLOR_FORCE", "1")], false, true);
    check(&[("CLICOLOR_FORCE", "0")], false, false);
    check(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], true, false);
    check(&[("TERM", "dumb")], true, false);
}

#[test]
fn width_comes_from_the_terminal_then_columns() {
    let check = |set: &[(&str, &str)], terminal, expected| assert_eq!(width(vars(set), terminal), expected);
    check(&[], None, 100);
    check(&[], Some(132), 132);
    check(&[("COLUMNS", "72")], None, 72);
    check(&[("COLUMNS", "72")], Some(90), 90);
    check(&[("COLUMNS", "0")], None, 100);
    check(&[("COLUMNS", "many")], None, 100);
    check(&[("COLUMNS", "3")], None, 20);
    check(&[], Some(1_000_000), 500);
}

#[test]
fn paint_adds_colour_only_where_wanted() {
    assert_eq!(Look { width: 80, colour: false }.paint(Tone::Bad, "no"), "no");
    assert_eq!(Look { width: 80, colour: true }.paint(Tone::Bad, "no"), "\u{1b}[1m\u{1b}[31mno\u{1b}[0m");
    assert_eq!(Look { width: 80, colour: true }.paint(Tone::Plain, "no"), "no");
}
