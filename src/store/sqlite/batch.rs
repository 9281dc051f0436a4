//! The batch: what a month's file keeps of a commit as a whole, in one row. The ids its leaves used
//! and the uses they took, which must be remembered while messages and authorizations live; and how
//! much evidence belongs to it ([`super::unfinished`]).
//!
//! Why not a row a leaf: two more trees to write to at each leaf cost a third of a commit. Whether
//! an id is used is answered from memory; these rows are read at start only, from the last leaf on
//! that is too old to matter. `sum` tells a damaged row from a true one.
//!
//! Files begun before have a row a leaf, in `used` and `take`; those are read as long as they live.

use rusqlite::{Connection, OptionalExtension as _};

use super::super::{Row, Take, UsedId};
use super::engine::row_sum;

/// `first` is the index of the commit's first leaf, `sealed` the number of its vault rows. `used` and
/// `taken` are entries of [`ENTRY`] octets, the first eight of them the time at which one expires.
pub(super) const TABLE: &str = "
CREATE TABLE IF NOT EXISTS batch(first INTEGER PRIMARY KEY, sealed INTEGER NOT NULL, used BLOB NOT NULL,
  taken BLOB NOT NULL, sum INTEGER NOT NULL) STRICT;
";

/// Expiry (seconds since 1970), key and content of an id; or expiry and token of a use.
const ENTRY: usize = 8 + 32;

/// Writes down a commit; `first` is the index of its first leaf.
pub(super) fn keep(connection: &Connection, first: u64, rows: &[Row]) -> rusqlite::Result<()> {
    let (mut used, mut taken) = (Vec::new(), Vec::new());
    for row in rows {
        if let Some(id) = &row.used_id {
            put(&mut used, id.expires, &[&id.key, &id.content]);
        }
        if let Some(take) = &row.take {
            put(&mut taken, take.expires, &[&take.token]);
        }
    }
    let sealed = rows.iter().filter(|row| row.vault.is_some()).count() as i64;
    let first = first.cast_signed();
    let sum = sum_of(first, sealed, &used, &taken);
    connection
        .prepare_cached("INSERT INTO batch(first, sealed, used, taken, sum) VALUES(?, ?, ?, ?, ?)")?
        .execute((first, sealed, used, taken, sum))?;
    Ok(())
}

fn put(entries: &mut Vec<u8>, expires: i64, parts: &[&[u8]]) {
    entries.extend_from_slice(&expires.to_be_bytes());
    parts.iter().for_each(|part| entries.extend_from_slice(part));
}

fn sum_of(first: i64, sealed: i64, used: &[u8], taken: &[u8]) -> i64 {
    let length = i64::try_from(used.len()).unwrap_or(i64::MAX).to_be_bytes();
    row_sum(first, sealed, &[&length, used, taken])
}

/// The last commit: its first leaf, and the number of its vault rows.
pub(super) fn last(connection: &Connection) -> rusqlite::Result<Option<(u64, u64)>> {
    if !has_table(connection, "batch")? {
        return Ok(None);
    }
    let of_last = "SELECT first, sealed FROM batch ORDER BY first DESC LIMIT 1";
    let number = |row: &rusqlite::Row<'_>, at| row.get::<_, i64>(at).map(i64::unsigned_abs);
    connection.query_row(of_last, [], |row| Ok((number(row, 0)?, number(row, 1)?))).optional()
}

/// Ids used by the leaves from `first_alive` on that have not expired before `now` (seconds).
pub(super) fn used_ids(connection: &Connection, first_alive: i64, now: i64) -> rusqlite::Result<Vec<UsedId>> {
    let mut ids = Vec::new();
    each(connection, "used", first_alive, now, |expires, rest| {
        let (halves, _) = rest.as_chunks::<16>();
        if let [key, content] = *halves {
            ids.push(UsedId { key, content, expires });
        }
    })?;
    if has_table(connection, "used")? {
        let mut statement =
            connection.prepare("SELECT id, content, expires FROM used WHERE idx>=? AND expires>=?")?;
        let mut rows = statement.query([first_alive, now])?;
        while let Some(row) = rows.next()? {
            ids.push(UsedId { key: row.get(0)?, content: row.get(1)?, expires: row.get(2)? });
        }
    }
    Ok(ids)
}

/// Uses taken by the leaves from `first_alive` on that have not expired before `now` (seconds), one by one.
pub(super) fn takes(connection: &Connection, first_alive: i64, now: i64) -> rusqlite::Result<Vec<Take>> {
    let mut takes = Vec::new();
    each(connection, "taken", first_alive, now, |expires, token| {
        takes.push(Take { token: *token, expires })
    })?;
    if has_table(connection, "take")? {
        let mut statement =
            connection.prepare("SELECT token, expires FROM take WHERE idx>=? AND expires>=?")?;
        let mut rows = statement.query([first_alive, now])?;
        while let Some(row) = rows.next()? {
            takes.push(Take { token: row.get(0)?, expires: row.get(1)? });
        }
    }
    Ok(takes)
}

/// The entries of a column that have not expired before `now`, from those of the commit that holds
/// `first_alive` on.
fn each(
    connection: &Connection,
    column: &str,
    first_alive: i64,
    now: i64,
    mut visit: impl FnMut(i64, &[u8; 32]),
) -> rusqlite::Result<()> {
    if !has_table(connection, "batch")? {
        return Ok(());
    }
    let mut statement = connection.prepare(&format!(
        "SELECT {column} FROM batch WHERE first>=coalesce((SELECT max(first) FROM batch WHERE first<=?), 0) \
         ORDER BY first"
    ))?;
    let mut rows = statement.query([first_alive])?;
    while let Some(row) = rows.next()? {
        for entry in row.get_ref(0)?.as_blob()?.as_chunks::<ENTRY>().0 {
            if let (Some(expires), Some(rest)) = (entry.first_chunk(), entry.last_chunk()) {
                let expires = i64::from_be_bytes(*expires);
                if expires >= now {
                    visit(expires, rest);
                }
            }
        }
    }
    Ok(())
}

