//! A file at rest: everything out of the WAL, and its SHA-256 beside it.
//!
//! The sum lets `audit verify` (or `sha256sum -c`) see any changed byte, also where SQLite
//! keeps nothing. It is no evidence (whoever changes the file can change the sum; the tree
//! is), it tells damage from work: the sum is taken away before the file is written to.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use rusqlite::Connection;

use super::super::StoreFault;
use super::{BUSY_WAIT, file_fault, sqlite_fault};

/// Bytes of the largest file that is summed: the writer must not stand still for more than
/// some hundredth of a second.
const LARGEST_SUMMED: u64 = 32 << 20;

/// Copies what the WAL holds into the file, as far as readers let it, and says whether all
/// of it went. Never waits for a reader: an audit beside the gateway may read for minutes.
/// An error means that it is not known what the disk holds.
pub fn checkpoint(connection: &Connection, path: &Path) -> Result<bool, StoreFault> {
    copied(connection, path, "PRAGMA wal_checkpoint(TRUNCATE)")
}

/// The same while work goes on: the WAL keeps its length and is written over from its beginning,
/// which costs the disk less than growing again.
pub(super) fn recycle(connection: &Connection, path: &Path) -> Result<bool, StoreFault> {
    copied(connection, path, "PRAGMA wal_checkpoint(RESTART)")
}

fn copied(connection: &Connection, path: &Path, pragma: &str) -> Result<bool, StoreFault> {
    let sum = sum_path(path);
    match fs::remove_file(&sum) {
        // Durably gone before the file changes: an old sum must not come back.
        Ok(()) => sum.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
    .map_err(|e| file_fault(&sum, &e))?;
    let copy = || {
        connection.busy_timeout(Duration::ZERO)?;
        let busy = connection.query_row(pragma, [], |row| row.get::<_, i64>(0));
        connection.busy_timeout(BUSY_WAIT)?;
        busy.map(|busy| busy == 0)
    };
    copy().map_err(|e| sqlite_fault("checkpoint", path, &e))
}

/// Checkpoints, and writes the sum when a reader did not stand in the way.
pub(super) fn rest(connection: &Connection, path: &Path) -> Result<(), StoreFault> {
    if checkpoint(connection, path)?
        && let Ok(Some(digest)) = digest(path)
    {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let beside = path.with_extension("sum.new");
        // Without a sum nothing is lost but its help.
        let _ = fs::write(&beside, format!("{digest}  {name}\n"))
            .and_then(|()| fs::rename(&beside, sum_path(path)));
    }
    Ok(())
}

/// Does the file at rest still have the bytes it was left with? `None` when it is being
/// worked on, or has no sum.
pub fn is_untouched(path: &Path) -> Option<bool> {
    let before = fs::read_to_string(sum_path(path)).ok()?;
    let wanted = before.split(' ').next().filter(|hex| hex.len() == 64)?;
    let found = digest(path).ok()??;
    let after = fs::read_to_string(sum_path(path)).ok()?;
    (before == after).then(|| found == wanted)
}

fn sum_path(path: &Path) -> PathBuf {
    let mut sum = path.as_os_str().to_owned();
    sum.push(".sha256");
    sum.into()
}

fn digest(path: &Path) -> std::io::Result<Option<String>> {
    let mut kept = KEPT_OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    // What was removed or replaced needs no lock any more, and must give its room back.
    kept.retain(|path, file| is_at(file, path));
    let file = match kept.entry(path.to_owned()) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => new.insert(File::open(path)?),
    };
    if file.metadata()?.len() > LARGEST_SUMMED {
        return Ok(None);
    }
    let (mut context, mut piece, mut at) = (Context::new(&SHA256), vec![0; 64 << 10], 0_u64);
    loop {
        let read = file.read_at(&mut piece, at)?;
        match piece.get(..read) {
            Some(bytes) if read > 0 => context.update(bytes),
            _ => return Ok(Some(hex::encode(context.finish()))),
        }
        at += read as u64;
    }
}

/// Files whose bytes were read beside SQLite. Closing any descriptor of a file gives up every lock
/// that the process has on it (POSIX `fcntl`), SQLite's too: another process that closes the file as
/// if it were the last would take the WAL away from under us. So these stay open; a few a month.
static KEPT_OPEN: Mutex<BTreeMap<PathBuf, File>> = Mutex::new(BTreeMap::new());

fn is_at(file: &File, path: &Path) -> bool {
    let place = |meta: fs::Metadata| (meta.dev(), meta.ino());
    let (open, there) = (file.metadata().map(place), fs::metadata(path).map(place));
    open.is_ok_and(|open| there.is_ok_and(|there| open == there))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::open_writer;
    use super::*;

    /// What of this file this process holds locked, as the system tells. It tells a page at a time, and a
    /// lock that others take or give back meanwhile moves the rest: a line may come twice, or not at all.
    fn locks_on(path: &Path) -> BTreeSet<String> {
        let inode = format!(":{} ", fs::metadata(path).unwrap().ino());
        let own = format!(" {} ", std::process::id());
        let told = || -> BTreeSet<String> {
            let locks = fs::read_to_string("/proc/locks").unwrap();
            let ours = locks.lines().filter(|line| line.contains(&inode) && line.contains(&own));
            ours.filter_map(|line| Some(line.split_once(": ")?.1.to_owned())).collect()
        };
        loop {
            let (once, again) = (told(), told());
            if once == again {
                return once;
            }
        }
    }

    #[test]
    fn a_sum_is_taken_without_giving_up_sqlites_locks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let connection = open_writer(&path, "CREATE TABLE a(b INTEGER) STRICT;").unwrap();
        connection.execute("INSERT INTO a VALUES(1)", []).unwrap();
        let before = locks_on(&path);
        assert!(!before.is_empty(), "SQLite holds a lock on an open file in WAL mode");
        rest(&connection, &path).unwrap();
        assert_eq!(is_untouched(&path), Some(true));
        assert_eq!(locks_on(&path), before);
    }

    #[test]
    fn a_file_that_was_replaced_is_summed_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        fs::write(&path, "one").unwrap();
        let one = digest(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(dir.path().join("b"), "two").unwrap();
        fs::rename(dir.path().join("b"), &path).unwrap();
        assert_ne!(digest(&path).unwrap(), one);
        fs::remove_file(&path).unwrap();
        assert!(digest(&path).is_err());
        assert!(!KEPT_OPEN.lock().unwrap().contains_key(&path), "its room is given back");
    }
}
