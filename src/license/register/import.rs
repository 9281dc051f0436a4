//! Loads the embedded register from JSON lines: one license document a line, refused line by
//! line with reasons (protocol §11).
//!
//! Promises: memory does not grow with the file; a batch is in the register whole or not at
//! all; of two versions of a license the newer one stands, in whatever order they come.

use std::io::{BufRead, Read};
use std::path::Path;

use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use serde::Serialize;

use super::embedded::{MOST_CHANGES, RegisterFileFault, connect};
use crate::fault::Fault;
use crate::json;
use crate::license::record::LicenseRecord;
use crate::schema::Catalog;

/// Lines in one commit: large enough that the disk is not the limit, small enough that a
/// reader beside it never waits long.
const BATCH: usize = 1_000;

/// The longest line read (bytes). A license with long lists stays far below; what is longer is
/// refused without being held.
const LONGEST_LINE: usize = 256 * 1024;

/// Refused lines that the report keeps; the progress callback is told of every one.
const MOST_REFUSED_KEPT: usize = 1_000;

/// What became of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    pub lines: u64,
    /// New licenses.
    pub loaded: u64,
    /// Licenses that replaced an earlier content or version.
    pub replaced: u64,
    /// Lines that said what the register already said.
    pub unchanged: u64,
    /// Lines with an older version than the register has.
    pub outdated: u64,
    /// How many lines were refused.
    pub refused_lines: u64,
    /// The first of them.
    pub refused: Vec<LineFault>,
}

/// Why one line was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LineFault {
    /// Counted from 1.
    pub line: u64,
    pub faults: Vec<Fault>,
}

