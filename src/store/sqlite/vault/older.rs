//! Vaults begun before decision 0016, whose rows stand in SQLite: brought into their file at a start.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rusqlite::Connection;

use super::super::rest::rest;
use super::super::shelf::names;
use super::super::{engine, file_fault, open_reader, open_writer, sqlite_fault};
use super::growing::GrowingFile;
use super::writer::rows_fault;
use super::{SCHEMA, rows_path};
use crate::store::{RetentionClass, Shard, StoreFault, VaultRow, WrappedEpoch};

/// Rows that are brought forward as one commit.
const AT_ONCE: usize = 64;

/// Do the rows stand in SQLite?
pub(super) fn is_older(connection: &Connection) -> rusqlite::Result<bool> {
    connection.table_exists(None, "vault")
}

/// Brings every older vault below `root` forward. One that a stop interrupted is begun again; a file of rows
/// that is there is never touched.
pub(in super::super) fn bring_forward(root: &Path) -> Result<(), StoreFault> {
    for shard in names(root)?.iter().filter_map(|name| Shard::parse(name)) {
        for (month, class) in super::reader::vaults_of(root, shard)? {
            let path = super::vault_path(root, shard, month, class);
            // A file that cannot be read says nothing; whoever reads it will.
            if !open_reader(&path).is_ok_and(|connection| is_older(&connection).unwrap_or(false)) {
                continue;
            }
            tracing::info!(vault = %path.display(), "a vault of an older form is brought forward");
            let connection = open_writer(&path, SCHEMA)?;
            if !rows_path(&path).exists() {
                write_rows(&connection, &path, class)?;
            }
            let gone = connection.execute_batch("DROP TABLE vault; VACUUM;");
            gone.map_err(|e| sqlite_fault("bring forward", &path, &e))?;
            rest(&connection, &path)?;
        }
    }
    Ok(())
}

/// Under another name, until all of them are there.
fn write_rows(connection: &Connection, path: &Path, class: RetentionClass) -> Result<(), StoreFault> {
    let (done, begun) = (rows_path(path), path.with_extension("begun"));
    let of_file = |e: io::Error| file_fault(&begun, &e);
    match fs::remove_file(&begun) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(of_file(e)),
        _ => {}
    }
    let mut rows = GrowingFile::open(&begun, None).map_err(|e| rows_fault("open", path, &e))?;
    move_rows(connection, path, class, &mut rows)?;
    rows.file().sync_all().map_err(|e| rows_fault("flush", path, &e))?;
    fs::rename(&begun, &done).map_err(of_file)?;
    let folder = done.parent().unwrap_or(Path::new("."));
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(of_file)
}

fn move_rows(
    connection: &Connection,
    path: &Path,
    class: RetentionClass,
    to: &mut GrowingFile,
) -> Result<(), StoreFault> {
    let unread = |e: rusqlite::Error| sqlite_fault("read", path, &e);
    let mut statement = connection
        .prepare("SELECT idx, epoch, r, tokens, sealed, sum FROM vault ORDER BY idx")
        .map_err(unread)?;
    let mut rows = statement.query_map([], |row| of_older(row, class)).map_err(unread)?;
    loop {
        let load = rows.by_ref().take(AT_ONCE).collect::<rusqlite::Result<Vec<_>>>().map_err(unread)?;
        if load.is_empty() {
            return Ok(());
        }
        let written = to.append(load.iter().map(|(index, row)| (*index, row)));
        written.map_err(|e| rows_fault("bring forward", path, &e))?;
    }
}

/// A row as it stood in SQLite.
fn of_older(row: &rusqlite::Row<'_>, class: RetentionClass) -> rusqlite::Result<(u64, VaultRow)> {
    let (index, id, r): (i64, i64, [u8; 32]) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let (tokens, sealed, sum): (Vec<u8>, Vec<u8>, i64) = (row.get(3)?, row.get(4)?, row.get(5)?);
    let mut ev = [0; 32];
    ev.copy_from_slice(digest(&SHA256, &sealed).as_ref());
    // The first rows have a sum over the evidence, later ones over its hash.
    let length = i64::try_from(tokens.len()).unwrap_or(i64::MAX).to_be_bytes();
    let fits = |covered: &[u8]| engine::row_sum(index, id, &[&r, &length, &tokens, covered]) == sum;
    if !fits(&ev) && !fits(&sealed) {
        // A changed row stays one that is told from a true one.
        ev[0] ^= 1;
    }
    let epoch = Arc::new(WrappedEpoch { id, wrapped: String::new() });
    Ok((index.unsigned_abs(), VaultRow { class, epoch, r, tokens, ev, sealed }))
}

#[cfg(test)]
mod tests {
    use super::super::Vaults;
    use super::*;
    use crate::store::Month;

    #[test]
    fn an_older_vault_is_brought_forward_and_read_no_other_way() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("ledger");
        fs::create_dir_all(root.join("2026h2")).unwrap();
        let path = root.join("2026h2/2026-11.other.db");
        let table = "CREATE TABLE vault(idx INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, r BLOB NOT NULL, \
                     tokens BLOB NOT NULL, sealed BLOB NOT NULL, sum INTEGER NOT NULL) STRICT;";
        let older = open_writer(&path, &format!("{table}{SCHEMA}")).unwrap();
        older.execute("INSERT INTO epoch VALUES(7, '{}')", []).unwrap();
        older.execute("INSERT INTO erased VALUES(3, '2026h2', 9)", []).unwrap();
        let (tokens, length) = ([5; 17], 17_i64.to_be_bytes());
        for index in (0..200_i64).filter(|index| *index != 3) {
            let sealed = vec![index as u8; 5_000];
            let ev = digest(&SHA256, &sealed);
            let covered = if index < 100 { &sealed } else { ev.as_ref() };
            let sum = engine::row_sum(index, 7, &[&[8; 32], &length, &tokens, covered]);
            let changed = i64::from(index == 150);
            older
                .execute(
                    "INSERT INTO vault VALUES(?, 7, ?, ?, ?, ?)",
                    (index, [8; 32], tokens, sealed, sum + changed),
                )
                .unwrap();
        }
        drop(older);
        let (shard, month) = (Shard::parse("2026h2").unwrap(), Month::parse("2026-11").unwrap());
        let open = || Vaults::below(&root).open(shard, month, RetentionClass::Other);
        assert!(matches!(open(), Err(StoreFault::Older { .. })));
        // As a stop would leave it.
        fs::write(path.with_extension("begun"), vec![7; 100]).unwrap();
        for again in [false, true] {
            if again {
                // A stop before the table was gone, or somebody who would have the rows thrown away.
                let older = Connection::open(&path).unwrap();
                older.execute_batch(table).unwrap();
            }
            bring_forward(&root).unwrap();
            assert!(!path.with_extension("begun").exists());
            let (vault, mut seen) = (open().unwrap().unwrap(), Vec::new());
            vault
                .walk(0, |row| {
                    assert!(row.epoch == 7 && row.r == [8; 32] && row.tokens == tokens);
                    assert!(row.sealed == [row.index as u8; 5_000]);
                    seen.push((row.index, row.sum_fits));
                })
                .unwrap();
            let expected = (0..200).filter(|index| *index != 3).map(|index| (index, index != 150));
            assert_eq!(seen, expected.collect::<Vec<_>>());
            assert_eq!(vault.epoch(7).unwrap().as_deref(), Some("{}"));
            assert!(vault.erased().unwrap().contains_key(&3));
        }
    }
}
