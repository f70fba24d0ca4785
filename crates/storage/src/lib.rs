//! Repositories over SQLite and PostgreSQL.
//!
//! One query text and one list of values serve both dialects (see the macros in `db`); the dialects differ in their
//! migrations, in how they lock, and nowhere else. Ids are text, times are microseconds since 1970 in UTC, documents are
//! JSON text, and every table carries its project.
//!
//! A [`Store`] is cheap to clone. Nothing that it hands out is large: whatever can grow comes in pages.

mod access;
mod added_samples;
mod alerts;
mod applied;
mod audit;
mod backup;
mod bulk;
mod cache;
mod calibrations;
mod canaries;
mod datasets;
mod db;
mod deliveries;
mod deployments;
mod distribution;
mod erasures;
mod error;
mod events;
mod experiment_units;
mod experiments;
mod feedback;
mod idempotency;
mod import;
mod incidents;
mod jobs;
mod manifests;
mod migrate;
mod model_scores;
mod news;
#[cfg(target_os = "linux")]
mod nodelay;
pub mod observations;
mod overview;
mod partitions;
mod portable;
#[cfg(target_os = "linux")]
mod priority;
mod prompts;
mod questions;
mod records;
mod releases;
mod results;
mod retention;
mod review;
mod runs;
mod schedules;
mod shadow_pairs;
mod shards;
mod spending;
mod stats;
mod status;
mod store;
mod traffic;
mod write_check;
mod writer;

pub use access::{SecretHash, StoredKey};
pub use alerts::{PendingReview, Raise, Raised, Route};
pub use audit::{AuditFilter, Change};
pub use backup::{Backup, check_backup};
pub use canaries::{CanaryStep, CanarySums};
pub use datasets::{StoredVersion, VersionKey, VersionSelector};
pub use deliveries::{Attempted, Compose, LeasedDelivery};
pub use error::StoreError;
pub use events::EventNews;
pub use experiment_units::{ExposureCount, StoredUnit};
pub use experiments::{ExperimentKey, StoredExperiment};
pub use feedback::StoredFeedback;
pub use idempotency::{Claim, KeptAnswer, KeyedRequest};
pub use import::{Import, Replaces};
pub use incidents::{CallsOf, HourOfCalls};
pub use jobs::{JobCounts, TakenJob};
pub use migrate::Plan;
pub use news::News;
pub use overview::RunCounts;
pub use portable::{Export, Restore, Table};
pub use prompts::{Activation, CreatedPrompt};
pub use records::{Pace, RecordRow};
pub use results::{Measured, PairedPage, PairedSample, ResultCursor, ResultFilter, ResultOrder, Side};
pub use retention::{AGING, AgingKind};
pub use runs::{RunKey, StatusChange};
pub use schedules::{FiringRow, ScheduleRow};
pub use shadow_pairs::{PairFilter, Settled};
pub use shards::{Lease, Shard, ShardSummary};
pub use spending::MinuteCalls;
pub use stats::{StoreStats, stats};
pub use status::StoreStatus;
pub use store::{CacheLimits, Store, StoreOptions};
pub use traffic::{Spent, StoredHour};
pub use writer::ResultWriter;

/// Lets others go first from now on, in the thread that calls: for work that nobody waits for. Threads have priorities on
/// Linux alone; elsewhere nothing happens.
///
/// ```
/// std::thread::spawn(llmops_storage::yield_this_thread).join().expect("nothing panics");
/// ```
pub fn yield_this_thread() {
    #[cfg(target_os = "linux")]
    priority::lower_this();
}
