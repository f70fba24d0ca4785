//! Alerts, silences, channels, deliveries.

use http::Method;
use llmops_domain::alert::{Alert, Delivery, Silence};

use super::{Client, ClientError, segment};
use crate::alerts::{
    AlertQuery, Channel, CreateAlert, CreateSilence, DeliveryQuery, RaisedAlert, TestChannels, TestedChannel,
};
use crate::page::Page;

impl Client {
    /// Alerts, newest first.
    pub async fn list_alerts(&self, query: &AlertQuery) -> Result<Page<Alert>, ClientError> {
        self.get_with("/api/v1/alerts", query).await
    }

    /// One alert: an id, or the beginning of one.
    pub async fn get_alert(&self, alert: &str) -> Result<Alert, ClientError> {
        self.get(&format!("/api/v1/alerts/{}", segment(alert))).await
    }

    /// Raises an alert, or counts it on the open alert of its cause.
    pub async fn create_alert(&self, alert: &CreateAlert) -> Result<RaisedAlert, ClientError> {
        self.send(Method::POST, "/api/v1/alerts", alert).await
    }

    /// Marks an alert as seen.
    pub async fn acknowledge_alert(&self, alert: &str) -> Result<Alert, ClientError> {
        self.send(Method::POST, &format!("/api/v1/alerts/{}/acknowledge", segment(alert)), &()).await
    }

    /// Resolves an alert.
    pub async fn resolve_alert(&self, alert: &str) -> Result<Alert, ClientError> {
        self.send(Method::POST, &format!("/api/v1/alerts/{}/resolve", segment(alert)), &()).await
    }

    /// The silences that have not ended.
    pub async fn list_silences(&self) -> Result<Page<Silence>, ClientError> {
        self.get("/api/v1/silences").await
    }

    /// Silences alerts for a time.
    pub async fn create_silence(&self, silence: &CreateSilence) -> Result<Silence, ClientError> {
        self.send(Method::POST, "/api/v1/silences", silence).await
    }

    /// Ends a silence.
    pub async fn end_silence(&self, silence: &str) -> Result<(), ClientError> {
        self.send(Method::DELETE, &format!("/api/v1/silences/{}", segment(silence)), &()).await
    }

    /// The channels.
    pub async fn list_channels(&self) -> Result<Page<Channel>, ClientError> {
        self.get("/api/v1/channels").await
    }

    /// Sends a test message through the channels.
    pub async fn test_channels(&self, test: &TestChannels) -> Result<Page<TestedChannel>, ClientError> {
        self.send(Method::POST, "/api/v1/channels/test", test).await
    }

    /// Messages to channels, newest first.
    pub async fn list_deliveries(&self, query: &DeliveryQuery) -> Result<Page<Delivery>, ClientError> {
        self.get_with("/api/v1/deliveries", query).await
    }

    /// Sends a message anew.
    pub async fn replay_delivery(&self, delivery: &str) -> Result<Delivery, ClientError> {
        self.send(Method::POST, &format!("/api/v1/deliveries/{}/replay", segment(delivery)), &()).await
    }
}
