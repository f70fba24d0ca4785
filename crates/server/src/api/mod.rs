//! The resources, one file each: request, handler (extract, authorise, one call, respond).

pub mod alerts;
pub mod applied;
pub mod audit;
pub mod baselines;
pub mod canaries;
pub mod channels;
pub mod config;
pub mod datasets;
pub mod deployments;
pub mod events;
pub mod experiments;
pub mod feedback;
pub mod incidents;
pub mod judges;
pub mod keys;
pub mod observations;
pub mod overview;
pub mod projects;
pub mod prompts;
pub mod providers;
pub mod records;
pub mod releases;
pub mod reviews;
pub mod runs;
pub mod schedules;
pub mod session;
pub mod workbench;

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

/// A time of a query.
fn time(field: &str, text: Option<&str>) -> Result<Option<jiff::Timestamp>, ApiError> {
    text.map(str::parse)
        .transpose()
        .map_err(|_| bad_request(format!("{field} is no time: expected RFC 3339, such as 2026-11-01T00:00:00Z")))
}
