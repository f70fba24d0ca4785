//! Schedules.

use http::Method;

use super::{Client, ClientError, segment};
use crate::page::{Page, PageQuery};
use crate::schedules::{Firing, Preview, PreviewQuery, Schedule, ScheduleSpec};

impl Client {
    /// Makes a schedule, or replaces the one of its name.
    pub async fn put_schedule(&self, schedule: &ScheduleSpec) -> Result<Schedule, ClientError> {
        self.send(Method::POST, "/api/v1/schedules", schedule).await
    }

    /// Schedules, by name.
    pub async fn list_schedules(&self, page: &PageQuery) -> Result<Page<Schedule>, ClientError> {
        self.get_with("/api/v1/schedules", page).await
    }

    /// One schedule.
    pub async fn get_schedule(&self, name: &str) -> Result<Schedule, ClientError> {
        self.get(&schedule_path(name, "")).await
    }

    /// Removes a schedule; its runs stay.
    pub async fn delete_schedule(&self, name: &str) -> Result<(), ClientError> {
        self.call(Method::DELETE, &schedule_path(name, ""), Vec::new()).await
    }

    /// Keeps a schedule from firing.
    pub async fn pause_schedule(&self, name: &str) -> Result<Schedule, ClientError> {
        self.send(Method::POST, &schedule_path(name, "/pause"), &()).await
    }

    /// Lets a paused schedule fire again, from its next time on.
    pub async fn resume_schedule(&self, name: &str) -> Result<Schedule, ClientError> {
        self.send(Method::POST, &schedule_path(name, "/resume"), &()).await
    }

    /// Fires a schedule now, whatever its timetable says.
    pub async fn run_schedule(&self, name: &str) -> Result<Firing, ClientError> {
        self.send(Method::POST, &schedule_path(name, "/run"), &()).await
    }

    /// The next firings of a schedule.
    pub async fn preview_schedule(&self, name: &str, query: &PreviewQuery) -> Result<Preview, ClientError> {
        self.get_with(&schedule_path(name, "/preview"), query).await
    }

    /// Firings of a schedule, newest first.
    pub async fn list_firings(&self, name: &str, page: &PageQuery) -> Result<Page<Firing>, ClientError> {
        self.get_with(&schedule_path(name, "/firings"), page).await
    }
}

fn schedule_path(name: &str, rest: &str) -> String {
    format!("/api/v1/schedules/{}{rest}", segment(name))
}
