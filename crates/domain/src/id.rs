//! Identifiers. They sort by the time they were made and read well in a shell: `run_01k9zq3v7wj5x8m2`.

use serde::{Deserialize, Serialize};

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Writes 48 bits of milliseconds and 40 bits of randomness in Crockford's base 32 (18 characters).
pub fn sortable(unix_millis: i64, random: u64) -> String {
    prefixed("", unix_millis, random)
}

/// An id of a request record: `req_` and [`sortable`].
pub fn request(unix_millis: i64, random: u64) -> String {
    prefixed("req_", unix_millis, random)
}

/// When an id was made, in milliseconds since 1970: what [`sortable`] wrote into it, behind the last `_`. Absent: it is no such id.
pub fn millis_of(id: &str) -> Option<i64> {
    let written = id.rsplit('_').next().filter(|written| written.len() == 18)?;
    let digit = |byte: u8| ALPHABET.iter().position(|known| *known == byte);
    let bits = written.bytes().try_fold(0_u128, |bits, byte| Some((bits << 5) | digit(byte)? as u128))?;
    i64::try_from(bits >> 40).ok()
}

fn prefixed(prefix: &str, unix_millis: i64, random: u64) -> String {
    let time = u128::try_from(unix_millis.max(0)).unwrap_or(0) & 0xFFFF_FFFF_FFFF;
    let bits = (time << 40) | u128::from(random & 0xFF_FFFF_FFFF);
    let mut id = String::with_capacity(prefix.len() + 18);
    id.push_str(prefix);
    // 88 bits in 18 characters of 5 bits; the first carries the three highest.
    for i in (0..18).rev() {
        let digit = usize::try_from((bits >> (5 * i)) & 31).unwrap_or(0);
        id.push(char::from(ALPHABET[digit]));
    }
    id
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = String)]
        pub struct $name(pub String);

        impl $name {
            /// Makes an id from the time and 40 random bits.
            pub fn new(unix_millis: i64, random: u64) -> Self {
                Self(format!(concat!($prefix, "_{}"), sortable(unix_millis, random)))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    };
}

id!(
    /// A project: the tenant that every row belongs to.
    ProjectId,
    "project"
);
id!(
    /// An evaluation run.
    RunId,
    "run"
);
id!(
    /// A dataset (all versions of one name).
    DatasetId,
    "dataset"
);
id!(
    /// An alert.
    AlertId,
    "alert"
);

id!(
    /// An experiment.
    ExperimentId,
    "exp"
);

id!(
    /// A question about an experiment.
    QuestionId,
    "question"
);

id!(
    /// A candidate manifest on live traffic.
    CanaryId,
    "canary"
);

id!(
    /// A judge compared with people.
    CalibrationId,
    "calibration"
);

id!(
    /// A key of the API.
    KeyId,
    "key"
);

id!(
    /// Feedback on an answer.
    FeedbackId,
    "fb"
);

id!(
    /// An item of the review queue.
    ReviewId,
    "review"
);

id!(
    /// An incident.
    IncidentId,
    "inc"
);

id!(
    /// A release: a manifest on its way to production.
    ReleaseId,
    "rel"
);

id!(
    /// A promotion that waits for a second key.
    ApprovalId,
    "approval"
);

impl ProjectId {
    /// The project of an installation that never made another.
    pub fn default_project() -> Self {
        Self("default".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time() {
        let early = RunId::new(1_700_000_000_000, u64::MAX);
        let late = RunId::new(1_700_000_000_001, 0);
        assert!(early < late);
        assert_eq!(early.0.len(), "run_".len() + 18);
    }
}
