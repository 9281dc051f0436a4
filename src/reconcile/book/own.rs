//! Our side of a window, read from the leaves as they stand now.

use std::collections::HashSet;

use rusqlite::params;

use super::super::item::{Item, moment};
use super::super::window::Window;
use super::{Book, BookFault};
use crate::domain::Region;
use crate::ledger::tree::leaf_hash;
use crate::ledger::{Leaf, LeafKind, Ledger, Mark, Shard, StoredLeaf};

/// Exchanges with one partner that are compared at once: four thousand a second for a minute,
/// in some 40 MB.
pub const MOST_ITEMS: usize = 262_144;
/// Leaves of others that are read along rather than opening the file anew.
const MOST_BETWEEN: u64 = 256;
/// Leaves in one read.
const MOST_IN_A_READ: u64 = 4_096;
/// Missing leaves this near to a window (seconds) may have been of it: a parcel's moment is a
/// day after its `iat`, and it may be answered at any time between.
const NEAR: i64 = 2 * 86_400;

/// An exchange of ours and where its leaf stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mine {
    pub item: Item,
    /// We asked; else the partner did.
    pub asked: bool,
    pub at: Mark,
    /// The leaf has the hash that is stored with it.
    pub sound: bool,
}

/// Our side of a window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// In the order of their items.
    pub answered: Vec<Mine>,
    /// Sent by us, without a signed answer.
    pub unanswered: Vec<Mine>,
    /// Ids of exchanges that stood in the log once.
    pub lost: HashSet<[u8; 16]>,
    /// Leaves of about this time are missing.
    pub holes: bool,
}

struct Place {
    x: [u8; 16],
    moment: i64,
    asked: bool,
    at: Mark,
}

impl Book {
    /// Reads our side of a window with a partner. [`Book::follow`] comes first.
    pub fn own(&self, ledger: &Ledger, peer: Region, window: Window) -> Result<Own, BookFault> {
        let mut places = self.places(peer, window)?;
        places.sort_unstable_by_key(|place| place.at);
        let mut own = Own { holes: self.holes_near(window)?, ..Own::default() };
        let mut rest = places.as_slice();
        while let Some(first) = rest.first() {
            let together = rest.windows(2).take_while(|pair| near(pair, first.at)).count() + 1;
            let (run, more) = rest.split_at(together);
            rest = more;
            let end = run.last().map_or(first.at.index, |last| last.at.index) + 1;
            let leaves = ledger.stored(first.at.shard, first.at.index..end)?;
            for place in run {
                let stored = leaves.binary_search_by_key(&place.at.index, |stored| stored.index).ok();
                own.take(place, peer, stored.and_then(|at| leaves.get(at)));
            }
        }
        own.answered.sort_unstable_by_key(|mine| mine.item);
        own.unanswered.sort_unstable_by_key(|mine| mine.item);
        Ok(own)
    }

    fn places(&self, peer: Region, window: Window) -> Result<Vec<Place>, BookFault> {
        let sql =
            "SELECT x, moment, asked, shard, idx FROM item WHERE peer=? AND moment>=? AND moment<? LIMIT ?";
        let most = i64::try_from(MOST_ITEMS + 1).unwrap_or(i64::MAX);
        let places = self.read(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![peer.as_str(), window.from, window.to, most], |row| {
                let shard = Shard::parse(&row.get::<_, String>(3)?);
                let index = row.get::<_, i64>(4)?.unsigned_abs();
                let (x, moment, asked) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok(shard.map(|shard| Place { x, moment, asked, at: Mark { shard, index } }))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })?;
        if places.len() > MOST_ITEMS {
            return Err(BookFault::TooMany);
        }
        places.into_iter().collect::<Option<_>>().ok_or(BookFault::Row)
    }

    fn holes_near(&self, window: Window) -> Result<bool, BookFault> {
        let sql = "SELECT EXISTS(SELECT 1 FROM hole WHERE at=0 OR (at>=? AND at<?))";
        self.read(|c| c.query_row(sql, [window.from - NEAR, window.to + NEAR], |row| row.get(0)))
    }
}

fn near(pair: &[Place], first: Mark) -> bool {
    let [a, b] = pair else { return false };
    a.at.shard == b.at.shard
        && b.at.index - a.at.index <= MOST_BETWEEN
        && b.at.index - first.index < MOST_IN_A_READ
}

impl Own {
    /// The leaf of an exchange as it is now: of the same exchange, or lost.
    fn take(&mut self, place: &Place, peer: Region, stored: Option<&StoredLeaf>) {
        let read = stored.and_then(|stored| {
            let leaf = Leaf::from_bytes(&stored.leaf)?;
            let leaf = leaf.glance();
            let item = Item::of(&leaf).filter(|item| item.x == place.x)?;
            let same = leaf.peer == peer.as_str()
                && moment(&leaf) == Some(place.moment)
                && (leaf.t != LeafKind::In) == place.asked;
            let sound = leaf_hash(&stored.leaf) == stored.hash;
            same.then_some(Mine { item, asked: place.asked, at: place.at, sound })
        });
        match read {
            Some(mine) if mine.item.is_answered() => self.answered.push(mine),
            Some(mine) => self.unanswered.push(mine),
            None => drop(self.lost.insert(place.x)),
        }
    }

    /// Our items as they count.
    pub fn items(&self) -> Vec<Item> {
        self.answered.iter().map(|mine| mine.item).collect()
    }

    /// Everything the partner should see: also what we sent without an answer.
    pub fn list(&self) -> Vec<Item> {
        let mut all: Vec<Item> = self.answered.iter().chain(&self.unanswered).map(|mine| mine.item).collect();
        all.sort_unstable();
        all
    }
}
