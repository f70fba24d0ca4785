//! The time that a process goes by: the machine's, or one that began elsewhere.

use std::sync::OnceLock;

use jiff::{SignedDuration, Timestamp};

/// What the machine's clock lacks or has too much.
static OFFSET: OnceLock<SignedDuration> = OnceLock::new();

/// The present time of this process. All times that are stored or compared with stored ones come from here.
///
/// ```
/// let before = llmops_domain::clock::now();
/// assert!(llmops_domain::clock::now() >= before);
/// ```
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
pub fn now() -> Timestamp {
    let machine = Timestamp::now();
    match OFFSET.get() {
        Some(offset) => machine.checked_add(*offset).unwrap_or(machine),
        None => machine,
    }
}

/// Lets this process begin at `time` and go on from there. It works once, before anything has asked for the time.
///
/// Returns whether it took effect; a second call does not.
#[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
pub fn begin_at(time: Timestamp) -> bool {
    OFFSET.set(time.duration_since(Timestamp::now())).is_ok()
}
