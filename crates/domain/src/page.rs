//! What the filters of lists share: they cannot share a struct, because the API's document has their fields one by one.

use serde::Deserialize as _;
use serde::de::{Deserializer, Error as _};

/// Most items a page may have.
pub const MAX_PAGE: u32 = 500;
/// Items of a page when the caller names no number.
pub const DEFAULT_PAGE: u32 = 50;

/// Reads the number of items of a page.
///
/// # Errors
/// When it is not within 1 to [`MAX_PAGE`].
pub fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    match Option::<u32>::deserialize(deserializer)? {
        Some(limit) if !(1..=MAX_PAGE).contains(&limit) => {
            Err(D::Error::custom(format!("limit is {limit}: expected 1 to {MAX_PAGE}")))
        }
        limit => Ok(limit),
    }
}

/// The number of items that was asked for, within the bounds.
#[must_use]
pub fn size(limit: Option<u32>) -> u32 {
    limit.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE)
}
