//! Incidents.

use http::Method;
use llmops_domain::incident::{Incident, IncidentFilter, Timeline};

use super::{Client, ClientError, segment};
use crate::incidents::{AddNote, CloseIncident, ClosedIncident, OpenIncident, OpenedIncident};
use crate::page::Page;

impl Client {
    /// Opens an incident.
    pub async fn open_incident(&self, request: &OpenIncident) -> Result<OpenedIncident, ClientError> {
        self.send(Method::POST, "/api/v1/incidents", request).await
    }

    /// Incidents, the newest first.
    pub async fn list_incidents(&self, filter: &IncidentFilter) -> Result<Page<Incident>, ClientError> {
        self.get_with("/api/v1/incidents", filter).await
    }

    /// What happened around an incident.
    pub async fn incident_timeline(&self, which: &str) -> Result<Timeline, ClientError> {
        self.get(&path(which, "/timeline")).await
    }

    /// Writes something down.
    pub async fn note_incident(&self, which: &str, note: &AddNote) -> Result<Incident, ClientError> {
        self.send(Method::POST, &path(which, "/notes"), note).await
    }

    /// Closes an incident.
    pub async fn close_incident(&self, which: &str, request: &CloseIncident) -> Result<ClosedIncident, ClientError> {
        self.send(Method::POST, &path(which, "/close"), request).await
    }
}

fn path(which: &str, rest: &str) -> String {
    format!("/api/v1/incidents/{}{rest}", segment(which))
}
