//! Which `(iss, jti)` have been used (protocol §3.4): the first use of an id is told apart from
//! every other, under any concurrency.
//!
//! Promises: an id is never forgotten before its time, whatever the load (no cache that evicts:
//! one was measured to let 99 of 100 replays through); when the memory is full, it says so and
//! the door answers 503. Leaves durability to the ledger, which commits a [`UsedId`] with the
//! answer's leaf, and hands the live ones back to [`Replay::load`] at the next start.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest;

use crate::clock::Now;

/// Ids remembered at once by default: 26 000 requests a second for their 150 s; ≈ 400 MB.
pub const MOST_LIVE_IDS: usize = 4_000_000;
/// Independent parts of the memory, so that cores do not wait for each other.
const SHARDS: usize = 64;
/// Ids are forgotten in steps of this many seconds: up to that much later than they could be.
const STEP: i64 = 16;

/// A used id as the store keeps it: no party's name, no jti, only digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UsedId {
    /// The first 16 bytes of SHA-256(iss ‖ 0x00 ‖ jti).
    pub key: [u8; 16],
    /// The first 16 bytes of SHA-256(`header.payload`).
    pub content: [u8; 16],
    /// From this second on the message itself is refused as expired ([`super::times::keep_until`]).
    pub expires: i64,
}

/// The answer to "is this the first use?".
#[derive(Debug)]
pub enum Claim {
    /// The first use, and it is yours.
    Fresh(FreshId),
    /// Used before, by a message that said the same.
    Repeat,
    /// Used before, by a message that said something else.
    Reuse,
    /// Cannot be remembered: must not be answered.
    Full,
}

/// The right to use an id, held once. Dropping it leaves the id used; see [`Replay::release`].
#[derive(Debug)]
#[must_use = "a fresh id is committed with the answer's leaf, or released"]
pub struct FreshId(UsedId);

impl FreshId {
    /// What the ledger commits with the answer.
    pub fn used(&self) -> UsedId {
        self.0
    }
}

/// The memory of used ids.
pub struct Replay {
    shards: Vec<Mutex<Shard>>,
    live: AtomicUsize,
    most: usize,
}

#[derive(Default)]
struct Shard {
    contents: HashMap<u128, u128>,
    /// Keys by the step in which they may be forgotten.
    by_step: BTreeMap<i64, Vec<u128>>,
}

impl Default for Replay {
    fn default() -> Self {
        Self::new(MOST_LIVE_IDS)
    }
}

impl Replay {
    /// An empty memory for at most `most` live ids.
    pub fn new(most: usize) -> Self {
        let shards = std::iter::repeat_with(Mutex::default).take(SHARDS).collect();
        Self { shards, live: AtomicUsize::new(0), most }
    }

    /// Claims the first use of `(iss, jti)` for a message with that content digest, remembered
    /// until `keep_until` (seconds, see [`super::times::keep_until`]) at least.
    pub fn claim(&self, iss: &str, jti: &str, content: &[u8; 32], keep_until: i64, now: Now) -> Claim {
        let used = UsedId { key: id_key(iss, jti), content: half(content), expires: keep_until };
        let (key, content) = (u128::from_be_bytes(used.key), u128::from_be_bytes(used.content));
        let mut shard = self.shard(key);
        self.forget(&mut shard, now);
        match shard.contents.get(&key) {
            Some(known) if *known == content => Claim::Repeat,
            Some(_) => Claim::Reuse,
            None if !self.take_room() => Claim::Full,
            None => {
                shard.insert(key, content, keep_until);
                Claim::Fresh(FreshId(used))
            }
        }
    }

