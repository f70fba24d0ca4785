//! Reading single tensors out of a file in the safetensors format.
//!
//! The file begins with the length of its header (8 bytes, little endian) and the header: a JSON object from the name of
//! each tensor to its type, shape and place in the bytes that follow. Tensors are read one at a time, so that loading
//! needs little more memory than the weights in use.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::loader::LoadError;

/// The largest header that is read; those of real models have some ten thousand bytes.
const MAX_HEADER: u64 = 64 << 20;

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

/// An open file of tensors.
pub(super) struct Tensors {
    path: PathBuf,
    file: File,
    data: u64,
    entries: HashMap<String, Entry>,
}

impl Tensors {
    /// Opens a file and reads its header.
    pub(super) fn open(path: &Path) -> Result<Self, LoadError> {
        let mut file = File::open(path).map_err(|error| LoadError::io(path, error))?;
        let size = file.metadata().map_err(|error| LoadError::io(path, error))?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(|error| LoadError::io(path, error))?;
        let length = u64::from_le_bytes(length);
        let data = length.saturating_add(8);
        if length > MAX_HEADER || data > size {
            return Err(LoadError::invalid(path, "the header is longer than the file"));
        }
        let mut header = Vec::new();
        file.by_ref().take(length).read_to_end(&mut header).map_err(|error| LoadError::io(path, error))?;
        let header: HashMap<String, Value> =
            serde_json::from_slice(&header).map_err(|error| LoadError::invalid(path, error))?;
        let mut entries = HashMap::new();
        for (name, value) in header.into_iter().filter(|(name, _)| name != "__metadata__") {
            let entry: Entry = serde_json::from_value(value).map_err(|error| LoadError::invalid(path, error))?;
            if entry.data_offsets.0 > entry.data_offsets.1 || entry.data_offsets.1 > size - data {
                return Err(LoadError::invalid(path, format_args!("tensor {name} lies outside the file")));
            }
            entries.insert(name, entry);
        }
        Ok(Self { path: path.to_owned(), file, data, entries })
    }

    /// Whether there is a tensor of this name.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The values and shape of a tensor, converted to single precision.
    pub(super) fn read(&mut self, name: &str) -> Result<(Vec<f32>, Vec<usize>), LoadError> {
        let Some(entry) = self.entries.get(name) else {
            return Err(LoadError::invalid(&self.path, format_args!("tensor {name} is missing")));
        };
        let (start, end) = entry.data_offsets;
        let mut bytes = Vec::new();
        let read = self
            .file
            .seek(SeekFrom::Start(self.data + start))
            .and_then(|_| self.file.by_ref().take(end - start).read_to_end(&mut bytes));
        read.map_err(|error| LoadError::io(&self.path, error))?;
        let values: Vec<f32> = match entry.dtype.as_str() {
            "F32" => bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            "F16" => bytes.as_chunks::<2>().0.iter().map(|bytes| from_half(u16::from_le_bytes(*bytes))).collect(),
            "BF16" => {
                let wide = |bytes: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
                bytes.as_chunks::<2>().0.iter().map(wide).collect()
            }
            other => return Err(LoadError::invalid(&self.path, format_args!("tensor {name} has type {other}"))),
        };
        let expected = entry.shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
        if expected != Some(values.len()) {
            return Err(LoadError::invalid(&self.path, format_args!("tensor {name} does not have its shape's size")));
        }
        Ok((values, entry.shape.clone()))
    }
}

/// IEEE half precision to single precision.
fn from_half(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let exponent = u32::from(half >> 10 & 0x1f);
    let fraction = u32::from(half & 0x3ff);
    let magnitude = match exponent {
        // Subnormal numbers are multiples of 2^-24.
        0 => return f32::from_bits(sign | (fraction as f32 * 2.0_f32.powi(-24)).to_bits()),
        0x1f => 0x7f80_0000 | fraction << 13,
        _ => (exponent + 112) << 23 | fraction << 13,
    };
    f32::from_bits(sign | magnitude)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision() {
        for (half, single) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_95),
            (0x0001, 5.960_464_5e-8),
            (0x7bff, 65504.0),
            (0x7c00, f32::INFINITY),
        ] {
            assert_eq!(from_half(half), single);
        }
        assert!(from_half(0x7e00).is_nan());
    }
}
