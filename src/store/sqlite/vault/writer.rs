//! The vaults' writing hand: the ledger's writer commits through it before its leaves.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use super::super::flush::{Wal, wal_path};
use super::super::rest::{recycle, rest};
use super::super::{file_fault, make_folder, open_unflushed, sqlite_fault};
use super::{SCHEMA, row_sum, vault_path};
use crate::store::{Month, RetentionClass, Row, Shard, StoreFault, VaultOrder, VaultRow};

/// Rows in a WAL after which they are copied into the file while work goes on: 12 MiB of full
/// commits, 26 of lone ones at most.
const ROWS_IN_WAL: usize = 2048;
/// What a commit counts for at least: it writes a whole page, however few its rows.
const ROWS_OF_A_COMMIT: usize = 5;
/// Octets of a page: five lookups. Writing a page to the WAL and copying it into the file costs what the
/// calls cost more than its octets, and a row of 5.5 KB takes more than one page of 4 KiB.
const PAGE: u32 = 32 * 1024;

/// At most one open vault a class: that of the month being written.
#[derive(Default)]
pub struct VaultHand {
    open: Vec<OpenVault>,
    /// No vault holds a row from where the log goes on: known once it was looked, and until a commit
    /// fails.
    ends_with_the_log: bool,
}

struct OpenVault {
    shard: Shard,
    month: Month,
    class: RetentionClass,
    path: PathBuf,
    connection: Connection,
    wal: Wal,
    epochs: HashSet<i64>,
    in_wal: usize,
}

impl VaultHand {
    /// Writes the vault rows of a commit, before its leaves, and says what has to be flushed.
    pub fn append(
        &mut self,
        root: &Path,
        shard: Shard,
        month: Month,
        first: u64,
        rows: &[Row],
    ) -> Result<Vec<Wal>, StoreFault> {
        let appended = self.append_rows(root, shard, month, first, rows);
        if appended.is_err() {
            self.leaves_failed();
        }
        appended
    }

    /// The leaves of the last rows were not stored: the rows go before the next are written. A full
    /// disk while rolling back leaves a transaction open, too: every vault is opened afresh.
    pub fn leaves_failed(&mut self) {
        self.open.clear();
        self.ends_with_the_log = false;
    }

    /// Takes away what a stop or a failure left behind the log's end, in the vaults of every class:
    /// the next leaf at such a place may have its evidence in another one, or none.
    fn end_with_the_log(&mut self, root: &Path, shard: Shard, first: u64) -> Result<(), StoreFault> {
        let vaults = super::reader::vaults_of(root, shard)?;
        let newest = vaults.iter().map(|(month, _)| *month).max();
        for (month, class) in vaults.into_iter().filter(|(month, _)| Some(*month) == newest) {
            self.vault(root, shard, month, class, first)?;
        }
        self.ends_with_the_log = true;
        Ok(())
    }

    fn append_rows(
        &mut self,
        root: &Path,
        shard: Shard,
        month: Month,
        first: u64,
        rows: &[Row],
    ) -> Result<Vec<Wal>, StoreFault> {
        if !self.ends_with_the_log {
            self.end_with_the_log(root, shard, first)?;
        }
        let mut wals = Vec::new();
        for class in RetentionClass::ALL {
            let of_class = || {
                let places = first..;
                places.zip(rows).filter_map(move |(index, row)| {
                    row.vault.as_ref().filter(|vault| vault.class == class).map(|vault| (index, vault))
                })
            };
            if of_class().next().is_none() {
                continue;
            }
            let open = self.vault(root, shard, month, class, first)?;
            let path = open.path.clone();
            open.append(of_class()).map_err(|error| sqlite_fault("append", &path, &error))?;
            wals.push(open.wal.clone());
        }
        Ok(wals)
    }

