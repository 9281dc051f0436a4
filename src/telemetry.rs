//! What operators see while it runs: Prometheus metrics and one log event per exchange,
//! both without personal data.
//!
//! Each gateway owns its registry, so that two in one process stay apart.

use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Labels of an exchange. `code` is a refusal code or `ok`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ExchangeLabels {
    pub direction: &'static str,
    pub partner: String,
    pub op: &'static str,
    pub code: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct PhaseLabels {
    pub phase: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct PartLabels {
    pub part: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct DoorLabels {
    pub door: &'static str,
    pub what: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ClassLabels {
    pub class: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct AnswerLabels {
    pub source: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct CaseLabels {
    pub partner: String,
    pub role: String,
    pub state: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct DeadlineLabels {
    pub kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct PartnerLabels {
    pub partner: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct CourierLabels {
    pub partner: String,
    pub outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct WebhookLabels {
    pub webhook: String,
    pub outcome: &'static str,
}

type SecondsGauge = Gauge<f64, AtomicU64>;

/// Latency buckets in seconds: from a cache hit's tens of microseconds to a register's
/// deadline.
const BUCKETS: [f64; 14] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0, 10.0];

/// The phases of every exchange: each is looked up among the labels once.
const EVERY_EXCHANGE: [&str; 5] = ["judge", "act", "record", "sign", "total"];

fn latency() -> Histogram {
    Histogram::new(BUCKETS)
}

pub struct Metrics {
    registry: Registry,
    pub exchanges: Family<ExchangeLabels, Counter>,
    phases: Family<PhaseLabels, Histogram, fn() -> Histogram>,
    phases_found: [OnceLock<Histogram>; EVERY_EXCHANGE.len()],
    pub licenses: Family<AnswerLabels, Counter>,
    /// Exchanges refused because the line was too long.
    pub shed: Family<ClassLabels, Counter>,
    pub line: Family<PartLabels, Gauge>,
    pub line_wait: SecondsGauge,
    pub ledger_queue: Gauge,
    pub ledger_size: Gauge,
    pub ledger_checkpoint_age: SecondsGauge,
    pub quorum_age: Gauge,
    pub witnessed_age: Family<PartnerLabels, Gauge>,
    pub log_contradictions: Counter,
    pub replay_ids: Gauge,
    pub cache: Family<PartLabels, Gauge>,
    pub connections: Family<DoorLabels, Gauge>,
    pub materials: Family<PartLabels, Gauge>,
    pub days_left: Family<PartLabels, Gauge>,
    pub ready: Family<PartLabels, Gauge>,
    pub trust_refused: Counter,
    /// Cases by partner, this side's role and state.
    pub cases: Family<CaseLabels, Gauge>,
    /// Moments that came: limits that turned yellow, red, past the law's own, and the like.
    pub deadlines: Family<DeadlineLabels, Counter>,
    pub parcels_waiting: Family<PartnerLabels, Gauge>,
    pub parcels_oldest: Family<PartnerLabels, Gauge>,
    pub parcels_undeliverable: Family<PartnerLabels, Gauge>,
    pub breaker: Family<PartnerLabels, Gauge>,
    pub deliveries: Family<CourierLabels, Counter>,
    pub notices_told: Family<WebhookLabels, Counter>,
    /// Windows compared with partners: agreed, differs, asked, failed.
    pub windows: Family<CourierLabels, Counter>,
    /// Exchanges that are not the same on both sides, by class.
    pub window_differences: Family<CourierLabels, Counter>,
    pub unsigned_seconds: Family<PartnerLabels, Gauge>,
    pub windows_overdue: Family<PartnerLabels, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("tongban"),
            exchanges: Family::default(),
            phases: Family::new_with_constructor(latency),
            phases_found: Default::default(),
            licenses: Family::default(),
            shed: Family::default(),
            line: Family::default(),
            line_wait: SecondsGauge::default(),
            ledger_queue: Gauge::default(),
            ledger_size: Gauge::default(),
            ledger_checkpoint_age: SecondsGauge::default(),
            quorum_age: Gauge::default(),
            witnessed_age: Family::default(),
            log_contradictions: Counter::default(),
            replay_ids: Gauge::default(),
            cache: Family::default(),
            connections: Family::default(),
            materials: Family::default(),
            days_left: Family::default(),
            ready: Family::default(),
            trust_refused: Counter::default(),
            cases: Family::default(),
            deadlines: Family::default(),
            parcels_waiting: Family::default(),
            parcels_oldest: Family::default(),
            parcels_undeliverable: Family::default(),
            breaker: Family::default(),
            deliveries: Family::default(),
            notices_told: Family::default(),
            windows: Family::default(),
            window_differences: Family::default(),
            unsigned_seconds: Family::default(),
            windows_overdue: Family::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register(
            "exchanges",
            "Exchanges by direction (in, out), partner, op and code (ok or a refusal)",
            self.exchanges.clone(),
        );
        r.register(
            "phase_seconds",
            "Time spent in a phase of an exchange: judge, act, record, sign, total; ask for our own requests, deliver for parcels",
            self.phases.clone(),
        );
        r.register(
            "license_answers",
            "License answers by source: cache, register, stale, not-found",
            self.licenses.clone(),
        );
        r.register(
            "ledger_queue_depth",
            "Entries waiting for the ledger's writer",
            self.ledger_queue.clone(),
        );
        r.register(
            "shed",
            "Exchanges refused because the line was too long, by class: lookup, status, submit, receipt",
            self.shed.clone(),
        );
        r.register(
            "line",
            "Exchanges in line, held in all (with those that wait for a register), and the room that lookups have now",
            self.line.clone(),
        );
        r.register("line_wait_seconds", "What the last in line will wait", self.line_wait.clone());
        r.register("ledger_size", "Leaves in the current shard", self.ledger_size.clone());
        r.register(
            "ledger_checkpoint_age_seconds",
            "Age of the last signed checkpoint",
            self.ledger_checkpoint_age.clone(),
        );
        r.register("replay_live_ids", "Used message ids in memory", self.replay_ids.clone());
        r.register("license_cache", "The record cache: entries, bytes, hits, misses", self.cache.clone());
        r.register(
            "connections",
            "Connections by door and what became of them: open, accepted, handshakes failed, timed out, over their share",
            self.connections.clone(),
        );
        r.register(
            "materials",
            "Files of applications: bytes received, bytes read, files arrived, transfers coming in now",
            self.materials.clone(),
        );
        r.register(
            "days_left",
            "Days until a certificate, CRL or key of ours or a partner ends",
            self.days_left.clone(),
        );
        r.register("ready", "1 if the part is ready, else 0", self.ready.clone());
        r.register(
            "trust_files_refused",
            "Changed trust and key files that were refused and changed nothing",
            self.trust_refused.clone(),
        );
        self.register_witnesses();
        self.register_couriers();
        self.register_windows();
    }

    fn register_witnesses(&mut self) {
        let r = &mut self.registry;
        r.register(
            "ledger_quorum_age_seconds",
            "Since enough witnesses cosigned our log; -1 without a policy that asks for it",
            self.quorum_age.clone(),
        );
        r.register(
            "ledger_witnessed_age_seconds",
            "Since a partner cosigned our log, by partner",
            self.witnessed_age.clone(),
        );
        r.register(
            "log_contradictions",
            "Checkpoints of partners that contradict what we cosigned",
            self.log_contradictions.clone(),
        );
    }

    fn register_couriers(&mut self) {
        let r = &mut self.registry;
        r.register("cases", "Cases, by partner, our role and state", self.cases.clone());
        r.register("deadlines", "Deadlines of cases and verifications that came", self.deadlines.clone());
        r.register("parcels_waiting", "Parcels that wait, by partner", self.parcels_waiting.clone());
        r.register(
            "parcels_oldest_seconds",
            "For how long the longest waiting parcel does, by partner",
            self.parcels_oldest.clone(),
        );
        r.register(
            "parcels_undeliverable",
            "Parcels that were given up and wait for a person, by partner",
            self.parcels_undeliverable.clone(),
        );
        r.register(
            "partner_breaker",
            "Couriers to a partner: 0 go, 1 one of them finds out, 2 wait",
            self.breaker.clone(),
        );
        r.register(
            "deliveries",
            "Attempts to deliver a parcel, by partner and what became of them",
            self.deliveries.clone(),
        );
        r.register(
            "notices_told",
            "Notices to webhooks: heard, failed tries, given up",
            self.notices_told.clone(),
        );
    }

    fn register_windows(&mut self) {
        let r = &mut self.registry;
        r.register(
            "reconcile_windows",
            "Windows of the ledger compared with a partner: agreed, differs, asked (it found a difference), failed",
            self.windows.clone(),
        );
        r.register(
            "reconcile_differences",
            "Exchanges that are not the same in both ledgers, by class",
            self.window_differences.clone(),
        );
        r.register(
            "reconcile_unsigned_seconds",
            "Since the end of the last window that both signed",
            self.unsigned_seconds.clone(),
        );
        r.register(
            "reconcile_overdue",
            "1 if no window was signed with the partner for more than a day",
            self.windows_overdue.clone(),
        );
    }

    /// Notes how long a phase took.
    pub fn phase(&self, phase: &'static str, took: std::time::Duration) {
        let find = || self.phases.get_or_create(&PhaseLabels { phase }).clone();
        let place = EVERY_EXCHANGE.iter().position(|known| *known == phase);
        match place.and_then(|place| self.phases_found.get(place)) {
            Some(found) => found.get_or_init(find).observe(took.as_secs_f64()),
            None => find().observe(took.as_secs_f64()),
        }
    }

    /// The OpenMetrics text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String does not fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}

/// Starts logging to stderr: JSON lines, level by `TONGBAN_LOG` (default `info`). Control
/// characters are escaped by the JSON encoding, so no request can forge a line.
pub fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("TONGBAN_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let started = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_writer(std::io::stderr)
        // It would complain with `eprintln!`, which panics: a log on a full disk must not
        // take the gateway with it.
        .log_internal_errors(false)
        .with_env_filter(filter)
        .try_init();
    if started.is_err() {
        // A subscriber is already there: two gateways in one process share it.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_is_counted_under_its_name() {
        let metrics = Metrics::default();
        for phase in ["judge", "deliver", "judge"] {
            metrics.phase(phase, std::time::Duration::from_millis(1));
        }
        let text = metrics.text();
        assert!(text.contains("tongban_phase_seconds_count{phase=\"judge\"} 2"), "{text}");
        assert!(text.contains("tongban_phase_seconds_count{phase=\"deliver\"} 1"), "{text}");
        assert!(!text.contains("phase=\"total\""), "what did not happen is not told");
    }

    #[test]
    fn two_gateways_in_one_process_count_apart() {
        let (a, b) = (Metrics::default(), Metrics::default());
        let labels =
            ExchangeLabels { direction: "in", partner: "331083".into(), op: "license.query", code: "ok" };
        a.exchanges.get_or_create(&labels).inc();
        assert!(a.text().contains("tongban_exchanges_total{direction=\"in\",partner=\"331083\""));
        assert!(!b.text().contains("331083"));
    }
}
