//! Pages of lists.

use serde::{Deserialize, Serialize};

/// Most items a page may have.
pub const MAX_PAGE: u32 = 500;
/// Items of a page when the caller names no number.
pub const DEFAULT_PAGE: u32 = 50;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Give this as `cursor` to get the next page; null on the last.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// Which page of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Where the page before ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Items on the page, 1 to 500.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "within_bounds")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}

/// Reads a number of items, and refuses one that no page has.
pub fn within_bounds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let limit = Option::<u32>::deserialize(deserializer)?;
    match limit {
        Some(limit) if !(1..=MAX_PAGE).contains(&limit) => {
            Err(serde::de::Error::custom(format!("limit is {limit}: expected 1 to {MAX_PAGE}")))
        }
        limit => Ok(limit),
    }
}

impl PageQuery {
    /// The number of items asked for, within the bounds.
    pub fn limit(&self) -> u32 {
        self.limit.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE)
    }
}