    /// Gives an id back because nothing was recorded under it; only its holder can.
    pub fn release(&self, id: FreshId) {
        let FreshId(used) = id;
        let key = u128::from_be_bytes(used.key);
        let mut shard = self.shard(key);
        // Its step must forget it too, or it would later take a new use of the same id along.
        if let Some(keys) = shard.by_step.get_mut(&step_of(used.expires))
            && let Some(place) = keys.iter().position(|known| *known == key)
        {
            keys.swap_remove(place);
            shard.contents.remove(&key);
            self.live.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether the id with this key is claimed or used.
    pub fn is_used(&self, key: &[u8; 16]) -> bool {
        let key = u128::from_be_bytes(*key);
        self.shard(key).contents.contains_key(&key)
    }

    /// Takes in what the store remembers, at start. Returns how many are live.
    pub fn load(&self, used: impl IntoIterator<Item = UsedId>, now: Now) -> usize {
        for id in used.into_iter().filter(|id| id.expires >= now.secs()) {
            let key = u128::from_be_bytes(id.key);
            let mut shard = self.shard(key);
            if !shard.contents.contains_key(&key) {
                self.live.fetch_add(1, Ordering::Relaxed);
                shard.insert(key, u128::from_be_bytes(id.content), id.expires);
            }
        }
        self.live()
    }

    /// Forgets what may be forgotten; for a quiet hour, claims do it as they pass.
    pub fn sweep(&self, now: Now) {
        for shard in &self.shards {
            self.forget(&mut lock(shard), now);
        }
    }

    /// How many ids are remembered.
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    fn take_room(&self) -> bool {
        self.live
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |live| (live < self.most).then_some(live + 1))
            .is_ok()
    }

    fn forget(&self, shard: &mut Shard, now: Now) {
        while let Some(first) = shard.by_step.first_entry() {
            // Everything in this step expired before it ended.
            if first.key().saturating_add(1).saturating_mul(STEP) > now.secs() {
                return;
            }
            let keys = first.remove();
            self.live.fetch_sub(keys.len(), Ordering::Relaxed);
            for key in keys {
                shard.contents.remove(&key);
            }
            if shard.contents.len() < shard.contents.capacity() / 8 {
                shard.contents.shrink_to_fit();
            }
        }
    }

    fn shard(&self, key: u128) -> MutexGuard<'_, Shard> {
        let place = usize::from(key.to_be_bytes().last().copied().unwrap_or(0)) % SHARDS;
        #[expect(clippy::indexing_slicing, reason = "there are SHARDS shards and the place is modulo SHARDS")]
        lock(&self.shards[place])
    }
}

impl Shard {
    fn insert(&mut self, key: u128, content: u128, expires: i64) {
        self.contents.insert(key, content);
        self.by_step.entry(step_of(expires)).or_default().push(key);
    }
}

/// No invariant of a shard spans a panic, so a poisoned lock is only a lock.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn step_of(expires: i64) -> i64 {
    expires.div_euclid(STEP)
}

/// The key under which an id is known.
pub fn id_key(iss: &str, jti: &str) -> [u8; 16] {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(iss.as_bytes());
    hash.update(&[0]);
    hash.update(jti.as_bytes());
    half(hash.finish().as_ref())
}

