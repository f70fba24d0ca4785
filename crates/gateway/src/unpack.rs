//! Unpacks answers that providers pack, although nobody asked them to.

use flate2::{Decompress, FlushDecompress, Status};
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderValue};

/// Most bytes that an answer may have unpacked: a few packed ones can say that there are billions.
const MOST: u64 = 32 << 20;
/// Bytes that are unpacked at a time.
const STEP: usize = 16 << 10;
/// Base-2 logarithm of the largest window of gzip.
const WINDOW: u8 = 15;

/// Why bytes cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackError {
    #[error("its content-encoding `{0}` is not one that the gateway reads: gzip and deflate")]
    Unknown(String),
    #[error("it is packed, and cannot be unpacked: {0}")]
    Broken(#[from] flate2::DecompressError),
    #[error("it is packed, and its end is missing")]
    Short,
    #[error("it has more than {} MB when it is unpacked", MOST >> 20)]
    TooLarge,
}

/// Unpacks a body piece by piece.
pub(crate) struct Unpacker {
    packing: Packing,
    /// Absent before the first byte.
    state: Option<Decompress>,
    /// Bytes that came out of what was complete before.
    before: u64,
    has_ended: bool,
}

enum Packing {
    Gzip,
    Deflate,
    Unknown(String),
}

/// What the header says, where it says that the body is packed.
pub(crate) fn encoding(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get(CONTENT_ENCODING).filter(|value| !matches!(value.as_bytes(), b"" | b"identity"))
}

impl Unpacker {
    /// For the value of the header `content-encoding`. One that is not known is told of when the first byte comes.
    pub(crate) fn new(encoding: &HeaderValue) -> Self {
        let packing = match encoding.as_bytes().trim_ascii().to_ascii_lowercase().as_slice() {
            b"gzip" | b"x-gzip" => Packing::Gzip,
            b"deflate" => Packing::Deflate,
            other => Packing::Unknown(String::from_utf8_lossy(other).into_owned()),
        };
        Self { packing, state: None, before: 0, has_ended: false }
    }

    /// What these bytes say.
    pub(crate) fn unpack(&mut self, mut packed: &[u8]) -> Result<Vec<u8>, UnpackError> {
        let mut out = Vec::new();
        while let Some(first) = packed.first() {
            if self.has_ended {
                // Further parts of gzip may follow; what follows deflate says nothing.
                let Packing::Gzip = self.packing else { break };
                self.before += self.state.take().map_or(0, |state| state.total_out());
                self.has_ended = false;
            }
            let state = match &mut self.state {
                Some(state) => state,
                none => none.insert(begin(&self.packing, *first)?),
            };
            let (was_in, was_out) = (state.total_in(), state.total_out());
            out.reserve(STEP);
            let status = state.decompress_vec(packed, &mut out, FlushDecompress::None)?;
            let (read, wrote) = (state.total_in() - was_in, state.total_out() - was_out);
            if self.before + state.total_out() > MOST {
                return Err(UnpackError::TooLarge);
            }
            packed = &packed[usize::try_from(read).unwrap_or(packed.len())..];
            self.has_ended = status == Status::StreamEnd;
            if read == 0 && wrote == 0 && !self.has_ended {
                return Err(UnpackError::Short);
            }
        }
        self.rest(&mut out)?;
        Ok(out)
    }

    /// What the bytes so far say beyond the room that there was.
    fn rest(&mut self, out: &mut Vec<u8>) -> Result<(), UnpackError> {
        let Some(state) = &mut self.state else { return Ok(()) };
        while !self.has_ended && out.len() == out.capacity() {
            out.reserve(STEP);
            let before = state.total_out();
            self.has_ended = state.decompress_vec(&[], out, FlushDecompress::None)? == Status::StreamEnd;
            if self.before + state.total_out() > MOST {
                return Err(UnpackError::TooLarge);
            }
            if state.total_out() == before {
                break;
            }
        }
        Ok(())
    }

    /// Whether nothing is missing: all of it was there, or there was nothing at all.
    pub(crate) fn is_complete(&self) -> bool {
        self.has_ended || self.state.is_none()
    }
}

fn begin(packing: &Packing, first: u8) -> Result<Decompress, UnpackError> {
    match packing {
        Packing::Gzip => Ok(Decompress::new_gzip(WINDOW)),
        // Some send it without the header of zlib, which has the method 8 in the lower half of its first byte.
        Packing::Deflate => Ok(Decompress::new(first & 0x0f == 8)),
        Packing::Unknown(name) => Err(UnpackError::Unknown(name.clone())),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    fn packed(encoding: &str, text: &[u8]) -> Vec<u8> {
        let best = Compression::best();
        match encoding {
            "gzip" => {
                let mut encoder = GzEncoder::new(Vec::new(), best);
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            "deflate" => {
                let mut encoder = ZlibEncoder::new(Vec::new(), best);
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            _ => {
                let mut encoder = DeflateEncoder::new(Vec::new(), best);
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    fn unpacked(encoding: &'static str, pieces: &[&[u8]]) -> Result<(Vec<u8>, bool), String> {
        let mut unpacker = Unpacker::new(&HeaderValue::from_static(encoding));
        let mut all = Vec::new();
        for piece in pieces {
            all.extend(unpacker.unpack(piece).map_err(|error| error.to_string())?);
        }
        Ok((all, unpacker.is_complete()))
    }

    #[test]
    fn what_was_packed_comes_out_whatever_the_pieces() {
        let long = "a small answer ".repeat(20_000);
        for text in ["", "hello", &long] {
            for (encoding, how) in [("gzip", "gzip"), (" X-GZIP", "gzip"), ("deflate", "deflate"), ("deflate", "raw")] {
                let packed = packed(how, text.as_bytes());
                for size in [1, 7, packed.len()] {
                    let pieces: Vec<&[u8]> = packed.chunks(size).collect();
                    let expected = (text.as_bytes().to_vec(), true);
                    assert!(unpacked(encoding, &pieces) == Ok(expected), "{encoding} {how} {size} {}", text.len());
                }
            }
        }
    }

    #[test]
    fn parts_of_gzip_follow_each_other() {
        let both = [packed("gzip", b"one, "), packed("gzip", b"two")].concat();
        assert_eq!(unpacked("gzip", &[&both]), Ok((b"one, two".to_vec(), true)));
        assert_eq!(unpacked("gzip", &[]), Ok((Vec::new(), true)));
    }

    #[test]
    fn what_cannot_be_unpacked() {
        let whole = packed("gzip", b"hello");
        assert_eq!(unpacked("gzip", &[&whole[..whole.len() - 1]]), Ok((b"hello".to_vec(), false)));
        let check = |encoding, bytes: &[u8], expected: &str| {
            let error = unpacked(encoding, &[bytes]).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check("gzip", b"{\"error\": 1}", "cannot be unpacked");
        check("br", b"x", "content-encoding `br`");
        check("gzip, gzip", b"x", "content-encoding `gzip, gzip`");
        // Forty megabytes of nothing, told in forty kilobytes.
        check("gzip", &packed("gzip", &vec![0; 40 << 20]), "more than 32 MB");
    }

    #[test]
    fn what_says_that_a_body_is_packed() {
        let check = |value: &'static str, expected: bool| {
            let headers = [(CONTENT_ENCODING, HeaderValue::from_static(value))].into_iter().collect();
            assert_eq!(encoding(&headers).is_some(), expected, "{value}");
        };
        check("gzip", true);
        check("br", true);
        check("identity", false);
        check("", false);
        assert!(encoding(&HeaderMap::new()).is_none());
    }
}
