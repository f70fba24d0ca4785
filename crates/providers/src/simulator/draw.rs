//! Draws that depend on nothing but the seed and the request, and are the same on every machine and in every version.

use llmops_domain::chat::{ChatRequest, Role};

/// Odd constants with evenly spread bits: the fractional parts of the roots of 2, 3 and 5.
const STEP: u64 = 0x6a09_e667_f3bc_c909;
const LENGTH: u64 = 0xbb67_ae85_84ca_a73b;
const FINAL: u64 = 0x3c6e_f372_fe94_f82b;

/// What is drawn. Each purpose has its own stream, so that turning one knob leaves the others' draws alone.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    Fault = 1,
    Quality,
    Degradation,
    WrongAnswer,
    Latency,
    LatencyAngle,
    Opener,
    JudgeNoise,
    JudgePosition,
}

/// The identity of a request for the simulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestKey(u64);

impl RequestKey {
    /// Hashes the seed, model, messages (roles and texts), the `seed` parameter and the trial.
    pub fn new(seed: u64, request: &ChatRequest) -> Self {
        let mut state = fold(seed ^ STEP, FINAL);
        state = absorb(state, request.model.as_bytes());
        for message in &request.messages {
            let role = match message.role {
                Role::System | Role::Developer => 1,
                Role::User => 2,
                Role::Assistant => 3,
                Role::Tool => 4,
            };
            state = absorb(fold(state ^ role, STEP), message.as_text().as_bytes());
        }
        state = fold(state ^ request.parameters.seed.unwrap_or(0).cast_unsigned(), LENGTH);
        Self(fold(state ^ u64::from(request.origin.trial), FINAL))
    }

    /// An evenly drawn number in [0, 1).
    pub(super) fn unit(self, purpose: Purpose, attempt: u32) -> f64 {
        // The 53 highest bits are what a double holds exactly.
        (self.bits(purpose, attempt) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// An evenly drawn index below `count`, which must not be 0.
    pub(super) fn index(self, purpose: Purpose, count: usize) -> usize {
        usize::try_from(self.bits(purpose, 0) % count.max(1) as u64).unwrap_or(0)
    }

    /// The key as text, for ids.
    pub(super) fn hex(self) -> String {
        format!("{:016x}", self.0)
    }

    fn bits(self, purpose: Purpose, attempt: u32) -> u64 {
        let stream = (purpose as u64) << 32 | u64::from(attempt);
        fold(fold(self.0 ^ stream.wrapping_mul(STEP), LENGTH) ^ stream, FINAL)
    }
}

/// Evenly spread bits of a text.
pub(super) fn bits_of(text: &str) -> u64 {
    fold(absorb(STEP, text.as_bytes()), FINAL)
}

/// Multiplies to 128 bits and folds the halves: every bit of the input reaches every bit of the result.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    let low = product & u128::from(u64::MAX);
    u64::try_from((product >> 64) ^ low).unwrap_or(0)
}

fn absorb(mut state: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state = fold(state ^ u64::from_le_bytes(*word), STEP) ^ FINAL;
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    fold(state ^ u64::from_le_bytes(last), STEP) ^ (bytes.len() as u64).wrapping_mul(LENGTH)
}

#[cfg(test)]
mod tests {
    use llmops_domain::chat::Message;

    use super::*;
    use crate::test_support::user as request;

    #[test]
    fn the_key_never_changes() {
        // Recorded once: scripts and scores of users rest on these draws.
        insta::assert_snapshot!(RequestKey::new(7, &request("What is a refund?")).hex(), @"c0ef30b8b3bfafe0");
    }

    #[test]
    fn everything_that_is_asked_counts() {
        let base = RequestKey::new(1, &request("a"));
        assert_eq!(base, RequestKey::new(1, &request("a")));
        assert_ne!(base, RequestKey::new(2, &request("a")));
        assert_ne!(base, RequestKey::new(1, &request("a\0")));
        let mut other = request("a");
        other.messages.insert(0, Message::text(Role::System, ""));
        assert_ne!(base, RequestKey::new(1, &other));
        let mut other = request("a");
        other.origin.trial = 1;
        assert_ne!(base, RequestKey::new(1, &other));
    }

    #[test]
    fn draws_are_even_and_independent() {
        let n = 20_000;
        let (mut sum, mut both) = (0.0, 0);
        let mut tenths = [0_u32; 10];
        for i in 0..n {
            let key = RequestKey::new(3, &request(&i.to_string()));
            let (a, b) = (key.unit(Purpose::Quality, 0), key.unit(Purpose::Fault, 0));
            sum += a;
            both += u32::from(a < 0.5 && b < 0.5);
            let tenth = (1..10).take_while(|tenth| a >= f64::from(*tenth) / 10.0).count();
            tenths[tenth] += 1;
        }
        assert!((sum / f64::from(n) - 0.5).abs() < 0.01);
        assert!((f64::from(both) / f64::from(n) - 0.25).abs() < 0.015);
        assert!(tenths.iter().all(|t| (1800..2200).contains(t)), "{tenths:?}");
    }
}