fn half(digest: &[u8]) -> [u8; 16] {
    digest.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISS: &str = "urn:tongban:gw:331083";
    const A: [u8; 32] = [1; 32];
    const B: [u8; 32] = [2; 32];

    fn at(secs: i64) -> Now {
        Now::from_secs(secs)
    }

    #[test]
    fn the_first_use_is_fresh_the_same_again_a_repeat_and_another_a_reuse() {
        let replay = Replay::default();
        assert!(matches!(replay.claim(ISS, "j1", &A, 1_150, at(1_000)), Claim::Fresh(_)));
        assert!(matches!(replay.claim(ISS, "j1", &A, 1_150, at(1_000)), Claim::Repeat));
        assert!(matches!(replay.claim(ISS, "j1", &B, 1_150, at(1_000)), Claim::Reuse));
        assert!(matches!(replay.claim(ISS, "j2", &A, 1_150, at(1_000)), Claim::Fresh(_)));
        assert!(matches!(replay.claim("urn:tongban:gw:320922", "j1", &A, 1_150, at(1_000)), Claim::Fresh(_)));
    }

    #[test]
    fn iss_and_jti_cannot_run_into_each_other() {
        assert_ne!(id_key("ab", "c"), id_key("a", "bc"));
    }

    #[test]
    fn an_id_is_remembered_to_its_last_second_and_forgotten_soon_after() {
        for keep in 1_136..1_170 {
            let replay = Replay::default();
            assert!(matches!(replay.claim(ISS, "j", &A, keep, at(1_000)), Claim::Fresh(_)));
            assert!(matches!(replay.claim(ISS, "j", &A, keep, at(keep)), Claim::Repeat), "{keep}");
            replay.sweep(at(keep + STEP));
            assert_eq!(replay.live(), 0, "{keep}");
        }
    }

    #[test]
    fn a_clock_that_steps_back_forgets_nothing() {
        let replay = Replay::default();
        assert!(matches!(replay.claim(ISS, "j", &A, 10_000, at(9_900)), Claim::Fresh(_)));
        assert!(matches!(replay.claim(ISS, "k", &A, 6_500, at(6_300)), Claim::Fresh(_)));
        assert!(matches!(replay.claim(ISS, "j", &A, 10_000, at(9_990)), Claim::Repeat));
    }

    #[test]
    fn sixty_four_threads_find_exactly_one_first_use() {
        let replay = Replay::default();
        let gate = std::sync::Barrier::new(64);
        for round in 0..50 {
            let fresh: usize = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..64)
                    .map(|_| {
                        scope.spawn(|| {
                            gate.wait();
                            let claim = replay.claim(ISS, &format!("j{round}"), &A, 1_150, at(1_000));
                            usize::from(matches!(claim, Claim::Fresh(_)))
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            assert_eq!(fresh, 1);
        }
    }

    #[test]
    fn full_says_so_and_still_knows_what_it_knows() {
        let replay = Replay::new(100);
        for i in 0..100 {
            assert!(matches!(replay.claim(ISS, &format!("j{i}"), &A, 1_150, at(1_000)), Claim::Fresh(_)));
        }
        assert!(matches!(replay.claim(ISS, "one more", &A, 1_150, at(1_000)), Claim::Full));
        for i in 0..100 {
            assert!(matches!(replay.claim(ISS, &format!("j{i}"), &A, 1_150, at(1_000)), Claim::Repeat));
        }
        replay.sweep(at(1_200));
        assert!(matches!(replay.claim(ISS, "one more", &A, 1_350, at(1_200)), Claim::Fresh(_)));
    }

    #[test]
    fn a_released_id_is_fresh_again_and_its_new_use_outlives_the_old_ones_time() {
        let replay = Replay::default();
        let Claim::Fresh(id) = replay.claim(ISS, "j", &A, 1_150, at(1_000)) else { panic!() };
        replay.release(id);
        assert_eq!(replay.live(), 0);
        assert!(matches!(replay.claim(ISS, "j", &B, 5_000, at(1_000)), Claim::Fresh(_)));
        replay.sweep(at(4_000));
        assert!(matches!(replay.claim(ISS, "j", &B, 5_000, at(4_000)), Claim::Repeat));
    }

    #[test]
    fn a_dropped_right_leaves_the_id_used() {
        let replay = Replay::default();
        let Claim::Fresh(id) = replay.claim(ISS, "j", &A, 1_150, at(1_000)) else { panic!() };
        let FreshId(_) = id;
        assert!(matches!(replay.claim(ISS, "j", &A, 1_150, at(1_000)), Claim::Repeat));
    }

    #[test]
    fn what_the_store_kept_is_known_after_a_restart() {
        let before = Replay::default();
        let mut kept = Vec::new();
        for (jti, until) in [("old", 1_010), ("live", 1_150)] {
            let Claim::Fresh(id) = before.claim(ISS, jti, &A, until, at(1_000)) else { panic!() };
            kept.push(id.used());
        }
        let after = Replay::default();
        assert_eq!(after.load(kept.iter().chain(&kept).copied(), at(1_100)), 1);
        assert!(matches!(after.claim(ISS, "live", &A, 1_150, at(1_100)), Claim::Repeat));
        assert!(matches!(after.claim(ISS, "live", &B, 1_150, at(1_100)), Claim::Reuse));
        assert!(matches!(after.claim(ISS, "new", &B, 1_150, at(1_100)), Claim::Fresh(_)));
    }
}
