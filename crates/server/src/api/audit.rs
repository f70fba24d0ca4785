//! `/api/v1/audit`

use crate::routes::{Routes, routes};
use axum::Json as Answer;
use llmops_api::Page;
use llmops_api::access::AuditQuery;
use llmops_domain::access::AuditRecord;
use llmops_storage::AuditFilter;

use super::{page, page_size, time, value_before};
use crate::ApiError;
use crate::extract::{Admin, Query};

pub(crate) fn router() -> Routes {
    Routes::new().routes(routes!(list))
}

/// Changes of configuration, the newest first: who, what, before and after.
#[utoipa::path(get, path = "/api/v1/audit", operation_id = "list_audit", tag = "audit", params(AuditQuery),
    responses((status = 200, body = Page<AuditRecord>)))]
async fn list(Admin(ops): Admin, Query(query): Query<AuditQuery>) -> Result<Answer<Page<AuditRecord>>, ApiError> {
    let limit = page_size(query.limit);
    let filter = AuditFilter {
        actor: query.actor,
        action: query.action,
        target: query.target,
        start_time: time("start_time", query.start_time.as_deref())?,
        end_time: time("end_time", query.end_time.as_deref())?,
        before: value_before(query.cursor.as_deref())?,
    };
    let records = ops.audit().list(query.project.as_deref(), &filter, limit + 1).await?;
    Ok(Answer(page(records, limit, |record| record.id.to_string())))
}
