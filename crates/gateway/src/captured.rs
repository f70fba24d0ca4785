//! What was seen of an answer on its way to the caller.

use bytes::Bytes;

use crate::answer::{self, Answer};

/// Pieces smaller than this are copied.
const LARGE: usize = 256;
/// Most bytes of an answer that are kept to be read afterwards.
const MAX_CAPTURED: usize = 4 << 20;
/// Most bytes that are kept of the end of a longer one: that it is whole, and what was counted, stands there.
const TAIL: usize = 64 << 10;

/// What was seen of an answer. One that came in one piece is kept as it is; pieces are copied together, because each of them
/// would keep the whole buffer that it was read into.
#[derive(Debug, Default)]
pub(crate) struct Captured {
    first: Bytes,
    more: Vec<u8>,
    /// The end of an answer that is too long.
    tail: Vec<u8>,
    pub(crate) is_too_long: bool,
}

impl Captured {
    /// Bytes of it, the end of a long one left out.
    pub(crate) fn len(&self) -> usize {
        self.first.len() + self.more.len()
    }

    /// Adds a piece.
    pub(crate) fn add(&mut self, data: &Bytes) {
        let room = MAX_CAPTURED - self.len();
        if data.len() > room || self.is_too_long {
            self.add_to_long(data, room);
        } else if self.first.is_empty() && self.more.is_empty() && data.len() >= LARGE {
            self.first = data.clone();
        } else {
            if !self.first.is_empty() {
                self.more.extend_from_slice(&std::mem::take(&mut self.first));
            }
            self.more.extend_from_slice(data);
        }
    }

    /// Fills the beginning up, and keeps the last bytes of what follows.
    fn add_to_long(&mut self, data: &Bytes, room: usize) {
        if !self.is_too_long {
            self.add(&data.slice(..room));
            self.is_too_long = true;
        }
        let rest = &data[room.min(data.len())..];
        self.tail.extend_from_slice(&rest[rest.len().saturating_sub(TAIL)..]);
        if self.tail.len() > 2 * TAIL {
            self.tail.drain(..self.tail.len() - TAIL);
        }
    }

    /// All of it; of one that is too long its beginning and its end, with an empty line between them.
    pub(crate) fn take(&mut self) -> Bytes {
        if self.is_too_long {
            let whole_lines = memchr::memchr(b'\n', &self.tail).map_or(0, |end| end + 1);
            return [&self.first, &*self.more, b"\n\n", &self.tail[whole_lines..]].concat().into();
        }
        if self.more.is_empty() { std::mem::take(&mut self.first) } else { std::mem::take(&mut self.more).into() }
    }

    /// What the answer says.
    pub(crate) fn read(&self, captured: &[u8]) -> Answer {
        if self.is_too_long { answer::read_ends(captured) } else { answer::read(captured) }
    }
}
