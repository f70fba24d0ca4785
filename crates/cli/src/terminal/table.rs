//! Tables that fit the terminal.

use comfy_table::{Attribute, CellAlignment, Color, ContentArrangement, LineStyle, Table, TableStyle};
use llmops_domain::scorecard::format::one_line;

use super::{Look, Tone, text};

/// Columns between two cells.
const GAP: usize = 2;
/// A rule under the titles, nothing else.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// A column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    right: bool,
}

impl Column {
    /// A column of text.
    pub(crate) const fn text(title: &'static str) -> Self {
        Self { title, right: false }
    }

    /// A column of numbers, set to the right.
    pub(crate) const fn number(title: &'static str) -> Self {
        Self { title, right: true }
    }
}

/// The content of a cell: foreign text is welcome, it is put on one line and cleaned.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell with a tone.
    pub(crate) fn toned(tone: Tone, text: impl AsRef<str>) -> Self {
        Self { text: one_line(text.as_ref()), tone }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(Tone::Plain, text)
    }
}

/// A table: as wide as its content, at most as wide as the terminal; long cells wrap.
pub(crate) fn table(look: Look, columns: &[Column], rows: Vec<Vec<Cell>>) -> String {
    let mut table = base(look, STYLE);
    table.set_header(columns.iter().map(|c| styled(Cell::toned(Tone::Faint, c.title))));
    // The rule's junctions take the second column between cells.
    add(&mut table, columns, rows, 1)
}

/// A [`table`] that gives up the columns with these positions, one after the other, until the rest fits unwrapped.
pub(super) fn fitting(look: Look, columns: &[Column], mut rows: Vec<Vec<Cell>>, optional: &[usize]) -> String {
    let mut columns: Vec<Option<Column>> = columns.iter().copied().map(Some).collect();
    for position in optional {
        let kept = columns.iter().enumerate().filter_map(|(i, c)| Some((i, (*c)?)));
        let widest = kept.map(|(i, column)| {
            let cells = rows.iter().filter_map(|row| row.get(i)).map(|cell| text::columns(&cell.text));
            cells.chain([text::columns(column.title)]).max().unwrap_or(0) + GAP
        });
        // Of the gap behind the last column, the table counts one.
        if widest.sum::<usize>() < look.width + GAP {
            break;
        }
        columns[*position] = None;
    }
    for row in &mut rows {
        let mut kept = columns.iter().map(Option::is_some);
        row.retain(|_| kept.next().unwrap_or(true));
    }
    table(look, &columns.into_iter().flatten().collect::<Vec<_>>(), rows)
}

/// Labels and values, one pair a line.
pub(crate) fn pairs<L: AsRef<str>, V: AsRef<str>>(look: Look, pairs: impl IntoIterator<Item = (L, V)>) -> String {
    let rows =
        pairs.into_iter().map(|(label, value)| vec![Cell::toned(Tone::Faint, label), Cell::from(value)]).collect();
    add(&mut base(look, TableStyle::new()), &[Column::text(""), Column::text("")], rows, 2)
}

/// Columns of the terminal behind standard output, where there is one.
pub(super) fn terminal_width() -> Option<usize> {
    Table::new().width().map(usize::from)
}

fn base(look: Look, style: TableStyle) -> Table {
    let mut table = Table::new();
    table
        .load_style(style)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(u16::try_from(look.width).unwrap_or(u16::MAX))
        .force_no_tty();
    if look.colour {
        table.enforce_styling();
    }
    table
}

fn add(table: &mut Table, columns: &[Column], rows: Vec<Vec<Cell>>, gap: u16) -> String {
    table.add_rows(rows.into_iter().map(|row| row.into_iter().map(styled).collect::<Vec<_>>()));
    for (i, column) in columns.iter().enumerate() {
        if let Some(c) = table.column_mut(i) {
            c.set_padding((0, gap));
            if column.right {
                c.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    let mut out = String::new();
    for line in table.lines() {
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn styled(cell: Cell) -> comfy_table::Cell {
    let out = comfy_table::Cell::new(cell.text);
    match cell.tone {
        Tone::Plain => out,
        Tone::Strong => out.add_attribute(Attribute::Bold),
        Tone::Faint => out.add_attribute(Attribute::Dim),
        Tone::Good => out.fg(Color::DarkGreen),
        Tone::Bad => out.fg(Color::DarkRed).add_attribute(Attribute::Bold),
        Tone::Warn => out.fg(Color::DarkYellow),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [Column::text("name"), Column::number("score"), Column::text("note")];

    fn rows() -> Vec<Vec<Cell>> {
        vec![
            vec!["factual_accuracy".into(), "0.891".into(), Cell::toned(Tone::Good, "fine")],
            vec![
                "日本語".into(),
                "1.0".into(),
                "\u{1b}]0;owned\u{7}a note that is long enough to need a second line".into(),
            ],
            vec!["".into(), "–".into(), "👩‍👩‍👧".into()],
        ]
    }

    #[test]
    fn columns_line_up() {
        insta::assert_snapshot!(table(Look { width: 60, colour: false }, &COLUMNS, rows()), @"
        name              score  note
        ───────────────────────────────────────────────────────
        factual_accuracy  0.891  fine
        日本語              1.0  ␛]0;owned␇a note that is long
                                 enough to need a second line
                              –  👩‍👩‍👧
        ");
    }

    #[test]
    fn optional_columns_go_before_cells_wrap() {
        let rows = || vec![vec!["a".into(), "12".into(), "twelve wide!".into()]];
        let check = |width, expected: usize| {
            let text = fitting(Look { width, colour: false }, &COLUMNS, rows(), &[1, 2]);
            assert_eq!(text.lines().next().unwrap_or_default().split_whitespace().count(), expected, "{text}");
        };
        check(26, 3);
        check(25, 2);
        check(19, 2);
        check(18, 1);
        check(0, 1);
    }

    #[test]
    fn no_width_panics() {
        for width in 0..60 {
            for colour in [false, true] {
                assert!(table(Look { width, colour }, &COLUMNS, rows()).contains('–'));
            }
        }
    }

    #[test]
    fn pairs_line_up() {
        let facts = [("run", "run_01k9"), ("dataset", "golden@3f1c"), ("", "odd")];
        insta::assert_snapshot!(pairs(Look { width: 40, colour: false }, facts), @"
        run      run_01k9
        dataset  golden@3f1c
                 odd
        ");
    }

    #[test]
    fn an_empty_table_has_its_titles() {
        insta::assert_snapshot!(table(Look { width: 60, colour: false }, &COLUMNS, Vec::new()), @"
        name  score  note
        ──────────────────
        ");
    }
}
