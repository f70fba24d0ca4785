//! Requests, counted by route.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use llmops_domain::meter::{FAST, Gauge, Histogram};

/// Statuses that a route counts apart; those beyond count as the last one.
const STATUSES: usize = 24;
/// What stands for the route of requests that none fits.
pub(crate) const NO_ROUTE: &str = "none";

/// Requests to one route with one method.
#[derive(Debug)]
pub(crate) struct RouteMeter {
    /// A place belongs to the status that first took it.
    statuses: [(AtomicU16, AtomicU64); STATUSES],
    /// How long until the answer began.
    pub(super) seconds: Histogram,
}

impl RouteMeter {
    fn new() -> Self {
        Self { statuses: Default::default(), seconds: Histogram::new(FAST) }
    }

    /// Counts an answer. Takes no lock.
    pub(crate) fn note(&self, status: StatusCode, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
        let status = status.as_u16();
        let free = |place: &AtomicU16| {
            place
                .compare_exchange(0, status, Ordering::Relaxed, Ordering::Relaxed)
                .map_or_else(|held| held == status, |_| true)
        };
        let place = self.statuses.iter().find(|(place, _)| place.load(Ordering::Relaxed) == status || free(place));
        if let Some((_, count)) = place.or(self.statuses.last()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Answers by their status.
    pub(super) fn statuses(&self) -> impl Iterator<Item = (u16, u64)> {
        let read =
            |(status, count): &(AtomicU16, AtomicU64)| (status.load(Ordering::Relaxed), count.load(Ordering::Relaxed));
        self.statuses.iter().map(read).filter(|(status, _)| *status > 0)
    }
}

/// Requests of the process, by route template and method: as many series as there are routes, whatever is asked for.
#[derive(Debug, Default)]
pub(crate) struct HttpMeters {
    routes: RwLock<BTreeMap<(String, &'static str), Arc<RouteMeter>>>,
    /// Requests whose answer has not begun.
    pub(crate) in_flight: Gauge,
}

static METERS: std::sync::LazyLock<HttpMeters> = std::sync::LazyLock::new(HttpMeters::default);

/// Those of this process.
pub(crate) fn meters() -> &'static HttpMeters {
    &METERS
}

impl HttpMeters {
    /// The meter of a route. Whoever has many requests keeps it.
    pub(crate) fn route(&self, route: &str, method: &Method) -> Arc<RouteMeter> {
        let key = (route.to_owned(), known(method));
        if let Some(meter) = self.routes.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return meter.clone();
        }
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        routes.entry(key).or_insert_with(|| Arc::new(RouteMeter::new())).clone()
    }

    /// Shows every route and method.
    pub(super) fn each(&self, mut show: impl FnMut(&str, &str, &RouteMeter)) {
        for ((route, method), meter) in self.routes.read().unwrap_or_else(PoisonError::into_inner).iter() {
            show(route, method, meter);
        }
    }
}

/// Methods of the caller's invention have no series of their own.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_route_method_and_status() {
        let meters = HttpMeters::default();
        for (method, status) in [("GET", 200), ("GET", 200), ("GET", 404), ("BREW", 405)] {
            let method: Method = method.parse().unwrap();
            meters.route("/x/{id}", &method).note(StatusCode::from_u16(status).unwrap(), Duration::from_millis(2));
        }
        let mut seen = Vec::new();
        meters.each(|route, method, meter| {
            seen.push((route.to_owned(), method.to_owned(), meter.statuses().collect::<Vec<_>>()));
        });
        let route = || "/x/{id}".to_owned();
        assert_eq!(
            seen,
            [(route(), "GET".to_owned(), vec![(200, 2), (404, 1)]), (route(), "OTHER".to_owned(), vec![(405, 1)])]
        );
    }

    #[test]
    fn a_route_with_very_many_statuses_loses_no_answer() {
        let meter = RouteMeter::new();
        for status in 200..300 {
            meter.note(StatusCode::from_u16(status).unwrap(), Duration::ZERO);
        }
        assert_eq!(meter.statuses().map(|(_, count)| count).sum::<u64>(), 100);
    }
}
