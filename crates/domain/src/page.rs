//! What the filters of lists share: they cannot share a struct, because the API's document has their fields one by one.

use serde::Deserialize as _;
use serde::de::{Deserializer, Error as _};

/// Reads the number of items of a page.
///
/// # Errors
/// When it is not within 1 to 500.
pub(crate) fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    match Option::<u32>::deserialize(deserializer)? {
        Some(limit) if !(1..=500).contains(&limit) => {
            Err(D::Error::custom(format!("limit is {limit}: expected 1 to 500")))
        }
        limit => Ok(limit),
    }
}
