//! The families: name, kind, labels, what they say, and how they are read.

use llmops::CallSeries;
use llmops_domain::meter::Histogram;

use super::Sources;
use super::http;
use super::text::Exposition;

/// What a family's numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, until the process begins anew.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Counts by ranges.
    Histogram,
}

/// A family of metrics. Names and labels are stable.
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What its numbers are.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
    pub(super) read: fn(&Sources, &mut Exposition),
}

impl std::fmt::Debug for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Family").field("name", &self.name).finish_non_exhaustive()
    }
}

macro_rules! families {
    ($($kind:ident $name:literal $labels:tt $help:literal $read:expr;)+) => {
        /// Everything that the process tells, in the order of the answer.
        pub const FAMILIES: &[Family] = &[
            $(Family { name: $name, kind: Kind::$kind, labels: &$labels, help: $help, read: $read }),+
        ];
    };
}

families! {
    Gauge "llmops_build_info" ["version"] "1; the label is the version of llmops."
        |_, out| out.sample(&[env!("CARGO_PKG_VERSION")], 1.0);
    Gauge "llmops_uptime_seconds" [] "Seconds since the process began."
        |s, out| out.sample(&[], s.process.uptime);
    Gauge "process_start_time_seconds" [] "When the process began, in seconds since 1970."
        |s, out| out.sample(&[], s.process.started);
    Gauge "process_resident_memory_bytes" [] "Memory that the process holds."
        |s, out| plain(s.process.resident_bytes, out);
    Counter "process_cpu_seconds_total" [] "Time on the processor, in user and kernel mode."
        |s, out| plain(s.process.cpu_seconds, out);
    Gauge "process_open_fds" [] "Open files and connections."
        |s, out| plain(s.process.open_files, out);
    Gauge "llmops_ready" [] "1 while /readyz says that the process is running, 0 while it starts or stops."
        |s, out| out.sample(&[], f64::from(u8::from(s.ops.readiness().phase() == llmops::Phase::Running)));

    Counter "llmops_http_requests_total" ["route", "method", "status"] "Requests by route template; `none` where no route fits."
        |_, out| http::meters().each(|route, method, meter| {
            for (status, count) in meter.statuses() {
                out.sample(&[route, method, &status.to_string()], count as f64);
            }
        });
    Histogram "llmops_http_request_seconds" ["route", "method"] "Seconds until the answer began."
        |_, out| http::meters().each(|route, method, meter| out.histogram(&[route, method], &meter.seconds.read()));
    Gauge "llmops_http_requests_in_flight" [] "Requests whose answer has not begun, those through the gateway left out."
        |_, out| out.sample(&[], http::meters().in_flight.get() as f64);
    Gauge "llmops_event_clients" [] "Clients that watch events over SSE or WebSocket."
        |s, out| out.sample(&[], s.ops.meters().event_clients.get() as f64);

    Counter "llmops_gateway_calls_total" ["project", "deployment", "environment", "outcome"] "Calls through the gateway by how they ended; `direct` where a model was named."
        |s, out| calls(s, out, |labels, series, out| {
            for (outcome, count) in &series.outcomes {
                out.sample(&[labels[0], labels[1], labels[2], outcome], *count as f64);
            }
        });
    Histogram "llmops_gateway_call_seconds" ["project", "deployment", "environment"] "Seconds until the last byte of the answer."
        |s, out| call_seconds(s, out, |series| &series.total);
    Histogram "llmops_gateway_first_byte_seconds" ["project", "deployment", "environment"] "Seconds until the first byte of the answer."
        |s, out| call_seconds(s, out, |series| &series.first_byte);
    Counter "llmops_gateway_tokens_total" ["project", "deployment", "environment", "kind"] "Tokens: `prompt` or `completion`."
        |s, out| calls(s, out, |labels, series, out| {
            out.sample(&[labels[0], labels[1], labels[2], "prompt"], series.prompt_tokens as f64);
            out.sample(&[labels[0], labels[1], labels[2], "completion"], series.completion_tokens as f64);
        });
    Counter "llmops_gateway_cost_usd_total" ["project", "deployment", "environment"] "USD by the price table; models without a price cost nothing here."
        |s, out| calls(s, out, |labels, series, out| out.sample(labels, series.cost));
    Counter "llmops_gateway_soft_failures_total" ["project", "deployment", "environment", "kind"] "Answers that failed by content, by the check that found it."
        |s, out| calls(s, out, |labels, series, out| {
            for (kind, count) in &series.soft_failures {
                out.sample(&[labels[0], labels[1], labels[2], kind], *count as f64);
            }
        });

    Counter "llmops_gateway_undecided_checks_total" ["project", "deployment", "environment", "kind"] "Answers that a check of the guard was to look at and could not, by the check."
        |s, out| calls(s, out, |labels, series, out| {
            for (kind, count) in &series.undecided {
                out.sample(&[labels[0], labels[1], labels[2], kind], *count as f64);
            }
        });

    Counter "llmops_records_written_total" [] "Request records that reached the store."
        |s, out| out.sample(&[], s.ops.meters().records.written() as f64);
    Counter "llmops_records_spilled_total" [] "Request records that went by way of a file, because the store was away or did not keep up."
        |s, out| out.sample(&[], s.ops.meters().records.spilled() as f64);
    Gauge "llmops_records_waiting" [] "Request records in files now."
        |s, out| out.sample(&[], s.ops.meters().records.waiting() as f64);
    Counter "llmops_records_lost_total" [] "Request records that neither store nor file took."
        |s, out| out.sample(&[], s.ops.meters().records.lost() as f64);

    Counter "llmops_samples_total" ["status"] "Samples of evaluation runs that this process answered: `scored` or `errored`."
        |s, out| {
            out.sample(&["scored"], s.ops.meters().samples_scored.get() as f64);
            out.sample(&["errored"], s.ops.meters().samples_errored.get() as f64);
        };
    Gauge "llmops_runs" ["status"] "Evaluation runs in the store, by status."
        |s, out| by_status(s.store.as_ref().map(|store| &store.runs), out);
    Gauge "llmops_jobs" ["state"] "Queued jobs: `waiting`, `taken` by a worker, or `failing`, which wait to be tried again."
        |s, out| if let Some(queue) = &s.queue {
            out.sample(&["waiting"], queue.waiting as f64);
            out.sample(&["taken"], queue.taken as f64);
            out.sample(&["failing"], queue.failing as f64);
        };
    Gauge "llmops_oldest_job_seconds" [] "How long the job that waits longest has been due."
        |s, out| if let Some(queue) = &s.queue {
            let now = llmops_domain::clock::now();
            out.sample(&[], queue.due.map_or(0.0, |due| now.duration_since(due).as_secs_f64().max(0.0)));
        };
    Gauge "llmops_schedule_lag_seconds" [] "How long the schedule that waits longest has been due."
        |s, out| plain(s.store.as_ref().map(|store| store.schedule_lag.as_secs_f64()), out);
    Gauge "llmops_deliveries" ["status"] "Messages to channels, by status: `pending`, `delivered`, `dead`."
        |s, out| by_status(s.store.as_ref().map(|store| &store.deliveries), out);

    Counter "llmops_spans_total" ["result"] "Spans of traces: `sent` to the collector, or `lost` because it did not take them."
        |s, out| {
            let (sent, lost) = s.ops.telemetry().counts();
            out.sample(&["sent"], sent as f64);
            out.sample(&["lost"], lost as f64);
        };

    Gauge "llmops_store_up" [] "1 while the store answers and takes changes."
        |s, out| out.sample(&[], f64::from(u8::from(s.store.is_some() && s.writes)));
    Histogram "llmops_store_statement_seconds" [] "How long statements of the database took."
        |_, out| out.histogram(&[], &llmops_storage::stats().statements.read());
    Counter "llmops_store_errors_total" ["kind"] "Statements that failed: the database was `unavailable`, or `refused`."
        |_, out| {
            out.sample(&["unavailable"], llmops_storage::stats().unavailable.get() as f64);
            out.sample(&["refused"], llmops_storage::stats().refused.get() as f64);
        };
    Gauge "llmops_store_schema_version" [] "The number of the newest migration of the store."
        |s, out| plain(s.store.as_ref().map(|store| store.schema as f64), out);
}

fn plain(value: Option<f64>, out: &mut Exposition) {
    if let Some(value) = value {
        out.sample(&[], value);
    }
}

fn by_status(counts: Option<&Vec<(String, u64)>>, out: &mut Exposition) {
    for (status, count) in counts.into_iter().flatten() {
        out.sample(&[status], *count as f64);
    }
}

fn calls(sources: &Sources, out: &mut Exposition, show: impl Fn(&[&str; 3], &CallSeries, &mut Exposition)) {
    sources.ops.meters().calls.each(|labels, series| {
        show(&[&labels.project, &labels.deployment, &labels.environment], series, out);
    });
}

fn call_seconds(sources: &Sources, out: &mut Exposition, of: impl Fn(&CallSeries) -> &Histogram) {
    calls(sources, out, |labels, series, out| out.histogram(labels, &of(series).read()));
}
