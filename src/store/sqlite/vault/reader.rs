//! Reading vaults, beside their writer or on a copy.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::super::shelf::names;
use super::super::{month_file, open_reader, sqlite_fault};
use super::{row_sum, vault_path, whole_row_sum};
use crate::store::{Mark, Month, RetentionClass, Shard, StoreFault};

/// The vaults below a data directory.
#[derive(Clone, Debug)]
pub struct Vaults {
    root: PathBuf,
}

/// A row read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredVault {
    pub index: u64,
    pub epoch: i64,
    pub r: Vec<u8>,
    pub tokens: Vec<u8>,
    pub sealed: Vec<u8>,
    /// The row is as it was written.
    pub sum_fits: bool,
}

/// One vault, open for reading.
pub struct VaultFile {
    pub shard: Shard,
    pub month: Month,
    pub class: RetentionClass,
    path: PathBuf,
    connection: Connection,
}

/// The vaults of a log, oldest first.
pub(super) fn vaults_of(root: &Path, shard: Shard) -> Result<Vec<(Month, RetentionClass)>, StoreFault> {
    let mut found: Vec<_> = names(&root.join(shard.to_string()))?
        .iter()
        .filter_map(|name| {
            let (month, class) = name.strip_suffix(".db")?.split_once('.')?;
            Month::parse(month).zip(RetentionClass::parse(class))
        })
        .filter(|(month, _)| month.shard() <= shard)
        .collect();
    found.sort_unstable();
    Ok(found)
}

impl Vaults {
    pub fn of_data_dir(data: &Path) -> Self {
        Self::below(&data.join("ledger"))
    }

    pub(in super::super) fn below(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Months and classes that have a vault in this log, oldest first.
    pub fn list(&self, shard: Shard) -> Result<Vec<(Month, RetentionClass)>, StoreFault> {
        vaults_of(&self.root, shard)
    }

    pub fn open(
        &self,
        shard: Shard,
        month: Month,
        class: RetentionClass,
    ) -> Result<Option<VaultFile>, StoreFault> {
        let path = vault_path(&self.root, shard, month, class);
        if !path.exists() {
            return Ok(None);
        }
        let connection = open_reader(&path)?;
        // A stop between making the file and its tables.
        let begun: bool = connection
            .query_row("SELECT EXISTS(SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))
            .map_err(|e| sqlite_fault("read", &path, &e))?;
        Ok(begun.then_some(VaultFile { shard, month, class, path, connection }))
    }

    /// The row of a leaf with its vault; `None` when it was erased, dropped or never was.
    pub fn row(&self, at: Mark) -> Result<Option<(VaultFile, StoredVault)>, StoreFault> {
        for (month, class) in self.list(at.shard)? {
            let Some(file) = self.open(at.shard, month, class)? else { continue };
            if let Some(row) = file.row(at.index)? {
                return Ok(Some((file, row)));
            }
        }
        Ok(None)
    }
}

impl VaultFile {
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreFault> {
        read(&self.connection).map_err(|e| sqlite_fault("read", &self.path, &e))
    }

    pub fn row(&self, index: u64) -> Result<Option<StoredVault>, StoreFault> {
        self.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT idx, epoch, r, tokens, sealed, sum FROM vault WHERE idx=?")?;
            statement.query_row([index.cast_signed()], stored).optional()
        })
    }

    /// Every row from `from` on, in order.
    pub fn walk(&self, from: u64, mut visit: impl FnMut(StoredVault)) -> Result<(), StoreFault> {
        self.read(|connection| {
            let mut statement = connection
                .prepare("SELECT idx, epoch, r, tokens, sealed, sum FROM vault WHERE idx>=? ORDER BY idx")?;
            let mut rows = statement.query([from.cast_signed()])?;
            while let Some(row) = rows.next()? {
                visit(stored(row)?);
            }
            Ok(())
        })
    }

