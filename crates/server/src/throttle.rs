//! Limits on attempts that failed: per address, and of all together.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Addresses that are kept apart. What comes beyond them shares the limit of all.
const MOST_ADDRESSES: usize = 10_000;
/// Where so many are kept, how often those are looked for that can be forgotten: not at every failure of a flood.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Counts failures per minute.
pub(crate) struct Throttle {
    per_address: f64,
    overall: f64,
    state: Mutex<State>,
}

struct State {
    addresses: HashMap<IpAddr, Bucket>,
    all: Bucket,
    /// When all addresses were looked at.
    looked: Option<Instant>,
}

/// Failures that are not forgotten yet: a minute forgets as many as a minute may have.
#[derive(Clone, Copy)]
struct Bucket {
    failures: f64,
    at: Instant,
}

impl Bucket {
    fn empty(at: Instant) -> Self {
        Self { failures: 0.0, at }
    }

    fn forget(&mut self, per_minute: f64, now: Instant) {
        let minutes = now.saturating_duration_since(self.at).as_secs_f64() / 60.0;
        *self = Self { failures: (self.failures - minutes * per_minute).max(0.0), at: now };
    }

    /// Seconds until another failure may happen; none: now.
    fn wait(self, per_minute: f64) -> Option<f64> {
        let excess = self.failures + 1.0 - per_minute;
        (excess > 0.0).then(|| excess / per_minute * 60.0)
    }
}

impl Throttle {
    /// So many failures a minute of one address, and of all.
    pub(crate) fn new(per_address: u32, overall: u32) -> Self {
        let state = State { addresses: HashMap::new(), all: Bucket::empty(Instant::now()), looked: None };
        Self { per_address: per_address.into(), overall: overall.into(), state: Mutex::new(state) }
    }

    /// Whether an attempt is allowed; else, for how many seconds not.
    pub(crate) fn check(&self, address: IpAddr) -> Result<(), u64> {
        self.check_at(address, Instant::now())
    }

    /// Counts a failure.
    pub(crate) fn count(&self, address: IpAddr) {
        self.count_at(address, Instant::now());
    }

    fn check_at(&self, address: IpAddr, now: Instant) -> Result<(), u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.all.forget(self.overall, now);
        let mut wait = state.all.wait(self.overall);
        if let Some(bucket) = state.addresses.get_mut(&network(address)) {
            bucket.forget(self.per_address, now);
            wait = bucket.wait(self.per_address).or(wait);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most a minute")]
        wait.map_or(Ok(()), |seconds| Err(seconds.ceil().max(1.0) as u64))
    }

    fn count_at(&self, address: IpAddr, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.all.forget(self.overall, now);
        state.all.failures += 1.0;
        if state.addresses.len() >= MOST_ADDRESSES {
            if state.looked.is_some_and(|at| now.saturating_duration_since(at) < BETWEEN_LOOKS) {
                return;
            }
            state.looked = Some(now);
            let per_address = self.per_address;
            state.addresses.retain(|_, bucket| {
                bucket.forget(per_address, now);
                bucket.failures > 0.0
            });
            if state.addresses.len() >= MOST_ADDRESSES {
                return;
            }
        }
        let bucket = state.addresses.entry(network(address)).or_insert_with(|| Bucket::empty(now));
        bucket.forget(self.per_address, now);
        bucket.failures += 1.0;
    }
}

/// One customer of IPv6 has 2^64 addresses: they count as one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn failures_of_an_address_are_limited_and_forgotten() {
        let (throttle, start) = (Throttle::new(3, 100), Instant::now());
        for _ in 0..3 {
            assert_eq!(throttle.check_at(ip("192.0.2.1"), start), Ok(()));
            throttle.count_at(ip("192.0.2.1"), start);
        }
        assert_eq!(throttle.check_at(ip("192.0.2.1"), start), Err(20), "a third of a minute forgets one of three");
        assert_eq!(throttle.check_at(ip("192.0.2.2"), start), Ok(()), "another address is another one");
        assert_eq!(throttle.check_at(ip("192.0.2.1"), start + Duration::from_secs(20)), Ok(()));
    }

    #[test]
    fn failures_of_many_addresses_are_limited_together() {
        let (throttle, start) = (Throttle::new(3, 5), Instant::now());
        for last in 0..5 {
            throttle.count_at(ip(&format!("192.0.2.{last}")), start);
        }
        assert!(throttle.check_at(ip("198.51.100.1"), start).is_err());
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let (throttle, start) = (Throttle::new(1, 100), Instant::now());
        throttle.count_at(ip("2001:db8::1"), start);
        assert!(throttle.check_at(ip("2001:db8::2"), start).is_err());
        assert!(throttle.check_at(ip("2001:db8:0:1::1"), start).is_ok());
    }

    #[test]
    fn a_flood_of_addresses_does_not_fill_the_memory() {
        let (throttle, start) = (Throttle::new(1, u32::MAX), Instant::now());
        for bits in 0..20_000_u32 {
            throttle.count_at(IpAddr::V4(bits.into()), start);
        }
        assert_eq!(throttle.state.lock().unwrap().addresses.len(), MOST_ADDRESSES);
        let (later, newcomer) = (start + Duration::from_mins(2), IpAddr::V4(u32::MAX.into()));
        throttle.count_at(newcomer, later);
        assert_eq!(throttle.state.lock().unwrap().addresses.len(), 1, "the others are forgotten");
    }
}
