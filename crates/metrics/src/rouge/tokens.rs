//! The tokens of ROUGE: runs of `[a-z0-9]` in the lower-cased text, stemmed where asked for.

use super::porter;

/// The tokens of one text, in buffers that the next text reuses.
#[derive(Clone, Debug, Default)]
pub(super) struct Tokens {
    bytes: Vec<u8>,
    /// Where each token ends in `bytes`; it starts where the one before ends.
    ends: Vec<usize>,
    /// The number of tokens up to the end of each line that has any.
    pub(super) lines: Vec<usize>,
}

/// What a byte contributes to a token: its lower case for an ASCII letter or digit, 0 for a separator.
const LOWER: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() {
            table[byte as usize] = byte.to_ascii_lowercase();
        }
        byte += 1;
    }
    table
};

impl Tokens {
    /// How many tokens there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The tokens in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let token = &self.bytes[start..end];
            start = end;
            token
        })
    }

    /// Reads a text. A line break separates tokens anyway, so the tokens of the lines are the tokens of the text.
    pub(super) fn read(&mut self, text: &str, stem: bool) {
        self.bytes.clear();
        self.ends.clear();
        self.lines.clear();
        self.bytes.reserve(text.len());
        let text = text.as_bytes();
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            at += 1;
            let lower = LOWER[usize::from(byte)];
            if lower != 0 {
                self.bytes.push(lower);
                continue;
            }
            // Two characters outside ASCII have a lower case that starts in ASCII: `İ` becomes `i` and a combining
            // dot, which separates; the Kelvin sign becomes `k`.
            match (byte, &text[at..]) {
                (0xc4, [0xb0, ..]) => {
                    self.bytes.push(b'i');
                    at += 1;
                }
                (0xe2, [0x84, 0xaa, ..]) => {
                    self.bytes.push(b'k');
                    at += 2;
                    continue;
                }
                _ => {}
            }
            self.end_token(stem);
            if byte == b'\n' {
                self.end_line();
            }
        }
        self.end_token(stem);
        self.end_line();
    }

    fn end_token(&mut self, stem: bool) {
        let start = self.ends.last().copied().unwrap_or(0);
        if stem && self.bytes.len() - start > 3 {
            porter::stem(&mut self.bytes, start);
        }
        if self.bytes.len() > start {
            self.ends.push(self.bytes.len());
        }
    }

    fn end_line(&mut self) {
        let tokens = self.ends.len();
        if self.lines.last().copied().unwrap_or(0) < tokens {
            self.lines.push(tokens);
        }
    }
}
