//! The resources, one file each: request, handler (extract, authorise, one call, respond).

pub mod baselines;
pub mod datasets;
pub mod events;
pub mod judges;
pub mod prompts;
pub mod runs;

use llmops_api::{ErrorBody, ErrorCode, Page};

use crate::ApiError;

/// A page of a list that was asked for with one item more than fits: the extra one tells that there is another page.
fn page<T>(mut items: Vec<T>, limit: u32, cursor: impl FnOnce(&T) -> String) -> Page<T> {
    let limit = limit as usize;
    let more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = if more { items.last().map(cursor) } else { None };
    Page { items, next_cursor }
}

fn bad_request(message: impl Into<String>) -> ApiError {
    ErrorBody::new(ErrorCode::InvalidRequest, message).into()
}
