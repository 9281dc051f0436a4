//! The commit that a power cut interrupted.
//!
//! The leaves of a commit and their evidence are flushed side by side, so a power cut may keep the
//! leaves and lose the evidence. Nobody has been answered then and no checkpoint covers them, so the
//! whole commit is taken back: a leaf whose evidence is missing would look like one that somebody
//! took it from. Evidence without leaves goes when its vault is opened ([`super::vault`]).
//!
//! Promises: only the last commit of the newest log is ever taken back, and never what a signed
//! checkpoint covers; evidence that is missing elsewhere stays missing, for `audit verify` to tell.

use std::path::Path;

use rusqlite::TransactionBehavior;

use super::super::{Heads, Month, RetentionClass, Shard, Shelf as _, StoreFault};
use super::rest::rest;
use super::shelf::SqliteShelf;
use super::vault::Vaults;
use super::{batch, engine, month_path, open_writer, sqlite_fault};

/// Takes back the last commit if evidence of it is missing.
pub(super) fn take_back(root: &Path, heads: &mut dyn Heads) -> Result<(), StoreFault> {
    let shelf = SqliteShelf::new(root.to_owned());
    let Some(shard) = shelf.shards()?.pop() else { return Ok(()) };
    let Some(month) = shelf.newest_month(shard)? else { return Ok(()) };
    let Some((first, sealed)) = shelf.month(shard, month)?.read(batch::last)? else { return Ok(()) };
    let covered = heads.head(shard)?.map_or(0, |head| head.size);
    // A vault that cannot be read says nothing: its file is damaged, not behind.
    let there = evidence_from(root, shard, month, first).unwrap_or(sealed);
    if first < covered || there >= sealed {
        return Ok(());
    }
    let path = month_path(root, shard, month);
    let mut connection = open_writer(&path, engine::SCHEMA)?;
    let mut take = || -> rusqlite::Result<usize> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let leaves = transaction.execute("DELETE FROM leaf WHERE idx>=?", [first.cast_signed()])?;
        transaction.execute("DELETE FROM deed WHERE idx>=?", [first.cast_signed()])?;
        transaction.execute("DELETE FROM batch WHERE first>=?", [first.cast_signed()])?;
        transaction.commit()?;
        Ok(leaves)
    };
    let leaves = take().map_err(|e| sqlite_fault("take back", &path, &e))?;
    rest(&connection, &path)?;
    tracing::warn!(first, leaves, "a commit that was cut off was taken back: nobody had been answered");
    Ok(())
}

