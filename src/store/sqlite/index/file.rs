//! The file of an index, of either kind: opened for its one writer, or for reading.
//!
//! Promises: a file that is damaged, or of another form than this program writes, is made anew
//! by the writer and not read by anybody. What was taken in and how far that goes are one
//! transaction.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Transaction, TransactionBehavior};

use super::super::{BUSY_WAIT, file_fault, open_reader, rest, sqlite_fault};
use crate::store::StoreFault;

/// What stands in a file, and the `PRAGMA user_version` that says so.
pub(super) struct Form {
    pub version: i32,
    pub schema: &'static [&'static str],
}

/// How far an index of either kind goes.
pub(super) const UPTO: &str =
    "CREATE TABLE upto(one INTEGER PRIMARY KEY CHECK(one=1), idx INTEGER NOT NULL) STRICT;";

/// `PRAGMA cache_size` of the indexing hand, KiB: the right edges of its trees, some hundred pages.
const CACHE_KIB: i64 = 4 << 10;

/// An index in its one writer's hand.
pub(super) struct IndexFile {
    path: PathBuf,
    connection: Connection,
    upto: Option<u64>,
}

impl IndexFile {
    pub fn open(path: PathBuf, form: &Form) -> Result<Self, StoreFault> {
        match Self::connect(&path, form) {
            Ok(Some(open)) => return Ok(open),
            Ok(None) | Err(StoreFault::Damaged { .. }) => remove_index(&path)?,
            Err(other) => return Err(other),
        }
        let damaged = || StoreFault::Damaged { path: path.display().to_string(), code: 0 };
        Self::connect(&path, form)?.ok_or_else(damaged)
    }

    /// `None` for a file of another form.
    fn connect(path: &Path, form: &Form) -> Result<Option<Self>, StoreFault> {
        let connect = || -> rusqlite::Result<Option<(Connection, Option<i64>)>> {
            let connection = Connection::open(path)?;
            connection.busy_timeout(BUSY_WAIT)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            // A stop may cost the last of it: it is made again.
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            connection.pragma_update(None, "secure_delete", true)?;
            connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
            match version_of(&connection)? {
                0 => {
                    let (schema, version) = (form.schema.concat(), form.version);
                    connection.execute_batch(&format!(
                        "BEGIN IMMEDIATE; {schema} PRAGMA user_version={version}; COMMIT;"
                    ))?;
                }
                version if version != form.version => return Ok(None),
                _ => {}
            }
            let upto = connection.query_row("SELECT idx FROM upto", [], |row| row.get(0)).optional()?;
            Ok(Some((connection, upto)))
        };
        let connected = connect().map_err(|e| sqlite_fault("open", path, &e))?;
        Ok(connected.map(|(connection, upto)| Self {
            path: path.to_owned(),
            connection,
            upto: upto.map(i64::unsigned_abs),
        }))
    }

    /// The last index that has been taken in.
    pub fn upto(&self) -> Option<u64> {
        self.upto
    }

    /// Takes something in, together with how far it goes.
    pub fn take_in(
        &mut self,
        upto: u64,
        act: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), StoreFault> {
        self.write(|transaction| {
            act(transaction)?;
            transaction
                .execute("INSERT OR REPLACE INTO upto(one, idx) VALUES(1, ?)", [upto.cast_signed()])?;
            Ok(())
        })?;
        self.upto = Some(upto);
        Ok(())
    }

    /// One transaction. After a fault that the file itself is the reason of, it is gone and must
    /// be opened again.
    pub fn write(
        &mut self,
        act: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), StoreFault> {
        let write = || -> rusqlite::Result<()> {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            act(&transaction)?;
            transaction.commit()
        };
        write().map_err(|e| {
            let fault = sqlite_fault("index", &self.path, &e);
            // It holds what it says it has not taken in, or what no writer wrote.
            let contradicts = e.sqlite_error_code() == Some(ErrorCode::ConstraintViolation);
            if contradicts || matches!(fault, StoreFault::Damaged { .. }) {
                let _ = remove_index(&self.path);
            }
            fault
        })
    }

    /// Leaves nothing in the WAL, unless a reader stands in the way; says whether it did.
    pub fn rest(&self) -> Result<bool, StoreFault> {
        rest::checkpoint(&self.connection, &self.path)
    }

    pub fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreFault> {
        read(&self.connection).map_err(|e| sqlite_fault("read", &self.path, &e))
    }

    #[cfg(test)]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }
}

/// Opens an index for reading, beside its writer or on a copy; `None` where there is none, or
/// none of this form.
pub(super) fn open_index(path: &Path, form: &Form) -> Result<Option<Connection>, StoreFault> {
    if !path.exists() {
        return Ok(None);
    }
    let connection = open_reader(path)?;
    let version = version_of(&connection).map_err(|e| sqlite_fault("open", path, &e))?;
    Ok((version == form.version).then_some(connection))
}

/// The last index that has been taken in.
pub(super) fn upto_of(connection: &Connection) -> rusqlite::Result<Option<u64>> {
    let upto = connection.query_row("SELECT idx FROM upto", [], |row| row.get::<_, i64>(0)).optional()?;
    Ok(upto.map(i64::unsigned_abs))
}

fn version_of(connection: &Connection) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Takes an index away, with what SQLite leaves beside it.
pub fn remove_index(path: &Path) -> Result<(), StoreFault> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::remove_file(&name) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(file_fault(path, &e)),
            _ => {}
        }
    }
    Ok(())
}
