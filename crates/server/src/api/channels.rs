//! `/api/v1/channels`, `/api/v1/deliveries`

use crate::routes::{Routes, routes};
use axum::Json as Answer;
use llmops_api::Page;
use llmops_api::alerts::{Channel, DeliveryQuery, TestChannels, TestedChannel};
use llmops_api::error::ErrorResponse;
use llmops_domain::alert::Delivery;

use super::{id_before, page, page_size};
use crate::ApiError;
use crate::extract::{Editor, Json, NoQuery, Path, Query, Viewer};

pub(crate) fn router() -> Routes {
    Routes::new().routes(routes!(list)).routes(routes!(test)).routes(routes!(deliveries)).routes(routes!(replay))
}

/// Who is told of alerts. Addresses and secrets are not shown.
#[utoipa::path(get, path = "/api/v1/channels", operation_id = "list_channels", tag = "alerts",
    responses((status = 200, body = Page<Channel>)))]
async fn list(Viewer(ops): Viewer, _: NoQuery) -> Result<Answer<Page<Channel>>, ApiError> {
    let alerts = ops.alerts();
    let items = alerts.channels().into_iter().map(|(name, channel, unset)| {
        let wants = channel.wants();
        Channel {
            name: name.to_owned(),
            kind: channel.kind().to_owned(),
            types: wants.types.clone(),
            severities: wants.severities.clone(),
            resolved: wants.resolved,
            unset: unset.to_vec(),
        }
    });
    Ok(Answer(Page { items: items.collect(), next_cursor: None }))
}

/// Sends a test message through every channel, or one, and tells how each fared.
#[utoipa::path(post, path = "/api/v1/channels/test", operation_id = "test_channels", tag = "alerts",
    request_body = TestChannels,
    responses((status = 200, body = Page<TestedChannel>), (status = 404, body = ErrorResponse)))]
async fn test(Editor(ops): Editor, Json(request): Json<TestChannels>) -> Result<Answer<Page<TestedChannel>>, ApiError> {
    let tested = ops.alerts().test(request.channel.as_deref()).await?;
    let items = tested.into_iter().map(|test| TestedChannel {
        channel: test.channel,
        kind: test.kind.to_owned(),
        ok: test.error.is_none(),
        error: test.error,
    });
    Ok(Answer(Page { items: items.collect(), next_cursor: None }))
}

/// Messages to channels, newest first: `dead` ones could not be delivered for a day.
#[utoipa::path(get, path = "/api/v1/deliveries", operation_id = "list_deliveries", tag = "alerts",
    params(DeliveryQuery), responses((status = 200, body = Page<Delivery>), (status = 400, body = ErrorResponse)))]
async fn deliveries(
    Viewer(ops): Viewer,
    Query(query): Query<DeliveryQuery>,
) -> Result<Answer<Page<Delivery>>, ApiError> {
    let limit = page_size(query.limit);
    let asked = (id_before(query.cursor.as_deref(), "msg_")?, limit + 1);
    let deliveries = ops.alerts().deliveries(query.status, query.channel.as_deref(), asked).await?;
    Ok(Answer(page(deliveries, limit, |delivery| delivery.id.clone())))
}

/// Sends a message anew: one that was given up, or that is delivered already.
#[utoipa::path(post, path = "/api/v1/deliveries/{delivery}/replay", operation_id = "replay_delivery", tag = "alerts",
    params(("delivery" = String, Path)),
    responses((status = 200, body = Delivery), (status = 404, body = ErrorResponse)))]
async fn replay(Editor(ops): Editor, Path(delivery): Path<String>) -> Result<Answer<Delivery>, ApiError> {
    Ok(Answer(ops.alerts().replay(&delivery).await?))
}
