//! `witness.db`: what we cosigned for others, what contradicted it, and who cosigned for us.
//!
//! Promises: WAL with `synchronous=FULL`, so what returned has been flushed; the look at what
//! was cosigned last and its replacement are one transaction.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

use crate::ledger::tree::{Hash, sha256};
use crate::store::StoreFault;
use crate::store::sqlite::{checkpoint, open_reader, open_writer, sqlite_fault};

/// `id` is the hex SHA-256 of the origin, as monitors ask.
const SCHEMA: &str = "
CREATE TABLE cosigned(origin TEXT PRIMARY KEY, id TEXT UNIQUE NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL,
  note TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE TABLE contradiction(origin TEXT NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL, kept TEXT NOT NULL,
  brought TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY(origin, size, root)) STRICT;
CREATE TABLE witness(partner TEXT PRIMARY KEY, vkey TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE TABLE own(origin TEXT NOT NULL, partner TEXT NOT NULL, size INTEGER NOT NULL, note TEXT NOT NULL,
  at INTEGER NOT NULL, PRIMARY KEY(origin, partner)) STRICT;
CREATE TABLE quorum(origin TEXT PRIMARY KEY, size INTEGER NOT NULL, note TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE TABLE began(one INTEGER PRIMARY KEY CHECK(one=1), at INTEGER NOT NULL) STRICT;
";

/// Pairs of contradicting checkpoints kept of one log: one is proof enough, and a log that
/// signs a thousand must not fill our disk.
const MOST_CONTRADICTIONS: i64 = 16;
/// Commits after which the WAL is copied into the file: some hundred KiB.
const COMMITS_IN_WAL: u32 = 64;

/// A checkpoint with a cosignature, and when that was made (seconds since 1970).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    pub origin: String,
    pub size: u64,
    pub note: Vec<u8>,
    pub at: i64,
}

/// Who cosigned our checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCosigned {
    /// Region of the witness.
    pub partner: String,
    pub cosigned: Cosigned,
}

/// What was cosigned last of a log.
pub(super) struct Seen {
    pub size: u64,
    pub root: Hash,
    pub note: Vec<u8>,
}

/// What becomes of a checkpoint that was brought.
pub(super) enum Act<T> {
    /// It is the last cosigned from now on.
    Keep {
        size: u64,
        root: Hash,
        note: Vec<u8>,
        told: T,
    },
    /// It contradicts the last one at the same size: both are kept.
    Contradicts {
        size: u64,
        root: Hash,
        note: Vec<u8>,
        told: T,
    },
    Nothing(T),
}

pub(super) struct Book {
    path: PathBuf,
    connection: Connection,
    in_wal: u32,
}

impl Book {
    pub fn open(path: &Path) -> Result<Self, StoreFault> {
        Ok(Self { path: path.to_owned(), connection: open_writer(path, SCHEMA)?, in_wal: 0 })
    }

    /// Decides about a checkpoint in the light of the last one, in one transaction.
    pub fn decide<T>(
        &mut self,
        origin: &str,
        at: i64,
        decide: impl FnOnce(Option<Seen>) -> Act<T>,
    ) -> Result<T, StoreFault> {
        self.write("cosign", |transaction| {
            let seen = transaction
                .query_row("SELECT size, root, note FROM cosigned WHERE origin=?", [origin], |row| {
                    Ok(Seen { size: size(row, 0)?, root: row.get(1)?, note: text(row, 2)? })
                })
                .optional()?;
            let kept = seen.as_ref().map(|seen| seen.note.clone()).unwrap_or_default();
            match decide(seen) {
                Act::Nothing(told) => Ok(told),
                Act::Keep { size, root, note, told } => {
                    transaction.execute(
                        "INSERT INTO cosigned(origin, id, size, root, note, at) VALUES(?1, ?2, ?3, ?4, ?5, ?6) \
                         ON CONFLICT(origin) DO UPDATE SET size=?3, root=?4, note=?5, at=?6",
                        params![origin, id_of(origin), size.cast_signed(), root, utf8(&note), at],
                    )?;
                    Ok(told)
                }
                Act::Contradicts { size, root, note, told } => {
                    transaction.execute(
                        "INSERT OR IGNORE INTO contradiction(origin, size, root, kept, brought, at) \
                         SELECT ?1, ?2, ?3, ?4, ?5, ?6 \
                         WHERE (SELECT count(*) FROM contradiction WHERE origin=?1) < ?7",
                        params![
                            origin,
                            size.cast_signed(),
                            root,
                            utf8(&kept),
                            utf8(&note),
                            at,
                            MOST_CONTRADICTIONS
                        ],
                    )?;
                    Ok(told)
                }
            }
        })
    }

    /// The last cosigned checkpoint of the log with this hex SHA-256 of its origin.
    pub fn cosigned(&self, id: &str) -> Result<Option<Vec<u8>>, StoreFault> {
        self.connection
            .query_row("SELECT note FROM cosigned WHERE id=?", [id], |row| text(row, 0))
            .optional()
            .map_err(|e| sqlite_fault("read", &self.path, &e))
    }

    pub fn put_witness(&mut self, partner: &str, vkey: &str, at: i64) -> Result<(), StoreFault> {
        self.write("witness", |transaction| {
            transaction
                .execute(
                    "INSERT OR REPLACE INTO witness(partner, vkey, at) VALUES(?, ?, ?)",
                    (partner, vkey, at),
                )
                .map(drop)
        })
    }

    pub fn put_own(&mut self, own: &OwnCosigned) -> Result<(), StoreFault> {
        let OwnCosigned { partner, cosigned } = own;
        self.write("own", |transaction| {
            transaction
                .execute(
                    "INSERT OR REPLACE INTO own(origin, partner, size, note, at) VALUES(?, ?, ?, ?, ?)",
                    params![
                        cosigned.origin,
                        partner,
                        cosigned.size.cast_signed(),
                        utf8(&cosigned.note),
                        cosigned.at
                    ],
                )
                .map(drop)
        })
    }

    pub fn put_quorum(&mut self, cosigned: &Cosigned) -> Result<(), StoreFault> {
        self.write("quorum", |transaction| {
            transaction
                .execute(
                    "INSERT OR REPLACE INTO quorum(origin, size, note, at) VALUES(?, ?, ?, ?)",
                    params![cosigned.origin, cosigned.size.cast_signed(), utf8(&cosigned.note), cosigned.at],
                )
                .map(drop)
        })
    }

    /// Since when a quorum has been asked for; set once.
    pub fn began(&mut self, at: i64) -> Result<i64, StoreFault> {
        self.write("began", |transaction| {
            transaction.execute("INSERT OR IGNORE INTO began(one, at) VALUES(1, ?)", [at])?;
            transaction.query_row("SELECT at FROM began", [], |row| row.get(0))
        })
    }

    pub fn shown(&self) -> Result<Shown, StoreFault> {
        Shown::read_from(&self.connection).map_err(|e| sqlite_fault("read", &self.path, &e))
    }

    fn write<T>(
        &mut self,
        what: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreFault> {
        let path = &self.path;
        let fault = |e: rusqlite::Error| sqlite_fault(what, path, &e);
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fault)?;
        let done = work(&transaction).map_err(fault)?;
        transaction.commit().map_err(fault)?;
        self.in_wal += 1;
        if self.in_wal >= COMMITS_IN_WAL {
            checkpoint(&self.connection, &self.path)?;
            self.in_wal = 0;
        }
        Ok(done)
    }
}

impl Drop for Book {
    fn drop(&mut self) {
        // What stays in the WAL is read from there.
        let _ = checkpoint(&self.connection, &self.path);
    }
}

/// Two checkpoints of one log, of one size, with two roots: both signed by its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    pub origin: String,
    pub size: u64,
    pub kept: Vec<u8>,
    pub brought: Vec<u8>,
    pub at: i64,
}

