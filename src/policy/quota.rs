//! How often a partner may ask: a budget per partner before any signature is checked, and
//! the quota of each agreement after it.
//!
//! Promises: no request passes beyond rate, burst, concurrency or the day's total; memory is
//! bounded whatever the peers do; a permit gives its place back when dropped. The day's
//! count starts anew with the process: it protects the register, it is not a bill.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::civil::Date;

use super::snapshot::{Grant, Policy};
use super::terms::Limits;
use crate::clock::Now;
use crate::domain::Region;

/// Locks that share the meters among them, so that partners do not wait for each other.
const SHARDS: usize = 16;

/// Meters kept per shard. 16 × 1 024 is five times the country's counties; beyond it, idle
/// meters go, and when none is idle a new partner waits.
const MOST_METERS_PER_SHARD: usize = 1_024;

/// What ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exceeded {
    Rate,
    Concurrency,
    Day,
    /// No room for another meter.
    Meters,
}

/// Not now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("limited ({exceeded:?}), retry after {retry_after_secs} s")]
pub struct Limited {
    pub exceeded: Exceeded,
    /// For `Retry-After`; at least 1.
    pub retry_after_secs: u32,
}

/// Every meter of the gateway.
pub struct Quotas {
    hasher: RandomState,
    shards: Vec<Mutex<HashMap<Metered, Arc<Meter>>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Metered {
    Partner(Region),
    Agreement { id: String, partner: Region },
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: std::iter::repeat_with(Mutex::default).take(SHARDS).collect(),
        }
    }
}

impl Quotas {
    pub fn new() -> Self {
        Self::default()
    }

    /// Before crypto: rate and concurrency of this partner over all it asks, by
    /// [`Policy::budget`]. The day's total is left to the agreements.
    pub fn enter_partner(
        &self,
        policy: &Policy,
        partner: Region,
        me: Region,
        now: Now,
    ) -> Result<QuotaPermit, Limited> {
        let budget = policy.budget(&partner, &me, now.shanghai_day());
        self.take(Metered::Partner(partner), Limits { per_day: u64::MAX, ..budget }, now)
    }

    /// After the claims: the quota of the agreement that granted the request.
    pub fn enter(&self, grant: &Grant, partner: Region, now: Now) -> Result<QuotaPermit, Limited> {
        let agreement = grant.agreement();
        let metered = Metered::Agreement { id: agreement.id().to_owned(), partner };
        self.take(metered, agreement.limits(), now)
    }

    /// Meters held now; never more than `SHARDS` × `MOST_METERS_PER_SHARD`.
    pub fn meters(&self) -> usize {
        self.shards.iter().map(|s| s.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    pub(super) fn take(&self, metered: Metered, limits: Limits, now: Now) -> Result<QuotaPermit, Limited> {
        let meter = self.meter(metered, now)?;
        meter.state().take(limits, now)?;
        Ok(QuotaPermit { meter: Some(meter) })
    }

    fn meter(&self, metered: Metered, now: Now) -> Result<Arc<Meter>, Limited> {
        let at = usize::try_from(self.hasher.hash_one(&metered)).unwrap_or(usize::MAX) % SHARDS;
        let full = Limited { exceeded: Exceeded::Meters, retry_after_secs: 1 };
        let Some(shard) = self.shards.get(at) else { return Err(full) };
        let mut meters = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(meter) = meters.get(&metered) {
            return Ok(Arc::clone(meter));
        }
        if meters.len() >= MOST_METERS_PER_SHARD {
            meters.retain(|_, meter| Arc::strong_count(meter) > 1 || !meter.state().is_idle(now));
        }
        if meters.len() >= MOST_METERS_PER_SHARD {
            return Err(full);
        }
        Ok(Arc::clone(meters.entry(metered).or_default()))
    }
}

/// One place among the concurrent ones; given back when dropped.
#[must_use = "the place is given back when the permit is dropped"]
pub struct QuotaPermit {
    meter: Option<Arc<Meter>>,
}

impl QuotaPermit {
    /// For judging without acting (`explain`): takes no place and gives none back.
    pub fn unlimited() -> Self {
        Self { meter: None }
    }
}

impl Drop for QuotaPermit {
    fn drop(&mut self) {
        if let Some(meter) = &self.meter {
            let mut state = meter.state();
            state.running = state.running.saturating_sub(1);
        }
    }
}

#[derive(Default)]
struct Meter {
    state: Mutex<State>,
}

impl Meter {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct State {
    running: u32,
    /// When the bucket will be full again, µs since the epoch (generic cell rate algorithm:
    /// one number instead of a token count and a refill time).
    full_at_us: i64,
    day: Option<Date>,
    used_today: u64,
}

impl State {
    /// Checks everything before it spends anything: a refused request costs no token.
    fn take(&mut self, limits: Limits, now: Now) -> Result<(), Limited> {
        if self.running >= limits.concurrent {
            return Err(Limited { exceeded: Exceeded::Concurrency, retry_after_secs: 1 });
        }
        let today = now.shanghai_day();
        let used = if self.day == Some(today) { self.used_today } else { 0 };
        if used >= limits.per_day {
            let retry_after_secs = seconds_to_midnight(now);
            return Err(Limited { exceeded: Exceeded::Day, retry_after_secs });
        }
        spend_token(&mut self.full_at_us, limits, now)?;
        self.running = self.running.saturating_add(1);
        self.day = Some(today);
        self.used_today = used.saturating_add(1);
        Ok(())
    }

    fn is_idle(&self, now: Now) -> bool {
        self.running == 0
            && self.full_at_us <= now.ms().saturating_mul(1000)
            && self.day != Some(now.shanghai_day())
    }
}

/// Takes one token if there is one.
fn spend_token(full_at_us: &mut i64, limits: Limits, now: Now) -> Result<(), Limited> {
    let per_token_us = 1_000_000 / i64::from(limits.requests_per_second.max(1));
    let capacity_us = per_token_us.saturating_mul(i64::from(limits.burst.max(1)));
    let now_us = now.ms().saturating_mul(1000);
    // The upper clamp matters when the clock was set back: the wait is never longer than a
    // whole bucket, also for the next who is refused.
    *full_at_us = (*full_at_us).clamp(now_us, now_us.saturating_add(capacity_us));
    let full_at = full_at_us.saturating_add(per_token_us);
    let too_early_us = full_at.saturating_sub(capacity_us).saturating_sub(now_us);
    if too_early_us > 0 {
        let secs = u32::try_from(too_early_us.div_euclid(1_000_000)).unwrap_or(u32::MAX).saturating_add(1);
        return Err(Limited { exceeded: Exceeded::Rate, retry_after_secs: secs });
    }
    *full_at_us = full_at;
    Ok(())
}

fn seconds_to_midnight(now: Now) -> u32 {
    const DAY: i64 = 86_400;
    const SHANGHAI: i64 = 8 * 3_600;
    let into_day = now.secs().saturating_add(SHANGHAI).rem_euclid(DAY);
    u32::try_from(DAY.saturating_sub(into_day)).unwrap_or(1).max(1)
}