fn evidence_from(root: &Path, shard: Shard, month: Month, first: u64) -> Result<u64, StoreFault> {
    let vaults = Vaults::below(root);
    RetentionClass::ALL.into_iter().try_fold(0, |sum, class| {
        let vault = vaults.open(shard, month, class)?;
        Ok(sum + vault.map(|vault| vault.sound_rows_from(first)).transpose()?.unwrap_or(0))
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use aws_lc_rs::digest::{SHA256, digest};
    use rusqlite::Connection;

    use super::super::super::{Engine as _, Head, Mark, Row, VaultRow, WrappedEpoch};
    use super::super::{SqliteEngine, SqliteHeads};
    use super::*;
    use crate::clock::Now;

    struct Place {
        dir: tempfile::TempDir,
        shard: Shard,
        month: Month,
    }

    impl Place {
        /// Three commits: 0 to 3, 4 to 7, 8 to 11; every other leaf has evidence, of either class.
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let (shard, month) = (Shard::parse("2026h2").unwrap(), Month::parse("2026-11").unwrap());
            let mut engine = SqliteEngine::new(dir.path().to_owned());
            let epoch = Arc::new(WrappedEpoch { id: 1, wrapped: "{}".into() });
            let row = |index: u64| Row {
                kind: "in",
                deed: (index % 4 == 1).then(|| b"deed".to_vec()),
                vault: index.is_multiple_of(2).then(|| VaultRow {
                    class: RetentionClass::ALL[usize::from(index % 4 == 2)],
                    epoch: epoch.clone(),
                    r: [1; 32],
                    tokens: Vec::new(),
                    ev: digest(&SHA256, &[3; 5_000]).as_ref().try_into().unwrap(),
                    sealed: vec![3; 5_000],
                }),
                ..Row::default()
            };
            for first in [0, 4, 8] {
                let rows: Vec<Row> = (first..first + 4).map(row).collect();
                engine.append(shard, month, first, &rows).unwrap();
            }
            Self { dir, shard, month }
        }

        fn rows(&self, class: RetentionClass) -> PathBuf {
            self.dir.path().join(format!("2026h2/{}.{}.sealed", self.month, class.name()))
        }

        /// As of a write that reached the disk but for one sector.
        fn lose(&self, class: RetentionClass, index: u64) {
            let mut bytes = std::fs::read(self.rows(class)).unwrap();
            let begins = [b"evidence".as_slice(), &index.to_be_bytes()].concat();
            let at = bytes.windows(16).position(|piece| piece == begins).unwrap();
            bytes[at + 1024..at + 1536].fill(0);
            std::fs::write(self.rows(class), bytes).unwrap();
        }

        fn opened(&self, covered: u64) -> (u64, Vec<Mark>) {
            let mut heads = SqliteHeads::open(&self.dir.path().join("state.db")).unwrap();
            if covered > 0 {
                let head = Head { size: covered, note: b"note".to_vec() };
                heads.advance(self.shard, 0, &head, Now::from_secs(0)).unwrap();
            }
            take_back(self.dir.path(), &mut heads).unwrap();
            let shelf = SqliteShelf::new(self.dir.path().to_owned());
            let deeds = shelf.deeds().unwrap().into_iter().map(|deed| deed.at).collect();
            (shelf.size(self.shard).unwrap(), deeds)
        }

        fn deeds(&self, of: &[u64]) -> Vec<Mark> {
            of.iter().map(|index| Mark { shard: self.shard, index: *index }).collect()
        }
    }

    #[test]
    fn the_last_commit_is_taken_back_whole_when_any_of_its_evidence_is_missing() {
        for (class, index) in [(RetentionClass::ALL[0], 8), (RetentionClass::ALL[1], 10)] {
            let place = Place::new();
            assert_eq!(place.opened(0), (12, place.deeds(&[1, 5, 9])), "nothing is missing");
            place.lose(class, index);
            assert_eq!(place.opened(0), (8, place.deeds(&[1, 5])));
            assert_eq!(place.opened(0), (8, place.deeds(&[1, 5])), "and nothing more at the next start");
        }
    }

    #[test]
    fn nothing_else_is_ever_taken_back() {
        let place = Place::new();
        place.lose(RetentionClass::ALL[0], 4);
        assert_eq!(place.opened(0).0, 12, "evidence of an earlier commit");
        place.lose(RetentionClass::ALL[0], 8);
        assert_eq!(place.opened(9).0, 12, "a checkpoint covers it");
        let place = Place::new();
        place.lose(RetentionClass::ALL[0], 8);
        let vault = place.dir.path().join(format!("2026h2/2026-11.{}.db", RetentionClass::ALL[1].name()));
        std::fs::write(&vault, vec![7; 8_192]).unwrap();
        std::fs::remove_file(super::super::flush::wal_path(&vault)).unwrap();
        assert_eq!(place.opened(0).0, 12, "a vault that cannot be read");
    }

    #[test]
    fn evidence_without_a_leaf_goes_from_the_vaults_of_every_class() {
        let place = Place::new();
        let month = Connection::open(month_path(place.dir.path(), place.shard, place.month)).unwrap();
        month.execute_batch("DELETE FROM leaf WHERE idx>=8; DELETE FROM batch WHERE first>=8").unwrap();
        let mut engine = SqliteEngine::new(place.dir.path().to_owned());
        engine.append(place.shard, place.month, 8, &[Row { kind: "in", ..Row::default() }]).unwrap();
        drop(engine);
        for class in RetentionClass::ALL {
            let vault =
                Vaults::below(place.dir.path()).open(place.shard, place.month, class).unwrap().unwrap();
            assert_eq!(vault.sound_rows_from(8).unwrap(), 0, "{class:?}");
        }
    }

    #[test]
    fn a_log_goes_on_behind_what_was_taken_back() {
        let place = Place::new();
        place.lose(RetentionClass::ALL[0], 8);
        assert_eq!(place.opened(0).0, 8);
        let mut engine = SqliteEngine::new(place.dir.path().to_owned());
        engine.append(place.shard, place.month, 8, &[Row { kind: "in", ..Row::default() }]).unwrap();
        assert_eq!(place.opened(0).0, 9);
        let vaults = Vaults::below(place.dir.path());
        for class in RetentionClass::ALL {
            let vault = vaults.open(place.shard, place.month, class).unwrap().unwrap();
            assert_eq!(vault.sound_rows_from(8).unwrap(), 0, "evidence of nobody's leaf");
        }
    }
}