    fn vault(
        &mut self,
        root: &Path,
        shard: Shard,
        month: Month,
        class: RetentionClass,
        first: u64,
    ) -> Result<&mut OpenVault, StoreFault> {
        let place = self.open.iter().position(|open| open.class == class);
        let fits = |open: &OpenVault| open.shard == shard && open.month == month;
        let open = match place.map(|at| self.open.swap_remove(at)) {
            Some(open) if fits(&open) => open,
            past => {
                if let Some(past) = past {
                    rest(&past.connection, &past.path)?;
                }
                OpenVault::open(root, shard, month, class, Some(first))?
            }
        };
        self.open.push(open);
        self.open.last_mut().ok_or(StoreFault::Broken { what: "open", code: 0 })
    }

    pub fn tidy(&mut self, idle: bool) -> Result<(), StoreFault> {
        for open in self.open.iter_mut().filter(|open| open.in_wal > 0) {
            if idle {
                rest(&open.connection, &open.path)?;
                open.in_wal = 0;
            } else if open.in_wal >= ROWS_IN_WAL {
                recycle(&open.connection, &open.path)?;
                open.in_wal = 1;
            }
        }
        Ok(())
    }

    /// Carries out an order and tells the indices it concerned.
    pub fn obey(&mut self, root: &Path, order: &VaultOrder) -> Result<Vec<u64>, StoreFault> {
        match order {
            VaultOrder::Drop { shard, month, class } => {
                self.open.retain(|o| (o.shard, o.month, o.class) != (*shard, *month, *class));
                let path = vault_path(root, *shard, *month, *class);
                remove_with_companions(&path)?;
                Ok(Vec::new())
            }
            VaultOrder::Erase { shard, of, leaf } => {
                let place = (leaf.shard.to_string(), leaf.index.cast_signed());
                self.each(root, *shard, |connection| {
                    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                    let mut erased = Vec::new();
                    for index in of {
                        let at = index.cast_signed();
                        let gone = transaction.execute(
                            "DELETE FROM vault WHERE idx=?1 AND NOT EXISTS (SELECT 1 FROM hold WHERE idx=?1)",
                            [at],
                        )?;
                        if gone == 1 {
                            transaction.execute(
                                "INSERT OR REPLACE INTO erased(idx, shard, leaf) VALUES(?, ?, ?)",
                                (at, &place.0, place.1),
                            )?;
                            erased.push(*index);
                        }
                    }
                    transaction.commit()?;
                    Ok(erased)
                })
            }
            VaultOrder::Hold { shard, of, leaf } => {
                let place = (leaf.shard.to_string(), leaf.index.cast_signed());
                self.each(root, *shard, |connection| {
                    in_rows(connection, of, |transaction, at| {
                        transaction.execute(
                            "INSERT OR IGNORE INTO hold(idx, shard, leaf) SELECT ?1, ?2, ?3 \
                             WHERE EXISTS (SELECT 1 FROM vault WHERE idx=?1)",
                            (at, &place.0, place.1),
                        )
                    })
                })
            }
            VaultOrder::Release { shard, of } => self.each(root, *shard, |connection| {
                in_rows(connection, of, |transaction, at| {
                    transaction.execute("DELETE FROM hold WHERE idx=?1", [at])
                })
            }),
        }
    }

    /// Does `act` in every vault of a log, and leaves nothing of what it took away in a WAL: it is
    /// [`StoreFault::Locked`] while a reader holds one up, and asked for again then.
    fn each(
        &mut self,
        root: &Path,
        shard: Shard,
        mut act: impl FnMut(&mut Connection) -> rusqlite::Result<Vec<u64>>,
    ) -> Result<Vec<u64>, StoreFault> {
        let (mut concerned, mut in_the_way) = (Vec::new(), false);
        for (month, class) in super::reader::vaults_of(root, shard)? {
            let known = self.open.iter_mut().find(|o| (o.shard, o.month, o.class) == (shard, month, class));
            let mut passing;
            let open = match known {
                Some(open) => open,
                None => {
                    passing = OpenVault::open(root, shard, month, class, None)?;
                    &mut passing
                }
            };
            let done = act(&mut open.connection).map_err(|e| sqlite_fault("obey", &open.path, &e))?;
            rest(&open.connection, &open.path)?;
            open.in_wal = 0;
            if holds_anything(&wal_path(&open.path)) {
                // A reader stands in the way: what was taken away can still be read there.
                open.in_wal = 1;
                in_the_way = true;
            }
            concerned.extend(done);
        }
        if in_the_way { Err(StoreFault::Locked) } else { Ok(concerned) }
    }
}

