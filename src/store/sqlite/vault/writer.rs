//! The vaults' writing hand: the ledger's writer commits through it before its leaves.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use super::super::flush::Written;
use super::super::rest::rest;
use super::super::{file_fault, make_folder, open_writer, sqlite_fault};
use super::growing::GrowingFile;
use super::{SCHEMA, rows_path, vault_path};
use crate::store::{Month, RetentionClass, Row, Shard, StoreFault, VaultOrder, VaultRow};

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
    /// Each of its commits is flushed when it returns: there is one an epoch, and one an order.
    connection: Connection,
    rows: GrowingFile,
    epochs: HashSet<i64>,
    /// Something stands in the WAL only.
    in_wal: bool,
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
    ) -> Result<Vec<Written>, StoreFault> {
        let appended = self.append_rows(root, shard, month, first, rows);
        if appended.is_err() {
            self.leaves_failed();
        }
        appended
    }

    /// The leaves of the last rows were not stored: the rows go before the next are written, for every
    /// vault is opened afresh.
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
    ) -> Result<Vec<Written>, StoreFault> {
        if !self.ends_with_the_log {
            self.end_with_the_log(root, shard, first)?;
        }
        let mut written = Vec::new();
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
            open.append(of_class)?;
            written.push(Written::to(open.rows.file()));
        }
        Ok(written)
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
        for open in self.open.iter_mut().filter(|open| idle && open.in_wal) {
            rest(&open.connection, &open.path)?;
            open.in_wal = false;
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
                self.each(root, *shard, |open| open.erase(of, &place))
            }
            VaultOrder::Hold { shard, of, leaf } => {
                let place = (leaf.shard.to_string(), leaf.index.cast_signed());
                self.each(root, *shard, |open| {
                    let there = open.there(of)?;
                    open.note(&there, |transaction, at| {
                        transaction.execute(
                            "INSERT OR IGNORE INTO hold(idx, shard, leaf) VALUES(?, ?, ?)",
                            (at, &place.0, place.1),
                        )
                    })
                })
            }
            VaultOrder::Release { shard, of } => self.each(root, *shard, |open| {
                open.note(of, |transaction, at| transaction.execute("DELETE FROM hold WHERE idx=?1", [at]))
            }),
        }
    }

    /// Does `act` in every vault of a log.
    fn each(
        &mut self,
        root: &Path,
        shard: Shard,
        mut act: impl FnMut(&mut OpenVault) -> Result<Vec<u64>, StoreFault>,
    ) -> Result<Vec<u64>, StoreFault> {
        let mut concerned = Vec::new();
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
            concerned.extend(act(open)?);
            rest(&open.connection, &open.path)?;
            open.in_wal = false;
        }
        Ok(concerned)
    }
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
        let connection = open_writer(&path, SCHEMA)?;
        let known = || -> rusqlite::Result<HashSet<i64>> {
            let mut statement = connection.prepare("SELECT id FROM epoch")?;
            let epochs = statement.query_map([], |row| row.get(0))?;
            epochs.collect()
        };
        let epochs = known().map_err(|e| sqlite_fault("open", &path, &e))?;
        let rows = GrowingFile::open(&rows_path(&path), first).map_err(|e| rows_fault("open", &path, &e))?;
        Ok(Self { shard, month, class, path, connection, rows, epochs, in_wal: true })
    }

    fn append<'a, I: Iterator<Item = (u64, &'a VaultRow)>>(
        &mut self,
        rows: impl Fn() -> I,
    ) -> Result<(), StoreFault> {
        for (_, row) in rows() {
            if !self.epochs.contains(&row.epoch.id) {
                self.connection
                    .execute(
                        "INSERT OR IGNORE INTO epoch(id, wrapped) VALUES(?, ?)",
                        (row.epoch.id, &row.epoch.wrapped),
                    )
                    .map_err(|e| sqlite_fault("append", &self.path, &e))?;
                self.epochs.insert(row.epoch.id);
                self.in_wal = true;
            }
        }
        self.rows.append(rows()).map_err(|e| rows_fault("append", &self.path, &e))
    }

    /// Which of these leaves have a row here.
    fn there(&self, of: &[u64]) -> Result<Vec<u64>, StoreFault> {
        let there = |index: &u64| self.rows.holds(*index).map(|there| there.then_some(*index));
        let found: io::Result<Vec<Option<u64>>> = of.iter().map(there).collect();
        Ok(found.map_err(|e| rows_fault("obey", &self.path, &e))?.into_iter().flatten().collect())
    }

    /// Changes what is said of each of these leaves; tells those of which something was changed.
    fn note(
        &mut self,
        of: &[u64],
        mut act: impl FnMut(&rusqlite::Transaction<'_>, i64) -> rusqlite::Result<usize>,
    ) -> Result<Vec<u64>, StoreFault> {
        let mut note = || -> rusqlite::Result<Vec<u64>> {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut concerned = Vec::new();
            for index in of {
                if act(&transaction, index.cast_signed())? == 1 {
                    concerned.push(*index);
                }
            }
            transaction.commit()?;
            Ok(concerned)
        };
        note().map_err(|e| sqlite_fault("obey", &self.path, &e))
    }

    /// Erases rows that are there and not held. What is erased is said first: whoever is stopped in
    /// between is told to erase again.
    fn erase(&mut self, of: &[u64], place: &(String, i64)) -> Result<Vec<u64>, StoreFault> {
        let there = self.there(of)?;
        let erased = self.note(&there, |transaction, at| {
            transaction.execute(
                "INSERT OR REPLACE INTO erased(idx, shard, leaf) SELECT ?1, ?2, ?3 \
                 WHERE NOT EXISTS (SELECT 1 FROM hold WHERE idx=?1)",
                (at, &place.0, place.1),
            )
        })?;
        for index in &erased {
            self.rows.erase(*index).map_err(|e| rows_fault("obey", &self.path, &e))?;
        }
        self.rows.file().sync_data().map_err(|e| rows_fault("flush", &self.path, &e))?;
        Ok(erased)
    }
}

/// What a file of rows could not do: without room nothing was written.
pub(super) fn rows_fault(what: &'static str, path: &Path, error: &io::Error) -> StoreFault {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded if what != "flush" => StoreFault::Full,
        io::ErrorKind::NotFound => file_fault(&rows_path(path), error),
        _ => StoreFault::Broken { what, code: error.raw_os_error().unwrap_or(0) },
    }
}

/// The rows, the file, its WAL and its sum. What is dropped stays dropped: the folder is flushed.
fn remove_with_companions(path: &Path) -> Result<(), StoreFault> {
    match fs::remove_file(rows_path(path)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(file_fault(path, &e)),
        _ => {}
    }
    for suffix in ["", "-wal", "-shm", ".sha256"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::remove_file(Path::new(&name)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(file_fault(path, &e)),
            _ => {}
        }
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| file_fault(path, &e))
}