    /// At most `most` indices with their tokens from `from` on, without the evidence.
    pub fn tokens_from(&self, from: u64, most: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreFault> {
        self.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT idx, tokens FROM vault WHERE idx>=? ORDER BY idx LIMIT ?")?;
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let rows = statement.query_map((from.cast_signed(), most), |row| {
                Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get(1)?))
            })?;
            rows.collect()
        })
    }

    /// Does it hold the row of this leaf?
    pub fn holds(&self, index: u64) -> Result<bool, StoreFault> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT EXISTS(SELECT 1 FROM vault WHERE idx=?)")?;
            statement.query_row([index.cast_signed()], |row| row.get(0))
        })
    }

    /// How many rows it holds from `from` on.
    pub(in super::super) fn rows_from(&self, from: u64) -> Result<u64, StoreFault> {
        let counted = "SELECT count(*) FROM vault WHERE idx>=?";
        self.read(|c| c.query_row(counted, [from.cast_signed()], |row| row.get::<_, i64>(0)))
            .map(i64::unsigned_abs)
    }

    /// How many rows it holds.
    pub fn rows(&self) -> Result<u64, StoreFault> {
        self.read(|c| c.query_row("SELECT count(*) FROM vault", [], |row| row.get::<_, i64>(0)))
            .map(i64::unsigned_abs)
    }

    /// The secrets of a range, without the evidence.
    pub fn secrets(&self, range: Range<u64>, mut visit: impl FnMut(u64, &[u8])) -> Result<(), StoreFault> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT idx, r FROM vault WHERE idx>=? AND idx<? ORDER BY idx")?;
            let mut rows = statement.query([range.start.cast_signed(), range.end.cast_signed()])?;
            while let Some(row) = rows.next()? {
                visit(row.get::<_, i64>(0)?.unsigned_abs(), row.get_ref(1)?.as_blob()?);
            }
            Ok(())
        })
    }

    /// The wrapped key of an epoch.
    pub fn epoch(&self, id: i64) -> Result<Option<String>, StoreFault> {
        self.read(|connection| {
            connection.query_row("SELECT wrapped FROM epoch WHERE id=?", [id], |row| row.get(0)).optional()
        })
    }

    pub fn epochs(&self) -> Result<BTreeMap<i64, String>, StoreFault> {
        self.read(|connection| {
            let mut statement = connection.prepare("SELECT id, wrapped FROM epoch ORDER BY id")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        })
    }

    /// Rows under a legal hold, each with the leaf that ordered it.
    pub fn held(&self) -> Result<BTreeMap<u64, Mark>, StoreFault> {
        self.ordered("SELECT idx, shard, leaf FROM hold")
    }

    /// Rows that were erased by order, each with the leaf that ordered it.
    pub fn erased(&self) -> Result<BTreeMap<u64, Mark>, StoreFault> {
        self.ordered("SELECT idx, shard, leaf FROM erased")
    }

    /// First and last index; `None` when it holds no row.
    pub fn span(&self) -> Result<Option<(u64, u64)>, StoreFault> {
        let (first, last): (Option<i64>, Option<i64>) = self.read(|c| {
            c.query_row("SELECT (SELECT min(idx) FROM vault), (SELECT max(idx) FROM vault)", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
        })?;
        Ok(first.zip(last).map(|(first, last)| (first.unsigned_abs(), last.unsigned_abs())))
    }

    /// What SQLite's own integrity check finds; empty when all is well.
    pub fn integrity(&self) -> Result<Vec<String>, StoreFault> {
        self.read(month_file::integrity_of)
    }

    fn ordered(&self, sql: &str) -> Result<BTreeMap<u64, Mark>, StoreFault> {
        self.read(|connection| {
            let mut statement = connection.prepare(sql)?;
            let rows = statement.query_map([], |row| {
                let shard = Shard::parse(row.get_ref(1)?.as_str()?).ok_or(rusqlite::Error::InvalidQuery)?;
                let index = row.get::<_, i64>(2)?.unsigned_abs();
                Ok((row.get::<_, i64>(0)?.unsigned_abs(), Mark { shard, index }))
            })?;
            rows.collect()
        })
    }
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredVault> {
    let (index, epoch): (i64, i64) = (row.get(0)?, row.get(1)?);
    let (r, tokens, sealed): (Vec<u8>, Vec<u8>, Vec<u8>) = (row.get(2)?, row.get(3)?, row.get(4)?);
    let (sum, mut ev): (i64, _) = (row.get(5)?, [0; 32]);
    ev.copy_from_slice(digest(&SHA256, &sealed).as_ref());
    let sum_fits = sum == row_sum(index, epoch, &r, &tokens, &ev)
        || sum == whole_row_sum(index, epoch, &r, &tokens, &sealed);
    Ok(StoredVault { index: index.unsigned_abs(), epoch, r, tokens, sealed, sum_fits })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::VaultHand;
    use super::*;
    use crate::store::{Row, VaultRow, WrappedEpoch};

    #[test]
    fn a_changed_row_is_told_from_a_true_one_also_where_its_sum_is_of_the_older_kind() {
        let dir = tempfile::tempdir().unwrap();
        let (shard, month) = (Shard::parse("2026h2").unwrap(), Month::parse("2026-11").unwrap());
        let sealed = vec![7; 5_000];
        let vault = VaultRow {
            class: RetentionClass::Provision,
            epoch: Arc::new(WrappedEpoch { id: 1, wrapped: "{}".into() }),
            r: [1; 32],
            tokens: vec![1; 17],
            ev: digest(&SHA256, &sealed).as_ref().try_into().unwrap(),
            sealed: sealed.clone(),
        };
        let row = Row { kind: "in", vault: Some(vault.clone()), ..Row::default() };
        VaultHand::default().append(&dir.path().join("ledger"), shard, month, 0, &[row]).unwrap();
        let vaults = Vaults::of_data_dir(dir.path());
        let at = Mark { shard, index: 0 };
        let (file, stored) = vaults.row(at).unwrap().unwrap();
        assert!(stored.sum_fits);
        let older = whole_row_sum(0, 1, &vault.r, &vault.tokens, &sealed);
        let writer = Connection::open(&file.path).unwrap();
        for (sql, fits) in [
            ("UPDATE vault SET sum=?", true),
            ("UPDATE vault SET sum=?, sealed=zeroblob(5000)", false),
            ("UPDATE vault SET sum=?+1", false),
        ] {
            writer.execute(sql, [older]).unwrap();
            assert_eq!(vaults.row(at).unwrap().unwrap().1.sum_fits, fits, "{sql}");
        }
    }

    #[test]
    fn a_vault_begun_now_has_large_pages_and_one_begun_before_keeps_its_own() {
        for (before, pages) in [(None, 32 * 1024), (Some(4096), 4096)] {
            let dir = tempfile::tempdir().unwrap();
            let (shard, month) = (Shard::parse("2026h2").unwrap(), Month::parse("2026-11").unwrap());
            let root = dir.path().join("ledger");
            let path = super::super::vault_path(&root, shard, month, RetentionClass::Other);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            if let Some(page) = before {
                drop(super::super::super::open_unflushed(&path, super::super::SCHEMA, page).unwrap());
            }
            let vault = VaultRow {
                class: RetentionClass::Other,
                epoch: Arc::new(WrappedEpoch { id: 1, wrapped: "{}".into() }),
                r: [1; 32],
                tokens: Vec::new(),
                ev: digest(&SHA256, &[7; 5_000]).as_ref().try_into().unwrap(),
                sealed: vec![7; 5_000],
            };
            let row = Row { kind: "in", vault: Some(vault), ..Row::default() };
            VaultHand::default().append(&root, shard, month, 0, &[row]).unwrap();
            let (file, stored) =
                Vaults::of_data_dir(dir.path()).row(Mark { shard, index: 0 }).unwrap().unwrap();
            let page: u32 = file.connection.pragma_query_value(None, "page_size", |row| row.get(0)).unwrap();
            assert!(page == pages && stored.sum_fits && stored.sealed == [7; 5_000], "{page}");
        }
    }
}
