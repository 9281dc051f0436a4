//! What a commit waits for the disk, as its thread sees it from outside.
//!
//! Promises: an estimate for how many leaves a commit should hold, nothing more.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Of so many commits the quickest tells what the disk takes; the others had to wait for a core, too.
const COMMITS_LOOKED_BACK: usize = 8;

/// How long the last commits only waited for the disk.
pub(super) struct Waits {
    last: [Duration; COMMITS_LOOKED_BACK],
    next: usize,
}

impl Default for Waits {
    fn default() -> Self {
        Self { last: [Duration::ZERO; COMMITS_LOOKED_BACK], next: 0 }
    }
}

impl Waits {
    pub fn add(&mut self, waited: Duration) {
        if let Some(place) = self.last.get_mut(self.next) {
            *place = waited;
        }
        self.next = (self.next + 1) % COMMITS_LOOKED_BACK;
    }

    /// What the disk takes: nothing before so many commits were seen.
    pub fn least(&self) -> Duration {
        self.last.iter().min().copied().unwrap_or_default()
    }
}

/// A watch for what a thread waits, its own work left out.
pub(super) struct Watch {
    begun: Instant,
    worked: Duration,
}

impl Watch {
    pub fn begin() -> Self {
        Self { begun: Instant::now(), worked: worked() }
    }

    pub fn took(&self) -> Duration {
        self.begun.elapsed()
    }

    pub fn waited(&self) -> Duration {
        self.took().saturating_sub(worked().saturating_sub(self.worked))
    }
}

/// CPU time of this thread.
fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWENTY: Duration = Duration::from_millis(20);

    #[test]
    fn the_quickest_of_the_last_commits_tells_what_the_disk_takes() {
        let mut waits = Waits::default();
        let slow = |waits: &mut Waits, commits| (0..commits).for_each(|_| waits.add(TWENTY));
        slow(&mut waits, COMMITS_LOOKED_BACK - 1);
        assert_eq!(waits.least(), Duration::ZERO, "too few were seen");
        slow(&mut waits, 1);
        assert_eq!(waits.least(), TWENTY);
        waits.add(Duration::from_micros(90));
        slow(&mut waits, COMMITS_LOOKED_BACK - 1);
        assert_eq!(waits.least(), Duration::from_micros(90));
        slow(&mut waits, 1);
        assert_eq!(waits.least(), TWENTY);
    }

    #[test]
    fn a_watch_counts_what_was_waited_and_not_what_was_worked() {
        let watch = Watch::begin();
        std::thread::sleep(TWENTY);
        assert!(watch.waited() >= TWENTY);
        let (watch, begun) = (Watch::begin(), worked());
        while worked() - begun < TWENTY {
            std::hint::spin_loop();
        }
        let waited = watch.waited();
        assert!(watch.took() - waited >= TWENTY);
    }
}
