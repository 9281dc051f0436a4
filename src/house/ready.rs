//! Readiness, part by part, and the gauges that are read rather than counted.

use std::time::Duration;

use serde::Serialize;

use crate::telemetry::PartLabels;
use crate::witness::{QUORUM_LATE, QUORUM_OVERDUE};

use super::House;

/// One part of the gateway and whether it can do its work now.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    pub part: &'static str,
    pub ready: bool,
    /// Without it nothing is served; the others close only what they guard.
    pub needed: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub why: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub why_zh: &'static str,
}

impl Part {
    fn new(part: &'static str, ready: bool, why: &'static str, why_zh: &'static str) -> Self {
        let (why, why_zh) = if ready { ("", "") } else { (why, why_zh) };
        Self { part, ready, needed: true, why, why_zh }
    }

    /// A part whose fault closes only what it guards.
    fn guarding(part: &'static str, ready: bool, why: &'static str, why_zh: &'static str) -> Self {
        Self { needed: false, ..Self::new(part, ready, why, why_zh) }
    }
}

/// A checkpoint older than this while leaves wait for one means the integrator is stuck
/// (protocol §7: within 10 s).
const CHECKPOINT_LAG: Duration = Duration::from_secs(10);

impl House {
    /// Every part; the door is ready when all are.
    pub fn readiness(&self) -> Vec<Part> {
        let now = self.clock.now();
        let health = self.ledger.health();
        let trust = self.trust.load();
        self.clock_is_sane();
        let mut parts = vec![
            Part::new(
                "store",
                health.writable && self.casebook.is_well(),
                "the exchange log or the casebook cannot be written or read (disk full or an I/O error)",
                "交换日志或办件簿无法读写(磁盘已满或读写错误)",
            ),
            Part::new(
                "ledger",
                health.unsealed_for.is_none_or(|waiting| waiting <= CHECKPOINT_LAG),
                "the last checkpoint does not cover the newest leaves",
                "最新检查点未覆盖最近的日志",
            ),
            Part::new(
                "keys",
                self.clients.own_certificate_valid(now),
                "this gateway's own certificate is not valid now",
                "本网关证书当前无效",
            ),
            Part::new(
                "crl",
                trust.directory.crls_fresh(now),
                "a certificate revocation list is past its nextUpdate",
                "证书吊销列表已过期",
            ),
            Part::guarding(
                "status_lists",
                trust.stale_lists(now) == 0,
                "an authority's status list is missing or past its exp",
                "授权状态列表缺失或已过期",
            ),
            Part::new(
                "clock",
                self.clock_sane.load(std::sync::atomic::Ordering::Relaxed),
                "the clock has stepped back",
                "系统时钟发生回拨",
            ),
            Part::new(
                "door",
                !self.draining.load(std::sync::atomic::Ordering::Relaxed),
                "draining before the stop",
                "正在停止,不再接收新请求",
            ),
        ];
        parts.extend(self.witnesses());
        parts
    }

    /// Whether enough witnesses keep up with our log; nothing where nobody has to.
    fn witnesses(&self) -> Option<Part> {
        self.witness.quorum_age(self.clock.now())?;
        let (why, zh) = (
            "the log has not been cosigned by enough witnesses for an hour; after four no exchange begins",
            "交换日志逾一小时未获足够见证，逾四小时将停止新的交换",
        );
        let late = self.witnessed_for_too_long(QUORUM_LATE);
        Some(match self.witnessed_for_too_long(QUORUM_OVERDUE) {
            true => Part::new("witnesses", false, why, zh),
            false => Part::guarding("witnesses", !late, why, zh),
        })
    }

    /// Reads what is measured at scrape time.
    pub fn refresh_gauges(&self) {
        let health = self.ledger.health();
        let now = self.clock.now();
        self.metrics.ledger_queue.set(gauge(health.queue_depth));
        let line = self.admission.standing();
        for (part, count) in [("waiting", line.line), ("held", line.held), ("room", line.room)] {
            self.metrics.line.get_or_create(&PartLabels { part: part.into() }).set(gauge(count));
        }
        self.metrics.line_wait.set(line.wait.as_secs_f64());
        self.metrics.ledger_size.set(health.size.try_into().unwrap_or(i64::MAX));
        self.metrics.ledger_checkpoint_age.set(health.checkpoint_age.unwrap_or_default().as_secs_f64());
        // -1 where no policy asks for witnesses: a gauge that is not there cannot be watched.
        self.metrics.quorum_age.set(self.witness.quorum_age(now).unwrap_or(-1));
        self.metrics.replay_ids.set(gauge(self.replay.live()));
        for part in self.readiness() {
            self.metrics
                .ready
                .get_or_create(&PartLabels { part: part.part.into() })
                .set(i64::from(part.ready));
        }
        let cache = self.lookup.stats();
        for (part, count) in [
            ("entries", cache.entries),
            ("bytes", cache.bytes),
            ("hits", cache.hits),
            ("misses", cache.misses),
        ] {
            let labels = PartLabels { part: part.into() };
            self.metrics.cache.get_or_create(&labels).set(count.try_into().unwrap_or(i64::MAX));
        }
        if let Ok(gauges) = self.gauges.lock() {
            gauges.iter().for_each(|read| read(&self.metrics));
        }
        for (part, days) in self.days_left(now) {
            self.metrics.days_left.get_or_create(&PartLabels { part }).set(days);
        }
    }

    fn days_left(&self, now: crate::clock::Now) -> Vec<(String, i64)> {
        const DAY: i64 = 86_400;
        let mut days = Vec::new();
        if let Some(end) = self.clients.own_certificate_end() {
            days.push(("certificate/own".to_owned(), (end - now.secs()).div_euclid(DAY)));
        }
        for (what, end) in self.trust.load().directory.ends() {
            days.push((what, (end - now.secs()).div_euclid(DAY)));
        }
        days
    }
}

fn gauge(count: usize) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
