//! JSON out of bytes that came over a connection.

use serde::Deserialize;

/// A value out of JSON. Its letters are checked once for all of it, and not anew for every text in it.
///
/// # Errors
/// Where it is no JSON, or not of that type.
pub(crate) fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> serde_json::Result<T> {
    match std::str::from_utf8(json) {
        Ok(json) => serde_json::from_str(json),
        // Bytes that are no letters do no harm where nobody reads them; elsewhere the error tells their place.
        Err(_) => serde_json::from_slice(json),
    }
}