/// Everything that stands in the book.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// What we cosigned for others.
    pub cosigned: Vec<Cosigned>,
    pub contradictions: Vec<Contradiction>,
    /// Verifier keys of our witnesses, by region.
    pub witnesses: Vec<(String, String)>,
    /// Who cosigned for us.
    pub own: Vec<OwnCosigned>,
    /// Our checkpoints for which the quorum was met.
    pub quorum: Vec<Cosigned>,
    pub began: Option<i64>,
}

impl Shown {
    /// Beside whoever writes it; an absent file is an empty book.
    pub fn read(path: &Path) -> Result<Self, StoreFault> {
        if !path.is_file() {
            return Ok(Self::default());
        }
        let connection = open_reader(path)?;
        Self::read_from(&connection).map_err(|e| sqlite_fault("read", path, &e))
    }

    fn read_from(connection: &Connection) -> rusqlite::Result<Self> {
        let cosigned = |row: &Row<'_>| {
            Ok(Cosigned { origin: row.get(0)?, size: size(row, 1)?, note: text(row, 2)?, at: row.get(3)? })
        };
        Ok(Self {
            cosigned: rows(
                connection,
                "SELECT origin, size, note, at FROM cosigned ORDER BY origin",
                cosigned,
            )?,
            contradictions: rows(
                connection,
                "SELECT origin, size, kept, brought, at FROM contradiction ORDER BY at",
                |row| {
                    Ok(Contradiction {
                        origin: row.get(0)?,
                        size: size(row, 1)?,
                        kept: text(row, 2)?,
                        brought: text(row, 3)?,
                        at: row.get(4)?,
                    })
                },
            )?,
            witnesses: rows(connection, "SELECT partner, vkey FROM witness ORDER BY partner", |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?,
            own: rows(
                connection,
                "SELECT origin, size, note, at, partner FROM own ORDER BY origin, partner",
                |row| Ok(OwnCosigned { cosigned: cosigned(row)?, partner: row.get(4)? }),
            )?,
            quorum: rows(connection, "SELECT origin, size, note, at FROM quorum ORDER BY origin", cosigned)?,
            began: connection.query_row("SELECT at FROM began", [], |row| row.get(0)).optional()?,
        })
    }
}

fn rows<T>(
    connection: &Connection,
    sql: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare(sql)?.query_map([], read)?.collect()
}

/// How monitors name a log: hex SHA-256 of its origin.
pub fn id_of(origin: &str) -> String {
    hex::encode(sha256(origin.as_bytes()))
}

fn size(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(at)?.unsigned_abs())
}

fn text(row: &Row<'_>, at: usize) -> rusqlite::Result<Vec<u8>> {
    Ok(row.get_ref(at)?.as_bytes()?.to_vec())
}

fn utf8(note: &[u8]) -> std::borrow::Cow<'_, str> {
    // Notes are UTF-8 or would not have been read.
    String::from_utf8_lossy(note)
}
