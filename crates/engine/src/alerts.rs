//! `AlertManager`: what is wrong, who is told of it, and how often.
//!
//! Every completed run is reviewed once, whichever process completed it ([`review`]). What is raised is stored together
//! with the notices for the channels; a background task ([`worker`]) puts notices together into messages and delivers
//! them, so that a process that dies loses nothing.

mod drift;
mod review;
mod send;
mod sign;
mod worker;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use llmops_domain::alert::{
    Alert, AlertAction, AlertDraft, AlertFilter, AlertType, Delivery, DeliveryStatus, GIVE_UP_AFTER, Matcher, Notice,
    NoticeAlert, Severity, Silence,
};
use llmops_domain::config::channels::ChannelConfig;
use llmops_domain::config::{AlertsConfig, Config};
use llmops_domain::event::{Event, EventFilter, EventType};
use llmops_domain::hash::ContentHash;
use llmops_domain::id::{AlertId, ProjectId, sortable};
use llmops_storage::{Raise, Route};

pub use llmops_storage::Raised;

use crate::{Error, Services};

pub(crate) use review::review_run;
pub use worker::AlertWorker;

/// Longest that a silence may last: who wants more wants another rule.
const LONGEST_SILENCE: Duration = Duration::from_hours(8784);

/// What raises alerts and who is told.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertOptions {
    /// The rules.
    pub rules: AlertsConfig,
    /// Minima by name: `pass_rate`, `overall`, a metric's or a category's name.
    pub thresholds: BTreeMap<String, f64>,
    /// The minimum of a category's rolling mean, where the rules name none.
    pub category_min: f64,
    /// Least time between two notifications of one topic.
    pub cooldown: Duration,
    /// Who is told, by name.
    pub channels: IndexMap<String, ChannelConfig>,
    /// Variables that channels name and that are not set: nothing can be sent there.
    pub unset: BTreeMap<String, Vec<String>>,
    /// Where programs are run.
    pub folder: PathBuf,
}

impl AlertOptions {
    /// The options of a configuration that stands in `folder`.
    pub fn new(config: &Config, folder: impl Into<PathBuf>) -> Self {
        Self {
            rules: config.alerts.clone(),
            thresholds: config.operations.alert_thresholds.clone(),
            category_min: config.gate.category_min,
            cooldown: config.operations.alert_cooldown.0,
            channels: config.channels.clone(),
            unset: config.unset_channels.clone(),
            folder: folder.into(),
        }
    }

    /// The channels that are told of a project's alerts, in their order.
    fn channels_of(&self, project: &ProjectId) -> impl Iterator<Item = (&String, &ChannelConfig)> {
        self.channels.iter().filter(move |(_, channel)| channel.wants().admit_project(project.as_str()))
    }
}

impl Default for AlertOptions {
    fn default() -> Self {
        Self::new(&Config::default(), ".")
    }
}

/// Manages alerts: create, list, acknowledge, resolve, silence, subscribe.
#[derive(Debug, Clone)]
pub struct AlertManager {
    services: Arc<Services>,
    project: ProjectId,
}

/// How a test message fared.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelTest {
    /// The channel.
    pub channel: String,
    /// Its kind.
    pub kind: &'static str,
    /// Why it failed, where it did.
    pub error: Option<String>,
}

/// Calls back until it is dropped.
#[derive(Debug)]
pub struct AlertSubscription(tokio::task::JoinHandle<()>);

impl Drop for AlertSubscription {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl AlertManager {
    pub(crate) fn new(services: Arc<Services>, project: ProjectId) -> Self {
        Self { services, project }
    }

    /// Raises an alert, or counts it on the open alert of its cause.
    pub async fn create(&self, draft: AlertDraft) -> Result<Raised, Error> {
        let mut raised = self.create_all(vec![draft]).await?;
        raised.pop().ok_or_else(|| Error::Internal("an alert was raised and is not there".to_owned()))
    }

    /// Raises several alerts at once.
    pub async fn create_all(&self, drafts: Vec<AlertDraft>) -> Result<Vec<Raised>, Error> {
        for draft in &drafts {
            check(draft)?;
        }
        let clock = &self.services.clock;
        let now = clock.now();
        let drafts =
            drafts.into_iter().map(|draft| (AlertId::new(now.as_millisecond(), clock.random()), draft)).collect();
        let options = &self.services.options.alerts;
        let routes = self.routes();
        let raise = Raise { drafts, routes: &routes, cooldown: options.cooldown, now };
        let raised = self.services.store.raise_alerts(&self.project, raise).await?;
        self.services.alerts_due.notify_one();
        Ok(raised)
    }

    /// Where this project's alerts go.
    fn routes(&self) -> Vec<Route> {
        let route = |(name, channel): (&String, &ChannelConfig)| Route {
            channel: name.clone(),
            wants: channel.wants().clone(),
        };
        self.services.options.alerts.channels_of(&self.project).map(route).collect()
    }

