//! Metrics of requests: a counter and a histogram for each front end, operation and status.
//!
//! The `metrics` facade is global, so other crates may count there too; whoever installs a recorder first wins. Handles
//! are looked up once per combination and then reused. The exporter keeps the samples of histograms until somebody
//! reads them or upkeep folds them together: a timer would wake an idle node, so every few thousand requests do it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Requests after which samples are folded together: some tens of KiB of them.
const UPKEEP_EVERY: u32 = 8192;

/// Upper bounds of the histogram's buckets in seconds: a quarter of a millisecond to a minute.
const BUCKETS_S: [f64; 14] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0,
];

struct Meter {
    count: Counter,
    seconds: Histogram,
}

type ByStatus = HashMap<u16, Meter>;
type ByOperation = HashMap<Box<str>, ByStatus>;

static METERS: RwLock<Option<HashMap<&'static str, ByOperation>>> = RwLock::new(None);
static REQUESTS: AtomicU32 = AtomicU32::new(0);

/// The exporter of this process; `None` when another recorder was installed first.
fn exporter() -> Option<&'static PrometheusHandle> {
    static EXPORTER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    EXPORTER
        .get_or_init(|| {
            let builder = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS_S)
                .ok()?;
            let recorder = builder.build_recorder();
            let handle = recorder.handle();
            metrics::set_global_recorder(recorder).ok()?;
            Some(handle)
        })
        .as_ref()
}

/// Installs the recorder, so that what is counted before the first request counts.
pub(super) fn install() {
    exporter();
}

/// The page that Prometheus reads.
pub(crate) fn metrics_page() -> String {
    exporter().map_or_else(String::new, PrometheusHandle::render)
}

/// Counts a request that was answered.
pub(super) fn count(front_end: &'static str, operation: &str, status: u16, took: Duration) {
    let meters = METERS.read().unwrap_or_else(PoisonError::into_inner);
    let meter = meters
        .as_ref()
        .and_then(|meters| meters.get(front_end)?.get(operation)?.get(&status));
    match meter {
        Some(meter) => record(meter, took),
        None => {
            drop(meters);
            let mut meters = METERS.write().unwrap_or_else(PoisonError::into_inner);
            let by_operation = meters.get_or_insert_default().entry(front_end).or_default();
            let by_status = by_operation.entry(operation.into()).or_default();
            let meter = by_status
                .entry(status)
                .or_insert_with(|| registered(front_end, operation, status));
            record(meter, took);
        }
    }
    if REQUESTS.fetch_add(1, Ordering::Relaxed) % UPKEEP_EVERY == UPKEEP_EVERY - 1
        && let Some(exporter) = exporter()
    {
        exporter.run_upkeep();
    }
}

fn record(meter: &Meter, took: Duration) {
    meter.count.increment(1);
    meter.seconds.record(took.as_secs_f64());
}

fn registered(front_end: &'static str, operation: &str, status: u16) -> Meter {
    let operation = operation.to_owned();
    Meter {
        count: counter!(
            "holdfast_requests_total",
            "front_end" => front_end,
            "operation" => operation.clone(),
            "status" => status.to_string(),
        ),
        seconds: histogram!("holdfast_request_seconds", "front_end" => front_end, "operation" => operation),
    }
}

/// Counts a connection for which there was no place.
pub(super) fn turned_away(front_end: &'static str) {
    counter!("holdfast_connections_turned_away_total", "front_end" => front_end).increment(1);
}
