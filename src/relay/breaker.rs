//! A partner that does not answer is asked seldom, by one parcel, until it answers again.
//!
//! Closed: everything passes. Open: nothing does until the cooling is over. Half-open: one
//! probe is under way. Only failures of the partner count: no connection, no answer in time,
//! a 5xx, an unsigned "later". A signed refusal is an answer like any other.

use std::time::Duration;

use tokio::time::Instant;

use super::backoff::{Backoff, at_least};

/// Failures in a row that open it: fewer would make one lost packet a pause for all.
const FAILURES: u32 = 5;
/// First cooling one second (a restart), then doubling; a partner that was away a day is back
/// in business a minute after its return, and cost us 1 440 probes.
const COOLING: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) };

/// May an attempt be made?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admits {
    Any,
    /// One, to see whether the partner is back.
    Probe,
    /// None before that moment.
    NotBefore(Instant),
    /// None until the probe under way has ended.
    AfterProbe,
}

/// What the metrics show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    Closed,
    HalfOpen,
    Open,
}

#[derive(Clone, Debug, Default)]
pub struct Breaker {
    state: State,
    /// In a row, while closed.
    failures: u32,
    /// Times it opened without having closed in between.
    openings: u32,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Closed,
    Open(Instant),
    Probing,
}

impl Breaker {
    pub fn admits(&self, now: Instant) -> Admits {
        match self.state {
            State::Closed => Admits::Any,
            State::Open(until) if now < until => Admits::NotBefore(until),
            State::Open(_) => Admits::Probe,
            State::Probing => Admits::AfterProbe,
        }
    }

    /// An attempt that was admitted as a probe begins.
    pub fn probe(&mut self) {
        self.state = State::Probing;
    }

    /// The partner answered, whatever it said. True if it had been thought away.
    pub fn answered(&mut self) -> bool {
        let was_away = !matches!(self.state, State::Closed);
        *self = Self::default();
        was_away
    }

    /// The partner failed; it may have said when to ask again. True if that opened it, or
    /// kept it open after a probe.
    pub fn failed(&mut self, now: Instant, retry_after: Option<Duration>, draw: f64) -> bool {
        self.failures = self.failures.saturating_add(1);
        match self.state {
            // An attempt from before it opened.
            State::Open(_) => return false,
            State::Closed if self.failures < FAILURES => return false,
            State::Closed | State::Probing => {}
        }
        self.openings = self.openings.saturating_add(1);
        let cooling = at_least(COOLING.wait_at_least_half(self.openings, draw), retry_after);
        self.state = State::Open(now + cooling);
        true
    }

    /// The probe ended without a word about the partner: the next one may follow.
    pub fn probe_ended(&mut self, now: Instant) {
        if matches!(self.state, State::Probing) {
            self.state = State::Open(now);
        }
    }

    pub fn shown(&self) -> Shown {
        match self.state {
            State::Closed => Shown::Closed,
            State::Open(_) => Shown::Open,
            State::Probing => Shown::HalfOpen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        (0..FAILURES).for_each(|_| {
            breaker.failed(now, None, 1.0);
        });
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn five_failures_in_a_row_open_it_and_an_answer_in_between_does_not() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            (0..FAILURES - 1).for_each(|_| assert!(!breaker.failed(now, None, 1.0)));
            assert_eq!(breaker.admits(now), Admits::Any);
            assert!(!breaker.answered());
        }
        assert_eq!(opened(now).admits(now), Admits::NotBefore(now + Duration::from_secs(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_cooling_one_probe_passes_and_its_answer_closes() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + Duration::from_secs(1);
        assert_eq!(breaker.admits(later), Admits::Probe);
        breaker.probe();
        assert_eq!((breaker.admits(later), breaker.shown()), (Admits::AfterProbe, Shown::HalfOpen));
        assert!(breaker.answered());
        assert_eq!((breaker.admits(later), breaker.shown()), (Admits::Any, Shown::Closed));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_probe_cools_twice_as_long_up_to_a_minute() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        let mut coolings = Vec::new();
        for _ in 0..9 {
            let Admits::NotBefore(until) = breaker.admits(now) else { panic!("it is open") };
            coolings.push((until - now).as_secs());
            now = until;
            breaker.probe();
            assert!(breaker.failed(now, None, 1.0));
        }
        assert_eq!(coolings, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[tokio::test(start_paused = true)]
    async fn late_failures_do_not_prolong_it_and_retry_after_is_honoured() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert!(!breaker.failed(now, Some(Duration::from_secs(900)), 1.0));
        assert_eq!(breaker.admits(now), Admits::NotBefore(now + Duration::from_secs(1)));
        breaker.probe();
        breaker.failed(now, Some(Duration::from_secs(90)), 1.0);
        assert_eq!(breaker.admits(now), Admits::NotBefore(now + Duration::from_secs(90)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_never_left_lets_the_next_one_through() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.probe();
        breaker.probe_ended(now);
        assert_eq!(breaker.admits(now), Admits::Probe);
    }
}
