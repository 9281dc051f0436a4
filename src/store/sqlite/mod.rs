//! The store in SQLite: one file a month, so that a month can be dropped at once.
//!
//! ```text
//! <data>/ledger/lock                      held by the one process that writes
//! <data>/ledger/state.db                  last checkpoint of each shard (derivable, but guards against rollback)
//! <data>/ledger/2026h2/2026-11.db         leaves, used ids and uses of a month
//! <data>/ledger/2026h2/2026-11.db.sha256  its sum, while nobody writes to it
//! ```
//!
//! Promises: what was appended has been flushed when that returns, leaves and evidence side by side
//! (`flush.rs`); a leaf, its used id and its use stand in one transaction of one file (SQLite does not
//! commit atomically across files), and a commit of which a power cut kept the leaves only is taken
//! back (`unfinished.rs`). Local disks only.

mod batch;
mod engine;
mod heads;
mod flush;
mod index;
mod month_file;
mod rest;
mod shelf;
mod unfinished;
mod vault;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::fs::{FlockOperation, flock};

use super::{Month, Shard, StoreFault};
pub use engine::SqliteEngine;
pub use heads::SqliteHeads;
pub use index::{
    AUTHORIZATIONS, BLOCK_LEAVES, EXCHANGES, FacetQuery, FacetReader, FacetRow, FacetWriter, Facets, HourRow,
    Hourly, StoredToken, TokenReader, TokenWriter, WholeFacets, WholeTokens, Words, facet_index_path,
    remove_index, short_authorization, short_exchange, token_index_path,
};
pub use month_file::{Columns, MonthFile, integrity};
pub use rest::{checkpoint, is_untouched};
pub use shelf::SqliteShelf;
pub use vault::{StoredVault, VaultFile, Vaults};

/// Versions from 3.7.0 to 3.51.2 can lose committed transactions when two connections write
/// and checkpoint at the same instant (the WAL-reset fault).
const OLDEST_SQLITE: (i32, &str) = (3_051_003, "3.51.3");
/// How long a connection waits for a lock. Only the writer writes; readers wait for
/// recovery of a WAL at most.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// `PRAGMA application_id` of our files: "TbLg".
const APPLICATION_ID: i32 = 0x5462_4c67;
/// `PRAGMA user_version` of our files.
const SCHEMA_VERSION: i32 = 1;

/// Refuses to work with a SQLite that can lose a commit.
pub fn assert_version() -> Result<(), StoreFault> {
    if rusqlite::version_number() >= OLDEST_SQLITE.0 {
        Ok(())
    } else {
        Err(StoreFault::TooOld { found: rusqlite::version(), needed: OLDEST_SQLITE.1 })
    }
}

/// The exclusive right to write this store; given back when dropped.
pub struct StoreLock {
    _file: File,
}

/// Makes the folders, takes the lock and opens the three hands.
pub fn open(data: &Path) -> Result<(StoreLock, SqliteEngine, SqliteHeads, SqliteShelf), StoreFault> {
    assert_version()?;
    let root = data.join("ledger");
    make_folder(&root)?;
    let lock = lock(&root.join("lock"))?;
    let mut heads = SqliteHeads::open(&root.join("state.db"))?;
    vault::bring_forward(&root)?;
    unfinished::take_back(&root, &mut heads)?;
    Ok((lock, SqliteEngine::new(root.clone()), heads, SqliteShelf::new(root)))
}

fn lock(path: &Path) -> Result<StoreLock, StoreFault> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(|e| file_fault(path, &e))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| StoreFault::Busy { path: path.display().to_string() })?;
    Ok(StoreLock { _file: file })
}

/// Creates a folder and makes its name durable.
pub(crate) fn make_folder(path: &Path) -> Result<(), StoreFault> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        make_folder(parent)?;
        fs::create_dir(path)
            .or_else(|e| if path.is_dir() { Ok(()) } else { Err(e) })
            .and_then(|()| File::open(parent)?.sync_all())
            .map_err(|e| file_fault(path, &e))
    } else {
        fs::create_dir(path).map_err(|e| file_fault(path, &e))
    }
}

fn month_path(root: &Path, shard: Shard, month: Month) -> PathBuf {
    root.join(shard.to_string()).join(format!("{month}.db"))
}

fn file_fault(path: &Path, error: &std::io::Error) -> StoreFault {
    StoreFault::File { path: path.display().to_string(), kind: error.kind() }
}

/// Opens a file of ours for its one writer and brings its schema.
pub fn open_writer(path: &Path, schema: &str) -> Result<Connection, StoreFault> {
    open_with(path, schema, "FULL")
}

/// The same for whoever flushes the WAL himself after a commit ([`flush`]).
fn open_unflushed(path: &Path, schema: &str) -> Result<Connection, StoreFault> {
    open_with(path, schema, "NORMAL")
}

