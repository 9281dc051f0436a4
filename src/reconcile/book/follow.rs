//! Follows the log: each leaf of an exchange is read once, and its place is noted under the
//! partner and moment at which it counts.

use rusqlite::{Connection, params};

use super::super::item::{Item, moment};
use super::super::window::KEPT;
use super::{Book, BookFault};
use crate::clock::Now;
use crate::ledger::{Glance, LeafKind, Ledger, Shard, StoredLeaf};

/// Leaves read at once: a commit's worth.
const BATCH: u64 = 1_024;

const NOTE: &str = "INSERT INTO item(peer, moment, x, asked, answered, shard, idx) \
    VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET answered=1, shard=?6, idx=?7 \
    WHERE answered=0 AND ?5=1";

impl Book {
    /// Reads on to the log's present end.
    pub fn follow(&self, ledger: &Ledger) -> Result<(), BookFault> {
        let followed = self.follow_all(ledger);
        self.rest()?;
        followed
    }

    fn follow_all(&self, ledger: &Ledger) -> Result<(), BookFault> {
        for shard in ledger.shards()? {
            let size = ledger.leaves_of(shard)?;
            let mut next = self.followed(shard)?;
            while next < size {
                let end = size.min(next + BATCH);
                let leaves = ledger.stored(shard, next..end)?;
                self.write_more(|connection| {
                    note_holes(connection, shard, next..end, &leaves)?;
                    leaves.iter().try_for_each(|stored| note(connection, shard, stored))?;
                    let sql = "INSERT INTO followed VALUES(?1, ?2) ON CONFLICT DO UPDATE SET next=?2";
                    connection.execute(sql, params![shard.to_string(), end.cast_signed()])
                })?;
                next = end;
            }
        }
        Ok(())
    }

    fn followed(&self, shard: Shard) -> Result<u64, BookFault> {
        let name = shard.to_string();
        let sql = "SELECT coalesce((SELECT next FROM followed WHERE shard=?), 0)";
        Ok(self.read(|c| c.query_row(sql, [name], |row| row.get::<_, i64>(0)))?.unsigned_abs())
    }

    /// Forgets places of exchanges that no window asks for any more.
    pub fn prune(&self, now: Now) -> Result<(), BookFault> {
        let old = now.secs() - KEPT;
        self.write(|c| c.execute("DELETE FROM item WHERE moment<?", [old])).map(drop)
    }
}

/// Leaves that should be there and are not; `at` is the time of the one before (seconds).
fn note_holes(
    connection: &Connection,
    shard: Shard,
    range: std::ops::Range<u64>,
    leaves: &[StoredLeaf],
) -> rusqlite::Result<()> {
    let missing = |first: u64, before: &[StoredLeaf]| {
        let readable = before.iter().rev().find_map(|stored| Glance::from_bytes(&stored.leaf));
        let at = readable.map_or(0, |leaf| leaf.ts.div_euclid(1000));
        let sql = "INSERT OR IGNORE INTO hole VALUES(?, ?, ?)";
        connection.execute(sql, params![shard.to_string(), first.cast_signed(), at]).map(drop)
    };
    let mut expected = range.start;
    for (place, stored) in leaves.iter().enumerate() {
        if stored.index != expected {
            missing(expected, leaves.get(..place).unwrap_or_default())?;
        }
        expected = stored.index + 1;
    }
    if expected != range.end { missing(expected, leaves) } else { Ok(()) }
}

fn note(connection: &Connection, shard: Shard, stored: &StoredLeaf) -> rusqlite::Result<()> {
    let Some(leaf) = Glance::from_bytes(&stored.leaf).filter(|leaf| !leaf.peer.is_empty()) else {
        return Ok(());
    };
    let Some((moment, item)) = moment(&leaf).zip(Item::of(&leaf)) else { return Ok(()) };
    let asked = leaf.t != LeafKind::In;
    let mut statement = connection.prepare_cached(NOTE)?;
    let place = (shard.to_string(), stored.index.cast_signed());
    statement
        .execute(params![leaf.peer, moment, item.x.as_slice(), asked, item.is_answered(), place.0, place.1])
        .map(drop)
}
