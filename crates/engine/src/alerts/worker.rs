//! The background task: reviews runs that nobody reviewed and experiments whose time has come, tells of what a silence held
//! back, puts messages together, delivers them.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use llmops_domain::alert::next_attempt;
use llmops_domain::config::channels::ChannelConfig;
use llmops_storage::{Attempted, Compose, LeasedDelivery};
use tokio::task::JoinSet;

use super::{AlertManager, give_up_at, message_id, review, send};
use crate::{Error, Services};

/// Longest time between two looks at the store.
const POLL: Duration = Duration::from_millis(500);
/// How long a delivery may take before it counts as lost. Longer than any channel's timeout is waited for.
const LEASE: Duration = Duration::from_mins(2);
/// Deliveries at a time.
const DELIVERIES: usize = 8;
/// Time between two looks at the partitions.
const PARTS_EVERY: Duration = Duration::from_mins(10);

/// The background task of alerts. Any number of processes may run one on the same store.
#[derive(Debug)]
pub struct AlertWorker {
    services: Arc<Services>,
    parts_made: Option<Timestamp>,
    deliveries: JoinSet<()>,
}

impl AlertWorker {
    pub(crate) fn new(services: Arc<Services>) -> Self {
        Self { services, parts_made: None, deliveries: JoinSet::new() }
    }

    /// Works until `stop` resolves; deliveries that are on their way then are awaited.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut is_failing = false;
        loop {
            match self.step().await {
                Ok(()) => is_failing = false,
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(%error, "alerts are held up; trying again");
                    }
                }
            }
            let services = self.services.clone();
            tokio::select! {
                () = &mut stop => break,
                () = services.alerts_due.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
        while self.deliveries.join_next().await.is_some() {}
    }

    /// Does what is due now and waits until it is done: for tests, and for whoever has a timer of their own.
    pub async fn run_once(&mut self) -> Result<(), Error> {
        self.step().await?;
        while self.deliveries.join_next().await.is_some() {}
        Ok(())
    }

    async fn step(&mut self) -> Result<(), Error> {
        self.services = self.services.current();
        while review::review_claimed(&self.services, None).await? {}
        crate::experiments::review_due(&self.services).await?;
        self.tell_held().await?;
        self.compose().await?;
        self.deliver().await?;
        self.make_parts().await
    }

    async fn tell_held(&self) -> Result<(), Error> {
        for project in self.services.store.projects_with_held_alerts(self.services.clock.now()).await? {
            AlertManager::new(self.services.clone(), project).tell_held().await?;
        }
        Ok(())
    }

    async fn compose(&self) -> Result<(), Error> {
        let Services { store, clock, options, .. } = &*self.services;
        for (project, channel) in store.channels_with_notices().await? {
            let now = clock.now();
            let id = message_id(&self.services, now);
            let interval = options.alerts.rules.group_interval.0;
            let give_up_at = give_up_at(now);
            let each = matches!(options.alerts.channels.get(&channel), Some(ChannelConfig::Pagerduty(_)));
            let compose = Compose { project: &project, channel: &channel, id: &id, each, interval, now, give_up_at };
            store.compose_delivery(compose).await?;
        }
        Ok(())
    }

    async fn deliver(&mut self) -> Result<(), Error> {
        while self.deliveries.try_join_next().is_some() {}
        while self.deliveries.len() < DELIVERIES {
            let Services { store, clock, owner, .. } = &*self.services;
            let Some(leased) = store.claim_delivery(owner, LEASE, clock.now()).await? else { break };
            self.deliveries.spawn(attempt(self.services.clone(), leased));
        }
        Ok(())
    }

    /// Makes the partitions that observations will need.
    async fn make_parts(&mut self) -> Result<(), Error> {
        let now = self.services.clock.now();
        if self.parts_made.is_some_and(|made| now.duration_since(made).unsigned_abs() < PARTS_EVERY) {
            return Ok(());
        }
        self.parts_made = Some(now);
        self.services.store.make_observation_parts(now).await?;
        Ok(())
    }
}

/// Sends a leased message and stores how that ended.
async fn attempt(services: Arc<Services>, leased: LeasedDelivery) {
    let delivery = &leased.delivery;
    // The lease must outlive the attempt, whatever the channel's timeout.
    let sending = send::send_leased(&services, &leased);
    let sent = tokio::time::timeout(LEASE * 3 / 4, sending).await.unwrap_or_else(|_| Err(send::SendError::timeout()));
    let now = services.clock.now();
    let attempted = match sent {
        Ok(()) => Attempted::Delivered,
        Err(error) if error.is_final => Attempted::Dead { error: error.message },
        Err(error) => {
            let random = services.clock.random();
            match next_attempt(delivery.attempt, error.retry_after, random, now, delivery.give_up_at) {
                Some(at) => Attempted::Again { at, error: error.message },
                None => Attempted::Dead { error: error.message },
            }
        }
    };
    match &attempted {
        Attempted::Delivered => tracing::debug!(delivery = delivery.id, channel = delivery.channel, "delivered"),
        Attempted::Again { at, error } => {
            tracing::info!(delivery = delivery.id, channel = delivery.channel, error, %at, "not delivered; trying again");
        }
        Attempted::Dead { error } => {
            tracing::warn!(
                delivery = delivery.id,
                channel = delivery.channel,
                error,
                "given up: llmops alert replay sends it anew"
            );
        }
    }
    if let Err(error) = services.store.finish_delivery(&leased, &attempted, now).await {
        // Its lease ends, and it is sent again: at least once is what was promised.
        tracing::warn!(delivery = delivery.id, %error, "cannot store how a delivery ended");
    }
}
