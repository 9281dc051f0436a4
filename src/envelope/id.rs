//! New ids. Their randomness is drawn in blocks: asking the system for each costs more than
//! everything else about an id.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::{Builder, Uuid};

/// Octets of a UUIDv7 that its time leaves free.
const FREE: usize = 10;
/// Ids out of one block: some hundred make the drawing cheap, and a block is 1 KiB a thread.
const IDS: usize = 100;

struct Block {
    octets: [u8; FREE * IDS],
    used: usize,
}

thread_local! {
    static BLOCK: RefCell<Block> = const { RefCell::new(Block { octets: [0; FREE * IDS], used: FREE * IDS }) };
}

impl Block {
    /// Each octet is given once.
    fn next(&mut self) -> Option<[u8; FREE]> {
        if self.used >= self.octets.len() {
            aws_lc_rs::rand::fill(&mut self.octets).ok()?;
            self.used = 0;
        }
        let next = self.octets.get(self.used..)?.first_chunk().copied()?;
        self.used += FREE;
        Some(next)
    }
}

/// A UUIDv7: sorts by time, to the millisecond.
fn fresh() -> Uuid {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    match BLOCK.with_borrow_mut(Block::next) {
        Some(random) => Builder::from_unix_timestamp_millis(millis, &random).into_uuid(),
        None => Uuid::now_v7(),
    }
}

/// The id of an answer, with its dashes.
pub fn new_answer_id() -> String {
    fresh().to_string()
}

/// A server-made id that ties a refusal to our log.
pub fn new_trace() -> String {
    fresh().simple().to_string()
}

/// A new message id: a UUIDv7 with its dashes, so that ids sort by time, also within a millisecond.
pub fn new_message_id() -> String {
    Uuid::now_v7().to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::envelope::is_message_id;

    #[test]
    fn no_two_ids_are_alike_over_several_blocks_and_threads() {
        let draw = || (0..3 * IDS + 7).map(|_| new_answer_id()).collect::<Vec<_>>();
        let ids: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(draw)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        // Nor is their random part: what differs is more than the time.
        let random: HashSet<&str> = ids.iter().filter_map(|id| id.get(19..)).collect();
        assert_eq!(random.len(), ids.len());
    }

    #[test]
    fn ids_are_uuids_of_now_and_well_formed_message_ids() {
        for _ in 0..2 * IDS {
            let id = Uuid::parse_str(&new_answer_id()).unwrap();
            assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
            let (secs, _) = id.get_timestamp().unwrap().to_unix();
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            assert!(now.abs_diff(secs) <= 1);
        }
        assert!(is_message_id(&new_answer_id()) && is_message_id(&new_message_id()));
        assert_eq!(new_trace().len(), 32);
    }
}