fn in_rows(
    connection: &mut Connection,
    of: &[u64],
    mut act: impl FnMut(&rusqlite::Transaction<'_>, i64) -> rusqlite::Result<usize>,
) -> rusqlite::Result<Vec<u64>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut concerned = Vec::new();
    for index in of {
        if act(&transaction, index.cast_signed())? == 1 {
            concerned.push(*index);
        }
    }
    transaction.commit()?;
    Ok(concerned)
}

impl OpenVault {
    /// `first`, where the log goes on: rows from there on have no leaf and go.
    fn open(
        root: &Path,
        shard: Shard,
        month: Month,
        class: RetentionClass,
        first: Option<u64>,
    ) -> Result<Self, StoreFault> {
        let path = vault_path(root, shard, month, class);
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        let connection = open_unflushed(&path, SCHEMA, PAGE)?;
        let prepare = || -> rusqlite::Result<(usize, HashSet<i64>)> {
            let gone = match first {
                Some(first) => connection.execute("DELETE FROM vault WHERE idx>=?", [first.cast_signed()])?,
                None => 0,
            };
            let mut statement = connection.prepare("SELECT id FROM epoch")?;
            let epochs = statement.query_map([], |row| row.get(0))?;
            Ok((gone, epochs.collect::<Result<_, _>>()?))
        };
        let (gone, epochs) = prepare().map_err(|e| sqlite_fault("open", &path, &e))?;
        if gone > 0 {
            // The commit that follows need not write to this vault, nor flush it: a power cut would
            // bring the rows back, at places that are another leaf's by then.
            rest(&connection, &path)?;
        }
        let wal = Wal::of(&path)?;
        Ok(Self { shard, month, class, path, connection, wal, epochs, in_wal: 1 })
    }

    fn append<'a>(&mut self, rows: impl Iterator<Item = (u64, &'a VaultRow)>) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (mut count, mut fresh) = (0, Vec::new());
        {
            // Or replace: what a failed commit left behind had no leaf.
            let mut insert = transaction.prepare_cached(
                "INSERT OR REPLACE INTO vault(idx, epoch, r, tokens, sealed, sum) VALUES(?, ?, ?, ?, ?, ?)",
            )?;
            for (index, row) in rows {
                let (index, epoch) = (index.cast_signed(), row.epoch.id);
                if !self.epochs.contains(&epoch) && !fresh.contains(&epoch) {
                    transaction
                        .prepare_cached("INSERT OR IGNORE INTO epoch(id, wrapped) VALUES(?, ?)")?
                        .execute((epoch, &row.epoch.wrapped))?;
                    fresh.push(epoch);
                }
                let sum = row_sum(index, epoch, &row.r, &row.tokens, &row.ev);
                insert.execute((index, epoch, row.r, &row.tokens, &row.sealed, sum))?;
                count += 1;
            }
        }
        transaction.commit()?;
        self.epochs.extend(fresh);
        self.in_wal += count.max(ROWS_OF_A_COMMIT);
        Ok(())
    }
}

fn holds_anything(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.len() > 0)
}

/// The file, its WAL and its sum. What is dropped stays dropped: the folder is flushed.
fn remove_with_companions(path: &Path) -> Result<(), StoreFault> {
    for suffix in ["", "-wal", "-shm", ".sha256"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::remove_file(Path::new(&name)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(file_fault(path, &e)),
            _ => {}
        }
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| file_fault(path, &e))
}
