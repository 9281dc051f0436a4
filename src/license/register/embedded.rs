//! The embedded register: one SQLite file that `license import` fills, beside a running
//! `serve` if need be.
//!
//! Promises: a reader sees whole batches; what an import changed is known to whoever asks
//! ([`EmbeddedRegister::changes`]), and the cache asks every millisecond; a record is checked
//! again when it is read, because a file can be touched by others.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::Semaphore;

use super::{Ask, Change, Changes, RegisterFault};
use crate::json;
use crate::license::record::LicenseRecord;

/// Connections that read at the same time; more would only wait for the same two cores.
const READERS: usize = 4;

/// How long a reader or importer waits for another importer's batch.
const BUSY: Duration = Duration::from_secs(5);

/// Stands in `PRAGMA user_version`; another number is another program's or another time's file.
const LAYOUT: i64 = 1;

/// Change rows kept: enough for the imports of a night; a reader that missed more forgets
/// its whole cache.
pub(super) const MOST_CHANGES: i64 = 10_000;

#[derive(Debug, thiserror::Error)]
pub enum RegisterFileFault {
    #[error("the register file cannot be opened: {0}")]
    Open(#[from] rusqlite::Error),
    #[error("the register file cannot be created ({0})")]
    Create(std::io::ErrorKind),
    #[error("the register file has layout {0}, this program knows {LAYOUT}")]
    Layout(i64),
}

/// Answers from `register.db`. Clones share the connections.
#[derive(Clone)]
pub struct EmbeddedRegister(Arc<Inner>);

struct Inner {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    places: Semaphore,
    watcher: Mutex<Watcher>,
}

/// Notices other connections' commits: `PRAGMA data_version` costs microseconds.
struct Watcher {
    connection: Connection,
    data_version: i64,
    seq: i64,
}

impl EmbeddedRegister {
    /// Opens the file, creating an empty register where there is none.
    pub fn open(path: &Path) -> Result<Self, RegisterFileFault> {
        let connection = connect(path)?;
        let data_version = data_version(&connection)?;
        let seq = last_seq(&connection)?;
        Ok(Self(Arc::new(Inner {
            path: path.to_owned(),
            idle: Mutex::default(),
            places: Semaphore::new(READERS),
            watcher: Mutex::new(Watcher { connection, data_version, seq }),
        })))
    }

    pub(super) async fn fetch(&self, ask: &Ask, today: Date) -> Result<Vec<LicenseRecord>, RegisterFault> {
        let _place = self.0.places.acquire().await.map_err(|_| RegisterFault::Unavailable)?;
        let (register, ask) = (self.clone(), ask.clone());
        let read = tokio::task::spawn_blocking(move || register.read(&ask)).await;
        // Checked here and not on the blocking thread: what is kept for long then lies in the memory
        // of the two or three threads that work anyway, not scattered over dozens.
        let documents = read.map_err(|_| RegisterFault::Unavailable)??;
        documents.iter().map(|document| believed(document, today)).collect()
    }

    fn read(&self, ask: &Ask) -> Result<Vec<String>, RegisterFault> {
        let unavailable = |fault: RegisterFileFault| {
            tracing::error!(%fault, "the embedded register cannot be read");
            RegisterFault::Unavailable
        };
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect(&self.0.path).map_err(unavailable)?,
        };
        let documents = match ask {
            Ask::Holder { license_type, kind, number } => by_holder(&connection, license_type, kind, number),
            Ask::Id { license_id, .. } => by_id(&connection, license_id),
        };
        // A connection that failed is not used again.
        let documents = documents.map_err(|fault| unavailable(fault.into()))?;
        self.idle().push(connection);
        Ok(documents)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn changes(&self) -> Changes {
        let mut watcher = self.0.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        // Not knowing what changed, nothing remembered may be served.
        watcher.changes().unwrap_or_else(|fault| {
            tracing::error!(%fault, "the embedded register does not say what changed");
            Changes::Everything
        })
    }

