//! Pages of lists.

use llmops_domain::page;
use serde::{Deserialize, Serialize};

pub use llmops_domain::page::{DEFAULT_PAGE, MAX_PAGE};

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Give this as `cursor` to get the next page; null on the last.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// All items of a list, page after page: `fetch` gets the one behind a cursor, and the first without.
    ///
    /// # Errors
    /// The first of `fetch`.
    pub async fn all<E, F>(mut fetch: impl FnMut(Option<String>) -> F) -> Result<Vec<T>, E>
    where
        F: Future<Output = Result<Self, E>>,
    {
        let mut all = Vec::new();
        let mut cursor = None;
        loop {
            let page = fetch(cursor).await?;
            all.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(all);
            }
        }
    }
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
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "page::limit")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}

impl PageQuery {
    /// As much as a page may have, behind a cursor.
    pub fn largest(cursor: Option<String>) -> Self {
        Self { cursor, limit: Some(MAX_PAGE) }
    }

    /// The number of items asked for, within the bounds.
    pub fn limit(&self) -> u32 {
        page::size(self.limit)
    }
}