/// Told while an import runs.
#[derive(Debug)]
pub enum Progress<'a> {
    Refused(&'a LineFault),
    /// A batch is durable; lines read so far.
    Committed {
        lines: u64,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum ImportFault {
    #[error(transparent)]
    Register(#[from] RegisterFileFault),
    #[error("the lines cannot be read ({0})")]
    Lines(std::io::ErrorKind),
}

impl From<rusqlite::Error> for ImportFault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Register(error.into())
    }
}

/// Imports `lines` into the register at `path`. What was committed before a fault stays.
/// `today` is the day in Asia/Shanghai.
pub fn import(
    path: &Path,
    lines: impl BufRead,
    today: Date,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<ImportReport, ImportFault> {
    let mut connection = connect(path)?;
    let mut lines = Lines { source: lines, buffer: Vec::new(), number: 0 };
    let mut report = ImportReport::default();
    while import_batch(&mut connection, &mut lines, today, &mut report, &mut progress)? {
        progress(Progress::Committed { lines: report.lines });
    }
    Ok(report)
}

/// One transaction; false when there was nothing left to read.
fn import_batch(
    connection: &mut Connection,
    lines: &mut Lines<impl BufRead>,
    today: Date,
    report: &mut ImportReport,
    progress: &mut impl FnMut(Progress<'_>),
) -> Result<bool, ImportFault> {
    // Read first, write then: a slow pipe must not hold the register's write lock.
    let mut batch = Vec::new();
    let mut read = 0_usize;
    while read < BATCH {
        let Some(line) = lines.next().map_err(|error| ImportFault::Lines(error.kind()))? else { break };
        read = read.saturating_add(1);
        match line.and_then(|text| text.map(|text| parse_line(text, today)).transpose()) {
            Ok(Some(parsed)) => batch.push(parsed),
            Ok(None) => {}
            Err(faults) => refuse(LineFault { line: lines.number, faults }, report, progress),
        }
    }
    report.lines = lines.number;
    if !batch.is_empty() {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (record, document) in &batch {
            store(&transaction, record, document)?.count(report);
        }
        forget_old_changes(&transaction)?;
        transaction.commit()?;
    }
    Ok(read > 0)
}

fn refuse(refused: LineFault, report: &mut ImportReport, progress: &mut impl FnMut(Progress<'_>)) {
    progress(Progress::Refused(&refused));
    report.refused_lines = report.refused_lines.saturating_add(1);
    if report.refused.len() < MOST_REFUSED_KEPT {
        report.refused.push(refused);
    }
}

/// One license document and the text that is stored for it.
fn parse_line(line: &[u8], today: Date) -> Result<(LicenseRecord, String), Vec<Fault>> {
    let value = json::parse_record(line).map_err(|fault| vec![fault.into()])?;
    let document = Catalog::embedded().check_license(&value, today)?;
    // What was checked is stored, without the data that is never shared; canonical, so that the
    // same document is recognised whatever its member order.
    let checked = serde_json::to_value(&document).unwrap_or_default();
    let text = String::from_utf8(json::jcs(&checked)).unwrap_or_default();
    Ok((document.into(), text))
}

enum Stored {
    Loaded,
    Replaced,
    Unchanged,
    Outdated,
}

impl Stored {
    fn count(self, report: &mut ImportReport) {
        let counter = match self {
            Self::Loaded => &mut report.loaded,
            Self::Replaced => &mut report.replaced,
            Self::Unchanged => &mut report.unchanged,
            Self::Outdated => &mut report.outdated,
        };
        *counter = counter.saturating_add(1);
    }
}

fn store(transaction: &Transaction<'_>, record: &LicenseRecord, document: &str) -> rusqlite::Result<Stored> {
    let lineage = record.lineage();
    let version: i64 = record.header().version.parse().unwrap_or(0);
    let earlier: Option<(i64, i64, bool)> = transaction
        .prepare_cached("SELECT id, version, doc = ?2 FROM license WHERE lineage = ?1")?
        .query_row(params![lineage, document], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let stored = match earlier {
        Some((_, _, true)) => return Ok(Stored::Unchanged),
        Some((_, there, false)) if there > version => return Ok(Stored::Outdated),
        Some((id, _, false)) => {
            remove(transaction, id)?;
            Stored::Replaced
        }
        None => Stored::Loaded,
    };
    transaction
        .prepare_cached(
            "INSERT INTO license (lineage, license_id, type_code, version, doc) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![lineage, record.license_id(), record.type_code(), version, document])?;
    let id = transaction.last_insert_rowid();
    for holder in record.holders() {
        transaction
            .prepare_cached("INSERT OR IGNORE INTO holder VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![record.type_code(), holder.type_code, holder.code, id])?;
    }
    note_change(transaction, id)?;
    Ok(stored)
}

/// The former holders must learn of it as much as the new ones.
fn remove(transaction: &Transaction<'_>, id: i64) -> rusqlite::Result<()> {
    note_change(transaction, id)?;
    transaction.prepare_cached("DELETE FROM holder WHERE license = ?1")?.execute([id])?;
    transaction.prepare_cached("DELETE FROM license WHERE id = ?1")?.execute([id])?;
    Ok(())
}

fn note_change(transaction: &Transaction<'_>, id: i64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO change (license_id, type_code, holder_type, number)
             SELECT license_id, license.type_code, holder_type, number
             FROM license JOIN holder ON holder.license = license.id WHERE license.id = ?1",
        )?
        .execute([id])?;
    Ok(())
}

fn forget_old_changes(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("DELETE FROM change WHERE seq <= (SELECT max(seq) FROM change) - ?1")?
        .execute([MOST_CHANGES])?;
    Ok(())
}

/// Lines of bounded length.
struct Lines<R> {
    source: R,
    buffer: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    /// The next line without its end: `None` at the end of the file, `Ok(None)` for a blank
    /// one, faults for one that is too long.
    #[expect(clippy::type_complexity, reason = "three nested meanings, each said above")]
    fn next(&mut self) -> std::io::Result<Option<Result<Option<&[u8]>, Vec<Fault>>>> {
        self.buffer.clear();
        let most = u64::try_from(LONGEST_LINE).unwrap_or(u64::MAX).saturating_add(1);
        let read = self.source.by_ref().take(most).read_until(b'\n', &mut self.buffer)?;
        if read == 0 {
            return Ok(None);
        }
        self.number = self.number.saturating_add(1);
        if self.buffer.len() > LONGEST_LINE && self.buffer.last() != Some(&b'\n') {
            skip_line(&mut self.source)?;
            return Ok(Some(Err(vec![Fault::new(
                "",
                "line-too-long",
                "is longer than 256 KiB",
                "行长超过 256 KiB",
            )])));
        }
        let line = self.buffer.trim_ascii();
        Ok(Some(Ok(if line.is_empty() { None } else { Some(line) })))
    }
}

fn skip_line(source: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let available = source.fill_buf()?;
        if available.is_empty() {
            return Ok(());
        }
        let (used, ended) = match available.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at.saturating_add(1), true),
            None => (available.len(), false),
        };
        source.consume(used);
        if ended {
            return Ok(());
        }
    }
}