    /// Licenses held now.
    pub fn count(&self) -> Result<u64, RegisterFileFault> {
        let connection = connect(&self.0.path)?;
        let count: i64 = connection.query_row("SELECT count(*) FROM license", [], |row| row.get(0))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}

impl Watcher {
    fn changes(&mut self) -> rusqlite::Result<Changes> {
        let version = data_version(&self.connection)?;
        if version == self.data_version {
            return Ok(Changes::None);
        }
        let first: Option<i64> =
            self.connection.query_row("SELECT min(seq) FROM change", [], |r| r.get(0))?;
        let last = last_seq(&self.connection)?;
        let lost = first.map_or(last > self.seq, |first| first > self.seq.saturating_add(1));
        let changes = if lost { Changes::Everything } else { self.read_since()? };
        (self.data_version, self.seq) = (version, last);
        Ok(changes)
    }

    fn read_since(&self) -> rusqlite::Result<Changes> {
        let mut statement = self.connection.prepare_cached(
            "SELECT license_id, type_code, holder_type, number FROM change WHERE seq > ?1 ORDER BY seq",
        )?;
        let mut changes = Vec::new();
        let mut rows = statement.query([self.seq])?;
        while let Some(row) = rows.next()? {
            changes.push(Change::LicenseOfToldHolders { license_id: row.get(0)? });
            changes.push(Change::Holder {
                license_type: row.get(1)?,
                kind: row.get(2)?,
                number: row.get(3)?,
            });
        }
        Ok(if changes.is_empty() { Changes::None } else { Changes::Some(changes) })
    }
}

fn believed(document: &str, today: Date) -> Result<LicenseRecord, RegisterFault> {
    let value = json::parse_record(document.as_bytes()).map_err(|fault| {
        tracing::error!(%fault, "a record of the embedded register is no JSON of ours");
        RegisterFault::Record
    })?;
    LicenseRecord::from_value(&value, today).map_err(|faults| {
        super::log_unbelieved(&faults);
        RegisterFault::Record
    })
}

fn by_holder(
    connection: &Connection,
    license_type: &str,
    kind: &str,
    number: &str,
) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare_cached(
        "SELECT doc FROM holder JOIN license ON license.id = holder.license
         WHERE holder.type_code = ?1 AND holder_type = ?2 AND number = ?3 LIMIT ?4",
    )?;
    let most = i64::try_from(super::MOST_RECORDS).unwrap_or(i64::MAX).saturating_add(1);
    statement.query_map(params![license_type, kind, number, most], |row| row.get(0))?.collect()
}

fn by_id(connection: &Connection, license_id: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare_cached("SELECT doc FROM license WHERE license_id = ?1")?;
    Ok(statement.query_row([license_id], |row| row.get(0)).optional()?.into_iter().collect())
}

fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

fn last_seq(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row(
        "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'change'",
        [],
        |row| row.get(0),
    )
}

/// A connection to the register; the file is made, for its owner alone, where there is none.
pub(super) fn connect(path: &Path) -> Result<Connection, RegisterFileFault> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| RegisterFileFault::Create(error.kind()))?;
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    lay_out(&mut connection)?;
    Ok(connection)
}

fn lay_out(connection: &mut Connection) -> Result<(), RegisterFileFault> {
    let layout = |c: &Connection| c.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
    match layout(connection)? {
        LAYOUT => return Ok(()),
        0 => {}
        other => return Err(RegisterFileFault::Layout(other)),
    }
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    // Two processes may have found an empty file; one of them lays it out.
    if layout(&transaction)? == 0 {
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "user_version", LAYOUT)?;
    }
    transaction.commit()?;
    Ok(())
}

/// `lineage` is type, issuer and serial: the same license in all its versions. Only the
/// newest version stands here.
const TABLES: &str = "
    CREATE TABLE license (
        id INTEGER PRIMARY KEY,
        lineage TEXT NOT NULL UNIQUE,
        license_id TEXT NOT NULL UNIQUE,
        type_code TEXT NOT NULL,
        version INTEGER NOT NULL,
        doc TEXT NOT NULL
    ) STRICT;
    CREATE TABLE holder (
        type_code TEXT NOT NULL,
        holder_type TEXT NOT NULL,
        number TEXT NOT NULL,
        license INTEGER NOT NULL,
        PRIMARY KEY (type_code, holder_type, number, license)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX holder_of_license ON holder (license);
    CREATE TABLE change (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        license_id TEXT NOT NULL,
        type_code TEXT NOT NULL,
        holder_type TEXT NOT NULL,
        number TEXT NOT NULL
    ) STRICT;
";
