//! What of the configuration may change while the process runs.
//!
//! Options and providers are one immutable picture. Whoever begins a piece of work, a request, a job, a look at the alerts,
//! takes the present one and keeps it to the end, so that nothing changes in the middle.

use std::sync::Arc;

use arc_swap::ArcSwap;
use llmops_providers::Providers;
use llmops_providers::outbound::Outbound;

use crate::{LlmOps, Options, Services};

/// The picture.
#[derive(Clone)]
pub(crate) struct Configured {
    pub(crate) options: Arc<Options>,
    pub(crate) providers: Arc<Providers>,
    /// For requests whose address users choose.
    pub(crate) outbound: Outbound,
}

impl Configured {
    pub(crate) fn new(options: Arc<Options>, providers: Providers) -> Self {
        let outbound = Outbound::new(options.outbound.allow.clone());
        Self { options, providers: Arc::new(providers), outbound }
    }
}

impl Services {
    /// The same services with the configuration of this moment.
    pub(crate) fn current(self: &Arc<Self>) -> Arc<Self> {
        let present = self.configured.load();
        if Arc::ptr_eq(&present.options, &self.options) {
            return self.clone();
        }
        let Configured { options, providers, outbound } = (**present).clone();
        Arc::new(Self { providers, outbound, options, ..(**self).clone() })
    }
}

/// Where the picture is kept.
pub(crate) type Swap = Arc<ArcSwap<Configured>>;

impl LlmOps {
    /// Lets everything that begins from now on use other options and providers. What queue, lease, patience and embedding models
    /// are stays as it was when the process began. Work under way ends with what it began with.
    pub fn reconfigure(&self, options: Options, providers: Providers) {
        let before = self.services.configured.load().options.clone();
        let options = Options {
            queue: before.queue.clone(),
            lease: before.lease,
            patience: before.patience,
            models: before.models.clone(),
            telemetry: before.telemetry.clone(),
            ..options
        };
        self.services.configured.store(Arc::new(Configured::new(Arc::new(options), providers)));
    }

    /// The same project with the configuration of this moment.
    #[must_use]
    pub fn current(&self) -> Self {
        Self { services: self.services.current(), project: self.project.clone() }
    }
}
