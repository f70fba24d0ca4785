//! Tables that fit the terminal.

use comfy_table::{Attribute, CellAlignment, Color, ContentArrangement, LineStyle, Table, TableStyle};
use llmops_domain::scorecard::format::one_line;

use super::widths::{Content, Need, widths};
use super::{Look, Tone, text};

/// Columns between two cells.
const GAP: usize = 2;
/// A rule under the titles, nothing else.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// A column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    content: Content,
    optional: bool,
}

impl Column {
    /// A column of text, which wraps where it is too long.
    pub(crate) const fn text(title: &'static str) -> Self {
        Self { title, content: Content::Text, optional: false }
    }

    /// A column of numbers, set to the right.
    pub(crate) const fn number(title: &'static str) -> Self {
        Self { title, content: Content::Number, optional: false }
    }

    /// A column of ids or names, which are there to be copied: they are never broken while the rest can give.
    pub(crate) const fn id(title: &'static str) -> Self {
        Self { title, content: Content::Id, optional: false }
    }

    /// The same, given up where the others would not fit beside it.
    pub(crate) const fn optional(self) -> Self {
        Self { optional: true, ..self }
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

/// A table: as wide as its content, at most as wide as the terminal. Long texts wrap; optional columns go, the last first,
/// where that is not enough; and where ids would still have to be broken, each row is a list of its cells.
pub(crate) fn table(look: Look, columns: &[Column], rows: Vec<Vec<Cell>>) -> String {
    let needs: Vec<Need> = columns.iter().enumerate().map(|(i, column)| need(i, *column, &rows)).collect();
    let mut kept: Vec<usize> = (0..columns.len()).collect();
    loop {
        // Behind the last column stands one of the gap's columns too.
        let gaps = (GAP * kept.len()).saturating_sub(1);
        if let Some(widths) = look.width.checked_sub(gaps).and_then(|room| widths(&only(&needs, &kept), room)) {
            let rows = rows.iter().map(|row| only(row, &kept)).collect();
            return laid_out(look, &only(columns, &kept), &widths, rows);
        }
        let Some(last) = kept.iter().rposition(|i| columns[*i].optional) else { break };
        kept.remove(last);
    }
    let is_list = rows.is_empty() || columns.len() == 1;
    if is_list { laid_out(look, columns, &[], rows) } else { blocks(look, columns, rows) }
}

fn only<T: Clone>(all: &[T], kept: &[usize]) -> Vec<T> {
    kept.iter().filter_map(|i| all.get(*i).cloned()).collect()
}

fn need(i: usize, column: Column, rows: &[Vec<Cell>]) -> Need {
    let cells = || rows.iter().filter_map(|row| row.get(i)).map(|cell| cell.text.as_str()).chain([column.title]);
    let longest = cells().map(text::columns).max().unwrap_or(0);
    let word = cells().flat_map(|text| text.split(' ')).map(text::columns).max().unwrap_or(0);
    Need { content: column.content, longest, word }
}

fn laid_out(look: Look, columns: &[Column], widths: &[usize], rows: Vec<Vec<Cell>>) -> String {
    let broken = |i: usize, cell: Cell| match widths.get(i) {
        Some(width) => Cell { text: broken(&cell.text, *width), ..cell },
        None => cell,
    };
    let titles = columns.iter().map(|column| Cell::toned(Tone::Faint, column.title));
    let mut table = base(look, STYLE);
    table.set_header(titles.enumerate().map(|(i, title)| styled(broken(i, title))));
    let rows = rows.into_iter().map(|row| row.into_iter().enumerate().map(|(i, cell)| broken(i, cell)).collect());
    // The rule's junctions take the second column between cells.
    add(&mut table, columns, rows.collect(), 1)
}

fn broken(text: &str, room: usize) -> String {
    if text::columns(text) > room { text::lines(text, room).join("\n") } else { text.to_owned() }
}

/// Each row as the list of its cells that say something.
fn blocks(look: Look, columns: &[Column], rows: Vec<Vec<Cell>>) -> String {
    let block = |row: Vec<Cell>| {
        let said = columns.iter().zip(row).filter(|(_, cell)| !cell.text.is_empty());
        listed(look, said.map(|(column, cell)| (Cell::toned(Tone::Faint, column.title), cell)).collect())
    };
    rows.into_iter().map(block).collect::<Vec<_>>().join("\n")
}

/// A [`table`] that gives up the columns with these positions, one after the other, until the rest fits unwrapped.
pub(super) fn fitting(look: Look, columns: &[Column], mut rows: Vec<Vec<Cell>>, dispensable: &[usize]) -> String {
    let mut columns: Vec<Option<Column>> = columns.iter().copied().map(Some).collect();
    for position in dispensable {
        let kept = columns.iter().enumerate().filter_map(|(i, c)| Some((i, (*c)?)));
        let widest = kept.map(|(i, column)| need(i, column, &rows).longest + GAP);
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
    listed(look, pairs.into_iter().map(|(label, value)| (Cell::toned(Tone::Faint, label), value.into())).collect())
}

fn listed(look: Look, pairs: Vec<(Cell, Cell)>) -> String {
    let label = pairs.iter().map(|(label, _)| text::columns(&label.text)).max().unwrap_or(0);
    // Where the labels leave no room to speak of, whatever is there must do.
    let room = look.width.saturating_sub(label + 2 * GAP).max(GAP);
    let broken = |cell: Cell| Cell { text: broken(&cell.text, room), ..cell };
    let rows = pairs.into_iter().map(|(label, value)| vec![label, broken(value)]).collect();
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
            if column.content == Content::Number {
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
    fn ids_stay_whole() {
        const COLUMNS: [Column; 5] = [
            Column::id("record"),
            Column::text("model"),
            Column::text("note"),
            Column::number("first ms"),
            Column::number("tokens").optional(),
        ];
        let check = |width| {
            let (id, model) = ("req_01k9zq3v7wj5x8m2aat0c4n6ye", "openai/gpt-4o-mini-2024-07-18");
            let note = "ok, but the answer is no JSON";
            table(
                Look { width, colour: false },
                &COLUMNS,
                vec![vec![id.into(), model.into(), note.into(), "812.4".into(), "1812".into()]],
            )
        };
        insta::assert_snapshot!(check(80), @"
        record                          model          note          first ms  tokens
        ──────────────────────────────────────────────────────────────────────────────
        req_01k9zq3v7wj5x8m2aat0c4n6ye  openai/gpt-    ok, but the      812.4    1812
                                        4o-mini-2024-  answer is no
                                        07-18          JSON
        ");
        insta::assert_snapshot!(check(70), @"
        record                          model        note          first ms
        ────────────────────────────────────────────────────────────────────
        req_01k9zq3v7wj5x8m2aat0c4n6ye  openai/gpt-  ok, but the      812.4
                                        4o-mini-     answer is no
                                        2024-07-18   JSON
        ");
        insta::assert_snapshot!(check(60), @"
        record    req_01k9zq3v7wj5x8m2aat0c4n6ye
        model     openai/gpt-4o-mini-2024-07-18
        note      ok, but the answer is no JSON
        first ms  812.4
        tokens    1812
        ");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let columns = [Column::id("name"), Column::number("score").optional(), Column::text("note")];
        for width in 20..120 {
            let look = Look { width, colour: false };
            let long =
                pairs(look, [("manifest", "3f1c9a77d2e04b5f".repeat(4)), ("why", "a word and another".repeat(9))]);
            for line in table(look, &columns, rows()).lines().chain(long.lines()) {
                assert!(text::columns(line) <= width, "{width}: {line:?}");
            }
        }
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
