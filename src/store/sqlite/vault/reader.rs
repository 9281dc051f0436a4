//! Reading vaults, beside their writer or on a copy.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _};

use super::super::shelf::names;
use super::super::{file_fault, month_file, open_reader, sqlite_fault};
use super::rows::Rows;
use super::{older, rows_path, vault_path};
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
    /// `None` where none has been written.
    rows: Option<Rows>,
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
        if !begun {
            return Ok(None);
        }
        if older::is_older(&connection).map_err(|e| sqlite_fault("read", &path, &e))? {
            return Err(StoreFault::Older { path: path.display().to_string() });
        }
        let rows = match File::open(rows_path(&path)) {
            Ok(file) => Some(Rows::of(file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(file_fault(&rows_path(&path), &e)),
        };
        Ok(Some(VaultFile { shard, month, class, path, connection, rows }))
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

    /// What `read` finds in the rows; the default where there are none.
    fn rows<T: Default>(&self, read: impl FnOnce(&Rows) -> io::Result<T>) -> Result<T, StoreFault> {
        let Some(rows) = &self.rows else { return Ok(T::default()) };
        read(rows).map_err(|e| file_fault(&rows_path(&self.path), &e))
    }

    pub fn row(&self, index: u64) -> Result<Option<StoredVault>, StoreFault> {
        self.rows(|rows| rows.row(index))
    }

    /// Every row from `from` on, in order. [`StoreFault::Damaged`], behind the last, if there is anything
    /// else but rows.
    pub fn walk(&self, from: u64, mut visit: impl FnMut(StoredVault)) -> Result<(), StoreFault> {
        let damaged = self.rows(|rows| {
            let mut cursor = rows.starting_at(from, true)?;
            while let Some((at, head)) = cursor.next()? {
                cursor.whole(at, &head)?.into_iter().for_each(&mut visit);
            }
            Ok(cursor.damaged)
        })?;
        if damaged {
            return Err(StoreFault::Damaged { path: rows_path(&self.path).display().to_string(), code: 0 });
        }
        Ok(())
    }

    /// At most `most` indices with their tokens from `from` on, without the evidence.
    pub fn tokens_from(&self, from: u64, most: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreFault> {
        self.rows(|rows| {
            let (mut cursor, mut found) = (rows.starting_at(from, false)?, Vec::new());
            while found.len() < most
                && let Some((at, head)) = cursor.next()?
            {
                if !head.is_erased() {
                    found.push((head.index, cursor.tokens(at, &head)?.to_vec()));
                }
            }
            Ok(found)
        })
    }

    /// Does it hold the row of this leaf?
    pub fn holds(&self, index: u64) -> Result<bool, StoreFault> {
        Ok(self.row(index)?.is_some())
    }

    /// How many rows it holds from `from` on that are as they were written.
    pub(in super::super) fn sound_rows_from(&self, from: u64) -> Result<u64, StoreFault> {
        let mut sound = 0;
        let walked = self.walk(from, |row| sound += u64::from(row.sum_fits));
        match walked {
            Ok(()) | Err(StoreFault::Damaged { .. }) => Ok(sound),
            Err(fault) => Err(fault),
        }
    }

    /// How many rows it holds.
    pub fn count(&self) -> Result<u64, StoreFault> {
        self.heads(0..u64::MAX, |count: &mut u64, _, _| *count += 1)
    }

    /// The secrets of a range, without the evidence.
    pub fn secrets(&self, range: Range<u64>, mut visit: impl FnMut(u64, &[u8])) -> Result<(), StoreFault> {
        self.heads(range, |(), index, r| visit(index, r))
    }

    /// First and last index; `None` when it holds no row.
    pub fn span(&self) -> Result<Option<(u64, u64)>, StoreFault> {
        self.heads(0..u64::MAX, |span: &mut Option<(u64, u64)>, index, _| {
            *span = Some((span.map_or(index, |(first, _)| first), index));
        })
    }

    /// What `visit` makes of the indices and secrets of a range.
    fn heads<T: Default>(
        &self,
        range: Range<u64>,
        mut visit: impl FnMut(&mut T, u64, &[u8]),
    ) -> Result<T, StoreFault> {
        self.rows(|rows| {
            let (mut cursor, mut made) = (rows.starting_at(range.start, false)?, T::default());
            while let Some((_, head)) = cursor.next()?.filter(|(_, head)| head.index < range.end) {
                if !head.is_erased() {
                    visit(&mut made, head.index, &head.r);
                }
            }
            Ok(made)
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;
    use std::sync::Arc;

    use aws_lc_rs::digest::{SHA256, digest};

    use super::super::VaultHand;
    use super::*;
    use crate::store::{Row, VaultOrder, VaultRow, WrappedEpoch};

    const SHARD: &str = "2026h2";
    const MONTH: &str = "2026-11";

    /// Rows with evidence of so many octets, from `first` on, written as one commit.
    fn write(hand: &mut VaultHand, root: &Path, first: u64, octets: &[usize]) {
        let (shard, month) = (Shard::parse(SHARD).unwrap(), Month::parse(MONTH).unwrap());
        let rows: Vec<Row> = (first..).zip(octets).map(|(n, octets)| row(n, *octets)).collect();
        hand.append(root, shard, month, first, &rows).unwrap();
    }

    fn row(n: u64, octets: usize) -> Row {
        let sealed = vec![n as u8 | 1; octets];
        let vault = VaultRow {
            class: RetentionClass::Provision,
            epoch: Arc::new(WrappedEpoch { id: 1, wrapped: "{}".into() }),
            r: [n as u8 + 1; 32],
            tokens: vec![n as u8; 17 * (n % 4) as usize],
            ev: digest(&SHA256, &sealed).as_ref().try_into().unwrap(),
            sealed,
        };
        Row { kind: "in", vault: Some(vault), ..Row::default() }
    }

    fn open(root: &Path) -> VaultFile {
        let (shard, month) = (Shard::parse(SHARD).unwrap(), Month::parse(MONTH).unwrap());
        Vaults::below(root).open(shard, month, RetentionClass::Provision).unwrap().unwrap()
    }

    #[test]
    fn every_row_is_found_whatever_lies_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let (root, mut hand) = (dir.path().join("ledger"), VaultHand::default());
        // Commits of one row and of many; shorter than a block, longer than a growth.
        let commits: [&[usize]; 6] =
            [&[10], &[5_000; 40], &[4_024, 3_000], &[3 << 20, 9], &[5_000; 100], &[1]];
        let mut first = 0;
        for octets in commits {
            write(&mut hand, &root, first, octets);
            // The next commit has no evidence.
            first += octets.len() as u64 + 3;
        }
        let (vault, mut there) = (open(&root), Vec::new());
        vault.walk(0, |row| there.push((row.index, row.sealed.len(), row.sum_fits))).unwrap();
        let mut expected = Vec::new();
        let mut first = 0;
        for octets in commits {
            expected.extend((first..).zip(octets).map(|(index, octets)| (index, *octets, true)));
            first += octets.len() as u64 + 3;
        }
        assert_eq!(there, expected);
        for index in 0..first {
            let row = vault.row(index).unwrap();
            let wanted = expected.iter().find(|(wanted, ..)| *wanted == index);
            assert_eq!(row.map(|row| (row.index, row.sealed.len(), row.sum_fits)), wanted.copied());
            let behind = vault.tokens_from(index, 2).unwrap();
            let wanted = expected.iter().filter(|(wanted, ..)| *wanted >= index).take(2);
            let wanted = wanted.map(|(n, ..)| (*n, vec![*n as u8; 17 * (n % 4) as usize]));
            assert_eq!(behind, wanted.collect::<Vec<_>>(), "{index}");
        }
        assert_eq!(vault.count().unwrap(), expected.len() as u64);
        assert_eq!(vault.span().unwrap(), Some((0, expected.last().unwrap().0)));
        let mut secrets = Vec::new();
        vault.secrets(1..6, |index, r| secrets.push((index, r[0]))).unwrap();
        assert_eq!(secrets, [(4, 5), (5, 6)]);
    }

    #[test]
    fn an_erasure_that_was_interrupted_is_told_and_finished_when_it_is_ordered_again() {
        let dir = tempfile::tempdir().unwrap();
        let (root, mut hand) = (dir.path().join("ledger"), VaultHand::default());
        write(&mut hand, &root, 0, &[5_000, 70, 6_000]);
        let vault = open(&root);
        let file = File::options().read(true).write(true).open(rows_path(&vault.path)).unwrap();
        let (at, head) = vault.rows.as_ref().unwrap().find(2).unwrap().unwrap();
        // What had reached the disk of it.
        file.write_all_at(&head.erased()[..512], at).unwrap();
        assert!(vault.holds(2).unwrap() && !vault.row(2).unwrap().unwrap().sum_fits);
        let shard = Shard::parse(SHARD).unwrap();
        let erase = VaultOrder::Erase { shard, of: vec![2], leaf: Mark { shard, index: 9 } };
        assert_eq!(hand.obey(&root, &erase).unwrap(), [2]);
        assert_eq!(hand.obey(&root, &erase).unwrap(), [0_u64; 0], "once");
        assert!(!vault.holds(2).unwrap() && vault.row(2).unwrap().is_none());
        let mut left = Vec::new();
        vault.walk(0, |row| left.push((row.index, row.sum_fits))).unwrap();
        assert_eq!(left, [(0, true), (1, true)]);
        let bytes = std::fs::read(rows_path(&vault.path)).unwrap();
        assert!(!bytes.windows(64).any(|octets| octets == [3; 64]));
    }

    #[test]
    fn every_changed_octet_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (root, mut hand) = (dir.path().join("ledger"), VaultHand::default());
        for first in [0, 3, 6] {
            write(&mut hand, &root, first, &[40, 70, 100]);
        }
        let vault = open(&root);
        let seen = || {
            let mut seen = Vec::new();
            let whole = vault.walk(0, |row| seen.push((row.index, row.sum_fits))).is_ok();
            (seen, whole)
        };
        let untouched = seen();
        assert!(untouched.1 && untouched.0 == (0..9).map(|n| (n, true)).collect::<Vec<_>>());
        let file = File::options().read(true).write(true).open(rows_path(&vault.path)).unwrap();
        let mut octet = [0];
        // The three commits, and zeros behind each and behind all of them.
        let commits = [0, 4096, 8192].into_iter().flat_map(|block| block..block + 520);
        for at in commits.chain([4095, 5 * 4096, (1 << 20) - 1]) {
            file.read_exact_at(&mut octet, at).unwrap();
            file.write_all_at(&[octet[0] ^ 0x20], at).unwrap();
            assert_ne!(seen(), untouched, "{at}");
            file.write_all_at(&octet, at).unwrap();
        }
        for length in [(1 << 20) - 4096, (1 << 20) + 1, 4096, 0] {
            let before = std::fs::read(rows_path(&vault.path)).unwrap();
            file.set_len(length).unwrap();
            assert_ne!(seen(), untouched, "{length}");
            file.set_len(0).unwrap();
            file.write_all_at(&before, 0).unwrap();
        }
        // Behind a row that cannot be read the next commit is found again.
        file.write_all_at(&[0xff], 0).unwrap();
        assert_eq!(seen(), ((3..9).map(|n| (n, true)).collect(), false));
    }
}
