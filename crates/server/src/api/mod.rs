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
use llmops_domain::page::size as page_size;

use crate::ApiError;

/// A page of a list that was asked for with one item more than fits: the extra one tells that there is another page.
fn page<T>(mut items: Vec<T>, limit: u32, cursor: impl FnOnce(&T) -> String) -> Page<T> {
    let limit = limit as usize;
    let more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = if more { items.last().map(cursor) } else { None };
    Page { items, next_cursor }
}

/// Begins the cursors of lists by name, so that what is none of them is told from a name.
const AFTER: &str = "after:";

/// The cursor of a list by name whose page ends with this one.
fn after(name: &str) -> String {
    format!("{AFTER}{name}")
}

/// The name that the page before ended with.
fn name_before(cursor: Option<&str>) -> Result<Option<&str>, ApiError> {
    Ok(id_before(cursor, AFTER)?.map(|cursor| &cursor[AFTER.len()..]))
}

/// The id that the page before ended with: one that begins so.
fn id_before<'a>(cursor: Option<&'a str>, begins: &str) -> Result<Option<&'a str>, ApiError> {
    match cursor {
        Some(cursor) if !cursor.starts_with(begins) || cursor.contains('\0') => Err(no_cursor()),
        cursor => Ok(cursor),
    }
}

/// What the page before ended with, where that is a number or a time.
fn value_before<T: std::str::FromStr>(cursor: Option<&str>) -> Result<Option<T>, ApiError> {
    cursor.map(str::parse).transpose().map_err(|_| no_cursor())
}

fn no_cursor() -> ApiError {
    bad_request("cursor: it is not one of this list: give back the `next_cursor` of the page before")
}

pub(crate) fn bad_request(message: impl Into<String>) -> ApiError {
    ErrorBody::new(ErrorCode::InvalidRequest, message).into()
}

/// A time of a query.
fn time(field: &str, text: Option<&str>) -> Result<Option<jiff::Timestamp>, ApiError> {
    text.map(str::parse)
        .transpose()
        .map_err(|_| bad_request(format!("{field} is no time: expected RFC 3339, such as 2026-11-01T00:00:00Z")))
}
