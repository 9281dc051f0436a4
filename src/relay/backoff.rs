//! How long to wait before trying again, and how often one may try again at all.
//!
//! Promises: waits grow to a cap and are spread evenly below it (full jitter), so that a
//! hundred parcels that failed in one instant do not come back in one; retries stay a small
//! share of first tries, so that a partner in trouble gets less traffic from us, not more.

use std::time::Duration;

use tokio::time::Instant;

/// Doubling waits.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The first wait is at most this.
    pub base: Duration,
    /// No wait is longer.
    pub cap: Duration,
}

/// One parcel that alone fails. A second is what a restart takes; ten minutes is little
/// against the days that a parcel may wait, and 144 tries a day disturb nobody.
pub const PARCEL: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(600) };

impl Backoff {
    /// The longest wait after `failures` failures in a row.
    fn ceiling(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.base.saturating_mul(1 << doublings).min(self.cap)
    }

    /// Full jitter: anything from nothing to the ceiling. `draw` is evenly in 0..=1.
    pub fn wait(self, failures: u32, draw: f64) -> Duration {
        self.ceiling(failures).mul_f64(draw.clamp(0.0, 1.0))
    }

    /// Half of the ceiling and jitter over the other half, where no wait at all would be wrong.
    pub fn wait_at_least_half(self, failures: u32, draw: f64) -> Duration {
        let half = self.ceiling(failures) / 2;
        half + half.mul_f64(draw.clamp(0.0, 1.0))
    }
}

/// Evenly in 0..=1. Without random bytes the longest wait: late is better than in step.
pub fn draw() -> f64 {
    let mut bytes = [0; 4];
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        return 1.0;
    }
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

/// The longest that a `Retry-After` is obeyed: it is unsigned, and a day (a used-up daily
/// quota says so) would be a day for a mistake of one digit.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// A wait that the other side asked for, never shorter than our own.
pub fn at_least(own: Duration, retry_after: Option<Duration>) -> Duration {
    retry_after.map_or(own, |asked| asked.min(LONGEST_RETRY_AFTER).max(own))
}

/// Retries that one first try earns: one for five.
const RETRIES_PER_FIRST_TRY: f64 = 0.2;
/// Retries that time earns, so that a pair with one parcel a day gets it through.
const RETRIES_PER_SECOND: f64 = 0.5;
/// Retries that can be saved up: as many as attempts fail when a partner goes down.
const MOST_RETRIES_SAVED: f64 = 32.0;

/// Retries that may be made to one partner now.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    saved: f64,
    counted: Instant,
}

impl RetryBudget {
    /// Full: what a crashed process had under way is tried again at once.
    pub fn new(at: Instant) -> Self {
        Self { saved: MOST_RETRIES_SAVED, counted: at }
    }

    pub fn first_try(&mut self) {
        self.earn(RETRIES_PER_FIRST_TRY);
    }

    /// Takes one retry, or says when there will be one.
    pub fn retry(&mut self, at: Instant) -> Result<(), Instant> {
        let passed = at.saturating_duration_since(self.counted).as_secs_f64();
        self.counted = self.counted.max(at);
        self.earn(passed * RETRIES_PER_SECOND);
        if self.saved >= 1.0 {
            self.saved -= 1.0;
            return Ok(());
        }
        let missing = (1.0 - self.saved) / RETRIES_PER_SECOND;
        // The timer's grain: a wake-up a hair too early would only ask again.
        Err(at + Duration::from_secs_f64(missing) + Duration::from_millis(1))
    }

    /// A retry ended its parcel: it was no burden in vain, and gives back what it cost. So a
    /// partner that is well again gets everything at the agreed pace, however much of it had
    /// been tried before.
    pub fn was_worth_it(&mut self) {
        self.earn(1.0);
    }

    fn earn(&mut self, retries: f64) {
        self.saved = (self.saved + retries).min(MOST_RETRIES_SAVED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_are_spread_down_to_nothing() {
        let backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(10) };
        let longest: Vec<u64> = (1..=6).map(|n| backoff.wait(n, 1.0).as_secs()).collect();
        assert_eq!(longest, [1, 2, 4, 8, 10, 10]);
        assert_eq!(backoff.wait(6, 0.0), Duration::ZERO);
        assert_eq!(backoff.wait_at_least_half(6, 0.0), Duration::from_secs(5));
        assert_eq!(backoff.wait(u32::MAX, 1.0), Duration::from_secs(10));
    }

    #[test]
    fn draws_cover_the_whole_range() {
        let draws: Vec<f64> = (0..2000).map(|_| draw()).collect();
        assert!(draws.iter().all(|d| (0.0..=1.0).contains(d)));
        let below = |limit| draws.iter().filter(|d| **d < limit).count();
        assert!((100..300).contains(&below(0.1)) && (1700..1900).contains(&below(0.9)));
    }

    #[test]
    fn what_the_other_side_asks_for_is_obeyed_up_to_an_hour() {
        let (own, secs) = (Duration::from_secs(5), Duration::from_secs);
        assert_eq!(at_least(own, None), own);
        assert_eq!(at_least(own, Some(secs(1))), own);
        assert_eq!(at_least(own, Some(secs(60))), secs(60));
        assert_eq!(at_least(own, Some(secs(86_400))), secs(3600));
    }

    #[tokio::test(start_paused = true)]
    async fn retries_are_a_fifth_of_first_tries_and_one_in_two_seconds() {
        let at = Instant::now();
        let mut budget = RetryBudget::new(at);
        let take =
            |budget: &mut RetryBudget, at| std::iter::from_fn(|| budget.retry(at).ok()).take(1000).count();
        assert_eq!(take(&mut budget, at), 32, "the savings of a quiet time");
        (0..53).for_each(|_| budget.first_try());
        assert_eq!(take(&mut budget, at), 10);
        let next = budget.retry(at).unwrap_err();
        assert!(next > at && next <= at + Duration::from_millis(2_010));
        assert_eq!(take(&mut budget, next), 1);
        assert_eq!(take(&mut budget, next + Duration::from_secs(10)), 5);
        let mut budget = RetryBudget { saved: 1.0, counted: at };
        for _ in 0..100 {
            assert!(budget.retry(at).is_ok(), "a retry that ends its parcel costs nothing");
            budget.was_worth_it();
        }
    }
}