/// The first leaves of the rows that do not match their sum.
pub(super) fn damaged(connection: &Connection) -> rusqlite::Result<Vec<u64>> {
    let mut damaged = Vec::new();
    let (now, before) = (has_table(connection, "batch")?, has_table(connection, "used")?);
    if now || !before {
        let mut statement = connection.prepare("SELECT first, sum, sealed, used, taken FROM batch")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (first, sum): (i64, i64) = (row.get(0)?, row.get(1)?);
            let (used, taken) = (row.get_ref(3)?.as_blob()?, row.get_ref(4)?.as_blob()?);
            if sum_of(first, row.get(2)?, used, taken) != sum {
                damaged.push(first.unsigned_abs());
            }
        }
    }
    if before {
        let both = "SELECT idx, expires, sum, id || content FROM used \
                    UNION ALL SELECT idx, expires, sum, token FROM take";
        let mut statement = connection.prepare(both)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (index, expires, sum): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            if row_sum(index, expires, &[row.get_ref(3)?.as_bytes()?]) != sum {
                damaged.push(index.unsigned_abs());
            }
        }
    }
    Ok(damaged)
}

fn has_table(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    connection.table_exists(None, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As files begun before this form have it.
    const BEFORE: &str = "
CREATE TABLE used(idx INTEGER PRIMARY KEY, expires INTEGER NOT NULL, id BLOB NOT NULL, content BLOB NOT NULL,
  sum INTEGER NOT NULL) STRICT;
CREATE TABLE take(idx INTEGER PRIMARY KEY, expires INTEGER NOT NULL, token BLOB NOT NULL, sum INTEGER NOT NULL) STRICT;
";

    fn row(n: u8) -> Row {
        Row {
            kind: "in",
            used_id: n.is_multiple_of(2).then_some(UsedId { key: [n; 16], content: [1; 16], expires: 100 }),
            take: n.is_multiple_of(3).then_some(Take { token: [n; 32], expires: 200 }),
            ..Row::default()
        }
    }

    #[test]
    fn what_a_commit_holds_is_read_from_wherever_it_is_alive() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(TABLE).unwrap();
        let rows: Vec<Row> = (0..40).map(row).collect();
        keep(&connection, 0, &rows[..7]).unwrap();
        keep(&connection, 7, &rows[7..8]).unwrap();
        keep(&connection, 8, &rows[8..]).unwrap();
        let keys = |from| used_ids(&connection, from, 100).unwrap().iter().map(|id| id.key[0]).min();
        assert_eq!((keys(0), keys(6), keys(8), keys(30)), (Some(0), Some(0), Some(8), Some(8)));
        assert_eq!(used_ids(&connection, 0, 100).unwrap().len(), 20);
        assert_eq!(used_ids(&connection, 0, 101).unwrap().len(), 0);
        let tokens: Vec<u8> = takes(&connection, 8, 200).unwrap().iter().map(|take| take.token[31]).collect();
        assert_eq!(tokens, (8..40).filter(|n| n % 3 == 0).collect::<Vec<_>>());
        assert_eq!(damaged(&connection).unwrap(), [0; 0]);
        for edit in [
            "UPDATE batch SET used=zeroblob(length(used)) WHERE first=8",
            "UPDATE batch SET used=CAST(used||taken AS BLOB), taken=x'' WHERE first=8",
            "UPDATE batch SET sealed=sealed+1 WHERE first=8",
            "UPDATE batch SET sum=sum+1 WHERE first=8",
        ] {
            connection.execute_batch(&format!("SAVEPOINT before; {edit}")).unwrap();
            assert_eq!(damaged(&connection).unwrap(), [8], "{edit}");
            connection.execute_batch("ROLLBACK TO before; RELEASE before").unwrap();
        }
        connection.execute_batch("DROP TABLE batch").unwrap();
        assert!(damaged(&connection).is_err());
    }

    #[test]
    fn what_a_file_begun_before_remembers_is_not_forgotten() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(BEFORE).unwrap();
        let sum = row_sum(5, 100, &[&[9; 16], &[1; 16]]);
        connection.execute("INSERT INTO used VALUES(5, 100, ?, ?, ?)", ([9; 16], [1; 16], sum)).unwrap();
        let sum = row_sum(5, 200, &[&[7; 32]]);
        connection.execute("INSERT INTO take VALUES(5, 200, ?, ?)", ([7; 32], sum)).unwrap();
        for begun in [false, true] {
            if begun {
                connection.execute_batch(TABLE).unwrap();
                keep(&connection, 6, &[row(6)]).unwrap();
            }
            let (ids, uses) = (used_ids(&connection, 5, 1).unwrap(), takes(&connection, 5, 1).unwrap());
            assert_eq!((ids.len(), uses.len()), (1 + usize::from(begun), 1 + usize::from(begun)));
            assert!(ids.contains(&UsedId { key: [9; 16], content: [1; 16], expires: 100 }));
            assert!(uses.contains(&Take { token: [7; 32], expires: 200 }));
            assert_eq!(damaged(&connection).unwrap(), [0; 0]);
        }
        connection.execute("UPDATE take SET expires=1", []).unwrap();
        assert_eq!(damaged(&connection).unwrap(), [5]);
    }
}
