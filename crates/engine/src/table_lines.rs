//! Lines of a text, and the records of a table in them (CSV, RFC 4180): what is wrong with one takes no other with it.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};

/// A line with its number, from 1: its bytes without the end, or nothing where it is longer than what is read.
pub type Line = (u64, Option<Vec<u8>>);

/// Lines that end in LF, CR or both.
#[derive(Debug)]
pub struct Lines<R> {
    input: BufReader<R>,
    /// Longest line that is read, in bytes; also the longest record of a table.
    longest: usize,
    line: u64,
    /// The line before ended in CR: an LF that follows is of the same end.
    after_cr: bool,
    /// Lines that were looked at already, to be read again.
    ahead: VecDeque<Line>,
    /// Up to this line, a quote that stays open was looked for in vain: each line stands alone.
    alone_until: u64,
}

impl<R: Read> Lines<R> {
    /// The lines of a text; of those with more than `longest` bytes nothing but the number is told.
    pub fn new(input: R, longest: usize) -> Self {
        let input = BufReader::with_capacity(1 << 16, input);
        Self { input, longest, line: 0, after_cr: false, ahead: VecDeque::new(), alone_until: 0 }
    }

    /// The next line that is not blank; `None` at the end.
    ///
    /// # Errors
    /// When the source breaks off.
    pub fn next_line(&mut self) -> io::Result<Option<Line>> {
        loop {
            let Some((line, text)) = self.any()? else { return Ok(None) };
            if text.as_ref().is_none_or(|text| !text.trim_ascii().is_empty()) {
                return Ok(Some((line, text)));
            }
        }
    }

    /// Gives a line back: it is the next one again.
    pub fn give_back(&mut self, line: Line) {
        self.ahead.push_front(line);
    }

    fn any(&mut self) -> io::Result<Option<Line>> {
        if let Some(line) = self.ahead.pop_front() {
            return Ok(Some(line));
        }
        let (mut text, mut is_long, mut is_any) = (Vec::new(), false, false);
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                break;
            }
            if std::mem::take(&mut self.after_cr) && buffer[0] == b'\n' {
                self.input.consume(1);
                continue;
            }
            is_any = true;
            let end = buffer.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let part = &buffer[..end.unwrap_or(buffer.len())];
            is_long |= text.len() + part.len() > self.longest;
            if !is_long {
                text.extend_from_slice(part);
            }
            self.after_cr = end.is_some_and(|end| buffer[end] == b'\r');
            let read = end.map_or(buffer.len(), |end| end + 1);
            self.input.consume(read);
            if end.is_some() {
                break;
            }
        }
        if !is_any {
            return Ok(None);
        }
        self.line += 1;
        Ok(Some((self.line, (!is_long).then_some(text))))
    }

    /// The cells of the record that begins with this line. A quoted cell may have line ends in it, where the record fits the table
    /// (`fits`); else a quote is missing, and the record is this line alone, so that none behind is lost with it.
    ///
    /// # Errors
    /// When the source breaks off.
    pub fn record(
        &mut self,
        (line, text): (u64, &[u8]),
        fits: impl Fn(&[Vec<u8>]) -> bool,
    ) -> io::Result<Option<Vec<Vec<u8>>>> {
        let mut cells = Cells::default();
        cells.feed(text);
        if !cells.is_open() {
            return Ok(Some(cells.finish()));
        }
        if line <= self.alone_until {
            return Ok(None);
        }
        let (mut taken, mut length) = (Vec::new(), text.len());
        while cells.is_open() && length < self.longest {
            let Some(next) = self.any()? else { break };
            if let Some(text) = &next.1 {
                cells.feed(b"\n");
                cells.feed(text);
            }
            length += next.1.as_ref().map_or(self.longest, |text| text.len() + 1);
            taken.push(next);
        }
        if !cells.is_open() && !cells.is_odd && length <= self.longest {
            let cells = cells.finish();
            if fits(&cells) {
                return Ok(Some(cells));
            }
        }
        // Each line is looked at twice at most, however many quotes are missing.
        self.alone_until = taken.last().map_or(line, |(last, _)| *last);
        taken.into_iter().rev().for_each(|line| self.give_back(line));
        Ok(None)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Start,
    Bare,
    Quoted,
    /// Behind a quote in a quoted cell: it ends the cell, or another quote makes one of both.
    Quote,
}

/// Cells of a record (RFC 4180), byte by byte.
#[derive(Default)]
struct Cells {
    done: Vec<Vec<u8>>,
    cell: Vec<u8>,
    state: State,
    /// Something stands between the end of a quoted cell and the comma.
    is_odd: bool,
}

impl Cells {
    fn feed(&mut self, text: &[u8]) {
        for &byte in text {
            self.state = match (self.state, byte) {
                (State::Start, b'"') => State::Quoted,
                (State::Quoted, b'"') => State::Quote,
                (State::Start | State::Bare | State::Quote, b',') => {
                    self.done.push(std::mem::take(&mut self.cell));
                    State::Start
                }
                (state, byte) => {
                    self.cell.push(byte);
                    self.is_odd |= state == State::Quote && byte != b'"';
                    let stays = state == State::Quoted || state == State::Quote && byte == b'"';
                    if stays { State::Quoted } else { State::Bare }
                }
            };
        }
    }

    fn is_open(&self) -> bool {
        self.state == State::Quoted
    }

    fn finish(mut self) -> Vec<Vec<u8>> {
        self.done.push(self.cell);
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&[&str]]) {
        let mut lines = Lines::new(text.as_bytes(), 1000);
        let mut found = Vec::new();
        while let Some((line, content)) = lines.next_line().unwrap() {
            let content = content.unwrap();
            let cells = lines.record((line, &content), |cells| cells.len() == 2).unwrap();
            let cells = cells.map(|cells| cells.into_iter().map(|cell| String::from_utf8(cell).unwrap()).collect());
            found.push(cells.unwrap_or_else(|| vec![format!("{line} open")]));
        }
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn records() {
        check("a,b\n\n \nc,d", &[&["a", "b"], &["c", "d"]]);
        check("a,b\r\nc,d\re,f\r\n", &[&["a", "b"], &["c", "d"], &["e", "f"]]);
        check(r#""a,""b",c"d"#, &[&[r#"a,"b"#, r#"c"d"#]]);
        check("a,\"b\nc\"\nd,e", &[&["a", "b\nc"], &["d", "e"]]);
        check("a,\"b\nc,d\ne,f", &[&["1 open"], &["c", "d"], &["e", "f"]]);
        check("a,\"b\nc,\"d\ne,f\n", &[&["1 open"], &["2 open"], &["e", "f"]]);
        check(",", &[&["", ""]]);
        check("", &[]);
    }

    #[test]
    fn lines_that_are_too_long() {
        let long = "x".repeat(1001);
        let text = format!("a\n{long}\nb\n");
        let mut lines = Lines::new(text.as_bytes(), 1000);
        let found: Vec<_> = std::iter::from_fn(|| lines.next_line().unwrap()).collect();
        assert_eq!(found, [(1, Some(b"a".to_vec())), (2, None), (3, Some(b"b".to_vec()))]);
    }
}