    /// Alerts, newest first.
    pub async fn list(&self, filter: &AlertFilter) -> Result<Vec<Alert>, Error> {
        Ok(self.services.store.list_alerts(&self.project, filter).await?)
    }

    /// One alert, by its id or a beginning of it that fits no other.
    pub async fn get(&self, id: &str) -> Result<Alert, Error> {
        Ok(self.services.store.get_alert(&self.project, id).await?)
    }

    /// Marks an alert as seen: channels hear no more of it unless it becomes more severe.
    pub async fn acknowledge(&self, id: &str) -> Result<Alert, Error> {
        let alert = self.get(id).await?;
        let now = self.services.clock.now();
        Ok(self.services.store.acknowledge_alert(&self.project, &alert.id, now).await?)
    }

    /// Resolves an alert, and tells the channels that were told of it.
    pub async fn resolve(&self, id: &str) -> Result<Alert, Error> {
        let alert = self.get(id).await?;
        self.resolve_known(&alert.id).await
    }

    /// What an alert was about is well again: resolves the open alert of the draft's cause, where there is one.
    pub async fn recovered(&self, draft: &AlertDraft) -> Result<Option<Alert>, Error> {
        let open = self.services.store.open_alerts(&self.project, &draft.keys.scope).await?;
        match open.into_iter().find(|alert| alert.fingerprint == draft.keys.fingerprint) {
            Some(alert) => Ok(Some(self.resolve_known(&alert.id).await?)),
            None => Ok(None),
        }
    }

    /// Resolves the open alerts of a scope whose causes are well again.
    pub(crate) async fn resolve_causes(&self, scope: &ContentHash, causes: &[ContentHash]) -> Result<(), Error> {
        if causes.is_empty() {
            return Ok(());
        }
        let open = self.services.store.open_alerts(&self.project, scope).await?;
        let well = open.into_iter().filter(|alert| causes.contains(&alert.fingerprint)).map(|alert| alert.id);
        let well: Vec<AlertId> = well.collect();
        if !well.is_empty() {
            self.resolve_all(&well).await?;
        }
        Ok(())
    }

    async fn resolve_known(&self, id: &AlertId) -> Result<Alert, Error> {
        let resolved = self.resolve_all(std::slice::from_ref(id)).await?.pop();
        resolved.ok_or_else(|| Error::Internal("an alert was resolved and is not there".to_owned()))
    }

    pub(crate) async fn resolve_all(&self, ids: &[AlertId]) -> Result<Vec<Alert>, Error> {
        let now = self.services.clock.now();
        let resolved = self.services.store.resolve_alerts(&self.project, ids, &self.routes(), now).await?;
        self.services.alerts_due.notify_one();
        Ok(resolved)
    }

    /// Silences what fits the matcher until `ends_at`: it is kept, and no channel is told. Of what is open then, they are.
    pub async fn silence(&self, matcher: Matcher, ends_at: Timestamp, comment: &str) -> Result<Silence, Error> {
        let clock = &self.services.clock;
        let now = clock.now();
        if ends_at <= now {
            return Err(Error::invalid(format!("the silence ends at {ends_at}, which is in the past")));
        }
        if ends_at.duration_since(now).unsigned_abs() > LONGEST_SILENCE {
            return Err(Error::invalid("a silence lasts a year at most").with_hint("change the rule instead"));
        }
        let silence = Silence {
            id: format!("silence_{}", sortable(now.as_millisecond(), clock.random())),
            matcher,
            starts_at: now,
            ends_at,
            comment: comment.to_owned(),
            created_at: now,
        };
        self.services.store.put_silence(&self.project, &silence).await?;
        Ok(silence)
    }

    /// The silences that have not ended.
    pub async fn silences(&self) -> Result<Vec<Silence>, Error> {
        Ok(self.services.store.list_silences(&self.project, self.services.clock.now()).await?)
    }

    /// Ends a silence. Channels are told of what it held back and is still open.
    pub async fn end_silence(&self, id: &str) -> Result<(), Error> {
        self.services.store.delete_silence(&self.project, id).await?;
        self.services.alerts_due.notify_one();
        Ok(())
    }

    /// Tells of alerts that a silence held back and that are still open now that it is over.
    async fn tell_held(&self) -> Result<(), Error> {
        let Services { store, clock, options, .. } = &*self.services;
        let cooldown = options.alerts.cooldown;
        for alert in store.tell_held_alerts(&self.project, &self.routes(), cooldown, clock.now()).await? {
            tracing::info!(alert = %alert.id, "a silence is over, and the alert is still open: channels are told");
        }
        Ok(())
    }

