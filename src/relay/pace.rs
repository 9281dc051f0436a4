//! How fast and how wide we may send to one partner, kept below what the agreement allows.
//!
//! Promises: however much waits, no second sees more attempts than the quota, and the
//! window's lookups keep room beside the couriers.

use std::time::Duration;

use tokio::time::Instant;

use crate::policy::Limits;

/// Of the agreed rate: the rest is for lookups that somebody at a window waits for.
const RATE_SHARE: f64 = 0.8;
/// Of the agreed concurrency, for the same reason.
const PLACES_SHARE: u32 = 2;
/// Attempts to one partner at once: half of what our pool opens to it. More would not be
/// faster: with 20 ms for a round trip, 32 make 1 600 a second.
const MOST_PLACES: u32 = 32;
/// A timer that fires late may be made up for by this much; without it, its grain of a
/// millisecond would halve a high rate. One hundredth of a second's quota, within the fifth
/// that [`RATE_SHARE`] leaves.
const SLACK: Duration = Duration::from_millis(10);

/// What couriers may spend at one partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Between two attempts.
    pub interval: Duration,
    /// Attempts at the same time.
    pub places: usize,
}

impl Allowance {
    /// Below the quota of an agreement.
    pub fn below(limits: Limits) -> Self {
        let rate = f64::from(limits.requests_per_second.max(1)) * RATE_SHARE;
        let places = (limits.concurrent / PLACES_SHARE).clamp(1, MOST_PLACES);
        Self { interval: Duration::from_secs_f64(1.0 / rate), places: places.try_into().unwrap_or(1) }
    }
}

/// When the next attempt may begin.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    next: Instant,
}

impl Pace {
    pub fn new(now: Instant) -> Self {
        Self { next: now }
    }

    /// `None` when now is the time, else the time.
    pub fn not_before(&self, now: Instant) -> Option<Instant> {
        (now < self.next).then_some(self.next)
    }

    /// An attempt begins.
    pub fn spend(&mut self, now: Instant, allowance: Allowance) {
        let begun = self.next.max(now.checked_sub(SLACK).unwrap_or(now));
        self.next = begun + allowance.interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(requests_per_second: u32, concurrent: u32) -> Limits {
        Limits { requests_per_second, concurrent, ..Limits::DEFAULT }
    }

    #[test]
    fn an_allowance_leaves_room_for_lookups() {
        let allowance = Allowance::below(limits(50, 64));
        assert_eq!((allowance.interval, allowance.places), (Duration::from_millis(25), 32));
        assert_eq!(Allowance::below(limits(1, 1)).places, 1);
        assert_eq!(Allowance::below(limits(5000, 1000)).places, 32);
    }

    /// For any quota and any lateness of the timer.
    #[tokio::test(start_paused = true)]
    async fn no_second_sees_more_than_the_quota() {
        for quota in [1, 2, 3, 5, 10, 50, 400, 2000] {
            let allowance = Allowance::below(limits(quota, 64));
            let (mut now, mut begun) = (Instant::now(), Vec::new());
            let mut pace = Pace::new(now);
            for n in 0_u64..6000 {
                // Late by 0 to 2 ms, and now and then by 40 ms.
                let late = Duration::from_micros(n * 7919 % 2000) + Duration::from_millis((n % 97 / 96) * 40);
                now = pace.not_before(now).unwrap_or(now) + late;
                if pace.not_before(now).is_none() {
                    pace.spend(now, allowance);
                    begun.push(now);
                }
            }
            let quota = usize::try_from(quota).unwrap();
            let worst = begun.windows(quota + 1).map(|w| w[quota] - w[0]).min().unwrap();
            assert!(worst >= Duration::from_secs(1), "{quota} a second: {quota} + 1 in {worst:?}");
        }
    }
}
