//! How old an answer may be (protocol §4), on the gateway's clock.

use std::time::Duration;

use crate::clock::Now;
use crate::schema::CacheAges;

/// How old an answer may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    pub ages: CacheAges,
    /// The asker's own bound in seconds; 0 asks the register.
    pub max_age: Option<i64>,
    /// Whether this kind of question may be answered with a stale record at all.
    pub stale_allowed: bool,
}

/// When the register was asked, and whether it had nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub asked_at: Now,
    pub negative: bool,
}

impl Want {
    /// Every answer shows the status, so the status age binds the whole record.
    fn limit_secs(&self, negative: bool) -> i64 {
        let of_type = limit_secs(self.ages, negative);
        self.max_age.map_or(of_type, |asked| asked.min(of_type))
    }

    pub fn is_fresh(&self, told: Told, now: Now) -> bool {
        let limit = self.limit_secs(told.negative);
        limit > 0 && within(told.asked_at, now, limit)
    }

    pub fn may_be_stale(&self, told: Told, now: Now) -> bool {
        let past_age = i64::from(self.ages.stale_if_register_down_seconds);
        let limit = limit_secs(self.ages, false).saturating_add(past_age);
        let limit = self.max_age.map_or(limit, |asked| asked.min(limit));
        self.stale_allowed && past_age > 0 && !told.negative && within(told.asked_at, now, limit)
    }
}

fn limit_secs(ages: CacheAges, negative: bool) -> i64 {
    i64::from(if negative { ages.negative_seconds } else { ages.data_seconds.min(ages.status_seconds) })
}

/// How long an answer is worth its memory.
pub(super) fn keep(ages: CacheAges, negative: bool) -> Duration {
    let stale = if negative { 0 } else { i64::from(ages.stale_if_register_down_seconds) };
    Duration::from_secs(limit_secs(ages, negative).saturating_add(stale).try_into().unwrap_or(0))
}

/// A clock that was set back makes an age negative: such a record is as good as none.
fn within(asked_at: Now, now: Now, limit_secs: i64) -> bool {
    let age_ms = now.ms().saturating_sub(asked_at.ms());
    (0..=limit_secs.saturating_mul(1000)).contains(&age_ms)
}