    /// Calls back with every alert that is raised, acknowledged or resolved from now on, by whichever process, until the
    /// answer is dropped.
    pub async fn subscribe<F>(&self, mut callback: F) -> Result<AlertSubscription, Error>
    where
        F: FnMut(AlertAction, Alert) + Send + 'static,
    {
        let filter: EventFilter = [EventType::Alert].into_iter().collect();
        let mut events = self.services.events.subscribe(&self.project, None, filter).await?;
        Ok(AlertSubscription(tokio::spawn(async move {
            loop {
                match events.next().await {
                    Ok(Some(event)) => {
                        if let Event::Alert { action, alert } = event.event {
                            callback(action, *alert);
                        }
                    }
                    Ok(None) => return,
                    Err(error) => {
                        tracing::warn!(%error, "cannot read alerts; trying again");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        })))
    }

    /// The channels that are told of this project's alerts.
    /// With each come the environment variables that it needs and that are not set.
    pub fn channels(&self) -> Vec<(&str, &ChannelConfig, &[String])> {
        let options = &self.services.options.alerts;
        let unset = |name: &str| options.unset.get(name).map(Vec::as_slice).unwrap_or_default();
        options.channels_of(&self.project).map(|(name, channel)| (name.as_str(), channel, unset(name))).collect()
    }

    /// Sends a test message through every channel, or the one that is named, and tells how each fared.
    pub async fn test(&self, only: Option<&str>) -> Result<Vec<ChannelTest>, Error> {
        let channels: Vec<_> =
            self.channels().into_iter().filter(|(name, ..)| only.is_none_or(|only| only == *name)).collect();
        if let Some(only) = only.filter(|_| channels.is_empty()) {
            return Err(no_channel(only));
        }
        let now = self.services.clock.now();
        let tests = channels.into_iter().map(async |(name, channel, _)| {
            // One of its own for each: where several channels lead to one receiver, it would take the second for the first again.
            let id = message_id(&self.services, now);
            let sent = send::send(&self.services, name, &id, &self.test_notice(now)).await;
            ChannelTest { channel: name.to_owned(), kind: channel.kind(), error: sent.err().map(|e| e.message) }
        });
        Ok(futures::future::join_all(tests).await)
    }

    fn test_notice(&self, now: Timestamp) -> Notice {
        let message = "This is a test. If you read it, alerts reach you.";
        let draft = AlertDraft::new(AlertType::Regression, Severity::Info, "test", message);
        let alert = draft.into_alert(AlertId(format!("alert_{}", sortable(now.as_millisecond(), 0))), now);
        let alerts = vec![NoticeAlert { action: AlertAction::Raised, alert }];
        let counts = BTreeMap::from([(Severity::Info, 1)]);
        Notice { kind: "alert.test".to_owned(), ..Notice::new(self.project.as_str(), alerts, counts, now) }
    }

    /// Messages to channels, newest first.
    pub async fn deliveries(
        &self,
        status: Option<DeliveryStatus>,
        channel: Option<&str>,
        page: (Option<&str>, u32),
    ) -> Result<Vec<Delivery>, Error> {
        Ok(self.services.store.list_deliveries(&self.project, status, channel, page).await?)
    }

    /// Sends a message anew: one that was given up, or that is delivered already.
    pub async fn replay(&self, id: &str) -> Result<Delivery, Error> {
        let now = self.services.clock.now();
        let replayed = self.services.store.replay_delivery(&self.project, id, now, give_up_at(now)).await?;
        self.services.alerts_due.notify_one();
        Ok(replayed)
    }
}

/// No channel of this name is told of the project's alerts.
pub(crate) fn no_channel(name: &str) -> Error {
    Error::not_found("channel", name).with_hint(
        "the section `channels` of the server's llmops.yaml names them, and with `projects` whose alerts they get",
    )
}

/// Sends a report to a channel, once: who asked for it hears at once whether it arrived.
pub(crate) async fn send_report(services: &Services, channel: &str, body: &serde_json::Value) -> Result<(), String> {
    let id = message_id(services, services.clock.now());
    let body = body.to_string().into_bytes();
    send::send_body(services, channel, &id, body).await.map_err(|error| error.message)
}

/// A new id of a message to a channel.
fn message_id(services: &Services, now: Timestamp) -> String {
    format!("msg_{}", sortable(now.as_millisecond(), services.clock.random()))
}

fn give_up_at(now: Timestamp) -> Timestamp {
    now.checked_add(jiff::SignedDuration::try_from(GIVE_UP_AFTER).unwrap_or_default()).unwrap_or(Timestamp::MAX)
}

/// Refuses what no alert can be.
fn check(draft: &AlertDraft) -> Result<(), Error> {
    if draft.message.trim().is_empty() || draft.source.trim().is_empty() {
        return Err(Error::invalid("an alert needs a message and a source"));
    }
    let texts = [
        ("message", Some(&draft.message), 4000),
        ("source", Some(&draft.source), 200),
        ("source_id", draft.source_id.as_ref(), 400),
        ("metric", draft.metric.as_ref(), 400),
    ];
    for (name, text, most) in texts {
        if let Some(length) = text.map(|text| text.chars().count()).filter(|length| *length > most) {
            return Err(Error::invalid(format!("{name} has {length} characters: {most} at most")));
        }
    }
    let numbers = [draft.threshold, draft.actual_value];
    if numbers.into_iter().flatten().any(|number| !number.is_finite()) {
        return Err(Error::invalid("threshold and actual_value must be finite numbers"));
    }
    Ok(())
}
