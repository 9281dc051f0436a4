//! A connection's pulse: what it did last, and from when on its silence is too long.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::Limits;

pub(super) struct Pulse {
    first_request_due: Instant,
    age_due: Instant,
    header: std::time::Duration,
    idle: std::time::Duration,
    state: Mutex<State>,
}

struct State {
    served: bool,
    in_flight: usize,
    quiet_since: Instant,
    /// First byte of a head whose request did not begin yet (HTTP/1.1 only).
    head_since: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing to say before this moment.
    Patience(Instant),
    /// Nothing in flight for too long, or too old: ask it to leave.
    WindDown,
    /// Held us with half a request, or with none.
    Cut,
}

impl Pulse {
    /// `spread` 0–255 moves the age by up to a tenth, so that connections made together do
    /// not all come back together.
    pub(super) fn new(accepted: Instant, limits: &Limits, spread: u8) -> Arc<Self> {
        Arc::new(Self {
            first_request_due: accepted + limits.first_request,
            age_due: accepted + limits.age + limits.age * u32::from(spread) / 2560,
            header: limits.header,
            idle: limits.idle,
            state: Mutex::new(State { served: false, in_flight: 0, quiet_since: accepted, head_since: None }),
        })
    }

    /// A request began; it lasts until the guard goes.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        let mut state = self.state();
        state.served = true;
        state.in_flight += 1;
        state.head_since = None;
        drop(state);
        InFlight(Arc::clone(self))
    }

    /// Bytes came in.
    pub(super) fn heard(&self) {
        let mut state = self.state();
        if state.in_flight == 0 && state.head_since.is_none() {
            state.head_since = Some(Instant::now());
        }
    }

    pub(super) fn in_flight(&self) -> bool {
        self.state().in_flight > 0
    }

    pub(super) fn verdict(&self, now: Instant) -> Verdict {
        let state = self.state();
        let cut = match (state.head_since, state.served) {
            (Some(since), true) => Some(since + self.header),
            (Some(since), false) => Some(self.first_request_due.min(since + self.header)),
            (None, false) => Some(self.first_request_due),
            (None, true) => None,
        };
        if cut.is_some_and(|due| due <= now) {
            return Verdict::Cut;
        }
        let idle = (state.in_flight == 0).then(|| state.quiet_since + self.idle);
        let leave = idle.map_or(self.age_due, |due| due.min(self.age_due));
        if leave <= now {
            return Verdict::WindDown;
        }
        Verdict::Patience(cut.map_or(leave, |due| due.min(leave)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct InFlight(Arc<Pulse>);

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.in_flight -= 1;
        state.quiet_since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn silence_is_judged_by_what_came_before_it() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let pulse = Pulse::new(start, &Limits::default(), 0);
        assert_eq!(pulse.verdict(at(14)), Verdict::Patience(at(15)));
        assert_eq!(pulse.verdict(at(15)), Verdict::Cut);

        pulse.heard();
        let head = pulse.state().head_since.unwrap();
        assert_eq!(pulse.verdict(head + Duration::from_secs(10)), Verdict::Cut);

        let request = pulse.begin();
        assert_eq!(pulse.verdict(at(100)), Verdict::Patience(at(600)));
        drop(request);
        let quiet = pulse.state().quiet_since;
        assert_eq!(
            pulse.verdict(quiet + Duration::from_secs(59)),
            Verdict::Patience(quiet + Duration::from_secs(60))
        );
        assert_eq!(pulse.verdict(quiet + Duration::from_secs(60)), Verdict::WindDown);

        let _busy = pulse.begin();
        assert_eq!(pulse.verdict(at(600)), Verdict::WindDown);
    }

    #[test]
    fn ages_are_spread_by_a_tenth() {
        let start = Instant::now();
        let pulse = Pulse::new(start, &Limits::default(), 255);
        let age = pulse.age_due - start;
        assert!(age > Duration::from_secs(655) && age <= Duration::from_secs(660));
    }
}