fn open_with(path: &Path, schema: &str, synchronous: &str) -> Result<Connection, StoreFault> {
    let connect = || -> rusqlite::Result<Connection> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_WAIT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", synchronous)?;
        connection.pragma_update(None, "fullfsync", true)?;
        // Bytes that are no longer used are zeros, not old copies of leaves.
        connection.pragma_update(None, "secure_delete", true)?;
        // SQLite drops errors of its own checkpoints; ours (rest.rs) are looked at.
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version == 0 {
            connection.execute_batch(&format!(
                "BEGIN IMMEDIATE; {schema} PRAGMA application_id={APPLICATION_ID}; \
                 PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
            ))?;
        }
        Ok(connection)
    };
    let connection = connect().map_err(|e| sqlite_fault("open", path, &e))?;
    // Also after a crash: a short WAL, and a file that can be read without one.
    rest::rest(&connection, path)?;
    Ok(connection)
}

/// Opens a file of ours for reading, also beside its writer. A copy on a medium that cannot
/// be written, with nothing in its WAL, is read as immutable.
pub fn open_reader(path: &Path) -> Result<Connection, StoreFault> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connect = |uri: &str| -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(uri, flags)?;
        connection.busy_timeout(BUSY_WAIT)?;
        connection.pragma_query_value(None, "schema_version", |row| row.get::<_, i64>(0))?;
        Ok(connection)
    };
    let uri = file_uri(path);
    connect(&uri)
        .or_else(|error| {
            let cannot =
                matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly));
            let nothing_there = fs::metadata(flush::wal_path(path)).map_or(true, |wal| wal.len() == 0);
            if cannot && path.is_file() && nothing_there {
                connect(&format!("{uri}?immutable=1"))
            } else {
                Err(error)
            }
        })
        .map_err(|e| sqlite_fault("open", path, &e))
}

fn file_uri(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
                uri.push(char::from(*byte))
            }
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri
}

/// Sorts SQLite's errors into what the caller must do about them.
pub fn sqlite_fault(what: &'static str, path: &Path, error: &rusqlite::Error) -> StoreFault {
    let (kind, code) = match error {
        rusqlite::Error::SqliteFailure(e, _) => (e.code, e.extended_code),
        _ => (ErrorCode::Unknown, 0),
    };
    match kind {
        ErrorCode::DiskFull => StoreFault::Full,
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreFault::Locked,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
            StoreFault::Damaged { path: path.display().to_string(), code }
        }
        ErrorCode::CannotOpen if !path.exists() => {
            StoreFault::File { path: path.display().to_string(), kind: std::io::ErrorKind::NotFound }
        }
        // A value of the wrong type where the schema is STRICT: the file was changed.
        ErrorCode::Unknown if code == 0 => StoreFault::Damaged { path: path.display().to_string(), code },
        _ => StoreFault::Broken { what, code },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_sqlite_cannot_lose_a_commit() {
        assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
        assert_version().unwrap();
    }

    #[test]
    fn sqlite_is_compiled_as_the_repository_says() {
        // It tells nothing of `HAVE_FDATASYNC`, which stands in one line with this.
        let connection = Connection::open_in_memory().unwrap();
        for option in ["DEFAULT_MEMSTATUS=0", "ENABLE_QPSG"] {
            let told = "SELECT EXISTS(SELECT 1 FROM pragma_compile_options WHERE compile_options=?)";
            let told = connection.query_row(told, [option], |row| row.get::<_, bool>(0)).unwrap();
            assert!(told, "{option}: .cargo/config.toml");
        }
    }

    #[test]
    fn a_statement_is_compiled_once_whatever_is_bound_to_it() {
        let connection = Connection::open_in_memory().unwrap();
        let mut statement =
            connection.prepare("SELECT type FROM sqlite_schema WHERE name=?1 LIMIT ?2").unwrap();
        for most in 1..5 {
            assert!(!statement.exists(("nothing", most)).unwrap());
        }
        assert_eq!(statement.get_status(rusqlite::StatementStatus::RePrepare), 0);
    }

    #[test]
    fn a_store_has_one_writer() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path()).unwrap();
        assert!(matches!(open(dir.path()), Err(StoreFault::Busy { .. })));
        drop(first);
        assert!(open(dir.path()).is_ok());
    }

    #[test]
    fn commits_are_flushed_through_the_wal() {
        let dir = tempfile::tempdir().unwrap();
        let connection = open_writer(&dir.path().join("a b?.db"), engine::SCHEMA).unwrap();
        let text = |name| connection.pragma_query_value(None, name, |r| r.get::<_, String>(0)).unwrap();
        let number = |name| connection.pragma_query_value(None, name, |r| r.get::<_, i64>(0)).unwrap();
        assert_eq!((text("journal_mode").as_str(), number("synchronous")), ("wal", 2));
        assert!(open_reader(&dir.path().join("a b?.db")).is_ok());
    }
}
