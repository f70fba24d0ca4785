//! Where the lines of a file begin, noted while it is read: `\n`, `\r\n` and `\r` end them.

use std::collections::VecDeque;
use std::io::{self, Read};

/// A reader that knows in which line what it read stands.
pub(super) struct Lines<R> {
    inner: R,
    /// Bytes read.
    offset: u64,
    /// The line of the next byte, from 1.
    line: u64,
    before: u8,
    /// First bytes of lines that are not empty, with their numbers: those that nobody has asked about yet.
    starts: VecDeque<(u64, u64)>,
}

impl<R> Lines<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, offset: 0, line: 1, before: b'\n', starts: VecDeque::new() }
    }

    /// The first line that begins at or after a byte and is not empty. Later calls ask for no earlier byte.
    pub(super) fn line_from(&mut self, byte: u64) -> u64 {
        while self.starts.front().is_some_and(|(start, _)| *start < byte) {
            self.starts.pop_front();
        }
        self.starts.front().map_or(self.line, |(_, line)| *line)
    }

    fn note(&mut self, byte: u8) {
        let ends = |byte| matches!(byte, b'\n' | b'\r');
        match byte {
            b'\n' if self.before == b'\r' => {}
            b'\n' | b'\r' => self.line += 1,
            _ if ends(self.before) => self.starts.push_back((self.offset, self.line)),
            _ => {}
        }
        self.before = byte;
        self.offset += 1;
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        for byte in &buffer[..read] {
            self.note(*byte);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines in which the records of a table begin, its header left out.
    #[track_caller]
    fn check(table: &str, expected: &[u64]) {
        // In small pieces, so that records lie across them.
        for capacity in [1, 7, 8192] {
            let mut reader =
                csv::ReaderBuilder::new().buffer_capacity(capacity).from_reader(Lines::new(table.as_bytes()));
            reader.headers().unwrap();
            let mut row = csv::StringRecord::new();
            let mut found = Vec::new();
            while reader.read_record(&mut row).unwrap() {
                let start = row.position().unwrap().byte();
                found.push(reader.get_mut().line_from(start));
            }
            assert_eq!(found, expected, "{table:?}, {capacity}");
        }
    }

    #[test]
    fn records_begin_in_lines() {
        check("id,a\n1,x\n2,y\n", &[2, 3]);
        check("id,a\r\n1,x\r\n2,y\r\n3,z", &[2, 3, 4]);
        check("id,a\r1,x\r2,y", &[2, 3]);
        check("\u{feff}id,a\r\n1,x\r\n", &[2]);
        check("id,a\r\n\r\n\r\n1,x\r\n\r\n2,y\r\n", &[4, 6]);
        check("id,a\n1,\"x\n\ny\"\n2,z\n", &[2, 5]);
        check("id,\"a\r\nb\"\r\n1,\"x\r\ny\"\r\n2,z\r\n", &[3, 5]);
    }
}
