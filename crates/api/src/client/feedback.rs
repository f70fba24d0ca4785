//! Feedback and the review queue.

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use http::Method;
use http_body_util::{BodyExt as _, Full};
use llmops_domain::feedback::{Feedback, FeedbackFilter, FeedbackReport};
use llmops_domain::review::{Decide, ReviewFilter, ReviewItem};
use serde_json::Value;

use super::{Client, ClientError, decode, protocol, segment, with_query};
use crate::feedback::{
    CollectReviews, CollectedReviews, Decided, EXPORT_COUNTS, ExportCounts, ExportQuery, FeedbackSummary, HardExamples,
    HardExamplesMade, ReceivedFeedback, ReportQuery, SendReport, SummaryQuery,
};
use crate::page::Page;

impl Client {
    /// Sends feedback: one piece as an object, or many as a list.
    pub async fn submit_feedback(&self, feedback: &Value) -> Result<ReceivedFeedback, ClientError> {
        self.send(Method::POST, "/api/v1/feedback", feedback).await
    }

    /// Feedback, newest first.
    pub async fn list_feedback(&self, filter: &FeedbackFilter) -> Result<Page<Feedback>, ClientError> {
        self.get_with("/api/v1/feedback", filter).await
    }

    /// One piece of feedback.
    pub async fn get_feedback(&self, id: &str) -> Result<Feedback, ClientError> {
        self.get(&format!("/api/v1/feedback/{}", segment(id))).await
    }

    /// What was said, summed up.
    pub async fn feedback_summary(&self, query: &SummaryQuery) -> Result<FeedbackSummary, ClientError> {
        self.get_with("/api/v1/feedback/summary", query).await
    }

    /// Feedback as training data: what was left out, and the lines.
    pub async fn export_feedback(
        &self,
        query: &ExportQuery,
    ) -> Result<(ExportCounts, BoxStream<'static, Result<Bytes, std::io::Error>>), ClientError> {
        let path = with_query("/api/v1/feedback/export", query)?;
        let body = Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync();
        let response = self.exchange(Method::GET, &path, "application/json", body).await?;
        if !response.status().is_success() {
            decode::<Value>(&path, response).await?;
            return Err(protocol(&path, "an error without a body".to_owned()));
        }
        let counts = response.headers().get(EXPORT_COUNTS).and_then(|value| value.to_str().ok());
        let counts = counts.and_then(|text| serde_json::from_str(text).ok());
        let counts = counts.ok_or_else(|| protocol(&path, format!("there is no {EXPORT_COUNTS}")))?;
        Ok((counts, response.into_body().into_data_stream().boxed()))
    }

    /// Makes a dataset of the questions whose answers were found bad.
    pub async fn make_hard_examples(&self, request: &HardExamples) -> Result<HardExamplesMade, ClientError> {
        self.send(Method::POST, "/api/v1/feedback/hard-examples", request).await
    }

    /// The report on the last days.
    pub async fn feedback_report(&self, query: &ReportQuery) -> Result<FeedbackReport, ClientError> {
        self.get_with("/api/v1/feedback/report", query).await
    }

    /// Sends the report to a channel.
    pub async fn send_feedback_report(&self, request: &SendReport) -> Result<FeedbackReport, ClientError> {
        self.send(Method::POST, "/api/v1/feedback/report", request).await
    }

    /// Items of the review queue, newest first.
    pub async fn list_reviews(&self, filter: &ReviewFilter) -> Result<Page<ReviewItem>, ClientError> {
        self.get_with("/api/v1/reviews", filter).await
    }

    /// One item of the review queue, or `latest`.
    pub async fn get_review(&self, id: &str) -> Result<ReviewItem, ClientError> {
        self.get(&format!("/api/v1/reviews/{}", segment(id))).await
    }

    /// Decides on an item.
    pub async fn decide_review(&self, id: &str, decision: &Decide) -> Result<Decided, ClientError> {
        self.send(Method::POST, &format!("/api/v1/reviews/{}/decision", segment(id)), decision).await
    }

    /// Adds answers that a run's judges are uncertain of.
    pub async fn collect_reviews(&self, request: &CollectReviews) -> Result<CollectedReviews, ClientError> {
        self.send(Method::POST, "/api/v1/reviews/collect", request).await
    }
}
